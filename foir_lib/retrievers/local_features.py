"""Local features of pictures, the strongest of each selected once and kept, and what co-attention makes of them.

Functions of one picture give a dict of arrays, as :func:`foir_lib.store.features.each` keeps them; all are zero-padded to
one length, and "count" says how many are real.
"""

import torch
import torch.nn.functional as F

from foir_lib.methods import coattention
from foir_lib.models.cnn import Locals

NAMES = ("features", "positions", "scale", "norm", "cell")  # of Locals


def selected(found, n_features):
    """The ``n_features`` (N) strongest of a picture's Locals: the arrays :data:`NAMES` (N, ...), and "count".

    Features are float16, 2 bytes for each number. Raises InputError as :func:`coattention.select` does.
    """
    found = coattention.select(found, n_features)
    arrays = {name: _padded(getattr(found, name), n_features) for name in NAMES}
    return arrays | {"features": arrays["features"].half(), "count": torch.tensor(len(found), dtype=torch.int32)}


def read(kept, row, n_features=None, size=None):
    """The Locals of a row of Features with the arrays of :func:`selected`, float32, largest norm first.

    ``n_features``: so many of them (None: all); ``size``: (width, height) of the picture in pixels, where that matters.
    """
    one = slice(row, row + 1)
    count = int(kept.read("count", one)[0])
    n = count if n_features is None else min(count, n_features)
    arrays = (torch.from_numpy(kept.read(name, one)[0, :n]).float() for name in NAMES)
    return Locals(*arrays, None if size is None else tuple(map(int, size)))


def clustered(x, cnn, n_features, n_clusters=10, method="kmeans", bandwidth=1.0, whiten=None, pca=None):
    """A picture's clusters from its selected features x (N, C): arrays for :func:`foir_lib.search.clusters.search`.

    "clusters" (K, d) float16 and "count"; "labels" (``n_features``,) int16: the cluster of each feature, -1 where there is
    none; "global" (d,): V_q of the same features. ``method``: as of :func:`coattention.cluster`, of which mean-shift finds up to
    ``n_features`` clusters, or "none": every feature is one by itself, and "attended" (d,) sums them weighted by norm.
    """
    if method == "none":
        labels, vectors = torch.arange(len(x)), coattention.embedded(x, whiten, pca)
        more = {"attended": coattention.weighted(vectors, coattention.norm_weights(x.norm(dim=1)))}
    else:
        labels, more = coattention.cluster(x, n_clusters, method, bandwidth), {}
        vectors = coattention.clusters(x, labels, cnn.gem_p, whiten, pca)
    width = n_features if method in ("none", "mean-shift") else n_clusters
    return more | {
        "clusters": _padded(vectors, width).half(), "count": torch.tensor(len(vectors), dtype=torch.int32),
        "labels": F.pad(labels.cpu(), (0, n_features - len(x)), value=-1).to(torch.int16),
        "global": coattention.query(x, cnn.gem_p, whiten, pca),
    }  # fmt: skip


def _padded(x, n):
    """An array (m, ...) with rows of zeros up to ``n``."""
    return F.pad(x, (0, 0) * (x.ndim - 1) + (0, n - len(x)))
