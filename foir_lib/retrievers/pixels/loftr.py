"""Matches without keypoints: EfficientLoFTR. It sees both pictures at once, so that nothing of one alone is stored."""

from dataclasses import dataclass

from foir_lib.registry import register
from foir_lib.retrievers.pixels import opening
from foir_lib.retrievers.pixels.matching import Matching, on_prompt


@register("localiser", "LoFTR")
@dataclass(frozen=True)
class LoFTR(opening.Opened, Matching):
    """EfficientLoFTR's matches that begin inside the prompt, in one motion (Wang et al., CVPR 2024).

    ``score``: a match is surer than this; ``weights``: a folder, or a name of the hub.
    """

    score: float = 0.2
    weights: str | None = None

    def _network(self, corpus):
        def load():
            from foir_lib.models.matchers import loftr  # takes seconds

            offer = "'zju-community/efficientloftr' (the hub's, 64 MB, Apache-2.0)"
            return loftr.load(opening.place(self.weights, "EfficientLoFTR", offer), corpus.model.device)

        return ("loftr", self.weights), load

    def matches(self, corpus, part, m, rows):
        net, picture = self.network(corpus), part.open(m)
        for row in rows:
            source, target, scores = net.match(picture, corpus.database.open(int(row)))
            source, target = source[scores > self.score], target[scores > self.score]
            inside = on_prompt(part, m, source)
            yield source[inside], target[inside]
