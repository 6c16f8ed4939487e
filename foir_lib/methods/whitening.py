"""PCA and PCA-whitening, learned by scikit-learn, applied to arrays and tensors alike."""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Shaped
from sklearn import decomposition
from torch import Tensor

from foir_lib.errors import InputError


@dataclass
class PCA:
    """A fitted projection: ``mean`` m (D,) and ``matrix`` P (d, D), float32; call it with vectors (n, D) or (D,).

    The result is ``(Y - m) P^T`` (co-attention eq. 13), an array for an array and a tensor for a tensor. Raises
    InputError for vectors of another width.
    """

    mean: Float[np.ndarray, "..."]
    matrix: Float[np.ndarray, "..."]

    def __call__(self, y: Float[Tensor | np.ndarray, "*n D"]) -> Float[Tensor | np.ndarray, "*n d"]:
        if y.shape[-1] != len(self.mean):
            raise InputError(f"Vectors of {y.shape[-1]} dimensions don't fit a PCA learned on {len(self.mean)}.")
        if isinstance(y, torch.Tensor):
            mean, matrix = (torch.from_numpy(a).to(y.device, y.dtype) for a in (self.mean, self.matrix))
            return (y - mean) @ matrix.T
        return (y - self.mean) @ self.matrix.T


def fit(vectors: Shaped[Tensor | np.ndarray, "..."], dim: int | None = None, whiten: bool = True) -> PCA:
    """The :class:`PCA` of ``vectors`` (n, D) to ``dim`` dimensions (all that vary, unless given); deterministic.

    ``whiten``: every dimension of the training data gets variance 1 (over n, co-attention eqs. 11-12); those that don't
    vary (fewer independent vectors than ``dim``) stay 0. Raises InputError for NaN or infinite values, fewer than two
    vectors, vectors that are all the same, or a ``dim`` that n vectors of D dimensions can't give.
    """
    x = np.asarray(vectors.cpu() if isinstance(vectors, torch.Tensor) else vectors, dtype=np.float64)
    if x.ndim != 2 or len(x) < 2:
        raise InputError(f"Vectors of shape {x.shape} can't be learned from: a PCA needs (n, D) with n of at least 2.")
    if n := int((~np.isfinite(x)).any(1).sum()):
        raise InputError(f"{n} of {len(x)} vectors hold NaN or infinity: leave them out.")
    if not np.ptp(x, 0).any():
        raise InputError(f"All {len(x)} vectors are the same: a PCA needs vectors that differ.")
    most = min(len(x) - 1, x.shape[1])
    if dim is not None and not 1 <= dim <= most:
        of = f"{len(x)} vectors of {x.shape[1]} dimensions"
        raise InputError(f"dim={dim} can't be learned from {of}: give at most {most}, or more vectors.")
    solver = "covariance_eigh" if len(x) >= x.shape[1] else "full"
    fitted = decomposition.PCA(dim or most, svd_solver=solver).fit(x)
    variance = fitted.explained_variance_ * (len(x) - 1) / len(x)
    varies = variance > 1e-10 * variance[0]
    rows = slice(None) if dim else varies
    scale = 1 / np.sqrt(np.where(varies, variance, np.inf)) if whiten else varies.astype(float)
    matrix = (fitted.components_ * scale[:, None])[rows]
    return PCA(fitted.mean_.astype(np.float32), matrix.astype(np.float32))
