"""Visual words of local features: the codebook learned from training pictures, and which pictures share a query's words."""

import numpy as np
import torch

from foir_lib.methods import whitening
from foir_lib.models.cnn import Locals
from foir_lib.retrievers import local_features
from foir_lib.search import inverted_file
from foir_lib.store import caches
from foir_lib.store.arrays import Joined
from foir_lib.store.features import array_digest
from foir_lib.store.keys import code_of

N_WORDS = 65_536
CODEBOOK = 300  # local features of a training picture that words are learned from, in one scale


def codebook(corpus) -> inverted_file.Codebook:
    """The codebook of the training pictures' local features in their original scale, stored in a file: learning takes minutes."""
    n = corpus.setting("codebook_features", CODEBOOK)

    def describe(m):
        (x,) = local_features.maps(corpus.training, m)
        features = Locals.from_map(x[0], corpus.training.cut(m).size)
        return local_features.selected(features, n)

    def learn():
        if local_features.at_hand(corpus.training, 1, n):
            stored = local_features.at_scale(corpus.training, 1.0)
        else:
            stored = corpus.training.each(f"local features: {n}, x {corpus.setting('enlarged', 1.0):.4f}", describe)
        parts = (part for _, part in stored.chunks(["features", "count"]))
        features = np.concatenate([f[: min(m, n)] for part in parts for f, m in zip(part["features"], part["count"])])
        n_words = min(corpus.setting("n_words", N_WORDS), len(features) // 2)
        key = {"what": "codebook", "features": array_digest(features), "n": n_words, "seed": corpus.seed}
        key["code"] = code_of(inverted_file)

        def fit():
            book = inverted_file.learn(features, n_words, seed=corpus.seed)
            return {"mean": book.pca.mean, "matrix": book.pca.matrix, "centres": book.centres}

        book = caches.arrays("codebooks", key, fit, corpus.cache)
        return inverted_file.Codebook(whitening.PCA(book["mean"], book["matrix"]), book["centres"])

    return corpus.learned("codebook", learn)


def words(part, n_scales: int, n_features: int):
    """"words" (N,) int32 of the selected local features, largest norm first, -1 behind the last."""
    book = codebook(part.corpus)

    def describe(m):
        assigned = book.assign(local_features.strongest(part, m, n_scales, n_features))
        return {"words": torch.from_numpy(np.pad(assigned, (0, n_features - len(assigned)), constant_values=-1))}

    enlarged = part.corpus.setting("enlarged", 1.0)
    return part.each(f"words: {n_scales} scales, N {n_features}, {array_digest(book.centres)}, x {enlarged:.4f}", describe)


def beside(features, part, n_scales: int, n_features: int) -> Joined:
    """Features of a part that hold its words too."""
    return Joined(features, words(part, n_scales, n_features))


def candidates(corpus, query, database) -> list[np.ndarray]:
    """For each query the database rows that share a visual word with its strongest features (all, unless the set says how many)."""
    every = (w[w >= 0] for _, part in database.chunks("words") for w in part)
    index = inverted_file.build(every, len(codebook(corpus)))
    asking = query.read("words")[:, : corpus.setting("n_asking", None)]
    return [index.candidates(w[w >= 0]) for w in asking]
