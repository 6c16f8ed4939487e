"""Figures by their structure: what is drawn where, marked how, on which scale."""

import io

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import torch
from matplotlib.collections import LineCollection
from matplotlib.colors import to_hex
from PIL import Image

from foir_lib.data.protocol import Protocol
from foir_lib.data.sets import RetrievalSet
from foir_lib.errors import InputError
from foir_lib.prompts import Box, Mask, Point
from foir_lib.view import figures
from foir_lib.view.figures import looks, parts
from foir_lib.view.figures.looks import BLUE, DPI, GREEN, GREY, ORANGE, RED, WIDTH

RIGHT, WRONG, STAR = "\N{CHECK MARK}", "\N{BALLOT X}", "\N{BLACK STAR}"
rng = np.random.default_rng(0)


def picture(width=60, height=40, seed=0):
    rng = np.random.default_rng(seed)
    return Image.fromarray(rng.integers(0, 256, (height, width, 3), dtype=np.uint8))


@pytest.fixture(scope="module")
def rs(tmp_path_factory):
    """One query picture with two objects, and a database of six pictures of other shapes."""
    folder = tmp_path_factory.mktemp("set")
    shapes = [(60, 40), (60, 40), (30, 50), (80, 20), (40, 40), (60, 40), (20, 60)]
    images = []
    for i, (width, height) in enumerate(shapes):
        picture(width, height, i).save(folder / f"{i}.png")
        split = "database" if i else "query"
        images.append((i, str(folder / f"{i}.png"), width, height, split))
    images = pd.DataFrame(images, columns=["image_id", "path", "width", "height", "split"])
    objects = pd.DataFrame(
        [(0, "cup", 5, 5, 25, 20, False, None), (0, "dog", 30, 10, 55, 35, False, None)],
        columns=["image_id", "label", "x0", "y0", "x1", "y1", "ignore", "segmentation"],
    )
    queries = pd.DataFrame(
        {
            "image_id": [0, 0],
            "prompt": [Box(5, 5, 25, 20), Box(30, 10, 55, 35)],
            "label": ["cup", "dog"],
            "object": [0, 1],
        }
    )
    positive = {"cup": np.array([0, 2]), "dog": np.array([1])}
    return RetrievalSet(
        "tiny", images, objects, queries, {"contains": Protocol(("cup", "dog"), positive)}
    )


@pytest.fixture(autouse=True)
def none_left_open():
    yield
    assert plt.get_fignums() == []  # a figure left open would be drawn twice by a notebook


def png(figure):
    """The rendered file; every figure must render at notebook width."""
    file = io.BytesIO()
    figure.savefig(file, format="png")
    width = Image.open(file).width
    assert width <= WIDTH * DPI + 1
    return file.getvalue()


def texts(axes):
    return [t.get_text() for t in axes.texts]


def frame(axes):
    return to_hex(axes.spines["left"].get_edgecolor()).upper()


def titles(figure):
    return [axes.get_title() for axes in figure.axes]


def heat(axes):
    """The heat map of a panel: the picture lies beneath it."""
    return axes.get_images()[1]


def bar_of(figure):
    return next(axes for axes in figure.axes if "attention per patch" in axes.get_ylabel())


# --- prompts ---------------------------------------------------------------------------------------


def test_prompt_box_lies_where_it_was_given():
    figure = figures.prompt(picture(), Box(10, 5, 30, 25))
    (axes,) = figure.axes
    (rectangle,) = axes.patches
    assert rectangle.get_bbox().bounds == (10, 5, 20, 20)
    assert to_hex(rectangle.get_edgecolor()).upper() == BLUE and not rectangle.get_fill()
    assert axes.get_xlim() == (0, 60) and axes.get_ylim() == (40, 0)
    assert axes.get_title() == "Box (10, 5, 30, 25)"
    assert len(png(figure)) < 300_000


def test_prompt_with_grid_shades_its_tokens():
    figure = figures.prompt(picture(), Box(10, 5, 30, 25), grid=(4, 6))
    (axes,) = figure.axes
    tint = axes.get_images()[1].get_array()
    inside = np.zeros((4, 6), bool)
    inside[0:3, 1:3] = True
    np.testing.assert_array_equal(tint[..., 3] > 0, inside)
    assert axes.get_images()[1].get_extent() == [0, 60, 40, 0]
    assert axes.get_title() == "Box (10, 5, 30, 25): 6 of 24 tokens"
    (lines,) = [c for c in axes.collections if isinstance(c, LineCollection)]
    assert len(lines.get_segments()) == 3 + 5


