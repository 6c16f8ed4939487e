"""Questions about pictures whose truth is known from their regions, answered by an image-text model: with names, with words for the picture.

What (of a crop), where, how many, is there (of the whole picture). An answer is right where it is the true one word by word.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
from PIL import Image

from foir_lib.bench.memory.connector import Connector
from foir_lib.bench.memory.views import Views, score
from foir_lib.bench.metrics.scores import Score
from foir_lib.data.mini import focus
from foir_lib.memory.recogniser import seen
from foir_lib.memory.reflection import patch_words
from foir_lib.methods.memory.reflection import ARTICLES, NAMED, SHOWS, WHAT, with_article
from foir_lib.models.text_image import TextImage
from foir_lib.prompts import Box
from foir_lib.training.mini.sentences import NUMBERS, PLURALS, place

PICTURES = 60  # that are asked about
KINDS = {"what": 12, "where": 3, "how many": 2, "is there": 1}  # kind -> words of an answer at most
RIGHT, AGREES = "exact match", "agreement"
NUMBER = re.compile(r"\s+\d+[a-z]?$")  # of "ball 06a": nothing that a picture shows
NOUNS = {kind.name: kind.shape for kind in focus.KINDS}  # of names that are descriptions


class Question(NamedTuple):
    """``picture``: what is looked at, a crop for "what"; ``regions``: its things as (picture, box) of the whole one, ``names`` theirs;
    ``unit``: number of the whole picture."""

    kind: str
    text: str
    answer: str
    picture: Image.Image
    regions: tuple
    names: tuple[str, ...]
    unit: int


def called(label: str) -> str:
    """What of a label can be seen: "ball" of "ball 06a"."""
    return NUMBER.sub("", label)


def noun(label: str) -> str:
    """The word that counts and places are asked of: "ring" of "striped orange ring on land", "palace" of "lilac palace 01b"."""
    return NOUNS.get(label) or (called(label).split()[-1] if NUMBER.search(label) else label)


def questions(views: Views, n: int = PICTURES, seed: int = 0) -> list[Question]:
    """Up to five questions about each of ``n`` pictures, drawn with the seed: what one thing is, where one of its only kind is, how many of
    a kind there are, and twice whether a name is there, once with yes and once with no."""
    rng, every = np.random.default_rng([seed, 2]), sorted({called(label) for label in views.labels})
    units = rng.permutation(np.unique(views.pictures))[:n]
    return [one for unit in units.tolist() for one in _of_picture(rng, views, unit, every)]


def _of_picture(rng, views, unit, every) -> Iterator[Question]:
    rows = np.flatnonzero(views.pictures == unit)
    picture, boxes, labels = views.picture(rows[0]), [views.box(row) for row in rows], [str(label) for label in views.labels[rows]]
    names, nouns, one = tuple(map(called, labels)), list(map(noun, labels)), int(rng.integers(len(rows)))
    there = tuple((picture, box) for box in boxes), names, unit
    yield Question("what", WHAT, names[one], seen(picture, boxes[one]), ((picture, boxes[one]),), (names[one],), unit)
    alone = [m for m, word in enumerate(nouns) if nouns.count(word) == 1]
    if alone:
        m = int(rng.choice(alone))
        yield Question("where", f"Where is the {nouns[m]}?", _place(boxes[m], picture.size), picture, *there)
    word = str(rng.choice(sorted(set(nouns))))
    yield Question("how many", f"How many {PLURALS.get(word, f'{word}s')} are there?", NUMBERS[min(nouns.count(word), 12)], picture, *there)
    absent = [name for name in every if name not in names]
    for name, truth in ((names[one], "yes"), *((str(rng.choice(some)), "no") for some in [absent] if some)):
        yield Question("is there", SHOWS.format(name=with_article(name)), truth, picture, *there)


def _place(box: Box, size):
    return place((box.x0 / size[0], box.y0 / size[1], box.x1 / size[0], box.y1 / size[1]))


def plain(answer: str) -> str:
    """An answer's words in small letters, without article and punctuation, digits as words."""
    words = re.findall(r"[\w']+", answer.lower())
    words = words[1:] if len(words) > 1 and words[0] in ARTICLES else words
    return " ".join(NUMBERS[int(word)] if word.isdecimal() and int(word) < len(NUMBERS) else word for word in words)


