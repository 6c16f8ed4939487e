"""The runner on small notebooks of its own: strict parameters, resume, failures, what it leaves."""

import hashlib
import inspect
import json
import os
import re
import signal
import subprocess
import sys
import time

import filelock
import nbformat
import numpy as np
import pandas as pd
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from foir_lib import files
from foir_lib.bench import published
from foir_lib.bench import rows as bench_rows
from foir_lib.bench.runs import parameters, report, runner, stamp
from foir_lib.bench.runs.page import Page
from foir_lib.bench.tables import catalogue, heads
from foir_lib.errors import InputError, IntegrityError, MissingError

PARAMETERS = """table: str = "phs-1"
dataset: str = "mini"
model: str = "mini"
data_root: str = ""
weights: str = ""
device: str = "cpu"
seed: int = 0
h_on: str = ""
k: int = 100
share: float = 0.5
verbose: bool = False
names: list[str] = ["a", "b"]
limit: int | None = None
out: str = \"\""""
WORK = """import pandas as pd
from foir_lib.bench.runs import report
if table == "phs-2" and seed == 0:
    raise ValueError("no such luck")
if table == "phs-3":
    from foir_lib.errors import InputError
    raise InputError("Box (3, 1, 2, 5) is empty.")
rows = [(table, dataset, model, m, "MP@100", p, k / 2 + seed) for m, p in (("CBIR", 40.0), ("PHS", None))]
columns = ["table", "dataset", "model", "method", "metric", "published", "ours"]
rows = pd.DataFrame(rows, columns=columns)
report.save(rows, table, out)"""


def write_notebook(path, source=PARAMETERS, work=WORK):
    cells = [new_markdown_cell("# T"), new_code_cell("import math"), new_code_cell(source)]
    cells[2].metadata["tags"] = ["parameters"]
    notebook = new_notebook(cells=[*cells, new_code_cell(work)])
    notebook.metadata["kernelspec"] = {
        "name": "python3",
        "display_name": "Python 3",
        "language": "python",
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    nbformat.write(notebook, path)
    return path


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    """Minutes of the tables made here are nobody else's."""
    monkeypatch.setenv("FOIR_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def notebooks(tmp_path):
    write_notebook(tmp_path / "tables" / "phs.ipynb")
    return tmp_path / "tables"


# ---- parameters


def test_parameters_are_read_in_order_with_types_and_defaults(notebooks):
    result = parameters.read(notebooks / "phs.ipynb")
    assert list(result)[:3] == ["table", "dataset", "model"]
    assert result["seed"] == ("seed", "int", False, 0)
    assert result["limit"] == ("limit", "int", True, None)
    assert result["names"] == ("names", "list[str]", False, ["a", "b"])


@pytest.mark.parametrize(
    "line",
    [
        "seed = 0",
        "seed: int = 1 + 1",
        "seed: int",
        "seed: int = 1.5",
        "seed: int = True",
        "seed: dict = {}",
        "seed: str = None",
        "import os",
        "print(1)",
        "x.seed: int = 0",
        'names: list[str] = ["a", 1]',
        "share: float = float('nan')",
        "seed: int | str = 0",
    ],
)
def test_a_parameters_cell_with_anything_else_is_refused(line):
    with pytest.raises(InputError, match="name: type = literal") as caught:
        parameters.read_source(f"k: int = 1\n{line}", "phs.ipynb")
    assert "Line 2" in str(caught.value) and "phs.ipynb" in str(caught.value)


def test_broken_parameters_cells_and_notebooks_are_named(tmp_path, notebooks):
    with pytest.raises(InputError, match="no Python"):
        parameters.read_source("seed: int = (", "a.ipynb")
    with pytest.raises(InputError, match="sets k twice"):
        parameters.read_source("k: int = 1\nk: int = 2", "a.ipynb")
    with pytest.raises(MissingError, match="nowhere.ipynb"):
        parameters.read(tmp_path / "nowhere.ipynb")
    (tmp_path / "cut.ipynb").write_text('{"cells": [')
    with pytest.raises(IntegrityError, match="cut.ipynb is no notebook"):
        parameters.read(tmp_path / "cut.ipynb")
    notebook = nbformat.read(notebooks / "phs.ipynb", as_version=4)
    notebook.cells[2].metadata["tags"] = []
    nbformat.write(notebook, tmp_path / "untagged.ipynb")
    with pytest.raises(InputError, match="0 cells tagged parameters"):
        parameters.read(tmp_path / "untagged.ipynb")


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("seed", "7", 7),
        ("seed", 7, 7),
        ("share", "0.25", 0.25),
        ("share", "1e-3", 0.001),
        ("share", 2, 2.0),
        ("verbose", "true", True),
        ("verbose", "No", False),
        ("names", "x, y,", ["x", "y"]),
        ("names", "", []),
        ("h_on", "5", "5"),
        ("h_on", "1,2", "1,2"),
        ("limit", "none", None),
        ("limit", "3", 3),
        ("limit", None, None),
    ],
)
def test_values_take_the_type_of_their_parameter(name, text, value):
    known = parameters.read_source(PARAMETERS, "phs.ipynb")
    got = parameters.fill(known, {name: text}, "phs.ipynb")
    assert got[name] == value and type(got[name]) is type(value)
    assert {k: v for k, v in got.items() if k != name} == {
        k: p.default for k, p in known.items() if k != name
    }


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("seed", "1.0"), ("seed", "x"), ("seed", ""), ("seed", True), ("seed", 1.0), ("seed", None),
        ("share", "nan"), ("share", "inf"), ("share", "half"), ("verbose", "maybe"), ("verbose", 1),
        ("h_on", 5), ("names", ("a",)), ("limit", "few"),
    ],
)  # fmt: skip
def test_values_of_another_type_are_refused(name, text):
    known = parameters.read_source(PARAMETERS, "phs.ipynb")
    with pytest.raises(InputError, match=f"Parameter {name} = ") as caught:
        parameters.fill(known, {name: text}, "phs.ipynb")
    assert repr(text) in str(caught.value)


