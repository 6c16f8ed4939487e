"""Pictures as groups of patch tokens, without crops or a detector; queries as the mean of their prompt's tokens."""

import numpy as np
import torch
import torch.nn.functional as F

from foir_lib.methods import decomposition
from foir_lib.retrievers.decomposed.crops import Crops, shares
from foir_lib.retrievers.decomposed.decomposing import Tokens
from foir_lib.retrievers.decomposed.vectors import Several
from foir_lib.store.arrays import Arrays
from foir_lib.threads import Batches

MOST = 50  # groups that are kept of a picture


def database(pictures, n: int) -> Several:
    """The vectors of the best ``n`` groups of each picture, after the mean of all its tokens."""
    tokens = Tokens(pictures.corpus.model)

    def describe(row):
        features = tokens.features(pictures.open(row))
        groups = decomposition.groups(features, MOST)
        vectors = np.zeros((1 + MOST, features.shape[-1]), np.float32)
        vectors[0], vectors[1 : 1 + len(groups.vectors)] = features.mean((0, 1)), groups.vectors
        return {"vectors": vectors, "count": np.int64(1 + len(groups.vectors))}

    features = pictures.each(f"vectors of {tokens.key}", describe)
    count = features.read("count").clip(max=1 + n)
    inside = np.arange(1 + MOST) < count[:, None]
    return Several(Arrays({"vector": features.read("vectors")[inside]}), "vector", np.repeat(np.arange(len(pictures)), count), len(pictures))


def queries(crops: Crops) -> Arrays:
    """"descriptor" (M, d): the mean of a crop's tokens weighted by their shares of the mask, unit length."""
    model, covered = crops.corpus.model, shares(crops)

    def describe(rows):
        for tokens, at in zip(crops.trunk(rows, 1), np.array_split(rows, range(crops.corpus.batch_size, len(rows), crops.corpus.batch_size))):
            (part,) = model.tap(tokens, ("tokens",))
            z = model.readout(part["tokens"][:, model.n_prefix :], model.projects)
            weights = torch.from_numpy(covered.read("crop", at)).to(z)
            yield {"descriptor": F.normalize((weights[..., None] * z).sum(1), dim=-1)}

    features = crops.features("mean of the prompt's tokens", Batches(crops, describe, plain=True))
    return Arrays({"descriptor": features.read("descriptor")})
