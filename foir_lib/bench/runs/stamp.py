"""What a result depends on: code, lock, versions, device. Two runs with one key give the same rows, with one ``drawn`` the same figures."""

import dataclasses
import hashlib
import json
import os
import platform
import re
import subprocess
import time
import warnings
from contextlib import suppress
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import torch

from foir_lib import files, folders, registry
from foir_lib.data.contents import stamps
from foir_lib.errors import FoirError
from foir_lib.files import PACKAGE, as_path, checksum, manifest_root
from foir_lib.models import devices
from foir_lib.store import keys

ROWS, JUDGED = "bench/rows.py", "bench/memory/judged.py"  # where the code of rows starts; of tables of memories also here
LIBRARIES = ("torch", "torchvision", "timm", "numpy", "pandas", "faiss-cpu", "pillow")


def stamp(notebook, parameters):
    """The stamp of a run (dict of JSON values) of a notebook with these parameters.

    ``key`` names all that may change the rows: what ``bench.rows``, the table's columns and the openers of its data sets reach,
    what the catalogue says of it, the content of plug-ins, weights of the package, what manifests say of the data, lock,
    versions, device, parameters, and for those that name a file its content, or a folder what the file system tells of all files below it. ``drawn`` names what
    else shows in the result: the notebook's code and what it imports (``view``, report), titles, and the published numbers. When only
    ``drawn`` changed, figures are drawn again from the rows that are there. The commit is part of neither: a commit that changes
    only words keeps results. Raises MissingError for a plug-in that isn't there, InputError for code that can't be found.
    """
    objects, spec = _taking_part(parameters)
    plugin = [as_path(parameters["plugin"])] if parameters.get("plugin") else []
    made_by = {
        "code": keys.code_of(files.PACKAGE / ROWS, *objects, *plugin),
        "lock": _lock(),
        "versions": _versions(),
        "device": devices.described(parameters.get("device")),
        "parameters": parameters,
    }
    touched = {name: _touched(value) for name, value in parameters.items() if name != "plugin"}
    words = _contents(files.PACKAGE / "bench" / "tables", "*.json")
    drawn = [_drawing(Path(notebook)), words, _contents(manifest_root() / "published", "*.csv")]
    return {
        "key": _digest(json.dumps([made_by, spec, touched, _package(), _settings()], sort_keys=True).encode()),
        "drawn": _digest(json.dumps(drawn).encode()),
        "date": time.strftime("%Y-%m-%d %H:%M:%S"),
        **commit(),
        **made_by,
        "seed": parameters.get("seed"),
        "machine": f"{platform.system()} {platform.machine()}, {torch.get_num_threads()} threads",
    }


def commit(root=None):
    """``{"commit": hash or None, "dirty": bool or None}`` of the checkout (None once installed)."""
    root = root or PACKAGE.parent
    with suppress(OSError, subprocess.CalledProcessError):
        head, top = _git(root, "rev-parse", "HEAD"), _git(root, "rev-parse", "--show-toplevel")
        if Path(top).resolve() == Path(root).resolve():  # else installed inside someone else's repository
            return {"commit": head, "dirty": bool(_git(root, "status", "--porcelain", "--untracked-files=no"))}
    return {"commit": None, "dirty": None}


def _git(root, *arguments):
    return subprocess.run(["git", "-C", root, *arguments], capture_output=True, text=True, check=True).stdout.strip()


def _taking_part(parameters):
    """The objects that compute a table's rows, and what the catalogue says of it; none, and "", for what can't run."""
    from foir_lib.bench import limits  # imports every network
    from foir_lib.bench.tables.catalogue import find

    try:
        if parameters.get("plugin"):
            registry.load_plugin(parameters["plugin"])
        spec = find(parameters["table"])
        columns = limits.columns_of(spec, parameters.get("methods") or "")
        names = limits.rows_of(parameters["table"], parameters.get("dataset", "mini"), parameters.get("model", "mini"))
        openers = [registry.lookup("set", limits.place_of(name, "data")[0]) for name in names[0]]
    except (KeyError, FoirError):  # the run itself says what is wrong
        return [], ""
    judged = [files.PACKAGE / JUDGED] if spec.judged else []
    spec = dataclasses.replace(spec, title="", look="", columns=columns)
    methods = [part for one in columns for part in (one.retriever, one.rerank, one.localise) if part]
    return [*(part for method in methods for part in _inside(method)), *openers, *judged], repr((spec, names))


def _inside(method):
    """A method and those that its options name; the ``steps`` of a chain are methods, those of a refinement a number."""
    yield method
    steps = getattr(method, "steps", ())
    for inner in (*(steps if isinstance(steps, tuple) else ()), getattr(method, "localiser", None), getattr(method, "retriever", None)):
        yield from _inside(inner) if inner is not None else ()


@cache
def _package():
    """Digests of the weights that come with the package."""
    return _contents(PACKAGE / "models" / "mini" / "weights", "*.safetensors")


def _settings():
    """What the manifests of data sets say of the data itself."""
    manifests = {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in manifest_root().glob("*.json")}
    return {name: manifest.get("settings") for name, manifest in manifests.items() if isinstance(manifest, dict)}


def _contents(folder, pattern):
    return {path.name: _digest(path.read_bytes()) for path in sorted(folder.glob(pattern))}


def _drawing(notebook):
    """The code of a notebook's cells and what it imports."""
    cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
    code = "\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "code")
    code = re.sub(r"^(\s*)([%!].*)$", lambda line: f"{line[1]}magic({line[2]!r})", code, flags=re.MULTILINE)
    return keys.code_in(code, notebook.parent)


def _lock():
    path = PACKAGE.parent / "requirements.lock"
    return _digest(path.read_bytes()) if path.is_file() else None


def _versions():
    versions = {"python": platform.python_version()} | dict.fromkeys(LIBRARIES)
    for name in LIBRARIES:
        with suppress(PackageNotFoundError):
            versions[name] = version(name)
    return versions


def _touched(value):
    """The content of the file that ``value`` names, or what the file system tells of all files below a folder; or None.

    Several, "path,path", "NAME=path > path" or "Guest(path='path')", are listed one after the other.
    """
    if not isinstance(value, str):
        return None
    value = os.path.expanduser(value)
    if not os.path.exists(value):  # a list of names may be too long for a path
        parts = [part.split("=", 1)[-1].strip(" '\"()") for part in re.split("[,>]", value)] if set(",=>") & set(value) else []
        return [entry for part in parts for entry in _touched(part) or ()] or None
    if not os.path.isdir(value):
        return [(value, checksum(value))]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # whoever opens the set tells what is left out
        return [(value, stamps(folders.files(value, "")))]


def _digest(content):
    return hashlib.sha256(content).hexdigest()
