"""The parameters cell of a notebook, read strictly: only names it has, only values of its types."""

import ast
from pathlib import Path
from typing import NamedTuple

import nbformat
from pydantic import ConfigDict, TypeAdapter

from foir_lib.errors import InputError, IntegrityError, MissingError, unknown

STRICT = ConfigDict(strict=True, allow_inf_nan=False)  # True is no int, NaN no float; 2 is a float
TYPES = {"bool": bool, "int": int, "float": float, "str": str, "list[str]": list[str]}
# where pydantic's strings aren't strict enough ("1.0" would be an int) or say nothing
FROM_TEXT = {"int": int, "list[str]": lambda text: [item.strip() for item in text.split(",") if item.strip()]}


class Parameter(NamedTuple):
    """One line ``name: type = default`` of a parameters cell; ``optional`` is ``type | None``."""

    name: str
    type: str
    optional: bool
    default: object


def read(notebook: str | Path) -> dict[str, Parameter]:
    """The parameters of a notebook file by name, in order. Nothing is executed.

    Raises MissingError without the file, IntegrityError when it is no notebook, InputError unless exactly one cell is
    tagged ``parameters`` and holds only lines ``name: type = literal`` with a type of :data:`TYPES`, or one ``| None``.
    (papermill's own ``inspect_notebook`` leaves out in silence what it can't read.)
    """
    path = Path(notebook)
    try:
        cells = nbformat.read(path, as_version=4).cells
        sources = [cell.source for cell in cells if "parameters" in cell.metadata.get("tags", [])]
    except FileNotFoundError as error:
        raise MissingError(f"There is no notebook at {path}: check the path.") from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise IntegrityError(f"{path} is no notebook ({error!r}): restore the file.") from error
    if len(sources) != 1:
        raise InputError(f"{path.name} has {len(sources)} cells tagged parameters: tag one.")
    return read_source(sources[0], path.name)


def read_source(source: str, where: str) -> dict[str, Parameter]:
    """As :func:`read`, from the text of the cell; ``where`` names it in messages."""
    try:
        body = ast.parse(source).body
    except SyntaxError as error:
        raise InputError(f"The parameters cell of {where} is no Python ({error.msg}, line {error.lineno}).") from error
    parameters = {}
    for line in body:
        try:
            parameter = _parameter(line)
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            remedy = f"write name: type = literal, with a type of {', '.join(TYPES)}, or with | None"
            what = f"Line {line.lineno} of the parameters cell of {where} is {ast.unparse(line)!r}"
            raise InputError(f"{what}: {remedy}.") from error
        if parameter.name in parameters:
            raise InputError(f"The parameters cell of {where} sets {parameter.name} twice.")
        parameters[parameter.name] = parameter
    return parameters


def _parameter(line: ast.stmt) -> Parameter:
    """The parameter of one line; an error if it is anything else."""
    kind = ast.unparse(line.annotation)
    optional, kind = kind.endswith(" | None"), kind.removesuffix(" | None")
    default = _adapter(kind, optional).validate_python(ast.literal_eval(line.value))
    return Parameter(line.target.id, kind, optional, default)


def _adapter(kind: str, optional: bool) -> TypeAdapter:
    return TypeAdapter(TYPES[kind] | None if optional else TYPES[kind], config=STRICT)


def fill(parameters: dict[str, Parameter], values: dict, where: str) -> dict:
    """All values of a run: the defaults, replaced by ``values`` (name -> value or command-line text).

    Raises InputError for a name that ``parameters`` (from :func:`read`) lacks, with the nearest ones, and for a value
    that is not of the parameter's type.
    """
    for name in values:
        if name not in parameters:
            raise unknown(f"{where} parameter", name, parameters)
    defaults = {name: parameter.default for name, parameter in parameters.items()}
    return defaults | {name: convert(value, parameters[name]) for name, value in values.items()}


def convert(value, parameter: Parameter):
    """``value`` as the parameter's type; text is read as on a command line ("3", "true", "a,b").

    "none", or an empty text, is None for an optional parameter (empty text stays text in a str). InputError if it does
    not fit.
    """
    if isinstance(value, str) and any("\ud800" <= letter <= "\udfff" for letter in value):
        raise InputError(f"Parameter {parameter.name} = {value!r} holds bytes that are no UTF-8: write it otherwise.")
    adapter = _adapter(parameter.type, parameter.optional)
    try:
        if not isinstance(value, str):
            return adapter.validate_python(value)
        if parameter.optional and (value.lower() == "none" or not value and parameter.type != "str"):
            return None
        if parameter.type in FROM_TEXT:
            return FROM_TEXT[parameter.type](value)
        return adapter.validate_strings(value)
    except ValueError as error:  # pydantic's is one
        wanted = f"{parameter.type} or None" if parameter.optional else parameter.type
        what = f"Parameter {parameter.name} = {repr(value) if len(repr(value)) <= 60 else repr(value)[:57] + '...'} is no {wanted}"
        raise InputError(f"{what}: its default is {parameter.default!r}.") from error
