"""The gallery without a browser: what it sends, what a pick does, what it refuses."""

import json
import logging

import numpy as np
import pytest

from foir_lib.errors import InputError, MissingError
from foir_lib.view.widgets.gallery import Gallery
from foir_lib.view.widgets.live import static

ROW = {"title": "PHS", "note": "1 of 2 right", "items": [
    {"key": 7, "image": b"first", "caption": "1", "alt": "rank 1", "frame": "right", "badge": "new", "bar": 0.25, "even": 0.1},
    {"key": [3, "x"], "image": b"second"},
]}  # fmt: skip

NAMESPACE = '"http:", "", "www.w3.org", "2000", "svg"'  # a name, which nothing is fetched from


@pytest.fixture
def gallery():
    widget = Gallery()
    yield widget
    widget.close()


def pick(gallery, key):
    """What the browser sends."""
    gallery.receive({"pick": key, "row": 0, "item": 0})


def test_pictures_travel_as_buffers_and_the_rest_as_json(gallery):
    gallery.show([ROW])
    state = gallery.get_state(["rows", "shown", "message"])
    images = [item.pop("image") for item in state["rows"][0]["items"]]
    assert images == [b"first", b"second"]  # bytes travel as buffers
    first, second = json.loads(json.dumps(state))["rows"][0]["items"]
    assert first == {name: value for name, value in ROW["items"][0].items() if name != "image"}
    assert second == {"key": [3, "x"], "caption": "", "alt": "", "frame": "", "badge": "", "bar": None, "even": None}
    assert state["shown"] == 1 and state["rows"][0]["note"] == "1 of 2 right"


def test_rows_and_their_count_arrive_together(gallery, monkeypatch):
    sent = []
    monkeypatch.setattr(gallery, "send_state", lambda key=None: sent.append(set(key)))
    gallery.show([ROW])
    gallery.show([ROW])  # the same rows again: the browser still hears that they are shown
    assert sent == [{"rows", "shown"}, {"shown"}] and gallery.shown == 2


def test_what_was_given_is_not_changed(gallery):
    row = {"items": [{"key": 1, "image": b""}]}
    gallery.show([row])
    assert row == {"items": [{"key": 1, "image": b""}]}


def test_numpy_numbers_become_plain_ones(gallery):
    gallery.show(
        [
            {
                "items": [
                    {"key": np.int64(5), "image": b"", "bar": np.float32(0.5)},
                    {"key": {"row": np.int32(2)}, "image": b""},
                ]
            }
        ]
    )
    assert [json.dumps([i["key"], i["bar"]]) for i in gallery.rows[0]["items"]] == ["[5, 0.5]", '[{"row": 2}, null]']


def test_a_pick_calls_everyone_once_with_the_key(gallery):
    heard = []
    first, second = (lambda key: heard.append(("first", key))), (lambda key: heard.append(("second", key)))
    for callback in (first, second, first):
        gallery.on_pick(callback)
    pick(gallery, [3, "x"])
    gallery.on_pick(first, remove=True)
    pick(gallery, 7)
    gallery.receive({"something": "else"})
    assert heard == [("first", [3, "x"]), ("second", [3, "x"]), ("second", 7)]


@pytest.mark.parametrize(
    "error", [InputError("Query 7 is broken: choose another."), MissingError("There is no picture at a.png.")]
)
def test_what_a_callback_complains_of_is_said(gallery, error):
    heard = []

    def refuse(key):
        raise error

    gallery.on_pick(refuse)
    gallery.on_pick(heard.append)
    pick(gallery, 7)
    assert gallery.message == str(error) and heard == [7]  # the others are called all the same
    gallery.on_pick(refuse, remove=True)
    pick(gallery, 7)
    assert gallery.message == ""


def test_other_errors_are_logged_and_named(gallery, caplog):
    gallery.on_pick(lambda key: {}["absent"])
    with caplog.at_level(logging.ERROR):
        pick(gallery, 7)
    assert "KeyError" in gallery.message and "absent" in gallery.message
    assert caplog.records[0].exc_info[0] is KeyError


