"""Counting what is done: the innermost that watches is told, at the end always and in between not too often."""

import pytest

from foir_lib import progress


@pytest.fixture
def clock(monkeypatch):
    """Seconds that pass only by ``clock.now += ...``."""

    class Clock:
        now = 100.0

        def monotonic(self):
            return self.now

    clock = Clock()
    monkeypatch.setattr(progress, "time", clock)
    return clock


def test_the_count_is_told_a_few_times_a_second_and_at_the_end(clock):
    told = []
    with progress.watched(lambda bar: told.append(str(bar))), progress.bar(1500, "states", initial=100, show=False) as bar:
        for passed, n in ((0, 100), (0.1, 100), (0.1, 100), (0.2, 100), (0.0, 1000)):
            clock.now += passed
            bar.update(n)
    assert told == ["states: 500 of 1,500 pictures", "states: 1,500 of 1,500 pictures"]
    assert (bar.done, bar.total) == (1500, 1500)


def test_what_is_done_at_once_is_not_told(clock):
    """As an answer while the mouse moves, which would flicker."""
    told = []
    with progress.watched(told.append), progress.bar(40, show=False) as bar:
        bar.update(39)
        clock.now += 0.2
        bar.update()
    assert not told and bar.done == 40


def test_the_innermost_is_told_and_nobody_afterwards(clock):
    outer, inner = [], []
    with progress.watched(outer.append):
        with progress.watched(inner.append), progress.bar(2, unit="pair", show=False) as bar:
            clock.now += 1
            bar.update(2)
        with progress.bar(1, show=False) as one:
            clock.now += 1
            one.update()
    with progress.bar(1, show=False) as alone:
        clock.now += 1
        alone.update()
    assert inner == [bar] and outer == [one] and str(bar) == "2 of 2 pairs" and not progress._watching


def test_who_watches_is_forgotten_when_something_fails():
    with pytest.raises(ZeroDivisionError), progress.watched(print):
        raise ZeroDivisionError
    assert not progress._watching


def test_a_bar_is_drawn_only_where_one_is_wanted(capsys):
    for show in (True, False):
        with progress.bar(3, "states", show=show) as bar:
            bar.update(3)
        assert ("states: 100%" in capsys.readouterr().err) == show
