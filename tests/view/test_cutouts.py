"""Cut-outs: pixels, alpha and COCO by hand; names from hostile ids; a second run writes nothing again."""

import json

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from pycocotools.coco import COCO

from foir_lib.data import RetrievalSet
from foir_lib.detections import Localisation
from foir_lib.errors import InputError
from foir_lib.prompts import Box
from foir_lib.view.cutouts import cut_out

IDS = ["../../evil", "..", "a/b", "a-b", "A/B", "<img src=x onerror=alert(1)>", "nul\u202ex", "x" * 300, "con"]


@pytest.fixture
def scene(tmp_path):
    """A set of nine pictures of 12 x 8 pixels with hostile ids, and answers of two queries."""
    rng, rows = np.random.default_rng(0), []
    for i, image_id in enumerate(IDS):
        Image.fromarray(rng.integers(0, 256, (8, 12, 3), dtype=np.uint8)).save(tmp_path / f"{i}.png")
        rows.append((image_id, str(tmp_path / f"{i}.png"), 12, 8, "both"))
    images = pd.DataFrame(rows, columns=["image_id", "path", "width", "height", "split"])
    objects = pd.DataFrame([(IDS[0], "cup", 0, 0, 5, 5, False, None)], columns=["image_id", "label", "x0", "y0", "x1", "y1", "ignore", "segmentation"])
    queries = pd.DataFrame({"image_id": [IDS[0]] * 2, "prompt": [Box(0, 0, 5, 5)] * 2, "label": ["cup", "door <b>"], "object": [0, -1]})
    mask = np.zeros((8, 12), bool)
    mask[2:5, 3:9], mask[3, 5] = True, False
    answers = {0: {row: Localisation.of(mask, 0.5 + row / 100) for row in range(9)}, 1: {0: Localisation(None, [1, 2, 4, 6], 0.9), 1: Localisation.nothing()}}
    return RetrievalSet("hostile", images, objects, queries, {}), answers, mask


def test_pixels_alpha_and_coco(scene, tmp_path):
    rs, answers, mask = scene
    path = cut_out(rs, answers, tmp_path / "out", progress=False)
    coco = COCO(str(path))
    assert len(coco.anns) == 10 and len(coco.imgs) == 9 and [c["name"] for c in coco.loadCats(coco.getCatIds())] == ["cup", "door <b>"]
    for one in coco.anns.values():
        image = coco.imgs[one["image_id"]]
        whole, cut = np.asarray(rs.open(image["image_id"])), np.asarray(Image.open(path.parent / one["cutout"]))
        inside = coco.annToMask(one).astype(bool)
        if one["query"] == 0:
            assert (inside == mask).all() and one["bbox"] == [3, 2, 6, 3] and one["area"] == 17
            x0, y0, x1, y1 = 3, 2, 9, 5
        else:
            x0, y0, x1, y1 = 1, 2, 4, 6
            assert one["area"] == 12 and one["score"] == pytest.approx(0.9)
        assert cut.shape == (y1 - y0, x1 - x0, 4) and (cut[..., :3] == whole[y0:y1, x0:x1]).all()
        assert (cut[..., 3] == 255 * inside[y0:y1, x0:x1]).all()


def test_names_stay_in_the_folder_and_apart(scene, tmp_path):
    rs, answers, _ = scene
    path = cut_out(rs, answers, tmp_path / "out", progress=False)
    files = sorted(file for file in tmp_path.rglob("*") if file.is_file() and file.parent != tmp_path)
    assert {file.parent for file in files} == {path.parent, path.parent / "cutouts"} and len(files) == 11
    assert len({file.name.lower() for file in files}) == 11 and all(len(file.name) < 80 and file.name.isascii() for file in files)


def test_a_second_run_writes_what_is_missing_alone(scene, tmp_path):
    rs, answers, _ = scene
    path = cut_out(rs, answers, tmp_path / "out", progress=False)
    files = sorted((path.parent / "cutouts").iterdir())
    before = {file: file.stat().st_mtime_ns for file in files}
    content = path.read_text()
    files[0].unlink()
    assert cut_out(rs, answers, tmp_path / "out", progress=False).read_text() == content
    changed = [file for file in sorted((path.parent / "cutouts").iterdir()) if file.stat().st_mtime_ns != before[file]]
    assert changed == [files[0]]
    few = json.loads(cut_out(rs, answers, tmp_path / "out", least=0.57, progress=False).read_text())
    assert sorted((one["query"], one["image_id"]) for one in few["annotations"]) == [(0, 8), (0, 9), (1, 1)]


def test_masks_of_another_size_are_refused(scene, tmp_path):
    rs, _, mask = scene
    with pytest.raises(InputError, match=r"of 12 x 8 pixels got a mask of \[8, 11\]"):
        cut_out(rs, {0: {0: Localisation.of(mask[:, 1:], 1.0)}}, tmp_path / "out", progress=False)
