"""A process that is killed before each of its changes of files in turn, after its imports: what it leaves is looked at."""

import os
import signal
import sys
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path

CHANGES = {"os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.truncate", "os.link", "os.symlink"}
WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC


def killed(act: Callable[[], None], root: Path, before: Callable[[], None] = lambda: None) -> Iterator[int]:
    """Runs ``act`` in forks of this process, each killed before one change of a file below ``root`` more than the last one.

    Yields the number of changes that each was allowed; ends with the fork that lives. ``before``: called before each.
    """
    for allowed in range(10_000):
        before()
        if (code := alone(act, root, allowed)) == 0:
            assert allowed > 3, f"only {allowed} changes of files: nothing is tried"
            return
        assert code == -signal.SIGKILL, f"after {allowed} changes it ended with {code}"
        yield allowed


def alone(act: Callable[[], None], root: Path, allowed: int | None = None) -> int:
    """Runs ``act`` in a fork of this process, killed after ``allowed`` changes of files below ``root``; its exit code."""
    pid = os.fork()
    if pid:
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    try:
        if allowed is not None:
            sys.addaudithook(_Killer(root, allowed))
        act()
    except BaseException:
        traceback.print_exc()
        os._exit(1)
    os._exit(0)


class _Killer:
    def __init__(self, root, allowed):
        self.root, self.left = os.fspath(root), allowed

    def __call__(self, event, arguments):
        if event in CHANGES or (event == "open" and isinstance(arguments[2], int) and arguments[2] & WRITES):
            if any(isinstance(a, (str, bytes, os.PathLike)) and os.fsdecode(a).startswith(self.root) for a in arguments[:2]):
                if not self.left:
                    os.kill(os.getpid(), signal.SIGKILL)
                self.left -= 1
