"""What a folder holds: its pictures, the files that may label them, and which file belongs to which picture."""

import mmap
import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from os import PathLike
from pathlib import Path
from posixpath import basename, dirname, splitext

import numpy as np
import pandas as pd

from foir_lib.data import names
from foir_lib.data.readers import reading
from foir_lib.data.values import short
from foir_lib.errors import InputError
from foir_lib.notices import note

PICTURES = {"images", "image", "imgs", "img", "jpegimages", "pictures", "photos"}  # folders of pictures beside folders of labels
SPLIT = re.compile(r"(train|val|test|dev|training|valid|validation|testing)(19\d\d|20\d\d)?", re.IGNORECASE)  # folders of splits
LABELS = {"labels", "label", "annotations", "annotation", "xml", "xmls", "json", "jsons", "txt"}


@dataclass(frozen=True, eq=False)
class Listing:
    """A folder: root; images, the table of its readable pictures; broken, ids of the others; files, paths below root of what may
    hold labels, with slashes; boxes_on as for a folder."""

    root: Path
    images: pd.DataFrame
    broken: tuple[str, ...]
    files: tuple[str, ...]
    boxes_on: str | None = None

    @cached_property
    def ids(self) -> list[str]:
        """Ids of all pictures, the broken ones too."""
        return [*self.images["image_id"], *self.broken]

    @cached_property
    def sizes(self) -> pd.DataFrame:
        """Width and height by image id."""
        return self.images.set_index("image_id")[["width", "height"]]

    @cached_property
    def folders(self) -> set[str]:
        """Folders that hold pictures, at any depth; "" is the root."""
        held = {dirname(image_id) for image_id in self.ids}
        return {"/".join(folder.split("/")[:n]) for folder in held for n in range(folder.count("/") + 2)} | {""}

    @cached_property
    def keys(self) -> list[tuple[str, str]]:
        """Each picture's id, and its :func:`key` without a folder of pictures."""
        return [(image_id, key(image_id, PICTURES)) for image_id in self.ids]

    def ending(self, *endings: str) -> list[str]:
        """The files whose names end so, in lower case."""
        return [file for file in self.files if file.lower().endswith(endings)]

    def top(self, file: str) -> str:
        """The folder whose pictures a list of labels speaks of: its own or the next above that holds some; in it, the split that
        the list's name ends with, ``val2017`` for ``instances_val2017.json``."""
        above, name = dirname(file if file in self.files else ""), splitext(basename(file))[0]
        while above not in self.folders:
            above = dirname(above)
        splits = [folder for folder in self.folders if dirname(folder) == above and SPLIT.fullmatch(basename(folder))]
        called = [folder for folder in splits if re.search(rf"(^|[_.\- ]){re.escape(basename(folder))}$", name)]
        return called[0] if len(called) == 1 else above

    def found(self, called: Sequence[str], where: object, needed: Sequence[bool] | None = None, top: str = "") -> pd.Series:
        """Ids of the pictures below ``top`` that the names ``called`` in ``where`` mean; None for what can't be read or isn't needed."""
        known = {i[len(top) + 1 :] if top else i: i for i in self.ids if not top or i.startswith(f"{top}/")}
        means = names.resolve(list(called), list(known), self.root / top, where, needed)
        broken = set(self.broken)
        return pd.Series([None if name is None or known[name] in broken else known[name] for name in means], dtype=object)

    def beside(self, ending: str) -> dict[str, list[str]]:
        """The pictures of each file that is called as a picture and ends so: in the folder of labels that lies beside the folder of
        pictures (``labels`` or ``Annotations`` for ``images`` or ``JPEGImages``), else in its own."""
        own, apart, of = {}, {}, defaultdict(list)
        for file in self.ending(ending):
            own[splitext(file)[0]] = file
            if (called := key(file, LABELS)) != splitext(file)[0]:
                apart[called] = file
        for image_id, called in self.keys if own else ():
            if file := apart.get(called) or own.get(splitext(image_id)[0]):
                of[file].append(image_id)
        return dict(of)

    def one(self, file: str, ids: list[str], called: str = "") -> str | None:
        """The picture of a file that :meth:`beside` gave several: the one that it calls by name; None for one that can't be read."""
        same = [i for i in ids if basename(i) == basename(names.plain(called))] if len(ids) > 1 else ids
        if len(same) != 1:
            raise InputError(f"{self.root / file} may belong to {' or '.join(short(i, 100, quoted=False) for i in ids[:3])}: rename all but one.")
        return None if same[0] in self.broken else same[0]

    def need_sizes(self, ids: Sequence[str], said: pd.DataFrame, files: Sequence[object]) -> None:
        """InputError for a picture of another size than its label file, one of ``files`` for each, ``said`` (n, 2)."""
        own, said = self.sizes.loc[ids].to_numpy(), np.asarray(said, dtype=np.float64)
        sentence = "{} says {} is {:g} x {:g} pixels, the file is {} x {}: scale the boxes or restore the picture"
        reading.refuse((said != own).any(axis=1), "", sentence, files, ids, *said.T, *own.T)


def together(parts: Iterable[tuple[str, pd.DataFrame]]) -> pd.DataFrame:
    """The objects of several files, without those of a file that labels pictures which one before it has labelled."""
    chosen, labelled = [], set()
    for file, objects in parts:
        if labelled & {*objects["image_id"]}:
            note('files left out: their pictures have labels in another file, boxes="FILE" takes one', file)
        else:
            chosen.append(objects)
            labelled |= {*objects["image_id"]}
    return pd.concat(chosen, ignore_index=True)


def key(path: str, dropped: set[str]) -> str:
    """A path without its ending and without the last of its folders that is one of ``dropped``."""
    *folders, name = splitext(path)[0].split("/")
    at = next((n for n in reversed(range(len(folders))) if folders[n].lower() in dropped), None)
    return "/".join([*(f for n, f in enumerate(folders) if n != at), name])


def holds(path: str | PathLike, *words: bytes) -> bool:
    """Whether a plain file holds all of some words, however long it is."""
    if not Path(path).is_file():
        return False
    try:
        with open(path, "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
            return all(content.find(word) >= 0 for word in words)
    except (OSError, ValueError):  # empty, or not to be read
        return False
