"""What a run can't do is one sentence before a picture is opened, a kernel started or a file written: by the command and in Python."""

import tracemalloc
from pathlib import Path

import papermill
import pytest
from hypothesis import given
from hypothesis import strategies as st
from papermill.iorw import load_notebook_node
from papermill.parameterize import parameterize_notebook

from foir_lib import cli
from foir_lib.bench import limits, published, rows
from foir_lib.bench.runs import batch, report, runner
from foir_lib.bench.tables import catalogue
from foir_lib.errors import FoirError, InputError, IntegrityError
from foir_lib.files import notebooks_root

HEADS, MAPS = "no attention heads: name a ViT such as mini-vit, or methods", "no feature maps: name a CNN such as mini-cnn, or methods"
FAULTS = [  # options, tables that have them, words
    ({"model": "mini-cnn"}, ["phs-1", "phs-3", "phs-fig8"], f", but mini-cnn has {HEADS} that it can have."),
    ({"model": "mini-vit"}, ["ca-1", "ra-3"], f", but mini-vit has {MAPS} that it can have."),
    ({"model": "mini-cnn"}, ["mao-ablation"], f", but mini-cnn has {HEADS} that it can have."),
    ({"model": "dinov2-base-needles"}, ["mao-main"], "dinov2-base-needles is fine-tuned and no weights of it are published: pass your own file as weights."),
    ({"model": "mini-cnn", "methods": "FA,PHS"}, ["phs-1"], f"phs-1 asks for FA, but mini-cnn has {HEADS}"),
    ({"model": "mini-vit-small,dinov2-smal"}, ["phs-1"], "There is no model 'dinov2-smal': did you mean dinov2-small"),
    ({"model": "vit_small_patch99"}, ["phs-1"], "There is no model 'vit_small_patch99'"),
    ({"model": "vit_base_patch8_224.nosuchtag"}, ["phs-1"], "There are no weights 'vit_base_patch8_224.nosuchtag'"),
    ({"model": "test_vit4"}, ["phs-1"], "No published weights of test_vit4 are known"),
    ({"out_index": "2", "model": "dinov2-small"}, ["ca-1"], "out_index and half are for CNNs"),
    ({"out_index": "99"}, ["ca-1"], "out_index=99 of mini-cnn must be -1, or a stage from 0 to"),
    ({"dataset": ""}, ["phs-1", "ca-1"], "dataset='' names nothing"), ({"dataset": " , "}, ["ra-3"], "dataset=' , ' names nothing"),
    ({"model": ","}, ["phs-1"], "model=',' names nothing"), ({"methods": ","}, ["phs-1", "ca-1"], "methods=',' names nothing"),
    ({"methods": "CA(n_clusters=1000000000)"}, ["ca-4"], "n_clusters=1000000000 must be a whole number, from 1 to 32767"),
    ({"methods": "GeM,NaiveCA(n_features=1000000000)"}, ["ca-4"], "n_features=1000000000 must be a whole number, from 1 to 32767"),
    ({"dataset": "cocoo"}, ["phs-1", "ca-1", "ra-3"], "There is no set 'cocoo': did you mean coco"),
    ({"dataset": "mini-needles(permile=3)"}, ["phs-1"], "There is no mini-needles option 'permile': did you mean permille"),
    ({"dataset": "mini-needles(n=3"}, ["phs-1"], "'mini-needles(n=3' can't be read"),
    ({"dataset": "mini-focus", "data_root": "nowhere"}, ["phs-1"], "mini-focus is made from a seed and has no root"),
    ({"dataset": "folder"}, ["phs-1"], "folder needs a root"),
    ({"dataset": "folder", "data_root": "nowhere"}, ["phs-1"], "There is no folder at nowhere: check data_root."),
    ({"dataset": "folder", "data_root": "~nosuchuser/pictures"}, ["phs-1"], "home folder of nobody"),
    ({"dataset": "roxford5k+1m"}, ["ca-1"], "roxford5k+1m needs data_root"),
    ({"dataset": "oxford5k,paris6k", "data_root": "nowhere"}, ["ra-3"], "There is no folder at nowhere/oxford5k"),
    ({"seed": "3000000000"}, ["phs-1", "ca-1", "ra-3"], "seed=3000000000 must be a whole number, from 0 to 2147483647."),
    ({"seed": "-1"}, ["phs-1", "ca-1"], "seed=-1 must be a whole number"),
    ({"noise_pixels": "-5"}, ["phs-3"], "noise_pixels=-5 must be a whole number, from 0 to 10000."),
    ({"k": "0"}, ["phs-1"], "k=0 must be a whole number, at least 1."),
    ({"n_training": "-1"}, ["ca-1"], "n_training=-1 must be a whole number, at least 0."),
    ({"workers": "0"}, ["ra-3"], "workers=0 must be a whole number"), ({"batch_size": "0"}, ["phs-1"], "batch_size=0 must be"),
    ({"h_on": "5,zero"}, ["phs-1"], "h_on='5,zero' isn't a list of numbers"), ({"h_on": "0"}, ["phs-1"], "h_on='0' isn't a list of numbers"),
    ({"device": "cuda:99"}, ["phs-1", "ca-1"], "Device 'cuda:99' can't be used here"), ({"device": "banana"}, ["ra-3"], "Device 'banana' can't be used here"),
    ({"weights": "nowhere.pth", "model": "dinov2-small"}, ["phs-1"], "There is no file at nowhere.pth: check weights."),
    ({"training_root": "nowhere"}, ["ca-1"], "There is no folder at nowhere: check training_root."),
    ({"attention": "a.safetensors,b.safetensors"}, ["ra-3"], "There is no file at a.safetensors: check attention 1."),
    ({"detector": "nowhere.pth"}, ["ra-3"], "There is no file at nowhere.pth: check detector."),
    ({"plugin": "nowhere.py"}, ["phs-1"], "There is no plug-in at"),
    ({"methods": "PSH"}, ["phs-1", "ca-1"], "There is no retriever 'PSH'"), ({"methods": "PHS(h_on=-1)"}, ["phs-1"], "h_on=-1"),
    ({"guest": "HOW", "dataset": "mini-focus"}, ["phs-1"], "Guest 'HOW' must be NAME=path"),
    ({"guest": "HOW=nowhere.npy", "dataset": "mini-focus"}, ["phs-1"], "There is no file of a guest at nowhere.npy"),
    ({"guest": "CBIR=nowhere.npy", "dataset": "mini-focus"}, ["phs-1"], "Guest 'CBIR' has the name of a method of the table"),
    ({"data_root": "caf\udce9", "dataset": "folder"}, ["phs-1"], "no UTF-8"), ({"methods": "caf\udce9"}, ["phs-1"], "no UTF-8"),
]  # fmt: skip
ONE = [(options, table, words) for options, tables, words in FAULTS for table in tables]


