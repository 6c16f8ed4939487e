"""The tables and numeric figures of the head-selection paper: heads.json."""

from foir_lib.bench.tables.columns import read

TABLES = read("heads")
