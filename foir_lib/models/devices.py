"""Where a network runs, "auto" is CUDA, then Apple's MPS, then the CPU; and in what precision: what it hands out is float32 in any case."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from functools import wraps

import torch

from foir_lib.errors import InputError, unknown
from foir_lib.text import CLUSTER

PRECISIONS = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


def named(device: str | torch.device | None) -> str:
    """The name of a device; "auto", "" and None are the best one of this machine."""
    if device not in ("auto", "", None):
        return str(device)
    return "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"


def choose(device: str | torch.device | None) -> torch.device:
    """The torch device of a name, of several the first. Raises InputError for one that isn't here."""
    if cluster(device) is not None:
        device = str(device)[len(CLUSTER) :].partition("@")[0]
    if len(several(device)) > 1:
        return [choose(one) for one in several(device)][0]
    try:
        chosen = torch.device(named(device))
        torch.empty(0, device=chosen)
    except (RuntimeError, AssertionError, TypeError, NotImplementedError) as error:
        raise InputError(f"Device {str(device)!r} can't be used here: choose auto, cpu, cuda or mps.") from error
    return chosen


def several(device: str | torch.device | None) -> list[str]:
    """The names in "cuda:0,cuda:1": devices that share the work; of one device that alone."""
    return [one.strip() for one in str(device or "").split(",") if one.strip()]


def cluster(device: str | torch.device | None) -> str | None:
    """The address in "ray:cuda@ADDRESS", devices of a cluster whose nodes share the work; "" for one of this machine, None for all others."""
    return str(device).partition("@")[2] if str(device).startswith(CLUSTER) else None


def described(device: str | torch.device | None) -> str:
    """The name of a device as a stamp has it: that of a GPU which is here with its type, "cuda (NVIDIA H100)"."""
    if cluster(device) is not None:
        return str(device)
    if len(several(device)) > 1:
        return ", ".join(described(one) for one in several(device))
    name = named(device)
    if name.startswith("cuda") and torch.cuda.is_available():
        return f"cuda ({torch.cuda.get_device_name(torch.device(name))})"
    return name


def checked(precision: str) -> str:
    """The name of a precision. Raises InputError for another than fp32, bf16 and fp16."""
    if precision not in PRECISIONS:
        raise unknown("precision", precision, PRECISIONS)
    return precision


def autocast(model) -> AbstractContextManager:
    """Inside, products are computed in the precision of a model (``device``, ``precision``); sums and norms stay float32."""
    return nullcontext() if model.precision == "fp32" else torch.autocast(model.device.type, PRECISIONS[model.precision])


def inferring(method: Callable) -> Callable:
    """Decorator of a tap: without gradients, in the model's precision; what it returns is float32."""

    @wraps(method)
    def computed(self, *arguments, **options):
        with torch.inference_mode(), autocast(self):
            result = method(self, *arguments, **options)
        return result.to(torch.float32)

    return computed
