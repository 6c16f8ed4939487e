"""The weights of the mini models that come with the package, and their cards."""

import json
from pathlib import Path

FOLDER = Path(__file__).with_name("weights")
ABOUT = json.loads(Path(__file__).with_name("about.json").read_text())  # what cards of such weights say of use and limits


def weights_path(name: str) -> Path:
    """Path of shipped weights (safetensors); the model card lies beside them as .json."""
    return FOLDER / f"{name}.safetensors"


def card(name: str) -> dict:
    """The model card of shipped weights: data, recipe, time, held-out scores, sha256, ..."""
    return json.loads(weights_path(name).with_suffix(".json").read_text())
