"""The numbers the papers published, cell by cell."""

import re
from functools import cache

import pandas as pd

from foir_lib.errors import IntegrityError, unknown
from foir_lib.files import manifest_root

COLUMNS = ["table", "dataset", "model", "method", "metric", "value"]
SOURCES = ("paper", "README", "paper, README")  # where a cell is printed: a further column of tables that the paper alone doesn't print
FOCUS = ("coco", "voc", "visual-genome")
REVISITED = ("roxford5k", "roxford5k+1m", "rparis6k", "rparis6k+1m")
CLASSIC = ("oxford5k", "paris6k", "oxford105k", "paris106k")
OBJECTS = ("voxdet", "permir", "voxdetw", "permirw", "instre-xs", "instre-xxs")
PIXELS = ("proxford5k", "proxford5k+1m", "prparis6k", "prparis6k+1m")
DATASETS = (*FOCUS, *REVISITED, *CLASSIC, *OBJECTS, *PIXELS, "revisitop1m", "imagenet", "any")  # any: of no data set
LOCATED = tuple(f"mIoU {kind} {level}" for level in ("medium", "hard") for kind in "DS")  # detection, segmentation
PERCENT = ("MP@100", "MAP@100", "mAP medium", "mAP hard", "mAP", "accuracy", *LOCATED, "mAP@50:5:95 medium", "mAP@50:5:95 hard")
HUNDREDTHS = ("mIoU avg", "s per 100 pairs")  # of two decimals: percent, seconds
COSTS = ("clusters per image", "memory GB", "ms per query", "ms per image")  # whole numbers


def tables():
    """Names of the tables that have published numbers: ca-1, ..., phs-a7, ra-2a, ..."""
    names = (path.stem for path in manifest_root().joinpath("published").glob("*.csv"))
    return sorted(name for name in names if not name.endswith("-text"))


def published(table):
    """The cells of one published table: table, dataset, model, method, metric, value (percent, or a
    cost, see :data:`COSTS`, seconds); of one that the paper alone doesn't print also source, see :data:`SOURCES`.

    One row per printed cell, in the paper's order. Raises InputError for an unknown table and
    IntegrityError for a damaged file.
    """
    if table not in tables():
        raise unknown("published table", table, tables())
    path = manifest_root() / "published" / f"{table}.csv"
    return _read(table, path, path.stat().st_mtime_ns).copy()


@cache
def _read(table, path, time):
    """Read and check one CSV, once for each state of the file: columns, names, decimals (one; of OBJECTS and HUNDREDTHS two, of costs none), range, no cell twice."""
    try:
        rows = pd.read_csv(path, dtype=str, keep_default_na=False, index_col=False)
    except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError) as error:
        raise IntegrityError(f"{path} is no table ({error}): restore the file.") from error
    if list(rows.columns) not in (COLUMNS, [*COLUMNS, "source"]):
        raise IntegrityError(f"{path} has the columns {list(rows.columns)}, not {COLUMNS}: restore the file.")
    known = {"table": (table,), "dataset": DATASETS, "metric": PERCENT + HUNDREDTHS + COSTS} | ({"source": SOURCES} if "source" in rows else {})
    for line, row in enumerate(rows.itertuples(index=False), start=2):
        cells = row._asdict()
        strange = [f"{k} {cells[k]!r}" for k, values in known.items() if cells[k] not in values]
        strange += [f"empty {k}" for k in ("model", "method") if not cells[k]]
        if not re.fullmatch(_form(row), row.value):
            strange.append(f"value {row.value!r}")
        if strange:
            raise IntegrityError(f"{path} line {line} has {' and '.join(strange)}: restore the file.")
    twice = rows.duplicated(COLUMNS[:-1])
    if twice.any():
        raise IntegrityError(f"{path} line {twice.idxmax() + 2} repeats a cell: restore the file.")
    if rows.empty:
        raise IntegrityError(f"{path} holds no rows: restore the file.")
    return rows.assign(value=rows["value"].astype(float))


def _form(row):
    """What a value must look like."""
    if row.metric in COSTS:
        return r"\d+"
    if row.metric in HUNDREDTHS:
        return r"\d{1,3}\.\d\d"
    return rf"\d{{1,2}}\.\d{{{2 if row.dataset in OBJECTS else 1}}}|100\.0+"


def beside(rows: pd.DataFrame, spec) -> pd.DataFrame:
    """Published value and difference beside ours, where data set and model are the paper's own.

    Where the table ``spec`` says so, systems that the paper alone has, on the same data sets, stand as further rows, and those of
    the tables ``spec.also``. Rows that were through here before get the numbers that are published now.
    """
    keys, table = ["dataset", "model", "method", "metric"], rows["table"].iloc[0]
    rows = rows.assign(**{key: "" for key in keys if key not in rows}).astype({"ours": float})
    if "published" in rows:
        of_paper = rows["ours"].isna() & rows["published"].notna() & (rows["note"].isna() if "note" in rows else True)
        rows = rows[~of_paper].drop(columns=["published", "source"], errors="ignore")
    if table in tables():
        theirs = published(table).rename(columns={"value": "published"}).drop(columns="table")
        others = [model for model in spec.models if model not in set(rows["model"])]
        not_ours = theirs["method"].isin(rows["method"]) & theirs["model"].isin(others)
        later = [published(other).rename(columns={"value": "published"}).drop(columns="table") for other in spec.also]
        extra = pd.concat([theirs[~not_ours], *later], ignore_index=True) if spec.alone else theirs[:0]
        extra = extra[extra["dataset"].isin(rows["dataset"])]
        extra = extra[~pd.MultiIndex.from_frame(extra[keys]).isin(pd.MultiIndex.from_frame(rows[keys]))]
        rows = rows.merge(theirs, on=keys, how="left")
        if len(extra):
            ap = extra["dataset"].map(lambda name: None if name in OBJECTS else "trapezoid")  # MaO doesn't say which
            rows = pd.concat([rows, extra.assign(table=table, ap=ap)], ignore_index=True)
    else:  # a figure: the paper prints no numbers
        rows = rows.assign(published=float("nan"))
    rows["difference"] = rows["ours"] - rows["published"]
    first = ["table", *keys, "published", "ours", "difference"]
    return rows[[*first, *(column for column in rows if column not in first)]]
