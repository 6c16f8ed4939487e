"""How regional attention is trained: the CNN frozen, cross-entropy of its classifier on attended regions.

Source: "Regional Attention Based Deep Feature for Image Retrieval", section 3.2 (eq. 4) and section 4.
"""

import dataclasses
from functools import partial

import numpy as np
import torch
import torch.nn.functional as F
from torchvision.transforms import v2
from tqdm.auto import tqdm

from foir_lib.errors import InputError
from foir_lib.methods.regional_attention import RegionalAttention, attended, descriptor
from foir_lib.models.cnn_data import Cuts, Draws

UNIT = 16.0  # length of the vector that a classifier reads where regions have unit length
AROUND = 850 / 800  # shorter side of a picture to the side of the square cut from it (section 4)
OPTIMISERS = {"sgd": partial(torch.optim.SGD, momentum=0.9), "adamw": torch.optim.AdamW}


class Squares(Cuts):
    """Nearly whole pictures, (3, size, size), and their labels: random squares that leave out little but the ends.

    Source: section 4, squares of 800 pixels from pictures whose shorter side has 850. ``every``: one picture of so many is
    cut to its box instead, as queries are; 0, as in the paper: none.
    """

    def __init__(self, pictures, size, mean, std, every=0):
        super().__init__(pictures, size, mean, std, plain=True)
        self.every = every
        shorter = round(AROUND * size)
        self.square = v2.Compose([v2.Resize(shorter, v2.InterpolationMode.BICUBIC), v2.RandomCrop(size)])

    def cut(self, row):
        """A square of a row's picture, by torch's random numbers, or its box."""
        picture = self.set.open(row)
        if self.every and row % self.every == 0 and self.set.boxes is not None:
            box = self.set.box(row)
            return self.light(picture.resize((self.size, self.size), box=(box.x0, box.y0, box.x1, box.y1)))
        return self.light(self.square(picture))


class Maps:
    """Maps (B, C, H, W) of a frozen CNN, in batches, for a TrainingSet's :class:`Squares` of ``size`` pixels, and labels.

    ``keep``: every picture is cut once and its map kept in memory (float16), so that the CNN sees it once; otherwise it is
    cut anew in every epoch, as in the paper. ``every``: of :class:`Squares`.
    """

    def __init__(self, model, pictures, size=800, batch=64, seed=0, workers=0, keep=False, every=0):
        self.model, self.pictures, self.seed, self.workers, self.keep = model, pictures, seed, workers, keep
        self.cuts, self.batch = Squares(pictures, size, model.mean, model.std, every), min(batch, len(pictures))
        self._kept = None

    def __len__(self):
        return len(self.pictures) // self.batch

    def epoch(self, number, label):
        """The batches of an epoch, (maps, labels); its number fixes their order and, unless they are kept, their cuts."""
        draws = Draws(len(self.cuts), self.batch, (self.seed, number))
        if not self.keep:
            yield from self._seen(draws, f"{label}, epoch {number}")
            return
        if self._kept is None:
            items = [(row, self.seed) for row in range(len(self.cuts))]
            parts = [items[i : i + self.batch] for i in range(0, len(items), self.batch)]
            self._kept = torch.cat([x.half().cpu() for x, _ in self._seen(parts, "maps")])
        for items in draws:
            rows = [row for row, _ in items]
            yield self._kept[rows].float().to(self.model.device), self._labels(rows)

    def _seen(self, draws, label):
        loader = torch.utils.data.DataLoader(self.cuts, batch_sampler=draws, num_workers=self.workers)
        for x, labels in tqdm(loader, label, leave=False):
            yield self.model.maps(x).clone(), labels.to(self.model.device)  # a clone may enter autograd

    def _labels(self, rows):
        return torch.from_numpy(self.pictures.labels[rows]).to(self.model.device)


