"""Intervals: two units worked by hand, a bootstrap that copies pictures, coverage on simulated pictures, every edge."""

import types

import numpy as np
import pandas as pd
import pytest

from foir_lib.bench.metrics import average
from foir_lib.bench.metrics.intervals import Interval, Spread, against_first, difference, interval, spread, weights
from foir_lib.errors import InputError


def scored(values, unit, label="cat", image_id=None, query=None):
    """A score whose P@k and AP are both ``values``."""
    n = len(values)
    columns = {"query": range(n) if query is None else query, "unit": unit, "label": label,
               "image_id": unit if image_id is None else image_id}  # fmt: skip
    return types.SimpleNamespace(per_query=pd.DataFrame(columns | {"precision": values, "average_precision": values}))


def random_score(seed, n_pictures=12, n_queries=60):
    rng = np.random.default_rng(seed)
    pictures = rng.integers(n_pictures, size=n_queries)
    return scored(rng.random(n_queries), pictures, rng.choice(list("abc"), n_queries))


def test_two_units_by_hand():
    """Pictures 0 (P 0.2 and 0.4) and 1 (0.9): a draw is 00, 01, 10 or 11, its score 0.3, 0.6, 0.6 or 0.9."""
    score = scored([0.2, 0.4, 0.9], [0, 0, 1])
    assert interval(score, "MP@100") == interval(score, "MAP@100") == Interval(0.3, 0.9)
    assert interval(score, "mAP") == Interval(0.3, 0.9), "mAP of both, 0.5, lies between"
    first = scored([0.1, 0.1, 0.1], [0, 0, 1])
    assert difference(score, first, "MP@100") == Interval(0.2, 0.8)
    assert difference(first, score, "mAP") == Interval(-0.8, -0.2)
    assert difference(score, first, "MP@100", relative=True) == Interval(2, 8)
    assert against_first({"A": first, "B": score, "C": first}, "MP@100") == {"B": (0.2, 0.8), "C": (0, 0)}


def test_categories_that_a_draw_misses_do_not_count():
    """Picture 0 has cats (1.0), picture 1 dogs (0.0): a draw of one picture alone is its one category's score."""
    score = scored([1.0, 0.0], [0, 1], ["cat", "dog"])
    assert interval(score, "MP@100") == Interval(0, 1)
    unequal = scored([1.0, 0.0, 0.0], [0, 1, 2], ["cat", "dog", "dog"])  # one dog picture drawn weighs as much as two
    values = {round(float(bound), 3) for bound in np.linspace(0, 1, 3)}
    assert set(interval(unequal, "MP@100")) <= values


def test_queries_without_positives_count_in_no_draw():
    assert interval(scored([0.2, np.nan, 0.8, np.nan], [0, 0, 1, 2]), "mAP hard") == Interval(0.2, 0.8)


@pytest.mark.parametrize("seed", range(3))
def test_a_draw_is_the_metric_of_a_set_with_copied_pictures(seed):
    score, n = random_score(seed), 12
    table, draws = score.per_query, []
    for counts in weights(n, 50, seed):
        parts = [
            table[table["unit"] == unit].assign(image_id=f"{unit}, {copy}")
            for unit in range(n)
            for copy in range(counts[unit])
        ]
        copied = pd.concat(parts)
        draws.append((average(copied, 100).mp, copied["average_precision"].mean()))
    want = np.percentile(draws, [2.5, 97.5], axis=0)
    np.testing.assert_allclose(interval(score, "MP@100", draws=50, seed=seed), want[:, 0], atol=1e-8)
    np.testing.assert_allclose(interval(score, "mAP", draws=50, seed=seed), want[:, 1], atol=1e-8)


def test_draws_take_as_many_units_as_there_are_by_chance():
    drawn = weights(5, 2000, 0)
    assert drawn.shape == (2000, 5) and (drawn.sum(1) == 5).all()
    np.testing.assert_allclose(drawn.mean(0), 1, atol=0.08)
    assert (drawn.max(1) == 1).mean() == pytest.approx(120 / 5**5, abs=0.02), "5! of 5^5 draws hold every unit"


