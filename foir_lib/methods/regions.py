"""Regions of a feature map: the square grid of R-MAC, and the proposals of a detector."""

import math
from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float
from PIL import Image
from torch import Tensor

from foir_lib.errors import InputError, count
from foir_lib.images import rgb

Maps, Regions = Float[Tensor, "B C H W"], Sequence[tuple[int, ...]]


def grid(height: int, width: int, scales: int = 5) -> list[tuple[int, int, int]]:
    """Square regions [(row, col, side), ...] in cells of a map, R-MAC's; no global region.

    At scale s = 1..``scales`` they have side ``2 min(W, H) / (s + 1)``, rounded down (a scale that rounds to nothing is
    left out), s of them across the short side, and across the long side as many more as bring the overlap at s = 1
    nearest to 40%. Raises InputError for an empty map or no scale. Source: regional attention section 3.1; Tolias et
    al., ICLR 2016.
    """
    for name, value in (("height", height), ("width", width), ("scales", scales)):
        count(value, name)
    short, long = sorted((int(height), int(width)))
    at, more = [], _more(short, long)
    for s in range(1, min(scales, 2 * short - 1) + 1):
        side = 2 * short // (s + 1)
        rows = _starts(height, side, s + more * (height > width))
        columns = _starts(width, side, s + more * (width > height))
        at += [(row, column, side) for row in rows for column in columns]
    return at


def proposals(detector, picture: Image.Image, height: int, width: int, n_regions: int = 256) -> Regions:
    """The best proposals [(row, col, height, width), ...] of a torchvision detector's RPN, in cells of a map.

    ``detector``: a Faster R-CNN of torchvision; ``picture``: PIL, RGB; a box covers every cell that it touches of a map
    of ``height`` x ``width`` cells; the whole map when nothing is proposed. Source: regional attention Table 2b.
    """
    device = next(detector.parameters()).device
    x = torch.from_numpy(np.array(rgb(picture), dtype=np.float32) / 255).permute(2, 0, 1).to(device)
    with torch.inference_mode():
        images, _ = detector.eval().transform([x])
        features = detector.backbone(images.tensors)
        features = {"0": features} if isinstance(features, torch.Tensor) else features
        boxes = detector.rpn(images, features)[0][0][:n_regions].cpu().double()
    rows, columns = images.image_sizes[0]
    shares = (boxes / torch.tensor([columns, rows, columns, rows])).tolist()
    cells = [(*_cells(y0, y1, height), *_cells(x0, x1, width)) for x0, y0, x1, y1 in shares]
    return [(row, column, n_rows, n_columns) for row, n_rows, column, n_columns in cells] or [(0, 0, height, width)]


def pooled(x: Maps, regions: Regions, how: str = "max") -> Float[Tensor, "B R C"]:
    """Max- or mean-pooled regions (B, R, C) of maps ``x`` (B, C, H, W): M(R) and J(R) of regional attention.

    ``regions``: (row, col, side) or (row, col, height, width) in cells. Raises InputError for a region outside the map.
    """
    reduce = {"max": torch.amax, "mean": torch.mean}[how]
    if not regions:
        raise InputError("Regions are empty: give at least one, e.g. regions.grid(height, width).")
    vectors = []
    for row, column, *size in regions:
        bottom, right = row + size[0], column + size[-1]
        if not (0 <= row < bottom <= x.shape[-2] and 0 <= column < right <= x.shape[-1]):
            leaves = f"Region {(row, column, *size)} leaves the map of {x.shape[-2]} x {x.shape[-1]} cells"
            raise InputError(f"{leaves}: make the regions for this map, e.g. regions.grid(*x.shape[-2:]).")
        vectors.append(reduce(x[..., row:bottom, column:right], dim=(-2, -1)))
    return torch.stack(vectors, 1)


def _more(short, long):
    """How many more regions of side ``short`` go along ``long`` so that neighbours overlap by nearest to 40%."""
    if long == short:
        return 0
    most = math.ceil((long - short) / (0.6 * short)) + 1
    n = np.arange(1, most + 1, dtype=np.float32)  # the precision of the public code, which decides exact ties
    overlap = (short**2 - short * ((long - short) / n)) / short**2
    return int(np.abs(overlap - np.float32(0.4)).argmin()) + 1


def _starts(length, side, n):
    """First cells of ``n`` regions spread evenly over a length, from end to end."""
    return [i * (length - side) // (n - 1) for i in range(n)] if n > 1 else [0]


def _cells(start, end, n):
    """(first cell, number of cells) that the part from ``start`` to ``end`` (0 to 1) of a side of ``n`` cells touches."""
    first = min(max(math.floor(start * n), 0), n - 1)
    last = min(max(math.ceil(end * n), first + 1), n)
    return first, last - first
