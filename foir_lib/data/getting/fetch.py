"""Bringing one file over HTTP: resumed where it stopped, measured, and checked before it counts."""

import hashlib
import re
from pathlib import Path

import requests
from tqdm.auto import tqdm

BROKEN = (requests.ConnectionError, requests.Timeout, requests.exceptions.ChunkedEncodingError)
PIECE = 1 << 16  # bytes


def fetch(url: str, part: str | Path, size: int | None = None, progress: bool = True) -> None:
    """Append to the file ``part`` what is missing of ``url``; ``size``: its bytes where known.

    Goes on after a broken connection as long as each try brings new bytes, and starts over where a
    server ignores Range. What has come stays in ``part``. Raises requests' errors, and OSError when
    the disk is full.
    """
    part = Path(part)
    while True:
        have = part.stat().st_size if part.exists() else 0
        if size is not None and have >= size:
            part.touch()
            return
        headers, total = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={have}-"} if have else {}), None
        try:
            with open(part, "ab") as sink, requests.get(url, stream=True, timeout=60, headers=headers) as response:
                if response.status_code == 416 and have:  # nothing more
                    if response.headers.get("Content-Range", "").endswith(f"/{have}"):
                        return
                    sink.truncate(0)
                    continue
                response.raise_for_status()
                start, total = _span(response)
                if start != have:  # the whole file again, or nothing that fits
                    sink.truncate(0)
                    if start:
                        raise requests.ConnectionError("the server sent another part than was requested")
                title = f"{part.stem} from {start / 1e6:.0f} MB" if start else part.stem
                look = {"total": total or size, "desc": title, "initial": start, "disable": not progress}
                with tqdm.wrapattr(sink, "write", **look) as target:
                    for piece in response.iter_content(PIECE):
                        target.write(piece)
        except BROKEN:
            if part.stat().st_size <= have:
                raise
            continue
        arrived = part.stat().st_size
        if total in (None, arrived):
            return
        if arrived <= have or arrived > total:
            raise requests.ConnectionError(f"{arrived} bytes came instead of {total}")


def _span(response):
    """(first byte, bytes of the whole file or None) of what a server sends."""
    if response.status_code == 206:
        span = re.fullmatch(r"bytes (\d+)-\d+/(\d+|\*)", response.headers.get("Content-Range", ""))
        return (int(span[1]), int(span[2]) if span[2] != "*" else None) if span else (-1, None)
    plain = response.headers.get("Content-Encoding", "identity") == "identity"
    length = response.headers.get("Content-Length")
    return 0, int(length) if length and plain else None


def checksum(path: str | Path, algorithm: str = "sha256", progress: bool = True) -> str:
    """Hex digest of the file at ``path``, read in pieces with a progress bar."""
    digest, path = hashlib.new(algorithm), Path(path)
    look = {"total": path.stat().st_size, "desc": f"check {path.name}", "disable": not progress}
    with open(path, "rb") as stream, tqdm.wrapattr(stream, "read", **look) as source:
        while piece := source.read(1 << 20):
            digest.update(piece)
    return digest.hexdigest()


def reason(error: Exception) -> str:
    """A short cause of a failed download."""
    if isinstance(error, requests.HTTPError):
        return f"the server answered {error.response.status_code}"
    if isinstance(error, requests.Timeout):
        return "the server did not answer in time"
    if isinstance(error, requests.ConnectionError) and "bytes came" not in str(error):
        return "no connection, or it broke"
    return str(error) or type(error).__name__
