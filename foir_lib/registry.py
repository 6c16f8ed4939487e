"""What there is, by name: retrievers, rerankers, localisers, models, detectors, segmenters,
image-text models, sets, training sets, explorers; ours and those of plug-ins.

A thing registers itself where it is defined, ``@register("retriever", "PHS")``. Ours are found by importing the package of
their kind when a name is first asked for, those of installed packages by the entry-point group ``foir``, those of a
file by :func:`load_plugin`.
"""

import ast
import importlib.util
import pkgutil
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import MISSING, fields, is_dataclass
from importlib import import_module
from importlib.metadata import entry_points
from pathlib import Path

from foir_lib.errors import FoirError, InputError, MissingError, unknown
from foir_lib.files import as_path, checksum

HOMES = {  # kind -> packages whose modules register things of it
    "retriever": ("foir_lib.retrievers",),
    "reranker": ("foir_lib.retrievers", "foir_lib.retrievers.reranking"),
    "localiser": ("foir_lib.retrievers.pixels", "foir_lib.retrievers"),
    "model": ("foir_lib.models",),
    "detector": ("foir_lib.models",),
    "segmenter": ("foir_lib.models",),
    "image-text model": ("foir_lib.models",),
    "set": ("foir_lib.data.mini", "foir_lib.data.readers", *(f"foir_lib.data.readers.{family}" for family in ("memory", "objects", "pixels"))),
    "training set": ("foir_lib.data",),
    "explorer": ("foir_lib.view.explorers", "foir_lib.view.memory", "foir_lib.view.study"),
}
_entries: dict[str, dict[str, object]] = {kind: {} for kind in HOMES}
_searched: set[str] = set()
_plugins: dict[Path, str] = {}  # file -> digest of the state that is registered


def register(kind: str, name: str) -> Callable:
    """Decorator: the class or function below it is the ``kind`` of that ``name``.

    Raises InputError for an unknown kind and for a name that something else has already.
    """

    def add(thing):
        if not _place(thing).startswith("foir_lib."):
            _search(kind)  # ours come first: a name that is taken is the newcomer's fault; so is an unknown kind
        old = _entries[kind].get(name)
        if old is not None and _place(old) != _place(thing):
            raise InputError(f"The {kind} {name!r} of {_place(thing)} is there already, in {_place(old)}: name it otherwise.")
        _entries[kind][name] = thing
        if isinstance(thing, type):
            thing.name = name
        return thing

    return add


@contextmanager
def restored() -> Iterator[None]:
    """What is registered inside the ``with`` block is gone after it; what modules of foir_lib registered meanwhile stays."""
    before = {kind: dict(entries) for kind, entries in _entries.items()}
    try:
        yield
    finally:
        for kind, entries in _entries.items():
            _entries[kind] = before[kind] | {name: thing for name, thing in entries.items() if _place(thing).startswith("foir_lib.")}


def names(kind: str) -> list[str]:
    """All names of a kind, in the order in which they were registered."""
    _search(kind)
    return list(_entries[kind])


def lookup(kind: str, name: str):
    """What is registered under a name. Raises InputError for an unknown one, with the nearest names."""
    _search(kind)
    if name not in _entries[kind]:
        raise unknown(kind, name, _entries[kind])
    return _entries[kind][name]


def parse(kind: str, text: str):
    """The object that ``text`` names, e.g. ``PHS(h_on=3)`` or ``GeM``: options are literals, nothing is evaluated.

    Raises InputError for an unknown name or option, another form, and what the object itself refuses.
    """
    thing = lookup(kind, text.partition("(")[0].strip())
    name, options = called(text)
    known = {field.name: field.default is MISSING for field in fields(thing)} if is_dataclass(thing) else {}
    for option in options:
        if option not in known:
            raise InputError(f"{name} has no option {option!r}: it takes {', '.join(known) or 'none'}.")
    if lacking := [option for option, needed in known.items() if needed and option not in options]:
        raise InputError(f"{name} needs {lacking[0]}: write {name}({lacking[0]}=...).")
    return thing(**options)


