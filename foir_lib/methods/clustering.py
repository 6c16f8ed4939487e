"""Clustering of one picture's local features: deterministic k-means, spectral clustering, Gaussian mean-shift.

Source: "Co-attention enabled content-based image retrieval", sections 4.2 and 7.5. All take features (N, C) and give
labels (N,), 0 .. K-1 in the order in which the clusters first appear; clusters are never empty.
"""

import numpy as np
import torch
from jaxtyping import Float, Int
from scipy.sparse.csgraph import connected_components
from sklearn.cluster import SpectralClustering
from torch import Tensor

from foir_lib.errors import InputError


def kmeans(features: Float[Tensor, "N C"], n_clusters: int = 10, max_iterations: int = 300) -> Int[Tensor, " N"]:
    """k-means from :func:`farthest_first` centres, Lloyd's steps until no label changes.

    A feature as near to two centres goes to the one chosen first; a cluster that runs empty is dropped.
    """
    centres = features[farthest_first(features, n_clusters)]
    labels = None
    for _ in range(max_iterations):
        new = _nearest(features, centres)
        if labels is not None and torch.equal(new, labels):
            break
        used, labels = torch.unique(new, return_inverse=True)
        member = (new == used[:, None]).to(features.dtype)
        centres = (member @ features) / member.sum(1, keepdim=True)
    return _in_order(labels)


def farthest_first(features: Float[Tensor, "N C"], n_clusters: int) -> list[int]:
    """Rows of the first centres: the largest norm, then again and again the feature farthest from those chosen.

    Ties go to the lower row; no feature is chosen twice, so there are fewer centres when fewer features differ.
    """
    rows = [_first_max(features.norm(dim=1))]
    distance = (features - features[rows[0]]).square().sum(1)
    while len(rows) < n_clusters and bool((distance > 0).any()):
        rows.append(_first_max(distance))
        distance = torch.minimum(distance, (features - features[rows[-1]]).square().sum(1))
    return rows


def spectral(features: Float[Tensor, "N C"], n_clusters: int = 10, seed: int = 0) -> Int[Tensor, " N"]:
    """scikit-learn's spectral clustering on a Gaussian affinity as wide as the median distance (the width is ours)."""
    distinct, inverse = torch.unique(features, dim=0, return_inverse=True)
    if len(distinct) <= n_clusters:
        return _in_order(inverse)
    distance = torch.cdist(features, features).double().cpu().numpy()
    width = np.median(distance[distance > 0])
    model = SpectralClustering(n_clusters, affinity="precomputed", random_state=seed, assign_labels="kmeans")
    labels = model.fit_predict(np.exp(-((distance / width) ** 2) / 2))
    return _in_order(torch.from_numpy(labels).to(features.device).long())


def mean_shift(features: Float[Tensor, "N C"], bandwidth: float = 1.0, max_iterations: int = 300) -> Int[Tensor, " N"]:
    """Mean-shift with a Gaussian kernel: each feature climbs to a mode; those within a tenth of a bandwidth share it.

    ``bandwidth``: the kernel's sigma, in units of the features. Their number follows from it. (scikit-learn's
    mean-shift has a flat kernel.) Raises InputError for a ``bandwidth`` that isn't positive.
    """
    if not bandwidth > 0:
        raise InputError(f"bandwidth={bandwidth!r} of mean-shift must be positive, in units of the features.")
    features = torch.linalg.qr(features.double().T).R.T  # as far apart as before, in N dimensions at most
    here = features
    for _ in range(max_iterations):
        weight = torch.exp(-torch.cdist(here, features).square() / (2 * bandwidth**2))
        before, here = here, weight @ features / weight.sum(1, keepdim=True)
        if (here - before).norm(dim=1).amax() <= 1e-3 * bandwidth:
            break
    near = torch.cdist(here, here) <= 0.1 * bandwidth
    return _in_order(torch.from_numpy(connected_components(near.cpu().numpy(), False)[1]).to(features.device).long())


def _nearest(features, centres):
    """The nearest centre of each feature, the first of several as near."""
    distance = torch.cdist(features, centres, compute_mode="donot_use_mm_for_euclid_dist")
    order = torch.arange(len(centres), 0, -1, device=features.device)
    return ((distance <= distance.amin(1, keepdim=True)) * order).argmax(1)


def _first_max(values):
    return int(torch.nonzero(values == values.amax())[0])


def _in_order(labels):
    """Labels renumbered in the order of their first appearance."""
    used, inverse = torch.unique(labels, return_inverse=True)
    rows = torch.arange(len(labels), device=labels.device)
    first = torch.full((len(used),), len(labels), device=labels.device).scatter_reduce(0, inverse, rows, "amin")
    return first.argsort().argsort()[inverse]
