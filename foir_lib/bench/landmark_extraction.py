"""What a CNN sees of a landmark benchmark, in the feature store: pooled vectors, regions, clusters, visual words."""

from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

from foir_lib.bench.landmark_pictures import LandmarkPictures
from foir_lib.errors import InputError
from foir_lib.methods import pooling, regional_attention, regions, whitening
from foir_lib.models.cnn import SCALES, Locals
from foir_lib.models.detectors import load_detector
from foir_lib.models.weights import module_digest
from foir_lib.retrievers import local_features
from foir_lib.search import inverted_file
from foir_lib.search.rerank import spatial
from foir_lib.store import caches
from foir_lib.store.features import array_digest
from foir_lib.store.keys import code_of

SCALE_SETS = {1: (1.0,), 3: (1 / 2**0.5, 1.0, 2**0.5), 5: SCALES, 7: (1 / 4, *SCALES, 2.0)}  # co-attention Table 3
GRIDS = (3, 4, 5, 6)  # S of regional attention Table 2a
N_FEATURES, MINI_FEATURES = 500, 150  # N; the mini world's pictures have fewer cells
MINI_ENLARGED = 2**0.5  # and are seen larger: their longer side has 192 pixels, not 1,024
SAMPLE = 16  # region or class vectors of a training picture that a PCA is learned from
KEPT = 4e9  # bytes of selected local features that are kept, so that a network sees each picture once
N_WORDS, MINI_WORDS = 65_536, 4096
CODEBOOK, MINI_CODEBOOK = 300, 100  # local features of a training picture that words are learned from, in one scale
MINI_ASKING = 100  # of a query's local features, those with the largest norms, that name words; the paper: all


