"""Names to networks: friendly names, any timm ViT or CNN, and the mini models that come with the workbook."""

import difflib
import inspect
import json
import logging
import numbers
import os

import huggingface_hub
import timm
import torch
from timm.models.vision_transformer import checkpoint_filter_fn

from foir_lib import registry
from foir_lib.errors import InputError, IntegrityError, MissingError
from foir_lib.files import manifest_root
from foir_lib.models import checkpoints, cnn, cnn_weights, devices
from foir_lib.models import weights as weights_file
from foir_lib.models.mini import cnn as mini_cnn
from foir_lib.models.mini import shipped, vit
from foir_lib.models.vit import ViT

MANIFEST = json.loads((manifest_root() / "models.json").read_text(encoding="utf-8"))["models"]
MODELS: dict[str, str] = {model["name"]: model["timm"] or model["name"] for model in MANIFEST}
SHIPPED = [model["name"] for model in MANIFEST if not model["timm"]]  # the mini models
OF_PHOTOGRAPHS, PATIENCE = "dinov2-base", 10  # the network for one's own photographs; seconds that the hub has to answer
TUNED = [model["name"] for model in MANIFEST if not model.get("published", True)]  # of a network of that kind, by the user's own file


def load_model(
    name: str, pretrained: bool = True, weights: str | os.PathLike | None = None, device: str | torch.device | None = "auto",
    image_size: int | None = None, out_index: int = -1, precision: str = "fp32",
) -> ViT | cnn.CNN:  # fmt: skip
    """A frozen :class:`~foir_lib.models.vit.ViT` or :class:`~foir_lib.models.cnn.CNN` by friendly name or timm name.

    ``weights``: a local .safetensors or .pth/.pt/.bin state dict (opened safely, never unpickled code)
    instead of the published ones; ``image_size`` in pixels: for a ViT 224 unless given (the mini models: their
    own), for a CNN the longest side at most, 1024 unless given; ``out_index``: which map of a CNN; ``precision``: "fp32",
    "bf16" or "fp16", of the products that it computes; ``device``: "auto", "cpu", "cuda", "cuda:1", ..., or several, "cuda:0,cuda:1", that share the pictures
    of a corpus. Raises InputError for a name, device,
    size or weights file that doesn't fit, MissingError when weights can't be found or fetched.
    """
    if not isinstance(name, str):
        raise InputError(f"Model {name!r} is no name: give one of `foir models` or any timm ViT or CNN name.")
    if weights and not isinstance(weights, (str, os.PathLike)):
        raise InputError(f"Weights {weights!r} of {name} are no path: give that of a .safetensors or .pth file.")
    shared, cluster = devices.several(device), devices.cluster(device)
    devices.checked(precision)
    device, drawings = devices.choose(device), name in SHIPPED and not weights
    if name in registry.names("model"):
        model = _registered(name, device=device, weights=weights, image_size=image_size, precision=precision)
        if getattr(model, "precision", "fp32") != precision:
            raise InputError(f"The model {name} of a plug-in computes in its own precision: leave precision={precision!r} away.")
        return model
    is_cnn = kind_of(name, pretrained and not weights, out_index) is cnn.CNN
    if name.startswith("mini-") and pretrained:
        weights = weights or shipped.weights_path(name)
    net, key = _create(name, pretrained and not weights, image_size)
    head = ()  # of a CNN's weights: the whitening layer and the p of GeM
    if weights:
        loaded = cnn_weights.load(net, weights, name, out_index) if is_cnn else (_load_vit(net, weights, name),)
        digest, *head = loaded
        key = f"{MODELS.get(name, name)} from {digest}"
    elif not pretrained:
        key = f"{key} at random"
    longest = cnn.LONGEST if image_size is None else image_size
    model = cnn.CNN(net, name, key, device, out_index, *head, longest=longest, precision=precision) if is_cnn else ViT(net, name, key, device)
    if not is_cnn and precision != "fp32":
        model.precision, model.key = precision, f"{model.key}, {precision}"
    model.knows_drawings_only, model.devices, model.cluster = drawings, shared, cluster
    return model


