"""What all tests share: two threads, hypothesis without a deadline, the folder of real data."""

import os
from pathlib import Path

import pytest
from hypothesis import settings

os.environ.setdefault("OMP_NUM_THREADS", "2")
settings.register_profile("foir", deadline=None, derandomize=bool(os.environ.get("CI")))
settings.load_profile("foir")


@pytest.fixture(scope="session")
def foir_data():
    """The folder of real photographs and weights named by the environment variable FOIR_DATA."""
    folder = os.environ.get("FOIR_DATA")
    if not folder:
        pytest.skip("no real data: set FOIR_DATA to a folder that holds coco-free/ and weights/")
    if not Path(folder).is_dir():
        pytest.skip(f"no real data: FOIR_DATA={folder} is no folder")
    return Path(folder).resolve()


@pytest.fixture(scope="module")
def one_thread():
    """Layers of a few channels are slower on two threads, many times so beside other work."""
    import torch  # not above, where the number of threads is still to be set

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
