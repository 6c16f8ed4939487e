"""Tables as one pastes them: LaTeX with column groups, for the package booktabs, and wide CSV.

``rows``: a table in long format (:mod:`foir_lib.bench.runs.report`). A metric is a group of columns; in it stands a column
for each method, or where the paper prints methods down (:attr:`Table.methods`) for each data set. What is the same everywhere
stands in the caption.
"""

import re

import pandas as pd

from foir_lib.bench import captions
from foir_lib.bench.agreement import BARE, MIXED, OPEN, OTHER, SAME, SMALL
from foir_lib.bench.runs.tables_text import BOLD, DECIMALS, against_first, best, cells, number
from foir_lib.bench.tables.catalogue import EVERY

SPECIAL = {c: f"\\{c}" for c in "_%&#${}"} | {
    "\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": r"\textless{}", ">": r"\textgreater{}",
    "|": r"\textbar{}", "\x02": r"\textbf{", "\x03": "}",
}  # fmt: skip
NUMBER = re.compile(r"(?:[-+.,\d ()\[\]±\x02\x03]| to )*")  # a cell that stands to the right
MARKS = {  # outcome -> how a person reads it
    SAME: "✓ same sign", OTHER: "✗ other sign", OPEN: "≈ undecided: our interval holds 0", SMALL: f"– {SMALL}", MIXED: f"– {MIXED}", BARE: f"– {BARE}",
}  # fmt: skip
PARTS = {"across": ("dataset", "model", "method"), "down": ("method", "model", "dataset")}  # the first two down, the last across


def escaped(text: object) -> str:
    """Text of one line as LaTeX that reads as it stands; a part in :data:`BOLD` is bold, the minus of a number is one."""
    line = str(text)
    latex = r"$\alpha$QE".join("".join(SPECIAL.get(c, c) for c in part) for part in line.split("alphaQE"))
    if NUMBER.fullmatch(line):
        latex = re.sub(r"-(?=\d)", "$-$", latex).replace("±", r"$\pm$")
    return f"{{{latex[0]}}}{latex[1:]}" if latex[:1] in ("[", "*") else latex  # behind \\ they would be an option


def grouped(rows: pd.DataFrame, values: pd.Series, narrow: bool = False) -> pd.DataFrame:
    """``values`` (one for each row) as a wide table: columns (metric, method or data set), an index of what varies down; NaN where
    there is no row. Lines and columns stand in the order in which ``rows`` first name them. ``narrow``: methods always stand down."""
    rows, down, leaf = _parts(rows)
    if narrow and leaf == "method":
        rows, down, leaf = rows.assign(all=""), [*down, leaf], "all"
    down = [name for name in down if rows[name].nunique() > 1 or name == "method"] or down[:1]
    keys = [*down, "metric", leaf]
    table = rows.assign(value=values).drop_duplicates(keys).set_index(keys)["value"].unstack(["metric", leaf])
    lines = pd.MultiIndex.from_frame(rows[down].drop_duplicates())
    heads = rows[["metric", leaf]].drop_duplicates().sort_values("metric", key=lambda one: one.map(_order(rows["metric"])), kind="stable")
    return table.reindex(index=lines if len(down) > 1 else lines.get_level_values(0), columns=pd.MultiIndex.from_frame(heads))


def _parts(rows):
    """``rows`` with texts as names, what stands down, and what across below the metric."""
    table = rows["table"].iloc[0]
    *down, leaf = PARTS[EVERY[table].methods if table in EVERY else "across"]
    if "x" in rows:
        rows, down = rows.assign(x=rows["x"].map(lambda x: "" if pd.isna(x) else f"{x:g}")), [*down, "x"]
    return rows.assign(method=rows["method"].replace("", "ours")), down, leaf


def _order(names):
    return {name: i for i, name in enumerate(dict.fromkeys(names))}


def latex(rows: pd.DataFrame, title: str, caption: str) -> str:
    """The scores as one table with the best in bold, and where there are intervals a second one with the differences to the first method.

    ``caption``: what the numbers are; a data set or network that is the same everywhere is named behind the title.
    """
    table, same = rows["table"].iloc[0], [rows[name].iloc[0] for name in ("dataset", "model") if rows[name].nunique() == 1]
    head = ". ".join(filter(None, [title.rstrip("."), ", ".join(filter(None, same))]))
    stand_in, bold = captions.stand_in(rows), captions.bold(rows) if best(rows).any() else ""
    parts = [tabular(grouped(rows, pd.Series(cells(rows, BOLD), rows.index)), " ".join(filter(None, [f"{head}.", stand_in, caption, bold])), table)]
    if "low" in rows and rows["low"].notna().any():
        gaps = against_first(rows)
        some = rows[gaps["cell"] != ""]
        what = ", ".join(dict.fromkeys(some["metric"]))
        words = f"{what}: differences to {', '.join(dict.fromkeys(gaps.loc[some.index, 'base']))} in percentage points, computed before rounding."
        words = " ".join(filter(None, [f"{head}.", stand_in, words, captions.intervals(rows)]))
        parts.append(tabular(grouped(some, gaps["cell"][some.index], narrow=True), words, f"{table}-differences"))
    return "% \\usepackage{booktabs}\n" + "\n".join(parts)


def latex_beside(pairs: pd.DataFrame, title: str, caption: str) -> str:
    """:func:`beside` as a LaTeX table, what is the same in all lines in its caption, outcomes without their marks."""
    table, (words, lines) = pairs["table"].iloc[0], shared(beside(pairs))
    lines["sign"] = lines["sign"].str.partition(" ")[2]
    caption = " ".join(filter(None, [f"{title.rstrip('.')}.", words, caption, captions.SIGNS]))
    return tabular(lines.set_index("difference"), caption, f"{table}-paper")