def drawings_only(model) -> str:
    """For a network of the drawn worlds a sentence that says so and what to load for photographs; "" for any other."""
    if not getattr(model, "knows_drawings_only", False):
        return ""
    return f"{model.name} knows drawings only, so its lists say little of photographs: for those load another network, as foir demo my/photographs --model {OF_PHOTOGRAPHS} does."


def to_fetch(name: str) -> int:
    """Bytes of a model's published weights that the hub must send first; 0 where they are on this machine, or part of the package.

    Raises InputError for an unknown name, MissingError where the hub can't be reached or doesn't have them.
    """
    if kind_of(name) is None or name in SHIPPED:
        return 0
    config = timm.get_pretrained_cfg(MODELS.get(name, name))
    repository, file = f"{config.hf_hub_id}{config.architecture}.{config.tag}", "model.safetensors"
    repository = repository if config.hf_hub_id.endswith("/") else config.hf_hub_id
    if isinstance(huggingface_hub.try_to_load_from_cache(repository, file), str):
        return 0
    try:
        return huggingface_hub.get_hf_file_metadata(huggingface_hub.hf_hub_url(repository, file), timeout=PATIENCE).size or 0
    except Exception as error:  # hub and network each raise their own kinds
        raise _unfetched(name, error) from error


def kind_of(name: str, published: bool = True, out_index: int = -1) -> type[ViT] | type[cnn.CNN] | None:
    """What a model will be, nothing loaded: a ViT or a CNN, or None for one that a plug-in registers.

    Raises InputError for an unknown name, for one of whose weights none are ``published``, for options that are a CNN's, and for
    a map that it hasn't.
    """
    if name in registry.names("model"):
        return None
    is_cnn = _is_cnn(name)
    if not is_cnn and out_index != -1:
        raise InputError(f"{name} is a ViT: out_index is for CNNs such as resnet50.")
    if name in TUNED and published:
        raise InputError(f"{name} is fine-tuned and no weights of it are published: pass your own file as weights.")
    if name not in SHIPPED:
        _check_published(name, MODELS.get(name, name), published)
    if out_index != -1:
        with torch.device("meta"):
            cnn_weights.stage_of(_create(name, False, None)[0], name, out_index)
    return cnn.CNN if is_cnn else ViT


def _registered(name, **options):
    """A model that a plug-in registers: what its function returns for those of ``options`` that it takes."""
    opener = registry.lookup("model", name)
    model = opener(**{key: value for key, value in options.items() if key in inspect.signature(opener).parameters})
    for part in ("preprocess", "key", "device"):
        if not hasattr(model, part):
            raise InputError(f"The model {name} has no {part}: it needs preprocess(picture), key, device and embed(x) or more.")
    model.name, model.opener = name, opener  # whose code takes part: a wrapper's class doesn't lead to a plug-in's file
    return model


def _is_cnn(name):
    """True for a name of a network that timm pools over a map of any size."""
    base = MODELS.get(name, name).split(".")[0]
    known = timm.is_model(base) and timm.get_pretrained_cfg(base)
    return base == mini_cnn.NAME or bool(known and known.pool_size)


def _create(name, pretrained, image_size):
    """The network and the key that names its weights."""
    if name == mini_cnn.NAME:
        return mini_cnn.create(), name
    if name.startswith("mini-") and name in MODELS:
        return vit.create(name, **_size_argument(name, vit.NATIVE_SIZE if image_size is None else image_size)), name
    timm_name = MODELS.get(name, name)
    size = {} if _is_cnn(name) else _size_argument(name, 224 if image_size is None else image_size)
    hub = logging.getLogger("huggingface_hub")
    level = hub.level
    hub.setLevel(logging.CRITICAL)  # no line for every attempt: what goes wrong is said once, by us
    try:
        net = timm.create_model(timm_name, pretrained=pretrained, **size)
    except (TypeError, RuntimeError, AssertionError, AttributeError) as error:
        reason = " ".join(str(error).split())
        kind = f"a ViT for {size['img_size']} px pictures" if size else "a CNN"
        raise InputError(f"{name} can't be built as {kind} ({reason}).") from error
    except Exception as error:  # hub, network and disk each raise their own kinds
        raise _unfetched(name, error) from error
    finally:
        hub.setLevel(level)
    return net, timm_name if "." in timm_name else f"{timm_name}.{net.pretrained_cfg.get('tag') or 'default'}"


