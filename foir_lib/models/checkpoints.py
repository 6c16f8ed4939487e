"""Weights files in: what a file is by its content, opened without running what is inside, and the network in it that is wanted."""

import argparse
import os
import re
import warnings
import zipfile
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from foir_lib import notices
from foir_lib.errors import IntegrityError, MissingError
from foir_lib.files import as_path

KINDS = {  # first bytes of files that are often given instead
    b"version https://git-lfs": "a Git LFS pointer and not the file itself: get it with git lfs pull",
    b"\x89HDF": "HDF5, perhaps of Keras",
    b"\x93NUMPY": "a numpy array",
    b"GGUF": "GGUF",
    b"\x1f\x8b": "a gzip archive: unpack it",
    b"\xfd7zXZ": "an xz archive: unpack it",
    b"<": "a web page: download the file itself",
}
PREFERRED = ("teacher", "state_dict", "model", "encoder")  # of several networks in a file, as the papers' own code chooses
OF_TIMM = "visual.trunk."  # a prefix that timm takes off itself, with the head beside it
HARMLESS = [argparse.Namespace, np.dtype, *{type(np.dtype(kind)) for kind in "?bhilqBHILQefd"}, np.float64(0).__reduce__()[0]]
GROWTH = 4  # times that a file may unpack to


def read(path: str | Path) -> dict:
    """What a weights file holds: tensors by name, or a dict of such dicts; nothing but tensors and plain data is opened.

    A file is known by its content, not by its ending: safetensors, or what torch.save writes, whose checksums are compared.
    Raises MissingError when there is no such file and IntegrityError when it is damaged, is something else, holds more than
    tensors, or tensors that are larger than the file.
    """
    path = as_path(path)
    if not os.path.isfile(path):
        raise MissingError(f"There is no weights file at {path}: check the path.")
    with open(path, "rb") as file:
        start = file.read(64)
    size = path.stat().st_size
    try:
        if start[8:9] == b"{" and int.from_bytes(start[:8], "little") < size:
            content = load_file(path)
        else:
            _check_kind(path, start, size)
            content = _unpickled(path)
    except IntegrityError:
        raise
    except (SafetensorError, zipfile.BadZipFile, OSError, EOFError) as error:
        raise _unreadable(path, str(error).splitlines()[0] if str(error) else "it is cut short") from error
    except Exception as error:  # a damaged pickle can raise almost anything
        asks = re.search(r"GLOBAL ([\w.]+)", str(error))
        reason = f"it holds a {asks[1]} beside tensors" if asks else "it is damaged, or no weights"
        raise _unreadable(path, reason) from error
    for where, tensor in _tensors(content):
        if type(tensor) not in (torch.Tensor, torch.nn.Parameter) or tensor.layout != torch.strided or tensor.is_quantized or tensor.is_meta:
            raise IntegrityError(f"Weights file {path} holds {where} as a sparse, quantised or empty tensor: save it as a plain one.")
        if tensor.numel() * tensor.element_size() > size:
            raise _unreadable(path, f"it says that {where} has the shape {tuple(tensor.shape)}, which is more than the file")
    return content


def _unpickled(path):
    with open(path, "rb") as file, torch.serialization.safe_globals(HARMLESS), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # on protocols and sparse tensors: what is wrong is said in one sentence
        return torch.load(file, map_location="cpu", weights_only=True)


def network(content: dict, own: Mapping[str, torch.Tensor], path: str | Path) -> dict[str, torch.Tensor]:
    """The tensors of the one network in a file's ``content`` that is most like ``own``, by the names that ``own`` has.

    It may stand in a dict of dicts and its names behind a prefix ("teacher", "module.backbone."), which is taken off; the
    file's other tensors are told in a notice. Raises IntegrityError without any tensors by name, and for several networks
    that are equally like it, unless one is of those of :data:`PREFERRED`; and for weights that are no real numbers.
    """
    found = dict(_networks(content))
    if not found:
        raise IntegrityError(f"Weights file {path} holds no tensors by name{_inside(content)}: save the network's state_dict().")
    candidates = {}
    for where, state in found.items():
        for prefix in _prefixes(state, own):
            part = {k[len(prefix) :]: v for k, v in state.items() if k.startswith(prefix)}
            alike = sum(k in part and part[k].shape == v.shape for k, v in own.items())
            candidates[".".join(filter(None, (where, prefix.rstrip("."))))] = alike, part, len(state) - len(part)
    best = max(alike for alike, _, _ in candidates.values())
    chosen = sorted((name for name, one in candidates.items() if one[0] == best), key=_rank)
    if len(chosen) > 1 and best and _rank(chosen[0]) == _rank(chosen[1]):
        names = " and ".join(map(repr, chosen))
        raise IntegrityError(f"Weights file {path} holds several networks that may be meant, {names}: save the one alone.")
    _, part, left = candidates[chosen[0]]
    for key, tensor in own.items():
        if tensor.is_floating_point() and not part.get(key, tensor).is_floating_point():
            kind = str(part[key].dtype).removeprefix("torch.")
            raise IntegrityError(f"Weights file {path} holds {key} as {kind}: save it in real numbers, float32 or float16.")
    if best and len(chosen) > 1:
        notices.note("weights files with several networks", f"{path}: {chosen[0]!r} is taken, not {', '.join(map(repr, chosen[1:]))}")
    elif best and left:
        notices.note("weights files with more than the network", f"{path}: {left} tensors beside {chosen[0]!r} are left out")
    return part


