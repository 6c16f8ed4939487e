"""One experiment for every family: scores under a set's own protocols, methods crossed with sets, results that are none."""

from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch
from plainly import QUERY

from foir_lib import load_model, load_set, registry
from foir_lib.bench import rows
from foir_lib.bench.experiment import Experiment, parsed
from foir_lib.bench.metrics import mean_average_precision
from foir_lib.bench.metrics.scores import scored
from foir_lib.data import Protocol
from foir_lib.errors import InputError
from foir_lib.methods import head_selection
from foir_lib.retrievers.base import Reranker, Retriever
from foir_lib.retrievers.baselines import CBIR
from foir_lib.retrievers.corpus import Corpus
from foir_lib.store.arrays import Arrays


def test_scores_are_those_of_the_protocols(town):
    scores, want = town.score("GeM"), scored(town.ranking("GeM"), town.set)
    assert set(scores) == {"easy", "medium", "hard"} and all(scores[k].map == want[k].map for k in want)
    assert scores["hard"].metrics == {"mAP hard": scores["hard"].map}
    aps = scores["hard"].per_query["average_precision"]
    assert scores["hard"].map == pytest.approx(np.nanmean(aps)) and len(aps) == len(town)


def test_a_score_keeps_its_queries_with_their_units(focus):
    score = focus.score("PHS", k=10)["contains"]
    assert score.metrics == {"MP@10": score.mp, "MAP@10": score.map} and score.k == 10
    table, queries = score.per_query, focus.set.queries
    assert table["query"].tolist() == list(range(len(queries))) and (table["image_id"] == queries["image_id"]).all()
    assert table.groupby("unit")["image_id"].nunique().eq(1).all() and table["unit"].nunique() == queries["image_id"].nunique()
    assert table["n_objects"].tolist() == [focus.set.n_objects(i) for i in queries["image_id"]]
    assert score.per_category["n_queries"].sum() == len(queries)


def test_pictures_of_a_set_open_as_small_copies(focus):
    assert max(focus.set.open(focus.set.images["image_id"].iloc[0], longest=32).size) == 32


def test_a_name_an_option_and_an_object_are_the_same(focus):
    want = focus.ranking("PHS(h_on=3)", k=7)
    for one in (registry.parse("retriever", "PHS(h_on=3)"), " PHS( h_on = 3 ) "):
        np.testing.assert_array_equal(focus.ranking(one, k=7).ids, want.ids)
    for wrong in (3, None, CBIR):
        with pytest.raises(InputError, match="is no retriever: give an object or a name of `foir methods`"):
            focus.ranking(wrong)
    with pytest.raises(InputError, match="is no reranker"):
        parsed("CBIR", CBIR())


@pytest.mark.parametrize("wrong", [{"seed": -1}, {"batch_size": 0}, {"workers": 0}, {"n_training": -4}])
def test_wrong_numbers_are_named(focus, wrong):
    with pytest.raises(InputError, match=next(iter(wrong))):
        Experiment(focus.set, focus.model, **wrong)


def test_a_set_without_queries_is_refused_but_has_a_database(focus, tmp_path):
    ids = focus.set.database["image_id"].iloc[:3]
    for image_id in ids:
        focus.set.open(image_id).save(tmp_path / f"{image_id}.png")
    folder = load_set("folder", root=tmp_path)
    for refused in (lambda: Experiment(folder, focus.model), lambda: Corpus(folder, focus.model).queries()):
        with pytest.raises(InputError, match="has no labelled queries, so nothing can be scored: give boxes"):
            refused()
    corpus = Corpus(folder, focus.model, cache=tmp_path / "cache", progress=False)
    order = [folder.database["image_id"].tolist().index(f"{image_id}.png") for image_id in ids]
    database = corpus.described(CBIR(), corpus.database)
    want = focus.corpus.described(CBIR(), focus.corpus.database).read("descriptor")[:3]
    assert np.allclose(database.read("descriptor", order), want, atol=1e-5)


