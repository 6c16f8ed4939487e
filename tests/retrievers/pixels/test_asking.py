"""Localisers over rankings: kept answers, resumed runs, answers that are none."""

from dataclasses import dataclass

import numpy as np
import pytest

from foir_lib.bench.experiment import Experiment
from foir_lib.detections import Localisation
from foir_lib.errors import InputError
from foir_lib.retrievers.base import Localiser
from foir_lib.retrievers.pixels import asking

ASKED = []


@dataclass(frozen=True)
class Left(Localiser):
    """The left columns of every picture; the score is the row."""

    columns: int = 4
    fault: str = ""

    def locate(self, corpus, part, m, rows):
        ASKED.append((m, rows.tolist()))
        if self.fault == "stops" and m == 2:
            raise KeyboardInterrupt
        if self.fault == "breaks":
            raise RuntimeError("no eyes")
        answers = []
        for row in rows:
            width, height = corpus.database.sizes[row].tolist()
            mask = np.zeros((height + (self.fault == "size"), width), bool)
            mask[:, : self.columns] = True
            answers.append(Localisation.of(mask, float(row)))
        return answers[:-1] if self.fault == "few" else answers


@pytest.fixture
def experiment(tiny, tmp_path):
    ASKED.clear()
    one = tiny.experiment("vit")
    return Experiment(one.set, one.model, cache=tmp_path, progress=False)


def test_each_query_gets_its_rows(experiment):
    ids = [np.array([3, 1, -1])] + [np.array([], int)] * (len(experiment) - 2) + [np.array([0])]
    answers = experiment.localise(Left(columns=2), ids)
    assert [list(one) for one in answers] == [[1, 3], *[[]] * (len(experiment) - 2), [0]]
    one = answers[0][3]
    assert one.box.tolist() == [0, 0, 2, experiment.corpus.database.sizes[3][1]] and one.score == 3
    assert one.pixels().shape == tuple(experiment.corpus.database.sizes[3][::-1]) and one.pixels().sum() == 2 * one.mask["size"][0]


def test_answers_are_kept_and_a_stopped_run_goes_on(experiment, tiny, tmp_path):
    ids, again = np.tile(np.arange(4), (len(experiment), 1)), Experiment(experiment.set, experiment.model, cache=tmp_path, progress=False)
    for one, want in ((experiment, [0, 1, 2]), (again, [2])):
        ASKED.clear()
        with pytest.raises(KeyboardInterrupt):
            one.localise(Left(fault="stops"), ids)
        assert [m for m, _ in ASKED] == want
    ASKED.clear()
    first, second = ([{row: (a.mask, a.box.tolist(), a.score) for row, a in one.items()} for one in e.localise(Left(), ids)] for e in (experiment, again))
    assert first == second and len(ASKED) == len(ids)
    again.localise(Left(columns=5), ids), again.localise(Left(), ids[:, :2]), again.localise(Left(), ids[:, ::-1])
    assert len(ASKED) == 2 * len(ids), "fewer rows, or in another order, are at hand"


@pytest.mark.parametrize(
    ("fault", "words"),
    [("breaks", r"Left\(fault='breaks'\) fails \(RuntimeError: no eyes\)"), ("few", "returned 2 answers for 3 pictures"), ("size", "for a picture of")],
)
def test_answers_that_are_none(experiment, fault, words):
    with pytest.raises(InputError, match=words):
        experiment.localise(Left(fault=fault), np.tile(np.arange(3), (len(experiment), 1)))


def test_rows_and_names_that_are_none(experiment):
    for ids, words in ((np.zeros((2, 1), int), "Rows of 2 queries"), (np.full((len(experiment), 1), 12), "name row 12")):
        with pytest.raises(InputError, match=words):
            experiment.localise(Left(), ids)
    with pytest.raises(InputError, match="is no localiser"):
        experiment.localise(3, np.zeros((len(experiment), 1), int))
    assert asking.parsed("Dense(k=3)").k == 3
