"""Query-DB search equals describing the database anew for every single query."""

import numpy as np
import pytest
import timm
import torch

from foir_lib.errors import InputError
from foir_lib.methods import head_selection
from foir_lib.models.vit import ViT
from foir_lib.search import query_db
from foir_lib.search.knn import knn
from foir_lib.store.features import build

N, Q, H = 40, 12, 3


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """A small random ViT, the stored states of N images and Q queries with 3 distinct head sets."""
    torch.manual_seed(0)
    net = timm.create_model("vit_tiny_patch16_224", depth=2, img_size=64, num_classes=0)
    model = ViT(net, "vit_tiny_patch16_224")
    state = model.cls_state(
        torch.randn(N + Q, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    )

    def make(start, stop):
        part = state[start:stop]
        return {
            name: getattr(part, name).flatten(1).numpy() for name in ("heads", "values", "residual")
        }

    root = tmp_path_factory.mktemp("states")
    database = build({"model": model.key}, N, make, root=root, shard=16, progress=False)
    sets = torch.tensor([[1, 0, 0], [0, 1, 1], [1, 1, 1]], dtype=torch.bool)
    return model, state[:N], state[N:], sets[torch.arange(Q) % 3], database


def brute_force(world, strategy, k):
    model, database, queries, heads, _ = world
    scores, ids = [], []
    for q in range(Q):
        one = head_selection.descriptor(model, queries[q : q + 1], heads[q : q + 1], strategy)
        every = head_selection.descriptor(model, database, heads[q : q + 1].expand(N, H), strategy)
        row = (every @ one[0]).numpy()
        ids.append(np.argsort(-row, kind="stable")[:k])
        scores.append(row[ids[-1]])
    return np.array(scores), np.array(ids)


@pytest.mark.parametrize("strategy", head_selection.STRATEGIES)
@pytest.mark.parametrize("chunk", [7, 4096])
def test_equals_brute_force(world, strategy, chunk):
    model, _, queries, heads, database = world
    described = head_selection.descriptor(model, queries, heads, strategy)
    scores, ids = query_db.search(model, described, heads, database, 10, strategy, chunk=chunk)
    want_scores, want_ids = brute_force(world, strategy, 10)
    np.testing.assert_allclose(scores, want_scores, atol=2e-6)
    np.testing.assert_array_equal(ids, want_ids)


def test_all_heads_on_is_plain_search_and_few_are_not(world):
    model, state, queries, heads, database = world
    everything = torch.ones(Q, H, dtype=torch.bool)
    plain = knn(model.descriptor(queries), model.descriptor(state), 10)
    scores, ids = query_db.search(model, model.descriptor(queries), everything, database, 10)
    np.testing.assert_array_equal(ids, plain[1])
    np.testing.assert_allclose(scores, plain[0], atol=2e-6)
    described = head_selection.descriptor(model, queries, heads)
    assert (query_db.search(model, described, heads, database, 10)[1] != plain[1]).any()


def test_each_distinct_set_is_described_once_per_chunk(world, monkeypatch):
    model, _, queries, heads, database = world
    calls, real = [], head_selection.descriptor

    def spy(model, state, on, strategy):
        calls.append((len(state), tuple(on.tolist())))
        return real(model, state, on, strategy)

    monkeypatch.setattr(head_selection, "descriptor", spy)
    query_db.search(model, real(model, queries, heads), heads, database, 5, chunk=25)
    assert sorted(calls) == sorted(
        (size, tuple(s)) for size in (25, 15) for s in heads[:3].tolist()
    )


@pytest.mark.parametrize(
    "change, message",
    [
        ({"heads": torch.ones(Q, H + 1)}, r"Head sets of shape \(12, 4\) don't fit: \(12, 3\)"),
        ({"heads": torch.ones(Q - 1, H)}, "don't fit"),
        ({"queries": torch.ones(Q, 10)}, "10 dimensions, the database has 192"),
        ({"queries": torch.full((Q, 192), torch.nan)}, "Query descriptors hold a NaN"),
        ({"strategy": "behind"}, "strategy 'behind'"),
        ({"k": 0}, "k = 0"),
    ],
)
def test_bad_input_is_one_sentence(world, change, message):
    model, _, queries, heads, database = world
    arguments = {
        "queries": model.descriptor(queries),
        "heads": heads,
        "database": database,
        "k": 3,
        **change,
    }
    with pytest.raises(InputError, match=message):
        query_db.search(model, **arguments)


@pytest.mark.parametrize(
    "arrays, strategy, message",
    [
        ({"heads": 192}, "before", "no array 'residual' of 192 columns"),
        ({"heads": 192, "residual": 192}, "identity", "no array 'values' of 192"),
        ({"heads": 96, "residual": 192}, "before", "no array 'heads' of 192"),
    ],
)
def test_database_of_another_kind(world, tmp_path, arrays, strategy, message):
    model, _, queries, heads, _ = world

    def make(start, stop):
        return {name: np.ones((stop - start, width), np.float32) for name, width in arrays.items()}

    database = build({}, 4, make, root=tmp_path, progress=False)
    with pytest.raises(InputError, match=message):
        query_db.search(model, model.descriptor(queries), heads, database, 2, strategy)