def test_a_new_list_takes_the_message_away(gallery):
    gallery.message = "Query 7 is broken: choose another."
    gallery.show([ROW])
    assert gallery.message == ""


@pytest.mark.parametrize(
    ("item", "text"),
    [
        ({"key": 1, "image": b"", "frame": "red"}, "'red'"), ({"key": 1, "image": "a.png"}, "str"),
        ({"key": 1, "image": b"", "bar": 1.5}, "1.5"), ({"key": 1, "image": b"", "bar": float("nan")}, "nan"), ({"key": 1, "image": b"", "even": -0.1}, "Even -0.1"),
        ({"key": 1, "image": b"", "captoin": ""}, "captoin"),
    ],
)  # fmt: skip
def test_what_cannot_be_shown_is_refused_and_the_rows_stay(gallery, item, text):
    gallery.show([ROW])
    with pytest.raises(InputError, match=text):
        gallery.show([{"items": [item]}])
    assert gallery.shown == 1 and gallery.rows[0]["title"] == "PHS"


def test_closed_means_gone(open_widgets):
    before = open_widgets()
    Gallery().close()
    assert open_widgets() == before


def test_closed_means_silent(gallery):
    heard = []
    gallery.on_pick(heard.append)
    gallery.close()
    pick(gallery, 7)
    gallery.show([ROW])  # a late answer is no error
    assert heard == [] and gallery.comm is None


def test_it_is_one_small_module_that_asks_no_other_site():
    script = static("gallery.js")
    assert len(script.splitlines()) <= 235 and "import" not in script
    for file in ("gallery.js", "gallery.css", "common.css"):
        assert "http" not in static(file).replace(NAMESPACE, "")
    assert len(repr(Gallery())) < 80


# ---- outlines

OUTLINE = {"size": (30, 20), "paths": [[0, 0, 5.25, 0, 5, 5]], "kind": "wrong", "words": "IoU 0.20", "alt": "outline wrong"}


def test_outlines_come_after_the_pictures_and_go_with_them(gallery):
    gallery.show([ROW])
    gallery.outline([[OUTLINE, None]])
    state = json.loads(json.dumps(gallery.get_state(["outlines", "shown"])))
    assert state == {"outlines": [[OUTLINE | {"size": [30.0, 20.0], "paths": [[0, 0, 5.2, 0, 5, 5]]}, None]], "shown": 1}, "pictures aren't sent again"
    gallery.outline([])
    assert gallery.outlines == []
    gallery.outline([[OUTLINE, None]])
    gallery.show([ROW])
    assert gallery.outlines == []


def test_a_click_on_an_outline_is_no_pick(gallery):
    picked, outlined = [], []
    gallery.on_pick(picked.append)
    gallery.on_outline(outlined.append)
    gallery.show([ROW])
    gallery.receive({"pick": 7, "row": 0, "item": 0, "outline": True})
    assert (picked, outlined) == ([], [7])
    pick(gallery, 7)
    gallery.receive({"pick": 7, "outline": "yes"})
    assert (picked, outlined) == ([7, 7], [7])


@pytest.mark.parametrize(
    "outlines, words",
    [
        ([[OUTLINE]], r"Outlines of \[1\] pictures don't fit"), ([[OUTLINE, OUTLINE | {"kind": "maybe"}]], "Outline 'maybe' is unknown"),
        ([[OUTLINE | {"paths": [[1, 2, 3]]}, None]], "two finite numbers"), ([[OUTLINE | {"paths": [[1, float("nan")]]}, None]], "two finite numbers"),
        ([[OUTLINE | {"size": [1]}, None]], "size of its picture"), ([[OUTLINE | {"onclick": "x"}, None]], "unknown field 'onclick'"),
    ],
)  # fmt: skip
def test_outlines_that_can_t_be_drawn_are_refused(gallery, outlines, words):
    gallery.show([ROW])
    with pytest.raises(InputError, match=words):
        gallery.outline(outlines)
    assert gallery.outlines == []
