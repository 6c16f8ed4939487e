"""LAION's layout of embeddings, which clip-retrieval, img2dataset and autofaiss share: written and read.

    img_emb/img_emb_0000.npy            vectors (m, d), float16 or float32
    metadata/metadata_0000.parquet      a row for each vector in the same order, with the column image_path

Files that are written here carry a note in the parquet's metadata: the key of what made them, which rows they are, and a checksum of the
.npy, so that a run that was stopped goes on and shards of two runs aren't taken for one. Nothing is unpickled.
"""

import json
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from os import PathLike
from pathlib import Path

import numpy as np
from tqdm.auto import tqdm

from foir_lib.errors import InputError, IntegrityError, MissingError, count, library, parsing
from foir_lib.files import as_path, atomic_path
from foir_lib.store.arrays import Readable
from foir_lib.store.features import positions

USE, NOTE, PATH = "Exchange of embeddings", b"foir", "image_path"
GET = "write or fetch both files again"


@dataclass(frozen=True)
class Embeddings(Readable):
    """Embeddings of a folder, the array "descriptor" (n, d), read from disk on demand; ``paths`` (n,): of their pictures.

    ``key``: what made them, where they were written here, else "".
    """

    folder: Path
    n: int
    layout: dict
    paths: np.ndarray
    key: str
    parts: tuple[np.ndarray, ...] = field(repr=False)

    def read(self, name: str, rows=None) -> np.ndarray:
        """Rows of one array, as :meth:`foir_lib.store.features.Features.read`."""
        self.check(name)
        rows, (dtype, tail) = positions(rows, self.n), self.layout[name]
        out, starts = np.empty((len(rows), *tail), dtype), np.cumsum([0, *map(len, self.parts)])
        owner = np.searchsorted(starts, rows, side="right") - 1
        for part in np.unique(owner):
            out[owner == part] = self.parts[part][rows[owner == part] - starts[part]]
        return out


def write(
    folder: str | PathLike, features: Readable, name: str, paths: Sequence[str], key: str, shard: int = 100_000, half: bool = True, progress: bool = True
) -> int:
    """Write the array ``name`` (n, d) of features and the ``paths`` (n,) of their pictures, ``shard`` rows a file; returns how many files.

    ``key``: names what made the vectors; ``half``: as float16. A pair of files that is whole already is left. Raises MissingError without
    pyarrow, InputError for arrays that don't fit and a disk that can't take more.
    """
    arrow, parquet = library("pyarrow", USE), library("pyarrow.parquet", USE)
    features.check(name)
    if len(features.layout[name][1]) != 1 or len(paths) != len(features):
        what = f"{len(paths)} paths and array '{name}' of {len(features)} rows of shape {features.layout[name][1]}"
        raise InputError(f"{what} can't be exchanged: give one vector and one path for each picture.")
    folder, starts = as_path(folder), range(0, len(features), count(shard, "shard"))
    for number, start in enumerate(tqdm(starts, unit="file", desc="embeddings", disable=not progress)):
        rows = slice(start, start + shard)
        x = np.ascontiguousarray(features.read(name, rows), np.float16 if half else np.float32)
        note = {"key": key, "start": start, "crc32": zlib.crc32(x.tobytes())}
        vectors, metadata = _files(folder, f"{number:04d}")
        if metadata.is_file() and _whole(parquet, vectors, metadata, note, len(x)):
            continue
        with atomic_path(vectors) as temporary, temporary.open("wb") as file:
            np.save(file, x, allow_pickle=False)
        table = arrow.table({PATH: [str(path) for path in paths[rows]]}).replace_schema_metadata({NOTE: json.dumps(note)})
        with atomic_path(metadata) as temporary:
            parquet.write_table(table, temporary)
    for vectors, metadata in (_files(folder, number) for number in _numbers(folder) if int(number) >= len(starts)):
        metadata.unlink(missing_ok=True), vectors.unlink(missing_ok=True)  # of a longer run before
    return len(starts)


