"""Rows carry the interval of their difference to the first method: by the scores themselves, on a small drawn set."""

import numpy as np
import pytest

from foir_lib import load_model, load_set, registry
from foir_lib.bench import metrics, rows
from foir_lib.bench.experiment import Experiment
from foir_lib.bench.metrics.intervals import difference
from foir_lib.bench.runs import report
from foir_lib.errors import InputError

PLUGIN = """from foir_lib import load_set
from foir_lib.registry import register

@register("set", "few-scenes")
def few(root=None, seed=0):
    return load_set("mini-focus", seed=5, n_query=8, n_database=120)
"""


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """Arguments of `rows.run` for 8 query pictures and 120 others, and an experiment on them."""
    folder = tmp_path_factory.mktemp("small")
    (folder / "few.py").write_text(PLUGIN)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FOIR_CACHE", str(folder / "cache"))
        registry.load_plugin(folder / "few.py")
        experiment = Experiment(load_set("few-scenes"), load_model("mini-vit", device="cpu"), progress=False)
        yield {"dataset": "few-scenes", "model": "mini-vit", "device": "cpu", "progress": False}, experiment


def test_bounds_are_those_of_the_scores(small):
    options, experiment = small
    table = report.checked(rows.run("phs-1", methods="CBIR, FA, GeM, PHS", **options), "phs-1")
    scores = {name: experiment.score(name)["contains"] for name in ("CBIR", "FA", "PHS")}
    assert table.groupby("method", sort=False).size().to_dict() == {"CBIR": 2, "FA": 2, "GeM": 2, "PHS": 2}
    for row in table.itertuples():
        if row.method in ("CBIR", "GeM"):  # the first, and one that can't be had
            assert np.isnan([row.low, row.high]).all()
        else:
            want = difference(scores[row.method], scores["CBIR"], row.metric)
            assert (row.low, row.high) == pytest.approx([100 * bound for bound in want])
            gain = table.query("method == 'CBIR' and metric == @row.metric")["ours"].item()
            assert row.low <= row.ours - gain <= row.high
    assert "vs CBIR" in report.wide(table).to_string() and "GeM" in report.notes(table)[0]


def test_the_first_method_that_has_a_score_is_the_base(small):
    options, _ = small
    table = report.checked(rows.run("phs-1", methods="GeM, CBIR, PHS", **options), "phs-1")
    assert table.dropna(subset="low")["method"].unique().tolist() == ["PHS"]
    assert "MP@100 vs CBIR" in report.wide(table).reset_index()["metric"].tolist()


def test_relative_gains_have_intervals_of_the_ratio(small):
    options, experiment = small
    table = rows.run("phs-figa2", methods="CBIR, PHS", **options)
    scores = {name: experiment.score(name)["contains"] for name in ("CBIR", "PHS")}
    assert set(table["method"]) == {"PHS"} and set(table["metric"]) == {"MP@100 relative to CBIR (%)"}
    some = scores["CBIR"].per_query["n_objects"] >= 2
    parts = {name: metrics.Score(score.metrics, score.per_query[some], score.k) for name, score in scores.items()}
    want = difference(parts["PHS"], parts["CBIR"], "MP@100", relative=True)
    row = table[table["x"] == 2].iloc[0]
    assert (row["low"], row["high"]) == pytest.approx([100 * bound for bound in want]) and row["low"] <= row["ours"] <= row["high"]


def test_a_guest_is_compared_with_the_first_method(small, tmp_path):
    options, experiment = small
    np.save(tmp_path / "phs.npy", experiment.ranking("PHS").ids)
    table = report.checked(rows.run("phs-1", methods="CBIR, PHS", guest=f"Theirs={tmp_path}/phs.npy", **options), "phs-1")
    ours, theirs = (table[table["method"] == name].set_index("metric")[["ours", "low", "high"]] for name in ("PHS", "Theirs"))
    assert table["model"].tolist() == ["mini-vit"] * 4 + ["guest"] * 2 and ours["low"].notna().all()
    np.testing.assert_allclose(theirs, ours)
    cells = report.wide(table).reset_index().set_index(["model", "metric"])
    assert cells.loc[("guest", "MP@100 vs CBIR"), "Theirs"] == cells.loc[("mini-vit", "MP@100 vs CBIR"), "PHS"] != ""
    gains = rows.run("phs-figa2", methods="CBIR, PHS", guest=f"Theirs={tmp_path}/phs.npy", **options).groupby("model")
    np.testing.assert_allclose(*(gains.get_group(model)[["x", "ours", "low", "high"]] for model in ("mini-vit", "guest")))
    with pytest.raises(InputError, match="Guest 'PHS' has the name of a method of the table: name it otherwise"):
        rows.run("phs-1", guest=f"PHS={tmp_path}/phs.npy", **options)
