"""Cut out everywhere, from the command line on: a folder of hostile names, a drawn set, and one sentence for what can't be."""

import json

import numpy as np
import pytest
from hostile import NAMES
from PIL import Image
from pycocotools.coco import COCO

from foir_lib import cli
from foir_lib.errors import InputError
from foir_lib.images import open_image
from foir_lib.prompts import Box, Point
from foir_lib.view import everywhere

FILES = [f"{name.replace('/', ':')[:180]}.png" for key, name in NAMES.items() if key != "surrogate"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder of 20 pictures of 120 x 90 on grey noise: a striped square of 40 at (10 + 2 i, 30) on those with hostile names, none on the four others."""
    root, rng = tmp_path_factory.mktemp("photographs"), np.random.default_rng(1)
    stripes = np.zeros((40, 40, 3), np.uint8)
    stripes[:, ::10], stripes[:, 1::10], stripes[::8] = (250, 40, 10), (250, 210, 10), (20, 40, 240)
    for i, name in enumerate([*FILES, *(f"plain {i}.png" for i in range(4))]):
        pixels = rng.integers(90, 130, (90, 120, 1), dtype=np.uint8).repeat(3, 2)
        if i < len(FILES):
            pixels[30:70, 10 + 2 * i : 50 + 2 * i] = stripes
        Image.fromarray(pixels).save(root / name)
    return root


@pytest.fixture
def run(capsys, tmp_path, monkeypatch):
    """Call ``foir cutout`` with arguments: (exit code, stdout, stderr)."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FOIR_CACHE", str(tmp_path / "cache"))

    def call(*arguments):
        with pytest.raises(SystemExit) as ended:
            cli.main(["cutout", *map(str, arguments)])
        told = capsys.readouterr()
        return ended.value.code or 0, told.out, told.err

    return call


def test_a_folder_of_hostile_names(run, folder, tmp_path):
    label = NAMES["script"]
    code, out, err = run(folder / FILES[0], "--box", "10,30,50,70", "--root", folder, "-n", 12, "--label", label, "--out", "cut", "--localiser", "Dense(side=112)")
    assert code == 0, err
    coco = COCO(str(tmp_path / "cut" / "instances.json"))
    assert out.splitlines()[-1] == f"{tmp_path / 'cut' / 'instances.json'}: {len(coco.anns)} of the first 12 results are cut out".replace(f"{tmp_path}/", "")
    assert [one["name"] for one in coco.loadCats(coco.getCatIds())] == [label] and 8 <= len(coco.anns) <= 12
    inside = []
    for one in coco.anns.values():
        image, cut = coco.imgs[one["image_id"]], Image.open(tmp_path / "cut" / one["cutout"])
        whole, mask = np.asarray(open_image(folder / image["file_name"])), coco.annToMask(one).astype(bool)
        x, y, width, height = map(int, one["bbox"])
        assert cut.mode == "RGBA" and cut.size == (width, height)
        np.testing.assert_array_equal(np.asarray(cut)[..., :3], whole[y : y + height, x : x + width])
        np.testing.assert_array_equal(np.asarray(cut)[..., 3], 255 * mask[y : y + height, x : x + width])
        if image["file_name"] in FILES:
            at = 10 + 2 * FILES.index(image["file_name"])
            true = np.zeros_like(mask)
            true[30:70, at : at + 40] = True
            inside.append((mask & true).sum() / (mask | true).sum())
    assert len(inside) > 6 and np.median(inside) > 0.4, inside
    written = [file for file in tmp_path.rglob("*") if file.is_file() and "cache" not in file.parts]
    assert {file.parent for file in written} == {tmp_path / "cut", tmp_path / "cut" / "cutouts"} and all(file.name.isascii() for file in written)


def test_scores_and_a_point_on_a_drawn_set(run, tmp_path):
    options = ["--set", "mini-landmarks", "-p", "n_landmarks", "2", "-p", "n_queries", "2", "-p", "n_database", "6", "--localiser", "Dense(side=112)"]
    searched = everywhere.opened("mini-landmarks", None, {"n_landmarks": "2", "n_queries": "2", "n_database": "6"})
    query = searched.queries.iloc[0]
    box, path = query["prompt"], searched.images.set_index("image_id")["path"][query["image_id"]]
    point = f"{(box.x0 + box.x1) / 2},{(box.y0 + box.y1) / 2}"
    counts = []
    for least in ((), ("--least", 0.1), ("--least", 1e6)):
        code, out, err = run(path, "--point", point, *options, "--method", "CBIR", *least, "--out", "a")
        content = json.loads((tmp_path / "a" / "instances.json").read_text())
        assert code == 0, err
        assert all(one["score"] >= (least or (0, 0))[1] for one in content["annotations"])
        counts.append(len(content["annotations"]))
    assert 0 < counts[0] <= 6 and counts[0] >= counts[1] >= counts[2] == 0 and out.endswith("0 of the first 6 results are cut out\n")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((), "either a box or a point"),
        (("--box", "1,2,3,4", "--point", "1,2"), "either a box or a point"),
        (("--box", "1,2,3"), "--box '1,2,3' is none: write 4 numbers"),
        (("--point", "here"), "--point 'here' is none: write 2 numbers"),
        (("--point", "nan,3"), "is not a finite position"),
        (("--box", "9,9,3,20"), "is empty"),
        (("--box", "500,9,600,20"), "lies outside the 120 x 90 picture"),
        (("--point", "130,9"), "lies outside the 120 x 90 picture"),
        (("--point", "3,9", "--localiser", "Sharp"), "no localiser 'Sharp'"),
        (("--point", "3,9", "--localiser", "SAM(of='Dense')", "--model", "mini-cnn"), "can't be had here"),
        (("--point", "3,9", "--method", "GeM"), "GeM can't be had here"),
        (("--point", "3,9", "--least", "nan"), "least=nan must be a finite number"),
        (("--point", "3,9", "-p", "boxes", "no.csv"), "no.csv"),
        (("--point", "3,9", "--set", "fodler"), "did you mean folder"),
    ],
)
def test_what_cannot_be_is_one_sentence(run, folder, tmp_path, arguments, words):
    code, out, err = run(folder / FILES[0], "--root", folder, *arguments)
    assert code == 2 and out == "" and words in err and err.startswith("error: ") and err.count("\n") == 1
    assert not list(tmp_path.rglob("*.png"))


def test_places_that_cannot_be(run, folder, tmp_path):
    (tmp_path / "file").write_text("x")
    for arguments, words in (((folder / "none.png", "--root", folder), "none.png"), ((folder / FILES[0], "--root", folder, "--out", "file"), "file"),
                             ((folder / FILES[0], "--root", tmp_path / "nothing"), "nothing"), ((folder / FILES[0],), "needs a root")):  # fmt: skip
        code, _, err = run(*arguments, "--point", "3,9")
        assert code == 2 and words in err and err.count("\n") == 1


def test_prompts_as_they_are_written():
    assert everywhere.pointed("1, 2,3.5,4", None) == Box(1, 2, 3.5, 4) and everywhere.pointed(None, "7,8") == Point(7, 8)
    with pytest.raises(InputError, match="write 2 numbers"):
        everywhere.pointed(None, "1,2,3")
