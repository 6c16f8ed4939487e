"""Ours beside the paper's: whether a method's difference to another one has the same sign here as in print.

A stand-in is no replica, so values aren't compared, signs are. Every difference of ours that has an interval meets the
paper's differences of the same two methods on all data sets and networks that ours stands for (:attr:`Table.stand_ins`), or
on ours itself where the paper has it. The paper prints no intervals, so a printed difference below :data:`TINY` says nothing.
Intervals are of differences to the first method. What is built on another method ("GeM+CA+DF" on "GeM+CA"), or stands in a table whose
first method isn't printed (:attr:`Table.base`), meets that method too, without an interval and so without a verdict.
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

TINY = 0.5  # percentage points: a printed difference that is smaller has no sign
SAME, OTHER, OPEN = "same", "other", "undecided"  # the sign of ours and that in print; undecided: our 95 % interval holds 0
SMALL, MIXED, BARE = f"published below {TINY}", "published with both signs", "no interval"
OUTCOMES = (SAME, OTHER, OPEN, SMALL, MIXED, BARE)
COLUMNS = ["table", "dataset", "model", "method", "metric", "against", "least", "most", "of", "ours", "low", "high", "outcome", "why"]
CELL = ["dataset", "model", "method", "metric", "against"]  # what makes a difference of one paper distinct
CLASSIC = {"mAP medium": "mAP"}  # the classic protocol counts what the medium one counts: easy and hard pictures
EXPLAINED = Path(__file__).with_name("explained.json")


class Reason(NamedTuple):
    """What is suspected to turn the sign for methods of some tables (their ids begin with ``tables``), in words that stand in a text or lesson."""

    tables: str
    methods: tuple[str, ...]
    why: str


def outcome(gains: Sequence[float], low: float, high: float) -> str:
    """One of :data:`OUTCOMES` for the paper's differences ``gains``, at least one, and our 95 % interval, all in percentage points.

    Printed differences below :data:`TINY` don't count. If none is left, or they stand on both sides of 0, the paper gives no
    sign; if there is no interval of ours (NaN) or it holds 0, we have none; else the two are the same or not.
    """
    if not len(gains):
        raise InputError("No printed difference: there is nothing to agree with.")
    ways = {gain > 0 for gain in gains if round(abs(gain), 6) >= TINY}
    if len(ways) != 1:
        return MIXED if ways else SMALL
    if low != low:
        return BARE
    if low <= 0 <= high:
        return OPEN
    return SAME if ways == {low > 0} else OTHER


def beside_paper(rows: pd.DataFrame) -> pd.DataFrame:
    """One row for each difference of ours that the paper prints too: :data:`COLUMNS`.

    ``rows``: of one table, as :func:`foir_lib.bench.runs.report.checked` gives them. against: the first method, or where
    low and high are NaN that which the method is built on; least and most: the paper's smallest and largest difference; of: the data sets
    and networks they are printed for; ours, low, high: percentage points; why: for :data:`OTHER` the suspected cause in
    :data:`EXPLAINED`, or "not known". Empty where there is none.
    """
    table, found = rows["table"].iloc[0], []
    if "low" in rows and "x" not in rows and table in tables():
        printed = published(table).set_index(["dataset", "model", "metric", "method"])["value"].to_dict()
        scored = rows[rows["ours"].notna()]
        for _, group in scored.groupby(comparable(scored), sort=False):
            base, values = group.iloc[0]["method"], group.set_index("method")["ours"].to_dict()
            for row in group[group["low"].notna()].itertuples():
                found += _pair(row, base, values[base], printed)
                if (own := _own_base(row.method, values, find(table).base)) not in ("", base, row.method):
                    found += _pair(row._replace(low=float("nan"), high=float("nan")), own, values[own], printed)
    pairs = pd.DataFrame(found, columns=COLUMNS)
    order = [pairs[name].map({one: i for i, one in enumerate(dict.fromkeys(rows[name]))}) for name in ("metric", "dataset", "model")]
    return pairs.assign(**{f"_{i}": part for i, part in enumerate(order)}).sort_values(["_0", "_1", "_2"], kind="stable")[COLUMNS].reset_index(drop=True)


def _own_base(method, methods, base):
    """The method, among ``methods``, that one is built on: GeM+CA of GeM+CA+DF; ``base`` where it is built on none of them; "" for none."""
    parts = method.split("+")
    stacked = ["+".join(parts[:n]) for n in range(len(parts) - 1, 0, -1)]
    return next((one for one in (*stacked, base) if one in methods), "")


def _pair(row, base, value, printed):
    """The difference of one row to the method ``base``, whose score is ``value``, beside those printed; none where the paper has none."""
    places = product(_counterparts(row.table, row.dataset, {key[0] for key in printed}), _counterparts(row.table, row.model, {key[1] for key in printed}))
    metric = row.metric if any(key[2] == row.metric for key in printed) else CLASSIC.get(row.metric)
    pairs = {place: [printed.get((*place, metric, method)) for method in (row.method, base)] for place in places}
    gains = {place: round(theirs - first, 6) for place, (theirs, first) in pairs.items() if None not in (theirs, first)}
    if not gains:
        return []
    verdict = outcome(list(gains.values()), row.low, row.high)
    of = "; ".join(", ".join(dict.fromkeys(names)) for names in zip(*gains))
    why = explained(row.table, row.method) if verdict == OTHER else ""
    return [(row.table, row.dataset, row.model, row.method, row.metric, base, min(gains.values()), max(gains.values()), of,
             row.ours - value, row.low, row.high, verdict, why)]  # fmt: skip


def _counterparts(table, name, printed):
    """The paper's data sets or networks, among those ``printed``, that one of ours is or stands for."""
    if name in printed:
        return [name]
    return [paper for paper, some in find(table).stands.items() if paper in printed and bare(name) in map(bare, some)]


