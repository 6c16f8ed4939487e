"""Every re-ranking after every kind of answer on real frames: what gains beyond chance, and all stay far above it."""

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from foir_lib import load_model, registry
from foir_lib.bench.experiment import Experiment
from foir_lib.bench.metrics.intervals import difference
from foir_lib.data.ground_truth import CLASSIC, protocols
from foir_lib.data.readers import pictures, reading
from foir_lib.data.sets import RetrievalSet
from foir_lib.errors import InputError

pytestmark = [pytest.mark.real, pytest.mark.slow]
N_FRAMES, LONGEST, N_TRAINING = 5, 256, 60  # right pictures of a query; pixels; other photographs
# of a small set: 5 right pictures of 100
RERANKINGS = {"AQE": "AQE(n=2)", "alphaQE": "alphaQE(n=3)", "DF": "DF(n=6)", "SP": "SP(n=15)", "SuperGlobal": "SuperGlobal(n=20)"}
METHODS = ("GeM", "R-MAC", "CA", "NaiveCA")
CLEAR = ("GeM+AQE", "GeM+SP", "R-MAC+AQE", "NaiveCA+SP")  # gains whose 95 % intervals lie above 0


@pytest.fixture(scope="module")
def experiment(foir_data, tmp_path_factory):
    """The object of a video's first frame asks, its other frames are right; PCAs are learned from COCO's photographs."""
    root, weights = foir_data / "davis-frames", foir_data / "weights" / "resnet18_to_layer3.safetensors"
    others = sorted((foir_data / "coco-free" / "train2017").glob("*.jpg"))[:N_TRAINING]
    if not root.is_dir() or not weights.is_file() or not others:
        pytest.skip(f"no davis-frames, no coco-free or no {weights.name} in the folder FOIR_DATA")
    frames = {video.name: sorted(video.glob("*.jpg")) for video in sorted((root / "JPEGImages").iterdir())}
    at = np.linspace(0, 9, N_FRAMES + 1).astype(int)
    database = [files[i] for files in frames.values() for i in at[1:]]
    queries, boxes = [files[0] for files in frames.values()], []
    for video, file in zip(frames, queries):
        mask = np.asarray(Image.open(root / "Annotations" / video / f"{file.stem}.png").convert("L")) > 0
        boxes.append(Image.fromarray(mask).getbbox())
    names = [f"{path.parent.name}-{path.stem}" for path in [*queries, *database]]
    paths = [str(path) for path in [*queries, *database]]
    images = pictures.table(names, paths, "database", pictures.sizes(paths, "frames"))
    images.loc[: len(queries) - 1, "split"] = "query"
    tables = reading.query_tables(names[: len(queries)], list(frames), np.array(boxes, float))[::-1]
    truth = [{"good": list(range(i, i + N_FRAMES)), "ok": [], "junk": []} for i in range(0, len(database), N_FRAMES)]
    settings = {"n_words": 2048, "n_asking": 30, "n_features": 300}
    frames_set = RetrievalSet("frames", images, *tables, protocols(truth, len(database), CLASSIC), settings)
    model = load_model("resnet18", weights=weights, out_index=3, image_size=LONGEST, device="cpu")
    others = [str(path) for path in others]
    return Experiment(frames_set, model, training=others, cache=tmp_path_factory.mktemp("cache"), progress=False)


@pytest.fixture(scope="module")
def results(experiment):
    """The Score of each method (its own name) and of each re-ranking that is defined after it (method+name)."""
    results = {}
    for method in METHODS:
        for rerank in ["", *RERANKINGS]:
            try:
                score = experiment.score(method, rerank=RERANKINGS.get(rerank))
            except InputError:
                continue
            results[f"{method}+{rerank}".rstrip("+")] = score["classic"]
    return results


@pytest.fixture(scope="module")
def scores(results):
    """mAP in percent: method x re-ranking ("" for none), NaN where a pair isn't defined."""
    table = pd.DataFrame(index=METHODS, columns=["", *RERANKINGS], dtype=float)
    for name, score in results.items():
        table.loc[name.partition("+")[::2]] = 100 * score.map
    print("\n" + table.round(1).to_string())
    return table


def points(results, name, first):
    """95 % interval of the difference in mAP of two methods, in points, by drawing the videos anew."""
    return 100 * np.array(difference(results[name], results[first], "mAP"))


def test_what_is_defined_is_scored(scores):
    defined = scores.notna()
    assert defined.loc[["GeM", "R-MAC"]].all(axis=None)
    assert defined.columns[defined.loc["CA"]].tolist() == ["", "AQE", "alphaQE", "DF", "SP"]
    assert defined.columns[defined.loc["NaiveCA"]].tolist() == ["", "SP"]


def test_all_are_far_above_chance(experiment, scores):
    n, draw = len(experiment.set.database), np.random.default_rng(0)
    ranks = [np.sort(draw.permutation(n)[:N_FRAMES]) for _ in range(200)]
    chance = 100 * np.mean([np.mean(np.arange(1, N_FRAMES + 1) / (rank + 1)) for rank in ranks])
    assert chance < 20 and scores.min(axis=None) > 2.5 * chance


def test_what_is_clear_of_chance(results):
    """Twenty videos tell few methods apart: only what lies clear of 0 is asserted, the rest is printed."""
    gains = {name: points(results, name, name.partition("+")[0] if "+" in name else "GeM") for name in results if name != "GeM"}
    print(*(f"{name:18} {low:6.1f} {high:6.1f}" for name, (low, high) in gains.items()), sep="\n")
    assert min(gains[name][0] for name in CLEAR) > 0
    assert all(low <= 0 <= high for low, high in (gains[name] for name in METHODS[1:])), "README: the methods can't be told apart"


def test_the_inverted_file_keeps_what_is_right(experiment):
    full, less = (experiment.score(text)["classic"].map for text in ("CA", "CA(ivf=True)"))
    corpus, ca = experiment.corpus, registry.parse("retriever", "CA(ivf=True)")
    share = ca.filtered(corpus, *(corpus.described(ca, part) for part in (corpus.queries(), corpus.database)))
    print(f"filtered {100 * share:.0f} %, mAP {100 * full:.1f} without and {100 * less:.1f} with the inverted file")
    assert share > 0.01 and less > full - 0.02
