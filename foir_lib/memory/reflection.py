"""The reflector: an image-text model checks one candidate at a time, and says why; what it said once is remembered by content."""

import hashlib
import json
import math
import os
from collections.abc import Sequence

import numpy as np
from PIL import Image

from foir_lib import files
from foir_lib.images import rgb
from foir_lib.methods.memory import reverse_embedding
from foir_lib.methods.memory.reflection import HAS, SAME, SHOWS, WHY, with_article
from foir_lib.models.text_image import TextImage, load_text_image

LONGEST = 200  # letters of a name that is asked for; what is longer is cut


class Reflector:
    """Asks an image-text ``model`` (a name, a folder, or a loaded one) about pictures or crops; None: there is nobody to ask.

    Answers are log-odds of yes against no. Without a model, and of a name that its tokenizer has no words for, they are NaN: neither
    yes nor no. ``threshold``: log-odds above it are a yes (ours: 0, until the controller has learnt another from the memory).
    ``joined``: the pairwise question shows both pictures side by side in one, for models that take a single one; else it shows two.
    """

    def __init__(self, model: TextImage | str | os.PathLike | None = None, threshold: float = 0.0, joined: bool = False, device="auto"):
        self.model = load_text_image(model, device) if isinstance(model, (str, os.PathLike)) else model
        self.threshold, self.joined = threshold, joined
        self.asked = 0  # questions that the model itself was asked: what was remembered isn't counted

    def __bool__(self) -> bool:
        """Whether there is a model to ask."""
        return self.model is not None

    def verify(self, picture: Image.Image, names: Sequence[str]) -> np.ndarray:
        """Log-odds (n,) that a picture or crop shows each of ``names``: "Does the picture show a/an {name}?"."""
        return self._ask([picture] * len(names), [SHOWS.format(name=with_article(name[:LONGEST])) for name in names])

    def verify_each(self, pictures: Sequence[Image.Image], names: Sequence[str]) -> np.ndarray:
        """Log-odds (n,) that each picture shows the name beside it, in batches."""
        return self._ask(list(pictures), [SHOWS.format(name=with_article(name[:LONGEST])) for name in names])

    def same(self, view: Image.Image, candidates: Sequence[Image.Image] | Image.Image) -> np.ndarray:
        """Log-odds (n,) that the stored ``view`` and each candidate crop show the same thing: the pairwise question."""
        crops = [candidates] if isinstance(candidates, Image.Image) else list(candidates)
        return self._ask([side_by_side(view, crop) if self.joined else (view, crop) for crop in crops], [SAME] * len(crops))

    def has(self, picture: Image.Image, key: str, value: str) -> float:
        """Log-odds that the thing on a crop has a stored property, such as colour: blue."""
        return float(self._ask([picture], [HAS.format(key=key[:LONGEST], value=value[:LONGEST])])[0])

    def reflect(self, picture: Image.Image, candidates: Sequence[str]) -> tuple[int | None, list[float]]:
        """Which of ``candidates``, best first, isn't denied, and the log-odds of those that were asked for; None: all are denied.

        A "no" moves to the next candidate. One that can't be asked for (NaN) isn't denied.
        """
        odds = []
        for index, name in enumerate(candidates):
            odds.append(float(self.verify(picture, [name])[0]))
            if not odds[-1] <= self.threshold:
                return index, odds
        return None, odds

    def reason(self, picture: Image.Image, name: str, max_words: int = 60) -> str | None:
        """Why the picture shows a name, or doesn't, in the model's own words; None without a model."""
        return self.say(picture, WHY.format(name=with_article(name[:LONGEST])), max_words)

    def say(self, picture: Image.Image, question: str, max_words: int = 60) -> str | None:
        """The model's own words to any ``question`` about a picture; None without a model."""
        if self.model is None:
            return None

        def answer():
            self.asked += 1
            return self.model.answer(picture, question, max_words).encode()

        return files.cached("reflection", self._key([picture], question) | {"words": max_words}, answer).decode()

    def lacks(self, name: str) -> list[str]:
        """Words of a name that the model's tokenizer doesn't know; none where it knows pieces of words, or without a model."""
        return self.model.lacks(name[:LONGEST]) if self.model else []

    def _ask(self, pictures, questions):
        odds, missing = np.full(len(questions), np.nan, np.float32), []
        if self.model is None:
            return odds
        keys = [self._key([one] if isinstance(one, Image.Image) else one, question) for one, question in zip(pictures, questions, strict=True)]
        for row, (key, question) in enumerate(zip(keys, questions)):
            if self.model.lacks(question):
                continue
            known = files.remembered("reflection", key)
            if known is None:
                missing.append(row)
            else:
                odds[row] = json.loads(known)
        if missing:
            self.asked += len(missing)
            odds[missing] = self.model.ask_yes([pictures[row] for row in missing], [questions[row] for row in missing])
            for row in missing:
                if math.isfinite(odds[row]):
                    files.remember("reflection", keys[row], json.dumps(float(odds[row])).encode())
        return odds

    def _key(self, pictures, question):
        return {"model": self.model.key, "question": question, "pictures": [content(picture) for picture in pictures]}


def content(picture: Image.Image) -> str:
    """SHA-256 (hex) of a picture's size and pixels as RGB."""
    picture = rgb(picture)
    return hashlib.sha256(f"{picture.size}".encode() + picture.tobytes()).hexdigest()


def side_by_side(one: Image.Image, other: Image.Image) -> Image.Image:
    """Two pictures in one of the height of the lower, white between them."""
    height = min(one.height, other.height)
    both = [rgb(picture).resize((max(round(picture.width * height / picture.height), 1), height)) for picture in (one, other)]
    gap = max(height // 20, 1)
    canvas = Image.new("RGB", (both[0].width + gap + both[1].width, height), "white")
    canvas.paste(both[0], (0, 0)), canvas.paste(both[1], (both[0].width + gap, 0))
    return canvas


def patch_words(model: TextImage, picture: Image.Image, k: int = 3, unit: bool = True) -> list[list[tuple[str, float]]]:
    """The ``k`` words that each vision token of a picture says most, and how much, row by row: reverse embedding.

    Special tokens and those without a letter are left out; ``unit``: cosines. See `methods.memory.reverse_embedding`.
    """
    texts, named = model.vocabulary
    scores = reverse_embedding.logits(model.vision_tokens([picture])[0], model.embedding, unit)
    values, ids = reverse_embedding.top(scores, k, named)
    return [[(texts[i], value) for value, i in zip(row, at)] for row, at in zip(values.tolist(), ids.tolist())]
