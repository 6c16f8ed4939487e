"""Sizes, colours and styles of all figures, and what plots of table rows share.

Colours are Okabe-Ito's and a brown, told apart by eyes without green cones too, and a red; a mark, a hatch or a dash always says the
same as the colour. A method has one colour in all figures, its variants share it and differ by hatch, marker and dash. A figure
is closed when it is returned: a notebook shows it once, as the value of its cell, with its :func:`~foir_lib.view.alt.described` words.
"""

import math
import re
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.text import Text

from foir_lib.bench.metrics.intervals import comparable
from foir_lib.errors import InputError, unknown
from foir_lib.text import LONGEST, one_line
from foir_lib.view.alt import Described, described

WIDTH = 8.5  # inches, the width of a notebook's output
DPI = 90
SMALL = 10.5  # points, the least of all type: 13 pixels at DPI, as small as a page's
BLUE, GREEN, RED, ORANGE, GREY = "#0072B2", "#009E73", "#C1121F", "#E69F00", "#7F7F7F"
DARK, VERMILLION, SKY, PURPLE, YELLOW, BROWN = "#5A5A5A", "#D55E00", "#56B4E9", "#CC79A7", "#F0E442", "#8C510A"
STYLE = {
    "font.size": SMALL, "axes.titlesize": SMALL, "axes.labelsize": SMALL, "legend.fontsize": SMALL, "figure.titlesize": 11.5,
    "xtick.labelsize": SMALL, "ytick.labelsize": SMALL, "axes.spines.top": False, "axes.spines.right": False,
    "hatch.linewidth": 0.6, "figure.facecolor": "white", "axes.facecolor": "white",
    "text.parse_math": False, "text.usetex": False,  # $ in a label is a letter
}  # fmt: skip
NAMES = ("dataset", "model", "method", "metric")  # columns of rows
COLOURS = (DARK, ORANGE, VERMILLION, SKY, PURPLE, BLUE, GREEN)
FOREIGN = (YELLOW, BROWN)  # of methods that aren't in METHODS: one of them, always the same
METHODS = {  # of a paper's tables in one colour each; its own method is blue
    DARK: ("CBIR", "CAM", "SAM"),
    ORANGE: ("Mask", "SPoC", "L2-norm attention", "MeanCrops", "SP", "SIFT+SP"),
    VERMILLION: ("Crop", "R-MAC", "RPN", "Patchify", "D2R", "carried labels alone"),
    SKY: ("FA", "MAC", "many-to-many", "SuperGlobal", "SelfSupport"),
    PURPLE: ("Random heads", "GeM"),
    BLUE: ("PHS", "GeM+CA", "RA", "CA map"),
    GREEN: ("Attention mask", "CroW", "one-to-many", "MaO", "Dense"),
}
VARIANTS = {
    "FA+PHS": "PHS", "Crop+PHS": "Crop", "RandomHeads": "Random heads", "AttentionMask": "Attention mask", "CA": "GeM+CA", "NaiveCA": "GeM+CA",
    "Map": "CA map", "MaxCrops": "MeanCrops", "TokenGroups": "Patchify", "MaskInversion": "MaO", "D2R+Mean": "D2R", "RPN+RA": "RPN",
}  # fmt: skip
COLOUR = {name: colour for colour, names in METHODS.items() for name in names}
MARKERS = "sv^Dxo*P<>hpX"
DASHES = ("-", "--", "-.", ":", (0, (5, 1)), (0, (3, 1, 1, 1)), (0, (1, 1)), (0, (8, 2)))
HATCHES = ("", "///", "\\\\\\", "...", "xxx", "+++", "ooo", "---", "**", "||", "//.", "\\\\.", "||.", "--.", "//o", "\\\\o", "++.", "OO", "|||-", "xx.")
HEAT, COVER = "magma", 0.75  # colours of heat maps, and how much of them covers the grey picture
INTERVAL = "95 % interval of the difference"
GAIN = "95 % interval of the gain"
LINES = 3  # of one text
GUEST = "guest"  # the model of rows that somebody else's file gave


@contextmanager
def canvas(height: float, width: float = WIDTH) -> Iterator[Figure]:
    """A new figure of ``width`` x ``height`` inches in the workbook's style, closed at the end.

    Whatever text is on it then is drawn as it is, in at most :data:`LINES` lines that fit on a page.
    """
    with plt.rc_context(STYLE):
        figure = plt.figure(figsize=(width, height), dpi=DPI, layout="constrained", FigureClass=Described)
        try:
            yield figure
            complete(figure)
        finally:
            plt.close(figure)


def complete(figure: Described) -> None:
    """Every figure ends here: its texts as they can be drawn, its layout while the style holds, its words."""
    for one in figure.findobj(Text):
        one.set_text(_readable(one.get_text(), LONGEST if one.axes is None else 80))
    figure.draw_without_rendering()
    figure.alt = figure.alt or described(figure)


