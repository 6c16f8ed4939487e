"""The build: one list of dependencies, a lock within its ranges, a wheel with all that the package needs."""

import ast
import re
import subprocess
import sys
import zipfile
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
    lock, extras = locked(), project()["optional-dependencies"]
    for line in [*project()["dependencies"], *extras["dev"], *extras["docs"]]:  # not scale, which is for clusters alone
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
    modules = {"PIL": "pillow", "sklearn": "scikit-learn", "faiss": "faiss-cpu", "cv2": "opencv-python-headless", "pi_heif": "pi-heif", "yaml": "pyyaml", "IPython": "ipython"}
    declared = {Requirement(d).name for d in project()["dependencies"]}
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom) and not node.level:
                names = [node.module]
            for name in {n.split(".")[0] for n in names} - sys.stdlib_module_names - own:
                assert modules.get(name, name) in declared, f"{path.relative_to(ROOT)} imports {name}"


def test_environment_yml_uses_the_same_lock():
    text = (ROOT / "environment.yml").read_text()
    assert "- -r requirements.lock" in text and "- -e ." in text
    assert not re.search(r"torch|numpy|timm", text)


def test_one_version_number():
    import foir_lib

    assert foir_lib.__version__ == project()["version"] == version("foir-workbook")


def test_what_runs_in_the_browser_is_small_and_asks_nobody():
    static = [path for path in (PACKAGE / "view" / "widgets" / "static").rglob("*") if path.is_file()]
    assert {path.suffix for path in static} == {".js", ".css"}
    for path in static:
        assert path.stat().st_size < 60_000, f"{path.name}: one small module"
        assert not re.search(r"https?://(?!www\.w3\.org/)|\bimport\b|@import", path.read_text()), path


# ---- the wheel


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """The unpacked wheel of this checkout."""
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    with zipfile.ZipFile(next(folder.glob("*.whl"))) as archive:
        archive.extractall(folder / "unpacked")
    return folder / "unpacked"


def files_below(folder, pattern="*"):
    paths = (path.relative_to(folder) for path in folder.rglob(pattern) if path.is_file())
    return {path for path in paths if not {"__pycache__", ".ipynb_checkpoints"} & set(path.parts)}


def test_the_wheel_holds_code_weights_static_files_manifests_and_notebooks(wheel):
    package = files_below(PACKAGE)
    manifests = files_below(ROOT / "data_manifests", "*.json") | files_below(ROOT / "data_manifests", "*.csv")
    manifests |= {path for path in files_below(ROOT / "data_manifests") if path.parts[0] == "samples"}
    notebooks = files_below(ROOT / "notebooks", "*.ipynb")
    beside = {"data_manifests": manifests, "notebooks": notebooks}
    expected = package | {Path(name) / path for name, paths in beside.items() for path in paths}
    assert files_below(wheel / "foir_lib") == expected
    assert {path.suffix for path in expected} >= {".py", ".js", ".css", ".safetensors", ".json", ".csv", ".ipynb"}
    assert [path.suffix for path in wheel.iterdir() if path.name != "foir_lib"] == [".dist-info"]


@pytest.mark.slow
def test_the_unpacked_wheel_finds_what_came_with_it(wheel):
    code = (
        "from foir_lib import files; from foir_lib.models import zoo; "
        "print(files.manifest_root(), files.notebooks_root(), zoo.load_model('mini-vit').name)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=wheel, capture_output=True, text=True)
    root = wheel.resolve() / "foir_lib"
    assert done.stdout.split() == [str(root / "data_manifests"), str(root / "notebooks"), "mini-vit"], done.stderr
