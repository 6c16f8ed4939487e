"""The canvas under a real mouse: what is drawn in the browser is in the kernel, in pixels of the original picture."""

import io
import zlib
from contextlib import contextmanager

import numpy as np
import pytest
from hands import Hand
from PIL import Image
from servers import run_all, until

SIZE = (400, 300)
RED = (120, 60, 220, 150)  # a rectangle in the picture
PICTURE = f"""import numpy as np
from PIL import Image, ImageDraw
from foir_lib.prompts import Box, Mask, Point
from foir_lib.view.widgets.canvas import PromptCanvas
picture = Image.new("RGB", {SIZE}, (225, 228, 220))
ImageDraw.Draw(picture).rectangle(({RED[0]}, {RED[1]}, {RED[2] - 1}, {RED[3] - 1}), fill=(220, 20, 20))
heard = []"""
CANVAS = """canvas = PromptCanvas(picture, label="a red rectangle")
canvas.on_change(lambda c: heard.append(str(c.prompt)))
display(canvas)"""
CORNERS = "[getattr(canvas.prompt, name) for name in ('x0', 'y0', 'x1', 'y1')]"


@pytest.fixture
def canvas(opened, write):
    """``with canvas(front_end="lab", **page options) as (hand, kernel)``."""

    @contextmanager
    def canvas(front_end="lab", **options):
        with opened(front_end, write(PICTURE, CANVAS), **options) as (page, kernel):
            yield Hand(page, SIZE), kernel

    return canvas


def corners(kernel):
    assert kernel.value("type(canvas.prompt).__name__") == "Box"
    return kernel.value(CORNERS)


@pytest.mark.parametrize("front_end", ["lab", "notebook", "voila"])
def test_a_box_dragged_in_the_browser_is_in_the_kernel_and_asks_once(canvas, front_end):
    with canvas(front_end) as (hand, kernel):
        assert hand.prompts.count() == 0 and kernel.value("canvas.prompt is None")
        hand.drag((30, 40), (330, 240))
        assert corners(kernel) == pytest.approx([30, 40, 330, 240], abs=1)
        assert kernel.value("heard") == [kernel.value("str(canvas.prompt)")]
        assert hand.prompts.count() == 1 and hand.surface.locator("[data-handle]").count() == 8
        kernel.run("canvas.prompt = Point(100, 50)")  # and from the kernel to the browser
        hand.root.get_by_text("Point at 100, 50").wait_for()
        hand.surface.locator("[data-handle]").first.wait_for(state="detached")


def test_a_mark_that_fills_the_picture_is_no_hindrance_to_a_new_one(canvas):
    """It has no room to be moved: a drag in it draws; one that has room is moved."""
    with canvas() as (hand, kernel):
        for whole in ("Box(0, 0, *canvas.size)", "Mask(np.ones(canvas.size[::-1], bool))"):
            kernel.run(f"import numpy as np; from foir_lib import Box, Mask; canvas.prompt = {whole}")
            hand.settled()
            hand.drag((50, 60), (150, 160))
            assert corners(kernel) == pytest.approx([50, 60, 150, 160], abs=1) and hand.prompts.count() == 1
        hand.drag((100, 110), (120, 140))
        assert corners(kernel) == pytest.approx([70, 90, 170, 190], abs=1)


@pytest.mark.parametrize("zoom", [1, 1.8])
@pytest.mark.parametrize("width", [1280, 640])
def test_what_is_drawn_lies_where_it_was_seen(canvas, width, zoom):
    """The red rectangle is located on a screenshot and its corners are dragged."""
    with canvas("voila", width=width) as (hand, kernel):
        whole = shown_width(hand)
        hand.page.mouse.move(*hand.screen(((RED[0] + RED[2]) / 2, (RED[1] + RED[3]) / 2)))
        while shown_width(hand) < zoom * whole:
            hand.page.mouse.wheel(0, -30)
        x0, y0, x1, y1 = corners_on_page(hand)
        mouse = hand.page.mouse
        mouse.move(x0, y0)
        mouse.down()
        mouse.move(x1, y1, steps=4)
        mouse.up()
        hand.settled()
        assert corners(kernel) == pytest.approx(RED, abs=1)


