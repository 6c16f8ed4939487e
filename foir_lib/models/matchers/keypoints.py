"""Learned keypoints and their matcher, of kornia: ALIKED, DISK or XFeat, and LightGlue for each.

Source: Zhao et al., IEEE TIM 2023 (ALIKED); Tyszkiewicz et al., NeurIPS 2020 (DISK); Potje et al., CVPR 2024 (XFeat); Lindenberger
et al., ICCV 2023 (LightGlue). Weights are local safetensors files: kornia's own downloads are pickles and are never asked for.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple

import cv2
import numpy as np
import torch
from PIL import Image
from torch import nn

from foir_lib.errors import IntegrityError, MissingError
from foir_lib.files import as_path
from foir_lib.images import rgb
from foir_lib.models import checkpoints
from foir_lib.models import weights as weights_file
from foir_lib.models.pretrained import frozen

FEATURES = Literal["aliked", "disk", "xfeat"]
FILES = {  # of the features, and of the LightGlue trained for them, in a folder of weights
    "aliked": ("aliked_n16.safetensors", "aliked_lightglue.safetensors"),
    "disk": ("disk_depth.safetensors", "disk_lightglue.safetensors"),
    "xfeat": ("xfeat.safetensors", "xfeat_lighterglue.safetensors"),
}
DIM = {"aliked": 128, "disk": 128, "xfeat": 64}
LEAST = 64  # pixels that a picture has on each side at least: below, a side of the deepest map is too small to be normalised


class Points(NamedTuple):
    """Keypoints of a picture, the surest first: points (m, 2) float32, x and y in its pixels, and descriptors (m, d) float32, unit length."""

    points: np.ndarray
    descriptors: np.ndarray


@dataclass(frozen=True, eq=False)
class Extractor:
    """Keypoints of a picture by one of kornia's networks; ``key`` names it and its weights; ``dim``: numbers of a descriptor."""

    net: nn.Module
    features: str
    key: str
    dim: int
    device: torch.device

    @torch.inference_mode()
    def detect(self, picture: Image.Image, n: int, longest: int = 1024) -> Points:
        """The ``n`` surest keypoints of a picture, which is looked at smaller where it is longer than ``longest`` pixels."""
        pixels = np.array(rgb(picture))
        height, width = pixels.shape[:2]
        factor = min(1.0, longest / max(width, height))
        sides = [max(round(side * factor), 1) for side in (width, height)]
        if factor < 1:
            pixels = cv2.resize(pixels, sides, interpolation=cv2.INTER_AREA)
        below, beside = (max(LEAST - side, 0) for side in sides[::-1])
        pixels = cv2.copyMakeBorder(pixels, 0, below, 0, beside, cv2.BORDER_REPLICATE)
        x = torch.from_numpy(pixels).permute(2, 0, 1)[None].to(self.device, torch.float32) / 255
        points, scores, descriptors = (tensor.float().cpu() for tensor in self._detected(x, n))
        points = points + 0.5  # they count from a pixel's centre
        on = ((points < torch.tensor(sides)).all(1) & scores.isfinite()).nonzero()[:, 0]
        best = on[scores[on].argsort(descending=True, stable=True)[:n]]
        scale = np.float32([width, height]) / np.float32(sides)
        return Points(points[best].numpy() * scale, nn.functional.normalize(descriptors[best], dim=-1).numpy())

    def _detected(self, x, n):
        if self.features == "xfeat":
            one = self.net.detectAndCompute(x, top_k=n)[0]
            return one["keypoints"], one["scores"], one["descriptors"]
        if self.features == "disk":
            one = self.net(x, n, pad_if_not_divisible=True)[0]
            return one.keypoints, one.detection_scores, one.descriptors
        one = self.net(x)[0]
        return one.keypoints, one.keypoint_scores, one.descriptors


@dataclass(frozen=True, eq=False)
class Glue:
    """LightGlue: which keypoints of two pictures match; ``key`` names it and its weights."""

    net: nn.Module
    key: str
    device: torch.device

    @torch.inference_mode()
    def match(self, a: Points, b: Points, size_a: tuple[int, int], size_b: tuple[int, int], score: float = 0.1) -> np.ndarray:
        """Matches (k, 2) of rows of the keypoints of pictures of sizes (width, height), surer than ``score``."""
        if not len(a.points) or not len(b.points):
            return np.zeros((0, 2), np.int64)
        images = {f"image{i}": self._prepared(*one) for i, one in enumerate(((a, size_a), (b, size_b)))}
        matched = self.net(images)
        return matched["matches"][0][matched["scores"][0] > score].cpu().numpy().reshape(-1, 2)

    def _prepared(self, points, size):
        arrays = {"keypoints": points.points, "descriptors": points.descriptors, "image_size": np.array(size)}
        return {name: torch.from_numpy(np.asarray(array, np.float32))[None].to(self.device) for name, array in arrays.items()}


def mutual(a: Points, b: Points, cosine: float = 0.0) -> np.ndarray:
    """Matches (k, 2) of rows: keypoints that are each other's nearest, their cosine above ``cosine``."""
    if not len(a.points) or not len(b.points):
        return np.zeros((0, 2), np.int64)
    cosines = a.descriptors @ b.descriptors.T
    there = cosines.argmax(1)
    rows = np.flatnonzero(cosines.argmax(0)[there] == np.arange(len(there)))
    rows = rows[cosines[rows, there[rows]] > cosine]
    return np.stack([rows, there[rows]], 1)


def paths(features: FEATURES, weights: str) -> tuple[Path, Path]:
    """The files of features and matcher: in a folder, or two paths with a comma between them (one: no matcher)."""
    if as_path(weights).is_dir():
        return tuple(as_path(weights) / name for name in FILES[features])
    first, _, second = weights.partition(",")
    return as_path(first.strip()), as_path(second.strip() or FILES[features][1])


def load_extractor(features: FEATURES, path: Path, device: str | torch.device = "cpu") -> Extractor:
    """Raises MissingError without the file and IntegrityError for one that isn't these features' safetensors."""
    import kornia.feature as kornia  # takes seconds

    if features == "aliked":
        net = kornia.ALIKED("aliked-n16")
    else:
        net = kornia.DISK() if features == "disk" else kornia.XFeat()
    digest = _load(net.net if features == "xfeat" else net, path, features)
    return Extractor(frozen(net, device), features, f"{features} {digest}", DIM[features], torch.device(device))


def load_glue(features: FEATURES, path: Path, device: str | torch.device = "cpu") -> Glue:
    """Raises as :func:`load_extractor` does."""
    from kornia.feature import LightGlue  # takes seconds

    net = LightGlue(None, **LightGlue.features[features] | {"weights": None, "filter_threshold": 0.0})
    digest = _load(net, path, f"LightGlue for {features}")
    return Glue(frozen(net, device), f"LightGlue {digest}", torch.device(device))


def _load(net, path, name):
    """A network filled from a safetensors file; returns what names the file. Buffers that training counts may be lacking."""
    if not path.is_file():
        raise MissingError(f"There are no weights of {name} at {path}: get {path.name}, and give its folder.")
    with open(path, "rb") as file:
        if file.read(9)[8:] != b"{":
            raise IntegrityError(f"Weights file {path} is no safetensors: convert it, pickles aren't opened.")
    own = net.state_dict()
    state = checkpoints.network(checkpoints.read(path), own, path)
    derived = {key: value for key, value in own.items() if key.endswith(("num_batches_tracked", "confidence_thresholds", "hw_grid"))}
    weights_file.check(own, derived | state, path, name)
    net.load_state_dict(derived | state)
    return weights_file.digest(path)
