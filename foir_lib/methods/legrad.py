"""LeGrad: where a ViT looks for a target, by the gradient of a score with respect to attention.

Source: LeGrad (Bousselham et al., 2024), E of "Find your Needle: Small Object Image Retrieval". The score of block l is the target
times the unit-length projection of the normalised mean of all its tokens; its gradient with respect to the block's attention
after softmax, positive parts only, averaged over heads and query rows, is the map. It isn't multiplied by the attention.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from foir_lib.errors import InputError, unknown

SCORES = ("tokens", "descriptor")
FLAT = 1e-6  # a map whose values differ by no more than this share of its maximum is constant


def heatmap(
    model, x: Float[Tensor, "*B 3 S S"], target: Float[Tensor, "*K d"], last: int = 2, project: bool = False, score: str = "tokens"
) -> Float[Tensor, "*M rows columns"]:
    """Where the ``last`` blocks of a ViT look for ``target`` on a picture: (rows, columns) of its grid, min-max to [0, 1].

    ``x`` (3, S, S) as model.preprocess gives it, or (B, 3, S, S); ``target`` (d,) or one for each map (K, d): K maps of one
    picture, or as many pictures as targets. ``project``: targets lie where CLIP projects to, e.g. texts. ``score``: of :func:`taps`.
    Raises InputError for targets of another number or length.
    """
    pictures, targets = x if x.ndim == 4 else x[None], target if target.ndim == 2 else target[None]
    if len(pictures) != len(targets) and 1 not in (len(pictures), len(targets)):
        raise InputError(f"{len(targets)} targets don't fit {len(pictures)} pictures: give one each, one target, or one picture.")
    tokens = model.tokens(pictures, model.depth - last)
    n = max(len(pictures), len(targets))
    with differentiable():
        targets = F.normalize(targets.to(tokens), dim=-1).expand(n, -1)
        parts = taps(model, tokens.expand(n, -1, -1), last, score, project)
        maps = min_max(sum(relevance(attention, z, targets, model.n_prefix) for attention, z in parts)).unflatten(1, model.grid)
    return maps[0] if x.ndim == 3 and target.ndim == 1 else maps


def taps(
    model, tokens: Float[Tensor, "B T d"], last: int = 1, score: str = "tokens", project: bool = False
) -> list[tuple[Float[Tensor, "B h R T"], Float[Tensor, "B p"]]]:
    """Attention and, as its function, the unit vector z that a target's score is a product with, of each of the last blocks.

    ``tokens``: those before these blocks. ``score``: "tokens", LeGrad's (z is made of the mean of all tokens), or "descriptor" (of the
    CLS token: the score of the paper's v . v_i, to the letter; R = 1 query row). Raises InputError for another one.
    """
    if score not in SCORES:
        raise unknown("score of LeGrad", score, SCORES)
    parts = model.tap(tokens, ("attention", "mean"), last, 1 if score == "descriptor" else None, gradient=True)
    return [(part["attention"], model.readout(part["mean"], project)) for part in parts]


def relevance(
    attention: Float[Tensor, "B h R T"], z: Float[Tensor, "B p"], targets: Float[Tensor, "B q"], n_prefix: int, create_graph: bool = False
) -> Float[Tensor, "B N"]:
    """E before min-max: the gradient of ``targets . z`` with respect to attention, ReLU, mean over heads and query rows, prefix keys dropped.

    The gradient is linear in the target: one vector-Jacobian product; ``create_graph``: the map can be differentiated by ``targets``.
    Raises InputError for targets of another length than z.
    """
    if targets.shape != z.shape:
        raise InputError(f"Targets {tuple(targets.shape)} don't fit embeddings {tuple(z.shape)}: project=True is for targets of CLIP's texts.")
    (gradient,) = torch.autograd.grad(z, attention, targets, create_graph=create_graph, retain_graph=True)
    return gradient.relu().mean((1, 2))[:, n_prefix:]


def min_max(maps: Float[Tensor, "*B N"]) -> Float[Tensor, "*B N"]:
    """Each map from its least value, 0, to its largest, 1; a constant map is zeros."""
    low, high = maps.amin(-1, keepdim=True), maps.amax(-1, keepdim=True)
    flat = high - low <= FLAT * high.abs()
    return torch.where(flat, 0.0, (maps - low) / torch.where(flat, 1.0, high - low))


def upsampled(maps: Float[Tensor, "*B rows columns"], size: tuple[int, int]) -> Float[np.ndarray, "*B height width"]:
    """Maps for a figure: bilinear, on the pixels of a picture of ``size`` (width, height), all on one scale from 0 to 1."""
    flat = maps.reshape(-1, 1, *maps.shape[-2:])
    large = F.interpolate(flat.float(), size=size[::-1], mode="bilinear", align_corners=False)
    return large.reshape(*maps.shape[:-2], *size[::-1]).cpu().numpy()


@contextmanager
def differentiable() -> Iterator[None]:
    """Inside, gradients are recorded, also where the caller has switched them off."""
    with torch.inference_mode(False), torch.enable_grad():
        yield
