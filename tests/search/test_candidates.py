"""Two stages: candidates of every engine, exact scores of those alone, and, with all as candidates, the exhaustive scan byte for byte."""

import numpy as np
import pandas as pd
import pytest
import tiny

from foir_lib import registry
from foir_lib.errors import InputError
from foir_lib.search import candidates, faiss_index
from foir_lib.search.candidates import Exact, Vectors
from foir_lib.store import by_content, features
from foir_lib.store.arrays import Arrays

TABLE = pd.DataFrame({"image": ["a/1", "a/2", "b/1", "b/2"], "label": [("cat",), (), ("cat", "dog"), ("dog",)], "split": "both", "width": [1, 2, 3, 4], "height": 9})
PLAIN = Arrays({"descriptor": np.array([[1, 0], [0, 1], [0.6, 0.8], [-1, 0]], np.float32)})
CLUSTERS = Arrays({"clusters": np.array([[[1, 0], [0, 0]], [[0, 1], [-1, 0]], [[0.6, 0.8], [0, -1]]], np.float16), "count": np.array([1, 2, 2])})


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    return tiny.World(tmp_path_factory.mktemp("world"))


def asked(world, model, text):
    """(corpus, retriever, described queries, described database) of a method on the tiny world."""
    corpus, retriever = world.experiment(model).corpus, registry.parse("retriever", text)
    return corpus, retriever, corpus.described(retriever, corpus.queries()), corpus.described(retriever, corpus.database)


METHODS = [("vit", "PHS(query_db=True, h_on=2)", "descriptor", "descriptor"), ("vit", "MaO(steps=2)", "descriptor", "descriptor"),
           ("cnn", "CA(n_clusters=3)", "global", "clusters"), ("cnn", "CA(n_clusters=3)", "global", "global")]  # fmt: skip


@pytest.mark.parametrize(("model", "text", "of_query", "of_database"), METHODS)
def test_with_all_as_candidates_it_is_the_exhaustive_scan_byte_for_byte(world, model, text, of_query, of_database):
    corpus, retriever, query, database = asked(world, model, text)
    source = Exact(Vectors(database, of_database, candidates.table_of(corpus.set)))
    rows = candidates.candidates(source, query.read(of_query), len(database))
    score = lambda *part: retriever.score(corpus, *part)  # noqa: E731
    for one, exhaustive in zip(candidates.rescored(score, query, database, rows, 7), score(query, database, 7), strict=True):
        assert one.dtype == exhaustive.dtype and one.tobytes() == exhaustive.tobytes()


@pytest.mark.parametrize(("model", "text", "of_query", "of_database"), METHODS)
def test_fewer_candidates_are_scored_as_in_the_whole_and_stay_in_its_order(world, model, text, of_query, of_database):
    corpus, retriever, query, database = asked(world, model, text)
    rows = candidates.candidates(Exact(Vectors(database, of_database)), query.read(of_query), 5)
    scores, ids = candidates.rescored(lambda *part: retriever.score(corpus, *part), query, database, rows, 4)
    every, order = retriever.score(corpus, query, database, len(database))
    for q in range(len(query)):
        assert len(rows[q]) == 5 and (np.diff(rows[q]) > 0).all()
        kept = [place for place, row in enumerate(order[q]) if row in rows[q]][:4]
        assert ids[q].tolist() == order[q, kept].tolist()
        np.testing.assert_allclose(scores[q], every[q, kept], atol=2e-6)


def test_candidates_by_hand():
    source = Exact(Vectors(PLAIN, "descriptor", TABLE))
    queries = np.array([[1, 0], [0, 1]], np.float32)
    assert [rows.tolist() for rows in candidates.candidates(source, queries, 2)] == [[0, 2], [1, 2]]
    assert [rows.tolist() for rows in candidates.candidates(source, queries, 1, {"label": "dog"})] == [[2], [2]]
    assert [rows.tolist() for rows in candidates.candidates(source, queries, 9, {"image": "b/"})] == [[2, 3]] * 2
    assert candidates.candidates(source, queries[:1], 9, {"label": "cat", "width": 1})[0].tolist() == [0]
    clusters = Exact(Vectors(CLUSTERS, "clusters"))
    assert [rows.tolist() for rows in candidates.candidates(clusters, np.array([[-1, 0], [0.6, 0.8]], np.float32), 1)] == [[1], [2]]
    assert clusters.vectors.owner.tolist() == [0, 1, 1, 2, 2] and np.concatenate([x for _, x in clusters.vectors.chunks(2)]).shape == (5, 2)


