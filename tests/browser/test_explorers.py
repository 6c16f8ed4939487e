"""The explorers in a real browser: a dragged prompt changes tokens, heads and lists, on the page and in the kernel."""

import sys
from pathlib import Path

import pytest
from hands import Hand
from servers import picture, run_all, running
from test_canvas import png

MAKEFILE = Path(__file__).resolve().parents[2] / "Makefile"
SET = """import numpy as np
from foir_lib import load_model, load_set
from foir_lib.registry import parse
from foir_lib.retrievers.corpus import Corpus
from foir_lib.view.explorers.heads import HeadExplorer
from foir_lib.view.explorers.retrieval import RetrievalExplorer
rs, vit = load_set("mini-focus", seed=0), load_model("mini-vit")"""
EXPLORERS = """lists = RetrievalExplorer(Corpus(rs, vit, progress=False), k=6)
display(lists)
heads = HeadExplorer(vit, panel=lists.panel)
display(heads)"""
TOLD = {  # what the kernel says; `right` is worked out again from the set itself, `again` from the picture itself
    "tokens": "np.flatnonzero(lists.canvas.prompt.tokens(vit.grid, lists.canvas.size)).tolist()",
    "heads": "heads.state['heads']",
    "lists": "lists.state['lists']",
    "again": "{m: again(m) for m in lists.results}",
}
AGAIN = """corpus = Corpus(rs, vit, progress=False)
def again(name):
    one = parse("retriever", name)
    query = one.describe(corpus.live(lists.canvas.picture, [lists.canvas.prompt]))
    scores, ids = one.score(corpus, query, one.describe(corpus.database), 7)
    own = rs.database["image_id"].astype(str) == lists.canvas.label.removeprefix("picture ")
    return [int(row) for row in ids[0] if not own[row]][:6]"""
KEYS = "e => [...e.querySelectorAll('[data-row]')].map(r => [...r.querySelectorAll('[data-item]')].map(i => JSON.parse(i.dataset.key)))"
CHOSEN = "e => [...e.querySelectorAll('[data-frame=chosen]')].map(i => JSON.parse(i.dataset.key))"


def state_of(page, kernel):
    """What page and kernel show, which must be the same; and the same as computed anew."""
    said = kernel.run("", **TOLD)
    galleries = page.locator(".foir-gallery")
    assert (
        galleries.nth(0).evaluate(KEYS) == [said["lists"]["CBIR"], said["lists"]["PHS"]] == list(said["again"].values())
    )
    assert sorted(galleries.nth(1).evaluate(CHOSEN)) == said["heads"]
    return said


@pytest.mark.parametrize("front_end", ["lab", "voila"])
def test_a_dragged_box_changes_tokens_heads_and_lists(opened, write, front_end):
    with opened(front_end, write(SET, EXPLORERS, AGAIN), height=1400) as (page, kernel):
        page.locator(".foir-gallery [data-item]").first.wait_for()
        size = kernel.value("list(lists.canvas.size)")
        hand = Hand(page, size)
        before, shown = state_of(page, kernel), page.locator(".foir-gallery").first.get_attribute("data-shown")
        columns, rows = kernel.value("list(vit.grid)")[::-1]
        corner = [(1.2 * size[0] / columns, 1.2 * size[1] / rows), (2.8 * size[0] / columns, 2.8 * size[1] / rows)]
        hand.act("clear")
        hand.drag(*corner)
        after = state_of(page, kernel)
        assert after["tokens"] == [r * columns + c for r in (1, 2) for c in (1, 2)] != before["tokens"]
        assert after["heads"] != before["heads"]
        assert after["lists"]["PHS"] != before["lists"]["PHS"] and after["lists"]["CBIR"] == before["lists"]["CBIR"]
        assert int(page.locator(".foir-gallery").first.get_attribute("data-shown")) > int(shown)
        if front_end == "lab":
            hand.tool("brush")
            hand.drag((0.6 * size[0], 0.6 * size[1]), (0.9 * size[0], 0.6 * size[1]), (0.9 * size[0], 0.9 * size[1]))
            painted = state_of(page, kernel)
            assert kernel.value("type(lists.canvas.prompt).__name__") == "Mask"
            assert painted["tokens"] != after["tokens"] and painted["lists"]["PHS"] != after["lists"]["PHS"]
            hand.act("undo")
            assert state_of(page, kernel) == after


