"""Files: where cache, manifests and notebooks are, writing a file whole or not at all, and what is computed once and remembered."""

import hashlib
import json
import logging
import os
import uuid
from collections.abc import Callable
from contextlib import contextmanager, suppress
from pathlib import Path

from foir_lib.errors import InputError, MissingError

PACKAGE = Path(__file__).resolve().parent
log = logging.getLogger(__name__)
_unwritable: set[Path] = set()  # folders that were warned about


def manifest_root() -> Path:
    """The folder ``data_manifests``: beside the package in a checkout, inside an installed one."""
    for root in (PACKAGE.parent / "data_manifests", PACKAGE / "data_manifests"):
        if (root / "models.json").is_file():
            return root
    raise MissingError(f"There is no folder data_manifests beside or in {PACKAGE}: install foir_lib again.")


def notebooks_root() -> Path:
    """The folder ``notebooks``: beside the package in a checkout, or inside it (installed)."""
    checkout = (PACKAGE.parent / "pyproject.toml").is_file()
    return (PACKAGE.parent if checkout else PACKAGE) / "notebooks"


def cache_root():
    """Folder for everything computed once: ``$FOIR_CACHE``, or ``~/.cache/foir``."""
    return Path(os.environ.get("FOIR_CACHE") or Path.home() / ".cache" / "foir").expanduser()


def listing(folder: str | os.PathLike) -> set[str]:
    """Names in a folder; an empty set when there is no such folder."""
    return set(os.listdir(folder)) if os.path.isdir(folder) else set()


@contextmanager
def disk_errors(what: str, remedy: str):
    """What the disk refuses inside becomes an InputError: can't do ``what``, why, and the ``remedy``."""
    try:
        yield
    except OSError as error:
        if error.errno is None:  # a MissingError
            raise
        raise InputError(f"Can't {what}: {os.strerror(error.errno)}; {remedy}.") from error


@contextmanager
def atomic_path(path):
    """Yield a temporary path beside ``path``; on success it takes the place of ``path``, else it goes.

    A reader sees the old file or the whole new one, never a part. Raises InputError when the disk
    is full or the folder can't be written.
    """
    path = Path(path)
    temporary = path.with_name(f".{path.name}.{os.getpid()}-{uuid.uuid4().hex[:8]}.tmp")
    remedy = "free some space or set FOIR_CACHE or the output folder to another disk"
    try:
        with disk_errors(f"write {path}", remedy):
            path.parent.mkdir(parents=True, exist_ok=True)
            yield temporary
            temporary.replace(path)
    finally:
        with suppress(OSError):  # there may be no such folder
            temporary.unlink(missing_ok=True)


def atomic_write(path, content):
    """Write ``content`` (bytes or str) to ``path`` whole or not at all; see :func:`atomic_path`."""
    with atomic_path(path) as temporary:
        temporary.write_bytes(content.encode(errors="backslashreplace") if isinstance(content, str) else content)


def cached(kind: str, key: dict, compute: Callable[[], bytes], root: str | Path | None = None) -> bytes:
    """The bytes that ``compute()`` returns, computed once for each ``key`` (JSON values: all that they depend on).

    They stand in ``root``/``kind`` (``cache_root()/kind``), behind a line with key and checksum. A file that is damaged, cut
    short or of another key is computed again; where nothing can be written, they are computed, and one warning says so.
    """
    line = json.dumps(key, sort_keys=True, allow_nan=False)
    folder = Path(root or cache_root()) / kind
    path = folder / f"{hashlib.sha256(line.encode()).hexdigest()[:32]}.cached"
    with suppress(OSError):
        head, _, content = path.read_bytes().partition(b"\n")
        if head == _head(line, content):
            with suppress(OSError):
                os.utime(path)  # the time of its last use
            return content
    content = compute()
    try:
        atomic_write(path, _head(line, content) + b"\n" + content)
    except InputError as error:
        if folder not in _unwritable:
            _unwritable.add(folder)
            log.warning("What is computed for %s isn't remembered: %s", kind, error)
    return content


def _head(line: str, content: bytes) -> bytes:
    return f'{{"key": {line}, "sha256": "{hashlib.sha256(content).hexdigest()}"}}'.encode()
