"""Teaching: exercises are made from solutions, and every check tells right from wrong.

A cell tagged ``solution`` holds the exercise, a line with the marker, and our answer below it. After editing a
solutions notebook, ``python tests/notebooks/test_teaching.py`` runs it and writes and runs its exercises anew.
"""

import ast
import contextlib
import copy
import io
import re
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

from foir_lib.view.exercises import RIGHT, UNANSWERED, check, heads, parts, retrieval

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "notebooks" / "teaching"
SOLUTIONS = sorted(FOLDER.glob("solutions_*.ipynb"))
MARKERS = {"code": "# --- solution", "markdown": "<!-- solution -->"}
WRONG = [None, "", "Z", -1, 0.123, 10**6, [], {3}, [1, [2, 3]], [[0.5, 0.5]], object()]  # right nowhere

each = pytest.mark.parametrize("path", SOLUTIONS, ids=lambda p: p.stem)


def exercises_of(path):
    return path.with_name(path.name.replace("solutions", "exercises"))


def tagged(cell, tag):
    return tag in cell.metadata.get("tags", [])


def blank(solutions):
    """The exercises notebook of a solutions notebook, not run: answers cut off at the marker, checks folded."""
    notebook = copy.deepcopy(solutions)
    notebook.cells[0].source = notebook.cells[0].source.replace("# Solutions:", "# Exercises:", 1)
    for cell in notebook.cells:
        if tagged(cell, "solution"):
            lines = cell.source.splitlines()
            cell.source = "\n".join(lines[: lines.index(MARKERS[cell.cell_type])]).strip()
        if tagged(cell, "check"):
            cell.metadata["jupyter"] = {"source_hidden": True}
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    notebook.cells = [cell for cell in notebook.cells if cell.source]
    return notebook


def run(notebook):
    """Run ``notebook`` in place; neither widget outputs nor times are kept."""
    resources = {"metadata": {"path": str(FOLDER)}}
    NotebookClient(notebook, timeout=3600, startup_timeout=600, store_widget_state=False, resources=resources).execute()
    notebook.metadata.pop("widgets", None)
    for cell in notebook.cells:
        cell.metadata.pop("execution", None)
        for output in cell.get("outputs", []):
            output.get("data", {}).pop("application/vnd.jupyter.widget-view+json", None)


def told(cell):
    """What a cell printed, line by line."""
    return "".join(o.text for o in cell.outputs if o.output_type == "stream").splitlines()


def verdicts(lines, asked):
    """What is said of each answer; where a cell asks for several, its name stands before it."""
    heads = [f"{name}: " for name in asked] if len(asked) > 1 else [""]
    assert all(line.startswith(head) for line, head in zip(lines, heads, strict=False)), lines
    return [line[len(head) :] for line, head in zip(lines, heads, strict=False)]


def code_of(path):
    return [cell for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "code"]


def plain(notebook):
    """All of a notebook but its outputs."""
    cells = [(c.id, c.cell_type, c.source, c.metadata) for c in notebook.cells]
    return cells, {name: notebook.metadata[name] for name in ("kernelspec",)}


def answers(cell):
    """Variables of an exercise: those that the part above the marker sets to ``...``."""
    stub = ast.parse(cell.source.partition(MARKERS["code"])[0]).body
    assert all(isinstance(n, ast.Assign) and isinstance(n.value, ast.Constant) and n.value.value is ... for n in stub)
    return [target.id for node in stub for target in node.targets]


def test_there_is_a_pair_for_each_path():
    assert [path.stem for path in SOLUTIONS] == ["solutions_20", "solutions_40", "solutions_60"]
    assert sorted(FOLDER.glob("*.ipynb")) == sorted([*SOLUTIONS, *map(exercises_of, SOLUTIONS)])


@each
def test_exercises_are_the_solutions_without_the_answers(path):
    solutions = nbformat.read(path, as_version=4)
    made, kept = blank(solutions), nbformat.read(exercises_of(path), as_version=4)
    assert plain(made) == plain(kept), f"run: python {Path(__file__).relative_to(ROOT)}"
    assert "--- solution" not in str(made.cells[1:]) and made.cells[0].source != solutions.cells[0].source


@each
def test_every_question_is_followed_by_a_check(path):
    cells = code_of(path)
    asked = [i for i, cell in enumerate(cells) if tagged(cell, "solution")]
    checks = [i for i, cell in enumerate(cells) if tagged(cell, "check")]
    assert len(asked) >= 4 and checks == [i + 1 for i in asked]
    for i in asked:
        assert answers(cells[i])
        assert tagged(cells[i + 1], "nbval-check-output")


@each
def test_a_check_shows_no_answer_to_who_reads_it(path):
    """It prints one call of foir_lib.view.exercises; what is right is computed there."""
    cells = code_of(path)
    for question, cell in zip(cells, cells[1:], strict=False):
        if not tagged(cell, "check"):
            continue
        *given, shown = ast.parse(cell.source).body
        assert all(isinstance(line, ast.Assign) and ast.unparse(line.targets[0]) == "given" for line in given)
        call = shown.value.args[0]
        assert ast.unparse(shown.value.func) == "print" and re.match(r"(exercises|loss)\.", ast.unparse(call.func))
        assert [ast.unparse(one) for one in call.args[: len(answers(question))]] == answers(question)