def names_of(state: Mapping[str, object]) -> str:
    """What a file has, in few words: its first names."""
    first = [str(name) for name in state][:3]
    return ", ".join(first) + (f" and {len(state) - 3} more" if len(state) > 3 else "")


def _networks(content, where="", depth=3) -> Iterator[tuple[str, dict]]:
    """(where, tensors by name) of each dict that holds some, from outside in; beside tensors it may hold plain data."""
    if not isinstance(content, dict):
        return
    state = {k: v for k, v in content.items() if isinstance(k, str) and isinstance(v, torch.Tensor)}
    if state:
        yield where, state
    for name, value in content.items() if depth else ():
        yield from _networks(value, f"{where}.{name}".lstrip("."), depth - 1)


def _prefixes(state, own):
    """The prefixes behind which at least half of ``own`` stands, or is half of what the file has; else none is taken off."""
    counts = Counter()
    for name in state:
        parts = name.split(".")
        counts.update(name[: len(name) - len(rest)] for i in range(len(parts)) if (rest := ".".join(parts[i:])) in own)
    enough = [prefix for prefix, n in counts.items() if 2 * n >= min(len(own), len(state)) and OF_TIMM not in prefix]
    return enough or [""]


def _rank(name):
    return min((PREFERRED.index(part) for part in name.split(".") if part in PREFERRED), default=len(PREFERRED))


def _tensors(content, where="", depth=8) -> Iterator[tuple[str, torch.Tensor]]:
    if isinstance(content, torch.Tensor):
        yield where or "its content", content
    elif isinstance(content, (dict, list, tuple)) and depth:
        items = content.items() if isinstance(content, dict) else enumerate(content)
        for name, value in items:
            yield from _tensors(value, f"{where}.{name}".lstrip("."), depth - 1)


def _check_kind(path, start, size):
    """Raises IntegrityError for what torch.save doesn't write, and for a zip whose checksums or sizes aren't its content's."""
    for first, kind in KINDS.items():
        if start.lstrip().lower().startswith(first.lower()):
            raise _other(path, kind)
    if not start.startswith(b"PK"):
        if not start.startswith(b"\x80"):
            raise _unreadable(path, "it is damaged, or no weights")
        return
    with zipfile.ZipFile(path) as file:
        entries = file.infolist()
        names = {entry.filename.split("/", 1)[-1] for entry in entries}
        if "constants.pkl" in names or any(name.startswith("code/") for name in names):
            raise _other(path, "TorchScript, a program with its weights")
        if "data.pkl" not in names:
            raise _other(path, f"a zip of {names_of(dict.fromkeys(entry.filename for entry in entries))}")
        if sum(entry.file_size for entry in entries) > GROWTH * size:
            raise _unreadable(path, "it says that it holds many times its own bytes")
        for entry in entries:
            with file.open(entry) as content:
                while entry.CRC and content.read(1 << 20):  # zipfile compares at the end; 0: written without
                    pass


def _inside(content):
    return f", it holds {names_of(content)}" if isinstance(content, dict) and content else ""


def _other(path, kind):
    remedy = "" if ":" in kind else ": save its state_dict() with torch.save or as safetensors"
    return IntegrityError(f"Weights file {path} is {kind}{remedy}.")


def _unreadable(path, reason):
    return IntegrityError(f"Weights file {path} can't be read safely ({reason}): get it again, or convert it to safetensors.")
