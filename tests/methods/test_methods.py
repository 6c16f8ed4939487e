"""The methods of the head-selection paper, by hand-worked numbers and independent derivations."""

import itertools
import math
from collections import Counter

import numpy as np
import pytest
import timm
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from foir_lib.errors import InputError
from foir_lib.methods import baselines, foveal, head_selection
from foir_lib.methods.noise import noisy
from foir_lib.models.vit import ClsState, ViT
from foir_lib.prompts import Box, Mask, Point


def state_of(attention):
    """A state with this attention (B, h, N); the rest is of no matter to selection."""
    attention = torch.as_tensor(attention, dtype=torch.float64)
    nothing = torch.zeros(*attention.shape[:2], 2, dtype=torch.float64)
    return ClsState(
        attention, nothing, nothing, torch.zeros(len(attention), 4, dtype=torch.float64)
    )


@pytest.fixture(scope="module")
def model():
    """A random ViT of 6 heads, 2 blocks and 3 x 3 patches in float64; every weight is drawn, none is 0 or 1."""
    net = timm.create_model(
        "vit_tiny_patch16_224", num_heads=6, depth=2, img_size=48, init_values=1.0
    )
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name, p in net.named_parameters():
            spread = 3 * p.shape[-1] ** -0.5 if name.endswith("qkv.weight") else 0.05
            p.normal_(
                0.5 if p.ndim == 1 else 0, 0.4 if p.ndim == 1 else spread, generator=generator
            )
    return ViT(net.double(), "vit_tiny_6_heads")


@pytest.fixture(scope="module")
def x():
    return torch.randn(
        4, 3, 48, 48, generator=torch.Generator().manual_seed(1), dtype=torch.float64
    )


@pytest.fixture(scope="module")
def state(model, x):
    return model.cls_state(x)


def close(a, b):
    torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-8)


def differs(a, b):
    return (a - b).norm(dim=-1).min() > 1e-3


def tail(model, state, projected):
    """The rest of the last block for the CLS token, written out; ``projected`` (B, d) is W_o's output."""
    block = model.net.blocks[-1]
    with torch.inference_mode():
        y = state.residual + projected * block.ls1.gamma
        hidden = F.gelu(block.norm2(y) @ block.mlp.fc1.weight.T + block.mlp.fc1.bias)
        y = y + (hidden @ block.mlp.fc2.weight.T + block.mlp.fc2.bias) * block.ls2.gamma
        return F.normalize(model.net.norm(y), dim=-1)


def through_w_o(model, heads):
    """Concatenate per-head outputs (B, h, dk) head by head and apply W_o and b_o."""
    proj = model.net.blocks[-1].attn.proj
    return torch.cat([heads[:, i] for i in range(heads.shape[1])], -1) @ proj.weight.T + proj.bias


# --- selection -------------------------------------------------------------------------------------

ATTENTION = [
    [[0.10, 0.20, 0.30, 0.10], [0.40, 0.10, 0.00, 0.10], [0.05, 0.05, 0.45, 0.20]],
    [[0.10, 0.20, 0.30, 0.10], [0.40, 0.10, 0.00, 0.10], [0.05, 0.05, 0.45, 0.20]],
]
ROI = torch.tensor([[False, True, True, False], [True, False, False, True]])


def test_roi_attention_by_hand():
    state = state_of(ATTENTION)
    close(
        head_selection.roi_attention(state, ROI).float(),
        torch.tensor([[0.5, 0.1, 0.5], [0.2, 0.5, 0.25]]),
    )
    close(
        head_selection.roi_attention(state, ROI, "max").float(),
        torch.tensor([[0.3, 0.1, 0.45], [0.1, 0.4, 0.2]]),
    )
    both = head_selection.roi_attention(state, ROI[:1])  # one ROI for all
    close(both.float(), torch.tensor([[0.5, 0.1, 0.5], [0.5, 0.1, 0.5]]))
    close(
        head_selection.roi_attention(state, ROI.numpy()), head_selection.roi_attention(state, ROI)
    )


@pytest.mark.parametrize(
    ("h_on", "strategy", "expected"),
    [
        (1, "sum", [[1, 0, 0], [0, 1, 0]]),  # 0.5 twice: the lower head index
        (2, "sum", [[1, 0, 1], [0, 1, 1]]),
        (3, "sum", [[1, 1, 1], [1, 1, 1]]),
        (1, "max", [[0, 0, 1], [0, 1, 0]]),
        (2, "max", [[1, 0, 1], [0, 1, 1]]),
    ],
)
def test_select_by_hand(h_on, strategy, expected):
    heads = head_selection.select(state_of(ATTENTION), ROI, h_on=h_on, strategy=strategy)
    assert heads.dtype == torch.bool
    assert heads.int().tolist() == expected


