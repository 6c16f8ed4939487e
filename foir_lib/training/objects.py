"""Multi-object fine-tuning: the mean feature of a picture's crops learns to be near the feature of each object alone.

Source: "Find your Needle: Small Object Image Retrieval via Multi-Object Attention Optimization", stage A. A set to train on is a
RetrievalSet: database pictures with annotated objects, query pictures of the same things alone.
"""

from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from accelerate import skip_first_batches
from peft import PeftModel
from timm.scheduler import StepLRScheduler
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from foir_lib.data.sets import CORNERS, RetrievalSet
from foir_lib.errors import InputError, count, number
from foir_lib.methods.decomposition import window
from foir_lib.methods.refinement import means
from foir_lib.models import weights as weights_file
from foir_lib.models.preprocessing import statistics, to_tensor
from foir_lib.models.taps import networks
from foir_lib.training import loop, lora
from foir_lib.training.cuts import draws, loaded
from foir_lib.training.losses import InBatch


class ObjectCrops(Dataset):
    """Database pictures of a set as crops of their objects, each with a crop of a query picture of the same thing.

    An item is read as (row, seed): crops (k, 3, size, size), queries likewise, labels (k,). Crops are cut as `retrievers.objects` does:
    centred, at full resolution, at least ``size`` pixels wide and high; ``shake``: the sides of a box move by up to this share of it,
    as a detector's may. Of a picture with more than ``most`` objects some are taken, by the seed. Objects that no query picture
    shows, and pictures without any other, are left out. Raises InputError where nothing is left.
    """

    def __init__(self, pictures: RetrievalSet, net: networks.Net, shake: float = 0.0, most: int = 25):
        self.set, self.shake, self.most = pictures, shake, most
        self.size, (self.interpolation, self.mean, self.std) = net.patch_embed.img_size[0], statistics(net)
        self.queries = {label: list(zip(rows["image_id"], rows["prompt"])) for label, rows in pictures.queries.groupby("label")}
        self.names = sorted(self.queries)
        objects = pictures.objects[~pictures.objects["ignore"].astype(bool) & pictures.objects["label"].isin(self.names)]
        objects = objects[objects["image_id"].isin(pictures.database["image_id"])]
        self.rows = [(image_id, rows[CORNERS].to_numpy(float), rows["label"].tolist()) for image_id, rows in objects.groupby("image_id")]
        if not self.rows:
            raise InputError(f"{pictures.name} has no objects that its queries show: give a set with annotated boxes and query pictures.")

    def __len__(self):
        return len(self.rows)

    def __getitem__(self, key: tuple[int, int]) -> tuple[Tensor, Tensor, Tensor]:
        row, seed = key
        rng, (image_id, boxes, labels) = np.random.default_rng(seed), self.rows[row]
        chosen, picture = np.sort(rng.permutation(len(boxes))[: self.most]), self.set.open(image_id)
        crops = [self._cut(picture, boxes[i] + self._moved(rng, boxes[i])) for i in chosen]
        labels, queries = [labels[i] for i in chosen], []
        for label in labels:
            photographs = self.queries[label]
            of, prompt = photographs[rng.integers(len(photographs))]
            photograph = self.set.open(of)
            box = prompt.box(photograph.size)
            queries.append(self._cut(photograph, (box.x0, box.y0, box.x1, box.y1)))
        return torch.stack(crops), torch.stack(queries), torch.tensor([self.names.index(label) for label in labels])

    def _moved(self, rng, box):
        sides = np.tile(box[2:] - box[:2], 2)
        return self.shake * sides * rng.uniform(-1, 1, 4)

    def _cut(self, picture, box):
        cut = picture.crop(window(tuple(box), picture.size, self.size))
        return to_tensor(cut, (self.size, self.size), self.interpolation, self.mean, self.std)


