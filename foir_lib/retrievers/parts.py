"""Parts of a corpus: pictures, or prompts on pictures, and the features that methods keep of them.

What is on disk (database, queries, training pictures) goes to the feature store; one picture under the mouse is a part too,
whose features stay in memory.
"""

from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, nullcontext
from functools import wraps
from itertools import islice
from threading import Lock, local
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image

from foir_lib.errors import InputError
from foir_lib.prompts import Box, Mask, crop
from foir_lib.store import by_content, keys
from foir_lib.store import features as store
from foir_lib.store.arrays import Arrays, Rows
from foir_lib.store.engines import reading
from foir_lib.store.tasks import whole
from foir_lib.threads import Batches, ahead, is_alone


class Cut(NamedTuple):
    """What a CNN is shown of a picture: the part (PIL) inside the prompt's box, its corner (x0, y0) and the whole's size.

    ``longest``: pixels of the longer side that keep the part at the scale at which the whole is described.
    """

    picture: Image.Image
    longest: float | None = None
    corner: tuple = (0, 0)
    size: tuple = ()


class Pictures:
    """Pictures without prompts.

    ``open(row)``: PIL, RGB; ``data`` names them in a key (None: live, in memory only); sizes (n, 2): width and height in
    pixels; ``with_prompts``: prompts are put on them; ``ids``: of the set's pictures, where they are some.
    """

    prompted, unit = False, "picture"

    def __init__(self, corpus, name, n, open, data, sizes, with_prompts=False, ids=()):
        self.corpus, self.name, self.n, self.open, self.data = corpus, name, n, open, data
        self.sizes, self.with_prompts, self.label = np.asarray(sizes), with_prompts, f"{corpus.set.name}, {corpus.model.name}: {name}"
        self.pictures, self.rows, self.image_row, self.memory = self, np.arange(n), np.arange(n), {}
        self.locks, self.feed, self.ids = {}, local(), ids

    def __len__(self):
        return self.n

    def __getstate__(self):
        """What another process needs: nothing that was computed, and no locks."""
        return self.__dict__ | {"memory": {}, "locks": {}, "feed": None}

    def __setstate__(self, state):
        self.__dict__ |= state | {"locks": {}, "feed": local()}

    def prompt(self, m):
        """None: nobody points."""
        return None

    def cut(self, m) -> Cut:
        """What a CNN is shown of item ``m``."""
        picture = self.open(m)
        return Cut(picture, None, (0, 0), picture.size)

    def mask(self, m):
        """The painted pixels of item ``m``, bool (height, width), or None for another prompt than a mask."""
        return None

    def size(self, m) -> tuple[int, int]:
        """(width, height) of the picture of item ``m``."""
        return tuple(self.sizes[m].tolist())

    def grid(self, m) -> tuple[int, int] | None:
        """(rows, columns) of the model's patches on item ``m``, of which a click's window is made; None where it has none."""
        grid_of = getattr(self.corpus.model, "grid_of", None)
        return grid_of and grid_of(self.size(m))

    def pixels(self, m) -> np.ndarray:
        """The pixels that item ``m`` asks with, bool (height, width): all, where nobody points."""
        return np.ones(self.size(m)[::-1], bool)

    def box(self, m) -> Box:
        """The box of :meth:`pixels`."""
        return Box(0, 0, *self.size(m))

    def tensors(self, rows, load=None):
        """Preprocessed pictures of ``rows`` in batches (B, 3, S, S); threads read ahead by one batch, never more."""
        rows, size = list(rows), self.corpus.batch_size
        held, runs = getattr(self.feed, "held", (None, ()))
        if load is None and held == rows:
            return (yield from runs)
        load = load or (lambda row: self.corpus.model.preprocess(self.open(row)))
        with nullcontext() if is_alone() or self.corpus.workers == 1 else ThreadPoolExecutor(self.corpus.workers) as pool:
            tensors = ahead(pool, load, rows, size) if pool else map(load, rows)
            while batch := list(islice(tensors, size)):
                yield from reading.stacked(batch)

    def readers(self):
        """What reads rows ahead of a GPU; see :func:`reading.readers`."""
        return reading.readers(self.open, self.corpus.model, self.corpus.workers, len(self))

    @contextmanager
    def fed(self, rows, runs):
        """Inside, :meth:`tensors` of ``rows`` in this thread are ``runs``, read before; unless they are None."""
        self.feed.held = (None, ()) if runs is None else (list(rows), runs)
        try:
            yield
        finally:
            self.feed.held = None, ()

    def trunk(self, rows, last):
        """Tokens of pictures with the ``last`` blocks before them, in batches (B, prefix + N, d)."""
        depth = self.corpus.model.depth
        if self.data is not None:
            for x in self.tensors(rows):
                yield self.corpus.model.tokens(x, depth - last)
            return
        deepest = min(4, depth)  # live: everything a prompt may ask needs no more than the last four blocks
        if "trunk" not in self.memory:
            self.memory["trunk"] = torch.cat([self.corpus.model.tokens(x, depth - deepest) for x in self.tensors(range(self.n))])
        tokens = self.memory["trunk"][torch.as_tensor(np.asarray(rows), device=self.corpus.model.device)]
        with torch.inference_mode():
            yield self.corpus.model.net.blocks[depth - deepest : depth - last](tokens)

    def features(self, what, make, *objects, shard=256):
        """Features ``what`` of the part: ``make(start, stop)`` gives a dict of arrays; computed once, by shards.

        The key holds the digest of the code of ``make``, of the model, of the set and of ``objects``.
        """
        with self.locks.setdefault(what, Lock()):  # threads that describe items may need it all at the same time
            if what not in self.memory:
                self.memory[what] = self._compute(what, make, objects, shard)
            return self.memory[what]

    def each(self, what, describe, *objects):
        """As :meth:`features`, from ``describe(m)``: a dict of tensors for one item; ``workers`` items at once."""
        return self.features(what, store.ByRow(describe, self.corpus.workers), describe, *objects, shard=128)

    def alone(self, what, describe, *objects):
        """As :meth:`features`, of what each picture's file alone decides: ``describe(rows)`` gives dicts of tensors of rows, one after another.

        Pictures of a set are found again by their content, whatever else was added to the set, removed or renamed.
        """
        if self.prompted or self.data is None or not len(self.ids):
            return self.features(what, Batches(self, describe, not self.prompted), describe, *objects)
        with self.locks.setdefault(what, Lock()):
            if what not in self.memory:
                held = [self.corpus.set.digests[image_id].hex() for image_id in self.ids]
                key, how = self._named(what, {"set": self.corpus.set.name}, describe, objects)
                self.memory[what] = by_content.build(key, held, Batches(self, describe, True, self._unchanged), **how)
            return self.memory[what]

    def _unchanged(self, rows):
        """Raises InputError for a picture whose file was changed meanwhile."""
        self.corpus.set.unchanged([self.ids[row] for row in rows])

    def _named(self, what, of, make, objects):
        """The key of features, and how they are stored."""
        corpus = self.corpus
        model = type(corpus.model), getattr(corpus.model, "opener", type(corpus.model))
        code = keys.code_of(make, type(self), *model, type(corpus.set), *objects)
        label = f"{self.label}, {what.split(',')[0].split(':')[0]}"
        how = {"root": corpus.cache, "progress": corpus.progress, "label": label, "unit": self.unit, "engine": corpus.engine}
        return {"what": what, **of, "model": corpus.model.key, "code": code}, how

    def _compute(self, what, make, objects, shard):
        if self.data is None:
            return Arrays(whole(make, len(self)))
        key, how = self._named(what, {"part": self.name, "data": self.data}, make, objects)
        return store.build(key, len(self), make, shard=shard, **how)


