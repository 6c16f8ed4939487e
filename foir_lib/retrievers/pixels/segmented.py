"""A segmenter (SAM) asked about what another localiser found: its map or box becomes prompts, the surest mask is taken; and the truth as such a localiser, an oracle."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F

from foir_lib.data.pixels import true_masks
from foir_lib.detections import Localisation
from foir_lib.errors import InputError
from foir_lib.methods.pixels import mask_prompts
from foir_lib.registry import register
from foir_lib.retrievers.decomposed.choosing import at_hand, check_segmenter, lacking
from foir_lib.retrievers.decomposed.decomposing import TOKENS, segmenter_of
from foir_lib.retrievers.pixels.around import Around
from foir_lib.retrievers.pixels.dense import Soft

OWN = ("own", "boxes")  # settings that name no segmenter


@register("localiser", "SAM")
@dataclass(frozen=True)
class SAM(Around):
    """The segmenter's mask for points and a map of what the localiser ``of`` found, asked again with its own answer ``again`` times; or for
    its ``box`` alone, asked once.

    ``segmenter``: a name or place of `load_segmenter`; None: the one that the set's settings name, else "sam". See
    :mod:`mask_prompts` for the recipe. Score: that of ``of``, times the segmenter's own estimate of its mask's IoU.
    """

    segmenter: str | None = None
    again: Literal[0, 1, 2] = 1
    points: int = 5
    box: bool = False

    def __post_init__(self):
        super().__post_init__()
        if self.segmenter is not None:
            check_segmenter(self.segmenter)

    def segmenter_of(self, corpus) -> str:
        """The name of the segmenter on a corpus."""
        setting = corpus.setting("masks", "sam")
        return self.segmenter or ("sam" if setting in OWN else setting)

    def lacks(self, corpus):
        return super().lacks(corpus) or lacking(corpus, TOKENS, self.segmenter_of(corpus))

    def offered(self, corpus):
        return super().offered(corpus) and at_hand(corpus, TOKENS, self.segmenter_of(corpus))

    def inner(self, corpus):
        return (*super().inner(corpus), segmenter_of(corpus, self.segmenter_of(corpus)))

    def locate(self, corpus, part, m, rows):
        segmenter, inner, answers = segmenter_of(corpus, self.segmenter_of(corpus)), self.localiser, []
        if self.box:
            return [self.boxed(segmenter, corpus.database.open(int(row)), one) for one, row in zip(inner.locate(corpus, part, m, rows), rows)]
        if isinstance(inner, Soft):
            maps = inner.soft(corpus, part, m, rows)
        else:
            maps = ((_map(one, corpus.database.sizes[row]), one.score) for one, row in zip(inner.locate(corpus, part, m, rows), rows))
        for row, (probability, score) in zip(rows, maps):
            if float(probability.max()) <= 0:
                answers.append(Localisation.nothing(score))
                continue
            mask, sure = self.segmented(segmenter, corpus.database.open(int(row)), probability)
            answers.append(Localisation.of(mask, score * sure))
        return answers

    def boxed(self, segmenter, picture, answer: Localisation) -> Localisation:
        """The mask for the box of an ``answer``, by its score times the segmenter's estimate of the mask's IoU; nothing for nothing."""
        if answer.box is None:
            return Localisation.nothing(answer.score)
        low = segmenter.predict(segmenter.embed(picture), np.asarray(answer.box, np.float32)[None])
        return Localisation.of(segmenter.upscaled(low)[0], answer.score * float(low.scores[0].clamp(0, 1)))

    def segmented(self, segmenter, picture, probability: torch.Tensor) -> tuple[np.ndarray, float]:
        """The mask, bool (height, width), and the segmenter's estimate of its IoU, of a picture for a map (height, width), 0 to 1, not all 0."""
        embedded = segmenter.embed(picture)
        size, side = embedded.size, segmenter.cells(embedded)
        inside = tuple(side * length / max(size) for length in size[::-1])
        (p,) = mask_prompts.on_cells(probability[None].float().cpu(), inside)
        prompt = mask_prompts.first(p, side, self.points)
        low = _answer(segmenter, embedded, prompt, inside)
        for _ in range(self.again):
            prompt = mask_prompts.again(prompt, low.logits[0], inside)
            low = _answer(segmenter, embedded, prompt, inside)
        return segmenter.upscaled(low)[0], float(low.scores[0].clamp(0, 1))


def _answer(segmenter, embedded, prompt, inside):
    points, box = (cells if cells is None else mask_prompts.in_pixels(cells, embedded.size, inside)[None] for cells in (prompt.points, prompt.box))
    return segmenter.predict(embedded, box, points, masks=prompt.mask[None])


def _map(one, size):
    """What a localiser that knows no map found, as one: its mask, else its box; zeros for nothing."""
    width, height = (int(side) for side in size)
    if one.mask is not None:
        return torch.from_numpy(one.pixels()).float()
    probability = torch.zeros(height, width)
    if one.box is not None:
        x0, y0, x1, y1 = one.box
        probability[int(max(y0, 0)) : int(np.ceil(y1)), int(max(x0, 0)) : int(np.ceil(x1))] = 1
    return probability


@register("localiser", "Truth")
@dataclass(frozen=True)
class Truth(Soft):
    """The set's own masks of a query's thing, an oracle (what refines it shows what is lost by the refining alone), on the positives of all its protocols, by the score 1; nothing on other pictures.

    ``cells``: as a perfect carrying of labels would have it, the share of the thing in each of so many cells along a picture's longer side,
    enlarged; None: the masks themselves. Known for the set's own queries alone, so no explorer offers it.
    """

    cells: int | None = None

    def offered(self, corpus):
        return False

    def soft(self, corpus, part, m, rows):
        if part.data is None or not hasattr(part, "rows"):
            raise InputError(f"Truth knows the queries of {corpus.set.name}, and no others.")
        query = int(part.rows[m])
        known = corpus.learned("true masks", lambda: [true_masks(corpus.set, name) for name in corpus.set.protocols])
        for row in rows:
            mask = next((masks[query][int(row)] for masks in known if int(row) in masks[query]), None)
            width, height = corpus.database.sizes[row].tolist()
            pixels = np.zeros((height, width), bool) if mask is None else Localisation(mask, None, 1.0).pixels()
            yield coarse(torch.from_numpy(pixels).float(), self.cells), float(mask is not None)


def coarse(mask: torch.Tensor, cells: int | None) -> torch.Tensor:
    """A mask (height, width) as the shares of its cells, so many along the longer side, enlarged again; as it is for None."""
    if not cells:
        return mask
    grid = [max(1, round(cells * side / max(mask.shape))) for side in mask.shape]
    shares = F.interpolate(mask[None, None], size=grid, mode="area")
    return F.interpolate(shares, size=tuple(mask.shape), mode="bilinear", align_corners=False)[0, 0]