def test_ties_go_to_the_lower_index():
    heads = head_selection.select(state_of(torch.full((1, 16, 4), 0.25)), ROI[:1], h_on=5)
    assert heads[0].nonzero().flatten().tolist() == [0, 1, 2, 3, 4]
    values = torch.tensor([3, 1, 2, 3, 2, 2, 1, 3], dtype=torch.float64)[None, :, None].expand(
        1, 8, 4
    )
    for h_on, expected in ((2, [0, 3]), (4, [0, 2, 3, 7]), (5, [0, 2, 3, 4, 7])):
        assert (
            head_selection.select(state_of(values), ROI[:1], h_on=h_on)[0]
            .nonzero()
            .flatten()
            .tolist()
            == expected
        )


@given(st.integers(1, 20), st.data())
@settings(deadline=None, max_examples=60)
def test_selected_heads_are_the_best(h, data):
    levels = data.draw(st.lists(st.integers(0, 5), min_size=h, max_size=h))  # many ties
    h_on = data.draw(st.integers(1, h))
    attention = torch.tensor(levels, dtype=torch.float64)[None, :, None].expand(1, h, 4)
    chosen = (
        head_selection.select(state_of(attention), ROI[:1], h_on=h_on)[0]
        .nonzero()
        .flatten()
        .tolist()
    )
    assert chosen == sorted(sorted(range(h), key=lambda i: (-levels[i], i))[:h_on])


def test_default_is_five_heads():
    generator = torch.Generator().manual_seed(0)
    heads = head_selection.select(state_of(torch.rand(7, 12, 4, generator=generator)), ROI[:1])
    assert (heads.sum(1) == 5).all()


def test_weights_by_hand():
    heads = torch.tensor(
        [[True, False, True, False, False, False], [False, False, False, False, True, False]]
    )
    assert head_selection.weights(heads).tolist() == [[3, 0, 3, 0, 0, 0], [0, 0, 0, 0, 6, 0]]
    assert head_selection.weights(heads, scale=False).tolist() == [
        [1, 0, 1, 0, 0, 0],
        [0, 0, 0, 0, 1, 0],
    ]
    assert head_selection.weights(heads[0]).tolist() == [3, 0, 3, 0, 0, 0]
    with pytest.raises(InputError, match="at least one head"):
        head_selection.weights(torch.tensor([[True, False], [False, False]]))


def test_random_heads_are_the_same_for_a_seed_and_uniform():
    heads = head_selection.random(6000, 6, h_on=2, seed=3)
    assert torch.equal(heads, head_selection.random(6000, 6, h_on=2, seed=3))
    assert not torch.equal(heads, head_selection.random(6000, 6, h_on=2, seed=4))
    assert (heads.sum(1) == 2).all()
    pairs = Counter(tuple(row.nonzero().flatten().tolist()) for row in heads)
    assert set(pairs) == set(itertools.combinations(range(6), 2))
    assert all(320 < n < 480 for n in pairs.values())  # 400 expected, standard deviation 19


@pytest.mark.parametrize("h_on", [0, -1, 7, 2.5, math.nan, math.inf, "5", None])
def test_h_on_out_of_range(h_on):
    state = state_of(torch.rand(1, 6, 4))
    for call in (
        lambda: head_selection.select(state, ROI[:1], h_on=h_on),
        lambda: head_selection.random(3, 6, h_on),
    ):
        with pytest.raises(InputError) as error:
            call()
        assert f"h_on={h_on!r}" in str(error.value) and "from 1 to 6" in str(error.value)


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda s: head_selection.select(s, ROI[0]), "(4,)"),
        (lambda s: head_selection.select(s, ROI[:, :3]), "(2, 3)"),
        (lambda s: head_selection.select(s, ROI[[0, 1, 0]]), "(3, 4)"),
        (lambda s: head_selection.select(s, torch.zeros(2, 4)), "empty"),
        (lambda s: head_selection.select(s, ROI, strategy="mean"), "'mean'"),
        (lambda s: head_selection.descriptor(None, s, torch.ones(3), strategy="scale"), "'scale'"),
    ],
)
def test_bad_requests_are_named(call, says):
    with pytest.raises(InputError) as error:
        call(state_of(ATTENTION))
    assert says in str(error.value)


