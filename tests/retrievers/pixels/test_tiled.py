"""Large pictures searched in tiles: coordinates, agreement, what is in memory; a localiser that sees colours stands inside."""

import tracemalloc
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
import pytest
import tiny as small
from PIL import Image
from pycocotools import mask as rle

from foir_lib import registry
from foir_lib.bench.experiment import Experiment
from foir_lib.data import Protocol, RetrievalSet
from foir_lib.detections import Localisation
from foir_lib.errors import InputError
from foir_lib.prompts import Box, Mask, Point
from foir_lib.retrievers.base import Localiser
from foir_lib.retrievers.corpus import Corpus
from foir_lib.retrievers.pixels.tiled import Tiled, Tiles, around_prompt


@dataclass(frozen=True)
class Red(Localiser):
    """Red pixels; the score is how many of a red thing's 400 are there, and 1 more where none lies at the border."""

    whole: bool = True
    boxes: bool = False

    def locate(self, corpus, part, m, rows):
        answers = []
        for row in rows:
            pixels = np.asarray(corpus.database.open(int(row)))
            inside = (pixels[..., 0] > 128) & (pixels[..., 1] < 100)
            cut = inside[[0, -1]].any() or inside[:, [0, -1]].any()
            one = Localisation.of(inside, min(inside.sum() / 400, 1.0) + float(self.whole and inside.any() and not cut))
            answers.append(replace(one, mask=None) if self.boxes else one)
        return answers


SCENES = {"small": ((40, 30), (5, 5, 20, 20)), "square": ((300, 200), (150, 90, 170, 110)), "wall": ((300, 200), (40, 60, 260, 190)), "none": ((300, 200), None)}


def built(folder, scenes):
    """An experiment whose query is the scene "small"; scenes: name -> size and red box of a grey picture."""
    rows = []
    for name, (size, red) in scenes.items():
        picture = Image.new("RGB", size, (90, 110, 130))
        if red:
            picture.paste((200, 10, 10), red)
        picture.save(folder / f"{name}.png", compress_level=1)
        rows.append((name, str(folder / f"{name}.png"), *size, "both" if name == "small" else "database"))
    images = pd.DataFrame(rows, columns=["image_id", "path", "width", "height", "split"])
    objects = pd.DataFrame([("small", "red", 5, 5, 20, 20, False, None)], columns=["image_id", "label", "x0", "y0", "x1", "y1", "ignore", "segmentation"])
    queries = pd.DataFrame({"image_id": ["small"], "prompt": [Box(5, 5, 20, 20)], "label": ["red"], "object": [0]})
    protocols = {"contains": Protocol(("red",), {"red": [1, 2]}, own=np.array([0]), metric="focus")}
    return Experiment(RetrievalSet("red", images, objects, queries, protocols), small.vit(), cache=folder / "cache", progress=False)


@pytest.fixture
def experiment(tmp_path):
    """A query of 40 x 30 pixels; databases: itself in grey, 300 x 200 with a red square of 20 at (150, 90), 300 x 200 with a red wall 220 wide."""
    with registry.restored():
        registry.register("localiser", "Red")(Red)
        yield built(tmp_path, SCENES)


def test_things_small_and_large_come_back_in_the_pictures_own_coordinates(experiment):
    (answers,) = experiment.localise(Tiled(of="Red", side=100, overlap=30), [np.arange(4)])
    assert answers[0].box.tolist() == [5, 5, 20, 20], "a small picture is asked about as a whole"
    square = np.zeros((200, 300), bool)
    square[90:110, 150:170] = True
    assert answers[1].box.tolist() == [150, 90, 170, 110] and (answers[1].pixels() == square).all() and answers[1].score == 2
    wall = np.zeros((200, 300), bool)
    wall[60:190, 40:260] = True
    whole = answers[2].pixels()
    assert (whole & wall).sum() / (whole | wall).sum() > 0.95 and answers[2].mask["size"] == [200, 300]
    assert not answers[3] and answers[3].score == 0


def test_boxes_without_masks_come_back_in_the_pictures_own_coordinates(experiment):
    (answers,) = experiment.localise(Tiled(of="Red(boxes=True)", side=100, overlap=30), [np.arange(4)])
    assert answers[0].box.tolist() == [5, 5, 20, 20] and answers[1].box.tolist() == [150, 90, 170, 110]
    assert answers[2].box == pytest.approx([40, 60, 260, 190], abs=3) and answers[2].mask is None
    assert not answers[3]


def test_tiles_that_agree_answer_together(experiment):
    """Of a wall that no tile holds whole, at a score that knows no border, the first full tile answers, with those beside it."""
    (alone,), (joined,) = (experiment.localise(Tiled(of="Red(whole=False)", side=100, overlap=30, agree=agree), [np.array([2])]) for agree in (1.1, 0.5))
    one, two = alone[2].pixels(), joined[2].pixels()
    assert one.sum() < 100 * 100 and (one & ~two).sum() == 0 and two.sum() > 1.5 * one.sum() and two[60:190, 40:260].sum() == two.sum()


