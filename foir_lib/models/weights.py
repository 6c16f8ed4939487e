"""Local weights files: opened without running what is inside, loaded only where every tensor fits, written with a card."""

import hashlib
import json
import os
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from safetensors.torch import save as to_safetensors

from foir_lib.errors import IntegrityError, MissingError
from foir_lib.files import as_path, atomic_write


def read(path: str | Path) -> dict:
    """The state dict of a .safetensors or .pth/.pt/.bin file; nothing pickled but tensors is opened.

    Raises MissingError when there is no such file and IntegrityError when it is damaged or holds more than tensors.
    """
    path = as_path(path)
    if not os.path.isfile(path):
        raise MissingError(f"There is no weights file at {path}: check the path.")
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        return torch.load(path, map_location="cpu", weights_only=True)
    except (SafetensorError, RuntimeError, OSError, ValueError, EOFError, KeyError) as error:
        reason = (str(error) or "it is cut short").splitlines()[0]
        raise IntegrityError(f"Weights file {path} can't be read safely ({reason}): get it again.") from error
    except Exception as error:  # pickle.UnpicklingError and kin: something else than tensors inside
        remedy = "and isn't opened: get it again, or convert it to safetensors."
        raise IntegrityError(f"Weights file {path} is damaged or holds more than tensors, {remedy}") from error


def digest(path: str | Path) -> str:
    """``file name, sha256`` of a weights file, for the key of what it makes."""
    return f"{as_path(path).name}, sha256 {_sha256(path)[:16]}"


def module_digest(module: torch.nn.Module) -> str:
    """Names the weights of a network or layer in memory, for a key."""
    values = (tensor.detach().cpu().numpy().tobytes() for tensor in module.state_dict().values())
    return hashlib.sha256(b"".join(values)).hexdigest()[:16]


def check(own: dict, state: dict, path: str | Path, name: str, known: Iterable[str] = (), hint: str = "") -> None:
    """Raises IntegrityError naming the first tensor of ``own`` that ``state`` lacks or has in another shape, or the
    first of ``state`` that is in neither ``own`` nor ``known``. ``hint``: a clause after what is lacking."""
    misfit = f"Weights file {path} doesn't fit {name}:"
    for key, tensor in own.items():
        if key not in state:
            raise IntegrityError(f"{misfit} it lacks {key}{hint}.")
        if (shape := tuple(state[key].shape)) != tensor.shape:
            raise IntegrityError(f"{misfit} {key} has shape {shape}, the model needs {tuple(tensor.shape)}.")
    for key in state:
        if key not in own and key not in known:
            raise IntegrityError(f"{misfit} it has {key}, which the model has not.")


def write(state: dict, name: str, folder: str | Path, losses: list[float], facts: dict, about: dict) -> dict:
    """Write tensors by name (matrices in float16) as ``<name>.safetensors``, and their card; returns it, see :func:`write_card`."""
    blob = to_safetensors({k: (v.half() if v.ndim > 1 else v).cpu().contiguous() for k, v in state.items()})
    atomic_write(path := as_path(folder) / f"{name}.safetensors", blob)
    return write_card(path, losses, facts, about)


def write_card(path: str | Path, losses: list[float], facts: dict, about: dict) -> dict:
    """Write the card of a weights file beside it, as ``<name>.json``; returns it.

    It holds ``facts``, the losses as 60 means, the file's checksum, and what it is ``about``.
    """
    path = as_path(path)
    curve = [round(float(part.mean()), 4) for part in np.array_split(losses, min(60, len(losses)))]
    card = {"name": path.stem} | facts | {"losses": curve, "sha256": _sha256(path)} | about
    atomic_write(path.with_suffix(".json"), json.dumps(card, indent=1) + "\n")
    return card


def _sha256(path):
    return hashlib.sha256(np.memmap(as_path(path), np.uint8, "r")).hexdigest()
