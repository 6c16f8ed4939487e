"""Co-attention: a picture is seen as the query looks at it, through a few clusters of its local features.

Source: "Co-attention enabled content-based image retrieval", sections 4, 5.1 and 7. Notation as there: V_q the query's
vector, x_i one of the K clusters of a candidate picture, a_i its co-attention, T the temperature.
"""

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor

from foir_lib import errors
from foir_lib.methods import clustering
from foir_lib.methods.pooling import Layer, power_mean
from foir_lib.methods.streaming import Clusters, Count, Query, check_finite, streamed

METHODS = {"kmeans": clustering.kmeans, "spectral": clustering.spectral, "mean-shift": clustering.mean_shift}
REDUCTIONS = ("max", "mean", "softmax")
Features, Labels = Float[Tensor, "N C"], Int[Tensor, " N"]  # of one picture


def select(local, n_features: int = 500):
    """The ``n_features`` local features with the largest L2 norm, largest first (section 4.2); fewer if there are fewer.

    ``local``: the :class:`~foir_lib.models.cnn.Locals` of a picture; ties go to the earlier one. Raises InputError for
    NaN or infinite features.
    """
    errors.count(n_features, "n_features")
    check_finite(local.features)
    return local[torch.sort(local.norm, descending=True, stable=True).indices[:n_features]]


def cluster(features: Features, n_clusters: int = 10, method: str = "kmeans", bandwidth: float = 1.0) -> Labels:
    """Labels (N,), 0 .. K-1, of selected features (N, C); fewer clusters than ``n_clusters`` if fewer features differ.

    ``method``: "kmeans" (section 4.2), "spectral" (Table 5), "mean-shift" (Table 6: ``bandwidth`` sets their number).
    Raises InputError for NaN or infinite features or an unknown method.
    """
    errors.count(n_clusters, "n_clusters")
    check_finite(features)
    if method not in METHODS:
        raise errors.unknown("clustering method", method, METHODS)
    return METHODS[method](features, bandwidth if method == "mean-shift" else n_clusters)


def clusters(
    features: Features, labels: Labels, p: float | Tensor = 3.0, whiten: Layer = None, pca: Layer = None
) -> Float[Tensor, "K d"]:
    """Clusters X_K (K, d), unit length: GeM inside each, the whitening layer, PCA, L2 (sections 4.2, 5.1).

    ``features`` (N, C) with ``labels`` (N,); ``whiten`` and ``pca`` map (n, C) to (n, d), e.g. ``cnn.whiten`` and a
    :class:`~foir_lib.methods.whitening.PCA`.
    """
    pooled = torch.stack([power_mean(features[labels == k], p, 0) for k in range(int(labels.max()) + 1)])
    return embedded(pooled, whiten, pca)


def query(features: Features, p: float | Tensor = 3.0, whiten: Layer = None, pca: Layer = None) -> Float[Tensor, " d"]:
    """The query's vector V_q (d,), unit length: its selected features (N, C) GeM-pooled, whitened, PCA, L2."""
    check_finite(features)
    return embedded(power_mean(features, p, 0)[None], whiten, pca)[0]


def embedded(vectors: Float[Tensor, "n C"], whiten: Layer = None, pca: Layer = None) -> Float[Tensor, "n d"]:
    """Vectors (n, C) through the whitening layer, PCA and L2 (section 5.1), unit length (n, d)."""
    for layer in (whiten, pca):
        vectors = vectors if layer is None else layer(vectors)
    return F.normalize(vectors, dim=-1)


def stacked(
    clusters: Sequence[Float[Tensor, "_ d"]], n_clusters: int | None = None
) -> tuple[Float[Tensor, "n K d"], Int[Tensor, " n"]]:
    """Clusters of many pictures, a list of (K_i, d), as one array (n, K, d), zero-padded, and their number (n,)."""
    count = torch.tensor([len(c) for c in clusters])
    width = n_clusters or int(count.max())
    return torch.stack([F.pad(c, (0, 0, 0, width - len(c))) for c in clusters]), count


def weights(
    query: Float[Tensor, " d"], features: Float[Tensor, "*n K d"], temperature: float = 10.0, normalised: bool = True,
    mask: Bool[Tensor, "*n K"] | None = None,
) -> Float[Tensor, "*n K"]:  # fmt: skip
    """Co-attention a (..., K): ``softmax(T cos(V_q, x_i))`` (eq. 8), or the raw cosines of eq. 9 as printed.

    ``features`` (..., K, d); with every local feature instead of a cluster and T = 1 it is the naive co-attention
    (eqs. 6-7). Where ``mask`` (..., K) is False the weight is 0.
    """
    cosine = F.normalize(features, dim=-1) @ F.normalize(query, dim=-1)
    return _attention(cosine, temperature, normalised, mask)


def norm_weights(norm: Float[Tensor, "*n N"]) -> Float[Tensor, "*n N"]:
    """The query-insensitive L2-norm attention (..., N): norms as shares of their sum (section 4.1, Figures 3 and 7)."""
    return norm / norm.sum(-1, keepdim=True).clamp(min=1e-12)


def weighted(features: Float[Tensor, "*n K d"], a: Float[Tensor, "*n K"]) -> Float[Tensor, "*n d"]:
    """V_c (..., d), unit length: the features (..., K, d) summed with weights ``a`` (..., K) (eq. 9)."""
    return F.normalize((a[..., None, :] @ features)[..., 0, :], dim=-1)