def test_unknown_names_are_refused_with_the_nearest(notebooks, tmp_path):
    with pytest.raises(InputError, match="no phs.ipynb parameter 'datset': did you mean dataset"):
        runner.reproduce(["phs-1"], {"datset": "coco"}, tmp_path / "o", notebooks=notebooks)
    with pytest.raises(InputError, match="did you mean phs-1"):
        runner.reproduce(["phs-11"], {}, tmp_path / "o", notebooks=notebooks)
    with pytest.raises(InputError, match="nothing to reproduce"):
        runner.reproduce([" , "], {}, tmp_path / "o", notebooks=notebooks)
    with pytest.raises(InputError, match="--out"):
        runner.reproduce(["phs-1"], {"out": "x"}, tmp_path / "o", notebooks=notebooks)
    with pytest.raises(MissingError, match=r"phs\.ipynb"):
        runner.reproduce(["phs-1"], {}, tmp_path / "o", notebooks=tmp_path / "empty")
    assert not (tmp_path / "o").exists()


def test_mini_is_every_table_and_nothing_else(notebooks, tmp_path):
    jobs = runner.plan(["mini"], {"seed": "3"}, notebooks)
    assert [job.table for job in jobs] == list(heads.TABLES)  # the family that has a notebook here
    assert all(j.values["dataset"] == "mini" and j.values["seed"] == 3 for j in jobs)
    assert all("out" not in job.values for job in jobs)
    with pytest.raises(InputError, match="takes no model"):
        runner.plan(["mini"], {"model": "dinov2-large"}, notebooks)
    with pytest.raises(InputError, match="name it alone"):
        runner.plan(["mini", "phs-1"], {}, notebooks)
    with pytest.raises(MissingError, match="no notebooks of tables"):
        runner.plan(["mini"], {}, tmp_path)


def test_a_table_is_made_by_the_notebook_of_its_family(notebooks):
    for family in ("ca", "ra", "mao", "px", "memory"):
        write_notebook(notebooks / f"{family}.ipynb")
    jobs = runner.plan(["mini"], {}, notebooks)
    assert [job.table for job in jobs] == [table for table in catalogue.EVERY if not table.startswith("px-davis")] and len(jobs) == 17 + 16 + 4 + 4 + 4 + 11
    named = "memory checks learning learning-checks growth facades change reflection connector vqa replacement"
    memories = {f"px-{name}": "memory" for name in named.split()}
    assert all(job.notebook == notebooks / f"{memories.get(job.table, job.table.split('-')[0])}.ipynb" for job in jobs)
    assert {job.notebook.stem for job in jobs} == {"phs", "ca", "ra", "mao", "px", "memory"}
    with pytest.raises(InputError, match="did you mean ra-2"):
        runner.plan(["ra-2d"], {}, notebooks)


def test_a_table_without_a_stand_in_is_listed_as_in_need_of_data_and_fails_nothing(notebooks, tmp_path):
    assert runner.needing_data(["mini"], notebooks) == {}  # no notebook of that family here
    write_notebook(notebooks / "px.ipynb")
    needing = runner.needing_data(["mini"], notebooks)
    assert list(needing) == ["px-davis", "px-davis-lost"] and needing["px-davis"].startswith("davis has no stand-in in the mini world")
    assert "px-davis" not in [job.table for job in runner.plan(["mini"], {}, notebooks)]
    assert runner.needing_data(["px-davis"], notebooks) == {}
    assert [job.table for job in runner.plan(["px-davis"], {}, notebooks)] == ["px-davis"]  # by its name it runs, or is refused
    with pytest.raises(InputError, match="davis needs a root"):
        runner.reproduce(["px-davis"], {}, tmp_path / "out", notebooks=notebooks)
    text = Page(tmp_path, needing).write().read_text()
    assert "Things of videos" in text and "needs data: davis has no stand-in" in text and "0 tables, 0 failed" in text


