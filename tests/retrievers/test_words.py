"""Visual words: which pictures are candidates, how the codebook is stored."""

import dataclasses

import numpy as np
import pytest
from plainly import QUERY, K, crop, local, pictures

from foir_lib import registry
from foir_lib.bench.experiment import Experiment
from foir_lib.retrievers import words
from foir_lib.search import inverted_file
from foir_lib.store.arrays import Arrays

CA, IVF = (registry.parse("retriever", f"CA(n_clusters={K}, ivf={ivf})") for ivf in (False, True))


def described(experiment, retriever=IVF):
    corpus = experiment.corpus
    return [corpus.described(retriever, part) for part in (corpus.queries(), corpus.database)]


@pytest.mark.parametrize("n_asking", [1, 500])
def test_only_pictures_that_share_a_word_are_scored(town, town_training, n_asking):
    settings = town.set.settings | {"n_words": 120, "n_asking": n_asking}
    options = {"training": town_training, "cache": town.corpus.cache, "progress": False}
    town = Experiment(dataclasses.replace(town.set, settings=settings), town.model, **options)
    codebook = words.codebook(town.corpus)
    named = [codebook.assign(local(town, p)[0].half().float()).tolist() for p in (crop(town), *pictures(town))]
    want = [row for row, shown in enumerate(named[1:]) if set(shown) & set(named[0][:n_asking])]
    first = {row for row, shown in enumerate(named[1:]) if named[0][0] in shown}
    assert first == set(want) and len(want) < 14 if n_asking == 1 else first < set(want)
    query, database = described(town)
    candidates = words.candidates(town.corpus, query, database)
    np.testing.assert_array_equal(candidates[QUERY], want)
    assert len(codebook) == 120 and isinstance(codebook, inverted_file.Codebook)
    share = np.mean([1 - len(c) / 14 for c in candidates])
    assert IVF.filtered(town.corpus, query, database) == pytest.approx(share) and share < 1
    got, plain = town.ranking(IVF), town.ranking(CA)
    for row, score in zip(plain.ids[QUERY], plain.scores[QUERY], strict=True):
        assert got.scores[QUERY][got.ids[QUERY] == row] == (pytest.approx(score, abs=1e-6) if row in want else 0)


def test_only_the_strongest_features_of_a_query_name_words(town):
    """Picture r shows the words r and r + 1 (mod 8) and has one feature less than there is room for; queries name 1, 5, 7."""
    database = Arrays({"words": np.int32([[row % 8, (row + 1) % 8, -1] for row in range(14)])})
    query = Arrays({"words": np.int32([[1, 5, 7]] * 2)})
    words.codebook(town.corpus)
    for n_asking, want in ((1, [0, 1, 8, 9]), (2, [0, 1, 4, 5, 8, 9, 12, 13]), (None, [0, 1, 4, 5, 6, 7, 8, 9, 12, 13])):
        settings = {**town.set.settings, **({"n_asking": n_asking} if n_asking else {})}
        corpus = Experiment(dataclasses.replace(town.set, settings=settings), town.model, progress=False).corpus
        corpus.learned("codebook", lambda: words.codebook(town.corpus))
        assert [rows.tolist() for rows in words.candidates(corpus, query, database)] == [want] * 2
    assert IVF.filtered(corpus, query, database) == pytest.approx(4 / 14)


def test_a_codebook_is_learned_once_and_again_when_its_file_is_broken(town, town_training, monkeypatch, tmp_path):
    def codebook(**options):
        return words.codebook(Experiment(town.set, town.model, cache=tmp_path, progress=False, training=town_training, **options).corpus)

    learn, want = inverted_file.learn, codebook().centres
    monkeypatch.setattr(inverted_file, "learn", lambda *_, **__: pytest.fail("learned twice"))
    np.testing.assert_array_equal(codebook().centres, want)
    monkeypatch.setattr(inverted_file, "learn", learn)
    (path,) = (tmp_path / "codebooks").glob("*.cached")
    path.write_bytes(b"PK")
    np.testing.assert_array_equal(codebook().centres, want)
    assert not np.array_equal(codebook(n_training=7).centres, want), "of other pictures"
