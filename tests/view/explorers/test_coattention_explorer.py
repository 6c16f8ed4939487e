"""The co-attention explorer, its local views and the figures of landmark retrieval: what they show is what the methods compute."""

import ipywidgets
import numpy as np
import pytest
import torch
from PIL import Image

from foir_lib import Box, Mask, Point, load_model, load_set
from foir_lib.errors import InputError
from foir_lib.methods import coattention
from foir_lib.search import local_views
from foir_lib.view.explorers.coattention import CoattentionExplorer
from foir_lib.view.widgets import live

SCALES = (0.5, 1.0)


@pytest.fixture(scope="module")
def town(tmp_path_factory):
    """(set, cnn, views) of a small town, 20 database pictures."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FOIR_CACHE", str(tmp_path_factory.mktemp("cache")))
        rs = load_set("mini-landmarks", seed=3, n_landmarks=4, n_queries=6, n_database=20)
        torch.manual_seed(0)
        cnn = load_model("resnet10t", pretrained=False, device="cpu", out_index=2)
        yield rs, cnn, local_views.LocalViews(rs, cnn, most=60, scales=SCALES, progress=False)


@pytest.fixture
def explorer(town):
    rs, cnn, views = town
    made = CoattentionExplorer(rs, cnn, k=5, n_features=40, n_clusters=4, views=views)
    yield made
    made.close()


# ---- local views


def test_kept_features_are_the_selected_ones_and_rank_as_the_methods_say(town):
    rs, cnn, views = town
    picture, prompt = rs.open(rs.queries["image_id"].iloc[1]), rs.queries["prompt"].iloc[1]
    x0, y0, x1, y1 = int(prompt.x0), int(prompt.y0), int(np.ceil(prompt.x1)), int(np.ceil(prompt.y1))
    asked = local_views.ask(cnn, picture, prompt, 40, SCALES)
    crop = coattention.select(cnn.locals(picture.crop((x0, y0, x1, y1)), SCALES), 40)
    assert torch.allclose(asked.vector, coattention.query(crop.features), atol=1e-6)
    assert torch.allclose(asked.found.positions - crop.positions, torch.tensor([x0, y0]).float())
    scores = []
    for row, image_id in enumerate(rs.database["image_id"]):
        found = coattention.select(cnn.locals(rs.open(image_id), SCALES), 40)
        kept = views.locals(row, 40)
        assert torch.allclose(kept.positions, found.positions) and kept.size == found.size
        x = coattention.clusters(found.features, coattention.cluster(found.features, 4))
        a = coattention.weights(asked.vector, x, 7.0)
        scores.append(float(coattention.weighted(x, a) @ asked.vector))
    ids, got = views.rank(asked, 40, 4, 7.0)
    assert np.allclose(np.sort(scores)[::-1], got, atol=2e-3)
    assert np.allclose(np.array(scores)[ids], got, atol=2e-3)
    assert 3 not in views.rank(asked, 40, 4, exclude=3)[0] and len(views.rank(asked, 40, 4, k=2)[0]) == 2
    best = int(ids[0])
    a = views.attention(asked, best, 40, 4)
    assert abs(float(a.sum()) - 1) < 1e-5 and len(a) == 40 and len(set(a.tolist())) <= 4
    assert views.heat(best, a, (5, 6)).shape == (5, 6) and views.heat(best, a).shape == views.locals(best).size[::-1]
    things = rs.objects[rs.objects["image_id"].isin(rs.database["image_id"])]
    parts = []
    for thing in things.drop_duplicates(["image_id", "label"], keep=False).itertuples():
        row = int(np.flatnonzero(rs.database["image_id"] == thing.image_id)[0])
        heat = views.heat(row, views.locals(row).norm)
        parts.append(heat[int(thing.y0) : int(thing.y1), int(thing.x0) : int(thing.x1)].sum() / heat.sum())
        assert views.share(row, views.locals(row).norm, thing.label) == pytest.approx(float(parts[-1]))
    assert any(0.1 < part < 0.9 for part in parts)
    assert np.isnan(views.share(best, a, "nobody"))


def test_masks_and_points_ask_with_their_own_features(town):
    rs, cnn, _ = town
    picture = rs.open(rs.queries["image_id"].iloc[0])
    left = np.zeros((picture.height, picture.width), bool)
    left[:, : picture.width // 2] = True
    left[0, -1] = True  # its box is the whole picture
    found = local_views.ask(cnn, picture, Mask(left), 500, (1.0,)).found
    assert len(found) and float(found.positions[:, 0].max()) < picture.width / 2
    point = Point(100, 80)
    box = point.box(picture.size, local_views.grid_of(cnn, picture.size))
    a, b = (local_views.ask(cnn, picture, p, 50, (1.0,)).vector for p in (point, box))
    assert torch.equal(a, b)
    assert tuple(cnn.maps(cnn.preprocess(picture)[None]).shape[2:]) == local_views.grid_of(cnn, picture.size)
    whole = local_views.ask(cnn, picture, None, 50, (1.0,)).vector
    assert torch.allclose(whole, local_views.ask(cnn, picture, Box(0, 0, *picture.size), 50, (1.0,)).vector)
    with pytest.raises(InputError, match="outside"):
        local_views.ask(cnn, picture, Box(900, 900, 990, 990))


@pytest.mark.parametrize("bad", [(0, 4), (61, 4), (40, 0), (40, True), (40.0, 4)])
def test_numbers_that_cant_be_had_are_refused(town, bad):
    with pytest.raises(InputError, match="whole number"):
        town[2].clustered(*bad)


# ---- the explorer


def test_it_shows_what_the_views_rank(town, explorer):
    rs, cnn, views = town
    explorer.query(2)
    asked = local_views.ask(cnn, explorer.canvas.picture, rs.queries["prompt"].iloc[2], 40, SCALES)
    ids, scores = views.rank(asked, 40, 4, 10.0, k=5)
    assert explorer.results["row"].tolist() == ids.tolist() and np.allclose(explorer.results["score"], scores)
    good, ignored = rs.protocols["medium"].positives(2), rs.protocols["medium"].ignored_of(2)
    assert explorer.results["right"].tolist() == [None if i in ignored else i in good for i in ids]
    candidates, seen = explorer.gallery.rows
    assert [item["key"] for item in candidates["items"]] == [item["key"] for item in seen["items"]] == ids.tolist()
    frames = [{True: "right", False: "wrong", None: ""}[right] for right in explorer.results["right"]]
    assert [item["frame"] for item in candidates["items"]] == frames
    a = views.attention(asked, int(ids[0]), 40, 4)
    assert np.allclose(explorer.attention[0], views.heat(int(ids[0]), a, explorer.attention[0].shape))
    assert repr(explorer).count("\n") == 0 and len(repr(explorer)) < 150


def test_every_control_reaches_the_answer(explorer):
    explorer.query(0)
    for control, value in ((explorer.n_features, 12), (explorer.n_clusters, 2), (explorer.temperature, 40.0)):
        before = explorer.results["score"].tolist()
        control.value = value
        assert explorer.results["score"].tolist() != before


def test_the_same_path_for_browser_and_python(explorer):
    explorer.query(0)
    box = Box(10, 10, 90, 120)
    edit = {"view": "v", "n": 1, "picture": explorer.canvas.number, "op": "clear"}
    explorer.canvas.receive(edit, [])  # as the page sends it
    assert explorer.canvas.prompt is None and "no prompt" in repr(explorer)
    explorer.ask(box)
    by_ask = explorer.results
    explorer.query(1)
    explorer.query(0)
    explorer.canvas.prompt = box
    assert explorer.results.equals(by_ask)


def test_a_candidate_becomes_the_query_and_does_not_find_itself(town, explorer):
    row = int(explorer.results["row"].iloc[1])
    explorer.gallery.receive({"pick": row})
    assert (
        explorer.canvas.label == f"picture {town[0].database['image_id'].iloc[row]}" and explorer.canvas.prompt is None
    )
    assert row not in explorer.results["row"].tolist() and explorer.results["right"].tolist() == [None] * 5
    thing = town[0].objects[town[0].objects["image_id"] == town[0].database["image_id"].iloc[row]].iloc[0]
    explorer.ask(Box(thing.x0, thing.y0, thing.x1, thing.y1))
    assert f"looking for <b>{thing.label}</b>" in explorer._words.value


def test_errors_are_sentences_and_what_was_shown_stays(town, explorer):
    explorer.query(1)
    before, label, shown = explorer.results, explorer.canvas.label, explorer.gallery.shown
    for wrong in (
        lambda: explorer.ask(Box(900, 900, 990, 990)),
        lambda: explorer.ask(Box(900, 900, 990, 990), picture=town[0].database["image_id"].iloc[0]),
        lambda: explorer.query(99),
        lambda: explorer.ask(picture=-5),
    ):
        with pytest.raises(InputError):
            wrong()
        assert explorer.canvas.message["error"] and explorer.canvas.message["text"].endswith(".")
        assert explorer.results is before and explorer.canvas.label == label and explorer.gallery.shown == shown
    explorer.query(1)
    assert explorer.canvas.message["text"] == ""


def test_a_control_that_fails_is_put_back(monkeypatch, explorer):
    before = explorer.results

    def fail(*_, **__):
        raise InputError("No.")

    monkeypatch.setattr(explorer.views, "rank", fail)
    explorer.temperature.value = 3
    assert explorer.temperature.value == 10 and explorer.results is before and explorer.canvas.message["text"] == "No."


def test_own_pictures_and_bad_arguments(town, explorer):
    rs, cnn, views = town
    explorer.ask(Box(5, 5, 60, 60), picture=Image.new("RGB", (70, 300), "red"))
    assert len(explorer.results) == 5 and explorer.results["right"].tolist() == [None] * 5
    for options in ({"k": 0}, {"n_features": 61}, {"n_clusters": 0}, {"temperature": -1}, {"temperature": "warm"}):
        with pytest.raises(InputError):
            CoattentionExplorer(rs, cnn, **{"n_features": 40, "n_clusters": 4, "views": views, **options})


def test_close_leaves_nothing_behind(town, monkeypatch):
    rs, cnn, views = town
    known = open_widgets()
    monkeypatch.setattr(live, "current_run", lambda: ("c", 1))
    made = CoattentionExplorer(rs, cnn, n_features=40, n_clusters=4, views=views)
    monkeypatch.setattr(live, "current_run", lambda: ("c", 2))
    again = CoattentionExplorer(rs, cnn, n_features=40, n_clusters=4, views=views)
    assert made.comm is None and again.comm is not None, "the cell run again closes what it had made"
    again.close()
    again.close()
    left = {key: _instances[key] for key in open_widgets() - known}
    assert not [w for w in left.values() if isinstance(w, ipywidgets.Widget) and w.comm is not None]
