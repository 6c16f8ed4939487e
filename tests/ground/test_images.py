"""Any photograph opens as plain RGB or says in one sentence why not; files are written whole or not at all."""

import contextlib
import errno
import io
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from foir_lib.errors import InputError, MissingError
from foir_lib.files import atomic_path, atomic_write, cache_root
from foir_lib.images import EXTENSIONS, below, open_image, size


def says(error):
    """The message of a caught error, on one line."""
    text = str(error.value)
    assert text.endswith(".") and "\n" not in text, text
    return text


def opened(path):
    image = open_image(path)
    assert image.mode == "RGB"
    return np.asarray(image)


def test_plain_picture_keeps_its_pixels(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (5, 7, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    np.testing.assert_array_equal(opened(tmp_path / "a.png"), pixels)
    np.testing.assert_array_equal(opened(str(tmp_path / "a.png")), pixels)
    with (tmp_path / "a.png").open("rb") as file:
        np.testing.assert_array_equal(opened(file), pixels)


def test_cmyk_jpeg(tmp_path):
    Image.new("CMYK", (8, 8), (0, 255, 255, 0)).save(tmp_path / "a.jpg", quality=100)
    red = opened(tmp_path / "a.jpg").reshape(-1, 3).mean(0)
    assert red[0] > 240 and red[1] < 15 and red[2] < 15


def test_palette_with_transparency_is_laid_over_white(tmp_path):
    image = Image.new("P", (2, 1))
    image.putpalette([200, 10, 20, 0, 90, 0])
    image.putdata([0, 1])
    image.save(tmp_path / "a.png", transparency=1)
    np.testing.assert_array_equal(opened(tmp_path / "a.png"), [[[200, 10, 20], [255, 255, 255]]])


def test_plain_palette(tmp_path):
    image = Image.new("P", (2, 1))
    image.putpalette([200, 10, 20, 0, 90, 0])
    image.putdata([0, 1])
    image.save(tmp_path / "a.png")
    np.testing.assert_array_equal(opened(tmp_path / "a.png"), [[[200, 10, 20], [0, 90, 0]]])


def test_grey_with_alpha(tmp_path):
    Image.fromarray(np.array([[[100, 255], [100, 0], [0, 51]]], np.uint8), "LA").save(
        tmp_path / "a.png"
    )
    # alpha 51 is a fifth: 0 * 0.2 + 255 * 0.8 = 204
    np.testing.assert_allclose(opened(tmp_path / "a.png")[0, :, 0], [100, 255, 204], atol=1)


def test_rgba_over_white(tmp_path):
    Image.fromarray(np.array([[[10, 20, 30, 255], [10, 20, 30, 0]]], np.uint8)).save(
        tmp_path / "a.png"
    )
    np.testing.assert_array_equal(opened(tmp_path / "a.png"), [[[10, 20, 30], [255, 255, 255]]])


def test_grey_and_one_bit(tmp_path):
    Image.fromarray(np.array([[7, 200]], np.uint8)).save(tmp_path / "a.png")
    np.testing.assert_array_equal(opened(tmp_path / "a.png")[..., 1], [[7, 200]])
    Image.new("1", (2, 2), 1).save(tmp_path / "b.png")
    assert (opened(tmp_path / "b.png") == 255).all()


@pytest.mark.parametrize("name", ["a.png", "a.tif"])
def test_sixteen_bits_are_scaled_not_cut(tmp_path, name):
    Image.fromarray(np.array([[0, 257, 32896, 65535]], np.uint16)).save(tmp_path / name)
    np.testing.assert_array_equal(opened(tmp_path / name)[0, :, 0], [0, 1, 128, 255])


def test_float_tiff(tmp_path):
    Image.fromarray(np.array([[0.0, 0.5, 1.0]], np.float32)).save(tmp_path / "a.tif")
    np.testing.assert_array_equal(opened(tmp_path / "a.tif")[0, :, 0], [0, 128, 255])
    Image.fromarray(np.array([[0.0, np.nan, 1.0, -3.0]], np.float32)).save(tmp_path / "b.tif")
    np.testing.assert_array_equal(opened(tmp_path / "b.tif")[0, :, 0], [0, 0, 255, 0])


@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
def test_exif_orientation(tmp_path, orientation):
    stored = np.zeros((8, 16, 3), np.uint8)
    stored[:, :8, 0] = 255  # left half red as stored
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(stored).save(tmp_path / "a.jpg", exif=exif, quality=100, subsampling=0)
    turned = np.rot90(
        stored, {1: 0, 3: 2, 6: -1, 8: 1}[orientation]
    )  # 6: shown a quarter turn clockwise
    np.testing.assert_allclose(opened(tmp_path / "a.jpg").astype(int), turned, atol=8)


def test_first_frame_of_an_animation(tmp_path):
    frames = [Image.new("RGB", (4, 4), c) for c in ("red", "blue", "green")]
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:])
    assert (opened(tmp_path / "a.gif") == [255, 0, 0]).all()


