"""Draws of a bootstrap: how often each unit is drawn, with replacement (Efron and Tibshirani, An Introduction to the Bootstrap, 1993)."""

from functools import lru_cache

import numpy as np

DRAWS = 2000
BLOCK = 100  # draws at a time
LEVELS = (2.5, 97.5)  # percentiles


@lru_cache(maxsize=2)
def weights(n: int, draws: int = DRAWS, seed: int = 0) -> np.ndarray:
    """How often each of ``n`` units is drawn in each draw, uint8 (draws, n)."""
    random = np.random.default_rng(seed)
    return np.concatenate([random.multinomial(n, np.full(n, 1 / n), min(BLOCK, draws - start)).astype(np.uint8)
                           for start in range(0, draws, BLOCK)])  # fmt: skip
