"""``foir demo my/photographs`` in a real browser: a dragged box, lists of photographs, and what a network of drawings says of itself."""

import sys

import pytest
from hands import Hand
from servers import picture, running

from foir_lib.files import manifest_root

SAMPLES = manifest_root() / "samples" / "grocery"
LOADED = "e => [...e.querySelectorAll('[data-item] img')].map(i => i.complete && i.naturalWidth > 0)"


@pytest.fixture(scope="module", params=["mini-vit-small", pytest.param("deit_tiny_patch16_224", marks=pytest.mark.real)])
def own(request, tmp_path_factory):
    """The command on a few photographs, with a network of drawings and with one of photographs."""
    words = [sys.executable, "-m", "foir_lib", "demo", str(SAMPLES), "--model", request.param, "--no-browser"]
    if not request.param.startswith("mini"):
        words += ["--weights", str(request.getfixturevalue("foir_data") / "weights" / f"{request.param}.safetensors")]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FOIR_CACHE", str(tmp_path_factory.mktemp("cache")))
        with running([*words, "--port=PORT", "--token=TOKEN"], tmp_path_factory.mktemp("own")) as server:
            server.drawings = request.param.startswith("mini")
            yield server


def test_a_dragged_box_on_a_photograph_gives_lists_of_photographs(own, pages, request):
    page = pages(width=1280, height=900)
    kernel = own.open_in_voila(page)
    page.locator(".foir-gallery [data-item]").first.wait_for()
    text = page.locator("#rendered_cells").inner_text()
    assert "Drag a box" in text and "What we saw" not in text and "load_set" not in text
    assert kernel.value("len(rs.database)") == 12
    size = kernel.value("list(page.canvas.size)")
    hand, before = Hand(page, size), kernel.value("page.explorer.state['lists']")
    hand.drag((0.05 * size[0], 0.3 * size[1]), (0.45 * size[0], 0.75 * size[1]))
    after = kernel.value("page.explorer.state['lists']")
    assert after["Crop"] != before.get("Crop") and after["CBIR"] == before["CBIR"] and len(after) == 3
    gallery = page.locator(".foir-page .foir-tab .foir-gallery")
    loaded = gallery.evaluate(LOADED)
    assert len(loaded) == 30 and all(loaded)
    said = page.locator(".foir-left").inner_text()
    assert ("knows drawings only" in said) == ("--model dinov2-base" in said) == own.drawings
    assert not gallery.locator("[data-frame=right], [data-frame=wrong]").count() if own.drawings else True
    picture(page, request.node.name)
    hand.upload("mine.jpg", next(SAMPLES.rglob("*.jpg")).read_bytes())
    kernel.until("page.panel.image_id is None")
    assert ("knows drawings only" in page.locator(".foir-left").inner_text()) == own.drawings
    own.stop()


def test_nothing_is_served_without_the_token(own):
    for path in ("/", "/voila/files/04_photographs.ipynb"):
        status, text = own.ask(path, token=False)
        assert status == 403 or "password" in text.lower()
        assert "Drag a box" not in text
