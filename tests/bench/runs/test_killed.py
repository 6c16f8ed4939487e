"""A run that is killed or out of disk between any two changes of files leaves the earlier result or the new one, and goes on."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from foir_lib import files

TESTS = Path(__file__).parents[2]


@pytest.mark.slow
@pytest.mark.parametrize("how", ["killed", "full"])
def test_a_stopped_run_loses_neither_the_earlier_rows_nor_the_new_ones(how, tmp_path):
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(TESTS), str(files.PACKAGE.parent)]), "FOIR_CACHE": str(tmp_path / "c")}
    done = subprocess.run([sys.executable, __file__, how, str(tmp_path)], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    assert int(done.stdout.split()[-1]) > 20, "so many deaths were tried"


def _everywhere(how, home):
    import nbformat
    import pandas as pd
    from kills import alone, stopped

    from foir_lib.bench.runs import batch, report, runner, stamp
    from foir_lib.bench.runs.page import Page

    seed, made, out = [0], home / "computed", home / "out"
    facts = {"date": "", "commit": None, "dirty": None, "versions": {}, "lock": None, "device": "cpu", "machine": "", "seed": 0}

    class Kernel:
        """Stands for the notebook's: writes the same files."""

        def __init__(self, n):
            self.kill = lambda: None

        def __enter__(self):
            return self

        def __exit__(self, *error):
            pass

        def run(self, notebook, executed, values):
            made.mkdir(exist_ok=True)
            (made / values["table"]).write_text("x")
            nbformat.write(nbformat.read(notebook, as_version=4), executed)
            rows = [(values["table"], "mini", "m", name, "MP@100", None, 10.0 + values["seed"]) for name in ("CBIR", "PHS")]
            columns = ["table", "dataset", "model", "method", "metric", "published", "ours"]
            for name in ("new", "more") if values["seed"] else ("old",):
                files.atomic_write(Path(values["out"], f"{values['table']}-{name}.png"), b"")
            report.save(pd.DataFrame(rows, columns=columns), values["table"], values["out"])

    batch.Kernel = Kernel
    stamp.stamp = lambda notebook, values: {"key": f"seed {values['seed']}", "drawn": "", "parameters": values, **facts}
    batch.show = lambda *_: None

    def run():
        sys.stderr = sys.stdout = open(os.devnull, "w")
        failures = runner.reproduce(["phs-1"], {"seed": seed[0]}, out, notebooks=home / "tables")[1]
        assert not failures or (how == "full" and "No space left" in failures["phs-1"])

    def scores():
        """What a reader of the folder sees: table -> the scores of its rows."""
        return {t: report.load(out / f"{t}.json")[0]["ours"].tolist() for t in ["phs-1"] if (out / f"{t}.json").exists()}

    (home / "tables").mkdir()
    parameters = nbformat.v4.new_code_cell('table: str = "phs-1"\nseed: int = 0\nout: str = ""', metadata={"tags": ["parameters"]})
    nbformat.write(nbformat.v4.new_notebook(cells=[parameters]), home / "tables" / "phs.ipynb")
    assert alone(run, home) == 0 and scores() == {"phs-1": [10.0, 10.0]}
    shutil.copytree(out, home / "first")
    names = {p.name for p in out.iterdir()} - {".lock"}

    def begin():
        for folder in (out, made):
            shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(home / "first", out)

    seed[0], n, new, wanted = 1, 0, 0, [11.0, 11.0]
    for _ in stopped(run, out, begin, how == "full"):
        n += 1
        state = scores()
        assert set(state) == {"phs-1"} and all(s in ([10.0, 10.0], wanted) for s in state.values()), state
        assert sum(s == wanted for s in state.values()) >= new, "a new result went back"
        new = sum(s == wanted for s in state.values())
        Page(out).write()  # whatever is there can be shown
        safe = {t for t in state if state[t] == wanted or (out / runner.READY / t).is_dir()}
        shutil.rmtree(made, ignore_errors=True)
        assert alone(run, home) == 0 and scores() == {"phs-1": wanted}
        assert not made.exists() or not safe & {p.name for p in made.iterdir()}, "what was finished isn't computed again"
        left = {p.name for p in out.iterdir() if not p.name.endswith(".tmp")} - {".lock"}
        pictures = {f"{t}-{name}.png" for t in state for name in ("new", "more")}
        assert left == names - {f"{t}-old.png" for t in state} | pictures, left
        assert json.loads((out / "failures.json").read_text()) == {}
    print(n)


if __name__ == "__main__":
    _everywhere(sys.argv[1], Path(sys.argv[2]))
