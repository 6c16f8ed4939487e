"""A damaged file is one sentence or still a set, never a traceback: every reader, files with bytes, words and values exchanged.

Each is read in at most 5 seconds of computing and 1 GB of memory, and nothing outside its folder is opened.
"""

import json
import os
import pickle
import random
import re
import resource
import signal
import sys
import warnings
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from layouts_made import labelme, labelme_root, roboflow_root, shape, voc_beside, yolo_root  # noqa: F401
from pycocotools import mask as rle
from test_davis import davis  # noqa: F401
from test_ilias import ilias  # noqa: F401
from test_landmark_readers import google, oxford, roxford, sfm  # noqa: F401
from test_object_readers import burst, instre, voxdet  # noqa: F401
from test_pixel_readers import proxford  # noqa: F401
from test_readers import coco_root, edit, photos, vg_root, voc_root, write  # noqa: F401

from foir_lib.data import load_set, training
from foir_lib.data.readers import pickles
from foir_lib.errors import FoirError, IntegrityError
from foir_lib.retrievers import guests
from foir_lib.retrievers.prompting import prompts_of

SECONDS, BYTES = 5, 1 << 30


def opened_with_masks(name, root):
    """The set, and the masks of its queries as prompts."""
    result = load_set(name, root=root)
    for row in np.flatnonzero(result.has_mask(np.arange(len(result.objects)))):
        result.mask(int(row))
    sizes = result.queries["image_id"].map(result.images.set_index("image_id")[["width", "height"]].apply(tuple, axis=1))
    if result.has_mask(result.queries["object"]).any():
        prompts_of(result, list(sizes), lambda size: (6, 8), "point")


def read_guest(kind, root):
    return guests.read(root / f"guest.{kind}", load_set("folder", root=root))


READERS = {  # name -> fixture with a whole set, what of it is damaged, how it is opened
    "coco": ("coco_root", "annotations/*", partial(opened_with_masks, "coco")),
    "voc": ("voc_root", "VOCdevkit/*/[AI]*/**/*.*", partial(load_set, "voc")),
    "visual-genome": ("vg_root", "*.*", partial(load_set, "visual-genome", n_categories=3)),
    "folder, csv": ("photos", "boxes.csv", partial(load_set, "folder")),
    "folder, json": ("photos", "boxes.json", partial(opened_with_masks, "folder")),
    "folder, yolo": ("yolo_root", "**/*.[ty]*", partial(opened_with_masks, "folder")),
    "folder, voc": ("voc_beside", "**/*.xml", partial(load_set, "folder")),
    "folder, labelme": ("labelme_root", "*.json", partial(opened_with_masks, "folder")),
    "folder, roboflow": ("roboflow_root", "**/*.csv", partial(load_set, "folder")),
    "revisited": ("roxford", "*.pkl", partial(load_set, "roxford5k")),
    "revisited, arrays": ("roxford", "*.pkl", partial(load_set, "roxford5k")),
    "proxford, pairs": ("proxford", "*.npy", partial(opened_with_masks, "proxford5k")),
    "proxford, labels": ("proxford", "labels/**/*.json", partial(opened_with_masks, "proxford5k")),
    "oxford": ("oxford", "gt/*", partial(load_set, "oxford5k")),
    "gldv2": ("google", "**/*.csv", partial(load_set, "gldv2")),
    "voxdet": ("voxdet", "RoboTools/test*/**/*.*", partial(opened_with_masks, "voxdet")),
    "permir": ("burst", "annotations/*/*.json", partial(opened_with_masks, "permir")),
    "instre": ("instre", "**/*.txt", partial(load_set, "instre")),
    "ilias": ("ilias", "i*/**/*.txt", partial(opened_with_masks, "ilias-mini")),
    "davis": ("davis", "Annotations/**/*.png", partial(opened_with_masks, "davis")),
    "training lists": ("google", "train*.csv", lambda root: [training.gldv2(root, clean) for clean in (True, False)]),
    "sfm": ("sfm", "*.pkl", training.rsfm120k),
    **{f"guest, {kind}": ("photos", f"guest.{kind}", partial(read_guest, kind)) for kind in ("txt", "csv", "npy", "npz")},
}
TOKENS = (b"", b"0", b"-1", b"1e999", b"NaN", b"null", b"true", b'""', b"[]", b"{}", b"\xff", b"\x00", b"\n", b",", b"9" * 30, b"a.png",
          b"9" * 5000, b"0.5", b"../../../x", b"/etc/hostname", b"1000000000000", b"\\", b"&lt;", b"e\xcc\x81")  # fmt: skip
