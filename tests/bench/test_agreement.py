"""Ours beside the paper's, by hand: which way differences point, which of the paper's cells one of ours stands for, and what is explained."""

import json
from pathlib import Path

import pandas as pd
import pytest

from foir_lib.bench import agreement, measured
from foir_lib.bench.agreement import BARE, MIXED, OPEN, OTHER, SAME, SMALL, beside_paper, outcome, parted, summary
from foir_lib.bench.runs import report
from foir_lib.bench.tables.catalogue import EVERY
from foir_lib.errors import InputError

ROOT = Path(__file__).parents[2]
NAN = float("nan")


def rows_of(*cells, table="phs-1", dataset="mini-focus", model="mini-vit"):
    """Rows from (method, metric, ours, low, high)."""
    rows = pd.DataFrame(cells, columns=["method", "metric", "ours", "low", "high"]).assign(table=table, dataset=dataset, model=model)
    return report.checked(rows, table)


@pytest.mark.parametrize(
    ("gains", "low", "high", "wanted"),
    [
        ([3.2], 10.6, 12.0, SAME), ([-3.2], -12.0, -10.6, SAME),
        ([3.2], -12.0, -10.6, OTHER), ([-3.2], 0.1, 5.0, OTHER),
        ([3.2], -0.1, 5.0, OPEN), ([3.2], 0.0, 5.0, OPEN), ([-3.2], -5.0, 0.0, OPEN),
        ([0.5], 0.1, 5.0, SAME), ([55.3 - 54.8], 0.1, 5.0, SAME),  # 0.4999... is the half point that is printed
        ([0.4], 0.1, 5.0, SMALL), ([0.0], -5.0, -0.1, SMALL), ([-0.4], -1.0, 1.0, SMALL),
        ([2.6, 4.1], 1.0, 2.0, SAME), ([0.4, 4.1], -2.0, -1.0, OTHER), ([-0.4, 4.1], 1.0, 2.0, SAME),  # what is too small has no say
        ([3.2], NAN, NAN, BARE), ([0.4], NAN, NAN, SMALL),
        ([-0.5, 4.1], 1.0, 2.0, MIXED), ([-3.0, 3.0], -1.0, 1.0, MIXED),
    ],
)  # fmt: skip
def test_the_outcome_by_hand(gains, low, high, wanted):
    assert outcome(gains, low, high) == wanted


def test_no_printed_difference_has_no_outcome():
    with pytest.raises(InputError, match="nothing to agree with"):
        outcome([], 1.0, 2.0)


def test_a_stand_in_meets_the_cells_that_it_stands_for():
    """COCO, DINOv2 base: CBIR 57.4, FA 57.9, PHS 60.6 (Table 1), of which only mini-focus and mini-vit are the stand-ins."""
    rows = rows_of(("CBIR", "MP@100", 52.6, NAN, NAN), ("Crop", "MP@100", 51.0, -3.0, -0.3), ("PHS", "MP@100", 63.9, 10.6, 12.0))
    (pair,) = beside_paper(rows).to_dict("records")  # the paper's Table 1 has no Crop
    assert (pair["least"], pair["most"], pair["of"]) == (3.2, 3.2, "coco; dinov2-base")
    assert pair["ours"] == pytest.approx(11.3) and (pair["low"], pair["high"]) == (10.6, 12.0)
    assert (pair["method"], pair["against"], pair["outcome"], pair["why"]) == ("PHS", "CBIR", SAME, "")


def test_one_that_stands_for_several_meets_all_of_them():
    """VOC: Mask - CBIR is 2.6 for DINOv2 large, 4.1 for giant; both are mini-vit-large."""
    rows = rows_of(("CBIR", "MP@100", 54.3, NAN, NAN), ("Mask", "MP@100", 44.9, -11.6, -7.1), dataset="mini-focus-sparse", model="mini-vit-large")
    (pair,) = beside_paper(rows).to_dict("records")
    assert (pair["least"], pair["most"], pair["of"], pair["outcome"]) == (2.6, 4.1, "voc; dinov2-large, dinov2-giant", OTHER)
    assert pair["why"].startswith("the grey passes for one kind of place")


def test_the_papers_own_data_and_network_meet_themselves():
    rows = rows_of(("CBIR", "MP@100", 54.3, NAN, NAN), ("Mask", "MP@100", 44.9, -11.6, -7.1), dataset="voc", model="dinov2-large")
    assert beside_paper(rows)[["least", "most", "of"]].to_numpy().tolist() == [[2.6, 2.6, "voc; dinov2-large"]]
    options = rows_of(("CBIR", "mAP", 1.0, NAN, NAN), ("MaO", "mAP", 9.0, 5.0, 9.0), table="mao-ablation", dataset="mini-needles", model="mini-vit-needles")
    (pair,) = beside_paper(options).to_dict("records")  # whatever its options, it stands for the same sets
    assert pair["of"] == "voxdet, voxdetw; dinov2-base-needles" and (pair["least"], pair["most"]) == (14.21, 29.37)


def test_the_classic_protocol_stands_beside_medium_and_costs_beside_nothing():
    cells = [("R-MAC", "mAP medium", 41.0, NAN, NAN), ("R-MAC", "mAP hard", 18.0, NAN, NAN), ("RA", "mAP medium", 42.0, 0.1, 1.4),
             ("RA", "mAP hard", 18.5, 0.1, 1.0), ("R-MAC", "ms per image", 3.0, NAN, NAN), ("RA", "ms per image", 9.0, NAN, NAN)]  # fmt: skip
    pairs = beside_paper(rows_of(*cells, table="ra-2c", dataset="mini-landmarks", model="mini-cnn"))
    assert pairs["metric"].tolist() == ["mAP medium"] and pairs["outcome"].tolist() == [SAME]


