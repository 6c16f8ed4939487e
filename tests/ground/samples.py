"""Small files as people have them: HEIC from a telephone, grey TIFFs of any type, PNGs of 16 bits a colour."""

import base64
import io
import struct

import cv2
import numpy as np
from PIL import Image

HEIC = base64.b64decode(  # 64 x 48 pixels: left half (220, 30, 30), right half (40, 160, 90); EXIF says 6, which means nothing in HEIC
    "AAAAHGZ0eXBoZWljAAAAAG1pZjFoZWljbWlhZgAAAb5tZXRhAAAAAAAAACFoZGxyAAAAAAAAAABwaWN0AAAAAAAAAAAAAAAAAAAAADRpbG9jAA"
    "AAAERAAAIAAQAAAAAB4gABAAAAAAAAAF0AAgAAAAACPwABAAAAAAAAACQAAAA4aWluZgAAAAAAAgAAABVpbmZlAgAAAAABAABodmMxAAAAABVp"
    "bmZlAgAAAQACAABFeGlmAAAAAA5waXRtAAAAAAABAAAA/WlwcnAAAADdaXBjbwAAAHZodmNDAQNwAAAAkAAAAAAAHvAA/P34+AAADwNgAAEAGE"
    "ABDAH//wNwAAADAJAAAAMAAAMAHroCQGEAAQAqQgEBA3AAAAMAkAAAAwAAAwAeoCCBBZbq5Ka5uAhoMCAAAAMDIAAAAwAhYgABAAZEAcFzwIkA"
    "AAATY29scm5jbHgAAQANAAaAAAAAFGlzcGUAAAAAAAAAQAAAAEAAAAAoY2xhcAAAAEAAAAABAAAAMAAAAAEAAAAAAAAAAv////AAAAACAAAAEH"
    "BpeGkAAAAAAwgICAAAABhpcG1hAAAAAAAAAAEAAQWBAgMFhAAAABppcmVmAAAAAAAAAA5jZHNjAAIAAQABAAAAiW1kYXQAAABZKAGvCeA5IyS/"
    "//kEf//4xG5D+BRlwTj97c598kwf/8iE9RXZWFbBJsBqljfGPcF0tBetxYtGnF5bs3PWkzl0Bsh3yLU0lX3WGoNPeALLMFQWEAgQTMoTQHAAAA"
    "AGRXhpZgAATU0AKgAAAAgAAQESAAMAAAABAAYAAAAAAAA="
)


def jpeg(size=(16, 8), orientation=1, colour=(90, 120, 40)):
    """Bytes of a JPEG whose upper left quarter, as stored, is red, and which EXIF turns."""
    image, exif, file = Image.new("RGB", size, colour), Image.Exif(), io.BytesIO()
    image.paste((255, 0, 0), (0, 0, size[0] // 2, size[1] // 2))
    exif[0x0112] = orientation
    image.save(file, "JPEG", exif=exif, quality=100, subsampling=0)
    return file.getvalue()


def tiff(values, endian="<", *tags):
    """Bytes of a grey TIFF, uncompressed, of an array (height, width) of any type; more tags as (tag, type, value)."""
    values = np.asarray(values)
    data, kind = values.astype(values.dtype.newbyteorder(endian)).tobytes(), {"u": 1, "i": 2, "f": 3}[values.dtype.kind]
    data += b"\0" * (len(data) % 2)
    (height, width), bits = values.shape, 8 * values.dtype.itemsize
    every = [(256, 4, width), (257, 4, height), (258, 3, bits), (259, 3, 1), (262, 3, 1), (273, 4, 8), (277, 3, 1), (278, 4, height),
             (279, 4, len(data)), (339, 3, kind), *tags]  # fmt: skip
    out = (b"II*\0" if endian == "<" else b"MM\0*") + struct.pack(endian + "I", 8 + len(data)) + data
    out += struct.pack(endian + "H", len(every))
    for tag, form, value in sorted(every):
        out += struct.pack(endian + "HHI", tag, form, 1)
        out += struct.pack(endian + "I", value) if form == 4 else struct.pack(endian + "HH", value, 0)
    return out + struct.pack(endian + "I", 0)


def deep(values, kind=".png"):
    """Bytes of a PNG or TIFF of 16 bits a colour, of an RGB or RGBA array (height, width, 3 or 4)."""
    order = [2, 1, 0, 3][: values.shape[2]]
    return cv2.imencode(kind, np.ascontiguousarray(values[..., order], np.uint16))[1].tobytes()
