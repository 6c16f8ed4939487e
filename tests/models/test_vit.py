"""The ViT tap against timm's own forward pass, family by family, with random weights that bite."""

import logging
import pickle
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
import torch.nn.functional as F
from PIL import Image
from safetensors.torch import save_file
from timm.layers import resample_abs_pos_embed
from torch.utils.flop_counter import FlopCounterMode

from foir_lib.errors import InputError, IntegrityError, MissingError
from foir_lib.models import zoo
from foir_lib.models.vit import ClsState, ViT
from foir_lib.models.zoo import MODELS, load_model

FAMILIES = {  # family -> (timm name, arguments): shallow, few patches, but the widths and parts of the real ones
    "dinov2-small": ("vit_small_patch14_reg4_dinov2", {"img_size": 42, "depth": 3}),
    "dinov2-base": ("vit_base_patch14_reg4_dinov2", {"img_size": 28, "depth": 2}),
    "dinov2-large": ("vit_large_patch14_reg4_dinov2", {"img_size": 28, "depth": 1}),
    "dinov2-giant, SwiGLU": ("vit_giant_patch14_reg4_dinov2", {"img_size": 28, "depth": 1}),
    "dinov2 without registers": ("vit_small_patch14_dinov2", {"img_size": 42, "depth": 2}),
    "clip-base, QuickGELU": ("vit_base_patch16_clip_quickgelu_224", {"img_size": 48, "depth": 2}),
    "clip-large": ("vit_large_patch14_clip_quickgelu_224", {"img_size": 28, "depth": 1}),
    "openclip-base": ("vit_base_patch16_clip_224.laion2b", {"img_size": 32, "depth": 2}),
    "deit": ("deit_tiny_patch16_224", {"img_size": 64, "depth": 4}),
    "deit, distilled": ("deit_tiny_distilled_patch16_224", {"img_size": 48, "depth": 2}),
    "deit3, no class embedding": ("deit3_small_patch16_224", {"img_size": 48, "depth": 2}),
    "augreg": ("vit_small_patch16_224.augreg_in21k_ft_in1k", {"img_size": 48, "depth": 2}),
    "dino": ("vit_small_patch16_224.dino", {"img_size": 48, "depth": 2}),
}


