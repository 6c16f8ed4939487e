"""Folders as people have them, through every reader that looks into one: thumbnails, links, broken and odd files, counted."""

import os
import warnings

import numpy as np
import pytest
import samples
from test_landmark_readers import oxford, roxford  # noqa: F401
from test_readers import IDS, photos, picture  # noqa: F401
from test_turned import coco

from foir_lib import cli, load_set
from foir_lib.data import checking, training
from foir_lib.errors import InputError, MissingError


def put(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


def loaded(name, **options):
    """A set, and its counts by reason."""
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        result = load_set(name, **options)
    assert len(told) == bool(result.notices), [str(w.message) for w in told]  # all of it in one warning
    return result, {notice.reason: notice.n for notice in result.notices}


def odd_files(root):
    """What isn't to be read: thumbnails, a telephone's raw, and four that look like pictures."""
    picture(root / "@eaDir" / "b.JPG" / "SYNOPHOTO_THUMB_M.jpg")
    put(root / "raw.cr2", samples.jpeg())
    put(root / "avif.avif", b"\0\0\0\x1cftypavif\0\0\0\0avifmif1miaf" + bytes(range(200)))
    put(root / "dds.jpg", b"DDS |\0\0\0" + bytes(200))
    put(root / "eps.jpg", b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\n")
    os.mkfifo(root / "pipe.png")


LEFT_OUT = {
    "pictures left out in folders @eaDir: small copies, or deleted": 1,
    ".cr2 files left out: a format that is not read, convert them": 1,
    "pictures left out that are no plain files: links to nothing, pipes": 1,
    "pictures left out that can't be read": 3,
}


@pytest.mark.parametrize("check_files", [True, False])
def test_a_folder(photos, check_files):  # noqa: F811
    odd_files(photos)
    put(photos / "telephone.HEIC", samples.HEIC)
    put(photos / "called.HEIC", samples.jpeg())
    result, counts = loaded("folder", root=photos, check_files=check_files)
    assert sorted(result.images["image_id"]) == sorted([*IDS, "telephone.HEIC", "called.HEIC"])
    assert counts == LEFT_OUT
    assert result.open("telephone.HEIC").size == (64, 48)


def test_distractors(roxford, tmp_path):  # noqa: F811
    """Parts on other disks, reached by links."""
    for part in range(3):
        picture(tmp_path / f"disk{part}" / f"{part}.jpg")
    (tmp_path / "r1m").mkdir()
    for part in range(3):
        (tmp_path / "r1m" / f"part{part}").symlink_to(tmp_path / f"disk{part}")
    odd_files(tmp_path / "disk1")
    plain = len(load_set("roxford5k", root=roxford).database)
    for _ in range(2):  # what is remembered is told again
        result, counts = loaded("roxford5k", root=roxford, distractors=tmp_path / "r1m")
        assert len(result.database) == plain + 3 and counts == LEFT_OUT
    assert result.database["image_id"].tolist()[plain:] == [f"distractors/part{part}/{part}.jpg" for part in range(3)]


def test_the_pictures_of_a_benchmark_behind_a_link(oxford, roxford, tmp_path):  # noqa: F811
    for name, root, folder in (("oxford5k", oxford, "gt"), ("roxford5k", roxford, "jpg")):
        before = load_set(name, root=root)
        (root / folder).rename(tmp_path / f"{name}, elsewhere")
        (root / folder).symlink_to(tmp_path / f"{name}, elsewhere")
        assert load_set(name, root=root).fingerprint == before.fingerprint


def test_training_pictures(tmp_path):
    for label in "ab":
        picture(tmp_path / "disk" / label / "1.jpg")
    (tmp_path / "im").mkdir()
    for label in "ab":
        (tmp_path / "im" / label).symlink_to(tmp_path / "disk" / label)
    odd_files(tmp_path / "disk" / "b")
    with pytest.warns(UserWarning, match="Training pictures folders: .*3 pictures left out that can't be read") as told:
        pictures = training.load("folders", root=tmp_path / "im")
    assert len(told) == 1 and pictures.names == ["a", "b"] and pictures.labels.tolist() == [0, 1]
    with pytest.warns(UserWarning, match="Pictures to learn from below .*3 pictures left out that can't be read") as told:
        assert training.sample(tmp_path / "im") == pictures.paths
    assert len(told) == 1
    put(tmp_path / "none" / "x" / "1.jpg", b"no")
    for look in (training.folders, training.sample):
        with pytest.warns(UserWarning), pytest.raises(InputError, match="None of the 1 pictures .*1.jpg: replace them"):
            look(tmp_path / "none")


# ---- foir data check


def test_check_tells_what_is_left_out_and_runs_nothing(photos, capsys):  # noqa: F811
    odd_files(photos)
    (photos / "mine.csv").write_text("image,label,x0,y0,x1,y1\nturned.jpg,dog,1,2,11,12\nb.JPG,dog,1,2,11,12\n")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        result, table = checking.check(photos, boxes="mine.csv", check_files="false")
    assert len(result.queries) == 2
    turned = next(reason for reason in table["notice"] if "EXIF" in reason)
    assert dict(zip(table["notice"], table["n"])) == LEFT_OUT | {turned: 1}
    with pytest.raises(SystemExit) as ended:
        cli.main(["data", "check", str(photos), "-p", "boxes", "mine.csv", "-p", "boxes_on", "shown"])
    out = capsys.readouterr().out
    assert ended.value.code in (0, None)
    for reason, n in LEFT_OUT.items():
        assert f"{n} {reason}" in " ".join(out.split())
    assert "EXIF" not in out and out.rstrip().endswith(f"folder in {photos}: 5 images, 2 objects, 2 queries; 4 notices")


def test_check_of_what_cannot_be_read(photos, tmp_path, capsys):  # noqa: F811
    with pytest.raises(MissingError, match="no folder at"):
        checking.check(tmp_path / "gone")
    odd_files(photos)
    with pytest.warns(UserWarning, match="@eaDir"), pytest.raises(MissingError, match="no file of boxes"):
        checking.check(photos, boxes="gone.csv")
    with pytest.raises(SystemExit) as ended:
        cli.main(["data", "check", str(photos), "-p", "boxs", "x"])
    assert ended.value.code == 2 and "no folder option 'boxs'" in capsys.readouterr().err


@pytest.fixture
def coco_like(tmp_path):
    picture(tmp_path / "val" / "a.jpg", (80, 60))
    coco(tmp_path / "annotations" / "instances_val.json", (1, 2, 30, 40), (80, 60))
    return tmp_path


def test_values_of_options_as_text(coco_like):
    result, _ = checking.check(coco_like, name="coco", query="val", database="val", crowd_positives="False")
    assert len(result.queries) == 1 and not np.any(result.images["split"] == "database")
