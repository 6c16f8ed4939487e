"""Outlines on lists without a browser: they follow in a thread, a click on one asks with it, and what goes wrong is a sentence."""

import asyncio
import gc
import threading
import weakref
from dataclasses import dataclass, replace

import numpy as np
import pytest
from PIL import Image
from tiny import N, vit, world

from foir_lib import Box, Mask, registry
from foir_lib.detections import Localisation
from foir_lib.errors import InputError
from foir_lib.registry import parse
from foir_lib.retrievers.base import Localiser
from foir_lib.retrievers.corpus import Corpus
from foir_lib.text import percent
from foir_lib.view.explorers.outlined import LEGEND
from foir_lib.view.explorers.pixels import PixelExplorer
from foir_lib.view.explorers.retrieval import RetrievalExplorer
from foir_lib.view.figures.pixels import RIGHT
from foir_lib.view.widgets import outlines

DENSE = "Dense(side=32)"
GATE = threading.Event()


@dataclass(frozen=True)
class Corner(Localiser):
    """The upper left quarter of even rows; ``fault``: what it does instead. ``box``: boxes alone."""

    fault: str = ""
    box: bool = False

    def locate(self, corpus, part, m, rows):
        if self.fault == "waits":
            GATE.wait(60)
        if self.fault == "fails":
            raise InputError("There is <b>nothing</b> to see.")
        if self.fault == "breaks":
            raise RuntimeError("no eyes")
        answers = []
        for row in rows:
            width, height = corpus.database.sizes[row].tolist()
            mask = np.zeros((height, width), bool)
            mask[: height // 2, : width // 2] = row % 2 == 0
            one = Localisation.of(mask, 1.0)
            answers.append(Localisation(None, one.box, 1.0) if self.box else one)
        return answers


@pytest.fixture
def corpus(tiny):
    return tiny.experiment("vit").corpus


@pytest.fixture
def make(corpus):
    """Explorers, closed at the end."""
    explorers = []

    def make(localiser=None, kind=PixelExplorer, corpus=corpus, **options):
        explorers.append(kind(corpus, "CBIR" if kind is PixelExplorer else ("CBIR", "PHS"), localiser=Corner() if localiser is None else localiser, **options))
        return explorers[-1]

    GATE.clear()
    yield make
    GATE.set()
    for explorer in explorers:
        explorer.close()


def test_a_small_network_is_given_small_pictures(corpus):
    offered = outlines.offered(corpus)
    assert {"Dense(side=64)", "SP"} <= set(offered) and offered["Dense(side=64)"] == parse("localiser", "Dense(side=64)")
    assert outlines.fitted(parse("localiser", "Dense(side=40)"), corpus).side == 40


def test_lists_stand_before_their_outlines_come(make):
    explorer = make(Corner("waits"), k=6)
    explorer.query(2)
    assert len(explorer.state["list"]) == 6 == len(explorer.gallery.rows[0]["items"])
    assert explorer.gallery.outlines == [] and explorer.state["outlined"] == "Corner(fault='waits') is looking at the results …"
    GATE.set()
    explorer.wait()
    assert [row for row, *_ in explorer.state["outlines"]] == explorer.state["list"] and "solid" in explorer.state["outlined"]
    assert [one["kind"] for one in explorer.gallery.outlines[0]] == [kind for _, kind, _ in explorer.state["outlines"]]


def test_with_a_loop_they_come_by_themselves(make):
    async def look():
        explorer = make()
        explorer.query(3)
        for _ in range(2000):
            if not explorer.outlines.waiting:
                return explorer.gallery.outlines
            await asyncio.sleep(0.01)

    assert len(asyncio.run(look())[0]) == 10


def test_a_new_query_drops_the_old_one_s_outlines(make):
    explorer = make(Corner("waits"))
    explorer.query(2)
    explorer.query(4)
    part = explorer.comparison.part
    GATE.set()
    explorer.wait()
    assert explorer.outlines._key[1] is part and set(explorer.outlines.outlines) == set(explorer.state["list"])


def test_verdicts_and_iou_are_those_of_the_set(make, corpus):
    explorer = make(DENSE)
    explorer.query(3)
    explorer.wait()
    part = corpus.live(explorer.canvas.picture, [explorer.canvas.asks])
    table, label = explorer.results["CBIR"], explorer.panel.label
    answers = parse("localiser", DENSE).locate(corpus, part, 0, table["row"].to_numpy())
    objects = corpus.set.objects
    for (row, kind, words), answer, right in zip(explorer.state["outlines"], answers, table["right"], strict=True):
        at = np.flatnonzero((objects["image_id"] == corpus.database.ids[row]) & (objects["label"] == label))
        truth = np.any([corpus.set.mask(i).array for i in at], axis=0) if len(at) else None
        assert bool(right) == (truth is not None)
        if answer.mask is None:
            assert (kind, words) == ("wrong" if right else "right", "not found")
        elif truth is None:
            assert (kind, words) == ("wrong", "isn't there")
        else:
            iou = (truth & answer.pixels()).sum() / (truth | answer.pixels()).sum()
            assert words == f"IoU {iou:.2f}" and kind == ("right" if iou >= 0.5 else "wrong")
    explorer.panel.label = ""
    explorer.wait()
    assert {kind for _, kind, _ in explorer.state["outlines"]} == {"unknown"}


def test_an_outline_asks_by_mask_or_box_and_without_one_it_is_said(make, corpus):
    for box in (False, True):
        explorer = make(Corner(box=box))
        explorer.query(3)
        explorer.wait()
        row = next(row for row in explorer.state["list"] if row % 2 == 0)
        width, height = corpus.database.sizes[row].tolist()
        explorer.gallery.receive({"pick": row, "outline": True})
        asks = explorer.canvas.asks
        assert explorer.panel.image_id == corpus.database.ids[row] and row not in explorer.state["list"]
        assert isinstance(asks, Box if box else Mask) and asks.box((width, height)) == Box(0, 0, width // 2, height // 2)
    explorer.wait()
    odd = next(row for row in explorer.state["list"] if row % 2)
    with pytest.raises(InputError, match=f"no outline on database row {odd}"):
        explorer.ask_with(odd)
    assert explorer.state["error"] and explorer.panel.image_id == corpus.database.ids[row]


def test_an_open_result_shows_its_outline_and_asks_with_it_as_it_was_mended(make, corpus):
    explorer = make()
    explorer.query(3)
    with pytest.raises(InputError, match="Nothing is marked"):
        explorer.ask_with()
    with pytest.raises(InputError, match=f"no database row {N}"):
        explorer.open_result(N)
    row = next(row for row in explorer.state["list"] if row % 2 == 0)
    explorer.gallery.receive({"pick": row})
    explorer.wait()
    width, height = corpus.database.sizes[row].tolist()
    assert explorer.state["opened"] == row and explorer.result.prompt.box((width, height)) == Box(0, 0, width // 2, height // 2)
    assert f"Picture p{row}, rank" in explorer.state["words"] and f"{percent((width // 2) * (height // 2) / width / height)} of the picture" in explorer.state["words"]
    explorer.result.prompt = Box(3, 4, 20, 30)
    explorer.query_button.click()
    assert explorer.canvas.asks == Box(3, 4, 20, 30) and explorer.panel.image_id == corpus.database.ids[row]
    assert "not among the first" in explorer.state["words"]


def test_what_goes_wrong_is_a_sentence_and_the_list_stays(make):
    for fault, words in (("fails", "There is <b>nothing</b> to see."), ("breaks", "Corner(fault='breaks') fails (RuntimeError: no eyes): mend it.")):
        explorer = make(Corner(fault))
        explorer.query(3)
        explorer.wait()
        assert explorer.state["outlined"] == words and "<b>nothing" not in explorer.outlined.value and len(explorer.state["list"]) == 10
    explorer.ask(None)
    with pytest.raises(InputError, match="None is no localiser|Nothing is no localiser|is no localiser"):
        PixelExplorer(explorer.corpus, localiser=3)


def test_a_photograph_of_one_s_own_has_outlines_that_nobody_judges(make):
    explorer = make(DENSE)
    explorer.ask(Box(5, 5, 30, 30), Image.fromarray(np.random.default_rng(0).integers(0, 256, (50, 70, 3), dtype=np.uint8)))
    explorer.wait()
    assert len(explorer.state["outlines"]) == 10 and {kind for _, kind, _ in explorer.state["outlines"]} == {"unknown"}


def test_every_list_of_the_retrieval_explorer_has_them_on_demand_and_maps_have_none(make):
    explorer = make("", RetrievalExplorer, maps=True)
    explorer.query(3)
    explorer.wait()
    assert explorer.state["outlines"] == [] == explorer.gallery.outlines
    explorer.localisers["Corner"] = Corner()
    explorer.localiser.options = [*explorer.localiser.options, ("Corner", "Corner")]
    explorer.localiser.value = "Corner"
    explorer.wait()
    titles = [row["title"] for row in explorer.gallery.rows]
    drawn = [all(row) for row in explorer.gallery.outlines]
    assert drawn == [title in ("CBIR", "PHS") for title in titles] and sum(drawn) == 2
    explorer.localiser.value = ""
    assert explorer.gallery.outlines == [] and explorer.state["outlined"] == ""


def test_names_are_text(tiny, tmp_path, make):
    one, bad = world(tiny.paths), {f"p{i}": f"p{i} <img src=x onerror='hit()'>" for i in range(N)}
    tables = {name: getattr(one, name).assign(image_id=getattr(one, name)["image_id"].map(bad)) for name in ("images", "objects", "queries")}
    explorer = make(corpus=Corpus(replace(one, **tables), vit(), cache=tmp_path, progress=False))
    explorer.open_result(2)
    explorer.wait()
    assert "&lt;img" in explorer.words.value and "<img" not in explorer.words.value


def test_close_leaves_nothing_behind(corpus, open_widgets):
    before = open_widgets()
    explorer = PixelExplorer(corpus, "CBIR", Corner())
    explorer.open_result(0)
    explorer.wait()
    alive = weakref.ref(explorer)
    explorer.close()
    explorer.close()
    assert open_widgets() == before
    del explorer
    gc.collect()
    assert alive() is None


def test_without_a_localiser_the_tab_says_why(tiny, monkeypatch):
    monkeypatch.setattr(registry, "names", lambda kind: [])
    assert "no localiser can ask tiny-vit" in PixelExplorer.lacks(tiny.experiment("vit").corpus)


def test_the_legend_names_the_iou_that_counts():
    assert f"at least {RIGHT};" in LEGEND