def randomised(net, seed=0):
    """``net`` in float64 with every weight drawn at random: no zero bias or unit scale can hide a slip."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, p in net.named_parameters():
            if name.endswith("qkv.weight"):  # sharp attention, so that heads differ
                p.normal_(0, 3 * p.shape[-1] ** -0.5, generator=generator)
            elif p.ndim == 1:
                p.normal_(0.5, 0.4, generator=generator)
            else:
                p.normal_(0, 0.05, generator=generator)
    return net.double()


@pytest.fixture(scope="module", params=list(FAMILIES))
def model(request):
    name, options = FAMILIES[request.param]
    return ViT(randomised(timm.create_model(name, **options)), name)


@pytest.fixture(scope="module")
def small():
    """DeiT, 4 blocks, 4 x 4 patches."""
    name, options = FAMILIES["deit"]
    return ViT(randomised(timm.create_model(name, **options)), name)


def pictures(model, n=2, seed=1):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(
        n, 3, model.image_size, model.image_size, generator=generator, dtype=torch.float64
    )


def close(a, b):
    torch.testing.assert_close(a, b, rtol=1e-6, atol=1e-9)


@torch.inference_mode()
def plain(model, x):
    return F.normalize(model.net.forward_features(x)[:, 0], dim=-1)


@torch.inference_mode()
def captured(model, x):
    """Attention, head outputs, CLS values and block input of timm's unfused last block, by hooks."""
    block, recorded = model.net.blocks[-1], {}
    attn = block.attn
    hooks = [
        attn.attn_drop.register_forward_hook(
            lambda m, i, o: recorded.update(attention=i[0][:, :, 0, model.n_prefix :])
        ),
        attn.proj.register_forward_hook(lambda m, i, o: recorded.update(heads=i[0][:, 0])),
        attn.qkv.register_forward_hook(
            lambda m, i, o: recorded.update(values=o[:, 0, 2 * o.shape[-1] // 3 :])
        ),
        block.register_forward_pre_hook(lambda m, i: recorded.update(residual=i[0][:, 0])),
    ]
    fused, attn.fused_attn = attn.fused_attn, False
    model.net.forward_features(x)
    attn.fused_attn = fused
    for hook in hooks:
        hook.remove()
    shape = (len(x), model.n_heads, -1)
    return ClsState(
        recorded["attention"],
        recorded["heads"].reshape(shape),
        recorded["values"].reshape(shape),
        recorded["residual"],
    )


@torch.inference_mode()
def biased(model, x, bias, last):
    """Independent derivation: timm's own blocks under a full (B, 1, T, T) mask that only the CLS row feels."""
    net = model.net
    t = net.norm_pre(net._pos_embed(net.patch_embed(x)))
    mask = torch.zeros(len(x), 1, t.shape[1], t.shape[1], dtype=torch.float64)
    mask[:, 0, 0, model.n_prefix :] = bias.double()
    for i, block in enumerate(net.blocks):
        t = block(t, attn_mask=mask if i >= len(net.blocks) - last else None)
    return F.normalize(net.norm(t)[:, 0], dim=-1)


# --- parity, family by family ----------------------------------------------------------------------


def test_descriptor_is_timms_own(model):
    x = pictures(model)
    v = model.descriptor(model.cls_state(x))
    close(v, plain(model, x))
    assert (v[0] - v[1]).norm() > 1e-3


def test_state_is_what_the_last_block_computes(model):
    x = pictures(model)
    state, expected = model.cls_state(x), captured(model, x)
    n_tokens = model.grid[0] * model.grid[1]
    assert state.attention.shape == (2, model.n_heads, n_tokens) and len(state) == 2
    for name in ("attention", "heads", "values", "residual"):
        close(getattr(state, name), getattr(expected, name))
    assert (state.attention.sum(-1) < 1).all()  # the prefix tokens took their part


def test_bias_is_a_mask_on_the_cls_row_of_timms_blocks(model):
    x, n_tokens = pictures(model), model.grid[0] * model.grid[1]
    bias = torch.randn(2, n_tokens, generator=torch.Generator().manual_seed(2))
    for last in {1, model.depth}:
        v = model.descriptor(model.cls_state(x, bias=bias, last=last))
        close(v, biased(model, x, bias, last))
        assert (v - plain(model, x)).abs().max() > 1e-4
    close(
        model.descriptor(model.cls_state(x, bias=torch.zeros(n_tokens), last=model.depth)),
        plain(model, x),
    )


def test_projection_is_clips(model):
    x = pictures(model)
    if "clip" not in model.name:
        with pytest.raises(InputError, match="no image-text projection"):
            model.descriptor(model.cls_state(x), project=True)
        return
    with torch.inference_mode():
        expected = F.normalize(model.net(x), dim=-1)
    v = model.descriptor(model.cls_state(x), project=True)
    assert v.shape[1] == model.net.num_classes
    close(v, expected)


@pytest.mark.parametrize(
    ("timm_name", "name", "projects"),
    [
        ("vit_base_patch16_clip_224.openai", "mine", True),
        ("vit_base_patch16_clip_224.openai_ft_in1k", "vit_base_patch16_clip_224.openai_ft_in1k", False),
        ("deit_tiny_patch16_224", "not-clip", False),
    ],
)
def test_the_network_not_its_name_says_whether_it_projects(timm_name, name, projects):
    model = ViT(timm.create_model(timm_name, img_size=32, depth=1), name)
    state = model.cls_state(torch.zeros(1, 3, 32, 32))
    if projects:
        assert model.descriptor(state, project=True).shape == (1, 512)
    else:
        with pytest.raises(InputError, match=f"{name} has no image-text projection"):
            model.descriptor(state, project=True)


@pytest.mark.parametrize("name", ["mini-vit-small", "mini-vit", "mini-vit-large"])
def test_mini_models_too(name):
    model = load_model(name, pretrained=False, device="cpu")
    randomised(model.net)
    x = pictures(model)
    close(model.descriptor(model.cls_state(x)), plain(model, x))
    bias = torch.randn(2, model.grid[0] * model.grid[1])
    close(model.descriptor(model.cls_state(x, bias=bias, last=2)), biased(model, x, bias, 2))


# --- bias forms ------------------------------------------------------------------------------------


def test_only_the_last_blocks_feel_the_bias(small):
    x, bias = pictures(small), torch.randn(2, 16, generator=torch.Generator().manual_seed(3))
    states = {last: small.cls_state(x, bias=bias, last=last) for last in (1, 2, 3, 4)}
    for last, state in states.items():
        close(small.descriptor(state), biased(small, x, bias, last))
    close(states[1].residual, small.cls_state(x).residual)
    assert (states[2].residual - states[1].residual).abs().max() > 1e-4
    default = small.cls_state(x, bias=bias)
    close(default.heads, states[4].heads)  # last=4


def test_index_and_broadcast_forms_agree(small):
    x, bias = pictures(small, 3), torch.randn(5, 16, generator=torch.Generator().manual_seed(3))
    index = torch.tensor([2, 0, 0, 1, 2])
    by_index = small.cls_state(x, bias=bias, index=index)
    by_row = small.cls_state(x[index], bias=bias)
    for name in ("attention", "heads", "values", "residual"):
        close(getattr(by_index, name), getattr(by_row, name))
    one_image = small.cls_state(x[:1], bias=bias)
    close(one_image.heads, small.cls_state(x[:1].expand(5, -1, -1, -1), bias=bias).heads)
    one_bias = small.cls_state(x, bias=bias[0])
    close(one_bias.heads, small.cls_state(x, bias=bias[:1].expand(3, -1)).heads)
    close(small.cls_state(x, bias=bias.numpy(), index=index.numpy()).heads, by_row.heads)


def test_many_prompts_share_the_trunk(small):
    recorded = []
    hook = small.net.blocks[0].register_forward_hook(lambda m, i, o: recorded.append(len(o)))
    small.cls_state(pictures(small, 1), bias=torch.zeros(50, 16), last=2)
    hook.remove()
    assert recorded == [1]


def test_attention_of_all_blocks_ends_with_that_of_the_state(small):
    x = pictures(small)
    attention = small.attention(x)
    assert attention.shape == (2, small.depth, small.n_heads, small.grid[0] * small.grid[1])
    close(attention[:, -1], small.cls_state(x).attention)
    assert (attention.sum(-1) <= 1 + 1e-9).all() and not torch.allclose(attention[:, 0], attention[:, -1])
    inputs = []  # an independent look at block 1: the whole attention matrix, as timm computes its parts
    attn = small.net.blocks[1].attn
    hook = attn.register_forward_pre_hook(lambda module, args: inputs.append(args[0]))
    small.net.forward_features(x)
    hook.remove()
    q, k, _ = attn.qkv(inputs[0]).reshape(2, -1, 3, small.n_heads, attn.head_dim).permute(2, 0, 3, 1, 4)
    whole = (q @ k.transpose(-2, -1) * attn.head_dim**-0.5).softmax(-1)
    close(attention[:, 1], whole[:, :, 0, 1:])


def test_minus_infinity_is_no_attention(small):
    roi = torch.zeros(16, dtype=torch.bool)
    roi[[5, 6]] = True
    bias = torch.where(roi, 0.0, -torch.inf)
    x = pictures(small)
    for last in (1, 4):
        attention = small.cls_state(x, bias=bias, last=last).attention
        assert (attention[..., ~roi] == 0).all() and (attention[..., roi] > 0).all()
    nothing = small.cls_state(
        x, bias=torch.full((16,), -torch.inf), last=1
    )  # the prefix tokens stay
    assert (nothing.attention == 0).all() and nothing.heads.isfinite().all()
    # with last=1 the tokens inside keep their proportions
    free = small.cls_state(x).attention[..., roi]
    inside = small.cls_state(x, bias=bias, last=1).attention[..., roi]
    close(inside[..., 0] / inside[..., 1], free[..., 0] / free[..., 1])


def test_weights_and_channels_by_hand(small):
    """``W_o`` applied to the concatenated, weighted heads; then the rest of the block, token by token."""
    state, block = small.cls_state(pictures(small)), small.net.blocks[-1]
    w = torch.tensor([[0.0, 3.0, 0.0], [1.5, 0.0, 1.5]], dtype=torch.float64)
    c = torch.rand(2, 192, dtype=torch.float64)
    concatenated = torch.cat([w[:, i, None] * state.heads[:, i] for i in range(3)], -1)
    out = (concatenated @ block.attn.proj.weight.T + block.attn.proj.bias) * c
    y = state.residual + block.ls1(out)
    with torch.inference_mode():
        expected = F.normalize(small.net.norm(y + block.ls2(block.mlp(block.norm2(y)))), dim=-1)
    close(small.descriptor(state, w, c), expected)
    close(small.descriptor(state, torch.ones(3)), small.descriptor(state))
    close(small.descriptor(state, w[0])[1], small.descriptor(state, w[:1].expand(2, -1))[1])


def test_extraction_costs_no_more_than_the_plain_forward(small):
    x = pictures(small, 1)
    for block in small.net.blocks:
        block.attn.fused_attn = False  # so that every product is counted
    with FlopCounterMode(display=False) as ours, torch.inference_mode():
        small.descriptor(small.cls_state(x))
    with FlopCounterMode(display=False) as theirs, torch.inference_mode():
        small.net.forward_features(x)
    for block in small.net.blocks:
        block.attn.fused_attn = True
    assert 0 < ours.get_total_flops() <= theirs.get_total_flops()
    # and the last block, of four, costs us less than half: its query, projection and MLP are for one token
    with FlopCounterMode(display=False) as trunk, torch.inference_mode():
        small.tokens(x, 3)
    last_of_ours = ours.get_total_flops() - trunk.get_total_flops()
    assert last_of_ours < 0.5 * (theirs.get_total_flops() - trunk.get_total_flops())


def test_states_are_picked_by_row(small):
    state = small.cls_state(pictures(small, 3))
    for rows in ([2, 0, 2], torch.tensor([2, 0, 2])):
        part = state[rows]
        assert len(part) == 3
        for name in ("attention", "heads", "values", "residual"):
            close(getattr(part, name), getattr(state, name)[[2, 0, 2]])
    assert len(state[1:]) == 2 and len(state.to("cpu")) == 3
    close(small.descriptor(state[1:]), small.descriptor(state)[1:])


def test_the_network_is_left_as_it_was():
    net = randomised(timm.create_model("deit_tiny_patch16_224", depth=2, img_size=32))
    before = {k: v.clone() for k, v in net.state_dict().items()}
    model = ViT(net, "deit")
    model.descriptor(
        model.cls_state(pictures(model), bias=torch.randn(4), last=2),
        torch.rand(2, 3),
        project=False,
    )
    assert (
        model.net is net and not net.training and not any(p.requires_grad for p in net.parameters())
    )
    assert all(torch.equal(before[k], v) for k, v in net.state_dict().items())


# --- preprocessing ---------------------------------------------------------------------------------


def test_pictures_are_squashed_not_cropped(small):
    wide = np.zeros((32, 128, 3), np.uint8)
    wide[:, :32] = (255, 0, 0)  # the leftmost quarter would be lost by a centre crop
    x = small.preprocess(Image.fromarray(wide))
    assert x.shape == (3, 64, 64) and x.dtype == torch.float32
    red = x[0] * small.std[0] + small.mean[0]
    assert red[:, :14].min() > 0.9 and red[:, 18:].max() < 0.1
    close(
        small.preprocess(Image.new("L", (9, 5), 255))[:, 0, 0],
        (1 - torch.tensor(small.mean)) / torch.tensor(small.std),
    )


def test_each_family_keeps_its_own_mean_and_interpolation():
    clip = ViT(
        timm.create_model("vit_base_patch16_clip_224.openai", depth=1, img_size=32), "clip-base"
    )
    assert clip.mean == pytest.approx((0.48145466, 0.4578275, 0.40821073)) and "bicubic" in clip.key
    augreg = ViT(
        timm.create_model("vit_tiny_patch16_224.augreg_in21k_ft_in1k", depth=1, img_size=32),
        "augreg",
    )
    assert augreg.mean == augreg.std == (0.5, 0.5, 0.5)
    assert clip.key != augreg.key and "squash 32" in clip.key


# --- what can't be tapped, what doesn't fit --------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "options", "reason"),
    [
        ("vit_base_patch16_gap_224", {"depth": 1}, "pools its patch tokens (avg)"),
        (
            "vit_base_patch16_224",
            {"depth": 1, "global_pool": "avg"},
            "pools its patch tokens (avg)",
        ),
        (
            "vit_tiny_patch16_224",
            {"depth": 1, "attn_layer": "diff"},
            "can't be tapped head by head",
        ),
        ("vit_small_patch16_18x2_224", {"depth": 1}, "can't be tapped head by head"),
        ("eva02_tiny_patch14_224", {"depth": 1}, "pools its patch tokens (avg)"),
        ("naflexvit_base_patch16_map", {"depth": 1}, "no plain Vision Transformer (NaFlexVit)"),
        ("resnet18", {}, "no plain Vision Transformer (ResNet)"),
    ],
)
def test_networks_without_heads_to_select_are_refused(name, options, reason):
    with pytest.raises(InputError) as error:
        ViT(timm.create_model(name, **options), name)
    assert name in str(error.value) and reason in str(error.value)


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda m, x: m.cls_state(x[0]), "(3, 64, 64)"),
        (lambda m, x: m.cls_state(x[:, :, :32]), "(2, 3, 32, 64)"),
        (lambda m, x: m.cls_state(x, bias=torch.zeros(15)), "(1, 15)"),
        (lambda m, x: m.cls_state(x, bias=torch.zeros(3, 16)), "3 bias rows don't fit 2 images"),
        (lambda m, x: m.cls_state(x, bias=torch.zeros(3, 16), index=[0, 1]), "3 bias rows"),
        (lambda m, x: m.cls_state(x, bias=torch.full((16,), torch.nan)), "NaN"),
        (lambda m, x: m.cls_state(x, bias=torch.full((16,), torch.inf)), "+inf"),
        (lambda m, x: m.cls_state(x, bias=torch.zeros(16), last=5), "last=5"),
        (lambda m, x: m.cls_state(x, bias=torch.zeros(16), last=0), "last=0"),
        (lambda m, x: m.descriptor(m.cls_state(x), torch.ones(2, 4)), "(2, 4)"),
        (lambda m, x: m.descriptor(m.cls_state(x), torch.ones(3, 3)), "(3, 3)"),
    ],
)
def test_wrong_shapes_are_named(small, call, says):
    with pytest.raises(InputError) as error:
        call(small, pictures(small))
    assert says in str(error.value)


