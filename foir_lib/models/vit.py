"""The ViT tap: one forward pass yields all that any prompt can need of the last attention block.

Head selection rescales the per-head CLS outputs after softmax, so the CLS row of the last block is
enough (:class:`ClsState`), and the descriptor for any head weights is a short tail on one token.
"""

import math
from dataclasses import dataclass, fields
from functools import partial

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor

from foir_lib.errors import InputError
from foir_lib.models import blocks
from foir_lib.models.devices import inferring
from foir_lib.models.preprocessing import statistics, to_tensor


@dataclass
class ClsState:
    """What the last attention block knows of the CLS token, for ``B`` images (or prompts).

    attention (B, h, N): softmax weights from CLS to the patch tokens, PHS eq. 1 (prefix tokens took part
    in the softmax but are left out here); heads (B, h, dk): per-head CLS outputs ``head_i``, eq. 3;
    values (B, h, dk): value rows ``V[i, 0]`` of the CLS token; residual (B, d): its input ``x_*[0]``, eq. 4.
    """

    attention: Tensor
    heads: Tensor
    values: Tensor
    residual: Tensor

    @classmethod
    def from_arrays(cls, arrays: dict[str, np.ndarray], n_heads: int, device: str | torch.device = "cpu") -> "ClsState":
        """A state from stored numpy arrays by name, one flat row per image; names that lack are None."""
        tensors = {name: torch.from_numpy(array).to(device, torch.float32) for name, array in arrays.items()}
        for name in tensors.keys() - {"residual"}:
            tensors[name] = tensors[name].unflatten(1, (n_heads, -1))
        return cls(*(tensors.get(f.name) for f in fields(cls)))

    def __len__(self):
        return len(self.residual)

    def __getitem__(self, rows: np.ndarray | Tensor | slice) -> "ClsState":
        """The state of some rows (an index array, a slice or a bool mask)."""
        return ClsState(*(None if t is None else t[rows] for t in self._tensors()))

    def to(self, device: str | torch.device) -> "ClsState":
        return ClsState(*(None if t is None else t.to(device) for t in self._tensors()))

    def _tensors(self):
        return [getattr(self, f.name) for f in fields(self)]


