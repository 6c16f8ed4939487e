"""mini-cnn: a small timm ResNet with GeM and a whitening layer, trained on mini-landmarks' training towns."""

import json
from pathlib import Path

import torch
from timm.models.resnet import BasicBlock, ResNet

NAME = "mini-cnn"
CHANNELS = (32, 64, 128, 256)
MEAN = STD = (0.5, 0.5, 0.5)
NATIVE_SIZE = 192  # pixels, the longer side of the pictures it was made for


def create(num_classes: int = 0) -> ResNet:
    """An untrained mini-cnn: four stages of one basic block, stride 16 (the last stage is dilated), 256 channels."""
    net = ResNet(BasicBlock, (1, 1, 1, 1), num_classes=num_classes, channels=CHANNELS, output_stride=16)
    net = net.to(memory_format=torch.channels_last)
    size = (3, NATIVE_SIZE, NATIVE_SIZE)
    net.pretrained_cfg = {
        "input_size": size, "interpolation": "bicubic", "mean": MEAN, "std": STD,
        "classifier": "fc", "first_conv": "conv1", "num_classes": num_classes,
    }  # fmt: skip
    return net


def weights_path(name: str = NAME) -> Path:
    """Path of the shipped weights (safetensors); the model card lies beside them as .json."""
    return Path(__file__).with_name("weights") / f"{name}.safetensors"


def card(name: str = NAME) -> dict:
    """The model card of shipped weights (dict): data, recipe, time, held-out scores, sha256, ..."""
    return json.loads(weights_path(name).with_suffix(".json").read_text())
