"""Re-ranking by consistency on a drawn town: the graph of verified neighbours, where a walk begins, chains, what pictures without keypoints do."""

import shutil
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from foir_lib import registry
from foir_lib.bench import costs
from foir_lib.bench.experiment import Experiment, parsed
from foir_lib.bench.tables.columns import Column, Table
from foir_lib.errors import InputError
from foir_lib.retrievers.rerankers import keypoints, keypoints_of
from foir_lib.retrievers.reranking import chain, neighbours
from foir_lib.search.rerank import hypergraph, spatial, topological

GEM = registry.parse("retriever", "GeM")


def graph(town, text="Hypergraph(least=4)"):
    reranker = registry.parse("reranker", text)
    return reranker.graph(town.corpus, GEM, town.corpus.described(GEM, town.corpus.database))


def test_an_edge_is_what_verification_says_of_the_two_pictures(town):
    database = town.corpus.database
    of, (_, near) = spatial.stored(keypoints(database)), GEM.graph(town.corpus, town.corpus.described(GEM, database), 14)
    edges = graph(town)
    n = 0
    for row in range(14):
        want = {}
        for other in [j for j in near[row].tolist() if j != row]:
            verified = spatial.verify(of(row), of(other), threshold=10.0, iterations=1000, seed=0)
            if verified.inliers >= 4:
                want[other] = verified
        assert [edge.row for edge in edges.edges_of(row)] == list(want), "in the order of the neighbours"
        assert edges.neighbours_of(row).tolist() == list(want)
        for edge in edges.edges_of(row):
            assert edge.inliers == want[edge.row].inliers
            if edge.inliers <= neighbours.MOST:
                np.testing.assert_array_equal(edge.here, want[edge.row].a)
                np.testing.assert_array_equal(edge.there, want[edge.row].b)
            n += 1
    assert n > 10 and edges.cost > 0


def test_so_many_neighbours_as_the_set_says_or_the_option(town):
    database = town.corpus.described(GEM, town.corpus.database)
    town.corpus.set.settings["n_neighbours"] = 5
    try:
        assert neighbours.graph(town.corpus, GEM, database, None, 1).edges.read("row").shape == (14, 5)
    finally:
        del town.corpus.set.settings["n_neighbours"]
    assert neighbours.graph(town.corpus, GEM, database, 3, 1).edges.read("row").shape == (14, 3)
    assert neighbours.graph(town.corpus, GEM, database, None, 1).edges.read("row").shape == (14, 13), "200, or all others"
    assert neighbours.others(np.array([[0, 1, 2], [0, 2, 1], [0, 1, 3]])).tolist() == [[1, 2], [0, 2], [0, 1]]


def test_a_graph_that_was_cut_off_goes_on_from_its_shards(town, tmp_path, monkeypatch):
    cut, calls, real = Experiment(town.set, town.model, cache=tmp_path, progress=False, workers=1), [], spatial.verify

    def verify(*arguments, **options):
        calls.append(1)
        if len(calls) == stop:
            raise KeyboardInterrupt
        return real(*arguments, **options)

    monkeypatch.setattr(neighbours, "SHARD", 4)
    monkeypatch.setattr(spatial, "verify", verify)
    database, stop = town.corpus.described(GEM, town.corpus.database), 60
    with pytest.raises(KeyboardInterrupt):
        neighbours.graph(cut.corpus, GEM, database, None, 4, threshold=10.0)
    calls.clear()
    stop = 0
    edges = neighbours.graph(cut.corpus, GEM, database, None, 4, threshold=10.0)
    assert len(calls) == (14 - 4) * 13, "the first shard of four pictures stood"
    assert len(edges.edges.read("row")) == 14
    shutil.rmtree(tmp_path)


