"""Local weights files: loaded only where every tensor fits, named for keys, written with a card and only if all is finite."""

import hashlib
import json
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save as to_safetensors

from foir_lib.errors import InputError, IntegrityError
from foir_lib.files import as_path, atomic_write, checksum
from foir_lib.models.checkpoints import names_of


def digest(path: str | Path) -> str:
    """``file name, sha256`` of a weights file, for the key of what it makes.

    Raises IntegrityError where the card beside it, see :func:`write_card`, tells of another file.
    """
    content, card = checksum(path), {}
    with suppress(OSError, ValueError):
        card = json.loads(as_path(path).with_suffix(".json").read_bytes())
    if isinstance(card, dict) and card.get("sha256", content) != content:
        raise IntegrityError(f"Weights file {path} isn't the one that its card beside it tells of: get both again, or move the card away.")
    return f"{as_path(path).name}, sha256 {content[:16]}"


def module_digest(module: torch.nn.Module) -> str:
    """Names the weights of a network or layer in memory, for a key."""
    values = (tensor.detach().cpu().numpy().tobytes() for tensor in module.state_dict().values())
    return hashlib.sha256(b"".join(values)).hexdigest()[:16]


def check(own: dict, state: dict, path: str | Path, name: str, known: Iterable[str] = (), hint: str = "") -> None:
    """Raises IntegrityError naming the first tensor of ``own`` that ``state`` lacks or has in another shape, the first of
    ``state`` that is in neither ``own`` nor ``known``, or one that isn't finite. ``hint``: a clause after what is lacking."""
    misfit = f"Weights file {path} doesn't fit {name}:"
    if not hint and 2 * sum(key in state for key in own) < len(own):
        hint = f"; it has {names_of(state)}"
    for key, tensor in own.items():
        if key not in state:
            raise IntegrityError(f"{misfit} it lacks {key}{hint}.")
        if (shape := tuple(state[key].shape)) != tensor.shape:
            raise IntegrityError(f"{misfit} {key} has shape {shape}, the model needs {tuple(tensor.shape)}.")
    for key, tensor in state.items():
        if key not in own and key not in known:
            raise IntegrityError(f"{misfit} it has {key}, which the model has not.")
        if tensor.is_floating_point() and not tensor.isfinite().all():
            raise IntegrityError(f"Weights file {path} holds NaN or infinite numbers in {key}: train it again, or get it again.")


def write(state: dict, name: str, folder: str | Path, losses: list[float], facts: dict, about: dict) -> dict:
    """Write tensors by name (matrices in float16) as ``<name>.safetensors``, and their card; returns it, see :func:`write_card`.

    Raises InputError, and writes nothing, where a number of them isn't finite, or too large for float16.
    """
    half = {k: (v.half() if v.ndim > 1 else v).cpu().contiguous() for k, v in state.items()}
    finite(half, name)
    _checked(losses, facts, name)
    atomic_write(path := as_path(folder) / f"{name}.safetensors", to_safetensors(half))
    return write_card(path, losses, facts, about)


def finite(state: dict[str, torch.Tensor], name: str) -> None:
    """Raises InputError naming the first tensor that holds a NaN or infinite number."""
    bad = [key for key, tensor in state.items() if tensor.is_floating_point() and not tensor.isfinite().all()]
    if bad:
        raise InputError(f"The weights {name} hold NaN or infinite numbers in {bad[0]}: nothing is saved, train with a smaller lr, or clip.")


def write_card(path: str | Path, losses: list[float], facts: dict, about: dict) -> dict:
    """Write the card of a weights file beside it, as ``<name>.json``; returns it.

    It holds ``facts``, the losses as 60 means, the file's checksum, and what it is ``about``. Raises InputError for losses
    or facts that aren't finite numbers, and for no losses.
    """
    path = as_path(path)
    _checked(losses, facts, path.stem)
    curve = [round(float(part.mean()), 4) for part in np.array_split(losses, min(60, len(losses)))]
    card = {"name": path.stem} | facts | {"losses": curve, "sha256": checksum(path)} | about
    atomic_write(path.with_suffix(".json"), json.dumps(card, indent=1, allow_nan=False) + "\n")
    return card


def _checked(losses, facts, name):
    try:
        json.dumps([facts, list(map(float, losses))], allow_nan=False)
    except (TypeError, ValueError) as error:
        raise InputError(f"The card of {name} can't be written ({error}): give finite losses and plain facts.") from error
    if not len(losses):
        raise InputError(f"The weights {name} have no losses: train them for a step at least.")