def test_a_parameter_that_some_tables_lack_is_refused_before_anything_runs(notebooks):
    write_notebook(notebooks / "ca.ipynb", PARAMETERS.replace("h_on: str", "guest: str"))
    assert len(runner.plan(["phs-1,ca-1"], {"seed": "3"}, notebooks)) == 2
    with pytest.raises(InputError, match="h_on is known to phs-1 but not to ca-1: make them in two runs"):
        runner.plan(["ca-1,phs-1"], {"h_on": "2"}, notebooks)
    with pytest.raises(InputError, match="guest is known to ca-1 but not to phs-1"):
        runner.plan(["mini"], {"guest": "A=a.npy"}, notebooks)
    with pytest.raises(InputError, match="no ca.ipynb parameter 'h_on'"):
        runner.plan(["ca-1"], {"h_on": "2"}, notebooks)
    with pytest.raises(InputError, match="no .*parameter 'sed': did you mean seed"):
        runner.plan(["ca-1,phs-1"], {"sed": "2"}, notebooks)


def test_the_notebooks_of_all_papers_share_what_the_command_line_offers():
    read = {name: parameters.read(files.notebooks_root() / "tables" / f"{name}.ipynb") for name in ("phs", "ca", "ra", "mao", "px", "memory")}
    run = inspect.signature(bench_rows.run).parameters
    for name, known in read.items():
        assert {"data_root", "weights", "device", "seed", "methods", "plugin", "training_root"} <= set(known)
        assert ("guest" in known) != (name == "memory"), "what a guest ranked can't be remembered"
        assert {"progress", "out"} <= set(known)
        assert known["table"].default in catalogue.EVERY and known["table"].default.startswith({"memory": "px"}.get(name, name))
        assert known["dataset"].default == known["model"].default == "mini"
        for parameter in known.values():
            if parameter.name not in ("table", "progress", "out"):
                assert parameter.default == run[parameter.name].default, parameter
    assert set().union(*read.values()) == set(run) - {"cache"} | {"out"}


def test_lists_are_split_and_made_once(notebooks):
    jobs = runner.plan(["phs-3,phs-1", "phs-1"], {}, notebooks)
    assert [(j.table, j.values["table"]) for j in jobs] == [("phs-3", "phs-3"), ("phs-1", "phs-1")]


def test_a_run_is_named_by_what_was_asked():
    assert runner._name(["mini"], {}) == "mini"
    values = {
        "dataset": "coco",
        "model": "dinov2-large",
        "data_root": "/a/b",
        "device": "cuda",
        "seed": "3",
    }
    assert runner._name(["phs-1,phs-2"], values) == "phs-1+phs-2-coco-dinov2-large-b-seed-3"
    free, full = ({"dataset": "coco", "data_root": f"data/{name}/"} for name in ("coco-free", "coco"))
    assert runner._name(["phs-1"], free) == "phs-1-coco-coco-free" != runner._name(["phs-1"], full)
    assert runner._name(["phs-1"], {"weights": "w/my.safetensors"}) == "phs-1-my.safetensors"
    assert runner._name(["phs-1"], {"data_root": "", "weights": ""}) == "phs-1"
    values = {"training_root": "/x/sfm/", "attention": "w/a.pt, w/b.pt", "guest": "HOW=/r/how.npy, B=b.npz"}
    assert runner._name(["ca-1"], values) == "ca-1-sfm-a.pt+b.pt-HOW_how.npy+B_b.npz"
    assert "/" not in runner._name(["phs-1"], {"model": "../../x/y"})


# ---- runs


