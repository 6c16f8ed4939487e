"""From one answer of the database to a table and to a row of the gallery: plain functions, no widget."""

import numbers

import numpy as np
import pandas as pd

from foir_lib.data.checks import CORNERS
from foir_lib.errors import InputError
from foir_lib.prompts import Point

COLUMNS = ["image_id", "row", "score", "right", "before", "rank"]
NO_PROMPT = "Draw a prompt on the picture: {} looks for what you point at."


def query_of(retrieval_set, row):
    """(image id, prompt, label) of a row of ``retrieval_set.queries``. Raises InputError when there is no such row."""
    queries = retrieval_set.queries
    if isinstance(row, bool) or not isinstance(row, numbers.Integral) or not 0 <= row < len(queries):
        raise InputError(f"There is no query {row!r}: {retrieval_set.name} has {len(queries)}, counted from 0.")
    return tuple(queries[["image_id", "prompt", "label"]].iloc[int(row)])


def objects_of(retrieval_set):
    """Image id -> its rows of ``objects`` (array), without ignored ones (crowd, difficult)."""
    objects = retrieval_set.objects
    counted = np.flatnonzero(~objects["ignore"].to_numpy(dtype=bool))
    return {
        i: counted[at]
        for i, at in objects["image_id"].iloc[counted].groupby(objects["image_id"].iloc[counted]).indices.items()
    }


def best_match(boxes, prompt, size):
    """Which of ``boxes`` (n, 4) a prompt points at: the largest IoU, for a point the smallest that holds it; -1 if none."""
    boxes = np.asarray(boxes, dtype=np.float64).reshape(-1, 4)
    if prompt is None or not len(boxes):
        return -1
    x0, y0, x1, y1 = boxes.T
    area = (x1 - x0) * (y1 - y0)
    if isinstance(prompt, Point):
        inside = (x0 <= prompt.x) & (prompt.x < x1) & (y0 <= prompt.y) & (prompt.y < y1)
        return int(np.where(inside, area, np.inf).argmin()) if inside.any() else -1
    p = prompt.box(size)
    across = np.clip(np.minimum(x1, p.x1) - np.maximum(x0, p.x0), 0, None)
    common = across * np.clip(np.minimum(y1, p.y1) - np.maximum(y0, p.y0), 0, None)
    iou = common / (area + (p.x1 - p.x0) * (p.y1 - p.y0) - common)
    return int(iou.argmax()) if iou.max() > 0 else -1


def pointed_at(objects, rows, prompt, size):
    """The row of ``objects``, among ``rows``, that a prompt points at (:func:`best_match`), or -1."""
    at = best_match(objects[CORNERS].iloc[np.asarray(rows, dtype=np.int64)].to_numpy(), prompt, size)
    return -1 if at < 0 else int(rows[at])


def verdicts(retrieval_set, label):
    """Per database row True (right for ``label``), False, or None (counts neither way); None when nobody knows."""
    protocol = retrieval_set.protocols.get("contains")
    if protocol is None or label not in protocol.positive:
        return None
    right = np.zeros(len(retrieval_set.database), dtype=object)
    right[:] = False
    right[protocol.positive[label]] = True
    right[protocol.ignored[label]] = None
    return right


def table(found, image_ids, k, right=None, first=None):
    """The first ``k`` answers of ``found`` (:class:`~foir_lib.search.asking.Found`), one per line, ranks from 1.

    image_ids (n,): of all database rows; right: :func:`verdicts`; first: the Found whose ranks are ``before``.
    """
    rows = found.ids[:k]
    before = pd.array([pd.NA] * len(rows), dtype="Int64")
    if first is not None:
        place = np.zeros(len(image_ids), dtype=np.int64)
        place[first.ids] = np.arange(1, len(first.ids) + 1)
        before = pd.array(place[rows], dtype="Int64")
    known = np.full(len(rows), None, dtype=object) if right is None else right[rows]
    columns = (image_ids[rows], rows, found.scores[:k], known, before, np.arange(1, len(rows) + 1))
    return pd.DataFrame(dict(zip(COLUMNS, columns, strict=True)))


def nothing():
    """The table of a method that has no answer."""
    return pd.DataFrame({name: [] for name in COLUMNS})


def change(before, rank):
    """Rank change as a glyph and a number: ▲ up, ▼ down, = none; "" where ``before`` is unknown."""
    if pd.isna(before):
        return ""
    return "=" if before == rank else f"{'▲' if before > rank else '▼'}{abs(int(before) - int(rank))}"


def note(answers, heads=None, ms=None):
    """What is known of an answer in one line: how many are right, which heads were kept, how long it took."""
    judged = [right for right in answers["right"] if right is not None]
    parts = [f"{sum(judged)} of {len(judged)} right"] if judged else []
    if heads is not None:
        chosen = np.flatnonzero(heads)
        parts.append(f"head{'s' * (len(chosen) != 1)} {', '.join(map(str, chosen))}")
    if ms is not None:
        parts.append(f"{ms:.0f} ms" if ms >= 1 else "under 1 ms")
    return " · ".join(parts)


def row(method, answers, thumbs, first=None, heads=None, ms=None):
    """One row of the gallery: the table ``answers`` of a method with their ``thumbs``.

    ``first``: name of the method whose ranks the changes count from, None for that method's own row.
    """
    items = [_item(a, thumb, first) for a, thumb in zip(answers.itertuples(), thumbs, strict=True)]
    return {"title": method, "note": note(answers, heads, ms), "items": items}


def without_prompt(method):
    """The row of a method that can't answer without a prompt."""
    return {"title": method, "note": "", "items": [], "empty": NO_PROMPT.format(method)}


def _item(answer, thumb, first):
    moved = "" if first is None else change(answer.before, answer.rank)
    words = [f"rank {answer.rank}", f"score {answer.score:.3f}"]
    if answer.right is not None:
        words.append("right" if answer.right else "wrong")
    if moved:
        places = f"{moved[1:]} place{'s' * (moved != '▲1' and moved != '▼1')} {'higher' if moved[0] == '▲' else 'lower'} than"
        words.append(f"{'as' if moved == '=' else places} with {first}")
    words.append(f"picture {answer.image_id}" + (f" can't be shown: {thumb.problem}" if thumb.problem else ""))
    return {
        "key": int(answer.row), "image": thumb.image, "caption": f"{answer.rank} · {answer.score:.3f} {moved}".rstrip(),
        "alt": ", ".join(words), "frame": {True: "right", False: "wrong", None: ""}[answer.right],
    }  # fmt: skip
