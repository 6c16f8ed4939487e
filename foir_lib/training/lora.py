"""LoRA (peft) on the attention of a timm ViT: put in, saved with its card, loaded again, merged into the network.

Where timm has query, key and value in one layer, one adapter is on all three. Source: "Find your Needle", stage A: rank 256 (alpha 32,
dropout 0.1 in the public code).
"""

from pathlib import Path

from peft import LoraConfig, PeftModel, get_peft_model, get_peft_model_state_dict, set_peft_model_state_dict
from torch import nn

from foir_lib.data.readers import tables
from foir_lib.errors import IntegrityError, count, number
from foir_lib.files import as_path
from foir_lib.models import checkpoints
from foir_lib.models import weights as weights_file
from foir_lib.models.taps import networks

LAYERS = ["qkv", "q_proj", "k_proj", "v_proj"]


def adapt(net: networks.Net, r: int = 256, alpha: float = 32, dropout: float = 0.1) -> PeftModel:
    """``net``, frozen, with an adapter of rank ``r`` on the attention of every block, which alone is trained.

    It starts as the network is: the adapter's second matrix is zeros. ``alpha`` / r scales what it adds. Raises InputError for numbers
    that can't be.
    """
    count(r, "r"), number(alpha, "alpha", above=0), number(dropout, "dropout", 0, 1)
    for block in net.blocks:
        if getattr(block.attn, "q_bias", None) is not None:  # else timm takes the layer's weight alone, past any adapter
            block.attn.qkv_bias_separate = True
    return get_peft_model(net, LoraConfig(r=r, lora_alpha=alpha, lora_dropout=dropout, target_modules=LAYERS))


def merge(adapted: PeftModel) -> nn.Module:
    """The network with the adapter added to its weights: the plain timm network again, of the same output."""
    return adapted.merge_and_unload(safe_merge=True).requires_grad_(False)


def save(adapted: PeftModel, name: str, folder: str | Path, losses: list[float], facts: dict, about: dict) -> dict:
    """Write the adapter as <name>.safetensors and its card, which says its rank; returns the card. See `weights.write`."""
    return weights_file.write(get_peft_model_state_dict(adapted), name, folder, losses, facts | _rank(adapted), about)


def save_merged(adapted: PeftModel, name: str, folder: str | Path, losses: list[float], facts: dict, about: dict) -> dict:
    """Write the adapter as <name>-lora, see :func:`save`, merge it, and write the network as <name>; returns the network's card."""
    facts = facts | _rank(adapted)
    save(adapted, f"{name}-lora", folder, losses, facts, about)
    return weights_file.write(merge(adapted).state_dict(), name, folder, losses, facts, about)


def load(net: networks.Net, path: str | Path) -> PeftModel:
    """``net`` with the adapter at ``path``, whose card lies beside it.

    Raises MissingError without the file or its card, and IntegrityError for one that is damaged or of another network.
    """
    state, card = checkpoints.read(path), tables.read_json(as_path(path).with_suffix(".json"))
    lora = card.get("lora") if isinstance(card, dict) else None
    if not isinstance(lora, dict) or not {"r", "alpha", "dropout"} <= lora.keys():
        raise IntegrityError(f"The card of adapter {path} doesn't say its rank: get both again.")
    weights_file.digest(path)
    adapted = adapt(net, **{key: lora[key] for key in ("r", "alpha", "dropout")})
    weights_file.check(get_peft_model_state_dict(adapted), state, path, f"an adapter of rank {lora['r']}")
    set_peft_model_state_dict(adapted, {key: value.float() for key, value in state.items()})
    return adapted.eval()


def _rank(adapted):
    """What a card says of an adapter."""
    config = adapted.peft_config["default"]
    return {"lora": {"r": config.r, "alpha": config.lora_alpha, "dropout": config.lora_dropout}}
