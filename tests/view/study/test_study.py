"""The user study: its questions, groups, what is recorded and what is worked out of it, by hand."""

from collections import Counter

import numpy as np
import pandas as pd
import pytest

from foir_lib.errors import InputError
from foir_lib.view.study.analysis import PUBLISHED, analysis, welch
from foir_lib.view.study.protocol import plan, questions
from foir_lib.view.study.record import COLUMNS, Record

POSITIVES = [np.arange(4 * (i // 2), 4 * (i // 2) + 4) for i in range(40)]  # two queries of each of 20 things, four pictures a thing
LABELS = [f"thing {i // 2}" for i in range(40)]


def test_questions_are_as_the_protocol_says():
    ignored = [np.array([(4 * (i // 2) + 4) % 80]) for i in range(40)]
    asked = questions(POSITIVES, LABELS, ignored, seed=3)
    assert len(asked) == 16 and len({LABELS[one.query] for one in asked}) == 16
    for one in asked:
        assert len(one.candidates) == len(set(one.candidates)) == 12 and len(one.true) == 3
        for at, (row, drawn_for) in enumerate(zip(one.candidates, one.drawn_for, strict=True)):
            assert row in POSITIVES[drawn_for]
            assert (row in POSITIVES[one.query]) == (at in one.true) and row not in ignored[one.query]
    assert asked == questions(POSITIVES, LABELS, ignored, seed=3) != questions(POSITIVES, LABELS, ignored, seed=4)
    places = Counter(at for seed in range(20) for one in questions(POSITIVES, LABELS, seed=seed) for at in one.true)
    assert min(places[at] for at in range(12)) > 40, "80 each are due: true ones stand anywhere"


def test_too_small_sets_are_refused():
    with pytest.raises(InputError, match="15 things have 3 pictures that show them, the study asks about 16"):
        questions(POSITIVES[:30], LABELS[:30])
    with pytest.raises(InputError, match="has 11 candidates, the study shows 12"):
        questions(POSITIVES[:10], LABELS[:10], n=2)


def test_groups_are_counterbalanced():
    plans = [plan(group) for group in range(4)]
    assert plans[0] == [(i, True) for i in range(8)] + [(i, False) for i in range(8, 16)]
    assert plans[2] == [(i, False) for i in range(8)] + [(i, True) for i in range(8, 16)]
    for question in range(16):
        shown = [(order.index((question, outlined)) < 8, outlined) for order in plans for outlined in (True, False) if (question, outlined) in order]
        assert sorted(shown) == [(False, False), (False, True), (True, False), (True, True)], "each way, early and late, once"
    with pytest.raises(InputError, match="Group 4 is none"):
        plan(4)


def test_answers_are_lines_that_survive_a_killed_writer(tmp_path):
    record = Record(tmp_path / "new" / "study.csv")
    person, group = record.join()
    assert group == 0 and record.answered(person) == set() and len(record.rows()) == 0
    record.answer(person, group, 4, 17, True, [2, 0, 5], [0, 2, 9], 12.5)
    with record.path.open("ab") as file:
        file.write(b"0123abcd,1,3,1")  # killed here
    assert len(record.rows()) == 1
    record.answer(person, group, 5, 18, False, [1, 2, 3], [1, 2, 3], 7.25)
    record.answer(person, group, 5, 18, False, [1, 2, 4], [1, 2, 3], 9.0)  # sent twice: the first counts
    record.helpful(person, group, 6)
    rows = record.rows()
    assert rows["question"].tolist() == ["4", "5", "helpful"] and rows["correct"].tolist()[:2] == [2, 3] and rows["seconds"].tolist()[:2] == [12.5, 7.25]
    assert rows["picks"].tolist()[:2] == ["0 2 5", "1 2 3"] and rows["helpful"].iloc[2] == 6
    assert record.answered(person) == {"4", "5", "helpful"} and record.join(f" {person} ") == (person, group)
    assert record.path.read_text().startswith(",".join(COLUMNS) + "\n")
    joined = [record.join() for _ in range(2)]
    assert joined[0][1] == 1 and joined[0][0] != joined[1][0]
    for words, wrong in (("2 pictures are picked: pick exactly 3", ([1, 2, 2], [1, 2, 3], 1.0)), ("no time", ([1, 2, 3], [1, 2, 3], 0.0))):
        with pytest.raises(InputError, match=words):
            record.answer(person, group, 6, 1, True, *wrong)
    for grade in (0, 8, True):
        with pytest.raises(InputError, match="is no grade"):
            record.helpful(person, group, grade)
    with pytest.raises(InputError, match="Nobody has answered as '=cmd'"):
        record.join("=cmd")


def answers(*rows):
    return pd.DataFrame(rows, columns=["participant", "outlined", "seconds", "correct", "true", "helpful"])


def test_means_tests_and_precision_by_hand():
    rows = answers(
        ("a", 1, 10.0, 3, "0 1 2", np.nan), ("a", 0, 12.0, 2, "0 1 2", np.nan), ("b", 1, 20.0, 3, "0 1 2", np.nan),
        ("b", 0, 26.0, 1, "0 1 2", np.nan), ("c", 1, 30.0, 0, "0 1 2", np.nan), ("a", np.nan, np.nan, np.nan, "", 7.0), ("b", np.nan, np.nan, np.nan, "", 6.0),
    )  # fmt: skip
    table = analysis(rows).set_index("what")
    assert table.loc["seconds with outlines", ["ours", "sd", "n", "published", "published sd"]].tolist() == [20, 10, 3, 37.07, 49.76]
    assert table.loc["seconds without outlines", "ours"] == 19 and table.loc["seconds without outlines", "n"] == 2
    # paired: differences -2 and -6 of a and b: mean -4, sd 2.828, t = -4 / (2.828 / sqrt 2) = -2, one degree of freedom: p = 1 - 2 atan(2) / pi
    np.testing.assert_allclose(table.loc["p, paired t-test over people", "ours"], 1 - 2 * np.arctan(2) / np.pi)
    assert table.loc["p, paired t-test over people", "n"] == 2 and table.loc["p, paired t-test over people", "published"] == 0.00091
    assert table.loc["precision of picks, %", "ours"] == pytest.approx(100 * 9 / 15)
    assert table.loc["precision of picks without outlines, %", "ours"] == pytest.approx(50)
    assert table.loc["helpful, 1 to 7", ["ours", "n", "published"]].tolist() == [6.5, 2, 6.375]
    with pytest.raises(InputError, match="Nobody has answered yet"):
        analysis(rows.iloc[5:])


def test_the_published_means_give_another_p_by_welch():
    means, sds = zip(PUBLISHED["with"], PUBLISHED["without"], strict=True)
    assert welch(means, sds, (320, 320)) == pytest.approx(0.0017, abs=0.0001)
    assert np.isnan(analysis(answers(("a", 1, 10.0, 3, "0 1 2", np.nan))).set_index("what").loc["p, Welch's t-test over answers", "ours"])
