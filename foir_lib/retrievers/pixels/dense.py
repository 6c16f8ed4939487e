"""Localisers on a ViT's patches: labels of the query's are carried to those of a database picture, or prototypes are compared with them."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from foir_lib.detections import Localisation
from foir_lib.images import rgb
from foir_lib.methods.pixels import correspondence, self_support
from foir_lib.registry import register
from foir_lib.retrievers.base import Localiser
from foir_lib.retrievers.pixels.patches import Patches


@dataclass(frozen=True)
class Soft(Localiser):
    """Localisers that know a probability of each pixel; the mask is where it is above a half."""

    def soft(self, corpus, part, m: int, rows) -> Iterator[tuple[Tensor, float]]:
        """The map (height, width), 0 to 1, and the score of each of the database pictures ``rows``."""
        raise NotImplementedError

    def locate(self, corpus, part, m, rows):
        return [Localisation.of((probability > 0.5).cpu().numpy(), score) for probability, score in self.soft(corpus, part, m, rows)]


@register("localiser", "Dense")
@dataclass(frozen=True)
class Dense(Patches, Soft):
    """The ``k`` nearest patches of the query carry their labels to each patch, by softmax(cos / ``temperature``).

    ``side``, ``block``, ``model``: see :class:`Patches`. ``cycle``: patches whose nearest query patch leads back further away than this many patches carry none. ``sharpen``: edges are drawn to the picture's.
    Score: how well the query's patches are met where it is found, the mean of their cosines.
    """

    k: int = 5
    temperature: float = 0.07
    cycle: int | None = None
    sharpen: bool = False

    def soft(self, corpus, part, m, rows):
        for row, (tokens, query, labels, grid, size) in zip(rows, self.pairs(corpus, part, m, rows)):
            cosines = correspondence.similarity(tokens, query)
            carried = correspondence.carried(cosines, labels[:, None], self.k, self.temperature)[:, 0]
            if self.cycle is not None:
                carried = carried * (correspondence.cycle_distance(cosines, grid) <= self.cycle)
            probability = correspondence.enlarged(carried, grid, size)
            if self.sharpen:
                picture = torch.from_numpy(np.array(rgb(corpus.database.open(int(row))))).permute(2, 0, 1) / 255
                probability = correspondence.sharpened(probability[None], picture[None])[0]
            yield probability, met(cosines, labels, carried > 0.5)


@register("localiser", "SelfSupport")
@dataclass(frozen=True)
class SelfSupport(Patches, Soft):
    """Each patch is foreground or background by the nearer prototype; ``rounds`` of self-support, see :func:`self_support.segmented`.

    ``side``, ``block``, ``model``: see :class:`Patches`. Score: the mean probability of the patches above a half.
    """

    rounds: int = 1

    def soft(self, corpus, part, m, rows):
        for tokens, query, share, grid, size in self.pairs(corpus, part, m, rows):
            (probability,) = self_support.segmented(tokens[None], query, share, self.rounds)
            inside = probability[probability > 0.5]
            yield correspondence.enlarged(probability, grid, size), float(inside.mean()) if len(inside) else 0.0


def met(cosines: Tensor, labels: Tensor, inside: Tensor) -> float:
    """Mean over the query's patches, by their share in the prompt ``labels`` (M,), of their best cosine (N, M) ``inside`` (N,); 0 without any."""
    if not bool(inside.any()) or not bool((labels > 0).any()):
        return 0.0
    best = cosines[inside].amax(0)
    return float((best * labels).sum() / labels.sum())
