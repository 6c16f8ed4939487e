"""LeGrad and the refinement with real ViTs on real photographs, against plain autograd through the whole network."""

from types import SimpleNamespace

import numpy as np
import plain_legrad
import pytest
import torch
import torch.nn.functional as F

from foir_lib import load_model, load_set, registry
from foir_lib.detections import Detections
from foir_lib.methods import legrad, refinement
from foir_lib.retrievers.corpus import Corpus
from foir_lib.retrievers.objects import MaO, MaskInversion, MaxCrops, MeanCrops
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
    few = first(Corpus(masks, model, cache=tmp_path, progress=False), 6)
    mao = MaO(objects="boxes", masks="own", steps=10, lengths="unit")  # where masks outweigh the start
    features = mao.refined(few)
    objective = features.read("objective")
    assert (objective[:, -1] > objective[:, 0]).mean() > 0.8 and np.isfinite(features.read("descriptor")).all()


def test_edges_lose_nothing_and_are_never_nan(masks, foir_data, tmp_path):
    """No object; two hundred; boxes over the border, outside, of a pixel; masks that are empty, or are so once they are resized."""
    rng = np.random.default_rng(0)

    def things(boxes, size, pixels=0):
        shown = np.zeros((len(boxes), *size[::-1]), bool)
        shown[:, 20 : 20 + pixels, 20 : 20 + pixels] = True
        return Detections(np.array(boxes, np.float32).reshape(-1, 4), np.linspace(1, 0, len(boxes)), shown)

    corners = rng.uniform(0, 200, (200, 2))
    cases = [
        lambda size: things([], size),
        lambda size: things(np.c_[corners, corners + rng.uniform(1, 99, (200, 2))], size, 60),
        lambda size: things([(-9, -9, 2, 2), (size[0] - 1, size[1] - 1, size[0] + 9, size[1] + 9), (size[0], 0, size[0] + 5, 9), (30, 30, 31, 31)], size),
        lambda size: things([(0, 0, *size), (10, 10, 200, 150)], size, 1),
    ]  # fmt: skip
    model = load_model(NETWORKS[0], weights=foir_data / "weights" / f"{NETWORKS[0]}.safetensors", device="cpu")
    few = first(Corpus(masks, model, cache=tmp_path, progress=False, workers=1), len(cases))
    answers = iter(cases)
    edges = SimpleNamespace(key="edges", device="cpu", detect=lambda picture: next(answers)(picture.size))
    registry.register("detector", "edges")(lambda device: edges)
    refined = {"objects": "edges", "masks": "own", "steps": 3}
    forms = [MaO(**refined, objective=form) for form in ("joint", "per-crop", "full-image")]
    for retriever in [*forms, MaskInversion(**refined), MeanCrops(objects="edges"), MaxCrops(objects="edges")]:
        described = retriever.describe(few)
        assert np.bincount(retriever.crops_of(few).owner).tolist() == [1, 200, 3, 2]
        assert len(described) == len(cases) and np.isfinite(described.read("descriptor")).all(), retriever


def first(corpus, n):
    """The first ``n`` pictures of a corpus as a part."""
    ids, sizes = corpus.set.database["image_id"].to_numpy()[:n], corpus.set.database[["width", "height"]][:n]
    return Pictures(corpus, f"first {n}", n, lambda row: corpus.set.open(ids[row]), corpus.set.fingerprint, sizes, ids=ids)
