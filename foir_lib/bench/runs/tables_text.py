"""Cells of tables as text: numbers, differences to the first method with their 95 % intervals, and Markdown.

``rows``: a table in long format (:mod:`foir_lib.bench.runs.report`); its columns low and high, percentage points, are the
interval of the difference to the first method of the same data set, model and metric, which has none itself
(:func:`foir_lib.bench.metrics.intervals.comparable`).
"""

import re

import numpy as np
import pandas as pd

from foir_lib.bench.metrics.intervals import comparable
from foir_lib.text import one_line

DECIMALS = 1
BOLD = "\x02{}\x03"  # a bold part of a cell: no text of data holds these
MARKDOWN = re.compile(r"[\\`*<|~$]|(?<!\w)_|_(?!\w)|\](?=\()|&(?=[#\w]+;)|:(?=//)|^[#>]")


def cells(rows: pd.DataFrame, bold: str = "{}") -> list[str]:
    """One text for each row: our score, behind it the spread over seeds and, in brackets, the published one: "52.6 ± 0.4 (54.1)".

    "-" is a score that can't be had; ``bold``: how :func:`best` scores are written, e.g. "**{}**".
    """
    ours = [bold.format(number(o)) if sure else number(o) for o, sure in zip(rows["ours"].round(DECIMALS), best(rows))]
    if "spread" in rows:
        ours = [f"{o} ± {number(s)}" if s == s else o for o, s in zip(ours, rows["spread"])]
    alone = rows["note"].map(lambda note: "-" if isinstance(note, str) and note else "") if "note" in rows else [""] * len(rows)
    published = map(number, rows["published"].round(DECIMALS))
    return [f"{o or '-'} ({p})" if p else o or a for o, p, a in zip(ours, published, alone)]


def against_first(rows: pd.DataFrame) -> pd.DataFrame:
    """Of each row the difference to the first method (NaN without an interval), the text of it, "+11.3 [9.8, 12.9]" or "", and the name
    of what it is, "MP@100 vs CBIR", and of that method: columns gap, cell, name, base."""
    base = rows[["ours", "method"]].where(_first(rows)).groupby(comparable(rows)).transform("first")
    relative = rows["metric"].str.contains("relative to")  # the score itself is a difference
    gaps = (rows["ours"] - base["ours"]).mask(rows["low"].isna())
    ends = zip(gaps.mask(relative), rows["low"], rows["high"])
    texts = [f"{number(g, True)} [{number(low)}, {number(high)}]".strip() if low == low else "" for g, low, high in ends]
    name = (rows["metric"] + " vs " + base["method"]).mask(relative, "95 % interval")
    return pd.DataFrame({"gap": gaps, "cell": texts, "name": name, "base": base["method"]}, rows.index)


def with_differences(text: pd.DataFrame, rows: pd.DataFrame) -> pd.DataFrame:
    """``text`` (``rows`` with texts in a column cell), and after the rows of each metric that has intervals those of
    "<metric> vs <first method>", with cells such as "+11.3 [9.8, 12.9]"."""
    differences = against_first(rows)
    some = rows["low"].groupby(comparable(rows)).transform("count") > 0
    return pd.concat([text, text.assign(metric=differences["name"], cell=differences["cell"])[some]]).sort_index(kind="stable")


def best(rows: pd.DataFrame) -> pd.Series:
    """Which scores (n,) bool are the best of their data set, model and metric beyond chance: their difference to the first
    method lies above 0; the first one, if every other's lies below. None without intervals, none of a figure (x)."""
    if "low" not in rows or "x" in rows:
        return pd.Series(False, rows.index)
    keys, ours, first = comparable(rows), rows["ours"].round(DECIMALS), _first(rows)
    first &= rows["low"].groupby(keys).transform("count") > 0
    rivals = (~((rows["high"] < 0) | rows["ours"].isna() | first)).groupby(keys).transform("any")
    return (ours == ours.groupby(keys).transform("max")) & ((rows["low"] > 0) | (first & ~rivals))


def _first(rows):
    """Which rows (n,) are those of the first method that has a score."""
    scored = rows["ours"].notna()
    return scored & (scored.groupby(comparable(rows)).cumsum() == 1)


def verdicts(rows: pd.DataFrame) -> pd.DataFrame:
    """How often each method is ahead of the first one, level with it, or behind: the interval of its difference lies above 0,
    holds 0, or lies below. Index method; scores without an interval don't count."""
    low, high = (rows[bound] if bound in rows else pd.Series(np.nan, rows.index) for bound in ("low", "high"))
    counts = pd.DataFrame({"ahead": low > 0, "level": (low <= 0) & (high >= 0), "behind": high < 0})
    return counts[low.notna()].groupby(rows["method"], sort=False).sum()


def number(value: float, sign: bool = False) -> str:
    """One decimal, "" for NaN, never "-0.0"; ``sign``: "+" too."""
    return "" if np.isnan(value) else f"{round(value, DECIMALS) + 0.0:{'+' if sign else ''}.{DECIMALS}f}"


def plain(text: object) -> str:
    """Text as Markdown that reads as it stands; a part in :data:`BOLD` is bold."""
    first, *parts = str(text).split("\x02")
    lines = [one_line(part, None) for part in (first, *(piece for part in parts for piece in part.split("\x03", 1)))]
    entities = {"\\": "&#92;", "$": "&#36;"}  # what looks for mathematics doesn't know escapes
    return "**".join(MARKDOWN.sub(lambda one: entities.get(one[0], f"\\{one[0]}"), line) for line in lines)


def pipes(table: pd.DataFrame) -> str:
    """A table without its index as Markdown."""
    lines = [[plain(cell) for cell in line] for line in (table.columns, *table.to_numpy().tolist())]
    lines.insert(1, ["---"] * len(table.columns))
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