def test_prompt_point_and_mask():
    axes = figures.prompt(picture(), Point(25, 15)).axes[0]
    assert [(line.get_xdata()[0], line.get_ydata()[0]) for line in axes.lines] == [(25, 15)] * 2
    assert not axes.patches
    axes = figures.prompt(picture(), Point(25, 15), grid=(4, 6)).axes[0]
    assert axes.patches[0].get_bbox().bounds == (10, 0, 30, 30)
    array = np.zeros((40, 60), bool)
    array[10:12, 20:23] = True
    axes = figures.prompt(picture(), Mask(array)).axes[0]
    points = np.concatenate(axes.collections[0].get_segments())
    assert points.min(0).tolist() == [20, 10] and points.max(0).tolist() == [23, 12]
    assert len(axes.collections[0].get_segments()) == 2 * (2 + 3)  # the outline, pixel by pixel


def test_large_pictures_are_embedded_small():
    figure = figures.prompt(picture(2000, 1000), Box(1000, 0, 2000, 500))
    embedded = figure.axes[0].get_images()[0]
    assert max(embedded.get_array().shape) <= 2 * parts.THUMB
    assert embedded.get_extent() == [0, 2000, 1000, 0]  # prompts still speak the picture's pixels


# --- attention -------------------------------------------------------------------------------------

ATTENTION = np.array([[0.1, 0.2, 0.3, 0.1], [0.4, 0.1, 0.0, 0.1], [0.05, 0.05, 0.45, 0.2]])


def test_head_maps():
    heads, roi = np.array([True, False, True]), np.array([False, True, True, False])
    figure = figures.head_maps(picture(), torch.tensor(ATTENTION), (2, 2), torch.tensor(heads), roi)
    panels = figure.axes[:4]
    assert titles(figure)[:4] == ["query and ROI", "head 0: 50%", "head 1: 10%", "head 2: 50%"]
    for i, axes in enumerate(panels[1:]):
        np.testing.assert_allclose(heat(axes).get_array(), 100 * ATTENTION[i].reshape(2, 2))
        assert heat(axes).get_clim() == heat(panels[1]).get_clim()  # one scale
        assert heat(axes).get_cmap().name == "magma"
        assert (frame(axes) == ORANGE) == heads[i] and (texts(axes) == [STAR]) == heads[i]
    assert frame(panels[0]) == BLUE
    for axes in panels:  # the ROI: patches 1 and 2 lie across, so both are outlined whole
        assert len(axes.collections[0].get_segments()) == 8
    assert heat(panels[1]).get_clim()[0] == 0 and 40 < heat(panels[1]).get_clim()[1] <= 45
    assert "(%)" in bar_of(figure).get_ylabel()
    assert f"{STAR} 2 of 3 heads" in figure.get_suptitle()
    png(figure)


@pytest.mark.parametrize("h", [1, 6, 16])
def test_head_maps_of_every_model_size(h):
    figure = figures.head_maps(picture(), rng.dirichlet(np.ones(16), h), (4, 4))
    assert titles(figure)[1 : h + 1] == [f"head {i}" for i in range(h)]
    assert not any(texts(axes) for axes in figure.axes)
    png(figure)


def test_attention_without_any_and_wrong_shapes():
    figures.head_maps(picture(), np.zeros((2, 4)), (2, 2))
    with pytest.raises(InputError, match=r"\(3, 5\).*4, the tokens of a 2 x 2 grid"):
        figures.head_maps(picture(), np.zeros((3, 5)), (2, 2))
    with pytest.raises(InputError, match="2 head choices don't fit 3 heads"):
        figures.head_maps(picture(), ATTENTION, (2, 2), heads=[True, False])
    with pytest.raises(InputError, match="roi"):
        figures.head_maps(picture(), ATTENTION, (2, 2), roi=[True])


