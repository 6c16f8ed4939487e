"""What holds of everything that is registered: retrievers, re-rankings, sets. A new one is tested by being registered."""

import inspect
import re
from dataclasses import fields, replace
from types import SimpleNamespace
from typing import Literal, get_origin

import numpy as np
import pytest
from tiny import N, world

from foir_lib import load_set, registry
from foir_lib.bench.experiment import Experiment
from foir_lib.errors import FoirError, InputError
from foir_lib.retrievers.guests import Guest
from foir_lib.search.rerank.lists import checked

RETRIEVERS, RERANKERS = registry.names("retriever"), registry.names("reranker")
OTHER = {  # of each option a value that isn't its default
    "h_on": 2, "roi": "max", "strategy": "identity", "foveal": True, "query_db": True, "v": 2.0, "sigma": 1.0, "last": 1,
    "denoise": True, "seed": 4, "n_scales": 1, "n_features": 4, "dim": 3, "n_clusters": 2, "clustering": "spectral",
    "bandwidth": 1e-4, "ivf": True, "temperature": 3.0, "normalised": False, "how": "mean", "local": "mean", "image": "max",
    "n_maps": 1, "scales": 3, "context": False, "n": 2, "alpha": 1.0, "least": 44, "objects": "boxes", "masks": "boxes", "steps": 3,
    "lr": 0.5, "optimizer": "sgd", "renorm": True, "stop": 9.0, "map_of": "descriptor", "refine_query": True, "lengths": "unit", "objective": "full-image", "levels": 2,
    "hops": 1, "trials": 10, "pixels": 2.0, "start": "query", "top": 5, "unsure": 0.1, "inliers": 4, "walked": 3, "window": 9.0, "grow": 4.0,
    "cells": 5, "share": 0.9, "features": 3, "of": "SelfSupport",
}  # fmt: skip
TOGETHER = {  # options that count beside others only
    "stop": {"steps": 13}, "bandwidth": {"clustering": "mean-shift"}, "OneToMany temperature": {"how": "softmax"}, "ManyToMany temperature": {"image": "softmax"},
}  # fmt: skip
BY_KEYPOINTS = ("SP", "Hypergraph", "Community", "Topological")
ORDER = np.random.default_rng(1).permutation(N).tolist()
FIRST = {"GeM": "cnn", "CA(n_clusters=3)": "cnn", "PHS(h_on=2)": "vit"}  # what is re-ranked
PAIRS = [(name, first) for name in RERANKERS for first in FIRST if (name, first) != ("SuperGlobal", "CA(n_clusters=3)") and (name != "Localised" or FIRST[first] == "vit")]


def options(names, kind):
    """(name, field) of every option."""
    return [(name, field) for name in names for field in fields(registry.lookup(kind, name)) if field.name != "path"]


def asked(tiny, name, order=range(N)):
    """The retriever of that name with its default options, but few steps."""
    retriever = Guest(tiny.guest(order)) if name == "Guest" else registry.parse("retriever", name)
    return replace(retriever, steps=2) if hasattr(retriever, "steps") else retriever


def model_for(tiny, retriever):
    """A network that serves it."""
    (model, *_) = [model for model in ("vit", "cnn") if not tiny.experiment(model).lacks(retriever)]
    return model


def dense(experiment, retriever, order=range(N), **more):
    """Scores (M, N) of each prompt and picture, in the pictures' own order, NaN where a picture asks itself."""
    ranking = experiment.ranking(retriever, **more)
    assert ranking.ids.shape == ranking.scores.shape == (len(experiment), N - 1), "all but the query's own picture"
    scores = np.full((len(experiment), N), np.nan)
    np.put_along_axis(scores, np.asarray(order)[ranking.ids], ranking.scores, 1)
    return scores


def sentence(text):
    return re.fullmatch(r"[^\n]+\.", str(text)) is not None


# ---- retrievers


