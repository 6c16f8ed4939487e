"""PatchWords: point at a patch of a picture and read the words that it says to an image-text model."""

import traitlets
from matplotlib.figure import Figure
from PIL import Image

from foir_lib.errors import InputError
from foir_lib.images import rgb
from foir_lib.memory.reflection import patch_words
from foir_lib.models.text_image import TextImage, load_text_image
from foir_lib.view.figures.memory import words as figure
from foir_lib.view.widgets.live import Drawn, replace_earlier, static
from foir_lib.view.widgets.thumbs import encoded

LONGEST = 560  # pixels, longest side on the page


class PatchWords(Drawn):
    """A picture whose patches say their ``k`` words by reverse embedding, most first: hover or arrow keys show a patch's, a click or
    Enter keeps it, Escape lets it go. ``model``: an image-text model or its name; ``grid``: (rows, columns), a square unless given.

    Works without a browser too: :meth:`look`, :attr:`words`, :attr:`at`. Raises InputError for a grid that the patches don't fill.
    """

    _esm, _css = static("patch_words.js"), static("common.css", "patch_words.css")
    image = traitlets.Bytes().tag(sync=True)  # a JPEG
    grid = traitlets.Tuple().tag(sync=True)
    words = traitlets.List().tag(sync=True)  # for each patch, row by row: [word, cosine], most first
    at = traitlets.Int(-1).tag(sync=True)  # the patch that is kept, -1 for none

    def __init__(self, picture: Image.Image, model: TextImage | str = "mini-lmm", k: int = 4, grid: tuple[int, int] | None = None):
        model = load_text_image(model) if isinstance(model, str) else model
        self.picture, said = rgb(picture), patch_words(model, picture, k)
        rows, columns = grid or (round(len(said) ** 0.5),) * 2
        if rows * columns != len(said):
            raise InputError(f"{len(said)} patches don't fill a grid of {rows} x {columns}: pass grid=(rows, columns).")
        words = [[[word, round(score, 4)] for word, score in some] for some in said]
        super().__init__(image=encoded(self.picture, LONGEST, quality=92), grid=(rows, columns), words=words)
        replace_earlier(self)

    def __repr__(self):
        return f"PatchWords ({self.grid[0]} x {self.grid[1]} patches, {'none' if self.at < 0 else self.at} kept)"

    @traitlets.validate("at")
    def _on_the_picture(self, proposal):
        if not -1 <= proposal["value"] < len(self.words):
            raise InputError(f"There is no patch {proposal['value']}: this picture has {len(self.words)}, counted from 0; -1 is none.")
        return proposal["value"]

    def look(self, x: float, y: float) -> list[tuple[str, float]]:
        """Keep the patch at a point (pixels of the picture), as a click does, and return its words. InputError off the picture."""
        (width, height), (rows, columns) = self.picture.size, self.grid
        if not (0 <= x < width and 0 <= y < height):
            raise InputError(f"Point ({x:g}, {y:g}) lies off the picture: it has {width} x {height} pixels.")
        self.at = int(y * rows / height) * columns + int(x * columns / width)
        return [tuple(one) for one in self.words[self.at]]

    def still(self) -> Figure:
        return self.figure()

    def figure(self) -> Figure:
        """All patches with the word that each says most, as :func:`figures.memory.words.patch_words` draws it."""
        return figure.patch_words(self.picture, self.words, self.grid)