@pytest.mark.parametrize("start", ["picture", "query"])
def test_a_walk_begins_with_the_first_result_and_the_region_that_the_option_names(town, start):
    corpus, text = town.corpus, f"Hypergraph(least=4, start={start!r})"
    query, database = (corpus.described(GEM, part) for part in (corpus.queries(), corpus.database))
    scores, ids = GEM.score(corpus, query, database, 14)
    edges, asked, of = graph(town), keypoints_of(corpus.queries(), query), spatial.stored(keypoints(corpus.database))
    regions = []
    for m, row in enumerate(ids[:, 0]):
        verified = spatial.verify(asked[m], of(row), threshold=10.0, iterations=1000)
        whole = np.float32([-1, -1, *corpus.database.sizes[row] + 1])
        regions.append(hypergraph.box_of(verified.b) if start == "query" and verified.inliers >= 4 else whole)
    want = hypergraph.rerank(edges.edges_of, ids[:, 0], regions, scores, ids, 14)
    ranking = town.ranking("GeM", rerank=text)
    np.testing.assert_array_equal(ranking.ids, want[1])
    np.testing.assert_allclose(ranking.scores, want[0], rtol=1e-5)


def test_a_sure_list_keeps_its_seed_and_an_unsure_one_may_change_it(town):
    first = town.ranking("GeM", rerank="Hypergraph(least=4)")
    sure = town.ranking("GeM", rerank="Community(least=4, unsure=99.0, inliers=1)")
    np.testing.assert_array_equal(sure.ids, first.ids)
    asked, of = keypoints_of(town.corpus.queries(), None), spatial.stored(keypoints(town.corpus.database))
    plain = town.ranking("GeM").ids
    for inliers in (1, 8, 20):
        unsure = town.ranking("GeM", rerank=f"Community(least=4, unsure=0.0, inliers={inliers})")
        for m, rows in enumerate(plain):
            counts = [spatial.verify(asked[m], of(row), threshold=10.0, iterations=1000).inliers for row in rows]
            better = [row for row, n in zip(rows, counts) if n > inliers] if counts[0] < inliers else []
            assert unsure.ids[m, 0] == (better[0] if better else rows[0])


def test_how_many_results_are_counted_and_walked_are_options():
    """Of ten results the first three and the fourth to tenth are communities; the seventh alone has inliers with the query."""
    known = SimpleNamespace(neighbours_of=lambda row: [row - 1] if row not in (0, 3) else [])
    verified = lambda m, row: SimpleNamespace(inliers=30 * (row == 6))  # noqa: E731
    for text, seed in (("top=3", 0), ("top=10, unsure=0.6", 6), ("top=10, unsure=0.62", 0), ("unsure=0.6, walked=6", 0), ("unsure=0.6, inliers=30", 0)):
        reranker = registry.parse("reranker", f"Community({text})")
        assert reranker.first(known, verified, 0, np.arange(10)) == seed, text
    assert reranker.uncertainty(known, np.arange(10)) == pytest.approx(-0.3 * np.log(0.3) - 0.7 * np.log(0.7)), "0.611 nats"


def test_topological_verification_of_the_first(town):
    asked, of = keypoints_of(town.corpus.queries(), None), spatial.stored(keypoints(town.corpus.database))
    plain, ranking = town.ranking("GeM"), town.ranking("GeM", rerank="Topological(n=5, least=3)")
    for m, rows in enumerate(plain.ids):
        pairs = [spatial.matches(asked[m], of(row)) for row in rows[:5]]
        values = [len(topological.largest(asked[m].points, of(row).points, one).matches) for row, one in zip(rows, pairs)]
        order = np.argsort([-v if v >= 3 else 0 for v in values], kind="stable")
        assert ranking.ids[m].tolist() == [*rows[order], *rows[5:]]


