"""Arrays in one .npz file, written whole or not at all, and read without unpickling anything."""

import zipfile

import numpy as np

from foir_lib.errors import IntegrityError, MissingError
from foir_lib.files import as_path, atomic_path


def save(path, **arrays):
    """Write ``arrays`` by name."""
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        np.savez(file, **arrays)


def load(path, what, names):
    """The arrays ``names`` of a file that holds ``what``. Raises MissingError, IntegrityError (damaged or another file)."""
    path = as_path(path)
    try:
        with np.load(path, allow_pickle=False) as file:
            return {name: file[name] for name in names}
    except FileNotFoundError as error:
        raise MissingError(f"There is no {what} at {path}: check the path or make it again.") from error
    except (ValueError, KeyError, OSError, EOFError, zipfile.BadZipFile, AttributeError, TypeError) as error:
        raise IntegrityError(f"File {path} can't be read as {what} ({error}): make it again.") from error
