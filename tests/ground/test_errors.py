"""Sentences of errors stay readable, whatever stands in them."""

import pytest

from foir_lib.errors import InputError, IntegrityError, MissingError


@pytest.mark.parametrize("kind", [InputError, MissingError, IntegrityError])
def test_a_sentence_with_an_endless_name_keeps_its_begin_and_end(kind):
    plain, endless = str(kind("There is no cup: buy one.")), str(kind(f"There is no {'a' * 100_000}: buy one."))
    assert plain == "There is no cup: buy one."
    assert len(endless) < 1600 and endless.startswith("There is no aaa") and endless.endswith("aaa: buy one.")
