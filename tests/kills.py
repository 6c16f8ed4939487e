"""A process that is killed, or finds the disk full, before each of its changes of files in turn: what it leaves is looked at."""

import errno
import os
import signal
import sys
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path

from foir_lib.errors import FoirError

CHANGES = {"os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.truncate", "os.link", "os.symlink"}
WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC
REFUSED, WITHOUT = 3, 4  # exit codes: an error of ours, and done although nothing could be written


def stopped(
    act: Callable[[], None], root: Path, before: Callable[[], None] = lambda: None, full: bool = False
) -> Iterator[int]:
    """Runs ``act`` in forks of this process, after its imports; each may change one file below ``root`` more than the last one.

    Then it is killed or, with ``full``, can write no more, and may only raise an error of ours. Yields the number of changes
    after each; ends with the fork that needed no more. ``before``: called before each.
    """
    for allowed in range(10_000):
        before()
        if (code := alone(act, root, allowed, full)) == 0:
            assert allowed > 3, f"only {allowed} changes of files: nothing is tried"
            return
        assert code in ((REFUSED, WITHOUT) if full else (-signal.SIGKILL,)), f"after {allowed} changes it ended with {code}"
        yield allowed


def alone(act: Callable[[], None], root: Path, allowed: int = 10**9, full: bool = False) -> int:
    """The exit code of one such fork."""
    if pid := os.fork():
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    try:
        sys.addaudithook(limit := _Limit(os.fspath(root), allowed, full))
        act()
        os._exit(0 if limit.left >= 0 else WITHOUT)
    except FoirError:
        os._exit(REFUSED)
    except BaseException:
        traceback.print_exc()
    os._exit(1)


class _Limit:
    def __init__(self, root, left, full):
        self.root, self.left, self.full = root + os.sep, left, full

    def __call__(self, event, arguments):
        if event not in CHANGES and not (event == "open" and isinstance(arguments[2], int) and arguments[2] & WRITES):
            return
        paths = [os.fsdecode(path) for path in arguments[:2] if isinstance(path, (str, bytes, os.PathLike))]
        if any(f"{path}{os.sep}".startswith(self.root) for path in paths):
            self.left -= 1
            if self.left < 0 and not self.full:
                os.kill(os.getpid(), signal.SIGKILL)
            if self.left < 0 and event == "open":
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
