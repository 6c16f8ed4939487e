"""What stands around a table in words, by hand and on measured tables."""

from pathlib import Path

import pandas as pd

from foir_lib.bench import captions, measured
from foir_lib.bench.runs import report
from foir_lib.bench.tables.catalogue import EVERY

ROOT = Path(__file__).parents[2]
NAN = float("nan")


def rows_of(*cells, table="phs-1", **others):
    """Rows from (method, ours, low, high)."""
    rows = pd.DataFrame(cells, columns=["method", "ours", "low", "high"]).assign(table=table, metric="MP@100", **{"dataset": "mini-focus", "model": "mini-vit"} | others)
    return report.checked(rows, table)


def test_every_paper_is_one_that_we_cite():
    cited = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    papers = {spec.paper for spec in EVERY.values() if spec.paper}
    for paper in papers:
        authors, title = paper.split(", ")[:2]
        assert f'title: "{title}' in cited and f"family-names: {authors.split()[0]}\n" in cited
    assert len(papers) == 4 and captions.cited("ra-3").startswith("Regional attention, Table 3: comparison (Kim and Yoon, Regional Attention")
    assert captions.cited("px-davis") == EVERY["px-davis"].title


def test_a_stand_in_is_told_from_the_papers_own():
    cells = [("CBIR", 50.0, NAN, NAN), ("PHS", 60.0, 5.0, 15.0)]
    assert captions.stand_in(rows_of(*cells)) == "Stand-in: mini-focus with mini-vit, not the paper's data or model."
    assert captions.stand_in(rows_of(*cells, model="dinov2-base")) == "Stand-in: mini-focus, not the paper's data."
    assert captions.stand_in(rows_of(*cells, dataset="mini-focus(n=6)", model="guest")) == "Stand-in: mini-focus(n=6), not the paper's data."
    assert captions.stand_in(rows_of(*cells, dataset="coco", model="dinov2-base")) == ""


def test_intervals_say_how_they_were_made():
    told = "95 % intervals: paired bootstrap over query pictures or landmarks (144 queries), 2,000 draws; one seed."
    assert captions.intervals(measured.measured("ca-7")) == told
    assert captions.intervals(rows_of(("CBIR", 50.0, NAN, NAN))) == "" and captions.intervals(rows_of(("CBIR", 50.0, NAN, NAN), ("PHS", 60.0, 5.0, 15.0), spread=[1.0, 1.0])).endswith("over seeds.")


def test_what_was_found_counts_intervals():
    rows = rows_of(("CBIR", 50.0, NAN, NAN), ("Mask", 40.0, -12.0, -8.0), ("FA", 50.1, -0.5, 0.7), ("PHS", 60.0, 5.0, 15.0))
    assert captions.found(rows) == "Found (interval of the difference to CBIR, cells): above 0: PHS 1 of 1; holds 0: FA 1 of 1; below 0: Mask 1 of 1."
    assert captions.found(rows.drop(columns=["low", "high"])) == "" == captions.found(rows.assign(x=range(4)))


def test_abbreviations_are_those_that_occur():
    assert list(captions.abbreviations(["GeM+CA", "MP@100", "R-MAC"])) == ["GeM", "CA", "R-MAC", "MP@k"]
    assert list(captions.abbreviations(["CroW+QE", "PHS (query-db)"])) == ["PHS", "query-db", "CroW", "QE"]
