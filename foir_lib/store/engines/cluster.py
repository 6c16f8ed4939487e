"""Shards shared out over a Ray cluster: one shard a task, its file in the folder of features, which all nodes must see."""

import hashlib
import importlib
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from foir_lib import threads
from foir_lib.errors import FoirError, InputError, MissingError
from foir_lib.store.engines import carrying
from foir_lib.store.tasks import Task, here

AHEAD = 2  # tasks a processor that wait for their turn
TRIES = 20  # of a task whose worker or node dies
_held: dict[str, tuple] = {}  # in a worker: what it computes with


@dataclass(frozen=True)
class Ray:
    """An engine for :func:`foir_lib.store.features.build`. ``address``: of a cluster ("auto": the one that this machine is part of;
    "": one of this machine alone, for as long as the program runs); ``gpus``: of a task.

    Whatever dies, a task's process, a node or the program itself: what is written stays, the rest is done by others or by the next run.
    """

    address: str = ""
    gpus: float = 0

    def __call__(self, tasks: Sequence[Task], make, report: Callable[[int], None]) -> Iterator[tuple[Task, dict]]:
        """As :func:`foir_lib.store.tasks.here`, in the order in which shards are finished. Raises MissingError without ray
        and without the cluster, what computing raises, and InputError for nodes that die or write where nobody else sees it."""
        content = carrying.packed_or_none((list(tasks), make)) if len(tasks) > 1 else None
        if content is None:  # not worth it, or nothing that can be carried
            yield from here(tasks, make, report)
            return
        ray = connected(self.address)
        shared, digest = ray.put(np.frombuffer(content, np.uint8)), hashlib.sha256(content).hexdigest()
        do = ray.remote(num_cpus=1, num_gpus=self.gpus, max_retries=TRIES)(_shard)
        waiting, pending, most = deque(range(len(tasks))), {}, AHEAD * max(int(ray.cluster_resources().get("CPU", 1)), 1)
        try:
            while waiting or pending:
                while waiting and len(pending) < most:
                    pending[do.remote(shared, digest, waiting[0], bool(self.gpus))] = waiting.popleft()
                (ready, *_), _ = ray.wait(list(pending))
                number = pending.pop(ready)
                yield tasks[number], self._finished(ray, ready, tasks[number])
                report(len(tasks[number].rows))
        finally:
            for one in pending:
                ray.cancel(one, force=True)

    def _finished(self, ray, ready, task):
        try:
            layout = ray.get(ready)
        except ray.exceptions.RayTaskError as error:
            raise error.cause if isinstance(error.cause, FoirError) else InputError(f"A task of the cluster failed ({type(error.cause).__name__}: {error.cause}).") from None
        except ray.exceptions.RayError as error:
            raise InputError(f"A task of the cluster was lost {TRIES} times ({type(error).__name__}): start again, what is done is stored.") from error
        if not task.path.is_file():
            raise InputError(f"The cluster wrote {task.path} where this machine doesn't see it: set FOIR_CACHE to a folder that all nodes share.")
        return layout


def connected(address: str = ""):
    """The module ray, connected. Raises MissingError where it isn't installed and where there is no cluster at ``address``."""
    try:
        ray = importlib.import_module("ray")
    except ImportError as error:
        raise MissingError("The engine ray needs the package ray: install foir-workbook[scale].") from error
    if not ray.is_initialized():
        try:
            ray.init(address=address or None, log_to_driver=False, include_dashboard=False if not address else None)
        except (ConnectionError, RuntimeError, ValueError, OSError) as error:
            says = " ".join(str(error).split())[:200]
            raise MissingError(f"There is no Ray cluster at {address or 'this machine'} ({says}): start one with ray start --head.") from error
    return ray


def _shard(content, digest, number, on_gpu):
    """One task in a worker, which unpacks what it computes with once."""
    if digest not in _held:
        _held.clear()
        threads.share(threads.cores() * 2)  # one thread a task: the cluster shares out the processors
        _held[digest] = carrying.unpacked(content.tobytes(), "cuda" if on_gpu else "cpu")
    tasks, make = _held[digest]
    ((_, layout),) = here([tasks[number]], make, lambda n: None)
    return layout

