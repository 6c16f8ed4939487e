"""All measurements of what the design saves, in one run, as JSON and as a table."""

import json
import os
import time
from os import PathLike

import torch
from tqdm.auto import tqdm

from foir_lib.bench.speed import coattention, consistency, contract, extraction, heads, objects, pixels
from foir_lib.errors import InputError, count
from foir_lib.files import atomic_write, try_place
from foir_lib.models import zoo

PAGE = (  # what a page of lists does after a prompt: model, database images, methods
    ("mini-vit", 1_500, ("CBIR", "PHS")),
    ("dinov2-base", 10_000, ("CBIR", "PHS")),
    ("dinov2-base", 10_000, ("PHS(query_db=True)",)),
)
EXTRACTION = ("describing photographs / the bare network", "describing photographs / the bare network and decoding, by all cores")
PIXELS = ("embedding and matching 100 pictures / embedding them", "matching 100 pictures from stored patches / embedding them", "outlines of a list / one second")


def main(
    out: str | PathLike = "bench.json", model: str = "dinov2-small", device: str = "auto", repeats: int = 7, n_states: int = 100_000,
    n_dimensions: int = 1024, page: tuple = PAGE,
) -> dict:  # fmt: skip
    """Run all measurements with random weights of ``model``; write strict JSON to ``out``, tried first, and return it.

    ``n_states`` database images (for co-attention on a GPU, a million) and ``n_dimensions`` of their descriptors for the
    searches; ``page``: see :data:`PAGE`, with models of its own.
    """
    out = try_place(out)
    if zoo.kind_of(model, published=False) is zoo.cnn.CNN:
        raise InputError(f"{model} has no attention heads to measure: name a ViT such as dinov2-small.")
    count(n_states, "n_states", 1, int(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / (12 * n_dimensions)))
    net = zoo.load_model(model, pretrained=False, device=device)
    n_pictures = coattention.MILLION if net.device.type == "cuda" else n_states
    measures = {
        "CLS state / plain forward": lambda: heads.cls_state(net, repeats),
        "100 prompts on one image / one forward": lambda: heads.many_prompts(net, repeats),
        "query-db tail / recomputed last block, per image": lambda: heads.query_db_tail(net, repeats, n_states),
        "exact search, one query / one matrix product": lambda: heads.exact_search(net.device, repeats, n_states, n_dimensions),
        "co-attention, one query / its bare products with all clusters": lambda: coattention.coattention_search(
            contract.compare, net.device, repeats, n_pictures
        ),
        "refinement of crops / 80 full forward and backward passes": lambda: objects.refining(net, repeats),
        "refinement with early stop / all steps": lambda: objects.early_stop(net, repeats),
        "refinement / indexing a picture": lambda: objects.indexing(net, repeats),
        "search of one vector a picture / one a crop": lambda: objects.index_size(net, repeats, n_states),
    }
    measures["verifying a picture against 50 others / finding its keypoints"] = lambda: consistency.verifying(repeats)
    for name, n, methods in page:
        title = f"{' + '.join(methods)} for a new prompt / encoding the picture, {name}"
        measures[title] = lambda case=(name, n, methods): heads.prompt_to_list(*case, device, repeats)
    results = [{"measure": name, **row} for name, row in zip(EXTRACTION, extraction.extraction(net, repeats, n=min(64 * repeats, extraction.N)), strict=True)]
    results += [{"measure": name, **measure()} for name, measure in tqdm(measures.items(), desc="bench", unit="measure")]
    results += [{"measure": name, **row} for name, row in zip(PIXELS, pixels.matching(net, repeats), strict=True)]
    where = {
        "date": time.strftime("%Y-%m-%d"), "model": model, "device": contract.device_name(net.device), "torch": torch.__version__,
        "threads": torch.get_num_threads(), "repeats": repeats,
    }  # fmt: skip
    report = {"where": where, "results": results}
    atomic_write(out, json.dumps(report, indent=1, allow_nan=False))
    return report


def markdown(report: dict) -> str:
    """The report as a Markdown table."""
    where = report["where"]
    lines = [
        f"{where['model']} with random weights, {where['device']}, torch {where['torch']}, {where['threads']} threads, "
        f"medians of {where['repeats']}, {where['date']}.",
        "", "| measure | ratio | A (ms) | B (ms) | what |", "|---|---|---|---|---|",
    ]  # fmt: skip
    lines += [f"| {r['measure']} | {r['ratio']:.3f} | {r['a_ms']:.2f} | {r['b_ms']:.2f} | {r['what']} |" for r in report["results"]]
    return "\n".join(lines)
