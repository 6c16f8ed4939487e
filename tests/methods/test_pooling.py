"""Poolings by hand, at their limits, and by properties."""

import math

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st

from foir_lib.errors import InputError
from foir_lib.methods import pooling, regions, whitening

GLOBAL = {"gem": pooling.gem, "mac": pooling.mac, "sum": lambda x: pooling.spoc(x, False), "crow": pooling.crow}


def maps(*shape, seed=0, sparse=0.4):
    generator = torch.Generator().manual_seed(seed)
    x = torch.rand(*shape, generator=generator, dtype=torch.float64)
    return x * (torch.rand(*shape, generator=generator) > sparse)


def unit(v):
    return v / v.norm(dim=-1, keepdim=True)


@pytest.fixture
def x():
    """One map of two channels, 2 x 2."""
    return torch.tensor([[[[1.0, 2.0], [3.0, 4.0]], [[0.0, 0.0], [0.0, 8.0]]]])


def test_by_hand(x):
    assert pooling.mac(x).tolist() == [[4, 8]]
    assert pooling.spoc(x, centre=False).tolist() == [[10, 8]]
    assert torch.allclose(pooling.gem(x, 3), torch.tensor([[25 ** (1 / 3), 128 ** (1 / 3)]]))
    assert torch.allclose(pooling.gem(x, 1), torch.tensor([[2.5, 2.0]]))


def test_crow_by_hand(x):
    total = torch.tensor([[1.0, 2.0], [3.0, 12.0]])
    spatial = (total / math.sqrt(1 + 4 + 9 + 144)).sqrt()
    channels = torch.tensor([math.log(1.25 / 1), math.log(1.25 / 0.25)])
    assert torch.allclose(pooling.crow_spatial(x)[0], spatial) and torch.allclose(pooling.crow_channels(x)[0], channels)
    assert torch.allclose(pooling.crow(x)[0], (x[0] * spatial).sum((1, 2)) * channels)


def test_the_centring_prior():
    """3 x 5 map: sigma is half a cell, so a cell beside the centre has exp(-2), one over the corner exp(-4)."""
    prior = torch.stack([pooling.spoc(F.one_hot(torch.tensor(i), 15).double().reshape(1, 1, 3, 5)) for i in range(15)])
    prior = prior.reshape(3, 5)
    assert prior[1, 2] == 1 and prior[1, 1].item() == pytest.approx(math.exp(-2))
    assert prior[0, 1].item() == pytest.approx(math.exp(-4)) and prior[1, 0].item() == pytest.approx(math.exp(-8))
    assert torch.equal(prior, prior.flip(0)) and torch.equal(prior, prior.flip(1))
    assert pooling.spoc(torch.full((1, 1, 1, 1), 7.0)).item() == 7


def test_weights_of_a_power_mean_by_hand():
    x, share = torch.tensor([[1.0, 2.0, 3.0]]), torch.tensor([[1.0, 0.0, 3.0]])
    assert pooling.power_mean(x, 2.0, weights=share).item() == pytest.approx(((1 + 3 * 9) / 4) ** 0.5)
    assert pooling.power_mean(x, 3.0, weights=torch.full((1, 3), 0.2)).item() == pytest.approx(pooling.power_mean(x).item())
    assert pooling.power_mean(x.repeat(4, 1), 1.0, 0, weights=torch.ones(4, 1)).tolist() == pytest.approx([1, 2, 3])


@given(st.integers(1, 5), st.integers(1, 5), st.integers(0, 99))
def test_gem_lies_between_the_mean_and_the_maximum(height, width, seed):
    x = maps(2, 3, height, width, seed=seed).clamp(min=1e-6)
    assert torch.allclose(pooling.gem(x, 1), x.mean((2, 3)))
    assert torch.equal(pooling.gem(x, math.inf), pooling.mac(x))
    ladder = torch.stack([pooling.gem(x, p) for p in (1, 2, 3, 10, 100, 3000, math.inf)])
    assert (ladder.diff(dim=0) >= -1e-9).all()
    assert torch.allclose(ladder[-2], ladder[-1], rtol=2e-3)


