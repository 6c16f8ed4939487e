"""What was denied of a region ("that isn't the mug"): an event that changes no thing, and keeps the same question from being asked again."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import replace

import numpy as np
import sqlalchemy as sa
import torch
from PIL import Image
from torchvision.ops import box_iou

from foir_lib.memory.database import crops, tables
from foir_lib.memory.database.events import DENIED, Draft
from foir_lib.memory.recogniser import KNOWN, NEW, UNSURE, Recognition, question
from foir_lib.memory.state import Event, Thing
from foir_lib.prompts import Prompt

OVERLAP = 0.5  # IoU from which two regions of a picture are the same thing seen twice


def deny(memory, picture: Image.Image, region: Prompt | None, thing: Thing, who: str = "human") -> Event:
    """Notes that ``region`` (None: all) of a picture doesn't show ``thing``; undo takes it back."""
    said = {"picture": crops.content(picture), "box": place(memory, picture, region), "thing": thing.id}
    return memory.journal.write(lambda _: [Draft(DENIED, [], who, said=said)])[0]


def place(memory, picture: Image.Image, region: Prompt | None) -> list[float]:
    """The box x0, y0, x1, y1 in pixels of what is meant; of no region the whole picture."""
    box, _ = crops.placed(region, picture.size, getattr(getattr(memory.encoder, "model", None), "grid", None))
    return list(box or (0, 0, *picture.size))


class Settled:
    """What people said of regions: ``denied`` things, and the one that a region was said to be, as the memory stands now."""

    def __init__(self, memory):
        self.memory, (self.seq, self._denied) = memory, _read(memory.journal)
        self.denials = sum(map(len, self._denied.values()))
        self.state = memory.journal.current()
        self._said = defaultdict(list)
        for thing in memory.things():
            for view in thing.views:
                if view.who == "human":
                    self._said[view.picture].append((view.box or (0, 0, *view.size), thing.id))

    def denied(self, picture: str | None, box: Iterable[float]) -> set[str]:
        """Ids of the things that a region (of the picture of this content) was denied to be."""
        places, ids = zip(*self._denied.get(picture, ())) if picture in self._denied else ((), ())
        ids = {id for id, near in zip(ids, ious(box, places) >= OVERLAP) if near and id in self.state.rows["thing"]}
        return {self.state.root(id) for id in ids} - ({said} if (said := self.said(picture, box)) else set())

    def speaks_of(self, thing: str) -> bool:
        """Whether any region was denied to be this thing."""
        rows = self.state.rows["thing"]
        return any(id in rows and self.state.root(id) == thing for places in self._denied.values() for _, id in places)

    def said(self, picture: str | None, box: Iterable[float]) -> str | None:
        """The thing that a region was said to be by a human, its id."""
        places, ids = zip(*self._said[picture]) if picture in self._said else ((), ())
        near = ious(box, places)
        return max(zip(near, ids))[1] if (near >= OVERLAP).any() else None


def without(seen: Recognition, denied: set[str]) -> Recognition:
    """A recognition without things that were denied: the next candidate is unsure, where there is one."""
    left = tuple(one for one in seen.candidates if one.thing.id not in denied)
    if len(left) == len(seen.candidates):
        return seen
    if seen.candidates[0].thing.id not in denied and seen.verdict == KNOWN:
        return replace(seen, candidates=left)
    verdict = UNSURE if left and seen.verdict != NEW else NEW
    sure = seen.confidence if seen.candidates[0].thing.id not in denied else 0.0
    return replace(seen, candidates=left, verdict=verdict, confidence=sure, question=question(verdict, left))


def ious(box: Iterable[float], others: Sequence[Iterable[float]]) -> np.ndarray:
    """(n,) intersection over union of a box x0, y0, x1, y1 with each of n others; 0 where neither has an area."""
    one, many = (torch.tensor([tuple(b) for b in boxes], dtype=torch.float64).reshape(-1, 4) for boxes in ([box], others))
    return box_iou(one, many)[0].nan_to_num(0.0).numpy()


def _read(journal):
    """The last event's number, and (box, thing) of each denial that isn't undone, by picture."""
    query = sa.select(tables.events.c.body).where(tables.events.c.kind == DENIED, tables.events.c.id.not_in(sa.select(tables.undone.c.event)))
    found = defaultdict(list)
    with tables.told(journal.name), journal.engine.connect() as connection:
        for body in connection.scalars(query):
            box = body.get("box")
            if isinstance(box, list) and len(box) == 4 and all(isinstance(x, (int, float)) for x in box):
                found[str(body.get("picture"))].append((box, str(body.get("thing"))))
        return connection.scalar(sa.select(sa.func.max(tables.events.c.seq))) or 0, found


def settled(memory) -> Settled:
    """What is settled in a memory now; read again when something was said."""
    memory.journal.current()
    known = getattr(memory, "settled", None)
    if known is None or known.seq != memory.journal.seq or known.state is not memory.journal.state:
        memory.settled = known = Settled(memory)
    return known
