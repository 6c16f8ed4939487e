"""The tables of the regional-attention paper: regions.json."""

from foir_lib.bench.tables.columns import read

TABLES = read("regions")
