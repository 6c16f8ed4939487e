"""Tables as batch jobs: notebooks with strict parameters, resumed, stamped, bound into one report."""

import logging
import os
import shutil
import sys
import time
from pathlib import Path
from typing import NamedTuple

import filelock
import nbformat
import papermill
from tqdm.auto import tqdm

from foir_lib.bench.runs import page, parameters, report, stamp
from foir_lib.bench.tables.heads import EVERY, find
from foir_lib.errors import FoirError, InputError, IntegrityError, MissingError
from foir_lib.files import notebooks_root

TEXT_BARS = """import os, warnings
os.environ.setdefault("TQDM_MININTERVAL", "1")
import tqdm.std
with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import tqdm.autonotebook
tqdm.autonotebook.tqdm, tqdm.autonotebook.trange = tqdm.std.tqdm, tqdm.std.trange
del os, warnings, tqdm"""  # run first in the kernel: progress bars as text that a terminal can show
UNNAMED = ("device", "out")  # parameters that don't name a run's folder
PLACES = ("data_root", "weights", "training_root", "attention", "detector", "guest")  # paths, several with commas


class Job(NamedTuple):
    """One table to make: its id, its notebook and all parameter values but ``out``."""

    table: str
    notebook: Path
    values: dict


def reproduce(tables, given=None, out=None, fresh=False, notebooks=None):
    """Make tables into a folder; returns ``(folder, failures)``, failures a dict table -> sentence.

    ``tables``: ids, each possibly several separated by commas, or "mini" for those of all papers on
    the mini world. ``given``: parameter name -> value (or command-line text). What the folder ``out``
    (default ``runs/<names>``) holds already, made by the same code, lock and parameters, is kept
    unless ``fresh``. A table that fails doesn't stop the others. Raises InputError before anything
    runs for an unknown table or parameter, one that some of the tables lack, a value of a wrong type,
    or a folder in use.
    """
    given = {name: value for name, value in (given or {}).items() if value is not None}
    jobs = plan(tables, given, notebooks)
    folder = Path(out) if out else Path("runs") / _name(tables, given)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with filelock.FileLock(folder / ".lock", timeout=0):
            return folder, _run_all(jobs, folder, fresh)
    except filelock.Timeout as error:
        raise InputError(
            f"Another run is at work in {folder}: wait or choose another --out."
        ) from error
    except (FileExistsError, NotADirectoryError, PermissionError) as error:
        raise InputError(f"Results can't be written to {folder} ({error.strerror}).") from error


def plan(tables, given, notebooks=None):
    """The jobs of a run, all checked: list of :class:`Job`; errors as :func:`reproduce`."""
    root = Path(notebooks) if notebooks else notebooks_root() / "tables"
    if "out" in given:
        raise InputError("Parameter out is the folder of the run: give it as --out.")
    names = [name.strip() for text in tables for name in text.split(",") if name.strip()]
    if not names:
        raise InputError("There is nothing to reproduce: name mini or tables such as phs-1.")
    if "mini" in names:
        _only_mini(names, given)
        names = [t for t in EVERY if _notebook(t, root).is_file()]
        if not names:
            raise MissingError(f"There are no notebooks of tables in {root}: check the checkout.")
    names = list(dict.fromkeys(names))
    for name in names:
        find(name)
    known = {name: parameters.read(_notebook(name, root)) for name in names}
    _for_all(known, given)
    jobs = []
    for name, asked in known.items():
        notebook = _notebook(name, root)
        watched = {"progress": True} if "progress" in asked else {}  # a batch is watched, a lesson isn't
        values = parameters.fill(asked, {**watched, **given, "table": name}, notebook.name)
        jobs.append(Job(name, notebook, {k: v for k, v in values.items() if k != "out"}))
    return jobs


def _for_all(known, given):
    """InputError for a parameter that some tables of a run have (``known``: table -> its parameters) and others lack."""
    for parameter in given:
        having = [table for table in known if parameter in known[table]]
        lacking = [table for table in known if parameter not in known[table]]
        if having and lacking:
            raise InputError(
                f"Parameter {parameter} is known to {having[0]} but not to {lacking[0]}: make them in two runs."
            )


def _notebook(table, root):
    """The notebook of a table's family: phs-1 stands in phs.ipynb."""
    return root / f"{table.split('-')[0]}.ipynb"


def _only_mini(names, given):
    real = [name for name in ("dataset", "data_root", "model", "weights") if name in given]
    if len(names) > 1:
        raise InputError(f"mini is all tables: name it alone, not with {names}.")
    if real:
        raise InputError(
            f"mini is the embedded world and takes no {real[0]}: name tables, such as phs-1,ca-1."
        )


