"""What the design saves, measured: ratios of medians over repeats, both sides taken in turn in one run.

The contract: random weights (speed doesn't depend on them), one warm-up, A and B in turn, the device
synchronised around every timing, medians. Ratios are what counts; seconds depend on the machine.
"""

import json
import platform
import time
from itertools import cycle
from statistics import median
from tempfile import TemporaryDirectory

import numpy as np
import torch
from PIL import Image
from tqdm.auto import tqdm

from foir_lib.bench.speed import coattention
from foir_lib.files import atomic_write
from foir_lib.methods import head_selection
from foir_lib.models.vit import ClsState
from foir_lib.models.zoo import load_model
from foir_lib.prompts import Box
from foir_lib.search.asking import Database, Sight
from foir_lib.search.knn import knn
from foir_lib.store import features

SIZE = (640, 480)  # pixels of the picture that is asked about
PAGE = (  # what the retrieval explorer does after a prompt: model, database images, methods
    ("mini-vit", 1_500, ("CBIR", "PHS")),
    ("dinov2-base", 10_000, ("CBIR", "PHS")),
    ("dinov2-base", 10_000, ("PHS (query-db)",)),
)


def main(out="bench.json", model="dinov2-small", device="auto", repeats=7, n_states=100_000, n_dimensions=1024, page=PAGE):
    """Run all measurements with random weights of ``model``; write strict JSON to ``out`` and return it.

    ``n_states`` database images (for co-attention on a GPU, a million) and ``n_dimensions`` of their descriptors for the searches; ``page``: see
    :data:`PAGE`, with models of its own.
    """
    net = load_model(model, pretrained=False, device=device)
    measures = {
        "CLS state / plain forward": lambda: cls_state(net, repeats),
        "100 prompts on one image / one forward": lambda: many_prompts(net, repeats),
        "query-db tail / recomputed last block, per image": lambda: query_db_tail(net, repeats, n_states),
        "exact search, one query / one matrix product": lambda: exact_search(net.device, repeats, n_states, n_dimensions),
        "co-attention, one query / its bare products with all clusters": lambda: coattention.coattention_search(
            _compare, net.device, repeats, coattention.MILLION if net.device.type == "cuda" else n_states
        ),
    }
    for name, n, methods in page:
        title = f"{' + '.join(methods)} for a new prompt / encoding the picture, {name}"
        measures[title] = lambda case=(name, n, methods): prompt_to_list(*case, device, repeats)
    results = []
    for name, measure in tqdm(measures.items(), desc="bench", unit="measure"):
        results.append({"measure": name, **measure()})
    where = {
        "date": time.strftime("%Y-%m-%d"), "model": model, "device": _device_name(net.device), "torch": torch.__version__,
        "threads": torch.get_num_threads(), "repeats": repeats,
    }  # fmt: skip
    report = {"where": where, "results": results}
    atomic_write(out, json.dumps(report, indent=1, allow_nan=False))
    return report


def markdown(report):
    """The report as a Markdown table."""
    where = report["where"]
    lines = [
        f"{where['model']} with random weights, {where['device']}, torch {where['torch']}, {where['threads']} threads, "
        f"medians of {where['repeats']}, {where['date']}.",
        "", "| measure | ratio | A (ms) | B (ms) | what |", "|---|---|---|---|---|",
    ]  # fmt: skip
    lines += [f"| {r['measure']} | {r['ratio']:.3f} | {r['a_ms']:.2f} | {r['b_ms']:.2f} | {r['what']} |" for r in report["results"]]
    return "\n".join(lines)


def cls_state(model, repeats, batch=8):
    """State extraction against timm's own forward pass on the same batch."""
    x = torch.randn(batch, 3, model.image_size, model.image_size, device=model.device)

    @torch.inference_mode()
    def plain():
        return model.net.forward_features(x)

    return _compare(lambda: model.cls_state(x), plain, model.device, repeats, f"batch of {batch}")


