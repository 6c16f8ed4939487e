"""Blocks of a timm transformer, opened: attention head by head, and what a whole block knows by name."""

import copy

import torch
import torch.nn.functional as F
from timm.models.eva import EvaBlock, EvaBlockPostNorm
from timm.models.vision_transformer import Block, ResPostBlock
from torch import Tensor, nn

from foir_lib.errors import unknown
from foir_lib.models.taps import attention

NAMES = ("attention", "values", "residual", "tokens", "mean")
AnyBlock = Block | ResPostBlock | EvaBlock | EvaBlockPostNorm
KINDS = (Block, ResPostBlock, EvaBlock, EvaBlockPostNorm)
POST_NORM = (ResPostBlock, EvaBlockPostNorm)  # norms after attention and MLP, not before


def tapped(
    block: AnyBlock, tokens: Tensor, names: tuple[str, ...], rows: int | None = None, gradient: bool = False, rope: Tensor | None = None
) -> dict[str, Tensor]:
    """What one block knows of its input ``tokens`` (B, T, d), by name; T counts prefix and patch tokens.

    "attention" (B, h, R, T): softmax weights; "values" (B, h, T, dk); "residual" (B, T, d): the input itself; "tokens" (B, R, d):
    the output; "mean" (B, d): the mean of those output tokens, for less than the output costs. ``rows``: R, the first of the
    T queries, 1 for CLS alone, None for all. ``gradient``: attention is a leaf that the others are differentiated by. ``rope``: the
    rotation of the patch tokens. Raises InputError for an unknown name.
    """
    check(names)
    q, k, v = attention.project(block.attn, _before(block, tokens, 1), rows, rope)
    weights = attention.weights(q, k)
    if gradient:
        weights = weights.detach().requires_grad_()
    known = {"attention": weights, "values": v, "residual": tokens}
    if {"tokens", "mean"} & set(names):
        y = attended(block, weights @ v, tokens[:, :rows])
        if "tokens" in names:
            known["tokens"] = finished(block, y)
        if "mean" in names:
            known["mean"] = _mean(block, y)
    return {name: known[name] for name in names}


def biased(block: AnyBlock, tokens: Tensor, bias: Tensor, rope: Tensor | None = None) -> Tensor:
    """A whole block in which only the CLS query row sees the bias (B, 1, 1, T)."""
    q, k, v = attention.project(block.attn, _before(block, tokens, 1), rope=rope)
    heads = torch.cat([attention.weights(q[:, :, :1], k, bias) @ v, F.scaled_dot_product_attention(q[:, :, 1:], k, v)], 2)
    return finished(block, attended(block, heads, tokens))


def cls_row(block: AnyBlock, tokens: Tensor, bias: Tensor | None = None, rope: Tensor | None = None) -> tuple[Tensor, Tensor, Tensor]:
    """Attention (B, h, T), head outputs (B, h, dk) and value row (B, h, dk) of the CLS token, under a bias (B, 1, 1, T).

    Only its query row is computed, which costs less than the plain block.
    """
    q, k, v = attention.project(block.attn, _before(block, tokens, 1), 1, rope)
    row = attention.weights(q, k, bias)
    return row[:, :, 0], (row @ v)[:, :, 0], v[:, :, 0]


def attended(block: AnyBlock, heads: Tensor, residual: Tensor, channels: Tensor | None = None) -> Tensor:
    """Tokens (B, R, d) between attention and MLP, of head outputs (B, h, R, dk) and the block's input (B, R, d) in these rows.

    An inner norm stands over the concatenated heads; a gate is made of the input. ``channels``: factors on the projected output.
    """
    attn, out = block.attn, heads.transpose(1, 2).flatten(2)
    out = out if getattr(attn, "norm", None) is None else attn.norm(out)
    if getattr(attn, "gate", None) is not None:
        out = out * attn.gate(_before(block, residual, 1)).sigmoid()
    out = attn.proj(out)
    return residual + _scaled(block, out if channels is None else out * channels, 1)


def finished(block: AnyBlock, y: Tensor) -> Tensor:
    """The block's output of the tokens ``y`` that :func:`attended` gives."""
    return y + _scaled(block, block.mlp(_before(block, y, 2)), 2)


def check(names: tuple[str, ...]) -> None:
    """Raises InputError for a name that no block knows."""
    for name in names:
        if name not in NAMES:
            raise unknown("part of a block", name, NAMES)


def _mean(block, y):
    """The mean of the output tokens: where the MLP ends in a linear layer it comes before that, one product a picture instead of one a token."""
    if isinstance(block, POST_NORM):
        return finished(block, y).mean(1)
    part = copy.copy(block.mlp)  # a view of the MLP (plain, GLU, SwiGLU) that ends before its last layer
    part._modules = {**block.mlp._modules, "fc2": nn.Identity()}
    return y.mean(1) + _scaled(block, block.mlp.fc2(part(_before(block, y, 2)).mean(1)), 2)


def _before(block, tokens, which):
    """What attention (1) or the MLP (2) of a block is given of tokens."""
    return tokens if isinstance(block, POST_NORM) else getattr(block, f"norm{which}")(tokens)


def _scaled(block, out, which):
    """What attention (1) or the MLP (2) adds to its tokens: by LayerScale, if there is one, or after a norm."""
    if isinstance(block, POST_NORM):
        return getattr(block, f"norm{which}")(out)
    if isinstance(block, EvaBlock):
        gamma = getattr(block, f"gamma_{which}")
        return out if gamma is None else gamma * out
    return getattr(block, f"ls{which}")(out)
