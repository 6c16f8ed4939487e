"""One vector a picture: pooled, whitened, summed over scales, against the equations for one picture."""

import numpy as np
import pytest
import timm
import torch
import torch.nn.functional as F
from plainly import QUERY, SCALES, crop, map_of, pictures

from foir_lib.bench.experiment import Experiment
from foir_lib.errors import InputError
from foir_lib.methods import pooling
from foir_lib.models.cnn import CNN
from foir_lib.prompts import Box, Mask
from foir_lib.retrievers.pooling import CAM, GeM, pca_of


def gem(experiment, picture, scales=SCALES):
    with torch.inference_mode():
        parts = [experiment.model.whiten(pooling.gem(map_of(experiment, picture, s))) for s in scales]
        return F.normalize(sum(F.normalize(x, dim=-1) for x in parts), dim=-1)[0]


def pooled(kind):
    def describe(experiment, picture):
        x = getattr(pooling, kind)(map_of(experiment, picture))
        return pooling.processed(x, pca_of(experiment.corpus, kind))[0]

    return describe


BY_HAND = {
    "GeM": gem, "GeM(n_scales=1)": lambda e, p: gem(e, p, (1.0,)), "SPoC": pooled("spoc"), "MAC": pooled("mac"), "CroW": pooled("crow"),
}  # fmt: skip


@pytest.mark.parametrize("text", BY_HAND)
def test_a_vector_is_that_of_the_equations(town, text):
    query = BY_HAND[text](town, crop(town))
    want = torch.stack([BY_HAND[text](town, picture) for picture in pictures(town)]) @ query
    ranking = town.ranking(text)
    np.testing.assert_allclose(ranking.scores[QUERY], want[ranking.ids[QUERY].copy()], atol=2e-5)
    assert sorted(ranking.ids[QUERY]) == list(range(len(want))), "the whole database is ranked"


def test_a_whole_picture_asks(town):
    whole = town.set.open(town.set.queries["image_id"].iloc[QUERY])
    ranking = town.ranking("GeM", whole=True)
    want = gem(town, whole) @ gem(town, pictures(town)[0])
    assert ranking.scores[QUERY][ranking.ids[QUERY] == 0] == pytest.approx(float(want), abs=2e-5)


def test_a_crop_is_described_at_the_scale_of_its_picture(town, monkeypatch):
    monkeypatch.setattr(town.model, "longest", 100)
    picture = pictures(town)[0].resize((400, 200))
    painted = np.zeros((200, 400), bool)
    painted[20:40, 10:50] = True
    part = town.corpus.live(picture, [Box(-5, 10, 50.5, 30), Mask(painted)])
    cut = part.cut(0)
    assert cut.picture.size == (51, 20) and cut.corner == (0, 10) and cut.longest == pytest.approx(51 / 4) and cut.size == (400, 200)
    assert part.cut(1).picture.size == (40, 20) and part.mask(0) is None and (part.mask(1) == painted).all()
    assert town.corpus.live(picture).cut(0).picture.size == (400, 200), "without a prompt the whole picture"
    monkeypatch.setattr(town.model, "longest", 1024)
    assert town.corpus.live(picture, [Box(0, 0, 40, 20)]).cut(0).longest == 40


def test_without_a_whitening_layer_a_pca_takes_its_place(town, town_training, tmp_path):
    torch.manual_seed(0)
    model = CNN(timm.create_model("resnet10t", num_classes=7), "bare-cnn", out_index=2)
    bare = Experiment(town.set, model, training=town_training, cache=tmp_path, progress=False)
    scales = [pooling.processed(pooling.gem(map_of(bare, crop(bare), s)), pca_of(bare.corpus, "gem")) for s in SCALES]
    query = bare.corpus.described(GeM(), bare.corpus.queries()).read("descriptor")[QUERY]
    np.testing.assert_allclose(query, F.normalize(sum(scales), dim=-1)[0], atol=2e-5)
    none = Experiment(town.set, model, cache=tmp_path, progress=False)
    assert "no pictures at hand to learn a PCA from" in none.lacks("GeM")


def test_cam_needs_the_network_s_own_classifier(town):
    assert town.lacks(CAM()) == "few-cnn has no classifier", "its map is that of stage 2"
    with pytest.raises(InputError, match="CAM can't be asked on mini-landmarks .*: few-cnn has no classifier."):
        town.ranking("CAM")


def test_cam_by_hand(tiny):
    experiment = tiny.experiment("cnn")
    ranking, corpus = experiment.ranking("CAM(n_maps=2)"), experiment.corpus
    pca = corpus.learned(("PCA of classes", 2), lambda: pytest.fail("learned again"))
    vectors = [pooling.cam(map_of(experiment, p), *experiment.model.classifier, 2, pca)[0] for p in (crop(experiment, 4), *pictures(experiment))]
    want = torch.stack(vectors[1:]) @ vectors[0]
    np.testing.assert_allclose(ranking.scores[4], want[ranking.ids[4].copy()], atol=2e-5)
