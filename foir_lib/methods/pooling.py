"""One vector from a feature map: SPoC, MAC, GeM, CroW, R-MAC, CAM, and SuperGlobal's poolings.

``x`` is (B, C, H, W), non-negative as after a ReLU; the result is (B, C) unless stated otherwise.
"""

import math
from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from foir_lib.errors import InputError
from foir_lib.methods import regions
from foir_lib.methods.regions import Maps, Regions

Layer = Callable | None  # from vectors (n, C) to (n, d): a whitening layer, a PCA
Bias = Float[Tensor, " n"] | None


def power_mean(
    x: Float[Tensor, "*S"], p: float | Tensor = 3.0, dim: int = -1, eps: float = 1e-6, weights: Float[Tensor, "..."] | None = None
) -> Float[Tensor, "..."]:
    """Generalised mean of ``x`` along ``dim`` (co-attention eq. 1); values below ``eps`` count as ``eps``, p may be inf.

    ``weights``, as ``x`` or 1 wide: how much each value counts (unless p is inf); all alike unless given. Raises InputError when p isn't positive.
    """
    value = float(p.detach() if isinstance(p, torch.Tensor) else p)
    if not value > 0:
        raise InputError(f"gem p={value:g} must be positive: 1 is the mean, large values tend to the maximum.")
    x = x.clamp(min=eps)
    if value == math.inf:
        return x.amax(dim)
    top = x.amax(dim, keepdim=True).detach()
    powers = (x / top).pow(p)  # scaled: no power overflows
    if weights is None:
        mean = powers.mean(dim, keepdim=True)
    else:
        mean = (powers * weights).sum(dim, keepdim=True) / weights.sum(dim, keepdim=True)
    return (mean.pow(1 / p) * top).squeeze(dim)


def gem(x: Maps, p: float | Tensor = 3.0, eps: float = 1e-6) -> Float[Tensor, "B C"]:
    """GeM: the generalised mean over all cells. Source: co-attention eq. 1; Radenović et al., TPAMI 2019."""
    return power_mean(x.flatten(2), p, -1, eps)


def mac(x: Maps) -> Float[Tensor, "B C"]:
    """MAC: the maximum over all cells. Source: Tolias et al., ICLR 2016."""
    return x.amax((2, 3))


def spoc(x: Maps, centre: bool = True) -> Float[Tensor, "B C"]:
    """SPoC: the sum over all cells, by default weighted by the centring prior.

    The prior is a Gaussian around the map's centre with a third of the distance to the nearest border as sigma.
    Source: Babenko and Lempitsky, ICCV 2015.
    """
    if not centre:
        return x.sum((2, 3))
    sigma = min(x.shape[2:]) / 2 / 3
    dy, dx = (torch.arange(n, device=x.device, dtype=x.dtype) + 0.5 - n / 2 for n in x.shape[2:])
    prior = torch.exp(-(dy[:, None] ** 2 + dx**2) / (2 * sigma**2))
    return (x * prior).sum((2, 3))


def crow_spatial(x: Maps, a: float = 2.0, b: float = 2.0) -> Float[Tensor, "B H W"]:
    """CroW's spatial weights (B, H, W): the a-normalised sum over channels, to the power 1/b; 0 on an empty map."""
    total = x.sum(1)
    norm = total.pow(a).sum((1, 2), keepdim=True).pow(1 / a)
    return (total / norm.clamp(min=1e-12)).pow(1 / b)


def crow_channels(x: Maps) -> Float[Tensor, "B C"]:
    """CroW's channel weights (B, C): log of the inverse share of non-zero cells; 0 for a channel without any."""
    share = (x != 0).to(x.dtype).mean((2, 3))
    return torch.where(share > 0, torch.log(share.sum(1, keepdim=True) / share.clamp(min=1e-12)), 0.0)


def crow(x: Maps) -> Float[Tensor, "B C"]:
    """CroW: the sum over all cells, weighted across cells and channels. Source: Kalantidis et al., ECCV-W 2016."""
    return (x * crow_spatial(x)[:, None]).sum((2, 3)) * crow_channels(x)


def rmac(x: Maps, scales: int = 3, whiten: Layer = None, at: Regions | None = None) -> Float[Tensor, "B d"]:
    """R-MAC, unit length: max-pooled regions, each L2, PCA-whitened and L2 again, summed, L2.

    ``whiten``: maps (n, C) to (n, d), e.g. a :class:`~foir_lib.methods.whitening.PCA`; ``at``: other regions than
    ``regions.grid`` with ``scales``. (Regional attention takes the mean of the regions, the same after L2.)
    Source: Tolias et al., ICLR 2016; regional attention section 3.1.
    """
    vectors = processed(regions.pooled(x, at or regions.grid(*x.shape[2:], scales)), whiten)
    return F.normalize(vectors.sum(1), dim=-1)


