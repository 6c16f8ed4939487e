"""One shard of a feature store: a safetensors file that proves whose it is and that it is whole."""

import json
import os
import zlib

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from foir_lib.errors import InputError
from foir_lib.files import atomic_path


def path(folder, start, stop):
    """File of items ``start`` to ``stop`` in ``folder``."""
    return folder / f"{start:09d}-{stop:09d}.safetensors"


def _checksum(name, array):
    head = f"{name} {array.dtype.name} {array.shape}".encode()
    return f"{zlib.crc32(array.reshape(-1).view(np.uint8), zlib.crc32(head)):08x}"


def items(path, digest):
    """The items that the shard at ``path`` is of, by its header alone; [] where it can't be read or belongs to another ``digest``."""
    try:
        with safe_open(path, framework="np") as file:
            note = json.loads(file.metadata()["foir"])
            return note["items"] if note["key"] == digest else []
    except (OSError, SafetensorError, ValueError, KeyError, TypeError):
        return []


def check(path, digest, items):
    """Read the shard at ``path`` through and compare it with what its header promises.

    ``items``: what it is of, [start, stop] or names. Returns (layout, None) if it is sound, layout as in
    :class:`~foir_lib.store.features.Features`; (None, None) if there is none; (None, reason) if it is damaged or belongs
    to another ``digest``.
    """
    try:
        with safe_open(path, framework="np") as file:
            note = json.loads(file.metadata()["foir"])
            if (note["key"], note["items"]) != (digest, items):
                return None, f"{path.name} belongs to other data or another version"
            sums, layout = note["checksums"], {}
            for name in sorted(file.keys()):
                array = file.get_tensor(name)
                if sums.pop(name, None) != _checksum(name, array):
                    return None, f"{path.name} is damaged (checksum of '{name}')"
                layout[name] = (array.dtype.name, array.shape[1:])
            return (None, f"{path.name} lacks arrays") if sums or not layout else (layout, None)
    except FileNotFoundError:
        return None, None
    except (OSError, SafetensorError, ValueError, KeyError, TypeError, AttributeError) as error:
        return None, f"{path.name} can't be read ({error})"


def checked(arrays, start, stop):
    """``arrays`` of items ``start`` to ``stop``, contiguous; InputError names a bad one."""
    contiguous = {}
    for name, array in arrays.items():
        array = np.require(array, requirements="C")
        if array.dtype.kind not in "biuf" or array.shape[:1] != (stop - start,) or not array.size:
            what = f"Array '{name}' for items {start} to {stop} has shape {array.shape} and type {array.dtype}"
            raise InputError(f"{what}: {stop - start} rows of numbers are needed.")
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            bad = start + int(np.argwhere(~np.isfinite(array))[0][0])
            what = f"Array '{name}' holds a NaN or infinite number at item {bad}"
            raise InputError(f"{what}: check that item and the model, its shard was not stored.")
        contiguous[name] = array
    if not contiguous:
        raise InputError(f"No arrays were made for items {start} to {stop}: a dict with at least one is needed.")
    return contiguous


def write(path, arrays, digest, items):
    """Write one shard of ``items``, whole or not at all; the bytes depend on nothing but the arguments.

    Raises InputError when the disk is full or can't be written.
    """
    sums = {name: _checksum(name, array) for name, array in sorted(arrays.items())}
    note = json.dumps({"key": digest, "items": items, "checksums": sums})
    content = save(arrays, {"foir": note})  # one entry: safetensors keeps no order among several
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
