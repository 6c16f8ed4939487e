"""Pictures to train on: labelled ones (mini-landmarks' training towns, GLDv2, ImageNet-style folders), and tuples."""

import inspect
import json
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image
from tqdm.auto import tqdm

from foir_lib.data.getting.download import data_root
from foir_lib.data.mini import landmarks
from foir_lib.data.mini import town as scenes
from foir_lib.data.mini.drawn import drawn_once
from foir_lib.data.readers import gldv2 as google
from foir_lib.data.readers import pictures, reading
from foir_lib.data.readers.pickles import load_plain
from foir_lib.errors import InputError
from foir_lib.images import EXTENSIONS, open_image
from foir_lib.prompts import Box


class _Pictures:
    """What pictures to train on have in common: ``paths``, and ``boxes`` or None."""

    def open(self, row, longest=None):
        """Picture of a row as RGB PIL image; longest as in `images.open_image`."""
        return open_image(self.paths[row], longest=longest)

    def box(self, row):
        """Where the labelled thing of a row is, or None."""
        return None if self.boxes is None else Box(*self.boxes[row])


@dataclass(frozen=True, eq=False)
class TrainingSet(_Pictures):
    """Pictures with labels.

    paths: n files. labels: int (n,), positions in names. boxes: float (n, 4) of where the labelled thing is, x0, y0,
    x1, y1 in pixels, or None. Raises InputError for lengths that differ, labels without a name, an empty set.
    """

    name: str
    paths: list
    labels: np.ndarray
    names: list
    boxes: np.ndarray | None = None

    def __post_init__(self):
        labels = np.asarray(self.labels)
        if not len(self.paths) == len(labels) == len(labels if self.boxes is None else self.boxes):
            raise InputError(
                f"{self.name} has {len(self.paths)} paths and {len(labels)} labels: give one of each per picture."
            )
        if not len(labels):
            raise InputError(f"{self.name} has no pictures: check the data root.")
        if labels.dtype.kind not in "iu" or labels.min() < 0 or labels.max() >= len(self.names):
            raise InputError(f"Labels of {self.name} must be whole numbers from 0 to {len(self.names) - 1}.")
        object.__setattr__(self, "labels", labels.astype(np.int64))

    def __len__(self):
        return len(self.paths)


def mini_landmarks(n_landmarks=200, per_landmark=30, seed=0):
    """A training town of mini-landmarks as a TrainingSet with boxes, drawn once, then read from the cache.

    Its landmarks are others than those of any benchmark seed. Of a landmark's pictures about half show it large,
    the others small beside larger ones, from the side, hidden or by night: crop to the box, or don't.
    """
    for label, value in (("n_landmarks", n_landmarks), ("per_landmark", per_landmark), ("seed", seed)):
        low = 0 if label == "seed" else 2 if label == "n_landmarks" else 1
        if isinstance(value, bool) or not isinstance(value, int | np.integer) or not low <= value < 2**32:
            raise InputError(f"{label}={value!r} of mini-landmarks must be a whole number of at least {low}.")
    folder = f"mini-landmarks-training-v{landmarks.VERSION}-seed{seed}-{n_landmarks}-{per_landmark}"
    root = drawn_once(folder, lambda folder: _draw(folder, int(n_landmarks), int(per_landmark), int(seed)))
    content = reading.read_json(root / "training.json")
    paths = [str(root / file) for file in content["files"]]
    reading.need_files(paths, "mini-landmarks for training")
    name = f"mini-landmarks for training (seed {seed})"
    return TrainingSet(name, paths, np.array(content["labels"]), content["names"], np.array(content["boxes"], float))