def shown_width(hand):
    return hand.surface.locator("image").bounding_box()["width"]


def corners_on_page(hand):
    """Corners of the red rectangle on the page, from a screenshot of the canvas."""
    at = hand.surface.bounding_box()
    shot = Image.open(io.BytesIO(hand.page.screenshot(clip=at))).convert("RGB")
    red, green, blue = np.moveaxis(np.asarray(shot).astype(int), -1, 0)
    rows, columns = np.nonzero((red > 150) & (green < 90) & (blue < 90))
    x0, y0, x1, y1 = map(float, (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1))
    return at["x"] + x0, at["y"] + y0, at["x"] + x1, at["y"] + y1


def test_move_resize_undo_and_redo(canvas):
    with canvas() as (hand, kernel):
        hand.drag((50, 50), (150, 130))
        hand.drag((100, 90), (140, 110))
        assert corners(kernel) == pytest.approx([90, 70, 190, 150], abs=1)
        hand.handle("se", (250, 200))
        assert corners(kernel) == pytest.approx([90, 70, 250, 200], abs=1)
        hand.handle("w", (60, 300))
        assert corners(kernel) == pytest.approx([60, 70, 250, 200], abs=1)
        resized = corners(kernel)
        hand.act("undo")
        hand.act("undo")
        assert corners(kernel) == pytest.approx([90, 70, 190, 150], abs=1)
        hand.press("Control+z")
        hand.press("Control+z")
        assert kernel.value("canvas.prompt is None") and hand.prompts.count() == 0
        for _ in range(4):
            hand.act("redo")
        assert corners(kernel) == resized and hand.prompts.count() == 1
        assert kernel.value("len(heard)") == 12  # four edits, four steps back, four forth


def test_a_second_mark_takes_the_place_of_the_first_unless_several_are_wanted(canvas):
    kinds = "[type(p).__name__ for p in canvas.prompts]"
    with canvas() as (hand, kernel):
        hand.drag((20, 20), (100, 100))
        hand.drag((200, 50), (300, 150))
        assert corners(kernel) == pytest.approx([200, 50, 300, 150], abs=1) and hand.prompts.count() == 1
        hand.drag((20, 20), (100, 100), modifiers=["Shift"])
        hand.tool("point")
        hand.press("a")
        hand.drag((300, 250), (300, 250))
        assert kernel.value(kinds) == ["Box", "Box", "Point"] and asking(hand) == [False, False, True]
        hand.root.get_by_text("Point 3 of 3 asks").wait_for()
        hand.tool("box")
        hand.drag((50, 50), (50, 50))  # a click selects
        assert kernel.value("canvas.state.selected") == 1 and asking(hand) == [False, True, False]
        hand.root.get_by_text("Box 2 of 3 asks").wait_for()
        hand.act("remove")
        assert kernel.value(kinds) == ["Box", "Point"]
        hand.act("several")  # off: all others go
        hand.tool("brush")
        hand.drag((60, 200), (120, 200))
        assert kernel.value(kinds) == ["Mask"] and hand.prompts.count() == 1
        hand.press("Control+z")
        assert kernel.value(kinds) == ["Box", "Point"]
        hand.act("clear")
        assert kernel.value("canvas.prompts") == [] and hand.prompts.count() == 0


def asking(hand):
    """Of each mark whether it is drawn solid; its lines are then the thicker ones."""
    lines = hand.prompts.evaluate_all("all => all.map(p => [p.matches('.foir-selected'), parseFloat(getComputedStyle(p.querySelector('.foir-line')).strokeWidth)])")
    assert all((width > 2) == solid for solid, width in lines)
    return [solid for solid, _ in lines]


