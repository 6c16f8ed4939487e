"""The words of patches in a real browser: hover shows, a click keeps, arrow keys move, Escape lets go."""

import pytest
from servers import picture

SET = """from foir_lib import load_set
from foir_lib.view.memory.words import PatchWords
scenes = load_set("mini-focus", seed=0, n_query=10, n_database=20)
look = PatchWords(scenes.open(scenes.images["image_id"].iloc[0]))
look"""


def shown(kernel, at):
    return kernel.value(f"[word for word, _ in look.words[{at}]]")


@pytest.mark.parametrize("front_end", ["lab", "voila"])
def test_a_patch_says_its_words_under_the_mouse_and_by_keys(opened, write, front_end, request):
    phone = {"width": 390, "height": 800} if front_end == "voila" else {"height": 900}
    with opened(front_end, write(SET), **phone) as (page, kernel):
        root = page.locator("[data-foir=patch-words]")
        stage, said = root.locator(".stage"), root.locator(".said")
        stage.wait_for()
        assert "Point at a patch" in said.inner_text() and kernel.value("look.at") == -1
        page.wait_for_function("document.querySelector('[data-foir=patch-words] img').naturalWidth > 0")
        box = stage.bounding_box()
        side = box["width"] / 8, box["height"] / 8
        stage.hover(position={"x": 3.5 * side[0], "y": 2.5 * side[1]})
        assert said.locator(".word").all_inner_texts() == shown(kernel, 2 * 8 + 3) and kernel.value("look.at") == -1, "hover keeps nothing"
        stage.click(position={"x": 3.5 * side[0], "y": 2.5 * side[1]})
        assert kernel.until("look.at >= 0 and look.at") == 19 and "row 3, column 4, kept" in said.inner_text()
        for key in ("ArrowRight", "ArrowDown", "ArrowDown"):
            page.keyboard.press(key)
        assert said.locator(".word").all_inner_texts() == shown(kernel, 4 * 8 + 4) and kernel.value("look.at") == 19
        page.keyboard.press("Enter")
        assert kernel.until("look.at != 19 and look.at") == 36
        kernel.run("look.look(0, 0)")
        page.mouse.move(0, 0)
        page.wait_for_function("document.querySelector('[data-foir=patch-words]').dataset.at === '0'")
        picture(page, request.node.name)
        stage.focus()
        page.keyboard.press("Escape")
        assert kernel.until("look.at == -1 and 'none'") == "none" and "Point at a patch" in said.inner_text()
