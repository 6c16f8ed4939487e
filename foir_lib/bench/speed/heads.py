"""What head selection costs beside the network: states, prompts, query-db tails, exact search, a new prompt's lists."""

from itertools import cycle
from tempfile import TemporaryDirectory
from types import SimpleNamespace

import numpy as np
import torch
from PIL import Image

from foir_lib import registry
from foir_lib.bench.speed.contract import compare
from foir_lib.methods import head_selection
from foir_lib.models.taps import networks
from foir_lib.models.vit import ClsState, ViT
from foir_lib.models.zoo import load_model
from foir_lib.prompts import Box
from foir_lib.retrievers.corpus import Corpus
from foir_lib.retrievers.heads import states
from foir_lib.search.knn import knn
from foir_lib.store import features

SIZE = (640, 480)  # pixels of the query picture


def cls_state(model: ViT, repeats: int, batch: int = 8) -> dict:
    """State extraction against timm's own forward pass on the same batch."""
    x = torch.randn(batch, 3, model.image_size, model.image_size, device=model.device)

    @torch.inference_mode()
    def plain():
        return networks.embedded(model.net, x)

    return compare(lambda: model.cls_state(x), plain, model.device, repeats, f"batch of {batch}")


def many_prompts(model: ViT, repeats: int, n: int = 100) -> dict:
    """Forward pass, then ``n`` boxes: tokens, head selection, descriptors; against the forward pass alone."""
    x = torch.randn(1, 3, model.image_size, model.image_size, device=model.device)
    boxes, h_on = _boxes(n), min(5, model.n_heads)

    def prompts():
        state = model.cls_state(x)
        roi = torch.from_numpy(np.stack([b.tokens(model.grid, SIZE) for b in boxes]))
        state = state[torch.zeros(n, dtype=torch.long, device=model.device)]
        return model.descriptor(state, head_selection.weights(head_selection.select(state, roi, h_on)))

    return compare(prompts, lambda: model.cls_state(x), model.device, repeats, f"{n} boxes")


def query_db_tail(model: ViT, repeats: int, n_states: int, batch: int = 16, chunk: int = 4096) -> dict:
    """One head set applied to stored states against the last block computed again from all tokens."""
    d, dk = model.width, model.head_dim
    state = ClsState(None, torch.randn(chunk, model.n_heads, dk), None, torch.randn(chunk, d)).to(model.device)
    tokens = torch.randn(batch, model.n_prefix + model.grid[0] * model.grid[1], d, device=model.device)
    on = torch.arange(model.n_heads) < min(5, model.n_heads)

    def stored():
        for start in range(0, n_states, chunk):
            head_selection.descriptor(model, state[: min(chunk, n_states - start)], on)

    @torch.inference_mode()
    def again():
        head_selection.descriptor(model, model.finish(tokens), on)

    what = f"{n_states} stored states against batches of {batch} token sets, ms per 1,000 images"
    return compare(stored, again, model.device, min(repeats, 3), what, 1000 / n_states, 1000 / batch)


def exact_search(device: torch.device, repeats: int, n: int, d: int, n_queries: int = 100, k: int = 100) -> dict:
    """kNN over n x d against the bare matrix product it can't do without."""
    rng = np.random.default_rng(0)
    database = rng.standard_normal((n, d), dtype=np.float32)
    database /= np.linalg.norm(database, axis=1, keepdims=True)
    queries, rows = database[:n_queries], torch.from_numpy(database).to(device)

    def product():
        return torch.from_numpy(queries).to(device) @ rows.T

    what, scale = f"{n_queries} queries, {n} x {d}, k = {k}, ms per query", 1 / n_queries
    return compare(lambda: knn(queries, rows, k, device=device), product, device, repeats, what, scale, scale)


def prompt_to_list(name: str, n: int, methods: tuple[str, ...], device: str, repeats: int) -> dict:
    """New prompts on a picture already described, each ranked by all ``methods`` over ``n`` stored states; against
    describing the picture once (preprocessing and one forward pass)."""
    model = load_model(name, pretrained=False, device=device)
    rng = np.random.default_rng(0)
    picture = Image.fromarray(rng.integers(0, 256, (*SIZE[::-1], 3), dtype=np.uint8))
    corpus = Corpus(SimpleNamespace(name="random states", settings={}), model, progress=False)
    retrievers, boxes = [registry.parse("retriever", method) for method in methods], cycle(_boxes(100))

    def encode():
        return states(corpus.live(picture.copy()).pictures)

    with TemporaryDirectory() as folder:
        database = random_states(model, n, folder)

        def lists():
            part = corpus.live(picture, [next(boxes)])
            return [retriever.score(corpus, retriever.describe(part), database, n) for retriever in retrievers]

        what = f"a new box each time, whole ranking of {n} stored states"
        return compare(lists, encode, model.device, repeats, what)


def random_states(model: ViT, n: int, folder: str) -> features.Features:
    """Features of ``n`` database images that never were, in the feature store."""
    rng, d = np.random.default_rng(1), model.width
    widths = {"descriptor": d, "heads": model.n_heads * model.head_dim, "residual": d}

    def make(start, stop):
        return {name: rng.standard_normal((stop - start, width), dtype=np.float32) for name, width in widths.items()}

    return features.build({"what": "random states", "n": n}, n, make, root=folder, shard=256, progress=False)


def _boxes(n):
    """Random boxes on a picture of :data:`SIZE`."""
    corners = np.random.default_rng(0).uniform((0, 0, 40, 40), (600, 440, 40, 40), (n, 4))
    return [Box(x0, y0, x0 + w, y0 + h) for x0, y0, w, h in corners]
