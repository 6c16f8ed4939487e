"""LaTeX and wide CSV of tables: read back by a strict reader of booktabs, by hand on small tables, and with hostile names."""

import io
import re

import numpy as np
import pandas as pd
import pytest
from hostile import NAMES

from foir_lib.bench import measured
from foir_lib.bench.agreement import beside_paper
from foir_lib.bench.runs import layout, report

NAN = float("nan")
PLAIN = {"textbackslash": "\\", "textasciitilde": "~", "textasciicircum": "^", "textless": "<", "textgreater": ">", "textbar": "|"}
TABLE = re.compile(
    r"\\begin\{table\}\n\\centering\n\\small\n\\caption\{(?P<caption>.*)\}\n\\label\{tab:(?P<label>[\w.-]+)\}\n"
    r"\\begin\{tabular\}\{(?P<columns>[lr]+)\}\n\\toprule\n(?P<head>(?:.*\n)+?)\\midrule\n(?P<body>(?:.*\n)+?)\\bottomrule\n\\end\{tabular\}\n\\end\{table\}\n"
)


def cells_of(line):
    """The cells of a line that ends with two backslashes, as their own text; AssertionError for what TeX would take for something else."""
    assert line.endswith(" \\\\"), line
    cells, depth, text, rest = [], 0, "", line[: -len(" \\\\")]
    while rest:
        if match := re.match(r"\\(textbackslash|textasciitilde|textasciicircum|textless|textgreater|textbar)\{\}", rest):
            text += PLAIN[match[1]]
        elif match := re.match(r"\\([_%&#${}])", rest):
            text += match[1]
        elif match := re.match(r"\$(-|\\pm|\\alpha)\$", rest):
            text += {"-": "-", "\\pm": "±", "\\alpha": "alpha"}[match[1]]
        elif match := re.match(r"\\textbf(?=\{)", rest):
            text += "!"
        elif match := re.match(r"[{}]", rest):
            depth += 1 if match[0] == "{" else -1
            assert depth >= 0, line
        elif match := re.match(" ?& ?", rest):
            assert depth == 0, line
            cells, text = [*cells, text], ""
        else:
            match = re.match(r"[^\\{}$&#%_^~]", rest)  # nothing else that is special
            assert match, rest
            text += match[0]
        rest = rest[match.end() :]
    assert depth == 0, line
    return [*cells, text]


def read(latex):
    """label -> (caption, alignment, groups, heads, lines) of every table; AssertionError for anything else between them."""
    found = {}
    for match in TABLE.finditer(latex):
        columns, head = match["columns"], match["head"].splitlines()
        groups = []
        if len(head) == 3:
            spans = re.findall(r"& \\multicolumn\{(\d+)\}\{c\}\{((?:[^{}]|\{\})*)\}", head[0])
            blank = len(columns) - sum(int(n) for n, _ in spans)
            ends, rules = blank, re.findall(r"\\cmidrule\(lr\)\{(\d+)-(\d+)\}", head[1])
            for (n, name), (first, last) in zip(spans, rules, strict=True):
                assert (int(first), int(last)) == (ends + 1, ends + int(n))
                ends, groups = int(last), [*groups, (name, int(n))]
            assert ends == len(columns) and head[0].count("&") == blank - 1 + len(spans)
        heads = cells_of(head[-1])
        body = [line for line in match["body"].splitlines() if line != "\\addlinespace"]
        assert not any(line.lstrip().startswith(("[", "*")) for line in body)
        lines = [cells_of(line) for line in body]
        assert {len(line) for line in [heads, *lines]} == {len(columns)}
        cells_of(f"{match['caption']} \\\\")
        found[match["label"]] = match["caption"], columns, groups, heads, lines
    rest = TABLE.sub("", latex).replace("% \\usepackage{booktabs}\n", "")
    assert not rest.strip(), rest
    return found


