"""Training of CNNs by a recipe and in two processes: the same work shared, the same network in both, resumed as one."""

import inspect
import json
import os
import shlex
import sys

import numpy as np
import pytest
import torch
from accelerate import Accelerator, PartialState
from PIL import Image
from small_cnn import tiny

from foir_lib import load_model
from foir_lib.data import training
from foir_lib.errors import InputError, MissingError
from foir_lib.training import recipes, retrieval
from foir_lib.training.cuts import Cuts
from foir_lib.training.losses import ArcFace, Contrastive

TESTS = os.path.dirname(os.path.dirname(__file__))
pytestmark = pytest.mark.usefixtures("one_thread")
COMMON = {"size": 32, "lr": 0.02, "weight_decay": 1e-3, "epochs": 2}
TRAIN = {"arcface": {"batch": 3, "lr": 1e-3}, "contrastive": {"batch": 2, "n_negatives": 2, "n_pool": 9}}


def colours(root):
    """Twelve pictures of three colours on noise, drawn once."""
    rng, paths = np.random.default_rng(0), []
    for i in range(12):
        pixels = rng.integers(0, 90, (40, 48, 3), dtype=np.uint8)
        pixels[8:32, 10:38, i % 3] = 250 - 9 * i
        paths.append(str(root / "colours" / f"{i % 3}" / f"{i}.png"))
        os.makedirs(os.path.dirname(paths[-1]), exist_ok=True)
        if not os.path.exists(paths[-1]):
            Image.fromarray(pixels).save(paths[-1])
    return training.TrainingSet("colours", paths, np.arange(12) % 3, ["r", "g", "b"])


def recorded(root, loss, monkeypatch, **options):
    """What a run leaves: weights, losses, the rows it loaded in training and the tuples it mined."""
    rows, mined, cut, mine = [], [], Cuts.cut, retrieval.mine
    monkeypatch.setattr(Cuts, "cut", lambda self, row: (self.plain or rows.append(row), cut(self, row))[1])
    monkeypatch.setattr(retrieval, "mine", lambda *arguments: mined.append(mine(*arguments)) or mined[-1])
    pictures = colours(root)
    pictures = training.pairs(pictures) if loss == "contrastive" else pictures
    net, losses = retrieval.train(tiny(5), pictures, loss, **COMMON | TRAIN[loss] | options)
    monkeypatch.undo()
    return {"weights": net.state_dict(), "losses": losses, "rows": rows, "mined": torch.tensor(np.array(mined))}


def interrupted(root, loss, monkeypatch, at, **options):
    """A run that is stopped in step ``at`` of all its processes, then taken up again from its checkpoint."""
    backward, calls = Accelerator.backward, []

    def stop(self, *arguments):
        calls.append(1)
        if len(calls) == at:
            raise KeyboardInterrupt
        backward(self, *arguments)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Accelerator, "backward", stop)
        with pytest.raises(KeyboardInterrupt):
            recorded(root, loss, monkeypatch, every=1, **options)
    monkeypatch.undo()
    PartialState().wait_for_everyone()
    return recorded(root, loss, monkeypatch, every=1, **options)


def close(one, other, **tolerance):
    for name, tensor in one["weights"].items():
        torch.testing.assert_close(tensor, other["weights"][name], msg=lambda m, n=name: f"{n}: {m}", **tolerance)
    np.testing.assert_allclose(one["losses"], other["losses"], rtol=1e-4)


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    colours(result := tmp_path_factory.mktemp("run"))
    return result


@pytest.fixture(scope="module")
def both(root):
    """What each of two processes left, by kind of run."""
    command = recipes.command(root, 2)
    at = command.index("foir_lib.training.recipes")
    done = os.spawnve(
        os.P_WAIT, sys.executable, [*command[: at - 1], __file__, str(root)], os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(filter(None, (TESTS, os.environ.get("PYTHONPATH"))))}
    )
    assert done == 0, shlex.join(command)
    return [torch.load(root / f"{rank}.pt", weights_only=True) for rank in range(2)]


