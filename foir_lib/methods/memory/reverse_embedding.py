"""Reverse embedding: which words the vision tokens of an image-text model already say (thesis 3.1)."""

import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor


def logits(tokens: Float[Tensor, "*n d"], embedding: Float[Tensor, "V d"], unit: bool = False) -> Float[Tensor, "*n V"]:
    """How much each vision token, as the projector leaves it, says each of V words: tokens E^T.

    ``embedding``: the matrix E of the linear text embedding layer, a row a word, which turns a word's one-hot vector into a
    token; its transpose turns a token back. ``unit``: cosines instead of products, so that a long row isn't said everywhere (ours).
    """
    if unit:
        tokens, embedding = F.normalize(tokens, dim=-1), F.normalize(embedding, dim=-1)
    return tokens @ embedding.T


def top(logits: Float[Tensor, "*n V"], k: int, words: Int[Tensor, " W"] | None = None) -> tuple[Float[Tensor, "*n k"], Int[Tensor, "*n k"]]:
    """Scores and ids of the ``k`` words that each token says most, of all words or of the ids ``words``."""
    values, rows = (logits if words is None else logits[..., words]).topk(k, dim=-1)
    return values, rows if words is None else words[rows]