def test_queries_with_few_candidates_end_with_none_and_only_their_rows_are_read():
    read = []

    class Noting(Arrays):
        def read(self, name, rows=None):
            read.append(np.arange(4)[slice(None) if rows is None else rows].tolist())
            return super().read(name, rows)

    def score(query, database, k):
        order = np.argsort(-(products := query.read("descriptor") @ database.read("descriptor", slice(0, 9)).T), axis=1, kind="stable")[:, :k]
        return np.take_along_axis(products, order, 1), order

    query = Arrays({"descriptor": np.array([[1, 0], [0, 1], [0, 1]], np.float32)})
    rows = [np.array([2]), np.array([1, 3]), np.array([], int)]
    scores, ids = candidates.rescored(score, query, Noting({"descriptor": PLAIN.read("descriptor")}), rows, 2)
    assert ids.tolist() == [[2, -1], [1, 3], [-1, -1]] and read == [[2], [1, 3]]
    np.testing.assert_allclose(scores, [[0.6, 0.6], [1, 0], [0, 0]])


@pytest.mark.parametrize(("act", "words"), [
    (lambda: candidates.candidates(Exact(Vectors(PLAIN, "descriptor")), np.ones((1, 3)), 2), "don't fit vectors of 2 dimensions"),
    (lambda: candidates.candidates(Exact(Vectors(PLAIN, "descriptor")), np.ones((1, 2)), 0), "candidates=0 must be"),
    (lambda: candidates.candidates(Exact(Vectors(PLAIN, "descriptor")), np.ones((1, 2)), 2, {"label": "x"}), "no columns to filter"),
    (lambda: candidates.candidates(Exact(Vectors(PLAIN, "descriptor", TABLE)), np.ones((1, 2)), 2, {"labl": "x"}), "did you mean label"),
    (lambda: candidates.candidates(Exact(Vectors(PLAIN, "descriptor", TABLE)), np.ones((1, 2)), 2, {"label": "x"}), "No picture passes the filter"),
    (lambda: Vectors(PLAIN, "global"), "hold no array 'global'"),
    (lambda: Vectors(PLAIN, "descriptor", TABLE[:2]), "table of 2 pictures doesn't fit features of 4"),
])  # fmt: skip
def test_what_cannot_be_is_one_sentence(act, words):
    with pytest.raises(InputError, match=words):
        act()


def test_rows_of_a_shard_are_read_as_they_are_asked_for(tmp_path):
    stored = {"x": np.arange(60, dtype=np.float16).reshape(20, 3), "n": np.arange(20, dtype=np.uint16), "b": np.arange(20) % 3 == 0}
    kept = features.build({}, 20, lambda a, b: {name: x[a:b] for name, x in stored.items()}, root=tmp_path, shard=7, progress=False)
    named = by_content.build({}, list("abcdefghijklmnopqrst"), lambda at: iter([{k: x[at] for k, x in stored.items()}]), root=tmp_path, shard=6, progress=False)
    for rows in ([3, 0, 19, 3], [5, 6, 7, 8], slice(2, 19, 5), []):
        for name, x in stored.items():
            for one in (kept, named):
                np.testing.assert_array_equal(one.read(name, rows), x[np.asarray(rows, int) if isinstance(rows, list) else rows])
                assert one.read(name, rows).dtype == x.dtype


@pytest.mark.parametrize("factory", ["Flat", "IVF4,Flat", "HNSW8"])
@pytest.mark.parametrize("several", [False, True])
def test_a_faiss_index_that_looks_everywhere_gives_the_candidates_of_comparing_all(several, factory, tmp_path):
    rng = np.random.default_rng(3)
    x = rng.normal(size=(90, 3, 6) if several else (90, 6)).astype(np.float32)
    x /= np.linalg.norm(x, axis=-1, keepdims=True)
    table = pd.DataFrame({"image": [f"{i % 2}/{i}" for i in range(90)], "label": [()] * 90, "split": "both", "width": 1, "height": 1})
    vectors = Vectors(Arrays({"clusters": x, "count": 1 + np.arange(90) % 3} if several else {"descriptor": x}), "clusters" if several else "descriptor", table)
    engines = faiss_index.build(vectors, tmp_path / "a.faiss", factory), faiss_index.open_index(vectors, tmp_path / "a.faiss")
    queries = rng.normal(size=(5, 6)).astype(np.float32)
    for engine in engines:
        assert engine.index.ntotal == len(vectors.owner)
        for where in (None, {"image": "1/"}):
            found, exact = (candidates.candidates(one, queries, 20, where) for one in (engine, Exact(vectors)))
            if factory != "HNSW8":
                assert [one.tolist() for one in found] == [one.tolist() for one in exact]
            assert all(len(one) == 20 and len(np.intersect1d(one, other)) >= 16 for one, other in zip(found, exact))
