"""A training run by its recipe, a JSON file: in one process, or in one for each GPU.

torchrun --standalone --nproc-per-node 4 -m foir_lib.training.recipes recipe.json
"""

import inspect
import json
import subprocess
import sys
import time
from collections.abc import Callable
from operator import attrgetter
from pathlib import Path
from typing import NamedTuple

from accelerate import PartialState

from foir_lib.data import training
from foir_lib.data.readers import reading, tables
from foir_lib.errors import FoirError, InputError, count, unknown
from foir_lib.files import as_path, atomic_write, try_place
from foir_lib.models.zoo import load_model
from foir_lib.training import lora, objects, retrieval

DEFAULTS = {"loss": "arcface", "data_root": "", "options": {}, "weights": "", "train": {}}
NEEDED = ("name", "data", "model")
RECIPES = json.loads(Path(__file__).with_suffix(".json").read_text())  # of the losses' trainers; a batch of all processes


class Trainer(NamedTuple):
    """How a network learns by a loss, and how it is saved; ``options`` that say which loss; ``pictures(set)``: those it learns from."""

    train: Callable
    save: Callable
    options: dict
    pictures: Callable


TRAINERS = {loss: Trainer(retrieval.train, retrieval.save, {"loss": loss}, attrgetter("paths")) for loss in ("arcface", "contrastive")}
TRAINERS["info-nce"] = Trainer(objects.train, lora.save_merged, {}, attrgetter("database"))


def recipe(loss: str, data: str, model: str, processes: int = 1, train: dict | None = None, **keys) -> dict:
    """A recipe (dict) for :func:`launch`, with the small settings for mini sets, else the papers'.

    Those are co-attention section 6.1 for ArcFace, and section 7.8 for the contrastive loss, with Adam's rate, size and
    frozen batch norm of the public code of Radenović et al. for ResNet101; "Find your Needle", stage A, for InfoNCE with a
    LoRA. ``train``: what replaces them; ``keys``: others of :func:`run`.
    """
    if loss not in RECIPES["mini"]:
        raise unknown("loss", loss, RECIPES["mini"])
    train = RECIPES["mini" if data.startswith("mini-") else "paper"][loss] | (train or {})
    if train["batch"] % processes:
        raise InputError(f"A batch of {train['batch']} can't be shared by {processes} processes: give a multiple.")
    train["batch"] //= processes
    return {"name": f"{model}-{data}-{loss}", "model": model, "data": data, "loss": loss, "train": train} | keys


def run(path: str | Path) -> list[float]:
    """Train as the recipe at ``path`` says; at the end <name>.safetensors and its card <name>.json lie beside it.

    Keys: ``name``; ``model`` and ``weights`` to start from (the published ones unless given; a whitening layer is always
    new); ``loss``; ``data``, ``data_root`` and ``options`` of `training.load`; ``train``, further options of
    the loss's trainer, `retrieval.train` or `objects.train`. The state is saved in <name>.checkpoint: to run a recipe again is to go
    on with it. All processes of a run call this function. Returns the losses. Raises what those two raise, and
    InputError for a recipe that lacks a key or has one too many.
    """
    recipe, path = _read(path), as_path(path)
    try_place(path.with_name(f"{recipe['name']}.safetensors"))
    start, loss = time.perf_counter(), recipe["loss"]
    if loss not in TRAINERS:
        raise unknown("loss", loss, TRAINERS)
    trainer, pictures = TRAINERS[loss], training.load(recipe["data"], loss, recipe["data_root"], **recipe["options"])
    net = load_model(recipe["model"], weights=recipe["weights"] or None, device="cpu").net.requires_grad_(True)
    checkpoint = path.with_name(f"{recipe['name']}.checkpoint")
    trained, losses = trainer.train(net, pictures, **{"checkpoint": checkpoint} | trainer.options | recipe["train"])
    state = PartialState()
    facts = {"set": pictures.name, "n_pictures": len(trainer.pictures(pictures)), "recipe": recipe, "steps": len(losses)}
    facts |= {"processes": state.num_processes, "minutes": round((time.perf_counter() - start) / 60, 1)}
    if state.is_main_process:
        trainer.save(trained, recipe["name"], path.parent, losses, facts, about={})
    state.wait_for_everyone()
    return losses


def launch(recipe: dict, folder: str | Path, processes: int = 1) -> dict:
    """Write a recipe (dict) to ``folder`` and run it, here or as :func:`command` says; returns the card of its weights.

    The output of processes goes to <name>.log. Raises InputError with its last line when they fail.
    """
    folder, name = as_path(folder), _name(recipe["name"])
    count(processes, "processes")
    path = folder / f"{name}.recipe.json"
    atomic_write(path, json.dumps(recipe, indent=1) + "\n")
    if processes == 1:
        run(path)
    else:
        log = path.with_name(f"{name}.log")
        with log.open("w") as file:
            done = subprocess.run(command(path, processes), stdout=file, stderr=subprocess.STDOUT)
        if done.returncode:
            sentences = [line for line in log.read_text().splitlines() if line.startswith("foir: ")]
            raise InputError(sentences[-1][6:] if sentences else f"The processes of {name} failed: see {log}.")
    return json.loads((folder / f"{name}.json").read_text())


def command(path: str | Path, processes: int) -> list[str]:
    """What starts a recipe in many processes of one machine: torchrun, a list of words."""
    run_of = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(processes)]
    return [*run_of, "-m", "foir_lib.training.recipes", str(path)]


def _read(path):
    recipe = tables.read_json(reading.need(path, "recipe", "give the JSON file of one."))
    if not isinstance(recipe, dict):
        raise InputError(f"Recipe {path} holds no keys and values: it needs {', '.join(NEEDED)}.")
    for key in NEEDED:
        if key not in recipe:
            raise InputError(f"Recipe {path} lacks {key!r}: it needs {', '.join(NEEDED)}.")
    _name(recipe["name"])
    kinds = dict.fromkeys((*NEEDED, *DEFAULTS), str) | {"options": dict, "train": dict}
    for key, kind in kinds.items():
        if not isinstance(recipe.get(key, kind()), kind):
            what = "text" if kind is str else "keys and values"
            raise InputError(f"Recipe {path} has {key}={recipe[key]!r}, which is no {what}.")
    trainer = TRAINERS.get(recipe.get("loss"), TRAINERS[DEFAULTS["loss"]]).train
    known = inspect.signature(trainer).parameters.keys() - {"net", "pictures", "loss"}
    more = [key for key in recipe if key not in (*NEEDED, *DEFAULTS)]
    more += [key for key in recipe.get("train", ()) if key not in known]
    if more:
        raise InputError(f"Recipe {path} has {more[0]!r}, which is no option of a run or of {trainer.__module__.split('.')[-1]}.train.")
    return DEFAULTS | recipe


def _name(name):
    if not isinstance(name, str) or not name or Path(name).name != name:
        raise InputError(f"Name {name!r} of a recipe can't be a file's: give a word without a slash.")
    return name


if __name__ == "__main__":
    try:
        run(sys.argv[1])
    except FoirError as error:
        sys.exit(f"foir: {error}")
    finally:
        PartialState().destroy_process_group()
