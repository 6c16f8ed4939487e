"""Local features stored and clustered: what comes back is what was selected, from pictures of every awkward kind."""

import numpy as np
import pytest
import timm
import torch
from PIL import Image

from foir_lib import load_set
from foir_lib.errors import InputError
from foir_lib.methods import coattention
from foir_lib.models.cnn import CNN, Locals
from foir_lib.prompts import Mask
from foir_lib.retrievers import local_features
from foir_lib.retrievers.coattention import CoAttention, NormAttention
from foir_lib.retrievers.corpus import Corpus
from foir_lib.search import clusters

N, K = 40, 5


def noise(width, height, seed=0):
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8))


PICTURES = {
    "plain": noise(200, 120),
    "one pixel": Image.new("RGB", (1, 1), "red"),
    "smaller than a scale": noise(9, 7),
    "a line": noise(300, 1),
    "constant": Image.new("RGB", (90, 60), "grey"),
    "black": Image.new("RGB", (64, 64)),
}


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    """A corpus of all PICTURES, row by row, with a whitening layer and nothing to learn a PCA from."""
    folder = tmp_path_factory.mktemp("awkward")
    for i, picture in enumerate(PICTURES.values()):
        picture.save(folder / f"{i}.png")
    torch.manual_seed(0)
    net = timm.create_model("resnet10t", num_classes=0)
    model = CNN(net, "awkward", out_index=2, whiten=torch.nn.Linear(128, 24, bias=False))
    return Corpus(load_set("folder", root=folder), model, cache=tmp_path_factory.mktemp("store"), progress=False)


def selected(corpus, n=N):
    return [coattention.select(corpus.model.locals(picture), n) for picture in PICTURES.values()]


@pytest.mark.parametrize("stored", [True, False])
def test_what_comes_back_is_what_was_selected(corpus, stored, monkeypatch):
    if not stored:
        monkeypatch.setattr(local_features, "STORED", 0)
    assert local_features.stored(corpus.database, 5) == stored
    for row, (want, picture) in enumerate(zip(selected(corpus), PICTURES.values())):
        back = local_features.of_item(corpus.database, row, 5, N)
        assert len(back) == len(want) and (back.size or picture.size) == picture.size
        assert torch.allclose(back.features, want.features, rtol=1e-3, atol=1e-6)  # float16
        for name in ("positions", "scale", "norm", "cell"):
            assert torch.equal(getattr(back, name), getattr(want, name)), name
        few = local_features.of_item(corpus.database, row, 5, 3)
        assert len(few) == min(len(want), 3) and torch.equal(few.features, back.features[:3])
    counts = dict(zip(PICTURES, map(len, selected(corpus))))
    assert counts["plain"] == N and counts["one pixel"] == 5 < N, "fewer features than N: one for each scale"


def test_features_of_a_mask_are_those_whose_centres_lie_on_it(corpus):
    picture, painted = PICTURES["plain"], np.zeros((120, 200), bool)
    painted[20:70, 40:110] = True
    painted[20:40, 40:60] = False
    live = corpus.live(picture, [Mask(painted)])
    features = local_features.of_item(live, 0, 1, 500)
    assert 0 < len(features) < len(local_features.of_item(corpus.live(picture), 0, 1, 500)) / 4
    x, y = features.positions.long().T.numpy()
    assert painted[y, x].all()
    painted[:] = False
    painted[33, 61] = True  # no centre on it: all features of its box
    assert len(local_features.of_item(corpus.live(picture, [Mask(painted)]), 0, 1, N)) == 1


def test_every_picture_has_clusters_and_can_be_retrieved(corpus):
    grouped = CoAttention(n_features=N, n_clusters=K).describe(corpus.database)
    count, labels = grouped.read("count"), grouped.read("labels")
    for row, n in enumerate(map(len, selected(corpus))):
        assert (labels[row, n:] == -1).all() and set(labels[row, :n]) == set(range(count[row]))
        assert (grouped.read("clusters")[row, count[row] :] == 0).all()
    assert count[list(PICTURES).index("plain")] == K
    assert count[list(PICTURES).index("one pixel")] < K, "fewer features that differ than K"
    scores, ids = clusters.search(grouped.read("global"), grouped)
    assert np.isfinite(scores).all() and (np.sort(ids, 1) == np.arange(len(PICTURES))).all()


@pytest.mark.parametrize("method", ["kmeans", "spectral", "mean-shift"])
def test_other_ways_to_group(corpus, method):
    live = corpus.live(PICTURES["plain"])
    grouped = CoAttention(n_features=12, n_clusters=K, clustering=method, bandwidth=1e-3).describe(live)
    count, x = int(grouped.read("count")[0]), local_features.of_item(live, 0, 5, 12).features
    assert count == (12 if method == "mean-shift" else K)
    assert grouped.read("clusters").shape == (1, 12 if method == "mean-shift" else K, 24)
    want = coattention.clusters(x, coattention.cluster(x, K, method, 1e-3), 3.0, corpus.model.whiten)
    np.testing.assert_allclose(grouped.read("clusters")[0, :count], want, atol=2e-3)


def test_without_clusters_every_feature_stands_for_itself(corpus):
    live = corpus.live(PICTURES["plain"])
    grouped, x = NormAttention(n_features=12).describe(live), local_features.of_item(live, 0, 5, 12).features
    vectors = coattention.embedded(x, corpus.model.whiten)
    np.testing.assert_allclose(grouped.read("clusters")[0], vectors, atol=1e-3)
    want = (x.norm(dim=1)[:, None] * vectors).sum(0)
    np.testing.assert_allclose(grouped.read("attended")[0], want / want.norm(), atol=1e-5)


def test_features_of_zeros_score_nothing(corpus, monkeypatch):
    """A picture that no channel answers to: as a query and as a candidate."""
    live = corpus.live(PICTURES["plain"].copy())
    monkeypatch.setattr(corpus.model, "maps", lambda x: torch.zeros(1, corpus.model.dim, 2, 3))
    silent = CoAttention(n_features=N, n_clusters=K).describe(live)
    assert silent.read("count")[0] == 1
    database = CoAttention(n_features=N, n_clusters=K).describe(corpus.database)
    scores, _ = clusters.search(silent.read("global"), database)
    assert np.isfinite(scores).all()
    assert np.isfinite(clusters.search(database.read("global"), silent)[0]).all()


def test_nan_is_refused_before_it_is_stored(corpus, monkeypatch):
    with pytest.raises(InputError, match="NaN"):
        local_features.selected(Locals.from_map(torch.full((4, 2, 2), torch.nan), (6, 4)), N)
    broken = corpus.model.maps(corpus.model.preprocess(PICTURES["plain"])[None]).clone()
    broken[0, 3, 1, 1] = torch.nan
    monkeypatch.setattr(corpus.model, "maps", lambda x: broken)
    with pytest.raises(InputError, match="NaN"):
        CoAttention(n_features=N).describe(corpus.live(PICTURES["plain"].copy()))


def test_scales_are_those_of_the_paper():
    assert [len(local_features.scales_of(n)) for n in (1, 3, 5, 7)] == [1, 3, 5, 7]
    with pytest.raises(InputError, match="n_scales=2 is unknown: choose one of 1, 3, 5, 7"):
        local_features.scales_of(2)