@pytest.mark.parametrize("width", [320, 390, 480, 640, 900])
def test_the_picture_stays_where_it_is_whatever_the_tool(canvas, width):
    """Brush size and eraser come and go beside it; every control can be seen, none is under another."""
    with canvas("voila", width=width) as (hand, kernel):
        places = {}
        for name in ("point", "box", "brush", "lasso"):
            hand.tool(name)
            places[name] = hand.surface.locator("image").bounding_box()
            hand.drag((100, 100), (160, 150), (100, 160))
            assert hand.surface.locator("image").bounding_box() == places[name]
            assert hand.root.locator("[data-foir=brush-size]").is_visible() == (name == "brush")
            assert hand.root.locator("[data-action=erase]").is_visible() == (name in ("brush", "lasso"))
        assert len({tuple(place.values()) for place in places.values()}) == 1, places
        boxes = hand.root.locator(".foir-bar button").evaluate_all("all => all.map(b => b.getBoundingClientRect().toJSON())")
        for i, one in enumerate(boxes):
            assert 0 <= one["left"] and one["right"] <= width
            assert all(one["right"] <= b["left"] + 0.5 or b["right"] <= one["left"] + 0.5 or one["bottom"] <= b["top"] or b["bottom"] <= one["top"] for b in boxes[:i])


def test_the_picture_outlives_themes_hidden_tabs_and_zoom(opened, write):
    """Three canvases; after each of ten switches of the theme every one shows its own picture, seen in the pixels."""
    colours = [(220, 20, 20), (20, 160, 40), (40, 60, 220)]
    cells = [f"canvas{i} = PromptCanvas(Image.new('RGB', {SIZE}, {colour}), Box(10, 10, 60, 60))\ndisplay(canvas{i})" for i, colour in enumerate(colours)]
    with opened("lab", write(PICTURE, *cells), height=2000) as (page, kernel):
        page.locator(".foir-canvas").nth(2).wait_for()

        def seen():
            result = []
            for i in range(3):
                box = page.locator(".foir-canvas .foir-stage").nth(i).bounding_box()
                shot = Image.open(io.BytesIO(page.screenshot(clip=box))).convert("RGB")
                result.append(sum(np.abs(np.asarray(shot).astype(int) - colours[i]).max(-1).ravel() < 12) / (shot.width * shot.height))
            return result

        until(lambda: min(seen()) > 0.8, 30, seen)
        for n in range(10):
            theme = "Dark" if n % 2 == 0 else "Light"
            page.evaluate(f"jupyterapp.commands.execute('apputils:change-theme', {{theme: 'JupyterLab {theme}'}}).then(() => null)")
            page.wait_for_function(f"document.body.dataset.jpThemeLight === '{str(theme == 'Light').lower()}'")
            until(lambda: min(seen()) > 0.8, 10, seen)
        stage = page.locator(".foir-canvas .foir-stage")
        for style, back in (("display: none", ""), ("width: 0", ""), ("zoom: 0.5", "zoom: 1")):
            page.evaluate("style => document.querySelectorAll('.foir-canvas').forEach(e => (e.parentElement.style.cssText = style))", style)
            page.wait_for_timeout(150)
            if "zoom" in style:
                assert min(seen()) > 0.8
            page.evaluate("style => document.querySelectorAll('.foir-canvas').forEach(e => (e.parentElement.style.cssText = style))", back)
            until(lambda: min(seen()) > 0.8, 10, seen)
        assert stage.count() == 3


def test_a_painted_mask_covers_its_strokes_and_can_be_erased(canvas):
    with canvas() as (hand, kernel):
        hand.tool("brush")
        hand.drag((60, 100), (200, 100), (200, 220))
        kernel.run("mask = canvas.prompt")
        assert kernel.value("isinstance(mask, Mask) and mask.array.shape == (300, 400)")
        along = "[bool(mask.array[y, x]) for x, y in [(60, 100), (130, 100), (200, 100), (200, 160), (200, 219)]]"
        assert kernel.value(along) == [True] * 5
        assert not kernel.value("bool(mask.array[200, 60] or mask.array[20, 350])")
        hand.tool("lasso")
        hand.drag((20, 200), (120, 200), (120, 280), (20, 280), (20, 205))
        assert kernel.value("len(canvas.prompts)") == 1  # onto the selected mask
        assert kernel.value("bool(canvas.prompt.array[240, 70]) and bool(canvas.prompt.array[100, 130])")
        inside = kernel.value("int(canvas.prompt.array[205:275, 25:115].sum())")
        assert inside > 0.97 * 70 * 90
        hand.tool("brush")
        hand.act("erase")
        hand.drag((130, 100), (131, 100))
        assert kernel.value("[bool(canvas.prompt.array[100, x]) for x in (130, 70)]") == [False, True]
        hand.act("undo")
        assert kernel.value("bool(canvas.prompt.array[100, 130])")


