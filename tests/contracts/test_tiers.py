"""The tiers of the tests: what each leaves out, and what ``make claims`` writes."""

import csv
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
TESTS = """import pytest

@pytest.mark.claims
def test_big(record_property):
    record_property("spared", "29 %")
    assert {holds}

@pytest.mark.claims
def test_without_data():
    pytest.skip("no data")

@pytest.mark.slow
def test_slow():
    pass

def test_small():
    pass
"""


@pytest.fixture
def project(tmp_path):
    """``run(holds, *options)`` runs four tests under our settings, where one claim holds or doesn't: (names, rows of the CSV)."""
    (tmp_path / "tests").mkdir()
    for name in ("pyproject.toml", "tests/conftest.py"):
        (tmp_path / name).write_bytes((ROOT / name).read_bytes())

    def run(holds, *options):
        (tmp_path / "tests" / "test_it.py").write_text(TESTS.format(holds=holds))
        environment = os.environ | {"FOIR_CLAIMS": "measured/claims.csv", "PYTHONPATH": str(ROOT)}
        command = [sys.executable, "-m", "pytest", "-v", "-p", "no:cacheprovider", "tests", *options]
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
        names = [line.partition("::")[2].split()[0] for line in done.stdout.splitlines() if line.startswith("tests/test_it.py::")]
        with (tmp_path / "measured" / "claims.csv").open(newline="") as file:
            return names, list(csv.DictReader(file))

    return run


@pytest.mark.slow
def test_claims_are_left_out_unless_asked_for_and_their_rows_are_kept(project):
    names, rows = project(True, "-m", "claims")
    assert names == ["test_big", "test_without_data"]
    (row,) = rows
    assert (row["claim"], row["outcome"], row["measured"]) == ("test_it.py::test_big", "passed", "spared 29 %")
    assert row["date"] and row["python"] and row["torch"] and row["machine"]
    names, (row,) = project(False, "-m", "claims")
    assert row["outcome"] == "failed"
    names, rows = project(True)
    assert names == ["test_slow", "test_small"] and rows == [row]
    assert project(True, "-m", "not slow")[0] == ["test_small"]
