"""PromptCanvas: a picture in the browser on which a person points, drags and paints; a view of a PromptState."""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import astuple
from functools import partial
from pathlib import Path

import numpy as np
import traitlets
from matplotlib.figure import Figure
from PIL import Image

from foir_lib.errors import FoirError, InputError
from foir_lib.images import open_image, rgb
from foir_lib.prompts import Point, Prompt
from foir_lib.text import SENTENCE, one_line
from foir_lib.view.figures import pictures
from foir_lib.view.widgets import upload
from foir_lib.view.widgets.live import Drawn, replace_earlier, static
from foir_lib.view.widgets.state import PromptState
from foir_lib.view.widgets.things import Taken, Taker
from foir_lib.view.widgets.thumbs import encoded

LONGEST = 1600  # pixels, longest side of the picture that goes to the browser
PATIENCE = 0.01  # seconds: edits that follow each other faster are answered once


class PromptCanvas(Drawn):
    """Draw prompts on ``picture`` (PIL); ``on_change`` says who wants to know. Works without a browser too.

    What a browser draws is in :attr:`state` at once; the callbacks run once, for the last of several edits that
    wait. ``grid`` (rows, columns) of a model shows a point's window and which patches are in the ROI. ``taker``, where ``takes``
    names one in words: what a click with the point tool takes; more clicks, positive or negative, refine a mask.
    """

    taker: Taker | None = None

    _esm, _css = static("prompt_canvas.js"), static("common.css", "prompt_canvas.css")
    image = traitlets.Bytes().tag(sync=True)  # a JPEG
    size = traitlets.Tuple(default_value=(0, 0)).tag(sync=True)  # (width, height) of the original
    number = traitlets.Int(0).tag(sync=True)  # which picture: edits of an earlier one are void
    label = traitlets.Unicode().tag(sync=True)
    tool = traitlets.Enum(("point", "box", "brush", "lasso"), "box").tag(sync=True)  # in the hand at first
    grid = traitlets.Tuple(allow_none=True, default_value=None).tag(sync=True)  # (rows, columns)
    drawing = traitlets.Dict().tag(sync=True)  # prompts, selected, undo, redo, roi
    takes = traitlets.Unicode().tag(sync=True)
    hover = traitlets.Dict().tag(sync=True)  # outline of what a click would take, and number of the question
    object = traitlets.Dict().tag(sync=True)  # label and box [x0, y0, x1, y1] of what is looked for, or nothing
    bases = traitlets.Dict().tag(sync=True)  # name of a mask given in code -> PNG
    accepted = traitlets.Dict().tag(sync=True)  # view -> number of its last edit that is in the state
    answered = traitlets.Dict().tag(sync=True)  # view -> number of its last edit that callbacks know
    message = traitlets.Dict({"text": "", "error": False, "n": 0}).tag(sync=True)
    limits = traitlets.Dict({"bytes": upload.BYTES, "chunk": upload.CHUNK}).tag(sync=True)

    def __init__(self, picture=None, prompt=None, label="query picture", grid=None, **options):
        self.picture = self.state = None
        self._uploads, self._timer, self._asked = upload.Uploads(), None, (0, None)
        self._taken = Taken()
        super().__init__(label=label, grid=grid, **options)
        if picture is not None:
            self._open(picture, prompt, label)
            self._asked = (self.number, self.prompt)
        elif prompt is not None:
            raise InputError(f"{prompt} has no picture to lie on: give the picture too.")
        replace_earlier(self)

    def __repr__(self):
        if self.state is None:
            return "PromptCanvas (no picture)"
        return f"PromptCanvas ({self.label}, {self.size[0]} x {self.size[1]} pixels, {self.prompt or 'no prompt'})"

    def still(self) -> Figure | None:
        return None if self.picture is None else pictures.page(self.query, [])

    # ---- for Python

    def show(self, picture: Image.Image | str | Path, prompt: Prompt | None = None, label: str | None = None) -> None:
        """Another picture (PIL, or a path), with an empty history. With a ``prompt`` off it: InputError, the old stays."""
        self._open(picture, prompt, label)
        self._ask()

    @property
    def prompts(self) -> tuple[Prompt, ...]:
        """All prompts on the picture."""
        return () if self.state is None else self.state.prompts

    @property
    def prompt(self) -> Prompt | None:
        """The selected prompt, or None. Set it: it takes the place of the present one; None clears all."""
        return None if self.state is None else self.state.prompt

    @prompt.setter
    def prompt(self, prompt):
        if prompt is None:
            self.edit("clear")
        elif self.prompt is None:
            self.edit("add", prompt)
        elif self.prompt != prompt:
            self.edit("replace", prompt)

    @property
    def query(self) -> tuple | None:
        """What :func:`figures.pictures.page` draws of it."""
        return None if self.picture is None else (self.picture, self.prompts, self.state.selected, self.grid)

    asks = prompt  # the selected one does

    def edit(self, name: str, *arguments) -> None:
        """Any edit of :class:`PromptState` by its name, ``edit("undo")``; callbacks run before it returns."""
        try:
            if self.state is None:
                raise InputError("There is no picture yet: show one before the prompt.")
            (partial(self._taken.take, self) if name == "take" else getattr(self.state, name))(*arguments)
        except FoirError as error:
            self.say(error, error=True)
            raise
        self.quiet()
        self._draw()
        self._ask()

    def take(self, x: float, y: float, positive: bool = True, alone: bool = True) -> None:
        """What a click at a point takes, in the place of all prompts (``alone``) or beside them, see :meth:`things.Taken.take`."""
        self.edit("take", x, y, positive, alone)

    def on_change(self, callback: Callable, remove: bool = False) -> None:
        """Call ``callback(canvas)`` after the picture or the prompt that asks changed; ``remove``: don't any more."""
        self._callbacks.register_callback(callback, remove)

    def say(self, sentence, error: bool = False) -> None:
        """Show a sentence below the picture (``error``: as one)."""
        self.message = {"text": one_line(sentence, SENTENCE), "error": bool(error), "n": self.message["n"] + 1}

    def quiet(self) -> None:
        """Take an error back from below the picture."""
        if self.message["error"]:
            self.say("")

    def reveal(self) -> None:
        """Scroll the page to the picture."""
        self.send({"reveal": True})

    def wait(self) -> None:
        """Answer at once what waits for its timer: after it, callbacks know the last edit."""
        if self._timer is not None:
            self._cancel()
            self._answer()

    def close(self):
        """Leave the page; forget callbacks and what was still to be answered."""
        self._cancel()
        self._uploads = upload.Uploads()
        super().close()

    # ---- from the browser

    def receive(self, content: dict, buffers=()) -> None:
        """One edit ``{"view", "n", "picture", "op", ...}``: into the state at once, answered after the last that waits."""
        try:
            if content.get("op") == "upload":
                arrived = self._uploads.receive(str(content.get("view")), content, buffers)
                if arrived is None:
                    return  # more is to come
                self._open(arrived[0], None, Path(arrived[1]).stem)
            elif self.state is not None and content.get("picture") == self.number:
                if content.get("op") == "hover":
                    return setattr(self, "hover", self._taken.outline(self, content))
                if content.get("op") == "ask":
                    self._asked = None  # again, though nothing has changed
                elif content.get("op") == "take":
                    self._taken.take(self, *(content.get(name) for name in ("x", "y", "positive", "alone")))
                else:
                    self.state.edit(content)
            self.quiet()
        except FoirError as error:
            self.say(error, error=True)
        with self.hold_sync():
            self._draw()
            view, n = str(content.get("view")), content.get("n")
            if isinstance(n, int):
                self.accepted = self.accepted | {view: max(n, self.accepted.get(view, 0))}
        self._cancel()
        try:
            self._timer = asyncio.get_running_loop().call_later(PATIENCE, self._answer)
        except RuntimeError:  # no loop: nothing can be waiting
            self._answer()

    def _answer(self):
        try:
            self._ask()
        except FoirError:
            pass  # it stands on the page
        except Exception:
            logging.getLogger(__name__).exception("A callback of the canvas failed.")

    def _ask(self):
        """Run the callbacks if what asks has changed, all of them; the first error is shown and raised."""
        self._cancel()
        accepted, asking, errors = self.accepted, (self.number, self.asks), []
        if asking != self._asked:
            self._asked, errors = asking, self._callbacks(self)
        if errors:
            sentence = isinstance(errors[0], FoirError)
            self.say(errors[0] if sentence else f"{type(errors[0]).__name__} in the answer: {errors[0]}", error=True)
        self.answered = accepted
        if errors:
            raise errors[0]

    def _cancel(self):
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    # ---- to the browser

    def _open(self, picture, prompt, label):
        picture = rgb(picture).copy() if isinstance(picture, Image.Image) else open_image(picture)
        state = PromptState(picture.size)
        if prompt is not None:
            state.add(prompt)
        self.picture, self.state, self.bases = picture, state, {}
        with self.hold_sync():
            self.object = self.hover = {}
            self.image, self.size, self.number = encoded(picture, LONGEST, quality=92), picture.size, self.number + 1
            self.label = self.label if label is None else one_line(label)
            self.quiet()
            self._draw()

    @traitlets.observe("grid")
    def _draw(self, _=None):
        """What is in the state, as traits."""
        if self.state is None:
            return
        state, prompts, roi = self.state, self._taken.described(self.state), []
        if self.grid is not None:
            for prompt, described in zip(state.prompts, prompts):
                if isinstance(prompt, Point):
                    described["region"] = list(astuple(prompt.box(state.size, self.grid)))
            if state.prompt is not None:
                roi = np.flatnonzero(state.prompt.tokens(self.grid, state.size)).tolist()
        bases = {
            name: self.bases.get(name) or encoded(Image.fromarray(mask.array).convert("L"), LONGEST, "PNG")
            for name, mask in state.bases().items()
        }
        about = {"selected": state.selected, "undo": state.can_undo, "redo": state.can_redo, "roi": roi}
        with self.hold_sync():
            self.bases, self.drawing = bases, {"prompts": prompts, **about}
