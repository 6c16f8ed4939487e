"""Co-attention: the closed form against the written-out equations, clustering by hand, every edge of the issue."""

import math

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from sklearn.cluster import KMeans

from foir_lib.errors import InputError
from foir_lib.methods import clustering
from foir_lib.methods import coattention as ca
from foir_lib.methods.whitening import fit
from foir_lib.models.cnn import Locals


def draw(*shape, seed=0, dtype=torch.float64):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def unit(v):
    return v / v.norm(dim=-1, keepdim=True)


def local_features(features, scale=1.0, size=(40, 40)):
    """Locals of a map of one row."""
    return Locals.from_map(features.T[:, None], size, scale)


# --- selection -------------------------------------------------------------------------------------


def test_the_largest_norms_are_selected_and_ties_go_to_the_earlier():
    features = torch.tensor([[1.0, 0], [0, 3], [2, 0], [0, 2], [3, 0], [0, 0]])
    assert ca.select(local_features(features), 4).features.tolist() == [[0, 3], [3, 0], [2, 0], [0, 2]]
    some = ca.select(local_features(features), 3)
    assert some.positions[:, 0].tolist() == pytest.approx([(i + 0.5) * 40 / 6 for i in (1, 4, 2)])


def test_fewer_features_than_n_are_all_of_them():
    result = ca.select(local_features(draw(7, 3)), 500)
    assert len(result) == 7 and (result.norm.diff() <= 0).all()


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_features_that_are_no_numbers(bad):
    features = draw(7, 3)
    features[2, 1] = bad
    for call in (lambda: ca.select(local_features(features)), lambda: ca.cluster(features), lambda: ca.query(features)):
        with pytest.raises(InputError, match="1 of 7 features hold NaN or infinity"):
            call()
    for value in (0, -1, 2.0, True):
        with pytest.raises(InputError, match="must be a whole number"):
            ca.select(local_features(draw(7, 3)), value)
        with pytest.raises(InputError, match="must be a whole number"):
            ca.cluster(draw(7, 3), value)


# --- clustering ------------------------------------------------------------------------------------


def test_farthest_first_by_hand():
    x = torch.tensor([[1.0, 0], [9, 0], [9, 1], [0, 0], [4, 6]])
    assert clustering.farthest_first(x, 3) == [2, 3, 4]  # norm 9.06, then the farthest from (9, 1), then from both
    assert clustering.farthest_first(x, 9) == [
        2,
        3,
        4,
        0,
        1,
    ]  # all, the last two 1 away from one chosen: the earlier first
    assert clustering.farthest_first(torch.ones(5, 2), 3) == [0]
    tied = torch.tensor([[0.0, 1], [1, 0], [0, -1], [-1, 0]])
    assert clustering.farthest_first(tied, 3) == [0, 2, 1]


@settings(max_examples=30)
@given(st.integers(1, 60), st.integers(1, 12), st.integers(0, 999))
def test_k_means_is_lloyds_from_the_farthest_first_centres(n, k, seed):
    x = draw(n, 4, seed=seed)
    labels = ca.cluster(x, k)
    start = x[clustering.farthest_first(x, k)].numpy()
    want = KMeans(len(start), init=start, n_init=1, tol=0, algorithm="lloyd", max_iter=1000).fit_predict(x.numpy())
    same = labels[:, None] == labels[None]
    assert np.array_equal(same.numpy(), want[:, None] == want[None])


@given(st.integers(1, 40), st.integers(1, 8), st.integers(0, 999))
def test_labels_are_whole_and_a_fixed_point(n, k, seed):
    x = draw(n, 3, seed=seed).round()  # ties and repeated features
    labels = ca.cluster(x, k)
    assert torch.equal(labels, ca.cluster(x, k))
    used = labels.unique()
    assert torch.equal(used, torch.arange(len(used))) and len(used) <= k
    firsts = [int((labels == i).nonzero()[0]) for i in used]
    assert firsts == sorted(firsts)
    centres = torch.stack([x[labels == i].mean(0) for i in used])
    own = (x - centres[labels]).norm(dim=1)
    assert (own <= torch.cdist(x, centres).amin(1) + 1e-9).all()


