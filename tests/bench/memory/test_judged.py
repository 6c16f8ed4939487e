"""Rows of the tables of memories: compared within their block, told, drawn and saved as any table's."""

import numpy as np
import pandas as pd
import pytest

from foir_lib import load_model, load_set
from foir_lib.bench import rows
from foir_lib.bench.memory import checks, curves, interactions, judged, naming
from foir_lib.bench.memory.views import score
from foir_lib.bench.runs import report, runner, tables_text
from foir_lib.bench.tables.catalogue import find
from foir_lib.errors import FoirError, InputError
from foir_lib.files import notebooks_root
from foir_lib.view import figures

SMALL = {"dataset": "mini-needles(n_things=24, n_queries=24, n_database=40)", "model": "mini-vit", "progress": False}
LABELS = np.repeat(["a", "b", "c", "d"], 2)


@pytest.fixture(autouse=True, scope="module")
def cache(tmp_path_factory):
    """The shelves are drawn, and their pictures described, once for all tables."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FOIR_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


def scores(*shares, name=curves.ACCURACY):
    """Scores of eight answers of four things, so many of which are right."""
    return [score(name, np.arange(8) < share, LABELS) for share in shares]


def test_a_block_is_compared_with_its_own_first_line_and_shares_with_nothing():
    first, second, third = scores(4, 8, 4)
    found = judged._block(
        "Crop", "one of a family", {"after 1 view": first, "after 2 views": second, "after 3 views": third}
    )
    assert [row["metric"] for row in found] == ["accuracy (Crop, one of a family)"] * 3
    assert [row["ours"] for row in found] == [50, 100, 50] and "low" not in found[0]
    assert 0 <= found[1]["low"] <= 50 <= found[1]["high"] <= 100 and (found[2]["low"], found[2]["high"]) == (0, 0)
    shares = dict(zip(("remembered", "right", "new"), scores(8, 4, 0, name=curves.KNOWN), strict=True))
    told = judged._block("Crop", judged.NOVEL, shares)
    assert [row["method"] for row in told] == [
        "views of remembered things",
        "known ones by the right name",
        "views of new things, a third of all",
    ]
    assert not any("low" in row for row in told), "a share is no difference to another one"
    assert told[0]["note"] == "Crop, 100.0 %, 95 % interval 100.0 to 100.0" and told[2]["note"].startswith(
        "Crop, 0.0 %"
    )


def test_verdicts_count_blocks():
    blocks = {"Crop": scores(4, 8), "Mask": scores(4, 4)}
    some = [
        row
        for name, pair in blocks.items()
        for row in judged._block(name, "", dict(zip(("first", "second"), pair, strict=True)))
    ]
    table = report.checked(pd.DataFrame(some).assign(dataset="d", model="m", table="px-checks"), "px-checks")
    assert tables_text.verdicts(table).loc["second"].tolist() == [0, 2, 0], (
        "two of four things are put right, and no draw of them is sure"
    )
    assert list(report.wide(table).columns) == [
        "d, accuracy (Crop)", "d, accuracy (Crop) vs first", "d, accuracy (Mask)", "d, accuracy (Mask) vs first"
    ]  # fmt: skip


def test_unknown_kinds_guests_and_sets_without_regions_are_refused():
    with pytest.raises(FoirError, match="kind of judging"):
        judged.rows("viewz", None, ())
    with pytest.raises(InputError, match="px-memory judges a memory: a guest has no place in it"):
        rows.run("px-memory", **SMALL | {"guest": "HOW=nowhere.npy"})


def test_the_tables_of_memories_have_a_notebook_of_their_own():
    jobs = runner.plan(["px-memory", "px-checks", "px-learning"], {})
    assert {job.notebook for job in jobs} == {notebooks_root() / "tables" / "memory.ipynb"}
    assert find("px-2.1").notebook == ""


@pytest.mark.slow
@pytest.mark.parametrize("table", ["px-memory", "px-checks", "px-learning", pytest.param("px-learning-checks", marks=pytest.mark.claims), "px-growth"])
def test_a_table_of_memories_is_made_told_drawn_and_saved(table, tmp_path):
    spec, result = find(table), report.checked(rows.run(table, **SMALL), table)
    assert result["ours"].between(0, 100).all() and "ap" not in result
    encoders = [column.name for column in spec.columns]
    if spec.judged == "views":
        assert list(result["method"])[:4] == [f"after {k} view{'s' * (k > 1)}" for k in curves.AFTER]
        assert len(result) == len(encoders) * (4 + 4 + 4) and len(report.notes(result)) == 4 * len(encoders)
        figure = figures.learning(result, title=spec.title)
    elif spec.judged == "growth":
        accuracy = result[result["metric"].str.startswith("accuracy")]
        assert len(accuracy) == 3 * 5 and list(accuracy["method"])[:2] == ["before", "after 25 % of the stream"]
        assert len(report.notes(result)) == len(result) - len(accuracy), "a share has its interval in a sentence"
        figure = figures.learning(result, title=spec.title)
    elif spec.judged == "learning":
        assert len(result) == len(encoders) * len(interactions.KINDS) * len(interactions.AFTER)
        figure = figures.learning(result, title=spec.title)
    elif spec.judged == "learning-checks":
        blocks = dict.fromkeys(result["metric"])
        names = ["no", "properties", "spatial", "topological", "retrieval", "semantic"]
        assert list(blocks) == [f"accuracy (Crop, by box, {name} check)" for name in names]
        assert list(result["method"][:3]) == ["after 0 interactions a thing", "after 2 interactions a thing", "after 5 interactions a thing"]
        assert result["note"].fillna("").ne("").tolist() == [False] * 3 + [True] * 15, "what each check changes after as many interactions"
        assert result.groupby("method", sort=False)["ours"].first().is_monotonic_increasing
        figure = figures.learning(result, title=spec.title)
    else:
        assert list(dict.fromkeys(result["method"])) == [
            "first answers",
            "properties check",
            "spatial check",
            "topological check",
            "retrieval check",
            "semantic check",
            "all checks",
        ]
        shares = result[result["metric"].str.contains("put right|spoilt")]
        assert len(shares) == 2 * 6 and shares["note"].str.contains("95 %").all()
        figure = figures.bars(result, title=spec.title)
    compared = {"views": 6, "checks": 6, "learning": len(interactions.KINDS) * (len(interactions.AFTER) - 1), "growth": 12, "learning-checks": 12}[spec.judged]
    assert result["low"].notna().sum() == len(encoders) * compared
    assert tables_text.verdicts(result).to_numpy().sum() == result["low"].notna().sum()
    report.save(result, table, tmp_path, {"figure": figure})
    text = (tmp_path / f"{table}.md").read_text()
    assert spec.title in text and (tmp_path / f"{table}-figure.png").stat().st_size > 5000


@pytest.mark.slow
def test_a_method_that_lacks_something_says_so():
    from foir_lib.bench.experiment import Experiment
    from foir_lib.bench.tables.columns import Column

    experiment = Experiment(
        load_set("mini-needles", n_things=4, n_queries=4, n_database=4),
        load_model("mini-vit", device="cpu"),
        progress=False,
    )
    row, *others = judged.rows("views", experiment, [Column.of("GeM"), Column.of("R-MAC")])
    assert row["ours"] is None and row["note"] and len(others) == 1


def test_what_checks_turn_by_hand():
    """Six answers of three things: the first are right in 1, 1, 0, 0, 0, 1; a check in 1, 0, 1, 0, 0, 1."""
    labels = np.repeat(["a", "b", "c"], 2)
    first, check = (score(curves.ACCURACY, np.array(right), labels) for right in ([1, 1, 0, 0, 0, 1], [1, 0, 1, 0, 0, 1]))
    turned = checks.turned({checks.FIRST: first, "spatial check": check})
    right, spoilt = (turned[kind]["spatial check"] for kind in (checks.RIGHT, checks.SPOILT))
    assert right.metrics == {"put right": 1 / 3} and spoilt.metrics == {"spoilt": 1 / 3}
    assert right.per_query["label"].tolist() == ["b", "b", "c"] and spoilt.per_query["label"].tolist() == ["a", "a", "c"]


@pytest.mark.slow
def test_the_table_of_reflection_has_a_line_for_each_way_of_naming(tmp_path, monkeypatch):
    monkeypatch.setattr(naming, "SAMPLE", 6)
    result = report.checked(rows.run("px-reflection", "mini-focus(n_query=20, n_database=60)", "mini-vit", progress=False), "px-reflection")
    few = {name: part["method"].tolist() for name, part in result.groupby("metric", sort=False) if "6 views" in name}
    assert list(few) == ["accuracy (Crop, 6 views)", "accuracy (Crop, 6 views, labels cut to 20)"]
    for methods in few.values():
        assert methods == ["encoder alone", "reflection on all", "reflection where unsure", *naming.WAYS, naming.EACH]
    named = result[result["metric"].isin(few)]
    assert named["ours"].between(0, 100).all() and named["note"].str.contains("95 % interval").all(), "the lists fit mini-lmm's length"
    assert named["low"].notna().sum() == 2 * 7 and named["note"].str.contains("by chance").sum() == 2 * 5
    report.save(result, "px-reflection", tmp_path, {"figure": figures.bars(result, title=find("px-reflection").title)})
    text = (tmp_path / "px-reflection.md").read_text()
    assert "Printed in the paper" in text and "60.6" in text and "74.8" in text and (tmp_path / "px-reflection-figure.png").stat().st_size > 5000


def test_what_a_check_changes_is_said_with_its_interval():
    first, second = scores(4, 8)
    assert judged._against(first, first) == "no answer is made right or wrong"
    assert judged._against(second, first).startswith("+50.0 against no check, 95 % interval 0.0 to 100.0")
