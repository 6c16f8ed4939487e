"""Few-shot segmentation without training: prototypes of the query's patches, then of the database picture's own sure ones."""

from dataclasses import dataclass

from foir_lib.methods.pixels import correspondence, self_support
from foir_lib.registry import register
from foir_lib.retrievers.pixels.dense import Soft
from foir_lib.retrievers.pixels.patches import Patches


@register("localiser", "SelfSupport")
@dataclass(frozen=True)
class SelfSupport(Patches, Soft):
    """Each patch is foreground or background by the nearer prototype; ``rounds`` of self-support, see :func:`self_support.segmented`.

    ``side``, ``block``, ``model``: see :class:`Patches`. Score: the mean probability of the patches above a half.
    """

    rounds: int = 1

    def soft(self, corpus, part, m, rows):
        query, share = self.of_prompt(part, m)
        query, share = query.flatten(0, 1), share.flatten()
        for row in rows:
            tokens = self.tokens(corpus.database, int(row))
            grid, size = tuple(tokens.shape[:2]), tuple(corpus.database.sizes[row].tolist())
            (probability,) = self_support.segmented(tokens.flatten(0, 1)[None], query, share, self.rounds)
            inside = probability[probability > 0.5]
            yield correspondence.enlarged(probability, grid, size), float(inside.mean()) if len(inside) else 0.0
