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
import samples
from hypothesis import example, given, settings
from hypothesis import strategies as st
from PIL import EpsImagePlugin, Image

from foir_lib.errors import InputError, MissingError
from foir_lib.files import atomic_path, atomic_write, cache_root
from foir_lib.images import TURNS, header, open_image, rgb, size


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


def by_two_doors(content):
    """The pixels of a file, which are those of the PIL picture that its owner opens, also opened twice."""
    pixels = opened(io.BytesIO(content))
    picture = rgb(Image.open(io.BytesIO(content)))
    np.testing.assert_array_equal(np.asarray(picture), pixels)
    assert picture.mode == "RGB" and rgb(picture) is picture
    assert header(io.BytesIO(content))[:2] == picture.size
    return pixels


@given(
    st.sampled_from(["JPEG", "PNG", "TIFF", "WEBP", "AVIF", "GIF", "BMP", "MPO"]),
    st.tuples(st.integers(1, 20), st.integers(1, 20)),
    st.integers(0, 9),
    st.sampled_from(["RGB", "L", "P", "RGBA", "LA", "1", "I;16", "CMYK"]),
    st.integers(0, 2**32 - 1),
)
@settings(deadline=None)
def test_a_picture_is_the_same_by_every_door(kind, stored, orientation, mode, seed):
    pixels = np.random.default_rng(seed).integers(0, 256, (*stored[::-1], 3), dtype=np.uint8)
    file, exif, image = io.BytesIO(), Image.Exif(), Image.fromarray(pixels)
    exif[0x0112] = orientation
    image = Image.fromarray(pixels[..., 0].astype(np.uint16) * 200) if mode == "I;16" else image.convert(mode)
    try:
        image.save(file, kind, **({} if kind in ("GIF", "BMP") else {"exif": exif}))
    except (OSError, ValueError):  # not every format has every mode
        return
    shown = by_two_doors(file.getvalue())
    turned = orientation in (5, 6, 7, 8) and kind not in ("GIF", "BMP")
    assert shown.shape == (*(stored if turned else stored[::-1]), 3)


@pytest.mark.parametrize("type_", ["<u2", ">u2", "<i2", ">i2", "<u4", "<i4", ">i4", "<f4", ">f4"])
@pytest.mark.parametrize("top", [255, 1023, 4095, 16383, 65535])
def test_grey_of_any_depth_is_scaled_by_the_smallest_usual_maximum(type_, top):
    if top == 65535 and type_[1:] == "i2":
        return
    ramp = np.linspace(0, top, 256).round()[None].repeat(2, 0)
    pixels = by_two_doors(samples.tiff(ramp.astype(type_[1:]), type_[0]))
    assert np.abs(pixels[0, :, 0] - np.arange(256.0)).max() <= 1
    assert (pixels[0, 0], pixels[0, -1]) == (pytest.approx([0] * 3), pytest.approx([255] * 3))
    dim = by_two_doors(samples.tiff(np.where(ramp == top, top - 1, ramp / 2).astype(type_[1:]), type_[0]))
    assert abs(dim.mean() - 64) < 2  # half as bright: the scale is the maximum's, not the picture's


@pytest.mark.parametrize("kind", [".png", ".tiff"])
@pytest.mark.parametrize("top", [255, 1023, 4095, 16383, 65535])
def test_colours_of_any_depth(kind, top):
    values = np.stack([np.linspace(0, top, 64)] * 3, -1)[None].repeat(3, 0).round()
    values[..., 1] = 0
    pixels = by_two_doors(samples.deep(values, kind)).astype(float)
    np.testing.assert_allclose(pixels, values * 255 / top, atol=1)
    clear = np.dstack([values, np.where(values[..., :1] > top / 2, 65535, 0)])
    pixels = by_two_doors(samples.deep(clear, kind)).astype(float)
    np.testing.assert_allclose(pixels, np.where(clear[..., 3:] > 0, values * 255 / top, 255), atol=1)