def test_the_keyboard_alone_draws_moves_resizes_and_removes(canvas):
    with canvas() as (hand, kernel):
        hand.root.locator("[data-tool=box]").focus()
        for _ in range(30):
            hand.page.keyboard.press("Tab")
            if hand.surface.evaluate("e => e === document.activeElement"):
                break
        assert hand.surface.evaluate("e => getComputedStyle(e.parentElement).outlineStyle") == "solid"
        hand.press("Enter")
        drawn = corners(kernel)
        assert drawn[0] + drawn[2] == pytest.approx(SIZE[0], abs=2)
        hand.press("ArrowRight", "ArrowRight", "Shift+ArrowDown")
        assert corners(kernel) == pytest.approx(np.add(drawn, [2, 10, 2, 10]))
        hand.press("Alt+ArrowLeft", "Alt+Shift+ArrowDown")
        assert corners(kernel) == pytest.approx(np.add(drawn, [2, 10, 1, 20]))
        asked = kernel.value("len(heard)")
        hand.press("Escape", "Enter")  # nothing is under way; the box asks once more
        assert kernel.value("[len(canvas.prompts), len(heard)]") == [1, asked + 1]
        for key, tool, kind in (("p", "point", "Point"), ("m", "brush", "Mask"), ("l", "lasso", "Mask"), ("b", "box", "Box")):
            hand.press(key)
            assert hand.root.locator(f"[data-tool={tool}]").get_attribute("aria-pressed") == "true"
            hand.press("Enter")
            assert kernel.value("[type(p).__name__ for p in canvas.prompts]") == [kind]
        hand.press("Shift+Enter", "a", "p", "Enter")
        assert kernel.value("[type(p).__name__ for p in canvas.prompts]") == ["Box", "Box", "Point"]
        hand.press("[", "Delete")
        assert kernel.value("[[type(p).__name__ for p in canvas.prompts], canvas.state.selected]") == [["Box", "Point"], 1]
        hand.press("Control+z", "Control+z", "Control+Shift+Z", "]", "Delete", "Delete", "Delete")
        assert kernel.value("canvas.prompts") == []
        assert hand.page.locator(".jp-Cell").count() == 2  # JupyterLab's own keys stayed out
        assert hand.page.locator(".jp-Cell .jp-mod-selected").count() <= 1 and hand.page.locator(".jp-CodeCell").count() == 2
        for name in ("tool=point", "action=undo", "action=upload", "action=several", "action=ask", "action=keys"):
            assert hand.root.locator(f"[data-{name}]").get_attribute("aria-label")
        assert "a red rectangle" in hand.surface.get_attribute("aria-label")


@pytest.mark.parametrize("front_end", ["lab", "voila"])
def test_all_keys_are_shown_by_a_question_mark_and_go_by_escape(canvas, front_end):
    with canvas(front_end) as (hand, kernel):
        hand.drag((30, 40), (330, 240))
        dialog = hand.root.get_by_role("dialog", name="Keys of the canvas")
        for show in (lambda: hand.page.keyboard.press("?"), lambda: hand.root.locator("[data-action=keys]").click()):
            show()
            dialog.wait_for()
            words = dialog.inner_text()
            for key in ("P, B, M, L", "Enter", "Delete", "Ctrl+Z", "Arrow keys", "Alt + arrow keys", "Escape"):
                assert key in words
            assert dialog.evaluate("e => e.contains(document.activeElement) && getComputedStyle(e).backgroundColor !== 'rgba(0, 0, 0, 0)'")
            hand.page.keyboard.press("Delete")  # no key of the canvas now
            hand.page.keyboard.press("Escape")
            dialog.wait_for(state="hidden")
        assert corners(kernel) == pytest.approx([30, 40, 330, 240], abs=1)
        assert hand.page.locator(".foir-canvas").count() == 1