def test_tiles_of_every_scale_down_to_the_whole(experiment):
    tiles = Tiles(experiment.corpus.database, 1, 100, 30)
    assert tiles.windows[:4] == [(0, 0, 100, 100), (67, 0, 167, 100), (133, 0, 233, 100), (200, 0, 300, 100)]
    assert tiles.windows[-1] == (0, 0, 300, 200) and tiles.sizes[-1].tolist() == [100, 67] and (tiles.sizes.max(1) == 100).all()
    assert [tiles.levels.count(level) for level in range(3)] == [12, 2, 1]
    for m in (0, 5, 13, 14):
        assert tiles.open(m).size == tuple(tiles.sizes[m])
    np.testing.assert_array_equal(np.asarray(tiles.open(6)), np.asarray(experiment.set.open("square").crop(tiles.windows[6])))


def test_a_prompt_on_a_large_picture_asks_from_around_it(experiment):
    picture = experiment.set.open("square")
    inside = np.zeros((200, 300), bool)
    inside[90:110, 150:170] = True
    for prompt in (Box(150, 90, 170, 110), Mask(inside)):
        part, m = around_prompt(experiment.corpus.live(picture, [prompt]), 0, 100)
        assert m == 0 and part.size(0) == (100, 100)
        crop = np.asarray(part.open(0))
        assert (part.prompt(0).pixels((100, 100)) == (crop[..., 0] > 128)).all() and part.prompt(0).pixels((100, 100)).sum() == 400
    part, _ = around_prompt(experiment.corpus.live(picture, [Point(160, 100)]), 0, 100)
    at = part.prompt(0)
    assert np.asarray(part.open(0))[int(at.y), int(at.x)].tolist() == [200, 10, 10]
    part, _ = around_prompt(experiment.corpus.live(picture, [Box(0, 0, 300, 200)]), 0, 100)
    assert part.size(0) == (100, 67) and part.prompt(0).pixels((100, 67)).all()


def test_dense_correspondence_in_tiles_and_kept_answers(experiment, monkeypatch):
    tiled = registry.parse("localiser", "Tiled(of='Dense(side=32, k=2)', side=100, overlap=30)")
    assert str(tiled) == "Tiled(of='Dense(side=32, k=2)', side=100, overlap=30)" and tiled == registry.parse("localiser", str(tiled))
    (first,) = experiment.localise(tiled, [np.array([0, 1])])
    assert first[1].mask is None or first[1].mask["size"] == [200, 300]
    monkeypatch.setattr(Corpus, "over", None)
    (again,) = experiment.localise(tiled, [np.array([0, 1])])
    assert [(one.mask, one.score) for one in again.values()] == [(one.mask, one.score) for one in first.values()]


def test_what_is_refused(experiment):
    for options, words in (({"overlap": 1024}, "overlap=1024 must be less than side=1024"), ({"side": 0}, "side=0"), ({"of": "Nothing"}, "Nothing")):
        with pytest.raises(InputError, match=words):
            Tiled(**options)


@pytest.mark.slow
def test_pictures_of_10000_pixels_have_outlines_in_their_own_coordinates(tmp_path):
    """A square of 20 pixels to the pixel, a wall of 6,800 to the ten that one of the smallest scale stands for; no mask is held pixel by pixel."""
    square, wall = (9_003, 7_001, 9_023, 7_021), (1_500, 900, 8_300, 6_100)
    scenes = {"small": SCENES["small"], "square": ((10_000, 8_000), square), "wall": ((10_000, 8_000), wall)}
    with registry.restored():
        registry.register("localiser", "Red")(Red)
        experiment, tiled = built(tmp_path, scenes), Tiled(of="Red")
        tracemalloc.start()
        (answers,) = experiment.localise(tiled, [np.array([1, 2])])
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < 10_000 * 8_000, "less than a mask of the picture's size takes"
        assert answers[1].mask["size"] == answers[2].mask["size"] == [8_000, 10_000]
        assert answers[1].box.tolist() == list(square) and rle.area(answers[1].mask) == 400 and rle.toBbox(answers[1].mask).tolist() == [9_003, 7_001, 20, 20]
        x0, y0, x1, y1 = wall
        true = rle.frPyObjects(np.array([[x0, y0, x1 - x0, y1 - y0]], float), 8_000, 10_000)
        assert answers[2].box == pytest.approx(wall, abs=10) and rle.iou([answers[2].mask], true, [False])[0, 0] > 0.99
        # asked with the square on the large picture itself
        live = experiment.corpus.live(experiment.set.open("square"), [Box(*square)])
        (part, m) = around_prompt(live, 0, tiled.side)
        assert part.size(m) == (1024, 1024) and part.pixels(m).sum() == 400
        assert tiled.locate(experiment.corpus, live, 0, np.array([1]))[0].box.tolist() == list(square)
        boxes = Tiled(of="Red(boxes=True)").locate(experiment.corpus, live, 0, np.array([1]))[0]
        assert boxes.mask is None and boxes.box.tolist() == list(square)
