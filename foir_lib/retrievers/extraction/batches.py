"""A part's items described batch by batch, so that no core and no GPU waits: the next pictures are decoded meanwhile."""

from collections.abc import Callable, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch

from foir_lib.retrievers.extraction import reading
from foir_lib.threads import single


@dataclass(frozen=True)
class Batches:
    """What ``describe(rows)``, dicts of tensors of rows one after another, gives of a part's batches: float32 arrays of each.

    On a CPU as many batches at a time as the corpus has ``workers``, one thread each. On a GPU one, while the next ones are decoded and
    copied; of ``plain`` descriptions, that see the pictures of their rows as the network takes them. ``after(rows)``: what follows
    the rows of a shard.
    """

    part: object
    describe: Callable
    plain: bool = False
    after: Callable | None = None
    beside = 1

    @contextmanager
    def working(self):
        """See :func:`foir_lib.store.engines.tasks.here`."""
        corpus, on_cpu = self.part.corpus, torch.device(self.part.corpus.model.device).type == "cpu"
        if on_cpu and corpus.workers > 1:
            with single(corpus.workers) as pool:
                yield lambda rows: self._results([pool.submit(self._arrays, batch).result for batch in self._cut(rows)], rows)
        elif on_cpu or not self.plain:
            yield lambda rows: self._results([_later(self._arrays, batch) for batch in self._cut(rows)], rows)
        else:
            with reading.readers(self.part) as read:
                yield lambda rows: self._fed([(batch, read(batch)) for batch in self._cut(rows)], rows)

    def _cut(self, rows):
        size = min(self.part.corpus.batch_size, self.part.corpus.fits or len(rows))
        return [rows[low : low + size] for low in range(0, len(rows), size)]

    def _results(self, results, rows):
        while results:
            yield results.pop(0)()
        if self.after:
            self.after(rows)

    def _fed(self, batches, rows):
        """Batches whose pictures are read elsewhere: the next one is copied while the network sees one."""
        ready = []
        while batches or ready:
            while batches and len(ready) < 2:
                batch, future = batches.pop(0)
                ready.append((batch, reading.copied(future.result(), self.part.corpus.model.device)))
            batch, fed = ready.pop(0)
            yield self._arrays(batch, fed())
        yield from self._results([], rows)

    def _arrays(self, rows, fed=None) -> dict[str, np.ndarray]:
        """The arrays of some rows; where the GPU's memory is too small for them, of each half, and of so many from now on."""
        corpus = self.part.corpus
        try:
            if len(rows) <= (corpus.fits or len(rows)):
                with self.part.fed(rows, fed):
                    dicts = [{name: x.float().cpu().numpy() for name, x in tensors.items()} for tensors in self.describe(rows)]
                return _joined(dicts)
        except torch.OutOfMemoryError:
            if len(rows) == 1:
                raise
            torch.cuda.empty_cache()
            corpus.fits = len(rows) // 2
        middle = len(rows) // 2
        return _joined([self._arrays(some) for some in (rows[:middle], rows[middle:])])


def _joined(dicts):
    return {name: np.concatenate([one[name] for one in dicts]) if len(dicts) > 1 else dicts[0][name] for name in dicts[0]}


def _later(function, rows: Sequence[int]) -> Callable:
    return lambda: function(rows)