@pytest.mark.parametrize("name", RETRIEVERS)
def test_the_same_again_and_in_any_order_of_the_database(tiny, name):
    retriever = asked(tiny, name)
    model = model_for(tiny, retriever)
    first = dense(tiny.experiment(model), retriever)
    np.testing.assert_array_equal(dense(tiny.experiment(model, copy=1), retriever), first)
    other = dense(tiny.experiment(model, ORDER), asked(tiny, name, ORDER), ORDER)
    np.testing.assert_allclose(other, first, atol=2e-5)
    assert np.nanstd(first) > 1e-6, "it tells pictures apart"


@pytest.mark.parametrize("name", RETRIEVERS)
def test_scores_and_ids_of_every_query_best_first(tiny, name):
    retriever = asked(tiny, name)
    corpus = tiny.experiment(model_for(tiny, retriever)).corpus
    query, database = (corpus.described(retriever, part) for part in (corpus.queries(), corpus.database))
    assert len(database) == N and len(query) == N + 1
    for k in (1, 4, N):
        scores, ids = checked(*retriever.score(corpus, query, database, k), N)
        assert scores.shape == ids.shape == (N + 1, k) and scores.dtype == np.float32
        assert (np.diff(scores, axis=1) <= 0).all() and all(len(set(row)) == k for row in ids.tolist())


@pytest.mark.parametrize("name", [name for name in RETRIEVERS if name != "Guest"])
def test_one_picture_under_the_mouse_is_described_as_in_the_batch(tiny, name):
    retriever = asked(tiny, name)
    experiment = tiny.experiment(model_for(tiny, retriever))
    corpus, queries = experiment.corpus, experiment.set.queries
    batch, database = (corpus.described(retriever, part) for part in (corpus.queries(), corpus.database))
    scores, _ = retriever.score(corpus, batch, database, N)
    for row in (0,) if name == "RandomHeads" else (0, 1, N):  # heads are drawn by the query's row
        live = corpus.live(experiment.set.open(queries["image_id"][row]), [queries["prompt"][row]])
        one = corpus.described(retriever, live)
        assert len(one) == 1 and set(one.names) <= set(batch.names) and {retriever.vector, "clusters", "descriptor"} & set(one.names)
        for array in one.names:
            np.testing.assert_allclose(one.read(array)[0], batch.read(array)[row], atol=1e-5, err_msg=array)
        np.testing.assert_allclose(retriever.score(corpus, one, database, N)[0][0], scores[row], atol=1e-5)


def test_a_guest_knows_its_own_queries_alone(tiny):
    experiment, guest = tiny.experiment("vit"), Guest(tiny.guest())
    picture = experiment.set.open("p0")
    for part in (experiment.corpus.live(picture, [experiment.set.queries["prompt"][0]]), experiment.corpus.training):
        with pytest.raises(InputError, match="knows the queries of tiny by their prompts, and no others"):
            guest.describe(part)


@pytest.mark.parametrize(("name", "field"), options(RETRIEVERS, "retriever"), ids=lambda v: getattr(v, "name", v))
def test_an_option_is_printed_read_again_and_changes_the_result(tiny, name, field):
    before = TOGETHER.get(f"{name} {field.name}", TOGETHER.get(field.name, {}))
    plain = replace(asked(tiny, name), **before)
    other = replace(plain, **{field.name: OTHER[field.name]})
    assert f"{field.name}={OTHER[field.name]!r}" in str(other) and registry.parse("retriever", str(other)) == other != plain
    model = model_for(tiny, other)
    experiment = tiny.experiment(model)
    first, changed = dense(experiment, plain), dense(experiment, str(other))
    np.testing.assert_allclose(changed, dense(tiny.experiment(model, copy=1), other), atol=1e-6, err_msg="made of what was there")
    assert not np.allclose(np.nan_to_num(changed), np.nan_to_num(first), atol=1e-6)


def bad_values(field):
    """Values that an option can't have, by its annotation."""
    kind = field.type
    if get_origin(kind) is Literal:
        return ["nonsense", 2, True, None]
    if kind is bool:
        return [1, "yes", None]
    if kind is float:
        return [-0.5, np.nan, np.inf, "1", True, None] + [0] * (field.name in ("sigma", "bandwidth"))
    return [-1, 1.5, "3", True] + [0] * (field.name != "seed") + [None] * (kind is int)


