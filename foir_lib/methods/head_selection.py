"""PHS, prompt-guided attention head selection: keep the heads that look where the prompt points.

Source: "Prompt-Guided Attention Head Selection for Focus-Oriented Image Retrieval", eqs. 7-9, and its
ablations (Tables A4, A5). Everything works on a :class:`~foir_lib.models.vit.ClsState`.
"""

import numpy as np
import torch
from jaxtyping import Bool, Float, Shaped
from torch import Tensor

from foir_lib.errors import InputError, count, unknown

Array = Tensor | np.ndarray
ROI_STRATEGIES = ("sum", "max")
NO_VALUE_ROW = "a pooler, whose latent has no value row: strategy 'identity' is for networks with a CLS token"
STRATEGIES = ("before+scale", "before", "after", "after+scale", "identity")


def roi_attention(state, roi: Shaped[Array, "..."], strategy: str = "sum") -> Float[Tensor, "B h"]:
    """ROI attention ``A_i^HS`` (B, h) of every head (PHS eq. 7).

    ``roi`` bool (B, N) or (1, N): the prompt's tokens. ``strategy``: "sum" as in the paper, or "max"
    (Table A4). Raises InputError on an empty ROI, a wrong shape or an unknown strategy.
    """
    attention = state.attention
    roi = torch.as_tensor(roi, dtype=torch.bool, device=attention.device)
    if roi.ndim != 2 or roi.shape[-1] != attention.shape[-1] or len(roi) not in (1, len(attention)):
        shapes = f"shape {tuple(roi.shape)} doesn't fit attention of shape {tuple(attention.shape)}"
        raise InputError(f"ROI of {shapes}: give bool (B, N), e.g. prompt.tokens(model.grid, picture.size)[None].")
    if not bool(roi.any(-1).all()):
        raise InputError("ROI is empty: the prompt must cover at least one token.")
    if strategy == "sum":
        return (attention * roi[:, None]).sum(-1)
    if strategy == "max":
        return attention.masked_fill(~roi[:, None, :], -torch.inf).amax(-1)
    raise unknown("ROI strategy", strategy, ROI_STRATEGIES)


def select(state, roi: Shaped[Array, "..."], h_on: int = 5, strategy: str = "sum") -> Bool[Tensor, "B h"]:
    """The ``h_on`` heads with the largest ROI attention, bool (B, h); ties go to the lower head index."""
    return top(roi_attention(state, roi, strategy), h_on)


def top(scores: Float[Tensor, "B h"], h_on: int = 5) -> Bool[Tensor, "B h"]:
    """The ``h_on`` heads with the largest ``scores`` (B, h), bool (B, h); ties go to the lower head index."""
    count(h_on, "h_on", 1, scores.shape[1])
    order = torch.sort(scores, dim=-1, descending=True, stable=True).indices
    return torch.zeros_like(scores, dtype=torch.bool).scatter_(1, order[:, :h_on], True)


def random(n: int, n_heads: int, h_on: int = 5, seed: int = 0) -> Bool[Tensor, "{n} {n_heads}"]:
    """The control: ``h_on`` heads drawn at random for each of ``n`` queries, bool (n, h), the same for a seed."""
    return top(-torch.rand(n, n_heads, generator=torch.Generator().manual_seed(seed)), h_on)


def weights(heads: Shaped[Array, "*B h"], scale: bool = True) -> Float[Tensor, "*B h"]:
    """Head weights (B, h) for ``model.descriptor``: ``h / h_on`` or 0 (PHS eq. 9); 1 or 0 unscaled.

    Raises InputError when a row keeps no head.
    """
    on = torch.as_tensor(heads, dtype=torch.bool)
    if not bool(on.any(-1).all()):
        raise InputError("A head selection is empty: keep at least one head for every query.")
    return on * (on.shape[-1] / on.sum(-1, keepdim=True)) if scale else on.float()


def descriptor(model, state, heads: Shaped[Array, "*b h"], strategy: str = "before+scale") -> Float[Tensor, "B d"]:
    """Descriptors (B, d), unit length, under a head selection ``heads`` bool (B, h) or (h,).

    ``strategy`` (Table A5): "before+scale" is PHS (eqs. 8-9); "before" leaves out ``h / h_on``; "after" and
    "after+scale" zero the h equal channel groups of the projected output (ours: the paper doesn't say
    what is zeroed there); "identity" gives unselected heads the attention matrix I, so their CLS output is
    the CLS value row. Raises InputError for an unknown strategy.
    """
    heads = torch.as_tensor(heads, dtype=torch.bool, device=state.heads.device).expand(len(state), -1)
    if strategy in ("before+scale", "before"):
        return model.descriptor(state, weights(heads, scale=strategy == "before+scale"))
    if strategy in ("after", "after+scale"):
        group = state.residual.shape[-1] // heads.shape[-1]
        channels = weights(heads, scale=strategy == "after+scale").repeat_interleave(group, -1)
        return model.descriptor(state, channels=channels)
    if strategy == "identity":
        if state.values is None:
            raise InputError(f"{getattr(model, 'name', 'The network')} has {NO_VALUE_ROW}.")
        mixed = torch.where(heads[..., None], state.heads, state.values)
        return model.descriptor(type(state)(state.attention, mixed, state.values, state.residual))
    raise unknown("head-selection strategy", strategy, STRATEGIES)
