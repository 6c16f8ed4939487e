"""What YOLO's numbers mean: names of classes, and splits, from ``data.yaml``; names also from ``classes.txt`` or ``*.names``."""

from collections.abc import Callable
from pathlib import Path
from posixpath import basename

import yaml

from foir_lib.data.names import plain
from foir_lib.data.readers import tables
from foir_lib.data.readers.layouts.listing import Listing, holds
from foir_lib.data.values import label, labels, short, whole
from foir_lib.errors import InputError, parsing
from foir_lib.notices import note


def settings(listing: Listing) -> tuple[Path, dict] | None:
    """The YAML that names classes, its path and content: ``data.yaml`` or the first nearest to the root; None without one."""
    for file in sorted(listing.ending(".yaml", ".yml"), key=lambda file: (file.count("/"), basename(file) != "data.yaml", file)):
        path = listing.root / file
        if holds(path, b"names:"):
            text = tables.read_text(path)
            with parsing(f"{path} is no proper YAML", "repair it"):
                content = yaml.safe_load(text)
            if isinstance(content, dict) and "names" in content:
                return path, content
    return None


def names(listing: Listing) -> Callable[[int, str], str]:
    """A function of a class's number and of where it stands: the class's name. Raises InputError for what are no names, and
    the function for a number that has none."""
    path, known = _names(listing)

    def called(number, where):
        if path is None:
            note("boxes of classes without a name (data.yaml, classes.txt): labels are their numbers", where)
            return str(number)
        if number not in known:
            raise InputError(f"{where} has the class {number}, and {path} names {len(known)} classes, counted from 0: add its name or repair the line.")
        return known[number]

    return called


def _names(listing):
    """The file of names, None without one, and the name by number."""
    if (found := settings(listing)) is not None:
        path, content = found
        given = content["names"]
        pairs = given.items() if isinstance(given, dict) else enumerate(given) if isinstance(given, list) else [(None, given)]
        numbered = {whole(number): name for number, name in pairs}
        known = dict(zip(numbered, labels(numbered.values())))
        wrong = next((name for number, name in known.items() if number is None or not isinstance(name, str) or not label(name)), None)
        if wrong is not None or not known or None in known:
            raise InputError(f"{path} has names that are none, {short(wrong if known else given)}: give a list of texts, in quotes, or number: text.")
        if whole(content.get("nc", len(known))) != len(known):
            raise InputError(f"{path} says nc: {short(content['nc'])} and names {len(known)} classes: make them agree.")
        return path, known
    lists = [file for file in listing.files if basename(file).lower() == "classes.txt" or file.lower().endswith(".names")]
    if not lists:
        return None, {}
    path = listing.root / min(lists, key=lambda file: (file.count("/"), file))
    return path, dict(enumerate(name for name in labels(tables.read_text(path).splitlines()) if name))


def pose(listing: Listing) -> int:
    """How many numbers of keypoints follow each box, 0 for none."""
    found = settings(listing)
    shape = found[1].get("kpt_shape") if found else None
    counts = [whole(n) or 0 for n in shape] if isinstance(shape, list) and len(shape) == 2 else [0, 0]
    return counts[0] * counts[1]


def splits(listing: Listing) -> dict[str, str]:
    """Image id -> "train", "val" or "test", by the folders or lists of pictures that the YAML names, wherever it says they are."""
    found, of = settings(listing), {}
    for name in ("train", "val", "test") if found else ():
        entries = found[1].get(name) or []
        for entry in [entries] if isinstance(entries, str) else entries if isinstance(entries, list) else []:
            parts = plain(str(entry)).rstrip("/").split("/")
            ends = ["/".join(parts[n:]) for n in range(len(parts))]
            if (end := next((end for end in ends if end in listing.files), None)) is not None:
                lines = [line for line in tables.read_text(listing.root / end).splitlines() if line.strip()]
                of |= dict.fromkeys(listing.found(lines, listing.root / end).dropna(), name)
            elif (end := next((end for end in ends if end in listing.folders), None)) is not None:
                of |= {i: name for i in listing.ids if i.startswith(f"{end}/")}
            else:
                note("places of pictures in data.yaml that aren't there", entry)
    return of
