"""What a Python file imports, read from its syntax tree, and a digest of that tree without its words."""

import ast
import functools
import hashlib
import importlib.util
import platform
import sys
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, packages_distributions, version
from pathlib import Path
from typing import NamedTuple

from foir_lib import files
from foir_lib.errors import InputError, MissingError


class Import(NamedTuple):
    """One import: how many dots, the module, and the name taken from it (None: the module itself)."""

    level: int
    module: str
    name: str | None


class Source(NamedTuple):
    """A program: digest of its tree, its imports, these by the names that they bind, the names it uses, digest of its bytes."""

    digest: str
    imports: tuple[Import, ...]
    bound: tuple[tuple[str, Import], ...]
    used: frozenset[str]
    content: str


_sources: dict[Path, tuple[object, Source]] = {}  # with what tells whether it still holds
_targets: dict[tuple[Path, str], tuple[Path | str, ...]] = {}  # a file and its digest -> what it imports


def read(path: Path) -> Source:
    """The source of a file; of a loaded module of foir_lib as it was when first read, since that is the code that runs.

    Raises MissingError without the file and InputError for one that is no Python.
    """
    spec = getattr(sys.modules.get(label(path)), "__spec__", None)
    try:
        status = path.stat()
        mark = spec if spec and spec.origin == str(path) else (status.st_mtime_ns, status.st_size)
        known, source = _sources.get(path, (None, None))
        if known is mark or (isinstance(mark, tuple) and known == mark):
            return source
        content = path.read_bytes()
    except OSError as error:
        raise MissingError(f"There is no Python file at {path} ({error.strerror}): check the path.") from error
    source = parse(content, str(path))
    _sources[path] = (mark, source)
    return source


def parse(program: str | bytes, where: str) -> Source:
    """The source of a program text; InputError, which names ``where`` it stands, if it is no Python."""
    try:
        tree = ast.parse(program)
    except (SyntaxError, ValueError) as error:
        raise InputError(f"{where} is no Python ({error}): mend it.") from error
    for node in ast.walk(tree):
        for block in ("body", "orelse", "finalbody"):
            if isinstance(lines := getattr(node, block, None), list):
                setattr(node, block, [line for line in lines if not _is_idle(line)])
    imports, bound, used = [], {}, set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            imports += [Import(0, alias.name, None) for alias in node.names]
            bound |= {alias.asname: Import(0, alias.name, None) for alias in node.names if alias.asname}
        elif isinstance(node, ast.ImportFrom):
            taken = {alias.asname or alias.name: Import(node.level, node.module or "", alias.name) for alias in node.names}
            imports, bound = imports + list(taken.values()), bound | taken
        elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith(("import_module", "__import__")):
            name = node.args[0].value if node.args and isinstance(node.args[0], ast.Constant) else ""
            imports += [Import(len(name) - len(name.lstrip(".")), name.lstrip("."), None)] if name else []
        elif isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "_HOMES":  # names imported when first used
            lazy = {name: Import(0, home, name) for name, home in ast.literal_eval(node.value).items()}
            imports, bound = imports + list(lazy.values()), bound | lazy
        elif isinstance(node, ast.Name):
            used.add(node.id)
    content = hashlib.sha256(program.encode() if isinstance(program, str) else program).hexdigest()
    tree_digest = hashlib.sha256(ast.dump(tree).encode()).hexdigest()
    return Source(tree_digest, tuple(dict.fromkeys(imports)), tuple(bound.items()), frozenset(used), content)


def _is_idle(node: ast.stmt) -> bool:
    """True for a statement without effect: a docstring, or a block for type checkers."""
    if isinstance(node, ast.If):
        return ast.unparse(node.test).endswith("TYPE_CHECKING") and not node.orelse
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)


def targets(source: Source, path: Path) -> tuple[Path | str, ...]:
    """Files that a program at ``path`` imports; of one outside foir_lib, the names of its libraries too.

    A name that a package's ``__init__`` only hands on leads to its home. Raises InputError for a module of foir_lib, or a
    relative one, that can't be found.
    """
    if (path, source.digest) not in _targets:
        _targets[path, source.digest] = tuple(target for one in source.imports for target in _resolved(one, path))
    return _targets[path, source.digest]


def _resolved(one: Import, path: Path) -> Iterator[Path | str]:
    top, elsewhere = one.module.split(".")[0], None
    if one.level:
        bases = [path.parents[one.level - 1]]
    elif top == files.PACKAGE.name:
        bases = [files.PACKAGE.parent]
    elif path.is_relative_to(files.PACKAGE) or top in sys.stdlib_module_names:
        return
    else:
        outside = next(folder for folder in path.parents if not (folder / "__init__.py").is_file())
        elsewhere = _elsewhere(top)
        bases = [path.parent, outside, *([elsewhere] if isinstance(elsewhere, Path) else [])]
    for base in bases:
        module = module_file(base, one.module)
        inside = module_file(base, f"{one.module}.{one.name}".strip(".")) if one.name else None
        if inside:
            yield inside
        elif module and module.name == "__init__.py" and one.name in (bound := dict(read(module).bound)):
            yield from _resolved(bound[one.name], module)
        elif module:
            yield module
        if inside or module:
            return
    if elsewhere is None:
        raise InputError(f"{path.name} imports {'.' * one.level}{one.module}, which can't be found: its code can't be named.")
    yield elsewhere if isinstance(elsewhere, str) else top


def module_file(base: Path, name: str) -> Path | None:
    """The file of the module ``name`` below the folder ``base``, or None."""
    place = base.joinpath(*name.split(".")) if name else base
    for path in (place.with_name(f"{place.name}.py"), place / "__init__.py"):
        if path.is_file():
            return path.resolve()
    return None


def label(path: Path) -> str:
    """The module's name of a file of foir_lib, the file's name of another."""
    if not path.is_relative_to(files.PACKAGE):
        return path.name
    return ".".join(path.relative_to(files.PACKAGE.parent).with_suffix("").parts).removesuffix(".__init__")


@functools.cache
def _elsewhere(top: str) -> Path | str:
    """The folder of a module that is no library; else its name: a library, or one that isn't there."""
    try:
        spec = importlib.util.find_spec(top)
    except (ImportError, ValueError):
        spec = None
    places = [*(spec.submodule_search_locations or []), spec.origin] if spec else []
    own = [Path(place) for place in places if place and Path(place).exists() and not is_library(place)]
    return own[0].parent if own else top


def is_library(file: str) -> bool:
    """True for a file that an installer put there."""
    return not {"site-packages", "dist-packages"}.isdisjoint(Path(file).parts)


@functools.cache
def library_version(name: str) -> str:
    """Name and version of a library, by the name of its package or module; "python" is Python itself, "absent" none."""
    if name == "python":
        return platform.python_version()
    try:
        return f"{name} {version(name)}"
    except PackageNotFoundError:
        return " ".join(f"{one} {version(one)}" for one in sorted(set(packages_distributions().get(name, [])))) or f"{name} absent"
