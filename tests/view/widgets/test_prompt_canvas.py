"""PromptCanvas without a browser: messages as the browser sends them, callbacks, uploads, and what is left behind."""

import asyncio
import gc
import io
import json
import logging
import re
import weakref

import numpy as np
import pytest
import traitlets
from PIL import Image

from foir_lib.errors import InputError
from foir_lib.prompts import Box, Mask, Point
from foir_lib.view.widgets import live, upload
from foir_lib.view.widgets.canvas import PromptCanvas
from foir_lib.view.widgets.live import static

BOX = {"kind": "box", "x0": 10, "y0": 20, "x1": 50, "y1": 60}


@pytest.fixture
def picture():
    return Image.new("RGB", (400, 300), "teal")


@pytest.fixture
def canvas(picture):
    canvas = PromptCanvas(picture)
    yield canvas
    canvas.close()


class Browser:
    """A view of a canvas: numbers its edits and sends them."""

    def __init__(self, canvas, view="a"):
        self.canvas, self.view, self.n = canvas, view, 0

    def send(self, op, buffers=(), **arguments):
        self.n += 1
        content = {"view": self.view, "n": self.n, "picture": self.canvas.number, "op": op, **arguments}
        self.canvas.receive(json.loads(json.dumps(content)), list(buffers))

    def upload(self, content, name="photo.png", order=None, **changes):
        count = -(-len(content) // upload.CHUNK)
        self.n += 1
        about = {"view": self.view, "n": self.n, "op": "upload", "upload": f"{self.view}{self.n}", "name": name}
        about |= {"size": len(content), "count": count} | changes
        for index in range(count) if order is None else order:
            chunk = content[index * upload.CHUNK : (index + 1) * upload.CHUNK]
            self.canvas.receive(about | {"index": index}, [memoryview(chunk)])


def listen(canvas):
    """The prompts that callbacks are called with, from now on."""
    heard = []
    canvas.on_change(lambda canvas: heard.append(canvas.prompt))
    return heard


def test_a_large_photograph_is_made_smaller_once(canvas):
    """27 megapixels from a camera: all that answers to the mouse works on at most 4096 pixels a side."""
    file = io.BytesIO()
    large = Image.new("RGB", (6000, 4500), "white")
    large.paste("red", (0, 0, 3000, 2250))
    large.save(file, "JPEG", quality=30)
    Browser(canvas).upload(file.getvalue(), "DSC_0001.JPG")
    assert canvas.size == canvas.picture.size == (4096, 3072) and not canvas.message["error"]
    assert canvas.picture.getpixel((2000, 1500))[1] < 60 < 200 < canvas.picture.getpixel((2100, 1600))[1]


def png(width, height, noise=True):
    pixels = np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels if noise else pixels * 0).save(file, "PNG")
    return file.getvalue()


def error_of(canvas):
    """The sentence on the page, which is an error: one sentence, on one line."""
    text = canvas.message["text"]
    assert canvas.message["error"] and text.endswith(".") and "\n" not in text and not re.search(r"\.\s+[A-Z]", text)
    return text


# ---- traits


def test_what_the_browser_gets(picture):
    canvas = PromptCanvas(picture, Box(10, 20, 50, 60), label="a fish", grid=(3, 4))
    assert (canvas.size, canvas.number, canvas.label) == ((400, 300), 1, "a fish")
    assert canvas.drawing == {"prompts": [BOX], "selected": 0, "undo": True, "redo": False, "roi": [0]}
    shown = Image.open(io.BytesIO(canvas.image))
    assert (shown.format, shown.size) == ("JPEG", (400, 300))
    assert repr(canvas) == "PromptCanvas (a fish, 400 x 300 pixels, Box (10, 20, 50, 60))"
    assert canvas.keys and "_esm" in canvas.get_state() and "export default" in canvas.get_state()["_esm"]
    assert ".foir-canvas" in canvas.get_state()["_css"]
    canvas.close()


