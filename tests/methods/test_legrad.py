"""LeGrad equals plain autograd through the whole network, family by family; its edges."""

import numpy as np
import plain_legrad
import pytest
import timm
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st

from foir_lib import load_model
from foir_lib.errors import InputError
from foir_lib.methods import legrad
from foir_lib.models.vit import ViT

FAMILIES = {
    "dinov2": ("vit_small_patch14_dinov2", {"img_size": 42, "depth": 3}),
    "dinov2, registers": ("vit_small_patch14_reg4_dinov2", {"img_size": 42, "depth": 3}),
    "dinov2-giant, SwiGLU": ("vit_giant_patch14_reg4_dinov2", {"img_size": 28, "depth": 2, "embed_dim": 96, "num_heads": 6}),
    "clip": ("vit_base_patch16_clip_quickgelu_224.openai", {"img_size": 48, "depth": 2}),
    "deit": ("deit_tiny_patch16_224", {"img_size": 64, "depth": 3}),
    "mini-vit": None,
    "mini-vit-large": None,
}


@pytest.fixture(scope="module", params=list(FAMILIES))
def model(request):
    if FAMILIES[request.param] is None:
        model = load_model(request.param, device="cpu")
        model.net.double()
        return model
    name, options = FAMILIES[request.param]
    torch.manual_seed(3)
    net = timm.create_model(name, **options)
    with torch.no_grad():
        for key, p in net.named_parameters():  # weights that bite: attention that differs, no zero bias or unit scale
            p.normal_(0.4 if p.ndim == 1 else 0.0, 0.3 if p.ndim == 1 else (3 if "qkv" in key else 1) * p.shape[-1] ** -0.5)
    return ViT(net.double(), name)


def pictures(model, n=2, seed=1):
    return torch.randn(n, 3, model.image_size, model.image_size, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def targets(model, n=2, project=False):
    d = model.net.num_classes if project else model.net.embed_dim
    return F.normalize(torch.randn(n, d, generator=torch.Generator().manual_seed(2), dtype=torch.float64), dim=-1)


@pytest.mark.parametrize("score", legrad.SCORES)
def test_a_heat_map_is_that_of_plain_autograd(model, score):
    x = pictures(model)
    for project in {False, model.projects}:
        t = targets(model, project=project)
        for last in {1, 2, model.depth}:
            expected = plain_legrad.scaled(plain_legrad.raw_maps(model.net, x, t, last, score, project))
            maps = legrad.heatmap(model, x, t, last, project, score)
            assert maps.shape == (2, *model.grid) and maps.amin() == 0 and maps.amax() == 1
            torch.testing.assert_close(maps.flatten(1), expected, rtol=0, atol=1e-9)
            assert (maps[0] - maps[1]).abs().max() > 0.05


def test_one_picture_or_many_one_target_or_many(model):
    x, t = pictures(model), targets(model)
    both = legrad.heatmap(model, x, t)
    one = legrad.heatmap(model, x[0], 5 * t[0])  # a target's length plays no part
    assert one.shape == tuple(model.grid)
    torch.testing.assert_close(one, both[0])
    torch.testing.assert_close(legrad.heatmap(model, x[0], t)[0], both[0])
    torch.testing.assert_close(legrad.heatmap(model, x, t[1])[1], both[1])
    with torch.inference_mode():  # as retrievers call it
        torch.testing.assert_close(legrad.heatmap(model, x, t), both)


def test_float32_is_near_plain_autograd_to_a_hundred_thousandth():
    model = load_model("mini-vit", device="cpu")
    x, t = pictures(model).float(), targets(model).float()
    expected = plain_legrad.scaled(plain_legrad.raw_maps(model.net, x, t, 2))
    torch.testing.assert_close(legrad.heatmap(model, x, t).flatten(1), expected, rtol=0, atol=1e-5)


def test_what_does_not_fit_is_said():
    model = load_model("mini-vit-small", pretrained=False, device="cpu")
    x = torch.zeros(2, 3, 128, 128)
    with pytest.raises(InputError, match="3 targets don't fit 2 pictures"):
        legrad.heatmap(model, x, torch.ones(3, 96))
    with pytest.raises(InputError, match="don't fit embeddings"):
        legrad.heatmap(model, x, torch.ones(512))
    with pytest.raises(InputError, match="no image-text projection"):
        legrad.heatmap(model, x, torch.ones(96), project=True)
    with pytest.raises(InputError, match="There is no score of LeGrad 'cls'"):
        legrad.heatmap(model, x, torch.ones(96), score="cls")
    with pytest.raises(InputError, match="last=5 must lie between 1 and 4"):
        legrad.heatmap(model, x, torch.ones(96), last=5)


def test_a_constant_map_is_zeros():
    model = load_model("mini-vit-small", pretrained=False, device="cpu")
    assert (legrad.heatmap(model, torch.zeros(3, 128, 128), torch.zeros(96)) == 0).all()
    maps = legrad.min_max(torch.tensor([[2.0, 2.0, 2.0], [0.0, 0.0, 0.0], [1.0, 3.0, 2.0]], requires_grad=True))
    assert maps.tolist() == [[0, 0, 0], [0, 0, 0], [0, 1, 0.5]]


@given(st.lists(st.floats(-1e6, 1e6, width=32), min_size=1, max_size=9))
def test_min_max_and_its_gradient_are_finite(values):
    maps = torch.tensor([values], requires_grad=True)
    scaled = legrad.min_max(maps)
    assert bool(((scaled >= 0) & (scaled <= 1)).all())
    scaled.square().sum().backward()
    assert bool(maps.grad.isfinite().all())


def test_the_figure_form_is_bilinear_on_the_picture():
    large = legrad.upsampled(torch.tensor([[0.0, 1.0], [0.0, 1.0]]), (8, 4))
    assert large.shape == (4, 8) and large.dtype == np.float32
    np.testing.assert_allclose(large, np.tile([0, 0, 0.125, 0.375, 0.625, 0.875, 1, 1], (4, 1)))
    assert legrad.upsampled(torch.zeros(3, 2, 2), (5, 7)).shape == (3, 7, 5)


def test_the_relevance_is_linear_in_the_target_before_the_relu():
    model = load_model("mini-vit-small", pretrained=False, device="cpu")
    ((attention, z),) = legrad.taps(model, model.tokens(torch.randn(1, 3, 128, 128), 3))
    with legrad.differentiable():
        a, b = torch.randn(2, 1, 96).unbind(0)
        parts = [torch.autograd.grad(z, attention, t, retain_graph=True)[0] for t in (a, b, 2 * a - b)]
    torch.testing.assert_close(parts[2], 2 * parts[0] - parts[1], rtol=1e-4, atol=1e-8)
