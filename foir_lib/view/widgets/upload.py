"""Photographs from a browser, in chunks, because a websocket refuses messages over some ten megabytes."""

from io import BytesIO
from pathlib import PurePath

from foir_lib.errors import InputError
from foir_lib.images import open_image
from foir_lib.text import one_line

PIXELS = 64_000_000
LONGEST = 4096  # pixels, longest side of what is worked on: a larger photograph is made smaller once, when it arrives
BYTES = 64 * 2**20
CHUNK = 512 * 2**10


class _Named(BytesIO):
    """Bytes that an error message can call by their file's ``name``."""

    def __repr__(self):
        return f"<{self.name}>"


class Uploads:
    """Files under way, one for each sender. A file that is refused is refused once, with InputError."""

    def __init__(self):
        self._files = {}  # sender -> (key, file, its chunks)

    def receive(self, sender, content, buffers):
        """Take one chunk, in any order; the picture and its file's name with the last one, until then None."""
        key, index, chunk = content.get("upload"), content.get("index"), bytes(buffers[0]) if buffers else b""
        known, file, chunks = self._files.get(sender, (None, None, {}))
        self._files[sender] = (key, None, {})  # done with or refused, unless more is to come
        file, chunks = (file, chunks) if known == key else (_file(content), {})
        if file is None:
            return None
        name, size, count = file
        if index not in range(count) or len(chunk) != min(CHUNK, size - CHUNK * index):
            raise InputError(f"Part {index} of {name} arrived damaged: upload it again.")
        chunks[index] = chunk
        if len(chunks) < count:
            self._files[sender] = (key, file, chunks)
            return None
        whole = _Named(b"".join(chunks[i] for i in range(count)))
        whole.name = name
        return open_image(whole, max_pixels=PIXELS, longest=LONGEST), name


def _file(content):
    """(name, bytes, number of chunks) of the file that a message belongs to, checked."""
    name = one_line(PurePath(str(content.get("name"))).name, 100).strip() or "photograph"
    size, count = content.get("size"), content.get("count")
    if type(size) is not int or size < 1:
        raise InputError(f"{name} is empty: choose another photograph.")
    if size > BYTES:
        raise InputError(f"{name} has {-(-size // 2**20)} MB, the limit is {BYTES // 2**20}: make it smaller first.")
    if count != -(-size // CHUNK):
        raise InputError(f"{name} of {size} bytes can't come in {count} parts: upload it again.")
    return name, size, count