def shared(lines: pd.DataFrame) -> tuple[str, pd.DataFrame]:
    """A sentence on what is the same in all ``lines`` of :func:`beside`, and the lines without it."""
    same = [name for name in ("metric", "published on", "ours on") if lines[name].nunique() == 1]
    words = "; ".join(f"{name} {lines[name].iloc[0]}" for name in same)
    return f"{words[:1].upper()}{words[1:]}." if words else "", lines.drop(columns=same)


def tabular(table: pd.DataFrame, caption: str, label: str) -> str:
    """A wide table of texts as a LaTeX table of booktabs: groups of columns have a rule of their own, a name is told once for the lines
    that share it."""
    names, heads = list(table.index.names), [column if isinstance(column, tuple) else ("", column) for column in table.columns]
    lines = [[*(key if isinstance(key, tuple) else (key,)), *cells] for key, cells in zip(table.index, table.fillna("").to_numpy().tolist())]
    right = [all(NUMBER.fullmatch(str(line[i])) for line in lines) for i in range(len(names) + len(heads))]
    groups, leaves = list(dict.fromkeys(head[0] for head in heads)), {head[1] for head in heads}
    if len(leaves) == 1 and (len(groups) > 1 or leaves == {""}):  # a group of one column is that column
        groups, heads = [""], [("", head[0]) for head in heads]
    rows = [f"\\begin{{tabular}}{{{''.join('lr'[one] for one in right)}}}", "\\toprule"]
    if len(groups) > 1:
        sizes = [sum(head[0] == group for head in heads) for group in groups]
        spans = [f"\\multicolumn{{{n}}}{{c}}{{{escaped(group)}}}" for n, group in zip(sizes, groups)]
        ends = [(len(names) + sum(sizes[:i]) + 1, len(names) + sum(sizes[: i + 1])) for i in range(len(sizes))]
        rows += [" & ".join([""] * len(names) + spans).strip() + " \\\\", " ".join(f"\\cmidrule(lr){{{a}-{b}}}" for a, b in ends)]
    rows += [" & ".join(map(escaped, [*names, *(head[1] for head in heads)])) + " \\\\", "\\midrule"]
    for above, line in zip([None, *lines], lines):
        told = above is not None and len(names) > 1 and above[0] == line[0]
        rows += ["\\addlinespace"] if above is not None and len(names) > 1 and not told else []
        rows.append(" & ".join(["" if told else escaped(line[0]), *map(escaped, line[1:])]) + " \\\\")
    rows += ["\\bottomrule", "\\end{tabular}"]
    head = ["\\begin{table}", "\\centering", "\\small", f"\\caption{{{escaped(caption)}}}", f"\\label{{tab:{label}}}"]
    return "\n".join([*head, *rows, "\\end{table}", ""])


def wide_csv(rows: pd.DataFrame) -> str:
    """A line for each line of the table, its numbers in columns: "<metric> <method>", and behind it where there are any "published",
    "minus <first method>", "low" and "high", its interval."""
    rows, down, leaf = _parts(rows)
    values = {"": rows["ours"], "published": rows["published"]}
    if "low" in rows:
        gaps = against_first(rows)
        first = " or ".join(captions.first_methods(rows))
        values |= {f"minus {first}": gaps["gap"], "low": rows["low"], "high": rows["high"]}
    lines, columns = pd.MultiIndex.from_frame(rows[down].drop_duplicates()), {}
    for metric, name in rows[["metric", leaf]].drop_duplicates().itertuples(index=False):
        part = rows[(rows["metric"] == metric) & (rows[leaf] == name)]
        for what, numbers in values.items():
            if numbers[part.index].notna().any() or not what:
                column = pd.Series(numbers[part.index].to_numpy(), pd.MultiIndex.from_frame(part[down]))
                columns[" ".join(filter(None, [metric, name, what]))] = column.reindex(lines).round(DECIMALS) + 0.0
    return pd.DataFrame(columns, index=lines).reset_index().to_csv(index=False, lineterminator="\n", float_format=f"%.{DECIMALS}f")


def paper_csv(pairs: pd.DataFrame) -> str:
    """:func:`foir_lib.bench.agreement.beside_paper` as CSV, its columns named in full."""
    names = {"against": "base", "least": "published difference, smallest", "most": "published difference, largest", "of": "published on",
             "ours": "our difference", "why": "suspected cause"}  # fmt: skip
    return pairs.round(DECIMALS).rename(columns=names).to_csv(index=False, lineterminator="\n")


def beside(pairs: pd.DataFrame) -> pd.DataFrame:
    """Differences of ours beside the paper's (:func:`foir_lib.bench.agreement.beside_paper`) as texts, a line for each."""
    columns = ["difference", "metric", "published", "ours [95 % interval]", "sign", "published on", "ours on"]
    lines = []
    for row in pairs.itertuples():
        ends = dict.fromkeys(number(end, True) for end in (row.least, row.most))
        ours = number(row.ours, True) + ("" if row.low != row.low else f" [{number(row.low)}, {number(row.high)}]")
        lines.append([f"{row.method} vs {row.against}", row.metric, " to ".join(ends), ours, MARKS[row.outcome], row.of, f"{row.dataset}; {row.model}"])
    return pd.DataFrame(lines, columns=columns)


def parted(other: pd.DataFrame) -> pd.DataFrame:
    """What :func:`foir_lib.bench.agreement.parted` gives, as texts."""
    lines = beside(other).drop(columns="sign")
    lines.insert(4, "suspected cause", other["why"])
    lines.insert(0, "table", other["table"])
    return lines
