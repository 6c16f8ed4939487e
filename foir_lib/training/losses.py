"""What networks are trained with: a retrieval CNN on ArcFace or the contrastive loss, a detector, a segmenter."""

import math

import torch
import torch.nn.functional as F
from torch import nn
from torchvision.ops import box_convert, generalized_box_iou_loss, sigmoid_focal_loss

from foir_lib.methods.pooling import power_mean
from foir_lib.training.loop import Objective

EDGE = 1e-6  # how near to 1 a cosine may come: beyond it the arc has no finite slope


class Retriever(nn.Module):
    """``net`` (timm), GeM and the whitening layer: images (B, 3, H, W) to unit descriptors (B, d).

    ``net`` loses its classifier. ``dim`` d: the network's own width unless given. ``part``: the share of pictures that are
    pooled in training over :func:`parts` of their maps, so that the whitening layer knows clusters too. ``freeze_norm``:
    batch norm keeps its statistics in training. Source: co-attention section 3.2, eq. 1; the parts are ours.
    """

    def __init__(
        self, net: nn.Module, dim: int | None = None, p: float = 3.0, part: float = 0.0, freeze_norm: bool = False
    ):
        super().__init__()
        self.net, self.p, self.part, self.freeze_norm = net, float(p), float(part), bool(freeze_norm)
        net.reset_classifier(0)  # a layer without gradients would make processes wait for them
        self.whiten = nn.Linear(net.num_features, dim or net.num_features)

    def train(self, mode: bool = True):
        """As of any module, but for frozen batch norm."""
        super().train(mode)
        for module in self.net.modules():
            if self.freeze_norm and isinstance(module, nn.modules.batchnorm._BatchNorm):
                module.eval()
        return self

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.net.forward_features(x).float().flatten(2)
        share = x.new_ones(len(x), 1, x.shape[2])
        if self.training and self.part:
            chosen = torch.rand(len(x), 1, 1, device=x.device) < self.part
            share = torch.where(chosen, parts(x.detach().clamp(min=1e-6)), share)
        return F.normalize(self.whiten(power_mean(x, self.p, 2, weights=share)).float(), dim=-1)


def parts(x: torch.Tensor) -> torch.Tensor:
    """A part of each map (B, C, N) as ones (B, 1, N): a random cell, by norm, and up to all of the cells most like it."""
    n, norm = x.shape[2], x.norm(dim=1)
    seed = torch.multinomial(norm, 1)
    distance = (x - x.gather(2, seed[:, None].expand(-1, x.shape[1], 1))).square().sum(1)
    last = (torch.rand(len(x), 1, device=x.device) * n).long()
    return (distance <= distance.sort(1).values.gather(1, last)).to(x.dtype)[:, None]