# --- names and weights -----------------------------------------------------------------------------


def test_every_friendly_name_is_known_to_timm():
    for name, timm_name in MODELS.items():
        assert name.startswith("mini-") or timm_name in timm.list_pretrained(timm_name), name


@pytest.fixture(scope="module")
def weights():
    """Random weights of a DeiT-tiny in float32."""
    return {
        k: v.float().contiguous()
        for k, v in randomised(timm.create_model("deit_tiny_patch16_224")).state_dict().items()
    }


def loaded(path, **options):
    return load_model("deit_tiny_patch16_224", weights=path, device="cpu", **options)


def test_local_weights_round_trip(weights, tmp_path):
    save_file(weights, tmp_path / "a.safetensors")
    torch.save(weights, tmp_path / "a.pth")
    torch.save({"model": weights, "epoch": 3}, tmp_path / "wrapped.pth")
    keys = set()
    for file in ("a.safetensors", "a.pth", "wrapped.pth"):
        model = loaded(tmp_path / file)
        for key, value in model.net.state_dict().items():
            assert torch.equal(value, weights[key]), key
        assert (
            file in model.key
            and model.image_size == 224
            and model.grid == (14, 14)
            and model.n_heads == 3
        )
        keys.add(model.key)
    assert len(keys) == 3
    assert loaded(str(tmp_path / "a.pth")).key in keys


