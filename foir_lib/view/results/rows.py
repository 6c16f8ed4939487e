"""From one ranking to a table and to a row of the gallery: plain functions, no widget."""

import inspect
import re
from collections.abc import Sequence

import numpy as np
import pandas as pd
import torch
from PIL import Image
from torchvision.ops import box_iou

from foir_lib.data.protocol import Protocol
from foir_lib.data.sets import RetrievalSet
from foir_lib.errors import InputError
from foir_lib.prompts import Point, Prompt
from foir_lib.retrievers.base import Retriever
from foir_lib.text import one_line, percent, points, score
from foir_lib.view.figures import parts
from foir_lib.view.widgets import maps
from foir_lib.view.widgets.thumbs import Thumb

COLUMNS = ["image_id", "row", "score", "right", "before", "rank"]
PROTOCOLS = ("contains", "medium")  # whose verdicts are shown, where a set has several
SHORT = 24  # characters of a label beside a list
FRAMES = {True: "right", False: "wrong", None: ""}  # the verdict in a word


def query_of(retrieval_set: RetrievalSet, row: int) -> tuple:
    """(image id, prompt, label) of a row of ``retrieval_set.queries``. Raises InputError when there is no such row."""
    queries = retrieval_set.queries
    if isinstance(row, bool) or not isinstance(row, int | np.integer) or not 0 <= row < len(queries):
        raise InputError(f"There is no query {row!r}: {retrieval_set.name} has {len(queries)}, counted from 0.")
    return tuple(queries[["image_id", "prompt", "label"]].iloc[int(row)])


def objects_of(retrieval_set: RetrievalSet) -> dict:
    """Image id -> its rows of ``objects`` (array), without ignored ones (crowd, difficult)."""
    objects = retrieval_set.objects
    counted = np.flatnonzero(~objects["ignore"].to_numpy(dtype=bool))
    ids = objects["image_id"].iloc[counted]
    return {image_id: counted[at] for image_id, at in ids.groupby(ids).indices.items()}


def best_match(boxes, prompt: Prompt | None, size: tuple[int, int]) -> int:
    """Which of ``boxes`` (n, 4) a prompt points at: the largest IoU, for a point the smallest that holds it; -1 if none."""
    boxes = np.asarray(boxes, dtype=np.float64).reshape(-1, 4)
    if prompt is None or not len(boxes):
        return -1
    if isinstance(prompt, Point):
        x0, y0, x1, y1 = boxes.T
        inside = (x0 <= prompt.x) & (prompt.x < x1) & (y0 <= prompt.y) & (prompt.y < y1)
        return int(np.where(inside, (x1 - x0) * (y1 - y0), np.inf).argmin()) if inside.any() else -1
    box = prompt.box(size)
    iou = box_iou(torch.from_numpy(boxes), torch.tensor([[box.x0, box.y0, box.x1, box.y1]], dtype=torch.float64))
    return int(iou.argmax()) if iou.max() > 0 else -1


def protocol_of(retrieval_set: RetrievalSet) -> Protocol | None:
    """The protocol whose verdicts are shown, or None."""
    known = retrieval_set.protocols
    return next((known[name] for name in (*PROTOCOLS, *known) if name in known), None)


def labels_of(retrieval_set: RetrievalSet) -> list:
    """The labels of which a protocol knows what is right, in order."""
    protocol = protocol_of(retrieval_set)
    if protocol is None:
        return []
    groups = protocol.positive if set(retrieval_set.queries["label"]) <= set(protocol.positive) else retrieval_set.queries["label"]
    return sorted(set(groups), key=str)


def verdicts(retrieval_set: RetrievalSet, label, protocol: str = "") -> np.ndarray | None:
    """Per database row True (right for ``label``), False, or None (counts neither way); None when nobody knows.

    ``protocol``: the name of one, "" for :func:`protocol_of`. Where it is of queries, not of labels, it is that of the label's first query.
    """
    protocol, at = retrieval_set.protocols[protocol] if protocol else protocol_of(retrieval_set), np.flatnonzero(retrieval_set.queries["label"] == label)
    if protocol is None or not label or (label not in protocol.positive and not len(at)):
        return None
    group = label if label in protocol.positive else protocol.groups[at[0]]
    right = np.full(len(retrieval_set.database), False, dtype=object)
    right[protocol.positive[group]] = True
    right[protocol.ignored[group]] = None
    return right


def table(scores, ids, image_ids: np.ndarray, k: int, right: np.ndarray | None = None, first=None) -> pd.DataFrame:
    """The first ``k`` of a ranking, one per line, ranks from 1.

    ``scores``, ``ids`` (n,): of database rows, best first; image_ids: of all database rows; right: :func:`verdicts`; ``first``
    (n,): the ids whose ranks are ``before``.
    """
    rows = np.asarray(ids)[:k]
    place = {row: rank for rank, row in enumerate(() if first is None else first, start=1)}
    before = pd.array([place.get(row, pd.NA) for row in rows], dtype="Int64")
    known = np.full(len(rows), None, dtype=object) if right is None else right[rows]
    columns = (image_ids[rows], rows, np.asarray(scores)[:k], known, before, np.arange(1, len(rows) + 1))
    return pd.DataFrame(dict(zip(COLUMNS, columns, strict=True)))