# --- two processes


@pytest.mark.slow
@pytest.mark.parametrize("loss", TRAIN)
def test_two_processes_are_one_with_batches_of_double_size(both, root, loss, monkeypatch):
    first, second = (result[loss] for result in both)
    close(first, second, atol=0, rtol=0)
    whole = recorded(root, loss, monkeypatch, batch=2 * TRAIN[loss]["batch"], freeze_norm=True)
    assert sorted(first["rows"] + second["rows"]) == sorted(whole["rows"]) and first["rows"] != second["rows"]
    assert len(first["rows"]) == len(second["rows"]) > 0
    close(first, whole, atol=1e-5, rtol=1e-4)
    start = tiny(5).state_dict()
    assert (first["weights"]["net.conv1.weight"] - start["conv1.weight"]).abs().max() > 1e-3, "the network was trained"


@pytest.mark.slow
def test_the_pictures_of_a_step_are_different_ones(both):
    first, second = (result["arcface"]["rows"] for result in both)
    for epoch in range(2):
        assert not set(first[6 * epoch : 6 * epoch + 6]) & set(second[6 * epoch : 6 * epoch + 6])


@pytest.mark.slow
def test_both_mine_the_same_tuples_and_those_are_as_one_mines_them(both, root, monkeypatch):
    whole = recorded(root, "contrastive", monkeypatch, batch=4, freeze_norm=True)["mined"]
    assert whole.shape == (2, 12, 4)
    for result in both:
        assert torch.equal(result["contrastive"]["mined"], whole)
    free = [result["free"]["mined"] for result in both]
    assert torch.equal(*free) and len(free[0]) == 2, "also where batch norm counts other pictures in each"


@pytest.mark.slow
def test_free_batch_norm_ends_the_same_in_both(both):
    close(both[0]["free"], both[1]["free"], atol=0, rtol=0)
    assert both[0]["free"]["weights"]["net.bn1.num_batches_tracked"] == len(both[0]["free"]["losses"])


@pytest.mark.slow
def test_a_resumed_run_of_two_is_the_same_run(both):
    for result in both:
        close(result["resumed"], result["contrastive"], atol=1e-6, rtol=1e-5)
        rows = result["contrastive"]["rows"]
        assert result["resumed"]["rows"] == rows[-len(result["resumed"]["rows"]) :], "no picture is seen again"


def test_a_resumed_epoch_keeps_its_tuples(root, monkeypatch, tmp_path):
    straight = recorded(root, "contrastive", monkeypatch, lr=0.5)
    again = interrupted(root, "contrastive", monkeypatch, 9, lr=0.5, checkpoint=tmp_path / "run.pt")
    close(again, straight, atol=1e-5, rtol=1e-4)
    assert len(straight["mined"]) == 2 and len(again["mined"]) == 0


@pytest.mark.slow
def test_more_processes_than_pictures(both):
    assert [result["few"] for result in both] == ["colours is too small for 2 processes: start fewer."] * 2


# --- recipes

RECIPE = {
    "name": "mine", "model": "mini-cnn", "data": "folders", "loss": "contrastive",
    "train": {"batch": 2, "size": 32, "epochs": 1, "n_negatives": 2, "max_steps": 2, "optimiser": "adam", "lr": 1e-4},
}  # fmt: skip


