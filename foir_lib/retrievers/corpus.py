"""A corpus: one RetrievalSet as one model sees it, its parts, and what is learned once from them."""

import copy
import hashlib
from collections import OrderedDict
from functools import cached_property

import numpy as np
import pandas as pd

from foir_lib.data import contents
from foir_lib.data import training as training_sets
from foir_lib.data.readers.pictures import sizes as measured
from foir_lib.errors import InputError, count
from foir_lib.images import open_image, rgb
from foir_lib.methods.noise import NOISE_PIXELS
from foir_lib.retrievers.parts import Pictures, Prompted, View
from foir_lib.retrievers.prompting import prompts_of
from foir_lib.store.arrays import Rows
from foir_lib.store.engines.cluster import Ray
from foir_lib.store.engines.processes import Processes
from foir_lib.store.engines.reading import Opened
from foir_lib.threads import cores

N_TRAINING = 50_000
LIVE = 4  # pictures under the mouse whose features stay in memory


def engine_of(model):
    """Who computes features with a model: a cluster, a process for each of its devices, or None: this process."""
    devices, cluster = tuple(getattr(model, "devices", ())), getattr(model, "cluster", None)
    if cluster is not None:
        return Ray(cluster, float(model.device.type == "cuda"))
    return Processes(devices) if len(devices) > 1 else None