# ---- families crossed


def test_head_selection_on_landmarks_by_hand(town, tmp_path):
    model = load_model("mini-vit", device="cpu")
    experiment = Experiment(town.set, model, cache=tmp_path, progress=False)
    row = town.set.queries.iloc[QUERY]
    picture = town.set.open(row["image_id"])
    state = model.cls_state(model.preprocess(picture)[None])
    roi = torch.from_numpy(row["prompt"].tokens(model.grid, picture.size))[None]
    vector = head_selection.descriptor(model, state, head_selection.select(state, roi, 5))[0]
    database = torch.stack([model.preprocess(town.set.open(i)) for i in town.set.database["image_id"]])
    want = model.descriptor(model.cls_state(database)) @ vector
    ranking = experiment.ranking("PHS")
    np.testing.assert_allclose(ranking.scores[QUERY], want[ranking.ids[QUERY].copy()], atol=2e-5)


def test_methods_of_heads_on_landmarks_and_of_landmarks_on_objects_are_rows_of_a_table(town, focus, tmp_path):
    options = {"device": "cpu", "cache": str(tmp_path), "progress": False}
    heads = rows.run("phs-1", "few-landmarks", "mini-vit", methods="CBIR,Mask,Crop,FA,PHS,PHS(h_on=3),PHS+AQE(n=2)", **options)
    names = ["CBIR", "Mask", "Crop", "FA", "PHS", "PHS(h_on=3)", "PHS+AQE(n=2)"]
    assert heads["method"].unique().tolist() == names and set(heads["metric"]) == {"mAP medium", "mAP hard"}
    landmarks = rows.run("ca-1", "few-focus", "mini-cnn", methods="GeM,CA,CA(n_clusters=3),GeM+DF,GeM+CA", k=10, **options)
    assert set(landmarks["metric"]) == {"MP@10", "MAP@10"}
    (missing,) = landmarks[landmarks["ours"].isna()]["note"].unique()  # the table's own GeM+CA asks an inverted file
    assert missing == "no pictures at hand to learn visual words from: give training_root"
    landmarks = landmarks.dropna(subset="ours")
    assert landmarks["method"].unique().tolist() == ["GeM", "CA", "CA(n_clusters=3)", "GeM+DF"]
    for table in (heads, landmarks):
        assert table["ours"].between(0, 100).all() and table.groupby("metric")["ours"].nunique().gt(1).any()
    cnn = Experiment(focus.set, load_model("mini-cnn", device="cpu"), cache=tmp_path, progress=False)
    ours = landmarks.set_index(["method", "metric"])["ours"]
    assert ours["CA(n_clusters=3)", "MP@10"] == pytest.approx(100 * cnn.score("CA(n_clusters=3)", k=10)["contains"].mp)


def test_a_list_is_as_long_as_its_protocols_look(focus, tmp_path):
    """Of three things of forty pictures: AP of the first five places needs five and the query's own, of all places all."""
    contains, depths = focus.set.protocols["contains"], []

    @dataclass(frozen=True)
    class Spy(Retriever):
        def describe(self, part):
            return Arrays({"descriptor": np.eye(len(part), 3, dtype=np.float32) + 0.1})

        def score(self, corpus, query, database, k):
            depths.append(k)
            return super().score(corpus, query, database, k)

    for definition in ("textbook@5", "textbook"):
        rules = Protocol(contains.groups, contains.positive, own=contains.own, definition=definition)
        cut = Experiment(replace(focus.set, protocols={"first": rules}), focus.model, cache=tmp_path, progress=False)
        whole = mean_average_precision(cut.ranking(Spy()), rules)
        assert cut.score(Spy(), k=3)["first"].map == whole.map
    assert depths == [40, 5 + 1 + 1, 40, 40]


# ---- results that are none


