"""Cut out everywhere: a thing on one photograph, found in a set or a folder, localised in the first results, cut out of them."""

from os import PathLike
from pathlib import Path

from foir_lib.data import RetrievalSet, checking
from foir_lib.errors import InputError, count, number
from foir_lib.files import as_path, try_place
from foir_lib.images import open_image
from foir_lib.models.zoo import load_model
from foir_lib.prompts import Box, Point
from foir_lib.retrievers.corpus import Corpus
from foir_lib.retrievers.pixels import asking
from foir_lib.view.cutouts import COCO, REMEDY, cut_out
from foir_lib.view.explorers.comparison import Comparison, parsed


def cut(
    retrieval_set: RetrievalSet, picture: str | PathLike, prompt: Box | Point, folder: str | PathLike, method: str = "PHS", localiser: str = "Dense",
    model: str = "mini-vit", weights: str | None = None, device: str = "auto", n: int = 20, least: float | None = None, label: str = "thing",
    cache: str | PathLike | None = None, progress: bool = True,
) -> tuple[Path, int]:  # fmt: skip
    """Cut the thing out of the first ``n`` results of a prompt on a photograph; returns the COCO file and the number of cut-outs.

    Where nothing is localised, or by a lower score than ``least``, nothing is cut; see :func:`cut_out` for the files. Raises InputError or
    MissingError for what can't be read, asked or written, before anything is computed where that can be known.
    """
    count(n, "n"), least is None or number(least, "least")
    try_place(as_path(folder) / COCO, REMEDY)
    shown = open_image(as_path(picture))
    prompt.box(shown.size, (1, 1))  # or it says that it lies outside
    corpus = Corpus(retrieval_set, load_model(model, weights=weights or None, device=device), cache=cache, progress=progress)
    (retriever,), wanted = parsed([method], corpus), asking.parsed(localiser)
    if lacks := wanted.lacks(corpus):
        raise InputError(f"{wanted} can't be had here: {lacks}.")
    comparison = Comparison(corpus)
    try:
        ids = comparison.answers(shown, prompt, [retriever])[str(retriever)].ids[:n]
        (answers,) = asking.localise(corpus, wanted, comparison.part, [ids])
    finally:
        comparison.close()
    accepted = {row: one for row, one in answers.items() if one and (least is None or one.score >= least)}
    return cut_out(retrieval_set, {0: accepted}, folder, progress=progress, labels=[label]), len(accepted)


def opened(name: str, root: str | None, options: dict[str, str]) -> RetrievalSet:
    """The set of that name in its folder, or made from a seed, that is searched; errors as of `load_set`."""
    retrieval_set, _ = checking.check(root, name, **options)
    if not len(retrieval_set.database):
        raise InputError(f"{retrieval_set.name} has no picture to search: give another folder.")
    return retrieval_set


def pointed(box: str | None, point: str | None) -> Box | Point:
    """The prompt of "x0,y0,x1,y1" or "x,y". Raises InputError for both or neither, and for what is no such text."""
    if (box is None) == (point is None):
        raise InputError("What to cut out is given by either a box or a point: write --box X0,Y0,X1,Y1 or --point X,Y.")
    kind, text, n = ("box", box, 4) if point is None else ("point", point, 2)
    try:
        numbers = [float(piece) for piece in text.split(",")]
    except ValueError:
        numbers = []
    if len(numbers) != n:
        raise InputError(f"--{kind} {text!r} is none: write {n} numbers with commas between them, in pixels.")
    return Box(*numbers) if kind == "box" else Point(*numbers)
