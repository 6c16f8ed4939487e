"""Figures of where vectors look: whose maps, on which scale, with which boxes, and how much of them lies on things."""

import numpy as np
import pytest
import timm
import torch
from matplotlib.patches import Rectangle
from PIL import Image
from tiny import N, vit

from foir_lib.errors import InputError
from foir_lib.methods import legrad
from foir_lib.models.vit import ViT
from foir_lib.prompts import Box, patch_shares
from foir_lib.retrievers.baselines import CBIR
from foir_lib.retrievers.objects import MaxCrops, MeanCrops
from foir_lib.text import percent
from foir_lib.view import figures
from foir_lib.view.figures.objects import looks_at, share

BOTH = {"global": CBIR(), "mean of crops": MeanCrops(objects="boxes")}


@pytest.fixture
def corpus(tiny):
    return tiny.experiment("vit").corpus


def test_the_share_of_a_map_on_things_by_hand():
    assert share(np.array([[1.0, 3.0], [0.0, 0.0]]), np.array([[1.0, 0.5], [1.0, 0.0]])) == pytest.approx(2.5 / 4)
    assert share(np.zeros((2, 2)), np.ones((2, 2))) == 0
    assert share(np.full((2, 3), 0.2), np.full((2, 3), 0.3)) == pytest.approx(0.3), "what knows nothing has as much as they cover"


def test_each_map_has_its_own_picture_s_descriptor_as_target(corpus):
    model = corpus.model
    for retriever in BOTH.values():
        heats = looks_at(corpus, retriever, [7, 0])
        target = corpus.described(retriever, corpus.database).read("descriptor")[7]
        expected = legrad.heatmap(model, model.preprocess(corpus.set.open("p7")), torch.from_numpy(target))
        assert heats.shape == (2, *model.grid)
        np.testing.assert_allclose(heats[0], expected, atol=1e-6)


def test_maps_stand_side_by_side_on_one_scale_with_the_boxes_of_things(corpus):
    figure = figures.descriptor_maps(corpus, BOTH, [0, 3], title="two pictures")
    figure.canvas.draw()
    panels = figure.axes[:6]
    assert [axes.images[-1].get_clim() for axes in panels if len(axes.images) == 2] == [(0, 1)] * 4
    corners = [[p.get_bbox().extents.tolist() for p in axes.patches if isinstance(p, Rectangle)] for axes in panels]
    assert corners == [[[20, 30, 60, 50], [8, 10, 40, 34]]] * 3 + [[[11, 10, 43, 34]]] * 3
    size = corpus.set.open("p3").size
    inside = np.zeros(size[::-1], bool)
    inside[10:34, 11:43] = True
    covered, heat = patch_shares(inside, corpus.model.grid), looks_at(corpus, CBIR(), [3])[0]
    assert panels[3].get_title() == f"things: {percent(24 * 32 / (size[0] * size[1]))} of it"
    assert panels[4].get_title() == f"global: {percent((heat * covered).sum() / heat.sum())} on things"
    assert figure.get_suptitle() == "two pictures" and "share of the picture" in figure.get_supxlabel().replace("\n", " ")


def test_what_makes_no_figure_is_said(corpus, tiny):
    for rows, methods, words in (
        ([], BOTH, "0 pictures and 2 methods make no figure"), ([0], {}, "1 pictures and 0 methods"), ([N], BOTH, f"no database row {N}"),
        ([0], {"all": MaxCrops(objects="boxes")}, "all has no single descriptor"),
    ):  # fmt: skip
        with pytest.raises(InputError, match=words):
            figures.descriptor_maps(corpus, methods, rows)
    with pytest.raises(InputError, match="mean can't be shown: tiny-cnn has no attention heads"):
        figures.descriptor_maps(tiny.experiment("cnn").corpus, {"mean": MeanCrops()}, [0])
    with pytest.raises(InputError, match="global has no single descriptor of a picture on a ViT"):
        figures.descriptor_maps(tiny.experiment("cnn").corpus, {"global": CBIR()}, [0])


# ---- maps of any target


def photograph(seed, size=(70, 50)):
    pixels = np.random.default_rng(seed).integers(0, 256, (*size[::-1], 3), dtype=np.uint8)
    return Image.fromarray(pixels)


PICTURES = [photograph(0), photograph(1, (40, 60))]
BOXES = [[Box(5, 6, 30, 40)], [Box(1, 2, 9, 20), Box(20, 30, 40, 60)]]


def clip():
    """A tiny CLIP of timm, whose head projects to where the vectors of texts lie."""
    torch.manual_seed(3)
    net = timm.create_model("vit_base_patch16_clip_quickgelu_224.openai", img_size=48, depth=2, embed_dim=48, num_heads=4)
    return ViT(net, "tiny-clip")


