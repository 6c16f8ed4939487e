"""Bringing one file over HTTP: resumed where it stopped, measured, and checked before it counts."""

import hashlib
import re
from functools import partial
from pathlib import Path

import pooch
import requests
from tqdm.auto import tqdm

BROKEN = (requests.ConnectionError, requests.Timeout, requests.exceptions.ChunkedEncodingError)


def fetch(url, part, size=None, progress=True):
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
        total = {}
        title = f"{part.stem} from {have / 1e6:.0f} MB" if have else part.stem
        bar = tqdm(total=size or 1, unit="B", unit_scale=True, desc=title, disable=not progress)
        with bar, open(part, "ab") as sink:
            ranged = {"Range": f"bytes={have}-"} if have else {}
            load = pooch.HTTPDownloader(
                progressbar=bar,
                chunk_size=1 << 16,
                timeout=60,
                headers={"Accept-Encoding": "identity", **ranged},
                hooks={"response": partial(_align, sink=sink, have=have, total=total)},
            )
            try:
                load(url, sink, None)
            except requests.HTTPError as error:
                if error.response.status_code != 416 or not have:  # 416: nothing more
                    raise
                if error.response.headers.get("Content-Range", "").endswith(f"/{have}"):
                    return
                sink.truncate(0)
                continue
            except BROKEN:
                sink.flush()
                if part.stat().st_size <= have:
                    raise
                continue
        arrived = part.stat().st_size
        if total.get("bytes") in (None, arrived):
            return
        if arrived <= have or arrived > total["bytes"]:
            raise requests.ConnectionError(f"{arrived} bytes came instead of {total['bytes']}")


def _align(response, *args, sink, have, total, **kwargs):
    """Note the full length, and empty ``sink`` when the server sends the file from its start."""
    if response.status_code == 206:
        span = re.fullmatch(r"bytes (\d+)-\d+/(\d+|\*)", response.headers.get("Content-Range", ""))
        if not span or int(span[1]) != have:
            sink.truncate(0)
            raise requests.ConnectionError("the server sent another part than was asked for")
        total["bytes"] = int(span[2]) if span[2] != "*" else None
    elif response.status_code == 200:
        sink.truncate(0)
        plain = response.headers.get("Content-Encoding", "identity") == "identity"
        length = response.headers.get("Content-Length")
        total["bytes"] = int(length) if length and plain else None


def checksum(path, algorithm="sha256", progress=True):
    """Hex digest of the file at ``path``, read in pieces with a progress bar."""
    digest, path = hashlib.new(algorithm), Path(path)
    size, title = path.stat().st_size, f"check {path.name}"
    bar = tqdm(total=size, unit="B", unit_scale=True, desc=title, disable=not progress)
    with bar, open(path, "rb") as stream:
        while piece := stream.read(1 << 20):
            digest.update(piece)
            bar.update(len(piece))
    return digest.hexdigest()


def reason(error):
    """A short cause of a failed download."""
    if isinstance(error, requests.HTTPError):
        return f"the server answered {error.response.status_code}"
    if isinstance(error, requests.Timeout):
        return "the server did not answer in time"
    if isinstance(error, requests.ConnectionError) and "bytes came" not in str(error):
        return "no connection, or it broke"
    return str(error) or type(error).__name__
