"""One result in words and numbers: what its picture shows, why it is right or wrong, where its objects are."""

import numpy as np
import pandas as pd

from foir_lib.data.checks import CORNERS, plain
from foir_lib.data.sets import RetrievalSet
from foir_lib.files import as_path
from foir_lib.text import LABEL, one_line, score
from foir_lib.view.results import rows
from foir_lib.view.results.pointing import fills

MOST = 40  # objects that are drawn
NAMED = 8  # labels that are written out


def title_of(retrieval_set: RetrievalSet) -> str:
    """What a page calls a set: its name, of a folder of one's own that folder's."""
    if retrieval_set.name != "folder":
        return retrieval_set.name
    image_id, path = retrieval_set.images["image_id"].iloc[0], retrieval_set.images["path"].iloc[0]
    root = as_path(path).absolute().as_posix().removesuffix(f"/{image_id}")
    return one_line(root.rpartition("/")[2] or retrieval_set.name, LABEL)


def whole(retrieval_set: RetrievalSet) -> bool:
    """Whether the objects of a set are whole pictures, as of a folder per class: there is nothing to choose among them."""
    objects, images = retrieval_set.objects, retrieval_set.images.set_index("image_id")[["width", "height"]]
    return bool(fills(objects[CORNERS].to_numpy(float), images.loc[objects["image_id"]].to_numpy(float)).all())


def shown(retrieval_set: RetrievalSet, image_id) -> pd.DataFrame:
    """The objects of a picture, rows of the set's table, without ignored ones."""
    objects = retrieval_set.objects
    return objects[(objects["image_id"] == image_id) & ~objects["ignore"].astype(bool)]


def labels_of(retrieval_set: RetrievalSet, row: int, objects: pd.DataFrame) -> list:
    """What a database row shows: labels of its ``objects``, else the labels of which a protocol says that it is right."""
    protocol = rows.protocol_of(retrieval_set)
    if len(objects) or protocol is None:
        return list(dict.fromkeys(objects["label"]))
    return [label for label in rows.labels_of(retrieval_set) if row in protocol.positive.get(label, ())]


def why(labels: list, label, right: bool | None, numbered: bool = False) -> str:
    """Why a result is right or wrong: what its picture shows (``numbered``: from 1), and, where it is wrong, that it isn't what is looked for."""
    names = [one_line(one, LABEL) + f" ({i})" * numbered for i, one in enumerate(labels[:NAMED], start=1)]
    named = ", ".join(names) + (f" and {len(labels) - NAMED} more" if len(labels) > NAMED else "")
    words = [f"shows: {named}"] if labels else []
    if right is not None and not right:
        words.append(f"not: {one_line(label, LABEL)}")
    return "; ".join(words)


def enlarged(
    retrieval_set: RetrievalSet, result, method: str, first: str | None, label, image: bytes, outline: dict | None = None, dots=(), beside: str = ""
) -> dict:
    """What an :class:`Inspector` shows of a ``result``, one row (namedtuple) of :func:`rows.table` of a ``method``.

    ``first``: the method that ranks are compared with, or None; ``label``: what is looked for, or ""; ``image``: bytes of a file;
    ``outline``: as the gallery draws it; ``dots`` and ``beside``: what a method knows besides, drawn and in words.
    """
    objects, right = shown(retrieval_set, result.image_id), None if pd.isna(result.right) else bool(result.right)
    at = retrieval_set.database[["width", "height"]].iloc[result.row]
    place, moved = f"rank {result.rank}, similarity {score(result.score)}", rows.moved_words(result, first)
    lines = [("", ", ".join(filter(None, [place, moved])), "")]
    labels = labels_of(retrieval_set, int(result.row), objects)
    if words := why(labels, label, right, numbered=len(objects) > 0 and len(labels) > 1):
        lines.append(("", words, rows.FRAMES[right]))
    if outline:
        lines.append(("", outline["alt"], ""))
    if beside:
        lines.append(("", beside, ""))
    boxes = [
        {"at": np.round(corners, 1).tolist(), "label": f"{labels.index(name) + 1}" if len(labels) > 1 else "", "kind": "right" if name == label else ""}
        for corners, name in zip(objects[CORNERS].to_numpy(float)[:MOST], objects["label"], strict=False)
    ]
    name = one_line(plain(result.image_id), LABEL)
    alt = f"picture {name}, {'; '.join(words for _, words, _ in lines)}"
    return {
        "key": int(result.row), "image": image, "alt": alt, "title": f"{method}: picture {name}", "size": at.tolist(),
        "lines": lines, "boxes": boxes, "dots": list(dots), "outline": outline,
    }  # fmt: skip
