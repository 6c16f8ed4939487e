"""The rules of the house: floors of foir_lib, thin files, one list of dependencies, commands that exist."""

import ast
import re
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "foir_lib"
FLOORS = {"errors": 0, "files": 0, "prompts": 0, "images": 0, "registry": 0, "data": 1, "store": 1, "models": 2, "methods": 3}
FLOORS |= {"training": 4, "search": 4, "retrievers": 5, "bench": 6, "view": 7, "cli": 8, "__init__": 8, "__main__": 8}
TOP = {
    "README.md", "environment.yml", "pyproject.toml", "requirements.lock", "Makefile", "notebooks", "foir_lib",
    "data_manifests", "tests", "LICENSE", "CITATION.cff", "CHANGELOG.md", ".ci", ".gitignore",
}  # fmt: skip
MODULES = {
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path
    for path in sorted(PACKAGE.rglob("*.py"))
}


def imports(source, module, known):
    """Modules of ``known`` that a source imports anywhere, also inside functions."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                here = module.split(".")[: -node.level]
                base = ".".join([*here, *([base] if base else [])])
            names = [f"{base}.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith("import_module"):
            names = [a.value for a in node.args if isinstance(a, ast.Constant)]
        for name in names:
            while name and name not in known:
                name = name.rpartition(".")[0]
            if name:
                found.add(name)
    return found - {module}


def floor(module):
    """Floor of a module: the number of its first part below foir_lib."""
    return FLOORS[(module.split(".") + ["__init__"])[1]]


def test_imports_are_seen_wherever_they_stand():
    known = {"foir_lib", "foir_lib.data", "foir_lib.data.readers.coco", "foir_lib.errors"}
    source = (
        "import foir_lib.data.readers.coco as c\ndef f():\n    from foir_lib.errors import InputError\n"
    )
    assert imports(source, "foir_lib.x", known) == {"foir_lib.data.readers.coco", "foir_lib.errors"}
    assert imports("from foir_lib.data import coco, y", "foir_lib.x", known) == {
        "foir_lib.data.readers.coco",
        "foir_lib.data",
    }
    assert imports("from . import coco", "foir_lib.data.readers.voc", known) == {"foir_lib.data.readers.coco"}
    assert imports("importlib.import_module('foir_lib.data')", "m", known) == {"foir_lib.data"}
    assert imports("import numpy", "m", known) == set()


def test_every_module_has_a_floor():
    first = {(module.split(".") + ["__init__"])[1] for module in MODULES}
    assert first <= set(FLOORS), first - set(FLOORS)


@pytest.mark.parametrize("module", MODULES)
def test_a_file_imports_only_from_its_own_floor_or_below(module):
    above = [
        name
        for name in imports(MODULES[module].read_text(), module, MODULES)
        if floor(name) > floor(module)
    ]
    assert not above, f"{module} (floor {floor(module)}) imports {above}"


def test_there_are_no_circles():
    graph = {module: imports(path.read_text(), module, MODULES) for module, path in MODULES.items()}
    while free := [module for module, below in graph.items() if not below & set(graph)]:
        graph = {module: below for module, below in graph.items() if module not in free}
    assert not graph, f"circle among {sorted(graph)}"


@pytest.mark.parametrize("module", MODULES)
def test_files_are_thin(module):
    assert len(MODULES[module].read_text().splitlines()) <= 250


def test_nothing_else_stands_at_the_top():
    listed = subprocess.run(["git", "-C", ROOT, "ls-files"], capture_output=True, text=True)
    if listed.returncode:
        pytest.skip("not a git checkout: what tools left behind can't be told apart")
    top = {Path(line).parts[0] for line in listed.stdout.splitlines()}
    assert top <= TOP, f"unexpected: {top - TOP}"
    assert {".gitignore", "Makefile", "LICENSE", "pyproject.toml", "foir_lib"} <= top


# ---- one list of dependencies


def project():
    return tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def locked():
    """name -> version of the lock's lines that hold for this Python."""
    lines = (ROOT / "requirements.lock").read_text().splitlines()
    wanted = [Requirement(line) for line in lines if line and line[0] != "#"]
    return {
        canonicalize_name(r.name): str(r.specifier)
        for r in wanted
        if r.marker is None or r.marker.evaluate()
    }


def test_the_lock_holds_every_dependency_within_its_range():
    lock = locked()
    for line in project()["dependencies"] + project()["optional-dependencies"]["dev"]:
        wanted = Requirement(line)
        chosen = lock[canonicalize_name(wanted.name)]
        assert re.fullmatch(r"==[0-9][0-9a-z.]*", chosen), (
            f"{wanted.name}{chosen} isn't one version"
        )
        assert wanted.specifier.contains(chosen[2:]), f"{wanted.name}{chosen} isn't {wanted}"


def test_ranges_admit_older_and_current_versions():
    ranges = {Requirement(d).name: Requirement(d).specifier for d in project()["dependencies"]}
    for name, versions in {
        "torch": ("2.11.0", "2.15.0"), "transformers": ("5.17.0", "5.23.0"), "torchvision": ("0.26.0", "0.29.2"),
        "timm": ("1.0.31",), "faiss-cpu": ("1.15.0",), "jupyterlab": ("4.6.0",), "papermill": ("2.7.0",), "nbval": ("0.11.0",),
    }.items():  # fmt: skip
        assert all(ranges[name].contains(v) for v in versions), name


def test_the_lock_names_no_place():
    text = (ROOT / "requirements.lock").read_text()
    assert "://" not in text and "@" not in text and "--" not in text


def test_what_is_imported_is_declared():
    own = {"foir_lib"} | {path.stem for path in (ROOT / "tests").rglob("*.py")}
    modules = {"PIL": "pillow", "sklearn": "scikit-learn", "faiss": "faiss-cpu", "cv2": "opencv-python-headless"}
    declared = {Requirement(d).name for d in project()["dependencies"]}
    for module, path in MODULES.items():
        for node in ast.walk(ast.parse(path.read_text())):
            names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom) and not node.level:
                names = [node.module]
            for name in {n.split(".")[0] for n in names} - sys.stdlib_module_names - own:
                assert modules.get(name, name) in declared, f"{module} imports {name}"


def test_environment_yml_uses_the_same_lock():
    text = (ROOT / "environment.yml").read_text()
    assert "- -r requirements.lock" in text and "- -e ." in text
    assert not re.search(r"torch|numpy|timm", text)


def test_one_version_number():
    import foir_lib

    assert foir_lib.__version__ == project()["version"] == version("foir-workbook")


def test_what_runs_in_the_browser_is_installed_small_and_asks_nobody():
    setup = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["package-data"]
    static = [path for path in (PACKAGE / "view" / "widgets" / "static").iterdir() if path.is_file()]
    assert {path.suffix for path in static} == {".js", ".css"}
    for path in static:
        assert any(path.match(f"view/widgets/{pattern}") for pattern in setup["foir_lib.view.widgets"]), path
        assert path.stat().st_size < 60_000, f"{path.name}: one small module"
        assert not re.search(r"https?://(?!www\.w3\.org/)|\bimport\b|@import", path.read_text()), path


# ---- commands


def test_commands_of_the_readme_exist():
    text = (ROOT / "README.md").read_text()
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    told = set(re.findall(r"\bmake ([a-z]+)\b(?=[`\s]*(?:$|#|\\))", text, re.MULTILINE))
    told |= set(re.findall(r"`make ([a-z]+)", text))
    assert {"reproduce", "test"} <= told, "the README names make reproduce and make test"
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
