"""Every table of the landmark papers, made on a small town: its rows, what is told of them, its picture, its files."""

from pathlib import Path
from types import SimpleNamespace

import nbformat
import numpy as np
import pandas as pd
import pytest

from foir_lib import files, load_model, load_set
from foir_lib.bench import landmark_rows
from foir_lib.bench.runs import report
from foir_lib.bench.tables import coattention
from foir_lib.data import training
from foir_lib.errors import FoirError, InputError
from foir_lib.methods.regional_attention import RegionalAttention, save
from foir_lib.view.figures import curves

SIZES = {"seed": 3, "n_landmarks": 2, "n_queries": 3, "n_database": 14}
SLOW = ("ca-3", "ca-6", "ca-fig9")


@pytest.fixture(scope="module")
def town(tmp_path_factory):
    """Options of ``landmark_rows.run`` for a small town, pictures to learn from, and weights of regional attention."""
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("rows")
        patch.setenv("FOIR_CACHE", str(folder / "cache"))
        small = load_set("mini-landmarks", **SIZES)
        patch.setattr(landmark_rows, "load_set", lambda name, root=None, seed=0: small)
        pictures = Path(training.mini_landmarks(3, 3, 1).paths[0]).parent
        weights = []
        for context in (True, False):
            weights.append(str(folder / f"{context}.safetensors"))
            save(RegionalAttention(load_model("mini-cnn").dim, 4, context=context), weights[-1])
        yield {"training_root": str(pictures), "attention": ",".join(weights), "workers": 1, "progress": False}


@pytest.mark.parametrize(
    "table", [pytest.param(t, marks=[pytest.mark.slow] * (t in SLOW)) for t in coattention.TABLES]
)
def test_every_table_is_made_told_drawn_and_kept(town, table, tmp_path):
    spec = coattention.TABLES[table]
    rows = report.checked(landmark_rows.run(table, **town), table)
    lacking = {c.name for c in spec.columns if c.method.startswith("RPN")}  # no detector
    costs = [metric for metric in spec.metrics if not metric.startswith("mAP")]
    want = [
        (column.name, metric)
        for column in spec.columns
        for metric in ["mAP medium", "mAP hard", *(costs if column.name not in lacking else [])]
    ]
    assert list(zip(rows["method"], rows["metric"])) == want
    assert set(rows.loc[rows["ours"].isna(), "method"]) == lacking and bool(report.notes(rows)) == bool(lacking)
    assert rows.loc[rows["metric"].str.startswith("mAP"), "ours"].dropna().between(0, 100).all()
    if spec.over:
        medium = rows[rows["metric"] == "mAP medium"]
        scanned = medium.groupby(medium["method"].str[-1], sort=False)["x"].agg(tuple).to_dict()
        assert scanned == coattention.SCAN
    assert set(rows["n_queries"]) == {3} and set(rows["n_database"]) == {14} and set(rows["ap"]) == {"trapezoid"}
    exec(counts_of(table), {"pd": pd, "scores": rows})  # what the notebook counts from them
    figure = (curves.scan if spec.over else curves.comparison)(rows, title=spec.title)
    report.save(rows, table, tmp_path, {"figure": figure})
    text = (tmp_path / f"{table}.md").read_text()
    assert spec.title in text and all(note in text for note in report.notes(rows))
    assert (tmp_path / f"{table}-figure.png").stat().st_size > 5000


def counts_of(table):
    """The cell of a table's notebook that counts who is ahead."""
    path = files.notebooks_root() / "tables" / f"{table.split('-')[0]}.ipynb"
    (source,) = [cell.source for cell in nbformat.read(path, as_version=4).cells if "gain = " in cell.source]
    return source


def test_an_inverted_file_filters_and_a_table_is_the_same_again(town):
    plain, again = (landmark_rows.run("ca-14", **town) for _ in range(2))
    np.testing.assert_array_equal(plain["ours"], again["ours"])
    ours = plain.pivot(index="method", columns="metric", values="ours")
    assert ours.loc["GeM+CA (no IVF)", "filtered %"] == 0 <= ours.loc["GeM+CA", "filtered %"] < 100


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"n_training": -4}, "^n_training=-4 must be a whole number, at least 0.$"),
        ({"workers": 0}, "^workers=0 must be a whole number, at least 1.$"),
        ({"guest": "HOW"}, "must be NAME=path"),
        ({"guest": "HOW=how.npy", "dataset": "paper"}, "^A guest's file can't serve 4 data sets: name one data set.$"),
        ({"guest": "HOW=nowhere.npy"}, "^There is no file of a guest at nowhere.npy"),
        ({"model": "resnet50,resnet101", "weights": "w.pth"}, "^One weights file can't serve 2 models"),
    ],
)
def test_bad_words_are_told_before_any_network_runs(town, monkeypatch, options, words):
    monkeypatch.setattr(landmark_rows, "load_model", lambda *_, **__: pytest.fail("a network is loaded"))
    with pytest.raises(FoirError, match=words):
        landmark_rows.run("ca-1", **town | options)


def test_a_data_set_without_landmarks_is_refused(monkeypatch):
    monkeypatch.setattr(landmark_rows, "load_set", lambda *_, **__: SimpleNamespace(protocols={"contains": None}))
    with pytest.raises(InputError, match="coco has no ground truth of landmarks: name a data set such as roxford5k"):
        landmark_rows.run("ca-4", dataset="coco", progress=False)
