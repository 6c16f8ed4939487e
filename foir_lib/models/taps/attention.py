"""Attention layers of timm, opened: what one has (fused or separate projections, biases, norms, rotation, grouped keys), head by head."""

import torch
import torch.nn.functional as F
from timm.layers import AttentionRope, apply_rot_embed_cat
from timm.models.eva import EvaAttention
from timm.models.vision_transformer import Attention
from torch import Tensor

Layer = Attention | AttentionRope | EvaAttention
KINDS = (Attention, AttentionRope, EvaAttention)  # no differential or relative kind


def project(attn: Layer, y: Tensor, rows: int | None = None, rope: Tensor | None = None) -> tuple[Tensor, Tensor, Tensor]:
    """Queries (B, h, R, dk) of the first ``rows`` tokens (None: all), keys and values (B, h, T, dk) of all, of an input ``y`` (B, T, d).

    Norms of queries and keys come before the rotation ``rope`` (N, 2 dk) or (h, N, 2 dk), which turns patch tokens alone. Of grouped
    keys head i has those of group i // (h / groups).
    """
    q, k, v = (F.linear(one, *layer).unflatten(-1, (-1, attn.head_dim)).transpose(1, 2) for one, layer in zip((y[:, :rows], y, y), _layers(attn)))
    q, k = _rotated(attn, attn.q_norm(q), rope, v.dtype), _rotated(attn, attn.k_norm(k), rope, v.dtype)
    groups = attn.num_heads // k.shape[1]
    return (q, k, v) if groups == 1 else (q, k.repeat_interleave(groups, 1), v.repeat_interleave(groups, 1))


def weights(q: Tensor, k: Tensor, bias: Tensor | None = None) -> Tensor:
    """Attention (B, h, R, T) of some queries (PHS eq. 1), with an additive bias on their scaled logits."""
    logits = q @ k.transpose(-2, -1) * q.shape[-1] ** -0.5
    return (logits if bias is None else logits + bias).softmax(-1)


def _layers(attn):
    """(weight, bias) of query, key and value."""
    if attn.qkv is None:
        return [(layer.weight, layer.bias) for layer in (attn.q_proj, attn.k_proj, attn.v_proj)]
    width = attn.num_heads * attn.head_dim
    biases = None, None, None
    if getattr(attn, "q_bias", None) is not None:
        biases = attn.q_bias, attn.k_bias, attn.v_bias
    elif attn.qkv.bias is not None:
        biases = attn.qkv.bias.split(width)
    return list(zip(attn.qkv.weight.split(width), biases))


def _rotated(attn, x, rope, dtype):
    """Queries or keys (B, h, R, dk) with the rotation of the patch tokens among them; prefix tokens are never turned."""
    prefix = getattr(attn, "num_prefix_tokens", 0)
    if rope is None or x.shape[2] <= prefix:
        return x
    turned = apply_rot_embed_cat(x[:, :, prefix:], rope[..., : x.shape[2] - prefix, :], half=getattr(attn, "rotate_half", False))
    return torch.cat([x[:, :, :prefix], turned], 2).to(dtype)
