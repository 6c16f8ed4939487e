"""Several methods asked the same thing about one database, side by side; no widget in sight."""

import time
from typing import NamedTuple

from foir_lib.errors import InputError
from foir_lib.prompts import Box, Mask, Point
from foir_lib.search.asking import METHODS, Database
from foir_lib.view.explorers import rows as retrieval_rows
from foir_lib.view.widgets.thumbs import Thumbs

MOST = 4  # methods side by side


class Asked(NamedTuple):
    """One question: which picture (any number), the prompt on it, and the options of :meth:`Sight.descriptor`."""

    picture: int
    prompt: Box | Point | Mask | None
    h_on: int
    roi: str


class Comparison:
    """The database of a set as one model sees it; answers to the last question are kept."""

    def __init__(self, retrieval_set, model, features):
        self.set, self.ids = retrieval_set, retrieval_set.database["image_id"].to_numpy()
        if len(features) != len(self.ids):
            raise InputError(
                f"The features hold {len(features)} pictures, the database of {retrieval_set.name} "
                f"{len(self.ids)}: make them from this set."
            )
        self._database, self._thumbs = Database(model, features), Thumbs(retrieval_set)
        self._row_of = {image_id: row for row, image_id in enumerate(self.ids)}
        self._asked, self._found = None, {}

    def answer(self, sight, asked, methods, label, k, image_id=None):
        """Method -> table of its first ``k`` answers, and the gallery's rows for them.

        ``label``: what is looked for, "" when unknown; ``image_id``: of the query picture where it is one of the
        set, so that it doesn't find itself. Raises InputError, and then what was kept before stays.
        """
        self._found, self._asked = self._search(sight, asked, methods, image_id), asked
        first, right, tables, rows = methods[0], retrieval_rows.verdicts(self.set, label), {}, []
        for method in methods:
            found, ms = self._found[method]
            if found is None:
                tables[method] = retrieval_rows.nothing()
                rows.append(retrieval_rows.without_prompt(method))
                continue
            tables[method] = table = retrieval_rows.table(found, self.ids, k, right, self._found[first][0])
            thumbs, against = self._thumbs.get(table["image_id"]), None if method == first else first
            rows.append(retrieval_rows.row(method, table, thumbs, against, found.heads, ms))
        return tables, rows

    def close(self):
        """Let the threads and everything kept go."""
        self._thumbs.close()
        self._database, self._found = None, {}

    def _search(self, sight, asked, methods, image_id):
        """Method -> (Found, or None where a prompt is lacking; ms)."""
        found = dict(self._found) if asked == self._asked else {}
        sight.descriptor()  # the picture is looked at once, before the clock starts
        for method in methods:
            if method not in found:
                start = time.perf_counter()
                lacks = asked.prompt is None and method != "CBIR"
                own = self._row_of.get(image_id, -1)
                answer = None if lacks else self._database.rank(sight, method, *asked[1:], exclude=own)
                found[method] = answer, 1000 * (time.perf_counter() - start)
        return found


def checked(methods):
    """``methods`` as a tuple. Raises InputError unless they are one to four known ones, each once."""
    methods = (methods,) if isinstance(methods, str) else tuple(methods)
    unknown = [m for m in methods if m not in METHODS]
    if unknown:
        raise InputError(f"Method {unknown[0]!r} is unknown: choose from {', '.join(METHODS)}.")
    if not methods:
        raise InputError("No method is chosen: choose at least one.")
    if len(methods) > MOST or len(set(methods)) < len(methods):
        raise InputError(f"{len(methods)} methods don't fit side by side: choose at most {MOST}, each once.")
    return methods
