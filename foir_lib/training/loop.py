"""One loop for all trainings: steps on batches, and a checkpoint from which a stopped run goes on as the same run."""

import math
import os
from collections.abc import Callable, Iterable
from itertools import islice
from pathlib import Path

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from timm.scheduler.scheduler import Scheduler
from torch import nn
from tqdm.auto import tqdm

from foir_lib.errors import InputError, IntegrityError, MissingError, count, number
from foir_lib.files import atomic_path, try_place
from foir_lib.models import checkpoints


class Objective(nn.Module):
    """A network and its loss in one module: a batch to the scalar ``loss(net, *batch)``."""

    def __init__(self, net: nn.Module, loss: Callable[..., torch.Tensor]):
        super().__init__()
        self.net, self.loss = net, loss

    def forward(self, *batch: torch.Tensor) -> torch.Tensor:
        return self.loss(self.net, *batch)


def start(precision: str = "no", place: bool = False) -> Accelerator:
    """accelerate's object for one training in this process; ``place``: it moves network and batches to its device."""
    AcceleratorState._reset_state()  # or the precision of the first training in a process would be that of all
    cpu = not torch.accelerator.is_available()  # without the word, processes on CPUs would train each for itself
    return Accelerator(cpu=cpu, mixed_precision=precision, device_placement=place)


def fit(
    task: nn.Module, optimiser: torch.optim.Optimizer, batches: Callable[[int, int], Iterable[tuple]], steps: int,
    schedule: Scheduler | None = None, per_epoch: int | None = None, clip: float | None = None, seed: int = 0, label: str = "",
    checkpoint: str | Path | None = None, every: int = 500, run: dict | None = None, extra: dict | None = None,
    accelerator: Accelerator | None = None,
) -> list[float]:  # fmt: skip
    """Train ``task``, a module from a batch to its scalar loss, for ``steps`` steps; the loss of each, a mean over processes.

    ``batches(epoch, first)``: the batches, tuples, of an epoch of ``per_epoch`` steps (one epoch unless given), from number
    ``first`` on; ``schedule``: of timm.scheduler, by updates; ``clip``: largest norm of the gradient. Every step has its own
    random numbers, by ``seed``, step and process. With a ``checkpoint`` path the state is saved there ``every`` so many steps
    and at the end, and picked up again; ``run``, names and values, says which run it belongs to; ``extra``: a dict of
    tensors that is saved with it. (One file, replaced as a whole and opened without unpickling: accelerate's save_state
    writes a folder, which a kill leaves half written.)

    Raises InputError for the checkpoint of another run, for a loss or weights that aren't finite, of which nothing is saved,
    and for numbers that can't be; IntegrityError for a damaged checkpoint.
    """
    count(steps, "steps"), count(every, "every"), clip is None or number(clip, "clip", above=0)
    if checkpoint:
        checkpoint = try_place(checkpoint)
    accelerator = accelerator or start()
    per_epoch, extra = per_epoch or steps, {} if extra is None else extra
    prepared, optimiser = accelerator.prepare(task, optimiser)
    parts = {"task": task, "optimiser": optimiser} | ({"schedule": schedule} if schedule else {})
    losses = _resume(checkpoint, run or {}, parts, extra)
    with tqdm(total=steps, initial=len(losses), desc=label, disable=not accelerator.is_main_process) as bar:
        while len(losses) < steps:
            epoch, first = divmod(len(losses), per_epoch)
            for batch in islice(batches(epoch, first), min(per_epoch - first, steps - len(losses))):
                if schedule:
                    schedule.step_update(len(losses))
                rng = np.random.default_rng((seed, len(losses), accelerator.process_index))
                torch.manual_seed(int(rng.integers(2**62)))
                loss = prepared.train()(*batch)
                losses.append(accelerator.reduce(loss.detach(), "mean").item())
                if not math.isfinite(losses[-1]):
                    raise InputError(f"The loss is {losses[-1]} at step {len(losses)}: choose a smaller lr, or clip.")
                optimiser.zero_grad()
                accelerator.backward(loss)
                if clip:
                    accelerator.clip_grad_norm_(task.parameters(), clip)
                optimiser.step()
                bar.update()
                bar.set_postfix(loss=f"{np.mean(losses[-50:]):.4f}", refresh=False)
                if checkpoint and accelerator.is_main_process and (len(losses) % every == 0 or len(losses) == steps):
                    state = {name: part.state_dict() for name, part in parts.items()}
                    _finite(state, len(losses))
                    with atomic_path(checkpoint) as temporary:
                        torch.save(state | {"losses": losses, "run": run or {}, "extra": extra}, temporary)
    _finite({"task": task.state_dict()}, len(losses))
    return losses


def _finite(state, step):
    """Raises InputError for weights, or what the optimiser keeps, that aren't finite: a loss tells it one step too late."""
    kept = [value for values in state.get("optimiser", {}).get("state", {}).values() for value in values.values()]
    for tensor in [*state["task"].values(), *kept]:
        if isinstance(tensor, torch.Tensor) and tensor.is_floating_point() and not tensor.isfinite().all():
            raise InputError(f"The weights hold NaN or infinite numbers after step {step}: choose a smaller lr, or clip.")


def _resume(checkpoint, run, parts, extra):
    """Losses so far; what a checkpoint holds goes into ``parts`` and ``extra``."""
    if not checkpoint or not os.path.exists(checkpoint):
        return []
    try:
        saved = checkpoints.read(checkpoint)
    except (IntegrityError, MissingError) as error:
        raise IntegrityError(f"Checkpoint {checkpoint} can't be read: remove it, and training begins again.") from error
    of = saved.get("run") if isinstance(saved, dict) else None
    if of != run:
        differ = [f"{k} {of.get(k)} and not {v}" for k, v in run.items() if of.get(k) != v] if isinstance(of, dict) else []
        other = ", ".join(differ) or of
        raise InputError(f"Checkpoint {checkpoint} belongs to another run ({other}): give another path or remove it.")
    try:
        for name, part in parts.items():
            part.load_state_dict(saved[name])
        extra.update(saved["extra"])
        _finite(saved, len(saved["losses"]))
        return [number(loss, "loss") for loss in saved["losses"]]
    except (KeyError, TypeError, ValueError, RuntimeError, AttributeError, IndexError) as error:
        raise IntegrityError(f"Checkpoint {checkpoint} is damaged or of another network: remove it, and training begins again.") from error
