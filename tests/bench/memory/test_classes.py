"""A folder per class: every picture a view of its folder's name; and what is said where it is none."""

import pytest
from PIL import Image

from foir_lib import load_set
from foir_lib.bench import rows
from foir_lib.errors import InputError, MissingError


def folder(root, n=3, classes=("apple", "pear")):
    for i, name in enumerate(classes):
        (root / name / "more").mkdir(parents=True)
        for k in range(n):
            Image.new("RGB", (40 + k, 30), (80 * i + 20, 10 * k, 200)).save(root / name / ("more" if k else ".") / f"{k}.png")
    return root


def test_whole_pictures_are_views_of_their_folder(tmp_path):
    s = load_set("classes", root=folder(tmp_path / "all"))
    assert s.objects["label"].tolist() == ["apple"] * 3 + ["pear"] * 3 and len(s.queries) == 6
    assert s.objects[["x0", "y0", "x1", "y1"]].iloc[1].tolist() == [0, 0, *s.images[["width", "height"]].iloc[1]]
    few, again, other = (load_set("classes", root=tmp_path / "all", n_each=1, seed=seed) for seed in (0, 0, 5))
    assert len(few.images) == 2 and few.fingerprint == again.fingerprint and few.objects["label"].nunique() == 2
    assert len({tuple(one.images["image_id"]) for one in (few, other, load_set("classes", root=tmp_path / "all", n_each=1, seed=2))}) > 1


def test_what_is_no_folder_of_classes_is_refused(tmp_path):
    with pytest.raises(MissingError):
        load_set("classes", root=tmp_path / "none")
    with pytest.raises(InputError, match="has 1 folders with pictures: give a folder that holds a folder of pictures for each class"):
        load_set("classes", root=folder(tmp_path / "one", classes=("apple",)))


@pytest.mark.slow
def test_a_simulated_user_teaches_classes(tmp_path, monkeypatch):
    """The command line's words: foir reproduce px-learning --dataset classes --data-root FOLDER."""
    monkeypatch.setenv("FOIR_CACHE", str(tmp_path / "cache"))
    root = folder(tmp_path / "all", 10, ("apple", "pear", "plum"))
    found = rows.run("px-learning", "classes", "mini-vit", str(root), progress=False)
    assert not found["metric"].str.contains("mask").any(), "nothing has a mask"
    assert found["ours"].between(0, 100).all() and found[found["metric"] == "accuracy (Crop, by box)"]["ours"].iloc[0] > 60
