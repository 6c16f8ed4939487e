"""The co-attention explorer: candidates and their maps are what co-attention computes; any method says what counts."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from foir_lib import Box, Mask, Point, load_model, load_set
from foir_lib.bench.experiment import Experiment
from foir_lib.errors import InputError
from foir_lib.methods import coattention
from foir_lib.retrievers.coattention import CoAttention
from foir_lib.text import percent, points
from foir_lib.view.explorers.coattention import CoattentionExplorer
from foir_lib.view.figures import parts
from foir_lib.view.results import rows
from foir_lib.view.widgets import live, maps

CA = CoAttention(n_scales=3, n_features=40, n_clusters=4)


@pytest.fixture(scope="module")
def experiment(tmp_path_factory):
    """A small town, 20 database pictures, and a network whose whitening layer needs no PCA."""
    town = load_set("mini-landmarks", seed=3, n_landmarks=4, n_queries=6, n_database=20)
    settings = {name: value for name, value in town.settings.items() if name != "training"}
    cache = tmp_path_factory.mktemp("cache")
    yield Experiment(replace(town, settings=settings), load_model("mini-cnn", device="cpu"), cache=cache, progress=False)


@pytest.fixture
def explorer(experiment):
    explorer = CoattentionExplorer(experiment.corpus, [CA], k=5)
    yield explorer
    explorer.close()


def test_it_shows_what_the_experiment_ranks(experiment, explorer):
    explorer.query(2)
    ranking, table = experiment.ranking(CA), explorer.results[str(CA)]
    assert np.allclose(table["score"], ranking.scores[2, :5], atol=2e-6)
    assert table["row"].tolist() == ranking.ids[2, :5].tolist()
    medium = experiment.set.protocols["medium"]
    good, ignored = medium.positives(2), medium.ignored_of(2)
    assert table["right"].tolist() == [None if i in ignored else i in good for i in table["row"]]
    candidates, counts = explorer.gallery.rows
    assert [item["key"] for item in candidates["items"]] == [item["key"] for item in counts["items"]] == table["row"].tolist()
    assert [item["frame"] for item in candidates["items"]] == [{True: "right", False: "wrong", None: ""}[r] for r in table["right"]]
    assert repr(explorer).count("\n") == 0 and repr(explorer).startswith("CoattentionExplorer (mini-landmarks")


def test_the_maps_are_the_weights_of_the_clusters_on_one_scale(experiment, explorer):
    explorer.query(1)
    corpus, shown = experiment.corpus, explorer.explained[str(CA)]
    query = CA.describe(corpus.live(explorer.canvas.picture, [explorer.canvas.prompt])).read("global")[0]
    database, row = CA.describe(corpus.database), int(explorer.results[str(CA)]["row"].iloc[0])
    labels, x = (torch.from_numpy(database.read(name, slice(row, row + 1))[0]) for name in ("labels", "clusters"))
    labels = labels[labels >= 0].long()
    a = torch.softmax(10 * (x[: int(labels.max()) + 1].float() @ torch.from_numpy(query)), 0)[labels]
    want = coattention.attention_map(CA.locals_of(corpus, row), a / a.sum(), shown[0].shape).numpy()
    np.testing.assert_allclose(shown[0], want, rtol=1e-3, atol=1e-7)  # clusters are stored in 16 bits
    top = parts.scale_of(np.concatenate([m.ravel() for m in shown]))
    picture = experiment.set.open(experiment.set.database["image_id"].iloc[row], longest=maps.SIDE)
    assert explorer.gallery.rows[1]["items"][0]["image"] == maps.overlays(picture, shown[0][None], top)[0]


def test_every_control_reaches_the_answer(explorer):
    explorer.query(0)
    for name, value in (("n_features", 12), ("n_clusters", 2), ("temperature", 40.0)):
        before = list(explorer.state["scores"].values())
        getattr(explorer.options, name).value = value
        assert list(explorer.state["scores"].values()) != before and f"{name}={value}" in explorer.state["methods"][0]


def test_the_same_path_for_browser_and_python(explorer):
    explorer.query(0)
    box = Box(10, 10, 90, 120)
    explorer.canvas.receive({"view": "v", "n": 1, "picture": explorer.canvas.number, "op": "clear"})  # as the page sends it
    explorer.wait()
    assert explorer.state["prompt"] is None and "no prompt" in repr(explorer)
    explorer.ask(box)
    by_ask = explorer.state
    explorer.query(1)
    explorer.query(0)
    explorer.canvas.prompt = box
    assert explorer.state["lists"] == by_ask["lists"] and explorer.state["scores"] == by_ask["scores"]


@pytest.mark.parametrize("prompt", [Point(100, 80), Mask(np.pad(np.ones((60, 50), bool), ((20, 80), (10, 132)))), None])
def test_points_masks_and_whole_pictures_ask(experiment, explorer, prompt):
    explorer.query(0)
    picture = explorer.canvas.picture
    prompt = Mask(np.asarray(Image.fromarray(prompt.array).resize(picture.size))) if isinstance(prompt, Mask) else prompt
    explorer.ask(prompt)
    query = CA.describe(experiment.corpus.live(picture, [prompt])).read("global")
    scores, _ = CA.score(experiment.corpus, CA.describe(experiment.corpus.live(picture, [prompt])), CA.describe(experiment.corpus.database), 5)
    assert np.isfinite(query).all() and explorer.results[str(CA)]["score"].max() <= scores.max() + 1e-6


def test_a_candidate_becomes_the_query_and_is_not_its_own_result(experiment, explorer):
    row = int(explorer.results[str(CA)]["row"].iloc[1])
    explorer.gallery.receive({"pick": row})
    image_id = experiment.set.database["image_id"].iloc[row]
    assert explorer.state["picture"] == f"picture {image_id}" and explorer.state["prompt"] is None
    assert row not in explorer.state["lists"][str(CA)] and explorer.results[str(CA)]["right"].tolist() == [None] * 5
    thing = experiment.set.objects[experiment.set.objects["image_id"] == image_id].iloc[0]
    explorer.ask(Box(thing.x0, thing.y0, thing.x1, thing.y1))
    assert explorer.state["label"] == (thing.label if thing.label in explorer.panel.labels else "")


def test_errors_are_sentences_and_what_was_shown_stays(experiment, explorer):
    explorer.query(1)
    before = {name: explorer.state[name] for name in ("picture", "rows", "lists", "scores")}
    for wrong in (
        lambda: explorer.ask(Box(900, 900, 990, 990)),
        lambda: explorer.ask(Box(900, 900, 990, 990), picture=experiment.set.database["image_id"].iloc[0]),
        lambda: explorer.query(99),
        lambda: explorer.ask(picture=-5),
    ):
        with pytest.raises(InputError):
            wrong()
        assert explorer.state["error"] and explorer.state["message"].endswith(".")
        assert {name: explorer.state[name] for name in before} == before
    explorer.query(1)
    assert explorer.state["message"] == ""


def test_a_control_that_fails_is_put_back(monkeypatch, explorer):
    before = explorer.results

    def fail(*_):
        raise InputError("No.")

    monkeypatch.setattr(CoAttention, "score", fail)
    explorer.options.temperature.value = 3
    assert explorer.options.temperature.value == 10 and explorer.results is before and explorer.state["message"] == "No."


def test_own_pictures_and_models_that_lack_local_features(experiment, explorer):
    explorer.ask(Box(5, 5, 60, 60), picture=Image.new("RGB", (70, 300), "red"))
    table = explorer.results[str(CA)]
    assert len(table) == 5 and table["right"].tolist() == [None] * 5
    assert CoattentionExplorer.lacks(experiment.corpus) == ""
    vit = Experiment(experiment.set, load_model("mini-vit", device="cpu"), progress=False).corpus
    assert CoattentionExplorer.lacks(vit).startswith("mini-vit has no feature maps")
    with pytest.raises(InputError, match="CA can't be had here"):
        CoattentionExplorer(vit, "CA")


def test_close_leaves_nothing_behind(experiment, monkeypatch, open_widgets):
    before = open_widgets()
    monkeypatch.setattr(live, "current_run", lambda: ("c", 1))
    first = CoattentionExplorer(experiment.corpus, [CA])
    monkeypatch.setattr(live, "current_run", lambda: ("c", 2))
    again = CoattentionExplorer(experiment.corpus, [CA])
    assert first.comm is None and again.comm is not None  # the cell run again closes the explorer of its first run
    again.close()
    again.close()
    assert open_widgets() == before


def test_one_vector_stands_above_as_the_baseline_and_ground_truths_can_be_chosen(experiment):
    explorer = CoattentionExplorer(experiment.corpus, ["GeM", CA], k=10)
    explorer.query(0)
    assert list(explorer.protocol.options) == list(experiment.set.protocols) and explorer.protocol.value == "medium"
    seen = {}
    for name, protocol in experiment.set.protocols.items():
        explorer.protocol.value = name
        good, ignored = protocol.positives(0), protocol.ignored_of(0)
        for title, table in explorer.results.items():
            assert table["right"].tolist() == [None if i in ignored else i in good for i in table["row"]]
            seen[name, title] = table["right"].tolist()
        base, own = (rows.share(table) for table in explorer.results.values())
        shown = {row["title"]: row for row in explorer.gallery.rows}
        assert shown["GeM"]["share"] == ("" if base is None else percent(base)) and shown["GeM"]["gain"] == ""
        assert shown[str(CA)]["gain"] == ("" if base is None or own is None else points(own - base))
    assert seen["easy", "GeM"] != seen["hard", "GeM"]
    first = explorer.results["GeM"]["row"].tolist()
    for item, result in zip(shown[str(CA)]["items"], explorer.results[str(CA)].itertuples(), strict=True):
        assert result.row not in first or result.before == first.index(result.row) + 1
        assert item["caption"] == f"{result.rank} {rows.change(result.before, result.rank)}"
    explorer.close()


def test_clusters_are_drawn_on_the_enlarged_result(experiment, explorer):
    explorer.query(1)
    row = int(explorer.results[str(CA)]["row"].iloc[2])
    explorer.enlarge(row)
    record, features = explorer.inspector.record, CA.locals_of(experiment.corpus, row)
    dots, labels = record["dots"], CA.describe(experiment.corpus.database).read("labels", [row])[0]
    labels = labels[labels >= 0]
    assert len(dots) == len(labels) == len(features.positions)
    np.testing.assert_allclose([dot["at"] for dot in dots], features.positions, atol=0.051)
    for label in np.unique(labels):  # one colour and one weight for a cluster
        own = [(dot["colour"], dot["weight"]) for dot, other in zip(dots, labels, strict=True) if other == label]
        assert len(set(own)) == 1
    assert max(dot["weight"] for dot in dots) == 1 and "clusters that count most, of" in explorer.state["words"][-1]
