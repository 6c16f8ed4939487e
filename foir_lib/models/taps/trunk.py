"""What every Vision Transformer gives, however it ends: pictures as tensors, tokens between blocks, patch tokens of any size, vectors."""

import math

import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from foir_lib.errors import InputError
from foir_lib.models.preprocessing import statistics, to_tensor
from foir_lib.models.taps import networks


class Trunk:
    """A frozen timm Vision Transformer.

    ``net`` is the timm network, untouched; ``grid`` its (rows, columns) of patch tokens; ``width`` d; ``key`` names network, weights and
    preprocessing for the feature store. Raises InputError for a network of another kind.
    """

    knows_drawings_only = False  # True for the networks of the drawn worlds

    def __init__(self, net: networks.Net, name: str, key: str | None = None, device: str | torch.device = "cpu"):
        networks.check(net, name)
        self.net, self.name, self.device = net.eval().requires_grad_(False).to(device), name, torch.device(device)
        self.grid, self.image_size = tuple(net.patch_embed.grid_size), net.patch_embed.img_size[0]
        self.n_prefix, self.depth, self.width = net.num_prefix_tokens, len(net.blocks), net.embed_dim
        self.interpolation, self.mean, self.std = statistics(net)
        self.key = f"{key or name}, squash {self.image_size} {self.interpolation}, {self.mean}, {self.std}"

    def __repr__(self):
        return f"{type(self).__name__}({self.name!r}, grid {self.grid}, {self.image_size} px, {self.device})"

    @property
    def patch(self) -> tuple[int, int]:
        """Pixels (down, across) of a patch, with the strides of what lies before it."""
        return tuple(side // n for side, n in zip(self.net.patch_embed.img_size, self.grid))

    @property
    def projects(self) -> bool:
        """True for image-text networks, which can project descriptors to where those of texts are."""
        return networks.projects(self.net)

    def preprocess(self, picture: Image.Image) -> Tensor:
        """A PIL picture as a float tensor (3, S, S): RGB, turned as EXIF says, squashed to the square, normalised, no crop."""
        return to_tensor(picture, (self.image_size, self.image_size), self.interpolation, self.mean, self.std)

    def grid_of(self, size: tuple[int, int]) -> tuple[int, int]:
        """(rows, columns) of the patches of a picture of ``size``: the same for all."""
        return self.grid

    @torch.inference_mode()
    def tokens(self, x: Tensor, n_blocks: int) -> Tensor:
        """Tokens (B, prefix + N, d) of images ``x`` (B, 3, S, S) after the first ``n_blocks`` blocks."""
        self._check_square(x)
        return self.through(networks.begin(self.net, x.to(self.device)), 0, n_blocks)

    @torch.inference_mode()
    def through(self, tokens: Tensor, start: int, stop: int) -> Tensor:
        """``tokens`` (B, prefix + N, d) that have gone through ``start`` blocks, after ``stop`` of them."""
        return networks.through(self.net, tokens, start, stop, self.grid)

    @torch.inference_mode()
    def patches(self, x: Tensor, block: int | None = None) -> Tensor:
        """Patch tokens (B, rows, columns, d), unit length, of images ``x`` (B, 3, H, W) of any whole number of patches.

        Those after the block of index ``block``, without the last norm (None: three quarters of the way, 9 of 0 to 11, whose tokens
        match best). Positions are resampled to the image's grid. Raises InputError for another shape and a block that it hasn't.
        """
        block = (3 * self.depth) // 4 if block is None else block
        patch = self.patch
        if x.ndim != 4 or x.shape[1] != 3 or x.shape[2] % patch[0] or x.shape[3] % patch[1]:
            raise InputError(f"Images of shape {tuple(x.shape)} don't fit {self.name}: give (B, 3, H, W), sides in whole patches of {patch[0]} px.")
        if not 0 <= block < self.depth:
            raise InputError(f"block={block} must lie between 0 and {self.depth - 1}, those of {self.name}.")
        grid = x.shape[2] // patch[0], x.shape[3] // patch[1]
        net = networks.any_size(self.net, grid)
        t = networks.through(net, networks.begin(net, x.to(self.device)), 0, block + 1, grid)
        return F.normalize(t[:, self.n_prefix :], dim=-1).unflatten(1, grid)

    def resized(self, picture: Image.Image, side: int) -> Tensor:
        """A PIL picture as a float tensor (3, H, W) in whole patches, with its own aspect and the area of a square of ``side`` pixels."""
        (down, across), (width, height) = self.patch, picture.size
        n, aspect = (side // down) * (side // across), math.sqrt(width / height)
        columns = min(max(round(math.sqrt(n) * aspect), 1), n)
        rows = max(min(round(math.sqrt(n) / aspect), n // columns), 1)
        return to_tensor(picture, (columns * across, rows * down), "bicubic", self.mean, self.std)

    def _check_square(self, x):
        if x.ndim != 4 or tuple(x.shape[1:]) != (3, self.image_size, self.image_size):
            needed = f"give (B, 3, {self.image_size}, {self.image_size}), as model.preprocess(picture)[None] does"
            raise InputError(f"Images of shape {tuple(x.shape)} don't fit {self.name}: {needed}.")

    def _check_projects(self, project):
        if project and not self.projects:
            raise InputError(f"{self.name} has no image-text projection: project=True is for CLIP models.")


class Averaged(Trunk):
    """A frozen timm Vision Transformer that averages its patch tokens (AIMv2, PE-spatial): no heads to select, all else as any.

    CBIR, Mask, Crop and the localisers on patches ask no more than ``embed`` and ``patches``.
    """

    headless = "averages its patch tokens, so no heads can be selected: name a network that reads a CLS token or a pooler, such as dinov3-base"

    @torch.inference_mode()
    def embed(self, x: Tensor, project: bool = False, unit: bool = True) -> Tensor:
        """Vectors (B, d) of images ``x`` (B, 3, S, S) as timm pools them, of unit length unless not ``unit``."""
        self._check_square(x)
        self._check_projects(project)
        z = networks.embedded(self.net, x.to(self.device), project)
        return F.normalize(z, dim=-1) if unit else z
