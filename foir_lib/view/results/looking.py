"""Where the descriptor of one database picture looks for one of its objects, before and after refinement; no widget in sight."""

from dataclasses import replace
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
from PIL import Image, ImageDraw

from foir_lib import registry
from foir_lib.data.checks import plain
from foir_lib.errors import FoirError
from foir_lib.methods import legrad
from foir_lib.methods.decomposition import window
from foir_lib.prompts import Box, Mask, Prompt, patch_shares
from foir_lib.retrievers.base import Retriever
from foir_lib.retrievers.decomposed.choosing import at_hand
from foir_lib.retrievers.decomposed.crops import OWN, Crops
from foir_lib.retrievers.decomposed.decomposing import ANNOTATED, TOKENS, decompose
from foir_lib.retrievers.objects import MaO
from foir_lib.retrievers.parts import Pictures
from foir_lib.text import percent
from foir_lib.view.figures.looks import ORANGE
from foir_lib.view.figures.objects import share
from foir_lib.view.results.rows import best_match
from foir_lib.view.widgets import maps
from foir_lib.view.widgets.thumbs import encoded

NAMES = {ANNOTATED: "annotated boxes (an oracle)", TOKENS: "token groups"}
WHERE = {"picture": "The whole picture", "crop": "The object's crop"}  # over what a map lies
WHEN = ("before", "after")  # refinement
SIDE, MOST = 200, 24  # pixels of the longest side of a map; objects that are offered beside a picture


class Opened(NamedTuple):
    """A database picture (PIL), its row and name; ``crops``: around its objects, or of the whole where it has none; ``targets`` (2, d): its
    descriptor before refinement and after it; ``retriever``: that it is described by."""

    row: int
    name: str
    picture: Image.Image
    crops: Crops
    targets: torch.Tensor
    retriever: Retriever

    @property
    def boxes(self) -> np.ndarray:
        """Of the objects, (n, 4) pixels."""
        return self.crops.boxes[self.crops.found]


class Object(NamedTuple):
    """What was pointed at: ``number`` of the object, -1 for a part of the picture that is none; its box; ``words``: why not another."""

    number: int
    box: Box
    words: str = ""


class Look(NamedTuple):
    """Where both descriptors look. By "picture" and "crop": ``maps`` (2, rows, columns), before and after, ``shares`` (2,) of them that
    lie on the object, ``covered``, its share of the whole, and ``inside`` bool (rows, columns), the patches that it touches; ``crop``
    (PIL), and its ``corner`` (x0, y0) on the picture."""

    crop: Image.Image
    corner: tuple[int, int]
    maps: dict[str, np.ndarray]
    shares: dict[str, np.ndarray]
    covered: dict[str, float]
    inside: dict[str, np.ndarray]


def fitted(retriever: Retriever, corpus, objects: str | None = None) -> Retriever:
    """The retriever with these ``objects``, and with the masks of their boxes where it has no segmenter."""
    retriever = retriever if objects is None else replace(retriever, objects=objects)
    if hasattr(retriever, "masks_of") and not at_hand(corpus, retriever.objects_of(corpus), retriever.masks_of(corpus)):
        return replace(retriever, masks=OWN)
    return retriever


def choices(corpus) -> dict[str, str | None]:
    """Whose objects can be had on a corpus: words -> option; first those of the set itself."""
    own = corpus.setting("objects", "owlv2")
    known = {NAMES.get(own, f"boxes by {own}"): None} | {words: name for name, words in NAMES.items() if name != own}
    return {words: name for words, name in known.items() if at_hand(corpus, name or own)}


def offered(corpus, objects: str | None = None) -> dict[str, Retriever]:
    """Text -> retriever of all that describe a picture object by object in one vector, and can be had on a corpus."""
    known = {}
    for name in registry.names("retriever"):
        try:
            retriever = registry.parse("retriever", name)
        except (FoirError, TypeError):  # a guest's needs a file
            continue
        if takes_objects(retriever):
            retriever = fitted(retriever, corpus, objects)
            known |= {str(retriever): retriever} if retriever.offered(corpus) else {}
    return known


def takes_objects(retriever: Retriever) -> bool:
    """Whether a method makes one vector of a picture's objects."""
    return hasattr(retriever, "crops_of") and retriever.vector == "descriptor"


def opened(corpus, retriever: Retriever, row: int) -> Opened:
    """A database picture with its objects and its descriptor by ``retriever``, before and after refinement.

    A method that refines nothing is shown beside MaO on the same objects; that one picture alone is refined for it.
    """
    database = corpus.database
    picture = database.open(row)
    one = Pictures(corpus, f"{database.name}, row {row}", 1, lambda _: picture, None, database.sizes[[row]], True, database.ids[[row]])
    objects = decompose(corpus, retriever.objects_of(corpus)).of(row)
    crops = Crops.of_objects(one, objects, retriever.least_of(corpus))
    refines = hasattr(retriever, "refined_crops")
    after = retriever if refines else fitted(MaO(objects=retriever.objects, least=retriever.least), corpus)
    start = replace(after, steps=1, lr=0.0).refined_crops(crops).read("descriptor")  # no step is taken: where it starts
    end = corpus.described(after, database).read("descriptor", [row]) if refines else after.refined_crops(crops).read("descriptor")
    return Opened(row, plain(database.ids[row]), picture, crops, torch.from_numpy(np.concatenate([start, end])), retriever)


