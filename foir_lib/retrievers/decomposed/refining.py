"""Refinement on a part of a corpus: the trunk runs once for a batch of crops, the last block does the rest; curves are kept."""

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F

from foir_lib.methods import refinement
from foir_lib.retrievers.decomposed.crops import OWN, Crops, masks_key, raw, segmenters, shares
from foir_lib.threads import Batches


@dataclass(frozen=True)
class How:
    """Options of :func:`refinement.refine`, ``lengths`` of :func:`refinement.pulls`, and whose ``masks`` its maps meet, see :func:`crops.shares`."""

    alpha: float = 0.03
    steps: int = 80
    lr: float = 0.1
    optimizer: str = "adamw"
    renorm: bool = False
    score: str = "tokens"
    overlap: str = "iou"
    lengths: str = "raw"
    stop: float = 0.0
    masks: str = OWN

    def __call__(self, corpus, tokens, masks, embeddings, start, owner) -> dict[str, torch.Tensor]:
        """"descriptor" (P, d), unit length; "objective" and "cosine" to the start (P, steps), "steps" (P,)."""
        model, (masks, owner) = corpus.model, (torch.from_numpy(np.asarray(x)).to(tokens.device) for x in (masks, owner))
        options = {name: value for name, value in vars(self).items() if name not in ("masks", "lengths")}
        pulls = refinement.pulls(embeddings, start, owner, self.lengths)
        result = refinement.refine(model, tokens, masks, pulls, start, owner, **options, project=model.projects, batch=corpus.batch_size)
        return {
            "descriptor": F.normalize(result.vectors, dim=-1), "objective": result.objective.T, "cosine": result.cosine.T,
            "steps": result.steps,
        }  # fmt: skip


def joint(crops: Crops, how: How):
    """Features of the source's items: one vector for all crops of an item, from the mean of their embeddings."""
    corpus, source, covered = crops.corpus, crops.source, shares(crops, how.masks)

    def describe(owners):
        for run in crops.grouped(np.asarray(owners)):
            at = crops.rows_of(run)
            tokens, owner, found = torch.cat(list(crops.trunk(at, 1))), crops.owner[at] - run[0], crops.found[at]
            embeddings = raw(corpus.model, tokens)
            start = refinement.means(embeddings, torch.from_numpy(owner).to(tokens.device), len(run))
            yield how(corpus, tokens[found], covered.read("crop", at)[found], embeddings[found], start, owner[found])

    return source.features(_key("joint", crops, how), Batches(source, describe), *segmenters(corpus, how.masks))


def per_crop(crops: Crops, how: How):
    """Features of crops: a vector for each, from its embedding."""
    corpus, covered = crops.corpus, shares(crops, how.masks)

    def describe(rows):
        at = np.asarray(rows)
        tokens, found = torch.cat(list(crops.trunk(at, 1))), crops.found[at]
        start = raw(corpus.model, tokens)
        yield how(corpus, tokens[found], covered.read("crop", at)[found], start[found], start, np.flatnonzero(found))

    return crops.features(_key("per crop", crops, how), Batches(crops, describe), *segmenters(corpus, how.masks))


def full_image(crops: Crops, how: How):
    """Features of pictures: one vector whose map over the whole picture meets the masks of all objects, from the plain descriptor."""
    corpus, pictures, covered = crops.corpus, crops.source, shares(crops, how.masks)

    def describe(rows):
        rows = np.asarray(rows)
        at = crops.rows_of(rows)
        at = at[crops.found[at]]
        union = np.zeros((len(rows), *covered.layout["picture"][1]), np.float32)
        np.add.at(union, crops.owner[at] - rows[0], covered.read("picture", at))
        tokens, found = torch.cat(list(pictures.trunk(rows, 1))), np.isin(rows, crops.owner[at])
        start = raw(corpus.model, tokens)
        yield how(corpus, tokens[found], union[found].clip(max=1), start[found], start, np.flatnonzero(found))

    return pictures.features(_key("full image", crops, how), Batches(pictures, describe), *segmenters(corpus, how.masks))


def inverted(crops: Crops, how: How):
    """Features of objects: a vector for each whose map over its whole picture meets its mask, from the plain descriptor."""
    corpus, pictures, covered = crops.corpus, crops.source, shares(crops, how.masks)

    def describe(rows):
        at = np.asarray(rows)
        owners, of = np.unique(crops.owner[at], return_inverse=True)
        tokens, found = torch.cat(list(pictures.trunk(owners, 1)))[of], crops.found[at]
        start = raw(corpus.model, tokens)
        yield how(corpus, tokens[found], covered.read("picture", at)[found], start[found], start, np.flatnonzero(found))

    return crops.features(_key("inverted", crops, how), Batches(crops, describe), *segmenters(corpus, how.masks))


def _key(form, crops, how):
    return f"refined {form}: {crops.name}, {masks_key(crops.corpus, how.masks)}, {how}"
