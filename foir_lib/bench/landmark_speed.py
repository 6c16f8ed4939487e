"""What co-attention costs at a million pictures: clusters streamed from a memory map, against one global search."""

from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch

from foir_lib.methods import coattention
from foir_lib.search.knn import knn

K, WIDTH = 10, 512  # clusters of a picture and their dimensions, co-attention section 6.1
MILLION = 1_000_000
PAPER_MS, PAPER_GB = 530, 21  # co-attention section 7.11: a query on a Tesla GPU with an inverted file, float32


def coattention_search(compare, device, repeats, n, folder=None):
    """One query scored by co-attention over ``n`` synthetic pictures, against exact search over as many global vectors.

    On the CPU the clusters are a memory-mapped float16 file, below ``folder`` or a temporary one, on a GPU they lie in its
    memory. ``compare``: measures both, as ``speed._compare`` does. Adds bytes a picture, ms a query, and both for 1M.
    """
    rng = np.random.default_rng(0)
    query = torch.from_numpy(rng.standard_normal(WIDTH, dtype=np.float32)).to(device)
    vectors = torch.from_numpy(_unit(rng, min(n, 4096), 1)[:, 0]).repeat(-(-n // 4096), 1)[:n].to(device)
    with TemporaryDirectory(dir=folder) as made:
        clusters = synthetic(Path(made) / "clusters.f16", n)
        if torch.device(device).type == "cuda":
            clusters = torch.from_numpy(np.asarray(clusters)).to(device)

        def coattend():
            coattention.scores(query, clusters)

        found = compare(coattend, lambda: knn(query[None], vectors, 100, device=device), device, min(repeats, 3), "")
    size = K * WIDTH * 2
    million = found["a_ms"] * MILLION / n
    what = (
        f"{n} pictures of {K} x {WIDTH} float16, {size} bytes each; for 1M {size * MILLION / 1e9:.1f} GB and {million:.0f} ms "
        f"a query without an inverted file (paper: {PAPER_GB} GB, {PAPER_MS} ms with one, Tesla GPU)"
    )
    return found | {"what": what, "bytes_per_image": size, "ms_per_million": million}


def synthetic(path, n, block=4096):
    """Unit clusters (n, K, WIDTH) float16 that never were, as a memory map that is only read; a block is repeated."""
    x = _unit(np.random.default_rng(1), min(n, block), K).astype(np.float16)
    with path.open("wb") as file:
        for start in range(0, n, len(x)):
            file.write(x[: n - start].tobytes())
    return np.memmap(path, np.float16, "r", shape=(n, K, WIDTH))


def _unit(rng, n, k):
    x = rng.standard_normal((n, k, WIDTH), dtype=np.float32)
    return x / np.linalg.norm(x, axis=-1, keepdims=True)
