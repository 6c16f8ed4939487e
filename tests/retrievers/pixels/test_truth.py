"""The truth as a localiser: exact, in cells, for the set's own queries alone; and what a segmenter makes of its boxes."""

import numpy as np
import pytest
import torch

from foir_lib import registry
from foir_lib.data.pixels import true_masks
from foir_lib.errors import InputError
from foir_lib.prompts import Box
from foir_lib.retrievers.pixels.segmented import coarse
from foir_lib.view.widgets import outlines


@pytest.fixture
def corpus(tiny):
    return tiny.experiment("vit").corpus


def test_the_set_s_own_masks_and_nothing_elsewhere(corpus):
    part, rows, seen = corpus.queries(kind="segment"), np.arange(len(corpus.database)), set()
    for query, answers in enumerate(registry.parse("localiser", "Truth").locate(corpus, part, query, rows) for query in range(3)):
        known = {row: mask for name in corpus.set.protocols for row, mask in true_masks(corpus.set, name)[query].items()}
        assert {row for row, one in enumerate(answers) if one} == set(known) and {one.score for one in answers if one} == {1.0}
        for row, mask in known.items():
            assert answers[row].mask == mask
        seen |= {len(known)}
    assert max(seen) > 0


def test_only_the_set_s_queries_and_no_explorer(corpus):
    live = corpus.live(corpus.database.open(0), [Box(5, 5, 30, 30)])
    with pytest.raises(InputError, match="Truth knows the queries of .*, and no others"):
        registry.parse("localiser", "Truth").locate(corpus, live, 0, np.array([0]))
    assert "Truth" not in outlines.offered(corpus)
    with pytest.raises(InputError, match="cells=-1"):
        registry.parse("localiser", "Truth(cells=-1)")


def test_shares_of_cells_by_hand():
    mask = torch.zeros(4, 8)
    mask[:2, :3] = 1
    assert coarse(mask, None) is mask
    shares = coarse(mask, 4)  # cells of 2 x 2: 1 and 1/2 in the upper row, enlarged bilinearly
    assert shares[0, :3].tolist() == [1.0, 0.875, 0.625] and shares[0, 3].item() == pytest.approx(0.375) and not shares[3].any()
    assert torch.equal(coarse(mask, 8), mask)


def test_a_segmenter_asked_for_the_true_box_alone(tiny):
    corpus = tiny.experiment("vit").corpus
    part, rows = corpus.queries(kind="segment"), np.arange(len(corpus.database))
    true, localiser = (registry.parse("localiser", text) for text in ("Truth", "SAM(of='Truth', box=True, segmenter='mini-sam')"))
    boxes, answers = true.locate(corpus, part, 2, rows), localiser.locate(corpus, part, 2, rows)
    (segmenter,) = [one for one in localiser.inner(corpus) if hasattr(one, "segment")]
    assert any(boxes) and not all(boxes)
    for row, (box, answer) in enumerate(zip(boxes, answers, strict=True)):
        if not box:
            assert not answer and answer.mask is None
            continue
        (expected,) = segmenter.segment(corpus.database.open(row), box.box[None])
        assert (answer.pixels() == expected).all() if expected.any() else not answer
        assert 0 <= answer.score <= 1