def test_gem_of_large_values_and_powers_stays_finite():
    x = torch.tensor([[[[300.0, 200.0]]]])
    assert pooling.gem(x, 200).item() == pytest.approx(300 * 0.5 ** (1 / 200), rel=1e-5)
    assert pooling.gem(torch.zeros(1, 2, 3, 3)).tolist() == [[pytest.approx(1e-6)] * 2]
    for p in (0, -1, math.nan):
        with pytest.raises(InputError, match="gem p="):
            pooling.gem(x, p)


def test_the_gradient_of_p_is_right():
    x, p = maps(1, 2, 3, 3), torch.tensor(3.0, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda p, x: pooling.gem(x, p), (p, (x + 0.1).requires_grad_()))


@pytest.mark.parametrize("name", GLOBAL)
@given(seed=st.integers(0, 99))
def test_cells_may_change_places_and_scale_goes_through(name, seed):
    pool, x = GLOBAL[name], maps(2, 4, 3, 5, seed=seed)
    order = torch.randperm(15, generator=torch.Generator().manual_seed(seed))
    assert torch.allclose(pool(x), pool(x.flatten(2)[..., order].unflatten(2, (3, 5))), atol=1e-12)
    assert torch.allclose(pool(3 * x), 3 * pool(x), atol=1e-5)
    assert torch.allclose(pool(x)[1:], pool(x[1:]))  # images don't see each other


@pytest.mark.parametrize(
    "pool", [pooling.gem, pooling.mac, pooling.spoc, pooling.crow, pooling.rmac, lambda x: pooling.superglobal([x])]
)
@pytest.mark.parametrize("shape", [(1, 3, 1, 1), (2, 3, 1, 7), (1, 3, 2, 2)])
def test_tiny_constant_and_empty_maps(pool, shape):
    for x in (maps(*shape), torch.ones(shape), torch.zeros(shape)):
        v = pool(x)
        assert v.shape == shape[:2] and torch.isfinite(v).all()


def test_rmac_by_hand(x):
    """One region of side 2 and four of side 1."""
    result = torch.stack([torch.tensor(v) for v in ([4.0, 8.0], [1.0, 0.0], [2.0, 0.0], [3.0, 0.0], [4.0, 8.0])])
    want = unit(unit(result).sum(0))
    assert torch.allclose(pooling.rmac(x, 2)[0], want)
    assert torch.allclose(pooling.rmac(x, at=[(0, 0, 2)])[0], unit(result[0]))


def test_rmac_whitens_each_region():
    x = maps(2, 4, 6, 9)
    vectors = unit(regions.pooled(x, regions.grid(6, 9, 3)))
    pca = whitening.fit(vectors.flatten(0, 1), 3)
    want = unit(torch.stack([unit(pca(v)).sum(0) for v in vectors]))
    assert torch.allclose(pooling.rmac(x, 3, pca), want)
    assert torch.allclose(pooling.rmac(5 * x, 3, pca), want)  # L2 comes first


# --- CAM -------------------------------------------------------------------------------------------


def cam_written_out(x, weight, bias, n_maps, pca=None):
    logits = weight @ x.mean((1, 2)) + bias
    channels = pooling.crow_channels(x[None])[0]
    total = 0
    for k in sorted(range(len(weight)), key=lambda k: -float(logits[k]))[:n_maps]:
        heat = sum(weight[k, c] * x[c] for c in range(len(x)))
        if heat.max() <= 0:
            continue
        heat = (heat / heat.max()).clamp(min=0)
        v = unit(torch.stack([(heat * x[c]).sum() for c in range(len(x))]) * channels)
        total = total + (v if pca is None else unit(pca(v[None])[0]))
    return unit(total)


