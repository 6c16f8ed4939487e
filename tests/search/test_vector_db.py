"""A vector database in a folder: candidates, filters, loading that was stopped, rows that change; one sentence for each fault."""

import os
import signal
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

from foir_lib.errors import InputError, IntegrityError, MissingError
from foir_lib.search import candidates, vector_db
from foir_lib.search.candidates import Exact, Vectors
from foir_lib.store.arrays import Arrays

pytest.importorskip("pymilvus", reason="the extra scale isn't installed")
pytest.importorskip("milvus_lite", reason="the extra scale isn't installed")
N, D, K = 60, 6, 3
COLUMNS = {"split": "both", "width": 10, "height": 20}


def world(n=N, seed=0, several=False):
    """Vectors of ``n`` pictures whose names hold what an expression could trip over."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, K, D) if several else (n, D)).astype(np.float32)
    x /= np.linalg.norm(x, axis=-1, keepdims=True)
    labels = [("cat", 'a "b"') if i % 3 == 0 else ("dög\\",) if i % 3 == 1 else () for i in range(n)]
    names = [f"""{"ab"[i % 2]}/%_'"\\{i}""" for i in range(n)]
    arrays = {"clusters": x, "count": 1 + np.arange(n) % K} if several else {"descriptor": x}
    return Vectors(Arrays(arrays), "clusters" if several else "descriptor", pd.DataFrame({"image": names, "label": labels, **COLUMNS}))


@pytest.fixture
def opened(tmp_path):
    """``opened(vectors, ...)``: a database in a folder of the test's own, closed afterwards."""
    every = []

    def open(vectors, network="mini-vit", key="k", collection="pictures"):
        every.append(vector_db.VectorDatabase(vectors, tmp_path / "v.db", collection, network, key))
        return every[-1]

    yield open
    for one in every:
        one.close()


@pytest.mark.parametrize("several", [False, True])
def test_candidates_are_those_of_comparing_every_vector(opened, several):
    vectors, queries = world(several=several), np.random.default_rng(1).normal(size=(20, D)).astype(np.float32)
    database = opened(vectors)
    assert database.load(progress=False) == len(database) == len(vectors.owner) and database.load(progress=False) == 0
    for where in (None, {"label": "cat"}, {"label": 'a "b"'}, {"label": "dög\\"}, {"image": """b/%_'"\\"""}, {"image": "a/", "width": 10}):
        rows, exact = (candidates.candidates(engine, queries, 7, where) for engine in (database, Exact(vectors)))
        assert [one.tolist() for one in rows] == [one.tolist() for one in exact]
    assert candidates.candidates(database, queries[:1], N)[0].tolist() == list(range(N))


def test_rows_that_change_are_written_again_and_those_that_went_are_deleted(opened):
    vectors = world()
    opened(vectors).load(progress=False)
    x = vectors.features.read("descriptor")[::-1][:50].copy()  # another order, ten pictures fewer
    x[3] += 1
    table = vectors.table[::-1][:50].reset_index(drop=True)
    table.at[5, "label"] = ("new",)
    changed = Vectors(Arrays({"descriptor": x}), "descriptor", table)
    database = opened(changed)
    with pytest.raises(IntegrityError, match="holds 60 of 50 vectors: load it again"):
        database.nearest(x[:1], 3)
    assert database.load(progress=False) == 2 and len(database) == 50
    assert candidates.candidates(database, x[:1], 5, {"label": "new"})[0].tolist() == [5]
    assert [one.tolist() for one in candidates.candidates(database, x, 4)] == [one.tolist() for one in candidates.candidates(Exact(changed), x, 4)]


@pytest.mark.slow
def test_loading_that_was_killed_goes_on_and_writes_no_row_twice(opened, tmp_path):
    program = """if True:
        import os, signal, sys
        sys.path.insert(0, sys.argv[2])
        import test_vector_db as t
        from foir_lib.search import vector_db
        vector_db.BATCH = 10
        database = vector_db.VectorDatabase(t.world(), sys.argv[1] + "/v.db", "pictures", "mini-vit", "k")
        write, left = database.client.upsert, [3]
        def upsert(*what):
            left[0] -= 1
            if left[0] < 0:
                os.kill(os.getpid(), signal.SIGKILL)
            return write(*what)
        database.client.upsert = upsert
        database.load(progress=False)"""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run([sys.executable, "-c", program, str(tmp_path), os.path.dirname(__file__)], env=environment, capture_output=True, text=True)
    assert done.returncode == -signal.SIGKILL, done.stderr
    database = opened(vectors := world())
    with pytest.raises(IntegrityError, match=f"holds 30 of {N} vectors: load it again, what is there stays"):
        candidates.candidates(database, vectors.features.read("descriptor"), 3)
    assert database.load(progress=False) == 30 and len(database) == N
    assert len(set(database.ids().tolist())) == len(database.ids()) == N


@pytest.mark.parametrize(("change", "words"), [
    ({"network": "mini-vit-large"}, "was made by mini-vit, not by mini-vit-large"),
    ({"key": "other"}, r"holds 'descriptor' of other features of mini-vit \(key k, not other\)"),
    ({"vectors": Vectors(Arrays({"descriptor": np.ones((2, 9), np.float32)}), "descriptor", world(2).table)}, "holds vectors of 6 dimensions, not of 9"),
])  # fmt: skip
def test_a_collection_of_something_else_is_refused_and_stays(opened, change, words):
    opened(world()).load(progress=False)
    with pytest.raises(IntegrityError, match=words):
        opened(**{"vectors": world(), **change})
    assert len(opened(world())) == N


def test_what_cannot_be_is_one_sentence(opened, tmp_path, monkeypatch):
    with pytest.raises(InputError, match="doesn't answer .*: start it"):
        vector_db.VectorDatabase(world(), "http://127.0.0.1:9", "x", "n", "k", timeout=1)
    with pytest.raises(InputError, match="write a path that ends with .db"):
        vector_db.VectorDatabase(world(), tmp_path / "folder", "x", "n", "k")
    with pytest.raises(InputError, match="at most 16384 candidates, not 20000"):
        opened(world()).nearest(np.ones((1, D)), 20_000)
    twice = world(2)
    twice.table["image"] = "a"
    with pytest.raises(InputError, match="have one name"):
        opened(twice)
    monkeypatch.setitem(sys.modules, "pymilvus", None)
    with pytest.raises(MissingError, match="A vector database needs pymilvus: pip install pymilvus milvus-lite"):
        opened(world())


def test_a_filter_in_the_words_of_the_database():
    assert vector_db.expression({}) == ""
    words = vector_db.expression({"image": 'a"', "label": "x", "width": 3})
    assert words == 'image >= "a\\"" and image < "a\\"\U0010ffff" and array_contains(label, "x") and width == 3'
