"""The tables of a run: one after the other in one kernel, those of other networks beside them in a kernel of their own."""

import os
import shutil
import sys
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import ExitStack, suppress
from itertools import product
from pathlib import Path
from threading import Event, Lock
from typing import NamedTuple

import nbformat
import papermill
from tqdm.auto import tqdm

from foir_lib.bench import limits
from foir_lib.bench.runs import minutes, report, stamp
from foir_lib.bench.runs.kernel import Kernel
from foir_lib.bench.runs.page import Page, own
from foir_lib.bench.tables.catalogue import title
from foir_lib.errors import FoirError, IntegrityError
from foir_lib.files import remove_stale
from foir_lib.models import devices

READY = ".ready"  # in a run's folder: tables that are finished, on the way to their places
LANES = 2  # kernels at most, of one thread a core together


class Job(NamedTuple):
    """One table to make: its id, its notebook and all parameter values but ``out``."""

    table: str
    notebook: Path
    values: dict


def run_all(jobs: list[Job], folder: Path, fresh: bool, needing: dict[str, str] | None = None) -> dict[str, str]:
    """Run what isn't done; the report grows, even when interrupted. ``needing``: tables left out for want of data, listed there. Returns
    table -> sentence of those that failed."""
    settle(folder)
    batch = _Batch(folder, fresh, len(jobs), needing)
    done = [job for job in jobs if batch.standing(job)[2]]
    for job in done:
        show(job.table, batch.page, "done before, by the same code and parameters")
    ahead = batch.ahead = lanes([job for job in jobs if job not in done])
    bar_format = "{desc}: {n_fmt}/{total_fmt} [{elapsed}{postfix}]"  # its own time left takes all tables for alike
    try:
        with (
            ExitStack() as stack,
            tqdm(total=len(jobs), initial=len(done), desc="tables", disable=len(jobs) == 1, bar_format=bar_format) as bar,
            ThreadPoolExecutor(max(len(ahead), 1)) as pool,
        ):
            kernels = [stack.enter_context(Kernel(len(ahead))) for _ in ahead]
            batch.tell()
            work = [pool.submit(batch.run, lane, kernel) for lane, kernel in zip(ahead, kernels)]
            try:
                batch.show(bar)
                while wait(work, timeout=1).not_done:
                    batch.show(bar)
                batch.show(bar)
            finally:  # interrupted, perhaps
                batch.stopped.set()
                for kernel in kernels:
                    kernel.kill()
        for lane in work:
            lane.result()
    finally:
        shutil.rmtree(folder / ".running", ignore_errors=True)
        with suppress(OSError):
            (folder / READY).rmdir()
        report.write_json(folder / "failures.json", batch.failures)
        stopped = f"Stopped: {batch.done()} of {len(jobs)} tables done. The same command goes on from there."
        batch.page.write(batch.failures, "" if batch.done() == len(jobs) else stopped)
    return batch.failures


def lanes(jobs: list[Job]) -> list[list[Job]]:
    """Jobs that may run side by side: on a CPU those that share no data set with a network, of those that do one after the other."""
    if os.cpu_count() == 1 or any(devices.choose(job.values.get("device")).type != "cpu" for job in jobs):
        return [jobs] if jobs else []
    groups: list[tuple[set, list]] = []
    for job in jobs:
        pairs = set(product(*limits.rows_of(job.table, job.values.get("dataset") or "mini", job.values.get("model") or "mini")))
        alike = [group for group in groups if group[0] & pairs]
        if not alike and groups and (len(groups) == LANES or not pairs):
            alike = [min(groups, key=lambda group: len(group[1]))]
        for group in alike:
            groups.remove(group)
        groups.append((pairs.union(*(group[0] for group in alike)), [*(one for group in alike for one in group[1]), job]))
    return [jobs for _, jobs in groups]