@pytest.mark.parametrize("n_maps", [1, 3, 64])
def test_cam_is_its_written_out_self(n_maps):
    x = maps(2, 5, 4, 6)
    generator = torch.Generator().manual_seed(1)
    weight = torch.randn(9, 5, generator=generator, dtype=torch.float64)
    weight[4] = -1  # lights up nowhere
    bias = torch.randn(9, generator=generator, dtype=torch.float64)
    pca = whitening.fit(pooling.cam_vectors(x, weight, bias, 4).flatten(0, 1), 3)
    for whiten in (None, pca):
        want = torch.stack([cam_written_out(image, weight, bias, n_maps, whiten) for image in x])
        assert torch.allclose(pooling.cam(x, weight, bias, n_maps, whiten), want, atol=1e-6)
    assert torch.isfinite(pooling.cam(0 * x, weight)).all()


def test_cam_looks_where_its_class_lights_up():
    """Class 0 lights up on the left, where channel 2 is on; class 1 on the right, where channel 3 is."""
    x = torch.zeros(1, 4, 1, 2)
    x[0, :, 0, 0], x[0, :, 0, 1] = torch.tensor([1.0, 0, 5, 0]), torch.tensor([0, 1.0, 0, 7])
    weight = torch.tensor([[1.0, -1, 0, 0], [-1.0, 1, 0, 0]])
    left = pooling.cam(x, weight, torch.tensor([1.0, 0]), 1)[0]
    right = pooling.cam(x, weight, torch.tensor([0.0, 1]), 1)[0]
    assert left[2] > 0.9 and left[3] == 0 and right[3] > 0.9 and right[2] == 0
    with pytest.raises(InputError, match=r"\(2, 3\) must be \(n_classes, 4\)"):
        pooling.cam(x, torch.zeros(2, 3))


# --- SuperGlobal -----------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(1, 2, 5, 7), (2, 1, 3, 9), (1, 1, 2, 2), (1, 1, 1, 1)])
def test_regional_gem_is_its_written_out_self(shape):
    x = maps(*shape)
    height, width = shape[2:]

    def inside(i, n):  # reflected at the border, or repeated on small maps
        if min(height, width) <= 2:
            return min(max(i, 0), n - 1)
        return -i if i < 0 else 2 * (n - 1) - i if i >= n else i

    want = torch.zeros_like(x)
    for r in range(height):
        for c in range(width):
            cells = [
                x[..., inside(r + i, height), inside(c + j, width)].clamp(min=1e-12)
                for i in range(-2, 3)
                for j in range(-2, 3)
            ]
            around = (sum(v**2.5 for v in cells) / 25) ** (1 / 2.5)
            want[..., r, c] = 0.5 * around + 0.5 * x[..., r, c]
    assert torch.allclose(pooling.regional_gem(x), want, atol=1e-9)


def test_regional_gem_is_half_an_lp_pool():
    x = maps(2, 3, 8, 9).clamp(min=0.01)
    pooled = torch.nn.LPPool2d(2.5, 5, stride=1)(torch.nn.ReflectionPad2d(2)(x / 25 ** (1 / 2.5)))
    assert torch.allclose(pooling.regional_gem(x), 0.5 * pooled + 0.5 * x)


def test_scale_gem_by_hand():
    v = torch.tensor([[[3.0, 4.0]], [[0.0, 2.0]]])  # two scales
    assert torch.allclose(pooling.scale_gem(v), torch.tensor([[0.6, 1.0]]))
    v = torch.tensor([[[0.5, -0.5]], [[1.5, 0.5]]])  # shifted by 0.5: 1, 0 and 2, 1
    want = torch.tensor([[math.sqrt(2.5) - 0.5, math.sqrt(0.5) - 0.5]])
    assert torch.allclose(pooling.scale_gem(v, 2), want)


def test_superglobal_is_its_steps():
    xs, layer = [maps(2, 6, n, n + 1, seed=n).float() for n in (4, 6, 8)], torch.nn.Linear(6, 3)
    one = [layer(unit((pooling.regional_gem(x).clamp(min=1e-8) ** 4.6).mean((2, 3)) ** (1 / 4.6))) for x in xs]
    want = unit(torch.stack([unit(v) for v in one]).amax(0))
    assert torch.allclose(pooling.superglobal(xs, layer), want, atol=1e-6)
    assert torch.allclose(pooling.gem_plus(xs[0]), pooling.gem(xs[0], 4.6), atol=1e-6)
