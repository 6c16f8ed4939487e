"""Cut out everywhere, on a page: a folder, a button, a bar, and what came of it; the work runs in a thread."""

import asyncio
import logging
from collections.abc import Callable, Mapping
from contextlib import suppress
from threading import Thread
from typing import NamedTuple

import ipywidgets
from ipywidgets import Layout

from foir_lib.data.sets import RetrievalSet
from foir_lib.detections import Localisation
from foir_lib.errors import FoirError, InputError, number
from foir_lib.files import as_path, try_place
from foir_lib.text import markup
from foir_lib.view.cutouts import COCO, REMEDY, cut_out
from foir_lib.view.widgets.live import Words

CUT, STOP = "cut out everywhere", "stop"


class Results(NamedTuple):
    """What is to be cut out of ``n`` results: database row of a set -> where the thing is; the thing's name."""

    set: RetrievalSet
    answers: Mapping[int, Localisation]
    label: str
    n: int


class Stopped(Exception):
    """Raised in the thread, where the work was stopped."""


class Cutting(ipywidgets.VBox):
    """Writes the thing of every result as :func:`cut_out` does; ``results()`` says of which, when the button is pressed.

    Only what is localised by a score of at least ``least`` (text; empty: by any) is cut. Without a running event loop the work is done at once.
    """

    def __init__(self, results: Callable[[], Results]):
        self._results, self._job = results, None
        style = {"description_width": "initial"}
        self.folder = ipywidgets.Text("runs/cutout", description="folder", style=style, layout=Layout(flex="1 1 220px", width="auto", max_width="480px"))
        self.least = ipywidgets.Text(description="by a score of at least", placeholder="any", style=style, layout=Layout(width="240px"))
        words = "Writes the thing of every result into the folder: RGBA PNGs and a COCO file, instances.json"
        self.button = ipywidgets.Button(description=CUT, icon="scissors", tooltip=words, layout=Layout(width="auto"))
        self.bar, self.words = ipywidgets.IntProgress(0, 0, 1, layout=Layout(display="none", width="auto", max_width="480px")), Words()
        self.bar.tooltip = "pictures that are cut out"
        self.button.on_click(lambda _: self.start() if self._job is None else self.stop())
        line = ipywidgets.HBox([self.button, self.folder, self.least], layout=Layout(flex_flow="row wrap", grid_gap="4px 8px"))
        super().__init__([line, self.bar, self.words])
        self.add_class("foir-cutting")

    @property
    def running(self) -> bool:
        return self._job is not None

    def start(self) -> None:
        """Cut, and say what came of it; what can't be done is said in a sentence."""
        try:
            results, folder = self._results(), self._place()
            least = self._bound()
        except FoirError as error:
            return self._end(str(error), problem=True)
        self._job = job = Job()
        self.button.description, self.button.icon, self.words.value = STOP, "stop", ""
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            self._work(job, results, folder, least, lambda work, *arguments: work(*arguments))
        else:
            Thread(target=self._work, args=(job, results, folder, least, loop.call_soon_threadsafe), name="cutting", daemon=True).start()

    def stop(self) -> None:
        """Cut no more; what is written stays."""
        if self._job is not None:
            self._job.stopped = True
            self._end("Stopped: the pictures that are written stay, the COCO file is as it was.")

    def close(self) -> None:
        self.stop()
        super().close()

    def _work(self, job, results, folder, least, tell):
        """In the thread; ``tell(work, ...)`` does work in the thread of the page."""

        def advanced(done, n):
            if job.stopped:
                raise Stopped
            tell(self._advance, job, done, n)

        with suppress(Stopped, RuntimeError):  # or the page's loop was closed meanwhile
            try:
                accepted = {row: one for row, one in results.answers.items() if one and (least is None or one.score >= least)}
                if not accepted:
                    raise _nothing(results, least)
                path = cut_out(results.set, {0: accepted}, folder, progress=False, labels=[results.label], advanced=advanced)
                tell(self._end, f"{len(accepted)} of the first {results.n} results are cut out: {path.absolute()}", job)
            except FoirError as error:
                tell(self._end, str(error), job, True)
            except Exception as error:
                if isinstance(error, Stopped):
                    raise
                logging.getLogger(__name__).exception("Cutting out failed.")
                tell(self._end, f"Cutting out fails ({type(error).__name__}: {error}).", job, True)

    def _advance(self, job, done, n):
        if job is self._job:
            self.bar.max, self.bar.value, self.bar.layout.display = n, done, None
            self.words.value = markup('<span role="status">{} of {} pictures are cut out …</span>', done, n)

    def _end(self, words, job=None, problem=False):
        if job in (None, self._job):
            self._job, self.button.description, self.button.icon = None, CUT, "scissors"
            self.bar.layout.display = "none"
            self.words.value = markup('<span role="alert">{}</span>' if problem else '<span role="status">{}</span>', words)

    def _place(self):
        name = self.folder.value.strip()
        if not name:
            raise InputError("There is no folder to write to: name one, such as ~/cutouts.")
        folder = as_path(name)
        try_place(folder / COCO, REMEDY)
        return folder

    def _bound(self):
        text = self.least.value.strip()
        try:
            return number(float(text), "The least score") if text else None
        except ValueError as error:
            raise InputError(f"The least score {text!r} is no number: write one such as 0.5, or nothing.") from error


def _nothing(results, least):
    best = max((one.score for one in results.answers.values() if one), default=None)
    if best is None:
        return InputError(f"Nothing is outlined on these {results.n} results: choose a localiser, or ask with something else.")
    return InputError(f"None of the outlines on these {results.n} results has a score of at least {least:g}: the best has {best:.3g}, ask for no more.")


class Job:
    """One press of the button."""

    stopped = False
