"""How regional attention is trained, the CNN frozen: through its classifier, as in the paper, or by retrieval.

Source: "Regional Attention Based Deep Feature for Image Retrieval", section 3.2 (eq. 4) and section 4.
"""

import numpy as np
import torch
import torch.nn.functional as F
from torchvision.transforms import v2
from tqdm.auto import tqdm

from foir_lib.errors import InputError
from foir_lib.methods import regions, whitening
from foir_lib.methods.regional_attention import RegionalAttention, attended, descriptor
from foir_lib.training.cuts import Cuts, Draws

AROUND = 850 / 800  # shorter side of a picture to the side of the square cut from it (section 4)
SAMPLE = 16  # regions of a picture that PCA-whitening is learned from


class Squares(Cuts):
    """Nearly whole pictures, (3, size, size), and their labels: random squares that leave out little but the ends.

    Source: section 4, squares of 800 pixels from pictures whose shorter side has 850.
    """

    def __init__(self, pictures, size, mean, std):
        super().__init__(pictures, size, mean, std, plain=True)
        shorter = round(AROUND * size)
        self.square = v2.Compose([v2.Resize(shorter, v2.InterpolationMode.BICUBIC), v2.RandomCrop(size)])

    def cut(self, row):
        """A square of a row's picture, by torch's random numbers."""
        return self.light(self.square(self.set.open(row)))


class Boxes(Squares):
    """Pictures cut to their boxes, as queries are, (3, size, size), and their labels."""

    def cut(self, row):
        box = self.set.box(row)
        corners = (box.x0, box.y0, box.x1, box.y1)
        return self.light(self.set.open(row).resize((self.size, self.size), box=corners))


class Maps:
    """Maps (B, C, H, W) of a frozen CNN, in batches, for a TrainingSet's ``cuts`` of ``size`` pixels, and labels.

    ``cuts``: :class:`Squares` or :class:`Boxes`. ``keep``: every picture is cut once and its map kept in memory (float16),
    so that the CNN sees it once; otherwise it is cut anew in every epoch, as in the paper.
    """

    def __init__(self, model, pictures, size=800, batch=64, seed=0, workers=0, keep=False, cuts=Squares):
        self.model, self.pictures, self.seed, self.workers, self.keep = model, pictures, seed, workers, keep
        self.cuts, self.batch = cuts(pictures, size, model.mean, model.std), min(batch, len(pictures))
        self._kept = None

    def __len__(self):
        return len(self.pictures) // self.batch

    def epoch(self, number, label):
        """The batches of an epoch, (maps, labels); its number fixes their order and, unless they are kept, their cuts."""
        draws = Draws(len(self.cuts), self.batch, (self.seed, number))
        if not self.keep:
            yield from self._seen(draws, f"{label}, epoch {number}")
            return
        for items in draws:
            rows = [row for row, _ in items]
            yield self.kept(rows), self._labels(rows)

    def kept(self, rows):
        """The maps of some rows, each picture cut once and kept."""
        if self._kept is None:
            items = [(row, self.seed) for row in range(len(self.cuts))]
            parts = [items[i : i + self.batch] for i in range(0, len(items), self.batch)]
            self._kept = torch.cat([x.half().cpu() for x, _ in self._seen(parts, "maps")])
        return self._kept[rows].float().to(self.model.device)

    def _seen(self, draws, label):
        loader = torch.utils.data.DataLoader(self.cuts, batch_sampler=draws, num_workers=self.workers)
        for x, labels in tqdm(loader, label, leave=False):
            yield self.model.maps(x).clone(), labels.to(self.model.device)  # a clone may enter autograd

    def _labels(self, rows):
        return torch.from_numpy(self.pictures.labels[rows]).to(self.model.device)


def train_classifier(maps, scales=None, epochs=10, lr=1e-2, seed=0):
    """A linear classifier, (weight (n_classes, C), bias (n_classes,)), of :class:`Maps`, for a CNN without its own.

    It reads the mean of a map, as CAM does; with ``scales`` what eq. 4 gives it where all regions weigh the same. AdamW, a
    cosine learning rate, cross-entropy. Returns it and its losses.
    """
    torch.manual_seed(seed)
    layer = torch.nn.Linear(maps.model.dim, len(maps.pictures.names)).to(maps.model.device)
    optimiser, losses = torch.optim.AdamW(layer.parameters(), lr), []
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, epochs * len(maps))
    for epoch in range(epochs):
        for x, labels in maps.epoch(epoch, "classifier"):
            vectors = x.mean((2, 3)) if scales is None else attended(x, None, scales)
            _step(optimiser, F.cross_entropy(layer(vectors), labels), losses)
            schedule.step()
    return (layer.weight.detach(), layer.bias.detach()), losses


