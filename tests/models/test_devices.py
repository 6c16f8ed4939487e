"""Devices by name: what "auto" takes, what a stamp says of a GPU, and one sentence for what isn't here."""

import pytest
import torch

from foir_lib.errors import InputError
from foir_lib.models import devices


@pytest.mark.parametrize(
    ("cuda", "mps", "best"), [(True, True, "cuda"), (True, False, "cuda"), (False, True, "mps"), (False, False, "cpu")]
)
def test_auto_takes_cuda_then_mps_then_the_cpu(monkeypatch, cuda, mps, best):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)
    assert [devices.named(name) for name in ("auto", "", None)] == [best] * 3
    assert devices.named("cuda:1") == devices.named(torch.device("cuda:1")) == "cuda:1"


def test_a_gpu_is_described_by_its_own_name(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    assert [devices.described(name) for name in ("auto", None, "cuda:1")] == ["cpu", "cpu", "cuda:1"]
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: f"GPU {device.index}")
    assert devices.described("cuda:1") == "cuda (GPU 1)" and devices.described("auto") == "cuda (GPU None)"


@pytest.mark.parametrize("name", ["gpu", "cuda:99", "cuda:x"])
def test_a_device_that_is_not_here_is_one_sentence(name):
    assert devices.choose("cpu") == torch.device("cpu")
    with pytest.raises(InputError, match=f"Device '{name}' can't be used here: choose auto"):
        devices.choose(name)
