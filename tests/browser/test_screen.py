"""One screen in a real browser: what is seen without scrolling at which size, and results that are inspected and exported by mouse and keys."""

import io
import json

import numpy as np
import pytest
from hands import Hand
from PIL import Image
from servers import picture

SET = """from foir_lib import load_model, load_set
from foir_lib.retrievers.corpus import Corpus
from foir_lib.view.explorers.page import Page
corpus = Corpus(load_set("mini-focus", seed=3, n_query=12, n_database=60), load_model("mini-vit"), progress=False)
page = Page(corpus, tabs=["Lists", "Heads", "Failures"])
page.query(2)"""
SHOWN = "page"
WIDE, NARROW = ((1280, 720), (1366, 768), (1920, 1080)), (390, 844)
BOXES = "es => es.map(e => e.getBoundingClientRect()).map(b => [b.left, b.top, b.right, b.bottom])"
TOPS = "r => [...r.querySelectorAll('[data-item]')].map(i => Math.round(i.getBoundingClientRect().top))"
ROOM = ".jp-WindowedPanel-outer, .jp-NotebookPanel-notebook"  # of JupyterLab, between its bars
SMALL = """e => [...e.querySelectorAll('*:not(svg *)')].filter(one => one.checkVisibility() && [...one.childNodes].some(n => n.nodeType === 3 && n.textContent.trim())
    && parseFloat(getComputedStyle(one).fontSize) < 13).map(one => one.outerHTML.slice(0, 120))"""


def inside(page, front_end, selector, count=None):
    """All elements of a selector are seen whole; their boxes."""
    boxes = page.locator(selector).evaluate_all(BOXES)
    assert boxes and (count is None or len(boxes) == count), (selector, boxes)
    left, top, right, bottom = 0, 0, *page.viewport_size.values()
    if front_end == "lab":
        left, top, right, bottom = page.locator(ROOM).first.evaluate(f"e => ({BOXES})([e])[0]")
    for box in boxes:
        seen = left - 1 <= box[0] and top - 1 <= box[1] and box[2] <= right + 1 and box[3] <= bottom + 1
        assert seen, f"{selector} at {box} isn't inside {(left, top, right, bottom)}"
    return boxes


def settled(page, front_end, size):
    page.set_viewport_size({"width": size[0], "height": size[1]})
    page.wait_for_timeout(300)
    page.locator(".foir-page").evaluate("e => e.scrollIntoView({ block: 'start' })")
    page.wait_for_timeout(300)
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    if front_end == "lab":
        assert page.locator(ROOM).first.evaluate("e => e.scrollWidth <= e.clientWidth + 1")


def one_line_each(page):
    for row in page.locator(".foir-line .row:visible").all():
        assert len(set(row.evaluate(TOPS))) <= 1, row.inner_text()


@pytest.mark.parametrize("front_end", ["lab", "voila"])
def test_canvas_lists_and_heads_are_seen_at_once(opened, write, front_end, request):
    with opened(front_end, write(SET, SHOWN)) as (page, kernel):
        page.locator(".foir-gallery [data-item]").first.wait_for()
        for tab in ("Lists", "Heads"):
            kernel.run(f"page.tab = {tab!r}")
            page.locator(f".foir-{tab.lower()} .foir-inspector").wait_for()
            for size in WIDE:
                settled(page, front_end, size)
                (canvas,) = inside(page, front_end, ".foir-left .foir-stage")
                lists = inside(page, front_end, ".foir-inspected .row", 2)
                assert all(box[0] >= canvas[2] for box in lists), "lists stand beside the canvas"
                inside(page, front_end, ".foir-tabs button")
                inside(page, front_end, ".foir-inspected .share", 2)
                if tab == "Heads":
                    maps = inside(page, front_end, ".foir-maps [data-item]", 12)
                    assert all(box[0] >= canvas[2] for box in maps) and max(box[3] for box in maps) <= min(box[1] for box in lists) + 1
                else:
                    inside(page, front_end, ".foir-inspector img")
                one_line_each(page)
                picture(page, f"{request.node.name}_{tab}_{size[0]}")
            hand = Hand(page, kernel.value("list(page.canvas.size)"))  # what is shown together follows together
            before = kernel.value("page.explorer.state")
            hand.act("clear")
            hand.drag((2, 2), (40, 30 if tab == "Lists" else 45))
            after = kernel.value("page.explorer.state")
            assert after["heads"] != before["heads"]
            shares = kernel.value("[row['share'] for row in page.explorer._inspected.rows if row['share']]")
            assert page.locator(".foir-inspected .right:visible").all_inner_texts() == shares
            kernel.run("page.query(2)")
            settled(page, front_end, NARROW)
            if front_end == "voila":  # JupyterLab's own sidebar leaves no room
                (canvas,) = page.locator(".foir-left .foir-stage").evaluate_all(BOXES)
                (first, *_) = page.locator(".foir-inspected .row").evaluate_all(BOXES)
                assert 0 <= canvas[0] and canvas[2] <= 390 and first[1] > canvas[3] and 0 <= first[0] and first[2] <= 391
                assert page.locator(".foir-select select").is_visible() and not page.locator(".foir-tabs").is_visible()
            one_line_each(page)
            picture(page, f"{request.node.name}_{tab}_390")
        assert page.locator(".foir-tab").evaluate(SMALL) == []
        assert page.locator(".foir-page img:not([alt])").count() == 0