def drawn(figure):
    """Of each panel: its picture, or the values of its map, with the ends of the scale, and the corners of its boxes."""
    panels = [axes for axes in figure.axes if axes.images]
    corners = [[p.get_bbox().extents.tolist() for p in axes.patches if isinstance(p, Rectangle)] for axes in panels]
    values = [axes.images[1] if len(axes.images) == 2 else None for axes in panels]
    return [(axes.get_title(), None if v is None else (np.asarray(v.get_array()), v.get_clim()), c) for axes, v, c in zip(panels, values, corners)]


def test_maps_of_several_targets_over_several_pictures():
    model = vit()
    x = torch.stack([model.preprocess(picture) for picture in PICTURES])
    one, each = torch.randn(48, generator=torch.Generator().manual_seed(5)), model.embed(x)
    figure = figures.legrad_maps(model, PICTURES, {"one": one, "its own": each}, last=3, boxes=BOXES, smooth=False, title="maps")
    panels = drawn(figure)
    assert [title for title, *_ in panels] == ["picture", "one", "its own", "", "", ""]
    assert [corners for *_, corners in panels] == [[[5, 6, 30, 40]]] * 3 + [[[1, 2, 9, 20], [20, 30, 40, 60]]] * 3
    for row in range(2):
        for place, target in ((1, one), (2, each[row])):
            values, scale = panels[3 * row + place][1]
            np.testing.assert_allclose(values, legrad.heatmap(model, x[row], target, 3), atol=1e-5)
            assert scale == (0, 1) and values.min() == 0 and values.max() == 1
    assert figure.get_suptitle() == "maps" and "one map's 1 isn't another's" in figure.get_supxlabel().replace("\n", " ")
    assert figure.axes[-1].get_ylabel().startswith("LeGrad"), "the colour bar"


def test_smooth_maps_are_bilinear_on_the_pixels_of_their_picture():
    heat = np.array([[0.0, 1.0], [0.25, 0.5]])
    ((_, plain, _), (_, (values, _), _)) = drawn(figures.heat_maps(PICTURES[:1], {"a": [heat]}))
    assert plain is None and values.shape == (50, 70)
    np.testing.assert_allclose(values[[0, 0, -1, -1], [0, -1, 0, -1]], [0, 1, 0.25, 0.5], atol=1e-6)
    np.testing.assert_allclose(values[25, 35], heat.mean(), atol=0.02)


def test_layers_stand_side_by_side_from_the_last_block_to_all():
    model = vit()
    x, target = model.preprocess(PICTURES[0]), torch.ones(48)
    panels = drawn(figures.legrad_layers(model, PICTURES[:1], target, BOXES[:1], score="descriptor", smooth=False))
    assert [title for title, *_ in panels] == ["picture", "last block", "last 2", "last 3"]
    for last, (_, (values, _), _) in enumerate(panels[1:], start=1):
        np.testing.assert_allclose(values, legrad.heatmap(model, x, target, last, score="descriptor"), atol=1e-5)
    assert np.abs(panels[1][1][0] - panels[3][1][0]).max() > 0.05


def test_a_text_is_a_target_of_clip_alone():
    model, text = clip(), torch.randn(512, generator=torch.Generator().manual_seed(1))
    panels = drawn(figures.legrad_maps(model, PICTURES[:1], {"a red cup": text, "a map": -text}, project=True, smooth=False))
    assert [title for title, *_ in panels] == ["picture", "a red cup", "a map"]
    expected = legrad.heatmap(model, model.preprocess(PICTURES[0]), text, project=True)
    np.testing.assert_allclose(panels[1][1][0], expected, atol=1e-5)
    assert np.abs(panels[1][1][0] - panels[2][1][0]).max() > 0.05
    layers = drawn(figures.legrad_layers(model, PICTURES[:1], text, project=True, smooth=False))
    assert len(layers) == 3 and (layers[2][1][0] == panels[1][1][0]).all()
    with pytest.raises(InputError, match="no image-text projection"):
        figures.legrad_maps(vit(), PICTURES, {"a red cup": text}, project=True)


def test_a_constant_map_is_dark_all_over():
    ((*_,), (_, (values, scale), _)) = drawn(figures.legrad_maps(vit(), [Image.new("RGB", (32, 32))], {"nothing": torch.zeros(48)}))
    assert (values == 0).all() and scale == (0, 1)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (([], {"a": []}), "0 pictures and 1 kinds of maps"), ((PICTURES, {}), "2 pictures and 0 kinds of maps"),
        ((PICTURES, {"a": [np.zeros((2, 2))]}), "2 pictures need as many maps"),
        ((PICTURES, {"a": [np.zeros((2, 2))] * 2}, BOXES[:1]), "as many lists of boxes"),
        ((PICTURES[:1], {"a": [np.full((2, 2), 1.5)]}), "Maps 'a' go from 1.5 to 1.5"), ((PICTURES[:1], {"a": [np.zeros(4)]}), "map 'a' has shape"),
    ],
)  # fmt: skip
def test_maps_that_make_no_figure_are_refused_in_words(arguments, words):
    with pytest.raises(InputError, match=words):
        figures.heat_maps(*arguments)
    with pytest.raises(InputError, match="no picture to look at"):
        figures.legrad_maps(vit(), [], {"a": torch.ones(48)})
