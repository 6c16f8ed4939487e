"""The *human* row of the study: how many picks of people are right, beside the three that methods choose of the same twelve candidates."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from markupsafe import Markup

from foir_lib.bench.experiment import Experiment
from foir_lib.bench.metrics.intervals import against_first
from foir_lib.bench.metrics.scores import Score
from foir_lib.bench.tables.columns import Column
from foir_lib.errors import InputError
from foir_lib.text import markup, percent, points
from foir_lib.view.study.protocol import TRUE, Question

METRIC = "precision of picks"
HEADS = ("who picks", "right, of three picks", "difference to people (95 % interval)", "questions", "answers")
HUMAN = {"human": (0, 1), "human, with outlines": (1,), "human, without outlines": (0,)}  # row -> which answers it is of


def beside(answers: pd.DataFrame, questions: Sequence[Question], experiment: Experiment, methods: Sequence[str] = ()) -> pd.DataFrame:
    """Columns method, ours (percent), low, high, n (questions), answers: a row of people, and one for each of ``methods``.

    answers: :meth:`Record.rows`. ours: mean over questions of the share of right pictures among three: a question's is the mean over the
    people who answered it, that of a method is of the three candidates that it puts first. A method "CA+SP" puts them in the order of its list,
    "CA > Dense" in the order of what the localiser says of them, those in which it finds nothing last. low, high: 95 % interval of the
    difference to all people, units of the set drawn anew; methods are scored on the questions that people answered. Guessing has 25.

    Raises InputError without answers, for answers of other questions, and for a method that can't be asked.
    """
    answers = answers[answers["outlined"].notna()]
    if not len(answers):
        raise InputError("Nobody has answered yet: there are no picks to compare with.")
    number = pd.to_numeric(answers["question"], errors="coerce").fillna(-1).astype(int).to_numpy()
    for at, query, true in zip(number, answers["query"], answers["true"]):
        if not 0 <= at < len(questions) or (questions[at].query, sorted(questions[at].true)) != (query, sorted(map(int, str(true).split()))):
            raise InputError(f"The answers to question {at} were given to another one: take the set and the seed that people were asked with.")
    share = answers["correct"].astype(float).to_numpy() / TRUE
    people = {}
    for name, outlined in HUMAN.items():
        some = answers["outlined"].isin(outlined).to_numpy()
        people[name] = pd.Series(share[some]).groupby(number[some]).mean(), int(some.sum())
    asked = people["human"][0].index.to_numpy()
    scores = {"human": _score(experiment, questions, people["human"][0])}
    scores |= {text: _score(experiment, questions, _chosen(experiment, questions, asked, text)) for text in methods}
    bounds = against_first(scores, METRIC)
    rows = [{"method": name, "ours": 100 * each.mean(), "n": len(each), "answers": n} for name, (each, n) in people.items() if n]
    for name, interval in bounds.items():
        rows.append({"method": name, "ours": 100 * scores[name].map, "low": 100 * interval.low, "high": 100 * interval.high, "n": len(asked)})
    return pd.DataFrame(rows, columns=["method", "ours", "low", "high", "n", "answers"])


def table(rows: pd.DataFrame) -> Markup:
    """Rows of :func:`beside` as a table of a page."""
    lines = []
    for one in rows.to_dict("records"):
        gain = points((one["ours"] - rows["ours"].iloc[0]) / 100)
        apart = "" if pd.isna(one["low"]) else f"{gain} points ({points(one['low'] / 100)} to {points(one['high'] / 100)})"
        cells = (one["method"], percent(one["ours"] / 100), apart, one["n"], "" if pd.isna(one["answers"]) else int(one["answers"]))
        lines.append(markup("<tr>{}</tr>", Markup("").join(markup('<td style="padding:2px 12px 2px 0">{}</td>', str(cell)) for cell in cells)))
    heads = Markup("").join(markup('<th scope="col" style="text-align:left;padding:2px 12px 2px 0">{}</th>', head) for head in HEADS)
    return markup('<table data-foir="people"><thead><tr>{}</tr></thead><tbody>{}</tbody></table>', heads, Markup("").join(lines))


def _chosen(experiment, questions, asked, text):
    """By number of the question, the share of right ones among the first three candidates of a method."""
    column, n = Column.of(text), len(experiment)
    wanted = {questions[at].query: np.array(questions[at].candidates) for at in asked}
    if column.localise is not None:
        answers = experiment.localise(column.localise, [wanted.get(query, np.zeros(0, int)) for query in range(n)])
        order = {query: [-answers[query][row].score if answers[query][row] else np.inf for row in rows] for query, rows in wanted.items()}
    else:
        ids = experiment.ranking(column.retriever, None, column.rerank).ids
        places = {query: {row: place for place, row in enumerate(ids[query].tolist())} for query in wanted}
        order = {query: [places[query].get(row, np.inf) for row in rows.tolist()] for query, rows in wanted.items()}
    first = {at: np.argsort(order[questions[at].query], kind="stable")[:TRUE].tolist() for at in asked}
    return pd.Series({at: len(questions[at].true & set(first[at])) / TRUE for at in asked})


def _score(experiment, questions, each):
    """A Score of shares by number of the question; the questions' queries are what is drawn anew."""
    at, things = np.array([questions[number].query for number in each.index]), experiment.set
    table = things.queries[["image_id", "label"]].iloc[at].assign(query=at, unit=things.units[at]).reset_index(drop=True)
    return Score({METRIC: float(each.mean())}, table.assign(**{METRIC: each.to_numpy()}), TRUE)
