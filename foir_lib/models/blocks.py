"""Blocks of a timm ViT, opened: attention head by head, what a whole block knows by name, and which networks can be tapped."""

import copy

import torch
import torch.nn.functional as F
from timm.layers import Format
from timm.models.vision_transformer import Attention, Block, VisionTransformer
from torch import Tensor, nn

from foir_lib.errors import InputError, unknown

NAMES = ("attention", "values", "residual", "tokens", "mean")


def tapped(block: Block, tokens: Tensor, names: tuple[str, ...], rows: int | None = None, gradient: bool = False) -> dict[str, Tensor]:
    """What one block knows of its input ``tokens`` (B, T, d), by name; T counts prefix and patch tokens.

    "attention" (B, h, R, T): softmax weights; "values" (B, h, T, dk); "residual" (B, T, d): the input itself; "tokens" (B, R, d):
    the output; "mean" (B, d): the mean of those output tokens, for less than the output costs. ``rows``: R, the first of the
    T queries, 1 for CLS alone, None for all. ``gradient``: attention is a leaf that the others are differentiated by.
    Raises InputError for an unknown name.
    """
    for name in names:
        if name not in NAMES:
            raise unknown("part of a block", name, NAMES)
    attn, mlp = block.attn, block.mlp
    q, k, v = split(attn.qkv(block.norm1(tokens)), 3, attn)
    attention = weights(attn, attn.q_norm(q[:, :, :rows]), attn.k_norm(k))
    if gradient:
        attention = attention.detach().requires_grad_()
    known = {"attention": attention, "values": v, "residual": tokens}
    if not {"tokens", "mean"} & set(names):
        return {name: known[name] for name in names}
    y = tokens[:, :rows] + block.ls1(attn.proj((attention @ v).transpose(1, 2).flatten(2)))
    if "tokens" in names:
        known["tokens"] = y + block.ls2(mlp(block.norm2(y)))
    if "mean" in names:  # the mean comes before the last layer, which is linear: one product a picture instead of one a token
        hidden = _without_last(mlp)(block.norm2(y))
        known["mean"] = y.mean(1) + block.ls2(mlp.fc2(hidden.mean(1)))
    return {name: known[name] for name in names}


def biased(block: Block, tokens: Tensor, bias: Tensor) -> Tensor:
    """A whole block in which only the CLS query row sees the bias (B, 1, 1, T)."""
    attn = block.attn
    q, k, v = split(attn.qkv(block.norm1(tokens)), 3, attn)
    q, k = attn.q_norm(q), attn.k_norm(k)
    out = F.scaled_dot_product_attention(q[:, :, 1:], k, v)
    out = torch.cat([weights(attn, q[:, :, :1], k, bias) @ v, out], 2)
    y = tokens + block.ls1(attn.proj(out.transpose(1, 2).flatten(2)))
    return y + block.ls2(block.mlp(block.norm2(y)))


def split(x: Tensor, n: int, attn: Attention) -> tuple[Tensor, ...]:
    """(B, T, n*h*dk) -> n tensors (B, h, T, dk)."""
    return x.unflatten(-1, (n, attn.num_heads, attn.head_dim)).permute(2, 0, 3, 1, 4).unbind(0)


def weights(attn: Attention, q: Tensor, k: Tensor, bias: Tensor | None = None) -> Tensor:
    """Attention (B, h, R, T) of some queries (PHS eq. 1), with an additive bias on their scaled logits."""
    logits = q @ k.transpose(-2, -1) * attn.head_dim**-0.5
    return (logits if bias is None else logits + bias).softmax(-1)


def any_size(net: VisionTransformer) -> VisionTransformer:
    """A view of a network that takes pictures of any whole number of patches, (B, 3, H, W); its positions are resampled, bicubic."""
    net, embed = copy.copy(net), copy.copy(net.patch_embed)
    embed.strict_img_size, embed.flatten, embed.output_fmt = False, False, Format.NHWC
    net._modules, net.dynamic_img_size = {**net._modules, "patch_embed": embed}, True
    return net


def projects(net: VisionTransformer) -> bool:
    """True for a CLIP network whose head is its image-text projection, not a classifier trained on top."""
    config = net.pretrained_cfg
    trunk, tag = config.get("architecture") or "", config.get("tag") or ""
    return "clip" in trunk and "_ft_" not in tag and isinstance(net.head, nn.Linear)


def check_tappable(net: nn.Module, name: str) -> None:
    """Refuse, in words, what has no CLS token read out after a plain last block."""
    if not isinstance(net, VisionTransformer):
        raise InputError(f"{name} is no plain Vision Transformer ({type(net).__name__}): choose a timm ViT.")
    if net.attn_pool is not None or net.global_pool != "token" or not net.has_class_token:
        remedy = "so no heads can be selected: choose one that does, such as DINOv2, CLIP or DeiT."
        raise InputError(f"{name} pools its patch tokens ({net.global_pool}) instead of reading a CLS token, {remedy}")
    for block in net.blocks:
        attn = getattr(block, "attn", None)
        plain = type(block) is Block and type(attn) is Attention  # no differential, relative or rotary kind
        bare = isinstance(getattr(attn, "norm", None), nn.Identity | None) and getattr(attn, "gate", None) is None
        if not plain or not bare:
            raise InputError(f"{name} has blocks that can't be tapped head by head: choose a ViT of plain blocks.")


def _without_last(mlp):
    """A view of an MLP (plain, GLU, SwiGLU) that ends before its last linear layer."""
    part = copy.copy(mlp)
    part._modules = {**mlp._modules, "fc2": nn.Identity()}
    return part
