"""Batches for mini-lmm: many questions behind one picture that don't see each other, and pairs of pictures."""

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from foir_lib.methods.memory import reflection
from foir_lib.models.mini import lmm
from foir_lib.training.mini import sentences
from foir_lib.training.mini.views import Picture, Shown

ROOM = 112  # tokens of questions and answers that follow a picture
IGNORED = -100


class Batch(NamedTuple):
    """Sequences of images (or words in their place) and questions that don't see each other, T = images * TOKENS + room tokens.

    pixels uint8 (n, 3, S, S), or none (0, ...): each patch is then the mean of its words; rows int (B, images): which of them stand before each sequence; ids, positions, targets int
    (B, T): tokens, their places as if their question stood alone, and what is to come next (IGNORED but for answers); blocks
    int (B, T): 0 for images, i for question i; said (n, TOKENS, V): shares of the words of each patch.
    """

    pixels: Tensor
    rows: Tensor
    ids: Tensor
    positions: Tensor
    targets: Tensor
    blocks: Tensor
    said: Tensor


class Text:
    """Sentences to tokens, remembered."""

    def __init__(self):
        self.tokenizer, self.known = lmm.tokenizer(), {}

    def __call__(self, text: str) -> list[int]:
        if text not in self.known:
            self.known[text] = self.tokenizer.encode(text).ids
        return self.known[text]


def batch_of(rng: np.random.Generator, some: list[Picture], text: Text, reading: bool = False) -> Batch:
    """As many questions as fit behind each picture, or, ``reading``, behind the words of its patches alone."""
    blank, rows = text(lmm.IMAGE), torch.arange(len(some))[:, None]
    sequences, said = [], torch.zeros(len(some), lmm.TOKENS, text.tokenizer.get_vocab_size())
    for row, picture in enumerate(some):
        for cell, names in enumerate(sentences.cells(picture)):
            said[row, cell, [text(name)[0] for name in names]] = 1 / len(names)
        sequences.append(_sequence(blank * lmm.TOKENS, _questions(rng, picture, text), ROOM))
    return Batch(torch.from_numpy(np.stack([picture.pixels for picture in some]))[: 0 if reading else None], rows, *_stacked(sequences), said)


def pairs_of(rng: np.random.Generator, groups: list[list[Picture]], n: int, text: Text) -> Batch:
    """``n`` pairs of pictures of single things before the question of sameness: half the same thing, a quarter look-alikes.

    ``groups``: pictures of one family of look-alikes each.
    """
    pictures, rows, sequences = [], [], []
    question = text(reflection.SAME)
    for i in range(n):
        group = groups[int(rng.integers(len(groups)))]
        one = group[int(rng.integers(len(group)))]
        same = [other for other in group if other is not one and main(other).identity == main(one).identity]
        alike = [other for other in group if main(other).identity != main(one).identity]
        if i % 2 == 0 and same:
            other = same[int(rng.integers(len(same)))]
        elif alike and rng.random() < 0.5:
            other = alike[int(rng.integers(len(alike)))]
        else:
            others = groups[int(rng.integers(len(groups)))]
            other = others[int(rng.integers(len(others)))]
        answer = "yes" if main(one).identity == main(other).identity else "no"
        rows.append([len(pictures), len(pictures) + 1])
        pictures += [one, other]
        sequences.append(_sequence(text(lmm.IMAGE) * 2 * lmm.TOKENS, [(question, text(answer))], len(question) + 2))
    pixels = torch.from_numpy(np.stack([picture.pixels for picture in pictures]))
    return Batch(pixels, torch.tensor(rows), *_stacked(sequences), torch.zeros(len(pictures), 0, 0))


def main(picture: Picture) -> Shown:
    """The thing that a picture is of: the largest of those that can be seen for sure."""
    sure = [thing for thing in picture.things if thing.sure]
    return max(sure, key=lambda one: (one.box[2] - one.box[0]) * (one.box[3] - one.box[1]))


def families(pictures: list[Picture]) -> list[list[Picture]]:
    """Pictures of single things by their families of look-alikes, at least two in each."""
    groups = {}
    for picture in pictures:
        if sum(thing.sure for thing in picture.things) == 1:
            groups.setdefault(main(picture).family, []).append(picture)
    return [group for group in groups.values() if len(group) > 1]


def _questions(rng, picture, text):
    asked, left = [], ROOM
    for _ in range(40):
        new = sentences.question(rng, picture)
        if new is None:
            continue
        question, answer = text(new[0]), text(new[1])
        if (left := left - len(question) - len(answer) - 1) < 0:
            break
        asked.append((question, answer))
    return asked


def _sequence(images, asked, room):
    """ids, positions, targets, blocks (T,) of one sequence."""
    n, end = len(images), lmm.SPECIAL.index(lmm.END)
    out = np.zeros((4, n + room), np.int64)
    out[0, :n], out[1, :n], out[2], out[3, n:] = images, range(n), IGNORED, -1
    at = n
    for block, (question, answer) in enumerate(asked, 1):
        tokens = [*question, *answer]
        stop = at + len(tokens)
        out[0, at:stop], out[1, at:stop], out[3, at:stop] = tokens, range(n, n + len(tokens)), block
        out[2, at + len(question) - 1 : stop] = [*answer, end]
        at = stop
    return out


def _stacked(sequences):
    return [torch.from_numpy(part) for part in np.stack(sequences, 1)]
