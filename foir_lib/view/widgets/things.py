"""What a click takes: the thing under it, by a segmenter or by the annotations of a set; no widget in sight."""

from collections.abc import Callable, Sequence
from dataclasses import astuple
from typing import NamedTuple
from weakref import WeakKeyDictionary

import numpy as np
from PIL import Image

from foir_lib.errors import InputError
from foir_lib.files import as_path
from foir_lib.prompts import Box, Mask, Point, Prompt
from foir_lib.text import SENTENCE, one_line
from foir_lib.view.figures.pixels import contours, corners
from foir_lib.view.widgets.painting import number

FINE = 400  # steps along the longer side of a picture, of an outline on the page


class Click(NamedTuple):
    """A point in pixels; ``positive``: on the thing, else beside it."""

    x: float
    y: float
    positive: bool = True


class Thing(NamedTuple):
    """What clicks mean, as a prompt, and in ``words`` who says so."""

    prompt: Prompt
    words: str


Taker = Callable[[Image.Image, Sequence[Click]], Thing | None]  # None where there is nothing under the last click


class Segmented:
    """Things by a segmenter that takes points (a name, a place or an object of :func:`load_segmenter`), opened at the first click.

    All clicks are put to it together (SAM's habit); a picture is embedded once.
    """

    def __init__(self, segmenter):
        self.segmenter, self._network, self._picture, self._embedded = segmenter, None, None, None

    @property
    def name(self) -> str:
        """What it is called on the page."""
        return as_path(self.segmenter).name if isinstance(self.segmenter, str) else "the segmenter"

    @property
    def opened(self) -> bool:
        """Whether the network is in memory."""
        return self._network is not None

    def __call__(self, picture: Image.Image, clicks: Sequence[Click]) -> Thing | None:
        if self._network is None:
            from foir_lib.models.segmenters import load_segmenter  # takes seconds, which only those who click wait for

            self._network = self.segmenter if hasattr(self.segmenter, "predict") else load_segmenter(self.segmenter)
        if self._picture is not picture:
            self._picture, self._embedded = picture, self._network.embed(picture)
        points, labels = np.array([[[c.x, c.y] for c in clicks]]), np.array([[int(c.positive) for c in clicks]])
        (mask,) = self._network.upscaled(self._network.predict(self._embedded, points=points, labels=labels))
        return Thing(Mask(mask), f"by {self.name}") if mask.any() else None


class Annotated:
    """Things that a set has annotated: ``items_of()`` gives the (row, box, label) of those on the present picture, ``mask_of(row)`` a Mask or None.

    A click means the smallest one under it, by its mask where it has one, else by its box. Masks of several clicks add up, those of
    negative ones are taken away.
    """

    def __init__(self, items_of: Callable[[], list[tuple]], mask_of: Callable[[int], Mask | None]):
        self._items_of, self._mask_of = items_of, mask_of

    def __call__(self, picture: Image.Image, clicks: Sequence[Click]) -> Thing | None:
        things = [self._under(picture, click) for click in clicks]
        if len(clicks) == 1 or things[-1] is None:
            return things[-1]
        total = np.zeros(picture.size[::-1], bool)
        for click, thing in zip(clicks, things, strict=True):
            if thing is not None:
                total[thing.prompt.pixels(picture.size)] = click.positive
        return Thing(Mask(total), "annotated in the set") if total.any() else None

    def _under(self, picture, click):
        items = sorted(self._items_of(), key=lambda item: (item[1][2] - item[1][0]) * (item[1][3] - item[1][1]))
        for row, (x0, y0, x1, y1), label in items:
            if x0 <= click.x < x1 and y0 <= click.y < y1:
                mask = self._mask_of(row)
                if mask is None:
                    return Thing(Box(x0, y0, x1, y1), f"{label}, a box annotated in the set")
                if mask.pixels(picture.size)[int(click.y), int(click.x)]:
                    return Thing(mask, f"{label}, a mask annotated in the set")
        return None


class Taken:
    """Of a canvas: the masks that were taken by clicks, and what a click would take."""

    def __init__(self):
        self._clicks = WeakKeyDictionary()  # mask -> its clicks

    def take(self, canvas, x, y, positive=True, alone=True) -> None:
        """The thing at a point into the state of a canvas, in the place of all prompts (``alone``) or beside them; without one, the point.

        Where the selected mask was taken by clicks, a further one (not ``alone``, or not ``positive``) refines it. Raises InputError
        for a point off the picture, and for a negative click where nothing was taken.
        """
        click, known = Click(number(x, "x"), number(y, "y"), positive is not False), self._of(canvas.prompt)
        further = known and not (alone and click.positive)
        if not further and not click.positive:
            raise InputError("There is no mask to take away from: click a thing first.")
        clicks = (*known, click) if further else (click,)
        thing = self._thing(canvas, clicks)
        if further and thing is None:
            raise InputError("Nothing of the mask would be left, or there is nothing at this click: click another place.")
        if further:
            canvas.state.replace(thing.prompt)
        else:
            canvas.state.add(Point(click.x, click.y) if thing is None else thing.prompt, bool(alone))
        if thing is not None and isinstance(canvas.prompt, Mask):
            self._clicks[canvas.prompt] = clicks

    def outline(self, canvas, content: dict) -> dict:
        """What a click at the place of a message of the browser would take: paths (flat lists of x and y in turn), words, and whose question it was."""
        thing, size = self._thing(canvas, [Click(number(content.get("x"), "x"), number(content.get("y"), "y"))]), canvas.size
        about = {"view": str(content.get("view")), "n": content.get("hover")}
        if thing is None:
            return {"paths": [], "words": ""} | about
        box = isinstance(thing.prompt, Box)
        paths = [corners(astuple(thing.prompt))] if box else contours(thing.prompt.array, max(size) / FINE)
        return {"paths": [np.round(path, 1).ravel().tolist() for path in paths], "words": one_line(thing.words, SENTENCE)} | about

    def described(self, state) -> list[dict]:
        """The prompts of a state for the browser, with the clicks of those that were taken by some."""
        return [one | {"clicks": [list(c) for c in self._of(prompt)]} if self._of(prompt) else one for prompt, one in zip(state.prompts, state.describe(), strict=True)]

    def _of(self, prompt):
        return self._clicks.get(prompt, ()) if isinstance(prompt, Mask) else ()

    def _thing(self, canvas, clicks):
        for click in clicks:
            Point(click.x, click.y).tokens((1, 1), canvas.size)  # raises off the picture
        return None if canvas.taker is None else canvas.taker(canvas.picture, clicks)
