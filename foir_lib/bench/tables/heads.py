"""The tables and numeric figures of the head-selection paper: which rows, which columns, which numbers."""

from functools import partial

from foir_lib.bench.tables.columns import Column, Table
from foir_lib.retrievers import baselines, heads

DATASETS = {"coco": "mini-focus", "voc": "mini-focus-sparse", "visual-genome": "mini-focus-dense"}
MODELS = {
    "dinov2-small": "mini-vit-small", "dinov2-base": "mini-vit", "dinov2-large": "mini-vit-large",
    "dinov2-giant": "mini-vit-large", "clip-base": "mini-vit", "clip-large": "mini-vit-large",
}  # fmt: skip
DINOV2 = ("dinov2-small", "dinov2-base", "dinov2-large", "dinov2-giant")
CLIP = ("clip-base", "clip-large")
ALL = tuple(DATASETS)


Phs = partial(Table, datasets=ALL, models=DINOV2, stand_ins=DATASETS | MODELS)


CBIR = Column("CBIR", baselines.CBIR())
MASK, CROP, FA, PHS = (Column(one.name, one()) for one in (baselines.Mask, baselines.Crop, heads.Foveal, heads.PHS))
BOTH = Column("FA+PHS", heads.PHS(foveal=True))
ATTENTION_MASK = Column("Attention mask", heads.AttentionMask())
RANDOM = Column("Random heads", heads.RandomHeads())
QUERY_DB = Column("PHS (query-db)", heads.PHS(query_db=True))
NOISY = {one.name: Column(f"{one.name}-N", one.retriever, {"noise": True}) for one in (MASK, CROP, FA, PHS)}
BY_PROMPT = tuple(
    Column(f"{one.name} ({kind})", one.retriever, {"kind": kind}) for one in (MASK, PHS) for kind in ("point", "box", "segment")
)
STRATEGIES = tuple(
    Column(f"PHS ({s})", heads.PHS(strategy=s)) for s in ("identity", "after", "before", "after+scale", "before+scale")
)

TABLES = {
    "phs-1": Phs(
        "Table 1: focus-oriented retrieval", (CBIR, MASK, CROP, FA, RANDOM, PHS, QUERY_DB),
        metrics=("MP@100", "MAP@100"),
        look="PHS above CBIR where the model has many heads; random heads, the control, not above CBIR.",
    ),
    "phs-2": Phs(
        "Table 2: another pretraining, CLIP", (CBIR, MASK, FA, PHS), models=CLIP, metrics=("MP@100", "MAP@100"),
        look="the same order of methods for a model trained another way (the mini world has no second one).",
    ),
    "phs-3": Phs(
        "Table 3: point, box and segment prompts", (CBIR, *BY_PROMPT), datasets=("coco",),
        look="PHS hardly minds how one points; Mask falls apart when the prompt shrinks.",
    ),
    "phs-4": Phs(
        "Table 4: cropping and prompt noise", (CROP, NOISY["Crop"], PHS, NOISY["PHS"]), datasets=("coco",),
        models=DINOV2 + CLIP, look="Crop against Crop-N: what careless boxes cost; the same for PHS.",
    ),
    "phs-a1": Phs("Table A1: foveal attention and PHS together", (CBIR, FA, PHS, BOTH), look="FA+PHS against its parts."),
    "phs-a2": Phs(
        "Table A2: head selection on the query only, or on the database too", (FA, PHS, QUERY_DB), models=DINOV2 + CLIP,
        look="query-only and query-db stay close at h_on = 5.",
    ),
    "phs-a3": Phs(
        "Table A3: noisy prompts", (CBIR, MASK, NOISY["Mask"], FA, NOISY["FA"], PHS, NOISY["PHS"]),
        look="each method beside its noisy twin (-N).",
    ),
    "phs-a4": Phs(
        "Table A4: ROI attention by sum or maximum",
        (CBIR, Column("PHS (max)", heads.PHS(roi="max")), Column("PHS (sum)", heads.PHS())), models=("dinov2-large",),
        look="sum against max.",
    ),
    "phs-a5": Phs(
        "Table A5: where heads are switched off", STRATEGIES, models=("dinov2-large",),
        look="before the output projection, scaled by h/h_on, should be best.",
    ),
    "phs-a6": Phs(
        "Table A6: masking the attention instead", (CBIR, MASK, FA, ATTENTION_MASK, PHS),
        models=("dinov2-large",), look="Attention mask between FA and PHS.",
    ),
    "phs-a7": Phs(
        "Table A7: PHS against noise in crops", (CROP, Column("Crop+PHS", baselines.Crop(denoise=True))), models=DINOV2 + CLIP,
        look="one head off (h_on = h - 1): small differences either way.",
    ),
    "phs-fig3": Phs(
        "Figure 3: number of objects per query image", (), models=(), metrics=("query images %",), over="objects",
        look="the share of queries with a single object.",
    ),
    "phs-fig4": Phs(
        "Figure 4: gain over CBIR by number of objects, CLIP large", (CBIR, MASK, FA, PHS), models=("clip-large",),
        over="objects", look="whether the gain of PHS grows with the number of objects.",
    ),
    "phs-fig5": Phs(
        "Figure 5: gain over CBIR by number of objects, DINOv2 large", (CBIR, MASK, FA, PHS), models=("dinov2-large",),
        over="objects", look="Mask at one object against Mask at many.",
    ),
    "phs-fig8": Phs(
        "Figure 8: number of selected heads", (CBIR, PHS), datasets=("coco",), over="h_on",
        look="where each curve peaks; at h_on = h it meets CBIR.",
    ),
    "phs-figa1": Phs(
        "Figure A1: number of selected heads, query-only and query-db", (CBIR, PHS, QUERY_DB), datasets=("coco",),
        models=("dinov2-base",), over="h_on", look="query-db at small h_on.",
    ),
    "phs-figa2": Phs(
        "Figure A2: gain over CBIR for queries with at least n objects", (CBIR, MASK, FA, PHS), models=DINOV2 + CLIP,
        over="objects or more", look="the trend to the right.",
    ),
}  # fmt: skip
