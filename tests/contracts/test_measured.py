"""The tables of ours in docs/benchmarks.md are those of data_manifests/measured, nothing typed by hand."""

import re
from pathlib import Path

import pytest

from foir_lib.bench import measured

PAGE = (Path(__file__).parents[2] / "docs" / "benchmarks.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"<!-- measured: (\S+) -->\n", PAGE)


def test_the_page_shows_the_tables_that_we_quote():
    assert set(BLOCKS) == set(measured.QUOTED)
    assert measured.in_text(PAGE) == PAGE, "make its tables again: python -m foir_lib.bench.measured runs/mini"


@pytest.mark.parametrize("table", measured.QUOTED)
def test_every_measured_number_has_its_stamp_and_interval(table):
    rows = measured.measured(table)
    assert rows["metric"].isin(measured.QUOTED[table]).all() and rows["ours"].between(0, 100).all()
    first = rows.groupby(["dataset", "model", "metric"]).cumcount() == 0
    assert rows.loc[first, "low"].isna().all() and (rows.loc[~first, "low"] <= rows.loc[~first, "high"]).all()
    assert rows["commit"].str.fullmatch("[0-9a-f]{40}").all(), "made by committed code"