def test_the_key_knows_the_weights(weights, tmp_path):
    save_file(weights, tmp_path / "a.safetensors")
    first = loaded(tmp_path / "a.safetensors").key
    save_file({**weights, "norm.bias": weights["norm.bias"] + 1}, tmp_path / "a.safetensors")
    assert loaded(tmp_path / "a.safetensors").key != first
    assert "at random" in load_model("deit-tiny", pretrained=False, device="cpu").key


def test_headless_and_half_precision_files(weights, tmp_path):
    body = {k: v.half() for k, v in weights.items() if not k.startswith("head.")}
    save_file(body, tmp_path / "a.safetensors")
    model = loaded(tmp_path / "a.safetensors")
    assert model.net.norm.weight.dtype == torch.float32
    x = torch.randn(1, 3, 224, 224)
    v = model.descriptor(model.cls_state(x))
    torch.testing.assert_close(v.norm(), torch.tensor(1.0))


def test_positions_are_resampled_to_another_size(weights, tmp_path):
    save_file(weights, tmp_path / "a.safetensors")
    model = loaded(tmp_path / "a.safetensors", image_size=112)
    assert model.grid == (7, 7) and model.preprocess(Image.new("RGB", (5, 5))).shape == (
        3,
        112,
        112,
    )
    expected = resample_abs_pos_embed(weights["pos_embed"], [7, 7], num_prefix_tokens=1)
    torch.testing.assert_close(model.net.pos_embed.data, expected)
    assert torch.equal(model.net.pos_embed[:, 0], weights["pos_embed"][:, 0])  # that of CLS stays


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda w: w.pop("blocks.3.attn.qkv.weight"), "lacks blocks.3.attn.qkv.weight"),
        (
            lambda w: w.update({"norm.bias": torch.zeros(7)}),
            "norm.bias has shape (7,), the model needs (192,)",
        ),
        (
            lambda w: w.update({"blocks.12.norm1.bias": torch.zeros(192)}),
            "it has blocks.12.norm1.bias",
        ),
    ],
)
def test_files_that_do_not_fit_name_the_first_mismatch(weights, tmp_path, change, says):
    weights = dict(weights)
    change(weights)
    for file, save in (("a.safetensors", save_file), ("a.pth", torch.save)):
        save(weights, tmp_path / file)
        with pytest.raises(IntegrityError) as error:
            loaded(tmp_path / file)
        assert says in str(error.value) and str(tmp_path / file) in str(error.value)


