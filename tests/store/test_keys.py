"""Keys name the code that takes part: each edit of it changes them, no edit of other code or of words does."""

import ast
import functools
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch

from foir_lib import files, registry
from foir_lib.data.readers import coco
from foir_lib.errors import InputError, MissingError
from foir_lib.methods.whitening import PCA
from foir_lib.models.vit import ViT
from foir_lib.store import imports, keys

ROOT = Path(files.__file__).parents[1]


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A copy of the package's code, which keys look at instead of it."""
    copy = tmp_path / "copy" / "foir_lib"
    shutil.copytree(files.PACKAGE, copy, ignore=shutil.ignore_patterns("__pycache__", "weights", "static"))
    monkeypatch.setattr(files, "PACKAGE", copy)
    return copy


def edit(path, old="", new=""):
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1) if old else text + "\n\nEDITED = 1\n")


def test_an_edited_tap_changes_what_uses_it_and_nothing_else(package):
    of_tap, of_reader = keys.code_of(ViT), keys.code_of(coco)
    assert keys.code_of(ViT) == of_tap and of_tap.split(" ")[1:] == ["foir_lib.models.vit"]
    edit(package / "models" / "vit.py")
    assert keys.code_of(ViT) != of_tap and keys.code_of(coco) == of_reader
    assert keys.code_of(ViT, coco) != keys.code_of(coco)


def test_an_edited_reader_changes_its_own_set_alone(package):
    of_tap, of_reader = keys.code_of(ViT), keys.code_of(coco)
    edit(package / "data" / "readers" / "coco.py")
    assert keys.code_of(ViT) == of_tap and keys.code_of(coco) != of_reader


def test_what_is_reached_only_through_another_module_counts(package):
    before = keys.code_of(coco)
    edit(package / "errors.py")
    assert keys.code_of(coco) != before


@pytest.mark.parametrize(
    "words",
    [
        ('"""', '"""Other words. '),
        ("import torch\n", "# a comment\nimport torch  # and one more\n\n\n"),
        ("import torch\n", "import torch\nfrom typing import TYPE_CHECKING\n\nif TYPE_CHECKING:\n    import foir_lib.nowhere\n"),
    ],
)
def test_words_change_nothing(package, words):
    if "TYPE_CHECKING" in words[1]:  # the import itself is code
        edit(package / "models" / "vit.py", "import torch\n", "import torch\nfrom typing import TYPE_CHECKING\n")
        words = (words[0] + "from typing import TYPE_CHECKING\n", words[1])
    before = keys.code_of(ViT)
    edit(package / "models" / "vit.py", *words)
    assert keys.code_of(ViT) == before


def test_class_instance_function_method_and_module_lead_to_the_same_file():
    path = files.PACKAGE / "methods" / "whitening.py"
    instance = PCA(torch.zeros(2).numpy(), torch.eye(2).numpy())
    for thing in (PCA, instance, instance.__call__, functools.partial(PCA, None), sys.modules[PCA.__module__], path):
        assert keys.code_of(thing) == keys.code_of(PCA), thing
    assert keys.code_of(PCA, instance, path) == keys.code_of(PCA)


# ---- ways to import


def graph(tmp_path, monkeypatch, **sources):
    """A package of these modules ("a__b" is a/b.py) in place of foir_lib."""
    root = tmp_path / "small" / "foir_lib"
    for name, text in {"__init__": "", **sources}.items():
        path = root / f"{name.replace('__', '/') if name[0] != '_' else name}.py"
        path = path.with_name("__init__.py") if name.endswith("__init") else path
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    monkeypatch.setattr(files, "PACKAGE", root)
    return root


def reached(path):
    """Names of all files that a file reaches."""
    known, todo = {path}, [path]
    while todo:
        here = todo.pop()
        new = [p for p in imports.targets(imports.read(here), here) if p not in known]
        known |= set(new)
        todo += [p for p in new if isinstance(p, Path)]
    return {imports.label(p) if isinstance(p, Path) else p for p in known - {path}}