# --- descriptors -----------------------------------------------------------------------------------

HEADS = torch.tensor(
    [[1, 0, 0, 1, 0, 0], [0, 1, 0, 0, 0, 0], [1, 1, 1, 1, 1, 0], [0, 0, 1, 0, 1, 1]]
).bool()


def test_all_heads_are_the_plain_descriptor(model, state):
    everything = torch.ones(4, 6, dtype=torch.bool)
    for strategy in head_selection.STRATEGIES:
        close(
            head_selection.descriptor(model, state, everything, strategy), model.descriptor(state)
        )


def test_before_scales_the_heads_ahead_of_w_o(model, state):
    on = HEADS.double()
    scaled = state.heads * (on * 6 / on.sum(1, keepdim=True))[..., None]
    expected = tail(model, state, through_w_o(model, scaled))
    close(head_selection.descriptor(model, state, HEADS), expected)  # the default
    close(head_selection.descriptor(model, state, HEADS, "before+scale"), expected)
    close(model.descriptor(state, head_selection.weights(HEADS)), expected)
    unscaled = tail(model, state, through_w_o(model, state.heads * on[..., None]))
    close(head_selection.descriptor(model, state, HEADS, "before"), unscaled)
    assert differs(expected, model.descriptor(state)) and differs(unscaled, expected)


def test_after_zeroes_channel_groups_of_the_projected_output(model, state):
    projected = through_w_o(model, state.heads)
    for strategy, scaled in (("after", False), ("after+scale", True)):
        expected = projected.clone()
        for b in range(4):
            for i in range(6):  # 192 channels, 32 a group
                factor = float(HEADS[b, i]) * (6 / int(HEADS[b].sum()) if scaled else 1)
                expected[b, 32 * i : 32 * (i + 1)] *= factor
        v = head_selection.descriptor(model, state, HEADS, strategy)
        close(v, tail(model, state, expected))
        assert differs(v, model.descriptor(state))


def test_identity_gives_unselected_heads_the_cls_value(model, state, x):
    """Independent: the whole attention matrix of each head, replaced by I where the head is off."""
    attn, block = model.net.blocks[-1].attn, model.net.blocks[-1]
    with torch.inference_mode():
        y = block.norm1(model.tokens(x, 1))
        q, k, v = attn.qkv(y).reshape(4, 10, 3, 6, 32).permute(2, 0, 3, 1, 4)
        matrix = (q @ k.transpose(-2, -1) / math.sqrt(32)).softmax(-1)
        matrix = torch.where(HEADS[:, :, None, None], matrix, torch.eye(10, dtype=torch.float64))
        mixed = (matrix @ v)[:, :, 0]
    result = head_selection.descriptor(model, state, HEADS, "identity")
    close(result, tail(model, state, through_w_o(model, mixed)))
    assert differs(result, model.descriptor(state))


def test_one_selection_serves_all_rows(model, state):
    for strategy in head_selection.STRATEGIES:
        close(
            head_selection.descriptor(model, state, HEADS[0], strategy),
            head_selection.descriptor(model, state, HEADS[:1].expand(4, -1), strategy),
        )


def test_the_order_of_the_heads_does_not_matter(model, state, x):
    """Heads renumbered in the weights (rows of qkv, columns of W_o): selection follows, descriptors stay."""
    order = torch.tensor([4, 2, 0, 5, 1, 3])
    net = timm.create_model(
        "vit_tiny_patch16_224", num_heads=6, depth=2, img_size=48, init_values=1.0
    ).double()
    net.load_state_dict(model.net.state_dict())
    attn = net.blocks[-1].attn
    with torch.no_grad():
        attn.qkv.weight.copy_(attn.qkv.weight.reshape(3, 6, 32, 192)[:, order].reshape(576, 192))
        attn.qkv.bias.copy_(attn.qkv.bias.reshape(3, 6, 32)[:, order].reshape(576))
        attn.proj.weight.copy_(attn.proj.weight.reshape(192, 6, 32)[:, order].reshape(192, 192))
    other = ViT(net, "renumbered")
    renumbered = other.cls_state(x)
    close(renumbered.attention, state.attention[:, order])
    roi = torch.rand(4, 9, generator=torch.Generator().manual_seed(5)) < 0.4
    roi[:, 4] = True
    for h_on in (1, 2, 5):
        for strategy in head_selection.ROI_STRATEGIES:
            here = head_selection.select(state, roi, h_on, strategy)
            there = head_selection.select(renumbered, roi, h_on, strategy)
            assert torch.equal(there, here[:, order])
            for way in ("before+scale", "before", "identity"):
                v = head_selection.descriptor(other, renumbered, there, way)
                close(v, head_selection.descriptor(model, state, here, way))
                assert differs(v, model.descriptor(state))


