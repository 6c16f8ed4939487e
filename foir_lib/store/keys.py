"""Names the code that a result depends on, for its key: after a change of that code the result is computed again.

What counts is all that the objects taking part can reach by import, as syntax trees: comments, docstrings, blank lines and
what only a type checker reads change nothing. Libraries count by their versions. Imports whose names are computed while a
program runs can't be followed: what they load takes part as an object of its own.
"""

import ast
import contextlib
import dataclasses
import functools
import hashlib
import inspect
import linecache
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from foir_lib import files
from foir_lib.errors import InputError
from foir_lib.store import imports

LIBRARIES = ("timm", "torch", "torchvision", "pillow", "faiss-cpu", "scikit-learn")
NOTEBOOK = "notebook"  # the label of what a notebook defines
BOOKKEEPING = ("keys", "imports", "caches")  # modules of store that name and list results, and compute none


class Cell(NamedTuple):
    """A definition, or a plain value, that stands in a notebook and not in a file."""

    name: str
    source: imports.Source


Node = Path | Cell | str  # a file, a definition of a notebook, the name of a library


def code_of(*objects) -> str:
    """Names the code that ``objects`` can reach: a digest, then the modules it starts from, e.g. "1f2e... foir_lib.models.vit".

    Each is a class, function (with what it captured), instance (of a dataclass: with the objects in its fields), module, or the
    Path of a Python file, that needn't be imported. Its code: the file that defines it and all of foir_lib that this one
    imports, and so on; for a plug-in, what it imports beside it too; in a notebook, definition by definition. Raises
    InputError for an object without source, a module that can't be found and a plug-in that was changed after it was loaded,
    MissingError for a path without a file.
    """
    return _code({node for thing in objects for node in _homes(thing)})


def code_in(program: str, folder: str | Path) -> str:
    """As :func:`code_of`, for a program text that would stand in ``folder``."""
    source = imports.parse(program, "The program")
    return f"{source.digest[:16]} {_code(imports.targets(source, Path(folder).resolve() / 'program.py'))}"


def is_current(code: str) -> bool | None:
    """Whether ``code``, of :func:`code_of`, would be named the same today; None where a plug-in or notebook took part."""
    labels = code.split(" ")[1:]
    if any(label == NOTEBOOK or label.endswith(".py") for label in labels):
        return None
    own = f"{files.PACKAGE.name}."
    try:
        nodes = {imports.module_file(files.PACKAGE.parent, label) if label.startswith(own) else label for label in labels}
        return bool(labels) and None not in nodes and _code(nodes) == code
    except InputError:
        return False


def _code(roots: Iterable[Node]) -> str:
    reached, todo = {}, list(roots)
    left_out = {files.PACKAGE / "store" / f"{name}.py" for name in BOOKKEEPING}
    while todo:
        node = todo.pop()
        if node in reached or node in left_out:
            continue
        if isinstance(node, Path):
            source = imports.read(node)
            reached[node] = (_label(node), source.digest)
            todo += imports.targets(source, node)
        elif isinstance(node, Cell):
            reached[node] = (node.name, node.source.digest)
            todo += [*imports.targets(node.source, Path.cwd() / "notebook.py"), *_globals(node.source)]
        else:
            reached[node] = (node, imports.library_version(node))
    libraries = [imports.library_version(name) for name in LIBRARIES]
    digest = hashlib.sha256(repr([libraries, sorted(reached.values())]).encode()).hexdigest()[:16]
    return " ".join([digest, *sorted({_label(node) for node in roots})])


def _label(node: Node) -> str:
    if isinstance(node, Path):
        return imports.label(node)
    return NOTEBOOK if isinstance(node, Cell) else node


def _homes(thing) -> Iterator[Node]:
    """What defines an object, and what stands in its fields."""
    if isinstance(thing, Path):
        yield thing.resolve()
        return
    if isinstance(thing, functools.partial):
        yield from _homes(thing.func)
        return
    if inspect.ismethod(thing) and not isinstance(thing.__self__, type):
        yield from _homes(type(thing.__self__))
    name = thing.__name__ if inspect.ismodule(thing) else getattr(thing, "__module__", None)
    if not isinstance(name, str):
        raise InputError(f"{thing!r} has no code of its own: give a class, function, instance, module or the Path of a .py file.")
    yield _home(thing, name)
    if dataclasses.is_dataclass(thing) and not isinstance(thing, type):
        yield from _parts([getattr(thing, field.name) for field in dataclasses.fields(thing)])
    elif inspect.isfunction(thing):
        yield from _parts(_captured(thing))


def _parts(values: Iterable) -> Iterator[Node]:
    """What defines the objects among the values of fields, also in lists and dicts; plain data have no code."""
    for value in values:
        if isinstance(value, (list, tuple, dict)):
            yield from _parts(value.values() if isinstance(value, dict) else value)
        elif hasattr(value, "__module__") and not isinstance(value, Path):
            yield from _homes(value)


def _captured(function) -> Iterator:
    """What a function inside another takes from it and can call: its method, other functions, networks."""
    for cell in function.__closure__ or ():
        with contextlib.suppress(ValueError):  # still empty
            value = cell.cell_contents
            if value is not function and (callable(value) or dataclasses.is_dataclass(value)):
                yield value


def _home(thing, name: str) -> Node:
    """Where the module ``name``, that defines ``thing``, stands."""
    top, file = name.split(".")[0], getattr(sys.modules.get(name), "__file__", None)
    if top == files.PACKAGE.name:
        file = imports.module_file(files.PACKAGE.parent, name)
    elif name == "__main__" and not (file and Path(file).is_file()):
        return _cell(thing)
    elif top in sys.stdlib_module_names and top != "__main__":
        return "python"
    elif file and imports.is_library(file):
        return top
    if not file or Path(file).suffix != ".py":
        raise InputError(f"{thing!r} has no source file (module {name}): define it in a .py file or a notebook's cell.")
    path = Path(file).resolve()
    if name.startswith("foir_plugin_") and not imports.read(path).content.startswith(name.rpartition("_")[2]):
        raise InputError(f"Plug-in {path.name} was changed after it was loaded: load it again.")
    return path


def _cell(thing) -> Cell:
    """The definition, in a notebook, of a function, a class or an instance's class."""
    if not isinstance(thing, type) and not inspect.isfunction(inspect.unwrap(thing)):
        thing = type(thing)
    name = thing.__qualname__.split(".")[0]
    for member in [thing, *vars(thing).values()]:
        code = getattr(inspect.unwrap(member), "__code__", None)
        lines = linecache.getlines(code.co_filename) if code else []
        definitions = [node for node in ast.parse("".join(lines)).body if getattr(node, "name", None) == name]
        if definitions:
            return Cell(name, imports.parse(ast.unparse(definitions[-1]), name))
    raise InputError(f"The source of {name} can't be found: define it in a .py file, or in a notebook's cell with a method.")


def _globals(source: imports.Source) -> Iterator[Node]:
    """What a notebook's definition uses of the notebook's other names: modules, definitions, plain values."""
    names = vars(sys.modules["__main__"])
    for name in sorted(source.used & set(names)):
        value = names[name]
        if isinstance(value, (int, float, str, tuple, list, dict, type(None))):
            yield Cell(name, source._replace(digest=repr(value), imports=(), bound=(), used=frozenset()))
        elif inspect.ismodule(value) or hasattr(value, "__module__"):
            yield from _homes(value)