def called(text: str) -> tuple[str, dict]:
    """The name and the options, literals, of a text such as ``mini-needles(n=25)``. Raises InputError for another form."""
    name, bracket, _ = text.strip().partition("(")
    if not bracket:
        return name.strip(), {}
    try:
        call = ast.parse(f"_{text.strip()[len(name):]}", mode="eval").body
        if not isinstance(call, ast.Call) or not isinstance(call.func, ast.Name) or call.args or any(k.arg is None for k in call.keywords):
            raise ValueError("options are name=value")
        options = {keyword.arg: _literal(keyword.value) for keyword in call.keywords}
        if len(options) < len(call.keywords):
            raise ValueError("an option is given twice")
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        reason = error.msg if isinstance(error, SyntaxError) else error if isinstance(error, ValueError) else "too deep"
        begins = text if len(text) <= 60 else f"{text[:57]}..."
        raise InputError(f"{begins!r} can't be read ({reason}): write {name.strip()}(option=value, ...).") from error
    return name.strip(), options


def _literal(node):
    """The value of a number, text, true, false, none or list as it is written; ValueError for anything else."""
    try:
        return ast.literal_eval(node)
    except (TypeError, ValueError) as error:
        raise ValueError("a value is no number, text, True, False, None or list") from error


def split(text: str) -> list[str]:
    """``"CBIR, PHS(h_on=3, roi='max')"`` as a list: commas inside brackets and quotes don't part."""
    parts = []
    for piece in text.split(","):
        if parts and _is_open(parts[-1]):
            parts[-1] += f",{piece}"
        else:
            parts.append(piece)
    return [part.strip() for part in parts if part.strip()]


def _is_open(text: str) -> bool:
    """Whether a bracket or a quote of the text isn't closed yet."""
    bare = re.sub(r"'[^']*'|\"[^\"]*\"", "", text)
    return bool(set("'\"") & set(bare)) or sum(map(bare.count, "([{")) > sum(map(bare.count, ")]}"))


def load_plugin(path: str | Path) -> str:
    """Run a plug-in's file, so that it registers its things; returns the digest of its content.

    The same content isn't run twice in a row; an earlier state of the file makes room. Raises MissingError without the file,
    InputError for one that doesn't run: nothing of it stays.
    """
    path = as_path(path).resolve()
    if path.suffix != ".py" or not path.is_file():
        raise MissingError(f"There is no plug-in at {path}: give a Python file.")
    digest = checksum(path)[:16]
    module_name = f"foir_plugin_{path.stem}_{digest}"
    if _plugins.get(path) == digest:
        return digest
    spec = importlib.util.spec_from_file_location(module_name, path)
    module = sys.modules[module_name] = importlib.util.module_from_spec(spec)
    earlier = _drop(str(path))
    try:
        spec.loader.exec_module(module)
    except BaseException as error:
        _drop(str(path))
        sys.modules.pop(module_name, None)
        for kind, entries in earlier.items():
            _entries[kind].update(entries)
        if isinstance(error, FoirError) or not isinstance(error, Exception | SystemExit):
            raise
        raise InputError(f"Plug-in {path.name} doesn't run ({type(error).__name__}: {error}): mend it.") from error
    _plugins[path] = digest
    return digest


def _search(kind: str) -> None:
    """Import the modules of a kind's packages, and the entry points of other packages, once."""
    if kind not in HOMES:
        raise unknown("kind of thing", kind, HOMES)
    for home in [home for home in HOMES[kind] if home not in _searched]:
        _searched.add(home)
        package = import_module(home)
        for module in sorted(pkgutil.iter_modules(package.__path__), key=lambda m: m.name):
            if not module.ispkg:
                import_module(f"{home}.{module.name}")
    if "entry points" not in _searched:
        _searched.add("entry points")
        for entry in entry_points(group="foir"):
            try:
                entry.load()
            except Exception as error:
                _searched.discard("entry points")  # reported each time
                raise InputError(f"The package {entry.value!r} can't be used as a plug-in ({error}): mend or remove it.") from error


def _drop(path: str) -> dict[str, dict[str, object]]:
    """Take out what a file has registered; returns it, by kind and name."""

    def is_its(thing):
        return getattr(sys.modules.get(getattr(thing, "__module__", None)), "__file__", None) == path

    dropped = {kind: {name: thing for name, thing in entries.items() if is_its(thing)} for kind, entries in _entries.items()}
    for kind, entries in dropped.items():
        for name in entries:
            del _entries[kind][name]
    return dropped


def _place(thing) -> str:
    return f"{getattr(thing, '__module__', '')}.{getattr(thing, '__qualname__', thing)}"