def test_a_grey_picture_needs_little_more_than_its_pixels(tmp_path):
    """A PNG of 16 bits that is small on disk: the peak of memory is below 12 bytes a pixel (it was 28)."""
    Image.new("I;16", (8000, 5000), 1000).save(tmp_path / "a.png")
    assert (tmp_path / "a.png").stat().st_size < 100_000
    code = (
        "import resource, sys; from foir_lib.images import open_image\nfrom PIL import Image; Image.init()\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\nassert open_image(sys.argv[1]).size == (8000, 5000)\n"
        "print(1024 * (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 40e6)"
    )
    done = subprocess.run([sys.executable, "-c", code, tmp_path / "a.png"], capture_output=True, text=True)
    assert float(done.stdout) < 12, done


def test_heic():
    pixels = by_two_doors(samples.HEIC).astype(int)
    assert pixels.shape == (48, 64, 3)
    assert np.abs(pixels[10, 10] - (220, 30, 30)).max() < 6 and np.abs(pixels[40, 60] - (40, 160, 90)).max() < 6
    assert header(io.BytesIO(samples.HEIC)) == (64, 48, 1)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_tiff_is_turned_once(orientation):
    """As in the row of IFD0, which Pillow follows by itself, so in XMP alone, which it follows only as it loads."""
    red = np.zeros((60, 80), np.uint8)
    red[:30, :40] = 255
    shown = np.asarray(Image.fromarray(red).transpose(TURNS[orientation])) if orientation > 1 else red
    np.testing.assert_array_equal(by_two_doors(samples.tiff(red, "<", (274, 3, orientation)))[..., 0], shown)
    file = io.BytesIO()
    xmp = f'<x:xmpmeta><rdf:Description tiff:Orientation="{orientation}"/></x:xmpmeta>'.encode()
    Image.fromarray(red).save(file, "TIFF", tiffinfo={700: xmp})
    np.testing.assert_array_equal(by_two_doors(file.getvalue())[..., 0], shown)
    assert header(file).orientation == orientation


@pytest.mark.filterwarnings("ignore:Corrupt EXIF")
def test_damaged_exif_turns_nothing(tmp_path):
    file = io.BytesIO()
    Image.new("RGB", (8, 4)).save(file, "JPEG", exif=b"Exif\0\0MM\0*\0\0\0\x08\xff\xff\x01\x12")
    assert by_two_doors(file.getvalue()).shape == (4, 8, 3)
    assert header(file) == (8, 4, 1)


def test_a_size_that_cannot_be_had(tmp_path):
    with pytest.raises(MissingError, match="no picture at .*gone"):
        size(tmp_path / "gone.png")
    (tmp_path / "a.png").write_bytes(b"no")
    with pytest.raises(InputError, match="a.png can't be read"):
        size(tmp_path / "a.png")


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


@pytest.mark.parametrize("damage", ["a bit", "zeros"])
@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_a_damaged_png_is_refused_at_every_door(tmp_path, damage, mode):
    """Pillow reads a PNG's pixels when it is asked for EXIF: what it complains of then isn't lost, nor the lower half black."""
    pixels = np.random.default_rng(0).integers(0, 256, (40, 60, 3), dtype=np.uint8)
    Image.fromarray(pixels).convert(mode).save(tmp_path / "a.png")
    content = bytearray((tmp_path / "a.png").read_bytes())
    middle = len(content) // 2
    content[middle:] = bytes(len(content) - middle) if damage == "zeros" else bytes([content[middle] ^ 255]) + content[middle + 1 :]
    (tmp_path / "a.png").write_bytes(content)
    for door in (open_image, lambda path: open_image(path, longest=20), lambda path: rgb(Image.open(path))):
        with pytest.raises(InputError) as error:
            door(tmp_path / "a.png")
        assert "a.png" in says(error) and "damaged" in says(error)


@pytest.mark.parametrize(("thing", "kind"), [("a.png", "str"), (np.zeros((4, 4, 3), np.uint8), "ndarray"), (None, "NoneType")])
def test_what_is_no_picture_is_called_so(thing, kind):
    with pytest.raises(InputError, match=f"^A picture is needed, not a {kind}: give open_image"):
        rgb(thing)


