"""Patch tokens of pictures, stored as float16: what dense matching compares. 2 d bytes a patch: at 448 px and d = 384 0.8 MB a picture of 14 px patches."""

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from foir_lib.prompts import patch_shares
from foir_lib.retrievers.parts import once


@once
def patches(part, side: int, block: int | None):
    """"patches" (n, d) float16, row by row and zero-padded, and "grid" (2,), their rows and columns, of each picture of a part.

    Pictures keep their aspect and have the area of a square of ``side`` pixels; ``block``: of :meth:`ViT.patches`.
    """
    model = part.corpus.model
    n = _most(model, side)

    def describe(m):
        tokens = model.patches(model.resized(part.open(m), side)[None], block)[0]
        grid = torch.tensor(tokens.shape[:2], dtype=torch.int32)
        tokens = tokens.flatten(0, 1).half()
        return {"patches": F.pad(tokens, (0, 0, 0, n - len(tokens))), "grid": grid}

    return part.each(f"patches: {side} px, block {block}", describe)


def read(features, row: int) -> Tensor:
    """The patch tokens (rows, columns, d) float32 of a picture."""
    rows, columns = features.read("grid", [row])[0].tolist()
    tokens = torch.from_numpy(features.read("patches", [row])[0, : rows * columns])
    return tokens.float().unflatten(0, (rows, columns))


def of_prompt(part, m: int, side: int, block: int | None) -> tuple[Tensor, Tensor]:
    """Patch tokens (rows, columns, d) of the picture of prompt ``m``, and the share of the prompt in each patch (rows, columns)."""
    tokens = read(patches(part.pictures, side, block), int(part.image_row[m]))
    size = part.size(m)
    pixels = part.prompt(m).pixels(size, part.corpus.model.grid_of(size))
    return tokens, torch.from_numpy(np.asarray(patch_shares(pixels, tuple(tokens.shape[:2])), dtype=np.float32))


def _most(model, side):
    """Patches that a picture of any aspect has at most."""
    down, across = model.patch
    return (side // down) * (side // across)