@given(
    st.sampled_from(["JPEG", "PNG", "TIFF", "WEBP", "GIF", "BMP"]),
    st.tuples(st.integers(1, 40), st.integers(1, 40)),
    st.integers(0, 9) | st.none(),
    st.sampled_from(["RGB", "L", "P"]),
)
def test_the_size_of_a_header_is_that_of_the_picture(kind, stored, orientation, mode):
    file, exif = io.BytesIO(), Image.Exif()
    if orientation is not None:
        exif[0x0112] = orientation
    image = Image.new("L" if mode == "P" and kind in ("JPEG", "WEBP") else mode, stored)
    image.save(file, kind, **({} if kind in ("GIF", "BMP") else {"exif": exif}))
    turned = orientation in (5, 6, 7, 8) and kind not in ("GIF", "BMP")
    assert size(file) == (stored[::-1] if turned else stored)
    file.seek(0)
    assert size(file) == open_image(file).size


def test_a_size_that_cannot_be_had(tmp_path):
    with pytest.raises(MissingError, match="no picture at .*gone"):
        size(tmp_path / "gone.png")
    (tmp_path / "a.png").write_bytes(b"no")
    with pytest.raises(InputError, match="a.png can't be read"):
        size(tmp_path / "a.png")


def test_pictures_below_a_folder(tmp_path):
    names = ["b.JPG", "a-b/x.png", "a/y.webp", "a/deep/z.tiff", "notes.txt", ".hidden/x.jpg", "._b.jpg", "jpg"]
    for name in names:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    assert below(tmp_path) == sorted(str(tmp_path / name) for name in names[:4])
    for root in (tmp_path / ".hidden" / "nowhere", tmp_path / "notes.txt"):
        with pytest.raises(MissingError, match=rf"no pictures below .*{EXTENSIONS[0]}"):
            below(root)


# --- what can't be opened --------------------------------------------------------------------------


def broken(tmp_path, kind):
    path = tmp_path / "picture.jpg"
    if kind == "truncated":
        noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
        Image.fromarray(noise).save(path)
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    elif kind == "folder":
        path.mkdir()
    else:
        path.write_bytes(
            {"zero bytes": b"", "text": b"not a picture at all\n" * 50, "header": b"\xff\xd8\xff"}[
                kind
            ]
        )
    return path


@pytest.mark.parametrize("kind", ["truncated", "zero bytes", "text", "header", "folder"])
def test_broken_pictures_are_named(tmp_path, kind):
    path = broken(tmp_path, kind)
    with pytest.raises(InputError) as error:
        open_image(path)
    assert str(path) in says(error)


def test_missing_picture(tmp_path):
    with pytest.raises(MissingError) as error:
        open_image(tmp_path / "gone.jpg")
    assert str(tmp_path / "gone.jpg") in says(error)
    assert isinstance(error.value, FileNotFoundError)


def test_huge_picture_is_refused_before_it_is_decoded(tmp_path, monkeypatch):
    Image.new("L", (40, 30)).save(tmp_path / "a.png")
    monkeypatch.setattr(Image.Image, "load", lambda self: pytest.fail("the pixels were read"))
    with pytest.raises(InputError) as error:
        open_image(tmp_path / "a.png", max_pixels=1199)
    assert "40 x 30" in says(error)
    monkeypatch.undo()
    assert open_image(tmp_path / "a.png", max_pixels=1200).size == (40, 30)


