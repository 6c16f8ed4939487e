"""Rows of a table as files that a program and a person can read: JSON, CSV, Markdown, PNG."""

import io
import json
import time
from pathlib import Path

import matplotlib
import numpy as np
import pandas as pd
from pandas.api.types import is_numeric_dtype, is_scalar

from foir_lib.bench import captions
from foir_lib.bench.agreement import beside_paper
from foir_lib.bench.published import beside, published, tables
from foir_lib.bench.runs import layout
from foir_lib.bench.runs.tables_text import BOLD, DECIMALS, best, cells, number, pipes, plain, with_differences
from foir_lib.bench.tables.catalogue import EVERY, find
from foir_lib.errors import InputError, IntegrityError
from foir_lib.files import as_path, atomic_write, try_place
from foir_lib.notices import Notice
from foir_lib.text import SENTENCE, one_line

KEYS = ["table", "dataset", "model", "method", "metric"]
SCORES = ["published", "ours", "difference"]
NUMBERS = ["published", "ours", "low", "high", "spread", "x"]
BOUNDS = ["low", "high"]  # of the 95 % interval of the difference to the first method, percentage points
ALT = "Description"  # in a PNG: what it shows, in words
HANDED = "run.json"  # in the folder that a notebook writes to


def hand_over(out: str | Path, stamp: dict, rows: pd.DataFrame | None = None) -> None:
    """Leave in the folder ``out`` what :func:`save` writes beside the rows: the stamp, whose seconds start now.

    ``rows``: rows of an earlier run that are still right, for :func:`earlier_rows`; only the figures are drawn again.
    """
    handed = {"stamp": stamp, "started": time.time()} | ({} if rows is None else _content(rows))
    write_json(Path(out) / HANDED, handed)


def earlier_rows(out: str | Path) -> pd.DataFrame | None:
    """The rows that :func:`hand_over` left in the folder ``out`` to be drawn again, beside the numbers published now; None if
    they are to be computed."""
    if out:
        try_place(as_path(out) / HANDED)  # where results will go, before there are any
    handed = _handed(out)
    return _noted(beside(pd.DataFrame(rows), find(rows[0]["table"])), handed["notices"]) if (rows := handed.get("rows")) else None


def _handed(out):
    path = Path(out) / HANDED
    return json.loads(path.read_text(encoding="utf-8")) if out and path.is_file() else {}


def save(rows: pd.DataFrame, table: str, out: str | Path, figures: dict | None = None) -> Path:
    """Write ``<table>.json``, ``.csv``, ``.md``, ``.tex``, ``-wide.csv``, where there are numbers of the paper to stand beside ours
    ``-paper.csv``, and a PNG and a PDF per figure into the folder ``out``.

    ``rows``: long format with the columns :data:`KEYS`, "ours", and where known "published" (percent), besides any others
    such as x, n_queries, n_database; "difference" is computed. ``figures``: name -> matplotlib Figure, written as
    ``<table>-<name>.png`` and ``.pdf``. Each file appears whole or not at all; the JSON, which holds unrounded rows without NaN and
    the stamp of :func:`hand_over` (None without), comes last. Returns its path. Raises InputError for rows that lack a
    column, are none, repeat a cell or belong to another table.
    """
    rows, folder = checked(rows, table), as_path(out)
    for name, figure in (figures or {}).items():
        words = one_line(getattr(figure, "alt", ""), None)
        for ending, about in (("png", {"Software": None, ALT: words}), ("pdf", {"CreationDate": None, "Subject": words})):
            picture = io.BytesIO()
            with matplotlib.rc_context({"pdf.fonttype": 42}):  # letters that printers and publishers take
                figure.savefig(picture, format=ending, dpi=110, bbox_inches="tight", metadata=about)
            atomic_write(folder / f"{table}-{name}.{ending}", picture.getvalue())
    atomic_write(folder / f"{table}.csv", rounded(rows).to_csv(index=False, lineterminator="\n"))
    atomic_write(folder / f"{table}.md", markdown(rows))
    for ending, text in pasted(rows).items():
        atomic_write(folder / f"{table}{ending}", text)
    handed, path = _handed(folder), folder / f"{table}.json"
    stamp = {"seconds": round(time.time() - handed["started"], 1)} | handed["stamp"] if handed else None
    write_json(path, {"table": table, "stamp": stamp} | _content(rows))
    return path


