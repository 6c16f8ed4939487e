"""Where the transformers of the mini world start from, so that an hour of one core is enough to train them.

A patch as its lowest cosines, positions as sines and cosines, attention that looks at neighbours: what trained ViTs have in
common (mimetic initialisation: Trockman and Kolter, ICML 2023).
"""

import torch
from torch import Tensor


def cosines(width: int, patch: int) -> Tensor:
    """Filters (width, 3, patch, patch): two thirds for brightness, a sixth each for red against green and for blue against yellow.

    The lowest frequencies of the discrete cosine transform, each the stronger the higher it is, as pictures hold less of it.
    """
    at = (torch.arange(patch) + 0.5) * torch.pi / patch
    order = sorted((v * v + u * u, v, u) for v in range(patch) for u in range(patch))
    waves = torch.stack([torch.outer((at * v).cos(), (at * u).cos()) * (1 + f) ** 0.5 for f, v, u in order])
    colours = torch.tensor([[1.0, 1.0, 1.0], [1.0, -1.0, 0.0], [-0.5, -0.5, 1.0]])
    counts = [width - 2 * (width // 6), width // 6, width // 6]
    filters = [waves[:n, None] * colour[:, None, None] for n, colour in zip(counts, colours)]
    return torch.cat(filters) / patch**2


def positions(side: int, width: int, heads: int) -> Tensor:
    """Sines and cosines of x and y (side * side, width), row-major; each head's channels hold waves from two sides to four cells."""
    n = width // heads // 4
    waves = 2 * side * (2 / side) ** torch.linspace(0, 1, n)
    at = 2 * torch.pi * torch.arange(side)[:, None] / waves
    line = torch.cat([at.sin(), at.cos()], 1)
    grid = torch.cat([line[None].expand(side, -1, -1), line[:, None].expand(-1, side, -1)], 2).flatten(0, 1)
    return torch.cat([grid, grid.new_zeros(len(grid), width // heads - 4 * n)], 1).repeat(1, heads)


def look_near(query: Tensor, key: Tensor, gain: float = 1.5) -> None:
    """Make queries and keys (width, width) of an attention the tokens themselves, so that tokens at near positions meet."""
    with torch.no_grad():
        for weight in (query, key):
            weight.mul_(0.5).add_(gain * torch.eye(*weight.shape))
