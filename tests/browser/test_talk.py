"""The tab Talk in a real browser: point at a thing, say what it is, ask for it in other pictures, correct the answer, take that back."""

import json
from contextlib import contextmanager

import pytest
from hands import Hand
from hostile import NAMES
from servers import picture

from foir_lib.text import SENTENCE, one_line

SET = """import os, tempfile
from foir_lib import load_model, load_set
from foir_lib.retrievers.corpus import Corpus
from foir_lib.view.explorers.page import Page
shelves = load_set("mini-needles", seed=0, n_things=12, n_queries=12, n_database=12)
corpus = Corpus(shelves, load_model("mini-vit", device="cpu"), progress=False)
os.environ["FOIR_CACHE"] = tempfile.mkdtemp()
objects = shelves.objects[~shelves.objects["ignore"].astype(bool)]
families = objects.groupby(objects["label"].str[:-1], sort=False)["label"].first().tolist()
places = {name: [[r.image_id, [r.x0, r.y0, r.x1, r.y1]] for r in objects[objects["label"] == name].itertuples()] for name in families}
page = Page(corpus, tabs=["Talk"])
page"""
REMEMBERED = f"""import json
from contextlib import suppress
from foir_lib import Box
from foir_lib.errors import InputError
for i, name in enumerate(json.loads({json.dumps(NAMES)!r}).values()):
    with suppress(InputError):  # the memory takes no control characters, and no name of 10,000 letters
        page.explorer.memory.add(name, page.canvas.picture, Box(i, 5, i + 40, 60))"""
STATE = "page.explorer.state"
INSIDE = """e => {
    const box = e.querySelector('.outline .line').getBoundingClientRect();
    return [box.x + box.width / 2, box.y + box.height / 2];
}"""
AT_END = "e => Math.abs(e.querySelector('[role=log]').getBoundingClientRect().bottom - e.getBoundingClientRect().bottom) < 12"
IN_VIEW = "e => { const box = e.getBoundingClientRect(); return box.top >= 0 && box.bottom <= innerHeight; }"
RAN = "window.hit !== undefined || !!document.querySelector('[onerror], [onmouseover], img[src*=evil], a[href^=javascript]')"


class Talk:
    """A person before the page: marks a thing, says a sentence, reads the last answer."""

    def __init__(self, page, kernel):
        self.page, self.kernel = page, kernel
        self.line, self.said = page.locator("[data-foir=sentence]"), page.locator(".foir-said")
        self.line.wait_for()
        self.number = 0

    def mark(self, name, n):
        """Opens the ``n``-th picture that shows a thing, and draws a box around it."""
        image_id, (x0, y0, x1, y1) = self.kernel.value(f"places[{name!r}][{n}]")
        self.kernel.run(f"page.ask(None, {image_id})")
        hand = Hand(self.page, self.kernel.value("list(page.canvas.size)"))
        hand.settled()
        hand.drag((x0, y0), (x1, y1))
        assert self.kernel.value("str(page.canvas.asks)").startswith("Box")
        return image_id

    def say(self, sentence, answers=1):
        self.line.fill(sentence)
        self.page.keyboard.press("Enter")
        return self.answered(answers)

    def answered(self, answers=1):
        """The last answer, when so many more have come; it is in view, and the next sentence can be typed."""
        self.number += answers
        said = self.kernel.until(f"len({STATE}['said']) >= {self.number} and {STATE}['said']")
        assert len(said) == self.number
        self.page.wait_for_function("document.activeElement.dataset.foir === 'sentence' && !document.activeElement.readOnly")
        last = self.said.locator(".foir-me").last
        assert last.inner_text().split() == one_line(said[-1][1], SENTENCE).split() and self.said.evaluate(AT_END)
        return last.inner_text()


@pytest.fixture
def talk(opened, write, request):
    """``with talk(front end) as Talk``."""
    @contextmanager
    def talk(front_end, **options):
        with opened(front_end, write(SET), **options) as (page, kernel):
            yield Talk(page, kernel)

    return talk


