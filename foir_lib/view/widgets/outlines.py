"""Outlines of what a query asks for, on the results of lists: computed in a thread after the lists stand, a few pictures at a time."""

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from pycocotools import mask as rle

from foir_lib import registry
from foir_lib.data import masks
from foir_lib.data.pixels import object_mask
from foir_lib.detections import Localisation
from foir_lib.errors import FoirError
from foir_lib.prompts import Box, Mask, Prompt
from foir_lib.retrievers.base import Localiser
from foir_lib.retrievers.pixels import asking
from foir_lib.view.figures import pixels

AT_ONCE = 4  # pictures: so many outlines appear together, and a new query waits for no more
FINE = 400  # a path is off by at most this part of its picture's longer side


class Outline(NamedTuple):
    """What a localiser says of a picture of ``size`` (width, height), and its polygons."""

    localisation: Localisation
    size: tuple[int, int]
    paths: list[np.ndarray]

    @property
    def prompt(self) -> Prompt | None:
        """The outline as a prompt on its picture, or None where nothing was found."""
        if self.localisation.mask is not None:
            return Mask(self.localisation.pixels())
        return None if self.localisation.box is None else Box(*self.localisation.box.tolist())


def outlined(localisation: Localisation, size: Sequence[int]) -> Outline:
    """A localisation with polygons that are as fine as a page shows them."""
    return Outline(localisation, tuple(size), pixels.polygons(localisation, max(size) / FINE))


def drawn(outline: Outline, right: bool | None, iou: float | None) -> dict:
    """An outline as the gallery draws it; ``right``: whether its picture is, or None; ``iou`` with the truth, or None."""
    there = bool(outline.paths)
    kind = pixels.KINDS[pixels.verdict(right, iou) if there else None if right is None else not right]
    words = pixels.words(there, right, iou)
    alt = f"outline {kind}" + (f", {words}" if words else "") if there else words
    return {"size": outline.size, "paths": [path.ravel().tolist() for path in outline.paths], "kind": kind, "words": words, "alt": alt}


class Truth:
    """Where the pictures of a set show a label: the union of its objects' masks, or of the boxes of those that have none."""

    def __init__(self, retrieval_set):
        self.set, self._pictures = retrieval_set, retrieval_set.database[["image_id", "width", "height"]]
        self._of = lru_cache(1024)(self._union)

    def iou(self, label, row: int, localisation: Localisation) -> float | None:
        """IoU with the things of a ``label`` on a database row, of their boxes for a box without a mask; None where nobody knows."""
        if not label or (truth := self._of(label, int(row))) is None:
            return None
        if localisation.mask is not None:
            return float(rle.iou([localisation.mask], [truth], [False])[0, 0])
        x, y, width, height = rle.toBbox(truth)
        return pixels.box_overlap(localisation.box, (x, y, x + width, y + height)) if localisation else 0.0

    def _union(self, label, row):
        """RLE of all objects of a label on a picture; None without any."""
        image_id, *size = self._pictures.iloc[row]
        objects = self.set.objects
        at = np.flatnonzero((objects["image_id"] == image_id) & (objects["label"] == label) & ~objects["ignore"].astype(bool))
        return masks.union([object_mask(self.set, int(one), size) for one in at]) if len(at) else None


def offered(corpus) -> dict[str, Localiser]:
    """Text -> localiser of all that can be had on a corpus; a ViT is given pictures of twice its own side at most."""
    known = {}
    for name in registry.names("localiser"):
        with suppress(FoirError, TypeError):  # a guest's needs a file
            localiser = fitted(registry.parse("localiser", name), corpus)
            known |= {str(localiser): localiser} if localiser.offered(corpus) else {}
    return known


def fitted(localiser: Localiser, corpus) -> Localiser:
    """The localiser with a ``side`` that a small network was made for: outlines are to follow while somebody looks."""
    side, own = getattr(localiser, "side", None), getattr(corpus.model, "image_size", None)
    fits = isinstance(side, int) and isinstance(own, int) and 2 * own < side
    return replace(localiser, side=2 * own) if fits else localiser


class Outlines:
    """The outlines that a localiser finds for one query; ``changed()`` is called, in the thread of the page, when some have come.

    outlines: database row -> :class:`Outline`. problem: why there are no more, in a sentence, or "". waiting: whether some are
    to come. Without a running event loop they come when :meth:`wait` is called.
    """

    def __init__(self, corpus, changed: Callable[[], None]):
        self.corpus, self._changed = corpus, changed
        self._pool, self._job, self._arrived = ThreadPoolExecutor(1, "outlines"), None, deque()
        self._loop = self._key = None
        self.outlines, self.problem, self.waiting = {}, "", False

    def follow(self, localiser: Localiser, part, rows: Sequence[int]) -> None:
        """Ask about prompt 0 of ``part`` on database rows; what is known of the same query stays, what was asked before is dropped."""
        self.stop()
        if self._key is None or self._key[0] != localiser or self._key[1] is not part:
            self._key, self.outlines = (localiser, part), {}
        missing = [row for row in dict.fromkeys(map(int, rows)) if row not in self.outlines]
        self.waiting = bool(missing)
        if missing:
            with suppress(RuntimeError):  # no loop
                self._loop = asyncio.get_running_loop()
            self._job = Job()
            self._job.future = self._pool.submit(self._work, self._job, localiser, part, missing)

    def stop(self) -> None:
        """Ask no more; what has come stays."""
        if self._job is not None:
            self._job.stopped = True
        self._job, self.problem, self.waiting = None, "", False

    def clear(self) -> None:
        """Ask no more, and forget what has come."""
        self.stop()
        self._key, self.outlines = None, {}

    def wait(self) -> None:
        """Wait until all have come, and let them be shown."""
        if self._job is not None:
            self._job.future.result()
            self._deliver()

    def close(self) -> None:
        """Let the thread go; nothing is called any more."""
        self.stop()
        self._changed = lambda: None
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _work(self, job, localiser, part, rows):
        """In the thread: some pictures after another, until the job is stopped."""
        for start in range(0, len(rows), AT_ONCE):
            some = rows[start : start + AT_ONCE]
            if job.stopped:
                return
            try:
                answers = asking.located(self.corpus, localiser, part, 0, np.array(some))
                result = {row: outlined(one, self.corpus.database.sizes[row].tolist()) for row, one in zip(some, answers, strict=True)}
            except Exception as error:
                if not isinstance(error, FoirError):
                    logging.getLogger(__name__).exception("A localiser failed.")
                result = str(error) if isinstance(error, FoirError) else f"{localiser} fails ({type(error).__name__}: {error})."
            last = isinstance(result, str) or start + AT_ONCE >= len(rows)
            self._arrived.append((job, result, last))
            if self._loop is not None:
                with suppress(RuntimeError):  # the loop was closed meanwhile
                    self._loop.call_soon_threadsafe(self._deliver)
            if last:
                return

    def _deliver(self):
        """In the thread of the page: take what has arrived."""
        fresh = False
        while self._arrived:
            job, result, last = self._arrived.popleft()
            if job is not self._job:
                continue
            fresh, self.waiting = True, not last
            if isinstance(result, str):
                self.problem = result
            else:
                self.outlines |= result
        if fresh:
            self._changed()


class Job:
    """One question to the thread."""

    future: Future
    stopped = False
