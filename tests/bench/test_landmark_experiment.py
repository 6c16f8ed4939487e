"""Every method on landmarks, from a picture to a ranking, against a plain derivation for one query; tables and guests."""

import dataclasses
import io

import numpy as np
import pandas as pd
import pytest
import timm
import torch
import torch.nn.functional as F
from foir_lib.bench.landmark_experiment import LandmarkExperiment, scores_of
from foir_lib.bench.landmark_pictures import cropped

from foir_lib import load_model, load_set
from foir_lib.bench import landmark_experiment, landmark_rows
from foir_lib.bench.published import published
from foir_lib.bench.runs import report
from foir_lib.bench.tables import coattention as landmark_tables
from foir_lib.bench.tables import heads
from foir_lib.data import training
from foir_lib.errors import InputError, IntegrityError, MissingError
from foir_lib.files import cache_root
from foir_lib.methods import coattention, pooling, regional_attention
from foir_lib.methods.regional_attention import RegionalAttention
from foir_lib.models.cnn import CNN
from foir_lib.prompts import Box
from foir_lib.retrievers import guests
from foir_lib.search import inverted_file
from foir_lib.search.knn import knn
from foir_lib.search.rerank import diffusion, expansion
from foir_lib.store import features as store

N, K, QUERY = 20, 3, 1
SCALES = (1 / (2 * 2**0.5), 1 / 2, 1 / 2**0.5, 1.0, 2**0.5)


