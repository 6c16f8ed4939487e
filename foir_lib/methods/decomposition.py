"""Decomposition of a picture into what is described one by one: crops around objects, a pyramid of patches, groups of patch tokens.

Source: crops: "Find your Needle: Small Object Image Retrieval", stage A; the pyramid: Patchify (arXiv 2512.12610); groups of tokens: a
class-agnostic hierarchy as in arXiv 2506.16745, here Ward's tree of neighbouring tokens.
"""

import math
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float
from sklearn.cluster import ward_tree
from sklearn.feature_extraction.image import grid_to_graph
from torchvision.ops import nms

COMPACT, LARGEST = 0.5, 0.25  # of a group: least share of its box, largest share of the picture
OVERLAP = 0.5  # IoU of boxes from which on the weaker group goes


class Groups(NamedTuple):
    """Groups of tokens, the best first: masks (k, rows, columns), scores (k,) from 0 to 1, mean features (k, d)."""

    masks: np.ndarray
    scores: np.ndarray
    vectors: np.ndarray


def window(box: tuple[float, float, float, float], size: tuple[int, int], least: int) -> tuple[int, int, int, int]:
    """The crop x0, y0, x1, y1 (pixels) around a ``box`` that touches a picture of ``size`` (width, height).

    Centred on what of the box lies in the picture, at least ``least`` pixels on each side; at the border it is shifted, and only
    where the picture itself is smaller is it smaller.
    """
    spans = []
    for low, high, length in ((box[0], box[2], size[0]), (box[1], box[3], size[1])):
        low, high = min(max(math.floor(low), 0), length - 1), max(min(math.ceil(high), length), 1)
        side = min(max(high - low, least), length)
        first = min(max((low + high - side) // 2, 0), length - side)
        spans.append((first, first + side))
    (x0, x1), (y0, y1) = spans
    return x0, y0, x1, y1


def pyramid(size: tuple[int, int], levels: int) -> Float[np.ndarray, "n 4"]:
    """Boxes of 1, 4, 9, ... equal patches of a picture of ``size`` (width, height), level by level."""
    boxes = [
        (column / n, row / n, (column + 1) / n, (row + 1) / n) for n in range(1, levels + 1) for row in range(n) for column in range(n)
    ]
    return np.array(boxes, np.float32) * np.array([*size, *size], np.float32)


def tiles(size: tuple[int, int], side: int, most: int = 4) -> tuple[list[tuple[int, int, int, int]], tuple[int, int]]:
    """Equal parts of a picture of ``size`` (width, height), each about ``side`` pixels: boxes row by row, and (rows, columns) of them.

    At most ``most`` along each side.
    """
    columns, rows = (min(max(round(length / side), 1), most) for length in size)
    xs, ys = (np.linspace(0, length, n + 1).round().astype(int).tolist() for length, n in zip(size, (columns, rows)))
    return [(x0, y0, x1, y1) for y0, y1 in zip(ys, ys[1:]) for x0, x1 in zip(xs, xs[1:])], (rows, columns)


def overlapping(size: tuple[int, int], side: int, overlap: int) -> list[tuple[int, int, int, int]]:
    """Windows of ``side`` pixels that cover a picture of ``size`` (width, height), row by row: boxes x0, y0, x1, y1.

    Neighbours share ``overlap`` pixels at least, so what is no larger lies in one of them whole; along a side that is shorter than
    a window there is one, as long as the side.
    """
    spans = []
    for length in size:
        n = max(math.ceil((length - overlap) / (side - overlap)), 1)
        first = np.linspace(0, max(length - side, 0), n).round().astype(int).tolist()
        spans.append([(low, min(low + side, length)) for low in first])
    return [(x0, y0, x1, y1) for y0, y1 in spans[1] for x0, x1 in spans[0]]


def groups(features: Float[np.ndarray, "rows columns d"], most: int = 25) -> Groups:
    """Compact groups of neighbouring tokens of any size, at most ``most``, whose boxes overlap little.

    Each is a node of Ward's tree of ``features`` with two tokens at least; its score is the share of the way to its merger that it
    stays as it is: 1 - (variance added by its own last merger) / (by the next one), as Ward's distances.
    """
    rows, columns, d = features.shape
    n, flat = rows * columns, features.reshape(rows * columns, d)
    if n < 3:
        return Groups(np.zeros((0, rows, columns), bool), np.zeros(0, np.float32), np.zeros((0, d), np.float32))
    children, _, _, parents, height = ward_tree(flat, connectivity=grid_to_graph(rows, columns), return_distance=True)
    at = np.stack(np.divmod(np.arange(n), columns), 1)
    low, high, size = (np.concatenate([x, np.zeros((n - 1, *x.shape[1:]), int)]) for x in (at, at + 1, np.ones(n, int)))
    for node, (a, b) in enumerate(children, start=n):
        low[node], high[node], size[node] = np.minimum(low[a], low[b]), np.maximum(high[a], high[b]), size[a] + size[b]
    nodes = np.arange(n, 2 * n - 2)  # the root is the picture
    above = height[parents[nodes] - n]
    score = 1 - np.divide(height[nodes - n], above, out=np.ones_like(above), where=above > 0)
    area = (high - low).prod(1)[nodes]
    keep = (size[nodes] >= COMPACT * area) & (size[nodes] <= max(LARGEST * n, 2)) & (score > 0)
    nodes, score = nodes[keep], score[keep]
    boxes = torch.from_numpy(np.concatenate([low[nodes], high[nodes]], 1)).float()
    best = nms(boxes, torch.from_numpy(score).float(), OVERLAP)[:most].numpy()
    masks = np.array([_members(children, node, n) for node in nodes[best]], bool).reshape(-1, n)
    vectors = masks.astype(features.dtype) @ flat / np.maximum(masks.sum(1, keepdims=True), 1)
    return Groups(masks.reshape(-1, rows, columns), score[best].astype(np.float32), vectors.astype(np.float32))


def box_of(mask: Bool[np.ndarray, "rows columns"], size: tuple[int, int]) -> tuple[float, float, float, float]:
    """The box, in pixels of a picture of ``size`` (width, height), around the tokens of a mask."""
    (down, across), (rows, columns) = np.nonzero(mask), mask.shape
    scale_x, scale_y = size[0] / columns, size[1] / rows
    return across.min() * scale_x, down.min() * scale_y, (across.max() + 1) * scale_x, (down.max() + 1) * scale_y


def _members(children, node, n):
    """Leaves below a node of a tree, bool (n,)."""
    inside, todo = np.zeros(n, bool), [node]
    while todo:
        one = todo.pop()
        if one < n:
            inside[one] = True
        else:
            todo += children[one - n].tolist()
    return inside
