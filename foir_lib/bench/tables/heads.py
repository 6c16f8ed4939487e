"""The tables and numeric figures of the head-selection paper: which rows, which columns, which numbers.

A table is data (:data:`TABLES`); :func:`foir_lib.bench.rows.run` computes its rows on any data set and model. "mini" stands
for the embedded stand-ins of a table's rows, "paper" for the rows the paper prints. :data:`EVERY` holds the tables of the
other papers too.
"""

import difflib
from functools import partial

from foir_lib.bench.tables import coattention
from foir_lib.bench.tables.columns import Column
from foir_lib.bench.tables.columns import Table as _Table
from foir_lib.errors import InputError

DATASETS = {"coco": "mini-focus", "voc": "mini-focus-sparse", "visual-genome": "mini-focus-dense"}
MODELS = {
    "dinov2-small": "mini-vit-small", "dinov2-base": "mini-vit", "dinov2-large": "mini-vit-large",
    "dinov2-giant": "mini-vit-large", "clip-base": "mini-vit", "clip-large": "mini-vit-large",
}  # fmt: skip
MINI_NOISE_PIXELS = dict.fromkeys(DATASETS.values(), 9)  # 7.6 % of a mini picture, as 40 are of a COCO picture
DINOV2 = ("dinov2-small", "dinov2-base", "dinov2-large", "dinov2-giant")
CLIP = ("clip-base", "clip-large")
ALL = tuple(DATASETS)


Table = partial(_Table, datasets=ALL, models=DINOV2)


def _columns(*names, **options):
    return tuple(Column(name, name, options) for name in names)


CBIR, MASK, CROP, FA, PHS, BOTH = _columns("CBIR", "Mask", "Crop", "FA", "PHS", "FA+PHS")
RANDOM = Column("Random heads", "Random heads")
QUERY_DB = Column("PHS (query-db)", "PHS", {"mode": "query-db"})
NOISY = {m: Column(f"{m}-N", m, {"noise": True}) for m in ("Mask", "Crop", "FA", "PHS")}
BY_PROMPT = tuple(Column(f"{m} ({p})", m, {"prompt": p}) for m in ("Mask", "PHS") for p in ("point", "box", "segment"))
STRATEGIES = tuple(
    Column(f"PHS ({s})", "PHS", {"strategy": s}) for s in ("identity", "after", "before", "after+scale", "before+scale")
)

TABLES = {
    "phs-1": Table(
        "Table 1: focus-oriented retrieval", (CBIR, MASK, CROP, FA, RANDOM, PHS, QUERY_DB),
        metrics=("MP@100", "MAP@100"),
        look="PHS above CBIR where the model has many heads; random heads, the control, not above CBIR.",
    ),
    "phs-2": Table(
        "Table 2: another pretraining, CLIP", (CBIR, MASK, FA, PHS), models=CLIP, metrics=("MP@100", "MAP@100"),
        look="the same order of methods for a model trained another way (the mini world has no second one).",
    ),
    "phs-3": Table(
        "Table 3: point, box and segment prompts", (CBIR, *BY_PROMPT), datasets=("coco",),
        look="PHS hardly minds how one points; Mask falls apart when the prompt shrinks.",
    ),
    "phs-4": Table(
        "Table 4: cropping and prompt noise", (CROP, NOISY["Crop"], PHS, NOISY["PHS"]), datasets=("coco",),
        models=DINOV2 + CLIP, look="Crop against Crop-N: what careless boxes cost; the same for PHS.",
    ),
    "phs-a1": Table("Table A1: foveal attention and PHS together", (CBIR, FA, PHS, BOTH), look="FA+PHS against its parts."),
    "phs-a2": Table(
        "Table A2: head selection on the query only, or on the database too", (FA, PHS, QUERY_DB), models=DINOV2 + CLIP,
        look="query-only and query-db stay close at h_on = 5.",
    ),
    "phs-a3": Table(
        "Table A3: noisy prompts", (CBIR, MASK, NOISY["Mask"], FA, NOISY["FA"], PHS, NOISY["PHS"]),
        look="each method beside its noisy twin (-N).",
    ),
    "phs-a4": Table(
        "Table A4: ROI attention by sum or maximum",
        (CBIR, Column("PHS (max)", "PHS", {"roi": "max"}), Column("PHS (sum)", "PHS")), models=("dinov2-large",),
        look="sum against max.",
    ),
    "phs-a5": Table(
        "Table A5: where heads are switched off", STRATEGIES, models=("dinov2-large",),
        look="before the output projection, scaled by h/h_on, should be best.",
    ),
    "phs-a6": Table(
        "Table A6: masking the attention instead", (CBIR, MASK, FA, *_columns("Attention mask"), PHS),
        models=("dinov2-large",), look="Attention mask between FA and PHS.",
    ),
    "phs-a7": Table(
        "Table A7: PHS against noise in crops", (CROP, *_columns("Crop+PHS")), models=DINOV2 + CLIP,
        look="one head off (h_on = h - 1): small differences either way.",
    ),
    "phs-fig3": Table(
        "Figure 3: number of objects per query image", (), models=(), metrics=("query images %",), over="objects",
        look="the share of queries with a single object.",
    ),
    "phs-fig4": Table(
        "Figure 4: gain over CBIR by number of objects, CLIP large", (CBIR, MASK, FA, PHS), models=("clip-large",),
        over="objects", look="whether the gain of PHS grows with the number of objects.",
    ),
    "phs-fig5": Table(
        "Figure 5: gain over CBIR by number of objects, DINOv2 large", (CBIR, MASK, FA, PHS), models=("dinov2-large",),
        over="objects", look="Mask at one object against Mask at many.",
    ),
    "phs-fig8": Table(
        "Figure 8: number of selected heads", (CBIR, PHS), datasets=("coco",), over="h_on",
        look="where each curve peaks; at h_on = h it meets CBIR.",
    ),
    "phs-figa1": Table(
        "Figure A1: number of selected heads, query-only and query-db", (CBIR, PHS, QUERY_DB), datasets=("coco",),
        models=("dinov2-base",), over="h_on", look="query-db at small h_on.",
    ),
    "phs-figa2": Table(
        "Figure A2: gain over CBIR for queries with at least n objects", (CBIR, MASK, FA, PHS), models=DINOV2 + CLIP,
        over="objects or more", look="the trend to the right.",
    ),
}  # fmt: skip
EVERY = TABLES | coattention.TABLES  # of all papers


def find(table):
    """The :class:`Table` of that id. Raises InputError for an unknown one."""
    if table not in EVERY:
        close = difflib.get_close_matches(table, EVERY, n=2)
        hint = f"did you mean {' or '.join(close)}" if close else f"choose one of {', '.join(EVERY)}"
        raise InputError(f"There is no table {table!r}: {hint}.")
    return EVERY[table]
