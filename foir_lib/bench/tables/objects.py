"""The tables of the small-objects paper: objects.json."""

from foir_lib.bench.tables.columns import read

TABLES = read("objects")