def test_roi_bars():
    heads = [False, True, True]
    (axes,) = figures.roi_bars(torch.tensor([0.5, 0.1, 0.25]), heads).axes
    bars = sorted(axes.patches, key=lambda bar: bar.get_x())
    assert [round(bar.get_height(), 4) for bar in bars] == [50, 10, 25]
    assert [bool(bar.get_hatch()) for bar in bars] == heads
    assert "%" in axes.get_ylabel() and axes.get_xlabel() == "head"
    assert [t.get_text() for t in axes.get_legend().get_texts()] == ["not chosen", "chosen"]
    assert figures.roi_bars([0.5, 0.1]).axes[0].get_legend() is None


def test_attention_compare():
    pictures, prompts = [picture(), picture(30, 50)], [Box(5, 5, 25, 20), Point(10, 10)]
    maps = {name: rng.dirichlet(np.ones(24), 2) for name in ("Vanilla", "FA", "PHS")}
    maps["PHS"][1] *= 5
    figure = figures.attention_compare(pictures, prompts, maps, (4, 6))
    panels = [axes for axes in figure.axes if len(axes.get_images()) == 2]
    assert len(panels) == 6 and titles(figure)[:4] == ["query", "Vanilla", "FA", "PHS"]
    first, second = panels[:3], panels[3:]
    for row, line in ((0, first), (1, second)):
        assert len({heat(axes).get_clim() for axes in line}) == 1
        for name, axes in zip(maps, line, strict=True):
            np.testing.assert_allclose(heat(axes).get_array(), 100 * maps[name][row].reshape(4, 6))
    assert heat(first[0]).get_clim() != heat(second[0]).get_clim()
    assert sum("(%)" in axes.get_ylabel() for axes in figure.axes) == 2
    png(figure)
    with pytest.raises(InputError, match="2 pictures"):
        figures.attention_compare(pictures, prompts[:1], maps, (4, 6))


# --- ranked lists ----------------------------------------------------------------------------------


def test_compare_lists(rs):
    results = {
        "CBIR": ([0, 1, 2], [0.9, 0.8, 0.7], [True, False, True]),
        "PHS": (np.array([2, 0, 4]), np.array([0.9, 0.5, 0.2]), np.array([True, True, False])),
        "Mask": ([5, 4, 3], None, None),
    }
    figure = figures.compare_lists(rs, 0, results, k=3)
    assert len(figure.axes) == 3 * 4
    rows = [figure.axes[i : i + 4] for i in (0, 4, 8)]
    names = [line[0].get_title() for line in rows]
    assert names == ["CBIR\n2 of 3 right", "PHS\n2 of 3 right", "Mask"]
    assert [frame(line[0]) for line in rows] == [BLUE] * 3
    assert rows[0][0].patches[0].get_bbox().bounds == (5, 5, 20, 15)
    assert [texts(axes) for axes in rows[1][1:]] == [[RIGHT], [RIGHT], [WRONG]]
    assert [frame(axes) for axes in rows[1][1:]] == [GREEN, GREEN, RED]
    assert [axes.get_xlabel() for axes in rows[0][1:]] == ["1.  0.900", "2.  0.800", "3.  0.700"]
    assert rows[1][1].get_images()[0].get_extent() == [0, 80, 20, 0]  # database row 2 is image 3, 80 x 20 pixels
    assert figure.get_suptitle() == "query: cup"
    png(figure)


def test_lists_without_verdicts_with_holes_and_another_prompt(rs):
    figure = figures.compare_lists(rs, 1, {"": (np.array([3, -1, 4, 0, 1]), None, None)}, prompt=Point(7, 8), k=3)
    query, *results = figure.axes
    assert query.lines[0].get_xdata()[0] == 7 and figure.get_suptitle() == "query: dog"
    assert len(results) == 2 and [axes.get_xlabel() for axes in results] == ["1", "2"]
    assert all(frame(axes) == GREY.upper() and not texts(axes) for axes in results)
    figures.compare_lists(rs, 0, {"nothing": ([-1, -1], None, None)})
    with pytest.raises(InputError, match="1 scores or verdicts don't fit 2 results"):
        figures.compare_lists(rs, 0, {"": ([0, 1], None, [True])})


def test_contact_sheet():
    figure = figures.contact_sheet([picture(seed=i) for i in range(8)], range(8), columns=3)
    assert [axes.get_xlabel() for axes in figure.axes] == [str(i) for i in range(8)]
    png(figure)
    long = figures.contact_sheet([picture()], ["a very long title of a very long picture"]).axes[0]
    assert len(long.get_xlabel()) <= 24


