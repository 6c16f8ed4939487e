"""Arrays from .npz and .npy files, written whole or not at all; read without unpickling, and no larger than the file says."""

import math
import zipfile
import zlib
from collections.abc import Iterable
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import psutil

from foir_lib.errors import IntegrityError, MissingError
from foir_lib.files import as_path, atomic_path

DENSEST = 1100  # times that deflate can shrink bytes


def save(path: str | Path, **arrays: np.ndarray) -> None:
    """Write ``arrays`` by name."""
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        np.savez(file, **arrays)


def load(path: str | Path, what: str, names: Iterable[str], remedy: str = "make it again") -> dict[str, np.ndarray]:
    """The arrays ``names`` of an .npz file that holds ``what``.

    Raises MissingError, and IntegrityError for a file that is damaged, another one, or needs more memory than there is.
    """
    with _reading(path, what, remedy) as path, zipfile.ZipFile(path) as file:
        return {name: _member(file, name) for name in names}


def load_npy(path: str | Path, what: str, remedy: str = "make it again") -> np.ndarray:
    """The array of an .npy file; raises as :func:`load`."""
    with _reading(path, what, remedy) as path, open(path, "rb") as file:
        _check(file, path.stat().st_size)
        file.seek(0)
        return np.lib.format.read_array(file, allow_pickle=False)


def _member(file, name):
    entry = file.getinfo(f"{name}.npy")
    if entry.file_size > DENSEST * entry.compress_size:
        raise ValueError(f"{name} can't be {entry.file_size} bytes from {entry.compress_size}")
    with file.open(entry) as stream:
        _check(stream, entry.file_size)
    with file.open(entry) as stream:
        return np.lib.format.read_array(stream, allow_pickle=False)


def _check(stream, size):
    """Raises ValueError where the array of an .npy ``stream`` needs other bytes than the ``size`` it has, or more than are free."""
    version = np.lib.format.read_magic(stream)
    header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0  # 3.0: as 2.0
    shape, _, dtype = header(stream)
    if dtype.hasobject:
        raise ValueError("it holds Python objects, not numbers")
    needed, free = math.prod(shape) * dtype.itemsize, psutil.virtual_memory().available
    if min(shape, default=0) < 0 or stream.tell() + needed != size:
        raise ValueError(f"{dtype} of shape {shape} isn't {size - stream.tell()} bytes")
    if needed > free:
        raise ValueError(f"{dtype} of shape {shape} needs {needed / 1e9:.1f} GB of memory, {free / 1e9:.1f} are free")


@contextmanager
def _reading(path, what, remedy):
    """The path, and one sentence for whatever is wrong with the file."""
    path = as_path(path)
    try:
        yield path
    except FileNotFoundError as error:
        raise MissingError(f"There is no {what} at {path}: check the path or {remedy}.") from error
    except (
        ArithmeticError, AttributeError, EOFError, LookupError, MemoryError, OSError, RuntimeError, SyntaxError, TypeError,
        ValueError, zipfile.BadZipFile, zlib.error,
    ) as error:  # fmt: skip
        reason = " ".join(str(error).split()) or type(error).__name__
        raise IntegrityError(f"File {path} can't be read as {what} ({reason}): {remedy}.") from error
