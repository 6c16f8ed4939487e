"""What outlines cost: dense matching of pictures beside embedding them, from stored patches alone, and for one list."""

import tempfile
from itertools import count
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from foir_lib.bench.speed.contract import compare
from foir_lib.data.sets import RetrievalSet
from foir_lib.models.vit import ViT
from foir_lib.prompts import Box
from foir_lib.retrievers.corpus import Corpus
from foir_lib.retrievers.pixels.dense import Dense

SIZE = (640, 480)
HUNDRED, LIST = 100, 12


def matching(model: ViT, repeats: int, n: int = 10, folder: str | None = None) -> list[dict]:
    """Rows of dense correspondence at 448 px: embedding and matching a hundred pictures against embedding them, matching alone from
    stored float16 patches against embedding, and the outlines (as RLE) of a list of twelve against one second.

    ``n`` pictures stand for the hundred, times are scaled. Pictures are noise of 640 x 480 pixels, or the first of a ``folder``.
    """
    with tempfile.TemporaryDirectory() as work:
        work, localiser, fresh = Path(work), Dense(), count()
        paths = sorted(map(str, Path(folder).rglob("*.jpg")))[: n + 1] if folder else _pictures(work, n + 1)
        n = len(paths) - 1

        def embedded():
            corpus = Corpus(_set(paths), model, cache=work / f"cache{next(fresh)}", progress=False)
            return corpus, localiser.stored(corpus.database)

        corpus, stored = embedded()
        localiser.locate(corpus, part := _asking(corpus, paths[0]), 0, range(1))  # the query's own patches

        def both():
            again, _ = embedded()
            localiser.locate(again, _asking(again, paths[0]), 0, range(n))

        scale, few = HUNDRED / n, min(repeats, 3)
        bytes_per_image = int(stored.read("patches", [0]).nbytes)
        size = f"{bytes_per_image} bytes a picture, float16"
        what = f"{HUNDRED} pictures at {localiser.side} px, timed on {n}"
        together = compare(both, embedded, model.device, few, f"{what}, with storing", scale, scale)
        alone = compare(lambda: localiser.locate(corpus, part, 0, range(n)), embedded, model.device, few, f"{what}; {size}", scale, scale)
        rows = (list(range(n)) * LIST)[:LIST]
        one = compare(lambda: localiser.locate(corpus, part, 0, rows), lambda: None, model.device, repeats, f"a list of {LIST}, B is one second")
        one |= {"ratio": one["a_ms"] / 1000, "b_ms": 1000.0}
    return [together, alone | {"bytes_per_image": bytes_per_image}, one]


def _asking(corpus, path):
    """A box in the middle of a picture, as under the mouse."""
    with Image.open(path) as picture:
        width, height = picture.size
        return corpus.live(picture.convert("RGB"), [Box(width / 4, height / 4, 3 * width / 4, 3 * height / 4)])


def _set(paths):
    """The pictures but the first as a database."""
    sizes = [Image.open(path).size for path in paths[1:]]
    images = pd.DataFrame([(i, path, *size, "database") for i, (path, size) in enumerate(zip(paths[1:], sizes, strict=True))])
    images.columns = ["image_id", "path", "width", "height", "split"]
    nothing = {name: [] for name in ("image_id", "label", "x0", "y0", "x1", "y1", "ignore", "segmentation")}
    queries = pd.DataFrame({"image_id": [], "prompt": [], "label": [], "object": []})
    return RetrievalSet("bench", images, pd.DataFrame(nothing), queries, {}, {})


def _pictures(folder, n):
    rng, paths = np.random.default_rng(0), [str(folder / f"{i}.jpg") for i in range(n)]
    for path in paths:
        noise = Image.fromarray(rng.integers(0, 256, (SIZE[1] // 20, SIZE[0] // 20, 3), dtype=np.uint8))
        noise.resize(SIZE, Image.Resampling.BICUBIC).save(path)
    return paths
