"""The connector: who answers, by hand; domains that two networks tell apart, and ground that is nobody's."""

from dataclasses import replace

import numpy as np
import pytest

from foir_lib import load_model, load_set
from foir_lib.bench.memory import connector, judged
from foir_lib.bench.memory.connector import ROUTED, Connector, Domain, Named
from foir_lib.bench.memory.curves import ACCURACY
from foir_lib.bench.memory.views import Views
from foir_lib.registry import parse
from foir_lib.retrievers.corpus import Corpus


def test_the_joined_name_is_that_of_whoever_was_taken():
    names = np.array([["a", "b", "c"], ["x", "y", "z"]])
    assert Named(names, names, np.array([0, 1, -1])).joined.tolist() == ["a", "y", ""]


@pytest.fixture(scope="module")
def domains(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FOIR_CACHE", str(tmp_path_factory.mktemp("cache")))
        small = {"mini-focus": {"n_query": 20, "n_database": 60}, "mini-needles": {"n_things": 12, "n_queries": 12, "n_database": 24}}
        model = load_model("mini-vit", device="cpu")
        yield [Domain.of(Views.of(Corpus(load_set(name, **size), model, progress=False)), parse("retriever", "Crop"), n_test=2) for name, size in small.items()]


def test_a_memory_asks_with_other_pictures_and_learns_from_the_other_memory(domains):
    one, other = domains
    assert one.name == "mini-focus" and one.vectors.shape == (3 * len(one.labels), 192) and not set(one.rows) & set(one.tests)
    for label in one.labels:
        pictures = [set(one.views.pictures[rows[one.views.labels[rows] == label]]) for rows in (one.rows, one.tests)]
        assert not pictures[0] & pictures[1]
    learned = one.among([other])
    foreign = learned.first(other.regions(other.rows))
    assert learned.thresholds.n == len(one.rows) + len(other.rows)
    assert learned.thresholds.confidence(foreign).mean() < one.thresholds.confidence(foreign).mean(), "what others know is new to it"


def test_grounds_meet_no_thing(domains):
    boxes = {}
    for views in (domain.views for domain in domains):
        for row in range(len(views)):
            boxes.setdefault(views.picture(row).tobytes(), []).append(views.box(row))
    found = connector.grounds(domains, 6)
    assert 0 < len(found) <= 6
    for picture, box in found:
        assert 0 <= box.x0 < box.x1 <= picture.width + 1e-6 and 0 <= box.y0 < box.y1 <= picture.height + 1e-6
        for thing in boxes[picture.tobytes()]:
            assert min(box.x1, thing.x1) <= max(box.x0, thing.x0) or min(box.y1, thing.y1) <= max(box.y0, thing.y0)


def test_routing_is_right_where_the_own_encoder_or_nobody_answers(domains):
    joined = Connector(tuple(one.among([other for other in domains if other is not one]) for one in domains))
    answers, routes = connector.routed(joined)
    values = {name: one.metrics[ACCURACY] for name, one in answers.items()}
    assert list(values)[-1] == "the right encoder (known)" and values["the right encoder (known)"] > values["joined, the surest"]
    assert list(routes)[:3] == ["all", "mini-focus", "mini-needles"]
    tests = [len(domain.tests) for domain in domains]
    by_hand = sum(n * routes[domain.name].metrics[ROUTED] for n, domain in zip(tests, domains, strict=True))
    n_none = len(routes["all"].per_query) - sum(tests)
    by_hand += n_none * routes["no thing"].metrics[ROUTED] if n_none else 0
    assert routes["all"].metrics[ROUTED] == pytest.approx(by_hand / len(routes["all"].per_query))
    silent = replace(joined, floor=1.1)
    assert (silent.name(domains[0].regions(domains[0].tests[:3])).taken == -1).all(), "nobody is that sure"
    rows = judged._block("Crop", judged.ROUTES, routes)
    assert all("95 % interval" in row["note"] and "low" not in row for row in rows)
