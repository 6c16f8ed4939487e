"""The explorer of objects without a browser: what a click does a call does too, and the maps are LeGrad's of the stored descriptors."""

import gc
import io
import weakref
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image
from tiny import N, vit, world

from foir_lib import Box, Mask, Point, registry
from foir_lib.detections import Detections
from foir_lib.errors import InputError
from foir_lib.methods import legrad
from foir_lib.methods.decomposition import window
from foir_lib.prompts import patch_shares
from foir_lib.registry import parse
from foir_lib.retrievers.corpus import Corpus
from foir_lib.retrievers.objects import MaO, MeanCrops
from foir_lib.text import percent
from foir_lib.view.explorers.objects import ObjectExplorer
from foir_lib.view.results import looking
from foir_lib.view.widgets import maps

MEAN, MAO = "MeanCrops(objects='boxes')", "MaO(objects='boxes', steps=4)"


@pytest.fixture
def corpus(tiny):
    return tiny.experiment("vit").corpus


@pytest.fixture
def make(corpus):
    """Explorers, closed at the end."""
    explorers = []

    def make(method=MEAN, corpus=corpus, **options):
        explorers.append(ObjectExplorer(corpus, method, **options))
        return explorers[-1]

    yield make
    for explorer in explorers:
        explorer.close()


def click(explorer, x, y):
    """A click on the open result, as the browser sends it."""
    prompt = {"kind": "point", "x": x, "y": y}
    explorer.result.receive({"view": "v", "n": 1, "picture": explorer.result.number, "op": "add", "prompt": prompt})
    explorer.wait()


def shown(explorer):
    """Its state, but for milliseconds and for how an object was pointed at."""
    state = {name: value for name, value in explorer.state.items() if name != "said"}
    return state | {"rows": [row | {"note": row["note"].rpartition(" · ")[0]} for row in state["rows"]]}


def test_a_picture_refined_alone_is_refined_as_among_others(corpus):
    retriever = parse("retriever", MAO)
    one, stored = looking.opened(corpus, retriever, 3), corpus.described(retriever, corpus.database).read("descriptor", [3])
    np.testing.assert_allclose(retriever.refined_crops(one.crops).read("descriptor"), stored, atol=1e-5)
    np.testing.assert_allclose(one.targets[1], stored[0])
    assert (one.row, one.name, one.boxes.tolist()) == (3, "p3", [[11, 10, 43, 34]])


# ---- the list


@pytest.mark.parametrize("method", [MEAN, MAO])
def test_it_shows_what_the_method_ranks(corpus, make, method):
    explorer, retriever = make(method, k=5), parse("retriever", method)
    row = corpus.set.queries.iloc[3]
    explorer.query(3)
    query = retriever.describe(corpus.live(corpus.set.open(row["image_id"]), [row["prompt"]]))
    scores, ids = retriever.score(corpus, query, corpus.described(retriever, corpus.database), N)
    others = corpus.set.database["image_id"].to_numpy()[ids[0]] != row["image_id"]
    assert explorer.results["row"].tolist() == ids[0][others][:5].tolist() == explorer.state["list"]
    np.testing.assert_allclose(explorer.results["score"], scores[0][others][:5], atol=1e-5)
    assert [item["key"] for item in explorer.gallery.rows[0]["items"]] == explorer.state["list"]
    assert repr(explorer) == f"ObjectExplorer (tiny, tiny-vit, {method}: no result open)"


def test_without_a_prompt_it_says_so_and_with_one_it_answers(make):
    explorer = make()
    explorer.ask(None)
    assert explorer.state["list"] == [] and "There is no prompt" in explorer.gallery.rows[0]["empty"]
    explorer.ask(Box(8, 10, 40, 34))
    assert len(explorer.state["list"]) == 10
    explorer.k.value = 5
    assert len(explorer.state["list"]) == 5


# ---- a result, an object


