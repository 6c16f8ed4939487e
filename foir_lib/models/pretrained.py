"""Networks of transformers from a folder or the hub: complete, finite, from safetensors and JSON alone, no code of others run."""

import hashlib
import json
import logging
import re
from contextlib import contextmanager
from pathlib import Path

import torch
import transformers
from huggingface_hub import try_to_load_from_cache

from foir_lib.errors import FoirError, InputError, IntegrityError, MissingError
from foir_lib.files import as_path
from foir_lib.models import weights as weights_file

FILES = ("config.json", "preprocessor_config.json", "model.safetensors")  # of a network on the hub
FOREIGN = re.compile('"(auto_map|attn_implementation|experts_implementation)"')  # in a configuration: code from elsewhere
LARGEST = 10_000  # of any whole number in a configuration but the size of a vocabulary: no published OWLv2 or SAM comes near
DEEPEST = 200  # blocks


def stored(place) -> bool:
    """Whether a network is on this machine; False: the hub must give it first, which may take long."""
    of_hub = isinstance(place, str) and place.count("/") == 1 and place[0] not in "./~" and not as_path(place).exists()
    return not of_hub or all(isinstance(try_to_load_from_cache(place, file), str) for file in FILES)


def config(place, largest: int = LARGEST) -> dict:
    """config.json of a folder or of the hub. Raises InputError where it asks for code of its own, or for more than ``largest`` of something."""
    with _in_words(place, "config.json"):
        settings, _ = transformers.PreTrainedConfig.get_config_dict(place, local_files_only=as_path(place).is_dir())
    text = json.dumps(settings)
    if asks := FOREIGN.search(text):
        raise InputError(f"{place} asks for code of its own ({asks[1]} in config.json), which isn't run: use networks of transformers.")
    if transformers.utils.find_adapter_config_file(place, local_files_only=as_path(place).is_dir()):
        raise InputError(f"{place} is an adapter of another network (adapter_config.json): merge it, and give that network's folder.")
    numbers = list(_numbers(settings))
    deep = max((value for name, value in numbers if "layers" in name or "depth" in name), default=0)
    if (most := max((value for _, value in numbers), default=0)) > largest or (most := deep) > DEEPEST:
        raise InputError(f"{place} asks for a network with {most} of something (config.json): no published network of its kind is so large.")
    return settings


def _numbers(value, name=""):
    """(name, value) of the whole numbers in a configuration that say how large a network is."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _numbers(inner, key)
    elif isinstance(value, list):
        for inner in value:
            yield from _numbers(inner, name)
    elif isinstance(value, int) and not name.endswith(("vocab_size", "token_id", "token_index", "theta")):
        yield name, value


def network(kind, place, largest: int = LARGEST):
    """A network of transformers, complete and finite, from safetensors alone, and the digest of what it is; ``largest``: of :func:`config`."""
    settings = config(place, largest)
    with _in_words(place, "config.json"), torch.device("meta"):
        empty = kind(kind.config_class.from_dict(settings))
        n_weights = sum(tensor.numel() for tensor in [*empty.parameters(), *empty.buffers()])
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
    text = json.dumps(settings, sort_keys=True, default=str)
    digest = hashlib.sha256((text + weights_file.module_digest(net)).encode()).hexdigest()[:16]
    return net, f"{Path(place).name}, sha256 {digest}"


def processor(kind, place):
    """What prepares pictures, and perhaps text, of a ``kind`` of transformers, from a folder or the hub; no code of others is run."""
    with _in_words(place, "preprocessor_config.json"):
        return kind.from_pretrained(place, local_files_only=as_path(place).is_dir(), trust_remote_code=False)


def with_settings(processor, digest):
    """A processor, and the digest of weights with what names how it prepares pictures."""
    settings = getattr(processor, "image_processor", processor).to_json_string()
    return processor, f"{digest}, pictures {hashlib.sha256(settings.encode()).hexdigest()[:8]}"


def opened(place, model_type: str, kind, processor_kind, wanted: str) -> tuple:
    """A network of one ``model_type``, what prepares its pictures, and what names both; InputError, with what is ``wanted``, for another one."""
    if (its_type := config(place).get("model_type")) != model_type:
        raise InputError(f"{place} is of the kind {its_type!r}: give {wanted}.")
    net, digest = network(kind, place)
    return net, *with_settings(processor(processor_kind, place), digest)


def frozen(net, device):
    """The network on a device, for asking alone."""
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