def test_noise_reduction_drops_the_head_that_looks_away(state):
    """Table A7: the ROI is the whole crop and h_on = h - 1, so the head most busy with the prefix token goes."""
    heads = head_selection.select(state, torch.ones(1, 9, dtype=torch.bool), h_on=5)
    assert torch.equal((~heads).int().argmax(1), (1 - state.attention.sum(-1)).argmax(1))
    assert (heads.sum(1) == 5).all()


def test_chosen_heads_follow_the_prompt(model, state):
    """Another prompt on the same picture: other heads, another descriptor, from the same state."""
    left = Box(0, 0, 16, 48).tokens(model.grid, (48, 48))
    right = Box(32, 0, 48, 48).tokens(model.grid, (48, 48))
    a, b = (head_selection.select(state, roi[None], h_on=1) for roi in (left, right))
    assert not torch.equal(a, b)
    moved = (a != b).any(1)
    assert differs(
        head_selection.descriptor(model, state, a)[moved],
        head_selection.descriptor(model, state, b)[moved],
    )
    chosen = state.attention[torch.arange(4), a.int().argmax(1)]
    assert (
        chosen[:, left].sum(1) >= state.attention[..., left].sum(-1).max(1).values - 1e-12
    ).all()


# --- foveal attention ------------------------------------------------------------------------------

GRID, SIZE = (4, 6), (60, 40)  # patches of 10 x 10 pixels


@pytest.mark.parametrize(
    "box",
    [(10, 10, 20, 20), (10, 10, 30, 20), (10, 10, 20, 30), (10, 10, 30, 30), (12, 11, 13, 12)],
)
def test_small_boxes_are_constant(box):
    bias = foveal.bias(Box(*box), GRID, SIZE)
    inside = torch.from_numpy(Box(*box).tokens(GRID, SIZE))
    assert bias.dtype == torch.float32 and bias.shape == (24,)
    assert (bias[inside] == 0.2).all() and (bias[~inside] == 0).all()


def test_three_by_three_box_by_hand():
    bias = foveal.bias(Box(10, 10, 40, 40), GRID, SIZE).reshape(GRID)
    top = 1 - math.exp(-2 / 20000)  # m at the centre is 1, at a corner exp(-2 / (2 * 100^2))
    corner = 0.2 * 1e-6 / (top + 1e-6)  # 0.00198
    edge = 0.2 * (math.exp(-1 / 20000) - math.exp(-2 / 20000) + 1e-6) / (top + 1e-6)  # 0.10099
    expected = torch.zeros(GRID)
    expected[1:4, 1:4] = torch.tensor(
        [[corner, edge, corner], [edge, 0.2, edge], [corner, edge, corner]]
    )
    torch.testing.assert_close(bias, expected, rtol=1e-6, atol=1e-9)
    assert corner < 0.002 and edge == pytest.approx(0.101, abs=1e-4)


def by_loops(grid, inside, v, sigma, e):
    """The formula, token by token, in Python floats."""
    cells = [(r, c) for r in range(grid[0]) for c in range(grid[1]) if inside[r * grid[1] + c]]
    rows, columns = [r for r, _ in cells], [c for _, c in cells]
    r0, c0 = (min(rows) + max(rows)) / 2, (min(columns) + max(columns)) / 2
    m = {
        cell: math.exp(-((cell[0] - r0) ** 2 + (cell[1] - c0) ** 2) / (2 * sigma**2))
        for cell in cells
    }
    low, high = min(m.values()), max(m.values())
    full = [0.0] * (grid[0] * grid[1])
    for (r, c), value in m.items():
        full[r * grid[1] + c] = v * (value - low + e) / (high - low + e)
    return full


