"""Local features kept and clustered: what comes back is what was selected, from pictures of every awkward kind."""

import numpy as np
import pytest
import torch
from PIL import Image

from foir_lib import load_model
from foir_lib.errors import InputError
from foir_lib.methods import coattention, whitening
from foir_lib.models.cnn import Locals
from foir_lib.retrievers import local_features
from foir_lib.search import clusters
from foir_lib.store import features as store

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
def cnn():
    torch.manual_seed(0)
    return load_model("resnet10t", pretrained=False, device="cpu", out_index=2)


@pytest.fixture(scope="module")
def kept(cnn, tmp_path_factory):
    """What is kept of all PICTURES, and their clusters."""
    root, found = tmp_path_factory.mktemp("store"), [cnn.locals(picture) for picture in PICTURES.values()]
    options = {"root": root, "shard": 4, "progress": False}
    features = store.each({"what": "f"}, len(found), lambda row: local_features.selected(found[row], N), **options)

    def grouped(row):
        return local_features.clustered(local_features.read(features, row).features, cnn, N, K)

    return found, features, store.each({"what": "c"}, len(found), grouped, **options)


def test_what_comes_back_is_what_was_selected(kept):
    found, features, _ = kept
    for row, (one, picture) in enumerate(zip(found, PICTURES.values())):
        want, back = coattention.select(one, N), local_features.read(features, row, size=picture.size)
        assert len(back) == min(len(one), N) and back.size == picture.size
        assert torch.allclose(back.features, want.features, rtol=1e-3, atol=1e-6)  # float16
        for name in ("positions", "scale", "norm", "cell"):
            assert torch.equal(getattr(back, name), getattr(want, name)), name
        few = local_features.read(features, row, 3)
        assert len(few) == min(len(one), 3) and torch.equal(few.features, back.features[:3]) and few.size is None
    counts = dict(zip(PICTURES, features.read("count").tolist()))
    assert counts["plain"] == N and counts["one pixel"] == 5 < N, "fewer features than N: one for each scale"


def test_every_picture_has_clusters_and_can_be_found(kept):
    _, features, grouped = kept
    count, labels = grouped.read("count"), grouped.read("labels")
    for row, n in enumerate(features.read("count")):
        assert (labels[row, n:] == -1).all() and set(labels[row, :n]) == set(range(count[row]))
        assert (grouped.read("clusters")[row, count[row] :] == 0).all()
    assert count[list(PICTURES).index("plain")] == K
    assert count[list(PICTURES).index("one pixel")] < K, "fewer features that differ than K"
    scores, ids = clusters.search(grouped.read("global"), grouped)
    assert np.isfinite(scores).all() and (np.sort(ids, 1) == np.arange(len(PICTURES))).all()


def test_features_of_zeros_score_nothing(cnn, tmp_path):
    """A picture that no channel answers to: as a query and as a candidate it scores 0 against all."""
    silent = Locals.from_map(torch.zeros(cnn.dim, 2, 3), (6, 4))
    found = [silent, cnn.locals(PICTURES["plain"])]
    one = lambda row: local_features.clustered(coattention.select(found[row], N).features, cnn, N, K)  # noqa: E731
    grouped = store.each({"what": "silent"}, 2, one, root=tmp_path, progress=False)
    assert grouped.read("count")[0] == 1
    scores, _ = clusters.search(grouped.read("global"), grouped, k=None)
    assert np.isfinite(scores).all() and scores[1].max() > 0.5


def test_nan_is_refused_before_it_is_kept(cnn, tmp_path):
    broken = cnn.locals(PICTURES["plain"])
    broken.features[7, 3] = torch.nan
    for call in (
        lambda row: local_features.selected(broken, N),
        lambda row: local_features.clustered(broken.features, cnn, N),
    ):
        with pytest.raises(InputError, match="NaN"):
            store.each({"what": "nan"}, 1, call, root=tmp_path, progress=False)


@pytest.mark.parametrize("method", ["none", "mean-shift", "spectral"])
def test_other_ways_to_group(kept, cnn, method):
    x = local_features.read(kept[1], 0, 12).features
    pca = whitening.fit(np.random.default_rng(0).random((30, cnn.dim)), 6)
    got = local_features.clustered(x, cnn, N, K, method, bandwidth=1e-3, pca=pca)
    count = int(got["count"])
    assert count == (K if method == "spectral" else 12) and got["clusters"].shape == (
        N if method != "spectral" else K,
        6,
    )
    assert torch.allclose(got["clusters"][:count].float().norm(dim=1), torch.ones(count), atol=2e-3)
    if method == "none":
        vectors = coattention.embedded(x, pca=pca)
        assert torch.allclose(got["clusters"][:12].float(), vectors, atol=1e-3)
        want = (x.norm(dim=1)[:, None] * vectors).sum(0)
        assert torch.allclose(got["attended"], want / want.norm(), atol=1e-5)