@pytest.fixture(scope="module")
def experiment(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FOIR_CACHE", str(tmp_path_factory.mktemp("cache")))
        torch.manual_seed(0)
        net = timm.create_model("resnet10t", num_classes=7)
        model = CNN(net, "tiny", out_index=2, whiten=torch.nn.Linear(128, 12))
        benchmark = load_set("mini-landmarks", seed=3, n_landmarks=2, n_queries=2, n_database=14)
        attention = [RegionalAttention(model.dim, 4), RegionalAttention(model.dim, 4, context=False)]
        paths = training.mini_landmarks(4, 3, 1).paths
        yield LandmarkExperiment(
            benchmark, model, paths, attention=attention, n_words=8, n_features=N, enlarged=1.0, progress=False
        )


def crop(experiment, query=QUERY):
    row = experiment.set.queries.iloc[query]
    box, picture = row["prompt"], experiment.set.open(row["image_id"])
    return picture.crop((int(box.x0), int(box.y0), int(np.ceil(box.x1)), int(np.ceil(box.y1))))


def pictures(experiment):
    return [experiment.set.open(i) for i in experiment.set.database["image_id"]]


def map_of(experiment, picture, scale=1.0):
    return experiment.model.maps(experiment.model.preprocess(picture, scale=scale)[None])


def by_hand(experiment, method, picture, **options):
    """The descriptor of a picture, straight from its maps."""
    x, model = map_of(experiment, picture), experiment.model
    with torch.inference_mode():
        if method == "GeM":
            scales = {1: (1.0,), 5: SCALES}[options.get("n_scales", 5)]
            return F.normalize(
                sum(F.normalize(model.whiten(pooling.gem(map_of(experiment, picture, s))), dim=-1) for s in scales),
                dim=-1,
            )[0]
        if method in ("SPoC", "MAC", "CroW"):
            pooled = {"SPoC": pooling.spoc, "MAC": pooling.mac, "CroW": pooling.crow}[method](x)
            return pooling.processed(pooled, experiment.pca(method.lower()))[0]
        if method == "R-MAC":
            return pooling.rmac(x, options.get("scales", 5), experiment.pca("regions"))[0]
        net = experiment.attention[options.get("context", True)]
        return regional_attention.descriptor(x, net, options.get("scales", 5), experiment.pca("regions"))[0]


@pytest.mark.parametrize(
    ("method", "options"),
    [("GeM", {}), ("GeM", {"n_scales": 1}), ("SPoC", {}), ("MAC", {}), ("CroW", {}), ("R-MAC", {}), ("R-MAC", {"scales": 3}),
     ("RA", {}), ("RA", {"context": False}), ("RA", {"scales": 4})],
)  # fmt: skip
def test_one_vector_for_each_picture(experiment, method, options):
    query = by_hand(experiment, method, crop(experiment), **options)
    database = torch.stack([by_hand(experiment, method, p, **options) for p in pictures(experiment)])
    want = database @ query
    got = experiment.ranking(method, **options)
    np.testing.assert_allclose(got.scores[QUERY], want[got.ids[QUERY].copy()], atol=2e-5)
    assert sorted(got.ids[QUERY]) == list(range(len(want))), "the whole database is ranked"


def local(experiment, picture, n=N):
    found = experiment.model.locals(picture, SCALES)
    rows = torch.argsort(found.norm, descending=True, stable=True)[:n]
    return found.features[rows], found.norm[rows]


def embedded(experiment, vectors):
    (whiten, pca), _ = experiment._embedding(5, N, 512)
    with torch.inference_mode():
        return F.normalize(pca(whiten(vectors)), dim=-1)


def clusters_of(experiment, picture, k=K):
    x, _ = local(experiment, picture)
    labels = coattention.cluster(x, k)
    return embedded(
        experiment,
        torch.stack([x[labels == i].clamp(min=1e-6).pow(3).mean(0).pow(1 / 3) for i in range(int(labels.max()) + 1)]),
    )


def global_of(experiment, picture):
    return embedded(experiment, local(experiment, picture)[0].clamp(min=1e-6).pow(3).mean(0).pow(1 / 3)[None])[0]


def coattended(query, x, temperature=10.0):
    a = torch.softmax(temperature * (x @ query), 0)
    return F.cosine_similarity((a[:, None] * x).sum(0), query, dim=0)


SCORES = {
    "CA": ({}, lambda e, q, p: coattended(global_of(e, q), clusters_of(e, p))),
    "CA, T": ({"temperature": 1.0}, lambda e, q, p: coattended(global_of(e, q), clusters_of(e, p), 1.0)),
    "CA, K": ({"n_clusters": 2}, lambda e, q, p: coattended(global_of(e, q), clusters_of(e, p, 2))),
    "CA naive": ({}, lambda e, q, p: coattended(global_of(e, q), embedded(e, local(e, p)[0]), 1.0)),
    "one-to-many, max": ({"how": "max"}, lambda e, q, p: (clusters_of(e, p) @ global_of(e, q)).max()),
    "one-to-many, mean": ({"how": "mean"}, lambda e, q, p: (clusters_of(e, p) @ global_of(e, q)).mean()),
    "many-to-many, max mean": (
        {"local": "max", "image": "mean"}, lambda e, q, p: (clusters_of(e, q) @ clusters_of(e, p).T).amax(1).mean(),
    ),
    "many-to-many, mean max": (
        {"local": "mean", "image": "max"}, lambda e, q, p: (clusters_of(e, q) @ clusters_of(e, p).T).mean(1).amax(),
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", SCORES)
def test_clusters_and_their_kin(experiment, case):
    options, plain = SCORES[case]
    options = options if case == "CA naive" else {"n_clusters": K, **options}
    got = experiment.ranking(case.split(",")[0], **options)
    want = [float(plain(experiment, crop(experiment), picture)) for picture in pictures(experiment)]
    np.testing.assert_allclose(got.scores[QUERY], np.array(want)[got.ids[QUERY]], atol=3e-3)  # float16


def test_attention_that_does_not_know_the_query(experiment):
    got = experiment.ranking("L2-norm attention")
    query, picture = (
        F.normalize((norm[:, None] * embedded(experiment, x)).sum(0), dim=0)
        for x, norm in (local(experiment, p) for p in (crop(experiment), pictures(experiment)[2]))
    )
    assert got.scores[QUERY][got.ids[QUERY] == 2] == pytest.approx(float(query @ picture), abs=1e-3)  # float16


def test_whole_queries_and_other_clusterings(experiment):
    whole = experiment.set.open(experiment.set.queries["image_id"].iloc[QUERY])
    got = experiment.ranking("GeM", query="whole")
    want = by_hand(experiment, "GeM", whole) @ by_hand(experiment, "GeM", pictures(experiment)[0])
    assert got.scores[QUERY][got.ids[QUERY] == 0] == pytest.approx(float(want), abs=2e-5)
    few = experiment.clustered("database", clustering="mean-shift", bandwidth=1e6).read("count")
    many = experiment.clustered("database", clustering="mean-shift", bandwidth=1e-6).read("count")
    assert (few == 1).all() and (many > 10).all()
    assert experiment.clustered("queries", n_clusters=K, dim=5).read("global").shape == (2, 5)
    assert experiment.clustered("queries", n_clusters=K, dim=512).read("global").shape[1] == 11, "12 training pictures"


def test_a_crop_is_seen_at_the_scale_of_its_picture(experiment):
    picture = pictures(experiment)[0].resize((400, 200))
    part, longest = cropped(picture, Box(-5, 10, 50.5, 30), 100)
    assert part.size == (51, 20) and longest == pytest.approx(51 / 4)
    assert cropped(picture, Box(0, 0, 40, 20), 1024)[1] == 40


# ---- re-ranking and the inverted file


def test_expansion_of_vectors_and_of_coattention(experiment):
    queries, database = (torch.from_numpy(experiment.vectors("R-MAC", p)) for p in ("queries", "database"))
    order = (queries @ database.T).argsort(1, descending=True)
    new = F.normalize(queries[QUERY] + database[order[QUERY, :5]].sum(0), dim=0)
    got = experiment.ranking("R-MAC", rerank="AQE")
    np.testing.assert_allclose(got.scores[QUERY], (database @ new)[got.ids[QUERY].copy()], atol=1e-5)
    plain = experiment.ranking("CA", n_clusters=K)
    query, near = global_of(experiment, crop(experiment)), pictures(experiment)
    clusters = {i: clusters_of(experiment, near[i]) for i in plain.ids[QUERY][:2]}
    seen = [F.normalize((torch.softmax(10 * (x @ query), 0)[:, None] * x).sum(0), dim=0) for x in clusters.values()]
    new = F.normalize(query + sum((v @ query).clamp(min=0) ** 3 * v for v in seen), dim=0)
    got = experiment.ranking("CA", n_clusters=K, rerank="alphaQE", n=2)
    best = int(got.ids[QUERY, 0])
    assert got.scores[QUERY, 0] == pytest.approx(float(coattended(new, clusters_of(experiment, near[best]))), abs=3e-3)


def test_diffusion_superglobal_and_verification(experiment):
    queries, database = (experiment.vectors("GeM", p) for p in ("queries", "database"))
    first, ids = knn(queries, database, len(database))
    near, rows = knn(database, database, len(database))
    want, _ = diffusion.rerank(diffusion.graph(rows, near), ids, first)
    np.testing.assert_array_equal(experiment.ranking("GeM", rerank="DF").ids, want)
    want, _ = expansion.superglobal(queries, database, ids, first, 4)
    np.testing.assert_array_equal(experiment.ranking("GeM", rerank="SuperGlobal", n=4).ids, want)
    got = experiment.ranking("GeM", rerank="SP", n=3)
    np.testing.assert_array_equal(np.sort(got.ids[:, :3]), np.sort(ids[:, :3]))
    np.testing.assert_array_equal(got.ids[:, 3:], ids[:, 3:])


@pytest.mark.parametrize("most", [14, 13])
def test_diffusion_after_coattention_goes_by_coattention_or_in_a_large_database_by_descriptors(
    experiment, monkeypatch, most
):
    monkeypatch.setattr(landmark_experiment, "COATTENDED", most)
    first = experiment.ranking("CA", n_clusters=K)
    each = torch.stack([global_of(experiment, picture) for picture in pictures(experiment)])
    seen = [clusters_of(experiment, picture) for picture in pictures(experiment)]
    pairs = torch.tensor([[float(coattended(one, x)) for x in seen] for one in each]) if most == 14 else each @ each.T
    near, rows = pairs.sort(1, descending=True)
    _, f = diffusion.rerank(diffusion.graph(rows, near), first.ids, first.scores)
    got = experiment.ranking("CA", n_clusters=K, rerank="DF")
    np.testing.assert_allclose(got.scores, f, atol=0.02 * f.max())


def test_only_pictures_that_share_a_word_are_scored(experiment):
    codebook = experiment.codebook()
    words = [set(codebook.words(local(experiment, p)[0]).tolist()) for p in (crop(experiment), *pictures(experiment))]
    want = [row for row, shown in enumerate(words[1:]) if shown & words[0]]
    np.testing.assert_array_equal(experiment.candidates()[QUERY], want)
    assert len(codebook) == 8 and isinstance(codebook, inverted_file.Codebook)
    share = np.mean([1 - len(c) / 14 for c in experiment.candidates()])
    assert experiment.filtered() == pytest.approx(share)
    got, plain = (experiment.ranking("CA", n_clusters=K, ivf=ivf) for ivf in (True, False))
    for row, score in zip(plain.ids[QUERY], plain.scores[QUERY], strict=True):
        assert got.scores[QUERY][got.ids[QUERY] == row] == (pytest.approx(score, abs=1e-6) if row in want else 0)


def test_only_the_strongest_features_of_a_query_name_words(experiment, monkeypatch, tmp_path):
    """Picture r shows the words r and r + 1 (mod 8) and has one feature less than there is room for; queries name 1, 5, 7."""

    def words(part, *_):
        named = {"database": lambda row: [row % 8, (row + 1) % 8, -1], "queries": lambda row: [1, 5, 7]}[part]
        n = len(experiment.set.database if part == "database" else experiment.set.queries)
        return store.each({"p": part}, n, lambda row: {"words": np.int32(named(row))}, root=tmp_path, progress=False)

    monkeypatch.setattr(experiment, "words", words)
    for asking, want in ((1, [0, 1, 8, 9]), (2, [0, 1, 4, 5, 8, 9, 12, 13]), (None, [0, 1, 4, 5, 6, 7, 8, 9, 12, 13])):
        monkeypatch.setattr(experiment, "n_asking", asking)
        assert [rows.tolist() for rows in experiment.candidates()] == [want] * 2
    assert experiment.filtered() == pytest.approx(4 / 14)


def test_a_codebook_is_learned_once_and_again_when_its_file_is_broken(experiment, monkeypatch):
    features, learn = np.random.default_rng(0).random((40, 5), np.float32), inverted_file.learn
    want = experiment._words_of(features, 6).centres
    monkeypatch.setattr(inverted_file, "learn", lambda *_, **__: pytest.fail("learned twice"))
    np.testing.assert_array_equal(experiment._words_of(features, 6).centres, want)
    monkeypatch.setattr(inverted_file, "learn", learn)
    for path in (cache_root() / "codebooks").iterdir():
        path.write_bytes(b"PK")
    np.testing.assert_array_equal(experiment._words_of(features, 6).centres, want)
    assert not np.array_equal(experiment._words_of(features[1:], 6).centres, want)


def test_training_pictures_are_not_the_benchmarks_and_features_are_made_once(experiment, monkeypatch):
    assert not set(experiment.paths()) & set(experiment.set.images["path"])
    again = LandmarkExperiment(
        experiment.set, experiment.model, experiment.paths(), n_words=8, n_features=N, enlarged=1.0, progress=False
    )
    want = experiment.ranking("CA", n_clusters=K)
    monkeypatch.setattr(CNN, "maps", lambda *_: pytest.fail("seen twice"))
    np.testing.assert_array_equal(again.ranking("CA", n_clusters=K).scores, want.scores)


def test_scores_are_those_of_the_protocols(experiment):
    found = experiment.score("GeM")
    want = scores_of(experiment.ranking("GeM"), experiment.set)
    assert set(found) == {"easy", "medium", "hard"} and all(found[k].map == want[k].map for k in want)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"method": "GEM"}, "Method 'GEM' is unknown: choose one of GeM"),
        ({"method": "GeM", "rerank": "QE"}, "Re-ranking 'QE' is unknown"),
        ({"method": "GeM", "query": "half"}, "crop"),
        ({"method": "R-MAC", "scales": 9}, "S=9"),
        ({"method": "one-to-many", "rerank": "AQE"}, "AQE isn't defined after one-to-many"),
        ({"method": "CA", "heat": 1}, "Option 'heat' is unknown"),
        (
            {"method": "GeM", "scales": 3},
            "Option 'scales' is unknown to GeM: choose among query, rerank, n, n_scales.$",
        ),
        ({"method": "CA naive", "n_clusters": 3}, "Option 'n_clusters' is unknown to CA naive"),
        ({"method": "GeM", "n_scales": 2}, "n_scales=2 is unknown: choose one of 1, 3, 5, 7"),
        ({"method": "CA", "n_features": -3}, "n_features=-3"),
        ({"method": "GeM", "rerank": "DF", "n": 1.5}, "n=1.5"),
    ],
)
def test_wrong_asks_are_told_in_a_sentence(experiment, options, words):
    with pytest.raises(InputError, match=words):
        experiment.ranking(**options)


