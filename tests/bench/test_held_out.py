"""What the methods must do in worlds that took no part in their making: in whole towns (claims), and in small ones."""

import numpy as np
import pytest
import torch

from foir_lib import load_model, load_set, registry
from foir_lib.bench.experiment import Experiment
from foir_lib.bench.memory import checks, curves, growth, reflection
from foir_lib.bench.memory.views import Views
from foir_lib.bench.metrics.intervals import against_first, interval
from foir_lib.memory.gate import Agreement
from foir_lib.memory.reflection import Reflector
from foir_lib.retrievers.corpus import Corpus
from foir_lib.retrievers.regions import attentions
from foir_lib.retrievers.rerankers import AlphaQE, replaced

pytestmark = pytest.mark.slow
SMALL = {"n_landmarks": 8, "n_queries": 24, "n_database": 120}
in_towns = pytest.mark.parametrize("size", [SMALL, pytest.param({}, marks=pytest.mark.claims)], ids=["small", "whole"])


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("FOIR_CACHE", str(tmp_path))


def town(seed, size):
    """An experiment on a town; PCA and codebook of a small one are learned from few pictures."""
    model, few = load_model("mini-cnn", device="cpu"), 60 if size else 0
    town = load_set("mini-landmarks", seed=seed, **size)
    return Experiment(town, model, attention=attentions("", model), n_training=few, progress=False)


def gain(experiment, method, over):
    """Points of each protocol's metric that a method has more than another one: {protocol: points}."""
    ours, theirs = experiment.score(method), experiment.score(over)
    return {name: round(100 * (ours[name].map - theirs[name].map), 2) for name in ours}


@pytest.mark.parametrize("seed", [11, *(pytest.param(seed, marks=pytest.mark.claims) for seed in (12, 13))])
def test_head_selection_is_ahead_in_new_scenes_and_random_heads_are_not(seed, record_property):
    experiment = Experiment(load_set("mini-focus", seed=seed), load_model("mini-vit", device="cpu"), progress=False)
    cbir, phs, random = (100 * experiment.score(m)["contains"].mp for m in ("CBIR", "PHS", "RandomHeads"))
    record_property("MP@100", f"CBIR {cbir:.1f}, PHS {phs:.1f}, random heads {random:.1f}")
    assert phs >= cbir + 3 and random <= cbir and 35 <= cbir <= 65


@in_towns
def test_co_attention_is_ahead_of_gem(size, record_property):
    change = gain(town(11, size), "CA", over="GeM")
    record_property("points of mAP over GeM", change)
    assert change["hard"] >= (1 if size else 10) and change["medium"] >= (1 if size else 8), change


class Right(AlphaQE):
    """Query expansion by those of the first answers that the protocol medium calls right."""

    def rerank(self, corpus, retriever, part, query, database, scores, ids):
        first, rules = ids[:, : self.n], corpus.set.protocols["medium"]
        right = np.stack([np.isin(one, rules.positives(int(row))) for one, row in zip(first, part.rows, strict=True)])
        vectors = torch.as_tensor(retriever.neighbours(query, database, first, corpus)) * torch.from_numpy(right)[..., None]
        vectors = self.expanded(query.read(retriever.vector), vectors).cpu().numpy()
        return retriever.score(corpus, replaced(query, **{retriever.vector: vectors}), database, ids.shape[1])


@in_towns
def test_wrong_answers_among_the_first_ten_turn_an_expanded_query_away(size, record_property):
    """By the right ones alone expansion gains, by all ten it doesn't: what docs/benchmarks.md says of the whole town of seed 0."""
    experiment = town(0, size)
    shown = {name: experiment.score("GeM", rerank=one) for name, one in {"GeM": None, "all": AlphaQE(), "right": Right()}.items()}
    first = experiment.set.protocols["medium"].relevance(experiment.ranking("GeM", k=10).ids)
    told = {level: {name: (round(100 * shown[name][level].map - 100 * shown["GeM"][level].map, 1), *(round(100 * end, 1) for end in bounds))
                    for name, bounds in against_first({name: of[level] for name, of in shown.items()}, f"mAP {level}").items()} for level in ("medium", "hard")}  # fmt: skip
    record_property("points over GeM, interval", told)
    record_property("right among the first ten", f"{100 * first.mean():.0f} %")
    assert all(told[level]["right"][0] > told[level]["all"][0] for level in told), told
    assert size or all(told[level]["right"][1] > 0 > told[level]["all"][2] for level in told), told


