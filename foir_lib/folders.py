"""What counts as a photograph: the pictures below a folder, through links, without thumbnails and waste."""

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from foir_lib.errors import MissingError
from foir_lib.files import as_path
from foir_lib.notices import note

EXTENSIONS = (
    ".jpg", ".jpeg", ".jpe", ".jfif", ".jif", ".mpo", ".png", ".webp", ".bmp", ".dib", ".tif", ".tiff", ".gif",
    ".avif", ".heic", ".heif", ".hif",
)  # fmt: skip
NOT_READ = (
    ".3fr", ".ai", ".arw", ".cr2", ".cr3", ".crw", ".dcr", ".dds", ".djvu", ".dng", ".eps", ".erf", ".exr", ".fits", ".hdr", ".iiq",
    ".ico", ".j2k", ".jp2", ".jpf", ".jpx", ".jxl", ".jxr", ".kdc", ".mef", ".mos", ".mrw", ".nef", ".nrw", ".orf", ".pbm", ".pcx", ".pef",
    ".pgm", ".pnm", ".ppm", ".psd", ".qoi", ".raf", ".raw", ".rw2", ".rwl", ".sr2", ".srf", ".srw", ".svg", ".tga", ".x3f", ".xcf",
)  # fmt: skip
LABELS = (".txt", ".csv", ".json", ".xml", ".yaml", ".yml", ".names")  # files that may hold labels of pictures
NO_PICTURES = (*LABELS, ".xmp", ".aae", ".md", ".html", ".py")  # not looked into
WASTE = {  # folders that systems make for themselves: thumbnails, what was deleted, what archives add
    "@eadir", "@recycle", "@recently-snapshot", "#recycle", "#snapshot", "~snapshot", "$recycle.bin", "recycler", "recycled",
    "system volume information", "network trash folder", "lost+found", "__macosx", "_gsdata_", "files_trashbin", "files_versions",
}  # fmt: skip
LIBRARY = (".photoslibrary", ".photolibrary", ".migratedphotolibrary", ".aplibrary")
ORIGINALS = {"originals", "masters"}  # beside them such a folder has small copies
COPIES = {"thumb", "thumbs", "thumbnails"}  # they may be anything, but not where each picture's original lies beside
HEADS = (b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"GIF87a", b"GIF89a", b"II*\0", b"MM\0*")  # a picture's file begins so


def below(root: str | os.PathLike) -> list[str]:
    """Paths of all pictures below ``root``, sorted, without hidden ones; MissingError when there are none.

    Links are followed: each folder and each picture is there once, by its own path where it has one below ``root``. What
    looks like a picture and is left out is noted by kind.
    """
    return pictures_and_labels(root)[0]


def pictures_and_labels(root: str | os.PathLike) -> tuple[list[str], list[str]]:
    """As :func:`below`, and beside them the paths, sorted, of all files whose names end as LABELS do."""
    root, paths, links, labels = as_path(root), [], [], []
    for entry in _files(root):
        ending = os.path.splitext(entry.name)[1].lower()
        if ending in LABELS and os.path.exists(entry.path):
            labels.append(entry.path)
        elif ending in NOT_READ:
            note(f"{ending} files left out: a format that is not read, convert them", entry.path)
        elif ending not in EXTENSIONS and ending not in NO_PICTURES and not os.path.exists(entry.path):
            note("links left out that lead to nothing, as to a disk that is elsewhere", entry.path)
        elif ending not in EXTENSIONS and (ending in NO_PICTURES or not _begins_as_picture(entry)):
            continue
        elif ending not in ("", *EXTENSIONS):
            note(f"{ending} files left out that hold pictures: rename them", entry.path)
        elif not os.path.isfile(entry.path):
            note("pictures left out that are no plain files: links to nothing, pipes", entry.path)
        else:
            (links if entry.is_symlink() else paths).append(entry.path)
    paths += _elsewhere(links, paths)
    if not paths:
        kinds = f"{', '.join(EXTENSIONS)}; convert others first"
        raise MissingError(f"There are no pictures below {root}: put some there ({kinds}).")
    return sorted(paths), sorted(labels)


def files(root: str | os.PathLike, ending: str) -> list[Path]:
    """All files below ``root`` whose names end so, sorted, as :func:`below` looks for them."""
    return sorted(Path(entry.path) for entry in _files(as_path(root)) if entry.name.endswith(ending))


def _files(root) -> Iterator[os.DirEntry]:
    """What is no folder below ``root``: its own folders before those that links lead to, each real one once."""
    top, tops, seen = os.path.realpath(root), [str(root)], set()
    while tops:
        folders = [tops.pop(0)]
        while folders:
            folder = folders.pop()
            real = os.path.realpath(folder)
            if real in seen:
                note("links left out: the folders that they lead to are there already", folder)
                continue
            seen.add(real)
            for entry in _entries(folder):
                if not (os.path.isdir(entry.path) if entry.is_symlink() else entry.is_dir()):
                    yield entry
                elif _is_waste(entry, folder):
                    note(f"pictures left out in folders {entry.name}: small copies, or deleted", entry.path, len(_names(entry.path)))
                elif not entry.is_symlink():
                    folders.append(entry.path)
                elif f"{top}{os.sep}".startswith(os.path.join(os.path.realpath(entry.path), "")):
                    note("links left out: they lead to a folder above", entry.path)
                else:
                    tops.append(entry.path)


def _entries(folder):
    """What lies in a folder, by name, without what is hidden."""
    try:
        with os.scandir(folder) as entries:
            return sorted((entry for entry in entries if not entry.name.startswith(".")), key=lambda entry: entry.name)
    except OSError as error:
        if os.path.isdir(folder):
            note(f"folders left out: {os.strerror(error.errno)}", folder)
        return []


def _is_waste(entry, folder):
    name = entry.name.lower()
    beside = str(folder).lower().endswith(LIBRARY) and name not in ORIGINALS
    copies = name in COPIES and {*_names(entry.path)} <= {*os.listdir(folder)}
    return name in WASTE or name.endswith(".lrdata") or beside or copies


def _names(folder):
    """The names of all pictures in a folder and those below it."""
    every = (name for _, _, names in os.walk(folder) for name in names)
    return [name for name in every if os.path.splitext(name)[1].lower() in EXTENSIONS]


def _elsewhere(links, paths):
    """Those ``links`` to pictures that lead to none of ``paths``, one for each picture."""
    folders = {folder: os.path.realpath(folder) for folder in map(os.path.dirname, paths if links else ())}
    there = {os.path.join(folders[os.path.dirname(path)], os.path.basename(path)) for path in paths if links}
    first = []
    for path in sorted(links):
        real = os.path.realpath(path)
        if real in there:
            note("links left out: the pictures that they lead to are there already", path)
        else:
            first.append(path)
        there.add(real)
    return first


def _begins_as_picture(entry):
    """Whether a file begins as a picture does."""
    with suppress(OSError):
        if os.path.isfile(entry.path):
            with open(entry.path, "rb") as file:
                head = file.read(16)
            return head.startswith(HEADS) or head[:4] + head[8:12] == b"RIFFWEBP" or head[4:12] in (b"ftypheic", b"ftypavif", b"ftypmif1")
    return False
