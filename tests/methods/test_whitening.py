"""PCA and PCA-whitening: unit covariance, determinism, too few or dependent vectors, files."""


import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from foir_lib.errors import InputError
from foir_lib.methods import whitening


def vectors(n, d, rank=None, seed=0):
    generator = np.random.default_rng(seed)
    x = generator.normal(size=(n, rank or d)) * np.arange(1, (rank or d) + 1)
    return x @ generator.normal(size=(rank or d, d)) + generator.normal(size=d)


@given(st.integers(2, 40), st.integers(1, 12), st.integers(0, 99))
def test_whitened_training_data_has_unit_covariance(n, d, seed):
    x = vectors(n, d, seed=seed)
    pca = whitening.fit(x)
    y = pca(x)
    assert y.shape == (n, min(n - 1, d))
    assert np.allclose(y.mean(0), 0, atol=1e-3)
    assert np.allclose(np.cov(y.T, bias=True), np.eye(y.shape[1]), atol=1e-3)


@given(st.integers(0, 99))
def test_plain_pca_is_eqs_11_to_13(seed):
    x = vectors(30, 6, seed=seed)
    m = x.mean(0)
    values, directions = np.linalg.eigh((x - m).T @ (x - m) / len(x))
    pca = whitening.fit(x, 3, whiten=False)
    want = (x - m) @ directions[:, ::-1][:, :3]
    assert np.allclose(np.abs(pca(x)), np.abs(want), atol=1e-3)  # the sign of a direction is free
    assert np.allclose(pca(x).var(0), values[::-1][:3], rtol=1e-3)
    assert np.allclose(pca.matrix @ pca.matrix.T, np.eye(3), atol=1e-5)


def test_it_is_deterministic():
    for n in (200, 10):
        x = vectors(n, 20)
        assert all(
            np.array_equal(whitening.fit(x, 5).matrix, whitening.fit(torch.from_numpy(x), 5).matrix) for _ in "ab"
        )


@pytest.mark.parametrize("n", [50, 9])
def test_dependent_vectors(n):
    """Rank 3 in 12 dimensions: what doesn't vary is left out, or stays 0 when asked for."""
    x = vectors(n, 12, rank=3)
    assert whitening.fit(x).matrix.shape == (3, 12) == whitening.fit(x, whiten=False).matrix.shape
    y = whitening.fit(x, 5)(x)
    assert y.shape == (n, 5) and np.allclose(y[:, 3:], 0, atol=1e-4)
    assert np.allclose(np.cov(y[:, :3].T, bias=True), np.eye(3), atol=1e-3)
    assert np.isfinite(whitening.fit(x, 5)(vectors(4, 12, seed=3))).all()  # others are not blown up


@pytest.mark.parametrize(
    ("x", "dim", "says"),
    [
        (vectors(4, 9), 4, "dim=4 can't be learned from 4 vectors of 9 dimensions: give at most 3"),
        (vectors(9, 4), 5, "give at most 4"),
        (vectors(9, 4), 0, "dim=0"),
        (vectors(1, 4), None, "n of at least 2"),
        (np.zeros(5), None, "(5,)"),
        (np.full((5, 3), 7.0), None, "All 5 vectors are the same"),
        (np.zeros((5, 3)), None, "All 5 vectors are the same"),
        (np.array([[0, 1], [np.nan, 1], [1, 0]]), None, "1 of 3 vectors hold NaN"),
    ],
)
def test_what_can_not_be_learned_from(x, dim, says):
    with pytest.raises(InputError) as error:
        whitening.fit(x, dim)
    assert says in str(error.value)


def test_arrays_and_tensors_alike():
    x = vectors(20, 6).astype(np.float32)
    pca = whitening.fit(x, 4)
    y = pca(x)
    assert isinstance(y, np.ndarray) and y.dtype == np.float32
    assert torch.allclose(pca(torch.from_numpy(x)), torch.from_numpy(y), atol=1e-5)
    assert pca(torch.from_numpy(x).double()).dtype == torch.float64
    assert np.allclose(pca(x[3]), y[3], atol=1e-5)
    with pytest.raises(InputError, match="Vectors of 5 dimensions don't fit a PCA learned on 6"):
        pca(x[:, :5])