def test_weights_of_another_model(weights, tmp_path):
    save_file(weights, tmp_path / "a.safetensors")
    with pytest.raises(
        IntegrityError, match=r"cls_token has shape \(1, 1, 192\), the model needs \(1, 1, 384\)"
    ):
        load_model("deit-small", weights=tmp_path / "a.safetensors", device="cpu")


class Evil:
    """Would create the file ``here`` if it were unpickled."""

    def __init__(self, here):
        self.here = here

    def __reduce__(self):
        return Path.touch, (self.here,)


@pytest.mark.parametrize("way", ["torch", "pickle", "old torch"])
@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
def test_a_pickled_object_is_never_run(tmp_path, way):
    trace, path = tmp_path / "executed", tmp_path / "a.pth"
    if way == "pickle":
        path.write_bytes(pickle.dumps({"cls_token": Evil(trace)}))
    else:
        torch.save({"cls_token": Evil(trace)}, path, _use_new_zipfile_serialization=way == "torch")
    with pytest.raises(IntegrityError) as error:
        loaded(path)
    assert str(path) in str(error.value) and not trace.exists()


@pytest.mark.parametrize("file", ["a.pth", "a.safetensors", "a.bin"])
@pytest.mark.parametrize("content", [b"", b"no weights in here", b"\x80\x02]q\x00.", b"PK\x03\x04"])
def test_broken_weights_files(tmp_path, file, content):
    (tmp_path / file).write_bytes(content)
    with pytest.raises(IntegrityError) as error:
        loaded(tmp_path / file)
    text = str(error.value)
    assert str(tmp_path / file) in text and text.endswith(".") and "\n" not in text


