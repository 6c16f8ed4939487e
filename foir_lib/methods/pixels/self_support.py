"""Self-support: few-shot segmentation without training; the database picture's own sure patches take part as prototypes.

Source: "Self-Support Few-Shot Semantic Segmentation" (SSP, Fan et al., ECCV 2022): thresholds 0.7 and 0.6, scale 10, and how the
prototypes are mixed are of its code; the features are of any frozen network, so nothing is trained. S: support, the query of
retrieval; N patches of a database picture, M of the query.
"""

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor

from foir_lib.errors import InputError

SCALE = 10.0  # of cosines before the softmax over foreground and background
LOCAL = 2.0  # of cosines between patches, for the adaptive background
FALLBACK = 12  # patches that count as sure where none is


def prototype(tokens: Float[Tensor, "*B M d"], share: Float[Tensor, "*B M"]) -> Float[Tensor, "*B d"]:
    """The mean of tokens, weighted by the share of each patch in the mask; zeros for a mask without patches."""
    total = share.sum(-1, keepdim=True)
    return (share[..., None] * tokens).sum(-2) / torch.where(total > 0, total, torch.ones_like(total))


def probability(
    tokens: Float[Tensor, "B N d"],
    foreground: Float[Tensor, "B d"],
    background: Float[Tensor, "B d"] | Float[Tensor, "B N d"],
) -> Float[Tensor, "B N"]:
    """softmax(10 cos) of each patch over the foreground's prototype and the background's, one for all patches or one for each."""
    background = background if background.ndim == 3 else background[:, None]
    cosines = [F.cosine_similarity(tokens, other, dim=-1) for other in (foreground[:, None], background)]
    return torch.sigmoid(SCALE * (cosines[0] - cosines[1]))


def sure(probability: Float[Tensor, "B N"], threshold: float) -> Bool[Tensor, "B N"]:
    """The patches above ``threshold``; of a picture that has none, the 12 best."""
    above = probability > threshold
    best = torch.zeros_like(above).scatter(-1, probability.topk(min(FALLBACK, probability.shape[-1]), -1).indices, True)
    return torch.where(above.any(-1, keepdim=True), above, best)


def adaptive(tokens: Float[Tensor, "B N d"], chosen: Bool[Tensor, "B N"]) -> Float[Tensor, "B N d"]:
    """For each patch its own prototype: the mean of the ``chosen`` patches weighted by softmax(2 cos) (SSP's ASBP)."""
    unit = F.normalize(tokens, dim=-1)
    logits = LOCAL * unit @ unit.transpose(-1, -2)
    return logits.masked_fill(~chosen[:, None], -torch.inf).softmax(-1) @ tokens


def segmented(
    tokens: Float[Tensor, "B N d"], query: Float[Tensor, "M d"], share: Float[Tensor, " M"], rounds: int = 1,
    foreground: float = 0.7, background: float = 0.6,
) -> Float[Tensor, "B N"]:  # fmt: skip
    """Probability of each patch of B database pictures to show what ``share`` marks in the query.

    Round 0 matches the query's prototypes; each round takes the sure patches of the last (``foreground``, ``background``: its thresholds):
    F = F_query / 2 + F_self / 2, B = 0.3 B_self + 0.7 B_adaptive. Raises InputError for less than 0 rounds and a mask that has no patch.
    """
    if rounds < 0 or not bool((share > 0).any()):
        raise InputError(
            f"rounds={rounds} with a mask of {int((share > 0).sum())} patches segments nothing: give 0 or more, and a mask."
        )
    F_query = prototype(query, share).expand(len(tokens), -1)
    p = probability(tokens, F_query, prototype(query, 1 - share).expand(len(tokens), -1))
    for _ in range(rounds):
        on, off = sure(p, foreground), sure(1 - p, background)
        F_self, B_self = prototype(tokens, on.to(tokens)), prototype(tokens, off.to(tokens))
        p = probability(tokens, (F_query + F_self) / 2, 0.3 * B_self[:, None] + 0.7 * adaptive(tokens, off))
    return p