def test_what_cannot_be_had_is_said(experiment, tmp_path):
    bare = LandmarkExperiment(experiment.set, experiment.model, experiment.paths(), progress=False, cache=tmp_path)
    assert "with context" in bare.lacks("RA") and "detector" in bare.lacks("RPN") and not bare.lacks("CA")
    assert "classifier" in bare.lacks("CAM")
    real = dataclasses.replace(experiment.set, name="roxford5k")
    none = LandmarkExperiment(real, experiment.model, progress=False, cache=tmp_path)
    assert "PCA to 11 dimensions" in none.lacks("CA", dim=11) and not none.lacks("CA", dim=12)
    assert not none.lacks("GeM") and not bare.lacks("CA", dim=11)
    with pytest.raises(InputError, match="no CNN"):
        LandmarkExperiment(experiment.set, type("ViT", (), {"name": "dino"})())


# ---- tables


def test_every_column_of_every_table_can_be_asked_and_joins(experiment):
    guest = {
        "BoW", "CANet", "DELG", "DELG+SP", "DELG+SP†", "DELG†", "DELF-ASMK+SP", "DELF-D2R-R-ASMK+SP", "DOLG", "DOLG (whole query)",
        "DSM", "GLAM", "GeM (GLD)", "HOW", "HOW (GLDv2)†", "HOW-MDA", "R-MAC (Gordo)", "RA (PCA of the other set)", "SDCF",
        "SDCF (4096)", "SDCF (512)", "SDCF+QE", "SOLAR",
    }  # fmt: skip
    alone = set()
    for table, spec in landmark_tables.TABLES.items():
        assert heads.find(table) is spec and spec.title and spec.look
        names = [(column.name, *column.options.values()) for column in spec.columns]
        assert len(set(names)) == len(names)
        if table != "ca-fig9":
            alone |= set(published(table)["method"]) - {column.name for column in spec.columns}
            assert set(published(table)["dataset"]) - {"any"} <= set(spec.datasets), table
    assert alone == guest


