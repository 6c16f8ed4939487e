"""The parameters cell of a notebook, read strictly: only names it has, only values of its types."""

import ast
import difflib
import json
import math
from pathlib import Path
from typing import NamedTuple

from foir_lib.errors import InputError, IntegrityError, MissingError

TYPES = ("bool", "int", "float", "str", "list[str]")
TRUE, FALSE = ("true", "yes", "on", "1"), ("false", "no", "off", "0")


class Parameter(NamedTuple):
    """One line ``name: type = default`` of a parameters cell; ``optional`` is ``type | None``."""

    name: str
    type: str
    optional: bool
    default: object


def read(notebook):
    """The parameters of a notebook file: dict name -> :class:`Parameter`, in order.

    Nothing is executed. Raises MissingError without the file, IntegrityError when it is no
    notebook, InputError unless exactly one cell is tagged ``parameters`` and holds only lines of
    the form ``name: type = literal`` with one of :data:`TYPES`, or one of them ``| None``.
    """
    path = Path(notebook)
    try:
        cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
        tagged = [c for c in cells if "parameters" in c["metadata"].get("tags", [])]
        sources = ["".join(cell["source"]) for cell in tagged]
    except FileNotFoundError as error:
        raise MissingError(f"There is no notebook at {path}: check the path.") from error
    except (json.JSONDecodeError, UnicodeDecodeError, KeyError, TypeError) as error:
        raise IntegrityError(f"{path} is no notebook ({error!r}): restore the file.") from error
    if len(sources) != 1:
        raise InputError(f"{path.name} has {len(sources)} cells tagged parameters: tag one.")
    return read_source(sources[0], path.name)


def read_source(source, where):
    """As :func:`read`, from the text of the cell; ``where`` names it in messages."""
    try:
        body = ast.parse(source).body
    except SyntaxError as error:
        raise InputError(
            f"The parameters cell of {where} is no Python ({error.msg}, line {error.lineno})."
        ) from error
    found = {}
    for line in body:
        parameter = _parameter(line)
        if parameter is None:
            raise InputError(
                f"Line {line.lineno} of the parameters cell of {where} is {ast.unparse(line)!r}: "
                f"write name: type = literal, with a type of {', '.join(TYPES)}, or with | None."
            )
        if parameter.name in found:
            raise InputError(f"The parameters cell of {where} sets {parameter.name} twice.")
        found[parameter.name] = parameter
    return found


def _parameter(line):
    if not isinstance(line, ast.AnnAssign) or not isinstance(line.target, ast.Name):
        return None
    kind = ast.unparse(line.annotation)
    optional = kind.endswith(" | None")
    kind = kind.removesuffix(" | None")
    try:
        default = ast.literal_eval(line.value) if line.value else ...
    except ValueError:
        return None
    parameter = Parameter(line.target.id, kind, optional, default)
    if kind not in TYPES or not _fits(default, parameter):
        return None
    return parameter


def fill(parameters, given, where):
    """All values of a run: the defaults, replaced by ``given`` (name -> value or command-line text).

    Raises InputError for a name that ``parameters`` (from :func:`read`) lacks, with the nearest
    ones, and for a value that is not of the parameter's type.
    """
    for name in given:
        if name not in parameters:
            close = difflib.get_close_matches(name, parameters, n=1)
            hint = f"did you mean {close[0]}? It takes" if close else "it takes"
            raise InputError(f"{where} has no parameter {name!r}: {hint} {', '.join(parameters)}.")
    values = {name: parameter.default for name, parameter in parameters.items()}
    return values | {name: convert(value, parameters[name]) for name, value in given.items()}


def convert(value, parameter):
    """``value`` as the parameter's type; text is read as on a command line ("3", "true", "a,b").

    An empty text or "none" is None for an optional parameter other than a str. InputError if it
    does not fit.
    """
    if parameter.optional and isinstance(value, str) and value.lower() in ("none", ""):
        if parameter.type != "str" or value:
            return None
    read = value
    if isinstance(value, str) and parameter.type != "str":
        read = _from_text(value, parameter.type)
    if parameter.type == "float" and type(read) is int:
        read = float(read)
    if not _fits(read, parameter):
        wanted = f"{parameter.type} or None" if parameter.optional else parameter.type
        raise InputError(
            f"Parameter {parameter.name} = {value!r} is no {wanted}: its default is "
            f"{parameter.default!r}."
        )
    return read


def _from_text(text, kind):
    """The value that ``text`` spells, or ``text`` itself when it spells none of that kind."""
    if kind == "list[str]":
        return [item.strip() for item in text.split(",") if item.strip()]
    if kind == "bool":
        return {**dict.fromkeys(TRUE, True), **dict.fromkeys(FALSE, False)}.get(text.lower(), text)
    try:
        return int(text) if kind == "int" else float(text)
    except ValueError:
        return text


def _fits(value, parameter):
    """True when ``value`` is exactly of the parameter's type (True is no int, NaN no float)."""
    if value is None:
        return parameter.optional
    if parameter.type == "list[str]":
        return type(value) is list and all(type(item) is str for item in value)
    if parameter.type == "float":
        return type(value) in (float, int) and math.isfinite(value)
    return type(value).__name__ == parameter.type
