"""Local features of a set's database, selected once and kept: prompt, N, K and T can then change without the network.

The paper's query is its picture cropped to the box (co-attention section 6.1). Ours: of a mask, the features of its box whose
centres lie on it (all of the box if none does); of a point, its window of cells at scale 1; without a prompt, the picture.
"""

import dataclasses
import hashlib
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from foir_lib.data.checks import CORNERS
from foir_lib.errors import InputError
from foir_lib.methods import coattention
from foir_lib.models import cnn as cnn_module
from foir_lib.models.cnn import SCALES, Locals
from foir_lib.prompts import Mask
from foir_lib.search import clusters, store

SHARD = 64


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
        self.features = self._build({}, self._looked_at, f"{retrieval_set.name}, {cnn.name}: local features")

    def __len__(self):
        return len(self._ids)

    def locals(self, row, n_features=None):
        """The selected Locals of database row ``row``, largest norm first, float32."""
        one = slice(row, row + 1)
        n = min(int(self.features.read("count", one)[0]), n_features or self.most)
        parts = [
            torch.from_numpy(self.features.read(x, one)[0, :n]).float()
            for x in ("features", "positions", "scale", "norm", "cell")
        ]
        return Locals(*parts, tuple(int(v) for v in self._sizes[row]))

    def clustered(self, n_features=150, n_clusters=10):
        """Features for :func:`clusters.search`: clusters (n, K, d), count (n,), labels (n, N), -1 where there is no feature.

        Raises InputError for numbers that can't be had.
        """
        for name, value, high in (("n_features", n_features, self.most), ("n_clusters", n_clusters, self.most)):
            if isinstance(value, bool) or not isinstance(value, int | np.integer) or not 1 <= value <= high:
                raise InputError(f"{name}={value!r} must be a whole number from 1 to {high}, the features kept.")
        key = (int(n_features), int(n_clusters))
        if key not in self._clustered:
            pca = (
                ""
                if self.pca is None
                else hashlib.sha256(self.pca.matrix.tobytes() + self.pca.mean.tobytes()).hexdigest()
            )
            more = {"n_features": key[0], "n_clusters": key[1], "pca": pca}
            label = f"N = {key[0]}, K = {key[1]}: clusters"
            self._clustered[key] = self._build(more, lambda a, b: self._grouped(a, b, *key), label)
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

    def _build(self, more, make, label):
        key = {"what": "local views", "data": self.set.fingerprint, "model": self.cnn.key, "scales": list(self.scales)}
        key |= {"most": self.most, "code": _code(), **more}
        return store.build(key, len(self), make, root=self._cache, shard=SHARD, progress=self._progress, label=label)

    def _looked_at(self, start, stop):
        found = [
            coattention.select(self.cnn.locals(self.set.open(i), self.scales), self.most) for i in self._ids[start:stop]
        ]
        arrays = {
            "features": np.zeros((len(found), self.most, self.cnn.dim), np.float16),
            "positions": np.zeros((len(found), self.most, 2), np.float32),
            "scale": np.zeros((len(found), self.most), np.float32),
            "norm": np.zeros((len(found), self.most), np.float32),
            "cell": np.zeros((len(found), self.most, 2), np.float32),
        }
        for row, one in enumerate(found):
            for name, array in arrays.items():
                array[row, : len(one)] = getattr(one, name).cpu().numpy()
        return {**arrays, "count": np.array([len(one) for one in found], np.int32)}

    def _grouped(self, start, stop, n_features, n_clusters):
        labels, found = np.full((stop - start, n_features), -1, np.int16), []
        for row in range(start, stop):
            features = self.locals(row, n_features).features.to(self.cnn.device)
            groups = coattention.cluster(features, n_clusters)
            labels[row - start, : len(groups)] = groups.cpu().numpy()
            found.append(coattention.clusters(features, groups, self.cnn.gem_p, self.cnn.whiten, self.pca).cpu())
        x, count = coattention.stacked(found, n_clusters)
        return {"clusters": x.numpy().astype(np.float16), "count": count.numpy().astype(np.int32), "labels": labels}


def _code():
    """Names the code that the kept arrays depend on: after a change they are made again."""
    root = Path(cnn_module.__file__).parents[1]
    files = (
        "models/cnn.py",
        "methods/coattention.py",
        "methods/clustering.py",
        "methods/pooling.py",
        "search/local_views.py",
    )
    return hashlib.sha256(b"".join((root / file).read_bytes() for file in files)).hexdigest()[:16]