def run(table, experiment, monkeypatch, **options):
    monkeypatch.setattr(landmark_rows, "load", lambda name, *_: experiment.set)
    monkeypatch.setattr(landmark_rows, "load_model", lambda *_, **__: experiment.model)
    monkeypatch.setattr(landmark_rows, "LandmarkExperiment", lambda *_, **__: experiment)
    return landmark_rows.run(table, progress=False, **options)


def test_rows_of_a_table(experiment, monkeypatch):
    rows = run("ra-2c", experiment, monkeypatch)
    assert rows["method"].unique().tolist() == ["R-MAC", "RA (no context)", "RA"]
    assert (
        set(rows["dataset"]) == {"mini-landmarks"}
        and set(rows["model"]) == {"mini-cnn"}
        and set(rows["ap"]) == {"trapezoid"}
    )
    scores = experiment.score("RA")
    ours = rows[rows["method"] == "RA"].set_index("metric")["ours"]
    assert ours["mAP hard"] == pytest.approx(100 * scores["hard"].map) and rows["published"].isna().all()
    assert report.checked(rows, "ra-2c") is not None
    rows = run("ra-2b", experiment, monkeypatch)
    assert rows["ours"].isna().all() and rows["note"].str.contains("no detector").all()


def test_published_rows_of_others_stand_beside_ours(experiment, monkeypatch):
    ours = pd.DataFrame(
        [("ca-15", "roxford5k", "resnet101", "GeM+CA", "mAP hard", 70.0, "trapezoid")],
        columns=["table", *landmark_rows.KEYS, "ours", "ap"],
    )
    rows = landmark_rows.beside_published(ours, "ca-15", ["roxford5k"]).set_index(["method", "metric"])
    assert rows.loc[("GeM+CA", "mAP hard"), ["published", "ours"]].tolist() == [72.6, 70.0]
    assert rows.loc[("GeM+CA", "mAP hard"), "difference"] == pytest.approx(-2.6)
    assert rows.loc[("CANet", "mAP hard"), "published"] == 68.9 and np.isnan(rows.loc[("CANet", "mAP hard"), "ours"])
    assert set(rows["dataset"]) == {"roxford5k"} and rows["table"].eq("ca-15").all()
    none = landmark_rows.beside_published(ours.assign(model="resnet50"), "ca-15", ["roxford5k"])
    assert set(none["method"]) == {"GeM", "GeM+CA", "CANet"} and len(none) == 1 + 2 + 2, (
        "no line of another network of ours"
    )


