"""Names, folders and files to detectors and segmenters: OWLv2 and SAM of transformers, MobileSAM of kornia, the mini ones."""

import hashlib
import json
import logging
import os
import re
from collections.abc import Callable
from contextlib import contextmanager
from pathlib import Path

import torch
import transformers
from huggingface_hub import try_to_load_from_cache
from torch import nn

from foir_lib import registry
from foir_lib.errors import FoirError, InputError, IntegrityError, MissingError, unknown
from foir_lib.files import as_path
from foir_lib.models import checkpoints, devices
from foir_lib.models import weights as weights_file
from foir_lib.models.detectors import Grid, Owl
from foir_lib.models.mini import owl as mini_owl
from foir_lib.models.mini import sam as mini_sam
from foir_lib.models.mini import shipped
from foir_lib.models.sam import MobileSam, Sam
from foir_lib.registry import register

HUB = {"owlv2": "google/owlv2-base-patch16-ensemble", "sam": "facebook/sam-vit-base"}
GRID = "-grid"
FILES = ("config.json", "preprocessor_config.json", "model.safetensors")  # of a network on the hub
FOREIGN = re.compile('"(auto_map|attn_implementation|experts_implementation)"')  # in a configuration: code from elsewhere
LARGEST = 10_000  # of any whole number in a configuration but the size of a vocabulary: no published network comes near
DEEPEST = 200  # blocks
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
    place = HUB.get(name, name)
    of_hub = isinstance(place, str) and place.count("/") == 1 and place[0] not in "./~" and not as_path(place).exists()
    return not of_hub or all(isinstance(try_to_load_from_cache(place, file), str) for file in FILES)


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
    model_type = _config(name).get("model_type")
    if model_type not in (("owlv2", "sam") if kind == "detector" else ("sam",)):
        raise InputError(f"{name} is of the kind {model_type!r}, no {kind}: give an OWLv2 or SAM of transformers.")
    return _owl(name, device) if model_type == "owlv2" else _sam(name, device)


@register("detector", "mini-owl")
def _mini_owl(device: torch.device) -> Owl:
    net, digest = _shipped(mini_owl.NAME, mini_owl.create)
    return Owl(net.to(device), *_with(mini_owl.processor(), digest), device)


@register("segmenter", "mini-sam")
def _mini_sam(device: torch.device) -> Sam:
    net, digest = _shipped(mini_sam.NAME, mini_sam.create)
    return Sam(net.to(device), *_with(mini_sam.processor(), digest), device)


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
    return MobileSam(_frozen(net, device), *_with(processor, weights_file.digest(weights)), device)


def _owl(place, device):
    net, digest = _pretrained(transformers.Owlv2ForObjectDetection, place)
    processor = _processor(transformers.Owlv2ImageProcessor, place)
    side = net.config.vision_config.image_size
    if (processor.size["height"], processor.size["width"]) != (side, side):
        raise IntegrityError(f"{place} prepares pictures of {dict(processor.size)} for a network of {side} px: get its files again.")
    return Owl(_frozen(net, device), *_with(processor, digest), device)


def _sam(place, device):
    net, digest = _pretrained(transformers.SamModel, place)
    pictures, side = _processor(transformers.SamImageProcessor, place), net.config.vision_config.image_size
    if pictures.size["longest_edge"] != side or (pictures.pad_size["height"], pictures.pad_size["width"]) != (side, side):
        raise IntegrityError(f"{place} prepares pictures of {dict(pictures.size)} for a network of {side} px: get its files again.")
    return Sam(_frozen(net, device), *_with(transformers.SamProcessor(pictures), digest), device)


def _shipped(name: str, create: Callable[[], nn.Module]) -> tuple[nn.Module, str]:
    """A mini network with the weights that come with the package, and what names them."""
    net, path = create(), shipped.weights_path(name)
    state = checkpoints.read(path)
    weights_file.check(net.state_dict(), state, path, name)
    net.load_state_dict(state)
    return net.eval().requires_grad_(False), weights_file.digest(path)


