"""Tables as batch jobs: notebooks with strict parameters, resumed, stamped, bound into one report."""

import os
import shutil
import sys
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import filelock
import nbformat
import papermill
from tqdm.auto import tqdm

from foir_lib.bench import limits
from foir_lib.bench.runs import minutes, parameters, report, stamp
from foir_lib.bench.runs.kernel import Kernel
from foir_lib.bench.runs.page import Page
from foir_lib.bench.tables.catalogue import EVERY, find, title
from foir_lib.errors import FoirError, InputError, IntegrityError, MissingError
from foir_lib.files import as_path, disk_errors, notebooks_root, remove_stale

UNNAMED = ("device", "out")  # parameters that don't name a run's folder
READY = ".ready"  # in a run's folder: tables that are finished, on the way to their places
PLACES = ("data_root", "weights", "training_root", "attention", "detector", "guest", "plugin")  # paths, several with commas


class Job(NamedTuple):
    """One table to make: its id, its notebook and all parameter values but ``out``."""

    table: str
    notebook: Path
    values: dict


def reproduce(
    tables: list[str], values: dict | None = None, out: str | Path | None = None, fresh: bool = False,
    notebooks: str | Path | None = None,
) -> tuple[Path, dict[str, str]]:  # fmt: skip
    """Make tables into a folder; returns ``(folder, failures)``, failures a dict table -> sentence.

    ``tables``: ids, each possibly several separated by commas, or "mini" for those of all papers on the mini world.
    ``values``: parameter name -> value (or command-line text). What the folder ``out`` (default ``runs/<names>``) holds
    already, computed by the same code, lock and parameters, stays unless ``fresh``. A table that fails doesn't stop the
    others. Raises InputError before anything runs for an unknown table or parameter, one that some of the tables lack, a
    value of a wrong type or that can't be (:func:`foir_lib.bench.limits.check`), or a folder in use.
    """
    values = {name: value for name, value in (values or {}).items() if value is not None}
    jobs = plan(tables, values, notebooks)
    for job in jobs:
        limits.check(job.values)
    folder = as_path(out) if out else Path("runs") / _name(tables, values)
    try:
        with disk_errors(f"write results to {folder}", "choose another --out"):
            folder.mkdir(parents=True, exist_ok=True)
            held = filelock.FileLock(folder / ".lock", timeout=0).acquire()
            (folder / READY).mkdir(exist_ok=True)
    except filelock.Timeout as error:
        raise InputError(f"Another run is at work in {folder}: wait or choose another --out.") from error
    with held:
        return folder, _run_all(jobs, folder, fresh)


def plan(tables: list[str], values: dict, notebooks: str | Path | None = None) -> list[Job]:
    """The jobs of a run, all checked; errors as :func:`reproduce`."""
    root = Path(notebooks) if notebooks else notebooks_root() / "tables"
    for name, where in {"out": "the folder of the run: give it as --out", "table": "what is made: name it first"}.items():
        if name in values:
            raise InputError(f"Parameter {name} is {where}.")
    names = [name.strip() for text in tables for name in text.split(",") if name.strip()]
    if not names:
        raise InputError("There is nothing to reproduce: name mini or tables such as phs-1.")
    if "mini" in names:
        _only_mini(names, values)
        names = [t for t in EVERY if _notebook(t, root).is_file()]
        if not names:
            raise MissingError(f"There are no notebooks of tables in {root}: check the checkout.")
    paths = {name: _notebook(name, root) for name in names if find(name)}  # an unknown one is an error
    known = {path: parameters.read(path) for path in dict.fromkeys(paths.values())}
    _for_all({name: known[path] for name, path in paths.items()}, values)
    jobs = []
    for name, path in paths.items():
        watched = {"progress": True} if "progress" in known[path] else {}  # a batch is watched, a lesson isn't
        filled = parameters.fill(known[path], {**watched, **values, "table": name}, path.name)
        jobs.append(Job(name, path, {k: v for k, v in filled.items() if k != "out"}))
    return jobs


def _for_all(known, values):
    """InputError for a parameter that some tables of a run have (``known``: table -> its parameters) and others lack."""
    for parameter in values:
        having, lacking = ([table for table in known if (parameter in known[table]) is has] for has in (True, False))
        if having and lacking:
            where = f"is known to {having[0]} but not to {lacking[0]}"
            raise InputError(f"Parameter {parameter} {where}: make them in two runs.")


def _notebook(table, root):
    """The notebook of a table's family: phs-1 stands in phs.ipynb."""
    return root / f"{table.split('-')[0]}.ipynb"


def _only_mini(names, values):
    if len(names) > 1:
        raise InputError(f"mini is all tables: name it alone, not with {names}.")
    if real := [name for name in ("dataset", "data_root", "model", "weights") if name in values]:
        raise InputError(f"mini is the embedded world and takes no {real[0]}: name tables, such as phs-1,ca-1.")


def _name(tables, values):
    """The folder of a run: tables, and parameters that aren't the defaults."""
    parts = ["+".join(dict.fromkeys(name.strip() for text in tables for name in text.split(",")))]
    parts += [_part(k, v) for k, v in values.items() if k not in UNNAMED]
    text = "-".join(filter(None, parts))
    return "".join(c if c.isalnum() or c in "+-_." else "_" for c in text)[:120]


def _part(name, value):
    """What a parameter adds to the name: its value, of places only the last parts, of others their own name too."""
    if name in PLACES:
        paths = (part.strip().split("=") for part in value.split(","))
        return "+".join("=".join(Path(piece).name for piece in path) for path in paths)
    return f"{value}" if name in ("dataset", "model") else f"{name}-{value}"