def test_a_recipe_leaves_weights_that_load_and_a_card(root, tmp_path):
    recipe = RECIPE | {"data_root": str(root / "colours")}
    card = recipes.launch(recipe, tmp_path)
    assert card["set"] == "colours" and card["n_pictures"] == 12 and card["steps"] == 2 and card["processes"] == 1
    assert len(card["losses"]) == 2 and card["recipe"]["train"] == RECIPE["train"] and "limits" not in card
    model = load_model("mini-cnn", weights=tmp_path / "mine.safetensors", device="cpu")
    assert model.whiten.weight.shape == (256, 256)
    assert json.loads((tmp_path / "mine.recipe.json").read_text()) == recipe
    before = (tmp_path / "mine.checkpoint").stat().st_mtime_ns
    assert recipes.run(tmp_path / "mine.recipe.json") == pytest.approx(card["losses"], abs=1e-3)
    assert (tmp_path / "mine.checkpoint").stat().st_mtime_ns == before, "a finished run has nothing left to do"


def test_the_papers_recipes():
    built = recipes.recipe("arcface", "gldv2", "resnet101", 4, {"epochs": 3}, data_root="there")
    assert built["name"] == "resnet101-gldv2-arcface" and built["data_root"] == "there"
    assert built["train"] == {
        "optimiser": "sgd", "lr": 0.05, "weight_decay": 1e-4, "epochs": 3, "batch": 32, "size": 512,
    }  # fmt: skip
    assert recipes.recipe("contrastive", "rsfm120k", "resnet101", 5)["train"]["batch"] == 1
    with pytest.raises(InputError, match="batch of 5 can't be shared by 8 processes"):
        recipes.recipe("contrastive", "rsfm120k", "resnet101", 8)
    defaults = inspect.signature(retrieval.train).parameters
    assert (defaults["n_negatives"].default, defaults["n_queries"].default, defaults["n_pool"].default) == (
        5,
        2000,
        22_000,
    )
    assert Contrastive().margin == 0.85 and (ArcFace(2, 2).scale.item(), ArcFace(2, 2).margin) == (30, 0.15)
    with pytest.raises(InputError, match="no loss 'triplet': known are arcface, contrastive"):
        recipes.recipe("triplet", "gldv2", "resnet101")


@pytest.mark.slow
def test_a_recipe_in_two_processes(root, tmp_path):
    card = recipes.launch(RECIPE | {"data_root": str(root / "colours")}, tmp_path, processes=2)
    assert card["processes"] == 2 and card["steps"] == 2
    assert load_model("mini-cnn", weights=tmp_path / "mine.safetensors", device="cpu").whiten is not None
    assert "contrastive: 100%" in (tmp_path / "mine.log").read_text()


@pytest.mark.parametrize("words", [["-m", "foir_lib.training.recipes"], ["-c", "import sys; sys.exit(1)"]])
def test_what_goes_wrong_in_processes_is_told_in_one_sentence(root, tmp_path, monkeypatch, words):
    monkeypatch.setattr(recipes, "command", lambda path, processes: [sys.executable, *words, str(path)])
    sentence = (
        r"There is no folder of training pictures at .*nowhere.*\."
        if "-m" in words
        else r"The processes of mine failed: see .*mine\.log\."
    )
    with pytest.raises(InputError, match=f"^{sentence}$"):
        recipes.launch(RECIPE | {"data_root": str(root / "nowhere")}, tmp_path, processes=2)


