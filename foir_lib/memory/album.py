"""An album: a folder or set indexed once, thing by thing, so that a memory can be asked about all of its pictures."""

import os
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import astuple, dataclass, replace

import numpy as np
from PIL import Image

from foir_lib.data.checks import plain
from foir_lib.data.sets import RetrievalSet
from foir_lib.errors import FoirError
from foir_lib.memory.database.crops import content
from foir_lib.memory.denials import OVERLAP, deny, ious, settled, without
from foir_lib.memory.encoding import vectors_of
from foir_lib.memory.recogniser import KNOWN, UNSURE, Recogniser, Recognition, recogniser_of, seen
from foir_lib.memory.state import Thing
from foir_lib.prompts import Box, Mask
from foir_lib.retrievers.corpus import Corpus
from foir_lib.retrievers.decomposed.decomposing import TOKENS, decompose
from foir_lib.retrievers.parts import Prompted

SHOWN = 50  # regions that a question is answered with at most


@dataclass(frozen=True)
class Hit:
    """A region of an album's picture: its row among all regions, the picture's id, its box in pixels, and what it was recognised as."""

    row: int
    image_id: int | str
    box: Box
    recognition: Recognition


class Album:
    """A :class:`RetrievalSet` whose pictures were decomposed into regions, each encoded once by the memory's encoder and kept.

    ``objects``: what finds regions: "tokens", a detector's name or place, or "boxes" (annotated ones); None: what the set names, else
    "tokens". Everything is kept in the feature store: a second start reads it.
    """

    def __init__(self, retrieval_set: RetrievalSet, memory, objects: str | None = None, recogniser: Recogniser | None = None, cache=None, progress=True):
        self.set, self.memory = retrieval_set, memory
        self.recogniser = recogniser or recogniser_of(memory)
        corpus = Corpus(retrieval_set, self.recogniser.encoders[0].model, cache=cache, progress=progress)
        self.objects = decompose(corpus, objects or corpus.setting("objects", TOKENS))
        self.boxes = [Box(*box) for box in self.objects.boxes.tolist()]
        self.vectors = [self._encoded(encoder, cache, progress) for encoder in self.recogniser.encoders]
        self._answers, self._contents = (None, []), {}
        self._paths = dict(zip(map(plain, self.set.images["image_id"]), map(str, self.set.images["path"])))

    def __len__(self) -> int:
        return len(self.boxes)

    def __repr__(self) -> str:
        return f"Album ({self.set.name}: {len(self)} regions on {len(self.set.database)} pictures)"

    def _encoded(self, encoder, cache, progress):
        corpus = Corpus(self.set, encoder.model, cache=cache, progress=progress)
        name = f"regions, {self.objects.digest}"
        part = Prompted(corpus.database, name, self.boxes.__getitem__, np.arange(len(self)), self.objects.owner, corpus.database.data)
        if not len(self):
            return np.zeros((0, 1), np.float32)
        return vectors_of(encoder.retriever, part)

    def picture(self, image_id: int | str) -> Image.Image:
        """A picture of the album."""
        return self.set.open(image_id)

    def content(self, image_id: int | str) -> str | None:
        """What names a picture in the memory; None where it isn't there any more, or can't be read."""
        if image_id not in self._contents or not os.path.isfile(self._paths[image_id]):
            try:
                self._contents[image_id] = content(self.picture(image_id))
            except FoirError:
                return None
        return self._contents[image_id]

    def crop(self, hit: Hit) -> Image.Image:
        """What a region shows."""
        return seen(self.picture(hit.image_id), hit.box)

    def region(self, row: int) -> Box | Mask:
        """What the decomposition found: a mask on its picture where there is one, else the box."""
        return Mask(self.objects.pixels(row)) if self.objects.masked[row] else self.boxes[row]

    def hits(self) -> list[Hit]:
        """All regions by first answers as the memory recognises them now, no check asked; again when the memory has changed."""
        known = self.recogniser.known()
        if self._answers[0] is not known:
            answers = self.recogniser.answered(self.vectors, None, self.boxes, checked=False) if len(self) else []
            ids = self.set.database["image_id"].to_numpy()
            hits = [Hit(m, plain(ids[owner]), self.boxes[m], answers[m]) for m, owner in enumerate(self.objects.owner)]
            self._answers = known, hits
        return self._answers[1]

    def find(self, thing: Thing, unsure: bool = True) -> list[Hit]:
        """Where a thing is: the regions known as it, surest first, then (``unsure``) those that may be it; each once, at most SHOWN."""
        mine = [hit for hit in self.hits() if hit.recognition.candidates and hit.recognition.candidates[0].thing.id == thing.id]
        order = {KNOWN: 0, UNSURE: 1}
        kept = [hit for hit in mine if hit.recognition.verdict == KNOWN or (unsure and hit.recognition.verdict == UNSURE)]
        known = settled(self.memory)
        if known.speaks_of(thing.id):
            kept = [hit for hit in kept if thing.id not in known.denied(self.content(hit.image_id), astuple(hit.box))]
        kept.sort(key=lambda hit: (order[hit.recognition.verdict], -hit.recognition.confidence, -hit.recognition.candidates[0].score, hit.row))
        return _once(kept)[:SHOWN]

    def count(self, thing: Thing) -> tuple[int, int]:
        """How many regions are known as a thing, and how many more may be it."""
        found = self.find(thing)
        known = sum(hit.recognition.verdict == KNOWN for hit in found)
        return known, len(found) - known

    def quiz(self, n: int = 20) -> list[Hit]:
        """The ``n`` unsure regions whose answers teach most: the least sure of their things first, one of a thing in turn.

        Regions that people named, what was denied of one, and pictures that are gone are not asked again.
        """
        unsure = _once(sorted((h for h in self.hits() if h.recognition.verdict == UNSURE), key=lambda h: abs(h.recognition.confidence - 0.5)))
        turns, times = [], {}
        for hit in unsure:
            id = hit.recognition.candidates[0].thing.id
            times[id] = times.get(id, 0) + 1
            turns.append((times[id], len(turns), hit))
        asked = self._open(hit for _, _, hit in sorted(turns, key=lambda turn: turn[:2]))
        return [hit for hit, _ in zip(asked, range(n))]

    def _open(self, hits) -> Iterator[Hit]:
        """Those hits whose picture is there and of which something is left to ask, with the candidates that weren't denied."""
        known = settled(self.memory)
        for hit in hits:
            picture, box = self.content(hit.image_id), astuple(hit.box)
            if picture and not known.said(picture, box):
                left = without(hit.recognition, known.denied(picture, box))
                if left.verdict == UNSURE:
                    yield replace(hit, recognition=left)

    def confirm(self, hit: Hit, name: str, who: str = "human", sure: float = 1.0) -> Thing:
        """Adds the region as a view, a human's or the machine's, of the thing called ``name``."""
        path = self._paths[hit.image_id]
        return self.memory.add(name, self.picture(hit.image_id), self.region(hit.row), who=who, sure=sure, path=path)

    def deny(self, hit: Hit, thing: Thing) -> None:
        """Notes that the region isn't that thing."""
        deny(self.memory, self.picture(hit.image_id), self.region(hit.row), thing)


def _once(hits):
    """Hits without those that overlap an earlier one on the same picture."""
    kept, of = [], defaultdict(list)
    for hit in hits:
        box = astuple(hit.box)
        if not (ious(box, of[hit.image_id]) >= OVERLAP).any():
            of[hit.image_id].append(box)
            kept.append(hit)
    return kept
