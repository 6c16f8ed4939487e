"""What a user has drawn on one picture: prompts, the selected one, and the way back. No widget in sight.

Every method changes everything or, with InputError, nothing. Coordinates are pixels of the original picture
and stay on it. Edits arrive from a browser as plain dicts, see :meth:`PromptState.edit`.
"""

import numbers
from dataclasses import asdict
from inspect import signature

import numpy as np

from foir_lib.errors import InputError
from foir_lib.prompts import Box, Mask, Point, Prompt
from foir_lib.view.widgets.painting import Painting, Stroke, number, path

HISTORY = 100  # steps that can be undone
EDGE = 0.01  # pixels: a point stays this far inside the right and lower edge


class PromptState:
    """Prompts on a picture of ``size`` (width, height). ``prompts[selected]`` is the one that asks; where there are some, one does."""

    def __init__(self, size: tuple[int, int]):
        self.size = (int(size[0]), int(size[1]))
        self._entries, self.selected = (), -1  # an entry: Box, Point or Painting; selected: an index, or -1
        self._past, self._future = [], []  # (entries, selected) before and after the present
        self.masks = {}  # Painting -> Mask, for the present entries only

    def __repr__(self):
        return f"PromptState ({len(self._entries)} prompts on {self.size[0]} x {self.size[1]} pixels)"

    @property
    def prompts(self) -> tuple[Prompt, ...]:
        """Box, Point and Mask objects, in the order they were added."""
        return tuple(self._mask(e) if isinstance(e, Painting) else e for e in self._entries)

    @property
    def prompt(self) -> Prompt | None:
        """The selected prompt, or None."""
        return self.prompts[self.selected] if self.selected >= 0 else None

    @property
    def steps(self) -> int:
        """How many steps can be undone."""
        return len(self._past)

    can_undo = property(lambda self: bool(self._past))
    can_redo = property(lambda self: bool(self._future))

    # ---- edits

    def add(self, prompt: Prompt, alone: bool = False) -> None:
        """Add a prompt, or put it in the place of all (``alone``), and select it. Raises InputError when it lies off the picture."""
        self._put(len(self._entries), self._entry(prompt), bool(alone))

    def replace(self, prompt: Prompt, index: int | None = None) -> None:
        """Put ``prompt`` in the place of one (default: the selected) and select it."""
        self._put(self._index(index), self._entry(prompt))

    def remove(self, index: int | None = None) -> None:
        """Take one prompt (default: the selected) away; its neighbour is selected when it was."""
        index, entries = self._index(index), list(self._entries)
        del entries[index]
        selected = min(self.selected, len(entries) - 1) if index >= self.selected else self.selected - 1
        self._step(tuple(entries), selected)

    def clear(self) -> None:
        """Take all prompts away."""
        self._step((), -1)

    def select(self, index: int) -> None:
        """Select the prompt at ``index``. Not a step of the history."""
        self.selected = self._index(index)

    def move(self, dx: float, dy: float) -> None:
        """Move the selected prompt by pixels, as far as the picture reaches (a mask by whole pixels)."""
        dx, dy = number(dx, "dx"), number(dy, "dy")
        index, (width, height) = self._index(None), self.size
        entry = self._entries[index]
        if isinstance(entry, Point):
            x, y = np.clip((entry.x + dx, entry.y + dy), 0, (width - EDGE, height - EDGE)).tolist()
            self._put(index, Point(x, y, entry.window))
            return
        box = entry if isinstance(entry, Box) else self._mask(entry).box(self.size)
        dx, dy = np.clip((dx, dy), (-box.x0, -box.y0), (width - box.x1, height - box.y1)).tolist()
        if isinstance(entry, Box):
            moved = Box(box.x0 + dx, box.y0 + dy, box.x1 + dx, box.y1 + dy)
            self._put(index, moved.box(self.size))  # rounding can't carry it off the picture
        elif round(dx) or round(dy):
            self._put(index, entry.moved(round(dx), round(dy)))

    def resize(self, dx: float, dy: float) -> None:
        """Move the lower right corner of the selected box by pixels; a box keeps at least one pixel."""
        dx, dy = number(dx, "dx"), number(dy, "dy")
        index, (width, height) = self._index(None), self.size
        box = self._entries[index]
        if not isinstance(box, Box):
            raise InputError("Only a box can be resized: move the point, or paint more of the mask.")
        x1 = max(min(box.x1 + dx, width), min(box.x0 + 1, box.x1))
        y1 = max(min(box.y1 + dy, height), min(box.y0 + 1, box.y1))
        self._put(index, Box(box.x0, box.y0, x1, y1))

    def stroke(self, points, radius: float, erase: bool = False, alone: bool = False, new: bool = False) -> None:
        """Brush along ``points`` onto the selected mask; ``erase`` takes away.

        Where none is selected, or with ``new``, onto a new one, in the place of all prompts where it is ``alone``.
        """
        radius = number(radius, "radius")
        if not 0 < radius <= max(self.size):
            raise InputError(f"Brush radius {radius:g} must be between 0 and {max(self.size)} pixels: choose another.")
        self._paint(Stroke(path(points, 1, self.size, "stroke"), radius, bool(erase)), bool(alone), bool(new))

    def lasso(self, points, erase: bool = False, alone: bool = False, new: bool = False) -> None:
        """As :meth:`stroke`, with the inside of the closed line."""
        self._paint(Stroke(path(points, 3, self.size, "lasso"), None, bool(erase)), bool(alone), bool(new))

    def undo(self) -> None:
        """Go back before the last edit; nothing happens when there is none."""
        self._travel(self._past, self._future)

    def redo(self) -> None:
        """Do again what was undone last; nothing happens when there is nothing."""
        self._travel(self._future, self._past)

    def edit(self, edit: dict) -> None:
        """One edit as the browser sends it: ``{"op": name, ...}`` with the arguments of the method ``name``.

        A prompt is ``{"kind": "box", "x0", "y0", "x1", "y1"}`` or ``{"kind": "point", "x", "y"}``. Raises
        InputError when the edit makes no sense; the state is then as it was.
        """
        if not isinstance(edit, dict) or not isinstance(edit.get("op"), str) or edit["op"] not in OPERATIONS:
            raise InputError(f"Edit {str(edit)[:80]!r} is unknown: use one of {', '.join(OPERATIONS)}.")
        arguments = OPERATIONS[edit["op"]]
        values = {name: edit[name] for name in arguments if name in edit}
        try:
            if "prompt" in values:
                values["prompt"] = _read(values["prompt"])
            getattr(self, edit["op"])(**values)
        except (TypeError, KeyError) as error:
            raise InputError(f"Edit {str(edit)[:80]!r} is incomplete ({error}): give {arguments}.") from error

    def describe(self) -> list[dict]:
        """The prompts as plain dicts (JSON) for the browser; a mask has ``strokes``, its tight ``box``, ``base``."""
        return [self._described(entry) for entry in self._entries]

    def bases(self) -> dict[str, Mask]:
        """The pictures below the strokes of masks given in code: their name in :meth:`describe` -> Mask."""
        return {e.base_name: e.base for e in self._entries if isinstance(e, Painting) and e.base is not None}

    # ---- inside

    def _entry(self, prompt):
        if isinstance(prompt, Box):
            return prompt.box(self.size)
        if isinstance(prompt, Point):
            prompt.tokens((1, 1), self.size)  # raises when it lies off the picture
            return prompt
        if isinstance(prompt, Mask):
            prompt.pixels(self.size)
            return Painting(base=prompt)
        raise InputError(f"Prompt {str(prompt)[:80]!r} is none: give a Box, a Point or a Mask.")

    def _index(self, index):
        if index is None:
            index = self.selected
            if index < 0:
                raise InputError("No prompt is selected: draw one, or select one first.")
        if isinstance(index, bool) or not isinstance(index, numbers.Integral) or not 0 <= index < len(self._entries):
            raise InputError(f"There is no prompt {index!r}: the picture has {len(self._entries)}, counted from 0.")
        return int(index)

    def _paint(self, stroke, alone, new):
        entry = self._entries[self.selected] if self.selected >= 0 and not (new and not stroke.erase) else None
        if not isinstance(entry, Painting):
            if stroke.erase:
                raise InputError("There is nothing to erase: select a mask first.")
            index, entry, before = len(self._entries), Painting(), np.zeros(self.size[::-1], dtype=bool)
        else:
            index, before, alone = self.selected, self._mask(entry), False
        entry, mask = entry.plus(stroke, before)
        if not np.array_equal(mask.array, getattr(before, "array", before)):
            self.masks[entry] = mask
            self._put(index, entry, alone)

    def _mask(self, painting):
        if painting not in self.masks:
            untouched = painting.base is not None and not painting.strokes and painting.offset == (0, 0)
            self.masks[painting] = painting.base if untouched else painting.mask(self.size)
        return self.masks[painting]

    def _put(self, index, entry, alone=False):
        if isinstance(entry, Painting):
            self._mask(entry)  # raises when nothing of it is on the picture
        others = ((), ()) if alone else (self._entries[:index], self._entries[index + 1 :])
        self._step((*others[0], entry, *others[1]), len(others[0]))

    def _step(self, entries, selected):
        if entries == self._entries:
            self.selected = selected
            return
        self._past = [*self._past, (self._entries, self.selected)][-HISTORY:]
        self._future = []
        self._set(entries, selected)

    def _travel(self, source, target):
        if source:
            target.append((self._entries, self.selected))
            self._set(*source.pop())

    def _set(self, entries, selected):
        self._entries, self.selected = entries, selected
        self.masks = {painting: mask for painting, mask in self.masks.items() if painting in entries}

    def _described(self, entry):
        if isinstance(entry, Painting):
            return entry.described(self._mask(entry).box(self.size))
        return {"kind": type(entry).__name__.lower(), **asdict(entry)}


EDITS = ("add", "replace", "remove", "clear", "select", "move", "resize", "stroke", "lasso", "undo", "redo")
OPERATIONS = {name: tuple(signature(getattr(PromptState, name)).parameters)[1:] for name in EDITS}


def _read(prompt):
    """A Box or Point from the browser's dict."""
    kinds = {"box": (Box, ("x0", "y0", "x1", "y1"), ()), "point": (Point, ("x", "y"), ("window",))}
    kind = prompt.get("kind") if isinstance(prompt, dict) else None
    if not isinstance(kind, str) or kind not in kinds:
        raise InputError(f"Prompt {str(prompt)[:80]!r} is unknown: give a box or a point.")
    make, needed, optional = kinds[kind]
    values = {name: number(prompt[name], name) for name in needed}
    return make(**values, **{name: prompt[name] for name in optional if name in prompt})