@pytest.mark.slow
def test_a_run_leaves_all_its_files_and_is_resumed(notebooks, tmp_path, capsys):
    out = tmp_path / "out"
    tables = ["phs-1", "phs-2", "phs-a4"]
    folder, failures = runner.reproduce(tables, {"k": "90"}, out, notebooks=notebooks)
    assert folder == out
    assert list(failures) == ["phs-2"] and "ValueError: no such luck" in failures["phs-2"]
    assert sorted(p.name for p in out.iterdir() if p.name != ".lock") == sorted(
        [f"{t}.{e}" for t in ("phs-1", "phs-a4") for e in ("ipynb", "json", "csv", "md", "tex")]
        + [f"{t}-wide.csv" for t in ("phs-1", "phs-a4")]
        + ["report.html", "failures.json", "phs-2.failed.ipynb"]
    )
    printed = capsys.readouterr()
    assert "Table 1" in printed.out and "45.0 (40.0)" in printed.out
    assert "phs-2 failed: ValueError: no such luck" in printed.err

    rows = json.loads((out / "phs-1.json").read_text(), parse_constant=pytest.fail)
    assert [(r["method"], r["published"], r["ours"], r["difference"]) for r in rows["rows"]] == [
        ("CBIR", 40.0, 45.0, 5.0),
        ("PHS", None, 45.0, None),
    ]
    mark = rows["stamp"]
    assert mark["parameters"]["k"] == 90 and mark["seed"] == 0 and mark["device"] == "cpu"
    assert mark["versions"]["torch"] and mark["seconds"] > 0 and "foir_lib.bench.rows" in mark["code"]
    executed = nbformat.read(out / "phs-1.ipynb", as_version=4)
    assert executed.metadata["foir"] == mark
    assert any("injected-parameters" in c.metadata.get("tags", []) for c in executed.cells)
    assert json.loads((out / "failures.json").read_text()) == failures

    times = {p.name: p.stat().st_mtime_ns for p in out.glob("phs-1*")}
    folder, failures = runner.reproduce(tables, {"k": 90}, out, notebooks=notebooks)
    assert {p.name: p.stat().st_mtime_ns for p in out.glob("phs-1*")} == times
    assert list(failures) == ["phs-2"]  # tried again
    assert "done before" in capsys.readouterr().out

    _, failures = runner.reproduce(tables, {"k": 90, "seed": 1}, out, notebooks=notebooks)
    assert failures == {} and not (out / "phs-2.failed.ipynb").exists()
    rows, mark = report.load(out / "phs-1.json")
    assert rows["ours"].tolist() == [46.0, 46.0] and mark["seed"] == 1
    assert "<p class=failed>" not in (out / "report.html").read_text()


@pytest.mark.slow
def test_the_notebooks_bars_reach_the_terminal_and_not_the_saved_notebook(notebooks, tmp_path, capfd):
    bar = "\nfrom tqdm.auto import tqdm\nfor _ in tqdm(range(3), desc='extracting'): pass\nprint('made')"
    write_notebook(notebooks / "phs.ipynb", work=WORK + bar)
    _, failures = runner.reproduce(["phs-1"], {}, tmp_path / "out", notebooks=notebooks)
    assert failures == {}
    assert "extracting: 100%" in capfd.readouterr().err
    cells = nbformat.read(tmp_path / "out" / "phs-1.ipynb", as_version=4).cells
    outputs = [output for cell in cells if cell.cell_type == "code" for output in cell.outputs]
    assert [(o.output_type, o.name, o.text) for o in outputs] == [("stream", "stdout", "made\n")]


@pytest.mark.slow
def test_the_report_grows_and_one_table_after_another_is_made_in_one_kernel(notebooks, tmp_path, capsys):
    watch = "import os, shutil\nfrom pathlib import Path\nhome = Path(out).parents[1]\n"
    watch += "shutil.copy(home / 'report.html', home / f'before-{table}.html')\n"
    watch += "(home / f'{table}.pid').write_text(str(os.getpid()))\n"
    watch += "if table == 'phs-a2': os.kill(os.getpid(), 9)\n"
    write_notebook(notebooks / "phs.ipynb", work=watch + WORK)
    names, out = ["phs-1", "phs-a1", "phs-2", "phs-a2", "phs-a4"], tmp_path / "out"
    _, failures = runner.reproduce(names, {}, out, notebooks=notebooks)
    assert list(failures) == ["phs-2", "phs-a2"] and "kernel died" in failures["phs-a2"]
    pids = [(out / f"{name}.pid").read_text() for name in names]
    assert pids[0] == pids[1] == pids[2] and len(set(pids)) == 3  # another after a failure, another after a death

    pages = [(out / f"before-{name}.html").read_text() for name in names]
    assert "Under way: 0 of 5 tables done, time left not known yet." in pages[0] and "<section" not in pages[0]
    assert re.search("Under way: 1 of 5 tables done, (less than a|about .*) minutes? left[.]", pages[1])
    assert [text.count("<section id=") for text in pages] == [0, 1, 2, 2, 2]
    assert "phs-2 failed.</b> ValueError: no such luck" in pages[3] and "phs-2 failed" not in pages[2]
    final = (out / "report.html").read_text()
    assert final.count("<section id=") == 3 and "Under way" not in final and "Stopped" not in final
    assert '<a href="#phs-a4">' in final and '<span class=faint>' in final.split("</nav>")[0]  # minutes of each table
    known = json.loads((tmp_path / "cache" / "minutes.json").read_text())
    assert list(known) == [f"{name} mini mini cpu" for name in ("phs-1", "phs-a1", "phs-a4")]
    assert re.search(r"tables: 4/5 \[.*phs-a4, (less than a|about .*) minutes? left", capsys.readouterr().err)