@pytest.mark.parametrize(
    "change, words",
    [({"epoch": 3}, "has 'epoch', which is no option"), ({"train": {"epoch": 3}}, "has 'epoch', which is no option"),
     ({"train": {"pictures": 3}}, "has 'pictures'"), ({"model": None}, "lacks 'model'"), ({"loss": "arc"}, "no loss 'arc'"),
     ({"train": {"max_steps": 0}}, "max_steps=0 must be a whole number, at least 1"), ({"train": {"weight_decay": float("nan")}}, "weight_decay=nan"),
     ({"train": {"lr": float("inf")}}, "lr=inf must be a finite number, above 0"), ({"train": {"lr": "0.05"}}, "lr='0.05'"),
     ({"train": {"warmup": 2}}, "warmup=2 must be a finite number, at least 0 and at most 1"), ({"train": {"clip": float("nan")}}, "clip=nan"),
     ({"train": {"margin": float("inf")}}, "margin=inf"), ({"train": {"p": 0}}, "p=0"), ({"train": {"batch": 0}}, "batch=0"),
     ({"train": {"dim": 0}}, "dim=0"), ({"train": {"n_negatives": 0}}, "n_negatives=0"), ({"train": {"seed": -1}}, "seed=-1"),
     ({"train": [1]}, "train=.* is no keys and values"), ({"options": 3}, "options=3, which is no keys"), ({"weights": 3}, "weights=3, which is no text"),
     ({"name": "a/b"}, "Name 'a/b'"), ({"name": 5}, "Name 5"), ({"name": ""}, "Name ''"),
     ({"data": "gld"}, "no training set 'gld': did you mean gldv2"), ({"options": {"seed": 3}}, "no folders option 'seed'")],
)  # fmt: skip
def test_bad_recipes_get_one_sentence(root, tmp_path, change, words):
    recipe = RECIPE | {"data_root": str(root / "colours")} | change
    with pytest.raises(InputError, match=words):
        recipes.run(written(tmp_path, {key: value for key, value in recipe.items() if value is not None}))
    assert [path.name for path in tmp_path.iterdir()] == ["recipe.json"], "nothing is saved"


def test_a_recipe_whose_weights_can_not_be_written_is_refused_before_the_first_picture(root, tmp_path, monkeypatch):
    (tmp_path / "mine.safetensors").mkdir()
    monkeypatch.setattr(recipes.training, "load", pytest.fail)
    with pytest.raises(InputError, match=r"Can't write .*mine\.safetensors: Is a directory"):
        recipes.run(written(tmp_path, RECIPE | {"data_root": str(root / "colours")}))


def written(folder, recipe):
    (folder / "recipe.json").write_text(json.dumps(recipe))
    return folder / "recipe.json"


def test_no_recipe_and_a_list(tmp_path):
    with pytest.raises(MissingError, match="no recipe at"):
        recipes.run(tmp_path / "nothing.json")
    with pytest.raises(InputError, match="holds no keys and values"):
        recipes.run(written(tmp_path, [1]))


# --- pairs


def test_pairs_are_two_pictures_of_a_label(root):
    pictures = colours(root)
    built = training.pairs(pictures)
    assert sorted(built.query) == sorted(built.positive) == list(range(12)) and (built.query != built.positive).all()
    assert (pictures.labels[built.query] == pictures.labels[built.positive]).all()
    assert built.cluster is pictures.labels and built.boxes is None and built.box(0) is None
    few = training.TrainingSet(
        "few",
        pictures.paths[:4],
        np.array([0, 1, 2, 1]),
        ["r", "g", "b"],
        np.array([[0, 0, 1, 1], [2, 2, 3, 3], [4, 4, 5, 5], [6, 6, 7, 7]]),
    )
    result = training.pairs(few)
    assert set(result.query) == {1, 3} and result.box(1).x0 == 2, "a picture alone in its label has no pair"
    with pytest.raises(InputError, match="no two pictures of one label"):
        training.pairs(training.TrainingSet("one", pictures.paths[:1], np.array([0]), ["r"]))


def worker(root):
    """What each of two processes does, and writes down."""
    patch, norm = pytest.MonkeyPatch(), {"freeze_norm": True}
    result = {loss: recorded(root, loss, patch, **norm) for loss in TRAIN}
    result["resumed"] = interrupted(root, "contrastive", patch, 5, checkpoint=root / "run.pt", **norm)
    result["free"] = recorded(root, "contrastive", patch)
    try:
        pictures = colours(root)
        retrieval.train(tiny(5), training.pairs(pictures), loss="contrastive", n_queries=1)
    except InputError as error:
        result["few"] = str(error)
    torch.save(result, root / f"{PartialState().process_index}.pt")
    PartialState().destroy_process_group()


if __name__ == "__main__":
    from pathlib import Path

    worker(Path(sys.argv[1]))