@pytest.fixture
def nothing(monkeypatch, tmp_path):
    """Nothing is opened, started or written."""
    monkeypatch.chdir(tmp_path)
    for module, name in ((batch, "Kernel"), (rows, "load_set"), (rows, "load_model"), (runner, "run_all")):
        monkeypatch.setattr(module, name, lambda *_, name=name, **__: pytest.fail(f"{name} is called"))
    yield
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("options", "table", "words"), ONE)
def test_the_command_says_it_in_one_sentence(options, table, words, nothing, capsys):
    pairs = [word for name, value in options.items() for word in ("-p", name, value)]
    with pytest.raises(SystemExit) as ended:
        cli.main(["reproduce", table, *pairs])
    out, err = capsys.readouterr()
    assert ended.value.code == 2 and out == "" and err.startswith("error: ") and err.count("\n") == 1 and words in err, err


def test_every_table_of_a_run_is_looked_at_before_the_first_is_made(nothing):
    with pytest.raises(InputError, match="phs-2 asks for .*, but mini-cnn has no attention heads"):
        runner.reproduce(["ca-1", "phs-2"], {"model": "mini-cnn"})
    limits.check({"table": "phs-2", "model": "mini-cnn", "methods": "CBIR,Crop,PHS"})  # what is named may lack something
    for model in ("mini-cnn", "mini-vit"):  # a table of both kinds of networks has methods of both
        limits.check({"table": "mao-main", "model": model})


@pytest.mark.parametrize(("options", "table", "words"), [one for one in ONE if "\udce9" not in one[0].get("methods", "")])
def test_python_says_it_too(options, table, words, nothing):
    numbers = ("seed", "k", "noise_pixels", "n_training", "workers", "batch_size", "out_index")
    with pytest.raises(FoirError) as caught:
        rows.run(table, **{name: int(value) if name in numbers else value for name, value in options.items()})
    assert words in str(caught.value)


