"""Co-attention and its kin, from a picture to a score, against a plain derivation for one query"""

import dataclasses

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from plainly import QUERY, K, clusters_of, coattended, crop, embedded, global_of, local, pictures

from foir_lib.bench.experiment import Experiment
from foir_lib.methods import coattention
from foir_lib.models.cnn import CNN
from foir_lib.retrievers.coattention import CoAttention

SCORES = {
    f"CA(n_clusters={K})": lambda e, q, p: coattended(global_of(e, q), clusters_of(e, p)),
    f"CA(n_clusters={K}, temperature=1.0)": lambda e, q, p: coattended(global_of(e, q), clusters_of(e, p), 1.0),
    "CA(n_clusters=2)": lambda e, q, p: coattended(global_of(e, q), clusters_of(e, p, 2)),
    "NaiveCA": lambda e, q, p: coattended(global_of(e, q), embedded(e, local(e, p)[0]), 1.0),
    f"OneToMany(n_clusters={K}, how='max')": lambda e, q, p: (clusters_of(e, p) @ global_of(e, q)).max(),
    f"OneToMany(n_clusters={K}, how='mean')": lambda e, q, p: (clusters_of(e, p) @ global_of(e, q)).mean(),
    f"ManyToMany(n_clusters={K})": lambda e, q, p: (clusters_of(e, q) @ clusters_of(e, p).T).amax(1).mean(),
    f"ManyToMany(n_clusters={K}, local='mean', image='max')": lambda e, q, p: (clusters_of(e, q) @ clusters_of(e, p).T).mean(1).amax(),
}


@pytest.mark.parametrize("text", SCORES)
def test_a_score_is_that_of_the_equations(town, text):
    ranking = town.ranking(text)
    want = [float(SCORES[text](town, crop(town), picture)) for picture in pictures(town)]
    np.testing.assert_allclose(ranking.scores[QUERY], np.array(want)[ranking.ids[QUERY]], atol=3e-3)  # float16


def test_attention_that_does_not_know_the_query(town):
    ranking = town.ranking("NormAttention")
    query, picture = (
        F.normalize((norm[:, None] * embedded(town, x)).sum(0), dim=0)
        for x, norm in (local(town, p) for p in (crop(town), pictures(town)[2]))
    )
    assert ranking.scores[QUERY][ranking.ids[QUERY] == 2] == pytest.approx(float(query @ picture), abs=1e-3)  # float16


def test_other_clusterings_and_dimensions(town):
    corpus = town.corpus

    def described(part, **options):
        return corpus.described(CoAttention(**options), part)

    few = described(corpus.database, clustering="mean-shift", bandwidth=1e6).read("count")
    many = described(corpus.database, clustering="mean-shift", bandwidth=1e-6).read("count")
    assert (few == 1).all() and (many > 10).all()
    spectral = described(corpus.database, n_clusters=K, clustering="spectral")
    assert set(spectral.read("count")) <= {1, 2, K} and spectral.read("clusters").shape[1] == K
    assert described(corpus.queries(), n_clusters=K, dim=5).read("global").shape == (2, 5)
    assert described(corpus.queries(), n_clusters=K).read("global").shape[1] == 11, "12 training pictures"


def test_training_pictures_are_not_the_benchmark_s_and_features_are_made_once(town, town_training, monkeypatch):
    assert not set(town_training) & set(town.set.images["path"])
    text = f"CA(n_clusters={K})"
    again = Experiment(town.set, town.model, training=town_training, cache=town.corpus.cache, progress=False)
    want = town.ranking(text)
    monkeypatch.setattr(CNN, "maps", lambda *_: pytest.fail("the network ran again"))
    np.testing.assert_array_equal(again.ranking(text).scores, want.scores)


def test_what_is_missing_is_said(town, tmp_path):
    none = Experiment(town.set, town.model, cache=tmp_path, progress=False)
    assert none.lacks("CA(dim=11)") == "no pictures at hand to learn a PCA to 11 dimensions from: give training_root"
    assert none.lacks("CA(ivf=True)") == "no pictures at hand to learn visual words from: give training_root"
    assert not none.lacks("CA(dim=12)") and not none.lacks("GeM") and not town.lacks("CA(dim=11)")


def test_a_map_shows_the_weights_of_a_picture_s_clusters(town):
    corpus, retriever, row = town.corpus, CoAttention(n_clusters=K), 4
    (heat,) = retriever.explain(corpus, corpus.queries(), QUERY, [row])
    width, height = corpus.database.sizes[row]
    assert heat.shape == tuple(round(160 * side / max(width, height)) for side in (height, width))
    features = retriever.locals_of(corpus, row)
    x = pictures(town)[row]
    labels, clusters = coattention.cluster(local(town, x)[0], K), clusters_of(town, x)
    a = torch.softmax(10 * (clusters @ global_of(town, crop(town))), 0)[labels]
    want = coattention.attention_map(features, a / a.sum(), heat.shape).numpy()
    np.testing.assert_allclose(heat, want, atol=3e-3 * want.max())
    assert heat.min() >= 0 and heat.max() > 0


def test_on_boxes_of_objects_too(tiny):
    """A set of another family, whose pictures are queries and database at once."""
    experiment = tiny.experiment("cnn")
    x = pictures(experiment)[3]
    features, pca = experiment.model.locals(x, (1.0,)), CoAttention(n_scales=1).embedding(experiment.corpus)
    clusters = coattention.clusters(*_selected(features), 3.0, *pca)
    query = coattention.query(_selected(experiment.model.locals(crop(experiment, 1), (1.0,)))[0], 3.0, *pca)
    ranking = experiment.ranking("CA(n_scales=1)")
    got = ranking.scores[1][ranking.ids[1] == 3]
    assert got == pytest.approx(float(coattention.scores(query, clusters[None])[0]), abs=3e-3)
    assert dataclasses.replace(CoAttention(), n_scales=1).n_of(experiment.corpus) == 12, "N is the set's"


def _selected(features):
    x = coattention.select(features, 12).features
    return x, coattention.cluster(x, 10)