class ViT:
    """A frozen timm Vision Transformer that can be tapped at its last attention block.

    ``net`` is the timm network, untouched; ``grid`` its (rows, columns) of patch tokens; ``n_heads`` h;
    ``key`` names network, weights and preprocessing for the feature store. Raises InputError when the
    network has no CLS token read out after a plain last block.
    """
    knows_drawings_only, precision = False, "fp32"  # True for the networks of the drawn worlds; or bf16, fp16: what products are computed in

    def __init__(self, net: VisionTransformer, name: str, key: str | None = None, device: str | torch.device = "cpu"):
        blocks.check_tappable(net, name)
        self.net, self.name, self.device = net.eval().requires_grad_(False).to(device), name, torch.device(device)
        self.grid, self.image_size = tuple(net.patch_embed.grid_size), net.patch_embed.img_size[0]
        self.n_prefix, self.depth, self.n_heads = net.num_prefix_tokens, len(net.blocks), net.blocks[-1].attn.num_heads
        self.interpolation, self.mean, self.std = statistics(net)
        self.preparation = partial(to_tensor, size=(self.image_size,) * 2, interpolation=self.interpolation, mean=self.mean, std=self.std)
        self.key = f"{key or name}, squash {self.image_size} {self.interpolation}, {self.mean}, {self.std}"

    def __repr__(self):
        return f"ViT({self.name!r}, {self.n_heads} heads, grid {self.grid}, {self.image_size} px, {self.device})"

    @property
    def patch(self) -> tuple[int, int]:
        """Pixels (down, across) of a patch, with the strides of what lies before it."""
        return tuple(side // n for side, n in zip(self.net.patch_embed.img_size, self.grid))

    def preprocess(self, picture: Image.Image) -> Tensor:
        """A PIL picture as a float tensor (3, S, S): RGB, turned as EXIF says, squashed to the square, normalised, no crop."""
        return self.preparation(picture)

    def grid_of(self, size: tuple[int, int]) -> tuple[int, int]:
        """(rows, columns) of the patches of a picture of ``size``: the same for all."""
        return self.grid

    @inferring
    def tokens(self, x: Tensor, n_blocks: int) -> Tensor:
        """Tokens (B, prefix + N, d) of images ``x`` (B, 3, S, S) after the first ``n_blocks`` blocks."""
        if x.ndim != 4 or tuple(x.shape[1:]) != (3, self.image_size, self.image_size):
            needed = f"give (B, 3, {self.image_size}, {self.image_size}), as model.preprocess(picture)[None] does"
            raise InputError(f"Images of shape {tuple(x.shape)} don't fit {self.name}: {needed}.")
        net = self.net
        t = net.norm_pre(net.patch_drop(net._pos_embed(net.patch_embed(x.to(self.device)))))
        return net.blocks[:n_blocks](t)

    @inferring
    def patches(self, x: Tensor, block: int | None = None) -> Tensor:
        """Patch tokens (B, rows, columns, d), unit length, of images ``x`` (B, 3, H, W) of any whole number of patches.

        Those after the block of index ``block``, without the last norm (None: three quarters of the way, 9 of 0 to 11, whose tokens
        match best). Positions are resampled to the image's grid. Raises InputError for another shape and a block that it hasn't.
        """
        block, patch = (3 * self.depth) // 4 if block is None else block, self.patch
        if x.ndim != 4 or x.shape[1] != 3 or x.shape[2] % patch[0] or x.shape[3] % patch[1]:
            raise InputError(f"Images of shape {tuple(x.shape)} don't fit {self.name}: give (B, 3, H, W), sides in whole patches of {patch[0]} px.")
        if not 0 <= block < self.depth:
            raise InputError(f"block={block} must lie between 0 and {self.depth - 1}, those of {self.name}.")
        net = blocks.any_size(self.net)
        t = net.norm_pre(net._pos_embed(net.patch_embed(x.to(self.device))))
        t = net.blocks[: block + 1](t)[:, self.n_prefix :]
        return F.normalize(t, dim=-1).unflatten(1, (x.shape[2] // patch[0], x.shape[3] // patch[1]))

    def resized(self, picture: Image.Image, side: int) -> Tensor:
        """A PIL picture as a float tensor (3, H, W) in whole patches, with its own aspect and the area of a square of ``side`` pixels."""
        (down, across), (width, height) = self.patch, picture.size
        n, aspect = (side // down) * (side // across), math.sqrt(width / height)
        columns = min(max(round(math.sqrt(n) * aspect), 1), n)
        rows = max(min(round(math.sqrt(n) / aspect), n // columns), 1)
        return to_tensor(picture, (columns * across, rows * down), "bicubic", self.mean, self.std)

    @torch.inference_mode()
    def cls_state(self, x: Tensor, bias: Tensor | None = None, last: int = 4, index: Tensor | None = None) -> ClsState:
        """The :class:`ClsState` of images ``x`` (B, 3, S, S).

        ``bias`` (N,) or (P, N): additive logits on the CLS query row of the last ``last`` blocks, before
        softmax, the same for all heads (foveal attention; 0 and -inf make an attention mask).
        ``index`` (P,): which image each bias row belongs to, so that many prompts on one image share the
        trunk; by default row by row, or one image for all rows. Raises InputError on shapes that
        don't fit or a bias that is NaN or +inf.
        """
        last = last if bias is not None else 1
        self._check_last(last)
        return self.finish(self.tokens(x, self.depth - last), bias, last, index)

    @inferring
    def finish(self, tokens: Tensor, bias: Tensor | None = None, last: int = 1, index: Tensor | None = None) -> ClsState:
        """The :class:`ClsState` from ``tokens`` that still have the ``last`` blocks before them; see :meth:`cls_state`.

        So the trunk (``model.tokens(x, model.depth - last)``) runs once per image, whatever prompts follow.
        """
        if bias is None:
            return self._cls_block(self.net.blocks[-1], self.net.blocks[self.depth - last : -1](tokens))
        bias = torch.atleast_2d(torch.as_tensor(bias, dtype=torch.float32, device=self.device))
        n_tokens = self.grid[0] * self.grid[1]
        if bias.ndim != 2 or bias.shape[1] != n_tokens or bool((torch.isnan(bias) | (bias == torch.inf)).any()):
            raise InputError(f"Bias {tuple(bias.shape)} must be (B, {n_tokens}) for {self.name}, without NaN or +inf.")
        t = tokens if index is None else tokens[torch.as_tensor(index, device=self.device)]
        if len(t) != len(bias) and 1 not in (len(t), len(bias)):
            raise InputError(f"{len(bias)} bias rows don't fit {len(t)} images: give one row each, or an index.")
        t, bias = t.expand(max(len(t), len(bias)), -1, -1), bias.expand(max(len(t), len(bias)), -1)
        for block in self.net.blocks[self.depth - last : -1]:
            t = blocks.biased(block, t, self._row_bias(bias))
        return self._cls_block(self.net.blocks[-1], t, bias)

    @inferring
    def attention(self, x: Tensor) -> Tensor:
        """Attention from CLS to the patch tokens in every block, (B, depth, h, N), of images ``x`` (B, 3, S, S).

        ``[:, -1]`` is that of :meth:`cls_state`; softmax weights (PHS eq. 1), prefix tokens left out.
        """
        t, rows = self.tokens(x, 0), []
        for block in self.net.blocks:
            rows.append(self._cls_block(block, t).attention)
            t = block(t)
        return torch.stack(rows, 1)

    def _row_bias(self, bias):
        """Patch bias (B, N) as logits (B, 1, 1, prefix + N) of the CLS row; prefix tokens get none."""
        return F.pad(bias, (self.n_prefix, 0))[:, None, None, :]

    def _cls_block(self, block, tokens, bias=None):
        """One block for the CLS token: only its query row is computed, which costs less than the plain block."""
        attn, y = block.attn, block.norm1(tokens)
        width = attn.num_heads * attn.head_dim
        weight, b = attn.qkv.weight, attn.qkv.bias
        q = F.linear(y[:, :1], weight[:width], None if b is None else b[:width])
        kv = F.linear(y, weight[width:], None if b is None else b[width:])
        q = attn.q_norm(blocks.split(q, 1, attn)[0])
        k, v = blocks.split(kv, 2, attn)
        row = blocks.weights(attn, q, attn.k_norm(k), None if bias is None else self._row_bias(bias))
        return ClsState(row[:, :, 0, self.n_prefix :], (row @ v)[:, :, 0], v[:, :, 0], tokens[:, 0])

    @torch.inference_mode()
    def descriptor(
        self, state: ClsState, weights: Tensor | None = None, channels: Tensor | None = None, project: bool = False, unit: bool = True
    ) -> Tensor:
        """Descriptors (B, d), unit length, of a :class:`ClsState` (PHS eqs. 2, 4, 5).

        ``weights`` (B, h): factors on the head outputs before the output projection (eq. 9); None is the
        plain descriptor. ``channels`` (B, d): factors on the projected output (the "after" ablations).
        ``project``, ``unit``: of :meth:`readout`. Raises InputError when shapes don't fit.
        """
        block, heads = self.net.blocks[-1], state.heads
        if weights is not None:
            weights = torch.as_tensor(weights, dtype=heads.dtype, device=heads.device)
            if weights.shape not in (heads.shape[:2], heads.shape[1:2]):
                raise InputError(f"Head weights {tuple(weights.shape)} must be (B, h) = {tuple(heads.shape[:2])}.")
            heads = heads * weights[..., None]
        out = block.attn.proj(heads.flatten(1))
        out = out if channels is None else out * channels
        y = state.residual + block.ls1(out)
        return self.readout(y + block.ls2(block.mlp(block.norm2(y))), project, unit)

    @torch.inference_mode()
    def embed(self, x: Tensor, project: bool = False, unit: bool = True) -> Tensor:
        """The plain descriptors (B, d) of images ``x`` (B, 3, S, S); ``project``, ``unit``: of :meth:`readout`."""
        return self.descriptor(self.cls_state(x), project=project, unit=unit)

    def tap(
        self, tokens: Tensor, names: tuple[str, ...] = ("attention",), last: int = 1, rows: int | None = None, gradient: bool = False
    ) -> list[dict[str, Tensor]]:
        """What each of the last ``last`` blocks knows, by name, in their order; see :func:`blocks.tapped`.

        ``tokens`` (B, prefix + N, d): those before these blocks, ``model.tokens(x, model.depth - last)``. Raises InputError for an
        unknown name and for more blocks than there are.
        """
        self._check_last(last)
        with torch.inference_mode(not gradient), torch.set_grad_enabled(gradient):
            tokens, parts = tokens.clone() if gradient and tokens.is_inference() else tokens, []
            for block in self.net.blocks[self.depth - last :]:
                parts.append(blocks.tapped(block, tokens, names, rows, gradient))
                tokens = block(tokens) if len(parts) < last else None
        return parts

    @property
    def projects(self) -> bool:
        """True for CLIP, which can project descriptors to where those of texts are."""
        return blocks.projects(self.net)

    def readout(self, tokens: Tensor, project: bool = False, unit: bool = True) -> Tensor:
        """Tokens (..., d) of the last block, or means of them, after the last norm, CLIP's projection (``project``) and L2 (``unit``).

        Differentiable. Raises InputError for ``project=True`` on a network that has no projection.
        """
        if project and not self.projects:
            raise InputError(f"{self.name} has no image-text projection: project=True is for CLIP models.")
        z = self.net.head(self.net.norm(tokens)) if project else self.net.norm(tokens)
        return F.normalize(z, dim=-1) if unit else z

    def _check_last(self, last):
        if not 1 <= last <= self.depth:
            raise InputError(f"last={last} must lie between 1 and {self.depth}, the blocks of {self.name}.")
