"""How busy describing pictures keeps the processor: against the bare network on the same batches, and against what decoding leaves it."""

import os
import time
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

import numpy as np
import torch

from foir_lib.bench.speed.contract import synchronise
from foir_lib.data import load_set
from foir_lib.files import manifest_root
from foir_lib.images import open_image
from foir_lib.models.vit import ViT
from foir_lib.retrievers.corpus import Corpus
from foir_lib.retrievers.heads import states
from foir_lib.threads import cores, single

N = 256  # pictures of a measurement


def pictures(root: str | os.PathLike | None, n: int, folder: Path) -> Path:
    """A folder of links to ``n`` photographs below ``root`` (None: the samples of the workbook), again and again where there are fewer."""
    sources = sorted(Path(root or manifest_root() / "samples").rglob("*.jpg"))
    place = folder / "photographs"
    place.mkdir()
    for i in range(n):
        (place / f"{i:05d}.jpg").write_bytes(sources[i % len(sources)].read_bytes() + i.to_bytes(4, "big"))  # of another content each
    return place


def extraction(model: ViT, repeats: int, root: str | os.PathLike | None = None, n: int = N, batch: int = 32) -> list[dict]:
    """Describing ``n`` photographs of a folder from their files to the store: two rows.

    Against the bare forward pass of the same batches, that lie in memory, by whichever is faster: all threads on one batch, or a
    batch for each core. Against what is possible where cores decode too: f + d / cores a picture, with f the bare pass and d the
    decoding of one picture by one core.
    """
    with TemporaryDirectory() as folder:
        photographs = load_set("folder", root=pictures(root, n, Path(folder)))
        paths = photographs.images["path"].tolist()
        x = torch.stack([model.preprocess(open_image(path)) for path in paths]).split(batch)
        done = iter(range(repeats + 1))

        def extract():
            corpus = Corpus(photographs, model, cache=Path(folder) / f"cache{next(done)}", progress=False, batch_size=batch)
            return states(corpus.database)

        def decode():
            for path in paths[:: max(n // 64, 1)]:
                model.preprocess(open_image(path))

        works = {"extract": extract, "one": lambda: _forward(model, x, 1), "several": lambda: _forward(model, x, cores()), "decode": decode}
        times = {name: [] for name in works}
        for turn in range(repeats + 1):
            for name, work in works.items():
                synchronise(model.device)
                start = time.perf_counter()
                work()
                synchronise(model.device)
                if turn:  # the first is the warm-up
                    times[name].append(time.perf_counter() - start)
    decoded = len(paths[:: max(n // 64, 1)])
    one = np.array(times["extract"]) / n
    bare = np.minimum(times["one"], times["several"]) / n
    possible = bare + np.array(times["decode"]) / decoded / cores()
    return [_row(one, bare, n, "the bare pass"), _row(one, possible, n, f"the bare pass and decoding by {cores()} cores")]


def _row(one, other, n, name):
    """Speed of extraction in shares of another: the median of the ratios of each turn."""
    a, b = 1000 * median(one), 1000 * median(other)
    what = f"{n} photographs, {1000 / a:.1f} a second from files to the store; {name} {1000 / b:.1f}; ms a picture"
    return {"ratio": a / b, "share": float(np.median(other / one)), "a_ms": a, "b_ms": b, "what": what}


@torch.inference_mode()
def _forward(model, batches, workers):
    """The network alone: batches one after the other with all threads, or several at a time with one thread each."""
    if workers == 1 or model.device.type != "cpu":
        for x in batches:
            model.net(x.to(model.device))
        return
    with single(workers) as pool:
        list(pool.map(torch.inference_mode()(model.net), batches))
