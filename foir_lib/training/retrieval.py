"""How retrieval CNNs are trained: ArcFace on labelled pictures, or the contrastive loss on tuples; on any number of GPUs."""

from functools import partial
from pathlib import Path

import numpy as np
import torch
from accelerate import skip_first_batches
from accelerate.utils import broadcast
from timm.scheduler import CosineLRScheduler
from torch.utils.data import DataLoader

from foir_lib.data.training import TrainingSet, TupleSet
from foir_lib.errors import InputError, count, number, unknown
from foir_lib.models import weights as weights_file
from foir_lib.models.mini import shipped
from foir_lib.models.preprocessing import statistics
from foir_lib.training import loop
from foir_lib.training.cuts import Cuts, Tuples, draws, loaded, mine
from foir_lib.training.losses import ArcFace, Contrastive, Retriever, Task

MOST = {"size": 4096, "dim": 2**16, "workers": 1024, "seed": 2**31 - 1}
OPTIMISERS = {"sgd": partial(torch.optim.SGD, momentum=0.9), "adam": torch.optim.Adam, "adamw": torch.optim.AdamW}


def train(
    net: torch.nn.Module, pictures: TrainingSet | TupleSet, loss: str = "arcface", epochs: int = 50, batch: int = 128,
    size: int = 512, lr: float = 0.05, weight_decay: float = 1e-4, optimiser: str = "sgd", warmup: float = 0.0,
    clip: float | None = None, dim: int | None = None, p: float = 3.0, part: float = 0.0, freeze_norm: bool = False,
    margin: float | None = None, seed: int = 0, workers: int = 0, precision: str = "no", n_queries: int = 2000,
    n_pool: int = 22_000, n_negatives: int = 5, checkpoint: str | Path | None = None, every: int = 500,
    max_steps: int | None = None,
) -> tuple[Retriever, list[float]]:  # fmt: skip
    """Train a timm CNN for retrieval; returns the Retriever and its losses, one per step (the mean over processes).

    ``loss``: "arcface" on a TrainingSet, "contrastive" on a TupleSet (negatives mined anew each epoch from ``n_pool``
    pictures for ``n_queries`` pairs). ``batch`` pictures or tuples for each process, cut to ``size`` pixels; ``lr`` rises over
    the share ``warmup`` of the steps and falls as a cosine; ``clip``: largest norm of the gradient; ``dim``, ``p``, ``part``,
    ``freeze_norm``: of the :class:`Retriever`; ``margin``: the loss's own unless given; ``precision``: accelerate's, "bf16"
    to compute in half. ``checkpoint``, ``every``: see `loop.fit`; a resumed run is the same run. ``max_steps`` ends it early,
    as planned from the start. Defaults: co-attention section 6.1.

    Under `accelerate launch` or `torchrun` all processes train together and return the same. N of them with batches of B
    are one with batches of N x B, but for batch norm, which counts the pictures of its process unless it is frozen.

    Raises InputError for a bad number or name, a set of the other kind or with fewer pictures than processes, the
    checkpoint of another run, and a loss that is no number any more.
    """
    values = dict(locals())
    run = {k: str(v) for k, v in values.items() if k not in ("net", "pictures", "workers", "checkpoint", "every")}
    _check(values)
    torch.manual_seed(seed)
    accelerator = loop.start(precision, place=True)
    retriever = Retriever(net, dim, p, part, freeze_norm)
    width, margin = retriever.whiten.out_features, {} if margin is None else {"margin": margin}
    head = ArcFace(len(pictures.names), width, **margin) if loss == "arcface" else Contrastive(**margin)
    task = Task(retriever, head).to(memory_format=torch.channels_last)
    n = len(pictures.paths) if loss == "arcface" else min(n_queries, len(pictures.query))
    if n < accelerator.num_processes:
        raise InputError(f"{pictures.name} is too small for {accelerator.num_processes} processes: start fewer.")
    batch = min(batch, n // accelerator.num_processes)
    per_epoch = n // batch // accelerator.num_processes
    total = min(epochs * per_epoch, max_steps or epochs * per_epoch)
    run |= {"data": f"{n} of {pictures.name}", "processes": accelerator.num_processes, "from": weights_file.module_digest(net)}
    (_, mean, std), mined = statistics(net), {}
    cuts = partial(Cuts, pictures, size, mean, std)

    def batches(epoch, first):
        data, key = cuts(), (seed, epoch)
        if loss == "contrastive":
            if not first:
                plain = cuts(plain=True)
                mined["tuples"] = _mined(retriever, plain, (*key, 1), accelerator, n, n_pool, n_negatives, batch, workers)
            data = Tuples(data, mined["tuples"])
        loader = DataLoader(data, batch_sampler=draws(len(data), batch, key), num_workers=workers)
        return loaded(skip_first_batches(accelerator.prepare(loader), first))

    optimiser = OPTIMISERS[optimiser](task.parameters(), lr, weight_decay=weight_decay)
    losses = loop.fit(
        task, optimiser, batches, total, cosine(optimiser, total, warmup * total), per_epoch, clip, seed, loss,
        checkpoint, every, run, mined, accelerator,
    )  # fmt: skip
    _same_statistics(retriever)
    return retriever.cpu().eval(), losses


def cosine(optimiser: torch.optim.Optimizer, steps: int, warmup: float = 0.0) -> CosineLRScheduler:
    """The learning rate's straight rise over ``warmup`` steps, from more than 0, then its cosine to 0 at ``steps``."""
    first = optimiser.param_groups[0]["lr"] / (warmup + 1)
    rise = {"warmup_t": warmup, "warmup_lr_init": first, "warmup_prefix": True}
    return CosineLRScheduler(optimiser, max(1, steps - warmup), **rise, t_in_epochs=False)


def save(
    retriever: Retriever, name: str, folder: str | Path, losses: list[float], facts: dict,
    classifier: torch.nn.Linear | None = None, about: dict | None = None,
) -> dict:  # fmt: skip
    """Write ``<name>.safetensors`` as `load_model` reads it (matrices in float16) and its model card (JSON); returns the card.

    ``facts``: what the card should say of data, recipe, time and held-out scores. ``classifier``: an ``nn.Linear`` on the
    mean of the map, which takes the place of the network's own, or None for none. ``about``: use, limits and licence,
    mini-cnn's unless given.
    """
    head, state = retriever.net.pretrained_cfg["classifier"], retriever.net.state_dict()
    state = {k: v for k, v in state.items() if not k.startswith(f"{head}.") and not k.endswith("num_batches_tracked")}
    state |= {f"whiten.{k}": v for k, v in retriever.whiten.state_dict().items()}
    state |= {f"{head}.{k}": v for k, v in ({} if classifier is None else classifier.state_dict()).items()}
    state["pool.p"] = torch.tensor([retriever.p])
    return weights_file.write(state, name, folder, losses, facts, shipped.ABOUT["mini-cnn"] if about is None else about)


def _same_statistics(retriever):
    """Batch norm's running statistics of the first process, in all: each counted other pictures."""
    for buffer in retriever.buffers():
        broadcast(buffer)


def _mined(retriever, plain, key, accelerator, n_queries, n_pool, n_negatives, batch, workers):
    """Tuples (n_queries, 2 + n), a tensor, of an epoch; the processes share the work and get the same."""
    _same_statistics(retriever)
    rng, pictures = np.random.default_rng(key), plain.set
    pairs = rng.permutation(len(pictures.query))[:n_queries]
    pool = rng.permutation(len(pictures.paths))[:n_pool]
    retriever.eval()

    @torch.inference_mode()
    def descriptors(rows):
        share = -(-len(rows) // accelerator.num_processes)
        here = np.resize(rows, (accelerator.num_processes, share))[accelerator.process_index]
        order = [(int(row), 0) for row in here]
        loader = DataLoader(plain, batch * (2 + n_negatives), sampler=order, num_workers=workers)
        parts = [retriever(x.to(accelerator.device)) for x, _ in loaded(loader)]
        return accelerator.gather(torch.cat(parts))[: len(rows)]

    tuples = mine(pictures.query[pairs], pictures.positive[pairs], pool, pictures.cluster, descriptors, n_negatives)
    if len(tuples) < len(pairs):
        raise InputError(f"{pictures.name} has too few clusters for {n_negatives} negatives of each another: give fewer.")
    return torch.from_numpy(tuples)


def _check(values):
    """Raises InputError for arguments of :func:`train`, by name, that can't be."""
    pictures, loss, optimiser = values["pictures"], values["loss"], values["optimiser"]
    if loss not in ("arcface", "contrastive"):
        raise unknown("loss", loss, ("arcface", "contrastive"))
    if optimiser not in OPTIMISERS:
        raise unknown("optimiser", optimiser, OPTIMISERS)
    if hasattr(pictures, "labels") != (loss == "arcface"):
        needed = "a TrainingSet with labels" if loss == "arcface" else "a TupleSet with pairs"
        raise InputError(f"{pictures.name} doesn't fit the loss {loss}: give {needed}.")
    if loss == "arcface" and len(set(pictures.labels.tolist())) < 2:
        raise InputError(f"{pictures.name} has one label, of which nothing can be learned: give the folder above it, or more labels.")
    for name in ("epochs", "batch", "size", "every", "n_queries", "n_pool", "n_negatives"):
        count(values[name], name, 1, MOST.get(name))
    for name in ("seed", "workers"):
        count(values[name], name, 0, MOST[name])
    for name, bounds in {"lr": {"above": 0}, "p": {"above": 0}, "weight_decay": {"low": 0}}.items():
        number(values[name], name, **bounds)
    for name in ("warmup", "part"):
        number(values[name], name, 0, 1)
    for name in ("dim", "max_steps"):
        values[name] is None or count(values[name], name, 1, MOST.get(name))
    values["margin"] is None or number(values["margin"], "margin")
