"""Words on a page, and what canvas, gallery and controls show of names: text, of one line, whatever it is."""

import json

import pytest
from hostile import NAMES
from hypothesis import given
from hypothesis import strategies as st
from markupsafe import Markup

from foir_lib.errors import InputError
from foir_lib.text import markup, one_line
from foir_lib.view.explorers.base import Part
from foir_lib.view.widgets import upload
from foir_lib.view.widgets.canvas import PromptCanvas
from foir_lib.view.widgets.gallery import Gallery
from foir_lib.view.widgets.live import Words


@given(st.one_of(st.sampled_from(list(NAMES.values())), st.text(max_size=60)))
def test_a_text_in_words_is_text(name):
    words = Words(name)
    assert "<" not in words.value.replace("<bdi>", "").replace("</bdi>", "")
    assert words.text.split() == one_line(name, 1000).split()
    words.value = markup("<b>{}</b>", name)
    assert words.value.startswith("<b>") and words.text.split() == one_line(name, 1000).split()
    json.dumps(words.get_state()["value"]).encode("utf-8")


def test_markup_in_words_stays():
    words = Words(Markup("<i>a</i>"))
    assert words.value == "<i>a</i>" and words.text == "a" and Words().value == ""


@pytest.mark.parametrize("name", NAMES)
def test_names_on_gallery_canvas_and_controls_are_lines(name):
    gallery, canvas, line = Gallery(), PromptCanvas(label=NAMES[name]), one_line(NAMES[name], 1000)
    item = {"key": 1, "caption": f"{one_line(NAMES[name], 60)}\n3 → 5", "alt": NAMES[name].replace("\n", " "), "badge": line}
    gallery.show([{"title": NAMES[name].replace("\n", " "), "note": line, "items": [item]}])
    canvas.say(NAMES[name])
    (row,) = gallery.rows
    assert row["items"][0]["caption"].split("\n") == [one_line(NAMES[name], 60), "3 → 5"] and canvas.message["text"] == line
    for text in (row["title"], row["note"], row["items"][0]["alt"], canvas.message["text"]):
        assert len(text) <= 1000 and len(text.splitlines()) <= 1
        text.encode("utf-8")
    part = Part()
    part.canvas = canvas
    button = part.control("ToggleButton", NAMES[name], lambda: None)
    assert button.description == one_line(NAMES[name], 60) and not getattr(button, "description_allow_html", False)


@pytest.mark.parametrize("name", [name for name in NAMES if NAMES[name].rpartition("/")[2].strip()])
def test_a_photographs_name_is_a_line(name):
    content = {"upload": "1", "index": 0, "name": NAMES[name], "size": 3, "count": 1}
    with pytest.raises(InputError) as caught:
        upload.Uploads().receive("view", content, [b"abc"])
    assert len(str(caught.value).splitlines()) == 1 and one_line(NAMES[name].rpartition("/")[2], 100).strip()[:30] in str(caught.value)
