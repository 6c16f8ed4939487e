"""What lessons conclude holds by what they print: each sentence of "What we saw" that compares numbers is asked of the notebook's kept outputs.

A sentence of :data:`CLAIMS` stands in the lesson's last section, word by word. When a lesson is run again and a sentence no longer holds, the
sentence goes. What a report gives as a reason for another sign than the paper's is asked of the measured tables.
"""

import json
import re
from functools import cache
from pathlib import Path

import pytest
from test_claims import COMPARES, measured

from foir_lib.bench import agreement

ROOT = Path(__file__).parents[2]
LESSONS = {path.stem: path for path in sorted((ROOT / "notebooks").glob("[0-8]*.ipynb"))}
NUMBER = re.compile(r"[-+]?\d[\d,]*\.?\d*")
NONE_OF_OURS = ("24 landmarks are few: differences of 2 points may be chance",)  # of no measurement


@cache
def cells(lesson):
    return json.loads(LESSONS[lesson].read_text(encoding="utf-8"))["cells"]


def saw(lesson):
    """The parts of "What we saw"."""
    (text,) = ["".join(cell["source"]) for cell in cells(lesson) if cell["cell_type"] == "markdown" and "## What we saw" in "".join(cell["source"])]
    return [" ".join(part.split()) for part in re.split(r"\n(?=- )|\n\n", text.partition("## What we saw")[2])]


def row(lesson, beginning, nth=0):
    """Numbers of the ``nth`` printed line that begins so, behind its beginning."""
    lines = [line for cell in cells(lesson) for out in cell.get("outputs", []) for line in "".join(out.get("text", "")).split("\n")]
    line = [line for line in lines if " ".join(line.split()).startswith(beginning)][nth]
    return [float(one.replace(",", "")) for one in NUMBER.findall(" ".join(line.split())[len(beginning) :])]


def gaps(lesson, one, other, nth=0):
    """Differences of two rows of whole numbers, each right to a point."""
    return [a - b for a, b in zip(row(lesson, one, nth), row(lesson, other, nth), strict=True)]


def near(values, *wanted, by=1):
    return len(values) == len(wanted) and all(abs(a - b) <= by for a, b in zip(values, wanted))


def options(of):
    """Lesson 22's table over an option: value -> [hard, medium]."""
    found, inside = {}, False
    for cell in cells("22_coattention"):
        for out in cell.get("outputs", []):
            for line in "".join(out.get("text", "")).split("\n"):
                inside = f"over {of}" in line or (inside and line.startswith("   "))
                if inside and len(numbers := [float(one) for one in NUMBER.findall(line.rpartition(f"over {of}")[2])]) == 3:
                    found[numbers[0]] = numbers[1:]
    return found


def spread(values):
    return max(max(column) - min(column) for column in zip(*values))


def _grid():
    n, k, t = (options(name) for name in "NKT")
    best, poor = k[10.0], [k[2.0], t[1.0]]
    inner = [[n[x] for x in (50, 100, 150, 200)], [k[x] for x in (5, 10, 20)], [t[x] for x in (5, 10, 20, 50)]]
    costs = [a - b for one in poor for a, b in zip(best, one)]
    return max(map(spread, inner)) <= 3 and (min(costs), max(costs)) == (4, 8)


