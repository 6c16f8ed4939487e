"""Reverse embedding on the picture: the word that each patch says most (thesis 3.1)."""

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure
from PIL import Image

from foir_lib.errors import InputError
from foir_lib.view.figures import parts
from foir_lib.view.figures.looks import WIDTH, canvas

Said = Sequence[Sequence[tuple[str, float]]]  # for each patch, row by row: words and how much it says them, most first
CELL = 0.62  # inches at least, so that a word can be read


def patch_words(picture: Image.Image, words: Said, grid: tuple[int, int] | None = None, faint: float = 0.0, title: str | None = None) -> Figure:
    """The picture, and beside it each patch with the word that it says most, on how much it says it.

    ``words``: as `memory.reflection.patch_words` gives them; ``grid``: (rows, columns), a square unless given; patches that say no
    word by more than ``faint`` stay empty. Raises InputError for words that don't fill the grid.
    """
    rows, columns = grid or (round(len(words) ** 0.5),) * 2
    if rows * columns != len(words) or not rows:
        raise InputError(f"{len(words)} patches don't fill a grid of {rows} x {columns}: pass grid=(rows, columns).")
    scores = np.array([row[0][1] for row in words], float).reshape(rows, columns)
    side = max(CELL * columns, WIDTH - 3.4)
    with canvas(max(side * rows / columns * 0.75, side * parts.tall(picture)) + 0.4, side + 3.4) as figure:
        left, right = figure.subplots(1, 2, width_ratios=(2.4, side))
        parts.show(left, picture)
        left.set_title("picture")
        low = min(float(scores.min()), 0.0)
        image = parts.heat_map(right, picture, scores, parts.scale_of(scores), low)
        size = min(8.0, 72 * side / columns / 5.2)
        for cell, row in enumerate(words):
            word, score = row[0]
            if score <= faint:
                continue
            x, y = ((cell % columns) + 0.5) * picture.width / columns, ((cell // columns) + 0.5) * picture.height / rows
            bright = (score - low) / max(image.norm.vmax - low, 1e-9) > 0.75
            right.text(x, y, word, ha="center", va="center", fontsize=size, color="black" if bright else "white")
        right.set_title("the word that each patch says most")
        parts.colour_bar(figure, image, [right], "cosine with the word", scores)
        parts.words(figure, title)
    return figure
