"""The CNN tap: dense feature maps of whole pictures at several scales, and their local features with positions."""

import math
import numbers
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

import torch
from PIL import Image

from foir_lib.errors import InputError
from foir_lib.images import rgb
from foir_lib.models.cnn_weights import prune, stage_of
from foir_lib.models.devices import autocast, checked
from foir_lib.models.preprocessing import statistics, to_tensor
from foir_lib.models.weights import module_digest

LONGEST = 1024  # pixels, regional attention section 4.1
SCALES = (1 / (2 * 2**0.5), 1 / 2, 1 / 2**0.5, 1.0, 2**0.5)  # co-attention section 6.1


@dataclass
class Locals:
    """Local features of one picture, all scales merged, row by row of each map.

    features (L, C); positions (L, 2): x, y of the centre of the feature's cell in original pixels; scale (L,);
    norm (L,): L2 norms; cell (L, 2): width and height of the cell in original pixels (a map's cells tile the
    picture); size: (width, height) of the picture.
    """

    features: torch.Tensor
    positions: torch.Tensor
    scale: torch.Tensor
    norm: torch.Tensor
    cell: torch.Tensor
    size: tuple[int, int]

    @classmethod
    def from_map(cls, x: torch.Tensor, size: tuple[int, int], scale: float = 1.0) -> "Locals":
        """The local features of one map ``x`` (C, H, W) of a picture of ``size`` (width, height)."""
        height, width = x.shape[1:]
        cell, n = torch.tensor([size[0] / width, size[1] / height]), height * width
        positions = (torch.cartesian_prod(torch.arange(height), torch.arange(width)).flip(1) + 0.5) * cell
        features = x.flatten(1).T.contiguous()
        return cls(features, positions, torch.full((n,), float(scale)), features.norm(dim=1), cell.expand(n, 2), size)

    @classmethod
    def merged(cls, parts: Sequence["Locals"]) -> "Locals":
        """Those of several maps of one picture, one after the other."""
        names = ("features", "positions", "scale", "norm", "cell")
        return cls(*(torch.cat([getattr(part, name) for part in parts]) for name in names), parts[0].size)

    def __len__(self):
        return len(self.features)

    def __getitem__(self, rows: torch.Tensor | slice) -> "Locals":
        """Those of some rows (an index tensor, a slice or a bool mask)."""
        at = rows.cpu() if isinstance(rows, torch.Tensor) else rows
        positions, scale, cell = self.positions[at], self.scale[at], self.cell[at]
        return Locals(self.features[rows], positions, scale, self.norm[rows], cell, self.size)