@pytest.mark.parametrize("method", [MEAN, MAO])
def test_maps_have_the_picture_s_descriptor_as_target_before_and_after_refinement(corpus, make, method):
    explorer, model, row = make(method), corpus.model, 0
    explorer.open_result(row)
    explorer.look(1)
    picture, box = corpus.database.open(row), (8, 10, 40, 34)
    assert explorer.object == looking.Object(1, Box(*box)) and explorer.look_at.crop.size == (32, 32)
    after = MaO(objects="boxes", steps=4) if method == MAO else MaO(objects="boxes")
    targets = [corpus.described(one, corpus.database).read("descriptor", [row])[0] for one in (MeanCrops(objects="boxes"), after)]
    assert (explorer.opened.targets * torch.tensor(np.array(targets))).sum(1).min() > (0.9999 if method == MAO else 0.99)  # 80 steps, alone
    targets = targets if method == MAO else explorer.opened.targets.numpy()
    corners = window(box, picture.size, model.image_size)
    inside = corpus.set.mask(1).array
    for name, part, mask in (("picture", picture, inside), ("crop", picture.crop(corners), inside[corners[1] : corners[3], corners[0] : corners[2]])):
        covered = patch_shares(mask, model.grid)
        for i, target in enumerate(targets):
            heat = legrad.heatmap(model, model.preprocess(part), torch.from_numpy(target)).numpy()
            np.testing.assert_allclose(explorer.look_at.maps[name][i], heat, atol=1e-4)
            assert explorer.state["shares"][name][i] == pytest.approx((heat * covered).sum() / heat.sum(), abs=1e-4)
        assert explorer.look_at.covered[name] == pytest.approx(mask.mean())
    assert np.abs(explorer.look_at.maps["picture"][0] - explorer.look_at.maps["picture"][1]).max() > 0.02, "refinement changes something"


def test_the_maps_on_the_page_are_those_on_one_scale(make):
    explorer = make(last=1)
    explorer.open_result(2)
    explorer.look(0)
    look, (whole, crop) = explorer.look_at, explorer.looks.rows
    for row, name, picture in ((whole, "picture", explorer.opened.picture), (crop, "crop", look.crop)):
        assert [item["image"] for item in row["items"]] == maps.overlays(picture, look.maps[name], 1.0, look.inside[name], looking.SIDE)
        before, after = (f"{percent(share)} on it" for share in look.shares[name])
        assert [item["caption"] for item in row["items"]] == [f"before: {before}", f"after: {after}"]
    assert "weakest patch (0) to its strongest" in explorer.bar.text and explorer.bar.layout.display is None
    shallow = look.maps["picture"]
    explorer.last.value = 3
    assert np.abs(explorer.look_at.maps["picture"] - shallow).max() > 0.05


def test_a_click_and_a_call_do_the_same(make):
    called, pressed = make(), make()
    for explorer in (called, pressed):
        explorer.query(2)
    row = called.state["list"][1]
    called.open_result(row)
    pressed.gallery.receive({"pick": row})
    assert shown(called) == shown(pressed) and called.state["opened"] == row and called.object is None
    assert [item["badge"] for item in pressed.gallery.rows[0]["items"]] == ["", "open", *[""] * 8]
    called.look(0)
    pressed.things.receive({"pick": 0})
    assert shown(called) == shown(pressed) and called.state["object"] == 0
    assert [item["frame"] for item in pressed.things.rows[0]["items"]] == ["chosen"] and pressed.result.prompts == (called.object.box,)
    pressed.result.edit("clear")
    assert pressed.object is None and pressed.looks.rows == [] and pressed.state["shares"] == {}
    x0, y0, x1, y1 = called.opened.boxes[0].tolist()
    click(pressed, (x0 + x1) / 2, (y0 + y1) / 2)
    assert shown(called) == shown(pressed)
    called.look(Point(x0 + 1, y0 + 1))
    assert shown(called) == shown(pressed) and called.result.prompts == pressed.result.prompts == (called.object.box,)


def test_a_click_beside_all_objects_takes_the_nearest_or_the_part_itself_and_says_so(make):
    explorer = make()
    explorer.open_result(0)  # boxes (20, 30, 60, 50) and (8, 10, 40, 34) on 90 x 56 pixels, patches of 22.5 x 14
    click(explorer, 64, 40)
    assert explorer.state["object"] == 0 and explorer.state["said"] == "There is no object at Point (64, 40): the nearest was taken, 4 pixels away."
    assert explorer.result.message["text"] == explorer.state["said"] and not explorer.result.message["error"]
    click(explorer, 1, 1)
    assert explorer.state["object"] == 1 and "11 pixels away" in explorer.state["said"]  # sqrt(7^2 + 9^2) = 11.4
    explorer.look(Point(89, 1, 1))
    assert explorer.state["object"] == -1 and explorer.state["box"] == "Box (67.5, 0, 90, 14)" and "part of the picture around it" in explorer.state["said"]
    assert "this part of the picture" in explorer.state["words"] and explorer.looks.rows[0]["note"] == "the object covers 6.4 %"  # 23 x 14 of 90 x 56 pixels
    click(explorer, 10, 12)
    assert explorer.state["object"] == 1 and explorer.state["said"] == "" == explorer.result.message["text"]


