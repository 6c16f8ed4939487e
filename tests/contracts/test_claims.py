"""Sentences that compare numbers hold by the numbers in data_manifests/measured, or say by what command or test they were measured.

A sentence of :data:`CLAIMS` stands in README or docs, word by word, and its function asks the measured tables whether it is so. When a table
is measured again and a sentence no longer holds, the sentence goes.
"""

import json
import re
from pathlib import Path

import pandas as pd
import pytest

from foir_lib.bench import measured
from foir_lib.bench.published import published

ROOT = Path(__file__).parents[2]
TEXTS = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
LESSONS = sorted((ROOT / "notebooks" / "tables").glob("*.ipynb"))
SOURCE = re.compile(r"`(foir |make |pytest |tests/|data_manifests/|METHODS)|notebook \d\d|[Ll]esson \d\d|ca-14|<!-- from:")
COMPARES = re.compile(r"\d[\d.]* points?\b|95 % interval|\b(gains?|loses?|ahead of|behind)\b[^.]*\b\d")


def prose():
    """Paragraphs of README and docs, without code, tables and what is made from measured tables, and markdown of the tables' notebooks."""
    found = []
    for path in TEXTS:
        text = re.sub(r"<!-- measured: .*?<!-- end -->|^```.*?^```", "", path.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)
        found += [" ".join(part.split()) for part in re.split(r"\n\s*\n|\n(?=- )", text) if not part.lstrip().startswith(("|", "#"))]
    return found


def of_notebooks():
    return [" ".join("".join(cell["source"]).split()) for path in LESSONS for cell in json.loads(path.read_text(encoding="utf-8"))["cells"] if cell["cell_type"] == "markdown"]


def rows(table, method=None, metric=None, model=None):
    """Measured rows of a table with ``gap``, the difference to the first method of the same data set, model and metric."""
    some = measured.measured(table)
    some = some.assign(gap=some["ours"] - some.groupby(["dataset", "model", "metric"])["ours"].transform("first"))
    for name, value in {"method": method, "metric": metric, "model": model}.items():
        some = some if value is None else some[some[name] == value]
    return some


def ahead(some):
    return bool(len(some)) and bool((some["low"] > 0).all())


def behind(some):
    return bool(len(some)) and bool((some["high"] < 0).all())


def level(some):
    return bool(len(some)) and bool(((some["low"] <= 0) & (some["high"] >= 0)).all())


def near(some, *values, decimals=0):
    return [round(gap, decimals) for gap in some["gap"]] == list(values)


def between(first, second, table="ca-7"):
    """Differences of two methods' scores, medium and hard."""
    return [round(a - b, 1) for a, b in zip(rows(table, first)["ours"], rows(table, second)["ours"])]


