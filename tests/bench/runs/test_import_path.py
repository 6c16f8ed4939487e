"""Modules that lie beside one's photographs: neither the command nor its kernel takes them for its own."""

import os
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook

from foir_lib.bench.runs import kernel
from foir_lib.view import demo

MODULES = ("pandas", "numpy", "tqdm", "pathlib", "typer", "torch", "IPython", "ipykernel", "ipykernel_launcher", "markupsafe", "voila", "webbrowser")
ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
def photographs(tmp_path, monkeypatch):
    """The working folder, full of modules; each says so by a file when it is imported."""
    for name in MODULES:
        (tmp_path / f"{name}.py").write_text(f"open({str(tmp_path / name)!r} + '.ran', 'w')\nraise SystemExit('{name}')")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    return tmp_path


def imported(folder):
    return sorted(path.name for path in folder.glob("*.ran"))


@pytest.mark.slow
def test_a_kernel_imports_nothing_from_the_working_folder(photographs, tmp_path_factory):
    folder = tmp_path_factory.mktemp("notebook")
    look = "import os, sys\nimport numpy, pandas, tqdm, torch\nprint(os.getcwd() in map(os.path.abspath, sys.path), os.getcwd())"
    spec = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    nbformat.write(new_notebook(cells=[new_code_cell(look)], metadata=spec), folder / "in.ipynb")
    with kernel.Kernel() as one:
        one.run(folder / "in.ipynb", folder / "out.ipynb", {})
    assert nbformat.read(folder / "out.ipynb", as_version=4).cells[-1].outputs[0].text == f"False {photographs}\n"
    assert imported(photographs) == []


def test_the_demos_kernel_is_started_alike():
    assert demo.SETTINGS.MultiKernelManager.kernel_manager_class == f"{demo.__name__}.PageManager"
    commands = [kind(kernel_name="python3", connection_file="f").format_kernel_cmd() for kind in (kernel.Manager, demo.PageManager)]
    assert commands[0] == commands[1] and "-m" not in commands[0] and "--IPKernelApp.ignore_cwd=True" in commands[0]


@pytest.mark.parametrize("command", [pytest.param(["-m", "foir_lib", "tables"], marks=pytest.mark.slow), ["-m", "foir_lib.view.demo", "--version"]], ids=["foir", "demo"])
def test_a_command_imports_nothing_from_the_working_folder(photographs, command):
    done = subprocess.run([sys.executable, *command], capture_output=True, text=True, env=os.environ)
    assert done.returncode == 0 and done.stdout and imported(photographs) == [], done.stderr


@pytest.mark.slow
def test_the_installed_command_imports_nothing_from_the_working_folder(photographs):
    foir = Path(sys.executable).with_name("foir")
    if not foir.is_file():
        pytest.skip("foir isn't installed beside this Python")
    done = subprocess.run([foir, "tables"], capture_output=True, text=True)
    assert done.returncode == 0 and "phs-1" in done.stdout and imported(photographs) == [], done.stderr
