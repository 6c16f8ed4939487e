"""How the mini ViTs were made: the CLS token learns to tell which kinds a training scene holds."""

from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from tqdm.auto import tqdm

from foir_lib.data.mini import focus
from foir_lib.errors import InputError
from foir_lib.files import atomic_path
from foir_lib.models import weights
from foir_lib.models.mini import vit

TRAIN, HELD_OUT = 0, 1  # parts of the training streams; benchmark scenes come from other streams


def render(start, stop, seed, part, size):
    """Training scenes start..stop, squashed: uint8 (n, 3, size, size), and labels bool (n, kinds).

    The three flavours take turns. `mini.stream` tells why no benchmark seed can meet these scenes.
    """
    names = list(focus.FLAVOURS)
    pixels = np.empty((stop - start, 3, size, size), np.uint8)
    labels = np.zeros((stop - start, len(focus.KINDS)), bool)
    for row, index in enumerate(range(start, stop)):
        name = names[index % len(names)]
        image, kinds, _, _ = focus.scene(focus.stream(1, name, seed, part, index), name)
        squashed = Image.fromarray(image).resize((size, size), Image.Resampling.BICUBIC)
        pixels[row], labels[row, kinds] = np.asarray(squashed).transpose(2, 0, 1), True
    return pixels, labels


def scenes(n, seed, part=TRAIN, size=vit.NATIVE_SIZE, workers=2, chunk=256):
    """`n` training scenes by `workers` processes: uint8 (n, 3, size, size), bool (n, kinds)."""
    pixels, labels = np.empty((n, 3, size, size), np.uint8), np.empty((n, len(focus.KINDS)), bool)
    starts = range(0, n, chunk)
    with ProcessPoolExecutor(workers, get_context("spawn")) as pool:
        jobs = [pool.submit(render, s, min(s + chunk, n), seed, part, size) for s in starts]
        for start, job in zip(starts, tqdm(jobs, desc="scenes", unit_scale=chunk), strict=True):
            part_pixels, part_labels = job.result()
            pixels[start : start + chunk], labels[start : start + chunk] = part_pixels, part_labels
    return torch.from_numpy(pixels), torch.from_numpy(labels)


def normalise(pixels):
    """uint8 (B, 3, S, S) -> float, as `model.preprocess` does."""
    return (pixels.float() / 255 - vit.MEAN[0]) / vit.STD[0]


def train(name, steps, pixels, labels, seed=0, batch=128, lr=2e-3, checkpoint=None, every=500):
    """Train a mini ViT on scenes and labels; returns the network and its losses, one per step.

    Binary cross-entropy over the kinds from the CLS token, AdamW (decay 0.05), one-cycle learning
    rate, mirrored pictures. With a `checkpoint` path the state is saved there every so many steps
    and picked up again; a resumed run is the same run. Raises InputError for the checkpoint of
    another run.
    """
    torch.manual_seed(seed)
    net = vit.create(name, num_classes=labels.shape[1]).to(memory_format=torch.channels_last)
    optimiser = torch.optim.AdamW(net.parameters(), lr, weight_decay=0.05)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, lr, total_steps=steps, pct_start=0.15)
    parts, losses = {"net": net, "optimiser": optimiser, "schedule": schedule}, []
    run = f"{name}, {steps} steps of {batch}, seed {seed}"
    if checkpoint and Path(checkpoint).exists():
        saved = torch.load(checkpoint, weights_only=True)
        if saved["run"] != run:
            raise InputError(
                f"Checkpoint {checkpoint} belongs to another run ({saved['run']}) than this "
                f"one ({run}): give another path or remove it."
            )
        losses = saved.pop("losses")
        for key, part in parts.items():
            part.load_state_dict(saved[key])
    with tqdm(total=steps, initial=len(losses), desc=name) as bar:
        while len(losses) < steps:
            rng = np.random.default_rng((seed, len(losses)))  # its own for each step
            rows = torch.from_numpy(rng.integers(0, len(pixels), batch))
            mirrored = torch.from_numpy(rng.random(batch) < 0.5)[:, None, None, None]
            x = normalise(pixels[rows])
            x = torch.where(mirrored, x.flip(-1), x)
            loss = F.binary_cross_entropy_with_logits(net(x), labels[rows].float())
            optimiser.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(net.parameters(), 1.0)
            optimiser.step()
            schedule.step()
            losses.append(loss.item())
            bar.update()
            bar.set_postfix(loss=f"{np.mean(losses[-50:]):.4f}", refresh=False)
            if checkpoint and (len(losses) % every == 0 or len(losses) == steps):
                state = {key: part.state_dict() for key, part in parts.items()}
                with atomic_path(checkpoint) as temporary:
                    torch.save(state | {"losses": losses, "run": run}, temporary)
    return net.eval(), losses


@torch.inference_mode()
def held_out(net, pixels, labels, batch=256):
    """Mean average precision over the kinds (textbook) of the classifier on scenes it never saw."""
    logits = torch.cat([net(normalise(x)) for x in pixels.split(batch)])
    hits = labels.gather(0, logits.argsort(0, descending=True)).double()
    precision = hits.cumsum(0) / torch.arange(1, len(hits) + 1)[:, None]
    return float(((precision * hits).sum(0) / hits.sum(0)).mean())


def save(net, name, folder, losses, facts):
    """Write `<name>.safetensors` (matrices in float16, no classifier) and its model card (JSON).

    `facts`: what the card should say of data, recipe, time and held-out score. The loss curve is
    kept as 60 means. Returns the card.
    """
    keep = {key: value for key, value in net.state_dict().items() if not key.startswith("head.")}
    return weights.write(keep, name, folder, losses, facts, ABOUT)


ABOUT = {
    "intended_use": "Lessons and tests of head selection on the mini world, on a laptop.",
    "limits": "It knows drawn scenes of 24 kinds and nothing else; photographs mean nothing to it.",
    "licence": "Apache-2.0",
}
