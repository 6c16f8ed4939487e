"""One picture, any prompt, any method, at once: the path of a person who points, drags and looks.

A benchmark asks thousands of prompts in batches (:mod:`foir_lib.bench.experiment`); here one picture is looked
at once (:class:`Sight`), and each prompt on it costs a tail, the last four blocks (FA), or, where the method
alters the picture (Mask, Crop), another look.
"""

from functools import cached_property
from typing import NamedTuple

import numpy as np
import torch

from foir_lib.errors import InputError
from foir_lib.methods import baselines, foveal, head_selection
from foir_lib.models.vit import ClsState
from foir_lib.search import knn, query_db

METHODS = ("CBIR", "Mask", "Crop", "FA", "PHS", "FA+PHS", "PHS (query-db)")
STRATEGY = "before+scale"  # PHS itself


class Sight:
    """One picture (PIL) as one model sees it; everything is computed when first needed, and once."""

    def __init__(self, model, picture):
        self.model, self.picture, self.size = model, picture.convert("RGB"), picture.size

    @cached_property
    def _x(self):
        return self.model.preprocess(self.picture)[None]

    @cached_property
    def _trunk(self):
        """Tokens with the last four blocks before them, as FA needs them, and how many blocks that is."""
        last = min(4, self.model.depth)
        return self.model.tokens(self._x, self.model.depth - last), last

    @cached_property
    def state(self):
        """The :class:`~foir_lib.models.vit.ClsState` of the picture, one row."""
        tokens, last = self._trunk
        return self.model.finish(tokens, last=last)

    @cached_property
    def attention(self):
        """Attention from CLS to the patches in every block, (depth, h, N)."""
        return self.model.attention(self._x)[0]

    def roi(self, prompt):
        """The prompt's tokens, bool tensor (1, N). Raises InputError without a prompt or for one off the picture."""
        if prompt is None:
            raise InputError("There is no prompt: click a point, draw a box or paint a mask on the picture.")
        return torch.from_numpy(prompt.tokens(self.model.grid, self.size))[None]

    def roi_attention(self, prompt, roi="sum", layer=-1):
        """ROI attention (h,) of every head of a block (PHS eq. 7); ``layer`` counts from 0, or from the end."""
        if not -self.model.depth <= layer < self.model.depth:
            raise InputError(f"Layer {layer} doesn't exist: {self.model.name} has blocks 0 to {self.model.depth - 1}.")
        state = ClsState(self.attention[layer][None], None, None, None)
        return head_selection.roi_attention(state, self.roi(prompt), roi)[0]

    def descriptor(self, method="CBIR", prompt=None, h_on=5, roi="sum", strategy=STRATEGY):
        """Unit descriptor (1, d) of the picture under a prompt, and the heads (1, h) bool, or None where none are chosen.

        ``method``: one of :data:`METHODS`; all but CBIR need a prompt. ``roi``, ``strategy``: see
        :mod:`foir_lib.methods.head_selection`. FA and Crop take a prompt's pixel box. Raises InputError
        for an unknown method, a lacking prompt, or one that doesn't fit the picture.
        """
        if method not in METHODS:
            raise InputError(f"Method {method!r} is unknown: choose one of {', '.join(METHODS)}.")
        if method == "CBIR":
            return self.model.descriptor(self.state), None
        inside, grid = self.roi(prompt), self.model.grid
        if method in ("Mask", "Crop"):
            altered = (
                baselines.masked(self.picture, prompt, self.model.mean, grid)
                if method == "Mask"
                else baselines.cropped(self.picture, prompt, grid)
            )
            return self.model.descriptor(self.model.cls_state(self.model.preprocess(altered)[None])), None
        state, heads = self.state, None
        if method.startswith("FA"):
            tokens, last = self._trunk
            state = self.model.finish(tokens, foveal.bias(prompt, grid, self.size), last)
        if method == "FA":
            return self.model.descriptor(state), None
        heads = head_selection.select(state, inside, h_on, roi)
        return head_selection.descriptor(self.model, state, heads, strategy), heads


class Found(NamedTuple):
    """The whole database in the order of one answer: ``ids`` (n,) rows, ``scores`` (n,), ``heads`` (h,) bool or None."""

    ids: np.ndarray
    scores: np.ndarray
    heads: np.ndarray | None


class Database:
    """What one model knows of a database (:class:`~foir_lib.store.features.Features`), its descriptors in memory.

    Features need "descriptor" (n, d), and for query-db "heads" (n, h * dk) and "residual" (n, d).
    """

    def __init__(self, model, features):
        self.model, self.features = model, features
        self.descriptors = knn.to_matrix(features.read("descriptor"), "Database descriptors", model.device)

    def __len__(self):
        return len(self.descriptors)

    def rank(self, sight, method="CBIR", prompt=None, h_on=5, roi="sum", strategy=STRATEGY, exclude=-1):
        """The whole database, best first, as :class:`Found`; arguments as for :meth:`Sight.descriptor`.

        ``exclude``: the database row of the query picture itself, never an answer, or -1. Equal scores by
        rising row, as in :func:`foir_lib.search.knn.knn`.
        """
        vector, heads = sight.descriptor(method, prompt, h_on, roi, strategy)
        chosen = None if heads is None else heads[0].cpu().numpy()
        if method == "PHS (query-db)":
            own = None if exclude < 0 else np.array([exclude])
            scores, ids = query_db.search(self.model, vector, heads, self.features, len(self), strategy, own)
            return Found(ids[0], scores[0], chosen)
        scores, ids = (self.descriptors @ vector[0]).sort(descending=True, stable=True)
        keep = ids != exclude
        return Found(ids[keep].cpu().numpy(), scores[keep].cpu().numpy(), chosen)
