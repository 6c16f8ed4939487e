"""Bringing one file over HTTP: resumed where it stopped while it is the same file, and never more than it is to be."""

import re
import shutil
from contextlib import suppress
from pathlib import Path

import requests
from tqdm.auto import tqdm

from foir_lib.data.getting.archives import need_space
from foir_lib.errors import IntegrityError

BROKEN = (requests.ConnectionError, requests.Timeout, requests.exceptions.ChunkedEncodingError)
PIECE = 1 << 16  # bytes
TRIES, CHANGES = 100, 2  # requests for one file, and how often it may have changed meanwhile
SPARE = 1_000_000_000  # bytes that a file of unknown size leaves free on the disk
PAGE = (b"<!doctype html", b"<html", b"<?xml", b"<error")  # storage servers tell in XML why they don't
ENCODINGS = ("identity", "gzip", "deflate")  # what is taken off


class Refused(requests.RequestException):
    """What a server sends isn't the file: a page, nothing, or another file each time."""


class _Changed(requests.ConnectionError):
    """The part at hand is of another file than the server's, as far as it says."""


def fetch(url: str, part: str | Path, size: int | None = None, progress: bool = True) -> None:
    """Append to the file ``part`` what is missing of ``url``; ``size``: its bytes where known.

    A broken connection is resumed, also by a later call, as long as each try brings new bytes and the server says, by ETag
    or Last-Modified (noted beside the part, as ``.of``), that it is the same file; otherwise it begins again. What has come
    stays in ``part``. Raises requests' errors, IntegrityError for a file of another size (the part goes), InputError where
    the disk is too small for it, and OSError when the disk is full.
    """
    part, most, changes = Path(part), 0, 0
    note = part.with_name(f"{part.name}.of")
    for _ in range(TRIES):
        have = part.stat().st_size if part.exists() else 0
        if size is not None and have == size:
            part.touch()
            break
        try:
            _request(url, part, note, have, size, progress)
            break
        except ValueError as error:  # of an address that is none, where it sends us to
            if isinstance(error, (IntegrityError, requests.RequestException)):
                raise
            raise Refused(f"it leads to an address that is none ({error})") from error
        except _Changed as error:
            part.unlink(missing_ok=True)
            changes += 1
            if changes > CHANGES:
                raise Refused("the server's file is another one each time") from error
        except BROKEN:
            most, before = max(most, have, part.stat().st_size if part.exists() else 0), max(most, have)
            if most == before:
                raise
    else:
        raise requests.ConnectionError(f"it broke off {TRIES} times")
    note.unlink(missing_ok=True)


def _request(url, part, note, have, size, progress):
    """One request for what is missing; returns when the part is whole."""
    of = _noted(note) if have else None
    headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={have}-", "If-Range": of} if of else {})
    with requests.get(url, stream=True, timeout=60, headers=headers) as response:
        if response.status_code == 416 and of:
            if response.headers.get("Content-Range", "").endswith(f"/{have}"):  # nothing more
                return
            raise _Changed
        response.raise_for_status()
        start, total = _span(response)
        if start and (start != have or _validator(response) != of):
            raise _Changed
        pieces = response.iter_content(PIECE)
        piece = next(pieces, b"")
        _check(response, start, piece)
        if size is not None and total not in (None, size):
            raise IntegrityError(_other(url, size, f"{total} bytes"))
        if size is None and total:
            need_space(part.parent, total - start, f"getting {part.stem}")
        if not start:  # the whole file, from its beginning
            _begin(part, note, response)
        limit = size or total or part.stat().st_size + shutil.disk_usage(part.parent).free - SPARE
        title = f"{part.stem} from {start / 1e6:.0f} MB" if start else part.stem
        look = {"total": total or size, "desc": title, "initial": start, "disable": not progress}
        with open(part, "ab") as sink, tqdm.wrapattr(sink, "write", **look) as target:
            while piece and sink.tell() + len(piece) <= limit:
                target.write(piece)
                piece = next(pieces, b"")
    if piece:
        part.unlink()
        raise IntegrityError(_other(url, size or total, f"more than {limit} bytes"))
    arrived, whole = part.stat().st_size, size or total
    if whole and arrived < whole:
        raise requests.ConnectionError(f"{arrived} bytes came instead of {whole}")


def _noted(note):
    """What a note beside a part says, None where there is none that a request could hold."""
    with suppress(OSError, UnicodeError):
        text = note.read_bytes()[:1000].decode("ascii")
        return text if text.isprintable() and text == text.strip() else None
    return None


def _begin(part, note, response):
    """An empty part, and the note of which file it will be: in this order, so that no note stands beside another file's part."""
    part.write_bytes(b"")
    note.unlink(missing_ok=True)
    if (of := _validator(response)) and "Content-Encoding" not in response.headers:
        note.write_text(of, encoding="utf-8")  # half of it names nothing


def _check(response, start, first):
    """Raises Refused for what is no file: a page, or nothing."""
    kind = response.headers.get("Content-Type", "").lower()
    if response.status_code not in (200, 206) or not (first or start):
        raise Refused(f"the server answered {response.status_code} and sent nothing")
    if "html" in kind or (not start and first.removeprefix(b"\xef\xbb\xbf").lstrip()[:20].lower().startswith(PAGE)):
        raise Refused("the server sent a web page instead")
    if (encoding := response.headers.get("Content-Encoding", "identity").strip().lower()) not in ENCODINGS:
        raise Refused(f"the server sent it encoded as {encoding!r}, which nobody asked for")


def _other(url, size, arrived):
    wanted = "a file that fits on the disk" if size is None else f"{size} bytes"
    return f"{url} is not the published file: expected {wanted}, got {arrived}: try again later, or bring it by other means."


def _validator(response):
    """What names the state of a server's file: a strong ETag, else its time, else None."""
    etag = response.headers.get("ETag")
    return etag if etag and not etag.startswith("W/") else response.headers.get("Last-Modified")


def _span(response):
    """(first byte, bytes of the whole file or None) of what a server sends."""
    if response.status_code == 206:
        span = re.fullmatch(r"bytes (\d+)-\d+/(\d+|\*)", response.headers.get("Content-Range", ""))
        return (int(span[1]), int(span[2]) if span[2] != "*" else None) if span else (-1, None)
    plain = response.headers.get("Content-Encoding", "identity") == "identity"
    length = response.headers.get("Content-Length", "")
    return 0, int(length) if length.isdigit() and plain else None


def reason(error: Exception) -> str:
    """A short cause of a failed download."""
    if isinstance(error, requests.HTTPError):
        return f"the server answered {error.response.status_code}"
    if isinstance(error, requests.Timeout):
        return "the server did not answer in time"
    if isinstance(error, BROKEN) and "bytes came" not in str(error):
        return "no connection, or it broke"
    return str(error) or type(error).__name__