# --- plots -----------------------------------------------------------------------------------------

DATASETS, MODELS = ("mini-focus", "mini-focus-sparse"), ("mini-vit-small", "mini-vit")
METHODS = ("CBIR", "Mask", "PHS", "something new")


def table(**more):
    rows = [
        {"dataset": d, "model": m, "method": k, "metric": metric, "ours": 10 * i + j + 1.25}
        for d in DATASETS
        for j, m in enumerate(MODELS)
        for i, k in enumerate(METHODS)
        for metric in ("MP@100", "MAP@100")
    ]
    return pd.DataFrame(rows).assign(**more)


def legend(figure):
    return [t.get_text() for t in figure.legends[0].get_texts()]


def test_bars_of_many_metrics_of_one_set_name_it_once():
    """Beside each other its name would run into the next panel's."""
    metrics = ["mAP@50:5:95 D medium", "mAP@50:5:95 S medium", "mAP medium"]
    rows = pd.DataFrame([{"dataset": "a" * 40, "model": "m", "method": x, "metric": y, "ours": 50.0} for x in "AB" for y in metrics])
    figure = figures.bars(rows, title="pixels")
    assert [" ".join(text.split()) for text in titles(figure)] == [f"{name} (%)" for name in metrics]
    assert figure.get_suptitle() == "pixels\n" + "a" * 40
    figure.draw_without_rendering()
    boxes = [axes.title.get_window_extent() for axes in figure.axes]
    assert all(left.x1 < right.x0 for left, right in zip(boxes, boxes[1:]))


def test_bars_of_several_models_stand_in_groups():
    rows = table(published=np.nan)
    rows.loc[(rows["method"] == "PHS") & (rows["model"] == MODELS[1]), "published"] = 25.0
    figure = figures.bars(rows, metric="MP@100")
    assert titles(figure) == [f"{d}, MP@100 (%)" for d in DATASETS]
    axes = figure.axes[0]
    assert len(axes.patches) == len(MODELS) * len(METHODS) and lines_of(axes) == list(METHODS)
    (container,) = axes.containers
    assert sorted(bar.get_width() for bar in container) == [10 * i + j + 1.25 for i in range(4) for j in range(2)]
    for bar in container:
        i, j = divmod(bar.get_width() - 1.25, 10)
        assert bar.get_y() + bar.get_height() / 2 == pytest.approx(2.5 * i + j)
        assert to_hex(bar.get_facecolor()).upper() == looks.colour_of(METHODS[int(i)]).upper(), "a method's colour, whatever the network"
    marks = axes.collections[: len(MODELS)]  # a marker for each network, in all its bars
    assert [[y for _, y in mark.get_offsets()] for mark in marks] == [[2.5 * i + j for i in range(4)] for j in range(2)]
    assert not np.array_equal(marks[0].get_paths()[0].vertices, marks[1].get_paths()[0].vertices)
    np.testing.assert_allclose(axes.get_yticks(), [2.5 * i + 0.5 for i in range(4)])
    assert legend(figure) == [*MODELS, "published"]
    diamonds = axes.collections[-1]
    assert diamonds.get_offsets().tolist() == [[25, 6]]  # on the bar of PHS
    assert "22.2 (25.0)" in texts(axes) and "1.2" in texts(axes)
    png(figure)
    assert titles(figures.bars(table(), metric="MAP@100")) == [f"{d}, MAP@100 (%)" for d in DATASETS]
    assert len(figures.bars(table()).axes) == 4  # both metrics


