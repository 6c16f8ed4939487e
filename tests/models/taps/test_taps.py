"""The tap on the networks of today against timm's own forward pass, kind by kind: DINOv3, EVA-02, PE, SigLIP 2, RADIO, TIPSv2 and their parts."""

import copy

import plain_legrad
import pytest
import torch
import torch.nn.functional as F

from foir_lib.errors import InputError
from foir_lib.methods import head_selection, legrad


def close(a, b):
    torch.testing.assert_close(a, b, rtol=1e-6, atol=1e-8)


def unit(z):
    return F.normalize(z, dim=-1)


def test_the_descriptor_is_timms_own(model, x, official):
    state = model.cls_state(x)
    close(model.descriptor(state, unit=False), official(model, x))
    close(model.embed(x), unit(official(model, x)))
    if model.projects:
        close(model.descriptor(state, project=True, unit=False), official(model, x, project=True))
    else:
        with pytest.raises(InputError, match="no image-text projection"):
            model.embed(x, project=True)
    v = model.descriptor(state)
    assert (v[0] - v[1]).norm() > 1e-3  # the pictures are told apart


def test_head_weights_come_before_all_that_follows_the_heads(model, x, official):
    w = torch.linspace(0, 2, model.n_heads, dtype=torch.float64)
    close(model.descriptor(model.cls_state(x), w[None].expand(2, -1), unit=False), official(model, x, scale=w))
    assert (official(model, x, scale=w) - official(model, x)).abs().max() > 1e-3


def test_a_bias_is_a_mask_on_the_cls_row(model, x, official):
    bias = torch.randn(2, model.grid[0] * model.grid[1], generator=torch.Generator().manual_seed(2), dtype=torch.float32)
    mask = torch.where(bias > bias.median(1, keepdim=True).values, 0.0, -torch.inf)
    for one in (bias, mask):
        for last in (1, 2):
            v = model.descriptor(model.cls_state(x, bias=one, last=last), unit=False)
            close(v, official(model, x, one.double(), last))
            assert (v - official(model, x)).abs().max() > 1e-5
    assert (model.cls_state(x, bias=mask, last=2).attention.transpose(1, 2)[mask.isinf()] == 0).all()


def test_prompts_share_the_trunk(model, x):
    bias = torch.randn(3, model.grid[0] * model.grid[1], generator=torch.Generator().manual_seed(2))
    tokens = model.tokens(x, model.depth - 2)
    shared, apart = model.finish(tokens, bias, 2, torch.tensor([1, 0, 1])), model.cls_state(x[[1, 0, 1]], bias=bias, last=2)
    for name in ("attention", "heads", "residual"):
        close(getattr(shared, name), getattr(apart, name))
    close(model.finish(model.through(tokens, model.depth - 2, model.depth - 1)).heads, model.cls_state(x).heads)


def test_a_state_is_what_the_last_attention_computes(model, x):
    """From the inputs of timm's own layers, by hand: logits, softmax, and what stands for the CLS token."""
    state, recorded = model.cls_state(x), {}
    net, h = model.net, model.n_heads
    if model.pooled:
        pool = net.attn_pool
        hooks = [pool.kv.register_forward_hook(lambda m, a, o: recorded.update(kv=o))]
    else:
        attn = net.blocks[-1].attn
        fused, attn.fused_attn = attn.fused_attn, False
        hooks = [
            attn.attn_drop.register_forward_hook(lambda m, a, o: recorded.update(attention=a[0])),
            attn.norm.register_forward_pre_hook(lambda m, a: recorded.update(heads=a[0][:, 0])),
            net.blocks[-1].register_forward_pre_hook(lambda m, a: recorded.update(residual=a[0][:, 0])),
        ]
    with torch.inference_mode():
        net(x)
    for hook in hooks:
        hook.remove()
    if not model.pooled:
        attn.fused_attn = fused
        close(state.attention, recorded["attention"][:, :, 0, model.n_prefix :])
        close(state.heads.flatten(1), recorded["heads"])
        close(state.residual, recorded["residual"])
        assert state.values.shape == state.heads.shape
        return
    k, v = recorded["kv"].reshape(2, -1, 2, h, model.head_dim).unbind(2)
    q = (pool.q.weight @ pool.latent[0, 0] + pool.q.bias).reshape(h, model.head_dim)
    weights = torch.einsum("hd,bthd->bht", q, k).mul(model.head_dim**-0.5).softmax(-1)
    close(state.attention, weights[:, :, -state.attention.shape[2] :])
    close(state.heads, torch.einsum("bht,bthd->bhd", weights, v))
    assert state.values is None and not state.residual.any()