@pytest.mark.slow
def test_rows_are_kept_and_figures_drawn_again_when_only_what_draws_has_changed(notebooks, tmp_path, monkeypatch, capsys):
    redraw = WORK.replace("rows = pd.DataFrame(rows, columns=columns)", "earlier = report.earlier_rows(out)\n"
        "rows = pd.DataFrame(rows, columns=columns) if earlier is None else earlier\nprint('computed', earlier is None)")  # fmt: skip
    write_notebook(notebooks / "phs.ipynb", work=redraw)
    original, drawn, out = stamp.stamp, ["one"], tmp_path / "out"
    monkeypatch.setattr(stamp, "stamp", lambda *inputs: original(*inputs) | {"key": "k", "drawn": drawn[0]})

    def result():
        runner.reproduce(["phs-1"], {}, out, notebooks=notebooks)
        cell = nbformat.read(out / "phs-1.ipynb", as_version=4).cells[-1]
        return *report.load(out / "phs-1.json"), cell.outputs[0].text, (out / "phs-1.json").stat().st_mtime_ns

    rows, mark, printed, time_1 = result()
    assert printed == "computed True\n" and mark["drawn"] == "one" and mark["seconds"] > 0
    assert result()[3] == time_1  # done
    drawn[0] = "two"
    capsys.readouterr()
    again, second, printed, time_2 = result()
    rows = rows.assign(published=np.nan, difference=np.nan)  # no paper has a data set "mini"
    assert printed == "computed False\n" and time_2 > time_1 and "(drawn again)" in capsys.readouterr().out
    assert second == mark | {"drawn": "two"}  # date and seconds are those of the rows
    pd.testing.assert_frame_equal(again, rows)


@pytest.mark.slow
def test_a_failing_rerun_keeps_the_earlier_result(notebooks, tmp_path):
    out = tmp_path / "out"
    runner.reproduce(["phs-1"], {}, out, notebooks=notebooks)
    before = (out / "phs-1.json").read_bytes()
    write_notebook(notebooks / "phs.ipynb", work="1 / 0")  # its code changed: it must run again
    _, failures = runner.reproduce(["phs-1"], {}, out, notebooks=notebooks)
    assert "ZeroDivisionError" in failures["phs-1"]
    assert (out / "phs-1.json").read_bytes() == before
    assert "phs-1 failed" in (out / "report.html").read_text().replace("</b>", "").replace(
        "<b>", ""
    )


@pytest.mark.slow
def test_fresh_makes_again_what_is_done(notebooks, tmp_path):
    out = tmp_path / "out"
    runner.reproduce(["phs-1"], {}, out, notebooks=notebooks)
    before = (out / "phs-1.json").stat().st_mtime_ns
    runner.reproduce(["phs-1"], {}, out, fresh=True, notebooks=notebooks)
    assert (out / "phs-1.json").stat().st_mtime_ns > before


@pytest.mark.slow
def test_failures_are_told_in_one_sentence(notebooks, tmp_path):
    _, failures = runner.reproduce(["phs-3"], {}, tmp_path / "out", notebooks=notebooks)
    assert failures["phs-3"].startswith("Box (3, 1, 2, 5) is empty.")
    write_notebook(notebooks / "phs.ipynb", work="x = 1")
    _, failures = runner.reproduce(["phs-1"], {}, tmp_path / "out", notebooks=notebooks)
    assert "phs-1.json holds no rows" in failures["phs-1"]
    assert not (tmp_path / "out" / ".running").exists()


def test_two_runs_in_one_folder_and_unusable_folders(notebooks, tmp_path):
    (tmp_path / "out").mkdir()
    with filelock.FileLock(tmp_path / "out" / ".lock"):
        with pytest.raises(InputError, match="Another run is at work"):
            runner.reproduce(["phs-1"], {}, tmp_path / "out", notebooks=notebooks)
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="Can't write results to .*file: File exists; choose another --out"):
        runner.reproduce(["phs-1"], {}, tmp_path / "file", notebooks=notebooks)


@pytest.mark.slow
def test_an_interrupted_run_keeps_finished_tables_and_goes_on(notebooks, tmp_path):
    slow = WORK + '\nif table == "phs-a4" and k == 100:\n    open(out + "/started", "w")\n'
    slow += "    import time; time.sleep(600)\n"
    write_notebook(notebooks / "phs.ipynb", work=slow)
    out = tmp_path / "out"
    code = (
        "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)\n"  # in the background it is ignored
        "from foir_lib.bench.runs import runner\n"
        f"runner.reproduce(['phs-1', 'phs-a4', 'phs-a5'], {{}}, {str(out)!r}, notebooks={str(notebooks)!r})"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code], stderr=subprocess.PIPE, start_new_session=True
    )
    started = out / ".running" / "phs-a4" / "started"
    for _ in range(3000):
        if started.exists() or process.poll() is not None:
            break
        time.sleep(0.2)
    assert started.exists()
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does on Ctrl-C
    _, errors = process.communicate(timeout=600)
    assert process.returncode != 0 and b"KeyboardInterrupt" in errors
    assert report.load(out / "phs-1.json")[1]["key"]
    assert not (out / "phs-a4.json").exists() and not (out / "phs-a5.json").exists()
    text = (out / "report.html").read_text()
    assert "Table 1" in text and "Stopped: 1 of 3 tables done." in text


# ---- stamps