def halves(pictures, seed=0):
    """A TrainingSet in two, half of each label's pictures in either: the classifier learns from one, attention from the other.

    On pictures that a classifier knows by heart there is nothing left for attention to learn. Raises InputError for a
    label with fewer than two pictures.
    """
    order = np.random.default_rng(seed).permutation(len(pictures))
    order = order[np.argsort(pictures.labels[order], kind="stable")]
    counts = np.bincount(pictures.labels, minlength=len(pictures.names))
    if counts.min() < 2:
        raise InputError(f"{pictures.name} has fewer than two pictures of a label, so no halves: give more pictures.")
    turn = np.concatenate([np.arange(n) % 2 for n in counts])
    return [_some(pictures, np.sort(order[turn == side])) for side in (0, 1)]


def train_classifier(maps, scales=None, unit=False, epochs=10, lr=1e-2, seed=0):
    """A linear classifier, (weight (n_classes, C), bias (n_classes,)), of :class:`Maps`, for a CNN without its own.

    It reads the mean of a map, as CAM does; with ``scales`` what :func:`train_regional_attention` gives it where all regions
    weigh the same (``unit`` as there). AdamW, a cosine learning rate, cross-entropy. Returns it and its losses.
    """
    torch.manual_seed(seed)
    layer = torch.nn.Linear(maps.model.dim, len(maps.pictures.names)).to(maps.model.device)
    optimiser, losses = torch.optim.AdamW(layer.parameters(), lr), []
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, epochs * len(maps))
    for epoch in range(epochs):
        for x, labels in maps.epoch(epoch, "classifier"):
            vectors = x.mean((2, 3)) if scales is None else _vectors(x, None, scales, unit)
            _step(optimiser, F.cross_entropy(layer(vectors), labels), losses)
            schedule.step()
    return (layer.weight.detach(), layer.bias.detach()), losses


def train_regional_attention(
    maps, classifier=None, context=True, hidden=64, epochs=(8, 2), rates=(1e-3, 1e-4), weight_decay=5e-5,
    optimiser="sgd", scales=4, unit=False, seed=0,
):  # fmt: skip
    """Regional attention by cross-entropy over the labels of :class:`Maps`; returns it and the losses.

    ``classifier``: (weight, bias), the CNN's own unless given; ``epochs`` at each of the learning ``rates`` of SGD
    (momentum 0.9) or "adamw"; regions are of R-MAC's ``scales``. Defaults: section 4. ``unit``: regions have unit length, as
    in the descriptor, and so has their sum but for a factor; in eq. 4 a weak region counts little whatever its weight.
    Raises InputError for a classifier of other channels or with fewer classes than labels.
    """
    model, names = maps.model, maps.pictures.names
    weight, bias = model.classifier if classifier is None else classifier
    if weight.shape[1] != model.dim or len(weight) < len(names):
        raise InputError(
            f"A classifier of shape {tuple(weight.shape)} doesn't fit {len(names)} labels and {model.dim} "
            f"channels of {model.name}: train one with train_classifier."
        )
    torch.manual_seed(seed)
    attention = RegionalAttention(model.dim, hidden, context).to(model.device)
    optimiser = OPTIMISERS[optimiser](attention.parameters(), rates[0], weight_decay=weight_decay)
    losses, plan = [], [rate for n, rate in zip(epochs, rates, strict=True) for _ in range(n)]
    for epoch, rate in enumerate(plan):
        optimiser.param_groups[0]["lr"] = rate
        for x, labels in maps.epoch(epoch, f"attention, {rate:g}"):
            logits = F.linear(_vectors(x, attention, scales, unit), weight, bias)
            _step(optimiser, F.cross_entropy(logits, labels), losses)
    return attention.eval().requires_grad_(False), losses


def _vectors(x, attention, scales, unit):
    return UNIT * descriptor(x, attention, scales) if unit else attended(x, attention, scales)


def _some(pictures, rows):
    boxes = None if pictures.boxes is None else pictures.boxes[rows]
    paths = [pictures.paths[row] for row in rows]
    return dataclasses.replace(pictures, paths=paths, labels=pictures.labels[rows], boxes=boxes)


def _step(optimiser, loss, losses):
    optimiser.zero_grad()
    loss.backward()
    optimiser.step()
    losses.append(float(loss.detach()))
    if not np.isfinite(losses[-1]):
        raise InputError(f"The loss is {losses[-1]} at step {len(losses)}: take a smaller learning rate.")