@pytest.mark.parametrize(
    ("line", "want"),
    [
        ("import foir_lib.pack.one", {"foir_lib.pack.one"}),
        ("def f():\n    from foir_lib.pack import one", {"foir_lib.pack.one"}),
        ("from .pack import one", {"foir_lib.pack.one"}),
        ("from .pack.one import x", {"foir_lib.pack.one"}),
        ("from . import leaf", {"foir_lib.leaf"}),
        ("from foir_lib.pack import handed", {"foir_lib.leaf"}),  # __init__ only hands it on
        ("from foir_lib.pack import own", {"foir_lib.pack", "foir_lib.leaf"}),  # __init__ itself defines it
        ("from foir_lib.pack import *", {"foir_lib.pack", "foir_lib.leaf"}),
        ("from foir_lib import lazy", {"foir_lib.pack.one"}),
        ("import foir_lib", {"foir_lib", "foir_lib.pack.one", "foir_lib.leaf"}),
        ("import importlib\nimportlib.import_module('foir_lib.pack.one')", {"foir_lib.pack.one"}),
        ("import numpy, os\nfrom torch import nn", set()),
    ],
)
def test_every_way_to_import(tmp_path, monkeypatch, line, want):
    root = graph(
        tmp_path, monkeypatch, start=line, leaf="", pack__one="x = lazy = 1",
        pack__init="from foir_lib.leaf import y as handed\nown = 1",
    )  # fmt: skip
    (root / "__init__.py").write_text('_HOMES = {"lazy": "foir_lib.pack.one", "y": "foir_lib.leaf"}\n')
    assert reached(root / "start.py") == want


def test_circles_end(tmp_path, monkeypatch):
    root = graph(tmp_path, monkeypatch, a="from foir_lib import b", b="from foir_lib import a")
    assert keys.code_of(root / "a.py").split(" ")[0] == keys.code_of(root / "b.py").split(" ")[0]
    assert reached(root / "a.py") == {"foir_lib.b"} and reached(root / "b.py") == {"foir_lib.a"}


def test_a_module_that_is_not_there_is_refused(tmp_path, monkeypatch):
    root = graph(tmp_path, monkeypatch, a="import foir_lib.gone", b="from .gone import x", c="def (")
    for name in ("a", "b"):
        with pytest.raises(InputError, match=rf"{name}\.py imports .*gone, which can't be found"):
            keys.code_of(root / f"{name}.py")
    with pytest.raises(InputError, match="is no Python"):
        keys.code_of(root / "c.py")
    with pytest.raises(MissingError, match="no Python file at"):
        keys.code_of(root / "d.py")


def test_versions_of_libraries_count(monkeypatch):
    before = keys.code_of(ViT)
    monkeypatch.setattr(imports, "library_version", lambda name: f"{name} 9.9")
    assert keys.code_of(ViT) != before


# ---- plug-ins and objects from elsewhere


@pytest.fixture
def plugin(tmp_path):
    (tmp_path / "helper.py").write_text("FACTOR = 2\n")
    (tmp_path / "mine.py").write_text(
        "import cv2\nfrom foir_lib.models.vit import ViT\nfrom foir_lib.registry import register\n\n\n"
        "def late():\n    import helper\n    return helper.FACTOR\n\n\n"
        '@register("retriever", "Mine")\nclass Mine:\n    """Words."""\n    factor = 1\n'
    )
    return tmp_path / "mine.py"


def test_a_plugins_edit_counts_and_what_stands_beside_it(plugin, package):
    code = keys.code_of(plugin)
    assert code.split(" ")[1:] == ["mine.py"] and keys.is_current(code) is None
    edit(plugin, "Words", "Other words")
    assert keys.code_of(plugin) == code
    codes = {code}
    for path, old, new in (
        (plugin, "factor = 1", "factor = 2"),
        (plugin.parent / "helper.py", "2", "3"),
        (package / "models" / "vit.py", "", ""),
    ):
        edit(path, old, new)
        codes.add(keys.code_of(plugin))
    assert len(codes) == 4
    assert any(label.startswith("opencv-python-headless ") for label in map(imports.library_version, ["cv2"]))
    moved = plugin.with_name("elsewhere")
    moved.mkdir()
    for name in ("mine.py", "helper.py"):
        shutil.move(plugin.with_name(name), moved / name)
    assert keys.code_of(moved / "mine.py") in codes, "the folder is no part of it"


def test_a_loaded_plugin_that_was_edited_must_be_loaded_again(plugin):
    registry.load_plugin(plugin)
    mine = registry.lookup("retriever", "Mine")
    assert keys.code_of(mine) == keys.code_of(mine()) == keys.code_of(plugin)
    edit(plugin, "factor = 1", "factor = 2")
    with pytest.raises(InputError, match=r"mine\.py was changed after it was loaded: load it again"):
        keys.code_of(mine)
    registry.load_plugin(plugin)
    assert keys.code_of(registry.lookup("retriever", "Mine")) == keys.code_of(plugin)


@dataclass
class Holder:
    part: object = None


def test_what_stands_in_a_dataclasses_fields_takes_part(plugin):
    registry.load_plugin(plugin)
    bare, full = keys.code_of(Holder()), keys.code_of(Holder(registry.lookup("retriever", "Mine")()))
    assert bare == keys.code_of(Holder(3)) == keys.code_of(Holder) and full != bare
    assert full.split(" ")[1:] == ["mine.py", "test_keys.py"]
    mine = registry.lookup("retriever", "Mine")
    for part in (mine, [mine()], ({"a": mine()}, 3), functools.partial(mine), Holder(mine())):
        assert keys.code_of(Holder(part)) == full, part
    assert keys.code_of(Holder((1, "a", plugin, None))) == bare


