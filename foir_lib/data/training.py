"""Pictures to train on: labelled ones (mini-landmarks' training towns, GLDv2, ImageNet-style folders), tuples, things on shelves."""

import json
import re
from concurrent.futures import ThreadPoolExecutor
from dataclasses import astuple, dataclass
from os import PathLike
from pathlib import Path

import numpy as np
from PIL import Image
from tqdm.auto import tqdm

from foir_lib.data.mini import drawn, landmarks, needles, town
from foir_lib.data.mini.drawn import DRAWERS
from foir_lib.data.opening import opened
from foir_lib.data.readers import gldv2 as google
from foir_lib.data.readers import reading, tables
from foir_lib.data.readers.pickles import load_plain
from foir_lib.data.readers.pictures import readable
from foir_lib.data.sets import RetrievalSet
from foir_lib.data.values import label, short, whole
from foir_lib.errors import InputError
from foir_lib.folders import below
from foir_lib.images import open_image
from foir_lib.notices import collected
from foir_lib.prompts import Box, Mask
from foir_lib.registry import register
from foir_lib.threads import ahead


class _Pictures:
    """What pictures to train on have in common: ``paths``, and ``boxes`` or None."""

    def open(self, row: int, longest: int | None = None) -> Image.Image:
        """Picture of a row as RGB PIL image; longest as in `images.open_image`."""
        return open_image(self.paths[row], longest=longest)

    def box(self, row: int) -> Box | None:
        """Where the labelled thing of a row is, or None."""
        return None if self.boxes is None else Box(*self.boxes[row])


@dataclass(frozen=True, eq=False)
class TrainingSet(_Pictures):
    """Pictures with labels.

    paths: n files. labels: int (n,), positions in names. boxes: float (n, 4) of where the labelled thing is, x0, y0,
    x1, y1 in pixels, or None. Raises InputError for lengths that differ, labels without a name, an empty set.
    """

    name: str
    paths: list[str]
    labels: np.ndarray
    names: list[str]
    boxes: np.ndarray | None = None

    def __post_init__(self):
        labels = np.asarray(self.labels)
        if not len(self.paths) == len(labels) == len(labels if self.boxes is None else self.boxes):
            lengths = f"{len(self.paths)} paths and {len(labels)} labels"
            raise InputError(f"{self.name} has {lengths}: give one of each per picture.")
        if not len(labels):
            raise InputError(f"{self.name} has no pictures: check the data root.")
        if labels.dtype.kind not in "iu" or labels.min() < 0 or labels.max() >= len(self.names):
            raise InputError(f"Labels of {self.name} must be whole numbers from 0 to {len(self.names) - 1}.")
        object.__setattr__(self, "labels", labels.astype(np.int64))

    def __len__(self):
        return len(self.paths)


@register("training set", "mini-landmarks")
def mini_landmarks(n_landmarks: int = 200, per_landmark: int = 30, seed: int = 0) -> TrainingSet:
    """A training town of mini-landmarks as a TrainingSet with boxes, drawn once, then read from the cache.

    Its landmarks are others than those of any benchmark seed. Of a landmark's pictures about half show it large,
    the others small beside larger ones, from the side, hidden or by night: crop to the box, or don't.
    """
    numbers = {"seed": (seed, 0), "n_landmarks": (n_landmarks, 2), "per_landmark": (per_landmark, 1)}
    root = drawn.world("mini-landmarks-training", landmarks.VERSION, _draw, **numbers)
    content = tables.read_json(root / "training.json")
    paths = [str(root / file) for file in content["files"]]
    reading.need_files(paths, "mini-landmarks for training")
    name = f"mini-landmarks for training (seed {seed})"
    return TrainingSet(name, paths, np.array(content["labels"]), content["names"], np.array(content["boxes"], float))


