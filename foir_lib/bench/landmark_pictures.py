"""The pictures of a landmark benchmark and their features: parts, crops, training pictures, the store.

A *part* is "database", "queries" (cropped to their boxes, at the scale of the whole picture), "whole queries" or
"training" (pictures that PCA and codebook are learned from, never those of the benchmark).
"""

import hashlib
from functools import cache
from pathlib import Path

import numpy as np

from foir_lib.data import training as training_sets
from foir_lib.errors import InputError
from foir_lib.images import open_image
from foir_lib.store import features

MINI = "mini-landmarks"
CODE = ["prompts.py", "images.py", "models/cnn.py", "methods/*.py"]  # what stored features depend on
CODE += ["search/inverted_file.py", "retrievers/local_features.py", "search/rerank/spatial.py"]
CODE += ["bench/landmark_pictures.py", "bench/landmark_extraction.py"]


class LandmarkPictures:
    """One :class:`RetrievalSet` and one :class:`~foir_lib.models.cnn.CNN`.

    ``training``: paths of other pictures, or None: those of a training town for mini-landmarks, else none, and what has
    to be learned from some can't be had. ``n_training``: how many are drawn with ``seed`` (0: 1,000 for the mini world,
    else 50,000); ``workers``: pictures at once; ``cache``: root of the feature store. Raises InputError for a set
    without queries and a model that is no CNN.
    """

    def __init__(self, retrieval_set, model, training=None, seed=0, n_training=0, workers=2, cache=None, progress=True):
        if not hasattr(model, "locals"):
            raise InputError(f"{model.name} is no CNN: name one such as resnet50 or mini-cnn.")
        if not len(retrieval_set.queries):
            raise InputError(f"{retrieval_set.name} has no queries, so nothing can be scored.")
        self.set, self.model, self.seed, self.workers = retrieval_set, model, seed, workers
        self.cache, self.progress, self._training = cache, progress, training
        self.mini = retrieval_set.name.startswith(MINI)
        self.n_training = n_training or (1000 if self.mini else 50_000)
        self._made = {}

    @property
    def has_training(self):
        """True where PCA and codebook can be learned."""
        return self.mini or bool(self._training)

    def paths(self):
        """Training pictures. Raises InputError when there are none."""
        if not self.has_training:
            raise InputError(
                f"PCA and codebook for {self.set.name} are learned from other pictures: give training_root."
            )
        if self._training is None:
            self._training = training_sets.mini_landmarks(per_landmark=-(-self.n_training // 200)).paths
        if len(self._training) > self.n_training:
            rows = np.random.default_rng(self.seed).choice(len(self._training), self.n_training, replace=False)
            self._training = [self._training[row] for row in np.sort(rows)]
        return self._training

    def _picture(self, part, row):
        """A picture of a part and its longest side for :meth:`CNN.preprocess`."""
        if part == "training":
            return open_image(self.paths()[row]), None
        if part == "database":
            return self.set.open(self.set.database["image_id"].iloc[row]), None
        query = self.set.queries.iloc[row]
        picture = self.set.open(query["image_id"])
        if part == "whole queries":
            return picture, None
        return cropped(picture, query["prompt"], self.model.longest)

    def _n(self, part):
        if part == "training":
            return len(self.paths())
        return len(self.set.database if part == "database" else self.set.queries)

    def _store(self, what, part, describe, source=None):
        """Features of a part: ``describe(picture, longest)`` of each picture, or of ``source(row)``: a dict of tensors."""
        if (what, part) not in self._made:
            n = self._n(part)
            data = training_digest(tuple(self.paths())) if part == "training" else self.set.fingerprint
            key = {"what": what, "part": part, "data": data, "model": self.model.key, "code": features.code_digest(*CODE)}
            label = f"{self.set.name}, {self.model.name}: {part}, {what.split(',')[0].split(':')[0]}"
            options = {"workers": self.workers, "root": self.cache, "progress": self.progress}
            describe_row = lambda row: describe(*(source(row) if source else self._picture(part, row)))  # noqa: E731
            self._made[what, part] = features.each(key, n, describe_row, shard=128, label=label, **options)
        return self._made[what, part]


def cropped(picture, box, longest):
    """A query cut to its box, and the longest side that keeps it at the scale at which the whole picture is seen."""
    box = box.box(picture.size)
    x0, y0, x1, y1 = int(box.x0), int(box.y0), int(np.ceil(box.x1)), int(np.ceil(box.y1))
    part = picture.crop((x0, y0, max(x1, x0 + 1), max(y1, y0 + 1)))
    factor = min(1.0, longest / max(picture.size))
    return part, max(factor * max(part.size), 1.0)


@cache
def training_digest(paths):
    """Names training pictures by name, size and time of their files."""
    facts = [(Path(p).name, Path(p).stat().st_size, Path(p).stat().st_mtime_ns) for p in paths]
    return hashlib.sha256(repr(facts).encode()).hexdigest()
