"""SAM 2 of transformers on a video of two frames: a picture with a mask, and another in which the masked thing is looked for.

Source: Ravi et al., ICLR 2025.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
import transformers
from PIL import Image
from torch import Tensor
from transformers.models.sam2_video.modeling_sam2_video import Sam2VideoInferenceSession

from foir_lib.images import rgb
from foir_lib.models import pretrained

KIND = "sam2_video"


class Tracked(NamedTuple):
    """The mask of the thing in the second frame, logits (h, w) of its square, and the logit that it is there at all."""

    logits: Tensor
    score: float


@dataclass(frozen=True, eq=False)
class Sam2:
    """A SAM 2 that tracks a thing from one picture to another; ``key`` names network, weights and how pictures are prepared."""

    net: "transformers.Sam2VideoModel"
    processor: "transformers.Sam2ImageProcessor"
    key: str
    device: torch.device

    def prepared(self, picture: Image.Image) -> Tensor:
        """A picture as the network's frame (3, S, S): squashed to its square."""
        return self.processor(rgb(picture), return_tensors="pt")["pixel_values"][0]

    @torch.inference_mode()
    def track(self, query: Tensor, mask: np.ndarray, frame: Tensor) -> Tracked:
        """From the prepared ``query`` and its mask, bool (height, width) in its own pixels, to the prepared ``frame``.

        A mask too small for the network's pixels counts as the pixel of its centre.
        """
        side = self.net.config.image_size
        x = torch.from_numpy(np.array(mask, np.float32))[None, None]
        inside = (F.interpolate(x, size=(side, side), mode="bilinear", align_corners=False, antialias=True) >= 0.5).float()
        if not inside.any():
            row, column = (int((c.mean() + 0.5) * side / n) for c, n in zip(np.nonzero(mask), mask.shape))
            inside[0, 0, row, column] = 1
        session = Sam2VideoInferenceSession(
            torch.stack([query, frame]), mask.shape[0], mask.shape[1], inference_device=self.device, inference_state_device=self.device,
            video_storage_device=self.device, dtype=torch.float32,
        )  # fmt: skip
        session.add_mask_inputs(session.obj_id_to_idx(1), 0, inside)
        session.obj_with_new_inputs = [1]
        self.net(session, frame_idx=0)
        out = self.net(session, frame_idx=1)
        return Tracked(out.pred_masks[0, 0].float().cpu(), float(out.object_score_logits.flatten()[0]))


def load(place: str, device: str | torch.device = "cpu") -> Sam2:
    """From a folder or a name of the hub; raises as :mod:`models.pretrained` does, InputError for another network."""
    wanted = "a SAM 2 video model of transformers, such as facebook/sam2.1-hiera-tiny"
    net, processor, key = pretrained.opened(place, KIND, transformers.Sam2VideoModel, transformers.Sam2ImageProcessor, wanted)
    return Sam2(pretrained.frozen(net, device), processor, f"SAM 2 video {key}", torch.device(device))