@pytest.mark.parametrize("front_end", ["lab", "voila"])
def test_a_thing_is_shown_named_found_corrected_and_taken_back(talk, front_end, request):
    phone = {"width": 390, "height": 800, "has_touch": True} if front_end == "voila" else {"width": 1280, "height": 720}
    with talk(front_end, **phone) as one:
        page, kernel = one.page, one.kernel
        mine, other = kernel.value("families[:2]")
        for n in (0, 1):
            one.mark(mine, n)
            assert mine in one.say(f"this is the {mine}")
        one.mark(other, 0)
        assert other in one.say(f"it's the {other}")
        picture(page, f"{request.node.name} named")

        # asked in another picture, the outline is seen, and a click on it opens its picture
        one.mark(mine, 2)
        assert "region" in one.say(f"where is the {mine}?")
        evidence = page.locator(".foir-gallery [data-outlined]")
        evidence.first.wait_for()
        assert evidence.count() == kernel.value(f"len({STATE}['rows'][0]['keys'])") > 0
        assert len({item.bounding_box()["y"] for item in evidence.all()}) == 1, "the evidence stands in one line"
        kinds = [item.locator(".outline").get_attribute("data-kind") for item in evidence.all()]
        assert kinds == ["right" if hit else "unknown" for hit in kernel.value("[hit.recognition.verdict == 'known' for hit in page.explorer.evidence]")]
        picture(page, f"{request.node.name} found")
        evidence.first.scroll_into_view_if_needed()
        (page.touchscreen.tap if phone.get("has_touch") else page.mouse.click)(*evidence.first.evaluate(INSIDE))
        assert kernel.until("page.panel.image_id == page.explorer.evidence[0].image_id")
        assert kernel.value("str(page.canvas.asks) == str(page.explorer.album.region(page.explorer.evidence[0].row))")

        # a wrong name is put right by a sentence, and that is taken back by a click
        one.mark(other, 1)
        one.say(f"this is the {mine}")
        assert kernel.value("[len(thing.views) for thing in page.explorer.memory.things()]") == [3, 1]
        assert one.say(f"that's wrong, it's the {other}").startswith("Put right")
        assert kernel.value("[len(thing.views) for thing in page.explorer.memory.things()]") == [2, 2]
        undo = page.get_by_role("button", name="Undo", exact=True)
        if front_end == "lab":
            undo_and_line = [undo, one.line]
            page.locator(".foir-page").evaluate("e => e.scrollIntoView()")
            assert all(widget.evaluate(IN_VIEW) for widget in undo_and_line), "one click, without scrolling"
        undo.click()
        assert one.answered().startswith("Taken back")
        assert kernel.value("[len(thing.views) for thing in page.explorer.memory.things()]") == [3, 1]
        picture(page, f"{request.node.name} undone")
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), "the page scrolls sideways"


def test_a_sentence_that_was_begun_waits_while_something_is_marked(talk):
    with talk("voila") as one:
        page, kernel = one.page, one.kernel
        mine, other = kernel.value("families[:2]")
        one.mark(mine, 0)
        one.line.press_sequentially("this is the ")
        one.mark(other, 0)
        assert one.line.input_value() == "this is the " and kernel.value(f"{STATE}['said']") == []
        one.line.focus()
        page.keyboard.type("blue one's friend p b m")  # no key of canvas or notebook works here
        page.keyboard.press("Enter")
        one.answered()
        assert kernel.value(f"{STATE}['said'][-1][0]") == "this is the blue one's friend p b m"
        page.keyboard.press("ArrowUp")
        assert one.line.input_value() == "this is the blue one's friend p b m"
        page.keyboard.press("ArrowDown")
        assert one.line.input_value() == ""


def test_a_quiz_is_answered_by_keys_alone(talk, request):
    with talk("lab", width=1280, height=720) as one:
        page, kernel = one.page, one.kernel
        for name in kernel.value("families[:2]"):
            for n in (0, 1):
                one.mark(name, n)
                one.say(f"this is the {name}")
        page.get_by_role("button", name="Quiz", exact=True).click()
        assert one.answered().startswith("Is that the")
        picture(page, f"{request.node.name} asked")
        assert one.line.get_attribute("placeholder") == "y, n, or a name"
        left, views = kernel.value(f"{STATE}['quiz']"), "sum(len(thing.views) for thing in page.explorer.memory.things())"
        for keys, more, answered in (("y", 1, 1), ("n", 0, 1), ("toaster", 0, 0), ("y", 1, 1)):
            before = kernel.value(views)
            one.say(keys, 1 if keys == "toaster" else 2)
            assert kernel.value(views) == before + more
            left -= answered
            assert kernel.value(f"{STATE}['quiz']") == left
        assert "toaster" in kernel.value(f"{STATE}['things']")[-1]
        page.get_by_role("button", name="Undo", exact=True).click()
        one.answered(2)
        assert "toaster" not in kernel.value(f"{STATE}['things']")
        assert one.say("stop").startswith("All right") and kernel.value(f"{STATE}['quiz']") == 0


def test_names_are_text(talk, request):
    with talk("voila") as one:
        page, kernel = one.page, one.kernel
        mine = kernel.value("families[0]")
        one.mark(mine, 0)
        kernel.run(REMEMBERED)
        assert kernel.value(f"len({STATE}['things'])") > 8
        one.say('this is "<img src=x onerror=window.hit=1> 🦄"')
        one.say("show me everything")
        one.say("what is this?")
        one.say("where is <b>it</b>?")
        picture(page, f"{request.node.name} names")
        assert not page.evaluate(RAN)
        assert one.said.locator("img, b, script, svg").count() == 0 and "<img src=x" in one.said.inner_text()