def train_regional_attention(
    maps, classifier=None, context=True, hidden=64, epochs=(8, 2), rates=(1e-3, 1e-4), weight_decay=5e-5,
    scales=4, seed=0,
):  # fmt: skip
    """Regional attention by cross-entropy over the labels of :class:`Maps`; returns it and the losses.

    ``classifier``: (weight, bias), the CNN's own unless given; ``epochs`` at each of the learning ``rates`` of SGD
    (momentum 0.9); regions are of R-MAC's ``scales``. Defaults: section 4. Raises InputError for a classifier of other
    channels or with fewer classes than labels.
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
    optimiser = torch.optim.SGD(attention.parameters(), rates[0], momentum=0.9, weight_decay=weight_decay)
    losses, plan = [], [rate for n, rate in zip(epochs, rates, strict=True) for _ in range(n)]
    for epoch, rate in enumerate(plan):
        optimiser.param_groups[0]["lr"] = rate
        for x, labels in maps.epoch(epoch, f"attention, {rate:g}"):
            _step(optimiser, F.cross_entropy(F.linear(attended(x, attention, scales), weight, bias), labels), losses)
    return attention.eval().requires_grad_(False), losses


def train_for_retrieval(
    scenes, boxes, whiten, context=True, hidden=64, steps=200, rate=5e-4, weight_decay=1e-3, temperature=0.1, n_boxes=48,
    n_scenes=256, scales=5, seed=0,
):  # fmt: skip
    """Regional attention by retrieval: the descriptors (eq. 3) of boxes find the pictures of their label; it and the losses.

    ``scenes``, ``boxes``: :class:`Maps` of one TrainingSet as :class:`Squares` and as :class:`Boxes`; ``whiten``: of the
    descriptor, see :func:`pca`. At each of the ``steps`` of AdamW (a cosine learning rate), ``n_boxes`` meet ``n_scenes``,
    one of each box's label among them, but never its own picture; the loss is InfoNCE with ``temperature``. This is ours.
    Raises InputError where a label has a single picture.
    """
    labels, rng = scenes.pictures.labels, np.random.default_rng(seed)
    if np.bincount(labels, minlength=len(scenes.pictures.names)).min() < 2:
        raise InputError(f"{scenes.pictures.name} has fewer than two pictures of a label: give more pictures.")
    torch.manual_seed(seed)
    attention = RegionalAttention(scenes.model.dim, hidden, context).to(scenes.model.device)
    optimiser = torch.optim.AdamW(attention.parameters(), rate, weight_decay=weight_decay)
    schedule, losses = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps), []
    for _ in tqdm(range(steps), "attention", leave=False):
        asked = rng.choice(len(labels), min(n_boxes, len(labels)), replace=False)
        mates = [rng.choice(np.setdiff1d(np.flatnonzero(labels == labels[row]), row)) for row in asked]
        shown = np.concatenate([mates, rng.choice(len(labels), min(n_scenes, len(labels)) - len(mates), replace=False)])
        found = (
            descriptor(part.kept(rows), attention, scales, whiten) for part, rows in ((boxes, asked), (scenes, shown))
        )
        own = torch.from_numpy(asked[:, None] == shown).to(scenes.model.device)
        right = torch.from_numpy(labels[asked][:, None] == labels[shown]).to(own.device) & ~own
        _step(optimiser, info_nce(torch.mm(next(found), next(found).T), right, ~own, temperature), losses)
        schedule.step()
    return attention.eval().requires_grad_(False), losses


def info_nce(cosine, right, counts, temperature=0.1):
    """InfoNCE of cosines (Q, n), a scalar: mean over queries and their right answers of -log softmax; only ``counts`` count."""
    logits = (cosine / temperature).masked_fill(~counts, -torch.inf).log_softmax(1)
    return -(logits.masked_fill(~right, 0).sum(1) / right.sum(1)).mean()


def pca(maps, n=1000, scales=5, seed=0):
    """PCA-whitening of regions, for :func:`descriptor`, from some regions of ``n`` pictures of :class:`Maps`."""
    rng, found = np.random.default_rng(seed), []
    for row in rng.permutation(len(maps.pictures))[:n]:
        x = maps.kept([row])
        vectors = regions.pooled(x, regions.grid(*x.shape[2:], scales))[0]
        found.append(vectors[rng.choice(len(vectors), SAMPLE, replace=len(vectors) < SAMPLE)])
    return whitening.fit(F.normalize(torch.cat(found).cpu(), dim=-1))


def _step(optimiser, loss, losses):
    optimiser.zero_grad()
    loss.backward()
    optimiser.step()
    losses.append(float(loss.detach()))
    if not np.isfinite(losses[-1]):
        raise InputError(f"The loss is {losses[-1]} at step {len(losses)}: take a smaller learning rate.")
