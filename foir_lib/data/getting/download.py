"""Manifests of the data sets: what there is, getting it, and verifying what lies on disk."""

import errno
import json
import os
from fnmatch import fnmatch
from pathlib import Path

import filelock
import pandas as pd
import requests

from foir_lib.data.getting.archives import is_archive, need_space, readable, unpack
from foir_lib.data.getting.fetch import fetch, reason
from foir_lib.errors import InputError, IntegrityError, MissingError, unknown
from foir_lib.files import as_path, cache_root, checksum, disk_errors, listing, manifest_root


def manifest(name: str) -> dict:
    """The manifest of data set ``name`` (data_manifests/README.md); InputError if unknown."""
    entries = {n: e for e in _manifests() for n in (e["name"], *e.get("variants", ()))}
    if name not in entries:
        raise unknown("data set", name, entries)
    return entries[name]


def _manifests():
    paths = [p for p in sorted(manifest_root().glob("*.json")) if p.name != "models.json"]
    return [json.loads(path.read_text(encoding="utf-8")) for path in paths]


def datasets() -> pd.DataFrame:
    """A row per data set: name, title, counts of images and categories, bytes, licence, homepage.

    ``bytes`` sums the known sizes; ``checksums`` says how many files have a published checksum.
    """
    rows = []
    for entry in _manifests():
        files = entry["files"]
        known = f"{sum(bool(file['checksum']) for file in files)} of {len(files)}"
        sizes = {"bytes": sum(file["bytes"] or 0 for file in files), "checksums": known}
        facts = {key: entry[key] for key in ("name", "title", "licence", "homepage")}
        rows.append(facts | entry["counts"] | sizes)
    order = ["name", "title", "query", "database", "categories", "bytes", "checksums", "licence", "homepage"]
    return pd.DataFrame(rows)[order].astype(dict.fromkeys(("query", "database", "categories"), "Int64"))


def data_root(name: str, root: str | Path | None = None) -> Path:
    """The folder of a data set: ``root``, or ``$FOIR_DATA/name``, or ``data/name`` in the cache."""
    if root is not None:
        return as_path(root)
    base = os.environ.get("FOIR_DATA")
    return (as_path(base) if base else cache_root() / "data") / folder(name)


def folder(name: str) -> str:
    """What the folder of a data set is called: variants of one set, e.g. voxdet and voxdetw, share theirs."""
    return next((entry["name"] for entry in _manifests() if name in entry.get("variants", ())), name)


def get(name: str, root: str | Path | None = None, progress: bool = True) -> pd.DataFrame:
    """Fetch and unpack data set ``name`` into ``root`` (or :func:`data_root`); verify's rows.

    What is complete already is left alone: a second call changes nothing, a call after a kill goes
    on. Archives go to ``root/archives`` and stay there. Raises MissingError when a file can't be
    fetched (and says what to do by hand), IntegrityError when one is not the published file (it is
    set aside), InputError when the disk is too small or read-only, or another run is at work in ``root``.
    """
    entry, root = manifest(name), data_root(name, root)
    todo = [file for file in entry["files"] if not _done(file, entry, root)]
    if todo:
        need_space(root, sum(_needs(file, root) for file in todo), f"getting {name}")
        try:
            with disk_errors(f"write to {root}", f"free some space, or choose another root for {name} with --root"):
                (root / "archives").mkdir(parents=True, exist_ok=True)
                with filelock.FileLock(root / "archives" / ".lock", timeout=0):
                    for file in todo:
                        _bring(file, name, root, progress)
                        if file["unpack"]:
                            _open(file, root, progress)
        except filelock.Timeout as error:
            busy = f"Another run is getting {name} into {root}"
            raise InputError(f"{busy}: wait for it or choose another root.") from error
    return verify(name, root, progress)


def verify(name: str, root: str | Path | None = None, progress: bool = True) -> pd.DataFrame:
    """What lies in ``root`` against the manifest of ``name``: a row per file and counted content.

    Columns: file, status, expected, actual, note. Status is "ok", "missing", "mismatch", or
    "unverified": there, but without a known checksum (or unpacked, with its archive gone).
    """
    entry, root = manifest(name), data_root(name, root)
    rows = [_file_row(file, entry, root, progress) for file in entry["files"]]
    for check in entry["expect"]:
        n = _count(check, root)
        status = "ok" if _holds(check, n) else "mismatch" if n else "missing"
        wanted = str(check["count"]) if "count" in check else f"at least {check['at_least']}"
        remedy = "" if status == "ok" else f": run foir data get {name} --root {root}"
        what = check.get("pattern") or check["list"]
        rows.append((what, status, wanted, str(n), check["what"] + remedy))
    if not rows:
        rows = [(name, "ok", "nothing to get", "", entry["protocol"]["note"])]
    return pd.DataFrame(rows, columns=["file", "status", "expected", "actual", "note"])


