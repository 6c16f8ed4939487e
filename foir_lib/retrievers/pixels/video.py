"""SAM 2 as a pixel retriever: the query's picture with its mask is the first frame of a video, a database picture the second."""

from dataclasses import dataclass

from foir_lib.methods.pixels import correspondence
from foir_lib.registry import register
from foir_lib.retrievers.pixels import opening
from foir_lib.retrievers.pixels.dense import Soft


@register("localiser", "SAM2")
@dataclass(frozen=True)
class SAM2(opening.Opened, Soft):
    """SAM 2 tracks the query's mask into the database picture (Ravi et al., ICLR 2025); score: the logit that the thing is there.

    Where it is not, by that logit, nothing is shown. ``weights``: a folder, or a name of the hub.
    """

    weights: str | None = None

    def _network(self, corpus):
        def load():
            from foir_lib.models.matchers import sam2  # takes seconds

            offer = "'facebook/sam2.1-hiera-tiny' (the hub's, 156 MB, Apache-2.0)"
            return sam2.load(opening.place(self.weights, "SAM 2", offer), corpus.model.device)

        return ("sam2", self.weights), load

    def soft(self, corpus, part, m, rows):
        net = self.network(corpus)
        query, mask = net.prepared(part.open(m)), part.pixels(m)
        for row in rows:
            tracked = net.track(query, mask, net.prepared(corpus.database.open(int(row))))
            shape = tuple(tracked.logits.shape)
            probability = correspondence.enlarged(tracked.logits.flatten()[None], shape, tuple(corpus.database.sizes[row].tolist()))[0].sigmoid()
            yield probability * (tracked.score > 0), tracked.score
