"""Methods on the heads of a ViT: foveal attention, attention mask, random heads, PHS; the states that they start from.

Source: "Prompt-Guided Attention Head Selection for Focus-Oriented Image Retrieval". One pass of a picture serves all prompts on
it; what a prompt changes afterwards is a short tail, or, for FA and the attention mask, the last blocks.
"""

from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
import torch

from foir_lib.errors import InputError
from foir_lib.methods import baselines, foveal, head_selection
from foir_lib.models.vit import ClsState
from foir_lib.registry import register
from foir_lib.retrievers.base import Retriever
from foir_lib.retrievers.parts import once
from foir_lib.search import query_db
from foir_lib.store.arrays import Arrays
from foir_lib.threads import Batches

TAIL = 4096  # prompts whose descriptors are computed at a time
BASELINES = 4  # blocks whose attention foveal attention biases, in the paper


@once
def states(pictures):
    """Features of pictures: "descriptor" (n, d), "heads" (n, h*dk), "residual" (n, d); of those with prompts the
    whole :class:`ClsState`: "attention" (n, h*N) and "values" (n, h*dk) too."""
    model = pictures.corpus.model
    names = tuple(ClsState.__annotations__) if pictures.with_prompts else ("heads", "residual")
    last = min(BASELINES, model.depth)

    def describe(rows):
        for state in (model.finish(tokens, last=last) for tokens in pictures.trunk(rows, last)):
            yield {"descriptor": model.descriptor(state), **_flat(state, *names)}

    return pictures.alone("states, with attention" if pictures.with_prompts else "states", describe)


def biased(part, what: str, bias, last: int):
    """Features under a bias on the CLS row: "heads", "residual" and "roi" (M, h), the ROI attention (eq. 7) under it.

    ``bias(rows)``: logits (m, N) of some prompts; ``last``: blocks that see it.
    """
    model = part.corpus.model
    last = min(last, model.depth)

    def describe(rows):
        rows = np.asarray(rows)
        images, index = np.unique(part.image_row[rows], return_inverse=True)
        tokens = torch.cat(list(part.pictures.trunk(images, last)))
        state = model.finish(tokens, bias(rows), last, index)
        yield {**_flat(state, "heads", "residual"), "roi": head_selection.roi_attention(state, part.roi(rows))}

    return part.features(what, Batches(part, describe))  # the prompts on a picture are neighbours, so a batch runs its trunk once


def state_of(features, rows, model, *names: str) -> ClsState:
    """Rows of stored states as a :class:`ClsState` on the model's device; ``names``: only these parts of it."""
    names = [name for name in names or ClsState.__annotations__ if name in features.names]
    return ClsState.from_arrays({name: features.read(name, rows) for name in names}, model.n_heads, model.device)


def described(model, features, rows, heads=None, strategy: str = "before+scale") -> np.ndarray:
    """Descriptors (m, d) float32 of stored states ``rows`` (m,) under ``heads`` bool (m, h), or with all heads on."""
    heads = np.ones((len(rows), model.n_heads), dtype=bool) if heads is None else heads
    parts = []
    for start in range(0, len(rows), TAIL):
        at = slice(start, start + TAIL)
        state = state_of(features, rows[at], model, "heads", "values", "residual")
        parts.append(head_selection.descriptor(model, state, heads[at], strategy).cpu().numpy())
    return np.concatenate(parts)


@dataclass(frozen=True)
class _Heads(Retriever):
    """Methods on the heads of a ViT: the database is described by its plain descriptors and states."""

    needs: ClassVar = ("cls_state",)

    def lacks(self, corpus):
        h_on = getattr(self, "h_on", 1)
        few = hasattr(corpus.model, "n_heads") and h_on > corpus.model.n_heads
        return f"{corpus.model.name} has {corpus.model.n_heads} heads, fewer than h_on={h_on}" if few else super().lacks(corpus)

    def describe(self, part):
        return self._prompted(part) if part.prompted else states(part)

    def explain(self, corpus, part, m, rows):
        on = self._on(part)[m]
        return [a[on].mean(0).reshape(corpus.model.grid) for a in attention_of(corpus, rows)]

    def _on(self, part):
        """Heads (M, h) bool that a prompt keeps: all."""
        return np.ones((len(part), part.corpus.model.n_heads), dtype=bool)


