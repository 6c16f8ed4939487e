"""Training of retrieval CNNs: losses by hand, cuts and draws, mining, resuming, the files that are written."""

import hashlib
import json
import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from small_cnn import colours, tiny

from foir_lib import load_model, load_set
from foir_lib.bench.metrics.mean_ap import mean_average_precision
from foir_lib.data.training import TrainingSet, TupleSet, pairs
from foir_lib.errors import InputError, IntegrityError
from foir_lib.methods import pooling
from foir_lib.models.mini import cnn, shipped
from foir_lib.prompts import crop
from foir_lib.training import retrieval
from foir_lib.training.cuts import Cuts, draws, mine
from foir_lib.training.losses import ArcFace, Contrastive, Retriever, parts

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    return colours(tmp_path_factory.mktemp("pictures"))


@pytest.fixture(scope="module")
def tuples(pictures):
    return TupleSet("colours", pictures.paths, pictures.labels, np.array([0, 1, 2, 3]), np.array([3, 4, 5, 6]))


SMALL = {"batch": 6, "size": 32, "optimiser": "adamw", "lr": 3e-3, "weight_decay": 0.0}


# --- losses


def test_arcface_by_hand():
    head = ArcFace(2, 2, scale=2.0, margin=math.pi / 6)
    head.weight.data = torch.tensor([[3.0, 0.0], [0.0, 5.0]])  # directions at 0 and 90 degrees
    result = head(torch.tensor([[0.5, math.sqrt(3) / 2]]), torch.tensor([0]))  # at 60 degrees, pushed to 90
    other = math.sqrt(3) / 2
    assert result.item() == pytest.approx(-math.log(1 / (1 + math.exp(2 * other))), abs=1e-5)


