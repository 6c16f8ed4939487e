"""Candidates from a vector database: Milvus, embedded in one folder (Milvus Lite) or a server by its address.

A row is one vector; its id is made of the picture's name (and the cluster's number), so that loading again writes no row twice and goes on
where it was stopped. A note beside the rows says which network and features made them.
"""

import hashlib
import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from os import PathLike

import numpy as np
from tqdm.auto import tqdm

from foir_lib.errors import InputError, IntegrityError, library
from foir_lib.files import as_path
from foir_lib.search.candidates import Vectors, Where, checked

BATCH, QUERIES = 1024, 16  # rows written, and queries asked, at a time
MOST = 16_384  # results that Milvus gives a query
PROPERTY = "foir.note"
LAST = "\U0010ffff"  # the text that no other is behind


@dataclass(frozen=True)
class Note:
    """What made the vectors of a collection: the network's name, the key of the features, their array and its dimensions."""

    network: str
    key: str
    array: str
    dimension: int

    def check(self, stored: "Note", where: str) -> None:
        """Raises IntegrityError where a collection holds ``stored`` vectors, others than these."""
        remedy = "name another collection, or drop this one"
        if stored.dimension != self.dimension:
            raise IntegrityError(f"{where} holds vectors of {stored.dimension} dimensions, not of {self.dimension}: {remedy}.")
        if stored.network != self.network:
            raise IntegrityError(f"{where} was made by {stored.network}, not by {self.network}: {remedy}.")
        if stored != self:
            raise IntegrityError(f"{where} holds {stored.array!r} of other features of {stored.network} (key {stored.key}, not {self.key}): {remedy}.")