def _draw(folder, seed, n_landmarks, per_landmark):
    world = town.world(town.TRAINING, seed, n_landmarks)
    folder.mkdir(parents=True)
    content = {"names": [facade.name for facade in world.facades[:n_landmarks]], "files": [], "labels": [], "boxes": []}

    def scene(index):
        return town.scene(world, town.stream(town.TRAINING, seed, town.DATABASE, index), index % n_landmarks, "training")

    n = n_landmarks * per_landmark
    with ThreadPoolExecutor(DRAWERS) as pool:
        scenes = tqdm(ahead(pool, scene, range(n), 2 * DRAWERS), desc="drawing mini-landmarks for training", unit="picture", total=n)
        for index, (pixels, instances, _, _) in enumerate(scenes):
            main = index % n_landmarks
            mask = next(one.mask for one in instances if one.landmark == main)
            if not mask.any():
                continue
            file = f"{index + 1:08d}.png"
            Image.fromarray(pixels).save(folder / file, compress_level=1)
            box = [int(v) for v in astuple(Mask(mask).box(mask.shape[::-1]))]
            for key, value in zip(("files", "labels", "boxes"), (file, main, box), strict=True):
                content[key].append(value)
    (folder / "training.json").write_text(json.dumps(content))


@register("training set", "mini-needles")
def mini_needles(n_things: int = 480, n_queries: int = 960, n_database: int = 1500, seed: int = 1) -> RetrievalSet:
    """Shelves of mini-needles and photographs of each thing on them, drawn once, then read from the cache.

    Its things are others than those of any benchmark seed. Drawing takes about 0.1 s a picture.
    """
    numbers = {"seed": (seed, 0), "n_things": (n_things, 2), "n_queries": (n_queries, 1), "n_database": (n_database, 1)}
    root = drawn.world("mini-needles-training", needles.VERSION, needles.write_training, **numbers)
    return needles.read(root, f"mini-needles for training (seed {seed})")


@register("training set", "folders")
def folders(root: str | PathLike) -> TrainingSet:
    """ImageNet-style folders (one per label, pictures below it) as a TrainingSet: root/<label>/**/*.jpg."""
    root = reading.need(root, "folder of training pictures", "expected one folder per label, with pictures.")
    inside = {path: Path(path).relative_to(root).parts for path in readable(below(root), root.name)}
    labelled = {path: label(parts[0]) for path, parts in inside.items() if len(parts) > 1}
    if not labelled:
        remedy = "expected one folder per label, as in ImageNet"
        raise InputError(f"There are no pictures in folders below {root}: {remedy}.")
    names, labels = np.unique(list(labelled.values()), return_inverse=True)
    return TrainingSet(root.name, list(labelled), labels, names.tolist())


@register("training set", "gldv2")
def gldv2(root: str | PathLike, clean: bool = True, check_files: bool = True) -> TrainingSet:
    """Training pictures of Google Landmarks v2 as a TrainingSet; layout in `data/gldv2.py`.

    clean: those of train_clean.csv (1,580,470 pictures of 81,313 landmarks), else all of train.csv. check_files: see
    that every picture is there. Raises MissingError and InputError.
    """
    root = reading.need(root, "GLDv2 folder", google.REMEDY)
    file, columns = ("train_clean.csv", ("landmark_id", "images")) if clean else ("train.csv", ("id", "landmark_id"))
    listed = google.read_csv(root, file, columns)
    names, labels = np.unique(listed["landmark_id"].to_numpy(str), return_inverse=True)
    paths = [google.place(root, "train", image_id) for image_id in listed["id"]]
    if check_files:
        reading.need_files(paths, "gldv2, train")
    return TrainingSet("gldv2", paths, labels, names.tolist())


def sample(root: str | PathLike, n: int | None = None, seed: int = 0) -> list[str]:
    """Paths of ``n`` pictures (all, if there are no more or None is given) drawn from those below ``root``, sorted,
    without those that can't be read.

    For what needs no labels, as PCA-whitening learned on Landmarks (Babenko et al., ECCV 2014) or on distractors.
    """
    with collected(f"Pictures to learn from below {root}"):
        paths = below(reading.need(root, "folder of pictures", "give the folder that holds them."))
        if n is not None and n < len(paths):
            paths = sorted(np.random.default_rng(seed).choice(paths, n, replace=False).tolist())
        return readable(paths, "pictures to learn from")


@dataclass(frozen=True, eq=False)
class TupleSet(_Pictures):
    """Matching pairs to train on: paths of n pictures, cluster (n,) of each (pictures of one cluster never are each
    other's negatives), m pairs: query (m,) and positive (m,), rows of paths, and boxes (n, 4) as of a TrainingSet, or None.
    """

    name: str
    paths: list[str]
    cluster: np.ndarray
    query: np.ndarray
    positive: np.ndarray
    boxes: np.ndarray | None = None


