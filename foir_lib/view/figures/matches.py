"""Matches of local features between a query and its candidates (spatial verification)."""

from collections.abc import Sequence

from matplotlib.figure import Figure
from matplotlib.patches import ConnectionPatch
from PIL import Image

from foir_lib.errors import InputError
from foir_lib.text import one_line
from foir_lib.view.figures import parts
from foir_lib.view.figures.looks import GREY, ORANGE, canvas


def matches(
    picture: Image.Image, candidates: Sequence[Image.Image], verified: Sequence, prompt=None, right: Sequence[bool] | None = None,
    names: Sequence[str] | None = None, title: str | None = None,
) -> Figure:  # fmt: skip
    """The query beside each candidate, with the matches that agree on one motion as lines.

    ``verified``: a :class:`~foir_lib.search.rerank.spatial.Verified` for each candidate; ``right``: bool for each, or None;
    ``names``: of the candidates.
    """
    if len(candidates) != len(verified) or not len(candidates):
        raise InputError(f"{len(candidates)} candidates and {len(verified)} verifications can't be paired: give one for each.")
    n = len(candidates)
    with canvas(2.4 * max(map(parts.tall, (picture, *candidates))) / max(1, n - 1) ** 0.5 + 0.4) as figure:
        pairs = figure.subplots(1, 2 * n).reshape(n, 2)
        for i, (candidate, one, (a, b)) in enumerate(zip(candidates, verified, pairs, strict=True)):
            parts.query(a, picture, prompt)
            parts.show(b, candidate)
            if right is not None:
                parts.frame(b, *parts.VERDICTS[bool(right[i])])
            b.set_title(f"{one_line(names[i], 40)}: {one.inliers} inliers" if names else f"{one.inliers} inliers")
            dots = {"s": 4.8, "color": ORANGE, "edgecolors": GREY, "linewidths": 0.3, "zorder": 2}
            for axes, points in ((a, one.a), (b, one.b)):
                axes.scatter(*points.T, **dots)
            for p, q in zip(one.a.tolist(), one.b.tolist(), strict=True):
                line = ConnectionPatch(p, q, "data", "data", axesA=a, axesB=b, color=ORANGE, linewidth=0.7, alpha=0.8)
                figure.add_artist(line)
        figure.suptitle(title or "")
    return figure
