"""LeGrad and the refinement with real ViTs on real photographs, against plain autograd through the whole network."""

import numpy as np
import plain_legrad
import pytest
import torch
import torch.nn.functional as F

from foir_lib import load_model, load_set
from foir_lib.methods import legrad, refinement
from foir_lib.retrievers.corpus import Corpus
from foir_lib.retrievers.objects import MaO
from foir_lib.retrievers.parts import Pictures

pytestmark = [pytest.mark.real, pytest.mark.slow, pytest.mark.filterwarnings("ignore:.*area")]
NETWORKS = ["deit_tiny_patch16_224", "vit_tiny_patch16_224", "vit_small_patch14_dinov2"]


@pytest.fixture(scope="module")
def masks(foir_data):
    if not (foir_data / "coco-free-masks").is_dir():
        pytest.skip("no coco-free-masks in the folder FOIR_DATA")
    return load_set("coco", root=str(foir_data / "coco-free-masks"))


@pytest.fixture(scope="module", params=NETWORKS)
def model(request, foir_data):
    (path,) = foir_data.glob(f"weights/{request.param}*.safetensors") or [None]
    return load_model(request.param, weights=path, device="cpu")


def test_maps_and_steps_are_those_of_plain_autograd(model, masks):
    rows = masks.objects.drop_duplicates("image_id").index.to_numpy()
    rows = rows[masks.has_mask(rows)][:2].tolist()
    pictures = [masks.open(masks.objects["image_id"][row]) for row in rows]
    x = torch.stack([model.preprocess(picture) for picture in pictures])
    shares = torch.stack([torch.from_numpy(masks.mask(row).tokens(model.grid, picture.size)).float() for row, picture in zip(rows, pictures)])
    unit = model.embed(x)
    expected = plain_legrad.scaled(plain_legrad.raw_maps(model.net, x, unit.flip(0), 2))
    torch.testing.assert_close(legrad.heatmap(model, x, unit.flip(0)).flatten(1), expected, rtol=0, atol=1e-5)
    model.net.double()  # in float32 the two gradients differ by rounding, by 1.4e-4 of their length for vit_tiny
    try:
        gradients = _gradients(model, x.double(), shares.double())
    finally:
        model.net.float()
    assert (gradients[0] - gradients[1]).norm() <= 1e-4 * gradients[1].norm()


def _gradients(model, x, shares):
    """Of the joint objective: of one step of the refinement, and through the whole network."""
    raw, owner = model.embed(x, unit=False), torch.zeros(2, dtype=torch.long)
    unit, start = F.normalize(raw, dim=1), raw.mean(0, keepdim=True)
    assert 0.5 < raw.norm(dim=1).mean() / raw.shape[1] ** 0.5 < 5, "of length sqrt(d), or a few times that"
    v = start.clone().requires_grad_()
    plain_legrad.objective(model.net, x, shares, unit, v, [0, 0], 0.03).sum().backward()
    tokens = model.tokens(x, model.depth - 1)
    climbed = refinement.refine(model, tokens, shares, unit, start, owner, steps=1, lr=1.0, optimizer="sgd")
    return climbed.vectors - start, v.grad


def test_every_form_on_photographs_with_their_masks(masks, foir_data, tmp_path):
    model = load_model(NETWORKS[0], weights=foir_data / "weights" / f"{NETWORKS[0]}.safetensors", device="cpu")
    corpus = Corpus(masks, model, cache=tmp_path, progress=False)
    ids = masks.database["image_id"].to_numpy()[:6]
    few = Pictures(corpus, "six", 6, lambda row: masks.open(ids[row]), masks.fingerprint, masks.database[["width", "height"]][:6], ids=ids)
    mao = MaO(objects="boxes", steps=10)
    features = mao.refined(few)
    objective = features.read("objective")
    assert (objective[:, -1] > objective[:, 0]).mean() > 0.8 and np.isfinite(features.read("descriptor")).all()