@pytest.mark.parametrize(("kind", "name", "field"), [
    *(("retriever", *option) for option in options(RETRIEVERS, "retriever")), *(("reranker", *o) for o in options(RERANKERS, "reranker")),
], ids=lambda v: getattr(v, "name", v))  # fmt: skip
def test_a_wrong_option_is_refused_when_it_is_given(kind, name, field):
    for value in bad_values(field):
        with pytest.raises(InputError, match=f"{field.name}=") as caught:
            registry.lookup(kind, name)(**{field.name: value})
        assert sentence(caught.value) and repr(value) in str(caught.value)
    with pytest.raises(InputError, match=f"{re.escape(name)} has no option 'heat': it takes .*{field.name}"):
        registry.parse(kind, f"{name}(heat=1)")


@pytest.mark.parametrize("name", RETRIEVERS)
def test_what_it_lacks_is_said_in_a_sentence(tiny, name, tmp_path):
    retriever = asked(tiny, name)
    blind = SimpleNamespace(name="blind", device="cpu", key="blind")
    bare = Experiment(world(tiny.paths), blind, cache=tmp_path, progress=False)
    if name == "Guest":  # needs no network
        assert bare.lacks(retriever) == ""
        return
    assert bare.lacks(retriever).startswith("blind ")
    with pytest.raises(InputError) as caught:
        bare.ranking(retriever)
    assert sentence(caught.value) and f"{retriever} can't be asked on tiny: {bare.lacks(retriever)}." == str(caught.value)


# ---- how often a network looks


@pytest.fixture
def counted(tiny, monkeypatch, request):
    """``counted(model)``: an experiment of the test's own, and a function that tells how many pictures its network was shown since last asked."""

    def start(model):
        experiment, seen = tiny.experiment(model, copy=request.node.name), []
        tap = "tokens" if model == "vit" else "maps"
        real = getattr(experiment.model, tap)

        def tapped(x, *rest):
            seen.append(len(x))  # of several threads
            return real(x, *rest)

        monkeypatch.setattr(experiment.model, tap, tapped)
        return experiment, lambda: sum(seen.pop() for _ in range(len(seen)))

    return start


def test_a_picture_that_asks_and_answers_is_shown_to_a_vit_once(counted):
    experiment, shown = counted("vit")
    for retriever, n in (
        ("CBIR", N), ("PHS", 0), ("PHS(h_on=2, roi='max', strategy='identity')", 0), ("PHS(query_db=True)", 0), ("RandomHeads", 0),
        ("FA", N), ("PHS(foveal=True)", 0), ("AttentionMask", N),  # the trunk once for both prompts on the first picture
        ("Mask", N + 1), ("Crop", N + 1), ("Crop(denoise=True)", 0),  # another picture for each prompt
    ):  # fmt: skip
        experiment.ranking(retriever)
        assert shown() == n, retriever
    for kind in ("segment", "point"):
        experiment.ranking("PHS", kind=kind)
    experiment.ranking("CBIR", whole=True)
    assert shown() == 0
    again = Experiment(experiment.set, experiment.model, cache=experiment.corpus.cache, progress=False)
    again.ranking("FA")
    assert shown() == 0, "features are stored"


def test_a_picture_is_shown_to_a_cnn_once_at_each_scale(counted):
    experiment, shown = counted("cnn")
    both, training = N + N + 1, 12  # pictures, and a crop for each prompt
    for retriever, n in (
        ("SPoC", both + training), ("MAC", 0), ("GeM(n_scales=1)", 0), ("GeM", 4 * both), ("CA", 4 * training), ("CA(n_clusters=2)", 0),
        ("CA(n_features=5, temperature=2.0)", 0), ("NaiveCA", 0), ("NormAttention", 0), ("ManyToMany", 0), ("R-MAC", both + training), ("R-MAC(scales=3)", 0),
    ):  # fmt: skip
        experiment.ranking(retriever)
        assert shown() == n, retriever
    experiment.ranking("GeM", whole=True)
    experiment.ranking("CA", whole=True)
    assert shown() == 0