def _draw(folder, n_landmarks, per_landmark, seed):
    town = scenes.world(scenes.TRAINING, seed, n_landmarks)
    folder.mkdir(parents=True)
    content = {"names": [facade.name for facade in town.facades[:n_landmarks]], "files": [], "labels": [], "boxes": []}
    for index in tqdm(range(n_landmarks * per_landmark), desc="drawing mini-landmarks for training", unit="picture"):
        main = index % n_landmarks
        pixels, seen, _, _ = scenes.scene(town, scenes.stream(1, seed, scenes.DATABASE, index), main, "training")
        mask = next(one.mask for one in seen if one.landmark == main)
        rows, cols = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
        if not len(rows):
            continue
        file = f"{index + 1:08d}.png"
        Image.fromarray(pixels).save(folder / file, compress_level=1)
        box = [int(cols[0]), int(rows[0]), int(cols[-1]) + 1, int(rows[-1]) + 1]
        for key, value in zip(("files", "labels", "boxes"), (file, main, box), strict=True):
            content[key].append(value)
    (folder / "training.json").write_text(json.dumps(content))


def folders(root):
    """ImageNet-style folders (one per label, pictures below it) as a TrainingSet: root/<label>/**/*.jpg."""
    root = reading.need(root, "folder of training pictures", "expected one folder per label, with pictures.")
    names, paths, labels = [], [], []
    for folder in sorted(path for path in Path(root).iterdir() if path.is_dir() and not path.name.startswith(".")):
        found = sorted(p for p in folder.rglob("*") if p.suffix.lower() in EXTENSIONS and not p.name.startswith("."))
        if found:
            paths += [str(path) for path in found]
            labels += [len(names)] * len(found)
            names.append(folder.name)
    if not names:
        raise InputError(
            f"There are no pictures in folders below {root}: expected one folder per label, as in ImageNet."
        )
    return TrainingSet(Path(root).name, paths, np.array(labels), names)


def gldv2(root, clean=True, check_files=True):
    """Training pictures of Google Landmarks v2 as a TrainingSet; layout in `data/gldv2.py`.

    clean: those of train_clean.csv (1,580,470 pictures of 81,313 landmarks), else all of train.csv. check_files: see
    that every picture is there. Raises MissingError and InputError.
    """
    root = reading.need(root, "GLDv2 folder", google.REMEDY)
    if clean:
        listed = google.read_csv(root, "train_clean.csv", ("landmark_id", "images"))
    else:
        listed = google.read_csv(root, "train.csv", ("id", "landmark_id"))
    names, labels = np.unique(listed["landmark_id"].to_numpy(str), return_inverse=True)
    paths = [google.place(root, "train", image_id) for image_id in listed["id"]]
    if check_files:
        reading.need_files(paths, "gldv2, train")
    return TrainingSet("gldv2", paths, labels, names.tolist())


def sample(root, n=None, seed=0):
    """Paths of ``n`` pictures (all, if there are no more or None is given) drawn from those below ``root``, sorted.

    For what needs no labels, as PCA-whitening learned on Landmarks (Babenko et al., ECCV 2014) or on distractors.
    """
    paths = pictures.below(reading.need(root, "folder of pictures", "give the folder that holds them."))
    if n is None or n >= len(paths):
        return paths
    return sorted(np.random.default_rng(seed).choice(paths, n, replace=False).tolist())


@dataclass(frozen=True, eq=False)
class TupleSet(_Pictures):
    """Matching pairs to train on: paths of n pictures, cluster (n,) of each (pictures of one cluster never are each
    other's negatives), m pairs: query (m,) and positive (m,), rows of paths, and boxes (n, 4) as of a TrainingSet, or None.
    """

    name: str
    paths: list
    cluster: np.ndarray
    query: np.ndarray
    positive: np.ndarray
    boxes: np.ndarray | None = None


