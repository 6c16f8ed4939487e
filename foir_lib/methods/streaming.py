"""Queries scored against a database of clusters, a chunk at a time, so that it need not fit into memory."""

from collections.abc import Callable, Sequence

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Shaped
from torch import Tensor

from foir_lib.errors import InputError

CHUNK = {"cpu": 512, "cuda": 32768}  # candidates scored at a time: in the cache of the one, enough for the other
Query, Clusters = Float[Tensor, "..."], Float[Tensor | np.ndarray, "n K d"]
Count = Shaped[Tensor | np.ndarray, "..."] | Sequence[int] | None


def streamed(
    query: Query, clusters: Clusters, count: Count, chunk: int | None, score: Callable[..., Float[Tensor, "Q n"]],
    gram: Float[Tensor | np.ndarray, "n K K"] | None = None,
) -> Float[Tensor, "*Q n"]:  # fmt: skip
    """``score(s, norm, x, gram, mask)`` of queries (Q, d) and clusters x (n, K, d), chunk by chunk: (Q, n), or (n,) for one.

    ``s`` (Q, n, K): products of the unit queries with the clusters; ``norm`` (n, K): lengths of the clusters; ``mask`` (n, K):
    which there are by ``count`` (n,), None for all. Raises InputError for shapes that don't fit and for NaN.
    """
    n, n_clusters, width = clusters.shape
    if query.ndim not in (1, 2) or query.shape[-1] != width:
        raise InputError(f"Query of shape {tuple(query.shape)} doesn't fit clusters of shape {tuple(clusters.shape)}.")
    count = torch.full((n,), n_clusters) if count is None else torch.as_tensor(count).cpu().long()
    if count.shape != (n,) or bool(((count < 1) | (count > n_clusters)).any()):
        raise InputError(f"Cluster counts must be {n} numbers from 1 to {n_clusters}: a picture has at least one.")
    dtype = torch.promote_types(query.dtype, torch.float32)
    q = F.normalize(torch.atleast_2d(query).to(dtype), dim=-1)
    check_finite(q)
    parts, chunk = [], chunk or CHUNK.get(q.device.type, 512)
    for start in range(0, n, chunk):
        x = _tensor(clusters[start : start + chunk], q)
        mask = (torch.arange(n_clusters) < count[start : start + chunk, None]).to(q.device)
        norm = x.norm(dim=-1).clamp(min=1e-12)
        s = (q @ x.flatten(0, 1).T).unflatten(1, (len(x), n_clusters))
        bad = ~torch.isfinite(norm).all(-1)
        if bool(bad.any()):
            row = start + int(bad.nonzero()[0])
            raise InputError(f"Clusters of picture {row} hold NaN or infinity: compute them again.")
        parts.append(score(s, norm, x, None if gram is None else _tensor(gram[start : start + chunk], q), mask))
    result = torch.cat(parts, 1) if parts else q.new_zeros(len(q), 0)
    return result if query.ndim == 2 else result[0]


def _tensor(chunk, like):
    """A chunk of an array or tensor on the device and in the type of ``like``."""
    chunk = chunk if isinstance(chunk, torch.Tensor) else torch.from_numpy(np.array(chunk))
    return chunk.to(like.device).to(like.dtype)


def check_finite(features: Float[Tensor, "*n d"]) -> None:
    """Raises InputError for no features, and for NaN or infinite ones."""
    bad = ~torch.isfinite(features).all(-1)
    if not len(features) or bool(bad.any()):
        n = f"{int(bad.sum())} of {len(features)}"
        raise InputError(f"{n} features hold NaN or infinity: look at the picture or the model.")