def test_a_result_becomes_the_query_and_own_photographs_are_asked(opened, write):
    with opened("voila", write(SET, EXPLORERS, AGAIN), height=1400) as (page, kernel):
        first = page.locator(".foir-gallery").first.locator("[data-item]").nth(1)
        wanted = int(first.get_attribute("data-key"))
        first.click()
        kernel.until(f"lists.canvas.label == f'picture {{rs.database.image_id[{wanted}]}}'")
        size = kernel.value("list(lists.canvas.size)")
        hand = Hand(page, size)
        page.wait_for_function("document.querySelector('.foir-canvas').dataset.busy === 'false'")
        hand.drag((0.3 * size[0], 0.3 * size[1]), (0.7 * size[0], 0.7 * size[1]))
        assert wanted not in state_of(page, kernel)["lists"]["CBIR"]  # it doesn't find itself
        for colour in ((40, 160, 40), (30, 40, 180)):
            hand.upload("mine.png", png(300, 200, colour))
            hand.size = (300, 200)
            hand.drag((20, 20), (200, 150))
            last = state_of(page, kernel)
            assert kernel.value("lists.canvas.picture.getpixel((5, 5))") == pytest.approx(colour, abs=4)
        hand.upload("torn.png", png(300, 200)[:50])
        hand.says("torn.png")
        assert state_of(page, kernel) == last


ALIVE = """import gc
gc.collect()
alive = [len(get_ipython().kernel.comm_manager.comms)]
alive += [sum(type(w) is kind for w in gc.get_objects()) for kind in (RetrievalExplorer, HeadExplorer)]"""


def test_explorers_run_again_leave_nothing_behind(opened, write):
    with opened("lab", write(SET, EXPLORERS)) as (page, kernel):
        kernel.run(ALIVE)
        once = kernel.value("alive")
        for _ in range(2):
            run_all(page)
        kernel.run(ALIVE)
        assert kernel.value("alive") == once
        page.locator(".foir-canvas").nth(1).wait_for(state="detached")


# ---- the demo


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    """``make demo``, but for the environment, which is this one."""
    command = [
        "make",
        "-f",
        str(MAKEFILE),
        "-C",
        str(MAKEFILE.parent),
        f"RUN={sys.executable}",
        "STAMP=Makefile",
        "demo",
    ]
    with running([*command, "ARGS=--no-browser --port=PORT --token=TOKEN"], tmp_path_factory.mktemp("demo")) as server:
        yield server


def test_without_the_token_the_demo_starts_nothing(demo):
    for path in ("/", "/voila/files/02_demo.ipynb", "/api/kernels/0-0-0-0-0"):
        status, text = demo.ask(path, token=False)
        assert status == 403 or "password" in text.lower()
        assert "Where it wins" not in text
    assert "Kernel started" not in (demo.home / "log").read_text()
    assert "127.0.0.1" in (demo.home / "log").read_text()


@pytest.mark.parametrize(("width", "theme"), [(1280, "light"), (800, "dark")])
def test_the_demo_is_one_clean_page_that_answers(demo, pages, request, width, theme):
    page = pages(width=width, height=1000)
    kernel = demo.open_in_voila(page, theme=theme)
    page.locator(".foir-gallery [data-item]").first.wait_for()
    text = page.locator("#rendered_cells").inner_text()
    assert "Where it wins" in text and "load_set" not in text and "What we saw" not in text
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    wide = "e => e.scrollWidth > e.clientWidth + 1"
    assert not page.locator("#rendered_cells").evaluate(wide), "the page scrolls sideways"
    assert page.evaluate("getComputedStyle(document.body).getPropertyValue('--jp-layout-color0')").strip() in {
        "light": ("#fff", "#ffffff", "white"), "dark": ("#111", "#111111", "#212121", "var(--md-grey-900, #212121)")
    }[theme]  # fmt: skip
    picture(page, f"{request.node.name}_lists")
    canvas, tab = page.locator(".foir-canvas").bounding_box(), page.locator(".foir-page .foir-tab").bounding_box()
    assert (tab["x"] >= canvas["x"] + canvas["width"]) == (width == 1280)  # beside each other, or below
    size = kernel.value("list(page.canvas.size)")
    hand, before = Hand(page, size), kernel.value("page.explorer.state['lists']")
    hand.drag((0.05 * size[0], 0.6 * size[1]), (0.35 * size[0], 0.95 * size[1]))
    after = kernel.value("page.explorer.state['lists']")
    assert after["PHS"] != before["PHS"] and after["CBIR"] == before["CBIR"]
    gallery = page.locator(".foir-page .foir-tab .foir-gallery")
    assert gallery.evaluate(KEYS) == [after["CBIR"], after["PHS"]]
    heads = kernel.value("page.explorer.state['heads']['PHS']")
    open_tab(page, width, "Heads")
    kernel.until("page.tab == 'Heads' and page.explorer is not None")
    page.locator("[data-frame=chosen]").first.wait_for()
    assert sorted(page.locator(".foir-maps").evaluate(CHOSEN)) == kernel.value("page.explorer.state['heads']") == heads
    picture(page, f"{request.node.name}_heads")
    open_tab(page, width, "Failures")
    case = gallery.locator("[data-item]").nth(2)
    page.locator(".foir-failures [data-item]").first.wait_for()
    picture(page, f"{request.node.name}_failures")
    query = int(case.get_attribute("data-key"))
    case.click()
    kernel.until(f"str(page.canvas.prompt) == str(rs.queries['prompt'].iloc[{query}])")
    open_tab(page, width, "Co-attention")
    page.locator(".foir-tab", has_text="mini-vit has no").wait_for()
    demo.stop()


