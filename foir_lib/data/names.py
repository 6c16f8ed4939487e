"""Names of pictures as annotations write them, and the pictures that they mean."""

import difflib
import math
import re
import unicodedata
from collections import defaultdict
from collections.abc import Sequence
from os import PathLike
from os.path import abspath
from pathlib import Path

from foir_lib.data.values import short
from foir_lib.errors import InputError
from foir_lib.files import as_path
from foir_lib.notices import note

ENDING = re.compile(r"\.(jpe?g|jfif|png|webp|bmp|tiff?|gif|hei[cf]|avif)$", re.IGNORECASE)
NEAR = 20_000  # names that are compared letter by letter to say which came near


def plain(name: str) -> str:
    """A name as it is compared: slashes, no "./" before it, accents composed (NFC)."""
    name = unicodedata.normalize("NFC", name.strip()).replace("\\", "/").removeprefix("file://")
    while name.startswith("./"):
        name = name[2:]
    return name


def stem(name: str) -> str:
    """A picture's name without folders and without the ending of a picture."""
    last = plain(name).rsplit("/", 1)[-1]
    return ENDING.sub("", last)


def inside(name: str) -> bool:
    """Whether a name leads to a file below the folder that it is joined to, and can be one's."""
    parts = name.split("/")
    fits = len(name) < 2000 and max(len(part.encode(errors="replace")) for part in parts) < 256
    return bool(name) and fits and not name.startswith("/") and ".." not in parts and not set(name) & set("\\\0:")


def match(names: Sequence[str], known: Sequence[str], root: str | PathLike) -> dict[str, str | None]:
    """For each of ``names`` the one of ``known`` (paths below ``root``, with slashes) that it means, None without one.

    It is the picture of that path, below the root or whole; else the one with which it shares most of the end of its path,
    the file name at least, upper case or lower. No picture is meant by two names unless they are spellings of one path.
    """
    above = plain(Path(abspath(as_path(root))).as_posix())
    exact, ends, means, claims = set(known), _Ends(known, above), {}, defaultdict(lambda: defaultdict(list))
    for name in dict.fromkeys(names):
        path, same = (name, math.inf) if name in exact else ends.nearest(plain(name))
        means[name] = path
        claims[path][plain(name).casefold()].append((same, name))
    for spellings in claims.values():
        best = max(same for names in spellings.values() for same, _ in names)
        right = [key for key, names in spellings.items() if any(same == best for same, _ in names)]
        for key, names in spellings.items():
            if key not in right or (len(right) > 1 and best < math.inf):
                means |= dict.fromkeys((name for _, name in names))
    return means


class _Ends:
    """Pictures by the last parts of their paths, counted 1, 2, ... as far as they are needed."""

    def __init__(self, known, above):
        self.whole, self.by_parts = [(f"{above}/{plain(path)}", path) for path in known], []
        self.by_path = defaultdict(list)
        for whole, path in self.whole:
            self.by_path[whole].append(path)
            self.by_path[plain(path)].append(path)

    def nearest(self, name: str) -> tuple[str | None, float]:
        """The picture that shares most last parts with ``name``, and how many; None where several do, or none."""
        if name in self.by_path:
            same = self.by_path[name]
            return (same[0], math.inf) if len(same) == 1 else (None, 0)
        best, shared = {}, 0
        while shared < name.count("/") + 1:
            if shared == len(self.by_parts):
                self.by_parts.append(self._ends(shared + 1))
            if not (same := self.by_parts[shared].get(_end(name, shared + 1).casefold())):
                break
            best, shared = same, shared + 1
        if len(best) > 1:  # upper and lower case decide
            best = {path: whole for path, whole in best.items() if _end(whole, shared) == _end(name, shared)}
        return (next(iter(best)), shared) if len(best) == 1 else (None, 0)

    def _ends(self, n):
        ends = defaultdict(dict)
        for whole, path in self.whole:
            if whole.count("/") >= n - 1:
                ends[_end(whole, n).casefold()][path] = whole
        return ends


def _end(name, n):
    return "/".join(name.rsplit("/", n)[-n:])


def resolve(
    names: Sequence[str], known: Sequence[str], root: str | PathLike, where: object, needed: Sequence[bool] | None = None
) -> list[str | None]:
    """:func:`match` for names in the file ``where``; None for those not ``needed`` (default: all are) that mean no picture.

    Raises InputError for the first that is needed and means none, with what came near. Names of another folder than their
    picture's are counted as a notice.
    """
    means = match(names, known, root)
    needed = [True] * len(names) if needed is None else needed
    lacking = list(dict.fromkeys(name for name, is_needed in zip(names, needed, strict=True) if is_needed and means[name] is None))
    if lacking:
        raise _fault(lacking[0], known, where, len(lacking))
    far = [name for name, path in means.items() if path is not None and not _fits(plain(name), plain(path))]
    note("names of pictures that fit one picture by their last part alone", f"{far[0]} is {means[far[0]]}" if far else "", len(far))
    return [means[name] for name in names]


def _fits(name, path):
    """Whether one of two paths is the end of the other."""
    long, end = sorted((f"/{name}".casefold(), f"/{path}".casefold()), key=len, reverse=True)
    return long.endswith(end)


def _fault(name: str, known: Sequence[str], where: object, n: int) -> InputError:
    """The InputError for a ``name``, one of ``n``, in the file ``where`` that means none of ``known``: what came near it."""
    file = plain(name).rsplit("/", 1)[-1].casefold()
    near = [path for path in known if plain(path).rsplit("/", 1)[-1].casefold() == file][:3]
    if not near:
        near = difflib.get_close_matches(plain(name), list(known[:NEAR]), n=2, cutoff=0.5)
    alike = len(set(map(plain, near))) < len(near)  # they look the same
    shown = [ascii(path) if alike else " ".join(path.split()) for path in near]
    if len(near) > 1 and file == plain(near[0]).rsplit("/", 1)[-1].casefold():
        return InputError(f"{where} names the picture {short(name, 200)}, which may be {' or '.join(shown)}: give its path below the folder.")
    hint = f", nearest {' and '.join(shown)}" if shown else ""
    return InputError(f"{where} names the picture {short(name, 200)}, which is not in the folder ({n} such){hint}: add it or remove its boxes.")
