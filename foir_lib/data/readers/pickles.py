"""Ground truth published as pickle files, opened without running anything they contain."""

import pickle
from os import PathLike
from pathlib import Path
from typing import Any

from foir_lib.errors import IntegrityError, MissingError


class _PlainUnpickler(pickle.Unpickler):
    def find_class(self, module, name):
        raise pickle.UnpicklingError(f"it asks for {module}.{name}")


def load_plain(path: str | PathLike) -> Any:
    """Read a pickle of dicts, lists, tuples, strings and numbers, as ``gnd_roxford5k.pkl`` is.

    Anything else a pickle may ask for (classes, functions) is refused unseen. Raises MissingError,
    or IntegrityError for a refused or damaged file.
    """
    try:
        with Path(path).open("rb") as file:
            return _PlainUnpickler(file).load()
    except FileNotFoundError as error:
        raise MissingError(f"There is no ground truth at {path}: check the data root.") from error
    except Exception as error:  # a damaged pickle can raise almost anything
        raise IntegrityError(f"Pickle {path} isn't plain data or is damaged ({error}): get it again.") from error
