"""Differences, bold numbers, verdicts and LaTeX, by hand on small tables."""

import pandas as pd
import pytest

from foir_lib.bench.runs import report
from foir_lib.bench.runs.tables_text import BOLD, best, pipes, verdicts

NAN = float("nan")


def rows_of(*cells, table="phs-1", **others):
    """Rows from (method, metric, ours, low, high)."""
    columns = ["method", "metric", "ours", "low", "high"]
    rows = pd.DataFrame(cells, columns=columns).assign(table=table, dataset="d_1", model="m", **others)
    return report.checked(rows, table)


ROWS = rows_of(
    ("CBIR", "MP@100", 52.61, NAN, NAN), ("CBIR", "MAP@100", 63.9, NAN, NAN),
    ("Mask", "MP@100", 45.11, -8.84, -6.13), ("Mask", "MAP@100", 64.9, -0.5, 2.4),
    ("PHS", "MP@100", 63.9, 9.84, 12.9), ("PHS", "MAP@100", 64.8, 0.1, 1.7),
)  # fmt: skip


def test_differences_stand_below_each_metric():
    table = report.wide(ROWS, bold="**{}**")
    assert list(table.columns) == ["CBIR", "Mask", "PHS"]
    assert table.reset_index().to_numpy().tolist() == [
        ["d_1", "m", "MP@100", "52.6", "45.1", "**63.9**"],
        ["d_1", "m", "MP@100 vs CBIR", "", "-7.5 [-8.8, -6.1]", "+11.3 [9.8, 12.9]"],
        ["d_1", "m", "MAP@100", "63.9", "64.9", "64.8"],
        ["d_1", "m", "MAP@100 vs CBIR", "", "+1.0 [-0.5, 2.4]", "+0.9 [0.1, 1.7]"],
    ]
    assert report.wide(ROWS, intervals=False).to_numpy().tolist() == [
        ["52.6", "45.1", "63.9"],
        ["63.9", "64.9", "64.8"],
    ]
    assert report.caption(ROWS) == "MP@100, MAP@100; vs: the difference to the first method and its 95 % interval."


def test_differences_stand_beside_where_methods_stand_down():
    rows = rows_of(("GeM", "mAP", 48.3, NAN, NAN), ("GeM+CA", "mAP", 59.2, 8.0, 13.0), table="ca-4")
    table = report.wide(rows)
    assert list(table.columns) == ["d_1, mAP", "d_1, mAP vs GeM"]
    assert table.to_numpy().tolist() == [["48.3", ""], ["59.2", "+10.9 [8.0, 13.0]"]]


def test_costs_and_missing_methods_have_no_difference():
    rows = rows_of(
        ("GeM", "mAP", 48.3, NAN, NAN), ("GeM", "memory GB", 2.0, NAN, NAN), ("CAM", "mAP", NAN, NAN, NAN),
        ("CAM", "memory GB", NAN, NAN, NAN), ("GeM+CA", "mAP", 59.2, 8.0, 13.0), ("GeM+CA", "memory GB", 9.0, NAN, NAN),
        table="ca-4", note=[None, None, "no classifier", "no classifier", None, None],
    )  # fmt: skip
    table = report.wide(rows, bold="**{}**")
    assert list(table.columns) == ["d_1, mAP", "d_1, mAP vs GeM", "d_1, memory GB"]
    assert (
        table.to_numpy().tolist()
        == [
            ["48.3", "", "2.0"],
            ["-", "", "-"],
            ["**59.2**", "+10.9 [8.0, 13.0]", "9.0"],
        ]
        or table.iloc[1, 1] == ""
    )


def test_a_score_relative_to_the_first_has_its_own_interval():
    metric = "MP@100 relative to CBIR (%)"
    rows = rows_of(("FA", metric, 1.5, -0.5, 3.0), ("PHS", metric, 20.0, 15.0, 24.0), table="phs-fig4", x=[1, 1])
    assert report.wide(rows).reset_index().to_numpy().tolist() == [
        ["d_1", "m", metric, "1.5", "20.0"],
        ["d_1", "m", "95 % interval", "[-0.5, 3.0]", "[15.0, 24.0]"],
    ]
    assert verdicts(rows).to_dict("index") == {
        "FA": {"ahead": 0, "level": 1, "behind": 0},
        "PHS": {"ahead": 1, "level": 0, "behind": 0},
    }


def test_bold_is_the_best_where_it_is_so_beyond_chance():
    assert best(ROWS).tolist() == [False, False, False, False, True, False], "64.9 is best, but its interval holds 0"
    behind = [("GeM", "mAP", 50.0, NAN, NAN), ("A", "mAP", 48.0, -3.0, -1.0), ("B", "mAP", NAN, NAN, NAN)]
    assert best(rows_of(*behind)).tolist() == [True, False, False], "all that could be had lie below the first"
    assert not best(rows_of(*behind, ("C", "mAP", 49.9, -1.0, 0.5))).any()
    assert best(rows_of(behind[0], ("A", "mAP", 52.21, 1, 2), ("B", "mAP", 52.24, 1, 2))).tolist() == [
        False,
        True,
        True,
    ]
    assert not best(rows_of(behind[0])).any(), "alone it is the best of nothing"
    assert not best(ROWS.drop(columns=["low", "high"])).any() and not best(ROWS.assign(x=range(6))).any()
    costs = rows_of(("A", "ms", 5.0, NAN, NAN), ("B", "ms", 9.0, NAN, NAN))
    assert not best(costs).any(), "more of a cost is no merit"


def test_verdicts_count_intervals():
    assert verdicts(ROWS).to_dict("index") == {
        "Mask": {"ahead": 0, "level": 1, "behind": 1},
        "PHS": {"ahead": 2, "level": 0, "behind": 0},
    }
    touching = rows_of(("A", "mAP", 1.0, NAN, NAN), ("B", "mAP", 2.0, 0.0, 2.0), ("C", "mAP", 1.0, 0.0, 0.0))
    assert verdicts(touching)["level"].tolist() == [1, 1]
    assert not len(verdicts(ROWS.drop(columns=["low", "high"])))


def test_markdown_latex_and_csv_hold_them(tmp_path):
    report.save(ROWS, "phs-1", tmp_path)
    text = (tmp_path / "phs-1.md").read_text()
    assert "| d_1 | m | MP@100 | 52.6 | 45.1 | **63.9** |" in text
    assert "| d_1 | m | MP@100 vs CBIR |  | -7.5 [-8.8, -6.1] | +11.3 [9.8, 12.9] |" in text
    lines = (tmp_path / "phs-1.csv").read_text().splitlines()
    assert lines[0].split(",")[-2:] == ["low", "high"] and lines[5].endswith(",63.9,,+9.8,+12.9")
    tex = (tmp_path / "phs-1.tex").read_text()
    assert r"d\_1 & 52.6 & 45.1 & \textbf{63.9} & 63.9 & 64.9 & 64.8 \\" in tex and r"\toprule" in tex
    rows, _ = report.load(tmp_path / "phs-1.json")
    assert rows["low"].tolist() == pytest.approx(ROWS["low"].tolist(), nan_ok=True)


def test_cells_are_escaped():
    table = pd.DataFrame({"a|b": ["x|y\nz"], "50 %": [BOLD.format(1) + " & _"]})
    assert pipes(table) == "| a\\|b | 50 % |\n| --- | --- |\n| x\\|y z | **1** & \\_ |"
