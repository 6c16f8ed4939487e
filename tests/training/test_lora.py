"""Multi-object fine-tuning: InfoNCE by hand, adapters that start as nothing and merge into the network, crops, runs that go on."""

import hashlib
import json
import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from foir_lib import load_model
from foir_lib.data import training
from foir_lib.errors import InputError, IntegrityError
from foir_lib.methods.decomposition import window
from foir_lib.models.mini import shipped, vit
from foir_lib.models.vit import ViT
from foir_lib.training import loop, lora, objects, recipes
from foir_lib.training.losses import InBatch

pytestmark = pytest.mark.usefixtures("one_thread")
SMALL = {"r": 4, "alpha": 8, "batch": 3, "lr": 5e-3, "last_lr": 1e-3, "most": 2, "epochs": 2}


@pytest.fixture(scope="module")
def pictures(drawn):
    """Eight things of two families, on seven shelves."""
    return drawn(lambda: training.load("mini-needles", "info-nce", n_things=8, n_queries=16, n_database=7, seed=5))


def small(size=32):
    """A mini ViT of 2 x 2 tokens with random weights, the same every time."""
    torch.manual_seed(1)
    return vit.create("mini-vit-small", size).eval()


def trained(pictures, **options):
    adapted, losses = objects.train(small(), pictures, **SMALL | options)
    return adapted, losses


def moved(net, r=4, alpha=8.0):
    """``net`` with an adapter that does something."""
    torch.manual_seed(2)
    adapted = lora.adapt(net, r, alpha, 0.1)
    for name, weight in adapted.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(weight, std=0.1)
    return adapted.eval()


# --- the loss


def test_info_nce_with_in_batch_negatives_by_hand():
    """Pictures 0 and 1; queries of thing a (on 0, and on 1 too), b (on 0), c (on 1); all cosines are 0 or 1, the temperature is 1."""
    pictures = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    queries = torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.0, 1.0]])
    own, holds = torch.tensor([0, 0, 1]), torch.tensor([[True, True], [True, False], [False, True]])
    e = math.e
    to_pictures = [0.0, math.log((1 + e) / 1), math.log((e + 1) / e)]  # a has no negative; b: its 0 against 1; c: its 1 against 0
    # the picture of a, 0: 1 for a against c's 0 (b is its own); of b: 0 for b against c's 0; of c, picture 1: 1 against b's 1 (a is on it)
    to_queries = [math.log((e + 1) / e), math.log(2), math.log((e + e) / e)]
    expected = (sum(to_pictures) + sum(to_queries)) / 6
    assert float(InBatch(1.0)(queries, pictures, own, holds)) == pytest.approx(expected, abs=1e-6)


def test_the_temperature_divides_and_the_slope_is_finite_without_any_negative():
    torch.manual_seed(0)
    q, p, own, holds = F.normalize(torch.randn(4, 8), dim=1), F.normalize(torch.randn(2, 8), dim=1), torch.tensor([0, 0, 1, 1]), torch.eye(2).bool()
    holds = holds[own]
    torch.testing.assert_close(InBatch(0.1)(q, p, own, holds), InBatch(0.5)(5 * q, p, own, holds))
    p.requires_grad_()
    loss = InBatch()(q, p, own, torch.ones(4, 2, dtype=torch.bool))
    loss.backward()
    assert loss == 0 and torch.isfinite(p.grad).all()


def test_a_pair_that_is_nearer_costs_less():
    q, own, holds = torch.eye(3), torch.arange(3), torch.eye(3).bool()
    near, far = (F.normalize(torch.eye(3) * a + 1, dim=1) for a in (4.0, 0.5))
    assert InBatch()(q, near, own, holds) < InBatch()(q, far, own, holds)


# --- the adapter


def test_an_adapter_starts_as_nothing_and_alone_is_trained():
    net, x = small(), torch.randn(2, 3, 32, 32)
    before = objects.embeddings(net, x)
    adapted = lora.adapt(net, 4, 8, 0.1).eval()
    torch.testing.assert_close(objects.embeddings(adapted, x), before, atol=0, rtol=0)
    free = {name for name, weight in adapted.named_parameters() if weight.requires_grad}
    assert len(free) == 8 and all(".qkv.lora_" in name for name in free), "two matrices in each of four blocks"
    d = net.embed_dim
    assert sum(w.numel() for w in adapted.parameters() if w.requires_grad) == 4 * 4 * (d + 3 * d)