def _unfetched(name, error):
    what = f"Weights of {name} ({MODELS.get(name, name)}) can't be fetched ({type(error).__name__})"
    remedy = "get the model's safetensors file from the Hugging Face hub and pass its path as weights"
    return MissingError(f"{what}: without a network, {remedy}.")


def _check_published(name, timm_name, pretrained):
    """Raises InputError when timm doesn't know a name or its tag, or, with ``pretrained``, no weights of it."""
    base = timm_name.split(".")[0]
    if not timm.is_model(base):
        raise InputError(_unknown(name))
    try:
        config = timm.get_pretrained_cfg(timm_name)
    except RuntimeError as error:  # no such tag
        tags = timm.list_models(f"{base}.*", pretrained=True) or [base]
        raise InputError(f"There are no weights {name!r}: choose one of {', '.join(tags)}.") from error
    if pretrained and not (config and config.has_weights):
        remedy = "pass your own file as weights, or pretrained=False for random ones."
        raise InputError(f"No published weights of {name} are known: {remedy}")


def _size_argument(name, size):
    """``img_size`` for timm. Raises InputError when the size isn't a whole number of patches."""
    if isinstance(size, bool) or not isinstance(size, numbers.Real) or size % 1 != 0 or size < 16:
        raise InputError(f"Image size {size!r} of {name} must be a whole number of pixels, at least 16.")
    patch = [int(p[5:]) for p in MODELS.get(name, name).split(".")[0].split("_") if p[:5] == "patch" and p[5:].isdigit()]
    if patch and size % patch[0]:
        near = round(size / patch[0]) * patch[0]
        raise InputError(f"Image size {size} isn't a multiple of the {patch[0]} px patches of {name}: try {near}.")
    return {"img_size": int(size)}


def _unknown(name):
    close = difflib.get_close_matches(name, [*MODELS, *timm.list_models()], n=3, cutoff=0.5)
    hint = f"did you mean {' or '.join(close)}?" if close else "`foir models` lists them."
    return f"There is no model {name!r}: {hint} Any timm ViT or CNN name works too."


def _load_vit(net, path, name):
    """Fill ``net`` from the file, without the classifier if that differs, and return what names the weights."""
    state = checkpoints.network(checkpoints.read(path), net.state_dict(), path)
    _check_patches(net, state, path, name)
    try:
        state = {k: v.float() for k, v in checkpoint_filter_fn(state, net).items()}
    except (AttributeError, KeyError, RuntimeError, TypeError, ValueError) as error:
        reason = f"it has {checkpoints.names_of(state)}"
        raise IntegrityError(f"Weights file {path} doesn't hold a ViT such as {name}: {reason}.") from error
    own = net.state_dict()
    heads = [{k: v.shape for k, v in d.items() if k.startswith("head.")} for d in (own, state)]
    if heads[0] != heads[1]:  # another classifier or none: no descriptor needs it
        net.reset_classifier(0)
        own = net.state_dict()
        state = {k: v for k, v in state.items() if not k.startswith("head.")}
    weights_file.check(own, state, path, name)
    net.load_state_dict(state)
    return weights_file.digest(path)


def _check_patches(net, state, path, name):
    """Raises IntegrityError for weights of other patches: timm would resample them, to another network than either."""
    own, theirs = ([v.shape for v in d.values() if v.ndim == 4 and v.shape[1] == 3] for d in (net.state_dict(), state))
    if len(own) == len(theirs) == 1 and own[0][0] == theirs[0][0] and own[0] != theirs[0]:
        patches = f"patches of {theirs[0][-1]} px, the model has {own[0][-1]}"
        raise IntegrityError(f"Weights file {path} doesn't fit {name}: {patches}: choose the model that they are of.")
