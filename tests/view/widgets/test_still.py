"""The still pictures that widgets leave in a notebook, for the web and for print."""

import base64
import html
import io
import re

import nbformat
import numpy as np
import pytest
from bs4 import BeautifulSoup
from nbclient import NotebookClient
from nbconvert import HTMLExporter
from PIL import Image

from foir_lib.prompts import Box, Point
from foir_lib.view.figures import pictures
from foir_lib.view.widgets.canvas import PromptCanvas
from foir_lib.view.widgets.gallery import Gallery
from foir_lib.view.widgets.live import Words
from foir_lib.view.widgets.thumbs import encoded

VIEW = "application/vnd.jupyter.widget-view+json"


def still(widget):
    """The picture in a widget's output, float (height, width, 3), its bytes, and its words."""
    data, _ = widget._repr_mimebundle_()
    alt, content = re.fullmatch(r'<img alt="([^"]*)" src="data:image/jpeg;base64,([^"]*)"[^<>]*>', data["text/html"]).groups()
    content = base64.b64decode(content)
    picture = Image.open(io.BytesIO(content))
    assert VIEW in data and picture.format == "JPEG" and abs(picture.width - 900) <= 1 and len(content) <= 60_000
    return np.asarray(picture).astype(int), html.unescape(alt)


def near(pixels, colour, slack=60):
    return np.abs(pixels - colour).max(-1) < slack


def test_a_canvas_leaves_its_picture_with_the_mark():
    canvas = PromptCanvas(Image.new("RGB", (400, 300), (220, 60, 40)), Box(200, 150, 390, 290), label="a fish")
    pixels, alt = still(canvas)
    assert alt == "PromptCanvas (a fish, 400 x 300 pixels, Box (200, 150, 390, 290))" == repr(canvas)
    red = near(pixels, (220, 60, 40))
    ys, xs = np.nonzero(red)
    x0, y0, x1, y1 = xs.min(), ys.min(), xs.max() + 1, ys.max() + 1
    assert (x1 - x0) / (y1 - y0) == pytest.approx(4 / 3, rel=0.05) and red[y0:y1, x0:x1].mean() > 0.9
    blue = near(pixels, (0, 114, 178), 70)[y0 + 8 : y1 - 8, x0 + 8 : x1 - 8]  # without the frame
    ys, xs = np.nonzero(blue)
    assert (xs.min() + 8) / (x1 - x0) == pytest.approx(0.5, abs=0.03) and (ys.min() + 8) / (y1 - y0) == pytest.approx(0.5, abs=0.03)
    alone = blue.sum()
    canvas.edit("add", Point(50, 50))
    pixels, alt = still(canvas)
    assert "Point (50, 50)" in alt and near(pixels, (0, 114, 178), 70)[y0 + 8 : y1 - 8, x0 + 8 : x1 - 8].sum() != alone


def test_a_picture_that_can_not_be_made_smaller_stays_small_enough():
    still(PromptCanvas(Image.fromarray(np.random.default_rng(0).integers(0, 255, (700, 900, 3), dtype=np.uint8)), Box(5, 5, 90, 90)))


def test_a_gallery_leaves_its_rows_and_their_frames():
    gallery = Gallery()
    assert "text/html" not in gallery._repr_mimebundle_()[0]
    item = {"image": encoded(Image.new("RGB", (60, 60), (250, 230, 20)), 60), "caption": "1 · 0.9"}
    gallery.show([{"title": "one", "items": [item | {"key": k, "frame": frame} for k, frame in enumerate(("right", "wrong"))]}, {"title": "none", "items": []}])
    pixels, alt = still(gallery)
    assert alt == "Gallery (2, 0 pictures)"
    columns = np.flatnonzero(near(pixels, (250, 230, 20)).any(0))
    left, right = columns[0], columns[-1]
    middle = (left + right) // 2
    green, red = near(pixels, (0, 158, 115), 50), near(pixels, (193, 18, 31), 50)
    assert green[:, :middle].sum() > 100 < red[:, middle:].sum() and not green[:, middle + 20 :].any() and not red[:, : middle - 20].any()


def test_what_shows_nothing_leaves_no_picture():
    assert set(PromptCanvas()._repr_mimebundle_()[0]) == {"text/plain", VIEW}
    assert "text/html" not in Words("text")._repr_mimebundle_()


def test_a_figure_of_a_page_holds_query_and_rows():
    item = {"image": encoded(Image.new("RGB", (60, 40)), 60), "caption": "7 · 0.123 ▲2", "frame": "right"}
    rows = [{"title": f"row {i}", "note": "3 of 12", "items": [item] * 12} for i in range(8)] + [{"title": "x", "note": "", "items": []}]
    figure = pictures.page((Image.new("RGB", (400, 300)), (Box(1, 1, 50, 50), Point(9, 9)), 0, (4, 4)), rows)
    small, query = figure.axes
    assert len(small.images) == 6 * 10 and len(query.images) == 1
    words = [text.get_text() for text in small.texts]
    assert words.count("7 · 0.123 ▲2") == 60 and "row 5 · 3 of 12" in words and not any("row 6" in one for one in words)
    for one in small.texts:  # nothing hangs over the rim
        box = one.get_window_extent().transformed(figure.transFigure.inverted())
        assert -0.001 <= box.x0 and box.x1 <= 1.001 and -0.001 <= box.y0 and box.y1 <= 1.001


def test_a_notebook_keeps_the_picture_and_html_shows_it(tmp_path):
    code = "from PIL import Image\nfrom foir_lib.prompts import Box\nfrom foir_lib.view.widgets.canvas import PromptCanvas\nPromptCanvas(Image.new('RGB', (400, 300), 'teal'), Box(9, 9, 90, 90), label='a <teal> \"sea\"')"
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(code)])
    NotebookClient(notebook, timeout=600, kernel_name="python3", resources={"metadata": {"path": str(tmp_path)}}).execute()
    (output,) = notebook.cells[0].outputs
    assert {VIEW, "text/html", "text/plain"} == set(output["data"])
    notebook.metadata.pop("widgets", None)  # as kept notebooks are
    page, _ = HTMLExporter().from_notebook_node(notebook)
    (image,) = BeautifulSoup(page, "html.parser").select("img")
    assert image["src"].startswith("data:image/jpeg;base64,") and image["alt"].startswith('PromptCanvas (a <teal> "sea", 400 x 300 pixels')