def pasted(rows: pd.DataFrame) -> dict[str, str]:
    """What one pastes into a paper or a spreadsheet, by the ending of its file: LaTeX, wide CSV, and ours beside the paper's as CSV."""
    name, pairs = captions.cited(rows["table"].iloc[0]), beside_paper(rows)
    texts = {".tex": layout.latex(rows, name, caption(rows.drop(columns=BOUNDS, errors="ignore"))), "-wide.csv": layout.wide_csv(rows)}
    if len(pairs):
        texts[".tex"] += "\n" + layout.latex_beside(pairs, name, " ".join(filter(None, [captions.stand_in(rows), captions.beside(pairs), captions.intervals(rows)])))
        texts["-paper.csv"] = layout.paper_csv(pairs)
    return texts


def checked(rows: pd.DataFrame, table: str) -> pd.DataFrame:
    """``rows`` with all columns in their order, sorted as they came, texts of one line. InputError if they can't be."""
    if missing := [c for c in [*KEYS, "ours"] if c not in rows]:
        raise InputError(f"Rows of {table} lack the column {missing[0]!r}.")
    if rows.empty:
        raise InputError(f"There are no rows of {table} to save.")
    rows = _typed(rows, table)
    if strange := set(rows["table"]) - {table}:
        raise InputError(f"Rows of {table} hold cells of {strange.pop()!r}.")
    cell, notices = [*KEYS, *(["x"] if "x" in rows else [])], rows.attrs
    if (twice := rows.duplicated(cell)).any():
        raise InputError(f"Rows of {table} repeat the cell {tuple(rows.loc[twice.idxmax(), cell])}.")
    rows = rows if "published" in rows else rows.assign(published=np.nan)
    rows = rows.astype({"published": float, "ours": float})
    rows["difference"] = rows["ours"] - rows["published"]
    rows.attrs = notices
    return rows[[*KEYS, *SCORES, *(c for c in rows if c not in KEYS + SCORES)]].reset_index(drop=True)


def _typed(rows, table):
    """``rows`` with finite numbers where numbers stand, and single values, texts of one line, elsewhere; else InputError."""
    try:
        rows = rows.assign(**{name: pd.to_numeric(rows[name]) for name in NUMBERS if name in rows})
    except (TypeError, ValueError) as error:
        raise InputError(f"Rows of {table} hold a score that is no number ({error}).") from error
    if np.isinf(rows[[name for name in NUMBERS if name in rows]].to_numpy(dtype=float)).any():
        raise InputError(f"Rows of {table} hold an infinite score.")
    for name in [name for name in rows if not is_numeric_dtype(rows[name])]:
        if not rows[name].map(is_scalar if name not in KEYS else lambda cell: isinstance(cell, str)).all():
            raise InputError(f"Rows of {table} hold a {name} that is no text.")
        rows[name] = rows[name].map(lambda cell: one_line(cell) if isinstance(cell, str) else cell)
    return rows


def load(path: str | Path) -> tuple[pd.DataFrame, dict | None]:
    """``(rows, stamp)`` of a JSON file of :func:`save`. Raises IntegrityError if it is damaged, or somebody else's."""
    try:
        content = json.loads(Path(path).read_text(encoding="utf-8"))
        rows, stamp = checked(pd.DataFrame(content["rows"]), content["table"]), content["stamp"]
        if content["table"] != Path(path).stem or not isinstance(stamp, dict | None):
            raise ValueError("another table's name or stamp")
        return _noted(rows, content.get("notices", [])), stamp
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise IntegrityError(f"{path} holds no rows of a table ({error}): run it again.") from error


def _noted(rows, notices):
    """``rows`` with notices on the data that they come from, [data set, reason, number, example] each."""
    rows.attrs["notices"] = [[str(dataset), str(reason), int(n), str(example)] for dataset, reason, n, example in notices]
    return rows


def rounded(rows: pd.DataFrame) -> pd.DataFrame:
    """Rows with one decimal as text ("" for none); the difference is that of the printed numbers."""
    ours, theirs = rows["ours"].round(DECIMALS), rows["published"].round(DECIMALS)
    numbers = {"published": theirs, "ours": ours, "difference": ours - theirs} | {c: rows[c] for c in BOUNDS if c in rows}
    text = {n: [number(v, n in ("difference", *BOUNDS)) for v in column] for n, column in numbers.items()}
    others = {c: [_plain(v) for v in rows[c]] for c in rows if c not in [*KEYS, *numbers]}
    return rows.assign(**text, **others)