def test_escape_during_a_drag_cancels_it(canvas):
    with canvas("voila") as (hand, kernel):
        mouse = hand.page.mouse
        mouse.move(*hand.screen((50, 50)))
        mouse.down()
        mouse.move(*hand.screen((200, 200)), steps=4)
        assert hand.prompts.count() == 1
        hand.page.keyboard.press("Escape")
        mouse.up()
        hand.drag((300, 200), (350, 250))
        assert kernel.value("len(canvas.prompts)") == 1
        assert corners(kernel) == pytest.approx([300, 200, 350, 250], abs=1)


@pytest.mark.parametrize("width", [390, 1280])
def test_a_finger_draws_and_two_fingers_zoom(canvas, width):
    with canvas("voila", has_touch=True, width=width) as (hand, kernel):
        chrome = hand.page.context.new_cdp_session(hand.page)

        def touch(kind, *points):
            places = [dict(zip("xy", hand.screen(p)), id=i) for i, p in enumerate(points)]
            chrome.send("Input.dispatchTouchEvent", {"type": f"touch{kind}", "touchPoints": places})

        touch("Start", (60, 60))
        for k in range(1, 6):
            touch("Move", (60 + 20 * k, 60 + 15 * k))
        touch("End")
        hand.settled()
        assert corners(kernel) == pytest.approx([60, 60, 160, 135], abs=1)
        wide = shown_width(hand)
        touch("Start", (180, 150), (220, 150))
        touch("Move", (160, 150), (240, 150))
        touch("End")
        assert kernel.value("len(canvas.prompts)") == 1
        until(lambda: shown_width(hand) > 1.2 * wide, 10, "two fingers don't zoom")


THINGS = """from foir_lib.view.widgets.things import Annotated
array = np.zeros((300, 400), bool)
array[60:150, 120:220] = True
items, masks = [(0, (120, 60, 220, 150), "rectangle"), (1, (300, 200, 380, 280), "field")], {0: Mask(array), 1: None}
canvas = PromptCanvas(picture, label="a red rectangle", tool="point", grid=(3, 4))
display(canvas)"""


def test_a_click_takes_the_thing_whose_outline_is_shown_before(opened, write):
    with opened("lab", write(PICTURE, THINGS)) as (page, kernel):
        hand = Hand(page, SIZE)
        outline, words = hand.surface.locator(".foir-thing.foir-line"), hand.root.locator("[data-foir=takes]")
        extent = "e => { const b = e.getBBox(); return [b.x, b.y, b.x + b.width, b.y + b.height]; }"
        page.mouse.move(*hand.screen((350, 40)))  # no taker: the window of 3 x 3 patches of 100 x 100 pixels, clipped
        until(lambda: outline.evaluate(extent) == [200, 0, 400, 200], 20, lambda: outline.evaluate(extent))
        hand.drag((350, 40), (350, 40))
        assert kernel.value("str(canvas.prompt)").startswith("Point") and hand.prompts.locator(".foir-dash").count() == 2
        kernel.run("canvas.taker, canvas.takes = Annotated(lambda: items, masks.get), 'the annotated object'")
        page.mouse.move(*hand.screen((150, 100)))
        words.filter(has_text="rectangle, a mask annotated in the set").wait_for()
        assert outline.evaluate(extent) == pytest.approx([120, 60, 220, 150], abs=1)
        assert kernel.value("len(canvas.prompts)") == 1  # nothing is taken yet
        hand.drag((150, 100), (150, 100))
        assert kernel.value("canvas.prompt is masks[0] and len(canvas.prompts) == 1")
        page.mouse.move(*hand.screen((350, 250)))
        words.filter(has_text="field, a box annotated in the set").wait_for()
        page.keyboard.down("Alt")
        hand.drag((150, 101), (150, 101))
        page.keyboard.up("Alt")
        hand.says("click another place")  # of the mask nothing would be left
        assert kernel.value("canvas.prompt is masks[0]")
        hand.drag((350, 250), (350, 250), modifiers=["Shift"])
        assert kernel.value("len(canvas.prompts)") == 1 and kernel.value("int(canvas.prompt.array.sum())") == 90 * 100 + 80 * 80
        assert hand.prompts.locator(".foir-click").count() == 2
        hand.press("n")
        hand.drag((340, 240), (340, 240))
        assert kernel.value("int(canvas.prompt.array.sum())") == 90 * 100
        hand.press("n", "b")
        page.mouse.move(*hand.screen((150, 100)))
        until(lambda: outline.get_attribute("d") == "", 10, "an outline though the tool is the box")


