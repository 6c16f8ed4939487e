"""One vector a picture from a CNN's map: GeM at several scales, SPoC, MAC, CroW, CAM."""

from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
import torch
import torch.nn.functional as F

from foir_lib.errors import InputError
from foir_lib.methods import pooling, whitening
from foir_lib.registry import register
from foir_lib.retrievers import local_features
from foir_lib.retrievers.base import Retriever
from foir_lib.store.arrays import Arrays
from foir_lib.store.features import array_digest

SAMPLE = 16  # region or class vectors of a training picture that a PCA is learned from
NO_PCA = "no pictures at hand to learn a PCA from: give training_root"


def pca_of(corpus, kind: str) -> whitening.PCA:
    """PCA-whitening of L2-normalised pooled vectors of a kind (gem, spoc, mac, crow) of the training pictures."""

    def learn():
        vectors = local_features.pooled(corpus.training).read(kind).reshape(-1, corpus.model.dim)
        return whitening.fit(F.normalize(torch.from_numpy(vectors), dim=-1))

    return corpus.learned(("PCA", kind), learn)


def whitened(vectors: torch.Tensor, whiten, pca=None) -> torch.Tensor:
    """Vectors (..., C) through the trained whitening layer, or L2 and PCA-whitening where none was trained; L2."""
    if whiten is None:
        return pooling.processed(vectors, pca)
    with torch.inference_mode():
        return F.normalize(whiten(vectors.to(whiten.weight.device)).cpu(), dim=-1)


@dataclass(frozen=True)
class Pooled(Retriever):
    """A pooled map, L2, PCA-whitening, L2."""

    needs: ClassVar = ("maps",)

    def lacks(self, corpus):
        return super().lacks(corpus) or ("" if corpus.has_training else NO_PCA)

    def describe(self, part):
        kind = self.name.lower()
        raw = torch.from_numpy(local_features.pooled(part).read(kind))
        return Arrays({"descriptor": pooling.processed(raw, pca_of(part.corpus, kind)).numpy()})


@register("retriever", "SPoC")
@dataclass(frozen=True)
class SPoC(Pooled):
    """Sum pooling with a centring prior (Babenko and Lempitsky, ICCV 2015)."""


@register("retriever", "MAC")
@dataclass(frozen=True)
class MAC(Pooled):
    """The maximum over all cells (Tolias et al., ICLR 2016)."""


@register("retriever", "CroW")
@dataclass(frozen=True)
class CroW(Pooled):
    """Sum pooling weighted across cells and channels (Kalantidis et al., ECCV-W 2016)."""


@register("retriever", "GeM")
@dataclass(frozen=True)
class GeM(Pooled):
    """GeM, the whitening layer (else PCA-whitening) and L2 at each of ``n_scales`` scales; their sum, L2."""

    n_scales: Literal[1, 3, 5, 7] = 5

    def lacks(self, corpus):
        missing = Retriever.lacks(self, corpus)
        return missing or ("" if corpus.model.whiten is not None or corpus.has_training else NO_PCA)

    def describe(self, part):
        scales, model = local_features.scales_of(self.n_scales), part.corpus.model
        raw = torch.from_numpy(np.stack([local_features.pooled(part, scale).read("gem") for scale in scales], 1))
        pca = pca_of(part.corpus, "gem") if model.whiten is None else None
        return Arrays({"descriptor": F.normalize(whitened(raw, model.whiten, pca).sum(1), dim=-1).numpy()})


@register("retriever", "CAM")
@dataclass(frozen=True)
class CAM(Pooled):
    """A vector for each of the ``n_maps`` likeliest classes of the network's own classifier (Jimenez et al., BMVC 2017)."""

    n_maps: int = 64

    def lacks(self, corpus):
        if missing := super().lacks(corpus):
            return missing
        try:
            _ = corpus.model.classifier
        except InputError:
            return f"{corpus.model.name} has no classifier"
        return ""

    def describe(self, part):
        corpus, (weight, bias) = part.corpus, part.corpus.model.classifier
        pca = corpus.learned(("PCA of classes", self.n_maps), lambda: self._pca(corpus))

        def describe(m):
            (x,) = local_features.maps(part, m)
            return {"descriptor": pooling.cam(x, weight, bias, self.n_maps, pca)[0]}

        return part.each(f"CAM, {self.n_maps}, {array_digest(pca.matrix)}", describe)

    def _pca(self, corpus):
        def describe(m):
            (x,) = local_features.maps(corpus.training, m)
            vectors = pooling.cam_vectors(x, *corpus.model.classifier, self.n_maps)[0]
            vectors = vectors[vectors.any(1)] if bool(vectors.any()) else vectors
            return {"vectors": local_features.sample(vectors, SAMPLE)}

        vectors = corpus.training.each(f"classes, {self.n_maps}, {SAMPLE} of each", describe).read("vectors")
        return whitening.fit(F.normalize(torch.from_numpy(vectors.reshape(-1, corpus.model.dim)), dim=-1))