def scores(
    query: Query, clusters: Clusters, temperature: float = 10.0, normalised: bool = True, count: Count = None,
    gram: Float[Tensor | np.ndarray, "n K K"] | None = None, chunk: int | None = None,
) -> Float[Tensor, "*Q n"]:  # fmt: skip
    """Scores (n,) of candidates for a query (d,), or (Q, n) for queries (Q, d): cos(V_q, V_c) (eqs. 8-10).

    In closed form, with s_i = V_q . x_i and the Gram matrix G of the clusters: ``a . s / sqrt(a' G a)`` (for fewer queries
    than clusters and no stored G, the root is taken as the length of V_c, which costs less). ``clusters``
    (n, K, d): a tensor or a (memory-mapped, float16) array, read ``chunk`` candidates at a time; ``count`` (n,): how many
    clusters a candidate has where rows are padded; ``gram`` (n, K, K): stored products of :func:`grams`;
    ``normalised=False``: the raw a_i of eq. 9. A candidate whose V_c is 0 scores 0. Raises InputError for shapes that
    don't fit and for NaN.
    """

    def score(s, norm, x, g, mask):
        a = _attention(s / norm, temperature, normalised, mask)
        if g is None and len(s) >= x.shape[1]:
            g = grams(x)
        if g is None:  # few queries: V_c itself costs less than G
            square = torch.einsum("qnk,nkd->qnd", a, x).square().sum(-1)
        else:
            square = torch.einsum("qnk,nkl,qnl->qn", a, g, a)
        empty = square <= 1e-12 * (a * norm).square().sum(-1)
        return torch.where(empty, 0.0, (a * s).sum(-1) / torch.where(empty, 1.0, square).sqrt())

    return streamed(query, clusters, count, chunk, score, gram)


def naive(
    query: Query, features: Clusters, temperature: float = 1.0, count: Count = None, chunk: int | None = 64
) -> Float[Tensor, "*Q n"]:
    """Scores (n,) or (Q, n) without clustering (eqs. 6-7, Table 4): every local feature is its own cluster.

    ``features`` (n, N, d): whitened local features (:func:`embedded`), padded to ``count`` (n,).
    """
    return scores(query, features, temperature, True, count, None, chunk)


def one_to_many(
    query: Query, clusters: Clusters, how: str = "max", temperature: float = 1.0, count: Count = None, chunk: int | None = None
) -> Float[Tensor, "*Q n"]:
    """Scores (n,) or (Q, n) by the query's cosines with the clusters alone: their max, mean or softmax-weighted sum.

    Source: Table 10; it names no temperature, so 1.
    """
    return streamed(query, clusters, count, chunk, lambda s, norm, x, g, m: reduced(s / norm, how, m, temperature))


def many_to_many(
    query: Query, clusters: Clusters, local: str = "max", image: str = "mean", temperature: float = 1.0, count: Count = None,
    chunk: int | None = None,
) -> Float[Tensor, " n"]:  # fmt: skip
    """Scores (n,) of candidates for the query's own clusters (K_q, d), without padding (eqs. 14-16).

    ``local``: how the cosines of one query cluster become s(x_q,i, I_c); ``image``: how those become S; each "max",
    "mean" or "softmax" (Table 12: nine variants; the paper's first is max, mean).
    """
    if query.ndim != 2:
        raise errors.InputError(f"Query clusters of shape {tuple(query.shape)} must be (K, d), as coattention.clusters gives.")
    return reduced(one_to_many(query, clusters, local, temperature, count, chunk).T, image, None, temperature)


def reduced(
    m: Float[Tensor, "*n K"], how: str, mask: Bool[Tensor, "..."] | None = None, temperature: float = 1.0
) -> Float[Tensor, "*n"]:
    """Cosines (..., K) as one number: their max, mean or softmax-weighted sum, where ``mask`` is True."""
    mask = torch.ones_like(m, dtype=torch.bool) if mask is None else mask.expand(m.shape)
    if how == "max":
        return m.masked_fill(~mask, -torch.inf).amax(-1)
    if how == "mean":
        return (m * mask).sum(-1) / mask.sum(-1)
    if how == "softmax":
        return (_attention(m, temperature, True, mask) * m).sum(-1)
    raise errors.unknown("reduction", how, REDUCTIONS)


def grams(clusters: Float[Tensor, "*n K d"]) -> Float[Tensor, "*n K K"]:
    """Gram matrices (n, K, K) of clusters (n, K, d): small, and worth storing beside them (see :func:`scores`)."""
    return clusters @ clusters.transpose(-2, -1)


def attention_map(
    local, values: Float[Tensor | np.ndarray, " N"], shape: tuple[int, int] | None = None
) -> Float[Tensor, "rows columns"]:
    """A map (rows, columns) over the original picture: each local feature's value on its cell, all scales accumulated.

    ``local``: the selected :class:`~foir_lib.models.cnn.Locals`; ``values`` (N,), e.g. ``weights(...)[labels]``; ``shape``: (rows,
    columns), the picture's own unless given. Where nothing was selected it is 0. Source: section 6.3.
    """
    width, height = local.size
    rows, columns = shape or (height, width)
    size, limit = torch.tensor([columns / width, rows / height]), torch.tensor([columns, rows])
    corners = [((local.positions + half * local.cell) * size + 1e-3).round().long() for half in (-0.5, 0.5)]
    start = torch.minimum(corners[0], limit - 1)
    end = torch.maximum(corners[1], start + 1)
    heat = torch.zeros(rows, columns)
    for (x0, y0), (x1, y1), value in zip(start.tolist(), end.tolist(), values.tolist()):
        heat[y0:y1, x0:x1] += value
    return heat


def _attention(cosine, temperature, normalised, mask):
    if not normalised:
        return cosine if mask is None else cosine * mask
    logits = temperature * cosine
    return (logits if mask is None else logits.masked_fill(~mask, -torch.inf)).softmax(-1)
