"""The contract of every measurement: ratios of medians over repeats, both sides taken in turn in one run.

Random weights (speed doesn't depend on them), one warm-up, A and B in turn, the device synchronised around every timing,
medians. Ratios are what counts; seconds depend on the machine.
"""

import platform
import time
from collections.abc import Callable
from statistics import median

import torch


def compare(
    a: Callable, b: Callable, device: str | torch.device, repeats: int, what: str, scale_a: float = 1.0, scale_b: float = 1.0
) -> dict:
    """Medians of A and B in turn, in milliseconds (times their scales), and their ratio."""
    a(), b()
    pairs = [(_seconds(a, device) * scale_a, _seconds(b, device) * scale_b) for _ in range(repeats)]
    a_ms, b_ms = (1000 * median(times) for times in zip(*pairs, strict=True))
    return {"ratio": a_ms / b_ms, "a_ms": a_ms, "b_ms": b_ms, "what": what}


def device_name(device: torch.device) -> str:
    """What the numbers were taken on."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else f"{platform.machine()} CPU"


def _seconds(work, device):
    synchronise(device)
    start = time.perf_counter()
    work()
    synchronise(device)
    return time.perf_counter() - start


def synchronise(device: str | torch.device) -> None:
    """Wait until a GPU has done what it was given."""
    if torch.device(device).type == "cuda":
        torch.cuda.synchronize(device)