class _Batch:
    """What the lanes of a run share."""

    def __init__(self, folder, fresh, n, needing=None):
        self.folder, self.fresh, self.n = folder, fresh, n
        self.page, self.failures, self.measured, self.earlier = Page(folder, needing), {}, {}, minutes.remembered()
        self.stopped, self.lock, self.ahead, self.now, self.shown = Event(), Lock(), [], "", None

    def run(self, lane, kernel):
        """Make the tables of a lane in a kernel; each leaves the lane when it is done."""
        while lane and not self.stopped.is_set():
            try:
                self.make(lane[0], kernel)
            except Exception as error:  # whatever one table meets, the others go on
                if self.stopped.is_set():
                    return
                self.failures[lane[0].table] = _sentence(error)
                tqdm.write(f"{lane[0].table} failed: {self.failures[lane[0].table]}", file=sys.stderr)
            lane.pop(0)
            self.tell()

    def done(self):
        """How many tables are."""
        return self.n - sum(map(len, self.ahead))

    def tell(self):
        """Write on the page what is under way, and keep it for the bar."""
        each = [minutes.left([_called(job) for job in lane], self.measured, self.earlier) for lane in self.ahead]
        left, now = minutes.words(None if None in each else max(each, default=0.0)), [lane[0].table for lane in self.ahead if lane]
        with self.lock:
            self.page.write(self.failures, f"Under way: {self.done()} of {self.n} tables done, {left}.")
            self.now = f"{' and '.join(now)}, {left}" if now else ""

    def show(self, bar):
        """Show on the bar what is under way."""
        bar.update(self.done() - bar.n)
        if self.now != self.shown:
            bar.set_postfix_str(self.now)
            self.shown = self.now
        elif len(self.ahead) > 1:  # kernels show no bars of their own
            bar.refresh()

    def standing(self, job):
        """``(rows, stamp, done)``: rows in the folder that are still right, or None; the stamp that the table is to have.

        Not done with rows: only what draws them has changed since.
        """
        mark = stamp.stamp(job.notebook, job.values)
        rows, earlier = self.page.results.get(job.table, (None, None))
        if self.fresh or not earlier or earlier.get("key") != mark["key"]:
            return None, mark, False
        drawn = mark.get("drawn")
        return rows, earlier | {"drawn": drawn}, earlier.get("drawn") == drawn

    def make(self, job, kernel):
        """Make one table: run its notebook in a folder of its own, move the files into the run's and put it on the page."""
        with self.lock:
            rows, mark, _ = self.standing(job)
        work = (self.folder / ".running" / job.table).absolute()
        shutil.rmtree(work, ignore_errors=True)
        report.hand_over(work, mark, rows)
        try:
            kernel.run(job.notebook, work / f"{job.table}.ipynb", {**job.values, "out": str(work)})
        except Exception:
            if (work / f"{job.table}.ipynb").is_file():
                os.replace(work / f"{job.table}.ipynb", self.folder / f"{job.table}.failed.ipynb")
            raise
        computed = rows is None
        rows, mark = report.load(work / f"{job.table}.json")
        with self.lock:
            _finish(job.table, work, self.folder, mark)
            self.page.add(job.table, rows, mark)
            if computed:
                self.measured[_called(job)] = mark["seconds"]
                minutes.remember(_called(job), mark["seconds"])
            show(job.table, self.page, minutes.took(mark["seconds"]) if computed else "drawn again")


def _called(job):
    """What the minutes of a table are remembered by."""
    return " ".join([job.table, *(str(job.values.get(name, "")) for name in ("dataset", "model", "device"))])


def _finish(table, work, folder, mark):
    """Put the finished table in the folder ``work`` into the run's, its notebook stamped and without bars."""
    notebook = nbformat.read(work / f"{table}.ipynb", as_version=4)
    notebook.metadata["foir"] = mark
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs = [output for output in cell.outputs if output.get("name") != "stderr"]
    nbformat.write(notebook, work / f"{table}.ipynb")
    (work / report.HANDED).unlink()
    os.replace(work, folder / READY / table)  # whole from here on, whatever happens
    settle(folder)


def settle(folder: Path) -> None:
    """Move finished tables, also of a run that was killed, to their places; what only earlier results have goes before the rows come.

    A run killed at any moment leaves the earlier result or the new one, which the next run completes.
    """
    remove_stale(folder)
    for ready in sorted((folder / READY).glob("*")):
        table, rows = ready.name, ready / f"{ready.name}.json"
        if rows.is_file():
            for old in [folder / f"{table}.failed.ipynb", *(path for ending in (".png", ".pdf", ".csv") for path in own(folder, table, ending))]:
                if not (ready / old.name).is_file():
                    old.unlink(missing_ok=True)
            os.replace(rows, folder / rows.name)
        for path in sorted(ready.iterdir()):
            os.replace(path, folder / path.name)
        ready.rmdir()


def show(table: str, page: Page, how: str) -> None:
    """Print a finished table."""
    rows, _ = page.results[table]
    text = "\n".join([report.wide(rows).reset_index().to_string(index=False), *report.notes(rows)])
    tqdm.write(f"\n{title(table)} ({how})\n{report.caption(rows)}\n\n{text}\n", file=sys.stdout)


def _sentence(error):
    """One line that says what went wrong in a table."""
    if isinstance(error, papermill.PapermillExecutionError):
        known = {kind.__name__ for kind in (FoirError, *FoirError.__subclasses__(), IntegrityError)}
        text = error.evalue if error.ename in known else f"{error.ename}: {error.evalue}"
        return " ".join(f"{text} (cell {error.exec_count})".split())
    if isinstance(error, FoirError):
        return str(error)
    if type(error).__name__ == "DeadKernelError":
        return "The notebook's kernel died, perhaps for want of memory: free some and run it again."
    return " ".join(f"{type(error).__name__}: {error}".split())
