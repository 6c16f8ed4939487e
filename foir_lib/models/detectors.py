"""Detectors: OWLv2's objectness and SAM on a grid of points say where things are; torchvision's Faster R-CNN proposes regions."""

from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
import transformers
from PIL import Image
from torch import Tensor
from torchvision.models import detection
from torchvision.ops import box_convert, clip_boxes_to_image, nms, remove_small_boxes

from foir_lib.detections import Detections
from foir_lib.errors import InputError
from foir_lib.images import rgb
from foir_lib.models import checkpoints
from foir_lib.models import weights as weights_file
from foir_lib.models.sam import Sam

TIMES = 4  # sides of the network: what is longer is shrunk to so many first, for the processor's blur costs their fourth power


def load_faster_rcnn(path: str | Path) -> detection.FasterRCNN:
    """torchvision's fasterrcnn_resnet50_fpn with the weights of a local file, opened safely; raises as `models.checkpoints` does.

    For its region proposals (regional attention Table 2b).
    """
    net = detection.fasterrcnn_resnet50_fpn(weights=None, weights_backbone=None)
    state = checkpoints.network(checkpoints.read(path), net.state_dict(), path)
    weights_file.check(net.state_dict(), state, path, "fasterrcnn_resnet50_fpn")
    net.load_state_dict(state)
    return net.eval().requires_grad_(False)


def objectness(net: "transformers.Owlv2ForObjectDetection", x: Tensor) -> tuple[Tensor, Tensor]:
    """Boxes (B, N, 4), cx, cy, w, h as shares of the padded square, and objectness logits (B, N) of pictures (B, 3, S, S).

    The text's half of the network isn't run. In training the gradient of the objectness reaches the trunk, which
    `objectness_predictor` would cut off.
    """
    maps = net.image_embedder(pixel_values=x)[0]
    features = maps.flatten(1, 2)
    logits = net.objectness_head(features)[..., 0] if net.training else net.objectness_predictor(features)
    return net.box_predictor(features, maps), logits


def decode(boxes: Tensor, scores: Tensor, size: tuple[int, int], threshold: float = 0.2, iou: float = 0.4) -> Detections:
    """Detections, best first, from boxes (N, 4) as :func:`objectness` gives them and scores (N,), on a picture of ``size``.

    Boxes are shares of the longer side, because OWLv2 pads right and bottom to a square; they are clipped to the picture, and
    thinned by NMS at ``iou``. Only scores above ``threshold`` count. Source: the released code of Green et al.
    """
    width, height = size
    boxes = clip_boxes_to_image(box_convert(boxes.float(), "cxcywh", "xyxy") * max(size), (height, width))
    rows = remove_small_boxes(boxes, 1e-3)
    rows = rows[scores[rows] > threshold]
    rows = rows[nms(boxes[rows], scores[rows], iou)]
    return Detections(boxes[rows].cpu().numpy(), scores[rows].cpu().numpy())


class Tokens(NamedTuple):
    """What OWLv2 says of each of N tokens of a picture: boxes (N, 4) x0, y0, x1, y1 in its pixels, perhaps outside, class embeddings
    (N, d) of unit length, and shift and scale (N,) of the logits of the class."""

    boxes: Tensor
    embeddings: Tensor
    shift: Tensor
    scale: Tensor

    def logits(self, query: Tensor) -> Tensor:
        """Logits (N,) that a token shows the class of the embedding ``query`` (d,), as transformers' class head computes them."""
        return (self.embeddings @ query + self.shift) * self.scale


@dataclass(frozen=True, eq=False)
class Owl:
    """OWLv2 in objectness mode: class-agnostic boxes of a picture, best first.

    ``key`` names network, weights and thresholds; ``at_most``: how many boxes a picture, all unless given.
    Source: Minderer et al., NeurIPS 2023; Green et al.: score above 0.2, NMS at IoU 0.4.
    """

    net: "transformers.Owlv2ForObjectDetection"
    processor: "transformers.Owlv2ImageProcessor"
    weights: str
    device: torch.device
    threshold: float = 0.2
    iou: float = 0.4
    at_most: int | None = None

    @property
    def key(self) -> str:
        """Names network, weights, size of input and thresholds."""
        side = self.net.config.vision_config.image_size
        return f"OWLv2 objectness {self.weights}, {side} px, score {self.threshold}, NMS {self.iou}, at most {self.at_most}"

    @torch.inference_mode()
    def detect(self, picture: Image.Image) -> Detections:
        """Boxes and objectness of the things on a picture; none is an answer too."""
        picture = rgb(picture)
        x = self.processor(images=shrunk(picture, TIMES * self.net.config.vision_config.image_size), return_tensors="pt")["pixel_values"].to(self.device)
        boxes, logits = objectness(self.net, x)
        return decode(boxes[0], logits[0].sigmoid(), picture.size, self.threshold, self.iou)[: self.at_most]


    @torch.inference_mode()
    def tokens(self, picture: Image.Image) -> Tokens:
        """Boxes and class embeddings of all tokens of a picture, on the CPU: what one of them has in common with another picture's."""
        picture = rgb(picture)
        x = self.processor(images=shrunk(picture, TIMES * self.net.config.vision_config.image_size), return_tensors="pt")["pixel_values"].to(self.device)
        maps = self.net.image_embedder(pixel_values=x)[0]
        features, head = maps.flatten(1, 2), self.net.class_head
        boxes = box_convert(self.net.box_predictor(features, maps)[0].float(), "cxcywh", "xyxy") * max(picture.size)
        embeddings = torch.nn.functional.normalize(head.dense0(features)[0], dim=-1, eps=1e-6)
        shift, scale = head.logit_shift(features)[0, :, 0], head.elu(head.logit_scale(features))[0, :, 0] + 1
        return Tokens(*(tensor.float().cpu() for tensor in (boxes, embeddings, shift, scale)))