def test_of_two_objects_at_a_point_the_smaller_one_and_of_a_box_the_best(make):
    explorer = make()
    explorer.open_result(0)
    explorer.look(Point(30, 32))  # in both; 40 x 20 pixels against 32 x 24
    assert explorer.state["object"] == 1
    explorer.look(Box(18, 28, 62, 52))
    assert explorer.state["object"] == 0
    inside = np.zeros((56, 90), bool)
    inside[10:34, 8:40] = True
    explorer.look(Mask(inside))
    assert explorer.state["object"] == 1


def test_a_picture_without_objects_is_looked_at_where_it_was_clicked(tiny, tmp_path, make):
    class Blind:
        key = "blind"

        def detect(self, picture):
            return Detections(np.zeros((0, 4)), np.zeros(0))

    registry.register("detector", "blind")(lambda device: Blind())
    explorer = make("MeanCrops(objects='blind')", Corpus(world(tiny.paths), vit(), cache=tmp_path, progress=False))
    explorer.open_result(4)
    assert explorer.opened.boxes.shape == (0, 4) and "0 objects" in explorer.state["words"]
    assert explorer.things.rows[0]["items"] == [] and "its descriptor is that of the whole" in explorer.things.rows[0]["empty"]
    np.testing.assert_allclose(*explorer.opened.targets, atol=1e-6)
    click(explorer, 40, 40)
    assert explorer.state["object"] == -1 and np.isfinite(list(explorer.state["shares"].values())).all()
    with pytest.raises(InputError, match="There is no object 0: this picture has 0"):
        explorer.look(0)


def test_hundreds_of_objects_are_offered_in_part_and_clicked_on_the_picture(tiny, tmp_path, make):
    class Crowd:
        key = "crowd"

        def detect(self, picture):
            at = np.array([(x, y) for y in range(0, 50, 5) for x in range(0, 50, 5)], float)
            return Detections(np.c_[at, at + 4], np.linspace(1, 0.5, len(at)))

    registry.register("detector", "crowd")(lambda device: Crowd())
    explorer = make("MeanCrops(objects='crowd')", Corpus(world(tiny.paths), vit(), cache=tmp_path, progress=False))
    explorer.open_result(0)
    row = explorer.things.rows[0]
    assert len(row["items"]) == looking.MOST and row["note"] == "the first 24 of 100"
    click(explorer, 47, 47)
    assert explorer.state["object"] == 99 and not any(item["frame"] for item in explorer.things.rows[0]["items"])


# ---- controls


def test_the_method_and_its_objects_are_menus_and_the_click_stays(make):
    explorer = make()
    explorer.open_result(0)
    explorer.look(0)
    assert [words for words, _ in explorer.objects.options] == ["token groups", "annotated boxes (an oracle)"]
    assert explorer.objects.value == "boxes" and [name for name, _ in explorer.method.options] == ["MeanCrops(objects='boxes')", "MaO(objects='boxes')"]
    explorer.retriever = MAO
    assert explorer.state["method"] == MAO == str(explorer.method.value) and explorer.state["object"] == 0 and explorer.state["opened"] == 0
    explorer.method.value = parse("retriever", "MeanCrops(objects='boxes')")
    explorer.objects.value = ""
    assert explorer.objects.label == "token groups" and explorer.state["method"] == "MeanCrops" and explorer.state["opened"] == 0
    assert explorer.object.box in [Box(*box) for box in explorer.opened.boxes.tolist()] or explorer.object.number == -1


def test_a_control_that_fails_is_put_back(monkeypatch, make):
    explorer = make()
    explorer.open_result(1)
    explorer.look(0)
    before = shown(explorer)

    def fail(*_):
        raise InputError("No.")

    monkeypatch.setattr(looking, "look", fail)
    explorer.last.value = 3
    assert explorer.last.value == 2 and shown(explorer) == before | {"message": "No.", "error": True}
    explorer.objects.value = ""
    assert explorer.objects.value == "boxes" and explorer.state["method"] == MEAN and explorer.state["object"] == 0


def test_an_object_of_a_result_becomes_the_query(make, corpus):
    explorer = make()
    explorer.open_result(5)
    assert explorer.query_button.disabled
    explorer.look(0)
    explorer.query_button.click()
    assert explorer.state["picture"] == "picture p5" and explorer.state["prompt"] == str(Box(13, 10, 45, 34)) and 5 not in explorer.state["list"]
    assert explorer.state["opened"] == 5 and "not among the first" in explorer.state["words"]


def test_another_query_leaves_the_open_result_open(make):
    explorer = make()
    explorer.query(2)
    explorer.open_result(7)
    explorer.look(0)
    look = explorer.look_at
    explorer.query(4)
    assert explorer.state["opened"] == 7 and explorer.look_at is look, "nothing is looked at twice"


