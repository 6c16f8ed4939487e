"""Regions as vectors: hand-worked, and by loops."""

import numpy as np
import pytest
import torch

from foir_lib.methods.pixels import aggregation

CENTRES = torch.tensor([[0.0, 0.0], [10.0, 0.0]])
X = torch.tensor([[3.0, 4.0], [0.0, 1.0], [10.0, 2.0]])
WORDS = torch.tensor([0, 0, 1])
MEMBERS = torch.tensor([[True, False, False], [True, True, True], [False, False, False], [False, False, True]])


def test_means_by_hand():
    means = aggregation.means(X, MEMBERS)
    torch.testing.assert_close(means[0], torch.tensor([0.6, 0.8]))
    total = sum(x / x.norm() for x in X)
    torch.testing.assert_close(means[1], total / total.norm())
    assert not means[2].any()


def test_residuals_by_hand():
    r = aggregation.residuals(X, WORDS, CENTRES, MEMBERS)
    torch.testing.assert_close(r[0], torch.tensor([[0.6, 0.8], [0.0, 0.0]]))
    torch.testing.assert_close(r[1], torch.tensor([[3 / 34**0.5, 5 / 34**0.5], [0.0, 1.0]]))
    assert not r[2].any()


def test_vlad_and_asmk_by_hand():
    r = aggregation.residuals(X, WORDS, CENTRES, MEMBERS)
    cosine = (0.6 * 3 + 0.8 * 5) / 34**0.5  # of the first word; the second is in region 1 alone
    torch.testing.assert_close(aggregation.vlad(r[:1], r), torch.tensor([1.0, cosine / 2**0.5, 0.0, 0.0]))
    torch.testing.assert_close(aggregation.asmk(r[:1], r), torch.tensor([1.0, cosine**3 / 2**0.5, 0.0, 0.0]))
    torch.testing.assert_close(aggregation.asmk(r[:1], r, tau=0.999)[1:], torch.zeros(3))
    torch.testing.assert_close(aggregation.asmk(r[:1], r, alpha=1.0)[1], torch.tensor(cosine / 2**0.5))


@pytest.mark.parametrize("seed", range(3))
def test_residuals_and_similarities_by_loops(seed):
    rng = np.random.default_rng(seed)
    x, centres = rng.normal(size=(20, 5)).astype(np.float32), rng.normal(size=(4, 5)).astype(np.float32)
    words, members = rng.integers(0, 4, 20), rng.random((6, 20)) < 0.4
    r = aggregation.residuals(*map(torch.from_numpy, (x, words, centres, members))).numpy()
    for region in range(6):
        for word in range(4):
            total = sum(
                (x[i] - centres[word] for i in range(20) if members[region, i] and words[i] == word), np.zeros(5)
            )
            length = np.linalg.norm(total)
            np.testing.assert_allclose(r[region, word], total / length if length else 0 * total, atol=1e-5)
    r = torch.from_numpy(r)
    for alike in (aggregation.vlad, aggregation.asmk):
        values = torch.stack([alike(r[i : i + 1], r) for i in range(6)])
        torch.testing.assert_close(values, values.T), torch.testing.assert_close(values.diagonal(), torch.ones(6))
        assert values.abs().max() <= 1 + 1e-5
