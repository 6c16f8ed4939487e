"""Outlines in a real browser: they follow the list, say the same by colour, dash and mark, one asks when it is clicked, tapped or reached by keys, all are cut out by a button."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pycocotools.coco import COCO
from servers import picture

SET = """from foir_lib import load_model, load_set
from foir_lib.retrievers.corpus import Corpus
from foir_lib.view.explorers.page import Page
scenes = load_set("mini-focus", seed=1, n_query=8, n_database=24)
page = Page(Corpus(scenes, load_model("mini-vit", device="cpu"), progress=False), tabs=["Pixels", "Lists"])
page.query(18)
page"""
SHOWN = """e => [...e.querySelectorAll('[data-item]')].map(i => {
    const line = i.querySelector('.outline:not([hidden]) .line'), style = line && getComputedStyle(line);
    return [JSON.parse(i.dataset.key), i.querySelector('.said').textContent, line ? i.querySelector('.outline').dataset.kind : '',
            style ? style.strokeDasharray : '', style ? style.stroke : ''];
})"""
LOOKS = {"right": ("none", "rgb(0, 158, 115)"), "wrong": ("6px, 3px", "rgb(193, 18, 31)"), "unknown": ("1.5px, 2.5px", "rgb(0, 114, 178)")}
LARGEST = """e => {
    const wide = i => { const box = i.querySelector('.outline .line').getBBox(); return box.width * box.height; };
    return [...e.querySelectorAll('[data-outlined]')].sort((a, b) => wide(b) - wide(a))[0].dataset.item;
}"""
INSIDE = """e => {
    const path = e.querySelector('.outline .line'), box = path.getBBox(), matrix = path.getScreenCTM();
    const within = (x, y) => path.isPointInFill(new DOMPoint(x, y));
    for (let far = 10; far >= 0; far -= 1) for (let y = box.y; y < box.y + box.height; y += 1) for (let x = box.x; x < box.x + box.width; x += 1)
        if ([[0, 0], [far, 0], [-far, 0], [0, far], [0, -far]].every(([dx, dy]) => within(x + dx, y + dy))) {
            const here = new DOMPoint(x, y).matrixTransform(matrix);
            return [here.x, here.y];
        }
}"""


@pytest.mark.parametrize("front_end", ["lab", "voila"])
def test_outlines_follow_the_list_and_ask(opened, write, front_end, request):
    phone = {"width": 390, "height": 800, "has_touch": True} if front_end == "voila" else {"width": 1280, "height": 720}
    with opened(front_end, write(SET), **phone) as (page, kernel):
        lists = page.locator(".foir-gallery").first
        lists.locator("[data-outlined]").first.wait_for()
        state = kernel.until("not page.explorer.outlines.waiting and page.explorer.state")
        known_of = {row: rest for row, *rest in state["outlines"]}
        for key, said, kind, dash, stroke in lists.evaluate(SHOWN):
            known, words = known_of[key]
            assert said == ({"right": "✓ ", "wrong": "✗ ", "unknown": ""}[known] + words if words else "")
            assert not kind or (kind == known and (dash, stroke) == LOOKS[known])
        picture(page, f"{request.node.name} list")
        one = lists.locator(f"[data-item='{lists.evaluate(LARGEST)}']")
        row = int(one.get_attribute("data-key"))
        assert "Shift+Enter" in one.get_attribute("aria-description") and "outline" in one.get_attribute("title")
        one.focus()
        page.keyboard.press("Enter")
        kernel.until(f"page.explorer.opened == {row}")
        page.get_by_role("button", name="ask with this outline").wait_for()
        picture(page, f"{request.node.name} open")
        one.scroll_into_view_if_needed()
        before = kernel.value("str(page.canvas.asks)")
        (page.touchscreen.tap if phone.get("has_touch") else page.mouse.click)(*one.evaluate(INSIDE))
        kernel.until(f"bool(page.panel.image_id == page.explorer.comparison.ids[{row}])")
        assert kernel.value("str(page.canvas.asks)") != before and "Mask" in kernel.value("str(page.canvas.asks)")
        kernel.until("not page.explorer.outlines.waiting")
        picture(page, f"{request.node.name} asked")
        kernel.run("page.query(18)")
        kernel.until("not page.explorer.outlines.waiting and len(page.explorer.outlines.outlines)")
        other = lists.locator("[data-outlined]").first
        row = int(other.get_attribute("data-key"))
        other.focus()
        page.keyboard.press("Shift+Enter")
        kernel.until(f"bool(page.panel.image_id == page.explorer.comparison.ids[{row}])")
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), "the page scrolls sideways"
SLOW = """import tempfile, threading
from pathlib import Path
from foir_lib.data import RetrievalSet
gate, folder, whole = threading.Event(), Path(tempfile.mkdtemp()), RetrievalSet.open
def slowly(self, *what, **options):
    if threading.current_thread().name == 'cutting':
        gate.wait(60)
    return whole(self, *what, **options)
RetrievalSet.open = slowly"""


def test_cut_out_everywhere_from_the_page(opened, write, request):
    with opened("voila", write(SET), height=900) as (page, kernel):
        kernel.until("not page.explorer.outlines.waiting and len(page.explorer.outlines.outlines)")
        kernel.run(SLOW)
        out, said = Path(kernel.value("str(folder)")), page.locator(".foir-cutting [role=status], .foir-cutting [role=alert]")
        (out / "file").write_text("in the way")
        field, button = page.locator(".foir-cutting input").first, page.locator(".foir-cutting button")
        for name, words in ((str(out / "file"), f"Can't write {out}/file/instances.json: File exists; choose another folder."), ("", "There is no folder to write to")):
            field.fill(name)
            field.press("Tab")
            button.click()
            said.filter(has_text=words).wait_for()
            assert said.get_attribute("role") == "alert" and button.inner_text().strip() == "cut out everywhere"
        picture(page, f"{request.node.name} refused")
        field.fill(str(out / "cut"))
        field.press("Tab")
        button.click()
        said.filter(has_text="0 of ").wait_for()  # a picture waits: the page lives meanwhile
        assert page.locator(".foir-cutting .widget-hprogress").is_visible() and button.inner_text().strip() == "stop"
        assert kernel.value("page.explorer.cutting.running") and not (out / "cut" / "instances.json").exists()
        picture(page, f"{request.node.name} working")
        kernel.run("gate.set()")
        said.filter(has_text=f"results are cut out: {out}/cut/instances.json").wait_for()
        picture(page, f"{request.node.name} done")
        coco, drawn = COCO(str(out / "cut" / "instances.json")), page.locator(".foir-gallery").first.locator("[data-outlined]")
        rows = sorted(int(one.get_attribute("data-key")) for one in drawn.all())
        assert sorted(one["image_id"] - 1 for one in coco.anns.values()) == rows and said.inner_text().startswith(f"{len(rows)} of the first 10 ")
        assert [one["name"] for one in coco.cats.values()] == [kernel.value("page.panel.label")]
        for one in coco.anns.values():
            alpha = np.asarray(Image.open(out / "cut" / one["cutout"]))[..., 3]
            x, y, width, height = map(int, one["bbox"])
            assert (alpha == 255 * coco.annToMask(one)[y : y + height, x : x + width]).all()
        assert not page.locator(".foir-cutting .widget-hprogress").is_visible()
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), "the page scrolls sideways"
