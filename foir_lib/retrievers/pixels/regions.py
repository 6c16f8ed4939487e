"""Detect to retrieve: of a picture's regions the one whose local features are most like those of the query."""

from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F

from foir_lib.detections import Localisation
from foir_lib.methods import regions as grids
from foir_lib.methods import whitening
from foir_lib.methods.pixels import aggregation
from foir_lib.registry import register
from foir_lib.retrievers.base import Localiser
from foir_lib.retrievers.decomposed import choosing
from foir_lib.retrievers.decomposed.decomposing import decompose
from foir_lib.retrievers.parts import once
from foir_lib.retrievers.pixels import patches
from foir_lib.search import inverted_file
from foir_lib.store import caches
from foir_lib.store.features import array_digest
from foir_lib.store.keys import code_of

GRID = "grid"
N_WORDS = {"vlad": 64, "asmk": 1024}
PICTURES = 128  # whose features with their words stay at hand: many queries ask about the same ones
SAMPLED = 200_000  # local features that words are learned from, at most


@register("localiser", "D2R")
@dataclass(frozen=True)
class D2R(Localiser):
    """The most similar region is the box (Teichmann et al., CVPR 2019); region and query are sets of local features, pooled.

    ``pool``: "mean", "vlad" or "asmk"; ``regions``: "grid" (R-MAC's squares, at ``scales`` scales) or whose boxes, see :func:`decompose`.
    Local features: cells of a CNN's map, or a ViT's patches (``side``, ``block``: see `Dense`). ``n_words``: of the codebook, None:
    64 for VLAD, 1,024 for ASMK (ours); learned from the training pictures, else from the database. Score: the similarity.
    """

    pool: Literal["mean", "vlad", "asmk"] = "vlad"
    regions: str = GRID
    scales: int = 5
    n_words: int | None = None
    side: int = 448
    block: int | None = None

    def __post_init__(self):
        super().__post_init__()
        if self.regions != GRID:
            choosing.check_detector(self.regions)

    def lacks(self, corpus):
        if not (hasattr(corpus.model, "patches") or hasattr(corpus.model, "maps")):
            return f"{corpus.model.name} has no local features: name a CNN or a ViT"
        return choosing.lacking(corpus, self.regions) if self.regions != GRID else ""

    def offered(self, corpus):
        return not self.lacks(corpus) if self.regions == GRID else choosing.at_hand(corpus, self.regions) and not self.lacks(corpus)

    def inner(self, corpus):
        detected = [decompose(corpus, self.regions).digest] if self.regions != GRID else []
        book = [array_digest(self.codebook(corpus).centres)] if self.pool != "mean" else []
        return *detected, *book

    def locate(self, corpus, part, m, rows):
        query, shares = self.of_prompt(part, m)
        inside = shares >= min(0.5, float(shares.max()))  # of a prompt below half a cell, the cells that it covers most
        asking = [x if x is None else x[inside.flatten()] for x in self._local(corpus, query.flatten(0, 1))]
        stored = self.cells(corpus.database)
        local = corpus.learned(("cells and words", self, corpus.database), lambda: lru_cache(PICTURES)(partial(self._of_picture, corpus)))
        answers = []
        for row in rows:
            grid, size = tuple(stored.read("grid", [int(row)])[0].tolist()), corpus.database.sizes[row]
            boxes = self._boxes(corpus, int(row), grid, size)
            if not len(boxes):
                answers.append(Localisation.nothing())
                continue
            alike = self._alike(corpus, asking, local(int(row)), members(boxes, grid, size))
            best = int(alike.argmax())
            score = float(alike[best])
            answers.append(Localisation(None, boxes[best], score) if score > 0 else Localisation.nothing(score))
        return answers

    def cells(self, part):
        """Local features of a part's pictures, "patches" and "grid" as :func:`patches.patches` stores them."""
        return patches.patches(part, self.side, self.block) if hasattr(part.corpus.model, "patches") else maps(part)

    def of_prompt(self, part, m: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Local features (rows, columns, d) of the picture of prompt ``m``, and the share of the prompt in the cell of each."""
        cells = patches.read(self.cells(part.pictures), int(part.image_row[m]))
        return cells, patches.shares(part, m, cells)

    def _boxes(self, corpus, row, grid, size):
        if self.regions != GRID:
            return decompose(corpus, self.regions)[row].boxes
        pitch = np.array([*size, *size], np.float32) / np.array([*grid[::-1], *grid[::-1]], np.float32)
        squares = np.array([(x, y, x + side, y + side) for y, x, side in grids.grid(*grid, self.scales)], np.float32)
        return squares * pitch

    def _of_picture(self, corpus, row):
        return self._local(corpus, patches.read(self.cells(corpus.database), row).flatten(0, 1))

    def _local(self, corpus, x):
        """Features (N, d), projected where words are used, and the word of each (N,), or None."""
        if self.pool == "mean":
            return x, None
        book = self.codebook(corpus)
        return torch.from_numpy(np.asarray(book.pca(x), np.float32)), torch.from_numpy(book.assign(x)).long()

    def _alike(self, corpus, query, picture, inside):
        """How alike each region ``inside`` (R, N) of a picture's features is to the query's, all of them."""
        every = torch.ones(1, len(query[0]), dtype=torch.bool)
        if self.pool == "mean":
            return aggregation.means(picture[0], inside) @ aggregation.means(query[0], every)[0]
        centres, at = torch.from_numpy(self.codebook(corpus).centres), torch.cat([query[1], picture[1]])
        if self.pool == "asmk":  # of its many words most are in neither, where all is zero
            words, at = at.unique(return_inverse=True)
            centres = centres[words]
        pooled = (aggregation.residuals(x, one, centres, some) for (x, _), one, some in zip((query, picture), at.split([len(query[0]), len(picture[0])]), (every, inside)))
        return getattr(aggregation, self.pool)(*pooled)

    def codebook(self, corpus) -> inverted_file.Codebook:
        """The words, learned once a corpus and stored in a file."""
        n = self.n_words or N_WORDS[self.pool]
        return corpus.learned(("words of cells", n, self.side, self.block), lambda: self._learned(corpus, n))

    def _learned(self, corpus, n):
        part = corpus.training if corpus.has_training else corpus.database
        stored, per_picture = self.cells(part), max(1, SAMPLED // len(part))
        rng, sampled = np.random.default_rng(corpus.seed), []
        for row in range(len(part)):
            x = patches.read(stored, row).flatten(0, 1).numpy()
            sampled.append(x[rng.permutation(len(x))[:per_picture]])
        features = np.concatenate(sampled)
        n = min(n, max(len(features) // 2, 1))
        key = {"what": "words of cells", "features": array_digest(features), "n": n, "seed": corpus.seed, "code": code_of(inverted_file)}

        def fit():
            book = inverted_file.learn(features, n, seed=corpus.seed)
            return {"mean": book.pca.mean, "matrix": book.pca.matrix, "centres": book.centres}

        book = caches.arrays("codebooks", key, fit, corpus.cache)
        return inverted_file.Codebook(whitening.PCA(book["mean"], book["matrix"]), book["centres"])


def members(boxes: np.ndarray, grid: tuple[int, int], size: np.ndarray) -> torch.Tensor:
    """Which cells of a ``grid`` (rows, columns) of a picture of ``size`` have their centre in each box: bool (R, N); the nearest where none has."""
    (rows, columns), (width, height) = grid, size
    y, x = (np.arange(rows) + 0.5) * height / rows, (np.arange(columns) + 0.5) * width / columns
    down = (y >= boxes[:, 1:2]) & (y < boxes[:, 3:4])
    across = (x >= boxes[:, 0:1]) & (x < boxes[:, 2:3])
    for inside, centres, low, high in ((down, y, 1, 3), (across, x, 0, 2)):
        empty = np.flatnonzero(~inside.any(1))
        middle = (boxes[empty, low] + boxes[empty, high]) / 2
        inside[empty, np.abs(centres - middle[:, None]).argmin(1)] = True
    return torch.from_numpy((down[:, :, None] & across[:, None]).reshape(len(boxes), -1))


@once
def maps(part):
    """"patches" (n, C) float16, the cells of a CNN's map row by row and zero-padded, and "grid" (2,), of each picture of a part."""
    model, enlarged = part.corpus.model, part.corpus.setting("enlarged", 1.0)

    def cells(m):
        return model.maps(model.preprocess(part.open(m), None, enlarged)[None])[0].permute(1, 2, 0)

    sizes = np.unique(part.sizes, axis=0)
    n = max(_cells(model, size, enlarged) for size in sizes.tolist())

    def describe(m):
        x = cells(m)
        grid = torch.tensor(x.shape[:2], dtype=torch.int32)
        x = x.flatten(0, 1).half()
        return {"patches": F.pad(x, (0, 0, 0, n - len(x))), "grid": grid}

    return part.each(f"cells: x {enlarged:.4f}, {n}", describe)


def _cells(model, size, enlarged):
    """Cells that the map of a picture of ``size`` has at most."""
    factor = min(1.0, model.longest / max(size)) * enlarged
    across, down = (-(-max(round(side * factor), model.min_side) // model.stride) + 1 for side in size)
    return across * down
