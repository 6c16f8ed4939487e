"""R-MAC and regional attention: regions of a map, alike or weighed by a small network, or a detector's proposals.

Source: "Regional Attention Based Deep Feature for Image Retrieval"; R-MAC: Tolias et al., ICLR 2016.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal

import torch
import torch.nn.functional as F

from foir_lib.methods import pooling, regional_attention, regions, whitening
from foir_lib.models.detectors import load_faster_rcnn
from foir_lib.models.mini import shipped
from foir_lib.models.weights import module_digest
from foir_lib.registry import register
from foir_lib.retrievers import local_features
from foir_lib.retrievers.base import Retriever
from foir_lib.retrievers.pooling import NO_PCA, SAMPLE
from foir_lib.store.arrays import Arrays
from foir_lib.store.features import array_digest

GRIDS = (3, 4, 5, 6)  # S of regional attention Table 2a, all described in one pass


def attentions(text: str, model) -> list[regional_attention.RegionalAttention]:
    """Regional attention networks from "path,path"; for an embedded model those that come with it."""
    own = sorted(shipped.FOLDER.glob(f"{model.name}-attention*.safetensors"))
    return [regional_attention.load(path) for path in [p.strip() for p in text.split(",") if p.strip()] or own]


def pca_of(corpus) -> whitening.PCA:
    """PCA-whitening of regions, learned from some of each training picture."""

    def describe(m):
        (x,) = local_features.maps(corpus.training, m)
        vectors = regions.pooled(x, regions.grid(*x.shape[2:]))[0]
        return {"vectors": local_features.sample(vectors, SAMPLE)}

    def learn():
        vectors = corpus.training.each(f"regions, {SAMPLE} of each", describe).read("vectors")
        return whitening.fit(F.normalize(torch.from_numpy(vectors.reshape(-1, corpus.model.dim)), dim=-1))

    return corpus.learned("PCA of regions", learn)


@dataclass(frozen=True)
class _Regions(Retriever):
    """Max-pooled regions of a map, whitened, weighed and summed; one pass describes them under every attention at hand."""

    needs: ClassVar = ("maps",)
    weighed: ClassVar[bool] = False

    def lacks(self, corpus):
        missing = super().lacks(corpus) or ("" if corpus.has_training else NO_PCA)
        if missing or not self.weighed or self.context in corpus.attention:
            return missing
        return f"no regional attention {'with' if self.context else 'without'} context at hand: give its weights"

    def _described(self, part, what, grids):
        """Descriptors (n, G, d) of a part. ``grids(m, x)``: G lists of regions of item ``m``'s map ``x``, of which each begins the next."""
        pca, nets = pca_of(part.corpus), {"plain": None} | {f"context {on}": net for on, net in part.corpus.attention.items()}

        def describe(m):
            (x,) = local_features.maps(part, m)
            lists = grids(m, x)
            vectors = pooling.processed(regions.pooled(x, lists[-1]), pca)
            described = {name: [regional_attention.summed(x, net, vectors[:, : len(at)], at) for at in lists] for name, net in nets.items()}
            return {name: torch.cat(descriptors) for name, descriptors in described.items()}

        digests = [module_digest(net) for net in part.corpus.attention.values()]
        features = part.each(f"regional: {what}, {array_digest(pca.matrix)}, {digests}", describe, grids)
        return features.read(f"context {self.context}" if self.weighed else "plain")


@register("retriever", "R-MAC")
@dataclass(frozen=True)
class RMAC(_Regions):
    """R-MAC: regions of a grid of ``scales`` S = 3, 4, 5 or 6, all alike."""

    scales: Literal[GRIDS] = 5

    def describe(self, part):
        def grids(m, x):
            return [regions.grid(*x.shape[2:], scales) for scales in GRIDS]

        vectors = self._described(part, "grids", grids)
        return Arrays({"descriptor": vectors[:, GRIDS.index(self.scales)].copy()})


@register("retriever", "RA")
@dataclass(frozen=True)
class RA(RMAC):
    """R-MAC's regions weighed by regional attention, which sees them in their ``context`` or alone."""

    context: bool = True
    weighed: ClassVar = True


@register("retriever", "RPN")
@dataclass(frozen=True)
class RPN(_Regions):
    """R-MAC on the 256 regions that a detector proposes (Table 2b)."""

    def lacks(self, corpus):
        return super().lacks(corpus) or ("" if corpus.detector else "no detector at hand: give its weights")

    def describe(self, part):
        corpus = part.corpus
        if isinstance(corpus.detector, (str, Path)):
            corpus.detector = load_faster_rcnn(corpus.detector).to(corpus.model.device)

        def grids(m, x):
            return [regions.proposals(corpus.detector, part.cut(m).picture, *x.shape[2:])]

        return Arrays({"descriptor": self._described(part, f"proposed by {module_digest(corpus.detector)}", grids)[:, 0].copy()})


@register("retriever", "RPN+RA")
@dataclass(frozen=True)
class ProposedRA(RPN):
    """A detector's proposals weighed by regional attention, in their ``context`` or alone."""

    context: bool = True
    weighed: ClassVar = True