# ---- photographs, good and bad


def png(width, height, colour=(200, 180, 40)):
    file = io.BytesIO()
    Image.new("RGB", (width, height), colour).save(file, "PNG")
    return file.getvalue()


def huge_png(side=10_000):
    """100 megapixels in some 12 kB: one bit each, all black."""

    def chunk(kind, data):
        return len(data).to_bytes(4, "big") + kind + data + zlib.crc32(kind + data).to_bytes(4, "big")

    head = side.to_bytes(4, "big") * 2 + bytes([1, 0, 0, 0, 0])
    rows = zlib.compress(bytes((side + 7) // 8 + 1) * side, 9)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


def test_photographs_are_uploaded_and_bad_ones_leave_everything_as_it_was(canvas):
    with canvas() as (hand, kernel):
        hand.upload("first.png", png(640, 320))
        kernel.until("canvas.picture.size == (640, 320)")
        hand.size = (640, 320)
        hand.root.locator("[data-foir=message]:empty").wait_for(state="attached")  # no more "Sending ..."
        hand.drag((100, 100), (500, 300))
        noise = np.random.default_rng(0).integers(0, 255, (700, 900, 3), dtype=np.uint8)  # more than one chunk
        file = io.BytesIO()
        Image.fromarray(noise).save(file, "PNG")
        assert len(file.getvalue()) > 2 * 512 * 1024
        hand.upload("second.png", file.getvalue())
        kernel.until("canvas.picture.size == (900, 700)")
        assert (
            kernel.value("canvas.prompts") == []
            and kernel.value("np.asarray(canvas.picture)[5, 7].tolist()") == noise[5, 7].tolist()
        )
        hand.size = (900, 700)
        hand.drag((90, 70), (450, 350))
        before = kernel.value("[str(canvas.prompt), canvas.number, len(heard)]")
        for name, content in {
            "broken.png": png(64, 64)[:60],
            "notes.png": b"no picture",
            "huge.png": huge_png(),
            "notes.txt": b"no picture",
        }.items():
            hand.upload(name, content)
            assert sentences(hand.says("That is no photograph" if name.endswith("txt") else name)) == 1
            assert kernel.value("[str(canvas.prompt), canvas.number, len(heard)]") == before
            assert hand.prompts.count() == 1
        hand.drag((100, 80), (150, 100))
        assert hand.root.locator("[data-foir=message]").inner_text() == ""  # a good edit takes the complaint away


def sentences(text):
    return len([s for s in text.replace(".png", "").split(". ") if s.strip()])


def test_a_prompt_off_the_picture_and_an_empty_mask_say_so_and_change_nothing(canvas):
    with canvas() as (hand, kernel):
        hand.drag((50, 50), (150, 130))
        before = kernel.value("str(canvas.prompt)")
        for wrong in ("Box(900, 10, 950, 60)", "Point(-5, 10)"):
            kernel.run(
                f"from foir_lib.errors import InputError\nsaid = ''\ntry:\n    canvas.prompt = {wrong}\nexcept InputError as e:\n    said = str(e)"
            )
            said = kernel.value("said")
            assert said and sentences(hand.says(said)) == 1
            assert kernel.value("str(canvas.prompt)") == before and hand.prompts.count() == 1
        hand.tool("brush")
        hand.drag((250, 200), (260, 200))
        painted = kernel.value("int(canvas.prompt.array.sum())")
        hand.act("erase")
        hand.root.locator("[data-foir=brush-size]").fill("120")
        hand.drag((240, 200), (270, 200))  # all of it
        assert sentences(hand.says("mask")) == 1
        assert kernel.value("int(canvas.prompt.array.sum())") == painted


# ---- the kernel's life


@pytest.mark.parametrize("front_end", ["lab", "voila"])
def test_a_slow_kernel_never_stops_the_hand_and_only_the_last_edit_is_computed(canvas, tmp_path, front_end):
    """In JupyterLab a cell that runs holds up nothing (widgets have a thread of their own), a slow callback does."""
    go = tmp_path / "go"
    wait = f"import pathlib, time\ndef wait(*_):\n    while not pathlib.Path({str(go)!r}).exists(): time.sleep(0.02)\n"
    with canvas(front_end) as (hand, kernel):
        hand.root.locator("[data-action=several]").click()
        hand.drag((10, 10), (60, 60))
        if front_end == "lab":
            kernel.run(wait + "canvas.on_change(wait)")
            hand.drag((100, 10), (150, 60), wait=False)
            hand.page.wait_for_function("document.querySelector('.foir-canvas').dataset.accepted === '2'")
        else:
            kernel.client.execute(wait + "wait()")
        before = hand.prompts.count()
        for k in range(5):
            hand.drag((70 * k + 20, 100), (70 * k + 70, 100 + 20 * (k + 1)), wait=False)
            hand.prompts.nth(before + k).wait_for(state="attached")  # drawn without the kernel
        hand.page.wait_for_function("document.querySelector('.foir-canvas').dataset.busy === 'true'")
        assert hand.root.locator(".foir-busy").is_visible()
        go.touch()
        hand.settled()
        assert kernel.value("len(canvas.prompts)") == before + 5
        assert kernel.value(f"heard[{before}:]") == [kernel.value("str(canvas.prompt)")]
        assert corners(kernel) == pytest.approx([300, 100, 350, 200], abs=1)


ALIVE = """import gc, ipywidgets
gc.collect()
alive = [len([w for w in gc.get_objects() if isinstance(w, PromptCanvas)]), len(get_ipython().kernel.comm_manager.comms)]"""


def test_a_cell_run_again_leaves_one_live_canvas(canvas):
    with canvas() as (hand, kernel):
        kernel.run(ALIVE)
        once = kernel.value("alive")
        assert once[0] == 1
        hand.drag((10, 10), (60, 60))
        for _ in range(2):
            run_all(hand.page)
        hand.page.wait_for_function("document.querySelectorAll('.foir-canvas').length === 1")
        kernel.run(ALIVE)
        assert kernel.value("alive") == once
        again = Hand(hand.page, SIZE)
        again.drag((10, 10), (60, 60))
        assert kernel.value("len(heard)") == 1


def test_a_restarted_kernel_marks_the_canvas_as_gone(canvas):
    with canvas() as (hand, kernel):
        hand.drag((10, 10), (60, 60))
        hand.page.get_by_role("menuitem", name="Kernel", exact=True).click()
        hand.page.locator(".lm-Menu-item[data-command='kernelmenu:restart']").click()
        hand.page.locator(".jp-Dialog button.jp-mod-accept").click()
        gone = "getComputedStyle(document.querySelector('.foir-canvas .foir-foot'), '::before').content"
        hand.page.wait_for_function(f"{gone}.includes('run this cell again')")
        assert hand.root.locator("[data-tool=box]").is_hidden()
        hand.drag((100, 100), (160, 160), wait=False)
        assert hand.prompts.count() == 1  # it takes no more edits
        run_all(hand.page)
        again = Hand(hand.page, SIZE)
        assert hand.page.locator(".foir-canvas").count() == 1 and again.prompts.count() == 0
        again.drag((30, 40), (330, 240))
        assert corners(kernel) == pytest.approx([30, 40, 330, 240], abs=1)
