"""Where a network runs: "auto" is CUDA, then Apple's MPS, then the CPU."""

import torch

from foir_lib.errors import InputError


def named(device: str | torch.device | None) -> str:
    """The name of a device; "auto", "" and None are the best one of this machine."""
    if device not in ("auto", "", None):
        return str(device)
    return "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"


def choose(device: str | torch.device | None) -> torch.device:
    """The torch device of a name. Raises InputError for one that isn't here."""
    try:
        chosen = torch.device(named(device))
        torch.empty(0, device=chosen)
    except (RuntimeError, AssertionError, TypeError, NotImplementedError) as error:
        raise InputError(f"Device {str(device)!r} can't be used here: choose auto, cpu, cuda or mps.") from error
    return chosen


def described(device: str | torch.device | None) -> str:
    """The name of a device as a stamp has it: that of a GPU which is here with its type, "cuda (NVIDIA H100)"."""
    name = named(device)
    if name.startswith("cuda") and torch.cuda.is_available():
        return f"cuda ({torch.cuda.get_device_name(torch.device(name))})"
    return name
