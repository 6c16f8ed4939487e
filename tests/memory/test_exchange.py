"""Export, import, two memories made one, and sidecars."""

import json
import shutil
from xml.etree import ElementTree as ET

import numpy as np
import pytest
from hostile import NAMES
from small_memory import Colours, picture

from foir_lib import Box, Mask, Memory
from foir_lib.errors import FoirError, InputError, IntegrityError, MissingError
from foir_lib.memory.exchange import jsonl


def memory(path):
    return Memory(path, Colours())


def filled(path):
    """A memory with a bit of everything in its history."""
    one = memory(path)
    one.add("the lab's mug", picture(1), Box(0, 0, 20, 20))
    one.describe("lab's mug", "colour", "blue")
    one.add("pot", picture(2, (900, 600)), Mask(np.tri(600, 900, dtype=bool)), who="machine", sure=0.5)
    one.merge("pot", one.add("kettle", picture(3)))
    one.forget(one.add("cup", picture(4)))
    one.rename("pot", "jug")
    one.undo()
    return one


def state(one):
    return jsonl.state_lines(one.journal.current())


def test_an_export_says_all_and_makes_the_same_memory(tmp_path):
    one = filled(tmp_path / "a.db")
    one.export(tmp_path / "out")
    lines = [json.loads(line) for line in (tmp_path / "out" / "things.jsonl").read_text().splitlines()]
    assert [(line["name"], line["aliases"], line["properties"], len(line["views"])) for line in lines] == [
        ("the lab's mug", [], {"colour": "blue"}, 1),
        ("pot", ["kettle"], {}, 2),
    ]
    for view in [view for line in lines for view in line["views"]]:
        assert (tmp_path / "out" / "crops" / f"{view['id']}.png").is_file()
    other = memory(tmp_path / "b.db")
    report = other.import_(tmp_path / "out")
    assert (report.events, report.things, report.views, report.conflicts) == (9, 4, 4, ())
    assert state(other) == state(one) == (tmp_path / "out" / "things.jsonl").read_bytes()
    assert other.history(None) == one.history(None) and other.journal.refold()
    with pytest.warns(UserWarning, match="3 views encoded again"):
        matrix = other.vectors()[0]
    assert np.abs(matrix - one.vectors()[0]).max() < 0.02
    assert other.import_(tmp_path / "out") == other.import_(tmp_path / "a.db") == type(report)(0, 0, 0, ())
    other.export(tmp_path / "again")
    assert (tmp_path / "again" / "events.jsonl").read_bytes() == (tmp_path / "out" / "events.jsonl").read_bytes()


def test_two_memories_become_one_and_part_again(tmp_path):
    a, b = memory(tmp_path / "a.db"), memory(tmp_path / "b.db")
    a.add("mug", picture(1))
    a.add("cup", picture(2))
    a.add("glass", picture(5), who="machine")
    b.add("The MUG", picture(1))  # the same view
    b.add("the mug", picture(3))
    b.add("beaker", picture(2))  # another name
    b.add("glass", picture(5))  # what a machine guessed here, a human said there
    b.add("bowl", picture(4))
    before = state(a)
    report = a.import_(tmp_path / "b.db")
    assert (report.events, report.things, report.views) == (5, 4, 5)
    (conflict,) = report.conflicts
    assert conflict.startswith("The same region is 'cup' here and 'beaker' in what was imported: move or forget one of the views")
    assert [(t.name, t.aliases, len(t.views)) for t in a.things()] == [
        ("mug", ("The MUG",), 2), ("cup", (), 1), ("glass", (), 1), ("beaker", (), 1), ("bowl", (), 1),
    ]  # fmt: skip
    assert [view.who for view in a.thing("glass").views] == ["human"]
    assert a.import_(tmp_path / "b.db").events == 0
    b.describe("mug", "colour", "red")  # goes on there
    assert a.import_(tmp_path / "b.db").events == 1 and a.thing("mug").properties == {"colour": "red"}
    a.undo(sum(not e.undone for e in a.history(None)) - 3)
    assert state(a) == before


