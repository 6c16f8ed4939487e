"""The human row: picks of people and the choice of methods on the same candidates, by hand."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
import pytest

from foir_lib import registry
from foir_lib.detections import Localisation
from foir_lib.errors import InputError
from foir_lib.retrievers.base import Localiser, Retriever
from foir_lib.store.arrays import Arrays
from foir_lib.view.study.human import beside
from foir_lib.view.study.protocol import Question
from foir_lib.view.study.record import Record

# candidates are the database rows backwards; true ones are at the positions 0, 1, 2 of query 3, and at 9, 10, 11 of query 5
ROWS = tuple(range(11, -1, -1))
QUESTIONS = [Question(3, ROWS, (3,) * 3 + (9,) * 9), Question(5, ROWS, (8,) * 9 + (5,) * 3), Question(7, ROWS, (8,) * 9 + (7,) * 3)]


@dataclass(frozen=True)
class First(Retriever):
    """The database in its own order for every query: of the candidates it puts those at 11, 10, 9 first."""

    def describe(self, part):
        return Arrays({"descriptor": np.zeros((len(part), 1), np.float32)})

    def score(self, corpus, query, database, k):
        ids = np.tile(np.arange(len(database)), (len(query), 1))
        return -ids.astype(np.float32)[:, :k], ids[:, :k]


@dataclass(frozen=True)
class Sees(Localiser):
    """The rows 11 and 9 in each picture, and row 0 by the lowest score: the choice is at 0, 2 and 11."""

    def locate(self, corpus, part, m, rows):
        scores = {11: 5.0, 9: 4.0, 0: 0.5}
        return [Localisation(None, [0, 0, 5, 5], scores[row]) if row in scores else Localisation.nothing(9.0) for row in rows.tolist()]


@pytest.fixture
def experiment(tiny):
    with registry.restored():
        registry.register("retriever", "First")(First), registry.register("localiser", "Sees")(Sees)
        yield tiny.experiment("vit")


def answered(tmp_path, *answers):
    """A record of (person, question, outlined, picks)."""
    record, people = Record(tmp_path / "study.csv"), {}
    for person, at, outlined, picks in answers:
        people.setdefault(person, f"{len(people):08x}")
        question = QUESTIONS[at]
        record.answer(people[person], 0, at, question.query, outlined, picks, sorted(question.true), 3.0)
    record.helpful(people[person], 0, 7)
    return record.rows()


def test_people_and_methods_on_the_same_candidates(experiment, tmp_path):
    rows = answered(tmp_path, ("a", 0, True, [0, 1, 2]), ("b", 0, False, [0, 1, 5]), ("a", 1, False, [9, 3, 4]), ("c", 1, False, [9, 10, 4]))
    table = beside(rows, QUESTIONS, experiment, ["First", "First > Sees"]).set_index("method")
    # people: question 0 (1 + 2/3) / 2, question 1 (1/3 + 2/3) / 2; First chooses 11, 10, 9: 0 and 3 right; Sees 0, 2, 11: 2 and 1 right
    assert table["ours"].tolist() == pytest.approx([100 * (5 / 6 + 1 / 2) / 2, 100, 100 * (2 / 3 + 1 / 2) / 2, 50, 50])
    assert table["n"].tolist() == [2, 1, 2, 2, 2] and table["answers"].dropna().tolist() == [4, 1, 3]
    assert table["low"].notna().tolist() == [False, False, False, True, True]
    # two independent pictures: drawn twice the one or twice the other, First differs by -83.3 or +50, Sees by -16.7 each time
    assert table.loc["First", ["low", "high"]].tolist() == pytest.approx([-250 / 3, 50])
    assert table.loc["First > Sees", ["low", "high"]].tolist() == pytest.approx([-50 / 3, -50 / 3])


def test_what_cannot_be_compared(experiment, tmp_path):
    rows = answered(tmp_path, ("a", 0, True, [0, 1, 2]))
    with pytest.raises(InputError, match="no picks to compare"):
        beside(rows.iloc[1:], QUESTIONS, experiment)
    for others in ([QUESTIONS[1]], [Question(3, ROWS, (9,) * 9 + (3,) * 3)], []):
        with pytest.raises(InputError, match="take the set and the seed that people were asked with"):
            beside(rows, others, experiment)
    with pytest.raises(InputError, match="no retriever 'Nobody'"):
        beside(rows, QUESTIONS, experiment, ["Nobody"])
    assert isinstance(beside(rows, QUESTIONS, experiment), pd.DataFrame)