def test_a_large_picture_travels_small_and_keeps_its_coordinates():
    canvas = PromptCanvas(Image.new("RGB", (5000, 2000)), Point(4999, 1999))
    assert Image.open(io.BytesIO(canvas.image)).size == (1600, 640)
    assert canvas.size == (5000, 2000) and canvas.prompt == Point(4999, 1999)


def test_a_point_shows_its_window_and_the_roi_once_the_grid_is_known(canvas):
    canvas.prompt = Point(5, 5)
    assert "region" not in canvas.drawing["prompts"][0] and canvas.drawing["roi"] == []
    canvas.grid = (3, 4)
    assert canvas.drawing["prompts"][0]["region"] == [0, 0, 200, 200] and canvas.drawing["roi"] == [0, 1, 4, 5]
    canvas.edit("clear")
    assert canvas.drawing["roi"] == []


def test_a_mask_given_in_code_travels_once_as_a_small_picture(canvas):
    array = np.zeros((300, 400), dtype=bool)
    array[100:200, 50:350] = True
    canvas.prompt = Mask(array)
    ((name, content),) = canvas.bases.items()
    assert canvas.drawing["prompts"][0]["base"] == name
    np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(content))) > 0, array)
    canvas.edit("stroke", [(200, 50)], 20)
    assert canvas.bases[name] is content
    canvas.prompt = None
    assert canvas.bases == {}


def test_files_of_the_browser_are_there_and_ask_nobody():
    for file in ("prompt_canvas.js", "prompt_canvas.css"):
        assert not re.search(r"https?://|@import|import\s*\(|from ['\"]", static(file))


# ---- edits in Python


def test_setting_the_prompt_asks_at_once_and_only_when_it_changed(canvas):
    heard = listen(canvas)
    canvas.prompt = Box(1, 2, 30, 40)
    canvas.prompt = Box(1, 2, 30, 40)
    canvas.prompt = Point(9, 9)
    assert heard == [Box(1, 2, 30, 40), Point(9, 9)] and canvas.prompts == (Point(9, 9),)
    canvas.edit("undo")
    canvas.prompt = None
    assert heard[2:] == [Box(1, 2, 30, 40), None] and canvas.prompts == ()


def test_where_there_are_prompts_one_asks(canvas):
    heard = listen(canvas)
    canvas.prompt = Point(9, 9)
    canvas.edit("add", Point(20, 20))
    canvas.edit("select", 0)
    assert canvas.asks == canvas.prompt == Point(9, 9) and len(heard) == 3
    with pytest.raises(InputError, match="no prompt -1"):
        canvas.edit("select", -1)
    canvas.edit("remove")
    assert canvas.asks == Point(20, 20)
    canvas.show(Image.new("RGB", (400, 300)))
    assert canvas.asks is None and heard[3:] == [Point(20, 20), None]


def test_the_page_is_scrolled_to_the_picture(canvas, monkeypatch):
    sent = []
    monkeypatch.setattr(canvas, "send", sent.append)
    canvas.reveal()
    assert sent == [{"reveal": True}]


def test_a_prompt_off_the_picture_is_said_and_raised(canvas):
    canvas.prompt = Point(9, 9)
    heard = listen(canvas)
    with pytest.raises(InputError, match="lies outside"):
        canvas.prompt = Box(500, 10, 510, 20)
    assert "Box (500, 10, 510, 20)" in error_of(canvas) and canvas.prompt == Point(9, 9) and heard == []
    canvas.edit("move", 1, 1)
    assert canvas.message["text"] == "" and heard == [Point(10, 10)]


