"""The page of a run: what is bold, what stands to the right, what is under way."""

import json

import numpy as np
import pandas as pd

from foir_lib.bench.runs import report
from foir_lib.bench.runs.page import Page

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