def rows_of(*cells, table="phs-1", **others):
    """Rows from (model, method, metric, ours, low, high)."""
    columns = ["model", "method", "metric", "ours", "low", "high"]
    return report.checked(pd.DataFrame(cells, columns=columns).assign(table=table, **{"dataset": "d_1"} | others), table)


ROWS = rows_of(
    ("a", "CBIR", "MP@100", 52.61, NAN, NAN), ("a", "CBIR", "MAP@100", 63.9, NAN, NAN), ("a", "PHS", "MP@100", 63.9, 9.84, 12.9),
    ("a", "PHS", "MAP@100", 62.2, -2.5, -0.7), ("b", "CBIR", "MP@100", 50.0, NAN, NAN), ("b", "CBIR", "MAP@100", 60.0, NAN, NAN),
    ("b", "PHS", "MP@100", 50.2, -0.1, 0.5), ("b", "PHS", "MAP@100", 61.0, 0.5, 1.5),
)  # fmt: skip


def test_metrics_are_groups_of_columns_and_the_best_is_bold_where_its_interval_says_so():
    tables = read(layout.latex(ROWS, "Table 1", "What it is."))
    caption, columns, groups, heads, lines = tables["phs-1"]
    assert columns == "lrrrr" and groups == [("MP@100", 2), ("MAP@100", 2)] and heads == ["model", "CBIR", "PHS", "CBIR", "PHS"]
    assert lines == [["a", "52.6", "!63.9", "!63.9", "62.2"], ["b", "50.0", "50.2", "60.0", "!61.0"]]
    assert caption.startswith("Table 1. d\\_1. What it is. Bold: the highest score as printed, if the 95 \\% interval of its difference to CBIR lies above 0")
    caption, columns, groups, heads, lines = tables["phs-1-differences"]
    assert (columns, groups, heads) == ("llrr", [], ["model", "method", "MP@100", "MAP@100"]) and "differences to CBIR in percentage points, computed before rounding" in caption
    assert lines == [["a", "PHS", "+11.3 [9.8, 12.9]", "-1.7 [-2.5, -0.7]"], ["b", "PHS", "+0.2 [-0.1, 0.5]", "+1.0 [0.5, 1.5]"]]


def test_data_sets_stand_below_each_metric_where_methods_stand_down():
    cells = [("r", m, metric, 10.0, NAN, NAN) for m in ("GeM", "CA") for metric in ("mAP medium", "mAP hard")]
    rows = pd.concat([rows_of(*cells, table="ca-4", dataset=name) for name in ("oxford", "paris")], ignore_index=True)
    (_, columns, groups, heads, lines) = read(layout.latex(rows, "T", "c."))["ca-4"]
    assert groups == [("mAP medium", 2), ("mAP hard", 2)] and heads == ["method", "oxford", "paris", "oxford", "paris"]
    assert lines == [["GeM", *["10.0"] * 4], ["CA", *["10.0"] * 4]] and columns == "lrrrr"


def test_a_name_is_told_once_for_the_lines_that_share_it():
    rows = pd.concat([ROWS, ROWS.assign(dataset="d_2")], ignore_index=True)
    text = layout.latex(rows, "T", "c.").split("\\end{table}")[0]
    assert [line[0] for line in read(text + "\\end{table}\n")["phs-1"][-1]] == ["d_1", "", "d_2", ""] and text.count("\\addlinespace") == 1


def test_curves_levels_and_what_has_no_model_have_lines():
    levels = rows_of(("a", "CBIR", "MP", 1.0, NAN, NAN), ("a", "PHS", "MP", 2.0, 0.1, 1.0), ("a", "PHS", "MP", 3.0, 1.0, 3.0), x=[NAN, 1, 2])
    assert read(layout.latex(levels, "T", "c."))["phs-1"][-1] == [["", "1.0", ""], ["1", "", "2.0"], ["2", "", "3.0"]]
    shares = report.checked(pd.DataFrame({"ours": [60.0, 40.0], "x": [1, 2]}).assign(table="phs-fig3", dataset="d", model="", method="", metric="share"), "phs-fig3")
    (_, columns, _, heads, lines) = read(layout.latex(shares, "T", "c."))["phs-fig3"]
    assert heads[-1] == "ours" and [line[-1] for line in lines] == ["60.0", "40.0"]