def many_prompts(model, repeats, n=100):
    """Forward pass, then ``n`` boxes: tokens, head selection, descriptors; against the forward pass alone."""
    x = torch.randn(1, 3, model.image_size, model.image_size, device=model.device)
    boxes, h_on = _boxes(n), min(5, model.n_heads)

    def prompts():
        state = model.cls_state(x)
        roi = torch.from_numpy(np.stack([b.tokens(model.grid, SIZE) for b in boxes]))
        state = ClsState(*(t.expand(n, *t.shape[1:]) for t in (state.attention, state.heads, state.values, state.residual)))
        return model.descriptor(state, head_selection.weights(head_selection.select(state, roi, h_on)))

    return _compare(prompts, lambda: model.cls_state(x), model.device, repeats, f"{n} boxes")


def query_db_tail(model, repeats, n_states, batch=16, chunk=4096):
    """One head set applied to stored states against the last block computed again from all tokens."""
    d, dk = model.net.embed_dim, model.net.blocks[-1].attn.head_dim
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
    return _compare(stored, again, model.device, min(repeats, 3), what, 1000 / n_states, 1000 / batch)


def exact_search(device, repeats, n, d, n_queries=100, k=100):
    """kNN over n x d against the bare matrix product it can't do without."""
    rng = np.random.default_rng(0)
    database = rng.standard_normal((n, d), dtype=np.float32)
    database /= np.linalg.norm(database, axis=1, keepdims=True)
    queries, rows = database[:n_queries], torch.from_numpy(database).to(device)

    def product():
        return torch.from_numpy(queries).to(device) @ rows.T

    what = f"{n_queries} queries, {n} x {d}, k = {k}, ms per query"
    return _compare(
        lambda: knn(queries, rows, k, device=device), product, device, repeats, what, 1 / n_queries, 1 / n_queries
    )


def prompt_to_list(name, n, methods, device, repeats):
    """New prompts on a picture already seen, each answered by all ``methods`` over ``n`` stored states; against
    looking at the picture once (preprocessing and one forward pass)."""
    model = load_model(name, pretrained=False, device=device)
    rng = np.random.default_rng(0)
    picture = Image.fromarray(rng.integers(0, 256, (*SIZE[::-1], 3), dtype=np.uint8))
    sight, boxes, h_on = Sight(model, picture), cycle(_boxes(100)), min(5, model.n_heads)

    def encode():
        return Sight(model, picture).state

    with TemporaryDirectory() as folder:
        database = Database(model, _random_states(model, n, folder))

        def answer():
            prompt = next(boxes)
            for method in methods:
                database.rank(sight, method, prompt, h_on)

        what = f"a new box each time, whole ranking of {n} stored states"
        return _compare(answer, encode, model.device, repeats, what)


def _random_states(model, n, folder):
    """Features of ``n`` database images that never were, in the feature store."""
    rng, d = np.random.default_rng(1), model.net.embed_dim
    widths = {"descriptor": d, "heads": model.n_heads * model.net.blocks[-1].attn.head_dim, "residual": d}

    def make(start, stop):
        return {name: rng.standard_normal((stop - start, width), dtype=np.float32) for name, width in widths.items()}

    return features.build({"what": "random states", "n": n}, n, make, root=folder, shard=256, progress=False)


def _boxes(n):
    """Random boxes on a picture of :data:`SIZE`."""
    corners = np.random.default_rng(0).uniform((0, 0, 40, 40), (600, 440, 40, 40), (n, 4))
    return [Box(x0, y0, x0 + w, y0 + h) for x0, y0, w, h in corners]


def _compare(a, b, device, repeats, what, scale_a=1.0, scale_b=1.0):
    """Medians of A and B in turn, in milliseconds (times their scales), and the median of their ratios."""
    a(), b()
    pairs = [(_seconds(a, device) * scale_a, _seconds(b, device) * scale_b) for _ in range(repeats)]
    a_ms, b_ms = (1000 * median(times) for times in zip(*pairs, strict=True))
    return {"ratio": median(x / y for x, y in pairs), "a_ms": a_ms, "b_ms": b_ms, "what": what}


def _seconds(work, device):
    _synchronise(device)
    start = time.perf_counter()
    work()
    _synchronise(device)
    return time.perf_counter() - start


def _synchronise(device):
    if torch.device(device).type == "cuda":
        torch.cuda.synchronize(device)


def _device_name(device):
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"{platform.machine()} CPU"
