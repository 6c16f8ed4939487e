"""Pictures in: any photograph, from a file or as a PIL picture, as plain RGB; its size and how EXIF turns it."""

import os
import stat
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from typing import BinaryIO, NamedTuple

import cv2
import numpy as np
from PIL import Image, ImageFile, UnidentifiedImageError

from foir_lib import heif
from foir_lib.errors import FoirError, InputError, MissingError, number

FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "TIFF", "GIF", "AVIF", heif.SafeHeif.format)  # what may be opened, nothing else
MAX_PIXELS = 120_000_000
USUAL = (255, 1023, 4095, 16383, 65535, 2**24 - 1, 2**31 - 1)  # largest values of 8, 10, 12, 14, 16 bits, and beyond
BAND = 2**20  # pixels that are converted at a time
ORIENTATION, LYING = 0x0112, (5, 6, 7, 8)  # EXIF tag, and its values that swap width and height
TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT, 3: Image.Transpose.ROTATE_180, 4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE, 6: Image.Transpose.ROTATE_270, 7: Image.Transpose.TRANSVERSE, 8: Image.Transpose.ROTATE_90,
}  # fmt: skip
Image.MAX_IMAGE_PIXELS = None  # the limit is max_pixels, at every door
warnings.filterwarnings("ignore", module=r"PIL\.")  # about EXIF that is damaged, which turns nothing


class Header(NamedTuple):
    """width, height: pixels of a picture as it is shown; orientation: how EXIF turned it there, 1 (not at all) to 8."""

    width: int
    height: int
    orientation: int


def open_image(
    path: str | os.PathLike | BinaryIO, max_pixels: int | None = None, longest: int | None = None
) -> Image.Image:
    """Open the picture at ``path`` (or an open binary file) as an RGB PIL image, turned as its EXIF says; see :func:`rgb`.

    ``longest``: a small copy will do, at most so many pixels on its longer side (large JPEGs are then decoded
    small, which is many times faster). Raises MissingError when there is no such file, and InputError when it is no
    picture of the FORMATS, is cut short, or has more than ``max_pixels`` pixels (MAX_PIXELS).
    """
    with _opened(path) as (image, name):
        _need_pixels(image, name, max_pixels)
        if longest:
            image.draft(None, (2 * longest, 2 * longest))
        picture = _rgb(image)
        if longest:
            picture.thumbnail((longest, longest))
        return picture


def rgb(picture: Image.Image, max_pixels: int | None = None) -> Image.Image:
    """Any PIL picture as plain RGB, turned as its EXIF says: the same pixels as :func:`open_image` gives of its file.

    Grey of more than 8 bits is scaled by the smallest usual maximum that holds it (255, 1023, 4095, 16383, 65535;
    of fractions 1, else their own); transparency is laid over white; of an animation the first frame is taken. What is
    plain RGB already is returned as it is. Raises InputError as open_image does.
    """
    if not isinstance(picture, Image.Image):
        kind = type(picture).__name__
        raise InputError(f"A picture is needed, not a {kind}: give open_image of a file, or Image.fromarray of an array.")
    name = getattr(picture, "filename", "") or "in memory"
    with in_words(name):
        if picture.format not in (None, "MPO", *FORMATS):
            raise InputError(f"Picture {name} is a {picture.format} file: give one of {', '.join(FORMATS)}.")
        _need_pixels(picture, name, max_pixels)
        return _rgb(picture)


def header(path: str | os.PathLike | BinaryIO) -> Header:
    """The :class:`Header` of what :func:`open_image` gives, without reading its pixels.

    Raises MissingError when there is no such file, and InputError when it is no picture.
    """
    with _opened(path) as (image, name):
        _need_pixels(image, name, None)  # some PNGs tell their orientation after all of their pixels
        turn = _orientation(image)
        turned = image.format == "TIFF" and image.tag_v2.get(ORIENTATION) == turn  # Pillow has swapped its sides already
        return Header(*(image.size[::-1] if turn in LYING and not turned else image.size), turn)


def size(path: str | os.PathLike | BinaryIO) -> tuple[int, int]:
    """(width, height) in pixels of what :func:`open_image` gives, as :func:`header` reads it."""
    return header(path)[:2]


@contextmanager
def opened(path: str | os.PathLike) -> Iterator[BinaryIO]:
    """The open file of a picture. Raises MissingError where there is none, InputError for what is no plain file."""
    with in_words(path):
        if not stat.S_ISREG(os.stat(path).st_mode):
            raise InputError(f"Picture {path} can't be read: it is a folder, a pipe or a device; give a plain file.")
        with open(path, "rb") as file:
            yield file


@contextmanager
def _opened(path) -> Iterator[tuple[Image.Image, str]]:
    """The PIL image of a file, its pixels not yet read, and what to call it; what goes wrong in one sentence."""
    on_disk = isinstance(path, (str, os.PathLike))
    name = path if on_disk else getattr(path, "name", None) or "in memory"
    with in_words(name), opened(path) if on_disk else nullcontext(path) as file, Image.open(file, formats=FORMATS) as image:
        yield image, name