@in_towns
def test_the_inverted_file_spares_a_part_and_leaves_map_as_it_is(size, record_property):
    """Co-attention section 7.12 and Table 14, with the mini world's own numbers."""
    experiment = town(12, size)
    change, ca = gain(experiment, "CA(ivf=True)", over="CA"), registry.parse("retriever", "CA(ivf=True)")
    corpus = experiment.corpus
    parts = (corpus.described(ca, part) for part in (corpus.queries(), corpus.database))
    share = ca.filtered(corpus, *parts)
    record_property("spared", f"{100 * share:.1f} %, change of mAP {change}")
    assert max(abs(change[level]) for level in ("medium", "hard")) <= (2 if size else 0.1) and share > (0.05 if size else 0.1), (change, share)


@in_towns
def test_regional_attention_is_ahead_of_r_mac(size, record_property):
    """By little: weights that know every landmark's mask gain less than a point on medium, and nothing on hard."""
    experiment = town(13, size)
    for method in ("RA", "RA(context=False)"):
        change = gain(experiment, method, over="R-MAC")
        record_property(f"points of mAP of {method} over R-MAC", change)
        assert sum(change.values()) > 0 and (size or change["medium"] > 0), change


@pytest.mark.parametrize(("seed", "size"), [(13, SMALL), *(pytest.param(seed, {}, marks=pytest.mark.claims) for seed in (11, 12, 13))])
def test_consistency_in_space_and_topology_is_ahead_of_its_own_first_list(seed, size, record_property):
    """On Hard, over lists of one descriptor; options were chosen in the town of seed 0."""
    experiment = town(seed, size)
    reranks = (None, "Topological(least=8)", "Hypergraph", "Hypergraph(start='query')", "Community(start='query')", "SP(least=12)")
    scores = {str(rerank): experiment.score("GeM", rerank=rerank)["hard"] for rerank in reranks}
    intervals = against_first(scores, "mAP hard")
    for rerank, (low, high) in intervals.items():
        change = 100 * (scores[rerank].map - scores["None"].map)
        record_property(f"{rerank} over GeM", f"{change:+.1f} [{100 * low:+.1f}, {100 * high:+.1f}]")
    assert scores["Topological(least=8)"].map > scores["None"].map
    assert size or intervals["Topological(least=8)"].low > 0, intervals


@pytest.mark.parametrize(
    ("seed", "size"),
    [(11, {"n_things": 36, "n_queries": 36, "n_database": 24}), *(pytest.param(seed, {}, marks=pytest.mark.claims) for seed in (11, 12, 13))],
)
def test_one_descriptor_of_detected_objects_is_ahead_of_a_global_one(seed, size, record_property):
    """Detected boxes, their masks, the fine-tuned network. The refinement is no gain over its start, the mean of crops: masks hardly help it
    (lesson 32), and with a second term of unit lengths it leaves all that queries are compared with."""
    experiment = Experiment(load_set("mini-needles", seed=seed, **size), load_model("mini-vit-needles", device="cpu"), progress=False)
    methods = ("MeanCrops", "CBIR", "MaO", "MaO(lengths='unit')", "MaxCrops", "MeanCrops(objects='boxes')", "MaO(objects='boxes')")
    scores = {method: experiment.score(method)["instances"] for method in methods}
    gains = {method: 100 * (score.map - scores["MeanCrops"].map) for method, score in scores.items()}
    for method, (low, high) in against_first(scores, "mAP").items():
        record_property(f"{method} over MeanCrops", f"{gains[method]:+.1f} [{100 * low:+.1f}, {100 * high:+.1f}]")
    refined = gains["MaO"] - gains["CBIR"]
    record_property("mAP", ", ".join(f"{method} {100 * score.map:.1f}" for method, score in scores.items()))
    assert refined >= (5 if size else 10), gains
    assert abs(gains["MaO"]) <= (5 if size else 2) and gains["MaO(lengths='unit')"] <= -3, gains


remembered = pytest.mark.parametrize(
    ("seed", "size"),
    [(11, {"n_things": 24, "n_queries": 24, "n_database": 40}), *(pytest.param(seed, {}, marks=pytest.mark.claims) for seed in (11, 12, 13))],
)


def views(seed, size):
    """The things of drawn shelves as views, and what encodes them."""
    shelves = load_set("mini-needles", seed=seed, **size)
    return Views.of(Corpus(shelves, load_model("mini-vit", device="cpu"), progress=False)), registry.parse("retriever", "Crop")