def test_another_picture_starts_afresh(canvas):
    canvas.prompt = Point(390, 290)
    heard = listen(canvas)
    with pytest.raises(InputError):
        canvas.show(Image.new("RGB", (100, 80)), Point(390, 290))
    assert canvas.size == (400, 300) and canvas.prompt == Point(390, 290) and heard == []
    canvas.show(Image.new("L", (100, 80)), label="other")
    assert (canvas.size, canvas.number, canvas.label) == ((100, 80), 2, "other")
    assert heard == [None] and not canvas.state.can_undo and canvas.picture.mode == "RGB"


def test_an_empty_canvas_says_what_is_missing():
    canvas = PromptCanvas()
    assert canvas.prompt is None and canvas.prompts == () and repr(canvas) == "PromptCanvas (no picture)"
    with pytest.raises(InputError, match="no picture yet"):
        canvas.prompt = Point(1, 1)
    with pytest.raises(InputError, match="no picture to lie on"):
        PromptCanvas(prompt=Point(1, 1))
    Browser(canvas).send("add", prompt=BOX)
    assert canvas.answered == {"a": 1} and canvas.prompt is None
    Browser(canvas).upload(png(30, 20))
    assert canvas.size == (30, 20)


def test_an_error_of_a_callback_reaches_the_caller_after_all_callbacks(canvas):
    def refuse(canvas):
        raise InputError("The prompt is too small: draw a larger one.")

    canvas.on_change(refuse)
    heard = listen(canvas)
    with pytest.raises(InputError, match="too small"):
        canvas.prompt = Point(1, 1)
    assert heard == [Point(1, 1)] and error_of(canvas).startswith("The prompt is too small")
    canvas.on_change(refuse, remove=True)
    canvas.prompt = Point(2, 2)
    assert canvas.message["text"] == ""


# ---- edits in a browser


def test_edits_are_numbered_by_view(canvas):
    heard, one, other = listen(canvas), Browser(canvas, "one"), Browser(canvas, "other")
    one.send("add", prompt=BOX)
    other.send("move", dx=5, dy=-5)
    one.send("undo")
    assert canvas.accepted == canvas.answered == {"one": 2, "other": 1}
    assert heard == [Box(10, 20, 50, 60), Box(15, 15, 55, 55), Box(10, 20, 50, 60)]


@pytest.mark.parametrize(
    "edit",
    [
        {"op": "add", "prompt": {"kind": "box", "x0": 500, "y0": 1, "x1": 600, "y1": 9}},
        {"op": "stroke", "points": [[-50, -50]], "radius": 3, "erase": False},
        {"op": "explode"},
        {"op": None},
    ],
)
def test_a_wrong_edit_is_answered_with_a_sentence_and_the_state_stays(canvas, edit):
    canvas.prompt = Point(9, 9)
    heard, browser, before = listen(canvas), Browser(canvas), canvas.drawing
    browser.send(**edit)
    assert error_of(canvas) and canvas.drawing == before and heard == []
    assert canvas.accepted == canvas.answered == {"a": 1}
    browser.send("move", dx=1, dy=0)
    assert canvas.message["text"] == "" and heard == [Point(10, 9)]


def test_enter_asks_again_though_nothing_changed(canvas):
    canvas.prompt = Point(9, 9)
    heard, browser = listen(canvas), Browser(canvas)
    browser.send("select", index=0)
    assert heard == []
    browser.send("ask")
    assert heard == [Point(9, 9)] and canvas.answered == {"a": 2} and canvas.state.steps == 1
    browser.send("ask", picture=canvas.number - 1)
    assert len(heard) == 1  # an earlier picture's


def test_an_edit_of_an_earlier_picture_is_void(canvas):
    browser = Browser(canvas)
    browser.send("add", prompt=BOX, picture=canvas.number)
    canvas.show(Image.new("RGB", (100, 80)))
    browser.send("add", prompt=BOX, picture=1)
    assert canvas.prompts == () and canvas.answered == {"a": 2}