@given(
    st.tuples(st.integers(1, 16), st.integers(1, 16)),
    st.tuples(*[st.floats(0, 0.99)] * 2, *[st.floats(0.001, 1)] * 2),
    st.sampled_from([(0.2, 100.0, 1e-6), (0.5, 3.0, 1e-6), (0.2, 1.0, 1e-3)]),
)
@settings(deadline=None)
def test_foveal_bias_against_loops(grid, place, parameters):
    size = (320, 200)
    x0, y0 = place[0] * 320, place[1] * 200
    box = Box(x0, y0, x0 + place[2] * 320, y0 + place[3] * 200)  # may reach over the edge
    v, sigma, e = parameters
    bias = foveal.bias(box, grid, size, v=v, sigma=sigma, e=e).double().numpy()
    inside = box.tokens(grid, size)
    np.testing.assert_allclose(bias, by_loops(grid, inside, v, sigma, e), rtol=1e-6, atol=1e-9)
    assert (bias[~inside] == 0).all() and (bias[inside] > 0).all()
    assert bias.max() == pytest.approx(v, rel=1e-6)


def test_foveal_bias_takes_any_prompt():
    array = np.zeros((40, 60), bool)
    array[12, 11] = array[38, 38] = True
    torch.testing.assert_close(
        foveal.bias(Mask(array), GRID, SIZE), foveal.bias(Box(11, 12, 39, 39), GRID, SIZE)
    )
    torch.testing.assert_close(
        foveal.bias(Point(25, 25), GRID, SIZE), foveal.bias(Box(10, 10, 40, 40), GRID, SIZE)
    )
    with pytest.raises(InputError, match="outside"):
        foveal.bias(Box(70, 0, 80, 10), GRID, SIZE)


def test_foveal_attention_boosts_by_e_to_the_bias(model, state, x):
    box = Box(16, 0, 48, 48)
    bias = foveal.bias(box, model.grid, (48, 48))
    inside = torch.from_numpy(box.tokens(model.grid, (48, 48)))
    gain = model.cls_state(x, bias=bias, last=1).attention / state.attention
    for token in inside.nonzero().flatten():  # relative to a token outside, each token gains exp(G)
        close(
            gain[..., token] / gain[..., 0],
            torch.full((4, 6), math.exp(bias[token]), dtype=torch.float64),
        )
    foveated = model.cls_state(x, bias=bias, last=2)
    assert (
        foveated.attention[..., inside].sum(-1) > state.attention[..., inside].sum(-1)
    ).double().mean() > 0.8
    difference = (model.descriptor(foveated) - model.descriptor(state)).norm(dim=-1)
    assert (difference > 1e-5).all()


# --- baselines -------------------------------------------------------------------------------------


def test_attention_mask_by_hand(model, state, x):
    mask = baselines.attention_mask(torch.tensor([[True, False, True]]))
    assert mask.tolist() == [[0.0, -math.inf, 0.0]]
    assert baselines.attention_mask(np.array([False, True])).tolist() == [-math.inf, 0.0]
    roi = torch.from_numpy(Box(16, 16, 48, 32).tokens(model.grid, (48, 48)))
    masked = model.cls_state(x, bias=baselines.attention_mask(roi), last=1)
    prefix = 1 - state.attention.sum(-1, keepdim=True)
    within = state.attention * roi  # softmax over what is left: the prefix and the ROI
    close(masked.attention, within / (within.sum(-1, keepdim=True) + prefix))
    assert differs(model.descriptor(masked), model.descriptor(state))


def picture(width=7, height=5):
    return Image.fromarray(
        np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
    )


def test_masked_pixels_are_exact():
    pic = picture()
    result = np.asarray(baselines.masked(pic, Box(2, 1, 5, 3), (0.5, 0.25, 1.0)))
    for y in range(5):
        for x in range(7):
            inside = 2 <= x < 5 and 1 <= y < 3
            assert tuple(result[y, x]) == (pic.getpixel((x, y)) if inside else (128, 64, 255))
    array = np.zeros((5, 7), bool)
    array[4, 6] = array[0, 0] = True
    result = np.asarray(baselines.masked(pic, Mask(array), (0, 0, 0)))
    np.testing.assert_array_equal(result[array], np.asarray(pic)[array])
    assert (result[~array] == 0).all()


def test_masked_background_is_zero_after_normalising(model):
    x = model.preprocess(baselines.masked(picture(48, 48), Box(0, 0, 16, 16), model.mean))
    assert x[:, 20:, 20:].abs().max() < 0.5 / 255 / min(model.std) + 1e-6
    assert x[:, :12, :12].abs().mean() > 0.1