@pytest.mark.parametrize(
    "value", [[1, 2], torch.zeros(3), {"a": 1}, {"a": {"b": 2}}, {}, {1: torch.zeros(2)}]
)
def test_tensors_that_are_no_network(tmp_path, value):
    torch.save(value, tmp_path / "a.pth")
    with pytest.raises(IntegrityError, match="a.pth"):
        loaded(tmp_path / "a.pth")


def test_a_safetensors_file_cut_short(weights, tmp_path):
    save_file(weights, tmp_path / "a.safetensors")
    content = (tmp_path / "a.safetensors").read_bytes()
    (tmp_path / "a.safetensors").write_bytes(content[:-1000])
    with pytest.raises(IntegrityError, match="can't be read safely"):
        loaded(tmp_path / "a.safetensors")


@pytest.mark.parametrize(
    ("name", "options", "kind", "says"),
    [
        ("dinov2-larg", {}, InputError, "dinov2-large"),
        ("nonsense", {}, InputError, "'nonsense'"),
        ("mini-vit-huge", {}, InputError, "mini-vit"),
        ("", {}, InputError, "''"),
        ("deit-tiny", {"image_size": 100}, InputError, "try 96"),
        ("deit-tiny", {"image_size": 0.5}, InputError, "0.5"),
        ("deit-tiny", {"image_size": 0}, InputError, "Image size 0"),
        ("deit-tiny", {"image_size": "x"}, InputError, "Image size 'x'"),
        ("deit-tiny", {"image_size": float("nan")}, InputError, "Image size nan"),
        ("mini-vit", {"image_size": "x"}, InputError, "Image size 'x'"),
        ("deit-tiny", {"weights": 5}, InputError, "Weights 5"),
        ("deit-tiny", {"device": []}, InputError, "'[]'"),
        (None, {}, InputError, "None"),
        ("vit_tiny_patch16_224.nonsense", {}, InputError, "vit_tiny_patch16_224.augreg_in21k"),
        ("vit_large_patch14_224", {"pretrained": True}, InputError, "pretrained=False"),
        ("deit-tiny", {"device": "gpu"}, InputError, "'gpu'"),
        (
            "deit-tiny",
            {"weights": "/nowhere/a.safetensors"},
            MissingError,
            "/nowhere/a.safetensors",
        ),
        ("swin_tiny_patch4_window7_224", {}, InputError, "swin_tiny_patch4_window7_224"),
        ("deit-tiny", {"out_index": 2}, InputError, "deit-tiny is a ViT"),
        ("vit_relpos_base_patch16_224", {}, InputError, "vit_relpos_base_patch16_224"),
    ],
)
def test_wrong_requests(name, options, kind, says):
    with pytest.raises(kind) as error:
        load_model(name, **{"pretrained": False, "device": "cpu", **options})
    text = str(error.value)
    assert says in text and "\n" not in text


