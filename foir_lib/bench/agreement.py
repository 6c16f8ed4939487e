"""Ours beside the paper's: whether a method's difference to the table's first one points the same way here as in print.

A stand-in is no replica, so values aren't compared, directions are. Every difference of ours that has an interval meets the
paper's differences of the same two methods on all data sets and networks that ours stands for (:attr:`Table.stand_ins`), or
on ours itself where the paper has it. The paper prints no intervals, so a printed difference below :data:`TINY` says nothing.
"""

import json
from collections.abc import Sequence
from functools import cache
from itertools import product
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from foir_lib.bench.metrics.intervals import comparable
from foir_lib.bench.published import published, tables
from foir_lib.bench.tables.catalogue import find
from foir_lib.errors import InputError

TINY = 0.5  # percent points: a printed difference that is smaller has no direction
SAME, OTHER, OPEN = "✓ same direction", "✗ other direction", "≈ ours within its interval"
SMALL, MIXED = f"– published below {TINY}", "– published both ways"
OUTCOMES = (SAME, OTHER, OPEN, SMALL, MIXED)
COLUMNS = ["table", "dataset", "model", "metric", "method", "against", "least", "most", "of", "ours", "low", "high", "outcome", "why"]
CLASSIC = {"mAP medium": "mAP"}  # the classic protocol counts what the medium one counts: easy and hard pictures
EXPLAINED = Path(__file__).with_name("explained.json")


class Reason(NamedTuple):
    """Why methods of some tables (their ids begin with ``tables``) point the other way, in words that stand in a lesson or in README."""

    tables: str
    methods: tuple[str, ...]
    why: str


def outcome(gains: Sequence[float], low: float, high: float) -> str:
    """One of :data:`OUTCOMES` for the paper's differences ``gains``, at least one, and our 95 % interval, all in percent points.

    Printed differences below :data:`TINY` don't count. If none is left, or they stand on both sides of 0, the paper gives no
    direction; if our interval holds 0, we have none; else the two are the same or not.
    """
    if not len(gains):
        raise InputError("No printed difference: there is nothing to agree with.")
    ways = {gain > 0 for gain in gains if round(abs(gain), 6) >= TINY}
    if len(ways) != 1:
        return MIXED if ways else SMALL
    if low <= 0 <= high:
        return OPEN
    return SAME if ways == {low > 0} else OTHER


def beside_paper(rows: pd.DataFrame) -> pd.DataFrame:
    """One row for each difference of ours (with an interval) that the paper prints too: :data:`COLUMNS`.

    ``rows``: of one table, as :func:`foir_lib.bench.runs.report.checked` gives them. against: the first method; least and most: the paper's
    smallest and largest difference; of: the data sets and networks they are printed for; ours, low, high: percent points;
    why: for :data:`OTHER` the explanation in :data:`EXPLAINED`, or "not explained". Empty where there is none.
    """
    table, found = rows["table"].iloc[0], []
    if "low" in rows and "x" not in rows and table in tables():
        printed = published(table).set_index(["dataset", "model", "metric", "method"])["value"].to_dict()
        scored = rows[rows["ours"].notna()]
        for _, group in scored.groupby(comparable(scored), sort=False):
            base = group.iloc[0]
            for row in group[group["low"].notna()].itertuples():
                found += _pair(row, base, printed)
    pairs = pd.DataFrame(found, columns=COLUMNS)
    order = [pairs[name].map({one: i for i, one in enumerate(dict.fromkeys(rows[name]))}) for name in ("metric", "dataset", "model")]
    return pairs.assign(**{f"_{i}": part for i, part in enumerate(order)}).sort_values(["_0", "_1", "_2"], kind="stable")[COLUMNS].reset_index(drop=True)


def _pair(row, base, printed):
    """The difference of one row to the first method beside those printed; none where the paper has none."""
    places = product(_counterparts(row.table, row.dataset, {key[0] for key in printed}), _counterparts(row.table, row.model, {key[1] for key in printed}))
    metric = row.metric if any(key[2] == row.metric for key in printed) else CLASSIC.get(row.metric)
    pairs = {place: [printed.get((*place, metric, method)) for method in (row.method, base["method"])] for place in places}
    gains = {place: round(theirs - first, 6) for place, (theirs, first) in pairs.items() if None not in (theirs, first)}
    if not gains:
        return []
    verdict = outcome(list(gains.values()), row.low, row.high)
    of = "; ".join(", ".join(dict.fromkeys(names)) for names in zip(*gains))
    why = explained(row.table, row.method) if verdict == OTHER else ""
    return [(row.table, row.dataset, row.model, row.metric, row.method, base["method"], min(gains.values()), max(gains.values()), of,
             row.ours - base["ours"], row.low, row.high, verdict, why)]  # fmt: skip


def _counterparts(table, name, printed):
    """The paper's data sets or networks, among those ``printed``, that one of ours is or stands for."""
    if name in printed:
        return [name]
    stands = {paper: [some] if isinstance(some, str) else some for paper, some in find(table).stand_ins.items()}
    return [paper for paper, some in stands.items() if paper in printed and _bare(name) in map(_bare, some)]


def _bare(name):
    """A name without its options: mini-needles of "mini-needles(n=6)"."""
    return name.partition("(")[0].strip()


def explained(table: str, method: str) -> str:
    """Why a method of a table points the other way here, or "not explained"."""
    return next((one.why for one in reasons() if table.startswith(one.tables) and method in one.methods), "not explained")


@cache
def reasons() -> tuple[Reason, ...]:
    """All that is explained, of :data:`EXPLAINED`."""
    return tuple(Reason(**one | {"methods": tuple(one["methods"])}) for one in json.loads(EXPLAINED.read_text(encoding="utf-8")))


def counted(pairs: pd.DataFrame) -> tuple[int, int]:
    """How many differences point the same way as in the paper, of how many in which both ways are known."""
    n = pairs["outcome"].value_counts().reindex(OUTCOMES, fill_value=0)
    return int(n[SAME]), int(n[SAME] + n[OTHER])


def summary(pairs: pd.DataFrame) -> str:
    """How many of the differences agree, in a sentence or two."""
    same, n = counted(pairs)
    rest = {OPEN: "our 95 % interval holds 0", SMALL: f"the paper prints less than {TINY} points", MIXED: "the paper's own point both ways"}
    others = [f"{k} where {why}" for one, why in rest.items() if (k := int((pairs["outcome"] == one).sum()))]
    words = f"{same} of {n} differences to the first method point the same way as in print."
    return words + (f" Not counted: {', '.join(others)}." if others else "")


def parted(pairs: pd.DataFrame) -> pd.DataFrame:
    """Those that point the other way, a row for each table, method and reason: table, method, against, why, n, least and most (printed),
    low and high (ours, from the lowest end of all intervals to the highest), where (our data sets; networks; metrics)."""
    found = []
    for key, part in pairs[pairs["outcome"] == OTHER].groupby(["table", "method", "against", "why"], sort=False):
        where = "; ".join(", ".join(dict.fromkeys(part[name])) for name in ("dataset", "model", "metric"))
        found.append((*key, len(part), part["least"].min(), part["most"].max(), part["low"].min(), part["high"].max(), where))
    return pd.DataFrame(found, columns=["table", "method", "against", "why", "n", "least", "most", "low", "high", "where"])