def test_without_margin_arcface_is_a_cosine_classifier():
    torch.manual_seed(0)
    head, x, y = ArcFace(5, 8, scale=7.0, margin=0.0), F.normalize(torch.randn(4, 8), dim=1), torch.tensor([0, 4, 2, 2])
    want = F.cross_entropy(7 * torch.cosine_similarity(x[:, None], head.weight[None], dim=-1), y)
    torch.testing.assert_close(head(x, y), want, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_arcface_has_a_finite_slope_where_the_arc_has_none(sign):
    head, x = ArcFace(3, 4, scale=2.0), torch.zeros(1, 4)
    x[0, 0] = sign
    x.requires_grad_()
    head.weight.data = torch.eye(3, 4)
    loss = head(x, torch.tensor([0]))
    loss.backward()
    assert torch.isfinite(loss) and torch.isfinite(x.grad).all() and torch.isfinite(head.weight.grad).all()
    assert torch.isfinite(head.scale.grad) and head.scale.grad != 0


def test_contrastive_by_hand():
    turn = [0.0, 60.0, 90.0, 30.0]  # query, positive, a far and a near negative
    at = [math.radians(t) for t in turn]
    x = torch.tensor([[[math.cos(t), math.sin(t)] for t in at]])
    near = 2 * math.sin(math.radians(15))  # chord of 30 degrees
    assert Contrastive(0.85)(x).item() == pytest.approx(0.5 * 1.0 + 0.5 * (0.85 - near) ** 2, abs=1e-6)
    assert Contrastive(0.1)(torch.cat([x, x])).item() == pytest.approx(0.5, abs=1e-6), "a mean over tuples"


def test_contrastive_slope_is_finite_at_no_distance():
    x = F.normalize(torch.ones(1, 3, 4), dim=-1).requires_grad_()
    Contrastive()(x).backward()
    assert torch.isfinite(x.grad).all()


def test_the_retriever_is_gem_then_the_layer():
    model, x = Retriever(tiny(), p=2.0).eval(), torch.randn(2, 3, 32, 48)
    maps = model.net.forward_features(x).clamp(min=1e-6)
    want = F.normalize(maps.square().mean((2, 3)).sqrt() @ model.whiten.weight.T + model.whiten.bias, dim=1)
    torch.testing.assert_close(model(x), want)


# --- pictures


def test_parts_are_a_cell_and_those_most_like_it():
    x = torch.tensor([[1.0, 1.1, 9.0, 1.2, 9.1, 9.2]]).repeat(500, 1)[:, None]
    torch.manual_seed(0)
    result = {tuple(row.int().tolist()) for row in parts(x)[:, 0]}
    alone = {tuple(int(i == j) for i in range(6)) for j in range(6)}
    groups = {(1, 1, 0, 1, 0, 0), (0, 0, 1, 0, 1, 1), (1,) * 6}
    assert groups <= result and alone & result
    for row in map(np.array, result):  # beyond one group, all of it is there
        assert row[[0, 1, 3]].all() or row[[2, 4, 5]].all() or row.sum() < 3


def test_parts_are_pooled_in_training_alone():
    torch.manual_seed(0)
    model, x = Retriever(tiny(), part=1.0), torch.randn(4, 3, 64, 64)
    model.net.eval()
    whole = model.eval()(x)
    model.train(), model.net.eval()
    assert not torch.allclose(model(x), whole, atol=1e-3)
    torch.testing.assert_close(model.eval()(x), whole)


def test_a_cut_depends_on_its_seed_alone(pictures):
    cuts = Cuts(pictures, 24, (0.5,) * 3, (0.5,) * 3)
    state = torch.random.get_rng_state()
    first, label = cuts[4, 9]
    assert first.shape == (3, 24, 24) and label == 1 and torch.equal(torch.random.get_rng_state(), state)
    torch.rand(3)
    torch.testing.assert_close(cuts[4, 9][0], first)
    assert not torch.equal(cuts[4, 10][0], first)


def test_most_cuts_show_the_box_large_and_whole(pictures):
    cuts = Cuts(pictures, 24, (0.0,) * 3, (1.0,) * 3)
    shares = np.array([(cuts[0, seed][0][0] > cuts[0, seed][0][1:].amax(0) + 0.2).float().mean() for seed in range(60)])
    assert (shares > 0.2).mean() > 0.7 and shares.min() < 0.9
    plain = Cuts(pictures, 24, (0.0,) * 3, (1.0,) * 3, plain=True)
    torch.testing.assert_close(plain[0, 0][0], plain[0, 1][0])


def test_draws_give_every_row_once():
    whole = list(draws(11, 3, (0, 1)))
    rows = [row for batch in whole for row, _ in batch]
    assert len(whole) == len(draws(11, 3, 0)) == 3 and len(set(rows)) == 9 and set(rows) <= set(range(11))
    assert list(draws(11, 3, (0, 2))) != whole
    assert len(list(draws(4, 9, 0))) == 1, "a batch is no larger than the set"


def test_mining_takes_the_nearest_of_each_other_cluster():
    at = torch.tensor([0.0, 0.1, 0.2, 0.3, 0.4, 2.0, 0.5])
    vectors, cluster = torch.stack([at.cos(), at.sin()], 1), np.array([0, 0, 1, 1, 2, 3, 0])
    result = mine(np.array([0]), np.array([6]), np.arange(7), cluster, lambda rows: vectors[rows], 3)
    assert result.tolist() == [[0, 6, 2, 4, 5]]
    assert len(mine(np.array([0]), np.array([6]), np.arange(7), cluster, lambda rows: vectors[rows], 4)) == 0


# --- runs


def test_a_network_can_learn_its_pictures_by_heart(pictures):
    _, losses = retrieval.train(tiny(), pictures, epochs=8, margin=0.0, **SMALL | {"batch": 12})
    assert losses[-1] < 0.5 * losses[0]


def test_contrastive_training_pulls_pairs_together(tuples):
    net, losses = retrieval.train(tiny(), tuples, "contrastive", epochs=16, n_negatives=2, **SMALL | {"batch": 4})
    assert len(losses) == 16 and np.mean(losses[-4:]) < 0.7 * np.mean(losses[:4])
    with pytest.raises(InputError, match="too few clusters for 3 negatives"):
        retrieval.train(tiny(), tuples, "contrastive", epochs=1, n_negatives=3, **SMALL)


@pytest.mark.parametrize("workers", [0, 1])
def test_a_killed_run_goes_on_as_if_nothing_had_happened(pictures, tmp_path, monkeypatch, workers):
    options = {"epochs": 3, "warmup": 0.3, "workers": workers, **SMALL}
    straight_net, straight = retrieval.train(tiny(), pictures, **options)
    assert len(straight) == 6
    save, calls = torch.save, []

    def kill(state, path):
        calls.append(len(state["losses"]))
        if calls[-1] == 4:
            path.write_bytes(b"half a check")
            raise KeyboardInterrupt
        save(state, path)

    path = tmp_path / "run.pt"
    monkeypatch.setattr(torch, "save", kill)
    with pytest.raises(KeyboardInterrupt):
        retrieval.train(tiny(), pictures, checkpoint=path, every=1, **options)
    monkeypatch.setattr(torch, "save", save)
    assert len(torch.load(path, weights_only=True)["losses"]) == 3, "the state before the last is whole"
    net, resumed = retrieval.train(tiny(), pictures, checkpoint=path, **options)
    np.testing.assert_allclose(resumed, straight, rtol=1e-4)
    x = torch.randn(1, 3, 32, 32)
    torch.testing.assert_close(net(x), straight_net(x), atol=1e-3, rtol=1e-3)
    with pytest.raises(InputError, match="another run"):
        retrieval.train(tiny(), pictures, checkpoint=path, **options | {"epochs": 4})
    other = tiny()
    torch.nn.init.ones_(other.conv1.weight)
    with pytest.raises(InputError, match="another run"):
        retrieval.train(other, pictures, checkpoint=path, **options)
    for content in (path.read_bytes()[:200], b"", b"<html>"):
        path.write_bytes(content)
        with pytest.raises(IntegrityError, match=r"^Checkpoint \S+run.pt can't be read: remove it, and training begins again\.$"):
            retrieval.train(tiny(), pictures, checkpoint=path, **options)


def test_the_rate_rises_then_falls_as_a_cosine():
    def rates(steps, warmup):
        optimiser = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], 2.0)
        schedule, rates = retrieval.cosine(optimiser, steps, warmup), []
        for step in range(steps):
            schedule.step_update(step)
            rates.append(optimiser.param_groups[0]["lr"] / 2)
        return rates

    rates, plain, odd = rates(100, 10), rates(100, 0), rates(9, 2.5)
    assert (
        rates[10] == 1.0 == max(rates) and rates[:11] == sorted(rates[:11]) and rates[10:] == sorted(rates[10:])[::-1]
    )
    assert rates[55] == pytest.approx(0.5) and 0 < rates[99] < 0.001 and rates[0] == pytest.approx(1 / 11)
    assert plain == pytest.approx([(1 + math.cos(math.pi * step / 100)) / 2 for step in range(100)])
    assert odd[:3] == pytest.approx([1 / 3.5, 2 / 3.5, 3 / 3.5]) and odd[5] == pytest.approx((1 + math.cos(math.pi * 2.5 / 6.5)) / 2)