@remembered
def test_a_memory_errs_half_as_often_after_five_views_as_after_one(seed, size, record_property):
    """Among things of which no look-alikes are remembered; among look-alikes it learns too, but less (recorded)."""
    things, retriever = views(seed, size)
    vectors = things.vectors(retriever)
    for alike, name in ((True, "look-alikes too"), (False, "one of a family")):
        scores = curves.after_views(things, vectors, alike)
        bounds, (first, last) = against_first(scores, curves.ACCURACY)["after 5 views"], curves.halved(scores)
        errors = f"error after 1 view {100 * first:.1f}, after 5 {100 * last:.1f}"
        record_property(name, f"{errors}, less by {100 * (first - last):.1f} [{100 * bounds.low:+.1f}, {100 * bounds.high:+.1f}]")
    shares = curves.novelty(things, vectors)
    words = {name: f"{100 * one.metrics[curves.KNOWN]:.1f} {interval(one, curves.KNOWN)}" for name, one in shares.items()}
    record_property("called known", ", ".join(f"{name} {text}" for name, text in words.items()))
    assert last < first, scores
    assert size or (last <= first / 2 and bounds.low > 0), (first, last, bounds)
    assert size or shares["left out"].metrics[curves.KNOWN] <= 0.05, words


@remembered
def test_checks_put_first_answers_right_and_spoil_none(seed, size, record_property):
    """Among look-alikes, at margins that the memory learned of itself; the check in space gains for sure, no check loses."""
    things, retriever = views(seed, size)
    scores = checks.corrected(things, retriever)
    first = scores["first answers"].metrics[checks.ACCURACY]
    bounds = against_first(scores, checks.ACCURACY)
    for name, (low, high) in bounds.items():
        gain = scores[name].metrics[checks.ACCURACY] - first
        record_property(name, f"{100 * gain:+.1f} [{100 * low:+.1f}, {100 * high:+.1f}]")
        assert high >= 0, (name, bounds)
    record_property("first answers", f"{100 * first:.1f}")
    assert size or bounds["spatial check"].low > 0, bounds


@remembered
def test_growth_goes_on_where_strangers_pass_by_and_ends_where_look_alikes_do(seed, size, record_property):
    """The rule was chosen on seeds 0 and 5. A small world has too few things for a sure verdict: what it takes in is right there."""
    shelves = load_set("mini-needles", seed=seed, **size)
    things = Views.of(Corpus(shelves, load_model("mini-vit-needles", device="cpu"), progress=False))
    vectors, agreement = things.vectors(registry.parse("retriever", "Crop")), Agreement(things.crop)
    good, bad = (growth.growth(things, vectors, passes, agreement, seed=seed) for passes in (growth.STRANGERS, growth.LOOKALIKES))
    for name, grown in ((growth.STRANGERS, good), (growth.LOOKALIKES, bad)):
        last = grown.table.iloc[-1]
        words = f"{last['machine']} machine views of {last['seen']} seen, {100 * last['wrong']:.1f} % wrong"
        if several := [one for one in grown.wrong if len(grown.wrong[one].per_query["unit"].unique()) > 1]:
            words += f" {interval(grown.wrong[several[-1]], growth.WRONG)}"
        words += f", agreement {last['agreement']:.2f} [{last['agreement low']:.2f}, {last['agreement high']:.2f}]"
        record_property(name, words + (", stopped and taken back" if last["stopped"] else ""))
    assert not good.table["stopped"].any() and not good.table["wrong"].max() > 0.1
    assert size or (bad.table["stopped"].iloc[-1] and good.table["machine"].iloc[-1] > 30)
    accuracy = list(bad.accuracy.values())
    assert not bad.table["stopped"].iloc[-1] or accuracy[-1].metrics == accuracy[0].metrics


@pytest.mark.parametrize("seed", [11, *(pytest.param(seed, marks=pytest.mark.claims) for seed in (12, 13))])
def test_reflection_verifies_above_chance_and_loses_nothing(seed, record_property):
    """mini-lmm, a network of LLaVA's class with 178 words, on kinds of drawn things in scenes of other seeds than it was taught by."""
    scenes = load_set("mini-focus", seed=seed, n_query=100, n_database=500)
    things = Views.of(Corpus(scenes, load_model("mini-vit", device="cpu"), progress=False))
    reflected = reflection.reflect(things, registry.parse("retriever", "Crop"), Reflector("mini-lmm", device="cpu"))
    scores, said = reflection.scores(reflected)
    bounds, (low, high) = against_first(scores, curves.ACCURACY), reflection.verifying(reflected)
    record_property("first answers verified", f"balanced accuracy {100 * said['balanced accuracy']:.1f} [{100 * low:.1f}, {100 * high:.1f}]")
    first = scores["encoder alone"].metrics[curves.ACCURACY]
    record_property("encoder alone", f"{100 * first:.1f}")
    for name, (least, most) in bounds.items():
        gain = scores[name].metrics[curves.ACCURACY] - first
        record_property(name, f"{100 * gain:+.1f} [{100 * least:+.1f}, {100 * most:+.1f}], {100 * said['share asked']:.0f} % asked where unsure")
        assert most > 0, (name, bounds)  # no loss; a gain for sure on two of the three seeds
    assert low > 0.5 and said["share asked"] <= 0.5
