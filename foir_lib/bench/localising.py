"""Localisers asked over the results of every query: what they say is kept, query by query, so a killed run goes on where it stood."""

import json
from collections.abc import Sequence

import numpy as np
from tqdm.auto import tqdm

from foir_lib import registry
from foir_lib.detections import Localisation
from foir_lib.errors import FoirError, InputError
from foir_lib.files import cached
from foir_lib.retrievers.base import Localiser
from foir_lib.store.keys import code_of

Localisations = dict[int, Localisation]  # database row -> where it shows what a query asks for


def localise(corpus, localiser: Localiser | str, part, ids: Sequence[np.ndarray]) -> list[Localisations]:
    """What a localiser says of the database rows ``ids[m]`` of each prompt ``m`` of a part; -1 stands for no row.

    ``localiser``: an object, or its text as `foir methods` lists it. What was said of a query is kept on disk for equal rows. Raises
    InputError for a localiser that lacks something, for ids of other queries or rows, and for answers that are none.
    """
    localiser = parsed(localiser)
    if missing := localiser.lacks(corpus):
        raise InputError(f"{localiser} can't be asked on {corpus.set.name}: {missing}.")
    if len(ids) != len(part):
        raise InputError(f"Rows of {len(ids)} queries were given, there are {len(part)}: give some for each.")
    database, rows = corpus.database, [np.unique(np.asarray(one, dtype=np.int64)) for one in ids]
    rows = [one[one >= 0] for one in rows]
    if max((int(one[-1]) for one in rows if len(one)), default=-1) >= len(database):
        raise InputError(f"The rows to localise name row {max(int(one[-1]) for one in rows if len(one))}: the database has {len(database)}.")
    model = type(corpus.model), getattr(corpus.model, "opener", type(corpus.model))
    common = {
        "what": "localisations", "localiser": localiser.key(corpus), "set": database.data, "queries": part.name, "data": part.data,
        "model": corpus.model.key, "code": code_of(localiser, localise, type(part), *model, type(corpus.set)),
    }  # fmt: skip
    root, results = corpus.cache, []
    with tqdm(total=sum(map(len, rows)), desc=str(localiser), unit="picture", disable=not corpus.progress) as bar:
        for m, one in enumerate(rows):
            key = common | {"query": m, "rows": one.tolist()}
            content = cached("localisations", key, lambda: _asked(corpus, localiser, part, m, one), root) if len(one) else b"[]"
            results.append({int(row): Localisation(*answer) for row, answer in zip(one, json.loads(content))})
            bar.update(len(one))
    return results


def parsed(localiser: Localiser | str) -> Localiser:
    """A localiser from an object or its text. Raises InputError for what is neither."""
    one = registry.parse("localiser", localiser) if isinstance(localiser, str) else localiser
    if not isinstance(one, Localiser):
        raise InputError(f"{localiser!r} is no localiser: give an object or a name of `foir methods`.")
    return one


def _asked(corpus, localiser, part, m, rows):
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
    plain = [(answer.mask, None if answer.box is None else answer.box.tolist(), answer.score) for answer in answers]
    return json.dumps(plain, allow_nan=False).encode()