def collate(items: list[tuple[Tensor, Tensor, Tensor]]) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Items of :class:`ObjectCrops` as one batch: crops and queries (n, 3, size, size), owner (n,), rising from 0, labels (n,)."""
    crops, queries, labels = (torch.cat(part) for part in zip(*items))
    return crops, queries, torch.repeat_interleave(torch.tensor([len(one[2]) for one in items])), labels


class StageA(loop.Objective):
    """A ViT and InfoNCE: crops (n, 3, S, S), queries likewise, owner (n,) and labels (n,) to the loss.

    A picture's descriptor is the mean of its crops' embeddings, as the refinement starts from. Batch norm keeps its statistics.
    """

    def train(self, mode: bool = True):
        super().train(mode)
        for module in self.net.modules():
            if isinstance(module, nn.modules.batchnorm._BatchNorm):
                module.eval()
        return self

    def forward(self, crops: Tensor, queries: Tensor, owner: Tensor, labels: Tensor) -> Tensor:
        vectors, features = embeddings(self.net, torch.cat([crops, queries])).float().split(len(crops))
        n = int(owner[-1]) + 1
        shown = torch.zeros(n, int(labels.max()) + 1, dtype=torch.bool, device=owner.device).index_put((owner, labels), torch.tensor(True))
        return self.loss(F.normalize(features, dim=-1), F.normalize(means(vectors, owner, n), dim=-1), owner, shown.T[labels])


def embeddings(net: networks.Net | PeftModel, x: Tensor) -> Tensor:
    """Vectors (B, d) of images (B, 3, S, S), of CLS or pooled, after the last norm, projected by CLIP, not of unit length; differentiable."""
    plain = net.get_base_model() if isinstance(net, PeftModel) else net
    return networks.embedded(plain, x, networks.projects(plain))


def train(
    net: networks.Net, pictures: RetrievalSet, r: int = 256, alpha: float = 32, dropout: float = 0.1, epochs: int = 1,
    batch: int = 128, lr: float = 5e-5, last_lr: float = 1e-6, weight_decay: float = 0.01, temperature: float = 0.07,
    shake: float = 0.0, most: int = 25, clip: float | None = None, seed: int = 0, workers: int = 0, precision: str = "no",
    checkpoint: str | Path | None = None, every: int = 100, max_steps: int | None = None,
) -> tuple[PeftModel, list[float]]:  # fmt: skip
    """Train a LoRA on a timm ViT; the network with its adapter (see `lora.merge`) and the losses, one per step.

    ``batch``: pictures; ``lr`` falls exponentially to ``last_lr``; ``r``, ``alpha``, ``dropout``: of `lora.adapt`; ``shake``, ``most``: of
    :class:`ObjectCrops`; ``temperature``: of the loss; ``max_steps`` ends it early, as planned from the start; the others: see `loop.fit`.
    Defaults: "Find your Needle", stage A; decay and temperature are ours. Raises InputError for numbers that can't be and for a set
    without two pictures.
    """
    run = {key: str(value) for key, value in locals().items() if key not in ("net", "pictures", "workers", "checkpoint", "every")}
    for name, value in {"epochs": epochs, "batch": batch, "most": most, "every": every, "max_steps": 1 if max_steps is None else max_steps}.items():
        count(value, name)
    count(seed, "seed", 0), count(workers, "workers", 0), number(weight_decay, "weight_decay", 0), number(shake, "shake", 0, 0.5)
    number(lr, "lr", above=0), number(last_lr, "last_lr", above=0, high=lr), number(temperature, "temperature", above=0)
    data = ObjectCrops(pictures, net, shake, most)
    if min(batch, len(data)) < 2:
        raise InputError(f"{pictures.name} gives batches of one picture, which have no negatives: give a batch and a set of two at least.")
    accelerator = loop.start(precision, place=True)
    per_epoch = len(data) // min(batch, len(data)) // accelerator.num_processes
    if not per_epoch:
        raise InputError(f"{pictures.name} is too small for {accelerator.num_processes} processes: start fewer.")
    total = min(epochs * per_epoch, max_steps or epochs * per_epoch)
    run |= {"data": f"{len(data)} of {pictures.name}", "from": weights_file.module_digest(net)}
    torch.manual_seed(seed)
    task = StageA(lora.adapt(net, r, alpha, dropout), InBatch(temperature))
    optimiser = torch.optim.AdamW([p for p in task.parameters() if p.requires_grad], lr, weight_decay=weight_decay)
    schedule = StepLRScheduler(optimiser, 1, (last_lr / lr) ** (1 / max(total - 1, 1)), t_in_epochs=False)

    def batches(epoch, first):
        loader = DataLoader(data, batch_sampler=draws(len(data), batch, (seed, epoch)), collate_fn=collate, num_workers=workers)
        return loaded(skip_first_batches(accelerator.prepare(loader), first))

    losses = loop.fit(
        task, optimiser, batches, total, schedule, per_epoch, clip, seed, "InfoNCE", checkpoint, every, run, accelerator=accelerator
    )
    return task.net.cpu().eval(), losses
