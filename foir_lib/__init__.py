"""FOIR workbook: focus-oriented image retrieval, side by side. See README.md and notebooks/."""

from foir_lib.data import RetrievalSet, load_set
from foir_lib.models.vit import ClsState
from foir_lib.models.zoo import load_model
from foir_lib.prompts import Box, Mask, Point

__version__ = "0.1.0"
__all__ = ["Box", "ClsState", "Mask", "Point", "RetrievalSet", "load_model", "load_set"]