def test_of_several_edits_that_wait_only_the_last_is_answered(canvas):
    heard, browser = listen(canvas), Browser(canvas)

    async def hurry():
        for n in range(5):
            browser.send("add", prompt=BOX | {"x1": 50 + n})
            assert len(canvas.prompts) == n + 1 and canvas.accepted == {"a": n + 1}
            await asyncio.sleep(0)
        assert heard == [] and canvas.answered == {}
        while canvas.answered != {"a": 5}:
            await asyncio.sleep(0.005)

    asyncio.run(asyncio.wait_for(hurry(), 600))
    assert heard == [Box(10, 20, 54, 60)]


def test_python_answers_what_a_browser_left_waiting(canvas):
    heard, browser = listen(canvas), Browser(canvas)

    async def both():
        browser.send("add", prompt=BOX)
        canvas.prompt = Point(3, 3)
        assert heard == [Point(3, 3)] and canvas.answered == {"a": 1}
        await asyncio.sleep(0.05)

    asyncio.run(both())
    assert heard == [Point(3, 3)]


def test_errors_of_callbacks_stand_on_the_page(canvas, caplog):
    browser, errors = Browser(canvas), iter([InputError("No head looks there: draw elsewhere."), RuntimeError("boom")])

    def fail(canvas):
        raise next(errors)

    canvas.on_change(fail)
    browser.send("add", prompt=BOX)
    assert error_of(canvas) == "No head looks there: draw elsewhere." and canvas.answered == {"a": 1}
    assert not caplog.records
    with caplog.at_level(logging.ERROR):
        browser.send("move", dx=1, dy=1)
    assert canvas.message["error"] and "RuntimeError" in canvas.message["text"] and canvas.answered == {"a": 2}
    assert "boom" in caplog.text and "Traceback" in caplog.text
    assert canvas.prompt == Box(11, 21, 51, 61)


def test_a_sentence_of_a_callback_stays_until_it_says_another(canvas):
    canvas.on_change(lambda canvas: canvas.say(f"{len(canvas.prompts)} prompts"))
    browser = Browser(canvas)
    browser.send("add", prompt=BOX)
    assert canvas.message == {"text": "1 prompts", "error": False, "n": 1}
    browser.send("select", index=0)
    assert canvas.message["n"] == 1


# ---- photographs