@pytest.mark.parametrize("out", ["/proc/zz", "/dev/null/x", "file/x", "a" * 300, "~nosuchuser/x", "caf\udce9"])
def test_a_folder_that_cannot_be_written_is_refused_before_the_work(out, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    Path("file").write_text("")
    monkeypatch.setattr(runner, "run_all", lambda *_: pytest.fail("tables are made"))
    with pytest.raises(SystemExit) as ended:
        cli.main(["reproduce", "phs-1", "--out", out])
    err = capsys.readouterr().err
    assert ended.value.code == 2 and err.startswith("error: ") and err.count("\n") == 1
    with pytest.raises(FoirError):
        report.earlier_rows(out)  # what the notebook calls first
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


@pytest.mark.slow
def test_papermill_meets_it_in_the_notebooks_first_call(tmp_path):
    with pytest.raises(papermill.PapermillExecutionError) as caught:
        papermill.execute_notebook(
            notebooks_root() / "tables" / "phs.ipynb", tmp_path / "out.ipynb", {"seed": 3_000_000_000}, progress_bar=False, kernel_name="python3"
        )
    assert caught.value.ename == "InputError" and "seed=3000000000 must be a whole number" in caught.value.evalue


@pytest.mark.parametrize("path", sorted(notebooks_root().glob("tables/*.ipynb")), ids=lambda path: path.stem)
def test_so_does_each_notebook_of_tables(path):
    book, values = parameterize_notebook(load_notebook_node(str(path)), {"seed": 3_000_000_000}), {}
    with pytest.raises(FoirError, match="seed=3000000000 must be a whole number"):
        for cell in book.cells:
            if cell.cell_type == "code":
                exec(cell.source, values)


def test_damaged_published_numbers_are_told_before_the_work(nothing, monkeypatch, tmp_path_factory):
    folder = tmp_path_factory.mktemp("manifests")
    (folder / "published").mkdir()
    (folder / "published" / "phs-1.csv").write_text("table,dataset\nphs-1,coco\n")
    monkeypatch.setattr(published, "manifest_root", lambda: folder)
    with pytest.raises(IntegrityError, match="restore the file"):
        limits.check({"table": "phs-1"})


@pytest.mark.parametrize("table", catalogue.EVERY)
def test_every_table_may_run_as_it_is_or_needs_data(table, tmp_path, monkeypatch):
    monkeypatch.delenv("FOIR_DATA", raising=False)
    if words := limits.needs_data(table):
        assert table in ("px-davis", "px-davis-lost")
        assert words == f"davis has no stand-in in the mini world: foir reproduce {table} --data-root FOLDER"
        with pytest.raises(InputError, match="davis needs a root"):
            limits.check({"table": table})
    limits.check({"table": table} | ({"data_root": str(tmp_path)} if words else {}))


@given(st.sampled_from([*limits.LEAST]), st.integers(-(10**12), 10**12))
def test_numbers_within_the_limits_pass_and_no_others(name, value):
    high = limits.MOST.get(name, 10**12)
    if limits.LEAST[name] <= value <= high:
        limits.check({"table": "phs-1", name: value})
    else:
        with pytest.raises(InputError, match=f"^{name}={value} must be a whole number"):
            limits.check({"table": "phs-1", name: value})


def test_a_depth_beyond_the_database_takes_no_memory(focus):
    expected = focus.score("CBIR", k=40)
    tracemalloc.start()
    try:
        result = focus.score("CBIR", k=100_000_000)
        assert tracemalloc.get_traced_memory()[1] < 50_000_000
    finally:
        tracemalloc.stop()
    assert result["contains"].k == expected["contains"].k == 40 and result["contains"].mp == expected["contains"].mp


def test_the_name_of_a_set_may_have_options():
    assert limits.rows_of("phs-1", "mini-needles(n=25, permille=5),coco")[0] == ["mini-needles(n=25, permille=5)", "coco"]
    assert limits.place_of("mini-needles(n=25, permille=5)") == ("mini-needles", None, {"n": 25, "permille": 5})
    assert limits.place_of("coco") == ("coco", None, {})