def change(before, rank: int) -> str:
    """Rank change as a glyph and a number: ▲ up, ▼ down, = none; "" where ``before`` is unknown."""
    if pd.isna(before):
        return ""
    return "=" if before == rank else f"{'▲' if before > rank else '▼'}{abs(int(before) - int(rank))}"


def tally(results: pd.DataFrame) -> str:
    """"3 of 10", how many results are right of those that can be judged, or ""."""
    judged = results["right"].dropna()
    return f"{sum(judged)} of {len(judged)}" if len(judged) else ""


def share(results: pd.DataFrame) -> float | None:
    """The share of results that are right, of those that can be judged; None where nobody knows."""
    judged = results["right"].dropna()
    return float(judged.astype(bool).mean()) if len(judged) else None


def note(results: pd.DataFrame, heads: np.ndarray | None = None, ms: float | None = None, label="") -> str:
    """What is known of results in one line: how many are right (show ``label``), which heads (h,) are kept, how long it took."""
    words = [f"{tally(results)} {f'show {one_line(label, SHORT)}' if label else 'right'}"] if tally(results) else []
    if heads is not None:
        words.append(f"head{'' if heads.sum() == 1 else 's'} no. {', '.join(map(str, np.flatnonzero(heads)))} kept")
    if ms is not None:
        words.append(f"{ms:.0f} ms" if ms >= 1 else "under 1 ms")
    return " · ".join(words)


def about(retriever: Retriever) -> str:
    """What a method does, in a line: the first of its documentation."""
    words = (inspect.getdoc(type(retriever)) or "").partition("\n")[0]
    return "" if words.startswith(f"{type(retriever).__name__}(") else re.sub(r":\w+:`~?([^`]*)`|`+", r"\1", words)  # a dataclass' own


def row(
    method: str, results: pd.DataFrame, thumbs: Sequence[Thumb], first: str | None = None, heads=None, ms: float | None = None,
    base: float | None = None, label="",
) -> dict:  # fmt: skip
    """One row of the gallery: the table ``results`` of a method with their ``thumbs``; at its end the share that is right.

    ``first``: name of the method whose ranks the changes count from, None for that method's own row; ``base``: the share that is
    right under that method, which the gain counts from; ``label``: what is looked for, or "".
    """
    items = [_item(result, thumb, first) for result, thumb in zip(results.itertuples(), thumbs, strict=True)]
    own = share(results)
    ends = {"share": "" if own is None else percent(own), "gain": "" if own is None or base is None or first is None else points(own - base)}
    return {"title": method, "note": note(results, heads, ms, label), "items": items} | ends


def maps_row(method: str, results: pd.DataFrame, pictures: Sequence[Image.Image], values: Sequence[np.ndarray]) -> dict:
    """A row of the gallery: ``values`` over ``pictures``, where each result looks like the prompt, all on one scale."""
    top = parts.scale_of(np.concatenate([np.ravel(m) for m in values]))
    files = [maps.overlays(p, np.asarray(m)[None], top)[0] for p, m in zip(pictures, values, strict=True)]
    items = [
        {"key": int(r.row), "image": file, "caption": f"{r.rank}", "alt": f"map of {method} over {_words(r)}, picture {r.image_id}"}
        for r, file in zip(results.itertuples(), files, strict=True)
    ]
    return {"title": f"{method}: what counts", "note": "all maps on one scale, bright: much", "items": items}


def _words(result) -> str:
    return ", ".join(filter(None, [f"rank {result.rank}", f"similarity {score(result.score)}", FRAMES[result.right]]))


def moved_words(result, first: str | None) -> str:
    """How a result's rank changed against the method ``first``, in words; "" where that isn't known."""
    moved = "" if first is None else change(result.before, result.rank)
    if moved in ("", "="):
        return moved and f"as with {first}"
    return f"{moved[1:]} place{'s' * (moved[1:] != '1')} {'higher' if moved[0] == '▲' else 'lower'} than with {first}"


def _item(result, thumb, first):
    moved = "" if first is None else change(result.before, result.rank)
    words = [*filter(None, [_words(result), moved_words(result, first)])]
    words.append(f"picture {result.image_id}" + (f" can't be shown: {thumb.problem}" if thumb.problem else ""))
    return {
        "key": int(result.row), "image": thumb.image, "caption": f"{result.rank} {moved}".rstrip(),
        "alt": ", ".join(words), "frame": FRAMES[result.right], "badge": "can't be read" * bool(thumb.problem),
    }  # fmt: skip
