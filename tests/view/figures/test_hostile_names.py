"""Names of data on every figure: letters as they are, no mathematics, nothing that takes the figure apart."""

import io

import numpy as np
import pandas as pd
import pytest
from hostile import NAMES
from matplotlib.text import Text
from PIL import Image

from foir_lib.data.protocol import Protocol
from foir_lib.data.sets import RetrievalSet
from foir_lib.detections import Detections, Localisation
from foir_lib.memory.control import Thresholds
from foir_lib.prompts import Box
from foir_lib.search.rerank import topological
from foir_lib.search.rerank.hypergraph import Adopted
from foir_lib.text import one_line
from foir_lib.view import figures
from foir_lib.view.figures import looks


def picture():
    return Image.fromarray(np.random.default_rng(0).integers(0, 256, (40, 60, 3), dtype=np.uint8))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("set")
    picture().save(folder / "a.png")
    return folder


def set_of(folder, name):
    """A query and two database pictures, everything called ``name``."""
    rows = [(i, str(folder / "a.png"), 60, 40, split) for i, split in enumerate(("query", "database", "database"))]
    images = pd.DataFrame(rows, columns=["image_id", "path", "width", "height", "split"])
    objects = pd.DataFrame([(0, name, 5, 5, 25, 20, False, None)], columns=["image_id", "label", "x0", "y0", "x1", "y1", "ignore", "segmentation"])
    queries = pd.DataFrame({"image_id": [0], "prompt": [Box(5, 5, 25, 20)], "label": [name], "object": [0]})
    return RetrievalSet(name, images, objects, queries, {"contains": Protocol((name,), {name: [0]}, metric="focus")})


def rows(name, **others):
    cells = [("CBIR", 40.0, np.nan, np.nan), (name, 50.0, 5.0, 15.0)]
    table = pd.DataFrame(cells, columns=["method", "ours", "low", "high"])
    return table.assign(table="phs-1", dataset=name, model=name, metric="MP@100", published=[39.0, np.nan], **others)


class Model:
    def __init__(self, name):
        self.name, self.grid, self.n_heads = name, (2, 3), 4


