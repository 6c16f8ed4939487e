"""A searched index: a folder of pictures, described once by one network for one method, with an engine that yields candidates.

    index.json             what it is of, by which network and method; readable
    features/              what the method stores of each picture, by shards
    candidates-*.faiss, milvus.db   the engine's, where it needs files

What is stored of a picture is found again by what its file holds where the method allows it (heads of a ViT), so that adding a picture
describes that one; other methods describe all again. Nothing is written into the folders of the pictures.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from os import PathLike
from pathlib import Path

import pandas as pd
from PIL import Image

from foir_lib import notices, registry
from foir_lib.data import indexed
from foir_lib.data.opening import needs_root
from foir_lib.data.readers import reading
from foir_lib.errors import InputError, IntegrityError, unknown
from foir_lib.files import as_path, try_place
from foir_lib.models.zoo import load_model
from foir_lib.prompts import Prompt
from foir_lib.retrievers.base import Retriever
from foir_lib.retrievers.corpus import Corpus
from foir_lib.retrievers.indexed import stages
from foir_lib.retrievers.indexed.stages import ENGINES, Stages
from foir_lib.search.candidates import Where

METHOD, CANDIDATES = "PHS(query_db=True)", 1000


@dataclass(frozen=True, eq=False)
class Index:
    """An index that is open: its folder, note, set and method; made by :func:`build` and :func:`open_index`."""

    folder: Path
    note: dict
    corpus: Corpus
    retriever: Retriever

    def __len__(self) -> int:
        return len(self.corpus.set.database)

    @cached_property
    def stages(self) -> Stages:
        """Its engine and exact scores, filled and ready."""
        return Stages(self.corpus, self.retriever, self.folder, **self.note["engine"])

    def search(self, picture: Image.Image, prompt: Prompt | None, k: int = 20, m: int = CANDIDATES, where: Where | None = None) -> pd.DataFrame:
        """The ``k`` best of ``m`` candidates for a prompt (in pixels) on a picture: place (from 1), score, image, path, label.

        ``where``: a filter, see :meth:`Vectors.rows`. Raises InputError for a prompt outside the picture and as the engine does.
        """
        if prompt is not None:
            prompt.box(picture.size, (1, 1))  # or it says that it lies outside
        scores, ids = self.stages.search(self.corpus.live(picture, [prompt]), k, m, where)
        rows = ids[0][ids[0] >= 0]
        table, paths = self.stages.vectors.table.iloc[rows], self.corpus.set.database["path"].iloc[rows]
        columns = {"place": range(1, len(rows) + 1), "score": scores[0][: len(rows)].tolist(), "image": table["image"].to_numpy(), "path": paths.to_numpy()}
        return pd.DataFrame(columns | {"label": [", ".join(labels) for labels in table["label"]]})


def build(
    pictures: str, folder: str | PathLike, method: str = METHOD, model: str = "mini-vit", weights: str = "", device: str = "auto", engine: str = "exact",
    uri: str = "", progress: bool = True,
) -> Index:  # fmt: skip
    """Index a folder of pictures, or a data set by its name, in ``folder``; one that was stopped goes on.

    ``engine``: "exact", "faiss" or "milvus"; ``uri``: of a Milvus that runs elsewhere. Raises InputError and MissingError for what can't
    be, IntegrityError for a folder that holds another index.
    """
    if engine not in ENGINES:
        raise unknown("engine", engine, ENGINES)
    name, root = _place(pictures)
    folder = try_place(as_path(folder).absolute() / indexed.NOTE).parent
    wanted = {"set": name, "places": {"": root}, "removed": [], "method": str(registry.parse("retriever", method))}
    wanted |= {"model": {"name": model, "weights": str(as_path(weights).absolute()) if weights else ""}, "engine": {"engine": engine, "uri": uri}}
    if uri:
        wanted["engine"]["collection"] = f"foir_{hashlib.sha256(str(folder).encode()).hexdigest()[:16]}"
    if (folder / indexed.NOTE).is_file():
        _check_same(folder, indexed.note(folder), wanted)
        return _completed(folder, indexed.note(folder), device, progress)
    return _completed(folder, {"what": "a searched index of foir", "version": indexed.VERSION} | wanted, device, progress)


def add(folder: str | PathLike, places: Sequence[str | PathLike] = (), device: str = "auto", progress: bool = True) -> Index:
    """Index what is new in the places of an index, and ``places`` more; what was removed comes back where it lies in one of them."""
    folder, content = as_path(folder).absolute(), indexed.note(folder)
    for one in places:
        root = reading.need(one, "folder", "give a folder of pictures.").absolute()
        name = next((name for name, other in content["places"].items() if other and root.is_relative_to(other)), None)
        if name is None:
            if not needs_root(content["set"]):
                raise InputError(f"The index is of {content['set']}, which is made from a seed: build another one of {root}.")
            content["places"][indexed.place_name(content, root)] = str(root)
        else:
            inside = "/".join(part for part in (name, root.relative_to(content["places"][name]).as_posix()) if part not in ("", "."))
            content["removed"] = [other for other in content["removed"] if inside and not indexed.within(other, inside)]
    return _completed(folder, content, device, progress)


def remove(folder: str | PathLike, names: Sequence[str | PathLike], device: str = "auto", progress: bool = True) -> Index:
    """Leave pictures out of an index, by their names in it, by their paths, or by folders of either. Raises InputError for what it doesn't hold."""
    folder, content = as_path(folder).absolute(), indexed.note(folder)
    images = _pictures(folder, content).images
    for one in map(str, names):
        path, known = str(as_path(one).absolute()), images["image_id"].astype(str)
        leaves = known.map(lambda name, one=one: indexed.within(name, one)) | images["path"].map(lambda name, path=path: indexed.within(name, path))
        if not leaves.any():
            raise InputError(f"The index holds nothing of {one}: name a picture or folder as `foir index search` prints it.")
        content["removed"] += [one] if known.map(lambda name, one=one: indexed.within(name, one)).any() else known[leaves].tolist()
    return _completed(folder, content, device, progress)