def test_no_network_is_a_sentence(monkeypatch):
    create = timm.create_model

    def offline(name, pretrained=False, **options):
        if pretrained:
            raise ConnectionError("Max retries exceeded\nwith url")
        return create(name, **options)

    monkeypatch.setattr(zoo.timm, "create_model", offline)
    with pytest.raises(MissingError) as error:
        load_model("deit-tiny", device="cpu")
    assert (
        "deit-tiny" in str(error.value)
        and "weights" in str(error.value)
        and "\n" not in str(error.value)
    )


def test_the_hubs_own_log_lines_are_held_back_and_come_back(monkeypatch):
    logger = logging.getLogger("huggingface_hub")
    monkeypatch.setattr(logger, "level", logging.INFO)
    heard = []

    def offline(name, pretrained=False, **options):
        heard.append(logging.getLogger("huggingface_hub.utils._http").isEnabledFor(logging.ERROR))
        raise ConnectionError

    monkeypatch.setattr(zoo.timm, "create_model", offline)
    with pytest.raises(MissingError):
        load_model("deit-tiny", device="cpu")
    assert heard == [False] and logger.level == logging.INFO


def test_weights_that_do_not_fit_are_no_network_failure(monkeypatch):
    def other(name, pretrained=False, **options):
        raise RuntimeError("Error(s) in loading state_dict:\n\tsize mismatch")

    monkeypatch.setattr(zoo.timm, "create_model", other)
    with pytest.raises(InputError, match="deit-tiny can't be built .* size mismatch"):
        load_model("deit-tiny", device="cpu")


