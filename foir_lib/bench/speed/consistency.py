"""What the graph of verified neighbours costs a picture, beside finding its keypoints."""

import numpy as np
from PIL import Image

from foir_lib.bench.speed.contract import compare
from foir_lib.search.rerank import spatial

N = 50  # neighbours


def verifying(repeats: int, n_features: int = 500, side: int = 480) -> dict:
    """Verifying a picture of ``side`` pixels against :data:`N` others, half of them parts of it, against finding its keypoints."""
    rng = np.random.default_rng(0)
    pictures = [Image.fromarray(rng.integers(0, 256, (side // 6, side // 6, 3), dtype=np.uint8)).resize((side, side)) for _ in range(N // 2 + 1)]
    parts = [pictures[0].crop((i, i, i + side // 2, i + side // 2)).resize((side, side)) for i in range(N - N // 2)]
    picture, *others = [spatial.keypoints(one, n_features=n_features) for one in (*pictures, *parts)]
    what = f"{len(picture.points)} keypoints, {N} others; minutes for 1,000 pictures: "
    row = compare(
        lambda: [spatial.verify(picture, other, threshold=10.0, iterations=1000) for other in others],
        lambda: spatial.keypoints(pictures[0], n_features=n_features), "cpu", min(repeats, 3), what,
    )  # fmt: skip
    return row | {"what": f"{what}{row['a_ms'] / 60:.1f}", "pairs": len(others)}
