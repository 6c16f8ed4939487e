"""Any retriever's map as a localiser: where it looks, or what it says the result looks like."""

from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import cv2
import numpy as np
import torch

from foir_lib import registry
from foir_lib.detections import Localisation
from foir_lib.errors import InputError
from foir_lib.methods.pixels import correspondence
from foir_lib.registry import register
from foir_lib.retrievers.base import Localiser, Retriever
from foir_lib.store.arrays import Rows


@register("localiser", "Map")
@dataclass(frozen=True)
class Map(Localiser):
    """The map by which the retriever ``of`` explains a result, enlarged; the thing is where it is above ``level`` of its range.

    ``parts``: "all" of what is above, or the one that holds the "highest" value. A flat map shows nothing. Score: the retriever's own of
    the picture.
    """

    of: str = "PHS"
    level: float = 0.5
    parts: Literal["all", "highest"] = "all"

    def __post_init__(self):
        super().__post_init__()
        if not self.level < 1:
            raise InputError(f"level={self.level!r} must be below 1: a share of the map's range.")
        if type(self.retriever).explain is Retriever.explain:
            raise InputError(f"of={self.of!r} explains no result by a map: choose one that does, such as PHS, CA or MaO.")

    @cached_property
    def retriever(self) -> Retriever:
        """The retriever whose map it is."""
        return registry.parse("retriever", self.of)

    def lacks(self, corpus):
        return self.retriever.lacks(corpus)

    def offered(self, corpus):
        return self.retriever.offered(corpus)

    def inner(self, corpus):
        return (self.retriever,)

    def locate(self, corpus, part, m, rows):
        rows = np.asarray(rows)
        maps = self.retriever.explain(corpus, part, m, rows)
        if maps is None:
            raise InputError(f"{self.of} explains no result by a map on {corpus.model.name}: choose another retriever or model.")
        return [
            Localisation.of(self.above(heat, tuple(corpus.database.sizes[row].tolist())), score)
            for row, heat, score in zip(rows, maps, self.scores(corpus, part, m, rows))
        ]

    def scores(self, corpus, part, m: int, rows: np.ndarray) -> np.ndarray:
        """The retriever's scores of the database pictures ``rows`` for prompt ``m``."""
        query = Rows(corpus.described(self.retriever, part), np.array([m]))
        scores, ids = self.retriever.score(corpus, query, corpus.described(self.retriever, corpus.database), len(corpus.database))
        by_row = np.zeros(len(corpus.database), np.float32)
        by_row[ids[0]] = scores[0]
        return by_row[rows]

    def above(self, heat: np.ndarray, size: tuple[int, int]) -> np.ndarray:
        """Pixels (height, width) of a picture of ``size`` where its map (rows, columns) is high."""
        heat = torch.as_tensor(np.asarray(heat, np.float32))
        large = correspondence.enlarged(heat.flatten()[None], tuple(heat.shape), size)[0].numpy()
        low, high = float(large.min()), float(large.max())
        if not high - low > 1e-6 * max(abs(high), 1e-12):
            return np.zeros(size[::-1], bool)
        mask = large > low + self.level * (high - low)
        if self.parts == "highest":
            _, labels = cv2.connectedComponents(mask.astype(np.uint8), connectivity=8)
            mask = labels == labels[np.unravel_index(large.argmax(), large.shape)]
        return mask
