"""A damaged file is one sentence or still a set, never a traceback: every reader, files with bytes flipped, cut, doubled, swapped."""

import random
import re
import warnings
from functools import partial

import pytest
from test_landmark_readers import google, oxford, roxford, sfm  # noqa: F401
from test_readers import coco_root, photos, vg_root, voc_root, write  # noqa: F401

from foir_lib.data import load_set, training
from foir_lib.data.readers import pickles
from foir_lib.errors import FoirError, IntegrityError

READERS = {  # fixture with a whole set -> what of it is damaged, and how it is opened
    "coco_root": ("annotations/*", partial(load_set, "coco")),
    "voc_root": ("VOCdevkit/*/[AI]*/**/*.*", partial(load_set, "voc")),
    "vg_root": ("*.*", partial(load_set, "visual-genome", n_categories=3)),
    "photos": ("boxes.csv", partial(load_set, "folder")),
    "roxford": ("*.pkl", partial(load_set, "roxford5k")),
    "oxford": ("gt/*", partial(load_set, "oxford5k")),
    "google": ("**/*.csv", partial(load_set, "gldv2")),
    "sfm": ("*.pkl", training.rsfm120k),
}
TOKENS = (b"", b"0", b"-1", b"1e999", b"NaN", b"null", b"true", b'""', b"[]", b"{}", b"\xff", b"\x00", b"\n", b",", b"9" * 30, b"a.png")


def damage(content, rng):
    """``content`` with one of: a byte flipped, a span cut out or doubled, its end lost, a word or number or byte replaced."""
    i, j = sorted(rng.randrange(len(content) + 1) for _ in range(2))
    words = list(re.finditer(rb"\w+|.", content, re.DOTALL))
    word = rng.choice(words)
    return rng.choice(
        [
            content[:i] + bytes([rng.randrange(256)]) + content[i + 1 :],
            content[:i] + content[j:],
            content[:j] + content[i:],
            content[:i],
            content[: word.start()] + rng.choice(TOKENS) + content[word.end() :],
            content[: word.start()] + rng.choice(words).group() + content[word.end() :],
        ]
    )


@pytest.mark.parametrize("operation", [b"r\xff\xff\xff\x7f", b"p2147483647\n", b"\x96\xff\xff\xff\xff\xff\x00\x00\x00"])
def test_a_pickle_that_asks_for_gigabytes_is_refused(operation, tmp_path):
    (tmp_path / "a.pkl").write_bytes(b"\x80\x05K\x01" + operation + b".")
    with pytest.raises(IntegrityError, match="damaged"):
        pickles.load_plain(tmp_path / "a.pkl")


@pytest.mark.slow
@pytest.mark.parametrize("n", [200, pytest.param(10_000, marks=pytest.mark.claims)])
@pytest.mark.parametrize("reader", READERS)
def test_damaged_files_are_read_or_refused_in_one_sentence(reader, n, request, monkeypatch, tmp_path, record_property):
    monkeypatch.setenv("FOIR_CACHE", str(tmp_path / "cache"))
    root = request.getfixturevalue(reader)
    if reader == "photos":
        write(root / "boxes.csv", "image,label,x0,y0,x1,y1\nb.JPG,dog,1,2,20,15\ntrip/a.png,cat,0,0,40,30\n")
    pattern, opened = READERS[reader]
    files, rng, refused = sorted(path for path in root.glob(pattern) if path.is_file() and path.stat().st_size), random.Random(reader), 0
    for _ in range(n):
        path = rng.choice(files)
        whole = path.read_bytes()
        path.write_bytes(damaged := damage(whole, rng))
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                opened(root)
        except FoirError as error:
            refused += 1
            assert str(error).strip() and "\n" not in str(error)
        except Exception as error:
            raise AssertionError(f"{type(error).__name__}: {error}, {path.name} holds {damaged!r}") from error
        path.write_bytes(whole)
    record_property("refused", f"{refused} of {n}")
    assert 0.05 < refused / n < 1
