"""Methods on a ViT, from a picture to a ranking, against a plain derivation one query at a time; batch and mouse are one path."""

import threading
import weakref

import numpy as np
import pandas as pd
import pytest
import torch

from foir_lib import Box, Mask, Point, load_set, registry
from foir_lib.bench.experiment import Experiment
from foir_lib.errors import InputError
from foir_lib.methods import baselines, foveal, head_selection
from foir_lib.methods.noise import noisy
from foir_lib.prompts import crop
from foir_lib.retrievers import parts
from foir_lib.retrievers.prompting import points


def descriptors(experiment, text, **how):
    """Descriptors (M, d) of all prompts, and the heads (M, h) where some are chosen."""
    corpus, retriever = experiment.corpus, registry.parse("retriever", text)
    query = corpus.described(retriever, corpus.queries(**how))
    of = getattr(query, "of", None)
    arrays = [query.read(name) for name in ("descriptor", "on") if name in query.names]
    return [array if of is None else array[of] for array in arrays]


def by_hand(experiment, query, text, kind="box", noise=False):
    """The descriptor of one query, straight from the picture."""
    model, rs, retriever = experiment.model, experiment.set, registry.parse("retriever", text)
    row = rs.queries.iloc[query]
    picture, prompt, name = rs.open(row["image_id"]), row["prompt"], text.partition("(")[0]
    if noise:
        prompt = noisy(prompt, picture.size, np.random.default_rng([0, query]), 9)  # pixels: the mini world's setting
    if kind == "segment":
        prompt = rs.mask(row["object"])
    roi = torch.from_numpy(prompt.tokens(model.grid, picture.size))[None]
    bias, last, h_on = None, 4, getattr(retriever, "h_on", None)
    if name == "Mask":
        picture = baselines.masked(picture, prompt, model.mean)
    if name == "Crop":
        picture, h_on = crop(picture, prompt)[0], model.n_heads - 1 if retriever.denoise else None
        roi = torch.ones_like(roi)
    if name == "FA" or getattr(retriever, "foveal", False):
        bias = foveal.bias(prompt, model.grid, picture.size)
    if name == "AttentionMask":
        bias, last = baselines.attention_mask(roi[0]), 1
    state = model.cls_state(model.preprocess(picture)[None], bias, last)
    if h_on is None:
        return model.descriptor(state)[0]
    on = head_selection.select(state, roi, h_on, getattr(retriever, "roi", "sum"))
    return head_selection.descriptor(model, state, on, getattr(retriever, "strategy", "before+scale"))[0]


CASES = [
    ("CBIR", {}), ("Mask", {}), ("Mask", {"kind": "segment"}), ("Mask", {"noise": True}), ("Crop", {}), ("Crop", {"noise": True}),
    ("Crop(denoise=True)", {}), ("FA", {}), ("FA", {"noise": True}), ("FA", {"kind": "segment"}), ("PHS(foveal=True)", {}),
    ("PHS(foveal=True, strategy='after')", {}), ("AttentionMask", {}), ("AttentionMask", {"kind": "segment"}), ("PHS", {}),
    ("PHS(h_on=2)", {}), ("PHS", {"kind": "segment"}), ("PHS", {"noise": True}), ("PHS(h_on=3, roi='max')", {}),
    *[(f"PHS(strategy={s!r})", {}) for s in head_selection.STRATEGIES],
]  # fmt: skip


