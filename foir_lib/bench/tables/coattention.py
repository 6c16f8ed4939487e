"""The tables of the co-attention paper: which rows, which columns.

Systems with somebody else's weights are no columns: they stand as published rows, and a file of theirs can be scored
beside ours (:mod:`foir_lib.retrievers.guests`).
"""

from functools import partial

from foir_lib.bench.tables.columns import Column, Table
from foir_lib.retrievers.coattention import CoAttention, ManyToMany, Naive, NormAttention, OneToMany
from foir_lib.retrievers.pooling import GeM
from foir_lib.retrievers.regions import RMAC
from foir_lib.retrievers.rerankers import AlphaQE, Diffusion, Spatial, SuperGlobal

DATASETS = ("roxford5k", "rparis6k")
LARGE = ("roxford5k", "roxford5k+1m", "rparis6k", "rparis6k+1m")
DISTRACTORS = {
    "roxford5k+1m": ("roxford5k", "revisitop1m"), "rparis6k+1m": ("rparis6k", "revisitop1m"),
    "oxford105k": ("oxford5k", "oxford105k"), "paris106k": ("paris6k", "oxford105k"),
    "revisitop1m": ("roxford5k", "revisitop1m"),
}  # fmt: skip
R101 = ("resnet101",)
STAND_INS = dict.fromkeys((*LARGE, "revisitop1m"), "mini-landmarks") | dict.fromkeys(("resnet50", "resnet101"), "mini-cnn")

Ca = partial(
    Table, datasets=DATASETS, models=R101, metrics=("mAP medium", "mAP hard"), methods="down", stand_ins=STAND_INS, alone=True
)


def _ca(what="", how=None, **options):
    return Column(f"GeM+CA ({what})" if what else "GeM+CA", CoAttention(**options), how or {})


GEM, CA = Column("GeM", GeM()), _ca(ivf=True)
RERANKED = tuple(
    Column(f"{one.name}+{rerank.name}", one.retriever, rerank=rerank)
    for one in (GEM, CA)
    for rerank in (AlphaQE(), Diffusion(), Spatial())
)
SUPERGLOBAL = Column("GeM+SuperGlobal", GeM(), rerank=SuperGlobal())
WAYS = ("max", "mean", "softmax")
ORDER = (("max", "mean"), ("max", "max"), ("max", "softmax"), *((local, image) for local in WAYS[1:] for image in WAYS))
MANY = tuple(Column(f"many-to-many ({local} {image})", ManyToMany(local=local, image=image)) for local, image in ORDER)
SCAN = {"N": (50, 100, 150, 200, 500, 1000), "K": (2, 4, 7, 10, 16, 20), "T": (1.0, 5.0, 10.0, 15.0, 20.0)}
OPTION = {"N": "n_features", "K": "n_clusters", "T": "temperature"}

TABLES = {
    "ca-1": Ca(
        "Co-attention, Table 1: comparison", (GEM, CA, Column("R-MAC", RMAC(scales=3))), datasets=LARGE,
        models=("resnet50", "resnet101"), look="GeM+CA above GeM, most of all on Hard; other systems stand as published.",
    ),
    "ca-2": Ca(
        "Co-attention, Table 2: dimensions after PCA", tuple(_ca(f"d={d}", dim=d, ivf=True) for d in (128, 256, 512, 1024)),
        look="little lost down to 256; a network with fewer channels repeats its last row.",
    ),
    "ca-3": Ca(
        "Co-attention, Table 3: scales", tuple(_ca(f"{n} scale{'s' * (n > 1)}", n_scales=n) for n in (1, 3, 5, 7)),
        look="one scale is worst, five are about enough.",
    ),
    "ca-4": Ca(
        "Co-attention, Table 4: without clustering", (GEM, Column("GeM+CA (naive)", Naive()), Column("L2-norm attention", NormAttention()), CA),
        look="naive co-attention between GeM and GeM+CA; attention that doesn't know the query gains less.",
    ),
    "ca-5": Ca("Co-attention, Table 5: spectral clustering", (_ca("spectral", clustering="spectral"), CA), look="no difference."),
    "ca-6": Ca(
        "Co-attention, Table 6: mean-shift",
        tuple(_ca(f"mean-shift {b}", clustering="mean-shift", bandwidth=b) for b in (0.5, 1.0, 1.5)),
        metrics=("mAP medium", "mAP hard", "clusters per image"),
        look="a small bandwidth keeps many clusters; its unit is that of the network's features, so ours needn't fit.",
    ),
    "ca-7": Ca(
        "Co-attention, Table 7: re-ranking", (GEM, *RERANKED[:3], SUPERGLOBAL, CA, *RERANKED[3:]), datasets=LARGE,
        look="diffusion above query expansion above nothing, for GeM and for GeM+CA.",
    ),
    "ca-8": Ca(
        "Co-attention, Table 8: query crop",
        (Column("GeM (whole query)", GeM(), {"whole": True}), GEM, _ca("whole query", {"whole": True}, ivf=True), CA),
        datasets=LARGE, look="GeM+CA above GeM either way.",
    ),
    "ca-9": Ca(
        "Co-attention, Table 9: trained on rSfM-120k with the contrastive loss",
        (Column("GeM (rSfM-120k)", GeM()), _ca("rSfM-120k", ivf=True)), models=("resnet50", "resnet101"),
        look="a gain here too; give weights trained that way, the embedded network isn't.",
    ),
    "ca-10": Ca(
        "Co-attention, Table 10: one-to-many", (*(Column(f"one-to-many ({how})", OneToMany(how=how)) for how in WAYS), CA),
        look="GeM+CA above all three.",
    ),
    "ca-11": Ca("Co-attention, Table 11: many-to-many", (GEM, CA, MANY[0]), look="local match between GeM and GeM+CA."),
    "ca-12": Ca("Co-attention, Table 12: many-to-many, nine ways", (*MANY, CA), look="the maximum over the picture, then the mean."),
    "ca-13": Ca(
        "Co-attention, Table 13: costs for a million pictures", (GEM, CA), datasets=("revisitop1m",),
        metrics=("memory GB", "ms per query"), look="float16 halves the paper's 21 GB; ours is scaled up from this data set, the time that of all queries asked together, without an inverted file.",
    ),
    "ca-14": Ca(
        "Co-attention, Table 14: inverted file", (_ca("no IVF"), CA), datasets=LARGE,
        metrics=("mAP medium", "mAP hard", "filtered %"), look="the same mAP, and how much of the database is spared.",
    ),
    "ca-15": Ca("Co-attention, Table 15: CANet", (GEM, CA), datasets=LARGE, look="CANet stands as published."),
    "ca-fig9": Ca(
        "Co-attention, Figure 9: N, K and T",
        tuple(Column(f"GeM+CA over {of}", CoAttention(**{OPTION[of]: v}), x=v) for of, values in SCAN.items() for v in values),
        over="N, K, T", look="flat curves: no setting is delicate.",
    ),
}  # fmt: skip
