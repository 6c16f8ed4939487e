"""The tables of the pixel-retrieval thesis: pixels.json."""

from foir_lib.bench.tables.columns import read

TABLES = read("pixels")
