"""A world small enough for every method in a test: twelve pictures that ask and answer, random networks of the real classes."""

import numpy as np
import pandas as pd
import timm
import torch
from PIL import Image
from small_cnn import colours
from small_cnn import tiny as residual
from torchvision.models.detection.image_list import ImageList

from foir_lib.bench.experiment import Experiment
from foir_lib.data import Protocol, RetrievalSet
from foir_lib.methods.regional_attention import RegionalAttention
from foir_lib.models.cnn import CNN
from foir_lib.models.vit import ViT
from foir_lib.prompts import Box

N = 12
SETTINGS = {"n_features": 12, "n_kept": 16, "n_words": 8, "codebook_features": 6, "n_asking": 2, "noise_pixels": 5, "objects": "tokens", "masks": "own"}


def pictures(folder):
    """Paths of N pictures of different shapes: a coloured box on noise, drawn once."""
    rng, paths = np.random.default_rng(7), []
    for i in range(N):
        pixels = rng.integers(0, 120, (56 + 3 * i, 90 - 2 * i, 3), dtype=np.uint8)
        pixels[10:34, 8 + i : 40 + i] = rng.integers(0, 256, 3) * (1 + (np.arange(24)[:, None, None] // 4 + i) % 2) // 2
        paths.append(str(folder / f"{i}.png"))
        Image.fromarray(pixels).save(paths[-1])
    return paths


def world(paths, order=range(N)):
    """The set of the pictures, each of which is query and database at once; ``order``: of the database's rows.

    Three labels; a box and a mask (its left triangle) on each picture, and a second box on the first.
    """
    order = list(order)
    sizes = [Image.open(path).size for path in paths]
    images = pd.DataFrame([(f"p{i}", paths[i], *sizes[i], "both") for i in order], columns=["image_id", "path", "width", "height", "split"])
    boxes = [(0, 20, 30, 60, 50), *((i, 8 + i, 10, 40 + i, 34) for i in range(N))]
    objects = pd.DataFrame(
        [(f"p{i}", "abc"[i % 3], x0, y0, x1, y1, False, [[x0, y0, x1, y0, x0, y1]]) for i, x0, y0, x1, y1 in boxes],
        columns=["image_id", "label", "x0", "y0", "x1", "y1", "ignore", "segmentation"],
    )
    prompts = [Box(*box) for _, *box in boxes]
    queries = pd.DataFrame({"image_id": objects["image_id"], "prompt": prompts, "label": objects["label"], "object": range(len(boxes))})
    row_of = {i: row for row, i in enumerate(order)}
    positive = {label: [row_of[i] for i in range(N) if "abc"[i % 3] == label] for label in "abc"}
    own = np.array([row_of[i] for i, *_ in boxes])
    protocols = {"contains": Protocol(tuple(queries["label"]), positive, own=own, metric="focus")}
    return RetrievalSet("tiny", images, objects, queries, protocols, SETTINGS)


def vit():
    """A random ViT of six heads, three blocks and 4 x 4 patches."""
    torch.manual_seed(0)
    net = timm.create_model("vit_tiny_patch16_224", img_size=32, patch_size=8, embed_dim=48, depth=3, num_heads=6, num_classes=0)
    return ViT(net, "tiny-vit")


def cnn():
    """A random CNN of 16 channels with a classifier and a whitening layer."""
    net = residual(num_classes=3)
    return CNN(net, "tiny-cnn", whiten=torch.nn.Linear(16, 12), longest=96)


class Detector(torch.nn.Module):
    """Proposes four boxes of any picture."""

    def __init__(self):
        super().__init__()
        self.layer = torch.nn.Linear(1, 1)

    def transform(self, pictures):
        return ImageList(torch.zeros(1, 3, 64, 64), [(60, 60)]), None

    def backbone(self, x):
        return x

    def rpn(self, images, features):
        return [torch.tensor([[0.0, 0, 60, 60], [0, 0, 30, 30], [20, 10, 50, 60], [30, 30, 60, 60]])], {}


def learned(folder):
    """What methods on a CNN need beside it: training pictures, regional attention, a detector, as options of a Corpus."""
    torch.manual_seed(1)
    folder.mkdir(exist_ok=True)
    attention = [RegionalAttention(16, 4), RegionalAttention(16, 4, context=False)]
    return {"training": colours(folder).paths, "attention": attention, "detector": Detector()}


class World:
    """The set, networks and what is learned beside them in a folder; experiments by model and order of the database."""

    def __init__(self, folder):
        self.folder, self.paths, self.learned = folder, pictures(folder), learned(folder / "training")
        self._experiments = {}

    def experiment(self, model, order=range(N), copy=0):
        """The Experiment of ``model`` ("vit" or "cnn") on the database in that ``order``; copies share no network and no features."""
        at = (model, tuple(order), copy)
        if at not in self._experiments:
            cache = self.folder / f"cache{len(self._experiments)}"
            net, options = {"vit": vit, "cnn": cnn}[model](), {"cache": cache, "progress": False, "batch_size": 5, **self.learned}
            self._experiments[at] = Experiment(world(self.paths, order), net, **options)
        return self._experiments[at]

    def guest(self, order=range(N)):
        """Path of somebody else's descriptors of the queries and of the database in that order."""
        path = self.folder / f"guest-{'-'.join(map(str, order))}.npz"
        rng = np.random.default_rng(3)
        queries, database = rng.normal(size=(N + 1, 5)), rng.normal(size=(N, 5))
        np.savez(path, queries=queries, database=database[list(order)])
        return str(path)
