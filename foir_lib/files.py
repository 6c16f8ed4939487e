"""Files: path text to a path, where cache, manifests and notebooks are, writing whole or not at all, what is computed once."""

import errno
import hashlib
import json
import logging
import os
import shutil
import time
import uuid
from collections.abc import Callable
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil
from tqdm.auto import tqdm

from foir_lib.errors import InputError, MissingError

PACKAGE = Path(__file__).resolve().parent
DISK = "free some space or set FOIR_CACHE or the output folder to another disk"
log = logging.getLogger(__name__)
_unwritable: set[Path] = set()  # folders that were warned about


def as_path(text: str | os.PathLike | bytes) -> Path:
    """A path as people write it: ``~`` and ``~name`` are home folders.

    Raises InputError for what no file can be called: no text, the home of nobody, bytes that are no UTF-8 (no page, table or
    terminal can show them), a zero byte, a name that is too long.
    """
    if not isinstance(text, (str, os.PathLike, bytes)):
        raise InputError(f"{text!r} is no path: give text such as ~/photographs.")
    name = os.fsdecode(text)
    shown = ascii(name)
    if not name.isprintable() and any("\ud800" <= letter <= "\udfff" for letter in name):
        raise InputError(f"The path {shown} holds bytes that are no UTF-8: rename the file or folder.")
    if "\0" in name:
        raise InputError(f"The path {shown} holds a zero byte: write it without.")
    if max(len(os.fsencode(part)) for part in name.split(os.sep)) > 255 or len(os.fsencode(name)) > 4000:
        raise InputError(f"The path {shown[:80]}... is of no file, its name is too long: shorten it to 255 bytes a folder.")
    try:
        return Path(name).expanduser()
    except RuntimeError as error:
        raise InputError(f"The path {shown} begins with the home folder of nobody here: write it from / on.") from error


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
    return as_path(os.environ.get("FOIR_CACHE") or "~/.cache/foir")


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
    path = as_path(path)
    temporary = temporary_beside(path)
    try:
        with disk_errors(f"write {path}", DISK):
            path.parent.mkdir(parents=True, exist_ok=True)
            yield temporary
            temporary.replace(path)
    finally:
        with suppress(OSError):  # there may be no such folder
            temporary.unlink(missing_ok=True)


def try_place(path, remedy: str = DISK) -> Path:
    """``path`` as Path, if a file can be written there, else InputError with the ``remedy``: to ask before work that takes long. Nothing is left."""
    path = as_path(path)
    if not path.name:
        raise InputError(f"{str(path)!r} is no name of a file: give one.")
    temporary = temporary_beside(path)
    with disk_errors(f"write {path}", remedy):
        if path.is_dir():
            raise IsADirectoryError(errno.EISDIR, "")
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.touch()
        temporary.unlink()
    return path


def temporary_beside(path: Path) -> Path:
    """A name beside ``path`` that nobody else has, and that :func:`remove_stale` knows."""
    return path.with_name(f".{path.name[:200]}.{os.getpid()}-{uuid.uuid4().hex[:8]}.tmp")


def remove_stale(folder: Path) -> None:
    """Remove what dead runs left half made in ``folder``: a minute old with no such process here, or a day old.

    What can't be removed, in a cache that is read-only or another user's, stays and harms nobody.
    """
    for path in folder.glob(".*.tmp"):
        with suppress(OSError):
            age = time.time() - path.stat().st_mtime
            pid = path.name.split(".")[-2].split("-")[0]
            if age > 86400 or (age > 60 and pid.isdigit() and not psutil.pid_exists(int(pid))):
                shutil.rmtree(path) if path.is_dir() else path.unlink()


def atomic_write(path, content):
    """Write ``content`` (bytes or str) to ``path`` whole or not at all; see :func:`atomic_path`."""
    with atomic_path(path) as temporary:
        temporary.write_bytes(content.encode(errors="backslashreplace") if isinstance(content, str) else content)


def cached(kind: str, key: dict, compute: Callable[[], bytes], root: str | Path | None = None) -> bytes:
    """The bytes that ``compute()`` returns, computed once for each ``key``; see :func:`remembered` and :func:`remember`."""
    content = remembered(kind, key, root)
    if content is None:
        content = compute()
        remember(kind, key, content, root)
    return content


def remembered(kind: str, key: dict, root: str | Path | None = None) -> bytes | None:
    """The bytes that :func:`remember` wrote for a ``key``, or None: where there are none, for a damaged file, and one cut short or of another key."""
    line, path = _remembering(kind, key, root)
    with suppress(OSError):
        head, _, content = (path.read_bytes() if path.is_file() else b"").partition(b"\n")  # a pipe would be waited for
        if head == _head(line, content):
            with suppress(OSError):
                os.utime(path)  # the time of its last use
            return content
    return None


def remember(kind: str, key: dict, content: bytes, root: str | Path | None = None) -> None:
    """Keep bytes for a ``key`` (JSON values: all that they depend on) in ``root``/``kind`` (``cache_root()/kind``), behind a line with key and checksum.

    Where nothing can be written one warning says so.
    """
    line, path = _remembering(kind, key, root)
    try:
        atomic_write(path, _head(line, content) + b"\n" + content)
    except InputError as error:
        if path.parent not in _unwritable:
            _unwritable.add(path.parent)
            log.warning("What is computed for %s isn't remembered: %s", kind, error)


def _remembering(kind, key, root):
    line = json.dumps(key, sort_keys=True, allow_nan=False)
    return line, as_path(root or cache_root()) / kind / f"{hashlib.sha256(line.encode()).hexdigest()[:32]}.cached"


def state(path: str | os.PathLike) -> tuple[int, int, int, int]:
    """What a file system tells of a file's content: bytes, times of its last change and of its entry's, number; zeros without one."""
    with suppress(OSError, ValueError):  # or a name that no file can have
        file = os.stat(path)
        return file.st_size, file.st_mtime_ns, file.st_ctime_ns, file.st_ino
    return 0, 0, 0, 0


def checksum(path: str | os.PathLike, algorithm: str = "sha256", progress: bool = False) -> str:
    """Hex digest of the file at ``path``, read in pieces; ``progress``: with a bar."""
    digest, path = hashlib.new(algorithm), as_path(path)
    look = {"total": path.stat().st_size, "desc": f"check {path.name}", "disable": not progress}
    with open(path, "rb") as stream, tqdm.wrapattr(stream, "read", **look) as source:
        while piece := source.read(1 << 20):
            digest.update(piece)
    return digest.hexdigest()


def _head(line: str, content: bytes) -> bytes:
    return f'{{"key": {line}, "sha256": "{hashlib.sha256(content).hexdigest()}"}}'.encode()
