"""Measured numbers: from runs to CSV and the blocks of docs/benchmarks.md, means over seeds by hand, damaged files."""

import numpy as np
import pandas as pd
import pytest

from foir_lib.bench import measured
from foir_lib.bench.runs import report
from foir_lib.errors import InputError, IntegrityError

NAN = float("nan")


def write_run(folder, seed, *values, stamp=True, table="ca-4", parameters=()):
    """A run of GeM and GeM+CA with these scores, an interval and a cost."""
    methods = ["GeM", "GeM+CA", "GeM+CA", "CAM"]
    rows = pd.DataFrame({
        "table": table, "dataset": "mini-landmarks", "model": "mini-cnn", "method": methods, "n_queries": 70, "n_database": 1000,
        "metric": ["mAP medium", "mAP medium", "memory GB", "mAP medium"], "ours": [*values, 2.0, NAN],
        "low": [NAN, 8.0, NAN, NAN], "high": [NAN, 13.0, NAN, NAN], "note": [None, None, None, "no classifier"],
    })  # fmt: skip
    rows = report.checked(rows, table)
    about = {"seed": seed, "date": "2026-11-25 10:00:00", "commit": "a" * 40, "dirty": True, "device": "cpu",
             "versions": {"python": "3.11", "faiss-cpu": None},
             "parameters": {"dataset": "mini", "model": "mini", "seed": seed} | dict(parameters)}  # fmt: skip
    folder.mkdir(exist_ok=True)
    report.write_json(
        folder / f"{table}.json",
        {
            "table": table,
            "stamp": about if stamp else None,
            "rows": rows.astype(object).where(rows.notna(), None).to_dict("records"),
        },
    )
    return folder


@pytest.fixture
def root(tmp_path, monkeypatch):
    monkeypatch.setattr(measured, "manifest_root", lambda: tmp_path)
    return tmp_path / "measured"


def test_a_run_becomes_a_file_and_a_block(root, tmp_path):
    assert measured.copy([write_run(tmp_path / "run", 0, 48.31, 59.2)]) == [root / "ca-4.csv"]
    lines = (root / "ca-4.csv").read_text().splitlines()
    assert lines[0] == ",".join(measured.COLUMNS) and len(lines) == 3, "neither costs nor what can't be had are quoted"
    assert lines[2] == (
        "ca-4,mini-landmarks,mini-cnn,GeM+CA,mAP medium,59.2,8.0,13.0,,70,1000,0,"
        f"foir reproduce ca-4,2026-11-25 10:00:00,{'a' * 40}+,cpu,python 3.11"
    )
    text = "# T\n<!-- measured: ca-4 -->\nold\n<!-- end -->\nmore\n"
    written = measured.in_text(text)
    assert written == measured.in_text(written) and written.startswith("# T\n<!-- measured: ca-4 -->\n\n| method |")
    assert "| GeM+CA | mini-cnn | **59.2** | +10.9 [8.0, 13.0] |" in written and written.endswith(
        "cpu.\n\n<!-- end -->\nmore\n"
    )
    assert f"`foir reproduce ca-4`, seed 0, 2026-11-25, commit {'a' * 10}, cpu." in written


def test_several_seeds_become_means_with_their_spread(root, tmp_path):
    """48, 50, 52 and gaps 9, 10, 11: t of 2 degrees of freedom is 4.302653, standard errors 2/sqrt(3) and 1/sqrt(3)."""
    runs = [
        write_run(tmp_path / f"run{s}", s, 48 + 2 * s, 57 + 3 * s, parameters={"dataset": "my set"}) for s in range(3)
    ]
    measured.copy(runs)
    rows = measured.measured("ca-4")
    assert rows["ours"].tolist() == [50, 60] and (rows["seed"] == "0, 1, 2").all()
    np.testing.assert_allclose(rows["spread"], [4.302653 * 2 / 3**0.5, 4.302653 * 3 / 3**0.5], atol=1e-4)
    np.testing.assert_allclose(rows[["low", "high"]], [[NAN, NAN], [10 - 2.484139, 10 + 2.484139]], atol=1e-4)
    assert "| GeM+CA | mini-cnn | **60.0** ± 7.5 | +10.0 [7.5, 12.5] |" in measured.markdown("ca-4")
    assert (rows["command"] == "foir reproduce ca-4 --dataset 'my set'").all()
    with pytest.raises(InputError, match="have the seeds 0, 0: give one run of each"):
        measured.copy([runs[0], runs[0]])


def test_what_is_no_run_is_refused_and_told(root, tmp_path, capsys):
    with pytest.raises(InputError, match="There is none of phs-1, ca-4.* in .*nowhere"):
        measured.copy([tmp_path / "nowhere"])
    with pytest.raises(InputError, match="ca-4 have no stamp"):
        measured.copy([write_run(tmp_path / "bare", 0, 1.0, 2.0, stamp=False)])
    assert measured.main([str(tmp_path / "nowhere")]) == 1 and "There is none of" in capsys.readouterr().err
    assert not root.exists()


def test_a_table_we_do_not_quote_and_damaged_files(root, tmp_path):
    with pytest.raises(InputError, match="no table with measured numbers 'phs1': did you mean phs-1"):
        measured.measured("phs1")
    with pytest.raises(IntegrityError, match="ca-4.csv holds no measured numbers"):
        measured.measured("ca-4")
    measured.copy([write_run(tmp_path / "run", 0, 1.0, 2.0)])
    whole = (root / "ca-4.csv").read_text()
    for damaged in (
        whole.replace("ours", "theirs"),
        whole.replace(",cpu,", ",,"),
        whole[: len(whole) // 2],
        "",
        whole.replace("ca-4", "ca-7"),
    ):
        (root / "ca-4.csv").write_text(damaged)
        with pytest.raises(IntegrityError, match="restore the file"):
            measured.measured("ca-4")
