"""Reverse embedding by hand, and the sentences of reflection."""

import numpy as np
import pytest
import torch

from foir_lib.methods.memory import reflection, reverse_embedding


def test_products_and_cosines_by_hand():
    embedding = torch.tensor([[3.0, 0.0], [0.0, 1.0], [1.0, 1.0]])
    tokens = torch.tensor([[2.0, 0.0], [1.0, 3.0]])
    assert reverse_embedding.logits(tokens, embedding).tolist() == [[6, 0, 2], [3, 3, 4]]
    cosines = reverse_embedding.logits(tokens, embedding, unit=True)
    np.testing.assert_allclose(cosines, [[1, 0, 0.5**0.5], [0.1**0.5, 0.9**0.5, 4 / 20**0.5]], atol=1e-6)
    values, ids = reverse_embedding.top(cosines, 2)
    assert ids.tolist() == [[0, 2], [1, 2]] and values[1, 0] == pytest.approx(0.9**0.5)
    _, ids = reverse_embedding.top(cosines, 1, torch.tensor([2, 0]))  # of two words alone
    assert ids.tolist() == [[0], [2]]


def test_a_word_turned_into_a_token_turns_back():
    """Orthonormal rows: the transpose is the inverse."""
    embedding = torch.linalg.qr(torch.randn(32, 32, generator=torch.Generator().manual_seed(0)))[0][:20]
    words = torch.arange(20)
    _, ids = reverse_embedding.top(reverse_embedding.logits(embedding[words], embedding), 1)
    assert ids[:, 0].tolist() == words.tolist()


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("mug", "a mug"), ("orange ring", "an orange ring"), ("Alsatian", "an Alsatian"), ("the lab's mug", "the lab's mug"), ("A mug", "A mug"),
        ("Anna's mug", "Anna's mug"), ("ant", "an ant"), ("  blue   mug ", "a blue mug"), ("", ""), ("antique mug", "an antique mug"),
    ],
)  # fmt: skip
def test_names_with_their_article(name, text):
    assert reflection.with_article(name) == text
    assert reflection.SHOWS.format(name=text) == f"Does the picture show {text}?"
