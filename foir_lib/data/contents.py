"""What picture files hold: a digest of each, and what else is read of a file, remembered as long as the file system says that it is the same."""

import hashlib
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from os import PathLike

from tqdm.auto import tqdm

from foir_lib.files import remember, remembered, state
from foir_lib.images import opened

BYTES, PIECE = 16, 2**20  # of a digest; of a file that are in memory at once
OTHERS = 100_000  # files of a folder that stay remembered beside those that were asked for


def digests(paths: Sequence[str], what: str) -> list[bytes]:
    """A :func:`digest` of each file; those that weren't changed, moved or copied since they were read aren't read again."""
    return each("contents", paths, digest, f"reading {what}")


def each(kind: str, paths: Sequence[str], read: Callable[[str], bytes | None], label: str, **depends) -> list[bytes | None]:
    """What ``read`` tells of each file: bytes, of one length for a ``kind``, or None, which isn't remembered.

    A file is read again when its place, number, length or one of its times is another; of a folder that was changed, what is new. ``depends``: what else the answer depends on, JSON values.
    """
    facts = [_fact(path) for path in paths]
    key = depends | {"what": kind, "folder": os.path.commonpath([os.path.dirname(os.path.abspath(path)) for path in paths] or ["/"])}
    content = remembered(kind, key) or b""
    known, size = {}, BYTES + (content[0] if content else 0)
    for start in range(1, len(content), size):
        known[content[start : start + BYTES]] = content[start + BYTES : start + size]
    new = [(fact, path) for fact, path in dict(zip(facts, paths)).items() if fact not in known]
    with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
        values = list(tqdm(pool.map(read, [path for _, path in new]), total=len(new), desc=label, unit="picture", delay=2, disable=not new))
    known |= {fact: value for (fact, _), value in zip(new, values) if value is not None}
    rows = {fact: known[fact] for fact in facts if fact in known}
    if rows and any(value is not None for value in values):
        stay = known if len(known) <= len(rows) + OTHERS else rows  # queries and database may lie in one folder
        remember(kind, key, bytes([len(next(iter(rows.values())))]) + b"".join(fact + value for fact, value in stay.items()))
    return [rows.get(fact) for fact in facts]


def digest(path: str | PathLike) -> bytes:
    """A digest of all that a picture's file holds, neither of its name nor of its times.

    Raises MissingError when there is no such file, InputError when it is no plain one.
    """
    with opened(path) as file:
        content = hashlib.blake2b(digest_size=BYTES)
        while piece := file.read(PIECE):
            content.update(piece)
        return content.digest()


def stamps(paths: Sequence[str | PathLike]) -> str:
    """A digest of all that the file system tells of files: place, number, bytes, times of content and of change."""
    return hashlib.sha256(b"".join(map(_fact, paths))).hexdigest()


def _fact(path):
    return hashlib.blake2b(repr((os.path.abspath(path), state(path))).encode(), digest_size=BYTES).digest()
