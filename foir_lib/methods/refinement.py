"""Refinement: one vector whose attention maps meet the masks of many objects.

Source: "Find your Needle: Small Object Image Retrieval via Multi-Object Attention Optimization", stage B:
v = argmax sum_i IoU(E(v . v_i), m_i) + alpha v . sum_i v_i. Three forms of it are one function with other arguments: "joint", a
vector for all crops of a picture; "per-crop", a vector for each crop; "full-image", a vector whose map over the whole picture
meets all masks together. The trunk of the network runs once; a step is a vector-Jacobian product through the last block, and
its transpose.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from foir_lib.errors import InputError, unknown
from foir_lib.methods import legrad

OVERLAPS = ("iou", "dice")
OPTIMIZERS = ("adamw", "sgd")
LENGTHS = ("raw", "unit")
WINDOW = 10  # steps over which a gain below ``stop`` ends the refinement of a vector


@dataclass(frozen=True)
class Refined:
    """Refined vectors (P, d), not of unit length; their objective and cosine to the start before each step (steps, P), of those that
    stopped early their last ones; ``steps`` (P,): how many each took."""

    vectors: Tensor
    objective: Tensor
    cosine: Tensor
    steps: Tensor


def refine(
    model, tokens: Float[Tensor, "n T d"], shares: Float[Tensor, "n N"], embeddings: Float[Tensor, "n p"], start: Float[Tensor, "P p"],
    owner: Int[Tensor, " n"], alpha: float = 0.03, steps: int = 80, lr: float = 0.1, optimizer: str = "adamw", renorm: bool = False,
    score: str = "tokens", overlap: str = "iou", stop: float = 0.0, project: bool = False, batch: int = 64,
) -> Refined:  # fmt: skip
    """The vectors that start at ``start`` and maximise :func:`objective`, all at once.

    tokens: of n crops before the last block; shares: of each patch inside the object's mask, 0 to 1; embeddings: v_i, see
    :func:`pulls`; owner: which of the P vectors each crop belongs to, rising; a vector without crops stays as it starts. ``start`` is raw: the mean
    of the embeddings after the last norm, of length about sqrt(d), since AdamW's first step has length lr sqrt(d) whatever the
    gradient. ``renorm``: v gets the length of its start after each step. ``score``: of :func:`legrad.taps`; ``overlap``: "iou" or
    "dice"; ``stop``: a vector stops when its objective gained less in the last 10 steps (0: never). At most ``batch`` crops have
    gradients at a time; those of vectors with more are taken one part after the other, the last block again in each step.
    Raises InputError for unknown names and crops whose owners don't rise.
    """
    for value, what, known in ((overlap, "overlap", OVERLAPS), (optimizer, "optimizer", OPTIMIZERS)):
        if value not in known:
            raise unknown(what, value, known)
    if len(owner) and (bool((owner.diff() < 0).any()) or not 0 <= int(owner[0]) <= int(owner[-1]) < len(start)):
        raise InputError(f"Owners of {len(owner)} crops must rise and lie between 0 and {len(start) - 1}: sort the crops.")

    def taps(rows):
        return legrad.taps(model, tokens[rows], 1, score, project)[0]

    def gains(tap, rows, unit, mine):
        maps = legrad.min_max(legrad.relevance(*tap, unit[mine], model.n_prefix, create_graph=True))
        return objective(maps, shares[rows], unit, embeddings[rows], mine, alpha, overlap)

    with legrad.differentiable():
        tokens, shares, embeddings, start = (x.clone() if x.is_inference() else x for x in (tokens, shares, embeddings, start))
        result = _unmoved(start, steps)
        for rows in _groups(owner, batch):
            which, mine = owner[rows].unique(return_inverse=True)
            v, *lines = _climb(taps, gains, start[which], rows, mine, batch, steps, lr, optimizer, renorm, stop)
            result.vectors[which] = v
            result.objective[:, which], result.cosine[:, which], result.steps[which] = lines
        return result


def objective(
    maps: Float[Tensor, "n N"], shares: Float[Tensor, "n N"], unit: Float[Tensor, "P p"], embeddings: Float[Tensor, "n p"],
    owner: Int[Tensor, " n"], alpha: float = 0.03, overlap: str = "iou",
) -> Float[Tensor, " P"]:  # fmt: skip
    """sum_i overlap(E_i, m_i) + alpha v . sum_i v_i of each vector ``unit`` (unit length) over its crops i."""
    agreement = (soft_iou if overlap == "iou" else dice)(maps, shares)
    gains = agreement + alpha * (unit[owner] * embeddings).sum(-1)
    return gains.new_zeros(len(unit)).index_add(0, owner, gains)


def pulls(raw: Float[Tensor, "n p"], start: Float[Tensor, "P p"], owner: Int[Tensor, " n"], lengths: str = "raw") -> Float[Tensor, "n p"]:
    """The v_i of the second term, in which v is of unit length.

    "raw": the printed product of vectors as the network gives them, v with the length of its start; "unit": all of unit length, which
    makes the term weaker by the product of both lengths, about d. Raises InputError for another ``lengths``.
    """
    if lengths not in LENGTHS:
        raise unknown("lengths", lengths, LENGTHS)
    return raw * start.norm(dim=-1)[owner][:, None] if lengths == "raw" else F.normalize(raw, dim=-1)


def soft_iou(maps: Float[Tensor, "n N"], shares: Float[Tensor, "n N"]) -> Float[Tensor, " n"]:
    """sum(E m) / sum(E + m - E m); 0 where both are empty."""
    both = (maps * shares).sum(-1)
    return _ratio(both, (maps + shares).sum(-1) - both)


def dice(maps: Float[Tensor, "n N"], shares: Float[Tensor, "n N"]) -> Float[Tensor, " n"]:
    """2 sum(E m) / sum(E + m), which MaskInversion maximises; 0 where both are empty."""
    return _ratio(2 * (maps * shares).sum(-1), (maps + shares).sum(-1))


def means(vectors: Float[Tensor, "n p"], owner: Int[Tensor, " n"], n: int) -> Float[Tensor, "{n} p"]:
    """The mean vector of each of ``n`` owners; zeros where one has none."""
    sums = vectors.new_zeros(n, vectors.shape[1]).index_add(0, owner, vectors)
    return sums / owner.bincount(minlength=n).clamp(min=1)[:, None].to(vectors.dtype)


def _climb(taps, gains, start, rows, owner, batch, steps, lr, optimizer, renorm, stop):
    """Vectors, objective, cosine and steps of the P owners of crops ``rows``; ``owner`` (len(rows),): 0 to P - 1."""
    v, length = start.clone().requires_grad_(), start.norm(dim=-1, keepdim=True)
    climber = torch.optim.AdamW([v], lr, weight_decay=0.0) if optimizer == "adamw" else torch.optim.SGD([v], lr)
    climbing, taken = owner.new_ones(len(v), dtype=torch.bool), owner.new_full((len(v),), steps)
    curve, cosine, chunks, n = [], [], [], -1
    for step in range(steps):
        on = climbing[owner]
        if int(on.sum()) != n:  # some have stopped
            n, chunks = int(on.sum()), list(zip(rows[on].split(batch), owner[on].split(batch)))
            tap = taps(chunks[0][0]) if len(chunks) == 1 else None
        value, v.grad = torch.zeros_like(length[:, 0]), torch.zeros_like(v)
        for here, mine in chunks:
            gained = gains(tap or taps(here), here, F.normalize(v, dim=-1), mine)
            v.grad -= torch.autograd.grad(gained.sum(), v)[0]
            value += gained.detach()
        with torch.no_grad():
            before = v.clone()
            curve.append(torch.where(climbing, value, curve[-1]) if curve else value)
            cosine.append(F.cosine_similarity(v, start, dim=-1))
            climber.step()
            if renorm:
                v.mul_(length / v.norm(dim=-1, keepdim=True))
            v.copy_(torch.where(climbing[:, None], v, before))
            if stop and step >= WINDOW:
                done = climbing & (curve[-1] - curve[-1 - WINDOW] < stop)
                climbing, taken = climbing & ~done, torch.where(done, step + 1, taken)
        if not bool(climbing.any()):
            break
    rest = steps - len(curve)
    return v.detach(), torch.stack(curve + curve[-1:] * rest), torch.stack(cosine + cosine[-1:] * rest), taken


def _groups(owner, batch):
    """Rows of crops in groups of at most ``batch``; no owner's crops are parted, so one with more is a group of its own."""
    owners = owner.tolist()
    ends = [i for i in range(1, len(owners) + 1) if i == len(owners) or owners[i] != owners[i - 1]]
    groups, low, last = [], 0, 0
    for end in ends:
        if end - low > batch and last > low:
            groups, low = [*groups, (low, last)], last
        last = end
    return [owner.new_tensor(range(low, high)) for low, high in [*groups, (low, last)] if high > low]


def _unmoved(start, steps):
    """The :class:`Refined` of vectors without crops."""
    objective = start.new_zeros(steps, len(start))
    return Refined(start.clone(), objective, torch.ones_like(objective), start.new_zeros(len(start), dtype=torch.long))


def _ratio(part, whole):
    return part / whole.clamp(min=torch.finfo(whole.dtype).tiny)
