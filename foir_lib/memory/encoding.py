"""Encoders of a memory: a network and a retriever that turn regions of pictures into vectors."""

from collections.abc import Sequence
from types import SimpleNamespace

import numpy as np
from PIL import Image

from foir_lib import registry
from foir_lib.errors import InputError
from foir_lib.images import rgb
from foir_lib.models.zoo import load_model
from foir_lib.prompts import Box, Prompt
from foir_lib.retrievers.base import Retriever
from foir_lib.retrievers.corpus import Corpus
from foir_lib.retrievers.parts import Pictures, Prompted
from foir_lib.store import keys


def vectors_of(retriever: Retriever, part: Prompted) -> np.ndarray:
    """Vectors (n, d) float32, unit length, of the prompts of a part. Raises InputError for a retriever of several vectors a prompt."""
    vectors = np.asarray(retriever.describe(part).read("descriptor"), dtype=np.float32)
    if vectors.ndim != 2:
        raise InputError(f"{retriever} describes a region by {vectors.shape[1:]} numbers: choose a retriever of one vector.")
    return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)


class Encoder:
    """A ``model`` (a name of `foir models`, or a loaded one) and a ``retriever`` whose queries give one vector, "descriptor".

    ``key`` names weights, retriever and the code of both: vectors of another key aren't compared with its own. Raises
    InputError for a retriever that the model can't serve.
    """

    def __init__(self, model="mini-vit", retriever: Retriever | str = "Crop", batch_size: int = 32):
        self.model = load_model(model) if isinstance(model, str) else model
        self.retriever = registry.parse("retriever", retriever) if isinstance(retriever, str) else retriever
        self.corpus = Corpus(SimpleNamespace(name="memory", settings={}), self.model, batch_size=batch_size, progress=False)
        if lacks := self.retriever.lacks(self.corpus):
            raise InputError(f"{self.retriever} can't encode for a memory: {lacks}.")
        code = keys.code_of(type(self.retriever), type(self.model), getattr(self.model, "opener", type(self.model)))
        self.key = f"{self.model.key}; {self.retriever}; code {code}"

    @property
    def name(self) -> str:
        """As people write it: "mini-vit / Crop"."""
        return f"{self.model.name} / {self.retriever}"

    @property
    def knows_drawings_only(self) -> bool:
        """True for the networks of the drawn worlds, which never met a photograph."""
        return getattr(self.model, "knows_drawings_only", False)

    def embed(self, regions: Sequence[tuple[Image.Image, Prompt | None]]) -> np.ndarray:
        """Vectors (n, d) float32, unit length, of regions on pictures (None: the whole picture), several of one picture perhaps."""
        if not regions:
            raise InputError("There is nothing to encode: give at least one picture.")
        pictures, row_of, image_row = [], {}, []
        for picture, _ in regions:
            if id(picture) not in row_of:
                row_of[id(picture)] = len(pictures)
                pictures.append(rgb(picture))
            image_row.append(row_of[id(picture)])
        whole = [Box(0, 0, *pictures[row].size) for row in image_row]
        prompts = [box if region is None else region for (_, region), box in zip(regions, whole, strict=True)]
        part = Pictures(self.corpus, "live", len(pictures), pictures.__getitem__, None, [p.size for p in pictures], True)
        asked = Prompted(part, "live", prompts.__getitem__, np.arange(len(prompts)), np.array(image_row), None)
        return vectors_of(self.retriever, asked)
