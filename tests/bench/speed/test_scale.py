"""What two-stage search keeps of the exhaustive scan: a small twin, and the claim at full size."""

import numpy as np
import pytest

from foir_lib.bench.speed import scale
from foir_lib.errors import InputError
from foir_lib.store.arrays import Arrays, Stacked

SMALL = {"piece": 20, "device": "cpu"}


def test_the_interval_of_a_share_is_over_units():
    values, units = np.array([1, 1, 0, 0, 1, 0.0]), np.array([5, 5, 7, 7, 9, 9])
    low, high = scale.interval(values, units)
    assert (low, high) == (0, 1), "three units: one may be drawn alone"
    alone = scale.interval(np.repeat(values, 50), np.arange(300))
    assert 0.43 < alone[0] < 0.45 and 0.55 < alone[1] < 0.57  # 0.5 -+ 1.96 * 0.5 / sqrt(300)
    assert scale.interval(np.ones(4), np.arange(4)) == (1, 1)


def test_features_one_after_another_are_read_as_one():
    parts = [Arrays({"x": np.arange(3) * 10}), Arrays({"x": np.arange(4) * 10 + 30})]
    stacked = Stacked(parts)
    assert len(stacked) == 7 and stacked.read("x").tolist() == [0, 10, 20, 30, 40, 50, 60]
    assert stacked.read("x", [6, 0, 3, 3]).tolist() == [60, 0, 30, 30] and stacked.read("x", slice(2, 5)).tolist() == [20, 30, 40]
    with pytest.raises(InputError, match="can't follow those of"):
        Stacked([parts[0], Arrays({"x": np.ones(2)})])


@pytest.mark.slow
def test_recall_grows_with_the_candidates_and_is_whole_with_all(tmp_path, monkeypatch):
    monkeypatch.setenv("FOIR_CACHE", str(tmp_path))
    rows = scale.recall("PHS(query_db=True)", 50, depths=(3, 10, 50), n_queries=6, k=5, **SMALL)
    shares = [row["recall"] for row in rows]
    assert shares == sorted(shares) and 0 < shares[0] <= 0.6 and shares[-1] == 1 and (rows[-1]["low"], rows[-1]["high"]) == (1, 1)
    assert all(row["low"] <= row["recall"] <= row["high"] and row["pictures"] == 50 and row["queries"] == 6 for row in rows)
    monkeypatch.setattr("foir_lib.data.mini.drawn.write", None)  # what is drawn and described stays
    monkeypatch.setattr("foir_lib.models.vit.ViT.tokens", lambda *_: pytest.fail("described again"))
    world = scale.World("PHS(query_db=True)", 50, 6, **SMALL)
    assert len(world.database) == 50 and len(world.units) == len(set(world.units.tolist())) == 6


@pytest.mark.parametrize(("arguments", "words"), [
    (["PHS", "many", "out.json"], "Write: python -m foir_lib.bench.speed.scale"),
    (["GeM", "10", "out.json"], "GeM isn't measured at scale: choose one of PHS, CA, MaO"),
    (["PSH", "10", "out.json"], "did you mean PHS"),
])  # fmt: skip
def test_what_cannot_be_measured_is_one_sentence(arguments, words, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=words):
        scale.main(arguments)


@pytest.mark.claims
@pytest.mark.parametrize("method", ["PHS(query_db=True)", "CA", "MaO"])
def test_recall_of_two_stages_at_a_hundred_thousand(method, record_property):
    for row in scale.recall(method, 100_000):
        record_property("recall", f"{method}, {row['candidates']} candidates: {row['recall']:.3f} [{row['low']:.3f}, {row['high']:.3f}]")
        assert row["queries"] == 100 and 0 <= row["low"] <= row["recall"] <= row["high"] <= 1