CLAIMS = {
    ("20_pooling", "The trained whitening layer loses 5 points on easy pictures, and is about equal to plain GeM on the others"): lambda: gaps("20_pooling", "GeM, whitened", "GeM ") == [-5, -1, 1],
    ("21_regional_attention", "attention gains 1.6 to 1.8 points over R-MAC on easy pictures, with context or without, and is about equal on medium and hard ones"): lambda: all(
        (row("21_regional_attention", f"{level} attention{kind}")[1] > 0) == (level == "easy") and row("21_regional_attention", f"{level} attention{kind}")[2] > 0
        for level in ("easy", "medium", "hard") for kind in (", no context", " ")
    ) and [row("21_regional_attention", f"easy attention{kind}")[0] for kind in (", no context", " ")] == [1.6, 1.8],
    ("22_coattention", "On hard pictures co-attention gains 12 points of mAP over one vector, on medium 6, and on easy ones the two are about equal"): lambda: near(gaps("22_coattention", "co-attention ", "one vector", 0), 0, 6, 12),
    ("22_coattention", "four queries in five get better, the worst loses 21 points"): lambda: near(row("22_coattention", "better"), 80, 15, by=5) and row("22_coattention", "gains from")[0] == -21,
    ("22_coattention", "naive co-attention at $T = 10$ gains as much"): lambda: row("22_coattention", "naive T = 10")[1] > 0 and near([row("22_coattention", f"{kind} T = 10")[0] for kind in ("naive", "clusters")], 63, 63),
    ("22_coattention", "$N$ from 50 to 200, $K$ from 5 to 20 and $T$ from 5 to 50 change 3 points at most; $K = 2$ and $T = 1$ cost 4 to 8"): _grid,
    ("23_reranking", "Diffusion costs 7 to 9 points here"): lambda: sorted(gaps("23_reranking", "diffusion ", "first ranking")) == [-9, -8, -7],
    ("24_indexing", "Half of the database can be skipped for 2 points of mAP"): lambda: near(gaps("24_indexing", "4096 words, 20 query features", "no file"), 47, 11, 0, -2, -2, by=0),
    ("32_refinement", "with unit vectors it goes to the masks, and the search loses 12 points"): lambda: row("32_refinement", "refined, unit lengths")[1:] == [-12.0, -15.7, -8.0],
    ("32_refinement", "Crops at full resolution gain 11 points over a global descriptor; the refinement gains nothing over the mean of these crops"): lambda: near(row("32_refinement", "global")[1:2], -11, by=0.5) and row("32_refinement", "global")[3] < 0 and row("32_refinement", "refined ")[2] < 0 <= row("32_refinement", "refined ")[3],
    ("44_reflection", "Reflection on all of them makes 61.7 % right answers 67.5 (+5.8, interval +2.1 to +10.4): 36 put right, 8 spoilt"): lambda: row("44_reflection", "encoder alone")
    + row("44_reflection", "reflection on all")
    + row("44_reflection", "put right:")[:1]
    + row("44_reflection", "spoilt:")[:1]
    == [61.7, 67.5, 5.8, 2.1, 10.4, 36, 8],
    ("44_reflection", "Asked about the unsure half alone the gain is as good as the same (+5.4, +2.3 to +9.6), and only 4 are spoilt"): lambda: row("44_reflection", "reflection where unsure")[1:] + row("44_reflection", "asked about the unsure")[1:] == [5.4, 2.3, 9.6, 4],
    ("45_conversation", "After one view of each thing, 55 % of the first answers are right among look-alikes; three dozen sentences, without any training, make that 67 %: +12 points, the interval is clear of 0"): lambda: [row("45_conversation", one)[0] for one in ("one view of each first answer right:", "three views of each first answer right:", "36 sentences, ", "gain")] == [55, 67, 36, 12]
    and row("45_conversation", "gain")[1] > 0,
}  # fmt: skip


@pytest.mark.parametrize(("lesson", "sentence"), CLAIMS)
def test_a_sentence_of_a_lesson_stands_there_and_holds_by_what_the_lesson_prints(lesson, sentence):
    assert any(sentence in part for part in saw(lesson)), "the sentence is gone or reworded: change it here as well, and see that it holds"
    assert CLAIMS[lesson, sentence]()


def test_what_lessons_conclude_of_numbers_is_bound():
    bound = [*(sentence for _, sentence in CLAIMS), *NONE_OF_OURS]
    loose = [f"{lesson}: {part[:200]}" for lesson in LESSONS if re.match(r"[1-8]", lesson) for part in saw(lesson) if COMPARES.search(part) and not any(one in part for one in bound)]
    assert not loose, "bind a sentence of each to what the lesson prints (CLAIMS), or leave its numbers out:\n" + "\n".join(loose)


def test_rows_are_read_as_they_are_printed():
    assert row("23_reranking", "first ranking") == [81, 56, 29] and gaps("23_reranking", "diffusion ", "first ranking") == [-8, -9, -7]
    assert options("K")[2.0] == [33, 59] and not near([1], 1, 2)


@pytest.mark.parametrize("reason", [one for one in agreement.reasons() if one.tables in ("ca-7", "phs-")], ids=str)
def test_a_reason_is_of_methods_that_part_from_the_paper(reason):
    """Each method that a reason is given for, and that the measured table holds, has the other sign than in print there."""
    table = {"phs-": "phs-1"}.get(reason.tables, reason.tables)
    pairs = agreement.beside_paper(measured.measured(table))
    shown = pairs[pairs["method"].isin(reason.methods)]
    assert len(shown) and agreement.OTHER in set(shown["outcome"]) and set(shown.loc[shown["outcome"] == agreement.OTHER, "why"]) == {reason.why}
