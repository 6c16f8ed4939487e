"""Patch tokens of pictures, stored as float16: what dense matching compares. 2 d bytes a patch: at 448 px and d = 384 0.8 MB a picture of 14 px patches."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from foir_lib.errors import FoirError, InputError
from foir_lib.models.zoo import SHIPPED, load_model
from foir_lib.prompts import patch_shares
from foir_lib.retrievers.base import Localiser
from foir_lib.retrievers.parts import once

DEFAULT = "dinov2-small"  # where neither the corpus's network nor the set's setting names one


@dataclass(frozen=True)
class Patches(Localiser):
    """Localisers on patch tokens. ``side``: pixels of the square whose area pictures are given; ``block``: see :meth:`ViT.patches`.

    ``model``: whose patches; None: the corpus's own network where it has some, else the one that the set's settings name, else DINOv2-S.
    ``fused``: blocks, of this or of other networks, whose tokens stand beside those of ``block``, e.g. "9, deit-tiny:8, deit-tiny:9": their
    cosines are averaged. A network is a name of `load_model`, with a file of weights behind "=".
    """

    side: int = 448
    block: int | None = None
    model: str | None = None
    fused: str = ""

    def __post_init__(self):
        super().__post_init__()
        self.others("")

    def others(self, model: str) -> list[tuple[str, int]]:
        """The networks and blocks of ``fused``; ``model``: the network of those that name none. Raises InputError for another form."""
        pairs = []
        for text in filter(None, map(str.strip, self.fused.split(","))):
            name, _, block = text.rpartition(":")
            if not block.isdigit():
                raise InputError(f"fused={self.fused!r} names no block in {text!r}: write blocks as 9, or of other networks as deit-tiny:9.")
            pairs.append((name or model, int(block)))
        return pairs

    def model_of(self, corpus) -> str:
        """The name of the network, "" for the corpus's own."""
        return self.model or ("" if hasattr(corpus.model, "patches") else corpus.setting("patches", DEFAULT))

    def lacks(self, corpus):
        try:
            lacking = [net.name for net in self.inner(corpus) if not hasattr(net, "patches")]
            return f"{lacking[0]} has no patch tokens: name a ViT" if lacking else ""
        except FoirError as error:
            return str(error).rstrip(".")

    def offered(self, corpus):
        names = {self.model_of(corpus), *(name for name, _ in self.others(""))}
        return names <= {"", *SHIPPED} and not self.lacks(corpus)

    def inner(self, corpus):
        first = self.model_of(corpus)
        return tuple(network(corpus, name) for name in dict.fromkeys([first, *(name for name, _ in self.others(first))]))

    def of_prompt(self, part, m: int) -> tuple[Tensor, Tensor]:
        """Patch tokens (rows, columns, d) of the picture of prompt ``m``, and the share of the prompt in each patch (rows, columns)."""
        tokens = self.tokens(part.pictures, int(part.image_row[m]))
        return tokens, shares(part, m, tokens)

    def pairs(self, corpus, part, m: int, rows) -> Iterator[tuple]:
        """For each of the database pictures ``rows``: its tokens (N, d), the query's (M, d), the query's shares (M,), and the picture's grid and size."""
        query, share = self.of_prompt(part, m)
        for row in rows:
            tokens = self.tokens(corpus.database, int(row))
            yield tokens.flatten(0, 1), query.flatten(0, 1), share.flatten(), tuple(tokens.shape[:2]), corpus.database.size(row)

    def stored(self, part):
        """Features of the pictures of a part, those of ``block``; see :func:`patches`."""
        return patches(part, self.side, self.block, self.model_of(part.corpus))

    def tokens(self, part, row: int) -> Tensor:
        """Patch tokens (rows, columns, d) float32 of a picture of a part, those of ``fused`` beside them on the same grid."""
        first = self.model_of(part.corpus)
        one = read(self.stored(part), row)
        others = [read(patches(part, self.side, block, name), row) for name, block in self.others(first)]
        return torch.cat([one, *(on_grid(other, tuple(one.shape[:2])) for other in others)], -1)


def on_grid(tokens: Tensor, grid: tuple[int, int]) -> Tensor:
    """Tokens (rows, columns, d) on another ``grid``: bilinear."""
    if tuple(tokens.shape[:2]) == grid:
        return tokens
    return F.interpolate(tokens.permute(2, 0, 1)[None], size=grid, mode="bilinear", align_corners=False)[0].permute(1, 2, 0)


def shares(part, m: int, tokens: Tensor) -> Tensor:
    """The share of prompt ``m`` in the patch of each of the ``tokens`` (rows, columns, d) of its picture, (rows, columns)."""
    return torch.from_numpy(np.asarray(patch_shares(part.pixels(m), tuple(tokens.shape[:2])), np.float32))


def network(corpus, name: str):
    """The network of that name, "" for the corpus's own; loaded once. Raises as :func:`load_model` does."""
    named, _, weights = name.partition("=")
    return corpus.learned(("network", name), lambda: load_model(named, weights=weights or None, device=corpus.model.device)) if name else corpus.model


@once
def patches(part, side: int, block: int | None, name: str = ""):
    """"patches" (n, d) float16, row by row and zero-padded, and "grid" (2,), their rows and columns, of each picture of a part.

    Pictures keep their aspect and have the area of a square of ``side`` pixels; ``name``: of :func:`network`.
    """
    model = network(part.corpus, name)
    n = (side // model.patch[0]) * (side // model.patch[1])

    def describe(m):
        tokens = model.patches(model.resized(part.open(m), side)[None], block)[0]
        grid = torch.tensor(tokens.shape[:2], dtype=torch.int32)
        tokens = tokens.flatten(0, 1).half()
        return {"patches": F.pad(tokens, (0, 0, 0, n - len(tokens))), "grid": grid}

    return part.each(f"patches: {side} px, block {block}" + (f", {model.key}" if name else ""), describe, type(model))


def read(features, row: int) -> Tensor:
    """The patch tokens (rows, columns, d) float32 of a picture."""
    rows, columns = features.read("grid", [row])[0].tolist()
    tokens = torch.from_numpy(features.read("patches", [row])[0, : rows * columns])
    return tokens.float().unflatten(0, (rows, columns))
