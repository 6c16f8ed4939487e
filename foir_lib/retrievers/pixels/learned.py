"""Learned keypoints, of ALIKED, DISK or XFeat, matched by LightGlue or by their nearest neighbours."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch

from foir_lib.models.matchers import keypoints as learned
from foir_lib.registry import register
from foir_lib.retrievers.parts import once
from foir_lib.retrievers.pixels import opening
from foir_lib.retrievers.pixels.matching import Matching, on_prompt
from foir_lib.search.rerank import spatial


@register("localiser", "LightGlue")
@dataclass(frozen=True)
class LightGlue(Matching):
    """Learned keypoints, matched by the LightGlue that was trained for them (Lindenberger et al., ICCV 2023), in one motion.

    ``matcher``: "mutual" asks no second network: nearest neighbours of each other. ``n_features`` keypoints a picture, ``longest``
    pixels of its longer side; ``score``: a match is surer than this, LightGlue's probability or a cosine. ``context``: the rest of the query's picture takes part in the
    matching too. ``weights``: a folder of files named as in :data:`models.matchers.keypoints.FILES`, or two paths with a
    comma between them; None: the folder ``weights`` of the user's data.
    """

    features: learned.FEATURES = "aliked"
    matcher: Literal["lightglue", "mutual"] = "lightglue"
    n_features: int = 1000
    longest: int = 1024
    score: float = 0.1
    context: bool = False
    weights: str | None = None

    def lacks(self, corpus):
        loads = [self._extractor] + [self._glue] * (self.matcher == "lightglue")
        return next(filter(None, (opening.problem(corpus, *load(corpus)) for load in loads)), "")

    def inner(self, corpus):
        return self.extractor(corpus), *([self.glue(corpus)] if self.matcher == "lightglue" else [])

    def extractor(self, corpus) -> learned.Extractor:
        """The network of keypoints."""
        return opening.opened(corpus, *self._extractor(corpus))

    def glue(self, corpus) -> learned.Glue:
        """The network that matches."""
        return opening.opened(corpus, *self._glue(corpus))

    def _extractor(self, corpus):
        path, _ = learned.paths(self.features, opening.folder(self.weights))
        return (self.features, str(path)), lambda: learned.load_extractor(self.features, path, corpus.model.device)

    def _glue(self, corpus):
        _, path = learned.paths(self.features, opening.folder(self.weights))
        return ("LightGlue", self.features, str(path)), lambda: learned.load_glue(self.features, path, corpus.model.device)

    def matches(self, corpus, part, m, rows):
        net, options = self.extractor(corpus), (self.n_features, self.longest)
        database, size = keypoints(corpus.database, net, *options), tuple(part.sizes[m].tolist())
        query = read(keypoints(part.pictures, net, *options), int(part.image_row[m]))
        inside = on_prompt(part, m, query.points)
        if not self.context:
            query, inside = learned.Points(query.points[inside], query.descriptors[inside]), np.arange(len(inside))
        for row in rows:
            other = read(database, int(row))
            if self.matcher == "mutual":
                pairs = learned.mutual(query, other, self.score)
            else:
                pairs = self.glue(corpus).match(query, other, size, tuple(corpus.database.sizes[row].tolist()), self.score)
            pairs = pairs[np.isin(pairs[:, 0], inside)]
            yield query.points[pairs[:, 0]], other.points[pairs[:, 1]]


@once
def keypoints(part, net: learned.Extractor, n: int, longest: int):
    """"points" (n, 2) float32 and "descriptors" (n, d) float16, zero-padded, and "count", of each picture of a part."""

    def describe(m):
        detected = net.detect(part.open(m), n, longest)
        more = n - len(detected.points)
        arrays = {"points": detected.points, "descriptors": detected.descriptors.astype(np.float16).reshape(-1, net.dim)}
        padded = {name: torch.from_numpy(np.pad(array, ((0, more), (0, 0)))) for name, array in arrays.items()}
        return padded | {"count": torch.tensor(len(detected.points), dtype=torch.int32)}

    return part.each(f"keypoints: {net.key}, {n}, {longest} px", describe, type(net))


def read(features, row: int) -> learned.Points:
    """The keypoints of a picture."""
    stored = spatial.stored(features)(row)
    return learned.Points(stored.points, stored.descriptors.astype(np.float32))
