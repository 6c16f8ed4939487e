"""Inverted file: candidates against sets of words, codebooks that are the same again, every edge."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from foir_lib.errors import InputError, IntegrityError, MissingError
from foir_lib.methods.whitening import PCA
from foir_lib.search import inverted_file as ivf

WORDS = [[3, 1, 1], [], [0, 3], [5]]


def codebook(centres=((0, 0), (4, 0), (0, 4), (9, 9))):
    return ivf.Codebook(PCA(np.zeros(2, np.float32), np.eye(2, dtype=np.float32)), np.float32(centres))


def blobs(n=40, spread=0.1, seed=0):
    """Features around 6 points of 8 dimensions, (6 n, 8), and the points."""
    points = 10 * np.eye(8, dtype=np.float32)[:6]
    noise = np.random.default_rng(seed).normal(0, spread, (6, n, 8))
    return (points[:, None] + noise).reshape(-1, 8).astype(np.float32), points


# --- the file --------------------------------------------------------------------------------------


def test_candidates_by_hand():
    index = ivf.build(WORDS, 6)
    assert index.rows.tolist() == [2, 0, 0, 2, 3] and index.start.tolist() == [0, 1, 2, 2, 4, 4, 5]
    assert index.candidates([3]).tolist() == [0, 2]
    assert index.candidates([5, 1, 5]).tolist() == [0, 3]
    assert index.candidates([0, 1, 2, 3, 4, 5]).tolist() == [0, 2, 3]  # a picture without words is never one
    assert len(index) == 4 and index.n_words == 6


def test_an_image_with_no_shared_word_is_no_candidate_and_none_is_fine():
    index = ivf.build(WORDS, 6)
    for words in ([2], [4, 2], [], np.zeros(0)):
        result = index.candidates(words)
        assert result.tolist() == [] and result.dtype.kind == "i"
    assert index.filtered([index.candidates([2]), index.candidates([3])]) == 0.75


lists = st.lists(st.lists(st.integers(0, 11), max_size=8), min_size=1, max_size=15)


@given(lists, st.lists(st.integers(0, 11), max_size=6))
def test_candidates_are_those_whose_sets_meet(words, query):
    index = ivf.build(iter(words), 12)
    assert index.candidates(query).tolist() == [i for i, w in enumerate(words) if set(w) & set(query)]
    assert len(index.rows) == sum(len(set(w)) for w in words)  # each word of a picture once


def test_a_million_pictures_fit():
    """Four bytes for each picture and distinct word, and the start of each word's list."""
    index = ivf.build([np.arange(500) for _ in range(50)], 65536)
    assert index.rows.nbytes == 50 * 500 * 4
    assert index.start.nbytes == 65537 * 8


def test_words_off_the_codebook_are_told():
    index = ivf.build(WORDS, 6)
    for words in ([6], [-1], [0.5], [[1]]):
        with pytest.raises(InputError, match="0 to 5"):
            index.candidates(words)
    with pytest.raises(InputError, match="Database picture 1 "):
        ivf.build([[0], [9]], 6)
    with pytest.raises(InputError, match="empty"):
        ivf.build([], 6)


# --- words -----------------------------------------------------------------------------------------


def test_the_nearest_word_is_assigned_through_the_pca():
    book = codebook()
    features = np.float32([[0.4, 0.2], [3, 1], [1, 3], [8, 8], [3, 1]])
    assert book.assign(features).tolist() == [0, 1, 2, 3, 1]
    assert book.words(torch.from_numpy(features[::-1].copy())).tolist() == [0, 1, 2, 3]
    assert book.words(features[[1, 4]]).tolist() == [1]  # each word once
    moved = ivf.Codebook(PCA(np.float32([4, 0]), np.eye(2, dtype=np.float32)), book.centres)
    assert moved.assign(features).tolist() == [0, 0, 2, 3, 0]
    assert book.words(np.zeros((0, 2), np.float32)).tolist() == []


