"""The page of a run: what is bold, what stands to the right, what is under way."""

import json

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from foir_lib.bench import measured
from foir_lib.bench.runs import report
from foir_lib.bench.runs.page import Page, own

CELLS = {"method": ["CBIR", "P*H**S"], "ours": [50.0, 60.0], "low": [np.nan, 5.0], "high": [np.nan, 15.0]}
ROWS = pd.DataFrame(CELLS).assign(table="phs-1", dataset="d", model="m", metric="MP@100", published=[49.0, np.nan])


def test_the_best_is_bold_where_it_is_so_and_numbers_stand_to_the_right(tmp_path):
    report.save(ROWS, "phs-1", tmp_path)
    text = Page(tmp_path).write().read_text()
    assert "<td class=number>50.0 (49.0)</td>" in text and "<td class=number><b>60.0</b></td>" in text
    assert "<td class=number>+10.0 [5.0, 15.0]</td>" in text and "<td>P*H**S</td>" in text
    assert "<th scope=col>P*H**S</th>" in text and 'href="./phs-1.tex"' in text


def test_notices_stand_below_the_table_in_every_file_and_survive_a_new_drawing(tmp_path):
    noted = [["coco", "thumbnails left out", 12, "a|<b>.jpg"], ["voc", "pictures turned", 3, ""]]
    rows = ROWS.copy()
    rows.attrs["notices"] = noted
    sentences = ["coco: 12 thumbnails left out (first: a|<b>.jpg).", "voc: 3 pictures turned."]
    assert report.notes(report.checked(rows, "phs-1")) == sentences
    path = report.save(report.checked(rows, "phs-1"), "phs-1", tmp_path)
    assert json.loads(path.read_text())["notices"] == noted and report.load(path)[0].attrs["notices"] == noted
    assert "coco: 12 thumbnails left out (first: a\\|\\<b>.jpg)." in (tmp_path / "phs-1.md").read_text()
    text = Page(tmp_path).write().read_text()
    assert "<p class=faint>coco: 12 thumbnails left out (first: a|&lt;b&gt;.jpg).</p>" in text
    report.hand_over(tmp_path, {"key": "k"}, report.load(path)[0])
    assert report.notes(report.earlier_rows(tmp_path)) == sentences
    assert report.notes(report.load(report.save(report.earlier_rows(tmp_path), "phs-1", tmp_path))[0]) == sentences


def test_a_run_under_way_says_so_above_failures_and_tables(tmp_path):
    path = report.save(ROWS, "phs-1", tmp_path)
    (tmp_path / "phs-2.failed.ipynb").write_text("")
    page = Page(tmp_path)
    text = page.write({"phs-2": "it broke."}, "Under way: 2 of 3 tables done, about 1 minute left.").read_text()
    order = ["1 tables, 1 failed", "Under way: 2 of 3", "<b>phs-2 failed.</b> it broke.", "phs-2.failed.ipynb", "<nav", "<section"]
    assert [text.index(words) for words in order] == sorted(text.index(words) for words in order)
    assert "Under way" not in page.write().read_text()
    page.add("phs-1", report.load(path)[0].assign(ours=[1.0, 2.0]), None)  # in place of what was there
    text = page.write().read_text()
    assert "60.0" not in text.split("<details>")[0] and text.count("<section") == 1


def test_what_parts_from_the_papers_stands_on_top_with_its_reason_and_each_table_beside_its_own(tmp_path):
    """phs-1: 16 of 17 agree, ca-7: 4 of 9, counted by hand from the tables; ra-3's first method isn't printed, R-MAC is."""
    for table in ("phs-1", "ca-7", "ra-3"):
        report.save(measured.measured(table), table, tmp_path)
    text = Page(tmp_path).write().read_text()
    top = text[: text.index("<nav")]
    assert "26 of 27 differences decided: 20 with the same sign as in print, 6 with the other. 1 undecided: our 95 % interval holds 0." in top
    assert "Not counted: 10 where the paper prints less than 0.5 percentage points, 11 where the rows hold no interval" in top
    assert "<td>GeM+DF vs GeM</td>" in top and "<td>similarity flows through look-alikes</td>" in top and "<td>wrong answers among the first ten turn the new query away</td>" in top and "suspected cause" in top
    assert '<a href="#phs-1">phs-1</a> 16 of 17, <a href="#ca-7">ca-7</a> 4 of 9. No difference to the first method that both print: <a href="#ra-3">ra-3</a>.' in top
    for name, one in {"phs-1": "<td>✓ same sign</td><td>coco; dinov2-base</td><td>mini-focus; mini-vit</td>", "ca-7": "<td>✗ other sign</td>"}.items():
        section = text.split(f'<section id="{name}">')[1].split("</section>")[0]
        assert "<h3>Beside the paper</h3>" in section and one in section
        assert f'href="./{name}.tex" download' in section and f'href="./{name}-paper.csv" download' in section
    section = text.split('<section id="ra-3">')[1].split("</section>")[0]
    assert "R-MAC, which both have, stands in its place" in section and "<td>RA vs R-MAC</td>" in section
    assert "Of each row: command foir reproduce ra-3; date 2026-" in section, "rows that have no stamp say themselves where they are from"
    assert "Copy table as CSV" in section and "Copy comparison with the paper as CSV" in section
    assert "<dt>R-MAC</dt><dd>regional maximum" in text and "<dt>RPN</dt>" not in text


def test_a_page_without_published_numbers_says_nothing_of_papers(tmp_path):
    report.save(ROWS.assign(table="phs-fig8", x=[1, 2]), "phs-fig8", tmp_path)
    assert "Beside the papers" not in Page(tmp_path).write().read_text()


def test_files_of_a_table_whose_name_begins_with_anothers_are_its_own(tmp_path):
    for name in ("px-davis-figure.png", "px-davis-lost-figure.png", "px-davis-lost.csv", "px-davis-lost-wide.csv", "px-davis-wide.csv"):
        (tmp_path / name).write_bytes(b"")
    assert [path.name for path in own(tmp_path, "px-davis", ".png")] == ["px-davis-figure.png"]
    assert [path.name for path in own(tmp_path, "px-davis", ".csv")] == ["px-davis-wide.csv"]
    assert [path.name for path in own(tmp_path, "px-davis-lost", ".png")] == ["px-davis-lost-figure.png"]


def test_a_figure_of_the_page_says_in_words_what_it_shows(tmp_path):
    figure = plt.figure()
    plt.close(figure)
    report.save(ROWS, "phs-1", tmp_path, {"plain": figure})
    assert '<img alt="Table 1: focus-oriented retrieval: plain"' in Page(tmp_path).write().read_text()
    figure.alt = 'Bars: "CBIR" 50 — café'
    report.save(ROWS, "phs-1", tmp_path, {"plain": figure})
    assert '<img alt="Bars: &#34;CBIR&#34; 50 — café"' in Page(tmp_path).write().read_text()