@pytest.mark.parametrize(
    "options, words",
    [({"loss": "triplet"}, "'triplet'"), ({"optimiser": "lion"}, "'lion'"), ({"epochs": 0}, "epochs=0"),
     ({"batch": 1.5}, "batch=1.5"), ({"lr": -1}, "lr=-1"), ({"size": 10**6}, "size=1000000 must be a whole number, from 1 to 4096"),
     ({"dim": 10**9}, "dim=1000000000 must be"), ({"workers": 10**6}, "workers=1000000"), ({"seed": 2**70}, "seed="), ({"lr": 10**400}, "lr=1000"), ({"loss": "contrastive"}, "give a TupleSet")],
)  # fmt: skip
def test_bad_options_get_one_sentence(pictures, options, words):
    with pytest.raises(InputError, match=words):
        retrieval.train(tiny(), pictures, **options)


def test_pictures_of_one_label_teach_nothing(pictures):
    one = TrainingSet("cups", pictures.paths[:3], np.zeros(3, int), ("cup",))
    with pytest.raises(InputError, match="^cups has one label, of which nothing can be learned: give the folder above it, or more labels.$"):
        retrieval.train(tiny(), one, **SMALL)


def test_a_run_that_diverges_stops_in_one_sentence(pictures):
    with pytest.raises(InputError, match=r"^The loss is nan at step \d: choose a smaller lr, or clip\.$"):
        retrieval.train(tiny(), pictures, **SMALL | {"optimiser": "sgd", "lr": 1e30})


