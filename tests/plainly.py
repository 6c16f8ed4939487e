"""Methods on a CNN written out for one picture, straight from its maps: what tests of retrievers compare with."""

import numpy as np
import torch
import torch.nn.functional as F

from foir_lib.methods import coattention
from foir_lib.retrievers.coattention import CoAttention

N, K, QUERY = 20, 3, 1  # local features and clusters of a picture; the query that is looked at
_locals = {}  # of pictures that were asked for before
SCALES = (1 / (2 * 2**0.5), 1 / 2, 1 / 2**0.5, 1.0, 2**0.5)


def crop(experiment, query=QUERY):
    """A query's picture cut to its box, every pixel that it touches."""
    row = experiment.set.queries.iloc[query]
    box, picture = row["prompt"], experiment.set.open(row["image_id"])
    return picture.crop((int(box.x0), int(box.y0), int(np.ceil(box.x1)), int(np.ceil(box.y1))))


def pictures(experiment):
    return [experiment.set.open(i) for i in experiment.set.database["image_id"]]


def map_of(experiment, picture, scale=1.0):
    return experiment.model.maps(experiment.model.preprocess(picture, scale=scale)[None])


def local(experiment, picture, n=N):
    """The ``n`` strongest local features of five scales, and their norms."""
    at = experiment.model.key, picture.tobytes()
    if at not in _locals:
        _locals[at] = experiment.model.locals(picture, SCALES)
    locals_ = _locals[at]
    rows = torch.argsort(locals_.norm, descending=True, stable=True)[:n]
    return locals_.features[rows], locals_.norm[rows]


def embedded(experiment, vectors):
    """Vectors whitened, reduced by the PCA of the training pictures, unit length."""
    whiten, pca = CoAttention().embedding(experiment.corpus)
    with torch.inference_mode():
        return F.normalize(pca(whiten(vectors)), dim=-1)


def gem(x):
    """GeM (C,) of features (L, C)."""
    return x.clamp(min=1e-6).pow(3).mean(0).pow(1 / 3)


def clusters_of(experiment, picture, k=K):
    x, _ = local(experiment, picture)
    labels = coattention.cluster(x, k)
    return embedded(experiment, torch.stack([gem(x[labels == i]) for i in range(int(labels.max()) + 1)]))


def global_of(experiment, picture):
    return embedded(experiment, gem(local(experiment, picture)[0])[None])[0]


def coattended(query, x, temperature=10.0):
    """The score of a query (d,) and clusters (K, d)."""
    a = torch.softmax(temperature * (x @ query), 0)
    return F.cosine_similarity((a[:, None] * x).sum(0), query, dim=0)
