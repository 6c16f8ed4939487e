"""Unpacking zip and tar archives: nothing lands outside the folder, nothing lands half, and no damage passes that can be seen."""

import bz2
import gzip
import lzma
import os
import re
import shutil
import stat
import tarfile
import zipfile
import zlib
from contextlib import contextmanager
from functools import partial
from itertools import islice
from pathlib import Path

from tqdm.auto import tqdm

from foir_lib.errors import InputError, IntegrityError
from foir_lib.files import disk_errors

DAMAGED = (zipfile.BadZipFile, tarfile.TarError, zlib.error, lzma.LZMAError, EOFError, RuntimeError, ValueError)
STREAMS = {b"\x1f\x8b": gzip.open, b"BZh": bz2.open, b"\xfd7zXZ\0": lzma.open}  # first bytes of a compressed tar -> what reads it
MOST = 2_000_000  # members of an archive
LONGEST = 1 << 20  # bytes of a tar's header at once: names, not contents


def unpack(archive: str | Path, folder: str | Path, progress: bool = True) -> int:
    """Unpack ``archive`` (zip or tar, any compression) into ``folder``; the number of files placed.

    Every member is checked before the first byte is written, and a compressed tar read to its end, where its checksum
    stands (a plain tar has none of its contents). Then all go to a hidden folder beside their place and are moved from
    there, whole folders at once where nothing is in the way: a killed run leaves whole files only, and a second run
    completes it. Only names and contents are taken, never owners, modes or links. Raises IntegrityError when the archive
    is damaged, cut short, or holds an absolute path, "..", a link or a device; InputError when the disk is too small or
    read-only.
    """
    archive, folder = Path(archive), Path(folder)
    work = folder / f".unpack-{archive.name}"
    shutil.rmtree(work, ignore_errors=True)  # of a run that was killed
    failure = disk_errors(f"unpack {archive} into {folder}", "free some space, or choose a root that you may write to")
    try:
        with failure, _members(archive) as members:
            need_space(folder, sum(size for _, size, _ in members), f"unpacking {archive.name}")
            work.mkdir(parents=True)
            for name, size, opened in tqdm(members, desc=f"unpack {archive.name}", disable=not progress):
                target = work / name
                target.parent.mkdir(parents=True, exist_ok=True)
                with opened() as source, open(target, "wb") as sink:
                    shutil.copyfileobj(source, sink, 1 << 20)
                    if sink.tell() != size:
                        raise EOFError(f"{name} has {sink.tell()} bytes of {size}")
            _move(work, folder)
            return len(members)
    except InputError:  # of the disk, or an archive that was refused
        raise
    except DAMAGED as error:
        raise _damaged(archive, error) from error
    except OSError as error:
        if error.errno is not None:
            raise
        raise _damaged(archive, error) from error  # gzip's and bzip2's own
    finally:
        shutil.rmtree(work, ignore_errors=True)


def is_archive(path: str | Path) -> bool:
    """Whether a file can be a zip, by its directory, or a tar, by its first header."""
    if zipfile.is_zipfile(path):
        return True
    try:
        with _stream(path) as stream:
            tarfile.TarInfo.frombuf(stream.read(tarfile.BLOCKSIZE), "utf-8", "surrogateescape")
        return True
    except DAMAGED:
        return False
    except OSError as error:
        if error.errno is not None:
            raise
        return False


def need_space(folder: str | Path, needed: int, purpose: str) -> None:
    """Raise InputError unless the disk of ``folder`` has ``needed`` bytes free for ``purpose``."""
    folder = Path(folder).absolute()
    while not folder.exists():
        folder = folder.parent
    free = shutil.disk_usage(folder).free
    if free < needed:
        space = f"has {readable(free)} free and {purpose} needs {readable(needed)}"
        raise InputError(f"The disk of {folder} {space}: free some space or choose a root on another disk.")


def readable(size: float | None) -> str:
    """A number of bytes in words, e.g. ``19.3 GB``; "unknown" for None."""
    if size is None:
        return "unknown"
    for unit in ("B", "kB", "MB", "GB"):
        if size < 1000:
            return f"{size:.0f} B" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} TB"


@contextmanager
def _members(archive):
    """Yield [(safe relative name, bytes, opener)] for the plain files of an open archive."""
    with open(archive, "rb") as start:
        is_zip = start.read(2) == b"PK"
    if is_zip:
        with zipfile.ZipFile(archive) as opened:
            entries = opened.infolist()
            files = [(e, e.filename, e.file_size, e.is_dir(), stat.S_IFMT(e.external_attr >> 16)) for e in entries]
            yield _safe_ones(files, opened.open, archive)
        return
    with _stream(archive) as stream, tarfile.open(fileobj=(blocks := _Blocks(stream)), mode="r:") as opened:
        files = [(e, e.name, e.size, e.isdir(), 0 if e.isreg() else stat.S_IFLNK) for e in islice(opened, MOST + 1)]
        if blocks.last != bytes(tarfile.BLOCKSIZE) and len(files) <= MOST:
            raise tarfile.ReadError(f"it breaks off after {len(files)} members")  # tarfile takes a damaged header for the end
        while stream.read(LONGEST):  # the checksum stands at the end
            pass
        yield _safe_ones(files, opened.extractfile, archive)


def _stream(path):
    """The file, decompressed where it is compressed."""
    with open(path, "rb") as start:
        first = start.read(6)
    return next((reader for magic, reader in STREAMS.items() if first.startswith(magic)), open)(path, "rb")


class _Blocks:
    """A stream for tarfile: refuses to read what no header can be, a name of gigabytes; ``last``: what was read last."""

    def __init__(self, stream):
        self._stream, self.seek, self.tell, self.last = stream, stream.seek, stream.tell, b""

    def read(self, size):
        if size > LONGEST:
            raise tarfile.ReadError(f"it has a header of {size} bytes")
        self.last = self._stream.read(size)
        return self.last


def _safe_ones(files, open_file, archive):
    if len(files) > MOST:
        raise ValueError(f"it has more than {MOST} members")
    return [
        (_safe(name, archive), size, partial(open_file, info))
        for info, name, size, is_folder, kind in files
        if not _folder(is_folder, kind, name, archive)
    ]


def _folder(is_folder, kind, name, archive):
    """True for a folder with a safe name, False for a plain file; everything else is refused."""
    _safe(name, archive)
    if not is_folder and kind not in (0, stat.S_IFREG):
        raise _refused(archive, f"{name!r}, a link or device")
    return is_folder


def _damaged(archive, error):
    return IntegrityError(f"Archive {archive} can't be unpacked ({error}): delete it and get it again.")


def _refused(archive, what):
    source = "get the archive from its official source"
    return IntegrityError(f"Archive {archive} holds {what}: nothing was unpacked; {source}.")


def _safe(name, archive):
    """The member name if it stays inside the folder it is unpacked to."""
    parts = name.split("/")
    if ".." in parts or re.match(r"$|/|[A-Za-z]:", name) or re.search(r"[\\\0]", name):
        raise _refused(archive, f"{name!r}, a path that leaves the target folder")
    return "/".join(part for part in parts if part not in ("", "."))


def _move(source, target):
    """Move all of ``source`` into ``target``: whole folders where new, else file by file."""
    for entry in sorted(os.scandir(source), key=lambda e: e.name):
        place = target / entry.name
        if entry.is_dir() and place.is_dir():
            _move(Path(entry.path), place)
        else:
            os.replace(entry.path, place)