def _name(tables, given):
    """The folder of a run: tables and what else was asked for."""
    parts = [name.strip() for text in tables for name in text.split(",")]
    parts = ["+".join(dict.fromkeys(parts))]
    parts += [_part(k, v) for k, v in given.items() if k not in UNNAMED]
    text = "-".join(filter(None, parts))
    return "".join(c if c.isalnum() or c in "+-_." else "_" for c in text)[:120]


def _part(name, value):
    """What a parameter adds to the name: its value, of places only the last parts, of others their own name too."""
    if name in PLACES:
        paths = (part.strip().split("=") for part in value.split(","))
        return "+".join("=".join(Path(piece).name for piece in path) for path in paths)
    return f"{value}" if name in ("dataset", "model") else f"{name}-{value}"


def _run_all(jobs, folder, fresh):
    """Run what isn't done, tell each table, bind the report even when interrupted."""
    failures = {}
    try:
        with tqdm(jobs, desc="tables", unit="table", disable=len(jobs) == 1) as bar:
            for job in bar:
                bar.set_postfix_str(job.table)
                sentence = _run(job, folder, fresh)
                if sentence:
                    failures[job.table] = sentence
    finally:
        shutil.rmtree(folder / ".running", ignore_errors=True)
        report.write_json(folder / "failures.json", failures)
        page.write(folder, failures)
    return failures


def _run(job, folder, fresh):
    """Make one table unless it is done; returns None or a sentence of what went wrong."""
    mark = stamp.stamp(job.notebook, job.values)
    path = folder / f"{job.table}.json"
    if not fresh and _is_done(path, mark):
        _tell(path, "done before, by the same code and parameters")
        return None
    try:
        start = time.monotonic()
        made = _execute(job, folder)
        rows, _ = report.load(made / path.name)
        mark["seconds"] = round(time.monotonic() - start, 1)
        _keep(job, made, folder, rows, mark)
    except Exception as error:  # whatever one table meets, the others go on
        sentence = _sentence(error)
        tqdm.write(f"{job.table} failed: {sentence}", file=sys.stderr)
        return sentence
    _tell(path, f"{mark['seconds']:.0f} s")
    return None


def _execute(job, folder):
    """Run the notebook of a job in a folder of its own under ``folder``; returns that."""
    made = (folder / ".running" / job.table).absolute()
    shutil.rmtree(made, ignore_errors=True)
    made.mkdir(parents=True)
    executed = made / f"{job.table}.ipynb"
    logging.getLogger("papermill").setLevel(logging.ERROR)  # its own look at parameters is a guess
    try:
        papermill.execute_notebook(
            job.notebook,
            executed,
            {**job.values, "out": str(made)},
            kernel_name="python3",
            progress_bar=False,  # the notebook's own bars, on stderr, tell more
            stderr_file=sys.stderr,
            extra_arguments=["--log-level=50", f"--IPKernelApp.exec_lines={TEXT_BARS}"],
        )
    except Exception:
        if executed.is_file():
            os.replace(executed, folder / f"{job.table}.failed.ipynb")
        raise
    return made


def _keep(job, made, folder, rows, mark):
    """Move the files of a finished table into the run's folder, stamped and without bars; the rows come last."""
    executed = made / f"{job.table}.ipynb"
    notebook = nbformat.read(executed, as_version=4)
    notebook.metadata["foir"] = mark
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs = [output for output in cell.outputs if output.get("name") != "stderr"]
    nbformat.write(notebook, executed)
    final = folder / f"{job.table}.json"
    for old in [final, folder / f"{job.table}.failed.ipynb", *folder.glob(f"{job.table}-*.png")]:
        old.unlink(missing_ok=True)
    for path in made.iterdir():
        if path.name != final.name:
            os.replace(path, folder / path.name)
    report.write_rows(final, rows, mark)


def _is_done(path, mark):
    try:
        done = report.load(path)[1] or {}
        return (done.get("key"), done.get("drawn")) == (mark["key"], mark["drawn"])
    except IntegrityError:
        return False


def _tell(path, how):
    """Print a finished table."""
    rows, _ = report.load(path)
    text = "\n".join([report.wide(rows).reset_index().to_string(index=False), *report.notes(rows)])
    tqdm.write(
        f"\n{report.title(path.stem)} ({how})\n{report.caption(rows)}\n\n{text}\n", file=sys.stdout
    )


def _sentence(error):
    """One line that says what went wrong in a table."""
    if isinstance(error, papermill.PapermillExecutionError):
        known = {kind.__name__ for kind in (FoirError, *FoirError.__subclasses__(), IntegrityError)}
        name, value = error.ename, error.evalue
        text = value if name in known else f"{name}: {value}"
        return " ".join(f"{text} (cell {error.exec_count})".split())
    if isinstance(error, FoirError):
        return str(error)
    return " ".join(f"{type(error).__name__}: {error}".split())
