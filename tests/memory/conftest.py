"""The drawn shelves that memories are tried on."""

import pytest

from foir_lib.data import load_set


@pytest.fixture(scope="session")
def shelves():
    return load_set("mini-needles", seed=5, n_things=48, n_queries=48, n_database=40)