def test_an_empty_weights_path_means_the_published_ones(monkeypatch):
    create, calls = timm.create_model, []
    monkeypatch.setattr(
        zoo.timm, "create_model", lambda name, pretrained, **o: calls.append(pretrained) or create(name, **o)
    )
    load_model("deit-tiny", weights="", device="cpu")
    assert calls == [True]  # and the network is built once


def test_by_default_the_published_weights_are_asked_for(monkeypatch):
    create, calls = timm.create_model, []

    def local(name, pretrained=False, **options):
        calls.append((name, pretrained))
        return create(name, **options)

    monkeypatch.setattr(zoo.timm, "create_model", local)
    model = load_model("deit-tiny", device="cpu")
    assert ("deit_tiny_patch16_224.fb_in1k", True) in calls and "at random" not in model.key


def test_a_fine_tuned_network_is_never_the_published_one(monkeypatch, tmp_path):
    """By its name alone it would be DINOv2 as it is."""
    assert {"dinov2-base-needles", "clip-base-needles"} == set(zoo.TUNED)
    create = timm.create_model
    local = lambda name, pretrained=False, **o: pytest.fail("published weights") if pretrained else create(name, **o)  # noqa: E731
    monkeypatch.setattr(zoo.timm, "create_model", local)
    for name in zoo.TUNED:
        for ask in (load_model, zoo.kind_of):
            with pytest.raises(InputError, match=f"^{name} is fine-tuned and no weights of it are published: pass your own file as weights.$"):
                ask(name)
        assert zoo.kind_of(name, published=False) is zoo.ViT and zoo.MODELS[name] == zoo.MODELS[name.removesuffix("-needles")]
    monkeypatch.setitem(zoo.MODELS, "tiny-needles", zoo.MODELS["deit-tiny"])
    monkeypatch.setattr(zoo, "TUNED", ["tiny-needles"])
    torch.save(create("deit_tiny_patch16_224").state_dict(), tmp_path / "tuned.pth")
    assert load_model("tiny-needles", weights=tmp_path / "tuned.pth", device="cpu").name == "tiny-needles"


@pytest.mark.real
@pytest.mark.parametrize("name", ["deit_tiny_patch16_224", "vit_tiny_patch16_224"])
def test_real_weights(foir_data, name):
    model = load_model(name, weights=foir_data / "weights" / f"{name}.safetensors", device="cpu")
    x = torch.randn(1, 3, 224, 224, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(
        model.descriptor(model.cls_state(x)), plain(model, x), rtol=1e-4, atol=1e-5
    )


def test_another_classifier_is_no_obstacle(tmp_path):
    """A fine-tuned file with 10 classes gives the same descriptors as its trunk."""
    torch.manual_seed(0)
    net = timm.create_model("vit_tiny_patch16_224", num_classes=10, img_size=32)
    save_file(net.state_dict(), tmp_path / "ten.safetensors")
    model = load_model("vit_tiny_patch16_224", weights=tmp_path / "ten.safetensors", device="cpu", image_size=32)
    x = torch.randn(2, 3, 32, 32)
    want = F.normalize(net.eval().forward_features(x)[:, 0], dim=-1)
    assert torch.allclose(model.descriptor(model.cls_state(x)), want, atol=1e-5)