def _run_all(jobs, folder, fresh):
    """Run what isn't done, one table after the other in one kernel; the report grows, even when interrupted."""
    settle(folder)
    page, failures, measured, earlier = Page(folder), {}, {}, minutes.remembered()
    done = [job for job in jobs if _standing(job, page, fresh)[2]]
    for job in done:
        _show(job.table, page, "done before, by the same code and parameters")
    ahead = [job for job in jobs if job not in done]
    bar_format = "{desc}: {n_fmt}/{total_fmt} [{elapsed}{postfix}]"  # its own time left takes all tables for alike
    try:
        with (
            Kernel() as kernel,
            tqdm(total=len(jobs), initial=len(done), desc="tables", disable=len(jobs) == 1, bar_format=bar_format) as bar,
        ):
            while ahead:
                left = minutes.words(minutes.left([_called(job) for job in ahead], measured, earlier))
                bar.set_postfix_str(f"{ahead[0].table}, {left}")
                page.write(failures, f"Under way: {len(jobs) - len(ahead)} of {len(jobs)} tables done, {left}.")
                try:
                    _make(ahead[0], folder, fresh, kernel, page, measured)
                except Exception as error:  # whatever one table meets, the others go on
                    failures[ahead[0].table] = _sentence(error)
                    tqdm.write(f"{ahead[0].table} failed: {failures[ahead[0].table]}", file=sys.stderr)
                ahead.pop(0)
                bar.set_postfix_str("", refresh=False)
                bar.update()
    finally:
        shutil.rmtree(folder / ".running", ignore_errors=True)
        with suppress(OSError):
            (folder / READY).rmdir()
        report.write_json(folder / "failures.json", failures)
        stopped = f"Stopped: {len(jobs) - len(ahead)} of {len(jobs)} tables done. The same command goes on from there."
        page.write(failures, stopped if ahead else "")
    return failures


def _standing(job, page, fresh):
    """``(rows, stamp, done)``: rows in the folder that are still right, or None; the stamp that the table is to have.

    Not done with rows: only what draws them has changed since.
    """
    mark = stamp.stamp(job.notebook, job.values)
    rows, earlier = page.results.get(job.table, (None, None))
    if fresh or not earlier or earlier.get("key") != mark["key"]:
        return None, mark, False
    drawn = mark.get("drawn")
    return rows, earlier | {"drawn": drawn}, earlier.get("drawn") == drawn


def _make(job, folder, fresh, kernel, page, measured):
    """Make one table: run its notebook in a folder of its own, move the files into the run's and put it on the page."""
    rows, mark, _ = _standing(job, page, fresh)
    work = (folder / ".running" / job.table).absolute()
    shutil.rmtree(work, ignore_errors=True)
    report.hand_over(work, mark, rows)
    try:
        kernel.run(job.notebook, work / f"{job.table}.ipynb", {**job.values, "out": str(work)})
    except Exception:
        if (work / f"{job.table}.ipynb").is_file():
            os.replace(work / f"{job.table}.ipynb", folder / f"{job.table}.failed.ipynb")
        raise
    computed = rows is None
    rows, mark = report.load(work / f"{job.table}.json")
    _finish(job.table, work, folder, mark)
    page.add(job.table, rows, mark)
    if computed:
        measured[_called(job)] = mark["seconds"]
        minutes.remember(_called(job), mark["seconds"])
    _show(job.table, page, minutes.took(mark["seconds"]) if computed else "drawn again")


def _called(job):
    """What the minutes of a table are remembered by."""
    return " ".join([job.table, *(str(job.values.get(name, "")) for name in ("dataset", "model", "device"))])


def _finish(table, work, folder, mark):
    """Put the finished table in the folder ``work`` into the run's, its notebook stamped and without bars."""
    notebook = nbformat.read(work / f"{table}.ipynb", as_version=4)
    notebook.metadata["foir"] = mark
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs = [output for output in cell.outputs if output.get("name") != "stderr"]
    nbformat.write(notebook, work / f"{table}.ipynb")
    (work / report.HANDED).unlink()
    os.replace(work, folder / READY / table)  # whole from here on, whatever happens
    settle(folder)


def settle(folder: Path) -> None:
    """Move finished tables, also of a run that was killed, to their places; what only earlier results have goes before the rows come.

    A run killed at any moment leaves the earlier result or the new one, which the next run completes.
    """
    remove_stale(folder)
    for ready in sorted((folder / READY).glob("*")):
        table, rows = ready.name, ready / f"{ready.name}.json"
        if rows.is_file():
            for old in [folder / f"{table}.failed.ipynb", *folder.glob(f"{table}-*.png")]:
                if not (ready / old.name).is_file():
                    old.unlink(missing_ok=True)
            os.replace(rows, folder / rows.name)
        for path in sorted(ready.iterdir()):
            os.replace(path, folder / path.name)
        ready.rmdir()


def _show(table, page, how):
    """Print a finished table."""
    rows, _ = page.results[table]
    text = "\n".join([report.wide(rows).reset_index().to_string(index=False), *report.notes(rows)])
    tqdm.write(f"\n{title(table)} ({how})\n{report.caption(rows)}\n\n{text}\n", file=sys.stdout)


def _sentence(error):
    """One line that says what went wrong in a table."""
    if isinstance(error, papermill.PapermillExecutionError):
        known = {kind.__name__ for kind in (FoirError, *FoirError.__subclasses__(), IntegrityError)}
        text = error.evalue if error.ename in known else f"{error.ename}: {error.evalue}"
        return " ".join(f"{text} (cell {error.exec_count})".split())
    if isinstance(error, FoirError):
        return str(error)
    if type(error).__name__ == "DeadKernelError":
        return "The notebook's kernel died, perhaps for want of memory: free some and run it again."
    return " ".join(f"{type(error).__name__}: {error}".split())