class View(Pictures):
    """Some pictures (m,) of another part, e.g. queries that ask with a whole picture; ``rows`` (m,): their query rows."""

    def __init__(self, whole, at, rows=None):
        super().__init__(whole.corpus, whole.name, len(at), lambda m: whole.open(at[m]), whole.data, whole.sizes[at], whole.with_prompts)
        self.whole, self.at, self.label = whole, np.asarray(at), whole.label
        self.rows = self.rows if rows is None else rows

    def trunk(self, rows, last):
        yield from self.whole.trunk(self.at[np.asarray(rows)], last)

    def _compute(self, what, make, objects, shard):
        raise NotImplementedError("A view has no features of its own: read them by corpus.described, or by a function that is once().")


def once(describe):
    """Decorator of functions that describe plain pictures: those of a :class:`View` are read where the whole is described."""

    @wraps(describe)
    def read(part, *arguments, **options):
        if isinstance(part, View):
            return Rows(read(part.whole, *arguments, **options), part.at)
        return describe(part, *arguments, **options)

    return read


class Prompted(Pictures):
    """Prompts on ``pictures``, several on one perhaps. rows (M,): the query row of each; image_row (M,): its picture's.

    ``prompt(m)``: a Point, Box or Mask.
    """

    prompted, unit = True, "prompt"

    def __init__(self, pictures, name, prompt, rows, image_row, data):
        super().__init__(pictures.corpus, name, len(rows), lambda m: pictures.open(image_row[m]), data, pictures.sizes[image_row])
        self.pictures, self.rows, self.image_row, self._prompt = pictures, rows, image_row, prompt

    def prompt(self, m):
        """The prompt of item ``m``. Raises InputError where nobody has pointed yet."""
        prompt = self._prompt(m)
        if prompt is None:
            raise InputError("There is no prompt: click a point, draw a box or paint a mask on the picture.")
        return prompt

    def pixels(self, m):
        return self.prompt(m).pixels(self.size(m), self.grid(m))

    def box(self, m):
        return self.prompt(m).box(self.size(m), self.grid(m))

    def roi(self, rows) -> torch.Tensor:
        """Tokens of some prompts, bool (m, N)."""
        grid = self.corpus.model.grid
        return torch.from_numpy(np.stack([self.prompt(m).tokens(grid, self.size(m)) for m in rows]))

    def cut(self, m) -> Cut:
        picture, prompt, model = self.open(m), self._prompt(m), self.corpus.model
        if prompt is None:
            return Cut(picture, None, (0, 0), picture.size)
        part, corner = crop(picture, prompt, self.grid(m))
        factor = min(1.0, getattr(model, "longest", max(picture.size)) / max(picture.size))
        return Cut(part, max(factor * max(part.size), 1.0), corner, picture.size)

    def mask(self, m):
        """The painted pixels, bool (height, width), or None for another prompt than a mask."""
        prompt = self._prompt(m)
        return prompt.pixels(self.size(m)) if isinstance(prompt, Mask) else None