@contextmanager
def in_words(name):
    """Whatever a decoder raises, as one sentence about the picture."""
    try:
        yield
    except FoirError:
        raise
    except FileNotFoundError as error:
        raise MissingError(f"There is no picture at {name}: check the path and the data root.") from error
    except UnidentifiedImageError as error:
        kinds = f"it is none of {', '.join(FORMATS)}, or damaged"
        raise InputError(f"Picture {name} can't be read ({kinds}): convert, replace or remove it.") from error
    except Exception as error:  # decoders raise what they like
        reason = " ".join(str(error).split()) or type(error).__name__
        remedy = "the file is damaged or no picture; replace or remove it"
        raise InputError(f"Picture {name} can't be read ({reason}): {remedy}.") from error


def _need_pixels(picture, name, limit):
    width, height = picture.size
    limit = MAX_PIXELS if limit is None else number(limit, "max_pixels", above=0)
    if width * height > limit:
        fact = f"{width * height / 1e6:.0f} megapixels ({width} x {height}), the limit is {limit / 1e6:.0f}"
        raise InputError(f"Picture {name} has {fact}: make it smaller or raise max_pixels (foir_lib.images.MAX_PIXELS).")


def _orientation(picture):
    """How EXIF turns the pixels of a picture, 1 to 8; 1 where it doesn't say."""
    with suppress(Exception):  # damaged EXIF turns nothing
        turn = picture.getexif().get(ORIENTATION)
        return turn if turn in TURNS else 1
    return 1


def _rgb(picture):
    """See :func:`rgb`."""
    file = _file_of_16_bits(picture)
    if picture.format != "TIFF":
        picture.load()  # before Pillow does for EXIF, where what it complains of would be lost
    turn = _orientation(picture)
    picture.load()
    deep = _deep(picture, file) if file else None
    if deep is None:
        turn = _orientation(picture)  # Pillow has turned a TIFF while it loaded it
    picture = deep or picture
    if picture.mode != "RGB" or "transparency" in picture.info:
        picture = _converted(picture)
    elif turn == 1 and isinstance(picture, ImageFile.ImageFile):
        return picture.copy()
    if turn in TURNS:
        picture = picture.transpose(TURNS[turn])
        picture.info.clear()  # it isn't to be turned again
    return picture


def _converted(picture):
    """A picture of any mode as RGB, a band of rows after the other: nothing wide is ever made of all of it."""
    result, (width, height) = Image.new("RGB", picture.size), picture.size
    step = max(1, BAND // width)
    boxes = [(0, y, width, min(y + step, height)) for y in range(0, height, step)]
    grey = picture.mode.startswith(("I", "F"))
    top = _top(np.asarray(picture.crop(box)) for box in boxes) if grey else None
    transparent = picture.mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in picture.info
    for box in boxes:
        band = picture.crop(box)
        if grey:
            values = np.clip(np.nan_to_num(np.asarray(band).astype(np.float32)), 0, top)
            band = Image.fromarray((values * np.float32(255 / top) + np.float32(0.5)).astype(np.uint8))
        elif transparent:
            band = band.convert("LA") if band.mode == "La" else band
            band = Image.alpha_composite(Image.new("RGBA", band.size, "white"), band.convert("RGBA"))
        result.paste(band.convert("RGB"), box)
    return result


def _top(bands):
    """The value that becomes white: the smallest usual maximum that holds all; of fractions 1, or their own maximum."""
    largest, whole, usual = 0.0, True, USUAL
    for values in bands:
        if values.dtype.kind == "f":
            values, usual = values[np.isfinite(values)], (1, *USUAL)
            whole = whole and bool((values == np.floor(values)).all())
        largest = max(largest, float(values.max(initial=0)))
    if not whole:
        return max(largest, 1.0)
    return next((top for top in usual if largest <= top), largest)


def _file_of_16_bits(picture):
    """The bytes of a file of colours of 16 bits, of which Pillow reads the upper 8; None of all others."""
    tiles = getattr(picture, "tile", None)
    if picture.mode not in ("RGB", "RGBA", "LA") or not tiles or ";16" not in str(tiles[0][3]):
        return None
    at = picture.fp.tell()
    picture.fp.seek(0)
    file = picture.fp.read()
    picture.fp.seek(at)
    return file


def _deep(picture, file):
    """Colours of 10, 12 or 14 bits in 16 as those of 8, from the bytes of their file; None where they are of 16 bits."""
    if max(high for _, high in picture.getextrema()[: 1 if picture.mode == "LA" else 3]) >= 64:
        return None
    pixels = cv2.imdecode(np.frombuffer(file, np.uint8), cv2.IMREAD_UNCHANGED)
    if pixels is None or pixels.dtype != np.uint16 or pixels.ndim != 3:
        return None
    colours, alpha = pixels[..., 2::-1], pixels[..., 3:]
    parts = [cv2.convertScaleAbs(np.ascontiguousarray(p), alpha=255 / _top([p])) for p in (colours, alpha) if p.size]
    return Image.fromarray(np.dstack(parts))