def test_what_was_changed_in_both_is_a_conflict_and_ours_stays(tmp_path):
    a = memory(tmp_path / "a.db")
    a.add("mug", picture(1))
    a.describe("mug", "colour", "red")
    a.export(tmp_path / "shared")
    b = memory(tmp_path / "b.db")
    b.import_(tmp_path / "shared")
    b.describe("mug", "colour", "blue")
    b.alias("mug", "cup")
    b.undo(2)
    b.redo(1)
    a.describe("mug", "colour", "green")
    report = a.import_(tmp_path / "b.db")
    assert len(report.conflicts) == 3 and all("'mug' has changed since" in c or "isn't here" in c for c in report.conflicts)
    assert (a.thing("mug").properties, a.thing("mug").aliases) == ({"colour": "green"}, ())
    assert [e.kind for e in a.history(None)].count("conflict") == 3 and a.journal.refold()
    assert a.import_(tmp_path / "b.db").events == 0
    a.undo()
    assert a.journal.refold()


def test_what_was_purged_doesnt_come_back(tmp_path):
    a = filled(tmp_path / "a.db")
    a.export(tmp_path / "out")
    a.purge("the lab's mug")
    assert a.import_(tmp_path / "out").things == 0 and not a.named("mug")


@pytest.mark.parametrize(
    ("change", "error", "says"),
    [
        (lambda f: (f / "things.jsonl").unlink(), MissingError, "holds no exported memory: things.jsonl"),
        (lambda f: (f / "memory.json").write_text('{"format": "foir-memory", "version": 99}'), InputError, "no export that this version reads"),
        (lambda f: (f / "events.jsonl").write_text("".join((f / "events.jsonl").open().readlines()[:-1])), IntegrityError, "8 events instead of 9"),
        (lambda f: (f / "events.jsonl").write_text("[" * 100_000), IntegrityError, "Line 1 of .* is no JSON"),
        (lambda f: edit(f, lambda e: e | {"id": "../../x"}), IntegrityError, "Line 1 of .* is no event .id: String should match"),
        (lambda f: edit(f, lambda e: e | {"who": "root"}), IntegrityError, "is no event .who"),
        (lambda f: edit(f, lambda e: e | {"kind": "exec"}), IntegrityError, "is no event .kind"),
        (lambda f: edit(f, lambda e: e | {"body": {"changes": [["thing", "0" * 32, "__class__", None, "x"]]}}), IntegrityError, "is no event"),
        (lambda f: edit(f, lambda e: e | {"body": {"changes": [["thing", "0" * 32, "name", "a", "b\0"]]}}), IntegrityError, "control character"),
        (lambda f: edit(f, lambda e: e | {"body": {"changes": [["view", "0" * 32, "row", None, {}]]}}), IntegrityError, "is no event .thing: Field required"),
        (lambda f: edit_view(f, mask={"size": [30, 40], "counts": "~~~~~~~~~~~~"}), IntegrityError, "is no event"),
        (lambda f: edit_view(f, box=[5.0, 5.0, 5.0, 9.0]), IntegrityError, "is empty"),
        (lambda f: edit_view(f, sure=7.0), IntegrityError, "sure"),
    ],
)
def test_a_damaged_or_foreign_export_is_told_and_nothing_is_written(change, error, says, tmp_path):
    filled(tmp_path / "a.db").export(tmp_path / "out")
    change(tmp_path / "out")
    other = memory(tmp_path / "b.db")
    with pytest.raises(error, match=says):
        other.import_(tmp_path / "out")
    assert other.history() == [] and other.things() == []


def edit(folder, change):
    path = folder / "events.jsonl"
    first, *others = path.read_text().splitlines()
    path.write_text("\n".join([json.dumps(change(json.loads(first))), *others]) + "\n")


def edit_view(folder, **values):
    def change(event):
        event["body"]["changes"][1][4] |= values
        return event

    edit(folder, change)


def test_crops_that_are_damaged_or_gone_leave_the_view_without_one(tmp_path):
    one = filled(tmp_path / "a.db")
    one.export(tmp_path / "out")
    first, second = [v for t in one.things() for v in t.views][:2]
    (tmp_path / "out" / "crops" / f"{first.id}.png").write_bytes(b"\x89PNG damaged")
    (tmp_path / "out" / "crops" / f"{second.id}.png").unlink()
    other = memory(tmp_path / "b.db")
    assert other.import_(tmp_path / "out").views == 4 and other.picture_of(first) is None
    with pytest.warns(UserWarning, match="2 views left out that can't be encoded by colours"):
        assert len(other.vectors()[1]) == 1
    with pytest.raises(InputError, match="nothing to import at"):
        other.import_(tmp_path / "nowhere")


