"""Histogram: bars that can be chosen by mouse or keyboard, as a filter of what they count."""

import traitlets

from foir_lib.errors import InputError
from foir_lib.view.widgets.live import Drawn, static


class Histogram(Drawn):
    """Bars from left to right; :meth:`show` sets them, ``chosen`` holds where those are that were chosen, [] for no choice.

    A bar: at (int, unlike that of any other; its sign is drawn), n (its count), label (below it), words (what a screen reader says).
    """

    _esm, _css = static("results/histogram.js"), static("results/histogram.css")
    bars = traitlets.List().tag(sync=True)
    chosen = traitlets.List(traitlets.Int()).tag(sync=True)
    label = traitlets.Unicode().tag(sync=True)

    def __repr__(self):
        return f"Histogram ({len(self.bars)} bars, {sum(bar['n'] for bar in self.bars):,} counted)"

    def show(self, bars: list[dict], label: str) -> None:
        """Show ``bars`` in place of the present ones, with a ``label`` of the whole; a choice that isn't among them is dropped."""
        known = {bar["at"] for bar in bars}
        if len(known) < len(bars):
            raise InputError(f"{len(bars)} bars stand at {len(known)} places: give each its own.")
        with self.hold_sync():
            self.bars, self.label = bars, label
            self.chosen = [at for at in self.chosen if at in known]

    def receive(self, content: dict, buffers=()) -> None:
        """Nothing comes but traits."""
