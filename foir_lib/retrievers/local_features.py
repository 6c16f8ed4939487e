"""Local features of a CNN's maps, each scale described once and stored; N, K, T and the set of scales can then change freely.

A query is its picture cut to the prompt's box, at the scale at which the whole picture is described (co-attention section 6.1).
Ours: of a mask, the features of its box whose centres lie on it (all of the box if none does).
"""

import dataclasses
import math

import numpy as np
import torch
import torch.nn.functional as F

from foir_lib.errors import InputError
from foir_lib.methods import coattention, pooling
from foir_lib.models.cnn import SCALES, Locals
from foir_lib.retrievers.parts import once

SCALE_SETS = {1: (1.0,), 3: (1 / 2**0.5, 1.0, 2**0.5), 5: SCALES, 7: (1 / 4, *SCALES, 2.0)}  # co-attention Table 3
N_FEATURES = 500  # N of co-attention, section 5.1
STORED = 4e9  # bytes of local features of a part and scale set that are stored; of larger parts only what is computed from them
NAMES = ("features", "positions", "scale", "norm", "cell")  # of Locals


def scales_of(n_scales: int) -> tuple[float, ...]:
    """The scales of a number of them. Raises InputError for another number than 1, 3, 5, 7."""
    if n_scales not in SCALE_SETS:
        raise InputError(f"n_scales={n_scales!r} is unknown: choose one of {', '.join(map(str, SCALE_SETS))}.")
    return SCALE_SETS[n_scales]


def maps(part, m: int, scales=(1.0,)) -> list[torch.Tensor]:
    """Maps (1, C, H, W) of an item of a part at some scales; in the mini world all are enlarged."""
    model, enlarged, cut = part.corpus.model, part.corpus.setting("enlarged", 1.0), part.cut(m)
    return [model.maps(model.preprocess(cut.picture, cut.longest, scale * enlarged)[None]) for scale in scales]


def described_scale(part, m: int, scale: float, width: int) -> dict[str, torch.Tensor]:
    """The arrays :data:`NAMES` (``width``, ...) of an item at one scale, largest norm first, "count", and pooled vectors (C,)."""
    model, cut = part.corpus.model, part.cut(m)
    x = model.maps(model.preprocess(cut.picture, cut.longest, scale * part.corpus.setting("enlarged", 1.0))[None])
    features = Locals.from_map(x[0], cut.picture.size, scale)
    features = dataclasses.replace(features, positions=features.positions + torch.tensor(cut.corner, dtype=torch.float32))
    arrays = selected(features, width, part.mask(m)) | {"gem": pooling.gem(x, model.gem_p)[0]}
    if scale == 1.0:
        arrays |= {name: getattr(pooling, name)(x)[0] for name in ("spoc", "mac", "crow")}
    return arrays


@once
def at_scale(part, scale: float):
    """Features of a part: :func:`described_scale` of all items, float16; see there."""
    n, width = part.corpus.setting("n_kept", N_FEATURES), _cells(part, scale)
    width = min(n, width)
    return part.each(f"local features: scale {scale:.4f}, {width}, {_enlarged(part)}", lambda m: described_scale(part, m, scale, width))


@once
def pooled(part, scale: float = 1.0):
    """"gem" (n, C), and at scale 1 "spoc", "mac", "crow" (n, C); with local features where those are stored too."""
    if stored(part, 5):
        return at_scale(part, scale)

    def describe(m):
        (x,) = maps(part, m, (scale,))
        vectors = {"gem": pooling.gem(x, part.corpus.model.gem_p)[0]}
        return vectors | ({name: getattr(pooling, name)(x)[0] for name in ("spoc", "mac", "crow")} if scale == 1.0 else {})

    return part.each(f"pooled: scale {scale:.4f}, {_enlarged(part)}", describe)