def test_one_picture_under_the_mouse_is_shown_once_however_many_prompts(counted):
    experiment, shown = counted("vit")
    corpus, picture = experiment.corpus, experiment.set.open("p0")
    for prompt in experiment.set.queries["prompt"][:2]:
        for name in ("CBIR", "FA", "PHS", "PHS(foveal=True)", "PHS(h_on=1)", "AttentionMask"):
            registry.parse("retriever", name).describe(corpus.live(picture, [prompt]))
    assert shown() == 1


# ---- re-rankings


@pytest.mark.parametrize(("name", "first"), PAIRS)
def test_a_reranking_is_the_same_again_and_in_any_order_of_the_database(tiny, name, first):
    model = FIRST[first]
    new = dense(tiny.experiment(model), first, rerank=name)
    np.testing.assert_array_equal(dense(tiny.experiment(model, copy=1), first, rerank=name), new)
    np.testing.assert_allclose(dense(tiny.experiment(model, ORDER), first, ORDER, rerank=name), new, rtol=1e-3, atol=2e-5)
    assert not np.allclose(np.nan_to_num(new), np.nan_to_num(dense(tiny.experiment(model), first)), atol=1e-6)


@pytest.mark.parametrize(("name", "first"), PAIRS)
def test_a_reranking_keeps_every_picture_and_is_the_same_under_the_mouse(tiny, name, first):
    experiment, reranker = tiny.experiment(FIRST[first]), registry.parse("reranker", name)
    retriever, corpus, queries = registry.parse("retriever", first), experiment.corpus, experiment.set.queries
    database = corpus.described(retriever, corpus.database)
    live = corpus.live(experiment.set.open(queries["image_id"][3]), [queries["prompt"][3]])
    results = []
    for part in (corpus.queries(), live):
        query = corpus.described(retriever, part)
        scores, ids = reranker.rerank(corpus, retriever, part, query, database, *retriever.score(corpus, query, database, N))
        assert scores.shape == ids.shape == (len(query), N) and (np.diff(scores, axis=1) <= 0).all()
        assert (np.sort(ids, 1) == np.arange(N)).all()
        results.append(scores)
    np.testing.assert_allclose(results[1][0], results[0][3], rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize(("name", "field"), options(RERANKERS, "reranker"), ids=lambda v: getattr(v, "name", v))
def test_an_option_of_a_reranking_changes_its_result(tiny, name, field):
    other = registry.parse("reranker", f"{name}({field.name}={OTHER[field.name]!r})")
    assert registry.parse("reranker", str(other)) == other != registry.parse("reranker", name)
    model, first = ("vit", "CBIR") if name == "Localised" else ("cnn", "GeM")
    if name not in BY_KEYPOINTS:  # these pictures have few: see test_consistency.py
        after = [tiny.experiment(model).ranking(first, rerank=one).scores for one in (other, name)]
        assert not np.array_equal(*after)


def test_what_a_reranking_needs_is_said(tiny):
    experiment = tiny.experiment("cnn")
    for name in (name for name in RERANKERS if name != "Localised"):  # which needs a ViT and no descriptors
        missing = experiment.lacks("NaiveCA", name)
        assert (missing == "") == (name in ("SP", "Topological"))
        if missing:
            with pytest.raises(InputError, match=f"NaiveCA can't be asked on tiny: {name} isn't defined after NaiveCA"):
                experiment.ranking("NaiveCA", rerank=name)
    assert "SuperGlobal isn't defined after CA" in experiment.lacks("CA", "SuperGlobal") and not experiment.lacks("CA", "DF")


# ---- sets


@pytest.mark.parametrize("name", registry.names("set"))
def test_a_set_says_what_it_needs(name, tmp_path, monkeypatch):
    monkeypatch.setenv("FOIR_DATA", str(tmp_path / "nowhere"))
    with pytest.raises(InputError, match=f"There is no {name} option 'heat'") as caught:
        load_set(name, heat=1)
    assert sentence(caught.value)
    if "root" not in inspect.signature(registry.lookup("set", name)).parameters:
        with pytest.raises(InputError, match="is made from a seed and has no root"):
            load_set(name, root=tmp_path)
        return
    with pytest.raises(InputError, match=f"{name} needs a root"):
        load_set(name)
    with pytest.raises(FoirError) as caught:  # an empty folder
        load_set(name, root=tmp_path)
    assert sentence(caught.value)
