"""How the mini ViTs were trained: the CLS token learns to tell which kinds a training scene holds."""

from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from sklearn.metrics import average_precision_score
from timm.models.vision_transformer import VisionTransformer
from tqdm.auto import tqdm

from foir_lib.data.mini import focus
from foir_lib.errors import count, number
from foir_lib.models import weights
from foir_lib.models.mini import shipped, vit
from foir_lib.training import loop

TRAIN, HELD_OUT = 0, 1  # parts of the training streams; benchmark scenes come from other streams


def render(start: int, stop: int, seed: int, part: int, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Training scenes start..stop, squashed: uint8 (n, 3, size, size), and labels bool (n, kinds).

    The three flavours take turns. `mini.stream` says why no benchmark seed can meet these scenes.
    """
    names, n = list(focus.FLAVOURS), stop - start
    pixels, labels = np.empty((n, 3, size, size), np.uint8), np.zeros((n, len(focus.KINDS)), bool)
    for row, index in enumerate(range(start, stop)):
        name = names[index % len(names)]
        image, kinds, _, _ = focus.scene(focus.stream(1, name, seed, part, index), name)
        squashed = Image.fromarray(image).resize((size, size), Image.Resampling.BICUBIC)
        pixels[row], labels[row, kinds] = np.asarray(squashed).transpose(2, 0, 1), True
    return pixels, labels


def scenes(
    n: int, seed: int, part: int = TRAIN, size: int = vit.NATIVE_SIZE, workers: int = 2, chunk: int = 256
) -> tuple[torch.Tensor, torch.Tensor]:
    """`n` training scenes by `workers` processes: uint8 (n, 3, size, size), bool (n, kinds)."""
    pixels, labels = np.empty((n, 3, size, size), np.uint8), np.empty((n, len(focus.KINDS)), bool)
    starts = range(0, n, chunk)
    with ProcessPoolExecutor(workers, get_context("spawn")) as pool:
        jobs = [pool.submit(render, start, min(start + chunk, n), seed, part, size) for start in starts]
        for start, job in zip(starts, tqdm(jobs, desc="scenes", unit_scale=chunk), strict=True):
            pixels[start : start + chunk], labels[start : start + chunk] = job.result()
    return torch.from_numpy(pixels), torch.from_numpy(labels)


def normalise(pixels: torch.Tensor) -> torch.Tensor:
    """uint8 (B, 3, S, S) -> float, as `model.preprocess` does."""
    return (pixels.float() / 255 - vit.MEAN[0]) / vit.STD[0]


class OneCycle(torch.optim.lr_scheduler.OneCycleLR):
    """torch's schedule, which turns momentum too, set by the number of the step as timm's are."""

    def step_update(self, num_updates: int) -> None:
        while self.last_epoch < num_updates:
            self.step()


def train(
    name: str, steps: int, pixels: torch.Tensor, labels: torch.Tensor, seed: int = 0, batch: int = 128, lr: float = 2e-3,
    checkpoint: str | Path | None = None, every: int = 500,
) -> tuple[VisionTransformer, list[float]]:  # fmt: skip
    """Train a mini ViT on scenes, uint8 (n, 3, S, S), and labels, bool (n, kinds); the network and its losses, one per step.

    Binary cross-entropy over the kinds from the CLS token, AdamW (decay 0.05), one-cycle learning
    rate, mirrored pictures. ``checkpoint``, ``every`` and what is raised: see `loop.fit`.
    """
    count(steps, "steps"), count(batch, "batch"), count(seed, "seed", 0), number(lr, "lr", above=0)
    torch.manual_seed(seed)
    net = vit.create(name, num_classes=labels.shape[1]).to(memory_format=torch.channels_last)
    optimiser = torch.optim.AdamW(net.parameters(), lr, weight_decay=0.05)
    schedule = OneCycle(optimiser, lr, total_steps=steps, pct_start=0.15)

    def batches(epoch, first):
        for step in range(first, steps):
            rng = np.random.default_rng((seed, step))  # its own for each step
            rows = torch.from_numpy(rng.integers(0, len(pixels), batch))
            mirrored = torch.from_numpy(rng.random(batch) < 0.5)[:, None, None, None]
            x = normalise(pixels[rows])
            yield torch.where(mirrored, x.flip(-1), x), labels[rows].float()

    task = loop.Objective(net, lambda net, x, y: F.binary_cross_entropy_with_logits(net(x), y))
    run = {"name": name, "steps": steps, "batch": batch, "lr": lr, "scenes": len(pixels), "seed": seed}
    saving = {"checkpoint": checkpoint, "every": every, "run": run}
    losses = loop.fit(task, optimiser, batches, steps, schedule, clip=1.0, seed=seed, label=name, **saving)
    return net.eval(), losses


@torch.inference_mode()
def held_out(net: Callable, pixels: torch.Tensor, labels: torch.Tensor, batch: int = 256) -> float:
    """Mean average precision over the kinds (textbook) of the classifier on scenes it never saw."""
    logits = torch.cat([net(normalise(x)) for x in pixels.split(batch)])
    return float(average_precision_score(labels.numpy(), logits.numpy()))


def save(net: VisionTransformer, name: str, folder: str | Path, losses: list[float], facts: dict) -> dict:
    """Write `<name>.safetensors` (matrices in float16, no classifier) and its model card (JSON).

    `facts`: what the card should say of data, recipe, time and held-out score; the loss curve is 60 means. Returns the card.
    """
    state = {key: value for key, value in net.state_dict().items() if not key.startswith("head.")}
    return weights.write(state, name, folder, losses, facts, shipped.ABOUT["mini-vit"])
