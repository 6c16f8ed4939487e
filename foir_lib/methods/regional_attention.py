"""Regional attention on R-MAC: regions weigh as much as a small network, which sees the whole map too, says.

Source: "Regional Attention Based Deep Feature for Image Retrieval", section 3.2. Notation as there: a region R of a
map V_I, J mean pooling, M max pooling, P post-processing (L2, PCA-whitening, L2), Phi the attention.
"""

from pathlib import Path

import torch
import torch.nn.functional as F
from jaxtyping import Float
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor

from foir_lib.errors import InputError, IntegrityError, MissingError
from foir_lib.files import as_path, atomic_path
from foir_lib.methods import pooling, regions
from foir_lib.methods.pooling import Layer
from foir_lib.methods.regions import Maps, Regions


class RegionalAttention(torch.nn.Module):
    """Phi: softplus(W_c tanh(W_r k + b_r) + b_c), the weight of a region (eq. 2), by default in its context (eq. 3).

    ``channels`` C of the map; ``hidden`` d; with ``context`` the input is 2 C wide, the region's mean and the map's.
    """

    def __init__(self, channels: int, hidden: int = 64, context: bool = True):
        super().__init__()
        self.channels, self.context = channels, bool(context)
        self.W_r = torch.nn.Linear(channels * (1 + self.context), hidden)
        self.W_c = torch.nn.Linear(hidden, 1)

    def forward(self, x: Float[Tensor, "..."], at: Regions) -> Float[Tensor, "B R"]:
        """Attention (B, R), positive, of regions ``at`` of maps ``x`` (B, C, H, W). Raises InputError for another C."""
        if x.ndim != 4 or x.shape[1] != self.channels:
            raise InputError(f"Maps of shape {tuple(x.shape)} must be (B, {self.channels}, H, W) for this attention.")
        k = regions.pooled(x, at, "mean")
        if self.context:
            k = torch.cat([k, x.mean((2, 3))[:, None].expand_as(k)], -1)
        return F.softplus(self.W_c(torch.tanh(self.W_r(k)))).squeeze(-1)


def descriptor(
    x: Maps, attention: RegionalAttention | None, scales: int = 5, whiten: Layer = None, at: Regions | None = None
) -> Float[Tensor, "B d"]:
    """Descriptors (B, d), unit length, of maps ``x`` (B, C, H, W): the mean over regions of Phi P(M(R)) (eqs. 1, 3).

    ``attention``: a :class:`RegionalAttention`, or None for plain R-MAC with the mean; ``whiten``: the PCA-whitening in
    P; ``at``: other regions than ``regions.grid`` with ``scales``, e.g. ``regions.proposals``.
    """
    at = at or regions.grid(*x.shape[2:], scales)
    return summed(x, attention, pooling.processed(regions.pooled(x, at), whiten), at)


def summed(
    x: Maps, attention: RegionalAttention | None, vectors: Float[Tensor, "B R d"], at: Regions
) -> Float[Tensor, "B d"]:
    """:func:`descriptor` from the processed ``vectors`` P(M(R)) (B, R, d) of the regions ``at``."""
    return F.normalize((vectors if attention is None else attention(x, at)[..., None] * vectors).mean(1), dim=-1)


def attended(
    x: Maps, attention: RegionalAttention | None, scales: int = 4, at: Regions | None = None
) -> Float[Tensor, "B C"]:
    """Vectors (B, C) for the network's own classifier in training: the mean over regions of Phi M(R) (eq. 4); Phi 1 for None."""
    at = at or regions.grid(*x.shape[2:], scales)
    vectors = regions.pooled(x, at)
    return (vectors if attention is None else attention(x, at)[..., None] * vectors).mean(1)


def save(attention: RegionalAttention, path: str | Path) -> None:
    """Write the weights to a .safetensors file, whole or not at all. Raises InputError for NaN or infinite numbers."""
    if not all(tensor.isfinite().all() for tensor in attention.state_dict().values()):
        raise InputError(f"The attention for {path} holds NaN or infinite numbers: nothing is saved, train with a smaller rate.")
    with atomic_path(path) as temporary:
        state = {name: tensor.contiguous().cpu() for name, tensor in attention.state_dict().items()}
        save_file(state, temporary, {"channels": str(attention.channels), "context": str(int(attention.context))})


def load(path: str | Path) -> RegionalAttention:
    """The :class:`RegionalAttention` of a file that :func:`save` wrote, on the CPU, frozen.

    Raises MissingError when there is no such file and IntegrityError when it holds something else.
    """
    path = as_path(path)
    try:
        with safe_open(path, "pt") as file:
            facts = file.metadata() or {}
        state = load_file(path)
        hidden, channels = state["W_r.weight"].shape
        if channels != int(facts["channels"]) * (1 + bool(int(facts["context"]))) or not all(x.isfinite().all() for x in state.values()):
            raise ValueError
        net = RegionalAttention(int(facts["channels"]), hidden, bool(int(facts["context"])))
        net.load_state_dict(state)
    except FileNotFoundError as error:
        raise MissingError(f"There are no attention weights at {path}: check the path or train them.") from error
    except (SafetensorError, OSError, KeyError, ValueError, IndexError, RuntimeError) as error:
        raise IntegrityError(f"File {path} holds no regional attention: give one written by its save().") from error
    return net.eval().requires_grad_(False)
