"""Local features of a set's database, selected once and kept: prompt, N, K and T can then change without the network.

The paper's query is its picture cropped to the box (co-attention section 6.1). Ours: of a mask, the features of its box whose
centres lie on it (all of the box if none does); of a point, its window of cells at scale 1; without a prompt, the picture.
"""

import dataclasses
from typing import NamedTuple

import numpy as np
import torch

from foir_lib.data.checks import CORNERS
from foir_lib.errors import InputError
from foir_lib.methods import coattention
from foir_lib.models.cnn import SCALES, Locals
from foir_lib.prompts import Mask
from foir_lib.retrievers import local_features
from foir_lib.search import clusters
from foir_lib.store import features

SHARD = 64
CODE = [f"methods/{name}.py" for name in ("clustering", "coattention", "pooling")]
CODE += ["images.py", "models/cnn.py", "retrievers/local_features.py", "search/local_views.py"]


class Asked(NamedTuple):
    """What a prompt asks: ``vector`` V_q (d,), unit length; ``found``: its selected Locals, in the whole picture's pixels."""

    vector: torch.Tensor
    found: Locals


def grid_of(cnn, size):
    """(rows, columns) of the map that ``cnn`` gives for a picture of ``size`` (width, height) at scale 1, about."""
    factor = min(1.0, cnn.longest / max(size))
    columns, rows = (-(-max(round(side * factor), 1) // cnn.stride) for side in size)
    return rows, columns


def ask(cnn, picture, prompt=None, n_features=500, scales=SCALES, pca=None):
    """The :class:`Asked` of a ``prompt`` on a picture (PIL). Raises InputError for a prompt off the picture."""
    corner, part = (0.0, 0.0), picture
    if prompt is not None:
        box = prompt.box(picture.size, grid_of(cnn, picture.size))
        x0, y0, x1, y1 = int(box.x0), int(box.y0), int(np.ceil(box.x1)), int(np.ceil(box.y1))
        corner, part = (x0, y0), picture.crop((x0, y0, x1, y1))
    found = cnn.locals(part, scales)
    found = dataclasses.replace(found, positions=found.positions + torch.tensor(corner), size=picture.size)
    if isinstance(prompt, Mask):
        columns, rows = found.positions.long().T.numpy()
        inside = prompt.pixels(picture.size)[rows.clip(max=picture.height - 1), columns.clip(max=picture.width - 1)]
        found = found[torch.from_numpy(inside)] if inside.any() else found
    found = coattention.select(found, n_features)
    return Asked(coattention.query(found.features, cnn.gem_p, cnn.whiten, pca), found)


class LocalViews:
    """The database of a set as ``cnn`` sees it, ``most`` local features a picture (those with the largest norm).

    They are made once and kept in the feature store, 2 bytes for each number. ``pca``: see :mod:`~foir_lib.methods.whitening`.
    """

    def __init__(self, retrieval_set, cnn, most=200, scales=SCALES, pca=None, cache=None, progress=True):
        if isinstance(most, bool) or not isinstance(most, int | np.integer) or most < 1:
            raise InputError(f"most={most!r} local features can't be kept: give a whole number, at least 1.")
        self.set, self.cnn, self.most, self.scales, self.pca = retrieval_set, cnn, int(most), tuple(scales), pca
        self._cache, self._progress, self._clustered = cache, progress, {}
        self._ids = retrieval_set.database["image_id"].to_numpy()
        self._sizes = retrieval_set.database[["width", "height"]].to_numpy()
        self.features = self._build({}, self._selected, f"{retrieval_set.name}, {cnn.name}: local features")

    def __len__(self):
        return len(self._ids)

    def locals(self, row, n_features=None):
        """The selected Locals of database row ``row``, largest norm first, float32."""
        return local_features.read(self.features, row, n_features, self._sizes[row])

    def clustered(self, n_features=150, n_clusters=10):
        """Features for :func:`clusters.search`: clusters (n, K, d), count (n,), labels (n, N), -1 where there is no feature.

        Raises InputError for numbers that can't be had.
        """
        for name, value, high in (("n_features", n_features, self.most), ("n_clusters", n_clusters, self.most)):
            if isinstance(value, bool) or not isinstance(value, int | np.integer) or not 1 <= value <= high:
                raise InputError(f"{name}={value!r} must be a whole number from 1 to {high}, the features kept.")
        key = (int(n_features), int(n_clusters))
        if key not in self._clustered:
            pca = "" if self.pca is None else features.array_digest(self.pca.matrix, self.pca.mean)
            more = {"n_features": key[0], "n_clusters": key[1], "pca": pca}
            label = f"N = {key[0]}, K = {key[1]}: clusters"
            self._clustered[key] = self._build(more, lambda row: self._grouped(row, *key), label)
        return self._clustered[key]

    def labels(self, row, n_features=150, n_clusters=10):
        """Which cluster each of ``locals(row, n_features)`` belongs to, (N,)."""
        labels = self.clustered(n_features, n_clusters).read("labels", slice(row, row + 1))[0]
        return torch.from_numpy(labels[labels >= 0]).long()

    def rank(self, asked, n_features=150, n_clusters=10, temperature=10.0, exclude=-1, k=None):
        """The ``k`` best rows (all, unless given): (ids, scores), best first; ``exclude``: a row that isn't an answer, or -1."""
        database = self.clustered(n_features, n_clusters)
        own = None if exclude < 0 else np.array([exclude])
        scores, ids = clusters.search(asked.vector[None], database, k, exclude=own, temperature=temperature)
        return np.asarray(ids[0]), np.asarray(scores[0])

    def attention(self, asked, row, n_features=150, n_clusters=10, temperature=10.0):
        """Co-attention of each of ``locals(row, n_features)`` (N,): its cluster's weight, all together 1."""
        database, labels = self.clustered(n_features, n_clusters), self.labels(row, n_features, n_clusters)
        x = torch.from_numpy(database.read("clusters", slice(row, row + 1))[0]).float()[: int(labels.max()) + 1]
        a = coattention.weights(asked.vector, x, temperature)[labels]
        return a / a.sum()

    def heat(self, row, values, shape=None):
        """A map (rows, columns) of values of ``locals(row)`` over the picture (:func:`coattention.attention_map`)."""
        return coattention.attention_map(self.locals(row, len(values)), values, shape).numpy()

    def share(self, row, values, label):
        """Share of the map of :meth:`heat` that lies in the boxes of ``label`` on the picture; NaN if it isn't annotated there."""
        objects, heat = self.set.objects, self.heat(row, values)
        boxes = objects[(objects["image_id"] == self._ids[row]) & (objects["label"] == label)]
        inside = np.zeros(heat.shape, bool)
        for x0, y0, x1, y1 in boxes[CORNERS].astype(int).to_numpy():
            inside[y0:y1, x0:x1] = True
        return float(heat[inside].sum() / heat.sum()) if len(boxes) else np.nan

    def _build(self, more, describe, label):
        key = {"what": "local views", "data": self.set.fingerprint, "model": self.cnn.key, "scales": list(self.scales)}
        key |= {"most": self.most, "code": features.code_digest(*CODE), **more}
        return features.each(key, len(self), describe, root=self._cache, shard=SHARD, progress=self._progress, label=label)

    def _selected(self, row):
        return local_features.selected(self.cnn.locals(self.set.open(self._ids[row]), self.scales), self.most)

    def _grouped(self, row, n_features, n_clusters):
        x = self.locals(row, n_features).features.to(self.cnn.device)
        layers = {"whiten": self.cnn.whiten, "pca": self.pca}
        return local_features.clustered(x, self.cnn, n_features, n_clusters, **layers)
