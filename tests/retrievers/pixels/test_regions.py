"""Detect to retrieve, derived again: every region by all words of the codebook, picture by picture; what stays at hand belongs to its database."""

import numpy as np
import pytest
import torch
from tiny import N

from foir_lib.methods import regions
from foir_lib.methods.pixels import aggregation
from foir_lib.registry import parse
from foir_lib.retrievers.pixels import patches
from foir_lib.retrievers.pixels.regions import members

POOLS = ["mean", "vlad", "asmk"]


def squares(localiser, grid, size):
    """The squares of the grid, in pixels."""
    (rows, columns), (width, height) = grid, size
    boxes = [(x * width / columns, y * height / rows, (x + side) * width / columns, (y + side) * height / rows) for y, x, side in regions.grid(rows, columns, localiser.scales)]
    return np.array(boxes, np.float32)


def derived(localiser, corpus, part, m, row):
    """The best region and how alike it is, with rows of zeros for words that neither shows."""
    query, shares = localiser.of_prompt(part, m)
    cells, size = patches.read(localiser.cells(corpus.database), row), corpus.database.sizes[row]
    boxes = squares(localiser, cells.shape[:2], size)
    inside = (shares >= min(0.5, float(shares.max()))).flatten()[None]

    def pooled(x, some):
        x = x.flatten(0, 1)
        if localiser.pool == "mean":
            return aggregation.means(x, some)
        book = localiser.codebook(corpus)
        projected = torch.from_numpy(np.asarray(book.pca(x), np.float32))
        return aggregation.residuals(projected, torch.from_numpy(book.assign(x)).long(), torch.from_numpy(book.centres), some)

    one, every = pooled(query, inside), pooled(cells, members(boxes, cells.shape[:2], size))
    alike = every @ one[0] if localiser.pool == "mean" else getattr(aggregation, localiser.pool)(one, every)
    return boxes[int(alike.argmax())], float(alike.max())


@pytest.mark.parametrize("pool", POOLS)
@pytest.mark.parametrize("model", ["vit", "cnn"])
def test_words_that_nobody_shows_change_nothing(tiny, pool, model):
    corpus, localiser = tiny.experiment(model).corpus, parse("localiser", f"D2R(pool={pool!r}, side=64, n_words=12)")
    part, rows = corpus.queries(), np.arange(N)
    for m in range(3):
        for row, answer in enumerate(localiser.locate(corpus, part, m, rows)):
            box, score = derived(localiser, corpus, part, m, row)
            assert answer.score == pytest.approx(score, abs=1e-5)
            if answer.box is not None:
                np.testing.assert_allclose(answer.box, box, rtol=1e-5)


def test_what_stays_at_hand_is_that_of_its_own_database(tiny):
    corpus, localiser = tiny.experiment("vit").corpus, parse("localiser", "D2R(pool='asmk', side=64, n_words=12)")
    part = corpus.queries()
    before = localiser.locate(corpus, part, 0, np.arange(N))
    turned = corpus.over(corpus.pictures("turned", corpus.set.database.iloc[::-1]))
    book = localiser.codebook(corpus)
    turned.learned(("words of cells", 12, 64, None), lambda: book)
    for a, b in zip(before, localiser.locate(turned, part, 0, np.arange(N)[::-1]), strict=True):
        assert a.score == pytest.approx(b.score, abs=1e-5)
