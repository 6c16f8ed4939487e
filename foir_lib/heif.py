"""HEIC photographs for Pillow, by the decoder of libheif."""

import pi_heif
from pi_heif.as_plugin import HeifImageFile
from PIL import Image


class SafeHeif(HeifImageFile):
    """A HEIF file whose items have readable names: the decoder's Python part crashes on others, and Python with it."""

    def _open(self):
        self.fp.seek(0)
        data = self.fp.read()
        at = data.find(b"infe")
        while at >= 0:  # an entry of the table of items: size before its name; version, id, protection, type after it
            end = at - 4 + int.from_bytes(data[max(at - 4, 0) : at], "big")
            try:
                data[at + (14 if data[at + 4 : at + 5] == b"\x03" else 12) : end].decode()
            except UnicodeDecodeError as error:
                raise SyntaxError("its table of items is damaged") from error
            at = data.find(b"infe", at + 4)
        self.fp.seek(0)
        super()._open()


pi_heif.register_heif_opener(thumbnails=False, depth_images=False, aux_images=False)
Image.register_open(SafeHeif.format, SafeHeif, Image.OPEN[SafeHeif.format][1])
