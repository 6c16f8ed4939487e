"""The shapes that methods promise are checked while testing, and only those."""

import pytest
import torch
from jaxtyping import TypeCheckError

from foir_lib.errors import InputError
from foir_lib.methods import coattention, head_selection, pooling


def test_a_wrong_shape_or_type_is_an_error():
    for call in (lambda: pooling.gem(torch.rand(2, 3, 4)), lambda: pooling.gem(torch.ones(2, 3, 4, 4, dtype=torch.long))):
        with pytest.raises(TypeCheckError, match="x"):
            call()
    with pytest.raises(TypeCheckError):  # K of features and weights must be one
        coattention.weighted(torch.rand(7, 3, 8), torch.rand(7, 4))


def test_a_result_of_another_shape_is_an_error(monkeypatch):
    monkeypatch.setattr(pooling, "crow_channels", lambda x: torch.ones(1, 1, 1))
    with pytest.raises(TypeCheckError, match="return"):
        pooling.crow(torch.rand(2, 3, 4, 4))


def test_other_wrong_values_are_still_refused_in_words():
    with pytest.raises(InputError, match="h_on='5'"):
        head_selection.random(2, 6, "5")
