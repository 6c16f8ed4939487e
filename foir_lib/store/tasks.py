"""A shard as a task: rows in, one file out. It may be done twice, by whomever: the file is the same, and a whole one is left as it is."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from foir_lib.errors import InputError
from foir_lib.store import shards


class Task(NamedTuple):
    """The file of a shard, the digest of its key, the items that its header names, their rows, and the layout it must have (None: any)."""

    path: Path
    digest: str
    items: list
    rows: Sequence[int]
    layout: dict | None = None


@dataclass(frozen=True)
class Spans:
    """``make(start, stop)``, a dict of arrays, as :func:`here` takes it: one call a shard, one after the other."""

    make: Callable
    beside, few = 0, 0

    @contextmanager
    def working(self):
        """See :func:`here`."""
        yield lambda rows: (self.make(rows[0], rows[-1] + 1) for _ in range(1))


def here(tasks: Iterable[Task], make, report: Callable[[int], None]) -> Iterator[tuple[Task, dict]]:
    """Do tasks in this process, in order: each with its layout when its file is whole.

    ``make.working()`` opens what computes: a function of rows that begins at once and gives dicts of arrays one after another.
    ``make.directly`` does the same in this thread, for ``make.few`` rows. ``make.beside`` shards are begun while one is finished, so that no core waits for the disk or for a shard's last batch.
    ``report(n)`` is called after every n rows. Raises what computing raises, and InputError for arrays that can't be stored.
    """
    with make.working() as work:
        begun = deque()
        for task in tasks:
            present, _ = shards.check(task.path, task.digest, task.items)  # by another run meanwhile?
            present = present if task.layout in (None, present) else None
            begun.append((task, present, present or work(task.rows)))
            if len(begun) > make.beside:
                yield _done(*begun.popleft(), report)
        while begun:
            yield _done(*begun.popleft(), report)


def whole(make, n: int) -> dict[str, np.ndarray]:
    """The arrays of all ``n`` rows, in memory; of a ``few`` in this thread, so that nobody waits for others to start."""
    make = make if hasattr(make, "working") else Spans(make)
    if n <= make.few:
        parts = list(make.directly(range(n)))
    else:
        with make.working() as work:
            parts = list(work(range(n)))
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _done(task, present, parts, report):
    if present:
        report(len(task.rows))
        return task, present
    done = []
    for part in parts:
        done.append(part)
        report(sum(np.shape(next(iter(part.values()), ()))[:1]))
    names = done[0] if done else ()
    start = task.rows[0] if isinstance(task.rows, range) else 0
    arrays = {name: np.concatenate([part[name] for part in done]) if len(done) > 1 else done[0][name] for name in names}
    arrays = shards.checked(arrays, start, start + len(task.rows))
    layout = {name: (array.dtype.name, array.shape[1:]) for name, array in arrays.items()}
    check_layout(task, layout, task.layout)
    shards.write(task.path, arrays, task.digest, task.items)
    return task, layout


def check_layout(task: Task, layout: dict, others: dict | None) -> None:
    """Raises InputError where a shard's arrays differ from those of ``others`` of the same key."""
    if others not in (None, layout):
        rows = task.rows
        what = f"Items {rows[0]} to {rows[-1] + 1} give" if isinstance(rows, range) else f"{len(rows)} pictures give"
        what = f"{what} arrays {layout}, earlier ones gave {others}"
        raise InputError(f"{what}: something is missing in the key; delete {task.path.parent} and complete it.")
