"""What a memory holds: things, their views, and the events that made them."""

from dataclasses import dataclass, field

from foir_lib.data import masks
from foir_lib.prompts import Box, Mask, Prompt


@dataclass(frozen=True)
class View:
    """One region of a picture that shows a thing.

    picture: sha256 of the picture's pixels, of ``size`` (width, height); box: x0, y0, x1, y1 in pixels, or None for the whole picture;
    mask: COCO RLE {"size": [height, width], "counts": str}, or None; who: "human" or "machine"; at: UTC, ISO; sure: 0 to 1.
    """

    id: str
    thing: str
    picture: str
    path: str | None
    size: tuple[int, int]
    box: tuple[float, float, float, float] | None
    mask: dict | None = field(hash=False)
    who: str
    at: str
    sure: float
    gone: bool = False

    @property
    def region(self) -> Prompt | None:
        """The mask or box in the picture; None: the whole picture."""
        if self.mask is not None:
            return Mask(masks.decode(self.mask, self.size, f"View {self.id}"))
        return None if self.box is None else Box(*self.box)

    @property
    def content(self) -> tuple:
        """What is seen: equal for views of the same pixels."""
        return self.picture, self.box, None if self.mask is None else self.mask["counts"]


@dataclass(frozen=True)
class Thing:
    """A thing with all of its views, those of things merged into it too."""

    id: str
    name: str
    aliases: tuple[str, ...]
    properties: dict[str, str] = field(hash=False)
    views: tuple[View, ...] = ()


@dataclass(frozen=True)
class Event:
    """One thing that was said or done. body: {"changes": [...], ...}; undone: it is part of the history and not of the state."""

    id: str
    at: str
    who: str
    kind: str
    body: dict = field(hash=False)
    undone: bool = False
