"""mini-cnn: a small timm ResNet with GeM and a whitening layer, trained on mini-landmarks' training towns."""

import torch
from timm.models.resnet import BasicBlock, ResNet

NAME = "mini-cnn"
CHANNELS = (32, 64, 128, 256)
MEAN = STD = (0.5, 0.5, 0.5)
NATIVE_SIZE = 192  # pixels, the longer side of the pictures it was trained on


def create(num_classes: int = 0) -> ResNet:
    """An untrained mini-cnn: four stages of one basic block, stride 16 (the last stage is dilated), 256 channels."""
    net = ResNet(BasicBlock, (1, 1, 1, 1), num_classes=num_classes, channels=CHANNELS, output_stride=16)
    pictures = {"input_size": (3, NATIVE_SIZE, NATIVE_SIZE), "interpolation": "bicubic", "mean": MEAN, "std": STD}
    net.pretrained_cfg = pictures | {"classifier": "fc", "first_conv": "conv1", "num_classes": num_classes}
    return net.to(memory_format=torch.channels_last)