def test_query_key_and_value_are_adapted_as_the_equation_says():
    net, x = small(), torch.randn(1, 5, 96)
    qkv = net.blocks[1].attn.qkv
    before = qkv(x)
    adapted = moved(net)
    layer = adapted.get_base_model().blocks[1].attn.qkv
    a, b = layer.lora_A["default"].weight, layer.lora_B["default"].weight
    change = (layer(x) - before).unflatten(-1, (3, 96))
    torch.testing.assert_close(change.flatten(2), 8 / 4 * x @ a.T @ b.T, atol=1e-5, rtol=1e-4)
    assert (change.abs().amax((0, 1, 3)) > 0.01).all(), "query, key and value"


def test_the_merged_network_equals_the_adapted_one_to_1e_5():
    adapted, x = moved(small()), torch.randn(3, 3, 32, 32)
    want, plain = objects.embeddings(adapted, x), objects.embeddings(small(), x)
    net = lora.merge(adapted)
    torch.testing.assert_close(objects.embeddings(net, x), want, atol=1e-5, rtol=1e-5)
    assert (want - plain).abs().max() > 0.01, "the adapter does something"
    assert set(net.state_dict()) == set(small().state_dict()) and not any(w.requires_grad for w in net.parameters())


def test_what_is_trained_is_what_models_describe():
    net, x = small(), torch.randn(3, 3, 32, 32)
    torch.testing.assert_close(objects.embeddings(net, x), ViT(net, "small").embed(x, unit=False), atol=1e-5, rtol=1e-5)


def test_an_adapter_is_saved_with_its_card_and_loaded(tmp_path):
    adapted, x = moved(small()), torch.randn(2, 3, 32, 32)
    card = lora.save(adapted, "mine", tmp_path, [1.0, 0.5], {"data": "none"}, {"licence": "ours"})
    assert card["lora"] == {"r": 4, "alpha": 8.0, "dropout": 0.1} and card["losses"] == [1.0, 0.5] and card["licence"] == "ours"
    again = lora.load(small(), tmp_path / "mine.safetensors")
    torch.testing.assert_close(objects.embeddings(again, x), objects.embeddings(adapted, x), atol=5e-3, rtol=5e-3)  # saved in float16
    with pytest.raises(IntegrityError, match="doesn't fit an adapter of rank 4: .* has shape .*the model needs"):
        lora.load(vit.create("mini-vit", 32), tmp_path / "mine.safetensors")
    (tmp_path / "mine.json").write_text(json.dumps({key: value for key, value in card.items() if key != "lora"}))
    with pytest.raises(IntegrityError, match="doesn't say its rank: get both again"):
        lora.load(small(), tmp_path / "mine.safetensors")


def test_nothing_that_is_not_finite_is_saved(tmp_path, pictures):
    adapted = moved(small())
    next(w for name, w in adapted.named_parameters() if "lora_B" in name).data[0, 0] = torch.nan
    with pytest.raises(InputError, match="nothing is saved"):
        lora.save(adapted, "mine", tmp_path, [1.0], {}, {})
    with pytest.raises(InputError, match="choose a smaller lr, or clip"):
        trained(pictures, lr=1e30, last_lr=1e30, checkpoint=tmp_path / "run", every=1)
    assert [path.name for path in tmp_path.iterdir()] in ([], ["run"])
    if (tmp_path / "run").exists():
        state = torch.load(tmp_path / "run", weights_only=True)
        assert all(v.isfinite().all() for v in state["task"].values() if v.is_floating_point())


# --- what it is trained on


