"""report.html and the other files of a run when names, stamps and files in the folder are hostile or somebody else's."""

import base64
import hashlib
import json
import re
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest
from hostile import NAMES
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from nbconvert.filters.markdown import markdown2html

from foir_lib.bench.runs import report
from foir_lib.bench.runs.page import SCRIPT, Page
from foir_lib.errors import IntegrityError
from foir_lib.text import one_line

STAMP = {
    "date": "2026-11-25 10:00:00", "seconds": 3.0, "device": "cpu", "machine": "m", "commit": None, "dirty": None, "lock": None,
    "seed": 0, "versions": {"python": "3.11"}, "parameters": {"methods": "CBIR"}, "key": "k", "drawn": "d",
}  # fmt: skip
ANY = st.recursive(st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9) | st.sampled_from(list(NAMES.values())),
                   lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner, max_size=3), max_leaves=9)  # fmt: skip


def rows_of(name):
    cells = [("CBIR", 40.0, np.nan, np.nan, None), (name, 50.0, 5.0, 15.0, None), (f"{name} 2", np.nan, np.nan, np.nan, name)]
    rows = pd.DataFrame(cells, columns=["method", "ours", "low", "high", "note"])
    return rows.assign(table="phs-1", dataset=name, model=name, metric="MP@100", published=[39.0, np.nan, np.nan], ap=name)


class Reader(HTMLParser):
    """Tags with their attributes, and the text, of a page."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.words = [], []
        self.feed(text)
        self.close()
        self.text = " ".join(" ".join(self.words).split())

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))

    def handle_data(self, data):
        self.words.append(data)


def harmless(text):
    """The page as read; it holds no element that acts or asks anybody, but for our own script, which the page's policy names by its digest."""
    page = Reader(text)
    scripts = re.findall(r"<script\b[^>]*>(.*?)</script>", text, re.DOTALL)
    assert scripts == [SCRIPT] and [tag for tag, _ in page.tags].count("script") == 1
    digest = base64.b64encode(hashlib.sha256(scripts[0].encode()).digest()).decode()
    assert text.count("script-src") == 1 and f"script-src 'sha256-{digest}';" in text
    assert not {tag for tag, _ in page.tags} & { "iframe", "object", "svg", "link", "base", "form", "embed"}
    for tag, attributes in page.tags:
        assert not [name for name in attributes if name.startswith("on")], (tag, attributes)
        assert attributes.get("src", "data:image/png;base64,").startswith("data:image/png;base64,")
        assert attributes.get("href", "#").startswith(("#", "./"))
    assert "default-src 'none'" in dict(page.tags)["meta"].get("content", "") or any(
        "default-src 'none'" in (attributes.get("content") or "") for tag, attributes in page.tags if tag == "meta"
    )
    return page


@pytest.mark.parametrize("name", NAMES)
def test_names_are_text_in_every_file(name, tmp_path):
    value, line = NAMES[name], one_line(NAMES[name])
    report.hand_over(tmp_path, STAMP | {"parameters": {"methods": value}, "machine": value})
    path = report.save(rows_of(value), "phs-1", tmp_path)
    page = harmless(Page(tmp_path).write({"phs-2": value}, value).read_text(encoding="utf-8"))
    shown = " ".join(line.split())
    assert page.text.count(shown) >= 6 and shown in report.load(path)[0]["method"].map(lambda text: " ".join(text.split())).tolist()
    rendered = Reader(markdown2html((tmp_path / "phs-1.md").read_text(encoding="utf-8")))
    assert {tag for tag, _ in rendered.tags} <= {"h1", "h2", "p", "table", "thead", "tbody", "tr", "th", "td", "strong", "a"}
    assert not [a for tag, a in rendered.tags if tag == "a" and not a["href"].startswith("#")]
    assert shown in rendered.text
    tex = (tmp_path / "phs-1.tex").read_text(encoding="utf-8")
    assert set(re.findall(r"\\([a-zA-Z]+)", tex)) <= {
        "begin", "end", "centering", "small", "caption", "label", "usepackage", "toprule", "midrule", "addlinespace", "bottomrule", "textbf", "multicolumn", "cmidrule",
        "textbackslash", "textasciitilde", "textasciicircum", "textless", "textgreater", "textbar",
    }  # fmt: skip
    assert len(pd.read_csv(tmp_path / "phs-1.csv")) == 3
    assert len((tmp_path / "phs-1.csv").read_text(encoding="utf-8").splitlines()) == 4


