"""Self-support prototypes: the equations written out, and a thing whose colour changes on the way."""

import math

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st

from foir_lib.errors import InputError
from foir_lib.methods.pixels import self_support

pytestmark = pytest.mark.usefixtures("one_thread")


def test_prototype_by_hand():
    tokens = torch.tensor([[1.0, 0.0], [0.0, 2.0], [4.0, 4.0]])
    torch.testing.assert_close(
        self_support.prototype(tokens, torch.tensor([1.0, 0.5, 0.0])), torch.tensor([1 / 1.5, 1 / 1.5])
    )
    torch.testing.assert_close(self_support.prototype(tokens, torch.zeros(3)), torch.zeros(2))


def test_probability_is_a_softmax_of_two():
    tokens, fg, bg = torch.tensor([[[3.0, 4.0]]]), torch.tensor([[1.0, 0.0]]), torch.tensor([[0.0, 1.0]])
    expected = math.exp(6) / (math.exp(6) + math.exp(8))
    torch.testing.assert_close(self_support.probability(tokens, fg, bg), torch.tensor([[expected]]))
    torch.testing.assert_close(self_support.probability(tokens, fg, bg[:, None]), torch.tensor([[expected]]))


def test_sure_patches_and_the_twelve_best():
    p = torch.stack([torch.linspace(0, 0.6, 20), torch.linspace(0, 1, 20)])
    chosen = self_support.sure(p, 0.7)
    assert chosen[0].nonzero().flatten().tolist() == list(range(8, 20))
    assert chosen[1].nonzero().flatten().tolist() == list(range(14, 20))
    assert self_support.sure(torch.zeros(1, 3), 0.7).all()


@given(st.integers(0, 10_000))
def test_a_round_is_the_equations(seed):
    g = torch.Generator().manual_seed(seed)
    tokens, query = (torch.randn(n, 5, generator=g, dtype=torch.float64) + 0.5 for n in (15, 9))
    share = torch.rand(9, generator=g, dtype=torch.float64)

    def p(x, fg, bg):
        a, b = (math.exp(10 * float(F.cosine_similarity(x, y, dim=0))) for y in (fg, bg))
        return a / (a + b)

    fg, bg = (sum(w * q for w, q in zip(weights, query)) / weights.sum() for weights in (share, 1 - share))
    first = torch.tensor([p(x, fg, bg) for x in tokens], dtype=torch.float64)
    torch.testing.assert_close(self_support.segmented(tokens[None], query, share, 0)[0], first)
    on = [i for i in range(15) if first[i] > 0.7] or first.topk(12).indices.tolist()
    off = [i for i in range(15) if 1 - first[i] > 0.6] or (1 - first).topk(12).indices.tolist()
    own, away = tokens[on].mean(0), tokens[off].mean(0)
    second = []
    for x in tokens:
        weights = torch.stack([2 * F.cosine_similarity(x, tokens[j], dim=0) for j in off]).softmax(0)
        second.append(p(x, fg / 2 + own / 2, 0.3 * away + 0.7 * weights @ tokens[off]))
    torch.testing.assert_close(
        self_support.segmented(tokens[None], query, share, 1)[0], torch.tensor(second, dtype=torch.float64)
    )


def test_the_picture_supports_itself():
    """The thing has turned: half of it is as in the query, the rest shares something with that half, as the background does not."""
    query = torch.tensor([[1.0, 0, 0, 0], [0, 0, 0, 1.0]])
    like, turned, away = [0.9, 0.45, 0, 0.0], [0.4, 0.9, 0, 0.43], [0, 0, 0.5, 0.8]
    tokens = torch.tensor([[like] * 3 + [turned] * 2 + [away] * 5])
    share = torch.tensor([1.0, 0.0])
    before, after = (self_support.segmented(tokens, query, share, rounds)[0] for rounds in (0, 1))
    assert before[3] < 0.5 < after[3] and before[0] > 0.9 and after[9] < 0.1


def test_batches_and_orders():
    tokens, query, share = torch.randn(3, 20, 6), torch.randn(8, 6), torch.rand(8)
    whole = self_support.segmented(tokens, query, share, 2)
    torch.testing.assert_close(self_support.segmented(tokens[1:2], query, share, 2), whole[1:2])
    order = torch.randperm(20)
    torch.testing.assert_close(self_support.segmented(tokens[:, order], query, share, 2), whole[:, order])
    assert ((whole >= 0) & (whole <= 1)).all()


def test_no_mask_no_segmentation():
    with pytest.raises(InputError, match="a mask of 0 patches segments nothing"):
        self_support.segmented(torch.ones(1, 2, 3), torch.ones(2, 3), torch.zeros(2))
    with pytest.raises(InputError, match="rounds=-1"):
        self_support.segmented(torch.ones(1, 2, 3), torch.ones(2, 3), torch.ones(2), rounds=-1)
