"""A memory that needs no network: its encoder sees nine colours of a region; one filled by the thousand; and another program that writes it."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import sqlalchemy as sa
from PIL import Image

from foir_lib.memory.database import tables, vectors
from foir_lib.memory.database.events import Draft, new_id, now
from foir_lib.memory.database.fold import Card, Change, as_row
from foir_lib.memory.recogniser import KNOWN, NEW, UNSURE, Candidate, Recognition
from foir_lib.memory.state import View
from foir_lib.prompts import Box, crop

TESTS = Path(__file__).parent
EACH = 10  # views of a thing
REGION = Box(0, 0, 20, 20)


class Colours:
    """An encoder as a memory takes it: the mean colours of the region's thirds across and down, unit length; ``n``: repeats of those numbers."""

    knows_drawings_only = False

    def __init__(self, name="colours", n=1):
        self.key = self.name = name
        self.n, self.embedded = n, 0

    def embed(self, regions):
        self.embedded += len(regions)
        parts = [picture.convert("RGB") if region is None else crop(picture, region)[0] for picture, region in regions]
        small = [np.asarray(part.resize((3, 3), Image.Resampling.BOX), np.float32).ravel() + 1 for part in parts]
        vectors = np.tile(np.stack(small), self.n)
        return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


class Nearest:
    """A recogniser that needs nothing learned: the view of the nearest colours, known from a cosine of 0.999 on, new below 0.9."""

    def __init__(self, memory):
        self.memory = memory

    def recognise(self, picture, region=None):
        vectors, views = self.memory.vectors()
        if not views:
            return Recognition(NEW, (), 0.0, "What is it called?", "colours")
        scores = vectors @ self.memory.encoder.embed([(picture, region)])[0]
        best = {}
        for i in scores.argsort()[::-1]:
            best.setdefault(views[i].thing, Candidate(self.memory.resolve(views[i].thing), views[i], float(scores[i])))
        first, *others = best.values()
        verdict = KNOWN if first.score > 0.999 else UNSURE if first.score > 0.9 else NEW
        question = f"Is it {first.thing.name} or {others[0].thing.name}?" if others else f"Is it {first.thing.name}?"
        return Recognition(
            verdict, (first, *others), first.score, question if verdict == UNSURE else "", "colours", region=region
        )


def plain(colour):
    """A picture of one colour."""
    return Image.new("RGB", (40, 30), colour)


def names(memory):
    """The names of all things."""
    return [thing.name for thing in memory.things()]


def picture(seed, size=(40, 30)):
    """A picture of random colours, in blocks of ten pixels."""
    blocks = np.random.default_rng(seed).integers(0, 256, (-(-size[1] // 10), -(-size[0] // 10), 3), dtype=np.uint8)
    return Image.fromarray(blocks.repeat(10, 0).repeat(10, 1)[: size[1], : size[0]])


def fill(memory, n, d, seed=0):
    """Adds ``n`` views of random vectors (n, d), a thing for every EACH; returns the vectors."""
    rng, encoder, made = np.random.default_rng(seed), vectors.encoder_id(memory.journal, memory.encoder), []
    for start in range(0, n, 1000):
        drafts, ids = [], []
        for k in range(start, min(start + 1000, n)):
            if k % EACH == 0:
                card = Card(new_id(), f"thing {k // EACH}", "human", now())
            view = View(new_id(), card.id, f"{k:064x}", f"/photographs/{k}.jpg", (640, 480), (1.0, 2.0, 300.0, 400.0), None, "human", now(), 1.0)
            changes = [Change("thing", card.id, "row", None, as_row(card))] if k % EACH == 0 else []
            drafts.append(Draft("add", [*changes, Change("view", view.id, "row", None, as_row(view))]))
            ids.append(view.id)
        rows = rng.normal(size=(len(ids), d)).astype(np.float32)
        made.append(rows / np.linalg.norm(rows, axis=1, keepdims=True))

        def beside(connection, _, ids=ids, rows=made[-1]):
            connection.execute(sa.insert(tables.crops), [{"view": id, "png": b""} for id in ids])
            vectors.insert(connection, encoder, dict(zip(ids, map(vectors.stored, rows))))

        memory.journal.write(lambda _, drafts=drafts: drafts, beside)
    return np.concatenate(made)


def child(code, path, *arguments, **options):
    """A process that has a memory ``one`` of the file."""
    start = f"import sys; sys.path[:0] = [{str(TESTS)!r}, {str(TESTS.parent)!r}]\nfrom small_memory import *; from foir_lib import Memory\n"
    start += "one = Memory(sys.argv[1], Colours()); print('open', flush=True)\n"
    command = [sys.executable, "-c", start + code, str(path), *map(str, arguments)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options)
    return process


WRITE = """
import time
slowest, mine = 0, int.from_bytes(sys.argv[2].encode(), "big") * 100_000
for n in range(int(sys.argv[3])):
    begin = time.perf_counter()
    one.add(f"{sys.argv[2]} {n}", picture(mine + n))
    slowest = max(slowest, time.perf_counter() - begin)
    print(n, flush=True)
print(slowest)
"""
