"""Numbers of ours that the documentation and notebooks quote: ``data_manifests/measured``, one CSV per table, every row with its stamp.

``python -m foir_lib.bench.measured runs/mini`` copies them from a finished run and writes the tables of
``docs/benchmarks.md`` anew; several folders are runs of other seeds, whose rows become means with their spread.
"""

import re
import shlex
import sys
from pathlib import Path

import pandas as pd

from foir_lib.bench.metrics.intervals import comparable, spread
from foir_lib.bench.runs import report
from foir_lib.bench.runs.tables_text import BOLD, pipes
from foir_lib.errors import FoirError, InputError, IntegrityError, unknown
from foir_lib.files import PACKAGE, atomic_write, manifest_root

# table -> metrics of it that we quote
QUOTED = {"phs-1": ["MP@100"]} | dict.fromkeys(("ca-4", "ca-7", "ra-3"), ["mAP medium", "mAP hard"])
STAMP = ["command", "date", "commit", "device", "versions"]
COLUMNS = [*report.KEYS, "ours", *report.BOUNDS, "spread", "n_queries", "n_database", "seed", *STAMP]
DECIMALS = 4


def measured(table: str) -> pd.DataFrame:
    """The rows of one table: :data:`COLUMNS`; scores in percent, low and high as in :mod:`foir_lib.bench.runs.tables_text`.

    Raises InputError for a table that we don't quote and IntegrityError for a damaged file.
    """
    if table not in QUOTED:
        raise unknown("table with measured numbers", table, QUOTED)
    try:
        rows = pd.read_csv(_path(table), dtype={"seed": str, "commit": str})
        if list(rows.columns) != COLUMNS or rows[["ours", *STAMP]].isna().any(axis=None):
            raise ValueError("a column or a cell is missing")
        return report.checked(rows, table)
    except (OSError, ValueError) as error:
        raise IntegrityError(f"{_path(table)} holds no measured numbers ({error}): restore the file.") from error


def markdown(table: str) -> str:
    """The table as docs/benchmarks.md shows it: values, differences to the first method with 95 % intervals, and the run they come from."""
    rows = measured(table)
    stamp = rows[["seed", *STAMP]].iloc[0]
    origin = f"`{stamp['command']}`, seed {stamp['seed']}, {stamp['date'][:10]}, commit {stamp['commit'][:10]}, {stamp['device']}."
    return pipes(report.wide(rows, bold=BOLD).reset_index()) + f"\n\n{origin}"


def in_text(text: str) -> str:
    """``text`` with what stands between ``<!-- measured: phs-1 -->`` and ``<!-- end -->`` written anew, for each table there."""
    block = r"(<!-- measured: (\S+) -->\n).*?(<!-- end -->)"
    return re.sub(block, lambda match: f"{match[1]}\n{markdown(match[2])}\n\n{match[3]}", text, flags=re.DOTALL)


def copy(folders: list[Path]) -> list[Path]:
    """Write the quoted rows of finished runs, of one seed each; returns the files.

    Raises InputError when they hold none of the tables or rows without a stamp, and for two runs of one seed.
    """
    written = []
    for table, metrics in QUOTED.items():
        runs = [report.load(path) for folder in folders if (path := folder / f"{table}.json").is_file()]
        if any(stamp is None for _, stamp in runs):
            raise InputError(f"The rows of {table} have no stamp: make them by `foir reproduce {table}`.")
        seeds = [stamp["seed"] for _, stamp in runs]
        if len(set(seeds)) < len(seeds):
            raise InputError(f"Runs of {table} have the seeds {', '.join(map(str, seeds))}: give one run of each.")
        if runs:
            rows, stamp = over_seeds(dict(zip(seeds, (rows for rows, _ in runs)))), runs[-1][1]
            rows = rows[rows["metric"].isin(metrics) & rows["ours"].notna()].assign(**_words(table, stamp))
            rows = rows.astype({"n_queries": int, "n_database": int})
            text = rows.reindex(columns=COLUMNS).round(DECIMALS).to_csv(index=False, lineterminator="\n")
            atomic_write(_path(table), text)
            written.append(_path(table))
    if not written:
        tables, places = ", ".join(QUOTED), ", ".join(map(str, folders))
        raise InputError(f"There is none of {tables} in {places}: run `foir reproduce mini`.")
    return written


def over_seeds(runs: dict[int, pd.DataFrame]) -> pd.DataFrame:
    """Rows of one table from runs of several seeds: ours is the mean, spread half its 95 % t-interval, low and high that of the
    difference to the first method; column seed names them. Of a single seed its own rows."""
    rows = next(iter(runs.values())).assign(seed=", ".join(map(str, runs))).reset_index(drop=True)
    if len(runs) == 1:
        return rows
    every = pd.concat([run.assign(seed=seed) for seed, run in runs.items()], ignore_index=True)
    every["gap"] = every["ours"] - every["ours"].groupby([every["seed"], *comparable(every)]).transform("first")
    first = rows.groupby(comparable(rows)).cumcount() == 0
    for at, cell in rows[report.KEYS].iterrows():
        seeds = every[(every[report.KEYS] == cell).all(axis=1)]
        ours, gap = spread(seeds["ours"]), spread(seeds["gap"])
        values = ours.mean, ours.high - ours.mean, *((float("nan"),) * 2 if first[at] else (gap.low, gap.high))
        rows.loc[at, ["ours", "spread", *report.BOUNDS]] = values
    return rows


def _path(table):
    return manifest_root() / "measured" / f"{table}.csv"


def _words(table, stamp):
    """A run's stamp as the columns :data:`STAMP`."""
    named = {name: stamp["parameters"].get(name, "mini") for name in ("dataset", "model")}
    options = [f"--{name} {shlex.quote(value)}" for name, value in named.items() if value != "mini"]
    return {
        "command": " ".join([f"foir reproduce {table}", *options]),
        "date": stamp["date"], "commit": (stamp["commit"] or "none") + "+" * bool(stamp["dirty"]), "device": stamp["device"],
        "versions": ", ".join(f"{name} {version}" for name, version in stamp["versions"].items() if version),
    }  # fmt: skip


def main(folders: list[str]) -> int:
    """Copy the rows of runs and write the tables of docs/benchmarks.md anew; 0, or 1 with a sentence."""
    try:
        for path in copy([Path(folder) for folder in folders]):
            print(path)
        page = PACKAGE.parent / "docs" / "benchmarks.md"
        atomic_write(page, in_text(page.read_text(encoding="utf-8")))
    except (FoirError, OSError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