def read(folder: str | PathLike, check: bool = True) -> Embeddings:
    """The :class:`Embeddings` of a folder.

    ``check``: checksums of files written here are compared, which reads them once. Raises MissingError for no such folder or file,
    IntegrityError for a table without paths, rows that don't align, shards of different runs, and a file that is cut short or
    damaged.
    """
    parquet, folder = library("pyarrow.parquet", USE), as_path(folder)
    numbers = _numbers(folder)
    if not numbers:
        raise MissingError(f"There are no embeddings in {folder}: give the folder that holds img_emb/img_emb_0000.npy and metadata/.")
    parts, paths, notes = [], [], []
    if left := {path.stem.removeprefix("metadata_") for path in (folder / "metadata").glob("metadata_*.parquet")} - {*numbers}:
        raise MissingError(f"There is no img_emb_{min(left)}.npy in {folder / 'img_emb'}, which metadata_{min(left)}.parquet is of: {GET}.")
    for number in numbers:
        vectors, metadata = _files(folder, number)
        x, (names, note) = _vectors(vectors), _table(parquet, metadata)
        if len(x) != len(names):
            raise IntegrityError(f"{vectors.name} has {len(x)} rows, {metadata.name} has {len(names)}: they must align, {GET}.")
        first, start = (notes or [note])[0], sum(map(len, parts))
        other = bool(parts) and (x.shape[1:], x.dtype) != (parts[0].shape[1:], parts[0].dtype)
        if other or bool(note) != bool(first) or (note and (note["key"], note["start"]) != (first["key"], start)):
            raise IntegrityError(f"{vectors.name} is of another run than the files before it, or one is missing: {GET}.")
        if check and note and zlib.crc32(x) != note["crc32"]:
            raise IntegrityError(f"{vectors.name} isn't what {metadata.name} was written for: {GET}.")
        parts, paths, notes = [*parts, x], [*paths, names], [*notes, note]
    layout = {"descriptor": (parts[0].dtype.name, parts[0].shape[1:])}
    return Embeddings(folder, sum(map(len, parts)), layout, np.concatenate(paths), notes[0].get("key", ""), tuple(parts))


def _files(folder, number):
    return folder / "img_emb" / f"img_emb_{number}.npy", folder / "metadata" / f"metadata_{number}.parquet"


def _numbers(folder):
    """The numbers of the shards as they are written, in order."""
    return sorted((path.stem.removeprefix("img_emb_") for path in (folder / "img_emb").glob("img_emb_*.npy")), key=lambda text: (len(text), text))


def _vectors(path):
    with parsing(f"{path} can't be read as vectors", GET, IntegrityError):
        x = np.load(path, mmap_mode="r", allow_pickle=False)
        if x.ndim != 2 or x.dtype.kind != "f" or not x.size:
            raise ValueError(f"it holds {x.dtype} of shape {x.shape}, not a row of numbers for each picture")
    return x


def _table(parquet, path):
    """Paths, and the note of a file that was written here, else {}."""
    if not path.is_file():
        raise MissingError(f"There is no {path.name} in {path.parent}: each .npy needs its table of paths.")
    with parsing(f"{path} can't be read as a table", GET, IntegrityError), parquet.ParquetFile(path) as file:
        columns = file.schema_arrow.names
        if PATH not in columns:
            raise IntegrityError(f"{path.name} has no column {PATH}, it has {', '.join(columns) or 'none'}: without paths nobody knows whose vectors these are.")
        note = json.loads((file.schema_arrow.metadata or {}).get(NOTE, b"{}"))
        return file.read([PATH])[PATH].to_numpy(), {name: note[name] for name in ("key", "start", "crc32")} if note else {}


def _whole(parquet, vectors, metadata, note, n):
    try:
        x, (paths, stored) = _vectors(vectors), _table(parquet, metadata)
        return stored == note and len(x) == len(paths) == n and zlib.crc32(np.ascontiguousarray(x)) == note["crc32"]
    except (InputError, MissingError):
        return False