def test_names_of_data_sets_and_models():
    assert landmark_rows.rows_of("ca-1") == (["mini-landmarks"], ["mini-cnn"])
    assert landmark_rows.rows_of("ca-1", "paper", "paper")[1] == ["resnet50", "resnet101"]
    assert landmark_rows.rows_of("ra-3", "oxford5k, paris6k", "resnet18") == (["oxford5k", "paris6k"], ["resnet18"])
    with pytest.raises(InputError, match="roxford5k\\+1m needs data_root"):
        landmark_rows.load("roxford5k+1m")
    with pytest.raises(InputError, match="One weights file"):
        landmark_rows.run("ca-1", model="resnet50,resnet101", weights="w")


# ---- guests


def test_a_guest_is_scored_like_ours(experiment, tmp_path, monkeypatch):
    ranking = experiment.ranking("GeM")
    ids = experiment.set.database["image_id"].to_numpy()
    asked = experiment.set.queries["image_id"]
    lines = [",".join(map(str, [query, *ids[row]])) for query, row in zip(asked, ranking.ids, strict=True)]
    (tmp_path / "a.csv").write_text("\n".join(reversed(lines)) + "\n")
    np.save(tmp_path / "b.npy", ranking.ids)
    np.save(tmp_path / "c.npy", ranking.ids.T)
    queries, database = (experiment.vectors("GeM", part) for part in ("queries", "database"))
    np.savez(tmp_path / "d.npz", queries=7 * queries, database=database)
    guest = ", ".join(
        f"{n}={tmp_path}/{f}" for n, f in (("A", "a.csv"), ("B", "b.npy"), ("C", "c.npy"), ("D", "d.npz"))
    )
    rows = run("ra-2b", experiment, monkeypatch, guest=guest)
    rows = rows[rows["model"] == "guest"].pivot(index="method", columns="metric", values="ours")
    assert set(rows.index) == {"A", "B", "C", "D", "D+alphaQE", "D+DF"}
    want = experiment.score("GeM")["hard"].map * 100
    assert rows.loc[["A", "B", "C", "D"], "mAP hard"].tolist() == pytest.approx([want] * 4)
    assert rows.loc["D+DF", "mAP hard"] == pytest.approx(100 * experiment.score("GeM", rerank="DF")["hard"].map)
    np.save(tmp_path / "short.npy", ranking.ids[:, :4])
    assert [len(row) for row in guests.read(tmp_path / "short.npy", experiment.set)[1]] == [4] * 2