def test_masking_by_a_point_needs_the_grid():
    result = np.asarray(
        baselines.masked(picture(60, 40), Point(5, 5, window=1), (0, 0, 0), grid=GRID)
    )
    np.testing.assert_array_equal(result[:10, :10], np.asarray(picture(60, 40))[:10, :10])
    assert (result[10:] == 0).all() and (result[:, 10:] == 0).all()
    with pytest.raises(InputError, match="grid"):
        baselines.masked(picture(60, 40), Point(5, 5), (0, 0, 0))


# --- noise -----------------------------------------------------------------------------------------


class Dealt:
    """A generator that deals the given shift (cx, cy) and resize (lx, ly)."""

    def __init__(self, cx, cy, lx, ly):
        self.values = np.array([cx, cy, lx, ly])

    def integers(self, low, high, size, endpoint=False):
        assert (low, high, size, endpoint) == (-40, 40, 4, True)
        return self.values


@pytest.mark.parametrize(
    ("deal", "expected"),
    [
        ((0, 0, 0, 0), (100, 50, 160, 90)),
        ((10, -5, 0, 0), (110, 45, 170, 85)),  # shifted
        ((0, 0, 7, 3), (93, 47, 167, 93)),  # grown on both sides
        (
            (4, 4, -10, -10),
            (114, 64, 154, 84),
        ),  # (100 + 4 + 10, 50 + 4 + 10, 160 + 4 - 10, 90 + 4 - 10)
        ((0, 0, -40, 0), (120, 50, 140, 90)),  # 140 and 120 are put in order
        ((0, 0, -30, -20), (130, 70, 131, 71)),  # nothing left: one pixel
        ((40, 40, 40, 40), (100, 50, 200, 120)),  # clipped to 200 x 120: x1 = 240, y1 = 170
        ((-40, -40, 40, 40), (20, 0, 160, 90)),  # y0 = -30
    ],
)
def test_noise_by_hand(deal, expected):
    assert noisy(Box(100, 50, 160, 90), (200, 120), Dealt(*deal)) == Box(*expected)


def test_noise_has_the_papers_distribution():
    rng, m = np.random.default_rng(0), 2
    box, dealt_counts = Box(100, 100, 200, 200), {"x": Counter(), "y": Counter()}
    for _ in range(5000):
        n = noisy(box, (300, 300), rng, m=m)
        for axis, low, high in (("x", n.x0 - 100, n.x1 - 200), ("y", n.y0 - 100, n.y1 - 200)):
            dealt_counts[axis][(low + high) / 2, (high - low) / 2] += 1  # shift c, resize l
    for counts in dealt_counts.values():
        assert set(counts) == set(itertools.product(range(-m, m + 1), repeat=2))
        assert all(140 < n < 260 for n in counts.values())  # 200 expected, standard deviation 14
    extremes = [noisy(box, (300, 300), rng) for _ in range(20000)]
    shifts = [(n.x0 + n.x1) / 2 - 150 for n in extremes]
    assert (min(shifts), max(shifts)) == (-40, 40)


@given(
    st.integers(0, 10**6),
    st.tuples(*[st.floats(0, 0.999)] * 2, *[st.floats(0.001, 1)] * 2),
    st.integers(0, 300),
)
@settings(deadline=None)
def test_noisy_boxes_stay_on_the_picture(seed, place, m):
    width, height = 97, 61
    x0, y0 = place[0] * width, place[1] * height
    box = Box(
        x0, y0, min(x0 + place[2] * width + 0.01, width), min(y0 + place[3] * height + 0.01, height)
    )
    n = noisy(box, (width, height), np.random.default_rng(seed), m=m)
    assert (
        0 <= n.x0 <= n.x1 - 1 + 1e-9
        and n.x1 <= width
        and 0 <= n.y0 <= n.y1 - 1 + 1e-9
        and n.y1 <= height
    )
    assert n == noisy(box, (width, height), np.random.default_rng(seed), m=m)
    assert n.tokens((4, 4), (width, height)).any()


def test_other_seeds_give_other_boxes():
    box = Box(100, 100, 200, 200)
    assert len({noisy(box, (300, 300), np.random.default_rng(seed)) for seed in range(20)}) > 15
    assert noisy(box, (300, 300), np.random.default_rng(0), m=0) == box
