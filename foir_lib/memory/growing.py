"""Growth without anybody: what an album shows of known things becomes machine views of the memory, as far as its gate lets them in."""

from collections import defaultdict
from dataclasses import astuple, dataclass

import numpy as np
from PIL import Image
from tqdm.auto import tqdm

from foir_lib.errors import FoirError, InputError, count
from foir_lib.memory.album import Album, Hit
from foir_lib.memory.denials import OVERLAP, ious, settled
from foir_lib.memory.gate import Agreement, Gate, Grown

LIMIT, PARTS = 8, 4  # views of a thing; parts of an album after which harm is looked for
LOST = Image.new("RGB", (8, 8))  # what a view shows whose crop and picture are gone: nothing that matches


@dataclass(frozen=True)
class Growth:
    """What became of a memory: ``added`` (hit, name) machine views, ``dropped``: how many were there before and gave way; ``harmed``: whether
    machine views agreed less with the humans' than these do, so that all of them were taken back; ``agreement``: that ratio and its 95 % interval."""

    added: tuple[tuple[Hit, str], ...]
    dropped: int
    harmed: bool
    agreement: tuple[float, float, float]

    def __str__(self) -> str:
        if self.harmed:
            ratio, low, high = self.agreement
            return f"Taken back, {self.dropped} machine views: they match people's views {ratio:.2f} times as well as those each other [{low:.2f}, {high:.2f}]."
        gone = f", {self.dropped} that said less are gone" if self.dropped else ""
        return f"{len(self.added)} machine views more{gone}; undo takes them back."


def grow(album: Album, limit: int = LIMIT, parts: int = PARTS, progress: bool = True) -> Growth:
    """Adds machine views of things that an ``album`` shows to its memory: see :mod:`foir_lib.bench.memory.growth` for what lets one in and what ends it.

    A thing keeps at most ``limit`` views, people's always. Regions that people named or denied stay as they are said. Raises InputError for a
    memory in which nobody has shown anything.
    """
    memory, known = album.memory, album.recogniser.known()
    n, human = len(known.views), np.array([view.who == "human" for view in known.views], bool)
    if not human.any():
        raise InputError("The memory can't grow by itself before somebody has shown it a thing: add a view first.")
    limit, hits, said = count(limit, "limit"), _open(album), settled(memory)

    def crop(row):
        return (memory.picture_of(known.views[row]) if row < n else album.crop(hits[row - n])) or LOST

    def denied(row):
        return said.denied(pictures[row], astuple(hits[row - n].box))

    vectors = np.concatenate([known.vectors, album.vectors[0][[hit.row for hit in hits]]]) if hits else known.vectors
    pictures = np.array([view.picture for view in known.views] + [album.content(hit.image_id) for hit in hits])
    rows = np.arange(n)
    gate = Gate(Grown(rows[human], known.owners[human], human[human]), vectors, pictures, Agreement(crop))
    grown, harmed = Grown(rows, known.owners, human), False
    for part in tqdm(np.array_split(np.arange(n, n + len(hits)), count(parts, "parts")), desc="growing", disable=not progress):
        for row in part.tolist():
            if (thing := gate.lets_in(row, grown)) >= 0 and known.things[thing].id not in denied(row):
                grown = grown.with_view(row, thing, vectors, limit)
        if harmed := gate.harmed(grown):
            break
    agreement = gate.agrees(grown)
    kept = set() if harmed else set(grown.rows.tolist())
    gone = [known.views[row] for row in rows[~human].tolist() if row not in kept]
    for view in gone:
        memory.forget(view.id, who="machine")
    new = [] if harmed else [(hits[row - n], int(owner)) for row, owner in zip(grown.rows, grown.owners) if row >= n]
    return Growth(tuple(_added(album, known.things, new)), len(gone), bool(harmed), agreement)


def _open(album) -> list[Hit]:
    """Regions that may become views, surest first: known ones on pictures that are there, no views yet."""
    hits, there = [], defaultdict(list)
    for thing in album.memory.things():
        for view in thing.views:
            there[view.picture].append(view.box or (0, 0, *view.size))
    for hit in sorted(album.hits(), key=lambda hit: (-hit.recognition.confidence, hit.row)):
        if hit.recognition.thing and (picture := album.content(hit.image_id)) and not (ious(astuple(hit.box), there[picture]) >= OVERLAP).any():
            hits.append(hit)
    return hits


def _added(album, things, new):
    """Writes machine views; what the memory refuses (a name that two things have, a region that is another's view) is left out."""
    for hit, owner in new:
        try:
            album.confirm(hit, things[owner].name, "machine", hit.recognition.confidence)
        except FoirError:
            continue
        yield hit, things[owner].name