def of_item(part, m: int, n_scales: int, n_features: int) -> Locals:
    """The ``n_features`` strongest local features of an item over all scales, largest norm first, features rounded to float16."""
    scales = scales_of(n_scales)
    if at_hand(part, n_scales, n_features):
        pieces = [read(at_scale(part, scale), m) for scale in scales]
    else:
        pieces = []
        for scale in scales:
            arrays = described_scale(part, m, scale, n_features)
            n = int(arrays["count"])
            pieces.append(Locals(*(arrays[name][:n].cpu().float() for name in NAMES), None))
    merged = Locals.merged(pieces)
    return dataclasses.replace(coattention.select(merged, n_features), size=part.cut(m).size if part.data is None else None)


def strongest(part, m: int, n_scales: int, n_features: int) -> torch.Tensor:
    """The features (N, C) of :func:`of_item`, on the model's device."""
    if not at_hand(part, n_scales, n_features):
        return of_item(part, m, n_scales, n_features).features.to(part.corpus.model.device)
    pieces, one = [at_scale(part, scale) for scale in scales_of(n_scales)], slice(m, m + 1)
    counts = [int(piece.read("count", one)[0]) for piece in pieces]
    norm, features = (
        np.concatenate([piece.read(name, one)[0, :n] for piece, n in zip(pieces, counts)]) for name in ("norm", "features")
    )
    first = np.argsort(-norm, kind="stable")[:n_features]
    return torch.from_numpy(features[first]).to(part.corpus.model.device).float()


def at_hand(part, n_scales: int, n_features: int) -> bool:
    """Whether so many of the strongest features of a part at these scales stand in the store, or may."""
    return stored(part, n_scales) and n_features <= part.corpus.setting("n_kept", N_FEATURES)


def stored(part, n_scales: int) -> bool:
    """Whether the local features of a part at these scales are stored, so that a network sees each picture once."""
    width = sum(min(part.corpus.setting("n_kept", N_FEATURES), _cells(part, scale)) for scale in scales_of(n_scales))
    return len(part) * width * part.corpus.model.dim * 2 <= STORED


def selected(features: Locals, n_features: int, mask=None) -> dict[str, torch.Tensor]:
    """The ``n_features`` strongest of a picture's Locals: the arrays :data:`NAMES` (N, ...), zero-padded, and "count".

    ``mask``: bool (height, width); only features whose centres lie on it, if any. Features are float16. Raises InputError as
    :func:`coattention.select` does.
    """
    if mask is not None:
        columns, rows = features.positions.long().T.numpy()
        inside = mask[rows.clip(max=mask.shape[0] - 1), columns.clip(max=mask.shape[1] - 1)]
        features = features[torch.from_numpy(inside)] if inside.any() else features
    features = coattention.select(features, n_features)
    arrays = {name: padded(getattr(features, name), n_features) for name in NAMES}
    return arrays | {"features": arrays["features"].half(), "count": torch.tensor(len(features), dtype=torch.int32)}


def read(features, row: int) -> Locals:
    """The Locals of a row of Features with the arrays of :func:`selected`, float32, largest norm first."""
    one = slice(row, row + 1)
    n = int(features.read("count", one)[0])
    return Locals(*(torch.from_numpy(features.read(name, one)[0, :n]).float() for name in NAMES), None)


def padded(x: torch.Tensor, n: int) -> torch.Tensor:
    """An array (m, ...) with rows of zeros up to ``n``."""
    return F.pad(x, (0, 0) * (x.ndim - 1) + (0, n - len(x)))


def _cells(part, scale):
    """The most cells that a map of the part's pictures has at a scale."""
    model = part.corpus.model
    longest = min(model.longest, int(part.sizes.max())) * scale * part.corpus.setting("enlarged", 1.0)
    return max(math.ceil(max(round(longest), model.min_side) / model.stride), 1) ** 2


def _enlarged(part):
    return f"x {part.corpus.setting('enlarged', 1.0):.4f}"


def sample(vectors: torch.Tensor, n: int) -> torch.Tensor:
    """``n`` rows of vectors (m, C), drawn alike for every picture, with repetition where there are fewer."""
    return vectors[np.random.default_rng(0).choice(len(vectors), n, replace=len(vectors) < n)]
