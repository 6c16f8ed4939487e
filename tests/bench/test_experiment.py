"""Every method of the paper, from a picture to a ranking, against a plain one-query-at-a-time derivation."""

import threading
import weakref

import numpy as np
import pandas as pd
import pytest
import torch

from foir_lib import load_model, load_set
from foir_lib.bench import extraction, rows
from foir_lib.bench.experiment import Experiment
from foir_lib.bench.tables import heads as tables
from foir_lib.errors import InputError
from foir_lib.methods import baselines, foveal, head_selection
from foir_lib.methods.noise import noisy
from foir_lib.prompts import Mask, Point, crop
from foir_lib.retrievers.prompting import points

N_QUERY, N_DATABASE = 10, 40


@pytest.fixture(scope="module")
def experiment(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FOIR_CACHE", str(tmp_path_factory.mktemp("cache")))
        small = load_set("mini-focus", seed=5, n_query=N_QUERY, n_database=N_DATABASE)
        yield Experiment(small, load_model("mini-vit", device="cpu"), batch_size=7, progress=False)


def by_hand(experiment, query, method, h_on=5, **options):
    """The descriptor of one query, straight from the picture."""
    model, rs = experiment.model, experiment.set
    row = rs.queries.iloc[query]
    picture, prompt = rs.open(row["image_id"]), row["prompt"]
    if options.get("noise"):
        prompt = noisy(prompt, picture.size, np.random.default_rng([experiment.seed, query]), 40)
    if options.get("prompt") == "segment":
        prompt = rs.mask(row["object"])
    roi = torch.from_numpy(prompt.tokens(model.grid, picture.size))[None]
    bias, last = None, 4
    if method == "Mask":
        picture = baselines.masked(picture, prompt, model.mean)
    if method.startswith("Crop"):
        picture = crop(picture, prompt)[0]
        roi, h_on = torch.ones_like(roi), model.n_heads - 1
    if method.startswith("FA"):
        bias = foveal.bias(prompt, model.grid, picture.size)
    if method == "Attention mask":
        bias, last = baselines.attention_mask(roi[0]), 1
    state = model.cls_state(model.preprocess(picture)[None], bias, last)
    if "PHS" not in method:
        return model.descriptor(state)[0]
    heads = head_selection.select(state, roi, h_on, options.get("roi", "sum"))
    return head_selection.descriptor(model, state, heads, options.get("strategy", "before+scale"))[0]


CASES = [
    ("CBIR", {}), ("Mask", {}), ("Mask", {"prompt": "segment"}), ("Mask", {"noise": True}), ("Crop", {}), ("Crop", {"noise": True}),
    ("Crop+PHS", {}), ("FA", {}), ("FA", {"noise": True}), ("FA+PHS", {}), ("Attention mask", {}), ("PHS", {}), ("PHS", {"h_on": 2}),
    ("PHS", {"prompt": "segment"}), ("PHS", {"noise": True}), ("PHS", {"roi": "max", "h_on": 3}),
    *[("PHS", {"strategy": s}) for s in head_selection.STRATEGIES],
]  # fmt: skip


@pytest.mark.parametrize(("method", "options"), CASES, ids=lambda c: c if isinstance(c, str) else "-".join(map(str, c.values())))
def test_descriptors_equal_one_query_at_a_time(experiment, method, options):
    vectors, owners, _ = experiment.descriptors(method, **options)
    assert owners.tolist() == list(range(len(experiment)))
    for query in (0, 1, len(experiment) // 2, len(experiment) - 1):
        want = by_hand(experiment, query, method, **options).numpy()
        assert np.allclose(vectors[query], want, atol=2e-5)
    if method != "CBIR":  # no method is plain retrieval in disguise
        plain = experiment.descriptors("CBIR")[0]
        assert (np.abs(vectors - plain).max(1) > 1e-4).mean() > 0.8


def test_all_heads_on_is_plain_retrieval(experiment):
    plain = experiment.descriptors("CBIR")[0]
    for method in ("PHS", "Random heads"):
        assert np.allclose(experiment.descriptors(method, h_on=12)[0], plain, atol=1e-6)


def test_random_heads_are_random_but_fixed(experiment):
    heads = experiment.descriptors("Random heads", h_on=5)[2]
    assert (heads.sum(1) == 5).all() and len(np.unique(heads, axis=0)) > 5
    assert (heads == experiment.descriptors("Random heads", h_on=5)[2]).all()


def test_ranking_and_score_by_brute_force(experiment):
    rs, model = experiment.set, experiment.model
    pictures = torch.stack([model.preprocess(rs.open(i)) for i in rs.database["image_id"]])
    database = model.descriptor(model.cls_state(pictures)).numpy()
    ranking = experiment.ranking("PHS", k=10)
    vectors = experiment.descriptors("PHS")[0]
    assert np.allclose(ranking.scores, np.sort(vectors @ database.T, axis=1)[:, ::-1][:, :10], atol=1e-5)
    by_label = rs.objects.groupby("label")["image_id"].agg(set)
    ids = rs.database["image_id"].to_numpy()
    precision = [np.mean([ids[i] in by_label[label] for i in row]) for row, label in zip(ranking.ids, rs.queries["label"], strict=True)]
    table = rs.queries.assign(precision=precision)
    want = table.groupby(["label", "image_id"])["precision"].mean().groupby("label").mean().mean()
    assert experiment.score("PHS", k=10).mp == pytest.approx(want)


def test_query_db_describes_the_database_with_the_query_s_heads(experiment):
    rs, model = experiment.set, experiment.model
    ranking = experiment.ranking("PHS", k=5, mode="query-db", h_on=3)
    vectors, _, heads = experiment.descriptors("PHS", h_on=3)
    pictures = torch.stack([model.preprocess(rs.open(i)) for i in rs.database["image_id"]])
    state = model.cls_state(pictures)
    for query in (0, 3, len(experiment) - 1):
        on = torch.from_numpy(heads[query])
        database = model.descriptor(state, on * 4.0).numpy()  # h / h_on = 12 / 3
        want = np.sort(database @ vectors[query])[::-1][:5]
        assert np.allclose(ranking.scores[query], want, atol=1e-5)
    ranking = experiment.ranking("PHS", k=5, mode="query-db", h_on=3, strategy="before")
    vectors, _, heads = experiment.descriptors("PHS", h_on=3, strategy="before")
    database = model.descriptor(state, torch.from_numpy(heads[0]).float()).numpy()  # unscaled here too
    assert np.allclose(ranking.scores[0], np.sort(database @ vectors[0])[::-1][:5], atol=1e-5)
    with pytest.raises(InputError, match="query-db"):
        experiment.score("CBIR", mode="query-db")


def test_point_prompts_average_over_window_positions(experiment):
    model, rs, k = experiment.model, experiment.set, 7
    result = experiment.score("PHS", k=k, prompt="point", h_on=4)
    database = experiment.database().read("descriptor")
    wanted = []
    for row in rs.queries.itertuples():
        picture = rs.open(row.image_id)
        positions = points(rs.mask(row.object), model.grid, picture.size)
        state = model.cls_state(model.preprocess(picture)[None])
        right = rs.database["image_id"].isin(rs.objects["image_id"][rs.objects["label"] == row.label]).to_numpy()
        precisions = []
        for x, y in positions.tolist():
            roi = torch.from_numpy(Point(x, y).tokens(model.grid, picture.size))[None]
            vector = head_selection.descriptor(model, state, head_selection.select(state, roi, 4))[0].numpy()
            precisions.append(right[np.argsort(-(database @ vector), kind="stable")[:k]].mean())
        wanted.append(np.mean(precisions))
    assert np.allclose(result.per_query["precision"], wanted, atol=1e-6)
    with pytest.raises(InputError, match="score"):
        experiment.ranking("PHS", prompt="point")


def test_points_by_hand():
    array = np.zeros((8, 8), bool)
    array[0:4, 0:4] = True  # patches of 2 x 2 pixels, centres at 1, 3, 5, 7
    assert points(Mask(array), (4, 4), (8, 8)).tolist() == [[1, 1], [3, 1], [1, 3], [3, 3]]
    array[:] = False
    array[2, 6] = True  # no centre inside: the centroid
    assert points(Mask(array), (4, 4), (8, 8)).tolist() == [[6, 2]]


def test_features_are_kept_and_keyed(experiment, monkeypatch):
    experiment.score("FA", k=5, noise=True)
    monkeypatch.setattr(experiment.model, "cls_state", lambda *a, **k: pytest.fail("the network ran again"))

    def again(**other):
        Experiment(experiment.set, experiment.model, progress=False, **other).score("FA", k=5, noise=True)

    again()
    for other in ({"seed": 9}, {"noise_pixels": 7}):
        with pytest.raises(pytest.fail.Exception):
            again(**other)
    monkeypatch.setattr(extraction, "code_digest", lambda: "another version of the methods")
    with pytest.raises(pytest.fail.Exception):
        again()


def test_a_bounded_number_of_pictures_is_in_memory(experiment, monkeypatch):
    alive, most, lock = [], [0], threading.Lock()

    def counted(make):
        def call(argument):
            made = make(argument)
            with lock:
                alive.append(weakref.ref(made))
                most[0] = max(most[0], sum(reference() is not None for reference in alive))
            return made

        return call

    monkeypatch.setattr(experiment.model, "preprocess", counted(experiment.model.preprocess))
    monkeypatch.setattr(experiment, "_open", counted(experiment.set.open))
    ids = list(experiment.set.database["image_id"]) * 5
    n = sum(len(batch) for batch in experiment._batches(experiment._image, ids))
    assert n == 200 and len(alive) == 400 and most[0] <= 4 * experiment.batch_size


def test_a_picture_is_never_its_own_answer(tmp_path, experiment):
    for name in ("a", "b", "c"):
        size = {"a": (60, 50), "b": (50, 60), "c": (64, 64)}[name]
        experiment.set.open(experiment.set.database["image_id"].iloc[ord(name) - 97]).resize(size).save(tmp_path / f"{name}.png")
    boxes = pd.DataFrame([(f"{n}.png", "thing", 5, 5, 40, 40) for n in "abc"], columns=["image", "label", "x0", "y0", "x1", "y1"])
    boxes.to_csv(tmp_path / "boxes.csv", index=False)
    own = load_set("folder", root=tmp_path, boxes=tmp_path / "boxes.csv")
    mine = Experiment(own, experiment.model, cache=tmp_path / "cache", progress=False)
    for mode in ("query-only", "query-db"):
        ranking = mine.ranking("PHS", k=2, mode=mode)
        for query, found in enumerate(ranking.ids):
            assert own.queries["image_id"][query] not in list(own.database["image_id"].iloc[found])


@pytest.mark.parametrize(
    ("method", "options", "text"),
    [
        ("PSH", {}, "unknown"), ("PHS", {"h_on": 13}, "h_on=13"), ("PHS", {"prompt": "lasso"}, "lasso"), ("PHS", {"roi": "median"}, "median"),
        ("PHS", {"strategy": "sideways"}, "sideways"), ("PHS", {"prompt": "segment", "noise": True}, "noise"),
        ("FA", {"prompt": "segment"}, "FA is defined for box"), ("FA+PHS", {"roi": "max"}, "not for box and max"),
        ("Attention mask", {"prompt": "point"}, "not for point"),
    ],
)  # fmt: skip
def test_wrong_options_are_named(experiment, method, options, text):
    with pytest.raises(InputError, match=text):
        experiment.score(method, k=5, **options)


def test_columns_follow_the_number_of_heads():
    spec = tables.find("phs-1")
    names = [name for name, _, _ in rows.columns(spec, 12)]
    assert names == ["CBIR", "Mask", "Crop", "FA", "Random heads", "PHS", "PHS (query-db)"]
    names = [name for name, _, _ in rows.columns(spec, 3)]
    assert names[4:] == [
        "Random heads (h_on=1)", "Random heads (h_on=2)", "PHS (h_on=1)", "PHS (h_on=2)", "PHS (query-db, h_on=1)", "PHS (query-db, h_on=2)",
    ]  # fmt: skip
    assert [o["h_on"] for _, m, o in rows.columns(tables.find("phs-fig8"), 4) if m == "PHS"] == [1, 2, 3, 4]
    with pytest.raises(InputError, match="five"):
        list(rows.columns(spec, 12, "five"))


def test_rows_of_a_table():
    assert rows.rows_of("phs-4", "paper", "paper") == (["coco"], [*tables.DINOV2, *tables.CLIP])
    assert rows.rows_of("phs-1") == (list(tables.DATASETS.values()), ["mini-vit-small", "mini-vit", "mini-vit-large"])
    assert rows.rows_of("phs-1", "coco", "a, b") == (["coco"], ["a", "b"])
    with pytest.raises(InputError, match="phs-a1"):
        rows.rows_of("phs-a11")
    with pytest.raises(InputError, match="2 models"):
        rows.run("phs-1", "mini-focus", "mini-vit,mini-vit-large", weights="w.safetensors")


def test_published_values_stand_beside_ours_only_where_they_belong():
    ours = pd.DataFrame([
        {"dataset": "coco", "model": "dinov2-large", "method": "PHS", "metric": "MP@100", "ours": 61.0},
        {"dataset": "mini-focus", "model": "mini-vit", "method": "PHS", "metric": "MP@100", "ours": 61.0},
    ]).assign(table="phs-1")  # fmt: skip
    beside = rows._beside_published(ours, "phs-1")
    assert beside["published"].tolist()[0] == 61.3 and np.isnan(beside["published"].tolist()[1])
    assert beside["difference"].tolist()[0] == pytest.approx(-0.3)


def test_every_table_runs_end_to_end(experiment, monkeypatch):
    monkeypatch.setattr(rows, "load_set", lambda name, root, seed: experiment.set)
    monkeypatch.setattr(rows, "load_model", lambda name, weights, device: experiment.model)
    monkeypatch.setattr(rows, "Experiment", lambda *a, **k: experiment)
    for table, spec in tables.TABLES.items():
        made = rows.run(table, dataset="mini-focus", model="mini-vit", k=5)
        assert len(made) and np.isfinite(made["ours"]).all(), table
        if not spec.over:
            assert set(made["method"]) == {c.name for c in spec.columns}
            assert len(made) == len(spec.columns) * len(spec.metrics)
            assert made["ours"].between(0, 100).all()
    assert made["x"].min() == 1


def test_relative_gain_by_hand(experiment):
    made = rows._relative
    few = pd.DataFrame({"label": ["a"] * 20, "image_id": range(20), "precision": [0.5] * 20, "average_precision": 0.0, "n_objects": [1] * 10 + [3] * 10})
    gain = few.assign(precision=[0.6] * 10 + [0.4] * 10)
    result = rows.metrics.average(few, 5), rows.metrics.average(gain, 5)
    found = {(r["x"], r["method"]): r["ours"] for r in made({("CBIR", None): result[0], ("PHS", None): result[1]}, "objects", 5)}
    assert found == {(1, "PHS"): pytest.approx(20), (3, "PHS"): pytest.approx(-20)}
    found = {r["x"]: r["ours"] for r in made({("CBIR", None): result[0], ("PHS", None): result[1]}, "objects or more", 5)}
    assert found == {1: pytest.approx(0, abs=1e-9), 2: pytest.approx(-20), 3: pytest.approx(-20)}


@pytest.mark.parametrize("wrong", [{"seed": -1}, {"batch_size": 0}, {"workers": 0}])
def test_wrong_numbers_are_named(experiment, wrong):
    with pytest.raises(InputError, match=next(iter(wrong))):
        Experiment(experiment.set, experiment.model, **wrong)


def test_a_set_without_queries_is_refused(experiment, tmp_path):
    experiment.set.open(experiment.set.database["image_id"].iloc[0]).save(tmp_path / "a.png")
    with pytest.raises(InputError, match="queries"):
        Experiment(load_set("folder", root=tmp_path), experiment.model)


def test_a_set_without_queries_has_a_database(experiment, tmp_path):
    ids = experiment.set.database["image_id"].iloc[:3]
    for image_id in ids:
        experiment.set.open(image_id).save(tmp_path / f"{image_id}.png")
    folder = load_set("folder", root=tmp_path)
    found = extraction.Extraction(folder, experiment.model, cache=tmp_path / "cache", progress=False).database()
    rows = [f"{image_id}.png" for image_id in ids]
    order = [folder.database["image_id"].tolist().index(row) for row in rows]
    assert np.allclose(found.read("descriptor", order), experiment.database().read("descriptor")[:3], atol=1e-5)
