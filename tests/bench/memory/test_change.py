"""Learning under change: conditions apart, learners on the same views, and what LoRA is."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from foir_lib import load_model, load_set, registry
from foir_lib.bench.memory import change
from foir_lib.bench.memory.curves import ACCURACY
from foir_lib.bench.memory.views import Views
from foir_lib.errors import InputError
from foir_lib.retrievers.corpus import Corpus


class Drawn:
    """Views without pictures, of 12 things: ``moved`` is how far the new condition (the second half) lies from the old one."""

    def __init__(self, n=12, k=10, moved=10.0, seed=0):
        rng = np.random.default_rng(seed)
        self.labels, self.pictures = np.tile(np.repeat([f"thing {i:02d}" for i in range(n)], k), 2), np.arange(2 * n * k)
        split = np.repeat(["query", "database"], n * k)
        self.corpus = SimpleNamespace(set=SimpleNamespace(name="drawn", images=pd.DataFrame({"split": split})))
        x = np.tile(np.repeat(rng.normal(size=(n, 24)), k, 0), (2, 1)) + 0.4 * rng.normal(size=(2 * n * k, 24))
        x[n * k :] += moved * np.repeat(rng.normal(size=(n, 24)), k, 0) / 4
        self.x = (x / np.linalg.norm(x, axis=1, keepdims=True)).astype(np.float32)

    def vectors(self, retriever):
        return self.x


def test_conditions_share_no_view_and_new_ones_are_of_the_database():
    views = Drawn()
    old, new, *tests = change.conditions(views, np.random.default_rng(0), 5)
    assert old.shape == new.shape == tests[0].shape == tests[1].shape == (12, 5)
    every = np.concatenate([part.ravel() for part in (old, new, *tests)])
    assert len(set(every.tolist())) == len(every)
    for part, low in ((old, 0), (tests[0], 0), (new, 120), (tests[1], 120)):
        assert (part >= low).all() and (part < low + 120).all() and (views.labels[part] == views.labels[part[:, :1]]).all()
    with pytest.raises(InputError, match="choose a set of two conditions, such as mini-change"):
        change.conditions(views, np.random.default_rng(0), 6)


def test_new_views_teach_the_new_condition():
    views = Drawn()
    changed = change.change(views, None, {"memory": change.memory(views.x), "head": change.head(views.x)})
    for name in ("memory", "head"):
        new, old = ([one.metrics[ACCURACY] for one in changed.accuracy[name, condition].values()] for condition in ("new", "old"))
        assert new[-1] > new[0] + 0.1 and old[0] > 0.9 and len(changed.seconds[name]) == 4
    assert list(changed.accuracy["memory", "new"]) == ["after 0 new views", "after 1 new view", "after 2 new views", "after 5 new views"]


def test_every_learner_is_given_the_same_views():
    views, given = Drawn(), []

    def spy(rows, owners, tests):
        given.append((rows.copy(), owners.copy(), tests.copy()))
        return np.zeros(len(tests), int)

    change.change(views, None, {"a": spy, "b": spy}, (0, 2))
    for mine, theirs in zip(given[:2], given[2:], strict=True):
        assert all((a == b).all() for a, b in zip(mine, theirs, strict=True))
    assert [len(rows) for rows, *_ in given[:2]] == [60, 84] and all((views.labels[r[o == 3]] == views.labels[r[o == 3]][0]).all() for r, o, _ in given)


@pytest.mark.slow
def test_lora_begins_as_the_nearest_mean_and_leaves_the_network_as_it_is(tmp_path, monkeypatch):
    monkeypatch.setenv("FOIR_CACHE", str(tmp_path))
    model = load_model("mini-vit", device="cpu")
    views = Views.of(Corpus(load_set("mini-change", seed=5, n_things=3, n_views=10), model, progress=False))
    x, before = views.vectors(registry.parse("retriever", "Crop")), {name: value.clone() for name, value in model.net.state_dict().items()}
    old, new, *tests = change.conditions(views, np.random.default_rng(0), 5)
    rows, owners, asked = old.ravel(), np.repeat(np.arange(3), 5), tests[0].ravel()
    means = np.stack([x[rows[owners == t]].mean(0) for t in range(3)])
    nearest = (x[asked] @ (means / np.linalg.norm(means, axis=1, keepdims=True)).T).argmax(1)
    monkeypatch.setattr(change, "STEPS", 1), monkeypatch.setattr(change, "RATE", 0.0)
    assert (change.adapter(views, x)(rows, owners, asked) == nearest).all(), "a step of rate 0 changes nothing"
    monkeypatch.setattr(change, "STEPS", 10), monkeypatch.setattr(change, "RATE", 3e-3)
    assert (change.adapter(views, x)(rows, owners, asked) == np.repeat(np.arange(3), 5)).mean() > 0.6
    after = model.net.state_dict()
    assert before.keys() == after.keys() and all(bool((before[name] == after[name]).all()) for name in before)