def zipped(kind):
    """The bytes of numbers saved as .npy or .npz."""
    file = io.BytesIO()
    (np.save if kind == "npy" else np.savez)(file, np.zeros((2, 3), int))
    return file.getvalue()


def write(path, content):
    if isinstance(content, str):
        path.write_text(content)
    elif isinstance(content, dict):
        np.savez(path, **content)
    elif isinstance(content, bytes):
        path.write_bytes(content)
    elif content is not None:
        np.save(path, content)


@pytest.mark.parametrize(
    ("name", "content", "error", "words"),
    [
        ("a.npy", None, MissingError, "no file"),
        ("a.pkl", "x", InputError, "is no file of a guest"),
        ("a.npy", b"\x93NUMPY junk", IntegrityError, "can't be read"),
        ("a.npz", b"PK junk", IntegrityError, "can't be read"),
        ("a.npz", {"queries": np.eye(3)}, IntegrityError, "database"),
        ("a.npz", zipped("npy"), IntegrityError, "can't be read"),  # an .npy by another name, and the other way round
        ("a.npy", zipped("npz"), IntegrityError, "can't be read"),
        ("a.npz", {"queries": np.array([["a"]] * 2), "database": np.ones((14, 1))}, InputError, "queries, are <U1"),
        ("a.npy", np.array([[-7, 3], [0, 1]]), InputError, "row -7"),
        ("a.npy", np.zeros((4, 14), int), InputError, "2 queries"),
        ("a.npy", np.zeros((2, 14)), InputError, "whole numbers"),
        ("a.npy", np.full((2, 1), 14), InputError, "row 14"),
        ("a.npy", np.zeros((2, 3), int), InputError, "twice"),
        ("a.npz", {"queries": np.ones((2, 4)), "database": np.ones((9, 4))}, InputError, "database \\(14, d\\)"),
        ("a.npz", {"queries": np.ones((2, 4)), "database": np.zeros((14, 4))}, InputError, "zeros"),
        ("a.npz", {"queries": np.full((2, 4), np.nan), "database": np.ones((14, 4))}, InputError, "NaN"),
        ("a.txt", "nobody 1\n", InputError, "line 1 names query 'nobody'"),
        ("a.txt", "{q} nothing\n", InputError, "picture 'nothing'"),
        ("a.txt", "{q} {d}\n{q} {d}\n", InputError, "second time"),
        ("a.txt", "{q} {d} {d}\n", InputError, "twice"),
        ("a.txt", "{q} {d}\n", InputError, "no line for query"),
        ("a.csv", b"\xff\xfe\x00", IntegrityError, "no text"),
    ],
)
def test_bad_files_are_told_in_one_sentence(experiment, tmp_path, name, content, error, words):
    if isinstance(content, str):
        content = content.format(
            q=experiment.set.queries["image_id"].iloc[0], d=experiment.set.database["image_id"].iloc[0]
        )
    write(tmp_path / name, content)
    with pytest.raises(error, match=words) as caught:
        guests.read(tmp_path / name, experiment.set)
    assert "\n" not in str(caught.value) and name in str(caught.value)


def test_names_of_guests():
    assert guests.named("HOW=a/b.npy, DELG = c.npz,") == {"HOW": "a/b.npy", "DELG": "c.npz"}
    for text in ("HOW", "=x", "HOW=", "HOW=a,HOW=b"):
        with pytest.raises(InputError, match="NAME=path"):
            guests.named(text)


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_the_inverted_file_spares_a_part_of_a_town_and_leaves_map_as_it_is():
    """Co-attention section 7.12 and Table 14, on a town that nothing was chosen on, with the mini world's own numbers."""
    experiment = LandmarkExperiment(load_set("mini-landmarks", seed=12), load_model("mini-cnn", device="cpu"))
    full, less = (experiment.score("CA", ivf=ivf) for ivf in (False, True))
    change = {level: 100 * (less[level].map - full[level].map) for level in ("medium", "hard")}
    share = experiment.filtered()
    print(f"{100 * share:.1f} % spared, change of mAP {change}, of {100 * full['medium'].map:.1f} medium")
    assert max(map(abs, change.values())) <= 0.1 and share > 0.1
