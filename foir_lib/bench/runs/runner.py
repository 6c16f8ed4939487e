"""Tables as batch jobs: notebooks with strict parameters, resumed, stamped, bound into one report."""

from pathlib import Path

import filelock

from foir_lib.bench import limits
from foir_lib.bench.runs import parameters
from foir_lib.bench.runs.batch import READY, Job, run_all
from foir_lib.bench.tables.catalogue import EVERY, find
from foir_lib.errors import InputError, MissingError
from foir_lib.files import as_path, disk_errors, notebooks_root

UNNAMED = ("device", "out")  # parameters that don't name a run's folder
PLACES = ("data_root", "weights", "training_root", "attention", "detector", "guest", "plugin")  # paths, several with commas


def reproduce(
    tables: list[str], values: dict | None = None, out: str | Path | None = None, fresh: bool = False,
    notebooks: str | Path | None = None,
) -> tuple[Path, dict[str, str]]:  # fmt: skip
    """Make tables into a folder; returns ``(folder, failures)``, failures a dict table -> sentence.

    ``tables``: ids, each possibly several separated by commas, or "mini" for those of all papers on the mini world.
    ``values``: parameter name -> value (or command-line text). What the folder ``out`` (default ``runs/<names>``) holds
    already, computed by the same code, lock and parameters, stays unless ``fresh``. A table that fails doesn't stop the
    others. Of "mini" those without a stand-in there are left out, see :func:`needing_data`. Raises InputError before anything runs for an unknown table or parameter, one that some of the tables lack, a
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
        return folder, run_all(jobs, folder, fresh, needing_data(tables, notebooks))


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
        names = [t for t in EVERY if _notebook(t, root).is_file() and not limits.needs_data(t)]
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


def needing_data(tables: list[str], notebooks: str | Path | None = None) -> dict[str, str]:
    """Table -> sentence of those that "mini" leaves out, because their data set has no stand-in in the mini world."""
    root = Path(notebooks) if notebooks else notebooks_root() / "tables"
    every = EVERY if "mini" in tables else ()
    return {table: words for table in every if _notebook(table, root).is_file() and (words := limits.needs_data(table))}


def _for_all(known, values):
    """InputError for a parameter that some tables of a run have (``known``: table -> its parameters) and others lack."""
    for parameter in values:
        having, lacking = ([table for table in known if (parameter in known[table]) is has] for has in (True, False))
        if having and lacking:
            where = f"is known to {having[0]} but not to {lacking[0]}"
            raise InputError(f"Parameter {parameter} {where}: make them in two runs.")


def _notebook(table, root):
    """The notebook of a table's family: phs-1 stands in phs.ipynb, unless the table names another."""
    return root / f"{find(table).notebook or table.split('-')[0]}.ipynb"


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