@pytest.mark.parametrize("front_end", ["lab", "voila"])
def test_a_result_is_inspected_by_mouse_and_keys_and_handed_out(opened, write, front_end, request):
    with opened(front_end, write(SET, SHOWN), accept_downloads=True) as (page, kernel):
        page.locator(".foir-gallery [data-item]").first.wait_for()
        settled(page, front_end, (1280, 720))
        rows, title = page.locator(".foir-inspected .row"), page.locator(".foir-inspector strong")
        lists = kernel.value("page.explorer.state['lists']")
        ids = kernel.value("corpus.set.database['image_id'].astype(str).tolist()")

        def enlarged(method, rank):
            page.locator(".foir-inspector strong", has_text=f"{method}: picture {ids[lists[method][rank - 1]]}").wait_for()
            looked = page.locator("[data-looked]")
            assert looked.count() == 1 and json.loads(looked.get_attribute("data-key")) == lists[method][rank - 1]

        rows.nth(0).locator("[data-item]").nth(3).hover()
        enlarged("CBIR", 4)
        kernel.until("page.explorer.inspector.record['outline'] is not None", 120)
        page.locator(".foir-inspector p").nth(2).wait_for()
        words = page.locator(".foir-inspector p").all_inner_texts()
        assert words == kernel.value("page.explorer.state['words']") and page.locator(".foir-inspector svg rect").count() > 0
        rows.nth(1).locator("[data-item]").nth(1).hover()
        enlarged("PHS", 2)
        page.keyboard.press("Escape")
        page.locator(".foir-left [data-foir=surface]").focus()
        page.keyboard.press("4")  # from the canvas: of the list that was looked at
        enlarged("PHS", 4)
        rows.nth(1).locator("[tabindex='0']").focus()
        page.keyboard.press("ArrowUp")
        page.wait_for_function("document.activeElement.closest('[data-row]').dataset.row === '0'")
        page.keyboard.press("3")
        enlarged("CBIR", 3)
        before = kernel.value("page.canvas.label")
        page.keyboard.press("Space")
        kernel.until("page.explorer.state['pinned']", 60)
        rows.nth(1).locator("[data-item]").nth(5).hover()
        page.wait_for_timeout(400)
        enlarged("CBIR", 3)
        assert kernel.value("page.canvas.label") == before, "Space keeps, it doesn't ask"
        page.keyboard.press("Space")
        kernel.until("not page.explorer.state['pinned']", 60)
        picture(page, f"{request.node.name}_inspected")

        for kind in ("JSON", "PNG"):
            with page.expect_download() as download:
                page.locator(".foir-inspector button", has_text=kind).click()
            content = open(download.value.path(), "rb").read()
            assert download.value.suggested_filename.endswith(f".{kind.lower()}")
            if kind == "JSON":
                told = json.loads(content)
                assert {one["method"]: one["rows"] for one in told["lists"]} == lists
            else:
                assert np.asarray(Image.open(io.BytesIO(content)).convert("RGB")).std() > 20
        page.locator(".foir-inspector button", has_text="copy code").click()
        line = page.locator(".foir-inspector code").inner_text()
        assert line == kernel.value("page.explorer.code")
        *imports, call = line.split("; ")
        kernel.run("; ".join(imports) + f"; again = {call}")
        assert kernel.value("{name: table['row'].tolist() for name, table in again.items()}") == lists
        kernel.run("page.explorer.enlarge(page.explorer.state['lists']['PHS'][1], 'PHS')")
        page.locator(".foir-inspector button", has_text="ask with this").click()
        kernel.until(f"page.canvas.label == 'picture {ids[lists['PHS'][1]]}'", 60)
        assert title.inner_text()


def test_bars_choose_cases_and_a_case_opens_in_place(opened, write, request):
    with opened("voila", write(SET, SHOWN)) as (page, kernel):
        kernel.run("page.tab = 'Failures'; page.explorer.metric.value = 'average_precision'")
        bars = page.locator(".foir-histogram [data-bar]")
        bars.first.wait_for()
        counts = kernel.value("[bar['n'] for bar in page.explorer.histogram.bars]")
        n = next(i for i, count in enumerate(counts[:-1]) if count)
        bars.nth(n).click()
        kernel.until(f"len(page.explorer.shown) == {counts[n]}", 60)
        page.keyboard.press("Shift+ArrowRight")
        kernel.until(f"len(page.explorer.shown) == {counts[n] + counts[n + 1]}", 60)
        page.keyboard.press("Escape")
        kernel.until("len(page.explorer.shown) == len(page.explorer.table)", 60)
        case = page.locator(".foir-failures [data-item]").nth(1)
        case.wait_for()
        query = int(case.get_attribute("data-key"))
        case.click()
        kernel.until(f"page.explorer.case == {query} and page.canvas.prompt == corpus.set.queries['prompt'].iloc[{query}]", 60)
        page.locator(".foir-failures .foir-inspected .row").nth(1).wait_for()
        with page.expect_download() as download:
            page.locator(".foir-failures .foir-inspector button", has_text="JSON").click()
        told = json.loads(open(download.value.path()).read())
        assert told["query"]["picture"] == kernel.value(f"int(corpus.set.queries['image_id'].iloc[{query}])")
        one_line_each(page)
        picture(page, f"{request.node.name}_case")
