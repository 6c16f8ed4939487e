"""Shards shared out by file over processes, one for each device: of several GPUs, or of cores."""

import multiprocessing
import traceback
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import wait

from foir_lib import threads
from foir_lib.errors import FoirError, InputError
from foir_lib.store.engines import carrying
from foir_lib.store.tasks import Task, here

DEATHS = 3  # of processes in a row, none of which finished a shard, before it is given up


@dataclass(frozen=True)
class Processes:
    """An engine for :func:`foir_lib.store.features.build`: a process for each of ``devices``, such as ("cuda:0", "cuda:1").

    Each asks for the next shard when it needs one, and writes its file. One that dies is replaced, and what it was at is done
    by another: no row is lost, and none is stored twice. Whatever happens, no process is left over.
    """

    devices: Sequence[str]

    def __call__(self, tasks: Sequence[Task], make, report: Callable[[int], None]) -> Iterator[tuple[Task, dict]]:
        """As :func:`foir_lib.store.tasks.here`, in the order in which shards are finished.

        Raises what computing raises, and InputError where processes die again and again.
        """
        content = carrying.packed_or_none((list(tasks), make)) if len(tasks) > 1 else None
        if content is None:  # not worth it, or nothing that can be carried
            yield from here(tasks, make, report)
            return
        waiting = deque(range(len(tasks)))
        n, deaths = min(len(self.devices), len(tasks)), 0
        workers = [_Worker(content, device, n) for device in self.devices[:n]]
        try:
            while any(worker.at for worker in workers) or waiting:
                for connection in wait([worker.connection for worker in workers]):
                    worker = next(one for one in workers if one.connection is connection)
                    try:
                        kind, value = connection.recv()
                    except (EOFError, OSError):
                        waiting.extendleft(reversed(worker.at))
                        report(-worker.rows)
                        deaths += 1
                        if deaths >= DEATHS:
                            raise InputError(f"Processes that describe on {worker.device} were ended {deaths} times, perhaps for want of memory: start again with a smaller batch_size, what is done is stored.") from None
                        worker.start()
                        continue
                    if kind == "error":
                        raise value
                    if kind == "rows":
                        worker.rows += value
                        report(value)
                    elif kind == "done":
                        number, layout = value
                        worker.at.remove(number)
                        worker.rows -= len(tasks[number].rows)
                        deaths = 0
                        yield tasks[number], layout
                    else:
                        worker.hand(waiting)
        finally:
            for worker in workers:
                worker.end()


class _Worker:
    """A process and the numbers of the tasks that it is at."""

    def __init__(self, content, device, n):
        self.content, self.device, self.n, self.process = content, device, n, None
        self.start()

    def start(self):
        """A process that has nothing yet, instead of one that died."""
        if self.process:
            self.end()
        context, self.at, self.rows = multiprocessing.get_context("spawn"), [], 0
        self.connection, other = context.Pipe()
        self.process = context.Process(target=_serve, args=(other, self.content, self.device, self.n))
        with carrying.without_main():
            self.process.start()
        other.close()

    def hand(self, waiting):
        """The next task, if there is one."""
        number = waiting.popleft() if waiting else None
        self.at += [] if number is None else [number]
        with suppress(OSError):  # it has died: that is seen next
            self.connection.send(number)

    def end(self):
        self.process.kill()
        self.process.join()
        self.connection.close()


def _serve(connection, content, device, n):
    """What one of ``n`` processes does: ask for tasks and do them, as :func:`here` does in one process, until there are none."""
    carrying.attend()
    threads.share(n)
    try:
        tasks, make = carrying.unpacked(content, device)
        numbers = deque()

        def asked():
            while True:
                connection.send(("next", None))
                number = connection.recv()
                if number is None:
                    return
                numbers.append(number)
                yield tasks[number]

        for _, layout in here(asked(), make, lambda n: connection.send(("rows", n))):
            connection.send(("done", (numbers.popleft(), layout)))
        connection.recv()  # until it is ended
    except FoirError as error:
        connection.send(("error", error))
    except BaseException as error:
        words = traceback.format_exc()
        with suppress(Exception):
            connection.send(("error", RuntimeError(f"{type(error).__name__}: {error}\n{words}")))
