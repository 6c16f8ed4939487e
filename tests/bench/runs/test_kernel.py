"""One kernel for many notebooks: a namespace of its own for each, and another kernel when one can't be trusted."""

import os
import time
from pathlib import Path

import nbformat
import papermill
import pytest
from nbformat.v4 import new_code_cell, new_notebook

from foir_lib.bench.runs import kernel

LOOK = """import os, sys
import matplotlib.pyplot as plt
figures = len(plt.get_fignums())
plt.figure()
print(os.getpid(), seed, "left" in globals(), figures, "colorsys" in sys.modules)
import colorsys
left = 1"""


@pytest.fixture
def run(tmp_path):
    """Call a kernel with a notebook of one cell: what that printed, word by word, and the number of the cell."""

    def call(one, source, seed=3):
        cells = [new_code_cell("seed: int = 0", metadata={"tags": ["parameters"]}), new_code_cell(source)]
        spec = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
        nbformat.write(new_notebook(cells=cells, metadata=spec), tmp_path / "in.ipynb")
        one.run(tmp_path / "in.ipynb", tmp_path / "out.ipynb", {"seed": seed})
        cell = nbformat.read(tmp_path / "out.ipynb", as_version=4).cells[-1]
        return cell.outputs[0].text.split(), cell.execution_count

    return call


@pytest.mark.slow
def test_notebooks_share_a_kernel_and_nothing_else(run):
    with kernel.Kernel() as one:
        first, number = run(one, LOOK)
        assert first[1:] == ["3", "False", "0", "False"] and number == 3
        second, number = run(one, LOOK, seed=4)
        assert second == [first[0], "4", "False", "0", "True"] and number == 3  # modules stay, names and figures go
        assert os.path.exists(f"/proc/{first[0]}") or not os.path.exists("/proc/self")
    assert one.manager is None and not Path(f"/proc/{first[0]}").exists()


@pytest.mark.slow
def test_after_a_failed_cell_and_after_a_death_comes_another_kernel(run, tmp_path):
    with kernel.Kernel() as one:
        pids = [run(one, LOOK)[0][0]]
        with pytest.raises(papermill.PapermillExecutionError, match="ZeroDivisionError"):
            run(one, "1 / 0")
        assert "ZeroDivisionError" in (tmp_path / "out.ipynb").read_text()
        pids.append(run(one, LOOK)[0][0])
        with pytest.raises(Exception, match="Kernel died"):
            run(one, "import os, signal; os.kill(os.getpid(), signal.SIGKILL)")
        pids.append(run(one, LOOK)[0][0])
        os.kill(int(pids[-1]), 9)  # between two notebooks
        while one.manager.is_alive():
            time.sleep(0.05)
        pids.append(run(one, LOOK)[0][0])
        assert len(set(pids)) == 4


@pytest.mark.slow
def test_edited_code_and_a_full_memory_take_another_kernel(run, tmp_path, monkeypatch):
    (tmp_path / "a.py").write_text("")
    monkeypatch.setattr(kernel, "PACKAGE", tmp_path)
    with kernel.Kernel() as one:
        pids = [run(one, LOOK)[0][0]]
        os.utime(tmp_path / "a.py", (1, 1))
        pids.append(run(one, LOOK)[0][0])
        monkeypatch.setattr(kernel, "SHARE", 0.0)
        pids.append(run(one, LOOK)[0][0])
        assert len(set(pids)) == 3
