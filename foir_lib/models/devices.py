"""Where a network runs: "auto" is CUDA, then Apple's MPS, then the CPU."""

import torch

from foir_lib.errors import InputError


def named(device: str | torch.device | None) -> str:
    """The name of a device; "auto", "" and None are the best one of this machine."""
    if device not in ("auto", "", None):
        return str(device)
    return "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"


def choose(device: str | torch.device | None) -> torch.device:
    """The torch device of a name, of several the first. Raises InputError for one that isn't here."""
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


def described(device: str | torch.device | None) -> str:
    """The name of a device as a stamp has it: that of a GPU which is here with its type, "cuda (NVIDIA H100)"."""
    if len(several(device)) > 1:
        return ", ".join(described(one) for one in several(device))
    name = named(device)
    if name.startswith("cuda") and torch.cuda.is_available():
        return f"cuda ({torch.cuda.get_device_name(torch.device(name))})"
    return name