@pytest.mark.parametrize("workers", [0, 1])
@pytest.mark.parametrize("loss", ["arcface", "contrastive"])
def test_a_damaged_picture_is_named_in_one_sentence(pictures, tmp_path, loss, workers):
    (tmp_path / "broken.jpg").write_bytes(b"no picture")
    paths = [str(tmp_path / "broken.jpg"), *pictures.paths[1:]]
    labelled = TrainingSet("colours", paths, pictures.labels, pictures.names)
    with pytest.raises(InputError, match=r"^Picture \S+broken\.jpg can't be read .*replace or remove it\.$"):
        retrieval.train(
            tiny(), pairs(labelled) if loss == "contrastive" else labelled, loss, workers=workers, n_negatives=1, **SMALL
        )


# --- files


def test_saved_weights_load_again_with_layer_p_and_classifier(tmp_path):
    torch.manual_seed(0)
    retriever, classifier = Retriever(cnn.create(), dim=32, p=2.5).eval(), torch.nn.Linear(256, 7)
    card = retrieval.save(retriever, "mine", tmp_path, [3.0, 2.0], {"minutes": 1}, classifier)
    path = tmp_path / "mine.safetensors"
    assert card["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest() and card["losses"] == [3.0, 2.0]
    assert json.loads(path.with_suffix(".json").read_text()) == card
    model, x = load_model("mini-cnn", weights=path, device="cpu"), torch.randn(1, 3, 64, 80)
    assert model.gem_p == 2.5 and model.whiten.weight.shape == (32, 256) and model.dim == 256 and model.stride == 16
    torch.testing.assert_close(model.maps(x), retriever.net.forward_features(x), atol=0.02, rtol=0.02)
    torch.testing.assert_close(model.classifier[0], classifier.weight, atol=1e-3, rtol=0)


# --- what is shipped


def test_shipped_weights_are_the_ones_of_their_card():
    card, path = shipped.card("mini-cnn"), shipped.weights_path("mini-cnn")
    assert hashlib.sha256(path.read_bytes()).hexdigest() == card["sha256"] and path.stat().st_size < 4e6
    assert card["name"] == "mini-cnn" and card["licence"] == "Apache-2.0" and "training town" in card["data"]["set"]
    assert card["losses"][-1] < 0.3 * card["losses"][0]
    for key in ("epochs", "batch", "size", "lr", "precision"):
        assert f"-p {key} {card['recipe'][key]} " in card["command"]
    model = load_model("mini-cnn", device="cpu")
    assert (
        model.dim == 256
        and model.stride == 16
        and model.whiten.out_features == 256
        and card["sha256"][:16] in model.key
    )


@pytest.mark.slow
def test_shipped_network_finds_landmarks_it_never_saw():
    town = load_set("mini-landmarks", seed=21, n_landmarks=12, n_queries=24, n_database=240)
    model = load_model("mini-cnn", device="cpu")
    queries = [crop(town.open(q.image_id), q.prompt)[0] for q in town.queries.itertuples()]
    database = [town.open(image_id) for image_id in town.database["image_id"]]
    vectors = []
    for part in (queries, database):
        pooled = torch.cat([pooling.gem(x[None], model.gem_p) for x in model.maps_of([*map(model.preprocess, part)])])
        vectors.append(F.normalize(model.whiten(pooled), dim=1))
    order = (vectors[0] @ vectors[1].T).argsort(1, descending=True).numpy()
    easy, hard = (mean_average_precision(order, town.protocols[name]).map for name in ("easy", "hard"))
    shuffled = [np.random.default_rng(q).permutation(len(database)) for q in range(len(queries))]
    chance = mean_average_precision(shuffled, town.protocols["hard"]).map
    assert easy > 0.35 and hard > 2 * chance