def open_tab(page, width, name):
    """A click on a tab; on a narrow page tabs are a select."""
    if width == 1280:
        page.locator(".foir-tabs button", has_text=name).click()
    else:
        page.locator(".foir-select select").select_option(name)


# ---- co-attention

TOWN = """import dataclasses
from foir_lib import load_model, load_set
from foir_lib.retrievers.corpus import Corpus
from foir_lib.view.explorers.coattention import CoattentionExplorer
town, cnn = load_set("mini-landmarks", seed=5, n_landmarks=8, n_queries=8, n_database=60), load_model("mini-cnn")
town = dataclasses.replace(town, settings={n: v for n, v in town.settings.items() if n != "training"})"""
LOOKED = """explorer = CoattentionExplorer(Corpus(town, cnn, progress=False), k=6)
display(explorer)"""
SEEN = {  # what the kernel says; `again` is worked out from the picture, the prompt and the controls alone
    "prompt": "explorer.state['prompt']",
    "list": "list(explorer.state['lists'].values())[-1]",
    "maps": "[round(float(m.std() / m.mean()), 4) for m in list(explorer.explained.values())[-1]]",
    "again": "again()",
}
WORKED_OUT = """from foir_lib.retrievers.coattention import CoAttention
corpus = Corpus(town, cnn, progress=False)
def again():
    one = CoAttention(**{name: getattr(explorer.options, name).value for name in ("n_features", "n_clusters", "temperature")})
    query = one.describe(corpus.live(explorer.canvas.picture, [explorer.canvas.prompt]))
    scores, ids = one.score(corpus, query, one.describe(corpus.database), 7)
    own = town.database["image_id"].astype(str) == explorer.canvas.label.removeprefix("picture ")
    return [int(row) for row in ids[0] if not own[row]][:6]"""
SHOWN = "e => [...e.querySelectorAll('[data-row]')].map(r => [...r.querySelectorAll('[data-item] img')].map(i => i.src.length + i.src.slice(-40)))"


def compared(page, kernel):
    """What kernel and page show, which must be the same: below the baseline's row the candidates' twice, plain and as maps."""
    said, gallery = kernel.run("", **SEEN), page.locator(".foir-gallery").first
    assert gallery.evaluate(KEYS)[1:] == [said["list"], said["list"]] and said["list"] == said["again"]
    said["pictures"] = gallery.evaluate(SHOWN)[1:]
    assert [len(row) for row in said["pictures"]] == [6, 6]
    return said


def test_a_dragged_box_changes_what_lights_up_and_so_does_every_control(opened, write, request):
    with opened("lab", write(TOWN, LOOKED, WORKED_OUT), height=1100) as (page, kernel):
        page.locator(".foir-gallery [data-item]").first.wait_for()
        size = kernel.value("list(explorer.canvas.size)")
        hand, first = Hand(page, size), compared(page, kernel)
        hand.act("clear")
        hand.drag((0.1 * size[0], 0.1 * size[1]), (0.45 * size[0], 0.6 * size[1]))
        after = compared(page, kernel)
        assert after["prompt"].startswith("Box") and after["prompt"] != first["prompt"]
        assert after["maps"] != first["maps"] and after["pictures"][1] != first["pictures"][1]
        for words, name, value in (
            ("features (N)", "n_features", 40),
            ("clusters (K)", "n_clusters", 3),
            ("(T)", "temperature", 60),
        ):
            before, control = after, page.locator(".widget-hslider", has_text=words)
            shown = int(page.locator(".foir-gallery").first.get_attribute("data-shown"))
            control.locator(".widget-readout").fill(str(value))
            control.locator(".widget-readout").press("Enter")
            page.wait_for_function(f"+document.querySelector('.foir-gallery').dataset.shown > {shown}")
            kernel.until(f"explorer.options.{name}.value == {value}")
            after = compared(page, kernel)
            assert after["maps"] != before["maps"] and after["pictures"][1] != before["pictures"][1], words
        wide = "e => e.scrollWidth > e.clientWidth + 1"
        assert not page.locator(".foir-gallery").first.evaluate(wide), "the lists scroll sideways"
