"""How regional attention is trained: the CNN frozen, cross-entropy of its classifier on attended regions.

Source: "Regional Attention Based Deep Feature for Image Retrieval", section 3.2 (eq. 4) and section 4.
"""

import numpy as np
import torch
import torch.nn.functional as F
from tqdm.auto import tqdm

from foir_lib.errors import InputError
from foir_lib.methods.regional_attention import RegionalAttention, attended
from foir_lib.models.cnn_data import Cuts, Draws


def train_classifier(model, pictures, epochs=10, batch=64, size=96, lr=1e-2, seed=0, workers=0):
    """A linear classifier, (weight (n_classes, C), bias (n_classes,)), of a frozen CNN's mean-pooled map, for one without its own.

    ``pictures``: a TrainingSet; AdamW, a cosine learning rate, cross-entropy. Returns it and its losses.
    """
    torch.manual_seed(seed)
    layer = torch.nn.Linear(model.dim, len(pictures.names)).to(model.device)
    optimiser = torch.optim.AdamW(layer.parameters(), lr)
    steps = _steps(pictures, batch, epochs)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
    losses = []
    for x, labels in _maps(model, pictures, epochs, batch, size, seed, workers, "classifier"):
        loss = F.cross_entropy(layer(x.mean((2, 3))), labels)
        _step(optimiser, loss, losses)
        schedule.step()
    return (layer.weight.detach(), layer.bias.detach()), losses


def train_regional_attention(
    model, pictures, classifier=None, context=True, hidden=64, epochs=(8, 2), rates=(1e-3, 1e-4), weight_decay=5e-5,
    batch=64, size=800, scales=4, seed=0, workers=0,
):  # fmt: skip
    """Regional attention for a frozen CNN by cross-entropy over a TrainingSet's labels; returns it and the losses.

    ``classifier``: (weight, bias) on the pooled map, the network's own unless given; ``epochs`` at each of the learning
    ``rates`` of SGD (momentum 0.9); pictures are cut to ``size`` pixels, regions are of R-MAC's ``scales``. Defaults:
    section 4. Raises InputError for a classifier of other channels or with fewer classes than labels.
    """
    weight, bias = model.classifier if classifier is None else classifier
    if weight.shape[1] != model.dim or len(weight) < len(pictures.names):
        raise InputError(
            f"A classifier of shape {tuple(weight.shape)} doesn't fit {len(pictures.names)} labels and {model.dim} "
            f"channels of {model.name}: train one with train_classifier."
        )
    torch.manual_seed(seed)
    attention = RegionalAttention(model.dim, hidden, context).to(model.device)
    optimiser = torch.optim.SGD(attention.parameters(), rates[0], momentum=0.9, weight_decay=weight_decay)
    losses = []
    for n, rate in zip(epochs, rates, strict=True):
        optimiser.param_groups[0]["lr"] = rate
        first = len(losses)
        for x, labels in _maps(model, pictures, n, batch, size, seed + first, workers, f"attention, {rate:g}"):
            _step(optimiser, F.cross_entropy(F.linear(attended(x, attention, scales), weight, bias), labels), losses)
    return attention.eval().requires_grad_(False), losses


def _steps(pictures, batch, epochs):
    return epochs * (len(pictures) // min(batch, len(pictures)))


def _maps(model, pictures, epochs, batch, size, seed, workers, label):
    """Maps (B, C, H, W) of random cuts, and their labels."""
    cuts = Cuts(pictures, size, model.mean, model.std)
    with tqdm(total=_steps(pictures, batch, epochs), desc=label) as bar:
        for epoch in range(epochs):
            draws = Draws(len(pictures), batch, (seed, epoch))
            for x, labels in torch.utils.data.DataLoader(cuts, batch_sampler=draws, num_workers=workers):
                yield model.maps(x).clone(), labels.to(model.device)  # a clone may enter autograd
                bar.update()


def _step(optimiser, loss, losses):
    optimiser.zero_grad()
    loss.backward()
    optimiser.step()
    losses.append(float(loss.detach()))
    if not np.isfinite(losses[-1]):
        raise InputError(f"The loss is {losses[-1]} at step {len(losses)}: take a smaller learning rate.")
