"""faiss's index file: vectors in an index that other programs open, too."""

from collections.abc import Iterable
from os import PathLike

import faiss
import numpy as np

from foir_lib.errors import InputError, IntegrityError, MissingError, parsing
from foir_lib.files import as_path, atomic_path

TRAINING = 64  # vectors for each centre that an index learns from


def build(chunks: Iterable[tuple[int, np.ndarray]], dimension: int, factory: str = "Flat", sample: np.ndarray | None = None) -> faiss.Index:
    """An index of vectors (m, d) float32, given chunk by chunk with the number of the first, by inner product.

    ``factory``: what faiss.index_factory takes: "Flat", "IVF1024,SQfp16", "HNSW32". ``sample`` (s, d): what it is trained on, where it
    learns something. Raises InputError for a text that faiss doesn't know and for a sample that is too small.
    """
    with parsing(f"faiss makes no index {factory!r}", 'write "Flat", or another text of its index_factory', InputError):
        index = faiss.index_factory(dimension, factory, faiss.METRIC_INNER_PRODUCT)
        if not index.is_trained:
            index.train(np.ascontiguousarray(sample, np.float32))
    for start, x in chunks:
        if start != index.ntotal:
            raise InputError(f"Vectors from {start} on follow, {index.ntotal} is next: give them in order.")
        index.add(np.ascontiguousarray(x, np.float32))
    return index


def write(index: faiss.Index, path: str | PathLike) -> None:
    """Write an index, whole or not at all."""
    with atomic_path(path) as temporary:
        faiss.write_index(index, str(temporary))


def read(path: str | PathLike, dimension: int, n: int) -> faiss.Index:
    """The index of a file, mapped rather than read where faiss can. Raises MissingError, and IntegrityError for one of other vectors."""
    path = as_path(path)
    if not path.is_file():
        raise MissingError(f"There is no index file {path}: build it.")
    with parsing(f"{path} can't be read as an index", "build it again", IntegrityError):
        index = faiss.read_index(str(path))
    if (index.d, index.ntotal) != (dimension, n):
        raise IntegrityError(f"{path.name} holds {index.ntotal} vectors of {index.d} dimensions, not {n} of {dimension}: build it again.")
    return index
