"""A CNN's training run by its recipe, a JSON file: in one process, or in one for each GPU.

torchrun --standalone --nproc-per-node 4 -m foir_lib.models.cnn_run recipe.json
"""

import inspect
import json
import subprocess
import sys
import time
from pathlib import Path

from accelerate import PartialState

from foir_lib.data import reading, training
from foir_lib.errors import FoirError, InputError
from foir_lib.images import atomic_write
from foir_lib.models import cnn_train
from foir_lib.models.zoo import load_model

DEFAULTS = {"loss": "arcface", "data_root": "", "options": {}, "weights": "", "train": {}}
NEEDED = ("name", "data", "model")


def run(path):
    """Train as the recipe at ``path`` says; at the end <name>.safetensors and its card <name>.json lie beside it.

    Keys: ``name``; ``model`` and ``weights`` to start from (the published ones unless given; a whitening layer is always
    new); ``loss``; ``data``, ``data_root`` and ``options`` of `training.load`; ``train``, further options of
    `cnn_train.train`. All processes of a run call this function. Returns the losses. Raises what those two raise, and
    InputError for a recipe that lacks a key or has one too many.
    """
    recipe = _read(path)
    start, loss = time.perf_counter(), recipe["loss"]
    pictures = training.load(recipe["data"], loss, recipe["data_root"], **recipe["options"])
    net = load_model(recipe["model"], weights=recipe["weights"] or None, device="cpu").net.requires_grad_(True)
    retriever, losses = cnn_train.train(net, pictures, loss, **recipe["train"])
    state = PartialState()
    facts = {"set": pictures.name, "n_pictures": len(pictures.paths), "recipe": recipe, "steps": len(losses)}
    facts |= {"processes": state.num_processes, "minutes": round((time.perf_counter() - start) / 60, 1)}
    if state.is_main_process:
        cnn_train.save(retriever, recipe["name"], Path(path).parent, losses, facts, about={})
    state.wait_for_everyone()
    return losses


def launch(recipe, folder, processes=1):
    """Write a recipe (dict) to ``folder`` and run it, here or as :func:`command` says; returns the card of its weights.

    The output of processes goes to <name>.log. Raises InputError with its last line when they fail.
    """
    folder, name = Path(folder), recipe["name"]
    path = folder / f"{name}.recipe.json"
    atomic_write(path, json.dumps(recipe, indent=1) + "\n")
    if processes == 1:
        run(path)
    else:
        log = path.with_name(f"{name}.log")
        with log.open("w") as file:
            done = subprocess.run(command(path, processes), stdout=file, stderr=subprocess.STDOUT)
        if done.returncode:
            told = [line for line in log.read_text().splitlines() if line.startswith("foir: ")]
            raise InputError(told[-1][6:] if told else f"The processes of {name} failed: see {log}.")
    return json.loads((folder / f"{name}.json").read_text())


def command(path, processes):
    """What starts a recipe in many processes of one machine: torchrun, a list of words."""
    run_of = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(processes)]
    return [*run_of, "-m", "foir_lib.models.cnn_run", str(path)]


def _read(path):
    recipe = reading.read_json(reading.need(path, "recipe", "give the JSON file of one."))
    if not isinstance(recipe, dict):
        raise InputError(f"Recipe {path} holds no keys and values: it needs {', '.join(NEEDED)}.")
    missing = [key for key in NEEDED if key not in recipe]
    if missing:
        raise InputError(f"Recipe {path} lacks {missing[0]!r}: it needs {', '.join(NEEDED)}.")
    known = list(inspect.signature(cnn_train.train).parameters)[3:]
    more = [key for key in recipe if key not in (*NEEDED, *DEFAULTS)]
    more += [key for key in recipe.get("train", ()) if key not in known]
    if more:
        raise InputError(f"Recipe {path} has {more[0]!r}, which is no option of a run or of cnn_train.train.")
    return DEFAULTS | recipe


if __name__ == "__main__":
    try:
        run(sys.argv[1])
    except FoirError as error:
        sys.exit(f"foir: {error}")
    finally:
        PartialState().destroy_process_group()
