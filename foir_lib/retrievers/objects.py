"""Small objects: database pictures described object by object, queries by the crop around their prompt.

Source: "Find your Needle: Small Object Image Retrieval via Multi-Object Attention Optimization" (MaO) and what it is compared with.
One vector a picture: MaO, MeanCrops; several, of which the best counts: MaxCrops, MaskInversion, Patchify, TokenGroups.
"""

from dataclasses import dataclass, replace
from typing import ClassVar, Literal

import numpy as np
import torch

from foir_lib.methods import legrad, refinement
from foir_lib.registry import register
from foir_lib.retrievers.base import Retriever
from foir_lib.retrievers.decomposed import crops as cut
from foir_lib.retrievers.decomposed import refining, tokengroups
from foir_lib.retrievers.decomposed.choosing import TOKENS, at_hand, check_detector, check_segmenter, lacking, no_groups
from foir_lib.retrievers.decomposed.crops import Crops
from foir_lib.retrievers.decomposed.decomposing import decompose
from foir_lib.retrievers.decomposed.vectors import Several, best, pyramid
from foir_lib.store.arrays import Arrays


@dataclass(frozen=True)
class _Crops(Retriever):
    """Queries are described by the crop around their prompt, at least ``least`` pixels wide and high (None: the network's input)."""

    least: int | None = None
    needs: ClassVar = ("cls_state", "tap")

    def least_of(self, corpus) -> int:
        """Pixels that a crop has at least on each side."""
        return self.least or corpus.model.image_size

    def describe(self, part):
        if not part.prompted:
            return self._database(part)
        crops = Crops.of_prompts(part, self.least_of(part.corpus))
        return Arrays({"descriptor": unit(cut.embeddings(crops).read("embedding"))})

    def explain(self, corpus, part, m, rows):
        """LeGrad maps of the results with the query's vector as the target."""
        model, target = corpus.model, torch.from_numpy(corpus.described(self, part).read("descriptor", [m])[0])
        pictures = [model.preprocess(corpus.database.open(int(row)))[None] for row in rows]
        return [legrad.heatmap(model, x, target, project=model.projects, score=getattr(self, "map_of", "tokens"))[0].cpu().numpy() for x in pictures]


@dataclass(frozen=True)
class _Objects(_Crops):
    """The database is described object by object. ``objects``: whose boxes, see :func:`decompose`; None: the set's, else "owlv2"."""

    objects: str | None = None

    def __post_init__(self):
        super().__post_init__()
        if self.objects is not None:
            check_detector(self.objects)

    def objects_of(self, corpus) -> str:
        """Whose boxes are taken on a corpus."""
        return self.objects or corpus.setting("objects", "owlv2")

    def lacks(self, corpus):
        groups = no_groups(corpus) if self.objects_of(corpus) == TOKENS else ""
        return super().lacks(corpus) or groups or lacking(corpus, *self.sources(corpus))

    def offered(self, corpus):
        return not super().lacks(corpus) and at_hand(corpus, *self.sources(corpus))

    def sources(self, corpus) -> tuple[str, ...]:
        """Whose boxes are taken on a corpus and, by methods with masks, whose masks."""
        return (self.objects_of(corpus),)

    def crops_of(self, pictures) -> Crops:
        """The crops around all objects of a part's pictures."""
        corpus, least, name = pictures.corpus, self.least_of(pictures.corpus), self.objects_of(pictures.corpus)
        objects = decompose(corpus, name, pictures)
        return corpus.learned(("crops", name, least, pictures), lambda: Crops.of_objects(pictures, objects, least))


@dataclass(frozen=True)
class _Several(_Crops):
    """Several vectors a picture, of which the best counts."""

    vector: ClassVar = None

    def score(self, corpus, query, database, k):
        return best(query.read("descriptor"), database, k, corpus.model.device)


@register("retriever", "MeanCrops")
@dataclass(frozen=True)
class MeanCrops(_Objects):
    """The mean of the crops' embeddings: what the refinement starts from."""

    def _database(self, part):
        crops = self.crops_of(part)
        raw, owner = torch.from_numpy(cut.embeddings(crops).read("embedding")), torch.from_numpy(crops.owner)
        return Arrays({"descriptor": unit(refinement.means(raw, owner, len(part)).numpy())})


@register("retriever", "MaxCrops")
@dataclass(frozen=True)
class MaxCrops(_Several, _Objects):
    """A vector for each crop: what one descriptor a picture gives up."""

    def _database(self, part):
        crops = self.crops_of(part)
        return Several(cut.embeddings(crops), "embedding", crops.owner, len(part))


