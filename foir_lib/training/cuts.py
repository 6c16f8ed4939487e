"""Pictures as a retrieval CNN sees them in training: random cuts with labels, and tuples with mined negatives."""

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import astuple

import numpy as np
import torch
from torch.utils.data import BatchSampler, Dataset
from torchvision.transforms import v2

from foir_lib.data.training import TrainingSet, TupleSet
from foir_lib.errors import FoirError
from foir_lib.prompts import Box

BOX_SHARE, AROUND = 0.7, 0.6  # how often the cut is the box, and how much of its sides it may gain at each end


class Cuts(Dataset):
    """Pictures of a TrainingSet or TupleSet cut at random, in another shape and light: (3, size, size), and their labels.

    An item is read as (row, seed): the same seed gives the same cut, whoever loads it. Where there are boxes, most
    cuts are the box and some of what is around, as a query is cut. ``plain``: the whole picture, unchanged but in size.
    """

    def __init__(
        self, pictures: TrainingSet | TupleSet, size: int, mean: Sequence[float], std: Sequence[float], plain: bool = False
    ):
        self.set, self.size, self.plain = pictures, size, plain
        self.labels = getattr(pictures, "labels", None)
        self.crop = v2.RandomResizedCrop(size, scale=(0.25, 1.0), ratio=(0.66, 1.5), antialias=True)
        to_tensor = [v2.ToImage(), v2.ToDtype(torch.float32, scale=True), v2.Normalize(mean, std)]
        self.light = v2.Compose(to_tensor if plain else [v2.ColorJitter(0.3, 0.3, 0.3, 0.02), *to_tensor])

    def __len__(self):
        return len(self.set.paths)

    def __getitem__(self, key: tuple[int, int]) -> tuple[torch.Tensor, int]:
        row, seed = key
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            return self.cut(row), 0 if self.labels is None else int(self.labels[row])

    def cut(self, row: int) -> torch.Tensor:
        """A cut of a row's picture, by torch's random numbers."""
        box = self.set.box(row) if getattr(self.set, "boxes", None) is not None else None
        picture = self.set.open(row, longest=4 * self.size if box is None else None)
        if self.plain:
            picture = picture.resize((self.size, self.size))
        elif box is not None and torch.rand(()) < BOX_SHARE:
            sides = torch.tensor([box.x1 - box.x0, box.y1 - box.y0] * 2)
            more = AROUND * torch.rand(4) * sides * torch.tensor([-1, -1, 1, 1])
            box = Box(*(torch.tensor(astuple(box)) + more).tolist()).box(picture.size)
            picture = picture.resize((self.size, self.size), box=astuple(box))
        else:
            picture = self.crop(picture)
        return self.light(picture)


class Tuples(Dataset):
    """Tuples (2 + n, 3, size, size) of a TupleSet's query, positive and mined negatives, cut as in ``cuts``."""

    def __init__(self, cuts: Cuts, rows: np.ndarray | torch.Tensor):
        self.cuts, self.rows = cuts, rows

    def __len__(self):
        return len(self.rows)

    def __getitem__(self, key: tuple[int, int]) -> tuple[torch.Tensor, int]:
        row, seed = key
        return torch.stack([self.cuts[int(one), seed + i][0] for i, one in enumerate(self.rows[row])]), 0


def draws(n: int, batch: int, key: int | tuple[int, ...]) -> BatchSampler:
    """Batches of (row, seed) for a DataLoader's ``batch_sampler``: every row once, in an order that ``key`` fixes.

    The last batch, if it isn't full, is left out.
    """
    rng = np.random.default_rng(key)
    order, seeds = rng.permutation(n), rng.integers(2**31, size=n)
    return BatchSampler(list(zip(order.tolist(), seeds[order].tolist())), min(batch, n), drop_last=True)


def loaded(loader: Iterable) -> Iterator:
    """The batches of a DataLoader; a fault that a worker process meets is raised with its own sentence."""
    try:
        yield from loader
    except FoirError as error:
        last = str(error).strip().splitlines()[-1]
        raise type(error)(re.sub(r"^foir_lib\.errors\.\w+: ", "", last)) from error


def mine(
    queries: np.ndarray, positives: np.ndarray, pool: np.ndarray, cluster: np.ndarray,
    descriptors: Callable[[np.ndarray], torch.Tensor], n_negatives: int = 5,
) -> np.ndarray:  # fmt: skip
    """Rows (Q, 2 + n): query, positive and the hardest negatives, each of another cluster than all others of the tuple.

    ``queries``, ``positives``, ``pool``: rows; ``cluster`` (n,) of all rows; ``descriptors``: a function from rows to unit
    vectors. A query that lacks negatives is left out. Source: Radenović et al., TPAMI 2019.
    """
    order = (descriptors(queries) @ descriptors(pool).T).argsort(1, descending=True).cpu().numpy()
    tuples = []
    for query, positive, nearest in zip(queries, positives, (pool[row] for row in order)):
        clusters, first = np.unique(cluster[nearest], return_index=True)  # the hardest of each cluster
        negatives = nearest[np.sort(first[clusters != cluster[query]])][:n_negatives]
        if len(negatives) == n_negatives:
            tuples.append([query, positive, *negatives])
    return np.array(tuples)