def processed(vectors: Float[Tensor, "*n C"], whiten: Layer = None) -> Float[Tensor, "*n d"]:
    """P(.) of regional attention section 3.1: L2, PCA-whitening (if given), L2 again; ``vectors`` (..., C)."""
    vectors = F.normalize(vectors, dim=-1)
    if whiten is None:
        return vectors
    return F.normalize(whiten(vectors.flatten(0, -2)), dim=-1).unflatten(0, vectors.shape[:-1])


def cam(
    x: Maps, weight: Float[Tensor, "..."], bias: Bias = None, n_maps: int = 64, whiten: Layer = None
) -> Float[Tensor, "B d"]:
    """CAM with offline aggregation, unit length: a vector for each of the image's ``n_maps`` likeliest classes, together.

    ``weight`` (n_classes, C), ``bias`` (n_classes,): the network's classifier (``cnn.classifier``). A class activation map
    is the class-weighted sum of channels, its negative part 0 and its maximum 1; it weights the cells of a sum, CroW's
    channel weights follow, then as R-MAC's regions: L2, PCA-whitening, L2, sum, L2. A class that lights up nowhere
    adds nothing. Raises InputError when the classifier doesn't fit. Source: Jimenez et al., BMVC 2017.
    """
    vectors = cam_vectors(x, weight, bias, n_maps)
    lit = vectors.flatten(2).any(2)[..., None]
    return F.normalize((processed(vectors, whiten) * lit).sum(1), dim=-1)


def cam_vectors(x: Maps, weight: Float[Tensor, "..."], bias: Bias = None, n_maps: int = 64) -> Float[Tensor, "B K C"]:
    """The class vectors (B, n_maps, C) of :func:`cam`, likeliest class first, before L2: its PCA is learned from them."""
    if weight.ndim != 2 or weight.shape[1] != x.shape[1]:
        raise InputError(f"Classifier weights {tuple(weight.shape)} must be (n_classes, {x.shape[1]}), as this map.")
    logits = F.linear(x.mean((2, 3)), weight, bias)
    best = torch.sort(logits, dim=1, descending=True, stable=True).indices[:, :n_maps]
    maps = torch.einsum("bkc,bchw->bkhw", weight[best], x).clamp(min=0)
    maps = maps / maps.amax((2, 3), keepdim=True).clamp(min=1e-12)
    return torch.einsum("bkhw,bchw->bkc", maps, x) * crow_channels(x)[:, None]


def regional_gem(x: Maps, p: float = 2.5, size: int = 5) -> Maps:
    """SuperGlobal's regional GeM: maps (B, C, H, W), half each cell and half the GeM of the ``size`` x ``size`` around it.

    Borders are reflected (repeated where the map is too small for that). Source: Shao et al., ICCV 2023.
    """
    pad = (size - 1) // 2
    mode = "reflect" if min(x.shape[2:]) > pad else "replicate"
    windows = F.pad(x.clamp(min=0), (pad,) * 4, mode=mode).unfold(2, size, 1).unfold(3, size, 1)
    return 0.5 * power_mean(windows.flatten(4), p, -1, 1e-12) + 0.5 * x


def gem_plus(x: Maps, p: float = 4.6) -> Float[Tensor, "B C"]:
    """SuperGlobal's GeM+: GeM with a tuned p. Source: Shao et al., ICCV 2023."""
    return gem(x, p, 1e-8)


def scale_gem(vectors: Float[Tensor, "S B d"], p: float = math.inf) -> Float[Tensor, "B d"]:
    """SuperGlobal's scale GeM (B, d) of unit vectors (S, B, d) of the same images at S scales: their maximum for p = inf.

    For finite p the mean runs over values shifted to be non-negative by the smallest one. Source: Shao et al., ICCV 2023.
    """
    if p == math.inf:
        return F.normalize(vectors, dim=-1).amax(0)
    low = vectors.amin()
    return power_mean(vectors - low, p, 0, 1e-12) + low


def superglobal(
    maps: Sequence[Float[Tensor, "B C _ _"]], whiten: Layer = None, p: float = 4.6, p_region: float = 2.5,
    p_scale: float = math.inf,
) -> Float[Tensor, "B d"]:  # fmt: skip
    """SuperGlobal's descriptor (B, d), unit length, of ``maps``: one (B, C, H, W) for each scale (0.7071, 1, 1.4142).

    Regional GeM, GeM+, L2, ``whiten`` (the trained layer, C to d), then scale GeM. Source: Shao et al., ICCV 2023 (its
    ReLUP is a change inside the network and no part of this).
    """
    vectors = [F.normalize(gem_plus(regional_gem(x, p_region), p), dim=-1) for x in maps]
    vectors = torch.stack(vectors if whiten is None else [whiten(v) for v in vectors])
    return F.normalize(scale_gem(vectors, p_scale), dim=-1)
