"""How long tables took and how long a run will still take, in words."""

import json
from contextlib import suppress
from statistics import mean

from foir_lib.errors import InputError
from foir_lib.files import atomic_write, cache_root, manifest_root


def remembered() -> dict[str, float]:
    """Seconds that tables took when they were last computed, by name: on this machine, else on the one of the shipped file."""
    return _read(manifest_root() / "measured" / "minutes.json") | _read(_path())


def remember(name: str, seconds: float) -> None:
    """Keep the seconds of a table for later runs; a cache that can't be written is no error."""
    with suppress(InputError):
        atomic_write(_path(), json.dumps(_read(_path()) | {name: seconds}, indent=1))


def _path():
    return cache_root() / "minutes.json"


def _read(path):
    """Name -> seconds; none where there is no such file or another one."""
    with suppress(OSError, ValueError, TypeError, AttributeError):
        return {name: float(seconds) for name, seconds in json.loads(path.read_text(encoding="utf-8")).items()}
    return {}


def left(ahead: list[str], measured: dict[str, float], earlier: dict[str, float]) -> float | None:
    """Seconds that the tables ``ahead`` will take, or None when nothing is known.

    Each is taken to need what it needed ``earlier`` (name -> seconds), times the pace of this run: ``measured`` over
    earlier seconds of the tables that have both. One without an earlier time is taken to need the mean of all others.
    """
    both = measured.keys() & earlier.keys()
    before = sum(earlier[name] for name in both)
    pace = sum(measured[name] for name in both) / before if before else 1.0
    seconds = {name: earlier[name] * pace for name in ahead if name in earlier}
    known = [*measured.values(), *seconds.values()]
    if not known:
        return None if ahead else 0.0
    return sum(seconds.get(name, mean(known)) for name in ahead)


def words(seconds: float | None) -> str:
    """Time left as a person says it: "about 12 minutes left"."""
    if seconds is None:
        return "time left not known yet"
    if seconds < 45:
        return "less than a minute left"
    if seconds < 90 * 60:
        return f"about {_plural(round(seconds / 60), 'minute')} left"
    return f"about {_plural(round(seconds / 1800) / 2, 'hour')} left"


def took(seconds: float) -> str:
    """Seconds that a table took: "8 s", "5.5 minutes"."""
    return f"{seconds:.0f} s" if seconds < 90 else f"{seconds / 60:.1f} minutes"


def _plural(number, unit):
    return f"{number:g} {unit}{'' if number == 1 else 's'}"
