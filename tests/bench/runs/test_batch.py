"""Which tables of a run stand side by side, and what becomes of those when one is stopped."""

import os
import threading
from pathlib import Path

import pandas as pd
import pytest
from nbformat import v4, write

from foir_lib.bench.runs import batch, minutes, report, runner

PARAMETERS = 'table: str = "phs-1"\ndataset: str = "mini"\nmodel: str = "mini"\ndevice: str = "cpu"\nout: str = ""'


def job(table, **values):
    return batch.Job(table, Path("x.ipynb"), {"dataset": "mini", "model": "mini", "device": "cpu"} | values)


def tables(lanes):
    return [[one.table for one in lane] for lane in lanes]


def test_tables_of_one_network_on_one_set_follow_each_other(monkeypatch):
    monkeypatch.setattr(os, "cpu_count", lambda: 2)
    every = [job(t) for t in ("phs-1", "ca-1", "phs-2", "ra-3")]
    assert tables(batch.lanes(every)) == [["phs-1", "phs-2"], ["ca-1", "ra-3"]]
    assert tables(batch.lanes([job("ca-1", model="a"), job("ca-2", model="b"), job("ca-3", model="a,b"), job("ca-4", model="c")])) == [
        ["ca-1", "ca-2", "ca-3"], ["ca-4"],
    ]  # fmt: skip
    assert tables(batch.lanes([job("ca-1", model=m) for m in "abc"])) == [["ca-1"], ["ca-1", "ca-1"]]
    assert tables(batch.lanes([job("phs-1"), job("ca-1"), job("ra-3"), job("mao-main")])) == [["ca-1", "ra-3"], ["phs-1", "mao-main"]], (
        "networks of both, on a set of neither"
    )
    assert batch.lanes([]) == []
    monkeypatch.setattr(os, "cpu_count", lambda: 1)
    assert tables(batch.lanes(every)) == [["phs-1", "ca-1", "phs-2", "ra-3"]]


def test_a_gpu_has_one_table_at_a_time(monkeypatch):
    monkeypatch.setattr(batch.devices, "choose", lambda name: batch.devices.torch.device("cuda"))
    assert tables(batch.lanes([job("phs-1"), job("ca-1")])) == [["phs-1", "ca-1"]]


class Kernel:
    """Stands for the notebook's; ``meet``: what happens to each table."""

    def meet(self, table):
        pass

    together = []

    def __init__(self, n):
        self.together.append(n)
        self.killed = threading.Event()

    def kill(self):
        self.killed.set()

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.kill()

    def run(self, notebook, executed, values):
        self.meet(values["table"])
        write(v4.new_notebook(), executed)
        rows = [(values["table"], "mini", "m", name, "MP@100", None, 10.0) for name in ("CBIR", "PHS")]
        columns = ["table", "dataset", "model", "method", "metric", "published", "ours"]
        report.save(pd.DataFrame(rows, columns=columns), values["table"], values["out"])


@pytest.fixture
def notebooks(tmp_path, monkeypatch):
    monkeypatch.setenv("FOIR_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(os, "cpu_count", lambda: 2)
    monkeypatch.setattr(batch, "Kernel", Kernel)
    monkeypatch.setattr(Kernel, "together", [])
    (tmp_path / "tables").mkdir()
    for family in ("phs", "ca"):
        cell = v4.new_code_cell(PARAMETERS, metadata={"tags": ["parameters"]})
        write(v4.new_notebook(cells=[cell]), tmp_path / "tables" / f"{family}.ipynb")
    return tmp_path / "tables"


def test_two_families_are_at_work_at_the_same_time(notebooks, tmp_path, monkeypatch):
    both = threading.Barrier(2, timeout=60)
    monkeypatch.setattr(Kernel, "meet", lambda self, table: both.wait())  # neither goes on before both have begun
    folder, failures = runner.reproduce(["phs-1,ca-1,phs-2,ca-2"], {}, tmp_path / "out", notebooks=notebooks)
    assert not failures and Kernel.together == [2, 2]
    assert sorted(path.stem for path in folder.glob("*.tex")) == ["ca-1", "ca-2", "phs-1", "phs-2"]
    assert "Under way" not in (folder / "report.html").read_text() and len(minutes.remembered()) >= 4


def test_a_table_that_fails_stops_neither_its_lane_nor_the_other(notebooks, tmp_path, monkeypatch):
    def meet(self, table):
        if table == "phs-1":
            raise RuntimeError("no more")

    monkeypatch.setattr(Kernel, "meet", meet)
    folder, failures = runner.reproduce(["phs-1,ca-1,phs-2"], {}, tmp_path / "out", notebooks=notebooks)
    assert failures == {"phs-1": "RuntimeError: no more"}
    assert sorted(path.stem for path in folder.glob("*.tex")) == ["ca-1", "phs-2"]


def test_a_run_that_is_interrupted_ends_its_kernels_and_keeps_what_is_done(notebooks, tmp_path, monkeypatch):
    ended = []

    def meet(self, table):
        if table != "ca-1":
            assert self.killed.wait(60)
            ended.append(table)
            raise RuntimeError("the kernel died")

    real = batch.wait

    def interrupted(work, timeout):
        if (tmp_path / "out" / "ca-1.json").is_file():
            raise KeyboardInterrupt
        return real(work, 0.05)

    monkeypatch.setattr(Kernel, "meet", meet)
    monkeypatch.setattr(batch, "wait", interrupted)
    with pytest.raises(KeyboardInterrupt):
        runner.reproduce(["phs-1,ca-1,ca-2"], {}, tmp_path / "out", notebooks=notebooks)
    page = (tmp_path / "out" / "report.html").read_text()
    assert "Stopped: 1 of 3 tables done. The same command goes on from there." in page and "phs-1" in ended
    assert (tmp_path / "out" / "failures.json").read_text().strip() == "{}"