@dataclass(frozen=True, eq=False)
class Grid:
    """A SAM asked at every point of a grid: class-agnostic boxes with masks, best first, at most ``at_most``.

    ``per_side`` points along the longer side. Of each point the single mask; its score is the network's own estimate of the
    IoU, by which NMS at ``iou`` (of boxes) thins them. Masks above ``largest``, a share of the picture, are background, and
    those below ``stability`` (IoU of the mask at logits above +1 and above -1) are no things. Source: Kirillov et al., ICCV
    2023, appendix B, with one mask a point instead of three.
    """

    segmenter: Sam
    per_side: int = 16
    iou: float = 0.7
    stability: float = 0.8
    largest: float = 0.25
    at_most: int = 25

    @property
    def key(self) -> str:
        """Names the segmenter and all thresholds."""
        options = f"NMS {self.iou}, stability {self.stability}, area {self.largest}, at most {self.at_most}"
        return f"grid of {self.per_side} points, {options}, {self.segmenter.key}"

    @property
    def device(self) -> torch.device:
        return self.segmenter.device

    def detect(self, picture: Image.Image) -> Detections:
        """Boxes, scores and masks of the things on a picture; none is an answer too."""
        picture = rgb(picture)
        low = self.segmenter.low(picture, points=points(picture.size, self.per_side))
        area, stable = (low.logits > 0).flatten(1).sum(1), _stability(low.logits)
        share = area / (low.inside[0] * low.inside[1])
        rows = ((area > 0) & (share <= self.largest) & (stable >= self.stability)).nonzero()[:, 0]
        boxes = boxes_of(low.logits[rows] > 0)
        best = nms(boxes, low.scores[rows], self.iou)[: self.at_most]
        masks = self.segmenter.upscaled(low, rows[best])
        shown = masks.any(axis=(1, 2))  # a mask of a few cells can lie in the padding
        boxes = boxes_of(torch.from_numpy(masks[shown]))
        return Detections(boxes.numpy(), low.scores[rows[best]].numpy()[shown], masks[shown])


def points(size: tuple[int, int], per_side: int) -> np.ndarray:
    """Centres (n, 2) of the cells of a grid, x and y in pixels, with ``per_side`` cells along the longer side and square ones."""
    if per_side < 1:
        raise InputError(f"per_side={per_side!r} must be at least 1: the points along the longer side.")
    pitch = max(size) / per_side
    xs, ys = ((np.arange(n) + 0.5) * side / n for side in size for n in [max(1, round(side / pitch))])
    return np.stack(np.meshgrid(xs, ys), -1).reshape(-1, 2).astype(np.float32)


def boxes_of(masks: Tensor) -> Tensor:
    """Tight boxes (n, 4) float32 of masks, bool (n, height, width), none of them empty: x0, y0, x1, y1, exclusive end."""
    columns, rows = masks.any(1).to(torch.uint8), masks.any(2).to(torch.uint8)
    ends = [columns.argmax(1), rows.argmax(1), masks.shape[2] - columns.flip(1).argmax(1), masks.shape[1] - rows.flip(1).argmax(1)]
    return torch.stack(ends, 1).float()


def shrunk(picture: Image.Image, longest: int) -> Image.Image:
    """The picture, or a copy of at most ``longest`` pixels on its longer side."""
    if max(picture.size) <= longest:
        return picture
    picture = picture.copy()
    picture.thumbnail((longest, longest))
    return picture


def _stability(logits):
    """IoU of the masks (n, h, w) at logits above +1 and above -1: one lies inside the other."""
    inner, outer = ((logits > level).flatten(1).sum(1) for level in (1, -1))
    return inner / outer.clamp(min=1)
