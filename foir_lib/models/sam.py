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


class Embedded(NamedTuple):
    """A picture that was embedded once, to be prompted often: features (1, C, h, w), and its size (width, height) in pixels."""

    features: Tensor
    size: tuple[int, int]


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

    ``batch``: prompts that are decoded at a time; None: 2 on a CPU, where that is about twice as fast a prompt as 16, else 16.
    Source: Kirillov et al., ICCV 2023.
    """

    net: torch.nn.Module
    processor: "transformers.SamProcessor"
    weights: str
    device: torch.device
    batch: int | None = None

    @property
    def key(self) -> str:
        """Names network, weights and size of input."""
        return f"{type(self.net).__name__} {self.weights}, {self.processor.target_size} px"

    def segment(self, picture: Image.Image, boxes: np.ndarray) -> np.ndarray:
        """The mask of the thing in each box: boxes (n, 4) in pixels, exclusive end -> bool (n, height, width).

        Boxes are clipped to the picture; one that lies outside, or has no area there, gives an empty mask. All masks are held
        at once, a byte a pixel: :meth:`segments` gives them one by one. Raises InputError for boxes of another shape and numbers
        that aren't finite.
        """
        picture = rgb(picture)
        masks = list(self.segments(picture, boxes))
        return np.stack(masks) if masks else np.zeros((0, *picture.size[::-1]), bool)

    def segments(self, picture: Image.Image, boxes: np.ndarray) -> Iterator[np.ndarray]:
        """The masks of :meth:`segment`, bool (height, width), one after the other: no more than 2^26 pixels of them are held at a time."""
        picture = rgb(picture)
        boxes = np.asarray(boxes, dtype=np.float32)
        if boxes.size and (boxes.ndim != 2 or boxes.shape[1] != 4) or not np.isfinite(boxes).all():
            raise InputError(f"Boxes {boxes.shape} can't be segmented: give (n, 4), x0, y0, x1, y1 in pixels, finite.")
        boxes = np.clip(boxes.reshape(-1, 4), 0, [*picture.size, *picture.size])
        inside = (boxes[:, 2:] > boxes[:, :2]).all(1)
        return self._segments(picture, boxes, inside)

    def _segments(self, picture, boxes, inside):
        masks = iter(())
        if inside.any():
            low = self.low(picture, boxes=boxes[inside])
            masks = (mask for part in self._upscaled(low, low.logits) for mask in part)
        for one in inside:
            yield next(masks) if one else np.zeros(picture.size[::-1], bool)

    @torch.inference_mode()
    def embed(self, picture: Image.Image) -> Embedded:
        """The picture embedded, for any number of :meth:`predict`."""
        inputs = self.processor(_not_thin(rgb(picture), self.processor.target_size), return_tensors="pt")
        return Embedded(self._embed(inputs["pixel_values"].to(self.device)), picture.size)

    def cells(self, embedded: Embedded) -> int:
        """Cells of a side of the masks that the decoder gives and takes: four for each of the features."""
        return 4 * embedded.features.shape[-1]

    def low(self, picture: Image.Image, boxes: np.ndarray | None = None, points: np.ndarray | None = None) -> LowMasks:
        """Low-resolution masks for boxes (n, 4) or points (n, 2), in pixels, at least one: one mask each."""
        return self.predict(self.embed(picture), boxes, points)

    @torch.inference_mode()
    def predict(
        self, embedded: Embedded, boxes: np.ndarray | None = None, points: np.ndarray | None = None, labels: np.ndarray | None = None,
        masks: Tensor | None = None, multimask: bool = False,
    ) -> LowMasks:  # fmt: skip
        """Low-resolution masks for n prompts, at least one, each of a box, points and a mask, or some of these.

        boxes (n, 4) and points (n, p, 2), or (n, 2) for one each, in pixels; labels (n, p): 1 on the thing, 0 beside it, -1 no point
        (None: all 1); masks (n, h, w): logits on the cells of the padded square, such as ``LowMasks.logits``. ``multimask``: three masks for
        each prompt, one after the other. Raises InputError for prompts that don't fit each other.
        """
        prompts = self._prompts(embedded.size, boxes, points, labels, masks)
        n, batch = len(next(iter(prompts.values()))), self.batch or (2 if self.device.type == "cpu" else 16)
        decoded = []
        for start in range(0, n, batch):
            part = {name: values[start : start + batch].to(self.device) for name, values in prompts.items()}
            decoded.append([out.float().cpu() for out in self._decode(embedded.features, part, multimask)])
        logits, scores = (torch.cat(parts).flatten(0, 1) for parts in zip(*decoded))
        scale = logits.shape[1] / self.processor.target_size
        return LowMasks(logits, scores, embedded.size, tuple(scale * side for side in self._shape(embedded.size)))

    def _prompts(self, size, boxes, points, labels, masks):
        """Prompts that there are, by name, in the pixels of the padded square: boxes (n, 4), points (n, p, 2), labels (n, p), masks (n, h, w)."""
        (width, height), (down, across) = _least(size, self.processor.target_size), self._shape(size)
        scale, prompts = torch.tensor([across / width, down / height]), {}
        if boxes is not None:
            prompts["boxes"] = torch.as_tensor(boxes, dtype=torch.float32) * scale.repeat(2)
        if points is not None:
            points = torch.as_tensor(points, dtype=torch.float32)
            prompts["points"] = (points[:, None] if points.ndim == 2 else points) * scale
            prompts["labels"] = torch.ones(prompts["points"].shape[:2]) if labels is None else torch.as_tensor(labels).float()
        if masks is not None:
            prompts["masks"] = torch.as_tensor(masks, dtype=torch.float32)
        shapes = {name: tuple(values.shape) for name, values in prompts.items()}
        if len({shape[0] for shape in shapes.values()}) != 1 or points is not None and shapes["labels"] != shapes["points"][:2]:
            raise InputError(f"Prompts {shapes or 'of nothing'} don't fit each other: give boxes, points (with labels) or masks, n of each, at least 1.")
        return prompts

    def _shape(self, size):
        """(height, width) of a picture in the padded square, in its pixels."""
        return self.processor.image_processor._get_preprocess_shape(_least(size, self.processor.target_size)[::-1], self.processor.target_size)

    @torch.inference_mode()
    def upscaled(self, low: LowMasks, rows: Tensor | slice = slice(None)) -> np.ndarray:
        """The masks (or some rows of them) at the picture's own pixels, bool (n, height, width)."""
        return np.concatenate([np.zeros((0, *low.size[::-1]), bool), *self._upscaled(low, low.logits[rows])])

    def _upscaled(self, low, logits) -> Iterator[np.ndarray]:
        width, height = low.size
        padded, shape = _least(low.size, self.processor.target_size), self._shape(low.size)
        for part in logits[:, None].split(max(1, PIXELS // (width * height))):
            with torch.inference_mode():
                whole = self.processor.image_processor.post_process_masks([part], [padded[::-1]], [shape])[0]
            yield whole[:, 0, :height, :width].numpy()

    def _embed(self, x):
        return self.net.get_image_embeddings(x)

    def _decode(self, features, prompts, multimask):
        """Logits (n, m, h, w) and scores (n, m) of prompts in the pixels of the padded square."""
        many = "masks" in prompts  # a mask goes with a picture of its own: the picture once for each prompt, instead of n prompts on it
        inputs = {f"input_{name}": values[:, None] if many else values[None] for name, values in prompts.items()}
        features = features.expand(len(prompts["masks"]), -1, -1, -1) if many else features
        out = self.net(image_embeddings=features, multimask_output=multimask, **inputs)
        return out.pred_masks.flatten(0, 1), out.iou_scores.flatten(0, 1)


class MobileSam(Sam):
    """MobileSAM of kornia. Source: Zhang et al., arXiv 2306.14289."""

    def _embed(self, x):
        return self.net.image_encoder(x)

    def _decode(self, features, prompts, multimask):
        points = (prompts["points"], prompts["labels"]) if "points" in prompts else None
        masks = prompts["masks"][:, None] if "masks" in prompts else None
        encoder = self.net.prompt_encoder
        sparse, dense = encoder(points, prompts.get("boxes"), masks)
        return self.net.mask_decoder(features, encoder.get_dense_pe(), sparse, dense, multimask_output=multimask)


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
