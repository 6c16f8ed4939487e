"""The pictures of a searched index as a data set, by the note that stands in its folder."""

import json
from dataclasses import replace
from os import PathLike
from pathlib import Path

import pandas as pd

from foir_lib.data.opening import manifest, opened
from foir_lib.data.readers import reading
from foir_lib.data.sets import RetrievalSet
from foir_lib.errors import InputError, IntegrityError, MissingError, parsing
from foir_lib.files import as_path, atomic_write
from foir_lib.registry import register

NOTE, VERSION = "index.json", 1
KEYS = ("version", "set", "places", "removed", "model", "method", "engine", "pictures", "fingerprint", "complete")


@register("set", "index")
def load(root: str | PathLike) -> RetrievalSet:
    """The pictures of the index in the folder ``root``, without those that were removed from it."""
    return pictures(note(reading.need(root, "folder", "give the folder of an index that `foir index build` made.")))


def note(folder: str | PathLike) -> dict:
    """What an index says of itself, :data:`KEYS`. Raises MissingError for a folder without one, IntegrityError for a damaged one."""
    path = as_path(folder) / NOTE
    if not path.is_file():
        raise MissingError(f"There is no index in {folder}: make one with `foir index build PICTURES {folder}`.")
    with parsing(f"{path} can't be read", "build the index anew", IntegrityError):
        content = json.loads(path.read_text(encoding="utf-8"))
        if content.get("version") != VERSION or set(KEYS) - set(content):
            raise ValueError(f"it isn't of version {VERSION}")
    return content


def write(folder: str | PathLike, content: dict) -> None:
    """Write the note of an index, whole or not at all."""
    atomic_write(as_path(folder) / NOTE, json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False))


def pictures(content: dict) -> RetrievalSet:
    """The set of an index by its note: those of all its places, whose names but the first's begin with the name of their place.

    What begins as one of "removed" is left out. Labels, prompts and settings are those that the places have.
    """
    parts = [_named(opened("set", content["set"], root or None, {}), name) for name, root in content["places"].items()]
    settings = manifest(content["set"]).get("settings", {}) | parts[0].settings
    if len(parts) == 1 and not content["removed"]:
        return replace(parts[0], name="index", settings=settings)
    images, objects = (pd.concat([getattr(part, table) for part in parts], ignore_index=True) for table in ("images", "objects"))
    stays = ~images["image_id"].astype(str).map(lambda name: any(within(name, one) for one in content["removed"])).to_numpy(bool)
    if not (stays & (images["split"] != "query").to_numpy()).any():
        raise InputError("Nothing would be left in the index: leave a picture in it, or delete its folder.")
    images = images[stays]
    objects = objects[objects["image_id"].isin(images["image_id"])]
    if not objects["image_id"].isin(images["image_id"][images["split"] != "database"]).any():
        objects = objects[:0]  # labels that nobody asks for
    return replace(reading.make_set("index", images, objects), settings=settings)


def within(name: str, place: str) -> bool:
    """Whether a picture of that name is ``place``, or lies in the folder of that name."""
    return name == place or name.startswith(place.rstrip("/") + "/")


def place_name(content: dict, root: Path) -> str:
    """A name for one more place of an index: that of its folder, unlike the others."""
    names, number = {*content["places"]}, 2
    name = root.name or "place"
    while name in names:
        name, number = f"{root.name} ({number})", number + 1
    return name


def _named(part, name):
    """A set whose pictures' names begin with that of a place."""
    if not name:
        return part
    tables = {table: getattr(part, table) for table in ("images", "objects", "queries")}
    renamed = {table: frame.assign(image_id=[f"{name}/{one}" for one in frame["image_id"]]) for table, frame in tables.items()}
    return replace(part, **renamed)
