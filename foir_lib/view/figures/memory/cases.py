"""Cases of reflection: a picture, the first answer and the one after it, and the reason that was given."""

from collections.abc import Sequence
from textwrap import fill
from typing import NamedTuple

from matplotlib.figure import Figure
from PIL import Image

from foir_lib.errors import InputError
from foir_lib.view.figures import parts
from foir_lib.view.figures.looks import GREEN, RED, canvas

LINE = 48  # letters beside a picture


class Case(NamedTuple):
    """``tried``: candidates in the order in which they were asked for, the last is the answer, and the log-odds of yes of each;
    ``reason``: what the model writes when it is asked why, of the first."""

    picture: Image.Image
    tried: Sequence[tuple[str, float]]
    truth: str
    reason: str = ""


def reflections(corrected: Sequence[Case], spoilt: Sequence[Case], title: str | None = None) -> Figure:
    """Answers put right at the left, answers spoilt at the right, a case a row. Raises InputError without any case."""
    rows = max(len(corrected), len(spoilt))
    if not rows:
        raise InputError("There is no case to show: give at least one that was put right or spoilt.")
    with canvas(1.2 * rows + 0.4) as figure:
        places = figure.add_gridspec(rows, 4, width_ratios=(1, 2.4, 1, 2.4))
        for column, (cases, heading) in enumerate(((corrected, "put right"), (spoilt, "spoilt"))):
            for row, case in enumerate(cases):
                left, right = (figure.add_subplot(places[row, 2 * column + place]) for place in (0, 1))
                parts.show(left, case.picture)
                parts.frame(left, *parts.VERDICTS[case.tried[-1][0] == case.truth])
                right.set_axis_off()
                if not row:
                    left.set_title(heading)
                _told(right, case)
        parts.words(figure, title)
    return figure


def _told(axes, case):
    """The candidates, each with its log-odds, true ones green and false ones red with their marks; below them the reason."""
    y, style = 1.0, {"transform": axes.transAxes, "va": "top"}
    for place, (name, odds) in enumerate(case.tried):
        true = name == case.truth
        text = fill(f"{parts.VERDICTS[true][1]} {name}: {odds:+.1f}{', taken' * (place == len(case.tried) - 1)}", LINE)
        axes.text(0, y, text, color=GREEN if true else RED, **style).set_in_layout(False)
        y -= 0.15 * (1 + text.count("\n"))
    if case.reason:
        axes.text(0, y - 0.04, fill(f"why? “{case.reason}”", LINE), fontstyle="italic", **style).set_in_layout(False)
