"""What a run will still take, by hand; its words; what is remembered of earlier runs."""

import json

import pytest

from foir_lib.bench.runs import minutes


def test_time_left_by_hand():
    assert minutes.left(["a"], {}, {}) is None and minutes.left([], {}, {}) == 0
    assert minutes.left(["a", "b"], {}, {"a": 10.0, "b": 5.0}) == 15  # as it was
    assert minutes.left(["b"], {"a": 20.0}, {"a": 10.0, "b": 5.0}) == 10  # this run is half as fast
    assert minutes.left(["c", "d"], {"a": 20.0, "b": 10.0}, {}) == 30  # nothing known of them: the mean of this run
    # b takes 5 * 2, the unknown c the mean of a's 20 and b's 10
    assert minutes.left(["b", "c"], {"a": 20.0}, {"a": 10.0, "b": 5.0}) == 25
    assert minutes.left(["b"], {"a": 20.0}, {"a": 0.0, "b": 5.0}) == 5  # no pace from nothing


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (None, "time left not known yet"), (0, "less than a minute left"), (44, "less than a minute left"),
        (50, "about 1 minute left"), (95, "about 2 minutes left"), (12 * 60 + 10, "about 12 minutes left"),
        (89 * 60, "about 89 minutes left"), (100 * 60, "about 1.5 hours left"), (7200, "about 2 hours left"),
    ],
)  # fmt: skip
def test_time_left_in_words(seconds, words):
    assert minutes.words(seconds) == words


def test_what_a_table_took_in_words():
    assert [minutes.took(s) for s in (0.4, 8.2, 89, 90, 331)] == ["0 s", "8 s", "89 s", "1.5 minutes", "5.5 minutes"]


def test_seconds_are_remembered_beside_the_cache(monkeypatch, tmp_path):
    monkeypatch.setenv("FOIR_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(minutes, "manifest_root", lambda: tmp_path)
    assert minutes.remembered() == {}
    minutes.remember("phs-1 mini mini cpu", 331.0)
    minutes.remember("ca-1 mini mini cpu", 405.0)
    minutes.remember("phs-1 mini mini cpu", 300.0)
    assert minutes.remembered() == {"phs-1 mini mini cpu": 300.0, "ca-1 mini mini cpu": 405.0}
    for damaged in ('{"a": ', "[1]", '{"a": "x"}', '{"a": null}', "\udcff"):
        (tmp_path / "cache" / "minutes.json").write_text(damaged, errors="surrogateescape")
        assert minutes.remembered() == {}
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("FOIR_CACHE", str(tmp_path / "file"))  # can't be written
    minutes.remember("a", 1.0)
    assert minutes.remembered() == {}
    (tmp_path / "measured").mkdir()
    (tmp_path / "measured" / "minutes.json").write_text('{"a": 2, "b": 3}')  # shipped: another machine's
    assert minutes.remembered() == {"a": 2.0, "b": 3.0}
    monkeypatch.setenv("FOIR_CACHE", str(tmp_path / "cache"))
    minutes.remember("a", 1.0)
    assert minutes.remembered() == {"a": 1.0, "b": 3.0}
    assert json.loads((tmp_path / "cache" / "minutes.json").read_text()) == {"a": 1.0}
