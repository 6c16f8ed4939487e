"""Sentences of errors stay readable, whatever stands in them."""

import pytest

from foir_lib.errors import InputError, IntegrityError, MissingError, library


@pytest.mark.parametrize("kind", [InputError, MissingError, IntegrityError])
def test_a_sentence_with_an_endless_name_keeps_its_begin_and_end(kind):
    plain, endless = str(kind("There is no cup: buy one.")), str(kind(f"There is no {'a' * 100_000}: buy one."))
    assert plain == "There is no cup: buy one."
    assert len(endless) < 1600 and endless.startswith("There is no aaa") and endless.endswith("aaa: buy one.")


def test_a_library_is_imported_when_it_is_used_or_says_how_to_get_it():
    assert library("json", "A test").dumps([1]) == "[1]"
    with pytest.raises(MissingError, match="^A test needs nothing_like_it: pip install nothing_like_it.$"):
        library("nothing_like_it", "A test")
