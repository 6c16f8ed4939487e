"""Ground truth published as pickle files, opened without running anything they contain."""

import io
import pickle
import pickletools
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
        content = Path(path).read_bytes()
        for operation, argument, _ in pickletools.genops(content):  # refuses lengths that the file doesn't have, too
            if "PUT" in operation.name and int(argument) > len(content):
                raise pickle.UnpicklingError(f"it counts to {argument} in {len(content)} bytes")  # memory for as many
        return _PlainUnpickler(io.BytesIO(content)).load()
    except FileNotFoundError as error:
        raise MissingError(f"There is no ground truth at {path}: check the data root.") from error
    except Exception as error:  # a damaged pickle can raise almost anything
        raise IntegrityError(f"Pickle {path} isn't plain data or is damaged ({error}): get it again.") from error
