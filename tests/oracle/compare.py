"""The tables of the mini world at seed 0 against what the code before the move gave: python tests/oracle/compare.py FOLDER [TABLE ...]

FOLDER holds, for each table, TABLE.json (rows, unrounded) and TABLE.npz (ids and scores of the first 100 results of every
query, by "table|set|model|column|x"). Values may differ by 1e-6, and where they differ by more, only through swaps of
results whose scores are closer than 1e-6. This script goes with the first change that changes numbers on purpose.
"""

import json
import sys
import time
from pathlib import Path

import numpy as np

from foir_lib.bench import rows
from foir_lib.bench.experiment import Experiment
from foir_lib.bench.tables.catalogue import EVERY

CLOSE = 1e-6


def swapped(old: tuple, new: tuple) -> float:
    """The largest gap in score between results that stand at other places in two rankings (scores, ids), 0 where none do.

    A result that only one of the two has counts by its distance from the other's last.
    """
    (_, old_ids), (new_scores, new_ids) = old, new
    gap = 0.0
    for query in np.flatnonzero((old_ids != new_ids).any(1)):
        place = {i: s for i, s in zip(new_ids[query].tolist(), new_scores[query].tolist())}
        for at in np.flatnonzero(old_ids[query] != new_ids[query]):
            there = place.get(int(old_ids[query, at]), float(new_scores[query, -1]))
            gap = max(gap, abs(there - float(new_scores[query, at])))
    return gap


def compare(folder: Path, table: str) -> list[str]:
    """What of a table isn't as before, in words."""
    kept, current = {}, []
    ranking, rows_of_columns = Experiment.ranking, rows._rows

    def watched(self, *arguments, **options):
        made = ranking(self, *arguments, **options)
        kept.setdefault("|".join(map(str, (table, self.set.name, self.model.name, *current[0]))), made)
        return made

    def one_by_one(spec, experiment, columns, k):
        if spec.over.startswith("objects"):
            current[:] = [("", "")]
            return (yield from rows_of_columns(spec, experiment, columns, k))
        for column in columns:
            current[:] = [(column.name, "" if column.x is None else column.x)]
            yield from rows_of_columns(spec, experiment, [column], k)

    Experiment.ranking, rows._rows = watched, one_by_one
    try:
        made = rows.run(table, progress=False)
    finally:
        Experiment.ranking, rows._rows = ranking, rows_of_columns
    keys = [key for key in ("dataset", "model", "method", "metric", "x") if key in made]
    old = {tuple(str(r.get(k)) for k in keys): r["ours"] for r in json.loads((folder / f"{table}.json").read_text())}
    new = {tuple(str(r.get(k)) for k in keys): r["ours"] for r in json.loads(made.to_json(orient="records", double_precision=15))}
    faults = [f"{table}: cells {sorted(set(old) ^ set(new))[:3]}"] if set(old) != set(new) else []
    gaps = {}
    with np.load(folder / f"{table}.npz") as arrays:
        for key in {name[: -len("#ids")] for name in arrays.files if name.endswith("#ids")}:
            if key in kept:
                scores, ids = arrays[f"{key}#scores"], arrays[f"{key}#ids"]
                n = min(len(ids), len(kept[key].ids))
                at = slice(0, ids.shape[1])
                gaps[key] = swapped((scores[:n], ids[:n]), (kept[key].scores[:n, at], kept[key].ids[:n, at]))
    faults += [f"{key}: results that differ by {gap:.1e} changed places" for key, gap in gaps.items() if gap > CLOSE]
    unlike = [(k, old[k], new[k]) for k in set(old) & set(new) if not _equal(old[k], new[k])]
    harmless = any(gaps.values()) or not gaps
    if unlike:
        worst = max(unlike, key=lambda cell: abs((cell[1] or 0) - (cell[2] or 0)))
        words = f"{table}: {len(unlike)} values differ, most {worst}"
        faults += [words + (" (through swaps of equals)" if harmless else "")] if not harmless else []
        print(words, flush=True)
    print(f"{table}: {len(new)} values, {len(gaps)} rankings, largest swap {max(gaps.values(), default=0):.1e}", flush=True)
    return faults


def _equal(a, b):
    return (a is None and b is None) or (a is not None and b is not None and abs(a - b) <= 100 * CLOSE)


if __name__ == "__main__":
    found, start = [], time.time()
    for name in sys.argv[2:] or EVERY:
        found += compare(Path(sys.argv[1]), name)
        print(f"  {time.time() - start:.0f} s", flush=True)
    print(*(found or ["as before"]), sep="\n")
    sys.exit(bool(found))
