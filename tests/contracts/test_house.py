"""The rules of the house: floors of foir_lib, thin files and folders, commands that exist."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "foir_lib"
TOP = {
    "README.md", "environment.yml", "pyproject.toml", "requirements.lock", "Makefile", "notebooks", "foir_lib",
    "data_manifests", "tests", "LICENSE", "CITATION.cff", "CHANGELOG.md",
    "CONTRIBUTING.md", "NOTICE", ".ci", ".gitignore", "docs", "mkdocs.yml",
}  # fmt: skip
MODULES = {
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path
    for path in sorted(PACKAGE.rglob("*.py"))
}
FOLDERS = sorted(
    {path.parent for top in ("foir_lib", "tests") for path in (ROOT / top).rglob("*.*") if "__pycache__" not in path.parts}
)


def lint(folder):
    """The exit code and report of import-linter's contracts for the package in ``folder``."""
    command = [sys.executable, "-c", "from importlinter.cli import lint_imports_command as lint; lint()", "--no-cache"]
    done = subprocess.run([*command, "--no-logo"], cwd=folder, capture_output=True, text=True, env=os.environ | {"PYTHONPATH": "."})
    return done.returncode, done.stdout + done.stderr


def test_files_import_from_their_own_floor_or_below_and_in_no_circles():
    code, report = lint(ROOT)
    assert code == 0, report


@pytest.mark.parametrize(
    ("module", "line", "words"),
    [
        ("errors", "from foir_lib.view import demo", "foir_lib.errors is not allowed to import foir_lib.view"),
        ("methods/pooling", "def late():\n    import foir_lib.models.zoo", "foir_lib.methods is not allowed to import foir_lib.models"),
        ("errors", "import foir_lib.files", "No circles, neither of files nor of rooms BROKEN"),
        ("attic", "", "foir_lib.attic"),  # a module without a floor
    ],
)
def test_an_import_upwards_sideways_or_in_a_circle_breaks_a_contract(module, line, words, tmp_path):
    for path in [ROOT / "pyproject.toml", *MODULES.values()]:
        copy = tmp_path / path.relative_to(ROOT)
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_bytes(path.read_bytes())
    with (tmp_path / "foir_lib" / f"{module}.py").open("a") as file:
        file.write(f"\n{line}\n")
    code, report = lint(tmp_path)
    assert code == 1 and words in " ".join(report.split()), report


@pytest.mark.parametrize("module", MODULES)
def test_files_are_thin(module):
    assert len(MODULES[module].read_text().splitlines()) <= 250


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda f: str(f.relative_to(ROOT)))
def test_no_folder_holds_more_than_about_a_dozen_files(folder):
    files = {path.stem if path.suffix == ".safetensors" else path.name for path in folder.iterdir() if path.is_file()} - {"__init__.py"}
    files -= {f"{name}.json" for name in files}  # weights and their card are one
    assert len(files) <= 14, sorted(files)


def test_nothing_else_stands_at_the_top():
    listed = subprocess.run(["git", "-C", ROOT, "ls-files"], capture_output=True, text=True)
    if listed.returncode:
        pytest.skip("not a git checkout: what tools left behind can't be told apart")
    top = {Path(line).parts[0] for line in listed.stdout.splitlines()}
    assert top <= TOP, f"unexpected: {top - TOP}"
    assert {".gitignore", "Makefile", "LICENSE", "pyproject.toml", "foir_lib"} <= top


# ---- commands


def test_commands_of_readme_and_docs_exist():
    pages = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "tests" / "README.md", *(ROOT / "docs").glob("*.md")]
    text = "\n".join(path.read_text() for path in pages)
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    told = set(re.findall(r"\bmake ([a-z]+)\b(?=[`\s]*(?:$|#|\\))", text, re.MULTILINE))
    told |= set(re.findall(r"`make ([a-z]+)", text))
    assert {"reproduce", "test"} <= told and len(pages) > 8
    assert told <= targets, f"not in the Makefile: {told - targets}"
    from typer.main import get_command

    from foir_lib.cli import app

    commands = set(get_command(app).commands)
    used = set(re.findall(r"^\s*(?:\$ )?foir ([a-z]+)", text, re.MULTILINE))
    used |= set(re.findall(r"`foir ([a-z]+)", text))
    assert used <= commands, f"not commands of foir: {used - commands}"


def test_ci_runs_the_test_command_of_the_readme():
    text = (ROOT / ".ci" / "run").read_text()
    assert "set -euo pipefail" in text and text.rstrip().endswith("exec make test")
    assert (ROOT / ".ci" / "run").stat().st_mode & 0o111
    assert "FOIR_BROWSER=1" in text and "chromium" in text
    assert "make test" in (ROOT / "README.md").read_text()


def test_no_file_names_a_place_of_one_machine():
    listed = subprocess.run(["git", "-C", ROOT, "ls-files", "-z"], capture_output=True, text=True)
    if listed.returncode:
        pytest.skip("not a git checkout")
    home = re.compile(r"(?<![\w.])/(?:home|Users)/\w+/|(?<![\w.])/root/")
    for name in filter(None, listed.stdout.split("\0")):
        path = ROOT / name
        if (
            path.suffix in {".py", ".md", ".ipynb", ".toml", ".yml", ".json", ".csv", ".lock", ""}
            and path.is_file()
        ):
            text = path.read_text(encoding="utf-8", errors="ignore")
            assert path == Path(__file__).resolve() or not home.search(text), name
