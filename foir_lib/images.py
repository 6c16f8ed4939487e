"""Pictures in: opening any photograph as plain RGB."""

import os
import warnings

import numpy as np
from PIL import Image, ImageOps

from foir_lib.errors import InputError, MissingError

EXTENSIONS = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff", ".gif")
MAX_PIXELS = 120_000_000
warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)  # open_image has a limit of its own


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