def test_intervals_of_differences_lie_on_the_score_of_the_first_method():
    rows = table().query("metric == 'MP@100' and model == 'mini-vit'").assign(low=np.nan, high=np.nan)  # 2.25, 12.25, ...
    rows.loc[rows["method"] == "PHS", ["low", "high"]] = [18.5, 21.0]
    axes = figures.bars(rows).axes[0]
    (line,) = axes.collections
    assert [segment.tolist() for segment in line.get_segments()] == [[[20.75, 2], [23.25, 2]]]
    assert legend(figures.bars(rows)) == [looks.INTERVAL]
    scan = scan_rows(["PHS"], MODELS[1:]).assign(low=np.nan, high=np.nan)  # CBIR: 40
    scan.loc[scan["x"] == 3, ["low", "high"]] = [9, 12]
    segments = [s.tolist() for c in figures.scan(scan).axes[0].collections for s in c.get_segments()]
    assert [[3, 49], [3, 52]] in segments
    assert looks.INTERVAL in legend(figures.scan(scan)) and looks.GAIN not in legend(figures.scan(scan))
    assert not {looks.INTERVAL, looks.GAIN} & set(legend(figures.scan(scan.assign(low=np.nan, high=np.nan)))), "no interval, no name of one"
    gains = scan.assign(metric="MP@100 relative to CBIR (%)")  # itself a difference
    segments = [s.tolist() for c in figures.relative(gains).axes[0].collections for s in c.get_segments()]
    assert [[3, 9], [3, 12]] in segments
    assert looks.GAIN in legend(figures.relative(gains)) and looks.INTERVAL not in legend(figures.relative(gains))


def test_a_method_looks_the_same_everywhere():
    few, many = looks.looks_of(["PHS"]), looks.looks_of([*METHODS, "another"])
    assert few["PHS"] == many["PHS"]
    assert len({look["color"] for name, look in many.items() if name in METHODS}) == 4
    assert len({(look["color"], look["marker"], look["hatch"]) for look in many.values()}) == 5
    names = [f"PHS (h_on={i})" for i in range(12)]
    several = {(s["color"], s["marker"], str(s["linestyle"])) for s in looks.looks_of(names).values()}
    assert len(several) == 12


def test_histogram():
    rows = pd.DataFrame(
        [{"dataset": d, "x": x, "ours": 10.0} for d in DATASETS for x in range(1, 11)]
    )
    figure = figures.histogram(rows)
    assert titles(figure) == list(DATASETS)
    labels = [t.get_text() for t in figure.axes[0].get_xticklabels()]
    assert labels == [*map(str, range(1, 10)), "10+"]
    assert figure.axes[0].get_ylabel() == "query images (%)"
    assert len(figure.axes[0].patches) == 10
    png(figure)


def test_relative():
    rows = pd.DataFrame(
        [
            {"dataset": d, "model": m, "method": k, "x": x, "ours": 10.0 * i - x}
            for d in DATASETS
            for m in MODELS
            for i, k in enumerate(["Mask", "PHS"])
            for x in (3, 1, 2)
        ]
    )
    figure = figures.relative(rows)
    assert titles(figure) == [f"{d}, {m}" for m in MODELS for d in DATASETS]
    mask, phs, zero = figure.axes[0].lines
    assert mask.get_xdata().tolist() == [1, 2, 3] and mask.get_ydata().tolist() == [-1, -2, -3]
    assert phs.get_ydata().tolist() == [9, 8, 7]
    assert set(zero.get_ydata()) == {0} and zero.get_label() == "CBIR"
    assert mask.get_marker() != phs.get_marker() and dashes(mask) != dashes(phs)
    assert legend(figure) == ["Mask", "PHS", "CBIR"]
    assert figure.axes[0].get_ylabel() == "gain over CBIR (%)"
    assert figure.axes[2].get_xlabel() == "objects in the query image"
    least = figures.relative(rows, over="objects or more")
    assert least.axes[2].get_xlabel().startswith("at least")
    png(figure)


def dashes(line):
    return str(line._unscaled_dash_pattern)


def scan_rows(methods, models=MODELS):
    rows = []
    for j, model in enumerate(models):
        for method in ("CBIR", *methods):
            for x in [np.nan] if method == "CBIR" else range(1, 7 + j):
                ours = 40.0 + j if method == "CBIR" else 50.0 + j - (x - 3) ** 2
                row = {"dataset": "mini-focus", "model": model, "method": method, "x": x}
                rows.append(row | {"metric": "MP@100", "ours": ours})
    return pd.DataFrame(rows)


