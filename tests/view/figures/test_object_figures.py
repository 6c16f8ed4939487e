"""The figure of where descriptors look: whose maps, on which scale, and how much of them lies on things."""

import numpy as np
import pytest
import torch
from matplotlib.patches import Rectangle
from tiny import N

from foir_lib.errors import InputError
from foir_lib.methods import legrad
from foir_lib.prompts import patch_shares
from foir_lib.retrievers.baselines import CBIR
from foir_lib.retrievers.objects import MaxCrops, MeanCrops
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
    assert panels[3].get_title() == f"things: {100 * 24 * 32 / (size[0] * size[1]):.0f} % of it"
    assert panels[4].get_title() == f"global: {100 * (heat * covered).sum() / heat.sum():.0f} % on things"
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
