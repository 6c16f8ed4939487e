"""The reader of ILIAS: a folder of three things in the authors' layout, answers and mAP@1k worked by hand, every fault in words."""

import numpy as np
import pytest
from test_object_readers import cache, picture  # noqa: F401
from test_readers import write

from foir_lib.bench.metrics.scores import score
from foir_lib.data import load_set
from foir_lib.errors import InputError, MissingError
from foir_lib.prompts import Box
from foir_lib.search.ranking import Ranking

BOXES = {  # what lies below ilias_core, and the lines of its file of boxes
    "bold_bimp_000/query/Q000_00": "2 3 10 8",
    "bold_bimp_000/query/Q000_01": "2 3 4 4\n20 10 6 5\n",  # seen twice: around both is x 2 to 26, y 3 to 15
    "bold_bimp_000/pos/P000_00": "0 0 40 30",
    "bold_bimp_000/pos/P000_01": "5 5 9 9\r\n20 5 9 9\r\n",
    "zippy_zoot_999/query/Q999_00": "1 1 5 5",
    "zippy_zoot_999/pos/P999_00": "30 20 11 10",  # a pixel too wide: clipped
}


@pytest.fixture
def ilias(tmp_path):
    """Two things, three queries, three photographs; five distractors in two shards, three of them mini-ILIAS'."""
    root = tmp_path / "ilias"
    for name, lines in BOXES.items():
        picture(root / "ilias_core" / f"{name}.jpg")
        write(root / "ilias_core" / f"{name}_bbox.txt", lines)
    write(root / "ilias_core" / "bold_bimp_000" / "query" / "T000.txt", "a bold bimp")
    write(root / "image_ids" / "image_query_ids.txt", "".join(f"{name}.jpg,clean\n" for name in BOXES if "/query/" in name))
    write(root / "image_ids" / "positive_ids.txt", "".join(f"{name}.jpg,0.25,18\n" for name in BOXES if "/pos/" in name))
    for shard, names in (("00000", "abc"), ("00001", "de")):
        for name in names:
            picture(root / "yfcc100m" / shard / f"{name * 3}.jpg", (20, 10))
    write(root / "image_ids" / "mini_ilias_yfcc100m_ids.txt", "aaa\nccc\nddd\n")
    return root


def positives(result, query):
    return result.database["image_id"].iloc[result.protocols["instances@1000"].positives(query)].tolist()


def test_core_by_hand(ilias):
    result = load_set("ilias", root=ilias)
    assert list(result.protocols) == ["instances@1000"] and result.protocols["instances@1000"].definition == "textbook@1000"
    assert result.queries["image_id"].tolist() == [name for name in BOXES if "/query/" in name]
    assert result.queries["prompt"].tolist() == [Box(2, 3, 12, 11), Box(2, 3, 26, 15), Box(1, 1, 6, 6)]
    assert result.database["image_id"].tolist() == [name for name in BOXES if "/pos/" in name]
    assert positives(result, 0) == positives(result, 1) == ["bold_bimp_000/pos/P000_00", "bold_bimp_000/pos/P000_01"]
    assert positives(result, 2) == ["zippy_zoot_999/pos/P999_00"]
    assert result.unit == "thing" and result.units.tolist() == [0, 0, 1]
    shown = result.objects[result.objects["image_id"].str.contains("/pos/")]
    assert shown[["label", "x0", "y0", "x1", "y1"]].to_numpy().tolist() == [
        ["bold_bimp_000", 0, 0, 40, 30], ["bold_bimp_000", 5, 5, 14, 14], ["bold_bimp_000", 20, 5, 29, 14], ["zippy_zoot_999", 30, 20, 40, 30]
    ]  # fmt: skip


def test_without_the_lists_everything_that_lies_there_is_taken(ilias):
    whole = load_set("ilias", root=ilias)
    for path in (ilias / "image_ids").iterdir():
        path.rename(ilias / path.name)  # as `foir data get` puts them
    assert load_set("ilias", root=ilias).content == whole.content and len(load_set("ilias-mini", root=ilias).database) == 6
    write(ilias / "positive_ids.txt", "bold_bimp_000/pos/P000_00.jpg,0.25,18\nzippy_zoot_999/pos/P999_00,0.25,18\n")
    assert len(load_set("ilias", root=ilias).database) == 2, "lists say what is searched"
    for name in ("image_query_ids.txt", "positive_ids.txt"):
        (ilias / name).unlink()
    assert load_set("ilias", root=ilias).content == whole.content


