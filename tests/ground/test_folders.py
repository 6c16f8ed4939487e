"""What counts as a photograph in a folder as people have it: links, thumbnails, waste, endings."""

import os
import warnings

import pytest
import samples
from hypothesis import given, settings
from hypothesis import strategies as st

from foir_lib import notices
from foir_lib.errors import MissingError
from foir_lib.folders import EXTENSIONS, NOT_READ, WASTE, below, files


def put(root, *names, content=b""):
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(content)


def counted(root):
    """Paths below ``root`` and the counts of what was left out, by reason."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with notices.collected("test") as counts:
            paths = below(root)
    return [os.path.relpath(path, root) for path in paths], {row.reason: row.n for row in counts.rows()}


def test_pictures_below_a_folder(tmp_path):
    names = ["b.JPG", "a-b/x.png", "a/y.webp", "a/deep/z.tiff", "notes.txt", ".hidden/x.jpg", "._b.jpg", "jpg"]
    put(tmp_path, *names)
    assert below(tmp_path) == sorted(str(tmp_path / name) for name in names[:4])
    for root in (tmp_path / ".hidden" / "nowhere", tmp_path / "notes.txt"):
        with pytest.raises(MissingError, match=rf"no pictures below .*{EXTENSIONS[0]}"):
            below(root)


def test_thumbnails_and_waste_are_left_out_and_counted(tmp_path):
    photos = [f"{n:02}.jpg" for n in range(12)]
    put(tmp_path, *photos, "trip/a.jpg")
    put(tmp_path, *(f"@eaDir/{name}/SYNOPHOTO_THUMB_{size}.jpg" for name in photos for size in "MS"))
    put(tmp_path, "#recycle/x.jpg", "$RECYCLE.BIN/S-1/y.png", "trip/__MACOSX/trip/._a.jpg", "Mine Previews.lrdata/1/p.jpg")
    put(tmp_path, "P.photoslibrary/originals/1.heic", "P.photoslibrary/resources/derivatives/1.jpeg")
    paths, counts = counted(tmp_path)
    assert paths == [*photos, "P.photoslibrary/originals/1.heic", "trip/a.jpg"]
    assert sorted(counts.values()) == [1, 1, 1, 1, 1, 24]
    assert counts["pictures left out in folders @eaDir: small copies, or deleted"] == 24
    assert below(tmp_path / "@eaDir")  # who asks for such a folder gets it


@pytest.mark.parametrize(
    "name",
    ["@Recently-Snapshot", "~snapshot/hourly.0", "Network Trash Folder", "lost+found", "Recycled", "_gsdata_/_saved_", "files_trashbin",
     "My.aplibrary/Thumbnails", "thumbs", "Thumbnails/small"],
)  # fmt: skip
def test_what_other_servers_and_programs_put_beside_photographs(tmp_path, name):
    put(tmp_path, "a.jpg", "b.jpg", f"{name}/a.jpg")
    paths, counts = counted(tmp_path)
    assert paths == ["a.jpg", "b.jpg"] and list(counts.values()) == [1]


def test_a_folder_called_thumbs_is_an_album_where_its_pictures_have_no_originals_beside_it(tmp_path):
    put(tmp_path, "a.jpg", "thumbs/a.jpg", "thumbs/up.jpg", "Thumbnails of Greece/a.jpg", "thumb/c.jpg")
    paths, counts = counted(tmp_path)
    assert len(paths) == 5 and not counts


def test_a_link_to_a_disk_that_is_elsewhere_is_counted(tmp_path):
    put(tmp_path, "part1/a.jpg")
    (tmp_path / "part2").symlink_to(tmp_path / "unplugged")
    assert counted(tmp_path) == (["part1/a.jpg"], {"links left out that lead to nothing, as to a disk that is elsewhere": 1})


def test_endings(tmp_path):
    photo = samples.jpeg()
    put(tmp_path, *(f"a{ending}" for ending in (*EXTENSIONS, ".HeiC")), "no_ending", content=photo)
    put(tmp_path, "1.CR2", "2.cr2", "3.nef", "4.svg", "5.jxl", "6.eps", content=photo)
    put(tmp_path, "a.jpg_original", "b.jpg~", content=photo)
    put(tmp_path, "README", "films.mov", "list.txt", "a.xmp", "Thumbs.db", content=b"text")
    paths, counts = counted(tmp_path)
    assert paths == sorted([*(f"a{ending}" for ending in (*EXTENSIONS, ".HeiC")), "no_ending"])
    words = "files left out: a format that is not read, convert them"
    assert {reason: n for reason, n in counts.items() if words in reason} == {
        f"{kind} {words}": n for kind, n in {".cr2": 2, ".nef": 1, ".svg": 1, ".jxl": 1, ".eps": 1}.items()
    }
    assert sum(counts.values()) == 8 and counts[".jpg_original files left out that hold pictures: rename them"] == 1
    assert not set(EXTENSIONS) & set(NOT_READ) and all(name == name.lower() for name in (*WASTE, *EXTENSIONS, *NOT_READ))


@pytest.mark.filterwarnings("ignore:.*folder above")
def test_links_to_folders_are_followed_each_real_folder_once(tmp_path):
    put(tmp_path, "disk/part1/a.jpg", "disk/part2/b.jpg", "set/part0/c.jpg", "set/z.jpg")
    root = tmp_path / "set"
    for name, target in {"part1": "disk/part1", "part2": "disk/part2", "album": "set/part0", "again": "disk/part1",
                         "part0/loop": "set/part0", "part0/up": "set", "above": ".", "self": "set/self"}.items():  # fmt: skip
        (root / name).symlink_to(tmp_path / target)
    paths, counts = counted(root)
    assert paths == ["again/a.jpg", "part0/c.jpg", "part2/b.jpg", "z.jpg"]
    assert counts == {
        "links left out: they lead to a folder above": 2,
        "links left out: the folders that they lead to are there already": 3,
        "links left out that lead to nothing, as to a disk that is elsewhere": 1,
    }
    (tmp_path / "link").symlink_to(root)
    assert len(below(tmp_path / "link")) == 4


def test_links_to_pictures(tmp_path):
    put(tmp_path, "disk/a.jpg", "disk/b.jpg", "set/c.jpg")
    root = tmp_path / "set"
    (root / "album").mkdir()
    for name, target in {"a.jpg": "disk/a.jpg", "album/a.jpg": "disk/a.jpg", "album/c.jpg": "set/c.jpg", "gone.jpg": "disk/x.jpg"}.items():
        (root / name).symlink_to(tmp_path / target)
    os.mkfifo(root / "pipe.jpg")
    paths, counts = counted(root)
    assert paths == ["a.jpg", "c.jpg"]
    assert counts == {
        "links left out: the pictures that they lead to are there already": 2,
        "pictures left out that are no plain files: links to nothing, pipes": 2,
    }


def test_files_of_an_ending_are_looked_for_in_the_same_way(tmp_path):
    put(tmp_path, "disk/gt/a_query.txt", "set/b_query.txt", "set/b_good.txt")
    (tmp_path / "set" / "gt").symlink_to(tmp_path / "disk" / "gt")
    assert [path.name for path in files(tmp_path / "set", "_query.txt")] == ["b_query.txt", "a_query.txt"]


FOLDERS = ["", "a", "a/b", "c"]


@given(st.lists(st.tuples(st.sampled_from(FOLDERS), st.sampled_from(["x", "y", "z"]), st.sampled_from([*FOLDERS, "elsewhere"]))))
@settings(max_examples=60, deadline=None)
def test_whatever_links_there_are_each_picture_is_found_once(tmp_path_factory, links):
    top = tmp_path_factory.mktemp("top")
    put(top, *(f"set/{folder}/{n}.jpg" for n, folder in enumerate(FOLDERS)), "elsewhere/9.jpg")
    reached = False
    for folder, name, target in links:
        place = top / "set" / folder / name
        if not place.is_symlink():
            place.symlink_to(top / "elsewhere" if target == "elsewhere" else top / "set" / target)
            reached = reached or target == "elsewhere"
    paths, _ = counted(top / "set")
    assert sorted(os.path.basename(path) for path in paths) == ["0.jpg", "1.jpg", "2.jpg", "3.jpg"] + ["9.jpg"] * reached
    assert {os.path.join(folder, f"{n}.jpg") for n, folder in enumerate(FOLDERS)} <= set(paths)
