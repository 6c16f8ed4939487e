"""What a segmenter is asked after a map was carried to a picture, and which of its answers is taken.

Source: METHODS.md 5, "SAM refinement of any of them". The recipe, chosen on the first ten videos of the DAVIS frames: the map at the
cells of the segmenter's masks (:func:`on_cells`); its five surest points and its logits are the first prompt (:func:`first`), single
mask; that answer's box and logits with the same points are the second (:func:`again`), whose single mask is taken. Where several
answers are at hand, :func:`best` weighs the segmenter's own score and the agreement with the map. Cells are pixels of the
low-resolution mask: SAM's are those of a padded square, of which the picture fills ``inside`` (height, width).
"""

from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from scipy import ndimage
from torch import Tensor

from foir_lib.errors import InputError

SHARE = 0.25  # of the largest component's mass that another one has at least
DEPTH = 5  # cells from the edge beyond which a point is as good as any
WEIGHT = 0.02  # of a cell of depth beside the map, in choosing points


class Prompt(NamedTuple):
    """What a segmenter is asked, in cells: points (k, 2), x and y, all on the thing; logits (side, side) of a mask; a box (4,) or None."""

    points: Float[np.ndarray, "k 2"]
    mask: Float[Tensor, "side side"]
    box: Float[np.ndarray, "4"] | None = None


def first(p: Float[Tensor, "h w"], side: int, n: int = 5) -> Prompt:
    """The first prompt of a map ``p`` on the cells of the picture: ``n`` points and its logits. Raises InputError for a map of zeros."""
    values = p.cpu().numpy()
    if not values.max() > 0:
        raise InputError(
            f"A map of {values.shape} cells that is zero everywhere gives no prompt: nothing was carried there."
        )
    return Prompt(points(values, main(values), n), logits(p[None].cpu(), side)[0])


def again(
    prompt: Prompt, answer: Float[Tensor, "side side"], inside: tuple[float, float], most: float = 20.0
) -> Prompt:
    """The prompt that asks for an answer (logits) again: its box and its logits within ``most``, with the points of the first.

    What the answer says beside the picture doesn't count; where it is empty, the box is that of the prompt's mask, or None.
    """
    h, w = (min(max(1, round(side)), len(answer)) for side in inside)
    mask = torch.full_like(answer, -most)
    mask[:h, :w] = answer[:h, :w].clamp(-most, most)
    shown = [m for m in (mask[:h, :w] > 0, prompt.mask[:h, :w] > 0) if m.any()]
    return Prompt(prompt.points, mask, box(shown[0].numpy()) if shown else None)


def in_pixels(
    cells: Float[np.ndarray, "*n"], size: tuple[int, int], inside: tuple[float, float]
) -> Float[np.ndarray, "*n"]:
    """Points (..., 2) or boxes (4,) in cells as pixels of a picture of ``size`` (width, height), never outside it."""
    limits = np.tile(np.array(size, np.float32), cells.shape[-1] // 2)
    scale = np.tile(np.array([size[0] / inside[1], size[1] / inside[0]], np.float32), cells.shape[-1] // 2)
    return np.clip(cells * scale, 0, limits)


def on_cells(maps: Float[Tensor, "B rows columns"], inside: tuple[float, float]) -> Float[Tensor, "B h w"]:
    """Maps of patches at the cells of the picture in the square, ``inside`` (height, width) rounded: bilinear."""
    size = tuple(max(1, round(side)) for side in inside)
    return F.interpolate(maps[:, None], size=size, mode="bilinear", align_corners=False)[:, 0]


def logits(
    maps: Float[Tensor, "B h w"], side: int, steep: float = 20.0, most: float = 10.0
) -> Float[Tensor, "B {side} {side}"]:
    """Mask input of ``side`` x ``side`` cells: steep (p - 1/2) within ``most``, and -most beside the picture.

    Raises InputError for maps larger than the square.
    """
    h, w = maps.shape[-2:]
    if max(h, w) > side:
        raise InputError(
            f"Maps of {h} x {w} cells don't fit a square of {side}: give those on the cells of the segmenter."
        )
    return F.pad((steep * (maps - 0.5)).clamp(-most, most), (0, side - w, 0, side - h), value=-most)


def main(p: Float[np.ndarray, "h w"], threshold: float = 0.5) -> Bool[np.ndarray, "h w"]:
    """The components above ``threshold`` that carry at least a quarter of the mass of the one that carries most.

    Where nothing is above it, those above 0.7 of the highest value; nothing on a map of zeros.
    """
    over = p > threshold if (p > threshold).any() else p > 0.7 * p.max()
    components, n = ndimage.label(over)
    mass = ndimage.sum(p, components, np.arange(n + 1))
    mass[0] = 0
    return over & (mass >= SHARE * mass.max())[components]


def box(mask: Bool[np.ndarray, "h w"]) -> Float[np.ndarray, "4"]:
    """The tight box of a mask that isn't empty: x0, y0, x1, y1 in cells, exclusive end."""
    if not mask.any():
        raise InputError(f"A mask of {mask.shape} without a cell has no box: ask only where the map shows something.")
    ys, xs = np.nonzero(mask)
    return np.array([xs.min(), ys.min(), xs.max() + 1, ys.max() + 1], np.float32)


def points(p: Float[np.ndarray, "h w"], mask: Bool[np.ndarray, "h w"], n: int = 5) -> Float[np.ndarray, "k 2"]:
    """At most ``n`` centres of cells (x, y), the surest of the mask and deep in it, a quarter of its root area apart, best first.

    Cells are ranked by p + 0.02 min(distance to the edge, 5); at least 3 cells lie between two points. One at least, where the mask has a cell.
    """
    depth = ndimage.distance_transform_edt(np.pad(mask, 1))[1:-1, 1:-1]
    rank = np.where(mask, p + WEIGHT * np.minimum(depth, DEPTH), -np.inf)
    apart = max(3.0, 0.25 * np.sqrt(mask.sum()))
    ys, xs = np.mgrid[: p.shape[0], : p.shape[1]]
    chosen = []
    while len(chosen) < n and np.isfinite(rank.max()):
        y, x = divmod(int(rank.argmax()), p.shape[1])
        chosen.append((x + 0.5, y + 0.5))
        rank[(ys - y) ** 2 + (xs - x) ** 2 < apart**2] = -np.inf
    return np.array(chosen, np.float32).reshape(-1, 2)


def agreement(masks: Bool[Tensor, "n h w"], maps: Float[Tensor, "h w"]) -> Float[Tensor, " n"]:
    """Soft IoU of masks with a map of probabilities: sum min(m, p) / sum max(m, p); 0 where both are empty."""
    masks = masks.to(maps.dtype)
    whole = torch.maximum(masks, maps).sum((-2, -1))
    return torch.minimum(masks, maps).sum((-2, -1)) / whole.clamp(min=torch.finfo(maps.dtype).tiny)


def best(
    masks: Bool[Tensor, "n h w"], scores: Float[Tensor, " n"], maps: Float[Tensor, "h w"], weight: float = 0.5
) -> int:
    """The row of the mask of the greatest weight * agreement + (1 - weight) * score; of equal ones the first."""
    return int((weight * agreement(masks, maps) + (1 - weight) * scores.clamp(0, 1)).argmax())