def _file_row(file, entry, root, progress):
    """One row of verify for a file of the manifest."""
    path, wanted = _place(file, root), file["checksum"]
    expected = _written(wanted) if wanted else f"{readable(file['bytes'])}, checksum unknown"
    if not path.exists():
        if _done(file, entry, root):
            note = "its archive is gone: what it brought is counted below"
            return file["name"], "unverified", expected, "unpacked", note
        bad = _beside(path, ".bad")
        aside = f"a wrong one was set aside as {bad}; " if bad.exists() else ""
        return file["name"], "missing", expected, "", f"{aside}fetch {file['url']} to {path}"
    wrong = _wrong(file, path, progress)
    if wrong:
        note = f"delete {path} and run foir data get {entry['name']} --root {root}"
        return file["name"], "mismatch", *wrong, note
    if wanted:
        return file["name"], "ok", expected, expected, ""
    return file["name"], "unverified", expected, readable(path.stat().st_size), file.get("note", "")


def _wrong(file, path, progress):
    """None when ``path`` is the published file as far as that is known, else (expected, got)."""
    size, wanted = path.stat().st_size, file["checksum"]
    if file["bytes"] not in (None, size):
        return f"{file['bytes']} bytes", f"{size} bytes"
    if wanted and (got := checksum(path, wanted["algorithm"], progress)) != wanted["value"]:
        return _written(wanted), _written(wanted | {"value": got})
    return None


def _written(checksum):
    return f"{checksum['algorithm']} {checksum['value']}"


def _beside(path, suffix):
    """The file of what came of ``path`` so far (".part"), or of a wrong one (".bad")."""
    return path.with_name(path.name + suffix)


def _bring(file, name, root, progress):
    """Get one file to its place, resumed and checked; a wrong one is set aside as ``.bad``."""
    path = _place(file, root)
    part, bad = _beside(path, ".part"), _beside(path, ".bad")
    if not path.exists():
        try:
            fetch(file["url"], part, file["bytes"], progress)
        except OSError as error:  # requests' errors are OSErrors too
            if error.errno == errno.ENOSPC:
                full = f"The disk of {root} is full; {part} is kept"
                raise InputError(f"{full}: free some space and run again.") from error
            if not isinstance(error, requests.RequestException):
                raise InputError(f"Can't write {part}: {error.strerror or error}.") from error
            run = f"run foir data get {name} --root {root} and foir data verify {name} --root {root}"
            remedy = f"run again to resume, or bring the file by other means to {path}, then {run}"
            raise MissingError(f"Can't fetch {file['url']} ({reason(error)}): {remedy}.") from error
    current = path if path.exists() else part
    if wrong := _wrong(file, current, progress):
        os.replace(current, bad)
        remedy = f"run foir data get {name} --root {root} again, or bring it from {file['url']} to {path} by hand"
        fact = f"expected {wrong[0]}, got {wrong[1]}; it was set aside as {bad}"
        raise IntegrityError(f"{file['name']} is not the published file: {fact}: {remedy}.")
    if current == part and file["unpack"] and not file["checksum"] and not is_archive(part):
        part.unlink()
        raise IntegrityError(f"What {file['url']} sends is no archive: try again later, or bring {file['name']} to {path} by hand.")
    os.replace(current, path)


def _open(file, root, progress):
    """Unpack an archive that was checked; a damaged one is set aside."""
    path = _place(file, root)
    try:
        unpack(path, root, progress)
    except IntegrityError:
        os.replace(path, _beside(path, ".bad"))
        raise


def _place(file, root):
    """Where a file belongs: archives in their own folder, plain files in the root."""
    return root / "archives" / file["name"] if file["unpack"] else root / file["name"]


def _needs(file, root):
    """Bytes a file still needs: what is left to fetch, and an archive's own size to unpack it."""
    size, path = file["bytes"] or 0, _place(file, root)
    here = [p.stat().st_size for p in (path, _beside(path, ".part")) if p.exists()]
    return max(size - sum(here), 0) + (size if file["unpack"] else 0)


def _done(file, entry, root):
    """True when the contents an archive brings are all there, or a plain file is."""
    if not file["unpack"]:
        return _place(file, root).exists()
    brings = [check for check in entry["expect"] if check["from"] == file["name"]]
    return all(_holds(check, _count(check, root)) for check in brings)


def _holds(check, n):
    return n == check["count"] if "count" in check else n >= check["at_least"]


def _count(check, root):
    """Files that fit a pattern, or names of a list file whose every part lies in a place of its."""
    if "**" in check.get("pattern", ""):
        return sum(1 for _ in root.glob(check["pattern"]))
    if "pattern" in check:
        folder, _, pattern = check["pattern"].rpartition("/")
        return sum(fnmatch(name, pattern) for name in listing(root / folder))
    if not (root / check["list"]).is_file():
        return 0
    held = [[(Path(place).name, listing((root / place).parent)) for place in places] for places in check["files"]]
    lines = (root / check["list"]).read_text(encoding="utf-8").splitlines()
    listed = [line.split()[0] for line in lines if line.strip()]
    return sum(all(any(form.format(name) in names for form, names in places) for places in held) for name in listed)