def test_assignment_in_blocks_is_assignment(monkeypatch):
    features = np.random.default_rng(1).normal(4, 4, (23, 2)).astype(np.float16)
    want = ((features[:, None].astype(float) - codebook().centres) ** 2).sum(-1).argmin(1)
    monkeypatch.setattr(ivf, "BLOCK", 5)
    assert codebook().assign(features).tolist() == want.tolist()


def test_kmeans_finds_the_blobs_whatever_carries_them(tmp_path):
    features, points = blobs()
    np.save(tmp_path / "features.npy", features)
    books = [
        ivf.learn(f, 6, dim=5, seed=3)
        for f in (features, torch.from_numpy(features), np.load(tmp_path / "features.npy", mmap_mode="r"))
    ]
    words = books[0].assign(features).reshape(6, 40)
    assert (words == words[:, :1]).all() and len(np.unique(words)) == 6
    assert books[0].centres.shape == (6, 5) and books[0].centres.dtype == np.float32
    for book in books[1:]:  # and deterministic
        np.testing.assert_array_equal(book.centres, books[0].centres)
    np.testing.assert_allclose(books[0].pca(points), books[0].centres[words[:, 0]], atol=0.2)


def test_the_seed_is_used_and_dimensions_are_cut_to_what_there_is():
    features = np.random.default_rng(0).normal(size=(60, 4)).astype(np.float32)
    one, same, other = (ivf.learn(features, 8, seed=s) for s in (0, 0, 1))
    np.testing.assert_array_equal(one.centres, same.centres)
    assert not np.array_equal(one.centres, other.centres)
    assert one.centres.shape == (8, 4)
    assert ivf.learn(features, 2, dim=128, n_pca=3).centres.shape == (2, 2)


@pytest.mark.filterwarnings("error")
def test_bad_samples_are_told():
    features = np.random.default_rng(0).normal(size=(20, 4)).astype(np.float32)
    for n_words in (0, 21):
        with pytest.raises(InputError, match=f"{n_words} words"):
            ivf.learn(features, n_words)
    broken = features.copy()
    broken[7, 2] = np.nan
    with pytest.raises(InputError, match="NaN"):
        ivf.learn(broken, 4)
    book = ivf.learn(features, 4)
    with pytest.raises(InputError, match="Local feature 7 holds NaN"):
        book.assign(broken)
    with pytest.raises(InputError, match="dimensions"):
        book.assign(features[:, :3])


# --- on disk ---------------------------------------------------------------------------------------


def test_it_comes_back_from_disk(tmp_path):
    ivf.build(WORDS, 6).save(tmp_path / "index.npz")
    again = ivf.load(tmp_path / "index.npz")
    assert again.candidates([3, 5]).tolist() == [0, 2, 3] and len(again) == 4 and again.rows.dtype == np.int32


def test_a_codebook_assigns_its_own_centres():
    book = codebook()
    np.testing.assert_array_equal(book.assign(book.centres), np.arange(4))


def test_other_files_are_refused(tmp_path):
    path = tmp_path / "x.npz"
    with pytest.raises(MissingError):
        ivf.load(path)
    for content in (b"", b"PK", b"junk" * 50):
        path.write_bytes(content)
        with pytest.raises(IntegrityError):
            ivf.load(path)
    np.savez(path, start=np.array([0, 2]), rows=np.array([{}, {}], dtype=object), n=2)  # pickled
    with pytest.raises(IntegrityError):
        ivf.load(path)
    for start, rows, n in (([0, 3], [0, 1], 2), ([0, 2, 1, 2], [0, 1], 2), ([0, 2], [0, 2], 2), ([0, 1], [-1], 2)):
        np.savez(path, start=np.array(start), rows=np.array(rows), n=n)
        with pytest.raises(IntegrityError, match="don't fit"):
            ivf.load(path)