def test_what_the_paper_lacks_has_no_row():
    other_base = rows_of(("GeM", "mAP medium", 39.8, NAN, NAN), ("R-MAC", "mAP medium", 43.6, 1.7, 6.0), table="ra-3", dataset="mini-landmarks", model="mini-cnn")
    assert beside_paper(other_base).empty and list(beside_paper(other_base)) == agreement.COLUMNS
    assert beside_paper(rows_of(("CBIR", "MP@100", 1.0, NAN, NAN), ("PHS", "MP@100", 2.0, NAN, NAN))).empty, "one unit has no interval"
    guest = rows_of(("CBIR", "MP@100", 1.0, NAN, NAN), ("PHS", "MP@100", 2.0, 0.5, 1.5), model="guest")
    assert beside_paper(guest).empty and beside_paper(guest.assign(model="mini-vit", x=[1, 2])).empty
    assert beside_paper(guest.assign(model="mini-vit").drop(columns=["low", "high"])).empty


EXPANDED = "wrong answers among the first ten turn the new query away"


def test_the_sentence_counts_and_those_that_part_are_told_with_their_reason():
    """Table 7: diffusion gains in print (1.7 to 7.1 points on medium, 3.9 to 10.3 on hard) and loses here; GeM+CA+DF stands beside GeM+CA, too."""
    pairs = beside_paper(measured.measured("ca-7"))
    assert summary(pairs) == (
        "9 of 10 differences decided: 4 with the same sign as in print, 5 with the other. 1 undecided: our 95 % interval holds 0. "
        "Not counted: 4 where the rows hold no interval, since the base isn't the first method."
    )
    other = parted(pairs).set_index(["method", "metric"])
    assert list(other.index) == [("GeM+alphaQE", "mAP medium"), ("GeM+DF", "mAP medium"), ("GeM+CA+DF", "mAP medium"), ("GeM+alphaQE", "mAP hard"), ("GeM+DF", "mAP hard")]
    assert other.loc[("GeM+DF", "mAP medium"), ["least", "most"]].tolist() == [1.7, 7.1] and other["against"].unique().tolist() == ["GeM"]
    assert other["why"].tolist() == [EXPANDED, *["similarity flows through look-alikes"] * 2, EXPANDED, "similarity flows through look-alikes"]
    assert summary(pairs[pairs["outcome"] == SAME]) == "4 of 4 differences decided: 4 with the same sign as in print, 0 with the other."
    step = pairs[pairs["against"] == "GeM+CA"].set_index(["method", "metric"])
    assert step["outcome"].unique().tolist() == [BARE] and step["low"].isna().all() and len(step) == 4
    assert step.loc[("GeM+CA+DF", "mAP medium"), ["least", "most"]].tolist() == [0.8, 4.3]  # 87.2 - 86.4, 86.1 - 81.8
    assert round(step.loc[("GeM+CA+DF", "mAP medium"), "ours"], 1) == -12.9


def test_a_base_that_the_paper_prints_stands_in_for_a_first_method_that_it_does_not():
    """Regional attention, Table 3, has no GeM; RA - R-MAC is 76.8 - 70.1 on Oxford, 82.5 - 80.8 on Paris with distractors."""
    pairs = beside_paper(measured.measured("ra-3")).set_index("method")
    assert pairs.loc["RA", ["against", "least", "most", "outcome"]].tolist() == ["R-MAC", 1.7, 6.7, BARE]
    assert pairs.loc["RA+QE", "against"] == "RA" and "R-MAC" not in pairs.index and set(pairs["metric"]) == {"mAP medium"}
    assert "No difference decided. Not counted: 7 where" in summary(pairs.reset_index())


def test_a_difference_that_two_tables_of_a_paper_hold_counts_once():
    pairs = beside_paper(measured.measured("phs-1"))
    again = pd.concat([pairs, pairs[pairs["method"] == "PHS"].assign(table="phs-a1")], ignore_index=True)
    n = int((pairs["method"] == "PHS").sum())
    assert n and agreement.counted(again) == agreement.counted(pairs)
    assert summary(again) == summary(pairs) + f" Held by two tables and counted once: {n}."
    other = pd.concat([pairs, pairs.assign(table="ca-1")], ignore_index=True)  # another paper's are others
    assert agreement.counted(other)[1] == 2 * agreement.counted(pairs)[1]


def test_every_explanation_stands_in_a_text_and_is_of_a_method_of_its_tables():
    """What a report gives as a reason has been shown in README, in the documentation or in a lesson."""
    texts = [path.read_text(encoding="utf-8") for path in (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")))]
    notebooks = [json.loads(path.read_text(encoding="utf-8")) for path in sorted((ROOT / "notebooks").rglob("*.ipynb"))]
    texts += ["".join(cell["source"]) for one in notebooks for cell in one["cells"] if cell["cell_type"] == "markdown"]
    every = " ".join(" ".join(texts).split())
    for one in agreement.reasons():
        assert one.why in every, f"no text says so any more: {one.why}"
        known = {column.name for table, spec in EVERY.items() if table.startswith(one.tables) for column in spec.columns}
        assert set(one.methods) <= known, set(one.methods) - known