@pytest.mark.parametrize(
    "text",
    [
        "Hypergraph(least=4, n=2)", "Hypergraph(least=4, hops=1, n=3)", "Hypergraph(least=4, trials=1)", "Hypergraph(least=4, pixels=0.2)",
        "Hypergraph(least=60)", "Topological(window=9.0)", "Topological(features=90)",
        "Topological(share=0.99)", "Topological(cells=30)", "Topological(grow=1.0)", "Topological(least=12)", "Topological(n=1)", "SP(least=12)",
    ],
)  # fmt: skip
def test_an_option_changes_the_list(town, text):
    name = text.partition("(")[0]
    before = {"Hypergraph": "Hypergraph(least=4, n=3)" if "n=3" in text else "Hypergraph(least=4)"}.get(name, name)
    changed, first = town.ranking("GeM", rerank=text), town.ranking("GeM", rerank=before)
    assert not np.array_equal(changed.scores, first.scores) or not np.array_equal(changed.ids, first.ids)


# ---- chains


def test_a_chain_begins_where_the_one_before_ended(town):
    corpus = town.corpus
    query, database = (corpus.described(GEM, part) for part in (corpus.queries(), corpus.database))
    result = GEM.score(corpus, query, database, 14)
    for text in ("SP(n=4)", "Hypergraph(least=4)"):
        result = registry.parse("reranker", text).rerank(corpus, GEM, corpus.queries(), query, database, *result)
    np.testing.assert_array_equal(town.ranking("GeM", rerank="SP(n=4)+Hypergraph(least=4)").ids, result[1])
    column = Column.of("x", "GeM+SP(n=4)+Hypergraph(least=4)")
    assert str(column.rerank) == "SP(n=4)+Hypergraph(least=4)" and column.retriever == GEM and parsed("GeM", str(column.rerank))[1] == column.rerank


def test_a_chain_needs_what_its_steps_need():
    assert chain.split("CA(ivf=True)+SP+DF(n=3)") == ("CA(ivf=True)", "SP+DF(n=3)") and chain.split("GeM") == ("GeM", "")
    assert chain.split("Guest(path='a+SP')") == ("Guest(path='a+SP')", "")
    several = chain.parse("SP+AQE")
    missing = several.lacks(None, registry.parse("retriever", "OneToMany"))
    assert missing.startswith("AQE isn't defined after OneToMany")
    for text, words in (("SP+Walk", "no reranker 'SP"), ("SP(n=0)+DF", "n=0 must be"), ("Walk+SP", "no reranker 'Walk'")):
        with pytest.raises(InputError, match=words):
            chain.parse(text)


def test_the_graph_s_cost_is_a_column(town):
    spec = Table("A table", (), (), (), metrics=("mAP hard", costs.GRAPH))
    for rerank in ("Hypergraph(least=4)", "SP+Community(least=4)"):
        assert costs.of(spec, town, Column.of("x", f"GeM+{rerank}"))[costs.GRAPH] == pytest.approx(graph(town).cost)
    assert costs.of(spec, town, Column.of("x", "GeM+SP")) == costs.of(spec, town, Column.of("GeM")) == {}


def test_pictures_of_one_colour_stay_where_they_are(town, monkeypatch):
    """Without keypoints there are no matches, no edges, no region: the seed, the first result, stays first."""
    from foir_lib.retrievers.reranking import consistency

    nothing = spatial.Keypoints(np.zeros((0, 2), np.float32), np.zeros((0, 128), np.uint8))
    monkeypatch.setattr(consistency, "keypoints_of", lambda part, query: [nothing] * len(part))
    plain = town.ranking("GeM").ids
    for text in ("Topological", "Community(least=400)", "Hypergraph(least=400, start='query')"):
        np.testing.assert_array_equal(town.ranking("GeM", rerank=text).ids, plain)


def test_the_same_seed_gives_the_same_graph(town, tmp_path):
    again = Experiment(replace(town.set), town.model, cache=tmp_path, progress=False)
    first = graph(town).edges
    database = town.corpus.described(GEM, town.corpus.database)
    other = neighbours.graph(again.corpus, GEM, database, None, 4, threshold=10.0, iterations=1000, seed=0).edges
    for name in ("row", "inliers", "matches"):
        np.testing.assert_array_equal(first.read(name), other.read(name))
