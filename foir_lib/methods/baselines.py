"""What prompts did before head selection: blank the surroundings or mask the attention; *Crop* is `prompts.crop`."""

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Bool, Float
from PIL import Image
from torch import Tensor

from foir_lib.images import rgb
from foir_lib.prompts import Grid, Prompt


def masked(picture: Image.Image, prompt: Prompt, mean: Sequence[float], grid: Grid | None = None) -> Image.Image:
    """*Mask*: the picture (PIL RGB) with every pixel outside the prompt set to the colour ``mean``.

    ``mean`` (r, g, b) in [0, 1], ours: the model's normalisation mean, which is zero after normalising
    (to within the rounding to 8 bits); also ours: the picture is blanked before it is resized. A point prompt needs the model's ``grid``.
    """
    fill = tuple(np.round(np.asarray(mean) * 255).astype(np.uint8).tolist())
    picture = rgb(picture)
    pixels, blank = prompt.pixels(picture.size, grid), Image.new("RGB", picture.size, fill)
    box = Image.fromarray(pixels).getbbox()  # of large photographs no more than the prompt's part is copied
    blank.paste(picture.crop(box), box, Image.fromarray(np.ascontiguousarray(pixels[box[1] : box[3], box[0] : box[2]])))
    return blank


def attention_mask(roi: Bool[Tensor | np.ndarray, "*B N"]) -> Float[Tensor, "*B N"]:
    """*Attention mask* (PHS Table A6): 0 on the ROI's tokens, -inf on all other patch tokens.

    ``roi`` bool (..., N). Use as ``model.cls_state(x, bias=attention_mask(roi), last=1)``; prefix tokens stay.
    """
    roi = torch.as_tensor(roi, dtype=torch.bool)
    return torch.zeros(roi.shape, device=roi.device).masked_fill_(~roi, -torch.inf)
