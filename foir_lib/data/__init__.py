"""Data: manifests, readers of the official layouts, the embedded mini worlds. One shape: RetrievalSet."""

import dataclasses
from os import PathLike

import pandas as pd

from foir_lib import notices
from foir_lib.data.opening import manifest, opened
from foir_lib.data.protocol import Protocol
from foir_lib.data.sets import RetrievalSet
from foir_lib.errors import InputError

pd.set_option("display.html.use_mathjax", False)  # $ in a label is a letter, in tables of a notebook too

__all__ = ["Protocol", "RetrievalSet", "load_set"]


def load_set(name: str, root: str | PathLike | None = None, seed: int = 0, **options) -> RetrievalSet:
    """The data set registered as ``name``, with the settings of its manifest.

    root: its folder, for the real ones (official layout, see the reader of that name in foir_lib/data/readers); without
    one, where `foir data get` puts it: $FOIR_DATA/name, or data/name in the cache, if that is there;
    seed: which world, for the mini ones; options: arguments of the function that is registered.
    Raises InputError for an unknown name or option and for a root that is lacking or superfluous,
    MissingError for missing files. What was left out, turned or guessed is told in one warning and stands in ``notices``.
    """
    with notices.collected(f"Set {name}") as counts:
        retrieval_set = opened("set", name, root, options, seed)
    if not isinstance(retrieval_set, RetrievalSet):
        raise InputError(
            f"The set {name!r} opens as {type(retrieval_set).__name__}: let its function return a RetrievalSet."
        )
    settings = manifest(name).get("settings", {}) | retrieval_set.settings
    return dataclasses.replace(retrieval_set, settings=settings, notices=counts.rows())
