"""The mini ViTs: timm ViTs with a small convolutional stem, trained on the mini world."""

from functools import partial

import torch
from timm.layers import HybridEmbed
from timm.models.vision_transformer import VisionTransformer
from torch import nn

from foir_lib.errors import InputError, unknown

NATIVE_SIZE, STRIDE = 128, 16  # pixels: 8 x 8 patch tokens
MEAN = STD = (0.5, 0.5, 0.5)
SIZES = {"mini-vit-small": 6, "mini-vit": 12, "mini-vit-large": 16}  # name -> heads of 16 channels
TUNED = {"mini-vit-needles": "mini-vit"}  # name -> the network that it was, before an adapter was merged into it


def create(name: str, img_size: int = NATIVE_SIZE, num_classes: int = 0) -> VisionTransformer:
    """An untrained mini ViT: a stem of four 3x3 convolutions, 4 blocks, heads of 16 channels, CLS.

    `img_size` (pixels, a multiple of 16) fixes the grid; `net.set_input_size(img_size=...)`
    resamples it later. `num_classes` > 0 adds the linear classifier used in training. Raises
    InputError for an unknown name or a size that doesn't fit.
    """
    if name not in SIZES and name not in TUNED:
        raise unknown("mini ViT", name, [*SIZES, *TUNED])
    name = TUNED.get(name, name)
    if img_size % STRIDE or img_size < STRIDE:
        raise InputError(f"Image size {img_size} of {name} must be a multiple of {STRIDE}, e.g. {NATIVE_SIZE}.")
    net = VisionTransformer(
        img_size=img_size, patch_size=1, embed_layer=partial(HybridEmbed, backbone=_stem()), embed_dim=16 * SIZES[name],
        depth=4, num_heads=SIZES[name], mlp_ratio=2, num_classes=num_classes, class_token=True, global_pool="token",
    )  # fmt: skip
    size = (3, NATIVE_SIZE, NATIVE_SIZE)
    net.pretrained_cfg = {"input_size": size, "interpolation": "bicubic", "mean": MEAN, "std": STD}
    return net.to(memory_format=torch.channels_last)  # the stem's convolutions run faster so


def _stem(channels=(24, 48, 96, 192)):
    """Four strided convolutions with batch norm: (B, 3, S, S) -> (B, 192, S / 16, S / 16)."""
    layers = []
    for fan_in, fan_out in zip((3, *channels), channels, strict=False):
        layers += [nn.Conv2d(fan_in, fan_out, 3, 2, 1, bias=False), nn.BatchNorm2d(fan_out), nn.ReLU()]
    return nn.Sequential(*layers)