@pytest.mark.parametrize("limit", [float("nan"), -5, 0, "many", True])
def test_a_limit_of_pixels_is_a_number_above_0(tmp_path, limit):
    Image.new("L", (4, 4)).save(tmp_path / "a.png")
    with pytest.raises(InputError, match=r"^max_pixels=.* must be a finite number, above 0\.$"):
        open_image(tmp_path / "a.png", max_pixels=limit)


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


def test_the_limit_is_ours_alone(tmp_path):
    """16320 x 12240 are more than Pillow's own limit, whose errors and warnings are off for good, in every thread."""
    Image.new("L", (16320, 12240), 90).save(tmp_path / "a.jpg", quality=5)
    with pytest.raises(InputError, match=r"200 megapixels \(16320 x 12240\), the limit is 120: .* raise max_pixels"):
        open_image(tmp_path / "a.jpg")
    code = (
        "import sys; from concurrent.futures import ThreadPoolExecutor\nfrom foir_lib.images import open_image\n"
        "small = lambda path: open_image(path, max_pixels=300_000_000, longest=64)\n"
        "with ThreadPoolExecutor(4) as pool: print({p.size for p in pool.map(small, sys.argv[1:] * 8)})"
    )
    done = subprocess.run([sys.executable, "-c", code, tmp_path / "a.jpg"], capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("{(64, 48)}\n", "")


def small_files():
    """Small files of every format, to be damaged."""
    image = Image.fromarray(np.random.default_rng(0).integers(0, 256, (9, 11, 3), dtype=np.uint8))
    exif = Image.Exif()
    exif[0x0112] = 6
    for kind, image_of, options in [
        ("JPEG", image, {"exif": exif}), ("PNG", image, {"exif": exif}), ("PNG", image.convert("P"), {"transparency": 3}),
        ("GIF", image, {}), ("TIFF", image, {}), ("BMP", image, {}), ("WEBP", image, {"exif": exif}), ("AVIF", image, {"exif": exif}),
    ]:  # fmt: skip
        file = io.BytesIO()
        image_of.save(file, kind, **options)
        yield file.getvalue()


SAMPLES = list(small_files())


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


# --- what may be opened


def eps(path):
    """A file that Pillow would hand to Ghostscript."""
    path.write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\n%%EndComments\nshowpage\n")
    return path


def test_only_named_formats_are_opened(tmp_path, monkeypatch):
    monkeypatch.setattr(EpsImagePlugin, "Ghostscript", lambda *_, **__: pytest.fail("Ghostscript was run"))
    path = eps(tmp_path / "photo.jpg")
    for look in (open_image, size, header):
        with pytest.raises(InputError, match=r"photo\.jpg can't be read \(it is none of JPEG, PNG, .*HEIF"):
            look(path)
    with pytest.raises(InputError, match="is a EPS file: give one of JPEG"):
        rgb(Image.open(path))
    for kind in ("DDS", "PPM", "TGA", "ICO", "PDF"):
        Image.new("RGB", (16, 16)).save(tmp_path / "a.jpg", kind)
        with pytest.raises(InputError, match="none of JPEG"):
            open_image(tmp_path / "a.jpg")


def test_only_plain_files_are_opened(tmp_path):
    os.mkfifo(tmp_path / "a.jpg")
    with pytest.raises(InputError, match=r"a\.jpg can't be read: it is a folder, a pipe or a device"):
        open_image(tmp_path / "a.jpg")
    with pytest.raises(InputError, match="null can't be read"):
        size("/dev/null")


@given(st.integers(0, len(samples.HEIC) - 1), st.integers(0, 255), st.none() | st.integers(0, len(samples.HEIC)))
@example(176, 0xA5, None)  # these crashed the decoder's Python part, and Python with it
@example(178, 0xF9, None)
@settings(max_examples=150, deadline=None)
def test_damaged_heic_opens_or_is_refused(position, value, end):
    content = bytearray(samples.HEIC)
    content[position] = value
    with contextlib.suppress(InputError):
        assert open_image(io.BytesIO(content[:end]), max_pixels=10**6).mode == "RGB"


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