@dataclass(frozen=True)
class _Refined(_Objects):
    """``masks``: "own" (annotated, or of the detector), "boxes", or a segmenter's name (None: the set's, else "sam"); ``map_of``: "tokens" or "descriptor", whose
    score LeGrad's map is of; ``stop``: early stop where 10 steps gained less; the others: see :func:`refinement.refine`.
    ``refine_query``: the query's crop is refined too, to meet its prompt."""

    masks: str | None = None
    steps: int = 80
    lr: float = 0.1
    optimizer: Literal[refinement.OPTIMIZERS] = "adamw"
    renorm: bool = False
    stop: float = 0.0
    map_of: Literal[legrad.SCORES] = "tokens"
    refine_query: bool = False

    def __post_init__(self):
        super().__post_init__()
        if self.masks is not None:
            check_segmenter(self.masks)

    def masks_of(self, corpus) -> str:
        """Whose masks are taken on a corpus."""
        return self.masks or corpus.setting("masks", "sam")

    def sources(self, corpus):
        return (*super().sources(corpus), self.masks_of(corpus))

    def how(self, corpus, **more) -> refining.How:
        """The options of the refinement."""
        options = {"steps": self.steps, "lr": self.lr, "optimizer": self.optimizer, "renorm": self.renorm, "stop": self.stop}
        return refining.How(masks=self.masks_of(corpus), score=self.map_of, **options, **more)

    def describe(self, part):
        if not (part.prompted and self.refine_query):
            return super().describe(part)
        how = replace(self.how(part.corpus, **self._objective()), masks=cut.OWN)
        return Arrays({"descriptor": refining.per_crop(Crops.of_prompts(part, self.least_of(part.corpus)), how).read("descriptor")})


@register("retriever", "MaO")
@dataclass(frozen=True)
class MaO(_Refined):
    """One vector whose attention maps meet the masks of all objects.

    ``objective``: "joint" (the paper's), "per-crop" (the released code's: a vector for each crop) or "full-image" (no crops: the
    map over the whole picture); ``alpha``: weight of the products with the crops' embeddings, whose ``lengths`` :func:`refinement.pulls`
    explains: of "unit" ones alpha 0.03 lets the vector leave all that queries are compared with.
    """

    objective: Literal["joint", "per-crop", "full-image"] = "joint"
    alpha: float = 0.03
    lengths: Literal[refinement.LENGTHS] = "raw"

    @property
    def vector(self) -> str | None:
        return None if self.objective == "per-crop" else "descriptor"

    def _objective(self):
        return {"alpha": self.alpha, "lengths": self.lengths}

    def refined(self, pictures):
        """Features of the refinement: "descriptor", "objective" and "cosine" to the start (steps,), "steps"; of crops for "per-crop"."""
        return self.refined_crops(self.crops_of(pictures))

    def refined_crops(self, crops: Crops):
        """:meth:`refined` of the pictures of ``crops``."""
        form = {"joint": refining.joint, "per-crop": refining.per_crop, "full-image": refining.full_image}[self.objective]
        return form(crops, self.how(crops.corpus, **self._objective()))

    def _database(self, part):
        features = self.refined(part)
        if self.objective == "per-crop":
            return Several(features, "descriptor", self.crops_of(part).owner, len(part))
        return features

    def score(self, corpus, query, database, k):
        if self.objective == "per-crop":
            return best(query.read("descriptor"), database, k, corpus.model.device)
        return super().score(corpus, query, database, k)


@register("retriever", "MaskInversion")
@dataclass(frozen=True)
class MaskInversion(_Several, _Refined):
    """A vector for each object whose map over the whole picture meets its mask, by Dice (Bousselham et al., 2024)."""

    steps: int = 10

    def _objective(self):
        return {"alpha": 0.0, "overlap": "dice"}

    def _database(self, part):
        crops = self.crops_of(part)
        return Several(refining.inverted(crops, self.how(part.corpus, **self._objective())), "descriptor", crops.owner, len(part))


@register("retriever", "Patchify")
@dataclass(frozen=True)
class Patchify(_Several):
    """A vector for each patch of a pyramid of 1, 4, 9, ... patches, ``levels`` in all (arXiv 2512.12610)."""

    levels: int = 3

    def _database(self, part):
        crops = part.corpus.learned(("pyramid", self.levels, part), lambda: pyramid(part, self.levels))
        return Several(cut.embeddings(crops), "embedding", crops.owner, len(part))


@register("retriever", "TokenGroups")
@dataclass(frozen=True)
class TokenGroups(_Several):
    """A vector for each compact group of patch tokens, of a class-agnostic hierarchy, and for the whole (arXiv 2506.16745).

    The query is the mean of the tokens inside its prompt, on its crop.
    """

    n: int = 25

    def lacks(self, corpus):
        return super().lacks(corpus) or no_groups(corpus)

    def describe(self, part):
        return tokengroups.queries(Crops.of_prompts(part, self.least_of(part.corpus))) if part.prompted else tokengroups.database(part, self.n)


def unit(vectors: np.ndarray) -> np.ndarray:
    """Vectors (..., d) of unit length."""
    return vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), 1e-12)
