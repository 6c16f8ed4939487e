"""Weights files of Vision Transformers: into the network that they are of, whoever wrote them."""

import io
from contextlib import redirect_stdout
from functools import partial
from pathlib import Path

from timm.models import eva, vision_transformer

from foir_lib.errors import IntegrityError
from foir_lib.models import checkpoints
from foir_lib.models import weights as weights_file
from foir_lib.models.taps.networks import Net


def load(net: Net, path: str | Path, name: str) -> str:
    """Fill ``net`` from the file, without the classifier if that differs, and return what names the weights.

    Raises IntegrityError where they aren't those of such a network.
    """
    state = checkpoints.network(checkpoints.read(path), net.state_dict(), path)
    _check_patches(net, state, path, name)
    try:
        with redirect_stdout(io.StringIO()):  # timm prints what it looked for
            state = {k: v.float() for k, v in _filter_of(net)(state, net).items()}
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


def _filter_of(net):
    """What timm does with a file of such a network: its authors' names become timm's, positions are resampled as they were trained."""
    if isinstance(net, eva.Eva):
        return eva.checkpoint_filter_fn
    if "_radio_" not in (trunk := net.pretrained_cfg.get("architecture") or ""):
        return vision_transformer.checkpoint_filter_fn
    corners = any(one in trunk for one in ("base_patch16_radio_v3", "huge_patch16_radio_v3"))
    return partial(vision_transformer.checkpoint_filter_fn, interpolation="bilinear", antialias=False, align_corners=corners)


def _check_patches(net, state, path, name):
    """Raises IntegrityError for weights of other patches: timm would resample them, to another network than either."""
    own, theirs = ([v.shape for v in d.values() if v.ndim == 4 and v.shape[1] == 3] for d in (net.state_dict(), state))
    if len(own) == len(theirs) == 1 and own[0][0] == theirs[0][0] and own[0] != theirs[0]:
        patches = f"patches of {theirs[0][-1]} px, the model has {own[0][-1]}"
        raise IntegrityError(f"Weights file {path} doesn't fit {name}: {patches}: choose the model that they are of.")
