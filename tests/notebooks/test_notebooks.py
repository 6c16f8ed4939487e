"""The rules every notebook meets (ARCHITECTURE: Notebooks), and that nbval sees a changed output."""

import ast
import math
import os
import re
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from foir_lib.bench.runs import parameters

FOLDER = Path(__file__).resolve().parents[2] / "notebooks"
PATHS = sorted(p for p in FOLDER.rglob("*.ipynb") if ".ipynb_checkpoints" not in p.parts)
WIDTH = 100  # characters of code that fit on a page
CHECKED = "nbval-check-output"
PLACE = re.compile(
    r"""(?:^|[\s'"(=:>])(?:/(?:home|Users|root|tmp|work|mnt|media|var|opt|usr|private|data)/|[A-Z]:\\)""",
    re.MULTILINE,
)

each = pytest.mark.parametrize("path", PATHS, ids=lambda p: str(p.relative_to(FOLDER)))


def load(path):
    return nbformat.read(path, as_version=4)


def code_of(notebook):
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def lines(source):
    """Lines of code: neither blank nor comment."""
    return [x for x in source.splitlines() if x.strip() and not x.strip().startswith("#")]


def tags(cell):
    return cell.metadata.get("tags", [])


def texts(output):
    """All texts of an output: streams and every text form of a result."""
    found = [output.get("text", ""), *output.get("data", {}).values()]
    return ["".join(t) for t in found if isinstance(t, (str, list))]


def is_method(path):
    """Notebooks 1x to 4x each teach a method."""
    return re.match(r"[1-4]\d_", path.name) is not None


def test_there_are_notebooks():
    assert any(path.name.startswith("00") for path in PATHS)


@each
def test_it_is_a_valid_numbered_python_notebook(path):
    notebook = load(path)
    nbformat.validate(notebook)
    assert notebook.metadata.kernelspec.name == "python3"
    assert len({cell.id for cell in notebook.cells}) == len(notebook.cells)
    shapes = {"tables": r".+", "teaching": r"(exercises|solutions)_\d\d\.ipynb"}
    assert re.fullmatch(shapes.get(path.parent.name, r"\d\d_[a-z0-9_]+\.ipynb"), path.name)
    assert path.stat().st_size <= 1_000_000, f"{path.stat().st_size} bytes"


@each
def test_it_opens_with_title_imports_and_parameters(path):
    notebook = load(path)
    first = [line for line in notebook.cells[0].source.splitlines() if line.strip()]
    assert notebook.cells[0].cell_type == "markdown"
    assert re.match(r"# \S", first[0]), "the first cell begins with a title"
    assert re.match(r"> \S", first[1]), "a blockquote follows the title"
    assert not any(line.startswith(">") for line in first[2:3]), "the blockquote has one line, the paper follows"
    imports, given, *_ = code_of(notebook)
    kinds = {type(node) for node in ast.parse(imports.source).body}
    assert kinds <= {ast.Import, ast.ImportFrom}, "the first code cell holds imports alone"
    assert "parameters" in tags(given), "the second code cell is tagged parameters"
    assert parameters.read(path)


@each
def test_it_is_short(path):
    cells = code_of(load(path))
    read = [cell.source for cell in cells if "check" not in tags(cell)]  # in teaching, checks are folded
    read = [line for source in read for line in lines(source.partition("# --- solution")[0])]  # and answers are extra
    total = sum(math.ceil(len(line) / WIDTH) for line in read)
    assert (0 if path.parent.name == "tables" else 20) <= total <= 140, f"{total} lines of code"
    wide = [line for line in read if len(line) > WIDTH and re.match("[12]", path.name)]
    assert not wide, f"wider than a page: {wide}"
    for cell in cells:
        most = 15 if cell is cells[0] or re.search(r"^\s*assert ", cell.source, re.MULTILINE) else 12  # imports, by hand
        if "parameters" not in tags(cell):
            assert len(lines(cell.source)) <= most, cell.source


@each
def test_it_calls_and_does_not_define(path):
    """One's own method and network are classes, in the one lesson about them."""
    defs = classes = 0
    for cell in code_of(load(path)):
        assert not re.search(r"^\s*[!%]", cell.source, re.MULTILINE), (
            f"magic or shell: {cell.source}"
        )
        for node in ast.walk(ast.parse(cell.source)):
            classes += isinstance(node, ast.ClassDef)
            defs += isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))
            if isinstance(node, ast.Attribute):
                assert ast.unparse(node) not in ("sys.path", "warnings.filterwarnings")
    own = path.name.startswith("03_")
    assert classes <= (3 if own else 0), f"{classes} classes"
    assert defs <= (6 if own else 2), f"{defs} functions"