def wide(rows: pd.DataFrame, intervals: bool = True, bold: str = "{}") -> pd.DataFrame:
    """The table as a person reads it, its methods across or down as the paper prints them; text cells.

    Methods across: a line for each data set, model, and where there are several metric and x. Methods down: a line for
    each method, model and x, a column for each data set and metric. A cell is our score, behind it the published one in
    brackets where there is one: "52.6 (54.1)"; "52.6 ± 0.4" has a spread over seeds; "-" is a score that can't be had
    (:func:`notes`). ``intervals``: where rows have them, the difference to the first method with its 95 % interval stands
    below or beside: "+11.3 [9.8, 12.9]". ``bold``: how the best of a line is written where it is so beyond chance, e.g. "**{}**". Lines and columns stand in
    the order in which ``rows`` first name them. No column for models where there are none.
    """
    name, text = rows["table"].iloc[0], rounded(rows)
    text = text.assign(cell=cells(rows, bold))
    if intervals and "low" in rows:
        text = with_differences(text, rows)
    across = ["dataset", "metric"] if name in EVERY and EVERY[name].methods == "down" else ["method"]
    several = {c for c in ("metric", "x") if c in text and text[c].nunique(dropna=False) > 1}
    shown = {"dataset", "method"} | several | ({"model"} if rows["model"].any() else set())
    down = [c for c in ("dataset", "method", "model", "metric", "x") if c in shown - set(across)]
    text = text.assign(method=text["method"].replace("", "ours"))
    head = text[[c for c in across if c in shown]].agg(", ".join, axis=1).str.removeprefix("any, ")
    index = text[down].drop_duplicates()
    table = text.assign(head=head).set_index([*down, "head"])["cell"].unstack("head", fill_value="")
    index = pd.MultiIndex.from_frame(index) if len(down) > 1 else pd.Index(index[down[0]])
    return table.reindex(index=index, columns=head.drop_duplicates()).fillna("").rename_axis(columns=None)


def notes(rows: pd.DataFrame) -> list[str]:
    """Sentences below a table: why scores can't be had, each with its methods, and what was noted while data sets were read."""
    notices = [(name, Notice(reason, n, example)) for name, reason, n, example in rows.attrs.get("notices", [])]
    told = [one_line(f"{name}: {notice}.", SENTENCE) for name, notice in notices]
    if "note" not in rows:
        return told
    lacking = rows[rows["note"].fillna("") != ""]
    methods = lacking.groupby("note", sort=False)["method"].unique()
    return [f"{', '.join(names)}: {note}." for note, names in methods.items()] + told


def markdown(rows):
    """The wide table, the paper's own numbers, and every cell with published, ours, difference."""
    table = rows["table"].iloc[0]
    parts = [f"# {plain(captions.cited(table))}", plain(" ".join(filter(None, [caption(rows), *about(rows)]))), pipes(wide(rows, bold=BOLD).reset_index()), *map(plain, notes(rows))]
    if len(pairs := beside_paper(rows)):
        parts += ["## Beside the paper", plain(f"{captions.beside(pairs)} {captions.SIGNS}"), pipes(layout.beside(pairs))]
    if (theirs := of_paper(rows)) is not None:
        parts += ["## Printed in the paper", pipes(theirs.reset_index())]
    parts += ["## Cell by cell", pipes(rounded(rows).drop(columns="table"))]
    return "\n\n".join(parts) + "\n"


def caption(rows):
    """What the numbers are: metric, its average precision where rows name it, and what stands in brackets."""
    what = ", ".join(dict.fromkeys(rows["metric"]))
    if "ap" in rows:  # which average precision: definitions differ by several points
        what += f" (AP: {', '.join(dict.fromkeys(rows['ap'].dropna().astype(str)))})"
    what += "; in brackets the published number" if rows["published"].notna().any() else ""
    return what + ("; vs: the difference to the first method and its 95 % interval." if "low" in rows else ".")


def about(rows):
    """Sentences behind the caption: whose data and network, bold, intervals."""
    return [captions.stand_in(rows), captions.bold(rows) if best(rows).any() else "", captions.intervals(rows)]


def of_paper(rows):
    """The published table (wide) when no row of ours stands beside a number of it, else None."""
    table = rows["table"].iloc[0]
    if rows["published"].notna().any() or table not in tables():
        return None
    return wide(published(table).rename(columns={"value": "ours"}).assign(published=np.nan))


def write_json(path, content):
    """Strict JSON (no NaN), readable, atomically."""
    atomic_write(path, json.dumps(content, indent=1, allow_nan=False, ensure_ascii=False) + "\n")


def _content(rows):
    return {"notices": rows.attrs.get("notices", []), "rows": _records(rows)}


def _records(rows):
    return [{k: _strict(v) for k, v in row.items()} for row in rows.to_dict("records")]


def _strict(value):
    """A cell as JSON has it: None for NaN, plain Python numbers, no noise beyond 6 decimals."""
    if pd.isna(value):
        return None
    value = value.item() if isinstance(value, np.generic) else value
    return round(value, 6) if isinstance(value, float) else value


def _plain(value):
    """A cell of another column: "" for none, whole floats without a point."""
    value = _strict(value)
    return "" if value is None else int(value) if isinstance(value, float) and value.is_integer() else value
