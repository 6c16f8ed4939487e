"""One picture asked again and again gives what the batch path gives, and the network looks at it once."""

import numpy as np
import pytest
import torch
from foir_lib.search.asking import METHODS, Database, Sight
from PIL import Image

from foir_lib import Box, Mask, Point, load_model, load_set
from foir_lib.bench.experiment import Experiment
from foir_lib.errors import InputError
from foir_lib.images import open_image
from foir_lib.methods import head_selection
from foir_lib.search.knn import knn


@pytest.fixture(scope="module")
def experiment(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FOIR_CACHE", str(tmp_path_factory.mktemp("cache")))
        small = load_set("mini-focus", seed=6, n_query=6, n_database=50)
        yield Experiment(small, load_model("mini-vit", device="cpu"), batch_size=8, progress=False)


@pytest.fixture(scope="module")
def database(experiment):
    return Database(experiment.model, experiment.database())


def sight_of(experiment, query):
    return Sight(experiment.model, experiment.set.open(experiment.set.queries["image_id"].iloc[query]))


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("h_on", [1, 5])
def test_equals_the_batch_path(experiment, database, method, h_on):
    mode = {"mode": "query-db"} if "query-db" in method else {}
    name = method.split(" (")[0]
    ranking = experiment.ranking(name, k=50, h_on=h_on, **mode)
    heads = experiment.descriptors(name, h_on=h_on)[2]
    for query in range(0, len(experiment.set.queries), 3):
        found = database.rank(sight_of(experiment, query), method, experiment.set.queries["prompt"].iloc[query], h_on)
        np.testing.assert_allclose(found.scores, ranking.scores[query], atol=2e-6)
        descriptors = database.descriptors.numpy()
        if mode == {}:  # near ties may change places: what stands at a rank has the score of that rank
            prompt = experiment.set.queries["prompt"].iloc[query]
            vector, _ = sight_of(experiment, query).descriptor(method, prompt, h_on)
            np.testing.assert_allclose(descriptors[found.ids] @ vector[0].numpy(), found.scores, atol=2e-6)
        assert sorted(found.ids) == list(range(50))
        assert (found.heads is None) == (heads is None)
        if heads is not None:
            assert (found.heads == heads[query]).all()


@pytest.mark.parametrize("strategy", ["before", "after+scale", "identity"])
def test_ablations_reach_the_descriptor(experiment, strategy):
    vectors, _, _ = experiment.descriptors("PHS", h_on=3, roi="max", strategy=strategy)
    prompt = experiment.set.queries["prompt"].iloc[4]
    one, _ = sight_of(experiment, 4).descriptor("PHS", prompt, 3, "max", strategy)
    np.testing.assert_allclose(one[0], vectors[4], atol=2e-6)


def test_equal_scores_come_by_rising_row_as_in_knn(experiment, database):
    twice = Database.__new__(Database)
    twice.model, twice.features = experiment.model, None
    twice.descriptors = torch.cat([database.descriptors, database.descriptors[:7]])
    sight = sight_of(experiment, 0)
    scores, ids = knn(sight.descriptor()[0], twice.descriptors, 57, backend="torch")
    found = twice.rank(sight)
    assert (found.ids == ids[0]).all() and np.allclose(found.scores, scores[0], atol=1e-6)


@pytest.mark.parametrize("method", ["CBIR", "PHS (query-db)"])
def test_the_picture_itself_is_no_answer(experiment, database, method):
    sight = Sight(experiment.model, experiment.set.open(experiment.set.database["image_id"].iloc[9]))
    prompt = Box(5, 5, 60, 60)
    assert 9 in database.rank(sight, method, prompt).ids
    found = database.rank(sight, method, prompt, exclude=9)
    assert len(found.ids) == len(found.scores) == 49 and 9 not in found.ids


def test_the_network_looks_once_however_many_prompts(experiment, monkeypatch):
    calls = []
    tokens = experiment.model.tokens
    monkeypatch.setattr(experiment.model, "tokens", lambda x, n: calls.append(n) or tokens(x, n))
    sight = sight_of(experiment, 1)
    for x in range(5):
        for method in ("CBIR", "FA", "PHS", "FA+PHS"):
            sight.descriptor(method, Point(20 + x, 30))
    assert len(calls) == 1
    sight.descriptor("Crop", Box(5, 5, 60, 60))
    assert len(calls) == 2


def test_attention_of_all_blocks_ends_with_that_of_the_state(experiment):
    model, sight = experiment.model, sight_of(experiment, 2)
    assert sight.attention.shape == (model.depth, model.n_heads, model.grid[0] * model.grid[1])
    torch.testing.assert_close(sight.attention[-1], sight.state.attention[0])
    assert (sight.attention.sum(-1) <= 1 + 1e-5).all() and not torch.allclose(sight.attention[0], sight.attention[-1])
    kept = []  # an independent look at block 1: the whole attention matrix, as timm computes its parts
    attn = model.net.blocks[1].attn
    hook = attn.register_forward_pre_hook(lambda module, args: kept.append(args[0]))
    model.net.forward_features(sight._x)
    hook.remove()
    q, k, _ = attn.qkv(kept[0]).reshape(1, -1, 3, model.n_heads, attn.head_dim).permute(2, 0, 3, 1, 4)
    whole = (q @ k.transpose(-2, -1) * attn.head_dim**-0.5).softmax(-1)
    torch.testing.assert_close(sight.attention[1], whole[0, :, 0, 1:], atol=1e-5, rtol=1e-4)


def test_roi_attention_of_a_layer_is_a_sum_over_its_map(experiment):
    sight, prompt = sight_of(experiment, 0), Box(30, 30, 70, 90)
    inside = prompt.tokens(experiment.model.grid, sight.size)
    torch.testing.assert_close(sight.roi_attention(prompt, layer=1), sight.attention[1][:, inside].sum(-1))
    torch.testing.assert_close(sight.roi_attention(prompt, "max"), sight.attention[-1][:, inside].amax(-1))
    assert (sight.roi_attention(prompt) == head_selection.roi_attention(sight.state, inside[None])[0]).all()


def test_what_cannot_be_asked_is_said(experiment, database):
    sight = sight_of(experiment, 0)
    with pytest.raises(InputError, match="There is no prompt: click"):
        sight.descriptor("PHS")
    with pytest.raises(InputError, match="'phs' is unknown: choose one of CBIR"):
        database.rank(sight, "phs", Box(0, 0, 9, 9))
    with pytest.raises(InputError, match="lies outside the .* picture: draw it"):
        database.rank(sight, "FA", Box(500, 500, 900, 900))
    with pytest.raises(InputError, match="Mask is 10 x 10 pixels"):
        database.rank(sight, "Mask", Mask(np.ones((10, 10))))
    with pytest.raises(InputError, match="Layer 4 doesn't exist: mini-vit has blocks 0 to 3"):
        sight.roi_attention(Box(0, 0, 9, 9), layer=4)


def test_a_small_copy_of_a_picture(tmp_path, experiment):
    """Large JPEGs are decoded small; turned as EXIF says; never larger than they are."""
    image = Image.linear_gradient("L").resize((1600, 800)).convert("RGB")
    exif = Image.Exif()
    exif[0x0112] = 6  # lies on its side
    image.save(tmp_path / "turned.jpg", exif=exif)
    small = open_image(tmp_path / "turned.jpg", longest=100)
    assert small.size == (50, 100)
    whole = open_image(tmp_path / "turned.jpg")
    assert whole.size == (800, 1600)
    difference = np.asarray(small, float) - np.asarray(whole.resize((50, 100), Image.Resampling.BICUBIC), float)
    assert np.abs(difference).mean() < 3
    assert open_image(tmp_path / "turned.jpg", longest=5000).size == (800, 1600)
    assert experiment.set.open(experiment.set.images["image_id"].iloc[0], longest=32).width <= 32
