"""The ViT tap: one forward pass yields all that any prompt can need of the last attention.

Head selection rescales the per-head CLS outputs after softmax, so the CLS row of the last block is
enough (:class:`ClsState`), and the descriptor for any head weights is a short tail on one token.
Networks with a pooler (SigLIP, PE-core) read their tokens by a latent: its row stands for that of CLS.
"""

from dataclasses import dataclass, fields

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from foir_lib.errors import InputError
from foir_lib.models.taps import blocks, networks, pooler
from foir_lib.models.taps.trunk import Trunk


@dataclass
class ClsState:
    """What the last attention block knows of the CLS token, for ``B`` images (or prompts).

    attention (B, h, N): softmax weights from CLS to the patch tokens, PHS eq. 1 (prefix tokens took part
    in the softmax but are left out here); heads (B, h, dk): per-head CLS outputs ``head_i``, eq. 3;
    values (B, h, dk): value rows ``V[i, 0]`` of the CLS token; residual (B, d): its input ``x_*[0]``, eq. 4.
    Of a pooler's latent: it has no value row (None), and nothing goes round its attention (zeros).
    """

    attention: Tensor
    heads: Tensor
    values: Tensor | None
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


class ViT(Trunk):
    """A frozen timm Vision Transformer that can be tapped at its last attention: of its CLS token, or of its pooler's latent.

    ``n_heads`` h and ``head_dim`` dk are those of that attention; ``pooled``: whether it is a pooler's. Beside them what
    :class:`Trunk` has. Raises InputError when the network has neither a CLS token read out after a plain last block nor a pooler.
    """

    def __init__(self, net: networks.Net, name: str, key: str | None = None, device: str | torch.device = "cpu"):
        networks.check_heads(net, name)
        super().__init__(net, name, key, device)
        self.pooled = networks.pooling(net) == "map"
        asked = net.attn_pool if self.pooled else net.blocks[-1].attn
        self.n_heads, self.head_dim = asked.num_heads, asked.head_dim

    def __repr__(self):
        return f"ViT({self.name!r}, {self.n_heads} heads, grid {self.grid}, {self.image_size} px, {self.device})"

    @torch.inference_mode()
    def cls_state(self, x: Tensor, bias: Tensor | None = None, last: int = 4, index: Tensor | None = None) -> ClsState:
        """The :class:`ClsState` of images ``x`` (B, 3, S, S).

        ``bias`` (N,) or (P, N): additive logits on the CLS query row of the last ``last`` blocks, before
        softmax, the same for all heads (foveal attention; 0 and -inf make an attention mask); a pooler's latent
        asks but once, whatever ``last``.
        ``index`` (P,): which image each bias row belongs to, so that many prompts on one image share the
        trunk; by default row by row, or one image for all rows. Raises InputError on shapes that
        don't fit or a bias that is NaN or +inf.
        """
        last = last if bias is not None else 1
        self._check_last(last)
        return self.finish(self.tokens(x, self.depth - last), bias, last, index)

    @torch.inference_mode()
    def finish(self, tokens: Tensor, bias: Tensor | None = None, last: int = 1, index: Tensor | None = None) -> ClsState:
        """The :class:`ClsState` from ``tokens`` that still have the ``last`` blocks before them; see :meth:`cls_state`.

        So the trunk (``model.tokens(x, model.depth - last)``) runs once per image, whatever prompts follow.
        """
        start = self.depth - last
        if self.pooled:
            tokens = self.through(tokens, start, self.depth)
        elif bias is None:
            tokens = self.through(tokens, start, self.depth - 1)
        if bias is not None:
            tokens, bias = self._paired(tokens, bias, index)
        ropes = networks.rotations(self.net, self.grid)
        if not self.pooled and bias is not None:
            for block, rope in list(zip(self.net.blocks, ropes))[start:-1]:
                tokens = blocks.biased(block, tokens, bias, rope)
        return self._asked(tokens, self.net.blocks[-1], bias, ropes[-1])

    @torch.inference_mode()
    def attention(self, x: Tensor) -> Tensor:
        """Attention from CLS to the patch tokens in every block, (B, depth, h, N), of images ``x`` (B, 3, S, S).

        ``[:, -1]`` is that of :meth:`cls_state`; softmax weights (PHS eq. 1), prefix tokens left out. Of a pooler: where its
        latent would look after each block.
        """
        t, rows = self.tokens(x, 0), []
        for i, (block, rope) in enumerate(zip(self.net.blocks, networks.rotations(self.net, self.grid))):
            after = self.through(t, i, i + 1)
            rows.append(self._asked(after if self.pooled else t, block, None, rope).attention)
            t = after
        return torch.stack(rows, 1)

    def _paired(self, tokens, bias, index):
        """Tokens and bias row by row, the bias as logits (B, 1, 1, prefix + N) of the CLS row, where prefix tokens get none."""
        bias = torch.as_tensor(bias, dtype=torch.float32, device=self.device)
        bias = bias[None] if bias.ndim == 1 else bias
        n_tokens = self.grid[0] * self.grid[1]
        if bias.ndim != 2 or bias.shape[1] != n_tokens or bool((torch.isnan(bias) | (bias == torch.inf)).any()):
            raise InputError(f"Bias {tuple(bias.shape)} must be (B, {n_tokens}) for {self.name}, without NaN or +inf.")
        t = tokens if index is None else tokens[torch.as_tensor(index, device=self.device)]
        if len(t) != len(bias) and 1 not in (len(t), len(bias)):
            raise InputError(f"{len(bias)} bias rows don't fit {len(t)} images: give one row each, or an index.")
        n = max(len(t), len(bias))
        return t.expand(n, -1, -1), F.pad(bias.expand(n, -1), (self.n_prefix, 0))[:, None, None, :]

    def _asked(self, tokens, block, bias, rope):
        """The state of a block's input, or of what a pooler reads."""
        if self.pooled:
            row, values = self._latent_row(tokens, bias)
            heads, values, residual = (row @ values)[:, :, 0], None, torch.zeros_like(tokens[:, 0])
            row = row[:, :, 0]
        else:
            (row, heads, values), residual = blocks.cls_row(block, tokens, bias, rope), tokens[:, 0]
        return ClsState(row[:, :, self.n_prefix :], heads, values, residual)

    def _latent_row(self, tokens, bias=None):
        """Attention (B, h, 1, T) and values (B, h, T, dk) of the pooler on tokens after a block; hidden prefix tokens get none of it."""
        if self.n_prefix and not getattr(self.net, "pool_include_prefix", True):
            hidden = pooler.hidden(tokens, self.n_prefix)
            bias = hidden if bias is None else bias + hidden
        return pooler.latent_row(self.net.attn_pool, self.net.norm(tokens), bias)

    @torch.inference_mode()
    def descriptor(
        self, state: ClsState, weights: Tensor | None = None, channels: Tensor | None = None, project: bool = False, unit: bool = True
    ) -> Tensor:
        """Descriptors (B, d), unit length, of a :class:`ClsState` (PHS eqs. 2, 4, 5).

        ``weights`` (B, h): factors on the head outputs before the output projection (eq. 9), and before an inner norm or gate; None
        is the plain descriptor. ``channels`` (B, d): factors on the projected output (the "after" ablations).
        ``project``, ``unit``: of :meth:`readout`. Raises InputError when shapes don't fit.
        """
        heads = state.heads
        if weights is not None:
            weights = torch.as_tensor(weights, dtype=heads.dtype, device=heads.device)
            if weights.shape not in (heads.shape[:2], heads.shape[1:2]):
                raise InputError(f"Head weights {tuple(weights.shape)} must be (B, h) = {tuple(heads.shape[:2])}.")
            heads = heads * weights[..., None]
        if self.pooled:
            return self.readout(pooler.pooled(self.net.attn_pool, heads, channels), project, unit)
        block, channels = self.net.blocks[-1], None if channels is None else channels.unsqueeze(-2)
        y = blocks.attended(block, heads[:, :, None], state.residual[:, None], channels)
        return self.readout(blocks.finished(block, y)[:, 0], project, unit)

    @torch.inference_mode()
    def embed(self, x: Tensor, project: bool = False, unit: bool = True) -> Tensor:
        """The plain descriptors (B, d) of images ``x`` (B, 3, S, S); ``project``, ``unit``: of :meth:`readout`."""
        return self.descriptor(self.cls_state(x), project=project, unit=unit)

    def tap(
        self, tokens: Tensor, names: tuple[str, ...] = ("attention",), last: int = 1, rows: int | None = None, gradient: bool = False
    ) -> list[dict[str, Tensor]]:
        """What each of the last ``last`` blocks knows, by name, in their order; see :func:`blocks.tapped`.

        ``tokens`` (B, prefix + N, d): those before these blocks, ``model.tokens(x, model.depth - last)``. Of a pooler, after each
        block: "attention" (B, h, 1, T) of its latent, "values", "residual", the tokens it reads, and "mean" (B, d), the pooled
        vector. Raises InputError for an unknown name, for more blocks than there are, and for "tokens" of a pooler.
        """
        self._check_last(last)
        if self.pooled and "tokens" in names:
            raise InputError(f"{self.name} reads its tokens through a pooler, so that single ones aren't vectors as its pictures are: choose a ViT with a CLS token.")
        with torch.inference_mode(not gradient), torch.set_grad_enabled(gradient):
            tokens, parts = tokens.clone() if gradient and tokens.is_inference() else tokens, []
            for block, rope in list(zip(self.net.blocks, networks.rotations(self.net, self.grid)))[self.depth - last :]:
                if not self.pooled:
                    parts.append(blocks.tapped(block, tokens, names, rows, gradient, rope))
                if self.pooled or len(parts) < last:
                    tokens = block(tokens) if rope is None else block(tokens, rope=rope)
                if self.pooled:
                    parts.append(self._pooler_tapped(tokens, names, gradient))
        return parts

    def _pooler_tapped(self, tokens, names, gradient):
        blocks.check(names)
        row, values = self._latent_row(tokens)
        row = row.detach().requires_grad_() if gradient else row
        known = {"attention": row, "values": values, "residual": tokens}
        if "mean" in names:
            known["mean"] = pooler.pooled(self.net.attn_pool, (row @ values)[:, :, 0])
        return {name: known[name] for name in names}

    def readout(self, tokens: Tensor, project: bool = False, unit: bool = True) -> Tensor:
        """Tokens (..., d) of the last block, or means of them, or pooled vectors, after the last norm, the image-text projection
        (``project``) and L2 (``unit``).

        Differentiable. Raises InputError for ``project=True`` on a network that has no projection.
        """
        self._check_projects(project)
        z = self.net.fc_norm(tokens if self.pooled else self.net.norm(tokens))
        z = self.net.head(z) if project else z
        return F.normalize(z, dim=-1) if unit else z

    def _check_last(self, last):
        if not 1 <= last <= self.depth:
            raise InputError(f"last={last} must lie between 1 and {self.depth}, the blocks of {self.name}.")
