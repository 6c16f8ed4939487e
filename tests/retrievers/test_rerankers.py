"""Re-rankings of any retriever's results, against the equations on the same first ranking."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from plainly import QUERY, K, clusters_of, coattended, crop, global_of, pictures

from foir_lib import registry
from foir_lib.errors import InputError
from foir_lib.retrievers import coattention
from foir_lib.search.knn import knn
from foir_lib.search.rerank import diffusion
from foir_lib.search.rerank.superglobal import superglobal

CA = f"CA(n_clusters={K})"


def vectors(experiment, text):
    """Descriptors of queries and database."""
    corpus, retriever = experiment.corpus, registry.parse("retriever", text)
    return [corpus.described(retriever, part).read("descriptor") for part in (corpus.queries(), corpus.database)]


def test_expansion_of_vectors_searches_again(town):
    queries, database = (torch.from_numpy(x) for x in vectors(town, "R-MAC"))
    order = (queries @ database.T).argsort(1, descending=True)
    new = F.normalize(queries[QUERY] + database[order[QUERY, :5]].sum(0), dim=0)
    ranking = town.ranking("R-MAC", rerank="AQE")
    np.testing.assert_allclose(ranking.scores[QUERY], (database @ new)[ranking.ids[QUERY].copy()], atol=1e-5)


def test_expansion_after_coattention_averages_what_the_query_sees(town):
    first = town.ranking(CA)
    query, near = global_of(town, crop(town)), pictures(town)
    clusters = {i: clusters_of(town, near[i]) for i in first.ids[QUERY][:2]}
    sums = [F.normalize((torch.softmax(10 * (x @ query), 0)[:, None] * x).sum(0), dim=0) for x in clusters.values()]
    new = F.normalize(query + sum((v @ query).clamp(min=0) ** 3 * v for v in sums), dim=0)
    ranking = town.ranking(CA, rerank="alphaQE(n=2)")
    best = int(ranking.ids[QUERY, 0])
    assert ranking.scores[QUERY, 0] == pytest.approx(float(coattended(new, clusters_of(town, near[best]))), abs=3e-3)


def test_diffusion_superglobal_and_verification(town):
    queries, database = vectors(town, "GeM")
    scores, ids = knn(queries, database, len(database))
    graph = diffusion.graph(*knn(database, database, len(database)))
    want = diffusion.rerank(graph, scores, ids)
    ranking = town.ranking("GeM", rerank="DF")
    np.testing.assert_array_equal(ranking.ids, want[1])
    np.testing.assert_allclose(ranking.scores, want[0], rtol=1e-5)
    want = superglobal(queries, database, scores, ids, 4)
    np.testing.assert_array_equal(town.ranking("GeM", rerank="SuperGlobal(n=4)").ids, want[1])
    ranking = town.ranking("GeM", rerank="SP(n=3)")
    np.testing.assert_array_equal(np.sort(ranking.ids[:, :3]), np.sort(ids[:, :3]))
    np.testing.assert_array_equal(ranking.ids[:, 3:], ids[:, 3:])


@pytest.mark.parametrize("most", [14, 13])
def test_diffusion_after_coattention_goes_by_coattention_or_in_a_large_database_by_descriptors(town, monkeypatch, most):
    monkeypatch.setattr(coattention, "COATTENDED", most)
    first = town.ranking(CA)
    each = torch.stack([global_of(town, picture) for picture in pictures(town)])
    clusters = [clusters_of(town, picture) for picture in pictures(town)]
    pairs = torch.tensor([[float(coattended(one, x)) for x in clusters] for one in each]) if most == 14 else each @ each.T
    near, rows = pairs.sort(1, descending=True)
    f, _ = diffusion.rerank(diffusion.graph(near, rows), first.scores, first.ids)
    np.testing.assert_allclose(town.ranking(CA, rerank="DF").scores, f, atol=0.02 * f.max())


def test_a_query_of_several_clicks_is_reranked_click_by_click(focus):
    corpus = focus.corpus
    ranking = focus.ranking("PHS(h_on=4)", rerank="AQE(n=3)", kind="point")
    assert ranking.query_rows.tolist() == corpus.queries("point").rows.tolist()
    query = corpus.described(registry.parse("retriever", "PHS(h_on=4)"), corpus.queries("point"))
    click = 5
    vector = torch.from_numpy(query.read("descriptor")[query.of[click] if query.of is not None else click])
    database = torch.from_numpy(corpus.described(registry.parse("retriever", "CBIR"), corpus.database).read("descriptor"))
    new = F.normalize(vector + database[(database @ vector).argsort(descending=True)[:3]].sum(0), dim=0)
    np.testing.assert_allclose(ranking.scores[click], (database @ new)[ranking.ids[click].copy()], atol=1e-5)


@pytest.mark.parametrize(
    ("text", "rerank", "words"),
    [
        ("GeM", "QE", "There is no reranker 'QE': did you mean AQE"), ("OneToMany", "AQE", "AQE isn't defined after OneToMany"),
        ("GeM", "DF(n=1.5)", "n=1.5 must be a whole number, at least 1"), ("CA", "SuperGlobal", "SuperGlobal isn't defined after CA"),
        ("GeM", "alphaQE(alpha=-1)", "alpha=-1 must be a number, 0 or more"),
    ],
)  # fmt: skip
def test_what_cannot_be_reranked_is_said(town, text, rerank, words):
    with pytest.raises(InputError, match=words):
        town.ranking(text, rerank=rerank)
