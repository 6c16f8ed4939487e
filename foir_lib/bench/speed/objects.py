"""What small objects cost: the refinement beside passes of the network, its share of indexing, what early stop saves, the index."""

import time

import numpy as np
import torch
from PIL import Image

from foir_lib.bench.speed.contract import compare
from foir_lib.methods import decomposition, refinement
from foir_lib.models.vit import ViT
from foir_lib.prompts import patch_shares
from foir_lib.retrievers.decomposed.crops import raw
from foir_lib.retrievers.decomposed.decomposing import Tokens
from foir_lib.retrievers.decomposed.vectors import Several, best
from foir_lib.search.knn import knn
from foir_lib.store.arrays import Arrays

STEPS = 80
EARLY = 0.1  # of the objective, over ten steps; the tables' early stop


def refining(model: ViT, repeats: int, n: int = 4) -> dict:
    """Embedding and refining ``n`` crops of one picture in all steps, against as many forward and backward passes of the whole network."""
    x, shares = _pictures(model, n), _shares(model, n)

    def full():
        with torch.enable_grad():
            model.net.forward_features(x.detach().requires_grad_()).sum().backward()

    what = f"{n} crops of one picture, {STEPS} steps from the pictures on, against {STEPS} passes of all crops"
    return compare(lambda: _refined(model, x, shares), full, model.device, min(repeats, 3), what, 1.0, STEPS)


def early_stop(model: ViT, repeats: int, n: int = 4) -> dict:
    """The refinement of ``n`` pictures, a crop each, that ends where ten steps gain less than EARLY, against all steps."""
    x, shares, each = _pictures(model, n), _shares(model, n), torch.arange(n, device=model.device)
    result = {}

    def early():
        result["steps"] = _refined(model, x, shares, each, stop=EARLY).steps

    row = compare(early, lambda: _refined(model, x, shares, each), model.device, min(repeats, 3), "")
    steps = float(result["steps"].float().mean())
    return row | {"what": f"{n} pictures, a crop each: {steps:.0f} of {STEPS} steps on average, stop = {EARLY}", "steps": steps}


def indexing(model: ViT, repeats: int, detector=None, segmenter=None, most: int = 8, side: int = 640) -> dict:
    """The refinement's share of indexing one picture of ``side`` pixels: detector, masks, crops and their embeddings, refinement.

    ``detector``: groups of patch tokens unless given; ``segmenter``: none (the detector's masks) unless given; at most ``most`` objects.
    """
    rng = np.random.default_rng(0)
    picture = Image.fromarray(rng.integers(0, 256, (side // 16, side // 16, 3), dtype=np.uint8)).resize((side, side))
    detector, seconds = detector or Tokens(model), {"detector": [], "masks": [], "crops": [], "refinement": []}

    def timed(name, work):
        start = time.perf_counter()
        value = work()
        if model.device.type == "cuda":
            torch.cuda.synchronize(model.device)
        seconds[name].append(time.perf_counter() - start)
        return value

    def index():
        objects = timed("detector", lambda: detector.detect(picture))[:most]
        windows = [decomposition.window(box, picture.size, model.image_size) for box in objects.boxes.tolist()]
        masks = timed("masks", lambda: segmenter.segment(picture, objects.boxes)) if segmenter else objects.masks
        shares = [patch_shares(mask[y0:y1, x0:x1], model.grid).ravel() for mask, (x0, y0, x1, y1) in zip(masks, windows)]
        shares = torch.tensor(np.array(shares), dtype=torch.float32, device=model.device)
        x = timed("crops", lambda: torch.stack([model.preprocess(picture.crop(window)) for window in windows]))
        timed("refinement", lambda: _refined(model, x, shares))
        return len(objects)

    n = index()
    for times in seconds.values():
        times.clear()
    for _ in range(min(repeats, 3)):
        index()
    ms = {name: 1000 * float(np.median(times)) if times else 0.0 for name, times in seconds.items()}
    parts = ", ".join(f"{name} {value:.0f} ms" for name, value in ms.items() if value)
    what = f"a picture of {side} x {side} with {n} objects: {parts} (with the crops' own passes)"
    return {"ratio": ms["refinement"] / sum(ms.values()), "a_ms": ms["refinement"], "b_ms": sum(ms.values()), "what": what}


def index_size(model: ViT, repeats: int, n_pictures: int, n_objects: int = 9) -> dict:
    """Exact search of one vector a picture against one for each of its ``n_objects`` crops, of which the best counts."""
    rng, d = np.random.default_rng(0), model.net.embed_dim
    n = max(n_pictures // n_objects, 1)
    vectors = rng.standard_normal((n * n_objects, d), dtype=np.float32)
    queries, one = vectors[:10], vectors[::n_objects].copy()
    several = Several(Arrays({"vector": vectors}), "vector", np.repeat(np.arange(n), n_objects), n)
    k, size = min(100, n), 4 * d
    what = f"10 queries, {n} pictures: {size} bytes a picture, {size * n_objects} with a vector for each of {n_objects} crops; ms per query"
    row = compare(lambda: knn(queries, one, k, device=model.device), lambda: best(queries, several, k, model.device), model.device, repeats, what, 0.1, 0.1)
    return row | {"bytes_per_image": size}


def _refined(model, x, shares, owner=None, stop=0.0):
    tokens = model.tokens(x, model.depth - 1)
    embeddings = raw(model, tokens)
    owner = torch.zeros(len(x), dtype=torch.long, device=tokens.device) if owner is None else owner
    start = refinement.means(embeddings, owner, int(owner[-1]) + 1)
    pulls = refinement.pulls(embeddings, start, owner)
    return refinement.refine(model, tokens, shares, pulls, start, owner, steps=STEPS, stop=stop, project=model.projects)


def _pictures(model, n):
    return torch.randn(n, 3, model.image_size, model.image_size, generator=torch.Generator().manual_seed(0)).to(model.device)


def _shares(model, n):
    """Masks of a quarter of the patches, in the middle."""
    rows, columns = model.grid
    mask = torch.zeros(n, rows, columns, device=model.device)
    mask[:, rows // 4 : max(3 * rows // 4, 1), columns // 4 : max(3 * columns // 4, 1)] = 1
    return mask.flatten(1)