@dataclass(frozen=True)
class Odd(Retriever):
    """Describes and scores by what a test says."""

    describes: object = None
    scores: object = None

    def describe(self, part):
        x = np.eye(len(part), 3, dtype=np.float32) + 0.1
        return self.describes(part, x) if self.describes else Arrays({"descriptor": x})

    def score(self, corpus, query, database, k):
        n = len(corpus.database)
        ids = np.tile(np.arange(n), (len(query), 1))
        scores = np.tile(-np.arange(n, dtype=np.float32), (len(query), 1))
        return self.scores(scores, ids) if self.scores else super().score(corpus, query, database, k)


@pytest.mark.parametrize(
    ("odd", "words"),
    [
        ({"scores": lambda s, i: (s * np.nan, i)}, "returned NaN or infinite scores for query 0"),
        ({"scores": lambda s, i: (s, i + 1)}, "returned row 40 of the database: its 40 rows count from 0"),
        ({"scores": lambda s, i: (s, i - 2)}, "returned row -2 of the database"),
        ({"scores": lambda s, i: (s[:, :3], i)}, r"returned scores \(\d+, 3\) and ids \(\d+, 40\)"),
        ({"scores": lambda s, i: (s[0], i[0])}, r"returned scores \(40,\) and ids \(40,\)"),
        ({"scores": lambda s, i: (s[1:], i[1:])}, r"give \(Q, k\) each, Q = \d+"),
        ({"scores": lambda s, i: (s, i / 2)}, "ids whole numbers"),
        ({"scores": lambda s, i: ([[1], [1, 2]], i)}, "returned scores and ids that are no arrays"),
        ({"scores": lambda s, i: (-s, i)}, "The ranking of query 0 has scores that rise: sort them, best first"),
        ({"scores": lambda s, i: (s, i * 0)}, "The ranking of query 0 names a database row twice"),
        ({"scores": lambda s, i: (s[:, :3], i[:, :3])}, "The ranking has 3 of 40 images per query: search with k=10"),
        ({"scores": lambda s, i: s}, "fails"),
        ({"scores": lambda s, i: 1 / 0}, r"fails \(ZeroDivisionError: division by zero\): mend it"),
        ({"describes": lambda part, x: Arrays({"descriptor": x * np.nan})}, "hold a NaN or infinite number in row 0"),
        ({"describes": lambda part, x: Arrays({"descriptor": x[1:]})}, "describes 39 of 40 pictures of the database: give a row for each"),
        ({"describes": lambda part, x: Arrays({"vector": x})}, "hold no array 'descriptor', they hold: vector"),
        ({"describes": lambda part, x: {"descriptor": x}}, "fails|describes"),
        ({"describes": lambda part, x: part.nothing}, "fails .AttributeError"),
        ({"describes": lambda part, x: Arrays({"descriptor": x[:, : 2 + part.prompted]})}, "Queries have 3 dimensions, the database has 2"),
    ],
)  # fmt: skip
def test_what_a_method_returns_instead_of_results_is_said_in_a_sentence(focus, odd, words):
    with pytest.raises(InputError, match=words) as caught:
        focus.score(Odd(**odd), k=10)
    assert "\n" not in str(caught.value)


def test_a_method_without_describe_says_what_it_needs(focus):
    @dataclass(frozen=True)
    class Nothing(Retriever):
        pass

    with pytest.raises(InputError, match=r"Nothing fails \(NotImplementedError: Nothing needs a function describe\(self, part\)"):
        focus.ranking(Nothing())


def test_a_reranking_of_one_s_own_that_fails_is_said(focus):
    @dataclass(frozen=True)
    class Broken(Reranker):
        def rerank(self, corpus, retriever, part, query, database, scores, ids):
            return scores[:, ::-1], ids + len(database)

    with pytest.raises(InputError, match=r"returned row \d+ of the database: its 40 rows count from 0"):
        focus.ranking("CBIR", rerank=Broken())

    @dataclass(frozen=True)
    class Unfinished(Reranker):
        pass

    with pytest.raises(InputError, match=r"needs a function rerank\(...\)"):
        focus.ranking("CBIR", rerank=Unfinished())
