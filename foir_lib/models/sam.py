"""SAM, of transformers or as MobileSAM of kornia: masks of the things in boxes or at points, the picture embedded once."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
import transformers
from PIL import Image
from torch import Tensor

from foir_lib.errors import InputError
from foir_lib.images import rgb

PIXELS = 2**26  # of masks that are upscaled at a time


class LowMasks(NamedTuple):
    """Masks as the decoder gives them: logits (n, h, w) and scores (n,), the network's estimates of their IoU, on the CPU.

    size: (width, height) of the picture; inside: (height, width) in cells, or parts of them, of the picture in the padded square.
    """

    logits: Tensor
    scores: Tensor
    size: tuple[int, int]
    inside: tuple[float, float]


@dataclass(frozen=True, eq=False)
class Sam:
    """A SAM of transformers behind one shape: a picture and boxes to masks.

    ``batch``: prompts that are decoded at a time. Source: Kirillov et al., ICCV 2023.
    """

    net: torch.nn.Module
    processor: "transformers.SamProcessor"
    weights: str
    device: torch.device
    batch: int = 16

    @property
    def key(self) -> str:
        """Names network, weights and size of input."""
        return f"{type(self.net).__name__} {self.weights}, {self.processor.target_size} px"

    def segment(self, picture: Image.Image, boxes: np.ndarray) -> np.ndarray:
        """The mask of the thing in each box: boxes (n, 4) in pixels, exclusive end -> bool (n, height, width).

        Boxes are clipped to the picture; one that lies outside, or has no area there, gives an empty mask. Raises InputError
        for boxes of another shape and numbers that aren't finite.
        """
        picture = rgb(picture)
        boxes = np.asarray(boxes, dtype=np.float32)
        if boxes.size and (boxes.ndim != 2 or boxes.shape[1] != 4) or not np.isfinite(boxes).all():
            raise InputError(f"Boxes {boxes.shape} can't be segmented: give (n, 4), x0, y0, x1, y1 in pixels, finite.")
        boxes = np.clip(boxes.reshape(-1, 4), 0, [*picture.size, *picture.size])
        inside = (boxes[:, 2:] > boxes[:, :2]).all(1)
        masks = np.zeros((len(boxes), *picture.size[::-1]), bool)
        if inside.any():
            masks[inside] = self.upscaled(self.low(picture, boxes=boxes[inside]))
        return masks

    @torch.inference_mode()
    def low(self, picture: Image.Image, boxes: np.ndarray | None = None, points: np.ndarray | None = None) -> LowMasks:
        """Low-resolution masks for boxes (n, 4) or points (n, 2), in pixels, at least one: one mask each."""
        size, picture = picture.size, _not_thin(picture, self.processor.target_size)
        prompts = {"input_boxes": [boxes.tolist()]} if points is None else {"input_points": [points[:, None].tolist()]}
        inputs = self.processor(picture, return_tensors="pt", **prompts)
        at = (inputs["input_boxes"] if points is None else inputs["input_points"]).float()[0].to(self.device)
        embedding = self._embed(inputs["pixel_values"].to(self.device))
        decoded = [self._decode(embedding, part, points is not None) for part in at.split(self.batch)]
        logits, scores = (torch.cat(parts).float().cpu() for parts in zip(*decoded))
        scale = logits.shape[1] / self.processor.target_size
        return LowMasks(logits, scores, size, tuple(scale * side for side in inputs["reshaped_input_sizes"][0].tolist()))

    @torch.inference_mode()
    def upscaled(self, low: LowMasks, rows: Tensor | slice = slice(None)) -> np.ndarray:
        """The masks (or some rows of them) at the picture's own pixels, bool (n, height, width)."""
        return np.concatenate([np.zeros((0, *low.size[::-1]), bool), *self._upscaled(low, low.logits[rows])])

    def _upscaled(self, low, logits) -> Iterator[np.ndarray]:
        width, height = low.size
        padded, target = _least(low.size, self.processor.target_size), self.processor.target_size
        shape = self.processor.image_processor._get_preprocess_shape(padded[::-1], target)
        for part in logits[:, None].split(max(1, PIXELS // (width * height))):
            whole = self.processor.image_processor.post_process_masks([part], [padded[::-1]], [shape])[0]
            yield whole[:, 0, :height, :width].numpy()

    def _embed(self, x):
        return self.net.get_image_embeddings(x)

    def _decode(self, embedding, prompts, points):
        """Logits (n, h, w) and scores (n,) of prompts (n, 4) or points (n, 1, 2) in the pixels of the padded square."""
        prompts = {"input_points" if points else "input_boxes": prompts[None]}
        out = self.net(image_embeddings=embedding, multimask_output=False, **prompts)
        return out.pred_masks[0, :, 0], out.iou_scores[0, :, 0]


class MobileSam(Sam):
    """MobileSAM of kornia. Source: Zhang et al., arXiv 2306.14289."""

    def _embed(self, x):
        return self.net.image_encoder(x)

    def _decode(self, embedding, prompts, points):
        labels = torch.ones(len(prompts), 1, device=prompts.device)
        encoder = self.net.prompt_encoder
        sparse, dense = encoder((prompts, labels) if points else None, None if points else prompts, None)
        masks, scores = self.net.mask_decoder(embedding, encoder.get_dense_pe(), sparse, dense, multimask_output=False)
        return masks[:, 0], scores[:, 0]


def _least(size, target):
    """(width, height) of a picture that is no thinner than a pixel once its longer side has ``target`` pixels."""
    least = -(-max(size) // target)
    return max(size[0], least), max(size[1], least)


def _not_thin(picture, target):
    """The picture, with black below or beside it where it would vanish when it is resized."""
    size = _least(picture.size, target)
    if size == picture.size:
        return picture
    canvas = Image.new("RGB", size)
    canvas.paste(picture)
    return canvas