def test_a_feature_as_near_to_two_centres_goes_to_the_one_chosen_first():
    assert ca.cluster(torch.tensor([[0.0], [2.0], [1.0]]), 2).tolist() == [0, 1, 1]
    assert ca.cluster(torch.tensor([[0.0], [-2.0], [-1.0]]), 2).tolist() == [0, 1, 1]


def test_fewer_features_than_k_and_features_that_are_the_same():
    assert ca.cluster(draw(3, 4), 10).tolist() == [0, 1, 2]
    for method in ca.METHODS:
        assert ca.cluster(torch.ones(6, 4), 3, method).tolist() == [0] * 6
        assert ca.cluster(torch.zeros(1, 4), 3, method).tolist() == [0]
        assert ca.cluster(torch.eye(4)[[2, 0, 2, 0]] * 9, 3, method).tolist() == [0, 1, 0, 1]


def test_a_cluster_that_runs_empty_is_dropped(monkeypatch):
    """Two starting centres on one spot: the second never gets a feature."""
    x = torch.tensor([[0.0], [0.1], [5.0]])
    monkeypatch.setattr(clustering, "farthest_first", lambda features, n: [0, 0, 2])
    assert clustering.kmeans(x, 3).tolist() == [0, 0, 1]


@pytest.mark.parametrize("method", ca.METHODS)
def test_every_method_finds_clear_groups(method):
    centres = 10 * torch.eye(3, 5)
    truth = torch.tensor([0, 1, 2, 2, 1, 0] * 5)
    x = centres[truth] + 0.1 * draw(30, 5, dtype=torch.float32)
    labels = ca.cluster(x, 3, method, bandwidth=1.0)
    assert torch.equal(labels, ca.cluster(x, 3, method, bandwidth=1.0)) and labels.dtype == torch.long
    assert torch.equal(labels[:, None] == labels[None], truth[:, None] == truth[None])


def test_mean_shift_with_a_gaussian_kernel():
    """Two points d apart share a mode while d <= 2 bandwidths, and have one each beyond (their density's two peaks)."""
    for d, n in ((1.9, 1), (2.5, 2)):
        assert len(clustering.mean_shift(torch.tensor([[0.0], [d]]), 1.0).unique()) == n
    x = draw(40, 3)
    numbers = [len(ca.cluster(x, method="mean-shift", bandwidth=b).unique()) for b in (0.05, 0.5, 5)]
    assert numbers[0] == 40 and numbers[0] > numbers[1] > numbers[2] == 1
    with pytest.raises(InputError, match="bandwidth=0"):
        ca.cluster(x, method="mean-shift", bandwidth=0)
    with pytest.raises(InputError, match="no clustering method 'k-means'"):
        ca.cluster(x, method="k-means")


# --- clusters and query ----------------------------------------------------------------------------


def test_clusters_are_gem_whitening_pca_l2():
    x = draw(20, 6).abs()
    labels = torch.tensor([0, 1, 1, 2] * 5)
    layer, pca = torch.nn.Linear(6, 5).double().requires_grad_(False), fit(draw(40, 5), 3, whiten=False)
    result = ca.clusters(x, labels, 3.0, layer, pca)
    for k in range(3):
        v = (x[labels == k] ** 3).mean(0) ** (1 / 3)
        v = (v @ layer.weight.T + layer.bias - torch.from_numpy(pca.mean)) @ torch.from_numpy(pca.matrix).double().T
        assert torch.allclose(result[k], unit(v))
    one = ca.clusters(x, torch.zeros(20, dtype=torch.long), 3.0, layer, pca)
    assert torch.allclose(ca.query(x, 3.0, layer, pca), one[0])
    assert torch.allclose(ca.query(x), unit((x**3).mean(0) ** (1 / 3)))


def test_pictures_with_few_clusters_are_padded():
    array, count = ca.stacked([draw(2, 4), draw(3, 4), draw(1, 4)])
    assert array.shape == (3, 3, 4) and count.tolist() == [2, 3, 1] and not array[2, 1:].any()
    assert ca.stacked([draw(2, 4)], 10)[0].shape == (1, 10, 4)


# --- scores ----------------------------------------------------------------------------------------