MAPS = np.linspace(0, 1, 6)[None]
MASK = np.pad(np.ones((20, 20), bool), ((5, 15), (5, 35)))
FOUND = Localisation.of(MASK, 1.0)
POINTS, PAIRS = np.float32(np.stack(np.divmod(np.arange(16), 4)[::-1], 1) * 10 + 5), np.repeat(np.arange(16)[:, None], 2, 1)
DRAWN = {
    "bars": lambda name, _: figures.bars(rows(name), title=name),
    "bars of two models": lambda name, _: figures.bars(pd.concat([rows(name), rows("m")]), title=name),
    "histogram": lambda name, _: figures.histogram(rows(name, x=[1, 2]), title=name),
    "relative": lambda name, _: figures.relative(rows(name, x=[1, 1]), title=name),
    "scan": lambda name, _: figures.scan(rows(name, x=[1.0, 2.0]), title=name),
    "gains": lambda name, _: figures.gains(pd.DataFrame({"gain": [0.1], "size": [0.2], "n_objects": [1]}), 3, name, name, name),
    "prompt": lambda name, _: figures.prompt(picture(), Box(1, 1, 20, 20), title=name),
    "contact sheet": lambda name, _: figures.contact_sheet([picture()] * 2, [name] * 2, title=name),
    "lists": lambda name, folder: figures.compare_lists(set_of(folder, name), 0, {name: ([0, 1], [0.5, 0.2], [True, False])}),
    "case": lambda name, folder: figures.case(set_of(folder, name), 0, {name: (np.array([0.5, 0.2]), np.array([0, 1]))}),
    "attention": lambda name, _: figures.attention_compare([picture()], [Box(1, 1, 20, 20)], {name: MAPS, "b": MAPS}, (2, 3), name, name),
    "co-attention": lambda name, _: figures.coattention_maps(
        picture(), [Box(1, 1, 20, 20)], [[picture()]], {name: [[MAPS.reshape(2, 3)]]}, name
    ),
    "regions": lambda name, _: figures.regions([picture()], [[(0, 0, 1)]], [[1.0]], [(2, 3)], title=name),
    "heat maps": lambda name, _: figures.heat_maps([picture()], {name: MAPS.reshape(1, 2, 3)}, title=name, caption=name),
    "detections": lambda name, _: figures.detections(picture(), {name: Detections(np.array([[1, 1, 9, 9]]), np.ones(1))}, name),
    "crop maps": lambda name, _: figures.crop_maps([picture()], {name: MAPS}, MAPS, (2, 3), name),
    "heads": lambda name, _: figures.roi_bars([0.1, 0.5], [True, False], name),
    "outlines": lambda name, folder: figures.outlines(set_of(folder, name), 0, {name: ([0, 1], [FOUND] * 2, [True, False], None)}, title=name),
    "localisers": lambda name, _: figures.localisers([(picture(), Box(1, 1, 20, 20))], [picture()], [MASK], {name: [FOUND]}, [name], title=name),
    "lists and pixels": lambda name, _: figures.image_and_pixel_map(
        pd.DataFrame({"list": [name], "localiser": [name], "image": [40.0], "pixel": [3.0]}), title=name
    ),
    "walk": lambda name, _: figures.walked([picture()], [Adopted(0, np.float32([1, 1, 9, 9]), -1, 0)], title=name),
    "communities": lambda name, _: figures.communities([picture()] * 2, [0, 0], title=name),
    "cells": lambda name, _: figures.cells((picture(), picture()), (POINTS, POINTS), PAIRS, topological.largest(POINTS, POINTS, PAIRS), title=name),
    "learning": lambda name, _: figures.learning(
        pd.DataFrame({"method": ["after 1 view", name], "metric": [name, f"called known {name}"], "ours": [50.0, 5.0]}), title=name
    ),
    "confidences": lambda name, _: figures.confidences([0.9], [0.1], Thresholds(None, 0.5, 0.2, 2), title=name),
    "calibration": lambda name, _: figures.calibration([0.9, 0.2], [True, False], title=name),
    "evidence": lambda name, _: figures.evidence(picture(), [picture()], [name], title=name),
}  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("kind", DRAWN)
def test_a_name_on_a_figure_is_text(kind, name, folder):
    figure = DRAWN[kind](NAMES[name], folder)
    texts = [one for one in figure.findobj(Text) if one.get_text()]
    assert not any(one.get_parse_math() or one.get_usetex() for one in texts)
    words = [one.get_text() for one in texts]
    assert all(len(line) <= 200 and line.isprintable() for text in words for line in text.split("\n"))
    assert all(text.count("\n") < looks.LINES for text in words)
    first = one_line(NAMES[name].split("\n")[0])[:20]
    assert any(first in text for text in words), words
    file = io.BytesIO()
    figure.savefig(file, format="png", bbox_inches="tight")
    width, height = Image.open(file).size
    assert width <= 4 * looks.WIDTH * looks.DPI and height < 6000


def test_every_figure_with_words_of_data_is_tried():
    others = {"attention_maps", "canvas", "curve", "compare_methods", "compare_sizes", "head_maps", "heads_of_models", "local_features", "matches"}
    others |= {"descriptor_maps", "legrad_layers", "legrad_maps"}  # drawn by heat_maps
    tried = {"bars", "histogram", "relative", "scan", "gains", "prompt", "contact_sheet", "compare_lists", "case"}
    tried |= {"attention_compare", "coattention_maps", "regions", "roi_bars", "heat_maps", "detections", "crop_maps"}
    tried |= {"outlines", "localisers", "image_and_pixel_map", "walked", "communities", "cells", "learning", "confidences", "calibration", "evidence"}
    assert tried | others == set(figures.__all__) and not tried & others


def test_a_name_with_an_underscore_stands_in_the_legend():
    figure = figures.scan(pd.concat([rows("_hidden", x=[1.0, 2.0]), rows("shown", x=[1.0, 2.0])]))
    entries = [one.get_text() for legend in figure.legends for one in legend.get_texts()]
    assert {" _hidden, _hidden", "shown, shown"} <= set(entries)