def open_index(folder: str | PathLike, device: str = "auto", progress: bool = True) -> Index:
    """The index of a folder, ready to be searched.

    Raises IntegrityError for one that was left half built, whose pictures were changed since, or whose network is another today.
    """
    folder, content = as_path(folder).absolute(), indexed.note(folder)
    if not content["complete"]:
        raise IntegrityError(f"The index {folder} was left half built: `foir index add {folder}` goes on where it was stopped.")
    index = _opened(folder, content, device, progress)
    if index.corpus.model.key != content["model"]["key"]:
        raise IntegrityError(f"The index {folder} was made by another {content['model']['name']} than this one: build it anew in another folder.")
    if index.corpus.set.fingerprint != content["fingerprint"]:
        raise IntegrityError(f"Pictures of the index {folder} were changed since it held {content['pictures']}: run `foir index add {folder}`.")
    return index


def _place(pictures):
    """Name and root of the set that is indexed."""
    if pictures in registry.names("set") and not as_path(pictures).is_dir():
        if needs_root(pictures):
            raise InputError(f"{pictures} lies in a folder: give that folder.")
        return pictures, ""
    return "folder", str(reading.need(pictures, "folder", "give the folder of your photographs.").absolute())


def _pictures(folder, content):
    """The set of an index, what was noted of its files in one warning."""
    with notices.collected(f"Index {folder}"):
        return indexed.pictures(content)


def _check_same(folder, there, wanted):
    model = {name: there["model"][name] for name in ("name", "weights")}
    same = there | {"model": model, "removed": [], "places": {"": there["places"].get("")}}
    for name in ("set", "places", "method", "model", "engine"):
        if same[name] != wanted[name]:
            raise IntegrityError(f"The folder {folder} holds an index with {name} {same[name]}, not {wanted[name]}: give another folder, or delete this one.")


def _opened(folder: Path, content: Mapping, device: str, progress: bool) -> Index:
    stages.check(retriever := registry.parse("retriever", content["method"]))
    model = load_model(content["model"]["name"], weights=content["model"]["weights"] or None, device=device)
    corpus = Corpus(_pictures(folder, content), model, cache=folder / "features", progress=progress)
    if missing := retriever.lacks(corpus):
        raise InputError(f"{retriever} can't be had on these pictures: {missing}.")
    return Index(folder, dict(content), corpus, retriever)


def _completed(folder: Path, content: dict, device: str, progress: bool) -> Index:
    """The index with all that its note speaks of; the note says first that it isn't complete, and in the end that it is."""
    index = _opened(folder, content, device, progress)
    facts = {"pictures": len(index), "fingerprint": index.corpus.set.fingerprint}
    index.note.update(facts, complete=False, model=content["model"] | {"key": index.corpus.model.key})
    indexed.write(folder, index.note)
    index.stages.fill(progress)
    index.note["complete"] = True
    indexed.write(folder, index.note)
    return index