def written_out(q, x, temperature, normalised):
    """Equations 8 to 10 for one query and the clusters (K, d) of one picture."""
    cosine = [float(q @ v / (q.norm() * v.norm())) for v in x]
    if normalised:
        total = sum(math.exp(temperature * c) for c in cosine)
        a = [math.exp(temperature * c) / total for c in cosine]
    else:
        a = cosine
    v = sum(w * row for w, row in zip(a, x, strict=True)) / len(x)
    return float(q @ v / (q.norm() * v.norm())) if v.norm() > 0 else 0.0


shapes = st.tuples(st.integers(1, 9), st.integers(1, 7), st.integers(1, 9))


@given(
    shapes, st.sampled_from((0.0, 1.0, 10.0, 40.0)), st.booleans(), st.integers(1, 9), st.integers(0, 9999), st.data()
)
def test_the_closed_form_is_the_equations(shape, temperature, normalised, n_queries, seed, data):
    x, q = unit(draw(*shape, seed=seed)), unit(draw(n_queries, shape[2], seed=seed + 1))
    count = torch.tensor(data.draw(st.lists(st.integers(1, shape[1]), min_size=shape[0], max_size=shape[0])))
    want = torch.tensor(
        [[written_out(v, x[i, : count[i]], temperature, normalised) for i in range(len(x))] for v in q]
    ).double()
    options = {"temperature": temperature, "normalised": normalised, "count": count}
    # what stands in padded rows doesn't matter
    for gram in (None, ca.grams(x)):
        for chunk in (2, None):
            got = ca.scores(q, x, gram=gram, chunk=chunk, **options)
            assert torch.allclose(got, want, atol=1e-5)
    assert torch.allclose(ca.scores(q[0], x, **options), want[0], atol=1e-5)


@given(st.integers(2, 12), st.integers(0, 999), st.booleans())
def test_it_holds_in_float32_and_nearly_in_float16(k, seed, normalised):
    """Clusters of one picture lean the same way, as those after a ReLU do."""
    x, q = unit(draw(6, k, 64, seed=seed).abs()), unit(draw(64, seed=seed + 1).abs())
    want = torch.tensor([written_out(q, picture, 10.0, normalised) for picture in x])
    single = ca.scores(q.float(), x.float(), normalised=normalised)
    assert single.dtype == torch.float32 and torch.allclose(single, want, atol=1e-5)
    half = ca.scores(q.float(), x.half(), normalised=normalised)
    assert half.dtype == torch.float32 and torch.allclose(half, want, atol=2e-3)
    assert torch.allclose(ca.scores(q.float(), 3 * x.float(), normalised=normalised), want, atol=1e-5)  # cosines only


def test_a_memory_map_is_read_chunk_by_chunk(tmp_path):
    x = unit(draw(50, 4, 8)).half().numpy()
    stored = np.lib.format.open_memmap(tmp_path / "x.npy", "w+", np.float16, x.shape)
    stored[:] = x
    stored.flush()
    stored = np.load(tmp_path / "x.npy", mmap_mode="r")
    read = []

    class Watched(np.memmap):
        def __getitem__(self, rows):
            read.append(rows.stop - rows.start)
            return np.asarray(self)[rows]

    q = unit(draw(8)).float()
    want = ca.scores(q, torch.from_numpy(x))
    assert torch.allclose(ca.scores(q, stored.view(Watched), chunk=16), want, atol=1e-6)
    assert read == [16] * 4  # never the whole
    gram = ca.grams(torch.from_numpy(x).float()).numpy()
    assert torch.allclose(ca.scores(q, stored, gram=gram, count=np.full(50, 4)), want, atol=1e-6)


def test_scores_by_hand():
    q = torch.tensor([1.0, 0.0])
    x = torch.tensor([[[1.0, 0], [0, 1]], [[0, 1], [0, 1]], [[-1, 0], [1, 0]], [[0.6, 0.8], [0.6, 0.8]]])
    got = ca.scores(q, x, temperature=math.log(3))  # weights 3/4, 1/4; then 1/2, 1/2; 1/10, 9/10; 1/2, 1/2
    assert torch.allclose(got, torch.tensor([3 / 10**0.5, 0.0, 1.0, 0.6]), atol=1e-6)
    raw = ca.scores(q, x, normalised=False)  # weights 1, 0; 0, 0; -1, 1; 0.6, 0.6
    assert torch.allclose(raw, torch.tensor([1.0, 0.0, 1.0, 0.6]))
    assert torch.allclose(ca.scores(q, x, temperature=200.0)[0], torch.tensor(1.0))  # the best cluster alone
    assert torch.allclose(ca.weights(q, x[0], math.log(3)), torch.tensor([0.75, 0.25]))
    assert ca.weights(q, x[2], normalised=False).tolist() == [-1, 1]