def test_a_photograph_arrives_in_parts_in_any_order(canvas):
    content = png(900, 700)
    assert len(content) > 3 * upload.CHUNK
    heard, browser = listen(canvas), Browser(canvas)
    order = list(range(-(-len(content) // upload.CHUNK)))[::-1]
    browser.upload(content, "holiday.png", order=order[:-1])
    assert canvas.size == (400, 300) and canvas.accepted == {}
    browser.upload(content, "holiday.png", order=order)
    assert (canvas.size, canvas.label, heard) == ((900, 700), "holiday", [None])
    assert canvas.accepted == canvas.answered == {"a": 2} and not canvas.message["error"]
    assert canvas.picture.tobytes() == Image.open(io.BytesIO(content)).tobytes()
    browser.upload(png(20, 10))  # and a second one
    assert canvas.size == (20, 10)


@pytest.mark.parametrize(
    ("content", "changes", "why"),
    [
        (b"no picture at all", {}, "photo.png can't be read"),
        (png(60, 60)[:3000], {}, "photo.png can't be read"),
        (png(9000, 8000, noise=False), {}, "72 megapixels"),
        (b"x" * 2000, {"size": 100 * 2**20, "count": 200}, "has 100 MB, the limit is 64"),
        (b"x" * 2000, {"size": 10**400, "count": 200}, "the limit is 64"),
        (b"x" * 2000, {"size": 0}, "is empty"),
        (b"x" * 2000, {"size": None}, "is empty"),
        (b"x" * 2000, {"size": 2001}, "arrived damaged"),
        (b"x" * 2000, {"count": 3}, "in 3 parts"),
        (b"x" * 2000, {"size": 600_000, "count": 2}, "arrived damaged"),
    ],
)
def test_a_photograph_that_can_not_be_used_is_refused_once_and_the_old_one_stays(canvas, content, changes, why):
    canvas.prompt = Point(9, 9)
    heard, browser, before = listen(canvas), Browser(canvas), canvas.get_state(["image", "drawing", "number"])
    browser.upload(content, **changes)
    assert why in error_of(canvas)
    assert canvas.get_state(["image", "drawing", "number"]) == before and heard == []
    assert canvas.accepted == canvas.answered == {"a": 1}
    said = canvas.message["n"]
    for index in (0, 1):  # the rest of the same file
        late = {"view": "a", "n": 1, "op": "upload", "upload": "a1", "index": index, "size": 9, "count": 1}
        canvas.receive(late, [b"x" * 9])
    assert canvas.message["n"] == said
    browser.upload(png(20, 10))
    assert canvas.size == (20, 10) and canvas.message["text"] == ""


def test_wait_answers_at_once_what_waits_for_its_timer(canvas):
    heard = listen(canvas)

    async def pending():
        Browser(canvas).send("add", prompt=BOX)
        assert heard == []
        canvas.wait()
        assert heard == [canvas.prompt] and canvas.answered == {"a": 1}
        await asyncio.sleep(0.05)

    asyncio.run(pending())
    canvas.wait()  # nothing waits
    assert len(heard) == 1


# ---- what is left behind


def test_a_closed_canvas_leaves_nothing(picture, open_widgets):
    before = open_widgets()
    canvas = PromptCanvas(picture, Point(3, 3))
    heard = listen(canvas)
    left = weakref.ref(canvas), weakref.ref(canvas.state), weakref.ref(canvas.picture)

    async def pending(canvas):
        Browser(canvas).send("move", dx=1, dy=1)
        canvas.close()
        await asyncio.sleep(0.05)

    asyncio.run(pending(canvas))
    canvas.close()  # twice is once
    canvas.prompt = Point(9, 9)
    assert heard == []  # nobody is called any more
    assert open_widgets() == before
    del canvas
    gc.collect()
    assert [reference() for reference in left] == [None, None, None]


@pytest.fixture
def cell(monkeypatch):
    """``cell(id, run)``: from now on code runs in this cell."""
    now = [None, None]
    monkeypatch.setattr(live, "current_run", lambda: tuple(now))
    return lambda name, run: now.__setitem__(slice(None), [name, run])


def test_running_a_cell_again_closes_what_it_made_before(cell, picture):
    def alive(*canvases):
        return [c.comm is not None for c in canvases]

    cell("one", 1)
    first, second = PromptCanvas(picture), PromptCanvas(picture)  # side by side, in one run
    assert alive(first, second) == [True, True]
    cell("two", 2)
    other = PromptCanvas(picture)
    assert alive(first, second, other) == [True, True, True]
    cell("one", 3)
    third = PromptCanvas(picture)
    assert alive(first, second, other, third) == [False, False, True, True]
    cell(None, None)  # no notebook
    assert alive(PromptCanvas(picture), third) == [True, True]


def test_knowing_what_a_cell_made_keeps_nothing_alive(cell, picture):
    class Dummy:
        def close(self):
            raise AssertionError("nobody is left")

    cell("one", 1)
    dummy = Dummy()
    live.replace_earlier(dummy)
    gone = weakref.ref(dummy)
    del dummy
    gc.collect()
    assert gone() is None
    cell("one", 2)
    live.replace_earlier(PromptCanvas(picture))


def test_outside_a_kernel_there_is_no_cell():
    assert live.current_run() == (None, None)


def test_the_first_tool_can_be_chosen():
    canvas = PromptCanvas(Image.new("RGB", (8, 6)), tool="point")
    assert (canvas.tool, PromptCanvas().tool) == ("point", "box")
    with pytest.raises(traitlets.TraitError):
        canvas.tool = "hammer"
