"""All figures of the workbook. Functions take data and return a closed matplotlib ``Figure``: a notebook shows it once, as the
value of its cell; ``figure.savefig(path)`` writes it.
"""

from foir_lib.view.figures.bars import bars, histogram, roi_bars
from foir_lib.view.figures.coattention import coattention_maps, local_features
from foir_lib.view.figures.consistency import cells, communities, walked
from foir_lib.view.figures.curves import curve, relative, scan
from foir_lib.view.figures.detections import crop_maps, detections
from foir_lib.view.figures.gains import gains
from foir_lib.view.figures.heads import attention_maps, compare_methods, compare_sizes, head_maps, heads_of_models
from foir_lib.view.figures.looks import canvas
from foir_lib.view.figures.matches import matches
from foir_lib.view.figures.memory.calibration import calibration
from foir_lib.view.figures.memory.learning import confidences, evidence, learning
from foir_lib.view.figures.objects import descriptor_maps, heat_maps, legrad_layers, legrad_maps
from foir_lib.view.figures.pictures import attention_compare, case, compare_lists, contact_sheet, prompt
from foir_lib.view.figures.pixels import image_and_pixel_map, localisers, outlines
from foir_lib.view.figures.regions import regions

__all__ = [
    "attention_compare", "attention_maps", "bars", "calibration", "canvas", "case", "cells", "coattention_maps", "communities", "compare_lists",
    "compare_methods", "compare_sizes", "confidences", "contact_sheet", "crop_maps", "curve", "descriptor_maps", "detections", "evidence", "gains", "head_maps",
    "heads_of_models", "heat_maps", "histogram", "image_and_pixel_map", "learning", "legrad_layers", "legrad_maps", "local_features", "localisers",
    "matches", "outlines", "prompt", "regions", "relative", "roi_bars", "scan", "walked",
]  # fmt: skip
