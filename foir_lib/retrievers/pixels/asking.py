"""Localisers asked about pairs of a query and a database picture: what they say is kept, pair by pair, so that a killed run goes on where it stood
and every list shares the answers."""

import json
from collections.abc import Sequence

import numpy as np

from foir_lib import registry
from foir_lib.detections import Localisation
from foir_lib.errors import FoirError, InputError
from foir_lib.files import remember, remembered
from foir_lib.progress import bar as counted
from foir_lib.retrievers.base import Localiser
from foir_lib.store.keys import code_of

KIND = "localisations"
Localisations = dict[int, Localisation]  # database row -> where it shows what a query asks for


def localise(corpus, localiser: Localiser | str, part, ids: Sequence[np.ndarray]) -> list[Localisations]:
    """What a localiser says of the database rows ``ids[m]`` of each prompt ``m`` of a part; -1 stands for no row.

    ``localiser``: an object, or its text as `foir methods` lists it. What it said of a pair is kept on disk. Raises InputError for a
    localiser that lacks something, for ids of other queries or rows, and for answers that are none.
    """
    localiser = parsed(localiser)
    if missing := localiser.lacks(corpus):
        raise InputError(f"{localiser} can't be asked on {corpus.set.name}: {missing}.")
    if len(ids) != len(part):
        raise InputError(f"Rows of {len(ids)} queries were given, there are {len(part)}: give some for each.")
    rows = [np.unique(np.asarray(one, dtype=np.int64)) for one in ids]
    if (last := max((int(one[-1]) for one in rows if len(one)), default=-1)) >= len(corpus.database):
        raise InputError(f"The rows to localise name row {last}: the database has {len(corpus.database)}.")
    # answers on a picture under the mouse aren't kept
    key = named(corpus, localiser, part) if part.data is not None else None
    with counted(sum(map(len, rows)), str(localiser), "picture", show=corpus.progress) as bar:
        return [_of_query(corpus, localiser, part, m, one[one >= 0], key, bar) for m, one in enumerate(rows)]


def named(corpus, localiser: Localiser, part) -> dict:
    """Names all that the answers of a localiser depend on beside the pair: see :meth:`Localiser.inner`."""
    inner, model = localiser.inner(corpus), (type(corpus.model), getattr(corpus.model, "opener", type(corpus.model)))
    objects = [one for one in inner if not isinstance(one, str)]
    return {
        "what": "localisation", "localiser": str(localiser), "set": corpus.database.data, "queries": part.name, "data": part.data,
        "model": corpus.model.key, "code": code_of(localiser, *objects, localise, type(part), *model, type(corpus.set)),
        "inner": [str(getattr(one, "key", one)) for one in inner],
    }  # fmt: skip


def _of_query(corpus, localiser, part, m, rows, key, bar):
    """Answers for some rows by row; those that aren't kept are asked for together."""
    answers = {}
    for row in rows.tolist() if key else ():
        if (content := remembered(KIND, key | {"query": m, "row": row}, corpus.cache)) is not None:
            answers[row] = Localisation(*json.loads(content))
    bar.update(len(answers))
    missing = np.array([row for row in rows.tolist() if row not in answers], dtype=np.int64)
    if len(missing):
        for row, answer in zip(missing.tolist(), located(corpus, localiser, part, m, missing)):
            answers[row] = answer
            content = json.dumps((answer.mask, None if answer.box is None else answer.box.tolist(), answer.score), allow_nan=False)
            if key:
                remember(KIND, key | {"query": m, "row": row}, content.encode(), corpus.cache)
        bar.update(len(missing))
    return {row: answers[row] for row in rows.tolist()}


def parsed(localiser: Localiser | str) -> Localiser:
    """A localiser from an object or its text. Raises InputError for what is neither."""
    one = registry.parse("localiser", localiser) if isinstance(localiser, str) else localiser
    if not isinstance(one, Localiser):
        raise InputError(f"{localiser!r} is no localiser: give an object or a name of `foir methods`.")
    return one


def located(corpus, localiser: Localiser, part, m: int, rows: np.ndarray) -> list[Localisation]:
    """What a localiser says of prompt ``m`` on some rows. Raises InputError for answers that are none, and where one's own fails."""
    try:
        answers = localiser.locate(corpus, part, m, rows)
    except FoirError:
        raise
    except Exception as error:
        if type(localiser).__module__.startswith("foir_lib."):
            raise
        raise InputError(f"{localiser} fails ({type(error).__name__}: {error}): mend it.") from error
    if len(answers) != len(rows) or not all(isinstance(answer, Localisation) for answer in answers):
        raise InputError(f"{localiser} returned {len(answers)} answers for {len(rows)} pictures: give a Localisation for each.")
    for row, answer in zip(rows, answers):
        size = corpus.database.sizes[row].tolist()[::-1]
        if answer.mask is not None and list(answer.mask["size"]) != size:
            raise InputError(f"{localiser} returned a mask of {answer.mask['size']} for a picture of {size}, height and width: give its own size.")
    return answers
