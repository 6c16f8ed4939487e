"""Whether a memory is right as often as it says: the share right over the stated confidence."""

from collections.abc import Sequence

from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from foir_lib.bench.metrics.calibration import BINS, expected_calibration_error, reliability
from foir_lib.text import percent
from foir_lib.view.figures import looks


def calibration(confidences: Sequence[float], right: Sequence[bool], bins: int = BINS, title: str | None = None) -> Figure:
    """The share ``right`` (n,) over the stated ``confidences`` (n,), 0 to 1, in ``bins`` of equal width, with 95 % intervals (Wilson); the
    diagonal is what is perfectly calibrated; below it how many answers each bin has. Raises InputError as :func:`reliability` does."""
    rows = reliability(confidences, right, bins)
    error = expected_calibration_error(confidences, right, bins)
    with looks.canvas(4.4, 5.2) as figure:
        upper, lower = panels = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
        upper.plot([0, 100], [0, 100], color=looks.GREY, linestyle="--", linewidth=1.2, label="right as often as stated")
        upper.vlines(100 * rows["confidence"], 100 * rows["low"], 100 * rows["high"], color=looks.BLUE, alpha=0.5, label="95 % interval (Wilson)")
        upper.plot(100 * rows["confidence"], 100 * rows["right"], "o", color=looks.BLUE, markersize=5, label="answers of a bin")
        upper.set_title(f"expected calibration error {percent(error)}, {rows['n'].sum()} answers", loc="left")
        upper.set(xlim=(0, 100), ylim=(-2, 102), xticks=range(0, 101, 20), yticks=range(0, 101, 20))
        upper.grid(linewidth=0.3)
        width = 100 / bins
        bars = lower.bar(width * (rows.index + 0.5), rows["n"], 0.94 * width, color=looks.SKY, edgecolor="black", linewidth=0.4)
        lower.bar_label(bars, padding=1)
        lower.yaxis.set_major_locator(MaxNLocator(3, integer=True))
        lower.margins(y=0.25)
        looks.finish(figure, panels, 1, "first answers right (%)", "stated confidence that the first answer is right (%)", title)
        lower.set_ylabel("answers")
    return figure
