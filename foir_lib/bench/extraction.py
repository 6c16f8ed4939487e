"""Extraction: what a network sees of a set of photographs and of the prompts on them, in the feature store.

The network runs once per image (states) or once per prompt (altered pictures, foveal attention), batch by
batch; a bounded number of pictures is in memory at any time.
"""

from collections import deque
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch

from foir_lib.errors import InputError
from foir_lib.methods import baselines, foveal, head_selection
from foir_lib.methods.noise import noisy
from foir_lib.models.vit import ClsState
from foir_lib.prompts import Point
from foir_lib.search import store


class Extraction:
    """One :class:`RetrievalSet` seen by one model.

    ``seed`` draws prompt noise and random heads. ``batch_size`` images are in memory at once, read by
    ``workers`` threads. ``cache``: root of the feature store.
    """

    def __init__(self, retrieval_set, model, seed=0, batch_size=64, workers=2, cache=None, progress=True):
        if not len(retrieval_set.queries):
            raise InputError(f"{retrieval_set.name} has no labelled queries, so nothing can be scored: give boxes.")
        self.set, self.model, self.seed = retrieval_set, model, seed
        self.batch_size, self.workers, self.cache, self.progress = batch_size, max(workers, 1), cache, progress
        queries, database = retrieval_set.queries, retrieval_set.database
        self.image_ids = queries["image_id"].drop_duplicates().to_numpy()
        row_of = {image_id: row for row, image_id in enumerate(self.image_ids)}
        self.image_row = queries["image_id"].map(row_of).to_numpy()  # (Q,) row of its picture
        sizes = retrieval_set.images.set_index("image_id").loc[self.image_ids, ["width", "height"]]
        self.sizes = [tuple(int(n) for n in size) for size in sizes.to_numpy()]
        database_row = {image_id: row for row, image_id in enumerate(database["image_id"])}
        self.exclude = queries["image_id"].map(database_row).fillna(-1).astype(int).to_numpy()

    def __len__(self):
        return len(self.set.queries)

    # What the network sees, in the feature store ------------------------------------------------

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
        _, rows, prompts = self._prompts(prompt, noise)

        def load(m):
            picture = self.set.open(self.image_ids[self.image_row[rows[m]]])
            if method == "Mask":
                picture = baselines.masked(picture, prompts[m], self.model.mean, self.model.grid)
            else:
                picture = baselines.cropped(picture, prompts[m], self.model.grid)
            return self.model.preprocess(picture)

        def make(start, stop):
            def arrays(x):
                state = self.model.cls_state(x)
                made = {"descriptor": self.model.descriptor(state)}
                if method == "Crop" and self.model.n_heads > 1:
                    everywhere = torch.ones(1, state.attention.shape[-1], dtype=torch.bool)
                    heads = head_selection.select(state, everywhere, self.model.n_heads - 1)
                    made["denoised"] = head_selection.descriptor(self.model, state, heads)
                return made

            return _stack(arrays(x) for x in self._batches(load, range(start, stop)))

        return self._store(f"{method} by {prompt}{self._noise(noise)}", len(prompts), make)

    def biased(self, method, noise=False):
        """Features under a bias on the CLS row for each box: heads, residual and roi (Q, h), eq. 7 under it."""
        _, _, prompts = self._prompts("box", noise)

        def make(start, stop):
            return _stack(self._biased(method, prompts, a, b) for a, b in self._by_image(start, stop))

        return self._store(f"{method}{self._noise(noise)}", len(prompts), make)

    def _biased(self, method, prompts, start, stop):
        rows = self.image_row[start:stop]
        images, index = np.unique(rows, return_inverse=True)
        x = torch.stack([self._image(self.image_ids[i]) for i in images])
        grid = self.model.grid
        roi = torch.stack([torch.from_numpy(prompts[q].tokens(grid, self.sizes[self.image_row[q]])) for q in range(start, stop)])
        if method == "FA":
            bias = torch.stack([foveal.bias(prompts[q], grid, self.sizes[self.image_row[q]]) for q in range(start, stop)])
            state = self.model.cls_state(x, bias, last=min(4, self.model.depth), index=index)
        else:
            state = self.model.cls_state(x, baselines.attention_mask(roi), last=1, index=index)
        return {**_arrays(state, "heads", "residual"), "roi": head_selection.roi_attention(state, roi)}

    def _by_image(self, start, stop):
        """Runs of queries within [start, stop) of at most ``batch_size`` prompts."""
        return [(a, min(a + self.batch_size, stop)) for a in range(start, stop, self.batch_size)]

    def _store(self, what, n, make):
        key = {"what": what, "data": self.set.fingerprint, "model": self.model.key}
        label = f"{self.set.name}, {self.model.name}: {what}"
        return store.build(key, n, make, root=self.cache, shard=256, progress=self.progress, label=label)

    def _image(self, image_id):
        return self.model.preprocess(self.set.open(image_id))

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

    # Prompts ------------------------------------------------------------------------------------

    def _noise(self, noise):
        return f", noisy (seed {self.seed})" if noise else ""

    def _prompts(self, kind="box", noise=False):
        """(kind, query rows (M,), prompts): one per query, or for "point" one per window position."""
        queries = self.set.queries
        everyone = np.arange(len(queries))
        if kind == "box":
            prompts = [b.box(self.sizes[i]) for b, i in zip(queries["prompt"], self.image_row, strict=True)]
            if noise:
                rngs = (np.random.default_rng([self.seed, q]) for q in everyone)
                prompts = [noisy(b, self.sizes[i], rng) for b, i, rng in zip(prompts, self.image_row, rngs, strict=True)]
            return kind, everyone, prompts
        if noise:
            raise InputError(f"Prompt noise is defined for boxes, not for {kind} prompts.")
        masks = (self.set.mask(row) for row in queries["object"])
        if kind == "segment":
            return kind, everyone, list(masks)
        if kind == "point":
            points = [_points(mask, self.model.grid, self.sizes[i]) for mask, i in zip(masks, self.image_row, strict=True)]
            return kind, np.repeat(everyone, [len(p) for p in points]), [p for ps in points for p in ps]
        raise InputError(f"Prompt kind {kind!r} is unknown: choose point, box or segment.")


def _points(mask, grid, size):
    """A click on every patch whose centre lies in the mask; on its centroid if there is none (Table 3, ours)."""
    (rows, columns), (width, height) = grid, size
    pixels = mask.pixels(size)
    ys, xs = (np.arange(rows) + 0.5) * height / rows, (np.arange(columns) + 0.5) * width / columns
    inside = np.argwhere(pixels[np.ix_(ys.astype(int), xs.astype(int))])
    if len(inside):
        return [Point(float(xs[c]), float(ys[r])) for r, c in inside]
    y, x = (float(a.mean()) for a in np.nonzero(pixels))
    return [Point(x, y)]


def _arrays(state, *names):
    return {name: getattr(state, name).flatten(1) for name in names}


def _stack(parts):
    """Dicts of tensors, batch by batch, as one dict of numpy arrays."""
    parts = [{name: t.float().cpu().numpy() for name, t in part.items()} for part in parts]
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
