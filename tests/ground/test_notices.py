"""Notices: counted by reason, told once, from all threads; outside of a collection each by itself."""

import warnings
from concurrent.futures import ThreadPoolExecutor

import pandas as pd
import pytest

from foir_lib import load_set, registry
from foir_lib.data.readers.reading import make_set
from foir_lib.notices import Notice, collected, note


def test_what_is_noted_is_told_once_with_counts_per_reason():
    with pytest.warns(UserWarning) as told, collected("Set x") as notices:
        note("thumbnails left out", "a/@eaDir/t.jpg")
        note("pictures turned", "b.jpg", 3)
        note("thumbnails left out", "c/@eaDir/t.jpg", 2)
        note("nothing", n=0)
    assert [str(w.message) for w in told] == [
        "Set x: 3 thumbnails left out (first: a/@eaDir/t.jpg); 3 pictures turned (first: b.jpg)."
    ]
    assert notices.rows() == (
        Notice("thumbnails left out", 3, "a/@eaDir/t.jpg"),
        Notice("pictures turned", 3, "b.jpg"),
    )


def test_threads_count_together():
    with pytest.warns(UserWarning, match="200 files"), collected("Set x") as notices, ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda i: note("files", i), range(200)))
    assert notices["files"].n == 200


def test_outside_a_collection_each_is_a_warning():
    with pytest.warns(UserWarning, match=r"^1 file left out \(first: a\)$"):
        note("file left out", "a")


def test_without_notices_nothing_is_told_and_an_error_still_tells():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with collected("Set x") as notices:
            pass
    assert notices.rows() == ()
    with pytest.warns(UserWarning, match="1 file left out"), pytest.raises(ValueError), collected("Set x"):
        note("file left out")
        raise ValueError


def test_a_set_holds_what_was_noted_while_it_was_read(monkeypatch, tmp_path):
    def reader():
        note("pictures left out", "a.jpg", 2)
        images = pd.DataFrame({"image_id": ["b"], "path": ["b"], "width": 9, "height": 9, "split": "both"})
        return make_set("noted", images, pd.DataFrame(columns=["image_id", "label", "x0", "y0", "x1", "y1", "ignore", "segmentation"]))

    monkeypatch.setattr(registry, "lookup", lambda kind, name: reader)
    with pytest.warns(UserWarning, match="Set noted: 2 pictures left out"):
        assert load_set("noted").notices == (Notice("pictures left out", 2, "a.jpg"),)
