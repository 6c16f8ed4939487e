"""Data: manifests, readers of the official layouts, the embedded mini worlds. One shape: RetrievalSet."""

import difflib
import importlib
import inspect

from foir_lib.data.protocol import Protocol
from foir_lib.data.sets import RetrievalSet
from foir_lib.errors import InputError

READERS = {
    "coco": "readers.coco", "voc": "readers.voc", "visual-genome": "readers.visual_genome", "roxford5k": "readers.revisited",
    "rparis6k": "readers.revisited", "oxford5k": "readers.oxford_paris", "paris6k": "readers.oxford_paris",
    "gldv2": "readers.gldv2", "folder": "readers.folder",
}  # fmt: skip
MINI = dict.fromkeys(("mini-focus", "mini-focus-sparse", "mini-focus-dense"), "mini.focus")
MINI |= {"mini-landmarks": "mini.landmarks"}

__all__ = ["Protocol", "RetrievalSet", "load_set", "names"]


def names():
    """Names that :func:`load_set` knows, the mini world first."""
    return [*MINI, *READERS]


def load_set(name, root=None, seed=0, **options):
    """The data set ``name`` as a RetrievalSet.

    root: its folder, for the real ones (official layout, see the reader of that name in foir_lib/data); without
    one, where `foir data get` puts it: $FOIR_DATA/name, or data/name in the cache, if that is there;
    seed: which world, for the mini ones; options: arguments of the reader's ``load``.
    Raises InputError for an unknown name or option and for a root that is lacking or unasked for,
    MissingError for missing files.
    """
    if name not in names():
        close = difflib.get_close_matches(str(name).lower(), names(), n=1)
        hint = f"did you mean {close[0]!r}? Known" if close else "known"
        raise InputError(f"There is no data set {name!r}: {hint} are {', '.join(names())}.")
    mini = name in MINI
    load = importlib.import_module(f"foir_lib.data.{(MINI | READERS)[name]}").load
    allowed = [p for p in inspect.signature(load).parameters if p not in ("name", "root", "seed")]
    unknown = [option for option in options if option not in allowed]
    if unknown:
        raise InputError(f"{name} has no option {unknown[0]!r}: it takes {', '.join(allowed)}.")
    if mini:
        if root is not None:
            raise InputError(
                f"{name} is made from a seed and has no root (got {root}): leave the root away, or name a real data set."
            )
        return load(name, seed=seed, **options)
    if root is None and name != "folder":
        fetched = importlib.import_module("foir_lib.data.getting.download").data_root(name)
        root = fetched if fetched.is_dir() else None
    if root is None:
        fetched = f"the files that `foir data get {name} --root FOLDER` fetches"
        how = "your photographs" if name == "folder" else fetched
        raise InputError(f"{name} needs a root: give the folder with {how}.")
    return load(root, **({"name": name} if "name" in inspect.signature(load).parameters else {}), **options)
