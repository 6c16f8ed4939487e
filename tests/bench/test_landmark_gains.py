"""What the CNN methods must gain on a town that took no part in their making."""

import pytest

from foir_lib import load_model, load_set
from foir_lib.bench.landmark_experiment import LandmarkExperiment


@pytest.mark.slow
def test_co_attention_beats_its_gem_baseline_on_hard_pictures_of_a_held_out_town():
    town = load_set("mini-landmarks", seed=11)
    experiment = LandmarkExperiment(town, load_model("mini-cnn", device="cpu"), progress=False)
    gem, coattention = experiment.score("GeM"), experiment.score("CA")
    gain = {level: 100 * (coattention[level].map - gem[level].map) for level in town.protocols}
    assert gain["hard"] >= 10 and gain["medium"] >= 8 and gain["easy"] >= 3, gain
