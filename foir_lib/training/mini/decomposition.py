"""How mini-owl and mini-sam were trained: boxes, and masks for prompts, of the things on training shelves of mini-needles."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
import transformers
from PIL import Image
from torch import Tensor
from tqdm.auto import tqdm

from foir_lib.data.mini import needles
from foir_lib.errors import count, number
from foir_lib.models import weights
from foir_lib.models.detectors import objectness
from foir_lib.models.mini import owl, sam, shipped
from foir_lib.training import loop
from foir_lib.training.losses import mask_loss, objectness_loss
from foir_lib.training.mini.vit import OneCycle

MOST = 25  # things on a training picture
THINGS, PER_WORLD, WORLDS = 96, 30, 100_000  # things of a seed, shelves with them, seeds apart


class Scenes(NamedTuple):
    """Pictures as a network sees them, padded right and bottom to a square of S pixels, and what is on them.

    pixels uint8 (n, 3, S, S); ids uint8 (n, S, S): 0 for background, i + 1 where thing i is visible; boxes (n, MOST, 4):
    x0, y0, x1, y1 of the things as shares of the square, rows of zeros for none; sizes int (n, 2): width and height in pixels
    of what isn't padding.
    """

    pixels: Tensor
    ids: Tensor
    boxes: Tensor
    sizes: Tensor

    def sample(self, n: int, rng: np.random.Generator) -> "Scenes":
        """``n`` of them, half of them mirrored: with padding still on the right."""
        rows = torch.from_numpy(rng.integers(0, len(self.pixels), n))
        some, side = Scenes(*(part[rows] for part in self)), self.ids.shape[1]
        for row in np.flatnonzero(rng.random(n) < 0.5):
            width = int(some.sizes[row, 0])
            for part in (some.pixels, some.ids):
                part[row, ..., :width] = part[row, ..., :width].flip(-1)
            there = some.boxes[row, :, 2] > 0
            x0, y0, x1, y1 = some.boxes[row, there].unbind(1)
            some.boxes[row, there] = torch.stack([width / side - x1, y0, width / side - x0, y1], 1)
        return some

    def varied(self, rng: np.random.Generator, padding: float) -> Tensor:
        """Pixels (n, 3, S, S) as a network sees them, each with its colours in another order, brighter or darker."""
        order = torch.from_numpy(rng.permuted(np.tile(np.arange(3), (len(self.pixels), 1)), axis=1))
        gain = torch.from_numpy(rng.uniform(0.7, 1.3, (len(self.pixels), 1, 1, 1)).astype(np.float32))
        x = self.pixels.gather(1, order[:, :, None, None].expand(-1, -1, *self.pixels.shape[2:])).float()
        return self.normalised(x * gain, padding)

    def normalised(self, x: Tensor, padding: float) -> Tensor:
        """Values of 0 to 255 from -1 to 1, as the processors give them, and ``padding`` outside of the pictures."""
        x, at = x.clamp(max=255) / 127.5 - 1, torch.arange(x.shape[-1])
        inside = (at < self.sizes[:, :1])[:, None, None] & (at < self.sizes[:, 1:])[:, None, :, None]
        return torch.where(inside, x, padding)


def scenes(n: int, seed: int, processor, side: int) -> Scenes:
    """``n`` training shelves of mini-needles as a network's image ``processor`` prepares them for ``side`` pixels; things of many seeds.

    Things of which less than a quarter can be seen are background, as for the benchmark. `needles.stream` says why no
    benchmark seed can meet these shelves.
    """
    pixels, ids = torch.zeros(n, 3, side, side, dtype=torch.uint8), torch.zeros(n, side, side, dtype=torch.uint8)
    boxes, sizes = torch.zeros(n, MOST, 4), torch.zeros(n, 2, dtype=torch.int64)
    for row in tqdm(range(n), desc="shelves"):
        world = seed * WORLDS + row // PER_WORLD
        rng = needles.stream(needles.TRAINING, world, needles.DATABASE, row)
        image, _, masks, shares = needles.scene(rng, needles.world(needles.TRAINING, world, THINGS))
        x = processor(images=Image.fromarray(image), do_normalize=False, return_tensors="pt")["pixel_values"]
        pixels[row] = (x[0] * 255).round().to(torch.uint8)
        height, width = image.shape[:2]
        sizes[row] = torch.tensor([round(x * side / max(width, height)) for x in (width, height)])
        place = np.zeros((max(width, height), max(width, height)), np.uint8)
        for i, mask in enumerate([mask for mask, share in zip(masks, shares) if share >= needles.SEEN][:MOST]):
            place[:height, :width][mask] = i + 1
            ys, xs = mask.any(1).nonzero()[0], mask.any(0).nonzero()[0]
            boxes[row, i] = torch.tensor([xs[0], ys[0], xs[-1] + 1, ys[-1] + 1]) / max(width, height)
        ids[row] = torch.from_numpy(np.array(Image.fromarray(place).resize((side, side), Image.Resampling.NEAREST)))
    return Scenes(pixels, ids, boxes, sizes)


def train_owl(
    shelves: Scenes, steps: int, batch: int = 8, lr: float = 1e-3, seed: int = 0, checkpoint: str | Path | None = None, every: int = 100
) -> tuple["transformers.Owlv2ForObjectDetection", list[float]]:
    """Train a mini-owl on scenes of its size; the network and its losses, one per step.

    AdamW (decay 0.05), one-cycle learning rate, mirrored pictures with their colours mixed. ``checkpoint``, ``every`` and
    what is raised: see `loop.fit`.
    """

    def batches(epoch, first):
        for step in range(first, steps):
            rng = np.random.default_rng((seed, step))
            some = shelves.sample(batch, rng)
            yield some.varied(rng, owl.PADDING), some.boxes

    def loss(net, x, boxes):
        return objectness_loss(*objectness(net, x), boxes)

    run = {"name": owl.NAME, "steps": steps, "batch": batch, "lr": lr, "scenes": len(shelves.pixels), "seed": seed}
    return _fit(owl.create, loss, batches, run, checkpoint, every)


def train_sam(
    shelves: Scenes, steps: int, batch: int = 4, prompts: int = 6, lr: float = 1e-3, seed: int = 0,
    checkpoint: str | Path | None = None, every: int = 100,
) -> tuple["transformers.SamModel", list[float]]:  # fmt: skip
    """Train a mini-sam on scenes of its size; the network and its losses, one per step.

    Each step ``prompts`` things of each picture are asked for: by their boxes, each side off by a tenth of the thing's size
    at most, or, every fifth step, by a point on them. AdamW, one-cycle learning rate. Otherwise as :func:`train_owl`.
    """
    count(prompts, "prompts")
    cells = 4 * sam.SIDE // sam.PATCH

    def batches(epoch, first):
        for step in range(first, steps):
            rng = np.random.default_rng((seed, step))
            some = shelves.sample(batch, rng)
            at, masks = prompts_of(some, prompts, step % 5 == 4, rng)
            yield some.varied(rng, sam.PADDING), at, F.interpolate(masks, (cells, cells), mode="area")

    def loss(net, x, at, masks):
        out = net(pixel_values=x, multimask_output=False, **{"input_boxes" if at.ndim == 3 else "input_points": at})
        return mask_loss(out.pred_masks.flatten(0, 2), out.iou_scores.flatten(), masks.flatten(0, 1))

    run = {"name": sam.NAME, "steps": steps, "batch": batch, "prompts": prompts, "lr": lr, "scenes": len(shelves.pixels), "seed": seed}
    return _fit(sam.create, loss, batches, run, checkpoint, every)


def prompts_of(some: Scenes, prompts: int, points: bool, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
    """Prompts for things of scenes, boxes (B, prompts, 4) or points (B, prompts, 1, 2) in pixels, and their masks (B, prompts, S, S)."""
    side, at, masks = some.ids.shape[1], [], []
    for ids, boxes in zip(some.ids, some.boxes):
        things = (boxes[:, 2] > 0).nonzero()[:, 0] if boxes.any() else torch.zeros(1, dtype=torch.int64)
        chosen = things[torch.from_numpy(rng.integers(0, len(things), prompts))]
        mask = (ids == chosen[:, None, None] + 1).float()
        if points:
            generator = torch.Generator().manual_seed(int(rng.integers(2**62)))
            place = torch.multinomial(mask.flatten(1) + 1e-9, 1, generator=generator)[:, 0]  # anywhere, if it vanished in resizing
            at.append(torch.stack([place % side, place // side], 1)[:, None].float())
        else:
            box, off = boxes[chosen] * side, torch.from_numpy(rng.uniform(-0.1, 0.1, (prompts, 4)).astype(np.float32))
            at.append(box + off * (box[:, 2:] - box[:, :2]).repeat(1, 2))
        masks.append(mask)
    return torch.stack(at), torch.stack(masks)


def save(net: torch.nn.Module, name: str, folder: str | Path, losses: list[float], facts: dict) -> dict:
    """Write ``<name>.safetensors`` (matrices in float16) and its card; see `weights.write`. Returns the card."""
    return weights.write(net.state_dict(), name, folder, losses, facts, shipped.ABOUT[name])


def _fit(create, loss, batches, run, checkpoint, every):
    count(run["steps"], "steps"), count(run["batch"], "batch"), count(run["seed"], "seed", 0), number(run["lr"], "lr", above=0)
    torch.manual_seed(run["seed"])
    net = create()
    optimiser = torch.optim.AdamW(net.parameters(), run["lr"], weight_decay=0.05)
    schedule = OneCycle(optimiser, run["lr"], total_steps=run["steps"], pct_start=0.15)
    saving = {"checkpoint": checkpoint, "every": every, "run": run}
    task = loop.Objective(net, loss)
    losses = loop.fit(task, optimiser, batches, run["steps"], schedule, clip=1.0, seed=run["seed"], label=run["name"], **saving)
    return net.eval(), losses
