"""The explorer of objects in a real browser: an object of a result is clicked, tapped or reached by keys, and its maps appear."""

import pytest
from hands import Hand
from servers import picture

SET = """import numpy as np, torch
from foir_lib import load_model, load_set
from foir_lib.methods import legrad
from foir_lib.registry import parse
from foir_lib.retrievers.corpus import Corpus
from foir_lib.view.explorers.objects import ObjectExplorer
shelves = load_set("mini-needles", seed=0, n_things=12, n_queries=6, n_database=6)
vit = load_model("mini-vit", device="cpu")
explorer = ObjectExplorer(Corpus(shelves, vit, progress=False), "MeanCrops(objects='boxes')", k=5)
explorer"""
WORKED_OUT = """corpus = Corpus(shelves, vit, progress=False)
def again():
    row, box = explorer.opened.row, explorer.object.box
    target = parse("retriever", "MeanCrops(objects='boxes')").describe(corpus.database).read("descriptor", [row])
    heat = legrad.heatmap(vit, vit.preprocess(corpus.database.open(row)), torch.from_numpy(target[0]))
    return bool(np.allclose(heat, explorer.look_at.maps["picture"][0], atol=1e-4)) and str(box) == explorer.state["box"]"""
KEYS = "e => [...e.querySelectorAll('[data-row]')].map(r => [...r.querySelectorAll('[data-item]')].map(i => JSON.parse(i.dataset.key)))"
CHOSEN = "e => [...e.querySelectorAll('[data-frame=chosen]')].map(i => JSON.parse(i.dataset.key))"


EMPTY = """next([float(x), float(y)] for y in range(5, explorer.result.size[1], 20) for x in range(5, explorer.result.size[0], 20)
    if not any(b[0] <= x <= b[2] and b[1] <= y <= b[3] for b in explorer.opened.boxes))"""


def middle(kernel, i):
    return kernel.value(f"[float(v) for v in (explorer.opened.boxes[{i}][:2] + explorer.opened.boxes[{i}][2:]) / 2]")


@pytest.mark.parametrize("front_end", ["lab", "voila"])
def test_an_object_of_a_result_is_clicked_and_its_maps_appear(opened, write, front_end, request):
    phone = {"width": 390, "height": 800, "has_touch": True} if front_end == "voila" else {"height": 1300}
    with opened(front_end, write(SET, WORKED_OUT), **phone) as (page, kernel):
        lists, looks, things = (page.locator(".foir-gallery").nth(n) for n in range(3))
        lists.locator("[data-item]").first.wait_for()
        assert lists.evaluate(KEYS) == [kernel.value("explorer.state['list']")] and not things.is_visible()
        lists.locator("[data-item]").nth(1).click()
        n = kernel.until("explorer.opened is not None and len(explorer.opened.boxes)")
        things.locator("[data-item]").nth(n - 1).wait_for()
        assert things.evaluate(KEYS) == [list(range(n))] and things.evaluate(CHOSEN) == [] and looks.evaluate(KEYS) == []
        hand = Hand(page, kernel.value("list(explorer.result.size)"), 1)
        last = n - 1
        if phone.get("has_touch"):
            page.touchscreen.tap(*hand.screen(middle(kernel, last)))
            hand.settled()
        else:
            hand.drag(middle(kernel, last))
        looks.locator("[data-item]").nth(3).wait_for()
        clicked = kernel.value("explorer.state")
        assert clicked["object"] == last and clicked["said"] == "" and kernel.value("again()")
        assert looks.evaluate(KEYS) == [["before", "after"]] * 2 and things.evaluate(CHOSEN) == [last]
        assert hand.prompts.count() == 1, "its box stands on the picture"
        picture(page, f"{request.node.name} clicked")
        kernel.run(f"explorer.look(0); explorer.look({last})")
        assert kernel.value("explorer.state['shares']") == clicked["shares"], "a call does the same"
        things.locator("[data-item]").nth(last).focus()
        page.keyboard.press("Home")
        page.keyboard.press("Enter")
        kernel.until("explorer.state['object'] == 0")
        empty = kernel.value(EMPTY)
        hand.surface.scroll_into_view_if_needed()
        hand.drag(empty)
        assert hand.says("There is no object at Point") == kernel.value("explorer.state['said']")
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), "the page scrolls sideways"