class Corpus:
    """One :class:`RetrievalSet` and one model.

    ``seed`` draws prompt noise, random heads and training pictures. ``training``: paths of other pictures, which PCA and codebook are
    learned from (None: those that the set's settings name, if any), ``n_training`` of them (0: the settings' number, else
    50,000). ``attention``: RegionalAttention networks; ``detector``: path of weights of torchvision's fasterrcnn_resnet50_fpn.
    ``noise_pixels``: m of supplement A3 (0: the settings', else the paper's 40). ``batch_size`` pictures are in memory at
    once and as many are read ahead, by ``workers`` threads (None: as many as cores); ``fits``: of which a GPU's memory held at
    once, where it was too small for all. ``cache``: root of the feature store; ``engine``: who computes what isn't there, unless
    given a process for each of the model's devices, of one this process; see :mod:`foir_lib.store.engines`. Raises InputError for numbers that can't be.
    """

    def __init__(
        self, retrieval_set, model, seed: int = 0, training=None, n_training: int = 0, attention=(), detector=None,
        batch_size: int = 32, workers: int | None = None, cache=None, progress: bool = True, noise_pixels: int = 0, engine=None,
    ):  # fmt: skip
        workers = cores() if workers is None else workers
        count(seed, "seed", 0), count(batch_size, "batch_size"), count(workers, "workers"), count(n_training, "n_training", 0)
        self.set, self.model, self.seed, self.detector = retrieval_set, model, seed, detector
        self.batch_size, self.workers, self.cache, self.progress = batch_size, workers, cache, progress
        self.engine, self.fits = engine or engine_of(model), None
        self.noise_pixels = noise_pixels or self.setting("noise_pixels", NOISE_PIXELS)
        self.attention = {net.context: net.to(model.device) for net in attention}
        self._training, self._n_training = training, n_training or self.setting("n_training", N_TRAINING)
        self._learned, self._questions, self._live = {}, {}, OrderedDict()

    def __getstate__(self):
        """What another process needs: nothing that was learned, nobody's engine."""
        return self.__dict__ | {"_learned": {}, "_questions": {}, "_live": OrderedDict(), "engine": None, "progress": False}

    def setting(self, name: str, default):
        """A number that belongs to the data, where the set has it; else the paper's."""
        return self.set.settings.get(name, default)

    def described(self, retriever, part):
        """Features of a part by a retriever, those of pictures described once; what is a view of a part is read there."""
        if isinstance(part, View):
            return Rows(self.described(retriever, part.whole), part.at)
        if part.prompted:
            return retriever.describe(part)
        return self.learned((retriever, part), lambda: retriever.describe(part))

    def learned(self, key, learn):
        """What ``learn()`` gives, learned once for a ``key``."""
        if key not in self._learned:
            self._learned[key] = learn()
        return self._learned[key]

    @cached_property
    def database(self) -> Pictures:
        """The pictures that are searched."""
        return self.pictures("database", self.set.database, self._rows_in_database is not None)

    @cached_property
    def query_pictures(self) -> Pictures:
        """The pictures of the queries, each once; part of the database where it holds them all."""
        ids = self.set.queries["image_id"].drop_duplicates()
        if self._rows_in_database is not None:
            return View(self.database, self._rows_in_database[ids.index])
        return self.pictures("query pictures", self.set.images.set_index("image_id").loc[ids].reset_index(), True)

    @cached_property
    def _rows_in_database(self):
        """(Q,) database row of each query's picture, or None where some are not in it."""
        rows = pd.Index(self.set.database["image_id"]).get_indexer(self.set.queries["image_id"])
        return rows if (rows >= 0).all() and len(rows) else None

    def queries(self, kind: str = "box", noise: bool = False, whole: bool = False) -> Pictures:
        """The queries by their boxes, masks ("segment") or clicks ("point", several a query), noisy, or by whole pictures.

        Raises InputError for a set without queries, an unknown kind, and noise on other prompts than boxes.
        """
        if not len(self.set.queries):
            raise InputError(f"{self.set.name} has no labelled queries, so nothing can be scored: give boxes.")
        if (kind, noise, whole) not in self._questions:
            self._questions[kind, noise, whole] = self._question(kind, noise, whole)
        return self._questions[kind, noise, whole]

    def _question(self, kind, noise, whole):
        pictures, ids = self.query_pictures, self.set.queries["image_id"]
        image_row = ids.map({image_id: row for row, image_id in enumerate(ids.drop_duplicates())}).to_numpy()
        if whole:
            return View(pictures, image_row, np.arange(len(ids)))
        m = self.noise_pixels if noise else 0
        sizes = [tuple(size) for size in pictures.sizes[image_row].tolist()]
        prompts = prompts_of(self.set, sizes, getattr(self.model, "grid_of", None), kind, m, self.seed)
        name = f"queries by {kind}" + (f", noisy ({m} px, seed {self.seed})" if noise else "")
        return Prompted(pictures, name, prompts.get, prompts.rows, image_row[prompts.rows], self.set.fingerprint)

    def live(self, picture, prompts=(None,)) -> Prompted:
        """Prompts on one picture (PIL) under the mouse; its features stay in memory."""
        _, pictures = self._live.get(id(picture), (None, None))
        if pictures is None:
            plain = rgb(picture)
            pictures = Pictures(self, "live", 1, lambda row: plain, None, [plain.size], True)
            self._live[id(picture)] = picture, pictures  # the picture is held, so that its id stays its own
        self._live.move_to_end(id(picture))
        while len(self._live) > LIVE:
            self._live.popitem(last=False)
        prompts, n = list(prompts), len(prompts)
        return Prompted(pictures, "live", prompts.__getitem__, np.arange(n), np.zeros(n, dtype=int), None)

    def over(self, database: Pictures) -> "Corpus":
        """The same corpus, queries and what is learned with it, where another part is searched; what is learned of that part is its own."""
        other = copy.copy(self)
        if len(self.set.queries):
            self.query_pictures  # noqa: B018  those of this database, not of the other
        other.__dict__ |= self.__dict__ | {"database": database, "_learned": dict(self._learned)}
        return other

    @property
    def has_training(self) -> bool:
        """True where PCA and codebook can be learned."""
        return bool(self._training) or "training" in self.set.settings

    @cached_property
    def training(self) -> Pictures:
        """Other pictures, to learn from. Raises InputError when there are none."""
        if not self.has_training:
            raise InputError(f"PCA and codebook for {self.set.name} are learned from other pictures: give training_root.")
        paths = self._training
        if paths is None:
            paths = training_sets.load(self.set.settings["training"], per_landmark=-(-self._n_training // 200)).paths
        if len(paths) > self._n_training:
            rows = np.random.default_rng(self.seed).choice(len(paths), self._n_training, replace=False)
            paths = [paths[row] for row in np.sort(rows)]
        sizes = measured(paths, "training pictures")
        held = contents.digests(paths, "training pictures")
        digest = hashlib.sha256(b"".join(held)).hexdigest()
        return Pictures(self, "training", len(paths), Opened(open_image, paths, 2 * self.workers), digest, sizes)

    def pictures(self, name: str, table: pd.DataFrame, with_prompts: bool = False) -> Pictures:
        """The pictures of some rows of the set's images as a part of that ``name``; ``with_prompts``: prompts are put on them."""
        ids = table["image_id"].to_numpy()
        sizes = table[["width", "height"]].to_numpy()
        return Pictures(self, name, len(ids), Opened(self.set.open, ids, 2 * self.workers), self.set.fingerprint, sizes, with_prompts, ids)
