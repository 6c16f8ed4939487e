"""Colours, type and words of all figures: a method's colour is its own, eyes without green cones tell the palette apart, and nothing is small or mute."""

import base64
import io
from itertools import combinations

import numpy as np
import pandas as pd
import pytest
from IPython.core.interactiveshell import InteractiveShell
from IPython.core.pylabtools import select_figure_formats
from matplotlib.text import Text
from PIL import Image

from foir_lib.bench import measured
from foir_lib.bench.tables.catalogue import EVERY
from foir_lib.prompts import Box
from foir_lib.view import alt, figures
from foir_lib.view.figures import looks

# Machado, Oliveira and Fernandes, IEEE TVCG 15 (6), 2009, table 1: deuteranopia (severity 1.0), of linear RGB
DEUTERANOPIA = np.array([[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]])
XYZ = np.array([[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750], [0.0193339, 0.1191920, 0.9503041]])  # of linear sRGB, D65
EYE = np.eye(3)
PALETTE = (*looks.COLOURS, *looks.FOREIGN)


def linear(colour):
    """Linear RGB of a "#RRGGBB" of sRGB (IEC 61966-2-1)."""
    values = np.array([int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)])
    return np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)


def lab(rgb):
    """CIELAB of linear RGB."""
    ratio = XYZ @ np.clip(rgb, 0, 1) / XYZ.sum(axis=1)
    f = np.where(ratio > (6 / 29) ** 3, np.cbrt(ratio), ratio * (29 / 6) ** 2 / 3 + 4 / 29)
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


def apart(first, second, seen=EYE):
    """The difference (CIE 1976) of two colours as an eye sees them."""
    return np.linalg.norm(lab(seen @ linear(first)) - lab(seen @ linear(second)))


def test_the_eye_of_this_test_by_hand():
    assert apart("#000000", "#FFFFFF") == pytest.approx(100, abs=0.1) and apart("#FF0000", "#00FF00") > 150
    grey = [apart(colour, colour, DEUTERANOPIA) for colour in ("#000000", "#777777")]
    assert grey == [0, 0] and np.allclose(DEUTERANOPIA.sum(axis=1), 1, atol=1e-5), "grey stays grey"
    assert apart("#6B8E23", "#A0522D", DEUTERANOPIA) < 0.5 * apart("#6B8E23", "#A0522D"), "olive and sienna come near each other"


def test_the_palette_is_told_apart_with_and_without_green_cones():
    assert len(set(PALETTE)) == len(PALETTE)
    for first, second in combinations(PALETTE, 2):
        assert apart(first, second) > 20 and apart(first, second, DEUTERANOPIA) > 15, (first, second)
    for colour in PALETTE:
        assert apart(colour, "#FFFFFF", DEUTERANOPIA) > 15, colour


def test_heat_maps_grow_lighter_all_the_way():
    from matplotlib import colormaps

    assert looks.HEAT in ("magma", "viridis")
    steps = [lab(DEUTERANOPIA @ linear("#{:02x}{:02x}{:02x}".format(*tuple(int(255 * v) for v in colormaps[looks.HEAT](x)[:3]))))[0] for x in np.linspace(0, 1, 16)]
    assert (np.diff(steps) > 1).all()


@pytest.mark.parametrize(
    ("method", "base"),
    [
        ("PHS", "PHS"), ("PHS (query-db)", "PHS"), ("PHS(h_on=3)", "PHS"), ("PHS-N", "PHS"), ("FA+PHS", "PHS"), ("PHS (box)", "PHS"), ("GeM+DF", "GeM"),
        ("GeM+SP(least=12)+Hypergraph(start='query')", "GeM"), ("GeM+CA+alphaQE", "GeM+CA"), ("GeM+CA (d=128)", "GeM+CA"), ("CA+SP", "GeM+CA"),
        ("R-MAC (S=3)", "R-MAC"), ("CroW+QE", "CroW"), ("one-to-many (max)", "one-to-many"), ("MaO (per crop, oracle boxes)", "MaO"),
        ("Dense, sharpened", "Dense"), ("SAM (of Dense)", "SAM"), ("D2R+VLAD", "D2R"), ("GeM+CA over N", "GeM+CA"), ("Mine(share=0.8)", "Mine"), ("+", "+"), ("", ""),
    ],
)  # fmt: skip
def test_variants_have_the_colour_of_their_method(method, base):
    assert looks.base_of(method) == base and looks.colour_of(method) == looks.colour_of(base)