def _config(place) -> dict:
    """config.json of a folder or of the hub. Raises InputError where it asks for code of its own, or for too much."""
    with _in_words(place, "config.json"):
        config, _ = transformers.PreTrainedConfig.get_config_dict(place, local_files_only=as_path(place).is_dir())
    text = json.dumps(config)
    if asks := FOREIGN.search(text):
        raise InputError(f"{place} asks for code of its own ({asks[1]} in config.json), which isn't run: use networks of transformers.")
    if transformers.utils.find_adapter_config_file(place, local_files_only=as_path(place).is_dir()):
        raise InputError(f"{place} is an adapter of another network (adapter_config.json): merge it, and give that network's folder.")
    numbers = list(_numbers(config))
    deep = max((value for name, value in numbers if "layers" in name or "depth" in name), default=0)
    if (most := max((value for _, value in numbers), default=0)) > LARGEST or (most := deep) > DEEPEST:
        raise InputError(f"{place} asks for a network with {most} of something (config.json): no OWLv2 or SAM is so large.")
    return config


def _numbers(value, name=""):
    """(name, value) of the whole numbers in a configuration that say how large a network is."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _numbers(inner, key)
    elif isinstance(value, list):
        for inner in value:
            yield from _numbers(inner, name)
    elif isinstance(value, int) and not name.endswith(("vocab_size", "token_id")):
        yield name, value


def _pretrained(kind, place):
    """A network of transformers, complete and finite, from safetensors alone, and the digest of what it is."""
    config = _config(place)
    with _in_words(place, "config.json"), torch.device("meta"):
        n_weights = sum(p.numel() for p in kind(kind.config_class.from_dict(config)).parameters())
    files = list(as_path(place).glob("*.safetensors"))
    if files and n_weights > sum(file.stat().st_size for file in files):
        raise IntegrityError(f"{place} asks for a network of {n_weights:,} weights (config.json), more than its files hold: get them again.")
    with _in_words(place, "safetensors"):
        net, info = kind.from_pretrained(
            place, use_safetensors=True, trust_remote_code=False, dtype=torch.float32, output_loading_info=True,
            local_files_only=as_path(place).is_dir(),
        )  # fmt: skip
    lacking = sorted(info["missing_keys"]) + sorted(str(key) for key in info["mismatched_keys"])
    if lacking:
        raise IntegrityError(f"{place} lacks {lacking[0]} or has it in another shape ({len(lacking)} tensors): get its weights again.")
    for name, tensor in net.state_dict().items():
        if tensor.is_floating_point() and not tensor.isfinite().all():
            raise IntegrityError(f"{place} holds NaN or infinite numbers in {name}: get its weights again.")
    text = json.dumps(config, sort_keys=True, default=str)
    digest = hashlib.sha256((text + weights_file.module_digest(net)).encode()).hexdigest()[:16]
    return net, f"{Path(place).name}, sha256 {digest}"


def _processor(kind, place):
    with _in_words(place, "preprocessor_config.json"):
        return kind.from_pretrained(place, local_files_only=as_path(place).is_dir())


def _with(processor, digest):
    """A processor, and the digest of weights with what names how it prepares pictures."""
    settings = getattr(processor, "image_processor", processor).to_json_string()
    return processor, f"{digest}, pictures {hashlib.sha256(settings.encode()).hexdigest()[:8]}"


def _frozen(net, device):
    return net.eval().requires_grad_(False).to(device)


@contextmanager
def _in_words(place, what):
    """Whatever transformers and the hub raise, in one sentence; their lines and bars for every attempt are silent."""
    loggers = [logging.getLogger(name) for name in ("huggingface_hub", "transformers")]
    levels = [logger.level for logger in loggers]
    bars = transformers.utils.logging
    shown = bars.is_progress_bar_enabled()
    try:
        bars.disable_progress_bar()
        for logger in loggers:
            logger.setLevel(logging.CRITICAL)
        yield
    except FoirError:
        raise
    except Exception as error:  # hub, network, disk and parsers each raise their own kinds
        says = " ".join(str(error).split())[:200] or type(error).__name__
        if as_path(place).is_dir():
            raise IntegrityError(f"The folder {place} holds no {what} that can be used ({says}): put the network's own files there.") from error
        remedy = "without a network, get the folder (config.json, preprocessor_config.json, model.safetensors) and give its path"
        raise MissingError(f"{place} can't be fetched from the hub ({type(error).__name__}): {remedy}.") from error
    finally:
        if shown:
            bars.enable_progress_bar()
        for logger, level in zip(loggers, levels):
            logger.setLevel(level)
