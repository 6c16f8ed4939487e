"""Ground truth published as pickle files, opened without running anything they contain."""

import io
import math
import pickle
import pickletools
import sys
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib import format as npy

from foir_lib.data.readers.tables import read_bytes
from foir_lib.errors import IntegrityError, MissingError, parsing


class _Type:
    """Stands for numpy.dtype: numbers, booleans, text, and what is plain itself."""

    def __init__(self, code, align=False, copy=True):
        self.code, self.order = code if isinstance(code, str) else "", "="

    def __setstate__(self, state):
        self.order = state[1] if len(state) > 4 and state[4] is None and state[1] in ("<", ">") else "="

    def numbers(self, content, shape, fortran=False):
        """The numbers in ``content`` as (nested) lists; ValueError unless they fill the ``shape``."""
        if self.code.startswith("O") and isinstance(content, list) and shape == (len(content),):
            return content
        dtype = np.dtype(self.order + self.code)
        content = content.encode("latin1") if isinstance(content, str) else bytes(content)
        if dtype.kind not in "biufU" or not all(isinstance(n, int) and n >= 0 for n in shape):
            raise pickle.UnpicklingError(f"it holds an array of {dtype}")
        if dtype.itemsize * math.prod(shape) != len(content) or len(shape) > 4:
            raise pickle.UnpicklingError(f"it says {shape} and holds {len(content)} bytes")
        if not content:
            return []
        if dtype.kind == "U" and np.frombuffer(content, f"{self.order}u4").max() > sys.maxunicode:
            raise pickle.UnpicklingError("it holds text that is none")
        return np.frombuffer(content, dtype).reshape(shape, order="F" if fortran else "C").tolist()


class _Array(list):
    """Stands for numpy.ndarray: becomes the list of its numbers."""

    def __init__(self, *_):
        super().__init__()

    def __setstate__(self, state):
        _, shape, kind, fortran, content = state
        self[:] = kind.numbers(content, shape or (1,), fortran)


def _in_one(content, kind, shape, order):
    array = _Array()
    array.__setstate__((1, shape, kind, order == "F", content))
    return array


def _scalar(kind, content):
    return kind.numbers(content, ())


def _bytes(text="", encoding=""):
    return text.encode("latin1")  # how older protocols keep bytes


PLAIN = {  # what a pickle of numpy arrays asks for, and what it gets
    ("numpy", "ndarray"): _Array, ("numpy", "dtype"): _Type, ("_codecs", "encode"): _bytes, ("__builtin__", "bytes"): _bytes,
    **{(f"numpy.{core}.multiarray", name): one for core in ("core", "_core") for name, one in (("_reconstruct", _Array), ("scalar", _scalar))},
    **{(f"numpy.{core}.numeric", "_frombuffer"): _in_one for core in ("core", "_core")},
}  # fmt: skip


class _PlainUnpickler(pickle.Unpickler):
    def find_class(self, module, name):
        if (module, name) not in PLAIN:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}")
        return PLAIN[module, name]


def load_plain(path: str | PathLike) -> Any:
    """Read a pickle of dicts, lists, tuples, strings, numbers and numpy arrays (which become lists), as ``gnd_roxford5k.pkl`` is.

    Anything else a pickle may ask for (classes, functions) is refused unseen. Raises MissingError,
    or IntegrityError for a refused or damaged file.
    """
    if not Path(path).exists():
        raise MissingError(f"There is no ground truth at {path}: check the data root.")
    return _plain(read_bytes(path), path)


def load_npy(path: str | PathLike) -> Any:
    """Read what ``np.save`` wrote of one dict: an array of no dimension whose pickle is as plain as :func:`load_plain` says.

    Raises MissingError, or IntegrityError for a refused or damaged file and an array of anything else.
    """
    if not Path(path).exists():
        raise MissingError(f"There is no ground truth at {path}: check the data root.")
    content = io.BytesIO(read_bytes(path))
    with parsing(f"Array {path} is none or is damaged", error=IntegrityError):
        read = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}[npy.read_magic(content)]
        shape, _, kind = read(content)
        if shape or not kind.hasobject:
            raise ValueError(f"it holds numbers {shape} of {kind}")
    held = _plain(content.read(), path)
    return held[0] if isinstance(held, list) and len(held) == 1 else held


def _plain(content, path):
    """What a pickle holds, read as :func:`load_plain` says."""
    with parsing(f"Pickle {path} isn't plain data or is damaged", error=IntegrityError):
        start, pieces = 0, []
        for operation, argument, at in pickletools.genops(content):  # refuses lengths that the file doesn't have, too
            if "PUT" in operation.name and int(argument) > len(content):
                raise pickle.UnpicklingError(f"it counts to {argument} in {len(content)} bytes")  # memory for as many
            if operation.name == "FRAME":  # a hint alone: the unpickler in C reads past the end of one that is too short
                pieces.append(content[start:at])
                start = at + 9
        plain = b"".join([*pieces, content[start:]])
        return _PlainUnpickler(io.BytesIO(plain), encoding="latin1").load()
