"""Few-shot segmentation without training: prototypes of the query's patches, then of the database picture's own sure ones."""

from dataclasses import dataclass
from typing import ClassVar

from foir_lib.methods import correspondence, self_support
from foir_lib.registry import register
from foir_lib.retrievers.pixels import patches
from foir_lib.retrievers.pixels.dense import Soft


@register("localiser", "SelfSupport")
@dataclass(frozen=True)
class SelfSupport(Soft):
    """Each patch is foreground or background by the nearer prototype; ``rounds`` of self-support, see :func:`self_support.segmented`.

    ``side``, ``block``: as for Dense. Score: the mean probability of the patches above a half.
    """

    side: int = 448
    block: int | None = None
    rounds: int = 1
    needs: ClassVar = ("patches",)

    def soft(self, corpus, part, m, rows):
        query, share = patches.of_prompt(part, m, self.side, self.block)
        query, share = query.flatten(0, 1), share.flatten()
        stored = patches.patches(corpus.database, self.side, self.block)
        for row in rows:
            tokens = patches.read(stored, int(row))
            grid, size = tuple(tokens.shape[:2]), tuple(corpus.database.sizes[row].tolist())
            (probability,) = self_support.segmented(tokens.flatten(0, 1)[None], query, share, self.rounds)
            inside = probability[probability > 0.5]
            yield correspondence.enlarged(probability, grid, size), float(inside.mean()) if len(inside) else 0.0
