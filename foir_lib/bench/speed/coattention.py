"""What co-attention costs at a million pictures: every cluster read and scored, against the bare product it can't do without."""

from collections.abc import Callable, Iterator
from os import PathLike
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch

from foir_lib.methods import coattention, streaming

K, WIDTH = 10, 512  # clusters of a picture and their dimensions, co-attention section 6.1
SIZE = 2 * K * WIDTH  # bytes of a picture, float16
PIECE = 4096  # pictures mapped at a time
MILLION = 1_000_000
PAPER_MS, PAPER_GB = 530, 21  # co-attention section 7.11: a query on a Tesla GPU with an inverted file; float32


def coattention_search(compare: Callable, device: str | torch.device, repeats: int, n: int, folder: str | PathLike | None = None) -> dict:
    """One query scored by co-attention over ``n`` synthetic pictures, against its bare products with the same clusters.

    On the CPU both stream through a float16 file, below ``folder`` or a temporary one, of which one piece is in memory at
    a time; on a GPU the clusters lie in its memory. ``compare``: measures both, as :func:`contract.compare` does. Adds bytes a
    picture, and ms a query for a million pictures.
    """
    query = torch.from_numpy(_unit(np.random.default_rng(0), 1, 1)[0, 0]).to(device)
    on_gpu = torch.device(device).type == "cuda"
    dtype = torch.float16 if on_gpu else torch.float32
    with TemporaryDirectory(dir=folder) as temporary:
        if on_gpu:
            held = torch.from_numpy(synthetic(min(n, PIECE))).to(device).repeat(-(-n // PIECE), 1, 1)[:n]
        else:
            path = write(Path(temporary) / "clusters.f16", n)

        def pieces():
            return [held] if on_gpu else (torch.from_numpy(np.array(x)) for x in mapped(path))

        def coattend():
            return [coattention.scores(query, x) for x in pieces()]

        products = query.new_empty(n * K, dtype=dtype)

        def product():
            at = 0
            for part in (part for x in pieces() for part in x.split(streaming.CHUNK["cuda" if on_gpu else "cpu"])):
                torch.mv(part.flatten(0, 1).to(dtype), query.to(dtype), out=products[at : at + len(part) * K])
                at += len(part) * K
            return products

        measured = compare(coattend, product, device, min(repeats, 3), "")
    million = measured["a_ms"] * MILLION / n
    what = (
        f"{n} pictures of {K} x {WIDTH} float16, {SIZE} bytes each; 1M: {SIZE * MILLION / 1e9:.1f} GB, {million:.0f} ms a query "
        f"without an inverted file (paper: {PAPER_GB} GB, {PAPER_MS} ms with one, Tesla GPU)"
    )
    return measured | {"what": what, "bytes_per_image": SIZE, "ms_per_million": million}


def synthetic(n: int) -> np.ndarray:
    """Unit clusters (n, K, WIDTH) float16 of pictures that never were."""
    return _unit(np.random.default_rng(1), n, K).astype(np.float16)


def write(path: Path, n: int) -> Path:
    """A file of ``n`` pictures' clusters, one block again and again; returns its path."""
    block = synthetic(min(n, PIECE))
    with path.open("wb") as file:
        for start in range(0, n, PIECE):
            file.write(block[: n - start])
    return path


def mapped(path: Path) -> Iterator[np.memmap]:
    """Walk through a file of :func:`write`: memory maps (m, K, WIDTH) of a piece each, let go one after the other."""
    n = path.stat().st_size // SIZE
    for start in range(0, n, PIECE):
        yield np.memmap(path, np.float16, "r", start * SIZE, (min(PIECE, n - start), K, WIDTH))


def _unit(rng, n, k):
    x = rng.standard_normal((n, k, WIDTH), dtype=np.float32)
    return x / np.linalg.norm(x, axis=-1, keepdims=True)