def test_sidecars_hold_names_and_regions_as_photo_programs_read_them(tmp_path):
    one = memory(tmp_path / "m.db")
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        picture(1 if folder == "a" else 2, (200, 100)).save(tmp_path / folder / "p.jpg")
    name = "mug & <b>\"cup\"</b> 🐭 ]]> \ufffe"
    one.add(name, tmp_path / "a" / "p.jpg", Box(20, 10, 60, 40))
    one.describe(name, "colour", "blue")
    one.add("pot", tmp_path / "a" / "p.jpg")
    one.add("pot", tmp_path / "b" / "p.jpg")
    one.add("bowl", picture(3))
    (tmp_path / "x").mkdir()
    with pytest.warns(UserWarning, match="1 views without a sidecar"):
        first, second = one.sidecars(tmp_path / "x")
    assert first.name == "p.jpg.xmp" and second.name.startswith("p-") and second.name.endswith(".jpg.xmp")
    root = ET.fromstring(first.read_bytes())
    at = {"rdf": "{http://www.w3.org/1999/02/22-rdf-syntax-ns#}", "mwg": "{http://www.metadataworkinggroup.com/schemas/regions/}"}
    area, dim = "{http://ns.adobe.com/xmp/sType/Area#}", "{http://ns.adobe.com/xap/1.0/sType/Dimensions#}"
    dimensions = root.find(f".//{at['mwg']}AppliedToDimensions").attrib
    assert [dimensions[f"{dim}{key}"] for key in ("w", "h", "unit")] == ["200", "100", "pixel"]
    items = root.findall(f".//{at['mwg']}RegionList/{at['rdf']}Bag/{at['rdf']}li/{at['rdf']}Description")
    assert [item.get(f"{at['mwg']}Name") for item in items] == [name.replace("\ufffe", "\ufffd"), "pot"]
    assert items[0].get(f"{at['mwg']}Description") == "colour: blue"
    areas = [[float(item.find(f"{at['mwg']}Area").get(f"{area}{key}")) for key in "xywh"] for item in items]
    assert areas == [[0.2, 0.25, 0.2, 0.3], [0.5, 0.5, 1, 1]]  # centre and sides, as shares
    words = [li.text for li in root.findall(f".//{{http://purl.org/dc/elements/1.1/}}subject//{at['rdf']}li")]
    assert words == [name.replace("\ufffe", "\ufffd"), "pot"]
    first.write_text("<xmp by another program/>")
    with pytest.warns(UserWarning, match="sidecars of other programs left as they are"):
        assert first not in one.sidecars(tmp_path / "x") and "another" in first.read_text()


@pytest.mark.parametrize("kind", NAMES)
def test_names_that_would_do_something_are_text_everywhere(kind, tmp_path):
    one = memory(tmp_path / "m.db")
    picture(1).save(tmp_path / "p.png")
    try:
        thing = one.add(NAMES[kind], tmp_path / "p.png")
    except FoirError as error:
        assert kind in ("terminal", "surrogate") and len(str(error)) < 300
        return
    assert thing.name == " ".join(NAMES[kind].split()) and one.thing(NAMES[kind]).id == thing.id
    one.alias(thing, NAMES[kind] + "'; DROP TABLE events; --")
    one.describe(thing, NAMES[kind][:5000] or "x", NAMES[kind])
    one.export(tmp_path / "out")
    (path,) = one.sidecars(tmp_path / "x")
    assert ET.fromstring(path.read_bytes()) is not None
    other = memory(tmp_path / "other.db")
    other.import_(tmp_path / "out")
    assert other.things() == one.things() and other.journal.refold()
    with pytest.raises(InputError) as error:
        one.thing("no " + NAMES[kind])
    assert len(str(error.value)) < 1600
    shutil.rmtree(tmp_path / "out")
