"""R-MAC and regional attention of pictures, against the equations for one picture; what they need beside the network."""

import numpy as np
import pytest
import torch
from plainly import QUERY, crop, map_of, pictures

from foir_lib import load_model
from foir_lib.bench.experiment import Experiment
from foir_lib.errors import MissingError
from foir_lib.methods import pooling, regional_attention, regions
from foir_lib.retrievers.regions import attentions, pca_of


def by_hand(experiment, picture, scales=5, attention=None, context=True):
    x, pca = map_of(experiment, picture), pca_of(experiment.corpus)
    if not attention:
        return pooling.rmac(x, scales, pca)[0]
    with torch.inference_mode():
        return regional_attention.descriptor(x, experiment.corpus.attention[context], scales, pca)[0]


@pytest.mark.parametrize(
    ("text", "options"),
    [
        ("R-MAC", {}), ("R-MAC(scales=3)", {"scales": 3}), ("RA", {"attention": True}),
        ("RA(context=False)", {"attention": True, "context": False}), ("RA(scales=4)", {"attention": True, "scales": 4}),
    ],
)  # fmt: skip
def test_a_vector_is_that_of_the_equations(town, text, options):
    query = by_hand(town, crop(town), **options)
    want = torch.stack([by_hand(town, picture, **options) for picture in pictures(town)]) @ query
    ranking = town.ranking(text)
    np.testing.assert_allclose(ranking.scores[QUERY], want[ranking.ids[QUERY].copy()], atol=2e-5)


@pytest.mark.parametrize(("text", "context"), [("RPN", None), ("RPN+RA", True), ("RPN+RA(context=False)", False)])
def test_proposals_take_the_place_of_the_grid(tiny, text, context):
    experiment = tiny.experiment("cnn")
    corpus = experiment.corpus
    net, pca = corpus.attention.get(context), pca_of(corpus)

    def describe(picture):
        x = map_of(experiment, picture)
        at = regions.proposals(corpus.detector, picture, *x.shape[2:])
        assert len(at) > 1
        with torch.inference_mode():
            return regional_attention.descriptor(x, net, whiten=pca, at=at)[0]

    ranking = experiment.ranking(text)
    want = torch.stack([describe(picture) for picture in pictures(experiment)]) @ describe(crop(experiment, 5))
    np.testing.assert_allclose(ranking.scores[5], want[ranking.ids[5].copy()], atol=2e-5)


def test_what_is_missing_is_said(town, town_training, tmp_path):
    bare = Experiment(town.set, town.model, training=town_training, cache=tmp_path, progress=False)
    assert bare.lacks("RA") == "no regional attention with context at hand: give its weights"
    assert "without context" in bare.lacks("RA(context=False)") and not bare.lacks("R-MAC")
    assert bare.lacks("RPN") == "no detector at hand: give its weights" and "with context" in bare.lacks("RPN+RA")
    none = Experiment(town.set, town.model, attention=town.corpus.attention.values(), cache=tmp_path, progress=False)
    assert "no pictures at hand to learn a PCA from: give training_root" == none.lacks("R-MAC") == none.lacks("RA")


def test_an_embedded_network_brings_its_regional_attention(tmp_path):
    model = load_model("mini-cnn", device="cpu")
    assert sorted(net.context for net in attentions("", model)) == [False, True]
    saved = tmp_path / "one.safetensors"
    regional_attention.save(regional_attention.RegionalAttention(model.dim, 4), saved)
    assert [net.context for net in attentions(f" {saved},", model)] == [True], "weights that are named take their place"
    with pytest.raises(MissingError, match="nowhere"):
        attentions("nowhere.safetensors", model)