def test_the_key_changes_with_code_parameters_and_data_but_not_with_words(notebooks, tmp_path):
    notebook, weights = notebooks / "phs.ipynb", tmp_path / "w.safetensors"
    weights.write_bytes(b"one")
    values = {"seed": 0, "device": "cpu", "weights": str(weights)}
    key = stamp.stamp(notebook, values)["key"]
    assert stamp.stamp(notebook, values)["key"] == key
    assert stamp.stamp(notebook, values | {"seed": 1})["key"] != key
    weights.write_bytes(b"two!")
    changed = stamp.stamp(notebook, values)["key"]
    assert changed != key
    content = nbformat.read(notebook, as_version=4)
    content.cells[0].source = "# Another title"
    nbformat.write(content, notebook)
    assert stamp.stamp(notebook, values)["key"] == changed
    drawn = stamp.stamp(notebook, values)["drawn"]
    content.cells[3].source += "\n# a comment"
    nbformat.write(content, notebook)
    assert stamp.stamp(notebook, values)["drawn"] == drawn
    content.cells[3].source += "\n1"
    nbformat.write(content, notebook)
    assert stamp.stamp(notebook, values)["key"] == changed and stamp.stamp(notebook, values)["drawn"] != drawn


def test_parameters_that_name_no_path_or_a_folder_with_a_dead_link(tmp_path):
    (tmp_path / "dead").symlink_to(tmp_path / "nowhere")
    assert [path for path, _ in stamp._touched(str(tmp_path))] == [str(tmp_path)]
    assert stamp._touched("dinov2-large," * 100) is stamp._touched("") is stamp._touched(None) is None


def test_files_of_guests_are_looked_at_too(tmp_path):
    (tmp_path / "a.npy").write_bytes(b"1")
    (tmp_path / "b.npz").write_bytes(b"12")
    result = stamp._touched(f"HOW={tmp_path}/a.npy, DELG = {tmp_path}/b.npz,C={tmp_path}/no")
    digests = [(str(tmp_path / name), hashlib.sha256(content).hexdigest()) for name, content in (("a.npy", b"1"), ("b.npz", b"12"))]
    assert result == digests
    assert stamp._touched(f"{tmp_path}/a.npy,{tmp_path}/b.npz") == result


def test_files_that_a_parameter_names_are_known_by_what_they_hold(tmp_path):
    path = tmp_path / "a" / "b" / "c" / "weights.pth"
    path.parent.mkdir(parents=True)
    path.write_bytes(b"12")
    os.utime(path, (1, 1))
    file, folder = stamp._touched(str(path)), stamp._touched(str(tmp_path))
    path.write_bytes(b"13")
    os.utime(path, (1, 1))  # of the same length and time, as archives and copying tools leave it
    assert stamp._touched(str(path)) != file and stamp._touched(str(tmp_path)) != folder
    path.unlink()
    path.write_bytes(b"12")
    assert stamp._touched(str(path)) == file


def test_commit_and_dirty_flag(tmp_path):
    def git(*arguments):
        who = ["-c", "user.name=a", "-c", "user.email=a@b.c"]
        subprocess.run(["git", "-C", tmp_path, *who, *arguments], check=True, capture_output=True)

    assert stamp.commit(tmp_path / "nowhere") == {"commit": None, "dirty": None}
    git("init", "-q")
    (tmp_path / "a").write_text("1")
    git("add", "a")
    git("commit", "-q", "-m", "one")
    mark = stamp.commit(tmp_path)
    assert len(mark["commit"]) == 40 and mark["dirty"] is False
    (tmp_path / "a").write_text("2")
    assert stamp.commit(tmp_path) == mark | {"dirty": True}
    (tmp_path / "inner").mkdir()  # an installed package inside someone's repository
    assert stamp.commit(tmp_path / "inner") == {"commit": None, "dirty": None}


# ---- reports


def rows_of(*cells, **others):
    columns = ["table", "dataset", "model", "method", "metric", "published", "ours"]
    return pd.DataFrame(cells, columns=columns).assign(**others)


ROWS = rows_of(
    ("phs-1", "voc", "b", "PHS", "MP@100", 54.1, 52.64),
    ("phs-1", "voc", "b", "CBIR", "MP@100", 50.0, 50.04),
    ("phs-1", "coco", "a", "PHS", "MP@100", np.nan, 7.0),
)


def test_the_wide_table_by_hand():
    table = report.wide(ROWS)
    assert list(table.columns) == ["PHS", "CBIR"]
    assert list(table.index) == [("voc", "b"), ("coco", "a")]
    assert table.to_numpy().tolist() == [["52.6 (54.1)", "50.0 (50.0)"], ["7.0", ""]]


def test_the_caption_names_the_definition_of_average_precision():
    assert report.caption(ROWS.assign(ap="trapezoid")).startswith("MP@100 (AP: trapezoid); in brackets")
    assert report.caption(ROWS).startswith("MP@100; in brackets")