def test_opposite_clusters_that_cancel_score_nothing():
    q, x = torch.tensor([0.0, 1.0]), torch.tensor([[[1.0, 0], [-1, 0]]])
    assert ca.scores(q, x).tolist() == [0] and ca.scores(q, x, gram=ca.grams(x)).tolist() == [0]


@given(st.integers(0, 999))
def test_the_order_of_clusters_and_pictures_does_not_matter(seed):
    x, q = unit(draw(5, 6, 8, seed=seed)), draw(8, seed=seed + 1)
    order, rows = torch.randperm(6), torch.randperm(5)
    assert torch.allclose(ca.scores(q, x[rows][:, order]), ca.scores(q, x)[rows])
    assert ((got := ca.scores(q, x)).abs() <= 1 + 1e-9).all() and torch.allclose(ca.scores(7 * q, x), got)


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda q, x: ca.scores(q[:3], x), "(3,) doesn't fit clusters of shape (5, 4, 8)"),
        (lambda q, x: ca.scores(q, x, count=torch.tensor([1, 2, 3, 4, 0])), "5 numbers from 1 to 4"),
        (lambda q, x: ca.scores(q, x, count=torch.tensor([1, 2, 3, 4, 5])), "5 numbers from 1 to 4"),
        (lambda q, x: ca.scores(q, x, count=torch.ones(4)), "5 numbers from 1 to 4"),
        (lambda q, x: ca.scores(q * math.nan, x), "hold NaN"),
        (
            lambda q, x: ca.scores(q, x.index_fill(0, torch.tensor(3), math.nan), chunk=2),
            "Clusters of picture 3 hold NaN",
        ),
        (lambda q, x: ca.one_to_many(q, x, "median"), "no reduction 'median': did you mean mean"),
        (lambda q, x: ca.many_to_many(x[0], x, "max", "sum"), "no reduction 'sum'"),
        (lambda q, x: ca.many_to_many(q, x), "(8,) must be (K, d)"),
    ],
)
def test_what_does_not_fit(call, says):
    with pytest.raises(InputError) as error:
        call(draw(8), draw(5, 4, 8))
    assert says in str(error.value)


def test_no_pictures_no_scores():
    assert ca.scores(draw(8), draw(0, 4, 8)).shape == (0,)


# --- variants --------------------------------------------------------------------------------------


def test_naive_is_eqs_6_and_7():
    q, x, count = unit(draw(8)), unit(draw(5, 30, 8, seed=1)), torch.tensor([30, 1, 7, 30, 12])
    want = torch.tensor([written_out(q, x[i, : count[i]], 1.0, True) for i in range(5)]).double()
    assert torch.allclose(ca.naive(q, x, count=count, chunk=2), want)
    a = ca.weights(q, x, 1.0)
    assert torch.allclose(ca.weighted(x, a) @ q, ca.naive(q, x)) and torch.allclose(a.sum(1), torch.ones(5).double())
    mask = torch.arange(30) < count[:, None]
    assert torch.allclose(ca.weighted(x, ca.weights(q, x, 1.0, mask=mask)) @ q, want)


def test_l2_norm_attention():
    assert ca.norm_weights(torch.tensor([1.0, 3.0])).tolist() == [0.25, 0.75]
    assert ca.norm_weights(torch.zeros(2)).tolist() == [0, 0]


def softmax_weighted(values, temperature):
    total = sum(math.exp(temperature * v) for v in values)
    return sum(v * math.exp(temperature * v) / total for v in values)


REDUCE = {"max": lambda v, t: max(v), "mean": lambda v, t: sum(v) / len(v), "softmax": softmax_weighted}


