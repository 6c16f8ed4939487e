"""What every network does with a picture before it looks at it."""

from collections.abc import Sequence

import numpy as np
import torch
from PIL import Image


def to_tensor(
    picture: Image.Image, size: tuple[int, int], resampling: Image.Resampling, mean: Sequence[float], std: Sequence[float]
) -> torch.Tensor:
    """A PIL picture, resized to ``size`` (width, height), as a normalised RGB float tensor (3, height, width)."""
    x = np.asarray(picture.convert("RGB").resize(size, resampling), dtype=np.float32) / 255
    x = (x - np.asarray(mean, np.float32)) / np.asarray(std, np.float32)  # numpy: torch would start threads in each reader
    return torch.from_numpy(np.ascontiguousarray(x.transpose(2, 0, 1)))