def test_metrics_and_x_get_lines_of_their_own():
    rows = rows_of(
        ("t", "d", "m", "A", "MP@100", np.nan, 1.0), ("t", "d", "m", "A", "MAP@100", np.nan, 2.0)
    )
    assert report.wide(rows).index.tolist() == [("d", "m", "MP@100"), ("d", "m", "MAP@100")]
    rows = rows_of(
        ("t", "d", "m", "CBIR", "MP", np.nan, 1.0),
        ("t", "d", "m", "PHS", "MP", np.nan, 2.0),
        ("t", "d", "m", "PHS", "MP", np.nan, 3.0),
        x=[np.nan, 1, 2],
    )
    table = report.wide(rows).reset_index()
    assert table.to_numpy().tolist() == [
        ["d", "m", "", "1.0", ""],
        ["d", "m", 1, "", "2.0"],
        ["d", "m", 2, "", "3.0"],
    ]


LANDMARKS = rows_of(
    ("ca-1", "roxford5k", "r50", "GeM", "mAP medium", 60.0, 61.0),
    ("ca-1", "roxford5k", "r50", "GeM", "mAP hard", 40.0, 41.0),
    ("ca-1", "roxford5k", "r50", "CAM", "mAP medium", np.nan, np.nan),
    ("ca-1", "roxford5k", "r50", "CAM", "mAP hard", np.nan, np.nan),
    ("ca-1", "roxford5k", "delf", "DELG", "mAP medium", 73.0, np.nan),
    note=[None, None, "no classifier", "no classifier", None],
)


def test_methods_stand_down_where_the_paper_prints_them_so():
    table = report.wide(LANDMARKS)
    assert list(table.columns) == ["roxford5k, mAP medium", "roxford5k, mAP hard"]
    assert table.reset_index().to_numpy().tolist() == [
        ["GeM", "r50", "61.0 (60.0)", "41.0 (40.0)"],
        ["CAM", "r50", "-", "-"],
        ["DELG", "delf", "- (73.0)", ""],
    ]
    costs = LANDMARKS.assign(dataset=["any", *["roxford5k"] * 4], metric=["ms per image", *LANDMARKS["metric"][1:]])
    assert list(report.wide(costs).columns) == ["ms per image", "roxford5k, mAP hard", "roxford5k, mAP medium"]
    over = rows_of(*[("ca-fig9", "d", "m", f"over {o}", "mAP", np.nan, 1.0) for o in "NNT"], x=[1.0, 2.0, 1.5])
    assert report.wide(over).reset_index().to_numpy().tolist() == [
        ["over N", "m", 1, "1.0"], ["over N", "m", 2, "1.0"], ["over T", "m", 1.5, "1.0"],
    ]  # fmt: skip


def test_why_a_score_cannot_be_had_is_told_everywhere(tmp_path):
    assert report.notes(LANDMARKS) == ["CAM: no classifier."] and report.notes(ROWS) == []
    path = report.save(LANDMARKS, "ca-1", tmp_path)
    assert "\n\nCAM: no classifier.\n\n" in (tmp_path / "ca-1.md").read_text()
    assert report.notes(report.load(path)[0]) == ["CAM: no classifier."]
    text = Page(tmp_path).write().read_text()
    assert "<p class=faint>CAM: no classifier.</p>" in text and text.count("<td class=number>-</td>") == 2
    assert "<td class=number>- (73.0)</td>" in text


def test_saved_files_by_hand(tmp_path):
    path = report.save(ROWS.assign(n_queries=[3, 3, 4]), "phs-1", tmp_path)
    assert path == tmp_path / "phs-1.json"
    assert (tmp_path / "phs-1.csv").read_text() == (
        "table,dataset,model,method,metric,published,ours,difference,n_queries\n"
        "phs-1,voc,b,PHS,MP@100,54.1,52.6,-1.5,3\n"
        "phs-1,voc,b,CBIR,MP@100,50.0,50.0,+0.0,3\n"
        "phs-1,coco,a,PHS,MP@100,,7.0,,4\n"
    )
    text = (tmp_path / "phs-1.md").read_text()
    assert "| voc | b | 52.6 (54.1) | 50.0 (50.0) |" in text
    assert "| voc | b | PHS | MP@100 | 54.1 | 52.6 | -1.5 | 3 |" in text
    rows, mark = report.load(path)
    assert mark is None and rows["ours"].tolist() == [52.64, 50.04, 7.0]
    assert rows["difference"].tolist()[:2] == pytest.approx([-1.46, 0.04])
    assert {p.name for p in tmp_path.iterdir()} == {"phs-1.json", "phs-1.csv", "phs-1-wide.csv", "phs-1.md", "phs-1.tex"}


def test_the_papers_numbers_stand_below_when_none_stands_beside(tmp_path):
    mini = ROWS.assign(published=np.nan, dataset="mini-focus", model=["a", "b", "c"])
    report.save(mini, "phs-1", tmp_path)
    text = (tmp_path / "phs-1.md").read_text()
    assert "Printed in the paper" in text and "dinov2-large" in text
    assert report.of_paper(report.checked(ROWS, "phs-1")) is None


