"""Names, folders and files to detectors and segmenters: OWLv2 and SAM of transformers, MobileSAM of kornia, the mini ones."""

import os
import re
from collections.abc import Callable

import torch
import transformers
from torch import nn

from foir_lib import registry
from foir_lib.errors import InputError, IntegrityError, MissingError, unknown
from foir_lib.files import as_path
from foir_lib.models import checkpoints, devices, pretrained
from foir_lib.models import weights as weights_file
from foir_lib.models.detectors import Grid, Owl
from foir_lib.models.mini import owl as mini_owl
from foir_lib.models.mini import sam as mini_sam
from foir_lib.models.mini import shipped
from foir_lib.models.pretrained import frozen, with_settings
from foir_lib.models.sam import MobileSam, Sam
from foir_lib.registry import register

HUB = {"owlv2": "google/owlv2-base-patch16-ensemble", "sam": "facebook/sam-vit-base"}
GRID = "-grid"
IDLE = re.compile("num_batches_tracked|image_encoder.(norm_)?head")  # of MobileSAM: for training, and a classifier that isn't asked
Place = str | os.PathLike


def load_detector(name: Place, device: str | torch.device | None = "auto", weights: Place | None = None):
    """A detector, an object with ``key``, ``device`` and ``detect(picture) -> Detections``, by its name or place.

    Names: "mini-owl", "owlv2", what plug-ins register, and a segmenter's name with "-grid" behind it; places are those of
    :func:`load_segmenter`, and OWLv2's: a folder (config.json, preprocessor_config.json, safetensors) or a name of the hub;
    a SAM there is asked on a grid of points. ``weights``: of "mobile-sam-grid". Raises as :func:`load_segmenter` does.
    """
    if isinstance(name, str) and name.endswith(GRID) and name not in registry.names("detector"):
        return Grid(load_segmenter(name.removesuffix(GRID), device, weights))
    opened = _opened("detector", name, device, weights)
    return Grid(opened) if isinstance(opened, Sam) else opened


def load_segmenter(name: Place, device: str | torch.device | None = "auto", weights: Place | None = None):
    """A segmenter, an object with ``key``, ``device`` and ``segment(picture, boxes) -> masks``, by its name or place.

    Names: "mini-sam", "sam", "mobile-sam" (``weights``: its file), what plug-ins register. Places: a folder of transformers'
    SAM (config.json, preprocessor_config.json, safetensors), its name on the hub, or the file of MobileSAM's weights.
    Nothing but safetensors and JSON is opened, no code of others is run. Raises InputError for what is no segmenter,
    MissingError for what isn't there, IntegrityError for weights that don't fit.
    """
    return _opened("segmenter", name, device, weights)


def stored(name: Place) -> bool:
    """Whether a detector or segmenter is on this machine; False: the hub must give it first, which may take long."""
    return pretrained.stored(HUB.get(name, name))


def _opened(kind, name, device, weights):
    device = devices.choose(device)
    if not isinstance(name, (str, os.PathLike)):
        raise InputError(f"The {kind} {name!r} is no name and no path: known are {', '.join(registry.names(kind))}.")
    if weights and (name in (mini_owl.NAME, mini_sam.NAME, *HUB) or name not in registry.names(kind)):
        raise InputError(f"The {kind} {name} takes no weights beside its name: only mobile-sam does.")
    if name in registry.names(kind):
        return registry.lookup(kind, name)(device, *([weights] if weights else []))
    place = as_path(name)
    if place.is_file():
        return mobile_sam(device, place)
    if not place.is_dir() and (not isinstance(name, str) or name.count("/") != 1 or name.startswith((".", "~", "/"))):
        if os.sep in str(name):
            raise MissingError(f"There is no {kind} at {place}: give a folder with config.json, or a file of MobileSAM's weights.")
        known = registry.names(kind) + ([f"{n}{GRID}" for n in registry.names("segmenter")] if kind == "detector" else [])
        raise unknown(kind, name, known)
    model_type = pretrained.config(name).get("model_type")
    if model_type not in (("owlv2", "sam") if kind == "detector" else ("sam",)):
        raise InputError(f"{name} is of the kind {model_type!r}, no {kind}: give an OWLv2 or SAM of transformers.")
    return _owl(name, device) if model_type == "owlv2" else _sam(name, device)


@register("detector", "mini-owl")
def _mini_owl(device: torch.device) -> Owl:
    net, digest = _shipped(mini_owl.NAME, mini_owl.create)
    return Owl(net.to(device), *with_settings(mini_owl.processor(), digest), device)


@register("segmenter", "mini-sam")
def _mini_sam(device: torch.device) -> Sam:
    net, digest = _shipped(mini_sam.NAME, mini_sam.create)
    return Sam(net.to(device), *with_settings(mini_sam.processor(), digest), device)


@register("detector", "owlv2")
def _owlv2(device: torch.device) -> Owl:
    return _owl(HUB["owlv2"], device)


@register("segmenter", "sam")
def _sam_base(device: torch.device) -> Sam:
    return _sam(HUB["sam"], device)


@register("segmenter", "mobile-sam")
def mobile_sam(device: torch.device, weights: Place | None = None) -> MobileSam:
    """MobileSAM with the weights of a local file: longest side 1024 px, bicubic, padded right and bottom."""
    if not weights:
        remedy = "pass the path of mobile_sam.safetensors (github.com/ChaoningZhang/MobileSAM) as weights, or as the name"
        raise MissingError(f"MobileSAM's weights don't come with the package: {remedy}.")
    from kornia.models.sam import Sam as KorniaSam  # takes seconds

    net = KorniaSam.from_name("mobile_sam")
    own = net.state_dict()
    state = checkpoints.network(checkpoints.read(weights), own, weights)
    state = {key: value for key, value in own.items() if IDLE.search(key)} | state
    weights_file.check(own, state, weights, "MobileSAM")
    net.load_state_dict(state)
    processor = transformers.SamProcessor(transformers.SamImageProcessor(resample=3))  # bicubic
    return MobileSam(frozen(net, device), *with_settings(processor, weights_file.digest(weights)), device)


def _owl(place, device):
    net, digest = pretrained.network(transformers.Owlv2ForObjectDetection, place)
    processor = pretrained.processor(transformers.Owlv2ImageProcessor, place)
    side = net.config.vision_config.image_size
    if (processor.size["height"], processor.size["width"]) != (side, side):
        raise IntegrityError(f"{place} prepares pictures of {dict(processor.size)} for a network of {side} px: get its files again.")
    return Owl(frozen(net, device), *with_settings(processor, digest), device)


def _sam(place, device):
    net, digest = pretrained.network(transformers.SamModel, place)
    pictures, side = pretrained.processor(transformers.SamImageProcessor, place), net.config.vision_config.image_size
    if pictures.size["longest_edge"] != side or (pictures.pad_size["height"], pictures.pad_size["width"]) != (side, side):
        raise IntegrityError(f"{place} prepares pictures of {dict(pictures.size)} for a network of {side} px: get its files again.")
    return Sam(frozen(net, device), *with_settings(transformers.SamProcessor(pictures), digest), device)


def _shipped(name: str, create: Callable[[], nn.Module]) -> tuple[nn.Module, str]:
    """A mini network with the weights that come with the package, and what names them."""
    net, path = create(), shipped.weights_path(name)
    state = checkpoints.read(path)
    weights_file.check(net.state_dict(), state, path, name)
    net.load_state_dict(state)
    return net.eval().requires_grad_(False), weights_file.digest(path)