def test_decompression_bomb(tmp_path, monkeypatch):
    Image.new("L", (40, 30)).save(tmp_path / "a.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    with pytest.raises(InputError) as error:
        open_image(tmp_path / "a.png")
    assert "too large" in says(error)


def test_a_large_picture_within_our_limit_opens_without_a_warning(tmp_path):
    """In a fresh process, in threads: Pillow's warning is off for good, not switched on and off."""
    Image.new("L", (40, 30)).save(tmp_path / "a.png")
    code = (
        "import sys; from concurrent.futures import ThreadPoolExecutor; from PIL import Image\n"
        "from foir_lib.images import open_image\nImage.MAX_IMAGE_PIXELS = 1000\n"
        "with ThreadPoolExecutor(4) as pool: print({p.size for p in pool.map(open_image, sys.argv[1:] * 40)})"
    )
    done = subprocess.run([sys.executable, "-c", code, tmp_path / "a.png"], capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("{(40, 30)}\n", "")


def samples():
    """Small files of every format, to be damaged."""
    image = Image.fromarray(np.random.default_rng(0).integers(0, 256, (9, 11, 3), dtype=np.uint8))
    exif = Image.Exif()
    exif[0x0112] = 6
    for kind, image_of, options in [
        ("JPEG", image, {"exif": exif}), ("PNG", image, {"exif": exif}), ("PNG", image.convert("P"), {"transparency": 3}),
        ("GIF", image, {}), ("TIFF", image, {}), ("BMP", image, {}), ("WEBP", image, {"exif": exif}),
    ]:  # fmt: skip
        file = io.BytesIO()
        image_of.save(file, kind, **options)
        yield file.getvalue()


SAMPLES = list(samples())


@given(
    st.sampled_from(SAMPLES),
    st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 255)), max_size=6),
    st.data(),
)
@settings(max_examples=200, deadline=None)
@pytest.mark.filterwarnings("ignore")
def test_damaged_files_open_or_raise_our_own_error(content, changes, data):
    content = bytearray(content)
    for position, value in changes:
        content[position % len(content)] = value
    content = (
        content[: data.draw(st.integers(0, len(content)))] if data.draw(st.booleans()) else content
    )
    with contextlib.suppress(InputError):
        size(io.BytesIO(content))
    try:
        image = open_image(io.BytesIO(content), max_pixels=10**6)
    except InputError:
        return
    assert image.mode == "RGB" and np.asarray(image).shape == (image.height, image.width, 3)


# --- writing ---------------------------------------------------------------------------------------


def test_atomic_write(tmp_path):
    path = tmp_path / "new" / "folder" / "a.txt"
    atomic_write(path, "grün")
    assert path.read_text("utf-8") == "grün"
    atomic_write(path, b"\x00\x01")
    assert path.read_bytes() == b"\x00\x01"
    assert [p.name for p in path.parent.iterdir()] == ["a.txt"]


def test_failure_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "a.bin"
    path.write_bytes(b"old")
    with pytest.raises(KeyError), atomic_path(path) as temporary:
        temporary.write_bytes(b"half of the n")
        assert temporary.parent == path.parent and path.read_bytes() == b"old"
        raise KeyError("stop")
    assert path.read_bytes() == b"old"
    assert [p.name for p in tmp_path.iterdir()] == ["a.bin"]


def test_full_disk_is_one_sentence_and_loses_nothing(tmp_path, monkeypatch):
    path = tmp_path / "a.bin"
    path.write_bytes(b"old")

    def full(self, content):
        with self.open("wb") as file:
            file.write(content[:3])
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(InputError) as error:
        atomic_write(path, b"new and longer")
    assert str(path) in says(error) and "No space left" in str(error.value)
    assert path.read_bytes() == b"old"
    assert [p.name for p in tmp_path.iterdir()] == ["a.bin"]


def test_a_folder_that_is_a_file(tmp_path):
    (tmp_path / "a").write_bytes(b"file")
    with pytest.raises(InputError) as error:
        atomic_write(tmp_path / "a" / "b.txt", "x")
    assert str(tmp_path / "a" / "b.txt") in says(error)


def test_a_name_that_is_too_long(tmp_path):
    with pytest.raises(InputError) as error:
        atomic_write(tmp_path / ("x" * 300), "x")
    assert re.search("name is too long", says(error), re.IGNORECASE)


def test_our_own_errors_pass_through(tmp_path):
    with pytest.raises(MissingError, match="no picture"), atomic_path(tmp_path / "a.txt"):
        open_image(tmp_path / "gone.png")


def test_cache_root(tmp_path, monkeypatch):
    monkeypatch.setenv("FOIR_CACHE", str(tmp_path / "c"))
    assert cache_root() == tmp_path / "c"
    monkeypatch.delenv("FOIR_CACHE")
    assert cache_root() == Path.home() / ".cache" / "foir"


def test_a_small_copy_of_a_picture(tmp_path):
    """Large JPEGs are decoded small; turned as EXIF says; never larger than they are."""
    image = Image.linear_gradient("L").resize((1600, 800)).convert("RGB")
    exif = Image.Exif()
    exif[0x0112] = 6  # lies on its side
    image.save(tmp_path / "turned.jpg", exif=exif)
    small = open_image(tmp_path / "turned.jpg", longest=100)
    assert small.size == (50, 100)
    whole = open_image(tmp_path / "turned.jpg")
    assert whole.size == (800, 1600)
    difference = np.asarray(small, float) - np.asarray(whole.resize((50, 100), Image.Resampling.BICUBIC), float)
    assert np.abs(difference).mean() < 3
    assert open_image(tmp_path / "turned.jpg", longest=5000).size == (800, 1600)
