"""What stands around a table in words: the paper it is of, whose data and network it is on, how intervals are made, abbreviations.

``rows``: of one table, as :func:`foir_lib.bench.runs.report.checked` gives them.
"""

import json
import re
from collections.abc import Iterable
from pathlib import Path

import pandas as pd

from foir_lib.bench.agreement import bare, summary
from foir_lib.bench.metrics.intervals import comparable
from foir_lib.bench.tables.catalogue import EVERY, title
from foir_lib.draws import DRAWS

MEANINGS = json.loads(Path(__file__).with_name("abbreviations.json").read_text(encoding="utf-8"))  # abbreviation -> meaning
SIGNS = "A stand-in is no replica: signs of differences are compared, not values. Differences are computed before rounding."
STACKED = "Differences to the first method contain every step before; the last step alone is the difference to a method's own base."


def cited(table: str) -> str:
    """The table's title, and behind it the paper where it is a table of one."""
    paper = EVERY[table].paper if table in EVERY else ""
    return f"{title(table)} ({paper})" if paper else title(table)


def stand_in(rows: pd.DataFrame) -> str:
    """A sentence on data and networks that only stand for the paper's; "" where they are its own, or nobody's stand-ins."""
    table = rows["table"].iloc[0]
    if table not in EVERY:
        return ""
    stands = {bare(one) for some in EVERY[table].stands.values() for one in some}
    names = {what: [name for name in dict.fromkeys(rows[column]) if bare(name) in stands] for what, column in (("data", "dataset"), ("model", "model"))}
    names = {what: some for what, some in names.items() if some}
    if not names:
        return ""
    return f"Stand-in: {' with '.join(', '.join(some) for some in names.values())}, not the paper's {' or '.join(names)}."


def intervals(rows: pd.DataFrame) -> str:
    """How the 95 % intervals of ``rows`` were made, of how many queries and seeds; "" without any."""
    if "low" not in rows or not rows["low"].notna().any():
        return ""
    seeds = rows["seed"].dropna().astype(str).unique() if "seed" in rows else []
    if "spread" in rows and rows["spread"].notna().any():
        return "95 % intervals: t-intervals over seeds."
    sizes = sorted({int(n) for n in rows["n_queries"].dropna()}) if "n_queries" in rows else []
    of = f" ({', '.join(map(str, sizes))} queries)" if sizes else ""
    return f"95 % intervals: paired bootstrap over query pictures or landmarks{of}, {DRAWS:,} draws; {'one seed' if len(seeds) < 2 else 'each of one seed'}."


def bold(rows: pd.DataFrame) -> str:
    """When a score is bold (:func:`foir_lib.bench.runs.tables_text.best`), in a sentence; "" without intervals."""
    if "low" not in rows or "x" in rows:
        return ""
    first = " or ".join(first_methods(rows))
    return (f"Bold: the highest score as printed, if the 95 % interval of its difference to {first} lies above 0; "
            f"{first} itself, if it is the highest and all other intervals lie below 0.")  # fmt: skip


def beside(pairs: pd.DataFrame) -> str:
    """How many differences agree (:func:`foir_lib.bench.agreement.summary`), and what differences to other bases than the first method are."""
    base, others = EVERY[pairs["table"].iloc[0]].base, set(pairs["against"])
    words = f" The paper doesn't print our first method: {base}, which both have, stands in its place." if base in others else ""
    stacked = [method.startswith(f"{against}+") for method, against in zip(pairs["method"], pairs["against"])]
    return summary(pairs) + words + (f" {STACKED}" if any(stacked) and len(others) > 1 and not words else "")


def first_methods(rows: pd.DataFrame) -> list[str]:
    """The methods that others are compared with."""
    scored = rows[rows["ours"].notna()]
    return list(dict.fromkeys(scored.groupby(comparable(scored), sort=False)["method"].first()))


def found(rows: pd.DataFrame) -> str:
    """What the intervals of ``rows`` say, method by method; "" without any, or of a figure."""
    if "low" not in rows or "x" in rows or not rows["low"].notna().any():
        return ""
    some = rows[rows["low"].notna()]
    ways = {"above 0": some["low"] > 0, "holds 0": (some["low"] <= 0) & (some["high"] >= 0), "below 0": some["high"] < 0}
    of = some.groupby("method").size()
    told = []
    for words, which in ways.items():
        n = some[which].groupby("method", sort=False).size()
        if len(n):
            told.append(f"{words}: {', '.join(f'{method} {k} of {of[method]}' for method, k in n.items())}")
    return f"Found (interval of the difference to {' or '.join(first_methods(rows))}, cells): {'; '.join(told)}."


def abbreviations(names: Iterable[str]) -> dict[str, str]:
    """Abbreviation -> meaning, of those that stand in ``names`` of methods and metrics, in the order of :data:`MEANINGS`."""
    every = "\n".join(names)
    return {short: meaning for short, meaning in MEANINGS.items() if re.search(rf"(?<![\w-]){re.escape(short.removesuffix('@k'))}(?![\w-])", every)}
