"""A CNN and pictures small enough to train in a test."""

import numpy as np
import torch
from PIL import Image
from timm.models.resnet import BasicBlock, ResNet

from foir_lib.data.training import TrainingSet
from foir_lib.models.mini import cnn


def tiny(num_classes=0):
    """A timm ResNet of 16 channels, the same every time."""
    torch.manual_seed(3)
    net = ResNet(BasicBlock, (1, 1, 1, 1), num_classes=num_classes, channels=(8, 8, 16, 16), output_stride=16)
    net.pretrained_cfg = dict(cnn.create().pretrained_cfg)
    return net


def colours(folder):
    """Twelve pictures of three colours, which stand in a box on noise, as a TrainingSet."""
    rng, paths = np.random.default_rng(0), []
    for i in range(12):
        pixels = rng.integers(0, 90, (40, 48, 3), dtype=np.uint8)
        pixels[8:32, 10:38, i % 3] = 250
        paths.append(str(folder / f"{i}.png"))
        Image.fromarray(pixels).save(paths[-1])
    boxes = np.array([[10.0, 8.0, 38.0, 32.0]] * 12)
    return TrainingSet("colours", paths, np.arange(12) % 3, ["r", "g", "b"], boxes)
