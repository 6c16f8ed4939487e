"""Text of data is text by construction: there is one way to a page, one to a figure, and no other."""

import ast
import re
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[2] / "foir_lib"
CODE = {path.relative_to(PACKAGE).as_posix(): path.read_text(encoding="utf-8") for path in PACKAGE.rglob("*.py")}
TEMPLATES = [path for pattern in ("*.j2", "*.jinja") for path in PACKAGE.rglob(pattern)]
MARKS = {"HTML", "HTMLMath", "Label", "Markdown", "Latex", "Math", "Javascript", "SVG", "description_allow_html"}


def names_in(source):
    """Names, attributes, imported names and keyword arguments of a file, with the lines they stand in."""
    for node in ast.walk(ast.parse(source)):
        for field in ("id", "attr", "name", "arg"):
            if isinstance(name := getattr(node, field, None), str):
                yield name, getattr(node, "lineno", 0)


@pytest.mark.parametrize("file", CODE)
def test_widgets_show_text_by_words_alone(file):
    lines = CODE[file].splitlines()
    found = [lines[line - 1].strip() for name, line in names_in(CODE[file]) if name in MARKS]
    assert found == (["class Words(ipywidgets.HTML):"] if file == "view/widgets/live.py" else []), found


@pytest.mark.parametrize("file", CODE)
def test_markup_is_made_of_constants_templates_and_escaped_values(file):
    for node in ast.walk(ast.parse(CODE[file])):
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "Markup" and node.args:
            words = ast.unparse(node.args[0])
            constant = isinstance(node.args[0], ast.Constant | ast.IfExp)
            ours = words == "template" and file == "text.py" or ".render(" in words or "b64encode" in words or "static('page.css')" in words
            numbers = file == "view/widgets/maps.py" and "colours from 0" in words
            ours = ours or words == "SCRIPT" and file == "bench/runs/page.py"  # its own, named by its digest
            read_back = words == "self.value"  # what a widget shows, to take its markup away
            assert constant or ours or numbers or read_back, (file, words)
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "Environment":
            assert "autoescape=True" in ast.unparse(node), file


def test_templates_escape_whatever_they_are_given():
    assert len(TEMPLATES) >= 3
    for path in TEMPLATES:
        assert not re.search(r"\|\s*safe|autoescape|Markup", path.read_text(encoding="utf-8")), path


def test_scripts_write_text_as_text():
    gallery, canvas = ((PACKAGE / "view" / "widgets" / "static" / name).read_text() for name in ("gallery.js", "prompt_canvas.js"))
    html = re.compile(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\b|DOMParser")
    results = [(PACKAGE / "view" / "widgets" / "static" / "results" / f"{name}.js").read_text() for name in ("inspector", "histogram")]
    assert not any(html.search(script) for script in (gallery, *results))
    known = ("icon(name)", "content", "content", "'<svg data-foir=")  # icons, shapes of numbers, an empty stage
    assert sorted(known) == sorted(next(k for k in known if f"innerHTML = {k}" in line) for line in canvas.splitlines() if html.search(line))


def test_figures_come_from_one_canvas():
    for file, source in CODE.items():
        if file.startswith("view/"):
            made = re.findall(r"plt\.(?:figure|subplots|gcf|gca)\(|(?<!: )\bFigure\(", source)
            assert len(made) == (file == "view/figures/looks.py"), (file, made)
    assert '"text.parse_math": False' in CODE["view/figures/looks.py"]
