"""Views of a labelled set for judging a memory: which regions show which thing, and their vectors by a network."""

import re
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd
from PIL import Image

from foir_lib.bench.metrics.scores import Score
from foir_lib.data.checks import CORNERS
from foir_lib.errors import InputError
from foir_lib.memory.encoding import vectors_of
from foir_lib.memory.recogniser import seen
from foir_lib.prompts import Box, Point, Prompt
from foir_lib.retrievers.corpus import Corpus
from foir_lib.retrievers.parts import Prompted

FAMILY = re.compile(r"(.*\d)[a-z]$")  # "ball 06a" and "ball 06b" look alike


def family(label: str) -> str:
    """What look-alikes share: the label without the letter behind its number, else the label."""
    found = FAMILY.match(str(label))
    return found[1] if found else str(label)


@dataclass(frozen=True, eq=False)
class Views:
    """The annotated objects of a set, picture by picture, as views of things.

    table: image_id, label, x0 .. y1, row (of the set's objects); ``corpus``: of the network that encodes them.
    """

    corpus: Corpus
    table: pd.DataFrame

    @classmethod
    def of(cls, corpus: Corpus) -> "Views":
        """All objects of the set that aren't ignored. Raises InputError without any."""
        objects, images = corpus.set.objects, corpus.set.images["image_id"]
        table = objects[~objects["ignore"].astype(bool)].assign(row=lambda frame: frame.index)
        if not len(table):
            raise InputError(f"{corpus.set.name} has no annotated objects: a memory is judged by labelled regions.")
        order = pd.Index(images).get_indexer(table["image_id"])
        return cls(corpus, table.assign(picture=order).sort_values(["picture", "row"]).reset_index(drop=True))

    def __len__(self) -> int:
        return len(self.table)

    @cached_property
    def labels(self) -> np.ndarray:
        """(n,) labels."""
        return self.table["label"].astype(str).to_numpy()

    @cached_property
    def pictures(self) -> np.ndarray:
        """(n,) numbers of pictures."""
        return self.table["picture"].to_numpy()

    @cached_property
    def masked(self) -> bool:
        """Whether every view has a mask."""
        return all(isinstance(one, (list, tuple, dict)) and len(one) > 0 for one in self.table["segmentation"])

    def box(self, m: int) -> Box:
        """The box of view ``m``."""
        return Box(*self.table.loc[m, CORNERS].tolist())

    def picture(self, m: int):
        """The picture of view ``m``, PIL."""
        return self.corpus.set.open(self.table["image_id"].iloc[m])

    def crop(self, m: int) -> Image.Image:
        """What view ``m`` shows."""
        return seen(self.picture(m), self.box(m))

    def prompt(self, m: int, kind: str = "box") -> Prompt:
        """View ``m`` as somebody marks it: its "box", its "mask", or a "point" in the middle of its box. InputError for another kind."""
        if kind == "point":
            box = self.box(m)
            return Point((box.x0 + box.x1) / 2, (box.y0 + box.y1) / 2)
        if kind not in ("box", "mask"):
            raise InputError(f"Nobody marks by {kind!r}: choose box, mask or point.")
        return self.box(m) if kind == "box" else self.corpus.set.mask(int(self.table["row"].iloc[m]))

    def vectors(self, retriever, kind: str = "box") -> np.ndarray:
        """(n, d) float32, unit length: each view, marked by ``kind``, as a retriever describes a prompt; kept in the feature store."""
        images, corpus = self.corpus.set.images, self.corpus
        rows, image_row = np.unique(self.pictures, return_inverse=True)
        some = images.iloc[rows]
        pictures = corpus.pictures("annotated pictures", some, True)
        name = f"annotated objects ({len(self)}) by {kind}"
        part = Prompted(pictures, name, lambda m: self.prompt(m, kind), np.arange(len(self)), image_row, corpus.set.content)
        return vectors_of(retriever, part)


def split(views: Views, rng: np.random.Generator, n_views: int, n_test: int, alike: bool) -> list[tuple[str, np.ndarray, np.ndarray]]:
    """(label, rows to remember (n_views,), rows to ask with (n_test or fewer,)) of each thing with enough views, in random order.

    Rows to ask with lie on other pictures than rows to remember of the same thing. ``alike`` False: one thing of a :func:`family`.
    """
    labels, chosen = list(dict.fromkeys(views.labels.tolist())), []
    if not alike:
        groups: dict[str, list] = {}
        for label in labels:
            groups.setdefault(family(label), []).append(label)
        labels = [group[rng.integers(len(group))] for group in groups.values()]
    for label in labels:
        rows = rng.permutation(np.flatnonzero(views.labels == label))
        _, first = np.unique(views.pictures[rows], return_index=True)
        rows = rows[np.sort(first)]  # one a picture
        if len(rows) > n_views:
            chosen.append((label, rows[:n_views], rows[n_views : n_views + n_test]))
    return chosen


@dataclass(frozen=True)
class Task:
    """What is asked of a memory of things ``labels`` (n,): ``rows`` (v,) are remembered as things ``owners`` (v,), ``tests`` (m,) ask for ``truth`` (m,)."""

    labels: np.ndarray
    rows: np.ndarray
    owners: np.ndarray
    tests: np.ndarray
    truth: np.ndarray


def task(things: list[tuple[str, np.ndarray, np.ndarray]], k: int | None = None) -> Task:
    """The :class:`Task` of what :func:`split` gives; the first ``k`` rows of each thing are remembered, None: all."""

    def joined(parts):
        number = np.repeat(np.arange(len(parts)), [len(part) for part in parts])
        return (np.concatenate(parts) if parts else np.zeros(0, int)), number

    rows, tests = [rows[:k] for _, rows, _ in things], [test for *_, test in things]
    return Task(np.array([label for label, *_ in things]), *joined(rows), *joined(tests))


def score(name: str, right: np.ndarray, labels: np.ndarray) -> Score:
    """A :class:`Score` of answers ``right`` (n,), fractions or bools, whose independent units are things ``labels`` (n,)."""
    right = np.asarray(right, float)
    table = pd.DataFrame({"query": np.arange(len(right)), "image_id": np.arange(len(right)), "label": labels, "unit": labels, name: right})
    return Score({name: float(np.nanmean(right))}, table, 1)

