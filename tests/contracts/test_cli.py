"""The command line: what it hands on, what it prints, and one sentence with exit 2 for bad input."""

import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

from foir_lib import cli, files
from foir_lib.bench.runs import runner
from foir_lib.bench.speed import run as speed
from foir_lib.data.getting import download
from foir_lib.errors import InputError, MissingError
from foir_lib.store import features


@pytest.fixture
def run(capsys):
    """Call ``foir`` with arguments: (exit code, stdout, stderr)."""

    def call(*arguments):
        with pytest.raises(SystemExit) as ended:
            cli.main(arguments)
        told = capsys.readouterr()
        return ended.value.code or 0, told.out, told.err

    return call


@pytest.fixture
def asked(monkeypatch, tmp_path):
    """Replace the runner by one that notes what it was asked for."""
    calls = []

    def reproduce(tables, given, out, fresh):
        calls.append((tables, {k: v for k, v in given.items() if v is not None}, out, fresh))
        return tmp_path, {"phs-2": "no luck"} if "phs-2" in tables else {}

    monkeypatch.setattr(runner, "reproduce", reproduce)
    return calls


def test_help_names_every_command(run):
    code, out, _ = run("--help")
    assert code == 0 and all(name in out for name in ("data", "models", "tables", "reproduce", "bench"))
    code, out, _ = run("reproduce", "--help")
    assert "-p NAME VALUE" in out and "--data-root" in out


def test_options_become_parameters(run, asked, tmp_path):
    code, out, _ = run("reproduce", "phs-1", "phs-3,phs-a1", "--dataset", "coco", "--data-root", "d", "--seed", "3",
                       "-p", "h_on", "1,5", "-p", "names", "a=b", "-p", "k=-1", "--out", "o", "--fresh")  # fmt: skip
    given = {
        "dataset": "coco",
        "data_root": "d",
        "seed": "3",
        "h_on": "1,5",
        "names": "a=b",
        "k": "-1",
    }
    assert asked == [(["phs-1", "phs-3,phs-a1"], given, "o", True)]
    assert code == 0 and str(tmp_path / "report.html") in out
    run("reproduce", "mini")
    assert asked[1] == (["mini"], {}, None, False)


def test_the_tables_of_all_papers_are_listed(run):
    code, out, _ = run("tables")
    assert code == 0 and len(out.splitlines()) == 17 + 16 + 4 + 4 + 6 + 11
    assert "ca-fig9     Co-attention, Figure 9: N, K and T\n" in out


def test_guests_and_training_pictures_are_handed_on(run, asked):
    run("reproduce", "ca-1,ra-3", "--guest", "HOW=a.npy, B=b.npz", "--training-root", "sfm")
    assert asked[0][1] == {"guest": "HOW=a.npy, B=b.npz", "training_root": "sfm"}


def test_methods_and_a_plugin_are_handed_on(run, asked):
    run("reproduce", "phs-1,ca-1", "--methods", "CBIR, PHS(h_on=3), Mine", "--plugin", "my/mine.py")
    assert asked[0][1] == {"methods": "CBIR, PHS(h_on=3), Mine", "plugin": "my/mine.py"}
    code, _, err = run("reproduce", "phs-1", "--plugin", "a.py", "-p", "plugin", "b.py")
    assert code == 2 and "plugin is given twice" in err


def test_negative_and_spaced_values_of_p(run, asked):
    run("reproduce", "phs-1", "-p", "shift", "-3", "-p", "note", "two words", "-p", "empty", "")
    assert asked[0][1] == {"shift": "-3", "note": "two words", "empty": ""}