@pytest.mark.parametrize("how", REDUCE)
@pytest.mark.parametrize("temperature", [1.0, 10.0])
def test_one_to_many(how, temperature):
    q, x, count = unit(draw(3, 8)), unit(draw(5, 4, 8, seed=1)), torch.tensor([4, 1, 2, 3, 4])
    want = [[REDUCE[how]([float(v @ row) for row in x[i, : count[i]]], temperature) for i in range(5)] for v in q]
    assert torch.allclose(ca.one_to_many(q, x, how, temperature, count), torch.tensor(want).double())
    assert torch.allclose(ca.one_to_many(q[0], x, how, temperature, count), torch.tensor(want[0]).double())


@pytest.mark.parametrize("local", REDUCE)
@pytest.mark.parametrize("image", REDUCE)
def test_many_to_many_in_all_nine_ways(local, image):
    q, x, count = unit(draw(3, 8)), unit(draw(5, 4, 8, seed=1)), torch.tensor([4, 1, 2, 3, 4])
    want = []
    for i in range(5):
        m = [[float(a @ b) for b in x[i, : count[i]]] for a in q]  # eq. 14
        s = [REDUCE[local](row, 1.0) for row in m]  # eq. 15
        want.append(REDUCE[image](s, 1.0))  # eq. 16
    assert torch.allclose(ca.many_to_many(q, x, local, image, count=count), torch.tensor(want).double())


def test_a_picture_against_itself_is_a_perfect_match():
    x = unit(draw(4, 8))
    assert ca.many_to_many(x, x[None]).item() == pytest.approx(1)
    assert ca.one_to_many(x[2], x[None]).item() == pytest.approx(1)


# --- maps ------------------------------------------------------------------------------------------


def test_maps_accumulate_all_scales_on_the_picture():
    fine = Locals.from_map(torch.zeros(1, 2, 4), (8, 4), 1.0)
    coarse = Locals.from_map(torch.zeros(1, 1, 2), (8, 4), 0.5)
    result = Locals.merged([fine, coarse])[torch.tensor([0, 6, 9])]  # upper left, lower third, right half
    heat = ca.attention_map(result, torch.tensor([0.5, 0.25, 1.0]))
    want = torch.zeros(4, 8)
    want[0:2, 0:2] += 0.5
    want[2:4, 4:6] += 0.25
    want[0:4, 4:8] += 1.0
    assert torch.equal(heat, want)
    assert torch.equal(ca.attention_map(result, torch.tensor([0.5, 0.25, 1.0]), (2, 4)), want[::2, ::2])


@example(13, 29, 6, 12)  # borders at half a pixel, where float32 rounds either way
@given(st.integers(1, 97), st.integers(1, 61), st.integers(1, 9), st.integers(1, 9))
def test_the_cells_of_a_scale_cover_every_pixel_once(width, height, columns, rows):
    result = Locals.from_map(torch.zeros(1, min(rows, height), min(columns, width)), (width, height))
    assert torch.equal(ca.attention_map(result, torch.ones(len(result))), torch.ones(height, width))


def test_maps_of_tiny_pictures_and_tiny_maps():
    result = Locals.merged([Locals.from_map(torch.zeros(1, 1, 1), (1, 1), s) for s in (0.5, 1.0)])
    assert ca.attention_map(result, torch.tensor([1.0, 2.0])).tolist() == [[3.0]]
    result = Locals.from_map(torch.zeros(1, 9, 9), (90, 90))
    heat = ca.attention_map(result, torch.ones(81), (3, 3))
    assert heat.shape == (3, 3) and (heat >= 1).all()


def test_the_query_chooses_what_lights_up():
    """Two objects in one picture: the map follows the one that the query shows."""
    x = torch.zeros(4, 1, 6)
    x[0, 0, :2], x[1, 0, 4:] = 2.0, 2.0
    x[2] = 0.1
    result = ca.select(Locals.from_map(x, (60, 10)), 4)
    labels = ca.cluster(result.features, 2)
    for channel, half in ((0, slice(0, 20)), (1, slice(40, 60))):
        q = torch.nn.functional.one_hot(torch.tensor(channel), 4).float()
        a = ca.weights(q, ca.clusters(result.features, labels))
        heat = ca.attention_map(result, a[labels])
        assert heat[:, half].mean() > 0.99 and heat[:, 20:40].sum() == 0
        assert heat.sum() - heat[:, half].sum() < 0.01 * heat.sum()
