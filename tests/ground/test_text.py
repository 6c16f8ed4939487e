"""Text of data as text: on one line, on a page, whatever stands in it."""

import re
import unicodedata
from html.parser import HTMLParser

import numpy as np
import pytest
from hostile import NAMES
from hypothesis import given
from hypothesis import strategies as st
from markupsafe import Markup

from foir_lib.text import LONGEST, markup, one_line, percent, points

ANY = st.one_of(st.sampled_from(list(NAMES.values())), st.text(max_size=300), st.text(st.sampled_from("<>&'\"\n\u202e\ud800א{}$"), max_size=40))


def read(html):
    """Tags and text of a piece of HTML, as a browser reads it."""
    tags, words, parser = [], [], HTMLParser()
    parser.handle_starttag = lambda tag, attributes: tags.append(tag)
    parser.handle_data = words.append
    parser.feed(html)
    parser.close()
    return tags, "".join(words)


def test_by_hand():
    assert one_line("a\nb\tc") == "a b c"
    assert one_line(NAMES["terminal"]) == r"\x1b[31mred\x1b]0;title\x07 \x08\x08 \x9b2J"
    assert one_line("\u202egnp.exe") == r"\u202egnp.exe" and one_line("caf\udce9") == r"caf\udce9"
    assert one_line("naïve café 日本 👩‍👧 שלום") == "naïve café 日本 👩‍👧 שלום"
    assert one_line("a" * 50 + "z" * 50, 10) == "aaaaaa…zzz" and one_line("x" * 500, None) == "x" * 500
    assert markup("<b>{}</b>: {}", "<i>", Markup("<i>")) == "<b>&lt;i&gt;</b>: <i>"
    assert markup("{}", "שלום") == "<bdi>שלום</bdi>" and markup("{}", 7) == "7"


@given(ANY, st.integers(10, 200))
def test_one_line_holds_nothing_that_acts(value, longest):
    line = one_line(value, longest)
    assert len(line.splitlines()) <= 1 and line.encode("utf-8").decode() == line
    assert not [c for c in line if unicodedata.category(c) in ("Cc", "Cs") or unicodedata.bidirectional(c) in ("RLO", "LRO", "RLE", "LRI", "RLI")]
    assert one_line(value) == one_line(one_line(value)) or len(value) > LONGEST or len(one_line(value)) > LONGEST
    if len(value) <= longest and value.isprintable():
        assert line == value


@given(ANY)
def test_values_of_markup_are_text(value):
    tags, words = read(markup("<b>{}</b><i title='x'>{}</i>", value, value))
    assert [tag for tag in tags if tag != "bdi"] == ["b", "i"]
    assert words == 2 * one_line(value, 1000)


@pytest.mark.parametrize("name", NAMES)
def test_names_come_out_as_they_are(name):
    words = read(markup("{}", NAMES[name]))[1]
    if len(NAMES[name]) < 200:
        assert re.sub(r"\\(x..|u....)", "", words).split() == re.sub(r"[\x00-\x08\x1b\x9b\u2000-\u206f\ud800-\udfff]", "", NAMES[name]).split()


@pytest.mark.parametrize(
    ("share", "text"),
    [(0.7, "70 %"), (0.526, "52.6 %"), (0.0, "0 %"), (1, "100 %"), (0.00004, "0.0 %"), (np.float32(0.1), "10 %"), (1 / 3, "33.3 %"), (0.98, "98 %"), (0.97996, "98.0 %")],
)
def test_a_share_reads_the_same_wherever_it_stands(share, text):
    assert percent(share) == text


@pytest.mark.parametrize(
    ("gain", "text"), [(0.4, "+40"), (-0.36, "−36"), (0.123, "+12.3"), (0.0, "+0"), (-0.0004, "+0.0"), (-0.0006, "−0.1"), (0.7 - 0.3, "+40")]
)
def test_a_gain_has_a_sign(gain, text):
    assert points(gain) == text
