"""Google Landmarks v2 (Weyand et al., CVPR 2020) in its official layout.

    root/{index,test,train}/a/b/c/abc0123456789def.jpg     folders by the first three letters of the id
    root/index.csv (id)  root/retrieval_solution_v2.1.csv (id, images, Usage), or in root/metadata
    root/train.csv (id, url, landmark_id)  root/train_clean.csv (landmark_id, images)

Retrieval: 761,757 index pictures are the database; of the 117,577 test pictures those with a solution are queries.
"""

from os import PathLike
from pathlib import Path

import numpy as np
import pandas as pd

from foir_lib.data.names import ENDING
from foir_lib.data.protocol import Protocol
from foir_lib.data.readers import pictures, reading, tables
from foir_lib.data.sets import RetrievalSet
from foir_lib.data.values import short
from foir_lib.errors import InputError
from foir_lib.registry import register

REMEDY = "expected {index,test}/a/b/c/<id>.jpg, index.csv and retrieval_solution_v2.1.csv; see `foir data list`."


@register("set", "gldv2")
def load(root: str | PathLike, usage: str = "Private", check_files: bool = True) -> RetrievalSet:
    """GLDv2 retrieval as a RetrievalSet with the protocol retrieval, scored by mAP@100: of each query the first
    100 answers count, and its AP is the sum of their precisions at right ones over min(positives, 100).

    usage: which half of the queries, "Private" (the published numbers), "Public" or "all". A query is a whole picture:
    its prompt is all of it. check_files: see that every picture is there. Raises MissingError and InputError.
    """
    if usage not in ("Private", "Public", "all"):
        raise InputError(f"usage={usage!r} of gldv2 is unknown: Private, Public or all.")
    root = reading.need(root, "GLDv2 folder", REMEDY)
    index = read_csv(root, "index.csv", ("id",))["id"].tolist()
    solution = read_csv(root, "retrieval_solution_v2.1.csv", ("id", "images", "Usage"))
    solution = solution[~solution["images"].isin(("", "None"))]
    solution = solution if usage == "all" else solution[solution["Usage"] == usage]
    if not len(solution):
        raise InputError(f"retrieval_solution_v2.1.csv below {root} has no query of usage {usage}: get it again.")
    parts, images = (("test", "query", solution["id"].tolist()), ("index", "database", index)), []
    for part, split, ids in parts:
        reading.unique(ids, f"gldv2, {part}")
        paths = [place(root, part, image_id) for image_id in ids]
        if check_files:
            reading.need_files(paths, f"gldv2, {part}")
        images.append(pictures.table(ids, paths, split, pictures.sizes(paths, f"gldv2, {part}")))
    rows, positive = pd.Index(index), {}
    for query, listed in enumerate(solution["images"].str.split()):
        listed = [ENDING.sub("", name) for name in listed]
        positive[query] = rows.get_indexer(listed)
        sentence = "names the picture {}, which is not in index.csv: get both again"
        reading.refuse(positive[query] < 0, "The solution", sentence, listed)
    boxes = np.concatenate([np.zeros((len(solution), 2)), images[0][["width", "height"]].to_numpy()], axis=1)
    queries, objects = reading.query_tables(solution["id"].tolist(), ["landmark"] * len(solution), boxes)
    protocol = Protocol(range(len(solution)), positive, definition="textbook@100")
    return RetrievalSet("gldv2", pd.concat(images, ignore_index=True), objects, queries, {"retrieval": protocol})


def place(root: str | PathLike, part: str, image_id: str) -> str:
    """Path of a picture of a part (index, test, train), str."""
    return f"{root}/{part}/{image_id[0]}/{image_id[1]}/{image_id[2]}/{image_id}.jpg"


def read_csv(root: Path, name: str, columns: tuple[str, ...]) -> pd.DataFrame:
    """A table of the metadata as str, in root or root/metadata. MissingError, or InputError for lacking columns and bad ids.

    Of a table with the pictures of each landmark in one row there is a row for each picture, with its id.
    """
    path = root / name if (root / name).is_file() else root / "metadata" / name
    path = reading.need(path, "GLDv2 table", REMEDY)
    table = tables.read_csv(path, columns)
    table = table.assign(**{column: table[column].str.strip() for column in columns})
    if "images" in columns and "landmark_id" in columns:  # a list of pictures for each landmark: a row for each picture
        table = table.assign(id=table["images"].str.split()).explode("id", ignore_index=True).dropna(subset="id")
    if "id" in table:
        table["id"] = table["id"].str.replace(ENDING, "", regex=True)
    if "landmark_id" in table:
        table["landmark_id"] = table["landmark_id"].str.removesuffix(".0")  # numbers that a table held as fractions
    for column, form, words in (("id", "[0-9A-Za-z]{3,64}", "16 letters"), ("landmark_id", "[0-9A-Za-z]{1,64}", "digits")):
        if column in table:
            sentence = f"has the {column} {{}}, which should have {words}: get it again"
            reading.refuse(~table[column].str.fullmatch(form).astype(bool), path, sentence, table[column].map(short))
    return table
