"""The tables of the co-attention paper: coattention.json.

Systems with somebody else's weights are no columns: they stand as published rows, and a file of theirs can be scored
beside ours (:mod:`foir_lib.retrievers.guests`).
"""

from foir_lib.bench.tables.columns import read

TABLES = read("coattention")
