"""Opening what is registered by name, with the options that it takes: benchmarks and training pictures."""

import inspect
from collections.abc import Callable
from functools import partial
from os import PathLike
from typing import Any

from foir_lib import registry
from foir_lib.data.getting import download
from foir_lib.data.values import flag, whole
from foir_lib.errors import InputError, unknown
from foir_lib.files import as_path


def opened(kind: str, name: str, root: str | PathLike | None, options: dict, seed: int | None = None) -> Any:
    """What the function registered as a ``kind`` of that ``name`` returns for a ``root`` and ``options``; see :func:`opener`."""
    return opener(kind, name, root, options, seed)()


def needs_root(name: str) -> bool:
    """Whether the benchmark of that name is files in a folder, not made from a seed. Raises InputError for an unknown one."""
    takes = inspect.signature(registry.lookup("set", name)).parameters
    return "root" in takes and takes["root"].default is inspect.Parameter.empty


def opener(kind: str, name: str, root: str | PathLike | None, options: dict, seed: int | None = None) -> Callable[[], Any]:
    """The function registered as a ``kind`` of that ``name`` with a ``root`` and ``options``, not called yet.

    Without a root, the folder where `foir data get` puts the set; ``seed`` goes to functions that take one, ``name`` to
    those that serve several. Raises InputError for an unknown name or option, and for a root that is lacking or
    superfluous.
    """
    function = registry.lookup(kind, name)
    takes = inspect.signature(function).parameters
    known = [parameter for parameter in takes if parameter not in ("name", "root")]
    for option in options:
        if option not in known:
            raise unknown(f"{name} option", option, known or ["none"])
    options = {option: _typed(value, takes[option].annotation, f"{name} option {option}") for option, value in options.items()}
    arguments = {key: value for key, value in (("name", name), ("seed", seed)) if key in takes and value is not None}
    if "root" in takes:
        root = root or _fetched(name)
        if root is not None:
            arguments["root"] = as_path(root)
        elif takes["root"].default is inspect.Parameter.empty:
            fetched = f"the files that `foir data get {name} --root FOLDER` fetches"
            files = fetched if manifest(name) else "your photographs"
            raise InputError(f"{name} needs a root: give the folder with {files}.")
    elif root:
        remedy = "leave the root away, or name a real data set"
        raise InputError(f"{name} is made from a seed and has no root (got {root}): {remedy}.")
    return partial(function, **arguments | options)


def _typed(value, annotation, what):
    """An option as its function wants it: flags and whole numbers from text, too."""
    if annotation in (bool, "bool"):
        return flag(value, what)
    if annotation in (int, "int") and isinstance(value, str) and whole(value) is not None:
        return whole(value)
    return value


def manifest(name: str) -> dict:
    """The manifest of a data set, empty for one that has none: one's own folder, a plug-in's set."""
    try:
        return download.manifest(name)
    except InputError:
        return {}


def _fetched(name):
    """Where `foir data get` put a set, None if it isn't there."""
    root = download.data_root(name)
    return root if manifest(name) and root.is_dir() else None