class ArcFace(nn.Module):
    """ArcFace loss of unit descriptors (B, d) and labels (B,), a scalar; ``scale`` is gamma, learned; ``margin`` in radians.

    Source: co-attention eqs. 4-5, section 6.1.
    """

    def __init__(self, n_classes: int, dim: int, scale: float = 30.0, margin: float = 0.15):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(n_classes, dim) / math.sqrt(dim))
        self.scale, self.margin = nn.Parameter(torch.tensor(float(scale))), float(margin)

    def forward(self, descriptors: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        cosine = (descriptors.float() @ F.normalize(self.weight, dim=-1).T).clamp(-1 + EDGE, 1 - EDGE)
        own = F.one_hot(labels, len(self.weight)).bool()
        pushed = torch.where(own, torch.cos(torch.acos(cosine) + self.margin), cosine)
        return F.cross_entropy(self.scale * pushed, labels)


class Contrastive(nn.Module):
    """Contrastive loss of unit descriptors (B, 2 + n, d): a query, its positive and n negatives; a scalar.

    Half the squared distance to the positive, plus half the squared shortfall of each negative's distance from ``margin``,
    summed over a tuple, averaged over tuples (the public code sums them, a matter of scale). Source: Radenović et al.,
    TPAMI 2019; ``margin`` 0.85 is what their public code trains ResNet101 with (its option's default, 0.7, is for other
    networks). The co-attention paper, section 7.8, follows them and names no margin.
    """

    def __init__(self, margin: float = 0.85):
        super().__init__()
        self.margin = float(margin)

    def forward(self, descriptors: torch.Tensor, labels: torch.Tensor | None = None) -> torch.Tensor:
        query, others = descriptors[:, :1], descriptors[:, 1:]
        distance = (others - query).square().sum(-1).clamp(min=EDGE**2).sqrt()
        far = F.relu(self.margin - distance[:, 1:])
        return 0.5 * (distance[:, 0].square() + far.square().sum(1)).mean()


class Task(Objective):
    """A Retriever with its loss, as processes that share gradients need it: (images, labels) to the loss.

    Images (B, 3, S, S), or (B, 2 + n, 3, S, S) for tuples.
    """

    def forward(self, x: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        descriptors = self.net(x.flatten(0, -4).contiguous(memory_format=torch.channels_last))
        return self.loss(descriptors.unflatten(0, x.shape[:-3]), labels)


def objectness_loss(boxes: torch.Tensor, logits: torch.Tensor, truth: torch.Tensor) -> torch.Tensor:
    """Loss of class-agnostic detections by tokens on a square grid, a scalar, as a sum over its three parts.

    boxes (B, N, 4): cx, cy, w, h as shares of the side; logits (B, N); truth (B, K, 4): x0, y0, x1, y1 likewise, rows of zeros
    for none. A token owns the thing whose centre lies nearest, within a quarter of the thing's size or half a token. Its
    box: 2 (1 - GIoU) + the L1 distance in sizes of the thing; its objectness: cross-entropy with the IoU of its box, and with 0
    for tokens that own none. Assignment as in FCOS and YOLOX instead of OWLv2's bipartite matching, which learns slowly.
    """
    side = math.isqrt(boxes.shape[1])
    at = (torch.arange(side, device=boxes.device) + 0.5) / side
    centres = torch.stack([at.repeat(side), at.repeat_interleave(side)], 1)
    truth_at, size = (truth[..., :2] + truth[..., 2:]) / 2, truth[..., 2:] - truth[..., :2]
    away = (centres[None, :, None] - truth_at[:, None]).abs()  # (B, N, K, 2)
    own = (away <= (size / 4).clamp(min=0.5 / side)[:, None]).all(-1) & (size > 0).all(-1)[:, None]
    distance, owner = torch.where(own, away.square().sum(-1), torch.inf).min(-1)
    batch, token = distance.isfinite().nonzero(as_tuple=True)
    thing = owner[batch, token]
    xyxy, wanted = box_convert(boxes[batch, token], "cxcywh", "xyxy"), truth[batch, thing]
    giou = generalized_box_iou_loss(xyxy, wanted, reduction="sum")
    sizes = size[batch, thing]
    distance = (xyxy - wanted).abs() / sizes.repeat(1, 2)
    target = torch.zeros_like(logits)
    target[batch, token] = elementwise_iou(xyxy, wanted).detach()
    entropy = F.binary_cross_entropy_with_logits(logits, target, reduction="sum")
    return (2 * giou + distance.mean(-1).sum() + entropy) / max(len(thing), 1)


def elementwise_iou(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """IoU (n,) of boxes (n, 4), x0, y0, x1, y1, one by one; none of them without area."""
    shared = (torch.minimum(a[:, 2:], b[:, 2:]) - torch.maximum(a[:, :2], b[:, :2])).clamp(min=0).prod(-1)
    return shared / ((a[:, 2:] - a[:, :2]).prod(-1) + (b[:, 2:] - b[:, :2]).prod(-1) - shared)


def mask_loss(logits: torch.Tensor, scores: torch.Tensor, truth: torch.Tensor) -> torch.Tensor:
    """Loss of masks with the network's own estimate of their IoU, a scalar.

    logits, truth (n, h, w), the truth in [0, 1]; scores (n,). 20 times the focal loss, the dice loss, and the squared error of
    the scores. Source: Kirillov et al., ICCV 2023, appendix A.
    """
    focal = sigmoid_focal_loss(logits, truth, reduction="mean")
    p = logits.sigmoid()
    dice = 1 - (2 * (p * truth).flatten(1).sum(1) + 1) / ((p + truth).flatten(1).sum(1) + 1)
    mask, real = logits.detach() > 0, truth > 0.5
    iou = (mask & real).flatten(1).sum(1) / (mask | real).flatten(1).sum(1).clamp(min=1)
    return 20 * focal + dice.mean() + F.mse_loss(scores, iou)
