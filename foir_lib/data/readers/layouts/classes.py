"""A folder per class: ``root/cup/x.jpg``, at any depth, also below ``train/``, ``val/`` or ``test/``. The whole picture is the thing."""

import pandas as pd

from foir_lib.data.readers import reading
from foir_lib.data.readers.layouts.listing import LABELS, PICTURES, SPLIT, Listing
from foir_lib.errors import InputError

NO_CLASSES = PICTURES | LABELS | {"masks", "mask", "segmentationclass", "segmentationobject"}


def split(image_id: str) -> str:
    """The split that a path tells: train, val or test; train in train/images/a.jpg and in images/train2017/a.jpg; "" if none."""
    part = next((part.lower() for part in image_id.split("/")[:-1][:2] if SPLIT.fullmatch(part)), "")
    return next((name for name in ("train", "test") if part.startswith(name)), "val" if part else "")


def files(listing: Listing) -> list[str]:
    """Names of the classes, where there are several and nine of ten pictures or more lie in the folder of one; else none."""
    folders = _folders(listing.images["image_id"])
    tops, n_beside = {parts[0] for parts in folders if parts}, sum(not parts for parts in folders)
    several = len(tops) > 1 and 10 * n_beside <= len(folders) and not {top.lower() for top in tops} & NO_CLASSES
    return sorted(tops) if several else []


def read(listing: Listing, files: list[str]) -> pd.DataFrame:
    """Objects: each picture as a whole, labelled by its class's folder; one in no folder has no label."""
    labels = [folders[0] if folders else "" for folders in _folders(listing.images["image_id"])]
    labelled = [label != "" for label in labels]
    if not any(labelled):
        raise InputError(f"{listing.root} has no folders of classes: put the pictures of each class into a folder of its name.")
    return reading.whole_pictures(listing.images, labels)[labelled]


def _folders(ids):
    """The folders of each picture, from its class's on: without those of splits and one that only says that it holds pictures."""
    folders = [image_id.split("/")[:-1] for image_id in ids]
    while all(folders) and (
        all(SPLIT.fullmatch(parts[0]) for parts in folders) or len({p[0] for p in folders} | PICTURES) == len(PICTURES)
    ):
        folders = [parts[1:] for parts in folders]
    return folders
