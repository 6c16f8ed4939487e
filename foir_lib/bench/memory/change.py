"""Learning under change: views under one condition, tests under another, before and after k new views; and what of the old is forgotten.

Beside the memory stand a linear head (logistic regression on the same vectors) and LoRA (an adapter on the network, and a head), each
trained anew on the same views. A condition is a split of the set: what its queries show (old) and what its database shows (new).
"""

import time
from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass

import numpy as np
import torch
from sklearn.linear_model import LogisticRegression
from torch import nn
from torch.nn import functional as F

from foir_lib.bench.memory.curves import ACCURACY
from foir_lib.bench.memory.views import Views, score
from foir_lib.bench.metrics.scores import Score
from foir_lib.errors import InputError
from foir_lib.memory import control
from foir_lib.memory.recogniser import seen
from foir_lib.models.taps import networks
from foir_lib.training import lora
from foir_lib.training.loop import Objective, fit, start

AFTER = (0, 1, 2, 5)  # new views of a thing
OLD, TESTS = 5, 5  # views of a thing under the old condition; tests of it under each
STEPS, BATCH, RATE, RANK, SCALE = 60, 8, 3e-3, 4, 16.0  # of LoRA, chosen on seed 0; SCALE: of its head's cosines
Learner = Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]  # (rows to learn, their things, rows that ask) -> things


@dataclass(frozen=True)
class Changed:
    """By learner and condition: "after 0 new views", ... -> accuracy; by learner: the seconds that learning and answering took."""

    accuracy: dict[tuple[str, str], dict[str, Score]]
    seconds: dict[str, dict[str, float]]


def memory(vectors: np.ndarray) -> Learner:
    """The nearest view answers."""

    def learn(rows, owners, tests):
        return control.first(vectors[tests] @ vectors[rows].T, owners, 2).things[:, 0]

    return learn


def head(vectors: np.ndarray) -> Learner:
    """Logistic regression on the vectors."""

    def learn(rows, owners, tests):
        return LogisticRegression(C=100.0, max_iter=500).fit(vectors[rows], owners).predict(vectors[tests])

    return learn


class Adapted(nn.Module):
    """A network with an adapter, and a head of cosines to ``means`` (n, d) of things, to begin with: images (B, 3, S, S) -> logits (B, n)."""

    def __init__(self, net: nn.Module, means: np.ndarray):
        super().__init__()
        self.net = lora.adapt(net, r=RANK, alpha=2 * RANK, dropout=0.0)
        self.head = nn.Linear(*means.shape[::-1], bias=False)
        self.head.weight.data = torch.from_numpy(means).float()

    def forward(self, x):
        z = networks.embedded(self.net.get_base_model(), x)
        return SCALE * F.linear(F.normalize(z, dim=-1), F.normalize(self.head.weight, dim=-1))


def adapter(views: Views, vectors: np.ndarray, seed: int = 0) -> Learner:
    """LoRA on the attention of the set's network, and a head that begins as the means of things' vectors, trained by the house's loop on crops."""
    model, looks = views.corpus.model, {}

    def pixels(rows):
        for row in rows.tolist():
            if row not in looks:
                looks[row] = model.preprocess(seen(views.picture(row), views.box(row)))
        return torch.stack([looks[row] for row in rows.tolist()])

    def learn(rows, owners, tests):
        x, y, rng = pixels(rows), torch.from_numpy(owners), np.random.default_rng(seed)
        torch.manual_seed(seed)
        means = np.stack([vectors[rows[owners == thing]].mean(0) for thing in range(owners.max() + 1)])
        net = Adapted(deepcopy(model.net).cpu(), means)
        task = Objective(net, lambda net, x, y: F.cross_entropy(net(x), y))
        drawn = [torch.from_numpy(rng.choice(len(rows), min(BATCH, len(rows)), replace=False)) for _ in range(STEPS)]
        optimiser = torch.optim.AdamW([p for p in net.parameters() if p.requires_grad], lr=RATE)
        fit(task, optimiser, lambda epoch, first: ((x[i], y[i]) for i in drawn[first:]), STEPS, seed=seed, label="LoRA", accelerator=start())
        with torch.inference_mode():
            return torch.cat([net.eval()(part).argmax(1) for part in pixels(tests).split(64)]).numpy()

    return learn


def conditions(views: Views, rng: np.random.Generator, n_new: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Rows (n, OLD), (n, n_new) to learn and (n, TESTS) twice to ask, old and new, of the n things that have as many. InputError for none."""
    split = views.corpus.set.images["split"].to_numpy()[views.pictures]
    found = []
    for label in dict.fromkeys(views.labels.tolist()):
        old, new = (rng.permutation(np.flatnonzero((views.labels == label) & (split == name))) for name in ("query", "database"))
        if len(old) >= OLD + TESTS and len(new) >= n_new + TESTS:
            found.append((old[:OLD], new[:n_new], old[OLD : OLD + TESTS], new[n_new : n_new + TESTS]))
    if len(found) < 2:
        needed = f"{OLD + TESTS} views among the queries and {n_new + TESTS} in the database"
        raise InputError(f"{views.corpus.set.name} has {len(found)} things with {needed}: choose a set of two conditions, such as mini-change.")
    return tuple(np.stack(rows) for rows in zip(*found, strict=True))


def change(views: Views, retriever, learners: dict[str, Learner] | None = None, after=AFTER, seed: int = 0) -> Changed:
    """What each of ``learners`` (None: memory, linear head, and LoRA where the network is a ViT) knows under both conditions after k new views.
    Units: things."""
    vectors = views.vectors(retriever)
    if learners is None:
        learners = {"memory": memory(vectors), "linear head": head(vectors)}
        learners |= {"LoRA": adapter(views, vectors, seed)} if hasattr(views.corpus.model, "cls_state") else {}
    old, new, *tests = conditions(views, np.random.default_rng([seed, 0]), max(after))
    number, accuracy, seconds = np.arange(len(old)), {}, {}
    truth = np.repeat(number, TESTS)
    names = views.labels[old[truth, 0]]
    for name, learner in learners.items():
        for k in after:
            said = f"after {k} new view{'s' * (k != 1)}"
            rows = np.concatenate([old, new[:, :k]], 1)
            begin = time.perf_counter()
            answers = learner(rows.ravel(), np.repeat(number, rows.shape[1]), np.concatenate([part.ravel() for part in tests]))
            seconds.setdefault(name, {})[said] = time.perf_counter() - begin
            for condition, right in zip(("old", "new"), np.split(answers, 2), strict=True):
                accuracy.setdefault((name, condition), {})[said] = score(ACCURACY, right == truth, names)
    return Changed(accuracy, seconds)