VALUES = (None, True, -1, 0, 0.5, 1e308, float("nan"), float("inf"), 10**12, 10**30, 10**400, "", "x", "7", "NaN", "true", "../../../x", "/etc/hostname",
          "a\x00b", "two\nlines", "\ud800", "e\u0301", "a" * 5000, [], {}, [[]], [1, 2], [["x"]], {"a": 1}, [0.1] * 4)  # fmt: skip


def damage(content, rng):
    """``content`` with one of: a byte flipped, a span cut out or doubled, its end lost, a word or number or byte replaced."""
    i, j = sorted(rng.randrange(len(content) + 1) for _ in range(2))
    words = list(re.finditer(rb"\w+|.", content, re.DOTALL))
    word = rng.choice(words)
    return rng.choice(
        [
            content[:i] + bytes([rng.randrange(256)]) + content[i + 1 :],
            content[:i] + content[j:],
            content[:j] + content[i:],
            content[:i],
            content[: word.start()] + rng.choice(TOKENS) + content[word.end() :],
            content[: word.start()] + rng.choice(words).group() + content[word.end() :],
        ]
    )


def exchanged(value, rng):
    """A JSON value or a pickle's with a part of it exchanged, left out or doubled."""
    if not isinstance(value, dict | list | tuple) or not value or rng.random() < 0.15:
        return rng.choice(VALUES)
    if isinstance(value, dict):
        key = rng.choice(list(value))
        return {**value, key: exchanged(value[key], rng)} if rng.random() < 0.9 else {k: v for k, v in value.items() if k != key}
    row, parts = rng.randrange(len(value)), list(value)
    new = rng.choice([[exchanged(parts[row], rng)]] * 6 + [[], [parts[row]] * 2, [rng.choice(parts)]])
    return parts[:row] + new + parts[row + 1 :]


def damaged(path, whole, rng):
    """The content of a file with up to three faults."""
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        if path.suffix == ".json" and rng.random() < 0.6:
            whole = json.dumps(exchanged(json.loads(whole), rng)).encode()
        elif path.suffix == ".pkl" and rng.random() < 0.6:
            whole = pickle.dumps(exchanged(pickle.loads(whole), rng), protocol=rng.randrange(6))
        else:
            return damage(whole, rng) if whole else whole
    return whole


class Slow(BaseException):
    """Something takes longer than it may."""


def _stop(*_):
    raise Slow


opened_paths = None  # while something is watched: the files and folders that are opened


def _hook(event, arguments):
    if opened_paths is not None and event in ("open", "os.listdir", "os.scandir", "os.remove", "os.rename", "os.mkdir", "os.rmdir"):
        opened_paths.extend(os.path.abspath(os.fsdecode(path)) for path in arguments[:1] if isinstance(path, str | bytes | os.PathLike))
    elif opened_paths is not None and event in ("subprocess.Popen", "os.system", "os.exec", "socket.connect", "ctypes.dlopen"):
        opened_paths.append(f"{event} {arguments}")


sys.addaudithook(_hook)


@contextmanager
def bounded():
    """Stops what takes more than SECONDS of computing or BYTES of memory more than there are in use; gives what is opened."""
    global opened_paths
    in_use = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    before, handler = resource.getrlimit(resource.RLIMIT_AS), signal.signal(signal.SIGPROF, _stop)
    opened_paths = []
    resource.setrlimit(resource.RLIMIT_AS, (in_use + BYTES, before[1]))
    signal.setitimer(signal.ITIMER_PROF, SECONDS)
    try:
        yield opened_paths
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        resource.setrlimit(resource.RLIMIT_AS, before)
        signal.signal(signal.SIGPROF, handler)
        opened_paths = None


def outside(paths, folder):
    """Those of the opened paths that belong neither to the folder nor to Python and the project themselves."""
    ours = ("/proc/meminfo", str(folder), str(Path(__file__).parents[2]), sys.prefix, sys.base_prefix, str(Path(np.__file__).parents[1]))
    return [path for path in paths if not path.startswith(ours)]


@pytest.mark.parametrize("operation", [b"r\xff\xff\xff\x7f", b"p2147483647\n", b"\x96\xff\xff\xff\xff\xff\x00\x00\x00"])
def test_a_pickle_that_asks_for_gigabytes_is_refused(operation, tmp_path):
    (tmp_path / "a.pkl").write_bytes(b"\x80\x05K\x01" + operation + b".")
    with pytest.raises(IntegrityError, match="damaged"):
        pickles.load_plain(tmp_path / "a.pkl")


def test_a_frame_that_is_too_short_is_no_matter(tmp_path):
    """The unpickler in C takes it for the end of the memory that it asked for."""
    content = {"a": bytearray(40), "b": [bytearray(3), "c"]}
    whole = pickle.dumps(content, protocol=5)
    for length in range(len(whole)):
        (tmp_path / "a.pkl").write_bytes(whole[:3] + length.to_bytes(8, "little") + whole[11:])
        assert pickles.load_plain(tmp_path / "a.pkl") == content