def test_a_stamp_that_was_handed_over_is_written_with_the_rows_once(tmp_path):
    assert report.earlier_rows("") is report.earlier_rows(tmp_path) is None
    report.hand_over(tmp_path, {"key": "k"})
    assert report.earlier_rows(tmp_path) is None
    rows, mark = report.load(report.save(ROWS, "phs-1", tmp_path))
    assert mark == {"key": "k", "seconds": mark["seconds"]} and 0 <= mark["seconds"] < 60
    report.hand_over(tmp_path, {"key": "k", "seconds": 331.0}, rows)
    earlier = report.earlier_rows(tmp_path)
    ours = rows.assign(published=np.nan, difference=np.nan)  # the papers know none of these models
    pd.testing.assert_frame_equal(report.checked(earlier, "phs-1"), ours)
    assert report.load(report.save(earlier, "phs-1", tmp_path))[1]["seconds"] == 331.0


def test_rows_that_are_drawn_again_stand_beside_the_numbers_published_now(tmp_path, monkeypatch):
    def draw(*lines):
        (tmp_path / "published" / "ca-15.csv").write_text("\n".join(["table,dataset,model,method,metric,value", *lines, ""]))
        rows = report.earlier_rows(tmp_path)
        report.hand_over(tmp_path, {"key": "k"}, report.load(report.save(rows, "ca-15", tmp_path))[0])
        return [tuple(row) for row in rows[["method", "published", "ours", "difference"]].astype(object).fillna("").itertuples(index=False)]

    (tmp_path / "published").mkdir()
    monkeypatch.setattr(published, "manifest_root", lambda: tmp_path)
    ours = rows_of(*[("ca-15", "roxford5k", "resnet101", m, "mAP hard", 1.0, v) for m, v in (("GeM", 60.0), ("GeM+CA", None))])
    report.hand_over(tmp_path, {"key": "k"}, ours.assign(note=[None, "it lacks weights"], ap="trapezoid"))
    line = "ca-15,roxford5k,resnet101,{},mAP hard,{}".format
    gem, lacking = ("GeM", 56.0, 60.0, 4.0), ("GeM+CA", "", "", "")
    assert draw(line("GeM", "56.0"), line("CANet", "68.9")) == [gem, lacking, ("CANet", 68.9, "", "")]
    assert draw(line("GeM", "58.5"), line("CANet", "69.0")) == [("GeM", 58.5, 60.0, 1.5), lacking, ("CANet", 69.0, "", "")]
    assert draw(line("GeM+CA", "70.0")) == [("GeM", "", 60.0, ""), ("GeM+CA", 70.0, "", "")]


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        (ROWS.drop(columns="ours"), "lack the column 'ours'"),
        (ROWS.drop(columns="metric"), "lack the column 'metric'"),
        (ROWS.iloc[:0], "no rows"),
        (ROWS.assign(table="phs-2"), "cells of 'phs-2'"),
        (pd.concat([ROWS, ROWS.iloc[:1]]), "repeat the cell"),
        (ROWS.assign(ours=np.inf), "infinite"),
    ],
)
def test_wrong_rows_are_refused_and_nothing_is_written(tmp_path, rows, words):
    with pytest.raises(InputError, match=words):
        report.save(rows, "phs-1", tmp_path / "o")
    assert not (tmp_path / "o").exists()


def test_a_score_that_could_not_be_computed_is_null(tmp_path):
    path = report.save(ROWS.assign(ours=[np.nan, 1.0, 2.0]), "phs-1", tmp_path)
    assert "NaN" not in path.read_text()
    assert json.loads(path.read_text())["rows"][0]["ours"] is None
    assert report.wide(report.load(path)[0]).iloc[0, 0] == "- (54.1)"


def test_figures_become_files_and_stand_in_the_page(tmp_path):
    from matplotlib.figure import Figure

    figure = Figure()
    figure.subplots().plot([1, 2])
    report.save(ROWS.assign(method=["<b>", "CBIR", "PHS"]), "phs-1", tmp_path, {"bars": figure})
    assert (tmp_path / "phs-1-bars.png").read_bytes()[:4] == b"\x89PNG" and (tmp_path / "phs-1-bars.pdf").read_bytes()[:4] == b"%PDF"
    (tmp_path / "phs-2.json").write_text('{"rows": [')
    text = Page(tmp_path).write({"phs-a1": "it <broke>"}).read_text()
    assert "data:image/png;base64," in text and "&lt;b&gt;" in text and "<b>CBIR" not in text
    assert "it &lt;broke&gt;" in text and text.index("broke") < text.index("<nav")
    assert "phs-2.json holds no rows" in text
    assert "prefers-color-scheme: dark" in text
    assert "http:" not in text and "https:" not in text  # nothing is fetched from anywhere
