"""What head selection is compared with: CBIR, Mask, Crop, on any model that embeds pictures."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F

from foir_lib.methods import baselines, head_selection, pooling
from foir_lib.prompts import crop
from foir_lib.registry import register
from foir_lib.retrievers.base import Retriever
from foir_lib.retrievers.heads import attention_of, described, states
from foir_lib.retrievers.parts import once
from foir_lib.retrievers.pooling import whitened
from foir_lib.store.arrays import Arrays


@dataclass(frozen=True)
class _Plain(Retriever):
    """Describes the database by the plain descriptor of any model that embeds pictures."""

    def lacks(self, corpus):
        if any(hasattr(corpus.model, tap) for tap in ("cls_state", "maps", "embed")):
            return ""
        return f"{corpus.model.name} doesn't embed pictures: give it a function embed(x), (B, 3, H, W) to (B, d)"

    def describe(self, part):
        if part.prompted:
            return self._prompted(part)
        return states(part) if hasattr(part.corpus.model, "cls_state") else embedded(part)

    def explain(self, corpus, part, m, rows):
        if not hasattr(corpus.model, "cls_state"):
            return None
        return [a.mean(0).reshape(corpus.model.grid) for a in attention_of(corpus, rows)]


@once
def embedded(pictures):
    """"descriptor" (n, d), unit length, of a model that has no more than ``embed(x)``."""
    return pictures.alone("embedding", _embed(pictures))


def _embed(part, load=None):
    """What describes pictures, or what ``load(m)`` gives of each: the model's own ``embed``, else GeM of its map, whitened."""
    model = part.corpus.model

    @torch.inference_mode()
    def embed(x):
        if hasattr(model, "embed"):
            return F.normalize(model.embed(x).float(), dim=-1)
        return whitened(pooling.gem(model.maps(x), model.gem_p), model.whiten)

    def describe(rows):
        return ({"descriptor": embed(x)} for x in part.tensors(rows, load))

    return describe


@register("retriever", "CBIR")
@dataclass(frozen=True)
class CBIR(_Plain):
    """Plain retrieval: the whole picture is the query, whatever the prompt."""

    def _prompted(self, part):
        model = part.corpus.model
        if hasattr(model, "cls_state"):
            return Arrays({"descriptor": described(model, states(part.pictures), part.image_row)})
        return Arrays({"descriptor": embedded(part.pictures).read("descriptor", part.image_row)})


@dataclass(frozen=True)
class _Altered(_Plain):
    """The prompt alters the picture, which is then described as any: one pass of the network for each prompt."""

    def _prompted(self, part):
        model = part.corpus.model

        def load(m):
            return model.preprocess(self.altered(part.open(m), part.prompt(m), model))

        def state_of(x):
            state = model.cls_state(x)
            arrays = {"descriptor": model.descriptor(state)}
            if self.name == "Crop" and model.n_heads > 1:
                everywhere = torch.ones(1, state.attention.shape[-1], dtype=torch.bool)
                heads = head_selection.select(state, everywhere, model.n_heads - 1)
                arrays["denoised"] = head_selection.descriptor(model, state, heads)
            return arrays

        def describe(rows):
            return map(state_of, part.tensors(rows, load))

        return part.alone(self.name, describe if hasattr(model, "cls_state") else _embed(part, load))


@register("retriever", "Mask")
@dataclass(frozen=True)
class Mask(_Altered):
    """The surroundings of the prompt in one colour, the model's mean."""

    def altered(self, picture, prompt, model):
        return baselines.masked(picture, prompt, model.mean, getattr(model, "grid", None))


@register("retriever", "Crop")
@dataclass(frozen=True)
class Crop(_Altered):
    """The prompt's box cut out. ``denoise``: the head least interested in the crop is switched off (Table A7)."""

    denoise: bool = False

    def altered(self, picture, prompt, model):
        return crop(picture, prompt, getattr(model, "grid", None))[0]

    def lacks(self, corpus):
        if self.denoise and not hasattr(corpus.model, "cls_state"):
            return f"{corpus.model.name} has no attention heads to switch off"
        return super().lacks(corpus)

    def _prompted(self, part):
        features = super()._prompted(part)
        return Arrays({"descriptor": features.read("denoised")}) if self.denoise else features
