"""Weights of CNNs from local files: whole networks, networks that stop at a stage, and their whitening layer."""

import copy
import numbers
from pathlib import Path

import torch
from torch import nn

from foir_lib.errors import InputError, IntegrityError
from foir_lib.models import checkpoints
from foir_lib.models import weights as weights_file


def load(net: nn.Module, path: str | Path, name: str, out_index: int = -1) -> tuple[str, nn.Linear | None, float]:
    """Fill a timm CNN from a local file, strictly; returns (what names the weights, whiten, gem p).

    Beside the network's own tensors the file may hold ``whiten.weight`` (d, C), ``whiten.bias`` (d,) and ``pool.p`` (1,).
    It may lack what comes after the map ``out_index`` (and the classifier, or have one with other classes), nothing
    else. Raises IntegrityError naming the first tensor that doesn't fit.
    """
    state = checkpoints.network(checkpoints.read(path), net.state_dict(), path)
    state = {k: v.float() if v.is_floating_point() else v for k, v in state.items()}
    whiten, gem_p = _head(state, path)
    known, head = set(net.state_dict()), net.pretrained_cfg.get("classifier")
    if isinstance(head, str):  # take the file's classes, or do without
        rows = next(iter(state.get(f"{head}.weight", torch.empty(0)).shape), 0)
        if rows != net.num_classes:
            net.reset_classifier(rows)
            known |= set(net.state_dict())
    whole = None if out_index == -1 else copy.deepcopy(net)
    prune(net, name, out_index)
    hint = _reach(whole or net, state, name) if not _needed(net).keys() <= state.keys() else ""
    weights_file.check(_needed(net), state, path, name, known, hint)
    net.load_state_dict({k: v for k, v in state.items() if k in net.state_dict()}, strict=False)
    return weights_file.digest(path), whiten, gem_p


def prune(net: nn.Module, name: str, out_index: int) -> None:
    """Remove from a timm CNN all that comes after the map ``out_index`` (nothing for -1)."""
    if out_index != -1:
        net.prune_intermediate_layers([stage_of(net, name, out_index)], prune_norm=True, prune_head=True)


def stage_of(net: nn.Module, name: str, out_index: int) -> int:
    """``out_index`` counted from the first stage."""
    n = len(getattr(net, "feature_info", ()))
    if not n or not (out_index == -1 or hasattr(net, "forward_intermediates")):
        raise InputError(f"{name} can't be tapped at out_index={out_index}: choose a CNN such as resnet50.")
    if not isinstance(out_index, numbers.Integral) or isinstance(out_index, bool) or not -n <= out_index < n:
        raise InputError(f"out_index={out_index!r} of {name} must be -1, or a stage from 0 to {n - 1}.")
    return int(out_index) % n


def _needed(net):
    """The network's tensors that a file must hold: all but the counters of batch norm."""
    return {k: v for k, v in net.state_dict().items() if not k.endswith("num_batches_tracked")}


def _reach(net, state, name):
    """A clause that says how far a file that stops early reaches, or nothing."""
    for stage in reversed(range(len(net.feature_info) - 1)):
        part = copy.deepcopy(net)
        prune(part, name, stage)
        if _needed(part).keys() <= state.keys():
            return f" (it reaches out_index={stage}: give that)"
    return ""


def _head(state, path):
    """The whitening layer (or None) and gem p that stand in a state dict; they are taken out of it."""
    weight, bias, p = (state.pop(k, None) for k in ("whiten.weight", "whiten.bias", "pool.p"))
    if (weight is not None and weight.ndim != 2) or (bias is not None and (weight is None or len(bias) != len(weight))):
        raise IntegrityError(f"Weights file {path} has a whitening layer that doesn't fit: weight is (d, C), bias (d,).")
    if p is not None and (p.numel() != 1 or not 0 < float(p) < torch.inf):
        raise IntegrityError(f"Weights file {path} has a pool.p that isn't one number above 0: get it again.")
    if not all(x is None or x.isfinite().all() for x in (weight, bias)):
        raise IntegrityError(f"Weights file {path} holds NaN or infinite numbers in its whitening layer: get it again.")
    p = 3.0 if p is None else float(p)
    if weight is None:
        return None, p
    whiten = nn.Linear(*weight.shape[::-1], bias=bias is not None)
    whiten.load_state_dict({"weight": weight} if bias is None else {"weight": weight, "bias": bias})
    return whiten, p
