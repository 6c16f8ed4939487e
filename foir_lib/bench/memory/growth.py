"""Growth of a memory over an unlabelled stream without any human: what it takes in, how much of it is wrong, and when it must stop.

A view of the stream becomes a *machine view* of the thing that it is called where the margin says "known" and all checks agree: each finds more
matches with that thing than with the second, and at least as many as its floor, which the humans' views teach (:class:`Correction`). A thing has
at most ``limit`` views: the machine view that says least goes first, humans' views never.

What would harm is a look-alike that nobody named: no view of the memory tells what it lacks, so that margins and floors pass it, and the humans'
views, asked again, are still right. But it agrees less with them than they do among each other. So after each part of the stream two things are
asked, of humans' views alone, and where one of them is sure (95 % interval, things drawn anew) every machine view is taken back and growth ends:

    agreement   matches of machine views with the humans' of their thing, divided by those of the humans' with each other, is below 1
    left out    fewer humans' views are right, each left out, with the machine's views than without
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from foir_lib.bench.memory.curves import ACCURACY, HELD, TESTS
from foir_lib.bench.memory.views import Views, family, score, split, task
from foir_lib.bench.metrics.scores import Score
from foir_lib.memory import control
from foir_lib.memory.gate import Agreement, Gate, Grown

LIMIT, PARTS, HUMANS = 8, 4, 3  # views of a thing; parts of the stream; humans' views of a thing
STRANGERS, LOOKALIKES, REMEMBERED = "strangers", "look-alikes", "remembered"
BEFORE, WRONG = "before", "wrong machine views"


def after(part: int, parts: int = PARTS) -> str:
    """What the memory is called after a part of the stream; 0: before it."""
    return f"after {100 * part // parts} % of the stream" if part else BEFORE


def filled(accuracy: dict[str, Score], parts: int = PARTS) -> dict[str, Score]:
    """The accuracies with those of the parts that came after the end of growth: the memory's as it was left."""
    last = accuracy[list(accuracy)[-1]]
    return {after(part, parts): accuracy.get(after(part, parts), last) for part in range(parts + 1)}


@dataclass(frozen=True)
class Growth:
    """What became of a memory: "before", "after 25 % of the stream", ... -> ``accuracy`` of the first answer on the same test views, and
    ``wrong``, which machine views were (units: things). ``table``: a row for each: seen, machine (views let in), wrong (share),
    agreement and left_out with their intervals, stopped (and all of them taken back)."""

    accuracy: dict[str, Score]
    wrong: dict[str, Score]
    table: pd.DataFrame


def streamed(views: Views, passes: str, rng: np.random.Generator, n_views: int = HUMANS) -> tuple[list, np.ndarray]:
    """(things as of :func:`split`, rows of the stream in random order), by what ``passes``: views of two thirds of the families, one thing of each
    remembered, and of the others ("strangers"), of their look-alikes too ("look-alikes"); or of things all remembered ("remembered")."""
    things = split(views, rng, n_views, TESTS, passes == REMEMBERED)
    if passes != REMEMBERED:
        things = [things[i] for i in rng.permutation(len(things))][int(HELD * len(things)) :]
    own = {label for label, *_ in things}
    families = {family(label) for label in own}
    wanted = {
        STRANGERS: lambda label: label in own or family(label) not in families,
        LOOKALIKES: lambda label: True,
        REMEMBERED: lambda label: label in own,
    }[passes]
    used = np.concatenate([np.concatenate(rows) for _, *rows in things])
    rows = np.setdiff1d([row for row, label in enumerate(views.labels) if wanted(label)], used)
    return things, rng.permutation(rows)


def growth(
    views: Views, vectors: np.ndarray, passes: str = STRANGERS, agreement: Agreement | None = None, n_views: int = HUMANS,
    limit: int = LIMIT, parts: int = PARTS, most: int | None = None, stops: bool = True, seed: int = 0,
) -> Growth:  # fmt: skip
    """The :class:`Growth` of a memory of ``n_views`` humans' views of each thing, over the first ``most`` rows of :func:`streamed`, in ``parts``.

    ``agreement``: by what checks views agree, with what was looked at already; ``stops``: whether harm ends growth.
    """
    things, stream = streamed(views, passes, np.random.default_rng([seed, 0]), n_views)
    stream, one, n = stream[:most], task(things), 0
    truth = pd.Series(range(len(things)), index=one.labels).reindex(views.labels, fill_value=-1).to_numpy()
    humans = Grown(one.rows, one.owners, np.ones(len(one.rows), bool))
    gate, grown = Gate(humans, vectors, views.pictures, agreement or Agreement(views.crop)), humans
    found = Growth({}, {}, pd.DataFrame())
    table = []

    def judge(name, memory, stopped):
        answers = control.first(vectors[one.tests] @ vectors[memory.rows].T, memory.owners, 2)
        found.accuracy[name] = score(ACCURACY, answers.things[:, 0] == one.truth, one.labels[one.truth])
        wrong = grown.wrong(truth)
        if len(wrong):
            found.wrong[name] = score(WRONG, wrong, one.labels[grown.owners[~grown.human]])
        share = float(wrong.mean()) if len(wrong) else np.nan
        table.append((name, n, len(wrong), share, *gate.agrees(grown), *gate.forgets(grown), stopped))

    judge(after(0), grown, False)
    for number, part in enumerate(np.array_split(stream, parts), 1):
        for row in part.tolist():
            if (thing := gate.lets_in(row, grown)) >= 0:
                grown = grown.with_view(row, thing, vectors, limit)
        n += len(part)
        harmed = stops and gate.harmed(grown)
        judge(after(number, parts), humans if harmed else grown, harmed)
        if harmed:
            break
    columns = ["name", "seen", "machine", "wrong", "agreement", "agreement low", "agreement high", "left out", "left out low", "left out high", "stopped"]
    return Growth(found.accuracy, found.wrong, pd.DataFrame(table, columns=columns))
