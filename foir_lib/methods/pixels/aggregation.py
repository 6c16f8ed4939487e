"""Local features of a region as one vector: their mean, VLAD and ASMK, and how alike two regions are by each.

Source: detect-to-retrieve (Teichmann et al., CVPR 2019: regional aggregation); VLAD: Jegou et al., CVPR 2010, with each word's residual of
unit length (Arandjelovic and Zisserman, CVPR 2013); ASMK: Tolias et al., IJCV 2016, alpha = 3, tau = 0. ``x`` (N, d) features, ``words`` (N,)
the nearest of K ``centres`` (K, d) to each, ``members`` (R, N) bool: which features are in each of R regions.
"""

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor

EPS = 1e-6  # a vector shorter than this has no direction


def means(x: Float[Tensor, "N d"], members: Bool[Tensor, "R N"]) -> Float[Tensor, "R d"]:
    """The mean of each region's features (made of unit length first), of unit length; zeros where a region is empty."""
    return F.normalize(members.to(x.dtype) @ F.normalize(x, dim=-1), dim=-1, eps=EPS)


def residuals(
    x: Float[Tensor, "N d"], words: Int[Tensor, " N"], centres: Float[Tensor, "K d"], members: Bool[Tensor, "R N"]
) -> Float[Tensor, "R K d"]:
    """The sum of the residuals of each region's features to each word, of unit length; zeros where it doesn't show the word."""
    differences = x - centres[words]
    region, feature = members.nonzero().T
    flat = x.new_zeros(len(members) * len(centres), x.shape[1])
    flat.index_add_(0, region * len(centres) + words[feature], differences[feature])
    return F.normalize(flat, dim=-1, eps=EPS).unflatten(0, (len(members), len(centres)))


def vlad(query: Float[Tensor, "1 K d"], regions: Float[Tensor, "R K d"]) -> Float[Tensor, " R"]:
    """Cosines of the VLAD vectors of regions and of the query, from their :func:`residuals`; 0 for an empty one."""
    query, regions = (F.normalize(r.flatten(1), dim=-1, eps=EPS) for r in (query, regions))
    return regions @ query[0]


def asmk(
    query: Float[Tensor, "1 K d"], regions: Float[Tensor, "R K d"], alpha: float = 3.0, tau: float = 0.0
) -> Float[Tensor, " R"]:
    """ASMK of regions and the query, from their :func:`residuals`: of each word that both show, their cosine to the power ``alpha`` where it is above ``tau``.

    Summed, and over the roots of how many words each shows, so that a region and itself give 1.
    """
    cosines = (regions * query).sum(-1)
    selected = torch.where(cosines > tau, cosines.clamp(min=0).pow(alpha), 0.0).sum(-1)
    shown = [(r.norm(dim=-1) > 0.5).sum(-1).clamp(min=1).to(selected.dtype).sqrt() for r in (query, regions)]
    return selected / (shown[0] * shown[1])