@pytest.mark.parametrize("table", measured.QUOTED)
def test_measured_tables_are_read_back_cell_by_cell(table):
    rows = measured.measured(table)
    texts = report.pasted(rows)
    tables = read(texts[".tex"])
    printed = [cell.strip("!") for line in tables[table][-1] for cell in line if re.fullmatch(r"!?[\d.]+", cell)]
    assert sorted(printed) == sorted(f"{value:.1f}" for value in rows["ours"])
    spans = [cell for line in tables[f"{table}-differences"][-1] for cell in line if "[" in cell]
    assert len(spans) == rows["low"].notna().sum()
    assert ("-paper.csv" in texts) == (f"{table}-paper" in tables) == bool(len(beside_paper(rows)))
    wide = pd.read_csv(io.StringIO(texts["-wide.csv"]))
    numbers = wide.filter(regex="^(?!.*(minus GeM|minus CBIR|low|high)$)").select_dtypes("number").to_numpy().ravel()
    np.testing.assert_allclose(np.sort(numbers), np.sort(rows["ours"].round(1)))


def test_wide_csv_by_hand():
    lines = layout.wide_csv(ROWS).splitlines()
    assert lines[0].startswith("dataset,model,MP@100 CBIR,MAP@100 CBIR,MP@100 PHS,MP@100 PHS minus CBIR,MP@100 PHS low,MP@100 PHS high,")
    assert lines[1] == "d_1,a,52.6,63.9,63.9,11.3,9.8,12.9,62.2,-1.7,-2.5,-0.7" and len(lines) == 3
    theirs = layout.wide_csv(ROWS.assign(published=[50.0, *[NAN] * 7]))
    assert theirs.splitlines()[0].startswith("dataset,model,MP@100 CBIR,MP@100 CBIR published,") and ",52.6,50.0," in theirs


def test_ours_beside_the_papers_says_which_way_without_marks():
    text = report.pasted(measured.measured("ca-7"))[".tex"]
    caption, _, _, heads, lines = read(text)["ca-7-paper"]
    assert heads == ["difference", "metric", "published", "ours [95 % interval]", "sign"]
    assert lines[1] == ["GeM+DF vs GeM", "mAP medium", "+1.7 to +7.1", "-7.0 [-8.1, -5.9]", "other sign"]
    assert lines[6] == ["GeM+CA+DF vs GeM+CA", "mAP medium", "+0.8 to +4.3", "-12.9", "no interval"] and lines[0][0] == "GeM+alphaQE vs GeM"
    assert r"$\alpha$QE" in text and "Hu and Bors, Co-attention enabled" in caption and "2,000 draws; one seed" in caption
    assert "Stand-in: mini-landmarks with mini-cnn, not the paper's data or model." in caption
    assert "Published on roxford5k, roxford5k+1m, rparis6k, rparis6k+1m; resnet101; ours on mini-landmarks; mini-cnn" in caption


@pytest.mark.parametrize("name", [*NAMES.values(), "[2]", "*x", "[1.5]", r"\input{/etc/passwd}", "a & b \\\\ \\hline", "100%", "{", "}}", "x^2_3~$4$#"])
def test_any_name_is_text(name):
    rows = rows_of(("a", "CBIR", "MP@100", 52.6, NAN, NAN), ("a", name, "MP@100", 63.9, 9.8, 12.9), (name, "CBIR", "MP@100", 1.0, NAN, NAN), dataset=name)
    tables = read(report.pasted(rows)[".tex"])
    shown = " ".join(rows["method"][1].split())
    assert " ".join(tables["phs-1"][3][-1].split()) == shown and tables["phs-1"][-1][1][0].split() == shown.split()
