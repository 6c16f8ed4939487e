"""Extraction: what a network sees of a set of photographs and of the prompts on them, in the feature store.

The network runs once per image (states) or once per prompt (altered pictures, foveal attention), batch by
batch; a bounded number of pictures is in memory at any time.
"""

from collections import deque
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache

import numpy as np
import torch

from foir_lib.errors import InputError
from foir_lib.methods import baselines, foveal, head_selection
from foir_lib.methods.noise import NOISE_PIXELS
from foir_lib.models.vit import ClsState
from foir_lib.retrievers.prompting import prompts_of
from foir_lib.store import features


class Extraction:
    """One :class:`RetrievalSet` seen by one model.

    ``seed`` draws prompt noise (``noise_pixels``, m of supplement A3) and random heads. ``batch_size`` images
    are in memory at once and as many are read ahead, by ``workers`` threads. ``cache``: root of the feature
    store. Raises InputError for a negative seed.
    """

    def __init__(
        self, retrieval_set, model, seed=0, batch_size=32, workers=2, cache=None, progress=True, noise_pixels=NOISE_PIXELS
    ):
        for name, value, least in (("seed", seed, 0), ("batch_size", batch_size, 1), ("workers", workers, 1)):
            if value != int(value) or value < least:
                raise InputError(f"{name}={value} must be a whole number, at least {least}.")
        self.set, self.model, self.seed, self.noise_pixels = retrieval_set, model, seed, noise_pixels
        self.batch_size, self.workers, self.cache, self.progress = batch_size, workers, cache, progress
        queries = retrieval_set.queries
        self.image_ids = queries["image_id"].drop_duplicates().to_numpy()
        row_of = {image_id: row for row, image_id in enumerate(self.image_ids)}
        self.image_row = queries["image_id"].map(row_of).to_numpy()  # (Q,) row of its picture
        sizes = retrieval_set.images.set_index("image_id").loc[queries["image_id"], ["width", "height"]]
        self.sizes = [tuple(size) for size in sizes.to_numpy().tolist()]  # (Q,) of its picture
        self._open = lru_cache(2 * workers)(retrieval_set.open)  # prompts on one picture are neighbours
        self._made, self._asked = {}, {}

    def __len__(self):
        return len(self.set.queries)

    def prompts(self, kind="box", noise=False):
        """The :class:`~foir_lib.retrievers.prompting.Prompts` of one kind, noisy or not."""
        if (kind, noise) not in self._asked:
            m = self.noise_pixels if noise else 0
            self._asked[kind, noise] = prompts_of(self.set, self.sizes, self.model.grid, kind, m, self.seed)
        return self._asked[kind, noise]

    def database(self):
        """Features of the database: descriptor (n, d), heads (n, h*dk) and residual (n, d)."""
        ids = self.set.database["image_id"].to_numpy()

        def make(start, stop):
            states = (self.model.cls_state(x) for x in self._batches(self._image, ids[start:stop]))
            return _stack({"descriptor": self.model.descriptor(s), **_arrays(s, "heads", "residual")} for s in states)

        return self._store("database", len(ids), make)

    def states(self):
        """Features of the query images: all of their :class:`ClsState`, flattened."""

        def make(start, stop):
            batches = self._batches(self._image, self.image_ids[start:stop])
            return _stack(_arrays(self.model.cls_state(x), *ClsState.__annotations__) for x in batches)

        return self._store("query images", len(self.image_ids), make)

    def altered(self, method, prompt="box", noise=False):
        """Features of pictures altered by each prompt, one forward pass each: descriptor (M, d).

        Crops also have "denoised" (M, d): the head least interested in the crop switched off (Table A7).
        """
        prompts = self.prompts(prompt, noise)
        alter = {"Mask": self._masked, "Crop": self._cropped}[method]

        def load(m):
            picture = self._open(self.image_ids[self.image_row[prompts.rows[m]]])
            return self.model.preprocess(alter(picture, prompts.get(m)))

        def describe(x):
            state = self.model.cls_state(x)
            made = {"descriptor": self.model.descriptor(state)}
            if method == "Crop" and self.model.n_heads > 1:
                everywhere = torch.ones(1, state.attention.shape[-1], dtype=torch.bool)
                heads = head_selection.select(state, everywhere, self.model.n_heads - 1)
                made["denoised"] = head_selection.descriptor(self.model, state, heads)
            return made

        def make(start, stop):
            return _stack(describe(x) for x in self._batches(load, range(start, stop)))

        return self._store(f"{method} by {prompt}{self._noise(noise)}", len(prompts.rows), make)

    def _masked(self, picture, prompt):
        return baselines.masked(picture, prompt, self.model.mean, self.model.grid)

    def _cropped(self, picture, prompt):
        return baselines.cropped(picture, prompt, self.model.grid)

    def biased(self, method, noise=False):
        """Features under a bias on the CLS row for each box: heads, residual and roi (Q, h), eq. 7 under it.

        ``method``: "FA" (last four blocks) or "Attention mask" (last block).
        """
        prompts = self.prompts("box", noise)

        def part(start, stop):
            queries = range(start, stop)
            images, index = np.unique(self.image_row[start:stop], return_inverse=True)
            x = torch.cat(list(self._batches(self._image, self.image_ids[images])))
            tokens = [prompts.get(q).tokens(self.model.grid, self.sizes[q]) for q in queries]
            roi = torch.from_numpy(np.stack(tokens))
            if method == "FA":
                bias = torch.stack([foveal.bias(prompts.get(q), self.model.grid, self.sizes[q]) for q in queries])
                state = self.model.cls_state(x, bias, last=min(4, self.model.depth), index=index)
            else:
                state = self.model.cls_state(x, baselines.attention_mask(roi), last=1, index=index)
            return {**_arrays(state, "heads", "residual"), "roi": head_selection.roi_attention(state, roi)}

        def make(start, stop):  # the queries of an image are neighbours, so a part runs its trunk once
            return _stack(part(a, min(a + self.batch_size, stop)) for a in range(start, stop, self.batch_size))

        return self._store(f"{method}{self._noise(noise)}", len(self), make)

    def _noise(self, noise):
        return f", noisy ({self.noise_pixels} px, seed {self.seed})" if noise else ""

    def _store(self, what, n, make):
        if what not in self._made:
            key = {"what": what, "data": self.set.fingerprint, "model": self.model.key, "code": code_digest()}
            label = f"{self.set.name}, {self.model.name}: {what}"
            self._made[what] = features.build(
                key, n, make, root=self.cache, shard=256, progress=self.progress, label=label
            )
        return self._made[what]

    def _image(self, image_id):
        return self.model.preprocess(self._open(image_id))

    def _batches(self, load, items):
        """Stacked tensors of ``batch_size`` items; threads read ahead by one batch, never more."""
        with ThreadPoolExecutor(self.workers) as pool:
            ready, batch = deque(), []
            for item in items:
                ready.append(pool.submit(load, item))
                if len(ready) > self.batch_size:
                    batch.append(ready.popleft().result())
                if len(batch) == self.batch_size:
                    yield torch.stack(batch)
                    batch = []
            batch += [future.result() for future in ready]
            for start in range(0, len(batch), self.batch_size):
                yield torch.stack(batch[start : start + self.batch_size])


def code_digest():
    """Names the code that stored features depend on: prompts, pictures, masks, methods, the ViT tap and this file."""
    files = ["prompts.py", "images.py", "data/masks.py", "models/vit.py", "retrievers/prompting.py", "bench/extraction.py"]
    return features.code_digest(*files, "methods/*.py")


def _arrays(state, *names):
    return {name: getattr(state, name).flatten(1) for name in names}


def _stack(parts):
    """Dicts of tensors, batch by batch, as one dict of numpy arrays."""
    parts = [{name: t.float().cpu().numpy() for name, t in part.items()} for part in parts]
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
