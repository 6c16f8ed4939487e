"""Lists as files and as code: a figure of query, mark and rows, the same as JSON, and the line that repeats them."""

import io
import json
import re
from collections.abc import Mapping
from dataclasses import astuple, fields

import numpy as np
import pandas as pd
from PIL import Image
from pycocotools import mask as rle

from foir_lib.data.checks import plain
from foir_lib.data.sets import RetrievalSet
from foir_lib.detections import as_text
from foir_lib.prompts import Box, Mask, Point, Prompt
from foir_lib.text import LABEL, one_line
from foir_lib.view.figures.pictures import query_lists

IMPORTS = "from foir_lib.view.explorers.comparison import lists"
DPI = 160  # of a PNG


def described(prompt: Prompt | None) -> dict | None:
    """A prompt as plain values: its kind and coordinates in pixels; of a mask its COCO RLE, size [height, width]."""
    if prompt is None:
        return None
    if isinstance(prompt, Mask):
        return {"kind": "mask"} | as_text(rle.encode(np.asfortranarray(prompt.array, dtype=np.uint8)))
    names = [field.name for field in fields(prompt)]
    return {"kind": type(prompt).__name__.lower()} | dict(zip(names, map(plain, astuple(prompt)), strict=True))


def as_code(prompt: Prompt | None, image_id, methods, k: int) -> str:
    """The line of Python that gives the same lists of a ``corpus``; of an own photograph, ``image_id`` None, with ``picture``."""
    imports, text = [IMPORTS], repr(prompt)
    if isinstance(prompt, Box | Point):
        kind, values = type(prompt).__name__, ", ".join(repr(plain(value)) for value in astuple(prompt))
        imports, text = [f"from foir_lib import {kind}", *imports], f"{kind}({values})"
    elif prompt is not None:
        coded = {name: value for name, value in described(prompt).items() if name != "kind"}
        size = (coded["size"][1], coded["size"][0])
        imports = ["from foir_lib import Mask", "from foir_lib.data import masks", *imports]
        text = f"Mask(masks.decode({coded!r}, {size!r}, 'mask'))"
    picture = "picture" if image_id is None else repr(plain(image_id))
    return f"{'; '.join(imports)}; lists(corpus, {picture}, {text}, {[str(m) for m in methods]!r}, k={int(k)})"


def file_name(*words: object) -> str:
    """A name of a file, without its end, of words that may hold anything."""
    return "-".join(filter(None, (re.sub(r"[^\w]+", "-", one_line(word, LABEL)).strip("-_") for word in words if word is not None))) or "lists"


def as_json(retrieval_set: RetrievalSet, model: str, image_id, prompt: Prompt | None, label, tables: Mapping[str, pd.DataFrame], code: str) -> bytes:
    """Lists as JSON: set, model, query (picture id or null, prompt, label), for each method its picture ids, scores and verdicts."""
    query = {"picture": None if image_id is None else plain(image_id), "prompt": described(prompt), "label": None if label == "" else plain(label)}
    methods = [
        {
            "method": name, "pictures": [plain(one) for one in table["image_id"]], "rows": table["row"].tolist(),
            "scores": [float(score) for score in table["score"]], "right": [None if pd.isna(one) else bool(one) for one in table["right"]],
        }
        for name, table in tables.items()
    ]  # fmt: skip
    content = {"set": retrieval_set.name, "model": model, "query": query, "lists": methods, "code": code}
    return json.dumps(content, indent=1, ensure_ascii=False).encode(errors="replace")


def as_png(retrieval_set: RetrievalSet, picture: Image.Image, prompt: Prompt | None, label, tables: Mapping[str, pd.DataFrame]) -> bytes:
    """Query with its mark, and a row of results for each method, as bytes of a PNG."""
    results = {name: (table["row"].to_numpy(), table["score"].to_numpy(), table["right"].tolist()) for name, table in tables.items()}
    title = f"query: {label}" if label != "" else "query"
    k = max((len(table) for table in tables.values()), default=1)
    figure, file = query_lists(retrieval_set, picture, prompt, results, max(1, k), title), io.BytesIO()
    figure.savefig(file, format="png", dpi=DPI)
    return file.getvalue()
