"""Needles of real photographs: moving things of DAVIS pasted small into COCO photographs, as a RetrievalSet, drawn from a seed."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from pycocotools import mask as rle

from foir_lib.data import RetrievalSet
from foir_lib.data.readers import pictures, reading
from foir_lib.data.sets import COLUMNS
from foir_lib.images import open_image

QUERY_FRAMES = (0, 5)  # of 10; the others are pasted
SHARE = (0.01, 0.03)  # of the photograph's area
CHOSEN = 200  # photographs that are drawn; a smaller database is the first of them


def needles(foir_data: Path, folder: Path, n_database: int = CHOSEN, seed: int = 0) -> RetrievalSet:
    """A set of 20 things, two frames of each as queries with the box of its mask, and ``n_database`` photographs that show 1 to 3.

    A pasted thing is from another frame, covers 1 to 3 % of the photograph, is mirrored or not, brighter or darker, and overlaps
    no other; it is annotated with box and mask, what the photograph itself shows isn't. Photographs are written to ``folder``.
    Skips the test where DAVIS frames or photographs of COCO aren't at hand.
    """
    frames, coco = foir_data / "davis-frames", foir_data / "coco-free" / "train2017"
    if not (frames / "JPEGImages").is_dir() or not coco.is_dir():
        pytest.skip("no davis-frames/ or coco-free/ in the folder FOIR_DATA")
    folder.mkdir(parents=True, exist_ok=True)
    rng, videos = np.random.default_rng(seed), sorted(path.name for path in (frames / "JPEGImages").iterdir())
    files = {video: sorted((frames / "JPEGImages" / video).glob("*.jpg")) for video in videos}
    images, objects = [], []
    for video in videos:
        for frame in QUERY_FRAMES:
            image_id = f"{video}/{files[video][frame].stem}"
            images.append((image_id, str(files[video][frame]), "query"))
            objects.append((image_id, video, *annotation(mask_of(files[video][frame]))))
    photographs = sorted(coco.glob("*.jpg"))
    for row in np.sort(rng.choice(len(photographs), max(n_database, CHOSEN), replace=False))[:n_database]:
        photograph = np.array(open_image(photographs[row]))
        taken = np.zeros(photograph.shape[:2], bool)
        for video in rng.choice(videos, rng.integers(1, 4), replace=False):
            frame = rng.choice(np.setdiff1d(np.arange(len(files[video])), QUERY_FRAMES))
            mask = paste(rng, photograph, taken, files[video][frame])
            if mask is not None:
                taken |= mask
                objects.append((photographs[row].stem, str(video), *annotation(mask)))
        path = folder / f"{photographs[row].stem}.png"
        Image.fromarray(photograph).save(path, compress_level=1)
        images.append((photographs[row].stem, str(path), "database"))
    ids, paths, splits = zip(*images, strict=True)
    table = pictures.table(ids, paths, "query", pictures.sizes(list(paths), "pasted")).assign(split=splits)
    return reading.instance_set(f"pasted (seed {seed})", table, pd.DataFrame(objects, columns=COLUMNS["objects"]), {"unit": "thing"})


def mask_of(frame: Path) -> np.ndarray:
    """The thing of a DAVIS frame, bool (height, width)."""
    path = frame.parents[2] / "Annotations" / frame.parent.name / f"{frame.stem}.png"
    return np.asarray(Image.open(path).convert("L")) > 0


def annotation(mask: np.ndarray) -> tuple:
    """x0, y0, x1, y1, ignore and segmentation (RLE) of a mask."""
    code = rle.encode(np.asfortranarray(mask, dtype=np.uint8))
    x, y, width, height = rle.toBbox(code)
    return x, y, x + width, y + height, False, {"size": list(code["size"]), "counts": code["counts"].decode()}


def paste(rng: np.random.Generator, photograph: np.ndarray, taken: np.ndarray, frame: Path) -> np.ndarray | None:
    """Paste the thing of a frame into ``photograph`` where nothing is ``taken``; its mask, or None if 50 throws find no room."""
    mask, pixels = mask_of(frame), np.asarray(open_image(frame))
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    window = np.s_[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    side = np.sqrt(rng.uniform(*SHARE) * taken.size / mask.sum())
    size = [max(round(n * side), 1) for n in mask[window].shape[::-1]]
    small = np.array(Image.fromarray(mask[window]).convert("L").resize(size, Image.Resampling.BOX)) > 127
    thing = np.array(Image.fromarray(pixels[window]).resize(size, Image.Resampling.LANCZOS)) * rng.uniform(0.75, 1.15)
    if rng.random() < 0.5:
        small, thing = small[:, ::-1], thing[:, ::-1]
    for _ in range(50):
        room = np.array(taken.shape) - small.shape
        if (room < 0).any():
            return None
        y, x = (int(rng.integers(n + 1)) for n in room)
        at = np.s_[y : y + small.shape[0], x : x + small.shape[1]]
        if not (taken[at] & small).any():
            photograph[at] = np.where(small[..., None], np.clip(thing, 0, 255).astype(np.uint8), photograph[at])
            whole = np.zeros(taken.shape, bool)
            whole[at] = small
            return whole
    return None
