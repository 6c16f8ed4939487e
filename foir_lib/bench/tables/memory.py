"""The tables of memories, ours: memory.json."""

from foir_lib.bench.tables.columns import read

TABLES = read("memory")