def _readable(text, longest):
    """Text without what can't be drawn, in few lines of at most so many characters."""
    return "\n".join(one_line(line, longest) for line in text.split("\n", LINES - 1))


def entry(name: str) -> str:
    """A name in a legend, which would leave out one with an underscore in front."""
    return f" {name}" if name.startswith("_") else name


def nth_look(i: int) -> dict:
    """The i-th of many ways to draw a line or bar: colour, marker, dash and hatch all differ."""
    return {"color": COLOURS[i % len(COLOURS)]} | nth_mark(i)


def nth_mark(i: int) -> dict:
    """The i-th marker, dash and hatch, of things that have a colour already: variants of a method, networks."""
    return {"marker": MARKERS[i % len(MARKERS)], "linestyle": DASHES[i % len(DASHES)], "hatch": HATCHES[i % len(HATCHES)]}


def base_of(method: str) -> str:
    """The method of which another is a variant: PHS of "PHS (query-db)", "PHS-N" and "FA+PHS", GeM of "GeM+SP+DF"."""
    name = re.split(r" ?\(| over | > |, ", method.strip())[0].removesuffix("-N") or method
    while name not in COLOUR and name not in VARIANTS and "+" in name.strip("+"):
        name = name.rpartition("+")[0]
    return VARIANTS.get(name, name)


def _number(name: str) -> int:
    """A number that a name always has, also one of letters that can't be encoded."""
    return zlib.crc32(name.encode("utf-8", "surrogatepass"))


def colour_of(method: str) -> str:
    """The colour of a method, the same in every figure: its base's in :data:`METHODS`, of others one of :data:`FOREIGN` by their name."""
    name = base_of(method)
    return COLOUR.get(name) or FOREIGN[_number(name) % len(FOREIGN)]


def looks_of(names: Iterable[str]) -> dict[str, dict]:
    """name -> look of methods: the colour of :func:`colour_of`; those of :data:`METHODS` are plain, others have marks by their own name, or
    if another of the same colour has those, the next that are free."""
    looks, taken = {}, set()
    for name in dict.fromkeys(names):
        colour, i = colour_of(name), 0 if name in COLOUR else 1 + _number(name) % (len(HATCHES) - 1)
        i = next((j % len(HATCHES) for j in range(i, i + len(HATCHES)) if (colour, j % len(HATCHES)) not in taken), i)
        taken.add((colour, i))
        looks[name] = nth_mark((*COLOURS, *FOREIGN).index(colour) + i) | {"color": colour, "hatch": HATCHES[i]}
    return looks


def checked(rows, *columns: str, metric: str | None = None) -> pd.DataFrame:
    """The rows as a table, those of one ``metric`` where it is named. Raises InputError where rows or a column are missing.

    low and high, the interval of the difference to the first method (which has none itself), become ends on the scale of ``ours``.
    """
    rows = pd.DataFrame(rows)
    missing = [c for c in columns if c not in rows]
    if missing or not len(rows):
        raise InputError(f"Rows to plot lack {missing[0]!r}." if missing else "There are no rows to plot.")
    if metric is not None and metric not in set(rows["metric"]):
        raise unknown("metric in these rows", metric, dict.fromkeys(rows["metric"]))
    rows = rows if metric is None else rows[rows["metric"] == metric]
    rows = rows.assign(**{name: rows[name].map(one_line) for name in NAMES if name in rows})
    if "low" not in rows:
        return rows
    first = rows["ours"].where(rows["low"].isna()).groupby(comparable(rows)).transform("first")
    first = first.mask(rows["metric"].str.contains("relative to"), 0)  # the score itself is a difference
    return rows.assign(low=first + rows["low"], high=first + rows["high"])


def finish(figure: Figure, panels, across: int, left: str, below: str | None, title: str | None) -> None:
    """Axis labels at the rims of ``panels``, ``across`` in a line (``below`` None: they have theirs); one legend for all."""
    entries = {}
    for i, axes in enumerate(panels):
        axes.set_ylabel(left if i % across == 0 else "")
        if below is not None:
            axes.set_xlabel(below if i + across >= len(panels) else "")
        for handle, label in zip(*axes.get_legend_handles_labels(), strict=True):
            entries.setdefault(label, handle)
    if entries:
        order = sorted(entries, key=("published", INTERVAL, GAIN).count)
        lines = math.ceil(sum(len(label) + 8 for label in order) / (15 * figure.get_figwidth()))
        place = {"loc": "outside lower center", "ncols": math.ceil(len(order) / lines), "frameon": False}
        figure.legend([entries[n] for n in order], order, **place)
    figure.get_layout_engine().set(h_pad=0.06)
    figure.suptitle(title or "")