def test_scan_over_models():
    figure = figures.scan(scan_rows(["PHS"]))
    (axes,) = figure.axes
    lines = {line.get_label(): line for line in axes.lines if line.get_label() in MODELS}
    assert list(lines) == list(MODELS)
    assert lines["mini-vit"].get_xdata().tolist() == [1, 2, 3, 4, 5, 6, 7]
    assert lines["mini-vit"].get_ydata()[2] == 51
    assert len({line.get_marker() for line in lines.values()}) == 2
    assert len({dashes(line) for line in lines.values()}) == 2
    levels = [c.get_segments()[0] for c in axes.collections]  # CBIR, as long as the model has heads
    assert [(s[0].tolist(), s[1].tolist()) for s in levels] == [
        ([1, 40], [6, 40]),
        ([1, 41], [7, 41]),
    ]
    rings = [line for line in axes.lines if line.get_markersize() == 10]
    assert [(r.get_xdata()[0], r.get_ydata()[0]) for r in rings] == [(3, 50), (3, 51)]
    assert "CBIR of each model" in legend(figure)
    assert axes.get_xlabel() == "selected heads, h_on" and axes.get_ylabel() == "MP@100 (%)"
    png(figure)


def test_scan_over_modes():
    figure = figures.scan(scan_rows(["PHS", "PHS (query-db)"], MODELS[1:]))
    assert legend(figure) == ["PHS", "PHS (query-db)", "CBIR"]
    assert len(legend(figures.scan(scan_rows(["PHS", "PHS (query-db)"])))) == 5


def landmarks(datasets=("roxford5k", "rparis6k"), metrics=("mAP medium", "mAP hard"), models=("resnet50",)):
    """Ours with GeM 60, 58, ..., published 2 above; CAM that can't be had; a guest; DELG that only the paper has."""
    rows = []
    for i, dataset in enumerate(datasets):
        for j, metric in enumerate(metrics):
            here, ours = {"dataset": dataset, "metric": metric}, 60.0 - 2 * i - 20 * j
            for model in models:
                rows.append({**here, "model": model, "method": "GeM", "ours": ours, "published": ours + 2})
                rows.append({**here, "model": model, "method": "CAM"})
            rows.append({**here, "model": "guest", "method": "MINE", "ours": 33.0})
            rows.append({**here, "model": "delf", "method": "DELG", "published": 71.5})
    return pd.DataFrame(rows)


def lines_of(axes):
    return [t.get_text() for t in axes.get_yticklabels()]


def test_methods_of_landmark_tables_stand_down():
    figure = figures.bars(landmarks(), title="Table 1")
    assert [t.replace("\n", " ") for t in titles(figure)] == [
        f"{d}, {m} (%)" for m in ("mAP medium", "mAP hard") for d in ("roxford5k", "rparis6k")
    ]
    first, last = figure.axes[0], figure.axes[3]
    assert lines_of(first) == ["GeM, resnet50", "CAM, resnet50", "MINE", "DELG, delf"]  # each has one network: it is named
    ours, guest = last.containers[0].patches
    assert (ours.get_width(), ours.get_y() + ours.get_height() / 2, ours.get_hatch()) == (38, 0, None)
    assert (guest.get_width(), guest.get_y() + guest.get_height() / 2) == (33, 2) and guest.get_hatch()
    assert to_hex(guest.get_facecolor()).upper() in looks.FOREIGN
    diamonds = last.collections[-1]
    assert diamonds.get_offsets().tolist() == [[40, 0], [71.5, 3]]
    assert texts(last) == ["38.0 (40.0)", "n/a", "33.0", "(71.5)"]
    assert legend(figure) == ["resnet50", "guest", "published"]
    assert first.get_xlim() == figure.axes[1].get_xlim() and first.get_xlim()[1] > 71.5
    png(figure)


def test_metrics_of_one_landmark_set_stand_across_and_one_network_is_not_named():
    rows = landmarks(["mini-landmarks"], ["mAP medium", "memory GB"])
    figure = figures.bars(rows[rows["model"] != "delf"])
    assert titles(figure) == ["mini-landmarks, mAP medium (%)", "mini-landmarks, memory GB"]
    assert lines_of(figure.axes[0]) == ["GeM", "CAM", "MINE"]
    none = figures.bars(rows[rows["method"] == "CAM"])  # nothing can be had: no bar, no warning
    assert not none.axes[0].patches and texts(none.axes[0]) == ["n/a"]
    many = pd.concat([rows.assign(method=f"{method}, {i}") for i in range(12) for method in "AB"])
    assert figures.bars(many).get_figheight() > 1.8 * figures.bars(rows).get_figheight()


