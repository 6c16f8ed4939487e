"""What every network does with a picture before it looks at it."""

from collections.abc import Sequence

import numpy as np
import torch
from PIL import Image
from timm.data import resolve_data_config
from torch import nn

from foir_lib.images import rgb


def statistics(net: nn.Module) -> tuple[str, Sequence[float], Sequence[float]]:
    """(interpolation, mean, std) that a timm network was trained with."""
    config = resolve_data_config(pretrained_cfg=net.pretrained_cfg)
    return config["interpolation"], config["mean"], config["std"]


def to_tensor(
    picture: Image.Image, size: tuple[int, int], interpolation: str, mean: Sequence[float], std: Sequence[float]
) -> torch.Tensor:
    """A PIL picture as `images.rgb` gives it, resized to ``size`` (width, height), as a normalised RGB float tensor (3, height, width)."""
    x = np.asarray(rgb(picture).resize(size, Image.Resampling[interpolation.upper()]), dtype=np.float32) / 255
    x = (x - np.asarray(mean, np.float32)) / np.asarray(std, np.float32)  # numpy: torch would start threads in each reader
    return torch.from_numpy(np.ascontiguousarray(x.transpose(2, 0, 1)))