class CNN:
    """A frozen timm CNN whose maps can be read for pictures of any size.

    ``net``: the timm network; ``out_index``: -1 for the map its own pooling sees, else a stage as timm counts them
    (0, 1, ... or -2, ...; what comes after is removed); ``dim``: channels C; ``stride`` in pixels; ``whiten``: trained
    whitening/projection ``nn.Linear`` (C to d) or None; ``gem_p``; ``longest``: default of :meth:`preprocess`; ``precision``:
    "fp32", "bf16" or "fp16"; ``key`` names network, weights and preprocessing for the feature store. Raises InputError
    for a network that gives no map or has no such stage.
    """

    knows_drawings_only = False  # True for the network of the drawn town

    def __init__(
        self, net: torch.nn.Module, name: str, key: str | None = None, device: str | torch.device = "cpu", out_index: int = -1,
        whiten: torch.nn.Linear | None = None, gem_p: float = 3.0, longest: float = LONGEST, precision: str = "fp32",
    ):  # fmt: skip
        self.device, self.name, self.out_index, self.precision = torch.device(device), name, out_index, checked(precision)
        stage = stage_of(net, name, out_index)
        prune(net, name, out_index)
        self.net = net.eval().requires_grad_(False).to(self.device)
        self.stride = net.feature_info[stage]["reduction"]
        self.min_side, self.dim = self._probe({net.feature_info[stage]["num_chs"], net.num_features})
        if whiten is not None and whiten.in_features != self.dim:
            misfit = f"takes {whiten.in_features} channels, map {out_index} of {name} has {self.dim}"
            raise InputError(f"The whitening layer {misfit}: give the layer trained with that map.")
        self.whiten = None if whiten is None else whiten.eval().requires_grad_(False).to(self.device)
        self.gem_p, self.longest = float(gem_p), _longest(longest)
        self.interpolation, self.mean, self.std = statistics(net)
        head = "none" if whiten is None else module_digest(whiten)
        self.key = f"{key or name}, map {out_index}{'' if precision == 'fp32' else ', ' + precision}, longest {self.longest} {self.interpolation}, "
        self.key += f"{self.mean}, {self.std}, p {self.gem_p:g}, whiten {head}"

    def __repr__(self):
        return f"CNN({self.name!r}, map {self.out_index}: {self.dim} channels, stride {self.stride}, {self.device})"

    @property
    def classifier(self) -> tuple[torch.Tensor, torch.Tensor]:
        """(weight (n_classes, C), bias (n_classes,)) of the network's own classifier on its pooled map.

        Raises InputError when it has none, or one that doesn't read the pooled map.
        """
        layer = self.net.get_classifier() if self.out_index == -1 else None
        weight = getattr(layer, "weight", None)
        if weight is None or weight.flatten(1).shape[1] != self.dim:
            raise InputError(f"{self!r} has no classifier on its map: load a whole network with out_index=-1.")
        return weight.flatten(1), torch.zeros(len(weight), device=weight.device) if layer.bias is None else layer.bias

    def preprocess(self, picture: Image.Image, longest: float | None = None, scale: float = 1.0) -> torch.Tensor:
        """A PIL picture as a float tensor (3, H, W): RGB, turned as EXIF says, whole, its aspect ratio kept, normalised.

        ``longest``: pixels its longer side has at most (a smaller picture isn't enlarged), before ``scale``. Each side
        has at least ``min_side`` pixels, whatever the picture and the scale, so there is always a cell. Raises
        InputError for a scale that isn't positive.
        """
        longest = self.longest if longest is None else _longest(longest)
        if not (isinstance(scale, numbers.Real) and 0 < scale < math.inf):
            raise InputError(f"Scale {scale!r} must be a positive number, e.g. 0.5 for half the size.")
        picture = rgb(picture)
        factor = min(1.0, longest / max(picture.size)) * scale
        size = tuple(max(round(side * factor), self.min_side) for side in picture.size)
        return to_tensor(picture, size, self.interpolation, self.mean, self.std)

    @torch.inference_mode()
    def maps(self, x: torch.Tensor) -> torch.Tensor:
        """Feature maps (B, C, H, W), float32, of images ``x`` (B, 3, H', W') of any size from ``min_side`` on.

        Raises InputError for other shapes.
        """
        if x.ndim != 4 or x.shape[1] != 3 or min(x.shape[2:]) < self.min_side:
            needed = f"give (B, 3, H, W) of at least {self.min_side} pixels a side, as model.preprocess(picture)[None] does"
            raise InputError(f"Images of shape {tuple(x.shape)} don't fit {self.name}: {needed}.")
        return self._forward(x.to(self.device))

    def maps_of(self, images: Sequence[torch.Tensor]) -> list[torch.Tensor]:
        """Maps, a list of (C, H, W), of a list of images (3, H', W') of any sizes; equal sizes run as one batch."""
        rows, maps = {}, [None] * len(images)
        for row, image in enumerate(images):
            rows.setdefault(tuple(image.shape), []).append(row)
        for same in rows.values():
            for row, x in zip(same, self.maps(torch.stack([images[row] for row in same]))):
                maps[row] = x
        return maps

    def locals(self, picture: Image.Image, scales: Sequence[float] = SCALES, longest: float | None = None) -> Locals:
        """The :class:`Locals` of a picture at all ``scales``, one after the other. Raises as :meth:`preprocess` does."""
        if not len(scales):
            raise InputError("Scales are empty: give at least one, e.g. (1.0,).")
        picture = rgb(picture)
        maps = (self.maps(self.preprocess(picture, longest, scale)[None])[0] for scale in scales)
        return Locals.merged([Locals.from_map(x, picture.size, scale) for x, scale in zip(maps, scales)])

    def grid_of(self, size: tuple[int, int]) -> tuple[int, int]:
        """(rows, columns) of the map of a picture of ``size`` (width, height) at scale 1, about."""
        factor = min(1.0, self.longest / max(size))
        return tuple(-(-max(round(side * factor), 1) // self.stride) for side in size[::-1])

    def _forward(self, x):
        with autocast(self):
            if self.out_index == -1:
                return self.net.forward_features(x).float()
            stage = stage_of(self.net, self.name, self.out_index)
            return self.net.forward_intermediates(x, [stage], stop_early=True, intermediates_only=True)[0].float()

    @torch.inference_mode()
    def _probe(self, channels):
        """(pixels, channels): the smallest multiple of the stride that gives a map, and the channels of maps."""
        for side in (n * self.stride for n in range(1, 9)):
            with suppress(RuntimeError, ValueError, AssertionError):  # too small for it
                x = self._forward(torch.zeros(1, 3, side, 3 * side, device=self.device))
                if x.ndim == 4 and x.shape[1] in channels and x.shape[3] > x.shape[2] > 0:
                    return side, x.shape[1]
        raise InputError(f"{self.name} gives no feature map for pictures of any size: choose a CNN such as resnet50.")


def _longest(longest):
    if isinstance(longest, bool) or not isinstance(longest, numbers.Real) or not 1 <= longest < math.inf:
        raise InputError(f"Longest side {longest!r} must be a number of pixels, e.g. {LONGEST}.")
    return longest