CLAIMS = {
    "On drawn scenes, head selection gains where the network has many heads, as in its paper; on landmarks, co-attention and spatial verification gain, and our diffusion loses": lambda: ahead(rows("phs-1", "PHS")) and ahead(rows("ca-4", "GeM+CA")) and ahead(rows("ca-7", "GeM+SP")) and behind(rows("ca-7", "GeM+DF")),
    "PHS gains where the model has many heads, with five of six heads little": lambda: ahead(rows("phs-1", "PHS")) and rows("phs-1", "PHS", model="mini-vit-small")["gap"].max() < 2 < 5 < rows("phs-1", "PHS", model="mini-vit")["gap"].min(),
    "foveal attention (FA) less than a point": lambda: ahead(rows("phs-1", "FA")) and rows("phs-1", "FA")["gap"].max() < 1,
    "Masking the surroundings loses on all nine rows": lambda: behind(rows("phs-1", "Mask")) and len(rows("phs-1", "Mask")) == 9,
    "ahead of CBIR by 0.4 to 4.1 on VOC with the three larger models": lambda: _mask_on_voc() == [0.4, 4.1],
    "As many random heads, our control, lose or are about equal": lambda: bool((rows("phs-1", "Random heads")["low"] <= 0).all()),
    "cropping loses on seven of the nine rows and gains on one": lambda: ((rows("phs-1", "Crop")["high"] < 0).sum(), (rows("phs-1", "Crop")["low"] > 0).sum()) == (7, 1),
    "Co-attention gains 11 points on medium and 16 on hard": lambda: ahead(rows("ca-4", "GeM+CA")) and near(rows("ca-4", "GeM+CA"), 11, 16),
    "Alpha query expansion (alphaQE) loses a point on GeM": lambda: behind(rows("ca-7", "GeM+alphaQE")) and near(rows("ca-7", "GeM+alphaQE"), -1, -1),
    "SuperGlobal is about equal on GeM": lambda: level(rows("ca-7", "GeM+SuperGlobal")),
    "our diffusion (DF) loses everywhere, 5 to 15 points": lambda: behind(rows("ca-7", "GeM+DF")) and sorted(map(round, [*rows("ca-7", "GeM+DF")["gap"], *between("GeM+CA+DF", "GeM+CA")])) == [-15, -13, -7, -5],
    "Spatial verification (SP) gains on both": lambda: ahead(rows("ca-7", "GeM+SP")),
    "On the drawn streets CroW and R-MAC are ahead of GeM on medium, and level with it on hard": lambda: all(ahead(rows("ra-3", name, "mAP medium")) and level(rows("ra-3", name, "mAP hard")) for name in ("CroW", "R-MAC")),
    "Regional attention gains 0.7 points over R-MAC on medium": lambda: between("RA", "R-MAC", "ra-3")[0] in (0.7, 0.8),
}  # fmt: skip
OF_NOTEBOOKS = {
    "PHS gains over plain retrieval (CBIR) on all three flavours and with all three models, every interval lies above 0": lambda: ahead(rows("phs-1", "PHS")) and len(rows("phs-1", "PHS")) == 9,
    "foveal attention (FA) is ahead everywhere, too, but by less than a point": lambda: ahead(rows("phs-1", "FA")) and rows("phs-1", "FA")["gap"].max() < 1,
    "by 9 points on medium and 13 on hard over naive co-attention": lambda: [round(gap) for gap in between("GeM+CA", "GeM+CA (naive)", "ca-4")] == [9, 13],
    "MAC and SPoC are behind it on both protocols": lambda: behind(rows("ra-3", "MAC")) and behind(rows("ra-3", "SPoC")),
    "Attention by the L2 norm, which doesn't know the query, is behind plain GeM on medium and level on hard": lambda: behind(rows("ca-4", "L2-norm attention", "mAP medium")) and level(rows("ca-4", "L2-norm attention", "mAP hard")),
}  # fmt: skip
ELSEWHERE = {  # first words of a paragraph -> the test, by the command that it runs, on data that isn't in the repository
    "On real photographs (500 database and 196 query pictures of COCO": "tests/real/test_real_retrieval.py",
    "On the twenty videos of DAVIS": "tests/real/test_real_localisers.py",
}


def _mask_on_voc():
    cells = published("phs-1").query("dataset == 'voc' and metric == 'MP@100' and model != 'dinov2-small'").pivot(index="model", columns="method", values="value")
    gaps = (cells["Mask"] - cells["CBIR"]).round(1)
    return [gaps.min(), gaps.max()]


@pytest.mark.parametrize("sentence", CLAIMS)
def test_a_sentence_of_readme_or_docs_stands_there_and_holds(sentence):
    assert any(sentence in part for part in prose()), "the sentence is gone or reworded: change it here as well, and see that it holds"
    assert CLAIMS[sentence]()


@pytest.mark.parametrize("sentence", OF_NOTEBOOKS)
def test_a_sentence_of_a_tables_notebook_stands_there_and_holds(sentence):
    assert any(sentence in part for part in of_notebooks()), "the sentence is gone or reworded: change it here as well, and see that it holds"
    assert OF_NOTEBOOKS[sentence]()


def test_paragraphs_that_compare_numbers_are_bound_or_say_how_they_were_measured():
    loose = [part for part in prose() if COMPARES.search(part) and not SOURCE.search(part) and not any(sentence in part for sentence in [*CLAIMS, *ELSEWHERE])]
    assert not loose, "bind a sentence of each to a measured table (CLAIMS), or name in it the command or test that measures it:\n" + "\n".join(part[:200] for part in loose)


@pytest.mark.parametrize("sentence", ELSEWHERE)
def test_what_is_measured_elsewhere_names_a_test_that_is_there(sentence):
    assert any(part.startswith(sentence) for part in prose()) and (ROOT / ELSEWHERE[sentence]).is_file()


def test_a_claim_that_is_wrong_is_seen(monkeypatch):
    wrong = measured.measured("phs-1")
    wrong.loc[wrong["method"] == "Mask", ["low", "high"]] = [1.0, 2.0]
    monkeypatch.setattr(measured, "measured", lambda table: wrong if table == "phs-1" else pd.DataFrame())
    assert not CLAIMS["Masking the surroundings loses on all nine rows"]() and COMPARES.search("gains 3.2 points") and not COMPARES.search("9 boxes a picture")
