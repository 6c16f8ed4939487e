"""Attention maps, bars and a colour bar as small pictures and SVG: what a widget redraws at once, without a figure.

They look as in :mod:`foir_lib.view.figures`: magma over the picture in grey, one linear scale.
"""

import base64
import io
from html import escape

import numpy as np
from matplotlib import colormaps
from PIL import Image

from foir_lib.view.figures import looks, parts
from foir_lib.view.figures.looks import GREY, ORANGE

SIDE = 160  # pixels of the longest side
MAGMA = (255 * colormaps[looks.HEAT](np.arange(256))[:, :3]).astype(np.float32)
TALL = 110  # pixels, the height of the highest bar


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
    white, black = _edges(None if roi is None else np.asarray(roi, bool)[rows][:, columns])
    files = []
    for one in looks.COVER * colours(values, top):
        pixels = ground + one[rows][:, columns]
        if roi is not None:
            pixels[black], pixels[white] = 0, 255
        files.append(_file(Image.fromarray(pixels.astype(np.uint8)), "JPEG", quality=85))
    return files


def _edges(inside):
    """White: two pixels along the border of a bool region, inside it; black: one pixel outside."""
    if inside is None:
        return None, None
    padded = np.pad(inside, 2)
    near = [
        padded[2 + i : len(padded) - 2 + i, 2 + j : padded.shape[1] - 2 + j] for i in (-2, 0, 2) for j in (-2, 0, 2)
    ]
    wide = np.pad(inside, 1)
    around = [wide[1 + i : len(wide) - 1 + i, 1 + j : wide.shape[1] - 1 + j] for i in (-1, 0, 1) for j in (-1, 0, 1)]
    return inside & ~np.logical_and.reduce(near), ~inside & np.logical_or.reduce(around)


def _file(image, kind, **options):
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def colour_bar(top: float) -> str:
    """The scale of :func:`overlays` as HTML: its colours from 0 to ``top`` percent, with its unit."""
    pixels = looks.COVER * colours(np.linspace(0, top, 128), top) + (1 - looks.COVER) * 128  # as over middle grey
    url = base64.b64encode(_file(Image.fromarray(pixels.astype(np.uint8)[None].repeat(8, 0)), "PNG")).decode()
    ticks = "".join(f"<span>{tick:.{0 if tick >= 9.95 or not tick else 1}f}</span>" for tick in (0, top / 2, top))
    return (
        '<div data-foir="scale" style="display:inline-block;width:220px;font-size:13px;line-height:1.3">attention per patch (%)'
        f'<img alt="colours from 0 to {top:.1f} percent" src="data:image/png;base64,{url}" style="display:block;width:100%;height:10px">'
        f'<div style="display:flex;justify-content:space-between">{ticks}</div></div>'
    )


def bars(shares, heads=None, cut: float | None = None, title: str = "attention on the ROI (%)", name: str = "bars") -> str:
    """ROI attention of every head, ``shares`` (h,) from 0 to 1, as SVG text.

    The chosen ``heads`` (h,) bool are orange, hatched and starred; ``cut``: a dashed line at the value that the
    last chosen one has. ``name``: unlike that of any other chart on the page.
    """
    shares = parts.checked(shares, 1)
    heads = np.zeros(len(shares), bool) if heads is None else np.asarray(heads, bool)
    step, left, upper, foot = 30, 40, 32, 32
    top = max(_ceil(100 * shares.max()), 1e-9)
    width, height = left + step * len(shares) + 60, upper + TALL + foot

    def at(percent):
        return upper + TALL * (1 - percent / top)

    drawn = [
        f'<pattern id="{name}" width="5" height="5" patternUnits="userSpaceOnUse" patternTransform="rotate(45)">'
        f'<rect width="5" height="5" fill="{ORANGE}"/><line y2="5" stroke="black" stroke-width="1.6"/></pattern>',
        f'<text x="0" y="11">{escape(title)}</text>',
    ]
    for tick in (0, top / 2, top):
        drawn.append(
            f'<line x1="{left - 4}" x2="{left}" y1="{at(tick):.1f}" y2="{at(tick):.1f}" stroke="currentColor"/>'
        )
        drawn.append(f'<text x="{left - 6}" y="{at(tick) + 4:.1f}" text-anchor="end">{tick:g}</text>')
    for i, (percent, chosen) in enumerate(zip(100 * shares, heads)):
        x, y = left + step * i + 4, at(percent)
        fill = f"url(#{name})" if chosen else GREY
        star, weight = ("\N{BLACK STAR}", "bold") if chosen else ("", "normal")
        drawn += [
            f'<rect data-head="{i}" x="{x}" y="{y:.1f}" width="{step - 8}" height="{at(0) - y:.1f}" fill="{fill}" stroke="currentColor" stroke-width=".6"/>',
            f'<text x="{x + step / 2 - 4}" y="{y - 3:.1f}" text-anchor="middle">{percent:.0f}</text>',
            f'<text x="{x + step / 2 - 4}" y="{at(0) + 13}" text-anchor="middle" font-weight="{weight}">{i}{star}</text>',
        ]
    drawn.append(f'<line x1="{left}" x2="{width - 60}" y1="{at(0)}" y2="{at(0)}" stroke="currentColor"/>')
    drawn.append(f'<text x="{left + step * len(shares) / 2}" y="{at(0) + 28}" text-anchor="middle">head</text>')
    if cut is not None:
        y = f"{at(100 * cut):.1f}"
        drawn.append(
            f'<line data-cut="{100 * cut:.2f}" x1="{left}" x2="{width - 56}" y1="{y}" y2="{y}" stroke="currentColor" stroke-dasharray="5 3"/>'
        )
        drawn.append(f'<text x="{width - 53}" y="{float(y) + 4:.1f}">cut {100 * cut:.0f} %</text>')
    words = ", ".join(
        f"head {i} {100 * s:.0f} percent{' chosen' if on else ''}" for i, (s, on) in enumerate(zip(shares, heads))
    )
    return (
        f'<svg data-foir="bars" role="img" aria-label="{escape(title)}: {words}" viewBox="0 0 {width} {height}" width="{width}" '
        f'style="max-width:100%;height:auto;font-size:11px;font-family:inherit" fill="currentColor">{"".join(drawn)}</svg>'
    )


def _ceil(percent):
    """The next round number: 1, 2, 4, 5 or 10 times a power of ten, so that half of it is round too."""
    power = 10.0 ** np.floor(np.log10(max(percent, 0.1)))
    return next(step * power for step in (1, 2, 4, 5, 6, 8, 10) if percent <= step * power * (1 + 1e-9))
