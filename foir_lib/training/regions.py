"""How regional attention is trained, the CNN frozen: through its classifier, as in the paper, or by retrieval.

Source: "Regional Attention Based Deep Feature for Image Retrieval", section 3.2 (eq. 4) and section 4.
"""

from collections.abc import Iterator, Sequence
from dataclasses import astuple

import numpy as np
import torch
import torch.nn.functional as F
from timm.scheduler import MultiStepLRScheduler
from torch import Tensor
from torch.utils.data import BatchSampler, DataLoader
from torchvision.transforms import v2
from tqdm.auto import tqdm

from foir_lib.data.training import TrainingSet
from foir_lib.errors import InputError, count, number
from foir_lib.methods import regions, whitening
from foir_lib.methods.regional_attention import RegionalAttention, attended, descriptor
from foir_lib.models.cnn import CNN
from foir_lib.training import loop
from foir_lib.training.cuts import Cuts, draws, loaded
from foir_lib.training.losses import info_nce
from foir_lib.training.retrieval import cosine

AROUND = 850 / 800  # shorter side of a picture to the side of the square cut from it (section 4)
SAMPLE = 16  # regions of a picture that PCA-whitening is learned from


class Squares(Cuts):
    """Nearly whole pictures, (3, size, size), and their labels: random squares that leave out little but the ends.

    Source: section 4, squares of 800 pixels from pictures whose shorter side has 850.
    """

    def __init__(self, pictures: TrainingSet, size: int, mean: Sequence[float], std: Sequence[float]):
        super().__init__(pictures, size, mean, std, plain=True)
        resize = v2.Resize(round(AROUND * size), v2.InterpolationMode.BICUBIC)
        self.square = v2.Compose([resize, v2.RandomCrop(size)])

    def cut(self, row: int) -> Tensor:
        """A square of a row's picture, by torch's random numbers."""
        return self.light(self.square(self.set.open(row)))


class Boxes(Squares):
    """Pictures cut to their boxes, as queries are, (3, size, size), and their labels."""

    def cut(self, row: int) -> Tensor:
        return self.light(self.set.open(row).resize((self.size, self.size), box=astuple(self.set.box(row))))


class Maps:
    """Maps (B, C, H, W) of a frozen CNN, in batches, for a TrainingSet's ``cuts`` of ``size`` pixels, and labels.

    ``cuts``: :class:`Squares` or :class:`Boxes`. ``keep``: every picture is cut once and its map stays in memory (float16),
    so that the CNN sees it once; otherwise it is cut anew in every epoch, as in the paper.
    """

    def __init__(
        self, model: CNN, pictures: TrainingSet, size: int = 800, batch: int = 64, seed: int = 0, workers: int = 0,
        keep: bool = False, cuts: type[Squares] = Squares,
    ):  # fmt: skip
        self.model, self.pictures, self.seed, self.workers, self.keep = model, pictures, seed, workers, keep
        self.cuts, self.batch = cuts(pictures, size, model.mean, model.std), min(batch, len(pictures))
        self._stored = None

    def __len__(self):
        return len(self.pictures) // self.batch

    def epoch(self, number: int, first: int = 0) -> Iterator[tuple[Tensor, Tensor]]:
        """The batches (maps, labels) of an epoch, from the ``first`` on; its number fixes order and, without ``keep``, cuts."""
        batches = list(draws(len(self.cuts), self.batch, (self.seed, number)))[first:]
        if not self.keep:
            return self._computed(batches)
        labels, batches = torch.from_numpy(self.pictures.labels), ([row for row, _ in batch] for batch in batches)
        return ((self.of(rows), labels[rows].to(self.model.device)) for rows in batches)

    def of(self, rows: Sequence[int]) -> Tensor:
        """The maps of some rows, each picture cut once, its map in memory afterwards."""
        if self._stored is None:
            batches = BatchSampler([(row, self.seed) for row in range(len(self.cuts))], self.batch, drop_last=False)
            computed = tqdm(self._computed(batches), "maps", len(batches), leave=False)
            self._stored = torch.cat([x.half().cpu() for x, _ in computed])
        return self._stored[rows].float().to(self.model.device)

    def _computed(self, batches):
        for x, labels in loaded(DataLoader(self.cuts, batch_sampler=batches, num_workers=self.workers)):
            yield self.model.maps(x).clone(), labels.to(self.model.device)  # a clone may enter autograd


def train_classifier(
    maps: Maps, scales: int | None = None, epochs: int = 10, lr: float = 1e-2, seed: int = 0
) -> tuple[tuple[Tensor, Tensor], list[float]]:
    """A linear classifier, (weight (n_classes, C), bias (n_classes,)), of :class:`Maps`, for a CNN without its own.

    It reads the mean of a map, as CAM does; with ``scales`` what eq. 4 gives it where all regions weigh the same. AdamW, a
    cosine learning rate, cross-entropy. Returns it and its losses.
    """
    count(epochs, "epochs"), count(seed, "seed", 0), number(lr, "lr", above=0)
    torch.manual_seed(seed)
    layer = torch.nn.Linear(maps.model.dim, len(maps.pictures.names)).to(maps.model.device)
    optimiser, steps = torch.optim.AdamW(layer.parameters(), lr), epochs * len(maps)

    def loss(layer, x, labels):
        return F.cross_entropy(layer(x.mean((2, 3)) if scales is None else attended(x, None, scales)), labels)

    task = loop.Objective(layer, loss)
    losses = loop.fit(task, optimiser, maps.epoch, steps, cosine(optimiser, steps), len(maps), label="classifier")
    return (layer.weight.detach(), layer.bias.detach()), losses


