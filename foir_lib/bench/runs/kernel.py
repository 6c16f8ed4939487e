"""One kernel for many notebooks: libraries are imported once, what a table loaded may serve the next."""

import logging
import os
import sys
from contextlib import AbstractContextManager, suppress
from pathlib import Path

import papermill
import psutil
from jupyter_client.manager import KernelManager
from papermill.clientwrap import PapermillNotebookClient
from papermill.engines import Engine, papermill_engines
from traitlets import DottedObjectName

from foir_lib.files import PACKAGE

FRESH = """import os, warnings
os.environ.setdefault("TQDM_MININTERVAL", "1")
import tqdm.std
with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import tqdm.autonotebook
tqdm.autonotebook.tqdm, tqdm.autonotebook.trange = tqdm.std.tqdm, tqdm.std.trange  # bars as text that a terminal can show
import sys
if "matplotlib.pyplot" in sys.modules:
    sys.modules["matplotlib.pyplot"].close("all")
get_ipython().reset(new_session=True)  # no name of the notebook before is left, cells count from 1
import gc
gc.collect()
del gc"""  # run before each notebook
LAUNCH = """import sys
sys.path[:] = filter(None, sys.path)
import runpy
runpy.run_module("ipykernel_launcher", run_name="__main__", alter_sys=True)"""
PATIENCE = {"startup_timeout": 300, "iopub_timeout": 60}  # seconds: a busy machine is no error
SHARE = 0.5  # of the machine's memory: kernels that hold more make room for new ones


class OffPath:
    """Of a KernelManager: the working folder, which may hold anybody's files, isn't on its kernel's import path."""

    def format_kernel_cmd(self, extra_arguments=None) -> list[str]:
        command = super().format_kernel_cmd([*(extra_arguments or ()), "--IPKernelApp.ignore_cwd=True"])
        if command[1:3] == ["-m", "ipykernel_launcher"]:  # -m would look for it in the working folder first
            command[1:3] = ["-c", LAUNCH]
        return command


class Manager(OffPath, KernelManager):
    """Of the kernel of a batch."""

    client_class = DottedObjectName("jupyter_client.asynchronous.AsyncKernelClient")  # what nbclient waits on


class Kernel(AbstractContextManager):
    """A Python kernel that runs notebooks one after the other, each in a namespace of its own.

    One that died, in which a cell failed or was interrupted, that holds more than its part of :data:`SHARE` of the machine's
    memory or is older than the package's code is followed by a new one. ``n``: kernels that are at work together; of several
    each has its part of the cores, and shows no bars. A context manager: at its end the kernel is shut down.
    """

    def __init__(self, n: int = 1):
        self.n = n
        self.manager = self.client = self.code = None

    def __exit__(self, *error):
        self.close()

    def run(self, notebook: str | Path, executed: str | Path, values: dict) -> None:
        """Execute ``notebook`` with parameter ``values`` and write the executed one to ``executed``, failed or not.

        What the notebook writes to stderr (bars) goes to ours too, if it works alone. Raises papermill's PapermillExecutionError for a cell
        that fails and nbclient's DeadKernelError for a kernel that dies.
        """
        logging.getLogger("papermill").setLevel(logging.ERROR)  # its own look at parameters is a guess
        try:
            self._ensure()
            papermill.execute_notebook(
                notebook, executed, values, kernel_name="python3", engine_name=__name__, progress_bar=False, kernel=self
            )
        except BaseException:
            self.close()
            raise

    def kill(self) -> None:
        """End the kernel's process, if there is one, from whatever thread: what :meth:`run` runs there fails."""
        with suppress(psutil.Error, AttributeError):
            psutil.Process(self.manager.provisioner.pid).kill()

    def close(self) -> None:
        """Shut the kernel down, if there is one."""
        if self.client is not None:
            self.client.stop_channels()
        if self.manager is not None and self.manager.has_kernel:
            self.manager.shutdown_kernel(now=True)
        self.manager = self.client = None

    def _ensure(self):
        """Start a kernel unless there is one that lives, is small enough and runs the code as it stands on disk."""
        code = max(path.stat().st_mtime_ns for path in PACKAGE.rglob("*.py"))
        if self.manager and (not self.manager.is_alive() or code != self.code):
            self.close()
        if self.manager and psutil.Process(self.manager.provisioner.pid).memory_percent() > 100 * SHARE / self.n:
            self.close()
        if self.manager is None:
            self.code, self.manager = code, Manager(kernel_name="python3")
            threads = {"OMP_NUM_THREADS": str(max(1, (os.cpu_count() or 1) // self.n))} if self.n > 1 else {}
            self.manager.start_kernel(extra_arguments=["--log-level=50"], env=threads | os.environ)


class _Client(PapermillNotebookClient):
    """papermill's client, on a kernel that is emptied first."""

    def papermill_execute_cells(self):
        reply = self.wait_for_reply(self.kc.execute(FRESH, silent=True, store_history=False))
        if reply["content"]["status"] != "ok":
            raise RuntimeError(f"The kernel can't be emptied: {reply['content'].get('evalue')}")
        super().papermill_execute_cells()


class _Engine(Engine):
    """papermill's way to a :class:`Kernel`."""

    @classmethod
    def execute_managed_notebook(cls, nb_man, kernel_name, kernel, **kwargs):
        client = _Client(nb_man, km=kernel.manager, stderr_file=sys.stderr if kernel.n == 1 else None, timeout=None, **PATIENCE)
        client.kc = kernel.client
        try:
            client.execute()
        finally:
            kernel.client = client.kc


papermill_engines.register(__name__, _Engine)
