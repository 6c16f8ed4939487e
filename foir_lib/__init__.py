"""FOIR workbook: focus-oriented image retrieval, side by side. See README.md and notebooks/."""

import sys
from importlib import import_module

if sys.argv[:1] == ["-m"] and not getattr(sys.flags, "safe_path", False):
    del sys.path[0]  # of ``python -m foir_lib``: what lies in the working folder is data, not code

__version__ = "0.1.0"
_HOMES = {
    "Box": "foir_lib.prompts",
    "ClsState": "foir_lib.models.vit",
    "Mask": "foir_lib.prompts",
    "Memory": "foir_lib.memory.things",
    "Point": "foir_lib.prompts",
    "RetrievalSet": "foir_lib.data",
    "load_model": "foir_lib.models.zoo",
    "load_set": "foir_lib.data",
}
__all__ = list(_HOMES)


def __getattr__(name):
    """The names that stay, imported when first used: the command line needs no torch to say --help."""
    if name not in _HOMES:
        raise AttributeError(f"module 'foir_lib' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