def test_what_is_wrong_is_said_and_what_was_shown_stays(make, corpus, tiny):
    explorer = make()
    with pytest.raises(InputError, match="No result is open"):
        explorer.look(0)
    with pytest.raises(InputError, match="No object is chosen: open a result"):
        explorer.figure()
    explorer.open_result(0)
    before = shown(explorer) | {"error": True}
    for wrong, words in (
        (lambda: explorer.open_result(N), f"no database row {N}"), (lambda: explorer.open_result(-1), "no database row -1"),
        (lambda: explorer.open_result(True), "no database row True"), (lambda: explorer.look(2), "There is no object 2: this picture has 2"),
        (lambda: explorer.look(True), "There is no object True"), (lambda: explorer.look(Box(900, 900, 990, 990)), "lies outside"),
        (lambda: explorer.look(Mask(np.ones((3, 3), bool))), "resize the mask"), (lambda: setattr(explorer, "retriever", "CBIR"), "CBIR doesn't make one vector"),
        (lambda: setattr(explorer, "retriever", "MaxCrops(objects='boxes')"), "doesn't make one vector"), (explorer.ask_with, "No object is chosen"),
    ):  # fmt: skip
        with pytest.raises(InputError, match=words):
            wrong()
        assert explorer.state["message"].endswith(".") and shown(explorer) == before | {"message": explorer.state["message"]}
    for options, words in (({"last": 4}, "more than the 3 blocks"), ({"last": 0}, "last"), ({"k": 0}, "k")):
        with pytest.raises(InputError, match=words):
            make(**options)
    blind = tiny.experiment("cnn").corpus
    assert "no attention to look with" in ObjectExplorer.lacks(blind)
    with pytest.raises(InputError, match="Objects can't be explored here: tiny-cnn has no attention"):
        ObjectExplorer(blind)


def test_a_photograph_dropped_on_the_result_is_sent_to_the_query(make):
    explorer, file = make(), io.BytesIO()
    explorer.open_result(3)
    Image.new("RGB", (20, 20)).save(file, "PNG")
    content = file.getvalue()
    about = {"view": "v", "n": 1, "op": "upload", "upload": "a", "name": "mine.png", "size": len(content), "count": 1, "index": 0}
    explorer.result.receive(about, [content])
    explorer.wait()
    assert explorer.result.message["error"] and "put a photograph of your own on the query picture" in explorer.result.message["text"]
    assert explorer.result.size == explorer.opened.picture.size and explorer.state["opened"] == 3
    click(explorer, 15, 15)
    assert explorer.state["object"] == 0


def test_names_are_text(tiny, tmp_path, make):
    one, bad = world(tiny.paths), {f"p{i}": f"p{i} <img src=x onerror='hit()'>" for i in range(N)}
    tables = {name: getattr(one, name).assign(image_id=getattr(one, name)["image_id"].map(bad)) for name in ("images", "objects", "queries")}
    explorer = make(MEAN, Corpus(replace(one, **tables), vit(), cache=tmp_path, progress=False))
    explorer.open_result(1)
    explorer.look(0)
    assert "<img" in explorer.words.text or "&lt;img" in explorer.words.value
    assert "<img" not in explorer.words.value and explorer.result.label.endswith("'hit()'>")


def test_the_figure_shows_what_the_page_shows(make):
    explorer = make()
    explorer.open_result(0)
    explorer.look(1)
    figure = explorer.figure()
    titles = [axes.get_title() for axes in figure.axes if axes.images]
    whole, crop = explorer.state["shares"]["picture"], explorer.state["shares"]["crop"]
    assert titles[0] == "The whole picture" and titles[1] == f"before refinement: {percent(whole[0])} on it"
    assert titles[3] == "The object's crop" and titles[5] == f"after refinement: {percent(crop[1])} on it"
    x0, y0 = explorer.look_at.corner
    corners = [[p.get_bbox().extents.tolist() for p in axes.patches] for axes in figure.axes if axes.images]
    assert corners == [[[8, 10, 40, 34]]] * 3 + [[[8 - x0, 10 - y0, 40 - x0, 34 - y0]]] * 3


def test_close_leaves_nothing_behind(corpus, open_widgets):
    before = open_widgets()
    explorer = ObjectExplorer(corpus, MEAN)
    explorer.open_result(0)
    explorer.look(0)
    alive = weakref.ref(explorer)
    explorer.close()
    explorer.close()
    assert open_widgets() == before
    del explorer
    gc.collect()
    assert alive() is None
