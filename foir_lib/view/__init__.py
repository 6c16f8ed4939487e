"""Pictures of what happened: :mod:`figures` draws photographs and maps, :mod:`plots` draws numbers.

Functions take data and return a closed matplotlib ``Figure``: a notebook shows it once, as the value of
its cell; ``figure.savefig(path)`` writes it. This page fixes sizes and colours for both (Okabe-Ito,
told apart by colour-blind eyes too, and a red; a mark, a hatch or a dash always says the same as the colour).
"""

from contextlib import contextmanager

import matplotlib.pyplot as plt

WIDTH = 8.5  # inches, the width of a notebook's output
DPI = 90
BLUE, GREEN, RED, ORANGE, GREY = "#0072B2", "#009E73", "#C1121F", "#E69F00", "#7F7F7F"
STYLE = {
    "font.size": 8, "axes.titlesize": 8, "axes.labelsize": 8, "legend.fontsize": 8, "figure.titlesize": 9,
    "xtick.labelsize": 7, "ytick.labelsize": 7, "axes.spines.top": False, "axes.spines.right": False,
    "hatch.linewidth": 0.6, "figure.facecolor": "white", "axes.facecolor": "white",
}  # fmt: skip


@contextmanager
def canvas(height, width=WIDTH):
    """A new figure of ``width`` x ``height`` inches in the workbook's style, closed at the end."""
    with plt.rc_context(STYLE):
        figure = plt.figure(figsize=(width, height), dpi=DPI, layout="constrained")
        try:
            yield figure
            figure.draw_without_rendering()  # while the style holds
        finally:
            plt.close(figure)