class VectorDatabase:
    """The engine of ``vectors`` (with a table) in a ``collection``; filled by :meth:`load`.

    ``uri``: a path that ends with .db, the folder of an embedded database, or an address such as http://localhost:19530 with its ``token``.
    Raises MissingError without pymilvus, InputError for a database that doesn't answer, IntegrityError for a collection of
    something else. What is loaded stays, whatever happens.
    """

    def __init__(self, vectors: Vectors, uri: str | PathLike, collection: str, network: str, key: str, token: str = "", timeout: float = 30.0):
        if vectors.table is None:
            raise InputError("A vector database needs the table of its pictures: give Vectors a table.")
        self.vectors, self.uri, self.collection, self.timeout = vectors, _address(uri), collection, timeout
        self.note = Note(network, key, vectors.name, vectors.dimension)
        self._milvus = library("pymilvus", "A vector database")
        for name in ("pymilvus", "grpc._server"):
            logging.getLogger(name).setLevel(logging.CRITICAL + 1)  # they log what is raised, with its traceback
        self._images = _ids([(image,) for image in vectors.table["image"]])
        self._order = np.argsort(self._images)
        if (np.diff(self._images[self._order]) == 0).any():
            raise InputError(f"Two pictures of {collection} have one name: give each its own.")
        with self._asking():
            self.client = self._milvus.MilvusClient(self.uri, token=token, timeout=timeout)
            if self.client.has_collection(collection):
                self.note.check(self._stored(), self._name)
                self.client.load_collection(collection)
            else:
                self._create()

    @property
    def _name(self) -> str:
        return f"Collection {self.collection} of {self.uri}"

    def __len__(self) -> int:
        """Vectors that are loaded."""
        with self._asking():
            return int(self.client.query(self.collection, filter="", output_fields=["count(*)"], consistency_level="Strong")[0]["count(*)"])

    def load(self, progress: bool = True) -> int:
        """Bring the collection to what the vectors are: writes rows that are missing or were changed, deletes others; returns how many it wrote."""
        owner, table, written = self.vectors.owner, self.vectors.table, 0
        with tqdm(total=len(owner), unit="vector", desc=f"loading {self.collection}", disable=not progress) as bar:
            for start, x in self.vectors.chunks(BATCH):
                for low in range(0, len(x), BATCH):
                    at = np.arange(start + low, start + min(low + BATCH, len(x)))
                    written += self._upsert(at, x[at - start], owner[at], table)
                    bar.update(len(at))
        if len(self) != len(owner):
            self.delete(np.setdiff1d(self.ids(), self._row_ids(np.arange(len(owner)))))
        return written

    def delete(self, ids: np.ndarray) -> None:
        """Delete rows by their ids."""
        with self._asking():
            for start in range(0, len(ids), BATCH):
                self.client.delete(self.collection, ids=ids[start : start + BATCH].tolist())

    def nearest(self, queries: np.ndarray, m: int, where: Where | None = None) -> list[np.ndarray]:
        """As :meth:`Source.nearest`, as near as the database's index finds them; a picture counts by its nearest vector.

        Raises InputError for more than 16,384 candidates, which Milvus doesn't give, IntegrityError for a collection that is half loaded.
        """
        if m > MOST:
            raise InputError(f"Milvus gives at most {MOST} candidates, not {m}: ask for fewer, or use another engine.")
        if (loaded := len(self)) != len(self.vectors.owner):
            raise IntegrityError(f"{self._name} holds {loaded} of {len(self.vectors.owner)} vectors: load it again, what is there stays.")
        how = {"group_by_field": "picture", "output_fields": ["picture"]} if self.vectors.several else {}
        how |= {"filter": expression(checked(where, self.vectors.table)), "limit": m, "consistency_level": "Strong"}
        found = []
        with self._asking():
            for start in range(0, len(queries), QUERIES):
                data = np.asarray(queries[start : start + QUERIES], np.float32).tolist()
                for hits in self.client.search(self.collection, data=data, **how):
                    found.append(self._rows([hit["entity"]["picture"] if self.vectors.several else hit["id"] for hit in hits]))
        return found

    def close(self) -> None:
        """Let the database go."""
        self.client.close()

    def _rows(self, images) -> np.ndarray:
        images = np.array(images, np.int64)
        at = np.searchsorted(self._images, images, sorter=self._order).clip(max=len(self._order) - 1)
        rows = self._order[at]
        return rows[self._images[rows] == images]

    def _row_ids(self, at: np.ndarray) -> np.ndarray:
        """Ids of the vectors ``at``."""
        owner = self.vectors.owner
        if not self.vectors.several:
            return self._images[at]
        numbers = at - np.searchsorted(owner, owner[at])
        names = self.vectors.table["image"].to_numpy()
        return _ids([(names[row], number) for row, number in zip(owner[at].tolist(), numbers.tolist())])

    def _upsert(self, at, x, owner, table) -> int:
        ids, part = self._row_ids(at), table.iloc[owner]
        columns = [{**one, "label": list(one["label"])} for one in part.to_dict("records")]
        marks = _ids([(row.tobytes().hex(), json.dumps(one, sort_keys=True, default=int)) for row, one in zip(x, columns)])
        with self._asking():
            there = {row["id"]: row["mark"] for row in self.client.get(self.collection, ids=ids.tolist(), output_fields=["mark"])}
            rows = [
                {"id": int(key), "mark": int(mark), "picture": int(self._images[row]), "vector": vector.tolist(), **one}
                for key, mark, row, vector, one in zip(ids, marks, owner, x, columns) if there.get(int(key)) != mark
            ]  # fmt: skip
            if rows:
                self.client.upsert(self.collection, rows)
        return len(rows)

    def ids(self) -> np.ndarray:
        """Ids of all rows that are loaded, in any order."""
        ids = []
        with self._asking():
            walk = self.client.query_iterator(self.collection, batch_size=BATCH, filter="", output_fields=["id"])
            while part := walk.next():
                ids += [row["id"] for row in part]
            walk.close()
        return np.array(ids, np.int64)

    def _create(self) -> None:
        kind, client = self._milvus.DataType, self.client
        schema = client.create_schema(auto_id=False, enable_dynamic_field=False)
        schema.add_field("id", kind.INT64, is_primary=True)
        for name in ("mark", "picture", "width", "height"):
            schema.add_field(name, kind.INT64)
        schema.add_field("vector", kind.FLOAT_VECTOR, dim=self.note.dimension)
        schema.add_field("image", kind.VARCHAR, max_length=8192)
        schema.add_field("split", kind.VARCHAR, max_length=64)
        schema.add_field("label", kind.ARRAY, element_type=kind.VARCHAR, max_capacity=4096, max_length=1024)
        index = client.prepare_index_params()
        index.add_index("vector", index_type="AUTOINDEX", metric_type="IP")
        client.create_collection(self.collection, schema=schema, index_params=index, properties={PROPERTY: json.dumps(asdict(self.note))})

    def _stored(self) -> Note:
        text = (self.client.describe_collection(self.collection).get("properties") or {}).get(PROPERTY)
        try:
            return Note(**json.loads(text))
        except (TypeError, ValueError) as error:
            raise IntegrityError(f"{self._name} has no note of what made it: name another collection.") from error

    @contextmanager
    def _asking(self) -> Iterator[None]:
        """What the database refuses, in a sentence."""
        try:
            yield
        except (self._milvus.MilvusException, OSError, RuntimeError) as error:
            says = " ".join(str(getattr(error, "message", "") or error).split())[:300]
            raise InputError(f"The vector database {self.uri} doesn't answer ({says}): start it or free it; what is loaded stays.") from error


def expression(where: dict[str, str | int]) -> str:
    """A filter in the words of Milvus."""
    words = []
    for column, value in where.items():
        text = json.dumps(value, ensure_ascii=False)
        if column == "image":
            words.append(f"image >= {text} and image < {json.dumps(value + LAST, ensure_ascii=False)}")
        else:
            words.append(f"array_contains(label, {text})" if column == "label" else f"{column} == {text}")
    return " and ".join(words)


def _address(uri: str | PathLike) -> str:
    if "://" in str(uri):
        return str(uri)
    path = as_path(uri).absolute()
    if path.suffix != ".db":
        raise InputError(f"{path} is no place of an embedded database: write a path that ends with .db, or an address such as http://localhost:19530.")
    return str(path)


def _ids(names: list[tuple]) -> np.ndarray:
    """Positive int64 (M,) made of names; of a billion, two are the same by a chance of one in twenty."""
    digests = b"".join(hashlib.blake2b("\0".join(map(str, name)).encode(errors="surrogateescape"), digest_size=8).digest() for name in names)
    return (np.frombuffer(digests, ">u8") >> np.uint64(1)).astype(np.int64)