def bare(name: str) -> str:
    """A name without its options: mini-needles of "mini-needles(n=6)"."""
    return name.partition("(")[0].strip()


def explained(table: str, method: str) -> str:
    """What is suspected to turn the sign for a method of a table here, or "not known"."""
    return next((one.why for one in reasons() if table.startswith(one.tables) and method in one.methods), "not known")


@cache
def reasons() -> tuple[Reason, ...]:
    """All suspected causes, of :data:`EXPLAINED`."""
    return tuple(Reason(**one | {"methods": tuple(one["methods"])}) for one in json.loads(EXPLAINED.read_text(encoding="utf-8")))


def distinct(pairs: pd.DataFrame) -> pd.DataFrame:
    """``pairs`` of several tables, each difference once: tables of a paper repeat each other's rows. The first table's stands."""
    paper = pairs["table"].str.partition("-")[0].rename("paper")
    return pairs[~pd.concat([paper, pairs[CELL]], axis=1).duplicated()].reset_index(drop=True)


def counted(pairs: pd.DataFrame) -> tuple[int, int]:
    """How many distinct differences have the same sign as in the paper, of how many in which both signs are known."""
    n = distinct(pairs)["outcome"].value_counts().reindex(OUTCOMES, fill_value=0)
    return int(n[SAME]), int(n[SAME] + n[OTHER])


def summary(pairs: pd.DataFrame) -> str:
    """How many of the distinct differences agree, in some sentences."""
    (same, n), once = counted(pairs), distinct(pairs)
    found = once["outcome"].value_counts().reindex(OUTCOMES, fill_value=0)
    words = f"{n} of {n + found[OPEN]} differences decided: {same} with the same sign as in print, {n - same} with the other." if n + found[OPEN] else "No difference decided."
    words += f" {found[OPEN]} undecided: our 95 % interval holds 0." if found[OPEN] else ""
    rest = {SMALL: f"the paper prints less than {TINY} percentage points", MIXED: "the paper prints both signs", BARE: "the rows hold no interval, since the base isn't the first method"}
    others = [f"{found[one]} where {why}" for one, why in rest.items() if found[one]]
    words += f" Not counted: {', '.join(others)}." if others else ""
    return words + (f" Held by two tables and counted once: {len(pairs) - len(once)}." if len(once) < len(pairs) else "")


def parted(pairs: pd.DataFrame) -> pd.DataFrame:
    """Those of the other sign, each distinct one once: :data:`COLUMNS`."""
    once = distinct(pairs)
    return once[once["outcome"] == OTHER].reset_index(drop=True)
