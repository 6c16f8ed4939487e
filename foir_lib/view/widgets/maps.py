"""Attention maps and a colour bar as small pictures: what a widget redraws at once, without a figure.

They look as in :mod:`foir_lib.view.figures`: magma over the picture in grey, one linear scale.
"""

import base64

import numpy as np
from markupsafe import Markup
from matplotlib import colormaps
from PIL import Image
from scipy import ndimage

from foir_lib.text import markup
from foir_lib.view.figures import looks, parts
from foir_lib.view.widgets.thumbs import encoded

SIDE = 160  # pixels of the longest side
MAGMA = (255 * colormaps[looks.HEAT](np.arange(256))[:, :3]).astype(np.float32)


def colours(values, top: float) -> np.ndarray:
    """Values (...) as magma (..., 3) 0..255, from 0 to ``top``."""
    return MAGMA[(255 * np.clip(values / top, 0, 1) + 0.5).astype(int)]


def overlays(picture: Image.Image, values, top: float, roi=None, side: int = SIDE) -> list[bytes]:
    """Every map of ``values`` (n, rows, columns) over the picture in grey, JPEG bytes, all from 0 to ``top``.

    ``roi`` bool (rows, columns): outlined in white on every one.
    """
    values = parts.checked(values, 3, name="maps")
    size = tuple(max(1, round(n * side / max(picture.size))) for n in picture.size)
    grey = picture.resize(size, Image.Resampling.BICUBIC, reducing_gap=2).convert("L")
    ground = (1 - looks.COVER) * np.asarray(grey, np.float32)[..., None]
    rows, columns = (np.arange(n) * g // n for n, g in zip(ground.shape, values.shape[1:]))  # the cell under every pixel
    white, black = (None, None) if roi is None else _edges(np.asarray(roi, bool)[rows][:, columns])
    files = []
    for one in looks.COVER * colours(values, top):
        pixels = ground + one[rows][:, columns]
        if roi is not None:
            pixels[black], pixels[white] = 0, 255
        files.append(encoded(Image.fromarray(pixels.astype(np.uint8)), side))
    return files


def _edges(inside: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """White: two pixels along the border of a bool region, inside it; black: one pixel outside."""
    core, around = ndimage.binary_erosion(inside, np.ones((5, 5))), ndimage.binary_dilation(inside, np.ones((3, 3)))
    return inside & ~core, around & ~inside


def colour_bar(top: float, words: str = "attention per patch (%)", percent: bool = True, above: bool = False) -> Markup:
    """The scale of :func:`overlays` as HTML: its colours from 0 to ``top`` (``percent``, or a plain number), below ``words`` with its unit.

    ``above``: some values lie above ``top`` and have the colour of its end.
    """
    pixels = looks.COVER * colours(np.linspace(0, top, 128), top) + (1 - looks.COVER) * 128  # as over middle grey
    url = base64.b64encode(encoded(Image.fromarray(pixels.astype(np.uint8)[None].repeat(8, 0)), 128, "PNG")).decode()
    ticks = [f"{tick:.{0 if tick >= 9.95 or not tick else 1}f}" for tick in (0, top / 2, top)]
    ticks = "".join(f"<span>{tick}</span>" for tick in [*ticks[:2], f"{ticks[2]} and more \N{BLACK RIGHT-POINTING POINTER}" if above else ticks[2]])
    unit = " percent" * percent
    bar = Markup(
        f'<img alt="colours from 0 to {top:.1f}{unit}" src="data:image/png;base64,{url}" style="display:block;width:100%;height:10px">'
        f'<div style="display:flex;justify-content:space-between">{ticks}</div>'
    )
    return markup('<div data-foir="scale" style="display:inline-block;width:220px;font-size:13px;line-height:1.3">{}{}</div>', words, bar)


def ceiling(percent: float) -> float:
    """The end of a scale for percents: the next round number: 1, 2, 4, 5 or 10 times a power of ten, so that half of it is round too."""
    power = 10.0 ** np.floor(np.log10(max(percent, 0.1)))
    return next(step * power for step in (1, 2, 4, 5, 6, 8, 10) if percent <= step * power * (1 + 1e-9))
