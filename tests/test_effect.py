"""The one number the embedded world stands for: head selection gains, random heads don't.

On worlds drawn from seeds that played no part in making the models or the notebooks.
"""

import pytest

from foir_lib import load_model, load_set
from foir_lib.bench.experiment import Experiment


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1001, 1002])
def test_chosen_heads_gain_and_random_heads_do_not(seed, tmp_path, monkeypatch):
    monkeypatch.setenv("FOIR_CACHE", str(tmp_path))
    experiment = Experiment(load_set("mini-focus", seed=seed), load_model("mini-vit", device="cpu"), progress=False)
    assert len(experiment.set.query_images) >= 300 and len(experiment.set.database) >= 1500
    assert experiment.set.objects["label"].nunique() >= 20
    plain = 100 * experiment.score("CBIR").mp
    chosen = 100 * experiment.score("PHS", h_on=5).mp
    drawn = 100 * experiment.score("Random heads", h_on=5).mp
    assert chosen >= plain + 3
    assert drawn <= plain
    assert 30 < plain < 70  # neither hopeless nor solved
