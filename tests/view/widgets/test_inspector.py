"""Inspector and histogram without a browser: what they send, what a key or a button does, what they refuse."""

import json
import logging

import pytest

from foir_lib.errors import InputError
from foir_lib.view.widgets.live import static
from foir_lib.view.widgets.results.histogram import Histogram
from foir_lib.view.widgets.results.inspector import EMPTY, Inspector

NAMESPACE = '"http:", "", "www.w3.org", "2000", "svg"'  # a name, which nothing is fetched from


@pytest.fixture
def inspector():
    widget = Inspector()
    yield widget
    widget.close()


def test_a_record_is_filled_and_travels_as_json_beside_its_picture(inspector):
    inspector.show({"key": 7, "row": 1, "image": b"jpeg", "title": "PHS: picture 7", "lines": [("", "rank 1", "right")]})
    state = inspector.get_state(["record"])["record"]
    assert state.pop("image") == b"jpeg" and json.loads(json.dumps(state))["lines"] == [["", "rank 1", "right"]]
    assert set(state) | {"image"} == set(EMPTY) and repr(inspector) == "Inspector (PHS: picture 7)"
    inspector.show({"title": "a\u202eb\nc", "lines": [("x", "\x1b[0m", "")]})
    assert inspector.record["title"] == "a\\u202eb c" and inspector.record["lines"] == [["x", "\\x1b[0m", ""]]  # no control reaches the page
    inspector.show(None)
    assert inspector.record == EMPTY
    with pytest.raises(InputError, match="unknown field 'colour'"):
        inspector.show({"colour": "red"})


def test_looks_and_uses_are_heard_and_space_keeps(inspector):
    heard = []
    inspector.on_look(lambda key, row: heard.append((key, row)))
    inspector.on_use(heard.append)
    for content in ({"look": 7, "row": 1}, {"look": 8, "row": 0, "pinned": True}, {"do": "png"}, {"do": "ask"}, {"do": "rm"}, {"pinned": "yes"}, {}):
        inspector.receive(content)
    assert heard == [(7, 1), (8, 0), "png", "ask"] and inspector.pinned
    inspector.receive({"pinned": False})
    assert not inspector.pinned


def test_files_go_to_the_browser_with_their_kind(inspector, monkeypatch):
    sent = []
    monkeypatch.setattr(inspector, "send", lambda content, buffers: sent.append((content, buffers)))
    inspector.download("lists.json", b"{}")
    assert sent == [({"file": "lists.json", "kind": "application/json"}, [b"{}"])]


def test_what_fails_is_logged_unless_it_is_a_sentence(inspector, caplog):
    errors = iter((InputError("Point at a result."), ZeroDivisionError("zero")))

    def fail(name):
        raise next(errors)

    inspector.on_use(fail)
    with caplog.at_level(logging.ERROR):
        inspector.receive({"do": "ask"})
        assert not caplog.records
        inspector.receive({"do": "ask"})
    assert caplog.records[0].exc_info[0] is ZeroDivisionError


def test_closed_means_gone_and_silent(open_widgets):
    before, heard = open_widgets(), []
    one = Inspector()
    one.on_look(lambda *at: heard.append(at))
    one.on_use(heard.append)
    one.close()
    one.receive({"look": 1, "row": 0}), one.receive({"do": "png"})
    assert heard == [] and open_widgets() == before


def test_a_choice_of_bars_stays_while_its_bars_do():
    histogram = Histogram()
    bars = [{"at": at, "n": n, "label": str(at), "words": str(at)} for at, n in ((-1, 3), (0, 1), (2, 5))]
    histogram.show(bars, "gain")
    histogram.chosen = [0, 2]
    histogram.show(bars[:2], "gain")
    assert histogram.chosen == [0] and histogram.label == "gain" and repr(histogram) == "Histogram (2 bars, 4 counted)"
    with pytest.raises(InputError, match="2 bars stand at 1 places"):
        histogram.show(bars[:1] * 2, "gain")
    histogram.close()


def test_they_are_small_modules_that_ask_no_other_site():
    for name, most in (("inspector", 200), ("histogram", 80)):
        script = static(f"results/{name}.js")
        assert len(script.splitlines()) <= most and "import" not in script
        assert "http" not in (script + static(f"results/{name}.css")).replace(NAMESPACE, "")
