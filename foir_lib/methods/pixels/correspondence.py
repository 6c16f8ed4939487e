"""Dense correspondence: patches of a database picture take the labels of the query's patches that they look like.

Source: METHODS.md 5, "dense matching" of "Pixel retrieval"; labels are carried as DINO carries those of a video's first frame (Caron
et al., ICCV 2021, section 4.2.2), here from one query picture to one database picture and without a window. N patches of the
database picture, M of the query, row by row; labels are the share of each patch inside the query's mask, or several such columns.
"""

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from foir_lib.errors import InputError


def similarity(tokens: Float[Tensor, "*B N d"], query: Float[Tensor, "M c"]) -> Float[Tensor, "*B N M"]:
    """Cosines of patch tokens (..., N, d) and the query's (M, d); a token of zeros is like none. Raises InputError for another d."""
    if tokens.shape[-1] != query.shape[-1]:
        raise InputError(
            f"Tokens of {tokens.shape[-1]} numbers can't be compared with the query's of {query.shape[-1]}: take both of one layer."
        )
    return F.normalize(tokens, dim=-1) @ F.normalize(query, dim=-1).transpose(-1, -2)


def carried(
    similarity: Float[Tensor, "*B N M"], labels: Float[Tensor, "L C"], k: int = 5, temperature: float = 0.07
) -> Float[Tensor, "*B N C"]:
    """Labels of the N patches: the mean of those of their ``k`` nearest query patches, weighted by softmax(cos / temperature).

    ``k`` counts all patches of a query that has fewer. Raises InputError for k below 1, a temperature that isn't positive, and
    labels that aren't one row a query patch.
    """
    if k < 1 or not temperature > 0:
        raise InputError(
            f"k={k} and temperature={temperature} carry no labels: give k of at least 1 and a positive temperature."
        )
    if len(labels) != similarity.shape[-1]:
        raise InputError(
            f"{len(labels)} labels don't fit {similarity.shape[-1]} patches of the query: give one row for each."
        )
    cosines, nearest = similarity.topk(min(k, similarity.shape[-1]), dim=-1)
    weights = (cosines / temperature).softmax(-1)
    return (weights[..., None] * labels[nearest]).sum(-2)


def cycle_distance(similarity: Float[Tensor, "*B N M"], grid: tuple[int, int]) -> Float[Tensor, "*B N"]:
    """How far each of the N patches, ``grid`` (rows, columns), comes back from itself: to its nearest query patch, and to that one's nearest.

    In patches, the larger of both directions: 0 is a mutual nearest neighbour. Raises InputError for a grid of another N.
    """
    rows, columns = grid
    if rows * columns != similarity.shape[-2]:
        raise InputError(f"A grid of {rows} x {columns} patches doesn't fit {similarity.shape[-2]} tokens.")
    there, back = similarity.argmax(-1), similarity.argmax(-2)
    home = back.gather(-1, there)
    start = torch.arange(rows * columns, device=similarity.device)
    down = (home // columns - start // columns).abs()
    across = (home % columns - start % columns).abs()
    return torch.maximum(down, across).to(similarity.dtype)


def enlarged(labels: Float[Tensor, "*B N"], grid: tuple[int, int], size: tuple[int, int]) -> Float[Tensor, "*B h w"]:
    """Labels of patches, ``grid`` (rows, columns), at the pixels of a picture of ``size`` (width, height): bilinear."""
    maps = labels.unflatten(-1, grid)
    lead = maps.shape[:-2]
    maps = F.interpolate(maps.reshape(-1, 1, *grid), size=size[::-1], mode="bilinear", align_corners=False)
    return maps.reshape(*lead, *size[::-1])


def sharpened(
    maps: Float[Tensor, "B h w"], pictures: Float[Tensor, "B 3 h w"], radius: int = 8, eps: float = 1e-3
) -> Float[Tensor, "B h w"]:
    """Maps whose edges are drawn to those of the pictures (0 to 1) by the guided filter (He et al., ECCV 2010), within 0 and 1.

    ``radius`` in pixels; ``eps``: variance of colour within a window below which it counts as flat. A radius is at most that at which the window
    fits the picture; 0 changes nothing.
    """
    radius = min(radius, (min(maps.shape[-2:]) - 1) // 2)
    if radius < 1:
        return maps.clamp(0, 1)
    from kornia.filters import guided_blur  # takes seconds

    return guided_blur(pictures, maps[:, None], 2 * radius + 1, eps, separable=True)[:, 0].clamp(0, 1)
