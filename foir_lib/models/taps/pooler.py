"""Attention pooling, opened (SigLIP, SigLIP 2, PE-core): one learned latent asks all tokens, and its heads are those to select.

The latent is no token of the picture: no residual goes round its attention, and it has no value row.
"""

import torch.nn.functional as F
from timm.layers import AttentionPoolLatent
from torch import Tensor

from foir_lib.models.taps import attention


def latent_row(pool: AttentionPoolLatent, tokens: Tensor, bias: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Attention (B, h, 1, T) of the latent on ``tokens`` (B, T, d), as the last norm leaves them, under a bias (B, 1, 1, T); values (B, h, T, dk)."""
    tokens = tokens if pool.pos_embed is None else tokens + pool.pos_embed
    q, k, v = (x.unflatten(-1, (-1, pool.head_dim)).transpose(1, 2) for x in (pool.q(pool.latent), *pool.kv(tokens).chunk(2, -1)))
    return attention.weights(pool.q_norm(q), pool.k_norm(k), bias), v


def pooled(pool: AttentionPoolLatent, heads: Tensor, channels: Tensor | None = None) -> Tensor:
    """The pooled vector (B, d) of head outputs (B, h, dk); ``channels`` (B, d): factors on the projected output."""
    out = pool.proj(heads.flatten(1))
    out = out if channels is None else out * channels
    return out + pool.mlp(pool.norm(out))


def hidden(tokens: Tensor, n: int) -> Tensor:
    """A bias (1, 1, 1, T) that hides the first ``n`` tokens from the latent."""
    return F.pad(tokens.new_full((n,), -float("inf")), (0, tokens.shape[1] - n))[None, None, None]