def test_attention_of_all_blocks_ends_with_that_of_the_state(model, x):
    attention = model.attention(x)
    assert attention.shape == (2, 2, model.n_heads, model.grid[0] * model.grid[1])
    close(attention[:, -1], model.cls_state(x).attention)
    assert not torch.allclose(attention[:, 0], attention[:, 1]) and (attention.sum(-1) <= 1 + 1e-9).all()


def test_legrad_is_that_of_plain_autograd(model, x):
    t = unit(torch.randn(2, model.width, generator=torch.Generator().manual_seed(2), dtype=torch.float64))
    for last in (1, 2):
        expected = _pooled_maps(model, x, t, last) if model.pooled else plain_legrad.raw_maps(model.net, x, t, last)
        close(legrad.heatmap(model, x, t, last).flatten(1), plain_legrad.scaled(expected))


def _pooled_maps(model, x, t, last):
    """The gradient of t . pooled vector by the latent's attention, on the tokens after each of the last blocks, by hand."""
    net, pool, total = model.net, model.net.attn_pool, 0
    outputs = []
    hooks = [block.register_forward_hook(lambda m, a, o: outputs.append(o)) for block in net.blocks]
    net.forward_features(x)
    for hook in hooks:
        hook.remove()
    for tokens in outputs[-last:]:
        read = net.norm(tokens)[:, 0 if getattr(net, "pool_include_prefix", True) else model.n_prefix :]
        k, v = pool.kv(read).reshape(2, -1, 2, model.n_heads, model.head_dim).unbind(2)
        q = pool.q(pool.latent)[0, 0].reshape(model.n_heads, model.head_dim)
        weights = torch.einsum("hd,bthd->bht", q, k).mul(model.head_dim**-0.5).softmax(-1).detach().requires_grad_()
        y = pool.proj(torch.einsum("bht,bthd->bhd", weights, v).flatten(1))
        score = (t * unit(y + pool.mlp(pool.norm(y)))).sum()
        (gradient,) = torch.autograd.grad(score, weights)
        total = total + gradient.clamp(min=0).mean(1)[:, -model.grid[0] * model.grid[1] :]
    return total


def test_patches_of_any_size_are_those_of_timm_at_that_size(model):
    (down, across), grid = model.patch, (2, 5)
    x = torch.randn(1, 3, grid[0] * down, grid[1] * across, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    net = copy.deepcopy(model.net)
    net.set_input_size((x.shape[2], x.shape[3]))
    with torch.inference_mode():
        (expected,) = net.forward_intermediates(x, indices=[1], norm=False, intermediates_only=True)
    got = model.patches(x, 1)
    assert got.shape == (1, *grid, model.width)
    close(got, unit(expected.permute(0, 2, 3, 1)))


def test_a_pooler_says_what_it_has_not(model, x):
    on = torch.ones(model.n_heads, dtype=torch.bool)
    if model.pooled:
        with pytest.raises(InputError, match="latent has no value row"):
            head_selection.descriptor(model, model.cls_state(x), on, "identity")
        with pytest.raises(InputError, match="reads its tokens through a pooler"):
            model.tap(model.tokens(x, 1), ("tokens",))
    else:
        close(head_selection.descriptor(model, model.cls_state(x), on, "identity"), model.embed(x))
    with pytest.raises(InputError, match="no part of a block 'keys'"):
        model.tap(model.tokens(x, 1), ("keys",))
    for strategy in ("after", "after+scale", "before"):
        close(head_selection.descriptor(model, model.cls_state(x), on, strategy), model.embed(x))


def test_the_network_is_left_as_it_was(model, x):
    before = [(name, type(part)) for name, part in model.net.named_modules()]
    weights = {name: p.clone() for name, p in model.net.state_dict().items()}
    model.patches(x), model.attention(x), model.cls_state(x)
    model.tap(model.tokens(x, 0), ("mean",), 2, gradient=True)[-1]["mean"].sum().backward()
    assert [(name, type(part)) for name, part in model.net.named_modules()] == before
    assert all(torch.equal(weights[name], p) for name, p in model.net.state_dict().items())
    assert not model.net.training and not any(p.requires_grad or p.grad is not None for p in model.net.parameters())