def test_a_failed_table_is_told_last_and_exits_1(run, asked):
    code, _, err = run("reproduce", "phs-1", "phs-2")
    assert code == 1 and err == "failed: phs-2: no luck\n"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["reproduce", "phs-99"], "no table 'phs-99'"),
        (["reproduce", "mini", "--model", "dinov2-large"], "mini is the embedded world"),
        (["reproduce", "phs-1", "--seed", "one"], "Parameter seed = 'one' is no int"),
        (["reproduce", "phs-1", "-p", "datset", "coco"], "did you mean dataset"),
        (["reproduce", "phs-1", "-p", "seed", "1", "--seed", "2"], "seed is given twice"),
        (["reproduce", "phs-1", "-pseed"], "-p seed has no value"),
        (["data", "get", "cocoo"], "did you mean coco"),
        (["reproduce", "phs-1", "-p", "table", "ca-1"], "Parameter table is what is made: name it first."),
        (["reproduce", "phs-1", "-p", "k", "1" + "0" * 5000], "00... is no int"),
        (["bench", "--out", ""], "'.' is no name of a file"),
        (["bench", "--model", "mini-cnn"], "mini-cnn has no attention heads to measure"),
        (["bench", "--n-states", "1000000000000"], "n_states=1000000000000 must be a whole number, from 1 to"),
    ],
)
def test_bad_input_is_one_sentence_and_exit_2(run, arguments, words, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code, out, err = run(*arguments)
    assert code == 2 and out == ""
    assert err.startswith("error: ") and err.count("\n") == 1 and words in err
    assert list(tmp_path.iterdir()) == []


def test_unknown_options_and_commands_exit_2(run):
    assert run("reproduce", "phs-1", "--datset", "coco")[0] == 2
    assert run("reproduse", "phs-1")[0] == 2
    assert run("reproduce")[0] == 2


def test_debug_shows_the_traceback(monkeypatch):
    monkeypatch.setenv("FOIR_DEBUG", "1")
    with pytest.raises(InputError):
        cli.main(["reproduce", "phs-99"])


def test_ctrl_c_exits_130(run, monkeypatch):
    def stop(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(runner, "reproduce", stop)
    code, _, err = run("reproduce", "mini")
    assert code == 130 and "what is finished is kept" in err


def test_data_commands(run, monkeypatch):
    code, out, _ = run("data", "list")
    assert code == 0 and all(name in out for name in ("coco", "voc", "visual-genome", "20.4 GB"))
    rows = {"file": ["a"], "expected": ["1"], "actual": ["1"], "note": [""]}
    for status, exits in {"ok": 0, "unverified": 0, "missing": 1, "mismatch": 1}.items():
        table = pd.DataFrame(rows | {"status": [status]})
        seen = []
        for name in ("get", "verify"):
            monkeypatch.setattr(download, name, lambda *a, t=table, s=seen: s.append(a) or t)
            code, out, _ = run("data", name, "voc", "--root", "r")
            assert code == exits and status in out
        assert seen == [("voc", "r")] * 2


def test_errors_below_keep_their_sentence(run, monkeypatch):
    def absent(*_):
        raise MissingError("Can't fetch\n  that.")

    monkeypatch.setattr(download, "get", absent)
    assert run("data", "get", "voc") == (2, "", "error: Can't fetch that.\n")


def test_models_are_listed(run):
    code, out, _ = run("models")
    table, notes = out.split("\n\n")
    rows = table.splitlines()
    assert code == 0 and len(rows) == len({line.split()[0] for line in rows})
    assert "vit_large_patch14_reg4_dinov2.lvd142m" in out and "mini-vit-large" in out
    assert next(row for row in rows if row.startswith("dinov3-base ")).split() == [
        "dinov3-base", "12", "768", "201", "heads,", "patches", "dinov3-license*", "vit_base_patch16_dinov3.lvd1689m",
    ]  # fmt: skip
    assert "patches, texts" in next(row for row in rows if row.startswith("siglip2-base ")) and "  patches  " in next(row for row in rows if row.startswith("aimv2-large "))
    assert "* dinov3-small, dinov3-small-plus," in notes and "read it before use" in notes


def test_models_are_listed_without_torch():
    """So the list is there at once."""
    code = "import sys; from foir_lib.models.taps import listing; listing.lines(); assert not {'torch', 'timm'} & sys.modules.keys()"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_bench_prints_its_table(run, monkeypatch):
    monkeypatch.setattr(speed, "main", lambda *a: {"asked": a})
    monkeypatch.setattr(speed, "markdown", lambda report: f"| {report['asked']} |")
    code, out, _ = run("bench", "--model", "mini-vit", "--repeats", "3")
    assert code == 0 and out == "| ('bench.json', 'mini-vit', 'auto', 3, 100000) |\n"


def test_python_m_foir_lib_is_foir():
    done = subprocess.run(
        [sys.executable, "-m", "foir_lib", "data", "get", "x"], capture_output=True, text=True
    )
    assert done.returncode == 2 and done.stderr.startswith("error: ")


def test_help_needs_no_torch():
    code = "import sys; sys.argv = ['foir', '--help']\nfrom foir_lib.cli import main\ntry: main()\nexcept SystemExit: pass\nprint('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.endswith("False\n"), done.stdout + done.stderr


def test_the_cache_is_listed_and_pruned(run, monkeypatch, tmp_path):
    monkeypatch.setenv("FOIR_CACHE", str(tmp_path / "cache"))
    assert run("cache", "list")[:2] == (0, f"0 entries, 0 B in all ({tmp_path / 'cache'})\n")
    features.build({"what": "old states", "model": "m", "code": "0"}, 2, lambda a, b: {"x": np.ones((b - a, 1))}, progress=False)
    files.cached("sizes", {"what": "sizes of pictures", "n": 7}, lambda: bytes(1500))
    code, out, _ = run("cache", "list")
    head, stale, small, total = out.splitlines()
    assert code == 0 and head.split() == "kind what model items size last used code folder".split()
    assert "old states" in stale and " stale " in stale and "1.6 kB" in small and " 7 " in small
    assert total.startswith("2 entries, ") and "in all" in total
    assert "1 entries" in run("cache", "prune", "--dry-run")[1] and "2 entries" in run("cache", "list")[1]
    code, out, _ = run("cache", "prune")
    assert code == 0 and "old states" in out and "removed" in out and "1 entries" in run("cache", "list")[1]
    assert "sizes of pictures" in run("cache", "prune", "--all")[1] and "0 entries" in run("cache", "list")[1]
    code, _, err = run("cache", "prune", "--days", "-2")
    assert code == 2 and "days=-2.0 must be 0 or more" in err