def test_landmark_scan_has_a_panel_for_each_option():
    over = {"N": [50, 500], "K": [2, 10, 20], "T": [1, 10]}
    rows = pd.DataFrame(
        {"dataset": "mini-landmarks", "model": "mini-cnn", "method": f"GeM+CA over {option}", "metric": metric, "x": x,
         "ours": 50 + x / 100}
        for option, values in over.items() for x in values[::-1] for metric in ("mAP medium", "mAP hard")
    )  # fmt: skip
    guest = rows.iloc[:1].assign(model="guest", method="MINE", x=np.nan)
    figure = figures.scan(pd.concat([rows, guest]))
    assert [axes.get_xlabel().split(", ")[1] for axes in figure.axes] == ["N", "K", "T"]
    for axes, (option, values) in zip(figure.axes, over.items(), strict=True):
        medium, best, hard, _, chosen = axes.lines
        assert medium.get_xdata().tolist() == hard.get_xdata().tolist() == values
        assert medium.get_ydata()[0] == 50 + values[0] / 100 and medium.get_marker() != hard.get_marker()
        assert best.get_xdata().tolist() == [values[-1]]
        assert set(chosen.get_xdata()) == {{"N": 500, "K": 10, "T": 10}[option]}
    assert legend(figure) == ["mAP medium", "mAP hard", "the paper's choice"]
    png(figure)


PLOTS = [figures.bars, figures.histogram, figures.relative, figures.scan]


@pytest.mark.parametrize("plot", PLOTS)
def test_rows_that_can_not_be_plotted(plot):
    with pytest.raises(InputError, match="no rows"):
        plot(table(x=1).iloc[:0])
    with pytest.raises(InputError, match="lack 'dataset'"):
        plot(table(x=1).drop(columns="dataset"))
    if plot in (figures.bars, figures.scan):
        with pytest.raises(InputError, match="MP@7"):
            plot(table(x=1), metric="MP@7")


@pytest.mark.slow
def test_a_notebook_shows_a_figure_once():
    nbformat, nbclient = pytest.importorskip("nbformat"), pytest.importorskip("nbclient")
    code = (
        "from PIL import Image\nfrom foir_lib.prompts import Box\nfrom foir_lib.view import figures\n"
        "figures.prompt(Image.new('RGB', (60, 40)), Box(1, 2, 30, 20))"
    )
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(code)])
    nbclient.NotebookClient(notebook, timeout=1800, startup_timeout=600, kernel_name="python3").execute()
    (shown,) = notebook.cells[0].outputs
    assert "image/png" in shown["data"] and shown["metadata"]["image/png"]["alt"] == shown["data"]["text/plain"] != ""


def test_random_draws_are_a_band_around_their_mean_and_stand_in_the_words():
    """Three draws at each number of heads: 40, 42 and 47 at 1, twice that at 2; one line of PHS with an interval."""
    rows = [{"method": "CBIR", "x": np.nan, "ours": 45.0}] + [{"method": "PHS", "x": x, "ours": 50.0, "low": -1.0, "high": 3.0} for x in (1, 2)]
    rows += [{"method": "Random heads", "x": x, "ours": value * x} for value in (42, 40, 47) for x in (2, 1)]
    figure = figures.scan(pd.DataFrame(rows).assign(dataset="mini-focus", model="mini-vit", metric="MP@100"))
    (axes,) = figure.axes
    line = next(one for one in axes.lines if one.get_label() == "Random heads")
    assert line.get_xydata().tolist() == [[1, 43], [2, 86]]
    (band,) = (one for one in axes.collections if one.get_label() == "least to most of 3 random draws")
    assert {tuple(point) for point in band.get_paths()[0].vertices} == {(1, 40), (1, 47), (2, 80), (2, 94)}
    assert "Random heads: least to most of 3 random draws" in figure.alt and "PHS, 95 % interval of the difference: 44 to 48 at 1, 44 to 48 at 2" in figure.alt
    assert "least to most of 3 random draws" in legend(figure)


def test_bars_say_their_intervals_in_words():
    rows = table().query("metric == 'MP@100' and model == 'mini-vit'").assign(low=np.nan, high=np.nan)
    rows.loc[rows["method"] == "PHS", ["low", "high"]] = [18.5, 21.0]
    assert "PHS 22.2 [20.8, 23.2]" in figures.bars(rows).alt and "CBIR 2.2," in figures.bars(rows).alt