def test_the_order_of_queries_names_and_seed():
    a, b = random_score(1), random_score(1)
    b.per_query = b.per_query.sample(frac=1, random_state=0)
    assert interval(a, "MP@5") == interval(b, "MP@5") and difference(a, b, "MP@5") == Interval(0, 0)
    assert interval(a, "mAP") == interval(a, "mAP", seed=0) != interval(a, "mAP", seed=1)


def test_pairing_narrows_what_pictures_have_in_common():
    rng = np.random.default_rng(0)
    hard = rng.random(100)
    a, b = (scored(hard + gain + 0.01 * rng.standard_normal(100), range(100)) for gain in (0.05, 0))
    paired, alone = difference(a, b, "mAP"), interval(a, "mAP")
    assert paired.low > 0 and paired.high - paired.low < 0.1 * (alone.high - alone.low)


def test_coverage():
    """Of 120 worlds whose 80 pictures have true scores about 0.5, and 4 queries each, some 95 % of intervals hold it."""
    units, inside = np.repeat(np.arange(80), 4), []
    for seed in range(120):
        rng = np.random.default_rng(seed)
        values = 0.5 + 0.2 * rng.standard_normal(80)[units] + 0.1 * rng.standard_normal(320)
        focus, mean_ap, queries = scored(values, units, units % 2), scored(values, units), scored(values, range(320))
        scores = (focus, "MP@100"), (mean_ap, "mAP"), (queries, "mAP")
        intervals = (interval(*one, draws=200, seed=seed) for one in scores)
        inside.append([low <= 0.5 <= high for low, high in intervals])
    focus, mean_ap, queries = np.mean(inside, axis=0)
    assert 0.88 <= focus <= 0.99 and 0.88 <= mean_ap <= 0.99
    assert queries < 0.8, "queries drawn one by one, as if independent, promise too much"


def test_one_unit_has_no_interval_and_equal_scores_an_empty_one():
    one = scored([0.2, 0.4], [7, 7])
    assert np.isnan(interval(one, "MP@100")).all() and str(interval(one, "mAP")) == "no interval from one unit"
    same = scored([0.3] * 6, range(6))
    assert interval(same, "mAP") == Interval(0.3, 0.3) and difference(same, same, "mAP") == Interval(0, 0)
    noise = scored([0.3 + 1e-12] * 6, range(6))
    assert difference(noise, same, "MP@100") == Interval(0, 0), "what floats alone make differ is equal"
    assert str(Interval(9.84, 12.9)) == "[9.84, 12.9]"


def test_what_cannot_be_compared_is_refused():
    a, b = scored([0.1, 0.2], [0, 1]), scored([0.1, np.nan], [0, 1])
    for other in (b, scored([0.1, 0.2], [0, 2]), scored([0.1, 0.2], [0, 1], query=[0, 5]), scored([0.1], [0])):
        with pytest.raises(InputError, match="different queries"):
            difference(a, other, "mAP")
    with pytest.raises(InputError, match="no interval of 'memory GB': known are MP, MAP, mAP"):
        interval(a, "memory GB")
    a.per_query = a.per_query.drop(columns="unit")
    with pytest.raises(InputError, match="lack the column 'unit'"):
        interval(a, "mAP")
    with pytest.raises(InputError, match="draws=0 must be"):
        interval(scored([0.1, 0.2], [0, 1]), "mAP", draws=0)


def test_spread_over_seeds_by_hand():
    """1, 2, 3: mean 2, standard error 1/sqrt(3), t of 2 degrees of freedom 4.302653."""
    assert spread([1, 2, 3]) == pytest.approx(Spread(2, 2 - 4.302653 / 3**0.5, 2 + 4.302653 / 3**0.5))
    assert spread([5, 5, 5, 5]) == Spread(5, 5, 5)
    assert spread([4])[0] == 4 and np.isnan(spread([4])[1:]).all()
    for bad in ([], [[1, 2]]):
        with pytest.raises(InputError, match="scores of some seeds"):
            spread(bad)
