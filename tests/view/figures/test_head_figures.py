"""The paper's figures of attention maps: which maps, on which scale, under which names; P@k as the metrics say."""

import io
import re
from itertools import combinations

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from PIL import Image

from foir_lib import Box, Point, load_model, load_set
from foir_lib.bench.experiment import Experiment
from foir_lib.errors import InputError
from foir_lib.methods import foveal, head_selection
from foir_lib.view import figures
from foir_lib.view.figures.looks import BLUE, DPI, GREEN, RED, WIDTH

BOXES = [Box(10, 5, 60, 50), Point(90, 30)]


def photograph(width=120, height=90, seed=0):
    rng = np.random.default_rng(seed)
    small = Image.fromarray(rng.integers(0, 256, (6, 8, 3), dtype=np.uint8))
    return small.resize((width, height), Image.Resampling.BICUBIC)


PICTURES = [photograph(), photograph(100, 120, 1)]


@pytest.fixture(scope="module")
def models():
    return [load_model(name, device="cpu") for name in ("mini-vit-small", "mini-vit", "mini-vit-large")]


@pytest.fixture(scope="module")
def experiment(models, tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FOIR_CACHE", str(tmp_path_factory.mktemp("cache")))
        small = load_set("mini-focus", seed=6, n_query=6, n_database=50)
        yield Experiment(small, models[1], batch_size=8, progress=False)


@pytest.fixture(autouse=True)
def none_left_open():
    yield
    assert plt.get_fignums() == []


def panels(figure):
    """Axes with a heat map: the grey picture below, the map above."""
    return [axes for axes in figure.axes if len(axes.get_images()) == 2]


def heat(axes):
    return axes.get_images()[1]


def bars(figure):
    return [axes for axes in figure.axes if "attention per patch (%)" in axes.get_ylabel()]


def rendered(figure):
    file = io.BytesIO()
    figure.savefig(file, format="png")
    assert Image.open(file).width <= WIDTH * DPI + 1
    return figure


def maps_by_hand(model, picture, prompt, h_on=5):
    x = model.preprocess(picture)[None]
    state, roi = model.cls_state(x), torch.from_numpy(prompt.tokens(model.grid, picture.size))
    order = state.attention[0][:, roi].sum(1).argsort(descending=True)[:h_on]
    fa = model.cls_state(x, foveal.bias(prompt, model.grid, picture.size), last=4)
    return {
        "Vanilla": state.attention[0].mean(0).numpy(),
        "FA": fa.attention[0].mean(0).numpy(),
        "PHS": state.attention[0][order].mean(0).numpy(),
    }


def test_head_maps_end_at_eight_even_shares_and_name_the_share():
    busy, even = np.zeros((1, 64)), np.full((1, 64), 1 / 64)
    busy[0, :2] = 0.5
    for attention, top in ((np.concatenate([busy, even]), 8 / 64), (even, 1 / 64)):
        figure = rendered(figures.head_maps(PICTURES[0], attention, (8, 8)))
        assert [heat(axes).get_clim() for axes in panels(figure)] == [(0, pytest.approx(100 * top))] * len(attention)
        (bar,) = bars(figure)
        assert bar.get_ylabel().endswith("even share 1.6")


def test_a_head_that_spends_less_than_one_percent_on_the_roi_says_how_much():
    attention, roi = np.zeros((3, 64)), np.arange(64) < 2
    attention[:, :2] = [[0.002, 0.002], [0.004, 0.006], [0.5, 0.163]]
    figure = rendered(figures.head_maps(PICTURES[0], attention, (8, 8), roi=roi))
    assert [axes.get_title() for axes in panels(figure)] == ["head 0: 0.4%", "head 1: 1%", "head 2: 66%"]


@pytest.mark.parametrize("prompt", BOXES)
def test_the_three_maps(models, prompt):
    got = figures.attention_maps(models[1], PICTURES[0], prompt, 4)
    want = maps_by_hand(models[1], PICTURES[0], prompt, 4)
    assert list(got) == ["Vanilla", "FA", "PHS"]
    for name, values in want.items():
        np.testing.assert_allclose(got[name], values, atol=1e-5)
    assert len({values.tobytes() for values in got.values()}) == 3
    most = figures.attention_maps(models[0], PICTURES[0], prompt, 9)  # of 6 heads
    np.testing.assert_allclose(most["PHS"], most["Vanilla"], atol=1e-6)
    state = models[1].cls_state(models[1].preprocess(PICTURES[0])[None])
    inside = torch.from_numpy(prompt.tokens(models[1].grid, PICTURES[0].size))[None]
    by_max = head_selection.select(state, inside, 4, "max")[0]
    want = state.attention[0][by_max].mean(0)
    np.testing.assert_allclose(figures.attention_maps(models[1], PICTURES[0], prompt, 4, "max")["PHS"], want)


def test_compare_methods(models):
    figure = rendered(figures.compare_methods(models[1], PICTURES, BOXES))
    drawn = panels(figure)
    assert [axes.get_title() for axes in figure.axes[:4]] == ["query", "Vanilla", "FA", "PHS"] and len(drawn) == 6
    for row, (picture, prompt) in enumerate(zip(PICTURES, BOXES)):
        line, want = drawn[3 * row : 3 * row + 3], maps_by_hand(models[1], picture, prompt)
        assert len({heat(axes).get_clim() for axes in line}) == 1  # one scale in a row
        for axes, values in zip(line, want.values(), strict=True):
            np.testing.assert_allclose(heat(axes).get_array(), 100 * values.reshape(8, 8), atol=1e-3)
    assert len(bars(figure)) == 2 and "mini-vit, PHS with 5 of 12 heads" in figure.get_suptitle()
    assert figure.get_supxlabel().startswith("Look ")


def test_compare_sizes(models):
    figure = rendered(figures.compare_sizes(models, PICTURES, BOXES, h_on=5))
    names = ["query", "mini-vit-small\n5 of 6 heads", "mini-vit\n5 of 12 heads", "mini-vit-large\n5 of 16 heads"]
    assert [axes.get_title() for axes in figure.axes[:4]] == names
    drawn = panels(figure)
    for row, (picture, prompt) in enumerate(zip(PICTURES, BOXES)):
        line = drawn[3 * row : 3 * row + 3]
        assert len({heat(axes).get_clim() for axes in line}) == 1
        for axes, model in zip(line, models, strict=True):
            want = maps_by_hand(model, picture, prompt)["PHS"].reshape(model.grid)
            np.testing.assert_allclose(heat(axes).get_array(), 100 * want, atol=1e-3)
    assert len(bars(figure)) == 2


def test_models_of_other_grids_stand_side_by_side(models):
    import timm

    from foir_lib.models.vit import ViT

    torch.manual_seed(0)
    other = ViT(timm.create_model("deit_tiny_patch16_224", depth=2, img_size=64), "tiny")
    figure = rendered(figures.compare_sizes([other, models[1]], PICTURES, BOXES))
    assert [heat(axes).get_array().shape for axes in panels(figure)] == [(4, 4), (8, 8)] * 2
    assert figure.axes[1].get_title() == "tiny\n3 of 3 heads"
    figure = rendered(figures.heads_of_models([other, models[1]], PICTURES[0], BOXES[1]))
    assert [heat(axes).get_array().shape for axes in panels(figure)] == [(4, 4)] * 3 + [(8, 8)] * 12


@pytest.mark.parametrize("prompt", [None, BOXES[0]])
def test_heads_of_models(models, prompt):
    figure = rendered(figures.heads_of_models(models, PICTURES[0], prompt))
    drawn = panels(figure)
    assert len(drawn) == 6 + 12 + 16 and len(bars(figure)) == 1
    assert len({heat(axes).get_clim() for axes in drawn}) == 1  # one scale over all models
    attention = [m.cls_state(m.preprocess(PICTURES[0])[None]).attention[0].numpy() for m in models]
    for axes, values in zip(drawn, np.concatenate(attention), strict=True):
        np.testing.assert_allclose(heat(axes).get_array(), 100 * values.reshape(8, 8), atol=1e-3)
    bands = [axes.get_title(loc="left") for axes in figure.axes if axes.get_title(loc="left")]
    assert bands == ["mini-vit-small, 6 heads", "mini-vit, 12 heads", "mini-vit-large, 16 heads"] and all(one in figure.alt for one in bands)
    boxes = [one.get_window_extent() for axes in figure.axes for one in (axes.title, axes._left_title) if one.get_text()]
    assert len(boxes) == 3 + 34 and not any(a.overlaps(b) for a, b in combinations(boxes, 2)), "no title lies on another"
    heads = [axes.get_title() for axes in drawn]
    if prompt is None:
        assert heads == [f"head {i}" for n in (6, 12, 16) for i in range(n)]
    else:
        inside = prompt.tokens((8, 8), PICTURES[0].size)
        spent = [(i, 100 * row[inside].sum()) for a in attention for i, row in enumerate(a)]
        shares = [f"head {i}\n{share:.1f}%" if share < 1 else f"head {i}\n{share:.0f}%" for i, share in spent]
        assert heads == shares and all(axes.collections for axes in drawn)


def test_case_tells_the_precision_of_the_metrics(experiment):
    methods = ("CBIR", "Mask", "Crop", "PHS(h_on=4)")
    rankings = {method: experiment.ranking(method) for method in methods}
    for query in (0, 7):
        one = {name: (ranking.scores[query], ranking.ids[query]) for name, ranking in rankings.items()}
        figure = rendered(figures.case(experiment.set, query, one, k=10, shown=5))
        rows = [
            axes for axes in figure.axes if axes.spines["top"].get_edgecolor()[:3] == plt.matplotlib.colors.to_rgb(BLUE)
        ]
        assert len(rows) == 4 and len(figure.axes) == 4 * 6
        for axes, method in zip(rows, methods, strict=True):
            want = experiment.score(method, k=10)["contains"].per_query["precision"].iloc[query]
            first, precision, right = axes.get_title().splitlines()
            assert first == method and precision == f"P@10: {100 * want:.0f} %"
            at = figure.axes.index(axes)
            frames = [
                plt.matplotlib.colors.to_hex(a.spines["top"].get_edgecolor()) for a in figure.axes[at + 1 : at + 6]
            ]
            assert right == f"{frames.count(GREEN.lower())} of 5 right" and set(frames) <= {GREEN.lower(), RED.lower()}
            relevant = np.isin(one[method][1][:5], experiment.set.protocols["contains"].positives(query))
            assert [frame == GREEN.lower() for frame in frames] == relevant.tolist()
        assert experiment.set.queries["label"].iloc[query] in figure.get_suptitle()


def test_case_in_a_small_database_uses_its_size(experiment):
    ranking = experiment.ranking("CBIR")
    figure = figures.case(experiment.set, 0, {"CBIR": (ranking.scores[0], ranking.ids[0])}, k=1000, shown=3)
    assert re.search(r"P@50: \d+ %", figure.axes[0].get_title())


@pytest.mark.parametrize(
    "call, words",
    [
        (lambda m, e: figures.compare_methods(m, PICTURES, BOXES[:1]), "2 pictures and 1 prompts"),
        (lambda m, e: figures.compare_methods(m, [], []), "0 pictures"),
        (lambda m, e: figures.compare_sizes([], PICTURES, BOXES), r"Models \(none\)"),
        (lambda m, e: figures.compare_sizes([m, m], PICTURES, BOXES), "mini-vit, mini-vit .*each once"),
        (lambda m, e: figures.heads_of_models([], PICTURES[0]), r"Models \(none\)"),
        (lambda m, e: figures.heads_of_models([m], PICTURES[0], Box(500, 0, 600, 9)), "lies outside"),
        (lambda m, e: figures.case(e.set, 10_000, {"CBIR": ([1.0], [0])}), "no query 10000"),
        (lambda m, e: figures.case(e.set, 0, {}), "no method"),
    ],
)
def test_errors_are_one_sentence(models, experiment, call, words):
    with pytest.raises(InputError, match=words) as caught:
        call(models[1], experiment)
    assert "\n" not in str(caught.value) and str(caught.value).endswith(".")
