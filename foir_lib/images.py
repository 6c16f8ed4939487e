"""Pictures in, files out: opening any photograph as plain RGB, and writing files whole or not at all."""

import os
import uuid
import warnings
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from foir_lib.errors import InputError, MissingError

EXTENSIONS = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff", ".gif")
MAX_PIXELS = 120_000_000
warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)  # open_image has a limit of its own


def cache_root():
    """Folder for everything computed once: ``$FOIR_CACHE``, or ``~/.cache/foir``."""
    return Path(os.environ.get("FOIR_CACHE") or Path.home() / ".cache" / "foir").expanduser()


@contextmanager
def atomic_path(path):
    """Yield a temporary path beside ``path``; on success it takes the place of ``path``, else it goes.

    A reader sees the old file or the whole new one, never a part. Raises InputError when the disk
    is full or the folder can't be written.
    """
    path = Path(path)
    temporary = path.with_name(f".{path.name}.{os.getpid()}-{uuid.uuid4().hex[:8]}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        temporary.replace(path)
    except OSError as error:
        if isinstance(error, (InputError, MissingError)) or error.errno is None:
            raise
        raise InputError(
            f"Can't write {path}: {os.strerror(error.errno)}; free some space or set FOIR_CACHE "
            "or the output folder to another disk."
        ) from error
    finally:
        with suppress(OSError):  # there may be no such folder
            temporary.unlink(missing_ok=True)


def atomic_write(path, content):
    """Write ``content`` (bytes or str) to ``path`` whole or not at all; see :func:`atomic_path`."""
    with atomic_path(path) as temporary:
        temporary.write_bytes(content.encode() if isinstance(content, str) else content)


def open_image(path, max_pixels=MAX_PIXELS, longest=None):
    """Open the picture at ``path`` (or an open binary file) as an RGB PIL image, turned as its EXIF says.

    Palette, CMYK, grey and 16-bit pictures are converted; transparency is laid over white; of an
    animation the first frame is taken. ``longest``: a small copy will do, at most so many pixels
    on its longer side (large JPEGs are then decoded small, which is many times faster). Raises
    MissingError when there is no such file, and InputError when it is no picture, is cut short,
    or has more than ``max_pixels`` pixels.
    """
    name = path if isinstance(path, (str, os.PathLike)) else getattr(path, "name", None) or "in memory"
    try:
        with Image.open(path) as image:
            width, height = image.size
            if width * height > max_pixels:
                raise InputError(
                    f"Picture {name} has {width * height / 1e6:.0f} megapixels ({width} x {height}), the limit "
                    f"is {max_pixels / 1e6:.0f}: make it smaller or raise max_pixels."
                )
            if longest:
                image.draft(None, (2 * longest, 2 * longest))
            picture = _rgb(ImageOps.exif_transpose(image))
            if longest:
                picture.thumbnail((longest, longest))
            return picture
    except FileNotFoundError as error:
        raise MissingError(f"There is no picture at {name}: check the path and the data root.") from error
    except (InputError, MissingError):
        raise
    except Image.DecompressionBombError as error:
        raise InputError(f"Picture {name} is too large to open safely: make it smaller first.") from error
    except (OSError, SyntaxError, ValueError, EOFError, IndexError, TypeError) as error:
        raise InputError(
            f"Picture {name} can't be read ({error}): the file is damaged or no picture; replace or remove it."
        ) from error


def _rgb(image):
    """Any PIL mode as RGB; 16-bit and float grey scaled to 8 bits, alpha over white."""
    if image.mode.startswith(("I", "F")):
        grey = np.nan_to_num(np.asarray(image, dtype=np.float64))
        top = 65535.0 if image.mode.startswith("I") else max(float(grey.max()), 1.0)
        if image.mode == "I" and grey.max() <= 255:  # 8-bit values stored wide
            top = 255.0
        image = Image.fromarray(np.clip(grey * (255.0 / top) + 0.5, 0, 255).astype(np.uint8))
    if image.mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in image.info:
        image = image.convert("RGBA")
        ground = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(ground, image)
    return image.convert("RGB")
