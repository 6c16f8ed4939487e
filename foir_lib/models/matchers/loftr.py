"""EfficientLoFTR of transformers: matches of two pictures without keypoints (Wang et al., CVPR 2024)."""

from dataclasses import dataclass

import numpy as np
import torch
import transformers
from PIL import Image

from foir_lib.images import rgb
from foir_lib.models import pretrained

KIND = "efficientloftr"


@dataclass(frozen=True, eq=False)
class Loftr:
    """Matches of pairs of pictures; ``key`` names network, weights and how pictures are prepared."""

    net: "transformers.EfficientLoFTRForKeypointMatching"
    processor: "transformers.EfficientLoFTRImageProcessor"
    key: str
    device: torch.device

    @torch.inference_mode()
    def match(self, a: Image.Image, b: Image.Image) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Points (k, 2) of each picture, x and y in its pixels, that match, and their scores (k,)."""
        x = self.processor([[rgb(a), rgb(b)]], return_tensors="pt")["pixel_values"].to(self.device)
        out = self.net(x)
        valid = (out.matches[0] > -1).all(0) & out.keypoints[0].isfinite().all(-1).all(0)
        points = out.keypoints[0][:, valid].float().cpu().numpy().clip(0, 1) * np.float32([a.size, b.size])[:, None]
        return points[0], points[1], out.matching_scores[0, 0, valid].float().cpu().numpy()


def load(place: str, device: str | torch.device = "cpu") -> Loftr:
    """From a folder or a name of the hub; raises as :mod:`models.pretrained` does, InputError for another network."""
    kinds = transformers.EfficientLoFTRForKeypointMatching, transformers.EfficientLoFTRImageProcessor
    wanted = "an EfficientLoFTR of transformers, such as zju-community/efficientloftr"
    net, processor, key = pretrained.opened(place, KIND, *kinds, wanted)
    return Loftr(pretrained.frozen(net, device), processor, f"EfficientLoFTR {key}", torch.device(device))