def test_what_a_function_captured_takes_part(plugin):
    registry.load_plugin(plugin)
    mine, part = registry.lookup("retriever", "Mine"), 3

    def function(inner):
        def make(start, stop):
            return inner, part, start

        return make

    bare = keys.code_of(function(None))
    assert bare == keys.code_of(function) == keys.code_of(function("text"))
    for inner in (mine, Holder(mine()), function(mine), functools.partial(mine)):
        assert keys.code_of(function(inner)).split(" ")[1:] == ["mine.py", "test_keys.py"]


def test_objects_of_libraries_count_by_version():
    assert keys.code_of(torch.nn.Linear(1, 1)).split(" ")[1:] == ["torch"]
    assert keys.is_current(keys.code_of(torch.nn.Linear, ViT)) is True


@pytest.mark.parametrize("thing", ["foir_lib.models.vit", 3, {}, None, [ViT], object()])
def test_what_has_no_code_is_refused(thing):
    with pytest.raises(InputError, match="has no code of its own"):
        keys.code_of(ViT, thing)


def test_an_object_without_a_file_is_refused():
    names = {"__name__": "made_up_module"}
    exec("class Lost:\n    def f(self): pass\nlost = Lost()", names)
    for thing in (names["Lost"], names["lost"]):
        with pytest.raises(InputError, match=r"has no source file \(module made_up_module\): define it in a \.py file"):
            keys.code_of(thing)


def test_no_file_is_parsed_twice(monkeypatch):
    digest = keys.code_of(files.PACKAGE / "bench" / "rows.py")
    monkeypatch.setattr(ast, "parse", None)
    assert keys.code_of(files.PACKAGE / "bench" / "rows.py") == digest


NOTEBOOK = """
from IPython.core.interactiveshell import InteractiveShell
shell = InteractiveShell.instance()
for cell in {cells!r}:
    result = shell.run_cell(cell)
    if not result.success:
        print(f"refused: {{result.error_in_exec}}")
"""
IMPORTS = "from foir_lib.store import keys\nfrom foir_lib import prompts\nimport numpy as np\nFACTOR, OTHER = 2, 5"
HELPER = "def double(x):\n    return FACTOR * x"
MINE = "class Mine:\n    def describe(self, x):\n        return np.abs(double(prompts.Box(*x)))"
ASK = "print(keys.code_of(Mine()))"


@pytest.fixture
def ask(tmp_path):
    """What cells print that run one after the other in an IPython of their own."""

    def printed(*cells):
        environment = os.environ | {"PYTHONPATH": str(ROOT), "IPYTHONDIR": str(tmp_path)}
        done = subprocess.run(
            [sys.executable, "-c", NOTEBOOK.format(cells=cells)], capture_output=True, text=True, env=environment, cwd=tmp_path
        )  # fmt: skip
        return done.stdout.strip().splitlines()

    return printed


@pytest.mark.slow
def test_what_a_notebook_defines_counts_by_definition(ask):
    print_both = "print(keys.code_of(Mine), keys.code_of(prompts) == keys.code_of(prompts.Box))"
    first = ask(IMPORTS, HELPER, MINE, ASK, "1 + 1; OTHER = 6", "# moved\n" + MINE, ASK, print_both)
    assert first[0] == first[1] and first[0].endswith(" notebook") and first[2] == f"{first[0]} True"
    changed = [
        ask(IMPORTS.replace("= 2, 5", "= 3, 5"), HELPER, MINE, ASK),
        ask(IMPORTS, HELPER.replace("* x", "* x * 1"), MINE, ASK),
        ask(IMPORTS, HELPER, MINE.replace("abs", "sign"), ASK),
    ]
    assert len({first[0], *(answer[0] for answer in changed)}) == 4
    assert ask(IMPORTS, "class Bare:\n    pass", "keys.code_of(Bare)")[-1].startswith(
        "refused: The source of Bare can't be found: define it in a .py file, or in a notebook's cell with a method."
    )


# ---- the state of what is stored


def test_a_code_is_current_until_what_it_names_changes(package):
    code, reader = keys.code_of(ViT), keys.code_of(coco)
    assert keys.is_current(code) is keys.is_current(reader) is True
    edit(package / "models" / "vit.py")
    assert keys.is_current(code) is False and keys.is_current(reader) is True
    (package / "models" / "vit.py").unlink()
    assert keys.is_current(code) is False
    assert keys.is_current("0123456789abcdef") is False, "a digest of an earlier way to name code"