def test_crops_are_cut_as_for_retrieval(pictures):
    data = objects.ObjectCrops(pictures, small(64))
    assert 2 <= len(data) <= 7
    for row, (image_id, boxes, labels) in enumerate(data.rows):
        crops, queries, numbers = data[row, 3]
        assert crops.shape == queries.shape == (len(labels), 3, 64, 64) and [data.names[i] for i in numbers] == labels
        picture = pictures.open(image_id)
        cut = picture.crop(window(tuple(boxes[0]), picture.size, 64))
        torch.testing.assert_close(crops[0], ViT(small(64), "small").preprocess(cut))
    assert torch.equal(data[0, 3][1], data[0, 3][1]) and any(not torch.equal(data[0, 3][1], data[0, seed][1]) for seed in range(6))
    one = objects.ObjectCrops(pictures, small(64), shake=0.3, most=1)
    assert len(one[0, 0][0]) == 1 and not torch.equal(one[0, 0][0], one[0, 1][0])


def test_a_batch_says_whose_each_crop_is(pictures):
    data = objects.ObjectCrops(pictures, small(), most=2)
    crops, queries, owner, labels = objects.collate([data[0, 0], data[1, 0]])
    first = len(data[0, 0][2])
    assert owner.tolist() == [0] * first + [1] * len(data[1, 0][2]) and len(crops) == len(queries) == len(labels) == len(owner)


def test_training_things_are_nobody_elses():
    from foir_lib.data.mini import needles

    ours, theirs = (needles.world(use, 1, 40) for use in (needles.TRAINING, needles.BENCHMARK))
    looks = [{(thing.form, thing.stretch) for thing in world} for world in (ours, theirs)]
    assert not looks[0] & looks[1]


# --- runs


def test_the_loss_is_of_means_of_crops_and_things_on_both_pictures_are_no_negatives():
    net = small()
    task, x = objects.StageA(net, InBatch()), torch.randn(6, 3, 32, 32)
    owner, labels = torch.tensor([0, 0, 1]), torch.tensor([4, 1, 4])
    z = objects.embeddings(net, x)
    v = F.normalize(torch.stack([z[:2].mean(0), z[2]]), dim=1)
    holds = torch.tensor([[True, True], [True, False], [True, True]])
    want = InBatch()(F.normalize(z[3:], dim=1), v, owner, holds)
    torch.testing.assert_close(task.eval()(x[:3], x[3:], owner, labels), want)


def test_training_lowers_the_loss_and_leaves_the_network_and_its_norms(pictures):
    net = load_model("mini-vit-small", device="cpu").net
    start = {key: value.clone() for key, value in net.state_dict().items()}
    adapted, losses = objects.train(net, pictures, **SMALL | {"lr": 1e-2, "epochs": 12})
    assert np.mean(losses[-6:]) < 0.9 * np.mean(losses[:6])
    own = adapted.unload().state_dict()
    assert all(torch.equal(own[key], start[key]) for key in start)


def test_the_rate_falls_exponentially(pictures, monkeypatch):
    rates, fit = [], loop.fit

    def recorded(task, optimiser, batches, steps, schedule, *arguments, **options):
        update = schedule.step_update
        schedule.step_update = lambda n: (update(n), rates.append(optimiser.param_groups[0]["lr"]))
        return fit(task, optimiser, batches, steps, schedule, *arguments, **options)

    monkeypatch.setattr(loop, "fit", recorded)
    trained(pictures, lr=1e-3, last_lr=1e-5, max_steps=3)
    assert rates == pytest.approx([1e-3, 1e-4, 1e-5])


def test_a_killed_and_continued_run_is_the_same_run(pictures, tmp_path, monkeypatch):
    straight, losses = trained(pictures)
    from accelerate import Accelerator

    backward, calls = Accelerator.backward, []

    def stop(self, *arguments):
        calls.append(1)
        if len(calls) == 3:
            raise KeyboardInterrupt
        backward(self, *arguments)

    monkeypatch.setattr(Accelerator, "backward", stop)
    with pytest.raises(KeyboardInterrupt):
        trained(pictures, checkpoint=tmp_path / "run", every=1)
    monkeypatch.undo()
    again, continued = trained(pictures, checkpoint=tmp_path / "run", every=1)
    assert continued == pytest.approx(losses, rel=1e-5)
    for (name, one), other in zip(straight.state_dict().items(), again.state_dict().values(), strict=True):
        torch.testing.assert_close(one, other, msg=lambda m, n=name: f"{n}: {m}")
    with pytest.raises(InputError, match=r"another run \(r 4 and not 2\)"):
        trained(pictures, checkpoint=tmp_path / "run", r=2)