def answers(model: TextImage, asked: Sequence[Question], prompts: Iterable[str], shown: bool = True, known: dict | None = None) -> np.ndarray:
    """What a model says to ``prompts``, one for each question, with its picture or without any: plain answers (n,). ``known``: what was
    said to the same prompt and picture before isn't asked again."""
    known, said = {} if known is None else known, []
    for one, text in zip(asked, prompts, strict=True):
        key = id(one.picture) if shown else None, text
        if key not in known:
            known[key] = plain(model.answer(one.picture if shown else (), text, KINDS[one.kind]))
        said.append(known[key])
    return np.array(said)


def _handed(one, names):
    names = list(dict.fromkeys(called(str(name)) for name in names if name))
    return NAMED.format(names=", ".join(names), question=one.text) if names else one.text


def vqa(model: TextImage, asked: Sequence[Question], connector: Connector) -> dict[str, dict[str, Score]]:
    """kind -> who answers -> exact match: the picture alone, with names handed over by each encoder, joined, true ones; names alone, nothing,
    and the answer that is right most often, whatever is asked. Units: pictures."""
    flat = [region for one in asked for region in one.regions]
    ends = np.cumsum([len(one.regions) for one in asked])[:-1]
    named, texts, known = connector.name(flat), [one.text for one in asked], {}

    def handed(names):
        return [_handed(one, some) for one, some in zip(asked, np.split(names, ends), strict=True)]

    joined, true = handed(named.joined), [_handed(one, one.names) for one in asked]
    given = {"the picture alone": answers(model, asked, texts, known=known)}
    for domain, names in zip(connector.domains, named.names, strict=True):
        given[f"with names by {domain.encoder.name} of {domain.name}"] = answers(model, asked, handed(names), known=known)
    for name, prompts, shown in (
        ("with names, joined", joined, True), ("with true names", true, True), ("names alone, joined", joined, False), ("the question alone", texts, False)
    ):  # fmt: skip
        given[name] = answers(model, asked, prompts, shown, known)
    truth, kinds = np.array([one.answer for one in asked]), np.array([one.kind for one in asked])
    given["always the commonest answer"] = np.array([_commonest(truth[kinds == kind]) for kind in kinds])
    return _by_kind(asked, {name: said == truth for name, said in given.items()}, RIGHT)


def replacement(model: TextImage, asked: Sequence[Question], seed: int = 0) -> dict[str, dict[str, Score]]:
    """kind -> what takes the picture's place in the prompt -> agreement with the picture's answer: random words, nothing, the words of another
    picture, and each patch's top word by reverse embedding (thesis 3.1). Units: pictures."""
    rng, (texts, known) = np.random.default_rng([seed, 3]), model.vocabulary
    words = [[said[0][0] for said in patch_words(model, one.picture, 1)] for one in asked]
    drawn = [[texts[i] for i in rng.choice(known.numpy(), len(some))] for some in words]
    units = np.array([one.unit for one in asked])
    others = [words[rng.choice([o for o in range(len(asked)) if asked[o].kind == one.kind and units[o] != one.unit])] for one in asked]
    reference = answers(model, asked, [one.text for one in asked])
    instead = {"random words": drawn, "nothing": [[]] * len(asked), "words of another picture": others, "words of its patches": words}
    prompts = {name: [" ".join([*some, one.text]) for some, one in zip(lists, asked, strict=True)] for name, lists in instead.items()}
    return _by_kind(asked, {name: answers(model, asked, some, False) == reference for name, some in prompts.items()}, AGREES)


def _commonest(values):
    """The value that is there most often."""
    found, counts = np.unique(values, return_counts=True)
    return found[counts.argmax()]


def _by_kind(asked, right, metric):
    """kind -> name -> score of what is ``right`` (n,) of it."""
    kinds, units = np.array([one.kind for one in asked]), np.array([one.unit for one in asked])
    here = {kind: kinds == kind for kind in KINDS if (kinds == kind).any()}
    return {kind: {name: score(metric, good[of], units[of]) for name, good in right.items()} for kind, of in here.items()}