@pytest.mark.parametrize("name", NAMES)
def test_files_in_the_folder_are_nobodys_results(name, tmp_path):
    file = one_line(NAMES[name].replace("/", "|"), 80) if name != "surrogate" else NAMES[name]
    for ending in (".json", "-x.png", ".failed.ipynb"):
        (tmp_path / f"{file}{ending}").write_text('{"table": "<script>1</script>"}')
    (tmp_path / f"phs-1-{file}.png").write_bytes(b"\x89PNG")
    report.save(rows_of("PHS"), "phs-1", tmp_path)
    page = harmless(Page(tmp_path).write().read_text(encoding="utf-8"))
    assert "1 tables, 0 failed" in page.text and "window.hit = 1" not in page.text
    assert len([tag for tag, _ in page.tags if tag == "img"]) == 1


def edited(path, change):
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


@pytest.mark.parametrize(
    "change",
    [
        lambda c: c.update(stamp="<script>"), lambda c: c.update(stamp={"key": "k"}), lambda c: c.update(stamp=[1]),
        lambda c: c["stamp"].update(seconds="<b>"), lambda c: c["stamp"].update(versions=3), lambda c: c.update(rows={"a": 1}),
        lambda c: c["rows"][0].update(method={"a": 1}), lambda c: c["rows"][0].update(method=None), lambda c: c["rows"][0].update(ours="x"),
        lambda c: c["rows"][1].update(low="<b>"), lambda c: c["rows"][1].update(note=["a"]), lambda c: c.update(table="phs-2"),
        lambda c: c["rows"][1].update(high=float("inf")), lambda c: c.update(notices=[["a"]]), lambda c: c.update(notices=3),
        lambda c: c.pop("stamp"), lambda c: c.update(rows=[[1, 2]]), lambda c: c["rows"][0].update(table=[1]),
    ],
)  # fmt: skip
def test_an_alien_json_of_a_tables_name_is_said_to_be_none(change, tmp_path):
    report.hand_over(tmp_path, STAMP)
    path = report.save(rows_of("PHS"), "phs-1", tmp_path)
    edited(path, change)
    page = harmless(Page(tmp_path).write().read_text())
    assert "0 tables, 1 failed" in page.text and "phs-1 failed." in page.text and "run it again" in page.text


@pytest.mark.slow
@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_whatever_stands_in_a_json_is_read_or_refused(data, tmp_path):
    report.hand_over(tmp_path, STAMP)
    path = report.save(rows_of("PHS"), "phs-1", tmp_path)
    content = json.loads(path.read_text())
    place, key = data.draw(st.sampled_from([(c, k) for c in (content, content["stamp"], *content["rows"]) for k in c]))
    place[key] = data.draw(ANY)
    path.write_text(json.dumps(content))
    try:
        report.load(path)
    except IntegrityError as error:
        assert str(path) in str(error)
    harmless(Page(tmp_path).write().read_text(encoding="utf-8"))


def test_a_folder_with_a_hostile_name(tmp_path):
    folder = tmp_path / '<img src="x" onerror="window.hit=1">\u202e$x$'
    report.save(rows_of("PHS"), "phs-1", folder)
    page = harmless(Page(folder).write().read_text(encoding="utf-8"))
    assert 'FOIR workbook: <img src="x" onerror="window.hit=1">\\u202e$x$' in page.text
