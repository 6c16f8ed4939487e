"""Several vectors a picture, of which the best one counts."""

import numpy as np
import torch

from foir_lib.methods import decomposition
from foir_lib.retrievers.decomposed.crops import Crops
from foir_lib.search import knn
from foir_lib.store.arrays import Readable


class Several(Readable):
    """Vectors ``name`` (M, d) of ``features``, rows of pictures ``owner`` (M,), rising, each of ``n`` with one at least.

    Read as "count" (n,), how many a picture has, and "descriptor" (n, d), their mean of unit length: a whole picture as a query.
    """

    def __init__(self, features: Readable, name: str, owner: np.ndarray, n: int):
        self.features, self.vector, self.owner, self.n = features, name, np.asarray(owner), n
        self.layout = {"count": ("int64", ()), "descriptor": features.layout[name]}

    def read(self, name: str, rows=None) -> np.ndarray:
        """Of some pictures (None: all)."""
        self.check(name)
        rows = np.arange(self.n)[slice(None) if rows is None else rows]
        low, high = np.searchsorted(self.owner, [rows, rows + 1])
        if name == "count":
            return high - low
        means = [self.features.read(self.vector, slice(a, b)).mean(0) for a, b in zip(low.tolist(), high.tolist())]
        return torch.nn.functional.normalize(torch.from_numpy(np.stack(means)), dim=-1).numpy()


def best(queries: np.ndarray, database: Several, k: int, device) -> tuple[np.ndarray, np.ndarray]:
    """Scores and ids (Q, k): of each picture its vector of the largest cosine with a query (Q, d), equal scores by rising id."""
    q = torch.nn.functional.normalize(knn.to_matrix(queries, "Query descriptors", device), dim=-1)
    scores = torch.full((len(q), database.n), -torch.inf, device=device)
    for start, chunk in database.features.chunks(database.vector):
        x = torch.nn.functional.normalize(knn.to_matrix(chunk, "Database descriptors", device, start), dim=-1)
        owner = torch.from_numpy(database.owner[start : start + len(x)]).to(device)
        scores.scatter_reduce_(1, owner.expand(len(q), -1), q @ x.T, "amax")
    order = scores.sort(dim=1, descending=True, stable=True)
    return knn.finish(order, database.n, min(k, database.n))


def pyramid(pictures, levels: int) -> Crops:
    """The patches of a pyramid of each picture as crops."""
    boxes = [decomposition.pyramid(tuple(size), levels) for size in pictures.sizes.tolist()]
    owner = np.repeat(np.arange(len(pictures)), [len(one) for one in boxes])
    every = np.concatenate(boxes)
    return Crops(pictures, every, owner, lambda m: np.ones(pictures.sizes[owner[m]][::-1], bool), np.ones(len(owner), bool), 1, "pyramid")