@register("training set", "rsfm120k")
def rsfm120k(root: str | PathLike, part: str = "train", check_files: bool = True) -> TupleSet:
    """rSfM-120k (Radenović et al., TPAMI 2018) as a TupleSet of its part "train" or "val".

    Layout: root/retrieval-SfM-120k.pkl, a dict of the two parts with lists cids (names of pictures), cluster, qidxs and
    pidxs; picture c at root/ims/ in folders of the last three pairs of letters of its name. Raises MissingError,
    IntegrityError for a pickle that is not plain data, InputError for lists that don't belong together.
    """
    root = reading.need(root, "rSfM-120k folder", "expected retrieval-SfM-120k.pkl and ims/; see `foir data list`.")
    path = root / "retrieval-SfM-120k.pkl"
    parts = load_plain(path)
    lists = parts.get(part) if isinstance(parts, dict) else None
    if not isinstance(lists, dict) or part not in ("train", "val"):
        raise InputError(f"{path} has no part {part!r}: choose train or val, or get the file again.")
    missing = [key for key in ("cids", "cluster", "qidxs", "pidxs") if not isinstance(lists.get(key), list)]
    if missing:
        raise InputError(f"{path}, {part}, has no list {missing[0]!r}: get the file again.")
    cids, cluster, query, positive = (lists[key] for key in ("cids", "cluster", "qidxs", "pidxs"))
    bad = [c for c in cids if not isinstance(c, str) or not re.fullmatch(r"\w{6,}", c)]
    bad += [c for c in cluster if not isinstance(c, int | str)]
    if bad:
        raise InputError(f"{path}, {part}, has {short(bad[0])} for a picture's name or cluster: get the file again.")
    rows = [[whole(row) for row in rows] for rows in (query, positive)]
    if len(cids) != len(cluster) or len(query) != len(positive) or not query or None in rows[0] + rows[1]:
        raise InputError(f"{path}, {part}, has lists that don't belong together: get the file again.")
    pairs = np.array(rows)
    if pairs.min() < 0 or pairs.max() >= len(cids):
        raise InputError(f"{path}, {part}, has pairs of pictures that are not in cids: get the file again.")
    paths = [f"{root}/ims/{c[-2:]}/{c[-4:-2]}/{c[-6:-4]}/{c}" for c in cids]
    if check_files:
        reading.need_files(paths, f"rSfM-120k, {part}")
    return TupleSet(f"rSfM-120k {part}", paths, np.array(cluster), *pairs)


def pairs(pictures: TrainingSet, seed: int = 0) -> TupleSet:
    """Each picture of a TrainingSet with another of its label, as a TupleSet: the clusters are the labels."""
    order = np.random.default_rng(seed).permutation(len(pictures))
    order = order[np.argsort(pictures.labels[order], kind="stable")]
    groups = np.split(order, np.flatnonzero(np.diff(pictures.labels[order])) + 1)
    groups = [group for group in groups if len(group) > 1]
    if not groups:
        raise InputError(f"{pictures.name} has no two pictures of one label, so no pairs: give more pictures.")
    query, positive = np.concatenate(groups), np.concatenate([np.roll(group, 1) for group in groups])
    return TupleSet(pictures.name, pictures.paths, pictures.labels, query, positive, pictures.boxes)


def load(name: str, loss: str = "arcface", root: str | PathLike = "", **options) -> TrainingSet | TupleSet | RetrievalSet:
    """Training pictures by name as a loss wants them: a TrainingSet for "arcface", a TupleSet for "contrastive", and for
    "info-nce" a RetrievalSet, things on pictures and each of them alone.

    name: one that is registered as a "training set"; root: of real ones, where `foir data get` puts them unless given;
    options: of the function that is registered. Raises InputError and MissingError.
    """
    with collected(f"Training pictures {name}"):
        pictures = opened("training set", name, root, options)
    if isinstance(pictures, RetrievalSet) != (loss == "info-nce"):
        raise InputError(f"{name} doesn't fit the loss {loss}: info-nce is for sets of things on pictures, such as mini-needles, and for no others.")
    if loss == "info-nce":
        return pictures
    if loss == "contrastive":
        return pairs(pictures) if isinstance(pictures, TrainingSet) else pictures
    if not isinstance(pictures, TrainingSet):
        raise InputError(f"{name} has pairs of pictures and no labels: train on it with the contrastive loss.")
    return pictures
