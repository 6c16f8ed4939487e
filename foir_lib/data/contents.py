"""What picture files hold: a digest of each, remembered as long as the file system says that the file is the same."""

import hashlib
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from os import PathLike

import numpy as np
from tqdm.auto import tqdm

from foir_lib.files import cached, state
from foir_lib.images import opened

BLOCKS, BLOCK, BYTES = 8, 32 * 2**10, 16  # of a file longer than eight blocks, eight blocks that are spread over it; a digest's length


def digests(paths: Sequence[str], what: str) -> list[bytes]:
    """A :func:`digest` of each file; those that weren't changed, moved or copied since they were read aren't read again."""

    def compute():
        with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
            bar = tqdm(pool.map(digest, paths), total=len(paths), desc=f"reading {what}", unit="picture", delay=2)
            return b"".join(bar)

    read = cached("contents", {"what": f"contents of {what}", "n": len(paths), "files": stamps(paths)}, compute)
    return [read[start : start + BYTES] for start in range(0, len(read), BYTES)]


def digest(path: str | PathLike) -> bytes:
    """A digest of what a picture's file holds, neither of its name nor of its times; of a long one, of parts all over it.

    Raises MissingError when there is no such file, InputError when it is no plain one.
    """
    with opened(path) as file:
        size = os.fstat(file.fileno()).st_size
        content = hashlib.blake2b(str(size).encode(), digest_size=BYTES)
        whole = size <= BLOCKS * BLOCK
        for start in [0] if whole else np.linspace(0, size - BLOCK, BLOCKS).astype(int).tolist():
            file.seek(start)
            content.update(file.read(size if whole else BLOCK))
        return content.digest()


def stamps(paths: Sequence[str | PathLike]) -> str:
    """A digest of all that the file system tells of files: place, number, bytes, times of content and of change."""
    facts = hashlib.sha256()
    for path in paths:
        facts.update(repr((os.path.abspath(path), state(path))).encode())
    return facts.hexdigest()