def test_methods_of_others_have_a_colour_of_their_own_that_stays():
    assert {looks.colour_of(f"theirs {i}") for i in range(20)} == set(looks.FOREIGN)
    assert looks.looks_of(["Mine"])["Mine"] == looks.looks_of(["CBIR", "PHS", "Mine", "another"])["Mine"]
    assert not set(looks.FOREIGN) & set(looks.COLOURS)


@pytest.mark.parametrize("table", EVERY)
def test_all_methods_of_a_table_look_different_and_none_is_foreign(table):
    names = list(dict.fromkeys(column.name for column in EVERY[table].columns))
    styles = looks.looks_of(names)
    assert len({(one["color"], one["hatch"]) for one in styles.values()}) == len(names)
    assert not [name for name in names if looks.colour_of(name) in looks.FOREIGN]
    bases = {looks.base_of(name): looks.colour_of(name) for name in names if len(EVERY[table].columns) <= 9}
    assert len(set(bases.values())) == len(bases), "different methods, different colours"


def one_of_each():
    """A figure of each function that draws rows of tables, and one with pictures."""
    rows = measured.measured("phs-1")
    yield "bars", figures.bars(rows, title="Table 1")
    lines = rows[rows["method"].isin(["CBIR", "PHS"])].drop(columns="dataset").assign(dataset="d")
    heads = pd.concat([lines[lines["method"] == "PHS"].drop_duplicates("model").assign(x=x) for x in (1, 2)], ignore_index=True)
    yield "scan", figures.scan(heads, title="Figure 8")
    yield "relative", figures.relative(heads.assign(metric="MP@100 relative to CBIR (%)"), title="Figure 5")
    yield "histogram", figures.histogram(heads.drop_duplicates("x"), title="Figure 3")
    yield "roi_bars", figures.roi_bars([0.2, 0.5, 0.1], [True, False, False])
    yield "prompt", figures.prompt(Image.new("RGB", (60, 40)), Box(1, 2, 30, 20))


def test_type_is_as_large_as_the_pages_and_every_figure_has_words():
    for name, figure in one_of_each():
        assert figure.get_figwidth() <= looks.WIDTH, name
        sizes = {text.get_fontsize() for text in figure.findobj(Text) if text.get_text().strip() and text.get_visible()}
        assert min(sizes) * looks.DPI / 72 >= 13, (name, sizes)
        assert figure.alt.strip(".") and "\n" not in figure.alt and len(figure.alt) <= 1500, name


def test_words_of_bars_and_curves_hold_their_numbers():
    said = dict((name, figure.alt) for name, figure in one_of_each())
    assert said["bars"].startswith("Table 1. mini-focus, MP@100, mini-vit-small: CBIR 50.7, Mask 41.4, Crop 48.8, ")
    assert "mini-focus-dense, MP@100, mini-vit-large: CBIR 65.6" in said["bars"] and "Figure 8" in said["scan"] and "52.6 at 1 to 52.6 at 2" in said["scan"]


def test_a_notebook_keeps_the_words_with_the_picture():
    figure = figures.bars(measured.measured("ca-4"), title='<b>"x"</b>')
    data, metadata = figure.bundle()
    assert data["text/plain"] == metadata["image/png"]["alt"] == figure.alt and figure.alt.startswith('<b>"x"</b>. mini-landmarks, mAP medium, mini-cnn: GeM 48.3')
    assert Image.open(io.BytesIO(base64.b64decode(data["image/png"]))).width > 400


def test_a_page_of_many_photographs_keeps_jpegs(monkeypatch):
    """``set_matplotlib_formats("jpeg")`` of a notebook holds for figures with words, too."""
    shell = InteractiveShell()
    monkeypatch.setattr(alt, "get_ipython", lambda: shell)
    figure = figures.roi_bars([0.1, 0.2])
    assert set(figure.bundle()[0]) == {"image/png", "text/plain"}
    select_figure_formats(shell, ["jpeg"], pil_kwargs={"quality": 85})
    data, metadata = figure.bundle()
    assert Image.open(io.BytesIO(base64.b64decode(data["image/jpeg"]))).format == "JPEG"
    assert set(data) == {"image/jpeg", "text/plain"} and metadata["image/jpeg"]["alt"] == data["text/plain"] == figure.alt
