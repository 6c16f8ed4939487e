"""What a picture's matched points say of where the thing is: their pixels, their hull, the polygon through them, their box.

Source: pixel retrieval, chapter 2: the mask of spatial verification is the "union of the matching points", its box that of the inliers; the
public evaluation script draws one polygon through the points in the order given, which crosses itself. Points (m, 2) are x and y
in pixels, a pixel's centre at half; what lies off the picture counts at its border.
"""

from typing import Literal

import cv2
import numpy as np
from jaxtyping import Bool, Float

FORMS = Literal["points", "hull", "polygon"]


def mask(
    points: Float[np.ndarray, "m 2"], size: tuple[int, int], form: FORMS = "points", radius: int = 8
) -> Bool[np.ndarray, "h w"]:
    """Pixels of a picture of ``size`` (width, height) that matched points stand for; none for no points.

    ``form``: "points", a disc of ``radius`` pixels around each; "hull", their convex hull; "polygon", through them in their order, inside
    where it is crossed an odd number of times.
    """
    pixels = np.zeros(size[::-1], np.uint8)
    corners = _pixels(points, size).astype(np.int32)
    if len(corners) and form == "points":
        for corner in corners.tolist():
            cv2.circle(pixels, corner, radius, 1, cv2.FILLED)
    elif len(corners):
        cv2.fillPoly(pixels, [cv2.convexHull(corners) if form == "hull" else corners[:, None]], 1)
    return pixels.astype(bool)


def box(points: Float[np.ndarray, "m 2"], size: tuple[int, int]) -> Float[np.ndarray, " 4"]:
    """The tight box x0, y0, x1, y1 of the pixels that matched points, one at least, lie in, exclusive end."""
    corners = _pixels(points, size)
    return np.concatenate([corners.min(0), corners.max(0) + 1]).astype(np.float32)


def _pixels(points, size):
    """The column and row of the pixel that each point lies in."""
    return np.floor(np.asarray(points)).clip(0, np.array(size) - 1)