def rsfm120k(root, part="train", check_files=True):
    """rSfM-120k (Radenović et al., TPAMI 2018) as a TupleSet of its part "train" or "val".

    Layout: root/retrieval-SfM-120k.pkl, a dict of the two parts with lists cids (names of pictures), cluster, qidxs and
    pidxs; picture c at root/ims/ in folders of the last three pairs of letters of its name. Raises MissingError,
    IntegrityError for a pickle that is not plain data, InputError for lists that don't belong together.
    """
    root = reading.need(root, "rSfM-120k folder", "expected retrieval-SfM-120k.pkl and ims/; see `foir data list`.")
    path = root / "retrieval-SfM-120k.pkl"
    parts = load_plain(path)
    found = parts.get(part) if isinstance(parts, dict) else None
    if not isinstance(found, dict) or part not in ("train", "val"):
        raise InputError(f"{path} has no part {part!r}: choose train or val, or get the file again.")
    missing = [key for key in ("cids", "cluster", "qidxs", "pidxs") if not isinstance(found.get(key), list)]
    if missing:
        raise InputError(f"{path}, {part}, has no list {missing[0]!r}: get the file again.")
    cids, cluster, query, positive = (found[key] for key in ("cids", "cluster", "qidxs", "pidxs"))
    bad = [c for c in cids if not isinstance(c, str) or not re.fullmatch(r"\w{6,}", c)]
    bad += [c for c in cluster if not isinstance(c, int | str)]
    if bad:
        raise InputError(f"{path}, {part}, has {bad[0]!r} for a picture's name or cluster: get the file again.")
    pairs = np.array([query, positive] if len(query) == len(positive) else [])
    if len(cids) != len(cluster) or pairs.dtype.kind not in "iu" or not pairs.size:
        raise InputError(f"{path}, {part}, has lists that don't belong together: get the file again.")
    if pairs.min() < 0 or pairs.max() >= len(cids):
        raise InputError(f"{path}, {part}, has pairs of pictures that are not in cids: get the file again.")
    paths = [f"{root}/ims/{c[-2:]}/{c[-4:-2]}/{c[-6:-4]}/{c}" for c in cids]
    if check_files:
        reading.need_files(paths, f"rSfM-120k, {part}")
    return TupleSet(f"rSfM-120k {part}", paths, np.array(cluster), *pairs)


def pairs(pictures, seed=0):
    """Each picture of a TrainingSet with another of its label, as a TupleSet: the clusters are the labels."""
    order = np.random.default_rng(seed).permutation(len(pictures))
    order = order[np.argsort(pictures.labels[order], kind="stable")]
    groups = np.split(order, np.flatnonzero(np.diff(pictures.labels[order])) + 1)
    groups = [group for group in groups if len(group) > 1]
    if not groups:
        raise InputError(f"{pictures.name} has no two pictures of one label, so no pairs: give more pictures.")
    query, positive = np.concatenate(groups), np.concatenate([np.roll(group, 1) for group in groups])
    return TupleSet(pictures.name, pictures.paths, pictures.labels, query, positive, pictures.boxes)


def load(name, loss="arcface", root="", **options):
    """Training pictures by name as a loss wants them: a TrainingSet for "arcface", a TupleSet for "contrastive".

    name: "mini-landmarks", "gldv2", "rsfm120k" (pairs alone, no labels) or "folders"; root: of real ones, where
    `foir data get` puts them unless given; options: of the function that reads them. Raises InputError and MissingError.
    """
    readers = {"mini-landmarks": mini_landmarks, "gldv2": gldv2, "rsfm120k": rsfm120k, "folders": folders}
    if name not in readers or (name == "rsfm120k" and loss == "arcface"):
        fit = [one for one in readers if one != "rsfm120k" or loss != "arcface"]
        raise InputError(
            f"There are no training pictures {name!r} for the loss {loss}: choose one of {', '.join(fit)}."
        )
    unknown = [option for option in options if option not in inspect.signature(readers[name]).parameters]
    if unknown:
        raise InputError(f"Training pictures of {name} take no option {unknown[0]!r}.")
    found = readers[name](**options) if name == "mini-landmarks" else readers[name](root or data_root(name), **options)
    return pairs(found) if loss == "contrastive" and hasattr(found, "labels") else found
