"""Foveal attention (FA): a smooth bump on the box's tokens, added to the CLS query row's logits.

Source: FALIP (reference 71 of the PHS paper), used in PHS Tables 1-3 and A1 in the last four blocks.
"""

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from foir_lib.prompts import Grid, Prompt


def bias(
    box: Prompt, grid: Grid, size: tuple[int, int], v: float = 0.2, sigma: float = 100.0, e: float = 1e-6
) -> Float[Tensor, " N"]:
    """Additive logits (N,) float32 for ``model.cls_state(x, bias=..., last=4)``; zero outside the box.

    With d the distance in tokens from the centre of the box's h x w tokens and
    ``m = exp(-d^2 / (2 sigma^2))``: ``G = v (m - min m + e) / (max m - min m + e)``. As sigma is far larger
    than the grid, G is in effect a parabola that reaches ~0 at the box's corners; boxes whose tokens
    are all equally far from their centre get the constant ``v``. Any prompt can stand for ``box``: its
    pixel box is used. Raises InputError when it lies outside the picture.
    """
    rows, columns = grid
    inside = box.box(size, grid).tokens(grid, size).reshape(rows, columns)
    down, across = np.flatnonzero(inside.any(1)), np.flatnonzero(inside.any(0))
    d2 = (down - down.mean())[:, None] ** 2 + (across - across.mean())[None, :] ** 2
    m = np.exp(-d2 / (2 * sigma**2))  # float64: in float32 the e-terms round badly
    full = np.zeros((rows, columns))
    full[np.ix_(down, across)] = v * (m - m.min() + e) / (m.max() - m.min() + e)
    return torch.from_numpy(full.ravel()).float()
