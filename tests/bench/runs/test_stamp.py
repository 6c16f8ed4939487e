"""A table is keyed by what computes its rows, and by what draws it: an edit changes the one or the other, or neither."""

import os
import shutil
from pathlib import Path

import pytest

from foir_lib import files
from foir_lib.bench.runs import stamp
from foir_lib.bench.tables.catalogue import EVERY
from foir_lib.errors import MissingError

ROOT = Path(files.__file__).parents[1]


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A copy of the package's code and manifests, which stamps look at instead of them."""
    copy = tmp_path / "copy" / "foir_lib"
    shutil.copytree(files.PACKAGE, copy, ignore=shutil.ignore_patterns("__pycache__", "weights", "static"))
    shutil.copytree(ROOT / "data_manifests", copy.parent / "data_manifests")
    monkeypatch.setattr(files, "PACKAGE", copy)
    return copy


def edit(path, old="", new=""):
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1) if old else text + "\n\nEDITED = 1\n")


def marks(table="phs-1", **parameters):
    notebook = ROOT / "notebooks" / "tables" / f"{getattr(EVERY.get(table), 'notebook', '') or table.split('-')[0]}.ipynb"
    mark = stamp.stamp(notebook, {"table": table, "device": "cpu", **parameters})
    return mark["key"], mark["drawn"]


def test_a_table_is_keyed_without_view_and_drawn_with_it(package):
    key, drawn = marks()
    assert marks() == (key, drawn)
    edit(package / "view" / "demo.py")
    assert marks() == (key, drawn), "no explorer takes part in a table"
    edit(package / "view" / "figures" / "bars.py")
    again = marks()
    assert again[0] == key and again[1] != drawn
    edit(package / "bench" / "runs" / "report.py")
    assert marks()[0] == key and marks()[1] != again[1]


EDITS = {
    "bench/rows.py": {"phs-1", "ca-4"},
    "models/vit.py": {"phs-1", "ca-4"},  # rows load any network
    "methods/head_selection.py": {"phs-1"},
    "data/mini/focus.py": {"phs-1"},
    "search/clusters.py": {"ca-4"},
    "retrievers/coattention.py": {"ca-4"},
    "data/readers/voc.py": set(),  # a reader that takes no part
    "bench/memory/curves.py": {"px-checks"},
    "memory/consistency.py": {"px-checks"},
    "bench/runs/runner.py": set(),
    "store/keys.py": set(),
}


def test_an_edit_changes_the_tables_that_it_takes_part_in(package):
    before = {table: marks(table)[0] for table in ("phs-1", "ca-4", "px-checks")}
    for file, tables in EDITS.items():
        edit(package / file)
        after = {table: marks(table)[0] for table in before}
        changed = {table for table in before if after[table] != before[table]}
        assert changed == tables or changed == tables | {"px-checks"}, file  # memories are judged by all kinds of code
        before = after


def test_the_set_that_is_asked_for_takes_part():
    mini, real = marks()[0], marks(dataset="voc")[0]
    assert mini != real
    assert marks(dataset="mini-focus,mini-focus-sparse,mini-focus-dense")[0] != mini, "parameters are told apart as they stand"


def test_the_voc_readers_edit_changes_a_table_on_voc(package):
    before = marks(dataset="voc")
    edit(package / "data" / "readers" / "voc.py")
    assert marks(dataset="voc")[0] != before[0]


def test_what_the_catalogue_says_of_a_table_is_keyed_but_not_its_words(monkeypatch):
    before, table = marks(), EVERY["phs-1"]
    for change, same in (
        ({"look": "Other words."}, True),
        ({"title": "Another title"}, True),
        ({"metrics": ("MP@100",)}, False),
        ({"columns": table.columns[:3]}, False),
        ({"datasets": ("coco",)}, False),
    ):
        monkeypatch.setitem(EVERY, "phs-1", type(table)(**{**vars(table), **change}))
        assert (marks() == before) is same, change


def test_methods_of_a_table_are_part_of_it():
    key, drawn = marks()
    assert marks(methods="PHS(h_on=3)")[0] != key != marks(methods="CBIR")[0] != marks(methods="PHS(h_on=3)")[0]
    assert marks(methods="PHS(h_on=3)")[1] == drawn


PLUGIN = """from dataclasses import dataclass
from foir_lib.registry import register
from foir_lib.retrievers.base import Retriever

@register("retriever", "StampedByItself")
@dataclass(frozen=True)
class Mine(Retriever):
    '''Words.'''
    factor: int = 1
"""


def test_a_plugins_code_is_part_of_it(package, tmp_path):
    plugin = tmp_path / "mine.py"
    plugin.write_text(PLUGIN)
    options = {"plugin": str(plugin), "methods": "CBIR, StampedByItself"}
    (key, drawn), plain = marks(**options), marks()
    assert key != plain[0] and drawn == plain[1]
    os.utime(plugin, (1, 1))
    edit(plugin, "Words", "Other words")
    assert marks(**options) == (key, drawn)
    edit(plugin, "= 1", "= 2")
    assert marks(**options)[0] != key
    with pytest.raises(MissingError, match=r"nowhere\.py"):
        marks(plugin="nowhere.py")


def test_settings_of_the_data_are_keyed_and_published_numbers_drawn(package):
    key, drawn = marks()
    manifests = package.parent / "data_manifests"
    edit(manifests / "published" / "phs-1.csv", ",", ", ")
    assert marks()[0] == key and marks()[1] != drawn
    edit(manifests / "coco.json", '"title": "', '"title": "Another ')
    assert marks()[0] == key
    edit(manifests / "mini-focus.json", '"settings": {', '"settings": {"edited": 1, ')
    assert marks()[0] != key


@pytest.mark.parametrize("table", sorted(EVERY))
def test_every_table_has_a_stamp(table):
    """Whatever its methods are: of what `make reproduce` runs nothing can fail before the first table."""
    assert marks(table)[0] != marks(table, seed=7)[0]


def test_what_a_run_would_refuse_has_a_stamp_too():
    keys = {marks()[0], *(marks(**wrong)[0] for wrong in ({"table": "phs-99"}, {"methods": "PSH"}, {"dataset": "cocoa"}))}
    assert len(keys) == 4


def test_a_layout_without_the_code_of_tables_is_refused(package):
    (package / "bench" / "rows.py").unlink()
    with pytest.raises(MissingError, match=r"There is no Python file at .*rows\.py"):
        stamp.stamp(ROOT / "notebooks" / "tables" / "phs.ipynb", {"device": "cpu"})


@pytest.mark.parametrize("text", ["CA > Map(of='CA')", "GeM > SAM(of=\"Tiled(of='Dense')\")", "GeM+SP+Localised(of='Dense') > SP"])
def test_a_table_is_keyed_by_what_localises_in_it_however_deep_it_is_named(package, text):
    """Of `SAM(of="Tiled(of='Dense')")` the code of all three, though the options hold texts."""
    key, drawn = marks("px-2.1", methods=text)
    module = "maps" if "Map" in text else "dense"
    edit(package / "retrievers" / "pixels" / "loftr.py")
    assert marks("px-2.1", methods=text) == (key, drawn), "nobody here asks it"
    edit(package / "retrievers" / "pixels" / f"{module}.py")
    changed, same = marks("px-2.1", methods=text)
    assert changed != key and same == drawn