def test_distractors_all_of_a_folder_or_those_of_the_mini_list(ilias):
    core, mini = load_set("ilias", root=ilias), load_set("ilias-mini", root=ilias)
    every = load_set("ilias", root=ilias, distractors=ilias / "yfcc100m")
    assert len(core.database) == 3 and len(every.database) == 8
    assert mini.database["image_id"].tolist()[3:] == [f"yfcc100m/{one}.jpg" for one in ("00000/aaa", "00000/ccc", "00001/ddd")]
    assert [positives(mini, q) for q in range(3)] == [positives(core, q) for q in range(3)] and mini.name == "ilias-mini"
    write(ilias / "image_ids" / "mini_ilias_yfcc100m_ids.txt", "yfcc100m_00000.tar/bbb\n")
    assert load_set("ilias-mini", root=ilias).database["image_id"].tolist()[3:] == ["yfcc100m/00000/bbb.jpg"], "a shard may stand before a name"


def test_map_at_1k_by_hand(ilias):
    """Query 0 has its two photographs at places 1 and 3: (1/1 + 2/3) / 2; query 1 one at place 2 of two places: (1/2) / 2; query 2 none."""
    result = load_set("ilias", root=ilias, distractors=ilias / "yfcc100m")
    ids = np.array([[0, 3, 1], [4, 0, 5], [3, 4, 5]])
    ranking = Ranking(np.arange(3), ids, np.array([[3, 2, 1]] * 3, np.float32), len(result.database))
    got = score(ranking, result, "instances@1000")
    assert got.per_query["average_precision"].tolist() == pytest.approx([5 / 6, 1 / 4, 0])
    assert got.metrics == {"mAP@1k": pytest.approx((5 / 6 + 1 / 4) / 3)}


def spoil_lines(name, text):
    return lambda root: write(root / name, text)


@pytest.mark.parametrize(
    ("name", "spoil", "error", "words"),
    [
        ("ilias", lambda root: (root / "ilias_core").rename(root / "core"), MissingError, "no folder ilias_core of ILIAS at .*; see `foir data list`"),
        ("ilias", lambda root: (root / "ilias_core/bold_bimp_000/query/Q000_01_bbox.txt").unlink(), MissingError, "no box of Q000_01.jpg at"),
        ("ilias", spoil_lines("ilias_core/bold_bimp_000/query/Q000_01_bbox.txt", "2 3 0 0"), InputError, "the query bold_bimp_000/query/Q000_01 without a box that has area"),
        ("ilias", spoil_lines("ilias_core/bold_bimp_000/query/Q000_01_bbox.txt", "2 3 4"), InputError, "has the line '2 3 4', not x y w h"),
        ("ilias", spoil_lines("ilias_core/bold_bimp_000/pos/P000_00_bbox.txt", "90 3 4 4"), InputError, "bold_bimp_000/pos/P000_00 has the box .* lies outside its picture"),
        ("ilias", lambda root: (root / "ilias_core/zippy_zoot_999/pos/P999_00.jpg").unlink(), MissingError, "1 of 3 pictures of positive_ids.txt are missing"),
        ("ilias", spoil_lines("image_ids/positive_ids.txt", "0.25,bold_bimp_000/pos/P000_00.jpg\n"), InputError, "the line '0.25,.*', which doesn't begin with <thing>/pos/<picture>"),
        ("ilias", spoil_lines("image_ids/positive_ids.txt", "bold_bimp_000/pos/P000_00.jpg\n" * 2), InputError, "has the id 'bold_bimp_000/pos/P000_00' twice"),
        ("ilias-mini", lambda root: (root / "image_ids/mini_ilias_yfcc100m_ids.txt").unlink(), MissingError, "no list of mini-ILIAS at"),
        ("ilias-mini", lambda root: (root / "yfcc100m").rename(root / "x"), MissingError, "no folder of ILIAS' distractors at"),
        ("ilias-mini", lambda root: (root / "yfcc100m/00000/aaa.jpg").unlink(), MissingError, "1 of 3 pictures of yfcc100m are missing .* first aaa"),
        ("ilias-mini", spoil_lines("image_ids/mini_ilias_yfcc100m_ids.txt", "id,shard\naaa,0\n"), InputError, "has the line aaa,0, no name of a picture"),
    ],
)
def test_faults_in_words(ilias, name, spoil, error, words):
    spoil(ilias)
    with pytest.raises(error, match=words) as told:
        load_set(name, root=ilias)
    assert "\n" not in str(told.value)
