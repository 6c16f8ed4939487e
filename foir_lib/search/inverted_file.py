"""Inverted file: visual words of local features, and for each word the database pictures that show it.

Source: "Co-attention enabled content-based image retrieval", section 5.2. A picture that shares no word with the query
is no candidate and scores 0; a codebook is learned on other pictures than it is used on.
"""

from dataclasses import dataclass

import faiss
import numpy as np
import torch
from scipy import sparse

from foir_lib.errors import InputError, IntegrityError
from foir_lib.methods import whitening
from foir_lib.search import npz

BLOCK = 65536  # features projected or assigned at a time


@dataclass(frozen=True)
class Codebook:
    """Visual words: ``centres`` (n_words, D) float32 of local features projected by ``pca`` (C to D dimensions)."""

    pca: whitening.PCA
    centres: np.ndarray

    def __len__(self):
        return len(self.centres)

    def assign(self, features):
        """The nearest word of each local feature (L, C): int32 (L,). Raises InputError for NaN or another width."""
        nearest = [faiss.knn(x, self.centres, 1)[1][:, 0] for x in _projected(features, self.pca)]
        return np.concatenate([np.zeros(0, np.int32), *nearest]).astype(np.int32)

    def words(self, features):
        """The words that a picture with these local features (L, C) shows, each once, rising: int32."""
        return np.unique(self.assign(features))


def learn(features, n_words=1024, dim=128, seed=0, whiten=True, n_pca=200_000, iterations=20):
    """The :class:`Codebook` of local features (S, C) of sample pictures, an array, memory map or tensor.

    A PCA to at most ``dim`` dimensions (fewer where the features don't have them) is learned from ``n_pca`` rows drawn
    with ``seed``, then faiss's k-means runs on all rows (it draws 256 for each word if there are more). In the paper
    S is 60,000 pictures x 300 features in their original scale, n_words 65,536, dim 128; 1,024 words are for a small
    town. The same arguments give the same words. Raises InputError for NaN, or fewer features than words.
    """
    shape = tuple(features.shape)
    if len(shape) != 2 or not 1 <= n_words <= shape[0]:
        raise InputError(f"{n_words} words can't be learned from features of shape {shape}: give (S, C), S >= n_words.")
    rows = np.sort(np.random.default_rng(seed).choice(shape[0], min(shape[0], n_pca), replace=False))
    pca = whitening.fit(_array(features, rows), min(dim, shape[1], len(rows) - 1), whiten)
    x = np.concatenate(list(_projected(features, pca)))
    kmeans = faiss.Kmeans(x.shape[1], n_words, niter=iterations, seed=seed, min_points_per_centroid=1)
    kmeans.train(x)
    return Codebook(pca, kmeans.centroids.reshape(n_words, -1))


@dataclass(frozen=True)
class InvertedFile:
    """For each word the database rows that show it, rising: ``rows[start[word] : start[word + 1]]``.

    start (n_words + 1,) int64; rows int32, one entry per picture and distinct word: 4 bytes each, 2 kB for a picture
    with 500 words, 2 GB for a million; ``n``: pictures in the database. Made by :func:`build`.
    """

    start: np.ndarray
    rows: np.ndarray
    n: int

    def __len__(self):
        return self.n

    @property
    def n_words(self):
        """Words in the codebook."""
        return len(self.start) - 1

    def candidates(self, words):
        """Database rows, rising, that share at least one of the query's ``words`` (any order); none if none does.

        Raises InputError for a word that the codebook doesn't have.
        """
        words = _checked(words, self.n_words, "The query")
        shared = np.zeros(self.n, dtype=bool)
        for word in np.unique(words):
            shared[self.rows[self.start[word] : self.start[word + 1]]] = True
        return np.flatnonzero(shared)

    def filtered(self, candidates):
        """The share of the database that is no candidate, mean over queries; ``candidates``: one array for each."""
        return 1 - float(np.mean([len(rows) for rows in candidates])) / self.n

    def save(self, path):
        """Write to an .npz file, whole or not at all."""
        npz.save(path, **vars(self))


def build(words, n_words):
    """The :class:`InvertedFile` of a database: ``words``, for each picture in order its words, repeated or not.

    ``words`` may be a generator; held in memory are three numbers per picture and distinct word while it is built.
    A picture without words is never a candidate. Raises InputError for an empty database or an unknown word.
    """
    lists = [np.unique(_checked(w, n_words, f"Database picture {row}")) for row, w in enumerate(words)]
    if not lists:
        raise InputError("The database is empty: an inverted file needs at least one picture.")
    ends = np.concatenate([[0], np.cumsum([len(w) for w in lists])])
    columns = np.concatenate(lists)
    shows = sparse.csr_array((np.ones(len(columns), bool), columns, ends), shape=(len(lists), n_words)).tocsc()
    return InvertedFile(shows.indptr.astype(np.int64), shows.indices.astype(np.int32), len(lists))


def load(path):
    """The :class:`InvertedFile` of a file that ``save`` wrote; nothing pickled is opened.

    Raises MissingError when there is no such file and IntegrityError when it holds something else.
   """
    start, rows, n = npz.load(path, "inverted file", InvertedFile.__annotations__).values()
    sound = start.ndim == rows.ndim == 1 and len(start) and start[0] == 0 and start[-1] == len(rows) and n > 0
    if not sound or (np.diff(start) < 0).any() or (len(rows) and not 0 <= rows.min() <= rows.max() < n):
        raise IntegrityError(f"File {path} holds no inverted file: words, rows and database size don't fit each other.")
    return InvertedFile(start, rows, int(n))


def _checked(words, n_words, whose):
    words = np.asarray(words)
    if not words.size:
        return np.zeros(0, np.int32)
    if words.ndim != 1 or words.dtype.kind not in "iu" or words.min() < 0 or words.max() >= n_words:
        raise InputError(f"{whose} has words that aren't in the codebook: give whole numbers from 0 to {n_words - 1}.")
    return words.astype(np.int32)


def _array(features, rows):
    part = features[rows]
    part = part.cpu().numpy() if isinstance(part, torch.Tensor) else part
    return np.asarray(part, dtype=np.float32)


def _projected(features, pca):
    """Local features through the PCA, block by block, float32."""
    for low in range(0, len(features), BLOCK):
        x = _array(features, slice(low, low + BLOCK))
        if not np.isfinite(x).all():
            row = low + int((~np.isfinite(x)).any(1).argmax())
            raise InputError(f"Local feature {row} holds NaN or infinity: look at the picture or the model.")
        yield np.require(pca(x), np.float32, "C")