@pytest.mark.parametrize(("text", "how"), CASES, ids=lambda c: c if isinstance(c, str) else "-".join(map(str, c.values())))
def test_descriptors_equal_one_query_at_a_time(focus, text, how):
    vectors = descriptors(focus, text, **how)[0]
    assert focus.corpus.queries(**how).rows.tolist() == list(range(len(focus)))
    for query in (0, 1, len(focus) // 2, len(focus) - 1):
        assert np.allclose(vectors[query], by_hand(focus, query, text, **how).numpy(), atol=2e-5)
    if text != "CBIR":  # no method is plain retrieval in disguise
        assert (np.abs(vectors - descriptors(focus, "CBIR")[0]).max(1) > 1e-4).mean() > 0.8


def test_all_heads_on_is_plain_retrieval(focus):
    plain = descriptors(focus, "CBIR")[0]
    for text in ("PHS(h_on=12)", "RandomHeads(h_on=12)"):
        assert np.allclose(descriptors(focus, text)[0], plain, atol=1e-6)


def test_random_heads_are_random_but_fixed(focus):
    on = descriptors(focus, "RandomHeads(h_on=5)")[1]
    assert (on.sum(1) == 5).all() and len(np.unique(on, axis=0)) > 5
    again = Experiment(focus.set, focus.model, cache=focus.corpus.cache, progress=False)
    assert (on == descriptors(again, "RandomHeads(h_on=5)")[1]).all()
    other = Experiment(focus.set, focus.model, seed=1, cache=focus.corpus.cache, progress=False)
    assert (on != descriptors(other, "RandomHeads")[1]).any(), "drawn by the corpus's seed, unless the method has its own"
    assert (on == descriptors(other, "RandomHeads(seed=0)")[1]).all()


def test_ranking_and_score_by_brute_force(focus):
    rs, model = focus.set, focus.model
    pictures = torch.stack([model.preprocess(rs.open(i)) for i in rs.database["image_id"]])
    database = model.descriptor(model.cls_state(pictures)).numpy()
    ranking = focus.ranking("PHS", k=10)
    vectors = descriptors(focus, "PHS")[0]
    assert np.allclose(ranking.scores, np.sort(vectors @ database.T, axis=1)[:, ::-1][:, :10], atol=1e-5)
    by_label = rs.objects.groupby("label")["image_id"].agg(set)
    ids = rs.database["image_id"].to_numpy()
    precision = [np.mean([ids[i] in by_label[label] for i in row]) for row, label in zip(ranking.ids, rs.queries["label"], strict=True)]
    table = rs.queries.assign(precision=precision)
    want = table.groupby(["label", "image_id"])["precision"].mean().groupby("label").mean().mean()
    assert focus.score("PHS", k=10)["contains"].mp == pytest.approx(want)


def test_query_db_describes_the_database_with_the_query_s_heads(focus):
    rs, model = focus.set, focus.model
    pictures = torch.stack([model.preprocess(rs.open(i)) for i in rs.database["image_id"]])
    state = model.cls_state(pictures)
    ranking = focus.ranking("PHS(h_on=3, query_db=True)", k=5)
    vectors, on = descriptors(focus, "PHS(h_on=3)")
    for query in (0, 3, len(focus) - 1):
        database = model.descriptor(state, torch.from_numpy(on[query]) * 4.0).numpy()  # h / h_on = 12 / 3
        assert np.allclose(ranking.scores[query], np.sort(database @ vectors[query])[::-1][:5], atol=1e-5)
    ranking = focus.ranking("PHS(h_on=3, strategy='before', query_db=True)", k=5)
    vectors, on = descriptors(focus, "PHS(h_on=3, strategy='before')")
    database = model.descriptor(state, torch.from_numpy(on[0]).float()).numpy()  # unscaled here too
    assert np.allclose(ranking.scores[0], np.sort(database @ vectors[0])[::-1][:5], atol=1e-5)


def test_point_prompts_average_over_window_positions(focus):
    model, rs, k = focus.model, focus.set, 7
    result = focus.score("PHS(h_on=4)", k=k, kind="point")["contains"]
    database = focus.corpus.described(registry.parse("retriever", "CBIR"), focus.corpus.database).read("descriptor")
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
    ranking = focus.ranking("PHS(h_on=4)", k=k, kind="point")
    assert len(ranking) == len(focus.corpus.queries("point")) > len(focus), "one for each click"
    assert ranking.query_rows.tolist() == focus.corpus.queries("point").rows.tolist()


def test_points_by_hand():
    array = np.zeros((8, 8), bool)
    array[0:4, 0:4] = True  # patches of 2 x 2 pixels, centres at 1, 3, 5, 7
    assert points(Mask(array), (4, 4), (8, 8)).tolist() == [[1, 1], [3, 1], [1, 3], [3, 3]]
    array[:] = False
    array[2, 6] = True  # no centre inside: the centroid
    assert points(Mask(array), (4, 4), (8, 8)).tolist() == [[6, 2]]


def test_features_are_stored_and_keyed(focus, monkeypatch):
    focus.score("FA", k=5, noise=True)
    monkeypatch.setattr(focus.model, "tokens", lambda *a, **k: pytest.fail("the network ran again"))

    def again(**other):
        Experiment(focus.set, focus.model, cache=focus.corpus.cache, progress=False, **other).score("FA", k=5, noise=True)

    again()
    for other in ({"seed": 9}, {"noise_pixels": 7}):
        with pytest.raises(pytest.fail.Exception):
            again(**other)
    monkeypatch.setattr(parts.keys, "code_of", lambda *_, **__: "another version of the methods")
    with pytest.raises(pytest.fail.Exception):
        again()


def test_a_bounded_number_of_pictures_is_in_memory(focus, monkeypatch):
    alive, most, lock = [], [0], threading.Lock()

    def counted(make):
        def call(argument):
            made = make(argument)
            with lock:
                alive.append(weakref.ref(made))
                most[0] = max(most[0], sum(reference() is not None for reference in alive))
            return made

        return call

    monkeypatch.setattr(focus.model, "preprocess", counted(focus.model.preprocess))
    database, ids = focus.corpus.database, focus.set.database["image_id"]
    monkeypatch.setattr(database, "open", counted(lambda row: focus.set.open(ids[row])))
    n = sum(len(batch) for batch in database.tensors(list(range(len(ids))) * 5))
    assert n == 200 and len(alive) == 400 and most[0] <= 4 * focus.corpus.batch_size


def test_a_picture_is_never_its_own_result(tmp_path, focus):
    for name in ("a", "b", "c"):
        size = {"a": (60, 50), "b": (50, 60), "c": (64, 64)}[name]
        focus.set.open(focus.set.database["image_id"].iloc[ord(name) - 97]).resize(size).save(tmp_path / f"{name}.png")
    boxes = pd.DataFrame([(f"{n}.png", "thing", 5, 5, 40, 40) for n in "abc"], columns=["image", "label", "x0", "y0", "x1", "y1"])
    boxes.to_csv(tmp_path / "boxes.csv", index=False)
    own = load_set("folder", root=tmp_path, boxes=tmp_path / "boxes.csv")
    mine = Experiment(own, focus.model, cache=tmp_path / "cache", progress=False)
    for text in ("PHS", "PHS(query_db=True)"):
        ranking = mine.ranking(text, k=2)
        for query, ids in enumerate(ranking.ids):
            assert own.queries["image_id"][query] not in list(own.database["image_id"].iloc[ids])


@pytest.mark.parametrize(
    ("text", "how", "words"),
    [
        ("PSH", {}, "There is no retriever 'PSH': did you mean PHS"), ("PHS(h_on=13)", {}, "mini-vit has 12 heads, fewer than h_on=13"),
        ("PHS", {"kind": "lasso"}, "'lasso' is unknown"), ("PHS(roi='median')", {}, "roi='median' is unknown to PHS: choose one of sum, max"),
        ("PHS(strategy='sideways')", {}, "sideways"), ("PHS", {"kind": "segment", "noise": True}, "noise is defined for boxes"),
        ("PHS(foveal=True, roi='max')", {}, r"PHS\(roi='max', foveal=True\) isn't defined: under foveal attention roi is 'sum'"),
        ("PHS(foveal=True, strategy='identity')", {}, "another than 'identity'"), ("GeM", {}, "no feature maps: name a CNN"),
    ],
)  # fmt: skip
def test_wrong_options_are_named(focus, text, how, words):
    with pytest.raises(InputError, match=words):
        focus.score(text, k=5, **how)


# ---- one picture under the mouse


@pytest.mark.parametrize(
    "text", ["CBIR", "Mask", "Crop", "FA", "PHS(h_on=1)", "PHS", "PHS(foveal=True)", "PHS(query_db=True)", "PHS(h_on=3, roi='max', strategy='after')"]
)
def test_the_mouse_ranks_as_the_batch_does(focus, text):
    corpus, retriever, queries = focus.corpus, registry.parse("retriever", text), focus.set.queries
    ranking, database = focus.ranking(text, k=40), corpus.described(retriever, corpus.database)
    for query in range(0, len(queries), 3):
        live = retriever.describe(corpus.live(focus.set.open(queries["image_id"][query]), [queries["prompt"][query]]))
        scores, ids = retriever.score(corpus, live, database, 40)
        np.testing.assert_allclose(scores[0], ranking.scores[query], atol=2e-6)
        vector = live.read("descriptor")[0]
        if "query_db" not in text:  # near ties may change places: what stands at a rank has the score of that rank
            np.testing.assert_allclose(database.read("descriptor")[ids[0]] @ vector, scores[0], atol=2e-6)
        assert sorted(ids[0]) == list(range(40))
        if "on" in live.names:
            assert (live.read("on")[0] == descriptors(focus, text)[1][query]).all()


@pytest.mark.parametrize(
    ("text", "prompt", "words"),
    [
        ("PHS", None, "There is no prompt: click"), ("FA", Box(500, 500, 900, 900), "lies outside the .* picture: draw it"),
        ("Mask", Mask(np.ones((10, 10))), "Mask is 10 x 10 pixels"),
    ],
)  # fmt: skip
def test_what_cannot_be_asked_is_said(focus, text, prompt, words):
    live = focus.corpus.live(focus.set.open(focus.set.queries["image_id"][0]), [prompt])
    with pytest.raises(InputError, match=words):
        registry.parse("retriever", text).describe(live)
    assert len(registry.parse("retriever", "CBIR").describe(live)) == 1, "the whole picture asks without a prompt"


def test_a_map_shows_where_the_heads_of_a_prompt_look(focus):
    corpus, model, rows = focus.corpus, focus.model, [3, 7]
    part = corpus.queries()
    maps = {text: registry.parse("retriever", text).explain(corpus, part, 2, rows) for text in ("CBIR", "PHS(h_on=2)", "FA")}
    on = descriptors(focus, "PHS(h_on=2)")[1][2]
    for at, row in enumerate(rows):
        attention = model.cls_state(model.preprocess(corpus.database.open(row))[None]).attention[0].numpy()
        np.testing.assert_allclose(maps["CBIR"][at], attention.mean(0).reshape(model.grid), rtol=1e-4)
        np.testing.assert_allclose(maps["PHS(h_on=2)"][at], attention[on].mean(0).reshape(model.grid), rtol=1e-4)
        np.testing.assert_allclose(maps["FA"][at], maps["CBIR"][at], rtol=1e-4)
