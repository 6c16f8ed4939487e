"""How retrieval CNNs are trained: ArcFace on labelled pictures, or the contrastive loss on tuples; on any number of GPUs."""

import math
import numbers
from functools import partial
from itertools import islice
from pathlib import Path

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.utils import broadcast
from timm.data import resolve_data_config
from tqdm.auto import tqdm

from foir_lib.errors import InputError
from foir_lib.files import atomic_path
from foir_lib.models import weights as weights_file
from foir_lib.training.cuts import Cuts, Draws, Tuples, mine, told
from foir_lib.training.losses import ArcFace, Contrastive, Retriever, Task

OPTIMISERS = {
    "sgd": partial(torch.optim.SGD, momentum=0.9),
    "adam": torch.optim.Adam,
    "adamw": torch.optim.AdamW,
}


def train(
    net, pictures, loss="arcface", epochs=50, batch=128, size=512, lr=0.05, weight_decay=1e-4, optimiser="sgd", warmup=0.0,
    clip=None, dim=None, p=3.0, part=0.0, freeze_norm=False, margin=None, seed=0, workers=0, precision="no",
    n_queries=2000, n_pool=22_000, n_negatives=5, checkpoint=None, every=500, max_steps=None,
):  # fmt: skip
    """Train a timm CNN for retrieval; returns the Retriever and its losses, one per step (the mean over processes).

    ``loss``: "arcface" on a TrainingSet, "contrastive" on a TupleSet (negatives mined anew each epoch from ``n_pool``
    pictures for ``n_queries`` pairs). ``batch`` pictures or tuples for each process, cut to ``size`` pixels; ``lr`` rises over
    the share ``warmup`` of the steps and falls as a cosine; ``clip``: largest norm of the gradient; ``dim``, ``p``, ``part``,
    ``freeze_norm``: of the :class:`Retriever`; ``margin``: the loss's own unless given; ``precision``: accelerate's, "bf16"
    to compute in half. With a ``checkpoint`` path the state is kept there every so many steps and picked up again; a resumed
    run is the same run. ``max_steps`` ends it early, as planned from the start. Defaults: co-attention section 6.1.

    Under `accelerate launch` or `torchrun` all processes train together and return the same. N of them with batches of B
    are one with batches of N x B, but for batch norm, which counts the pictures of its process unless it is frozen.

    Raises InputError for a bad number or name, a set of the other kind or with fewer pictures than processes, the
    checkpoint of another run, and a loss that is no number any more.
    """
    _check(pictures, loss, optimiser, epochs=epochs, batch=batch, size=size, lr=lr, every=every)
    torch.manual_seed(seed)
    cpu = not torch.accelerator.is_available()  # without the word, processes on CPUs would train each for itself
    accelerator = Accelerator(cpu=cpu, mixed_precision=precision, step_scheduler_with_optimizer=False)
    cuts = partial(Cuts, pictures, size, *_statistics(net))
    retriever = Retriever(net, dim, p, part, freeze_norm)
    width, margin = retriever.whiten.out_features, {} if margin is None else {"margin": margin}
    head = ArcFace(len(pictures.names), width, **margin) if loss == "arcface" else Contrastive(**margin)
    task = Task(retriever, head).to(memory_format=torch.channels_last)
    optimiser_of = OPTIMISERS[optimiser](task.parameters(), lr, weight_decay=weight_decay)
    task, optimiser_of = accelerator.prepare(task, optimiser_of)
    n = len(pictures.paths) if loss == "arcface" else min(n_queries, len(pictures.query))
    if n < accelerator.num_processes:
        raise InputError(f"{pictures.name} is too small for {accelerator.num_processes} processes: start fewer.")
    batch = min(batch, n // accelerator.num_processes)
    per_epoch = n // batch // accelerator.num_processes
    total = min(epochs * per_epoch, max_steps or math.inf)
    run = f"{pictures.name}, {loss} {margin}, {optimiser} {lr:g}, weight decay {weight_decay:g}, warm-up {warmup:g}, "
    run += f"clip {clip}, {total} steps of {batch} at {size} px, GeM {p:g} to {width}, part {part:g}, "
    run += f"norm {'frozen' if freeze_norm else 'free'}, seed {seed}, {accelerator.num_processes} processes"
    run += f", from {weights_file.module_digest(net)}"
    losses, found = _resume(checkpoint, run, accelerator.unwrap_model(task), optimiser_of)
    bar = tqdm(total=total, initial=len(losses), desc=loss, disable=not accelerator.is_main_process)
    while len(losses) < total:
        epoch, done = divmod(len(losses), per_epoch)
        data, key = cuts(), (seed, epoch)
        if loss == "contrastive":
            if not done:
                mining = n, n_pool, n_negatives, batch, workers
                found = _mined(task, cuts(plain=True), (*key, 1), accelerator, *mining)
            data = Tuples(data, found)
        draws = Draws(len(data), batch, key, done * accelerator.num_processes)
        loader = accelerator.prepare(torch.utils.data.DataLoader(data, batch_sampler=draws, num_workers=workers))
        for x, labels in islice(told(loader), min(per_epoch - done, total - len(losses))):
            for group in optimiser_of.param_groups:
                group["lr"] = lr * _rate(len(losses), total, warmup)
            rng = np.random.default_rng((seed, len(losses), accelerator.process_index))
            torch.manual_seed(int(rng.integers(2**62)))
            value = task.train()(x, labels)
            optimiser_of.zero_grad()
            accelerator.backward(value)
            if clip:
                accelerator.clip_grad_norm_(task.parameters(), clip)
            optimiser_of.step()
            losses.append(accelerator.reduce(value.detach(), "mean").item())
            if not math.isfinite(losses[-1]):
                raise InputError(f"The loss is {losses[-1]} at step {len(losses)}: choose a smaller lr, or clip.")
            bar.update()
            bar.set_postfix(loss=f"{np.mean(losses[-50:]):.3f}", refresh=False)
            if checkpoint and accelerator.is_main_process and (len(losses) % every == 0 or len(losses) == total):
                parts = {"task": accelerator.unwrap_model(task), "optimiser": optimiser_of}
                with atomic_path(checkpoint) as temporary:
                    state = {key: part.state_dict() for key, part in parts.items()}
                    torch.save(state | {"losses": losses, "tuples": found, "run": run}, temporary)
    bar.close()
    _same_statistics(task)
    return accelerator.unwrap_model(task).retriever.cpu().eval(), losses


def save(retriever, name, folder, losses, facts, classifier=None, about=None):
    """Write ``<name>.safetensors`` as `load_model` reads it (matrices in float16) and its model card (JSON); returns the card.

    ``facts``: what the card should say of data, recipe, time and held-out scores. ``classifier``: an ``nn.Linear`` on the
    mean of the map, which takes the place of the network's own, or None for none. ``about``: use, limits and licence,
    mini-cnn's unless given.
    """
    head = retriever.net.pretrained_cfg["classifier"]
    keep = {k: v for k, v in retriever.net.state_dict().items() if not k.startswith(f"{head}.")}
    keep |= {f"whiten.{k}": v for k, v in retriever.whiten.state_dict().items()} | {
        "pool.p": torch.tensor([retriever.p])
    }
    if classifier is not None:
        keep |= {f"{head}.{k}": v for k, v in classifier.state_dict().items()}
    keep = {k: v for k, v in keep.items() if not k.endswith("num_batches_tracked")}
    return weights_file.write(keep, name, folder, losses, facts, ABOUT if about is None else about)


ABOUT = {
    "intended_use": "Lessons and tests of CNN retrieval on mini-landmarks, on a laptop.",
    "limits": "It knows drawn streets and nothing else; photographs mean nothing to it.",
    "licence": "Apache-2.0",
}


def _rate(step, total, warmup):
    """Share of the learning rate at a step: a straight rise, then a cosine to zero."""
    rise = warmup * total
    if step < rise:
        return (step + 1) / (rise + 1)
    return 0.5 * (1 + math.cos(math.pi * (step - rise) / max(1, total - rise)))


def _same_statistics(task):
    """Batch norm's running statistics of the first process, in all: each counted other pictures."""
    for buffer in task.buffers():
        broadcast(buffer)


def _mined(task, plain, key, accelerator, n_queries, n_pool, n_negatives, batch, workers):
    """Tuples (n_queries, 2 + n), a tensor, of an epoch; the processes share the work and get the same."""
    _same_statistics(task)
    rng, pictures = np.random.default_rng(key), plain.set
    pairs = rng.permutation(len(pictures.query))[:n_queries]
    pool = rng.permutation(len(pictures.paths))[:n_pool]
    retriever = accelerator.unwrap_model(task).retriever.eval()

    @torch.inference_mode()
    def descriptors(rows):
        share = -(-len(rows) // accelerator.num_processes)
        here = np.resize(rows, (accelerator.num_processes, share))[accelerator.process_index]
        order = [(int(row), 0) for row in here]
        loader = torch.utils.data.DataLoader(plain, batch * (2 + n_negatives), sampler=order, num_workers=workers)
        parts = [retriever(x.to(accelerator.device)) for x, _ in told(loader)]
        return accelerator.gather(torch.cat(parts))[: len(rows)]

    found = mine(pictures.query[pairs], pictures.positive[pairs], pool, pictures.cluster, descriptors, n_negatives)
    if len(found) < len(pairs):
        raise InputError(
            f"{pictures.name} has too few clusters for {n_negatives} negatives of different ones: ask for fewer."
        )
    return torch.from_numpy(found)


def _resume(checkpoint, run, task, optimiser):
    """Losses so far and the tuples of the epoch (or None); what a checkpoint holds goes into ``task`` and ``optimiser``."""
    if not checkpoint or not Path(checkpoint).exists():
        return [], None
    saved = weights_file.read(checkpoint)
    if saved.get("run") != run:
        raise InputError(f"Checkpoint {checkpoint} belongs to another run ({saved.get('run')}) than this ({run}).")
    task.load_state_dict(saved["task"])
    optimiser.load_state_dict(saved["optimiser"])
    return saved["losses"], saved["tuples"]


def _statistics(net):
    config = resolve_data_config(pretrained_cfg=net.pretrained_cfg)
    return config["mean"], config["std"]


def _check(pictures, loss, optimiser, **values):
    if loss not in ("arcface", "contrastive"):
        raise InputError(f"Loss {loss!r} is unknown: choose arcface or contrastive.")
    if optimiser not in OPTIMISERS:
        raise InputError(f"Optimiser {optimiser!r} is unknown: choose one of {', '.join(OPTIMISERS)}.")
    if hasattr(pictures, "labels") != (loss == "arcface"):
        needed = "a TrainingSet with labels" if loss == "arcface" else "a TupleSet with pairs"
        raise InputError(f"{pictures.name} doesn't fit the loss {loss}: give {needed}.")
    for name, value in values.items():
        whole = isinstance(value, numbers.Integral) or name == "lr"
        if isinstance(value, bool) or not whole or not value > 0:
            raise InputError(f"{name}={value!r} must be a positive {'number' if name == 'lr' else 'whole number'}.")