@pytest.mark.parametrize(
    "options, words",
    [({"r": 0}, "r=0"), ({"alpha": 0}, "alpha=0"), ({"dropout": 2}, "dropout=2"), ({"epochs": 0}, "epochs=0"), ({"lr": float("nan")}, "lr=nan"),
     ({"last_lr": 1.0}, "last_lr=1.0"), ({"temperature": 0}, "temperature=0"), ({"shake": 0.9}, "shake=0.9"), ({"most": 0}, "most=0"),
     ({"max_steps": 0}, "max_steps=0"), ({"batch": 1}, "have no negatives")],
)  # fmt: skip
def test_numbers_that_can_not_be(pictures, options, words):
    with pytest.raises(InputError, match=words):
        trained(pictures, **options)


def test_a_set_without_objects_is_refused(pictures):
    from dataclasses import replace

    bare = replace(pictures, objects=pictures.objects[pictures.objects["image_id"].isin(pictures.query_images["image_id"])], protocols={})
    with pytest.raises(InputError, match="has no objects that its queries show"):
        trained(bare)


# --- recipes and the shipped weights


def test_the_papers_recipe_and_the_mini_one():
    paper = recipes.recipe("info-nce", "voxdet", "dinov2-base", data_root="there")["train"]
    want = {"r": 256, "alpha": 32, "dropout": 0.1, "lr": 5e-5, "last_lr": 1e-6, "batch": 128, "epochs": 1}
    assert paper == want
    import inspect

    defaults = inspect.signature(objects.train).parameters
    assert {key: defaults[key].default for key in want} == want
    assert recipes.recipe("info-nce", "mini-needles", "mini-vit")["train"]["r"] < 64


def test_a_recipe_leaves_an_adapter_and_a_network_that_loads(tmp_path, pictures, monkeypatch):
    monkeypatch.setattr(training, "load", lambda *arguments, **options: pictures)
    train = {"r": 2, "batch": 3, "most": 1, "max_steps": 1}
    card = recipes.launch({"name": "mine", "model": "mini-vit-small", "data": "mini-needles", "loss": "info-nce", "train": train}, tmp_path)
    assert card["steps"] == 1 and card["set"] == pictures.name and card["lora"]["r"] == 2
    x = torch.randn(1, 3, 128, 128)
    merged = load_model("mini-vit-small", weights=tmp_path / "mine.safetensors", device="cpu").embed(x)
    adapted = lora.load(load_model("mini-vit-small", device="cpu").net, tmp_path / "mine-lora.safetensors")
    torch.testing.assert_close(F.normalize(objects.embeddings(adapted, x), dim=-1), merged, atol=5e-3, rtol=0)
    with pytest.raises(InputError, match="'margin', which is no option of a run or of objects.train"):
        recipes.launch({"name": "mine", "model": "mini-vit-small", "data": "mini-needles", "loss": "info-nce", "train": {"margin": 1}}, tmp_path)


def test_the_shipped_network_is_mini_vit_with_the_shipped_adapter():
    for name in ("mini-vit-needles", "mini-vit-needles-lora"):
        card, path = shipped.card(name), shipped.weights_path(name)
        assert hashlib.sha256(path.read_bytes()).hexdigest() == card["sha256"] and card["name"] == name and card["data"]["streams"] == "training"
        assert card["losses"][-1] < card["losses"][0] and path.stat().st_size < 4e6
    model, before = (load_model(name, device="cpu") for name in ("mini-vit-needles", "mini-vit"))
    adapted = lora.load(load_model("mini-vit", device="cpu").net, shipped.weights_path("mini-vit-needles-lora"))
    torch.manual_seed(0)
    x = torch.rand(2, 3, 128, 128) * 2 - 1
    near = F.cosine_similarity(objects.embeddings(adapted, x), model.embed(x))
    assert near.min() > 0.9999, "but for float16"
    assert F.cosine_similarity(before.embed(x), model.embed(x)).max() < 0.99
    assert model.n_heads == 12 and model.key != before.key