def pointed(one: Opened, at: Prompt | int, grid: tuple[int, int]) -> Object:
    """The object that a number, point, box or mask means.

    Outside of all objects it is the nearest one that the point's window of patches touches, else that window itself.
    """
    boxes, size = one.boxes, one.picture.size
    number = at if isinstance(at, int | np.integer) else best_match(boxes, at, size)
    if number >= 0:
        return Object(int(number), Box(*boxes[number].tolist()))
    around = at.box(size, grid)
    touched = best_match(boxes, around, size)
    if touched < 0:
        return Object(-1, around, f"There is no object at {at}: the part of the picture around it was taken, {around}.")
    low, high = boxes[:, :2] - np.array([at.x, at.y]), np.array([at.x, at.y]) - boxes[:, 2:]
    apart = np.hypot(*np.maximum(np.maximum(low, high), 0).T)
    number = int(apart.argmin())
    return Object(number, Box(*boxes[number].tolist()), f"There is no object at {at}: the nearest was taken, {apart[number]:.0f} pixels away.")


def look(one: Opened, thing: Object, last: int = 2) -> Look:
    """LeGrad maps of an opened picture, and of the crop around one of its objects, with both descriptors as targets."""
    crops, model = one.crops, one.crops.corpus.model
    size, score = one.picture.size, getattr(one.retriever, "map_of", "tokens")
    at = np.flatnonzero(crops.found)[thing.number] if thing.number >= 0 else -1
    corners = window((thing.box.x0, thing.box.y0, thing.box.x1, thing.box.y1), size, one.retriever.least_of(crops.corpus))
    pixels = crops.pixels(at) if at >= 0 else thing.box.pixels(size)
    pixels = pixels if pixels.any() else thing.box.pixels(size)  # a mask that covers no whole pixel
    x0, y0, x1, y1 = corners
    pictures, masks = (one.picture, one.picture.crop(corners)), (pixels, pixels[y0:y1, x0:x1])
    result = Look(pictures[1], (x0, y0), {}, {}, {}, {})
    for name, picture, mask in zip(WHERE, pictures, masks, strict=True):
        heats = legrad.heatmap(model, model.preprocess(picture), one.targets.to(model.device), last, model.projects, score).cpu().numpy()
        covered = patch_shares(mask, model.grid)
        result.maps[name], result.shares[name] = heats, np.array([share(heat, covered) for heat in heats])
        result.covered[name], result.inside[name] = float(mask.mean()), Mask(mask).tokens(model.grid, picture.size).reshape(model.grid)
    return result


def outlined(picture: Image.Image, boxes: np.ndarray) -> Image.Image:
    """A copy of the picture with the outlines of boxes (n, 4), orange with a dark rim."""
    copy, wide = picture.copy(), max(2, round(max(picture.size) / 320))
    pen = ImageDraw.Draw(copy)
    for x0, y0, x1, y1 in np.asarray(boxes).round().astype(int).tolist():
        for reach, colour, width in ((wide, "black", 2 * wide + 1), (wide - 1, ORANGE, wide)):
            pen.rectangle((x0 - reach, y0 - reach, x1 + reach, y1 + reach), outline=colour, width=width)
    return copy


def captions(look: Look, where: str, more: str = "") -> list[str]:
    """What stands below the maps over the picture or the crop: before and after."""
    return [f"{when}{more}: {percent(one)} on it" for when, one in zip(WHEN, look.shares[where], strict=True)]


def sentence(one: Opened, thing: Object | None, look: Look | None, results: pd.DataFrame) -> str:
    """What is open and where its descriptor looks, in words; ``results``: the table of the list that it was clicked in."""
    place, n = np.flatnonzero(results["row"] == one.row), len(one.boxes)
    rank = f"rank {place[0] + 1}" if len(place) else f"not among the first {len(results)}"
    words = f"Picture {one.name}, {rank}: {n} object{'s' * (n != 1)}."
    if look is None:
        return f"{words} Click one, on the picture or in the row below it."
    which = f"object {thing.number + 1}" if thing.number >= 0 else "this part of the picture"
    shares = [
        f"of the {name} {percent(before)} → {percent(after)} (it covers {percent(look.covered[name])})"
        for name, (before, after) in look.shares.items()
    ]
    return f"{words} Share of the map that lies on {which}, before → after refinement: {', '.join(shares)}."


def maps_rows(one: Opened, look: Look) -> list[dict]:
    """Rows of a gallery: the maps before and after refinement over an open picture, and over the crop of an object."""
    shown = []
    for where, title in WHERE.items():
        files = maps.overlays(look.crop if where == "crop" else one.picture, look.maps[where], 1.0, look.inside[where], SIDE)
        items = [
            {"key": when, "image": file, "caption": caption, "alt": f"{title}, map {caption}".replace(":", " refinement:")}
            for when, file, caption in zip(WHEN, files, captions(look, where), strict=True)
        ]
        shown.append({"title": title, "note": f"the object covers {percent(look.covered[where])}", "items": items})
    return shown


def objects_row(one: Opened, chosen: int = -1) -> dict:
    """A row of a gallery: the objects of an open picture, by their numbers, the ``chosen`` one framed."""
    items = []
    for i, box in enumerate(one.boxes[:MOST].round().astype(int).tolist()):
        file = encoded(one.picture.crop((*box[:2], max(box[2], box[0] + 1), max(box[3], box[1] + 1))), SIDE)
        items.append({"key": i, "image": file, "caption": f"{i + 1}", "alt": f"object {i + 1}", "frame": "chosen" * (i == chosen)})
    note = f"the first {MOST} of {len(one.boxes)}" if len(one.boxes) > MOST else ""
    empty = "Nothing was found in this picture: its descriptor is that of the whole. Click anywhere on it."
    return {"title": "Its objects", "note": note, "items": items, "empty": empty}
