"""The tap on the last blocks, part by part, against timm's own forward pass."""

import plain_legrad
import pytest
import timm
import torch
import torch.nn.functional as F

from foir_lib import load_model
from foir_lib.errors import InputError
from foir_lib.models.taps import blocks
from foir_lib.models.vit import ViT

NETWORKS = {
    "vit_small_patch14_reg4_dinov2": {"img_size": 42, "depth": 3},
    "vit_giant_patch14_reg4_dinov2": {"img_size": 28, "depth": 2, "embed_dim": 96, "num_heads": 6},
    "vit_base_patch16_clip_quickgelu_224.openai": {"img_size": 48, "depth": 2},
    "deit_tiny_patch16_224": {"img_size": 64, "depth": 3},
    "mini-vit": None,
}


@pytest.fixture(scope="module", params=list(NETWORKS))
def model(request):
    torch.manual_seed(0)
    options = NETWORKS[request.param]
    model = load_model(request.param, device="cpu") if options is None else ViT(timm.create_model(request.param, **options), request.param)
    model.net.double()
    return model


def pictures(model):
    return torch.randn(2, 3, model.image_size, model.image_size, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


def close(a, b):
    torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("gradient", [False, True])
def test_each_part_is_timms_own(model, gradient):
    x = pictures(model)
    attentions, outputs = plain_legrad.captured(model.net, x)
    values = []
    hook = model.net.blocks[-1].attn.qkv.register_forward_hook(lambda m, i, o: values.append(o.chunk(3, -1)[2]))
    model.net.forward_features(x)
    hook.remove()
    for rows in (None, 1, 3):
        first, last = model.tap(model.tokens(x, model.depth - 2), blocks.NAMES, 2, rows, gradient)
        for part, attention, tokens, before in ((first, attentions[-2], outputs[-2], None), (last, attentions[-1], outputs[-1], outputs[-2])):
            close(part["attention"], attention[:, :, :rows])
            close(part["tokens"], tokens[:, :rows])
            close(part["mean"], tokens[:, :rows].mean(1))
            if before is not None:
                close(part["residual"], before)
            assert part["attention"].is_leaf and part["attention"].requires_grad == part["mean"].requires_grad == gradient
        close(last["values"].transpose(1, 2).flatten(2), values[0])
    assert set(model.tap(model.tokens(x, model.depth - 1))[0]) == {"attention"}


def test_embeddings_before_and_after_unit_length_and_projection(model):
    x = pictures(model)
    with torch.inference_mode():
        raw = model.net.forward_features(x)[:, 0]
    close(model.embed(x, unit=False), raw)
    close(model.embed(x), F.normalize(raw, dim=-1))
    close(model.embed(x), model.descriptor(model.cls_state(x)))
    if model.projects:
        close(model.embed(x, project=True, unit=False), model.net(x))
    else:
        with pytest.raises(InputError, match="no image-text projection"):
            model.embed(x, project=True)


def test_the_mean_of_all_tokens_costs_less_than_the_tokens(model):
    from torch.utils.flop_counter import FlopCounterMode

    tokens, counted = model.tokens(pictures(model), model.depth - 1), {}
    for name in ("tokens", "mean"):
        with FlopCounterMode(display=False) as counter:
            model.tap(tokens, (name,))
        counted[name] = counter.get_total_flops()
    assert counted["mean"] < counted["tokens"]


def test_what_a_block_does_not_know_is_said(model):
    tokens = model.tokens(pictures(model), model.depth - 1)
    with pytest.raises(InputError, match="There is no part of a block 'keys'.*attention, values"):
        model.tap(tokens, ("keys",))
    for last in (0, model.depth + 1):
        with pytest.raises(InputError, match=f"last={last} must lie between 1 and {model.depth}"):
            model.tap(tokens, last=last)


def test_the_tap_leaves_the_network_as_it_was(model):
    before = [type(part) for part in model.net.modules()]
    model.tap(model.tokens(pictures(model), model.depth - 1), ("mean",), gradient=True)[0]["mean"].sum().backward()
    assert [type(part) for part in model.net.modules()] == before
    assert not any(p.requires_grad or p.grad is not None for p in model.net.parameters())
