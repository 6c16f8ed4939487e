"""The tables of the regional-attention paper: which rows, which columns."""

from functools import partial

from foir_lib.bench.tables.columns import Column, Table
from foir_lib.retrievers.pooling import CAM, MAC, CroW, GeM, SPoC
from foir_lib.retrievers.regions import RA, RMAC, RPN, ProposedRA
from foir_lib.retrievers.rerankers import AverageQE

CLASSIC = ("oxford5k", "paris6k")
STAND_INS = dict.fromkeys((*CLASSIC, "oxford105k", "paris106k"), "mini-landmarks") | {"resnet101": "mini-cnn"}
Ra = partial(Table, datasets=CLASSIC, models=("resnet101",), metrics=("mAP",), methods="down", stand_ins=STAND_INS, alone=True)

POOLED = tuple(Column(one.name, one()) for one in (SPoC, MAC, CroW, RMAC, CAM, RA))
EXPANDED = tuple(Column(f"{one.name}+QE", one.retriever, rerank=AverageQE()) for one in POOLED[2:])
NO_CONTEXT = Column("RA (no context)", RA(context=False))

TABLES = {
    "ra-2a": Ra(
        "Regional attention, Table 2a: scales of the grid",
        tuple(Column(f"{one.name} (S={s})", one(scales=s)) for one in (RMAC, RA) for s in (3, 4, 5, 6)), datasets=("oxford5k",),
        look="attention bears more scales, so more small regions, than plain R-MAC.",
    ),
    "ra-2b": Ra(
        "Regional attention, Table 2b: proposals of a detector",
        (Column("RPN", RPN()), Column("RPN+RA (no context)", ProposedRA(context=False)), Column("RPN+RA", ProposedRA())),
        look="attention helps there too; needs a detector's weights.",
    ),
    "ra-2c": Ra("Regional attention, Table 2c: its parts", (POOLED[3], NO_CONTEXT, POOLED[5]), look="each part adds."),
    "ra-3": Ra(
        "Regional attention, Table 3: comparison", (Column("GeM", GeM(n_scales=1)), *POOLED, *EXPANDED),
        datasets=("oxford5k", "paris6k", "oxford105k", "paris106k"),
        look="RA above R-MAC, and ahead still after query expansion; VGG16's rows and SDCF stand as published.",
    ),
}  # fmt: skip