class LandmarkExtraction(LandmarkPictures):
    """Arrays of a part by name, made when first asked for; arguments as for :class:`LandmarkPictures`.

    ``attention``: :class:`RegionalAttention` networks, with or without context; ``detector``: path of weights of
    torchvision's fasterrcnn_resnet50_fpn, for its proposals; ``n_words`` of the inverted file, ``n_asking``: how many of a
    query's features name words (None: all); ``n_features``: N of co-attention; ``enlarged``: factor of all scales. Unless
    given they are the paper's, and others in the mini world: there 500 features are nearly all of a picture, and all
    pictures show a town, so that a word of 150 features is found in every one.
    """

    def __init__(self, *args, attention=(), detector=None, n_words=0, n_asking=0, n_features=0, enlarged=0.0, **others):
        super().__init__(*args, **others)
        self.n_features = n_features or (MINI_FEATURES if self.mini else N_FEATURES)
        self.enlarged = enlarged or (MINI_ENLARGED if self.mini else 1.0)
        self.n_words = n_words or (MINI_WORDS if self.mini else N_WORDS)
        self.n_asking = (MINI_ASKING if self.mini else None) if n_asking == 0 else n_asking
        self.attention = {net.context: net.to(self.model.device) for net in attention}
        self._learned, self._detector = {}, detector

    # ---- what is stored

    def pooled(self, part, n_scales=1):
        """Raw pooled vectors: gem (n_scales, C), and at one scale also spoc, mac, crow (C,)."""

        if n_scales > 1 and self._keeps(part, self.n_features):
            return self.seen(part, n_scales)

        def describe(picture, longest):
            maps = self._maps(picture, longest, SCALE_SETS[n_scales])
            found = {"gem": torch.cat([pooling.gem(x, self.model.gem_p) for x in maps])}
            if n_scales == 1:
                found |= {name: getattr(pooling, name)(maps[0])[0] for name in ("spoc", "mac", "crow")}
            return found

        return self._store(f"pooled at {n_scales} scales", part, describe)

    def seen(self, part, n_scales=5):
        """The arrays of :func:`local_features.selected`, N a picture, and gem (n_scales, C)."""

        def describe(picture, longest):
            maps, found = self._looked_at(picture, longest, n_scales)
            gem = torch.cat([pooling.gem(x, self.model.gem_p) for x in maps])
            return local_features.selected(found, self.n_features) | {"gem": gem}

        return self._store(f"local features: {n_scales} scales, N {self.n_features}", part, describe)

    def regional(self, part, context=None):
        """R-MAC of each S of :data:`GRIDS` (4, d), plain, or with the attention that has, or lacks, ``context``."""
        pca, net = self.pca("regions"), None if context is None else self._net(context)

        def describe(picture, longest):
            x = self._maps(picture, longest)[0]
            vectors = [regional_attention.descriptor(x, net, scales, pca) for scales in GRIDS]
            return {"descriptor": torch.cat(vectors)}

        return self._store(
            f"regional, {array_digest(pca.matrix)}, {'plain' if net is None else module_digest(net)}", part, describe
        )

    def proposed(self, part, context=None):
        """As :meth:`regional`, (d,), of the 256 regions that a detector proposes (Table 2b)."""
        pca, net = self.pca("regions"), None if context is None else self._net(context)
        if isinstance(self._detector, (str, Path)):
            self._detector = load_detector(self._detector).to(self.model.device)

        def describe(picture, longest):
            x = self._maps(picture, longest)[0]
            at = regions.proposals(self._detector, picture, *x.shape[2:])
            return {"descriptor": regional_attention.descriptor(x, net, whiten=pca, at=at)[0]}

        kind = "plain" if net is None else module_digest(net)
        return self._store(
            f"proposed by {module_digest(self._detector)}, {array_digest(pca.matrix)}, {kind}", part, describe
        )

    def classes(self, part):
        """CAM descriptor (d,)."""
        pca, (weight, bias) = self.pca("classes"), self.model.classifier

        def describe(picture, longest):
            return {"descriptor": pooling.cam(self._maps(picture, longest)[0], weight, bias, whiten=pca)[0]}

        return self._store(f"cam, {array_digest(pca.matrix)}", part, describe)

    def clustered(self, part, n_scales=5, n_features=0, n_clusters=10, clustering="kmeans", bandwidth=1.0, dim=512):
        """The arrays of :func:`local_features.clustered`, seen through the whitening layer and a PCA to ``dim``."""
        n_features = n_features or self.n_features
        (whiten, pca), name = self._embedding(n_scales, n_features, dim)

        def describe(x):
            how = {"method": clustering, "bandwidth": bandwidth, "whiten": whiten, "pca": pca}
            return local_features.clustered(x, self.model, n_features, n_clusters, **how)

        kind = clustering if clustering != "mean-shift" else f"mean-shift {bandwidth:g}"
        what = f"clusters: {n_scales} scales, N {n_features}, K {n_clusters}, {kind}, {name}"
        return self._local(what, part, describe, n_scales, n_features)

    def words(self, part, n_scales=5, n_features=0):
        """Visual words (N,) int32 of the selected local features, -1 behind the last."""
        codebook, n_features = self.codebook(), n_features or self.n_features

        def describe(x):
            found = codebook.assign(x)
            return {"words": torch.from_numpy(np.pad(found, (0, n_features - len(found)), constant_values=-1))}

        what = f"words: {n_scales} scales, N {n_features}, {array_digest(codebook.centres)}"
        return self._local(what, part, describe, n_scales, n_features)

    def keypoints(self, part, n_features=500):
        """SIFT keypoints, as `search.spatial` stores them; a query's are those inside its box."""

        def describe(picture, longest):
            found = spatial.stacked([spatial.keypoints(picture, n_features=n_features)], n_features)
            return {name: torch.from_numpy(np.asarray(array))[0] for name, array in found.items()}

        return self._store(f"sift {n_features}", part, describe)

    def pca(self, kind):
        """PCA-whitening of L2-normalised vectors of a kind: gem, spoc, mac, crow, regions, classes."""
        if kind not in self._learned:
            if kind in ("regions", "classes"):
                vectors = self._samples(kind).read("vectors").reshape(-1, self.model.dim)
            else:
                vectors = self.pooled("training").read(kind).reshape(-1, self.model.dim)
            self._learned[kind] = whitening.fit(F.normalize(torch.from_numpy(vectors), dim=-1))
        return self._learned[kind]

    def codebook(self):
        """The :class:`~foir_lib.search.inverted_file.Codebook` of local features in their original scale."""
        if "codebook" not in self._learned:
            n_features = MINI_CODEBOOK if self.mini else CODEBOOK

            def describe(picture, longest):
                return local_features.selected(self._looked_at(picture, longest, 1)[1], n_features)

            found = self._store(f"local features: {n_features}", "training", describe)
            parts = (part for _, part in found.chunks(["features", "count"]))
            features = np.concatenate([f[:n] for part in parts for f, n in zip(part["features"], part["count"])])
            self._learned["codebook"] = self._words_of(features, min(self.n_words, len(features) // 2))
        return self._learned["codebook"]

    def _words_of(self, features, n_words):
        """The codebook of features (S, C), in the cache: learning one takes minutes."""

        def learn():
            book = inverted_file.learn(features, n_words, seed=self.seed)
            return {"mean": book.pca.mean, "matrix": book.pca.matrix, "centres": book.centres}

        key = {"what": "codebook", "features": array_digest(features), "n": n_words, "seed": self.seed}
        book = caches.arrays("codebooks", key | {"code": code_of(inverted_file)}, learn, self.cache)
        return inverted_file.Codebook(whitening.PCA(book["mean"], book["matrix"]), book["centres"])

    def _embedding(self, n_scales, n_features, dim):
        """(whitening layer, PCA) of sections 3.2 and 5.1 and their name; PCA-whitening where no layer was trained."""
        key = ("co-attention", n_scales, n_features, dim)
        if key not in self._learned:

            def describe(x):
                return {"query": pooling.power_mean(x, self.model.gem_p, 0)}

            whiten, pca = self.model.whiten, None
            if whiten is None or self.has_training or dim < whiten.out_features:
                what = f"query: {n_scales} scales, N {n_features}"
                found = self._local(what, "training", describe, n_scales, n_features)
                raw = torch.from_numpy(found.read("query"))
                with torch.inference_mode():
                    raw = raw if whiten is None else whiten(raw.to(self.model.device)).cpu()
                pca = whitening.fit(raw, min(dim, raw.shape[1], len(raw) - 1), whiten=whiten is None)
            self._learned[key] = (whiten, pca), "no PCA" if pca is None else array_digest(pca.matrix)
        return self._learned[key]

    def _samples(self, kind):
        def describe(picture, longest):
            x = self._maps(picture, longest)[0]
            if kind == "regions":
                vectors = regions.pooled(x, regions.grid(*x.shape[2:]))[0]
            else:
                vectors = pooling.cam_vectors(x, *self.model.classifier)[0]
                vectors = vectors[vectors.any(1)] if bool(vectors.any()) else vectors
            rows = np.random.default_rng(0).choice(len(vectors), SAMPLE, replace=len(vectors) < SAMPLE)
            return {"vectors": vectors[rows]}

        return self._store(f"{kind}, {SAMPLE} of each", "training", describe)

    def _maps(self, picture, longest, scales=(1.0,)):
        scales = [scale * self.enlarged for scale in scales]
        return [self.model.maps(self.model.preprocess(picture, longest, scale)[None]) for scale in scales]

    def _keeps(self, part, n_features):
        return n_features <= self.n_features and self._n(part) * self.n_features * self.model.dim * 2 <= KEPT

    def _local(self, what, part, describe, n_scales, n_features):
        """Features of a part: ``describe(x)`` of the selected local features x (N, C) of each picture."""
        if not self._keeps(part, n_features):

            def seen(picture, longest):
                found = local_features.selected(self._looked_at(picture, longest, n_scales)[1], n_features)
                return describe(found["features"][: found["count"]].float())

            return self._store(what, part, seen)
        kept = self.seen(part, n_scales)

        def of_row(row):
            return (local_features.read(kept, row, n_features).features.to(self.model.device),)

        return self._store(what, part, describe, of_row)

    def _looked_at(self, picture, longest, n_scales):
        """A picture's maps at some scales, and all their local features."""
        maps, scales = self._maps(picture, longest, SCALE_SETS[n_scales]), SCALE_SETS[n_scales]
        return maps, Locals.merged([Locals.from_map(x[0], picture.size, scale) for x, scale in zip(maps, scales)])

    def _store(self, what, part, describe, source=None):
        return super()._store(what if self.enlarged == 1 else f"{what}, x {self.enlarged:.4f}", part, describe, source)

    def _net(self, context):
        if context not in self.attention:
            kind = "with" if context else "without"
            raise InputError(f"There is no regional attention {kind} context for {self.model.name}: give its weights.")
        return self.attention[context]