@register("retriever", "FA")
@dataclass(frozen=True)
class Foveal(_Heads):
    """Foveal attention: a bump of height ``v`` on the box's tokens, in the ``last`` blocks."""

    v: float = 0.2
    sigma: float = 100.0
    last: int = BASELINES

    def _prompted(self, part):
        biases = self.biased(part)
        return Arrays({"descriptor": described(part.corpus.model, biases, np.arange(len(part)))})

    def biased(self, part):
        """Features of the prompts under the bump; see :func:`biased`."""
        grid = part.corpus.model.grid

        def bias(rows):
            return torch.stack([foveal.bias(part.prompt(m), grid, part.size(m), self.v, self.sigma) for m in rows])

        return biased(part, f"foveal, v {self.v:g}, sigma {self.sigma:g}, last {self.last}", bias, self.last)


@register("retriever", "AttentionMask")
@dataclass(frozen=True)
class AttentionMask(_Heads):
    """CLS attends to the prompt's tokens alone, in the last block (Table A6)."""

    def _prompted(self, part):
        features = biased(part, "attention mask", lambda rows: baselines.attention_mask(part.roi(rows)), 1)
        return Arrays({"descriptor": described(part.corpus.model, features, np.arange(len(part)))})


@register("retriever", "PHS")
@dataclass(frozen=True)
class PHS(_Heads):
    """Prompt-guided head selection: the ``h_on`` heads with the largest ROI attention stay on (eqs. 7-9).

    ``roi``: "sum" or "max" (Table A4); ``strategy``: of :func:`head_selection.descriptor` (Table A5); ``foveal``: heads are
    chosen and described under foveal attention (Table A1); ``query_db``: the heads are applied to the database too.
    """

    h_on: int = 5
    roi: Literal[head_selection.ROI_STRATEGIES] = "sum"
    strategy: Literal[head_selection.STRATEGIES] = "before+scale"
    foveal: bool = False
    query_db: bool = False

    def __post_init__(self):
        super().__post_init__()
        if self.foveal and (self.roi != "sum" or self.strategy == "identity"):
            raise InputError(f"{self} isn't defined: under foveal attention roi is 'sum', and strategy another than 'identity'.")

    def _prompted(self, part):
        model, on = part.corpus.model, self._on(part)
        if self.foveal:
            source, rows, of = Foveal().biased(part), np.arange(len(part)), None
        else:
            source, rows, of = states(part.pictures), part.image_row, None
            if len(np.unique(part.rows)) < len(part):  # clicks on one object mostly select the same heads
                _, first, of = np.unique(np.c_[rows, np.packbits(on, 1)], axis=0, return_index=True, return_inverse=True)
                rows, on, of = rows[first], on[first], of.ravel()
        return Arrays({"descriptor": described(model, source, rows, on, self.strategy), "on": on}, of)

    def _on(self, part):
        if self.foveal:
            return head_selection.top(torch.from_numpy(Foveal().biased(part).read("roi")), self.h_on).numpy()
        source, model, parts = states(part.pictures), part.corpus.model, []
        for start in range(0, len(part), TAIL):
            rows = np.arange(start, min(start + TAIL, len(part)))
            state = state_of(source, part.image_row[rows], model, "attention")
            parts.append(head_selection.select(state, part.roi(rows), self.h_on, self.roi).cpu().numpy())
        return np.concatenate(parts)

    def score(self, corpus, query, database, k):
        if not self.query_db:
            return super().score(corpus, query, database, k)
        vectors, on = query.read("descriptor"), query.read("on")
        return query_db.search(corpus.model, vectors, on, database, k, self.strategy, progress=corpus.progress)


@register("retriever", "RandomHeads")
@dataclass(frozen=True)
class RandomHeads(_Heads):
    """The control: ``h_on`` heads drawn at random for each query. ``seed``: the corpus's unless given."""

    h_on: int = 5
    seed: int | None = None

    def _prompted(self, part):
        on = self._on(part)
        return Arrays({"descriptor": described(part.corpus.model, states(part.pictures), part.image_row, on), "on": on})

    def _on(self, part):
        seed = part.corpus.seed if self.seed is None else self.seed
        heads = head_selection.random(len(part.corpus.set.queries) or 1, part.corpus.model.n_heads, self.h_on, seed).numpy()
        return heads[part.rows % len(heads)]


def attention_of(corpus, rows):
    """Attention (h, N) of some database pictures, as arrays."""
    for row in rows:
        x = corpus.model.preprocess(corpus.database.open(int(row)))[None]
        yield corpus.model.cls_state(x).attention[0].cpu().numpy()


def _flat(state, *names):
    return {name: getattr(state, name).flatten(1) for name in names}
