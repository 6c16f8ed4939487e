"""Detection with an image as the query: OWLv2's class embedding of the query's token against those of a picture's tokens."""

from dataclasses import dataclass

import numpy as np
import torch
from torchvision.ops import box_iou, clip_boxes_to_image, remove_small_boxes

from foir_lib.detections import Localisation
from foir_lib.models.detectors import Owl, Tokens
from foir_lib.registry import register
from foir_lib.retrievers.base import Localiser
from foir_lib.retrievers.decomposed import choosing
from foir_lib.retrievers.decomposed.decomposing import detector_of
from foir_lib.retrievers.parts import once


@register("localiser", "OWL")
@dataclass(frozen=True)
class OWL(Localiser):
    """The box of the token whose class embedding is most like the query's (Minderer et al., NeurIPS 2023).

    The query's token is the one whose box has the best IoU with the prompt's; transformers' own takes the one of highest objectness,
    whatever was asked. ``detector``: "owlv2", "mini-owl", a folder or a name of the hub. Score: the probability of the class; boxes
    below ``threshold`` don't count.
    """

    detector: str = "owlv2"
    threshold: float = 0.0

    def __post_init__(self):
        super().__post_init__()
        choosing.check_detector(self.detector)

    def lacks(self, corpus):
        if problem := choosing.lacking(corpus, self.detector):
            return problem
        own = self.detector in (choosing.ANNOTATED, choosing.TOKENS)
        return "" if not own and isinstance(detector_of(corpus, self.detector), Owl) else f"{self.detector} is no OWLv2, which compares classes"

    def offered(self, corpus):
        return choosing.at_hand(corpus, self.detector) and not self.lacks(corpus)

    def inner(self, corpus):
        return (detector_of(corpus, self.detector),)

    def locate(self, corpus, part, m, rows):
        owl, answers = detector_of(corpus, self.detector), []
        query, stored = self.query(part, m), tokens(corpus.database, owl)
        for row in rows:
            one, (width, height) = read(stored, int(row)), corpus.database.sizes[row].tolist()
            boxes = clip_boxes_to_image(one.boxes, (height, width))
            scores = one.logits(query).sigmoid()
            on = remove_small_boxes(boxes, 1e-3)
            if not len(on) or float(scores[on].max()) <= self.threshold:
                answers.append(Localisation.nothing(float(scores[on].max()) if len(on) else 0.0))
                continue
            best = on[scores[on].argmax()]
            answers.append(Localisation(None, boxes[best].numpy(), float(scores[best])))
        return answers

    def query(self, part, m: int) -> torch.Tensor:
        """The class embedding (d,) of the token whose box fits prompt ``m`` best."""
        one = read(tokens(part.pictures, detector_of(part.corpus, self.detector)), int(part.image_row[m]))
        box = part.box(m)
        return one.embeddings[box_iou(torch.tensor([[box.x0, box.y0, box.x1, box.y1]]), one.boxes)[0].argmax()]


@once
def tokens(part, owl: Owl):
    """The arrays of :class:`Tokens` of each picture of a part, embeddings as float16."""

    def describe(m):
        one = owl.tokens(part.open(m))
        return one._replace(embeddings=one.embeddings.half())._asdict()

    return part.each(f"class embeddings: {owl.key}", describe, type(owl))


def read(features, row: int) -> Tokens:
    """The tokens of a picture."""
    return Tokens(*(torch.from_numpy(np.asarray(features.read(name, [row])[0], np.float32)) for name in Tokens._fields))
