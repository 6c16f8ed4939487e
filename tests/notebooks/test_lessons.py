"""What every lesson tells: what it takes, where it stands among the others; and that nothing unfinished is kept on its page."""

import copy
import re

import lesson
import nbformat
import pytest
from nbformat.v4 import new_output

FOLDER = lesson.ROOT / "notebooks"
LESSONS = sorted(FOLDER.glob("[0-9][0-9]_*.ipynb"))
ALL = sorted(path for path in FOLDER.rglob("*.ipynb") if ".ipynb_checkpoints" not in path.parts)
UNFINISHED = re.compile(r"\bFAILED\b|Traceback \(most recent call last\)|KeyboardInterrupt")


def load(path):
    return nbformat.read(path, as_version=4)


@pytest.mark.parametrize("name", lesson.measured())
def test_the_first_cell_tells_what_was_measured(name):
    (path,) = [one for one in ALL if one.stem == name]
    assert lesson.LINE.findall(load(path).cells[0].source) == [lesson.told(*lesson.measured()[name].values())]


@pytest.mark.parametrize("path", LESSONS, ids=lambda p: p.stem)
def test_no_lesson_tells_what_was_not_measured(path):
    assert path.stem in lesson.measured() or not lesson.LINE.search(load(path).cells[0].source)


def test_what_a_lesson_takes_is_told_in_whole_minutes():
    assert lesson.told(20, 0.62) == "*The first run takes less than a minute of one core and 0.6 GB of memory.*"
    assert "about 1 minute of" in lesson.told(70, 1) and "about 2 minutes of" in lesson.told(100, 1)
    first = lesson.with_line("# T\n\n> one line\n", lesson.told(20, 0.6))
    assert first == "# T\n\n> one line\n\n" + lesson.told(20, 0.6)
    assert lesson.with_line(first, lesson.told(200, 1)) == "# T\n\n> one line\n\n" + lesson.told(200, 1)


@pytest.mark.parametrize("path", LESSONS, ids=lambda p: p.stem)
def test_the_picture_at_the_top_is_one_of_the_page(path):
    """It is what the cell with ``opening`` shows: run ``lesson.opened`` again where a figure has changed."""
    notebook = load(path)
    before = copy.deepcopy(notebook.cells[0])
    lesson.opened(notebook)
    assert before.source == notebook.cells[0].source
    assert before.get("attachments") == notebook.cells[0].get("attachments")


def test_the_first_lesson_names_all_that_follow():
    words = "\n".join(cell.source for cell in load(FOLDER / "00_start.ipynb").cells if cell.cell_type == "markdown")
    linked = {FOLDER / link for link in re.findall(r"\]\(([\w/]+\.ipynb)\)", words)}
    others = {path for path in ALL if not path.name.startswith(("00_", "solutions_"))}
    assert others <= linked, sorted(path.name for path in others - linked)


@pytest.mark.parametrize("path", ALL, ids=lambda p: p.stem)
def test_nothing_unfinished_is_kept(path):
    for cell in load(path).cells:
        for output in cell.get("outputs", []):
            assert not lesson.is_bar(output), cell.source
            text = f"{output.get('text', '')}{output.get('data', {}).get('text/plain', '')}"
            assert output.output_type != "error" and not UNFINISHED.search(text), cell.source


def test_a_bar_is_told_from_a_table_of_percents():
    bar = "drawing: 40%|####      | 2/5 [00:01<00:02, 1.5it/s]"
    assert lesson.is_bar(new_output("stream", name="stderr", text=bar))
    assert lesson.is_bar(new_output("display_data", data={"text/plain": bar}))
    assert not lesson.is_bar(new_output("stream", name="stdout", text="right 40% | 3 of 5"))