def train_regional_attention(
    maps: Maps, classifier: tuple[Tensor, Tensor] | None = None, context: bool = True, hidden: int = 64,
    epochs: Sequence[int] = (8, 2), rate: float = 1e-3, weight_decay: float = 5e-5, scales: int = 4, seed: int = 0,
) -> tuple[RegionalAttention, list[float]]:  # fmt: skip
    """Regional attention by cross-entropy over the labels of :class:`Maps`; returns it and the losses.

    ``classifier``: (weight, bias), the CNN's own unless given; ``epochs`` at the learning ``rate`` of SGD (momentum 0.9), at
    a tenth of it, ...; regions are of R-MAC's ``scales``. Defaults: section 4. Raises InputError for a classifier of other
    channels or with fewer classes than labels.
    """
    model, names = maps.model, maps.pictures.names
    weight, bias = model.classifier if classifier is None else classifier
    if weight.shape[1] != model.dim or len(weight) < len(names):
        shape = f"{tuple(weight.shape)} doesn't fit {len(names)} labels and {model.dim} channels of {model.name}"
        raise InputError(f"A classifier of shape {shape}: train one with train_classifier.")
    count(sum(epochs), "sum of epochs"), count(seed, "seed", 0), number(rate, "rate", above=0), number(weight_decay, "weight_decay", 0)
    torch.manual_seed(seed)
    attention = RegionalAttention(model.dim, hidden, context).to(model.device)
    optimiser = torch.optim.SGD(attention.parameters(), rate, momentum=0.9, weight_decay=weight_decay)
    ends = [1 + len(maps) * sum(epochs[: i + 1]) for i in range(len(epochs) - 1)]  # timm's milestone n acts at step n - 1
    schedule = MultiStepLRScheduler(optimiser, ends, 0.1, t_in_epochs=False)

    def loss(attention, x, labels):
        return F.cross_entropy(F.linear(attended(x, attention, scales), weight, bias), labels)

    task = loop.Objective(attention, loss)
    losses = loop.fit(task, optimiser, maps.epoch, sum(epochs) * len(maps), schedule, len(maps), label="attention")
    return attention.eval().requires_grad_(False), losses


def train_for_retrieval(
    scenes: Maps, boxes: Maps, whiten: whitening.PCA | None, context: bool = True, hidden: int = 64, steps: int = 200,
    rate: float = 5e-4, weight_decay: float = 1e-3, temperature: float = 0.1, n_boxes: int = 48, n_scenes: int = 256,
    scales: int = 5, seed: int = 0,
) -> tuple[RegionalAttention, list[float]]:  # fmt: skip
    """Regional attention by retrieval: the descriptors (eq. 3) of boxes find the pictures of their label; it and the losses.

    ``scenes``, ``boxes``: :class:`Maps` of one TrainingSet as :class:`Squares` and as :class:`Boxes`; ``whiten``: of the
    descriptor, see :func:`pca`. At each of the ``steps`` of AdamW (a cosine learning rate), ``n_boxes`` meet ``n_scenes``,
    one of each box's label among them, but never its own picture; the loss is InfoNCE with ``temperature``. This is ours.
    Raises InputError where a label has a single picture.
    """
    labels, rng, device = scenes.pictures.labels, np.random.default_rng(seed), scenes.model.device
    if np.bincount(labels, minlength=len(scenes.pictures.names)).min() < 2:
        raise InputError(f"{scenes.pictures.name} has fewer than two pictures of a label: give more pictures.")
    count(steps, "steps"), count(n_boxes, "n_boxes"), count(n_scenes, "n_scenes"), count(seed, "seed", 0)
    number(rate, "rate", above=0), number(weight_decay, "weight_decay", 0), number(temperature, "temperature", above=0)
    torch.manual_seed(seed)
    attention = RegionalAttention(scenes.model.dim, hidden, context).to(device)
    optimiser = torch.optim.AdamW(attention.parameters(), rate, weight_decay=weight_decay)

    def batches(epoch, first):
        for _ in range(first, steps):
            queries = rng.choice(len(labels), min(n_boxes, len(labels)), replace=False)
            mates = [rng.choice(np.setdiff1d(np.flatnonzero(labels == labels[row]), row)) for row in queries]
            more = rng.choice(len(labels), min(n_scenes, len(labels)) - len(mates), replace=False)
            database = np.concatenate([mates, more])
            other = queries[:, None] != database
            positive = other & (labels[queries][:, None] == labels[database])
            masks = (torch.from_numpy(mask).to(device) for mask in (positive, other))
            yield boxes.of(queries), scenes.of(database), *masks

    def loss(attention, queries, database, positive, other):
        queries, database = (descriptor(x, attention, scales, whiten) for x in (queries, database))
        return info_nce(queries @ database.T, positive, other, temperature)

    task = loop.Objective(attention, loss)
    losses = loop.fit(task, optimiser, batches, steps, cosine(optimiser, steps), label="attention")
    return attention.eval().requires_grad_(False), losses


def pca(maps: Maps, n: int = 1000, scales: int = 5, seed: int = 0) -> whitening.PCA:
    """PCA-whitening of regions, for :func:`descriptor`, from some regions of ``n`` pictures of :class:`Maps`."""
    rng, samples = np.random.default_rng(seed), []
    for row in rng.permutation(len(maps.pictures))[:n]:
        x = maps.of([row])
        vectors = regions.pooled(x, regions.grid(*x.shape[2:], scales))[0]
        samples.append(vectors[rng.choice(len(vectors), SAMPLE, replace=len(vectors) < SAMPLE)])
    return whitening.fit(F.normalize(torch.cat(samples).cpu(), dim=-1))