@each
def test_all_is_right_in_the_solutions_and_nothing_is_answered_in_the_exercises(path):
    for name, said in ((path, RIGHT), (exercises_of(path), UNANSWERED)):
        cells = code_of(name)
        for question, cell in zip(cells, cells[1:], strict=False):
            if tagged(cell, "check"):
                assert set(verdicts(told(cell), answers(question))) == {said}, f"{name.name}: {told(cell)}"


def printed(cell, names):
    """What a cell prints when it is run with ``names``, line by line."""
    with contextlib.redirect_stdout(io.StringIO()) as out:
        exec(compile(cell.source, cell.id, "exec"), names)
    return out.getvalue().splitlines()


@pytest.mark.slow
@each
def test_solutions_run_and_checks_tell_right_from_wrong_and_every_slip_has_its_hint(path, monkeypatch):
    cells = code_of(path)
    names, seen = {"__name__": "__main__"}, []

    def watched(*args):
        seen.append(args)
        return check(*args)

    for module in (heads, parts, retrieval):
        monkeypatch.setattr(module, "check", watched)
    for question, cell in zip([None, *cells], cells, strict=False):
        seen.clear()
        lines = printed(cell, names)
        assert lines == told(cell) or not tagged(cell, "nbval-check-output"), cell.source
        if not tagged(cell, "check"):
            continue
        asked = answers(question)
        assert verdicts(lines, asked) == len(asked) * [RIGHT]
        for i, (name, call) in enumerate(zip(asked, list(seen), strict=True)):
            for given in (..., *(WRONG if path.stem == "solutions_20" else WRONG[i % 5 :: 5])):  # a check may take seconds
                said = verdicts(printed(cell, names | {name: given}), asked)[i]
                assert said == UNANSWERED if given is ... else said.startswith("not yet: "), (
                    f"{name} = {given!r}: {said}"
                )
            _, right, *more = call
            for hint, slip in (more[0] if more else {}).items():
                assert check(slip, right, *more) == f"not yet: {hint}", f"{name}: {hint}"


# ---- the paths of docs/teaching.md


def page():
    return (ROOT / "docs" / "teaching.md").read_text(encoding="utf-8")


def stops():
    """The paths of that page: a list of rows for each table, cells as texts."""
    blocks = re.findall(r"(?:^\|.*\n?)+", page(), re.MULTILINE)
    return [[re.split(r"\s*\|\s*", line.strip("| \n")) for line in block.splitlines()[2:]] for block in blocks]


def headings(path):
    words = "\n".join(c.source for c in nbformat.read(path, as_version=4).cells if c.cell_type == "markdown")
    return re.findall(r"^## (.+)$", words, re.MULTILINE)


def test_the_minutes_of_each_path_add_up():
    paths = dict(zip((20, 40, 60), stops(), strict=True))
    assert {minutes: sum(int(row[0]) for row in rows) for minutes, rows in paths.items()} == {20: 20, 40: 40, 60: 60}
    assert paths[60][0][0] == "20"


def test_every_stop_names_a_notebook_and_headings_that_exist_and_tells_what_to_hear():
    for row in sum(stops(), []):
        assert len(row) == 5 or row[1] == "the path of 20 minutes", row
        for link in re.findall(r"\]\((.+?)\)", row[1]):
            assert (ROOT / "docs" / link).is_file()
            for heading in re.findall(r"“(.+?)”", row[2]):
                assert any(heading in known for known in headings(ROOT / "docs" / link)), f"{link}: {heading}"


def test_the_sheet_needs_no_code():
    assert "```" not in page() and "import " not in page()


@pytest.mark.parametrize("table, path", list(enumerate(SOLUTIONS)), ids=lambda x: getattr(x, "stem", x))
def test_every_exercise_has_its_minutes_on_the_page(table, path):
    in_notebook = [re.fullmatch(r"(\d+)\. (.+) \((\d+) minutes\)", h) for h in headings(path)[:-1]]
    told = [(row[0], row[2]) for row in stops()[table] if re.match(r"Exercise \d", row[1])]
    assert told == [(m[3], f"“{m[1]}. {m[2]}”") for m in in_notebook]
    assert f"(../{exercises_of(path).relative_to(ROOT)})" in page() and f"(../{path.relative_to(ROOT)})" in page()


if __name__ == "__main__":
    for path in SOLUTIONS:
        solutions = nbformat.read(path, as_version=4)
        exercises = blank(solutions)
        for name, notebook in ((path, solutions), (exercises_of(path), exercises)):
            run(notebook)
            nbformat.write(notebook, name)
            for cell in notebook.cells:
                if tagged(cell, "check"):
                    print(name.name, cell.id, told(cell))
