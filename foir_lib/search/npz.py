"""Arrays in .npy and .npz files: written whole or not at all, read without unpickling or allocating what isn't there."""

import math
import zipfile
from collections.abc import Callable, Iterable
from functools import partial
from os import PathLike
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.lib import format as npy

from foir_lib.errors import IntegrityError, MissingError, parsing
from foir_lib.files import atomic_path

HEADERS = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}  # 3.0 is for records
RATIO = 1100  # of deflate, at most


def save(path, **arrays):
    """Write ``arrays`` by name."""
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        np.savez(file, **arrays)


def load(
    path: str | PathLike, what: str, names: Iterable[str], check: Callable[[str, tuple, np.dtype], None] = lambda *_: None
) -> dict[str, np.ndarray]:
    """The arrays ``names`` of an .npz file that holds ``what``; ``check(name, shape, dtype)`` sees each before it is read.

    Raises MissingError, IntegrityError (damaged or another file).
    """
    if not Path(path).is_file():
        raise MissingError(f"There is no {what} at {path}: check the path or make it again.")
    with parsing(f"File {path} can't be read as {what}", "make it again", IntegrityError), zipfile.ZipFile(path) as archive:
        arrays, members = {}, [(name, archive.getinfo(f"{name}.npy")) for name in names]
        for name, member in members:
            if member.file_size > RATIO * member.compress_size:
                raise ValueError(f"{name} says that {member.compress_size} bytes unfold to {member.file_size}")
            with archive.open(member) as file:
                arrays[name] = array(file, member.file_size, partial(check, name))
        return arrays


def array(file: BinaryIO, n_bytes: int, check: Callable[[tuple, np.dtype], None] = lambda *_: None) -> np.ndarray:
    """The array of an .npy file of ``n_bytes``. Raises ValueError unless its numbers fill the shape that it claims."""
    version = npy.read_magic(file)
    if version not in HEADERS:
        raise ValueError(f"it is of version {version}")
    shape, fortran, dtype = HEADERS[version](file)
    if dtype.hasobject:
        raise ValueError("it holds Python objects")
    check(shape, dtype)
    if math.prod(shape) * dtype.itemsize != n_bytes - file.tell():
        raise ValueError(f"it says {dtype} {shape} and holds {n_bytes - file.tell()} bytes")
    content = file.read(n_bytes)
    return np.frombuffer(content, dtype).reshape(shape, order="F" if fortran else "C")
