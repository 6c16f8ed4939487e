"""Files: where the cache, the manifests and the notebooks are, and writing a file whole or not at all."""

import os
import uuid
from contextlib import contextmanager, suppress
from pathlib import Path

from foir_lib.errors import InputError, MissingError

PACKAGE = Path(__file__).resolve().parent


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


@contextmanager
def atomic_path(path):
    """Yield a temporary path beside ``path``; on success it takes the place of ``path``, else it goes.

    A reader sees the old file or the whole new one, never a part. Raises InputError when the disk
    is full or the folder can't be written.
    """
    path = Path(path)
    temporary = path.with_name(f".{path.name}.{os.getpid()}-{uuid.uuid4().hex[:8]}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        temporary.replace(path)
    except OSError as error:
        if isinstance(error, (InputError, MissingError)) or error.errno is None:
            raise
        raise InputError(
            f"Can't write {path}: {os.strerror(error.errno)}; free some space or set FOIR_CACHE "
            "or the output folder to another disk."
        ) from error
    finally:
        with suppress(OSError):  # there may be no such folder
            temporary.unlink(missing_ok=True)


def atomic_write(path, content):
    """Write ``content`` (bytes or str) to ``path`` whole or not at all; see :func:`atomic_path`."""
    with atomic_path(path) as temporary:
        temporary.write_bytes(content.encode() if isinstance(content, str) else content)
