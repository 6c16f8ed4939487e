"""Pictures in: opening any photograph as plain RGB, its size, and the pictures below a folder."""

import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import BinaryIO

import numpy as np
from PIL import Image, ImageOps

from foir_lib.errors import InputError, MissingError
from foir_lib.files import as_path

EXTENSIONS = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff", ".gif")
MAX_PIXELS = 120_000_000
ORIENTATION, LYING = 0x0112, (5, 6, 7, 8)  # EXIF tag, and its values that swap width and height
warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)  # open_image has a limit of its own


def open_image(
    path: str | os.PathLike | BinaryIO, max_pixels: int = MAX_PIXELS, longest: int | None = None
) -> Image.Image:
    """Open the picture at ``path`` (or an open binary file) as an RGB PIL image, turned as its EXIF says.

    Palette, CMYK, grey and 16-bit pictures are converted; transparency is laid over white; of an
    animation the first frame is taken. ``longest``: a small copy will do, at most so many pixels
    on its longer side (large JPEGs are then decoded small, which is many times faster). Raises
    MissingError when there is no such file, and InputError when it is no picture, is cut short,
    or has more than ``max_pixels`` pixels.
    """
    with _opened(path) as (image, name):
        width, height = image.size
        if width * height > max_pixels:
            fact = f"{width * height / 1e6:.0f} megapixels ({width} x {height}), the limit is {max_pixels / 1e6:.0f}"
            raise InputError(f"Picture {name} has {fact}: make it smaller or raise max_pixels.")
        if longest:
            image.draft(None, (2 * longest, 2 * longest))
        picture = _rgb(ImageOps.exif_transpose(image))
        if longest:
            picture.thumbnail((longest, longest))
        return picture


def size(path: str | os.PathLike | BinaryIO) -> tuple[int, int]:
    """(width, height) in pixels of what :func:`open_image` gives, from the file's header alone.

    Raises MissingError when there is no such file, and InputError when it is no picture.
    """
    with _opened(path) as (image, _):
        turned = image.getexif().get(ORIENTATION) in LYING and image.format != "TIFF"  # PIL turns a TIFF by itself
        return image.size[::-1] if turned else image.size


def below(root: str | os.PathLike) -> list[str]:
    """Paths of all pictures below ``root``, sorted, without hidden ones; MissingError when there are none."""
    root, paths = as_path(root), []
    for folder, inside, files in os.walk(root):
        inside[:] = [name for name in inside if not name.startswith(".")]
        paths += [os.path.join(folder, f) for f in files if f.lower().endswith(EXTENSIONS) and not f.startswith(".")]
    if not paths:
        raise MissingError(
            f"There are no pictures below {root}: put some there ({', '.join(EXTENSIONS)}; convert others, such as HEIC, first)."
        )
    return sorted(paths)


@contextmanager
def _opened(path) -> Iterator[tuple[Image.Image, str]]:
    """The PIL image of a file, its pixels not yet read, and what to call it; what goes wrong in one sentence."""
    name = path if isinstance(path, (str, os.PathLike)) else getattr(path, "name", None) or "in memory"
    try:
        with Image.open(path) as image:
            yield image, name
    except (InputError, MissingError):
        raise
    except FileNotFoundError as error:
        raise MissingError(f"There is no picture at {name}: check the path and the data root.") from error
    except Image.DecompressionBombError as error:
        raise InputError(f"Picture {name} is too large to open safely: make it smaller first.") from error
    except (OSError, SyntaxError, ValueError, EOFError, IndexError, TypeError) as error:
        remedy = "the file is damaged or no picture; replace or remove it"
        raise InputError(f"Picture {name} can't be read ({error}): {remedy}.") from error


def _rgb(image):
    """Any PIL mode as RGB; 16-bit and float grey scaled to 8 bits, alpha over white."""
    if image.mode.startswith(("I", "F")):
        grey = np.nan_to_num(np.asarray(image, dtype=np.float64))
        top = 65535.0 if image.mode.startswith("I") else max(float(grey.max()), 1.0)
        if image.mode == "I" and grey.max() <= 255:  # 8-bit values stored wide
            top = 255.0
        image = Image.fromarray(np.clip(grey * (255.0 / top) + 0.5, 0, 255).astype(np.uint8))
    if image.mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in image.info:
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image.convert("RGBA"))
    return image.convert("RGB")