@each
def test_it_was_run_in_order_and_quietly(path):
    cells = code_of(load(path))
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    for cell in cells:
        assert "raises-exception" not in tags(cell)
        for output in cell.outputs:
            assert output.output_type != "error", cell.source
            assert output.get("name") != "stderr", f"noise on stderr: {texts(output)[0][:200]}"
            for text in texts(output):
                assert len(text) > 100_000 or not PLACE.search(text), (
                    f"a path of one machine: {cell.source}"
                )


@each
def test_checked_cells_hold_something_that_can_be_checked(path):
    checked = [cell for cell in code_of(load(path)) if CHECKED in tags(cell)]
    assert checked, "no cell is tagged nbval-check-output"
    for cell in checked:
        assert any(text.strip() for output in cell.outputs for text in texts(output)), cell.source
        for output in cell.outputs:
            assert "image/png" not in output.get("data", {}), f"a picture is checked: {cell.source}"
            assert not any(re.search(r"\b0x[0-9a-f]{6,}", t) for t in texts(output)), cell.source


@each
def test_it_explains_and_ends_with_what_we_saw(path):
    notebook = load(path)
    words = [cell.source for cell in notebook.cells if cell.cell_type == "markdown"]
    heads = re.findall(
        r"^#+ (.+)$", re.sub(r"```.*?```", "", "\n".join(words), flags=re.DOTALL), re.MULTILINE
    )
    assert heads[-1].strip() == "What we saw", heads
    assert notebook.cells[-1].cell_type == "markdown"
    assert all(cell.source.strip() for cell in notebook.cells), "an empty cell"


@each
def test_method_notebooks_have_a_cell_by_hand_that_asserts(path):
    if not is_method(path):
        return
    notebook = load(path)
    assert any(
        isinstance(node, ast.Assert)
        for cell in code_of(notebook)
        for node in ast.walk(ast.parse(cell.source))
    )
    assert any("by hand" in cell.source.lower() for cell in notebook.cells)


# ---- nbval

PROGRESS = """import sys
from tqdm import notebook, std
for bar in (std.tqdm, notebook.tqdm):
    for number in bar([2]):
        print(number, end=" ")
print("a warning", file=sys.stderr)
print(2 + 2)"""


def small_notebook(path, shown):
    """A notebook whose checked cell prints 2 2 4 while bars grow, and holds the text ``shown``."""
    cells = [
        new_markdown_cell("# T"),
        new_code_cell(f"import sys\nassert sys.prefix == {sys.prefix!r}", execution_count=1),
        new_code_cell(PROGRESS, execution_count=2, outputs=[new_output("stream", name="stdout", text=shown)]),
        new_code_cell("print('today')", execution_count=3, outputs=[new_output("stream", name="stdout", text="yesterday\n")]),
    ]
    cells[2].metadata["tags"] = [CHECKED]
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    nbformat.write(new_notebook(cells=cells, metadata={"kernelspec": kernel}), path)


def nbval(folder, *options):
    """The cells that fail when nbval runs the notebooks of ``folder``, and the last line of its report."""
    command = [sys.executable, "-m", "pytest", "--nbval-lax", "-q", "-p", "no:cacheprovider", "-rfE", *options]
    here = os.pathsep.join([str(FOLDER.parent / "tests"), os.environ.get("PYTHONPATH", "")])  # conftest imports forked
    done = subprocess.run(command, cwd=folder, env=os.environ | {"PYTHONPATH": here}, capture_output=True, text=True)
    return re.findall(r"^FAILED (\S+::Cell \d)", done.stdout, re.MULTILINE), done.stdout.splitlines()[-1]


@pytest.mark.slow
def test_nbval_fails_on_a_hand_edited_output_and_not_on_progress(tmp_path):
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    (tmp_path / "conftest.py").write_bytes((FOLDER / "conftest.py").read_bytes())
    small_notebook(tmp_path / "honest.ipynb", "2 2 4\n")
    assert nbval(tmp_path, "--noconftest")[0] == ["honest.ipynb::Cell 1"], "the bars are there"
    small_notebook(tmp_path / "edited.ipynb", "2 2 5\n")
    failed, last = nbval(tmp_path)
    assert failed == ["edited.ipynb::Cell 1"] and "1 failed, 5 passed" in last