def _files(root):
    return sorted(path for path in root.rglob("*") if path.relative_to(root).parts[0] != "cache")


def prepare(reader, root):
    """The files of a reader that its fixture lacks."""
    if reader == "coco":
        pixels = np.zeros((30, 40), np.uint8)
        pixels[3:20, 4:30:3] = 1
        runs = {"size": [30, 40], "counts": rle.encode(np.asfortranarray(pixels))["counts"].decode()}
        edit(root / "annotations/instances_val2017.json", lambda c: c["annotations"][1].update(segmentation=runs))
    if reader == "revisited, arrays":
        truth = pickle.loads((root / "gnd_roxford5k.pkl").read_bytes())
        grades = [{key: np.array(rows, np.float64 if key == "bbx" else np.int32) for key, rows in one.items()} for one in truth["gnd"]]
        (root / "gnd_roxford5k.pkl").write_bytes(pickle.dumps({**truth, "imlist": np.array(truth["imlist"]), "gnd": grades}))
    if reader == "folder, yolo":
        write(root / "labels/val/b.txt", "1 0.1 0.2 0.5 0.2 0.5 0.4\n0 0.3 0.3 0.4 0.2\n")
    if reader == "folder, labelme":
        write(root / "c.json", labelme("c.jpg", [shape("cup", [[9, 9], [40, 9], [40, 30]], "polygon"), shape("pot", [[50, 50], [60, 60]], "circle")], (200, 100)))
    if reader.startswith(("folder, csv", "folder, json", "guest")):
        write(root / "boxes.csv", "image,label,x0,y0,x1,y1\nb.JPG,dog,1,2,20,15\ntrip/a.png,cat,0,0,40,30\n")
    if reader == "folder, json":
        images = [{"id": i, "file_name": name, "width": 40, "height": 30} for i, name in enumerate(("b.JPG", "trip/a.png"))]
        boxes = [{"id": i, "image_id": i, "category_id": 1, "bbox": [2, 3, 10, 7], "iscrowd": 0, "segmentation": [[2, 3, 12, 3, 12, 10]]} for i in (0, 1)]
        write(root / "boxes.json", {"images": images, "annotations": boxes, "categories": [{"id": 1, "name": "dog"}]})
        (root / "boxes.csv").unlink()
    if reader.startswith("guest"):
        write(root / "guest.txt", "b.JPG a.png trip/a.png\ntrip/a.png b.JPG trip/c.webp turned.jpg\n")
        write(root / "guest.csv", "b.JPG,a.png,trip/a.png\ntrip/a.png,b.JPG;trip/c.webp,turned.jpg\n")
        np.save(root / "guest.npy", np.array([[0, 2, 3], [1, 3, 4]]))
        np.savez_compressed(root / "guest.npz", queries=np.eye(2, 3), database=np.ones((5, 3)))


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="memory is measured by /proc")
@pytest.mark.parametrize("n", [200, pytest.param(10_000, marks=pytest.mark.claims)])
@pytest.mark.parametrize("reader", READERS)
def test_damaged_files_are_read_or_refused_in_one_sentence(reader, n, request, monkeypatch, tmp_path, record_property):
    monkeypatch.setenv("FOIR_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    fixture, pattern, opened = READERS[reader]
    root = request.getfixturevalue(fixture)
    prepare(reader, root)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        opened(root)  # whole, it is read, and all modules are there
    everything = _files(root)
    files, rng, refused = sorted(path for path in root.glob(pattern) if path.is_file() and path.stat().st_size), random.Random(reader), 0
    for _ in range(n):
        path = rng.choice(files)
        whole = path.read_bytes()
        path.write_bytes(broken := damaged(path, whole, rng))
        about = f"{path.name} holds {broken[:3000]!r}"
        try:
            with warnings.catch_warnings(record=True) as told, bounded() as paths:
                warnings.simplefilter("always")
                opened(root)
        except FoirError as error:
            refused += 1
            assert str(error).strip() and "\n" not in str(error) and str(error).encode() and len(str(error)) < 2000, about
            assert "more memory" not in str(error), f"{error}: {about}"
        except BaseException as error:
            raise AssertionError(f"{type(error).__name__}: {error}, {about}") from error
        told = [f"{one.category.__name__}: {one.message}" for one in told if not issubclass(one.category, DeprecationWarning)]
        assert all(line.startswith("UserWarning") and "\n" not in line for line in told), f"{told}: {about}"
        assert not outside(paths, tmp_path), f"{outside(paths, tmp_path)}: {about}"
        path.write_bytes(whole)
    record_property("refused", f"{refused} of {n}")
    assert 0.05 < refused / n < 1 and _files(root) == everything
