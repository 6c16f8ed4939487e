"""Networks of timm that are read: how each begins, turns its patches, and ends; which can be tapped head by head."""

import copy

from timm.layers import AttentionPoolLatent, Format
from timm.models.eva import Eva
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn

from foir_lib.errors import InputError
from foir_lib.models.taps import attention, blocks

Net = VisionTransformer | Eva  # Eva: DINOv3, LingBot, EVA-02, PE
TEXTS = ("clip", "_pe_core_")  # in the names of networks whose head is an image-text projection


def begin(net: Net, x: Tensor) -> Tensor:
    """Tokens (B, prefix + N, d) before the first block, of images (B, 3, H, W)."""
    tokens = net._pos_embed(net.patch_embed(x))
    return net.norm_pre(tokens[0] if isinstance(net, Eva) else net.patch_drop(tokens))


def rotations(net: Net, grid: tuple[int, int]) -> list[Tensor | None]:
    """For each block the rotation of the patch tokens of a grid (rows, columns), or None."""
    rope = getattr(net, "rope", None)
    turns = None if rope is None else rope.get_embed(shape=list(grid))
    return list(turns) if getattr(net, "rope_mixed", False) else [turns] * len(net.blocks)


def through(net: Net, tokens: Tensor, start: int, stop: int, grid: tuple[int, int]) -> Tensor:
    """``tokens`` (B, prefix + N, d) that have gone through ``start`` blocks, after ``stop`` of them."""
    for block, rope in list(zip(net.blocks, rotations(net, grid)))[start:stop]:
        tokens = block(tokens) if rope is None else block(tokens, rope=rope)
    return tokens


def any_size(net: Net, grid: tuple[int, int]) -> Net:
    """A view of a network that takes pictures of a grid of any whole number of patches; its positions are resampled, bicubic, or turned so."""
    net, embed = copy.copy(net), copy.copy(net.patch_embed)
    embed.strict_img_size, embed.flatten, embed.output_fmt = False, False, Format.NHWC
    net._modules, net.dynamic_img_size = {**net._modules, "patch_embed": embed}, True
    if getattr(net, "rope", None) is not None:
        net._modules["rope"] = copy.deepcopy(net.rope)  # it may hold the rotations of its own grid alone
        if hasattr(net.rope, "update_feat_shape"):
            net.rope.update_feat_shape(list(grid))
    return net


def pooling(net: Net) -> str:
    """How a network makes one vector of its tokens: "token" (CLS), "map" (a pooler's latent), or "avg" and its kin."""
    return "map" if isinstance(net.attn_pool, AttentionPoolLatent) else net.global_pool


def averages(net: Net) -> bool:
    """True for a network whose vectors are read out of no attention row, CLS's or a latent's."""
    return pooling(net) not in ("token", "map")


def embedded(net: Net, x: Tensor, project: bool = False) -> Tensor:
    """Vectors (B, d) of images (B, 3, S, S) as timm's own forward pass makes them, before the head or projected by it; differentiable."""
    return net.forward_head(net.forward_features(x), pre_logits=not project)


def projects(net: Net) -> bool:
    """True for an image-text network: its head, where it has one, is the projection and not a classifier trained on top."""
    config = net.pretrained_cfg
    trunk, tag = config.get("architecture") or "", config.get("tag") or ""
    if "siglip" in trunk and pooling(net) == "map":  # the pooler is the projection
        return isinstance(net.head, nn.Identity)
    return any(word in trunk for word in TEXTS) and "_ft_" not in tag and isinstance(net.head, nn.Linear)


def check(net: nn.Module, name: str) -> None:
    """Raises InputError, in words, for what isn't read here."""
    if not isinstance(net, Net):
        raise InputError(f"{name} is no plain Vision Transformer ({type(net).__name__}): choose a timm ViT.")


def check_heads(net: Net, name: str) -> None:
    """Raises InputError, in words, for what has neither a CLS token read out after a plain last block nor a pooler of one latent."""
    check(net, name)
    how = pooling(net)
    if how == "map":
        if net.attn_pool.latent_len != 1 or net.attn_pool.mlp is None:
            raise InputError(f"{name} pools with {net.attn_pool.latent_len} latents, whose heads can't be told apart: choose a ViT with one.")
    elif how != "token":
        remedy = "so no heads can be selected: choose one that does, such as DINOv3, SigLIP 2, CLIP or DeiT."
        raise InputError(f"{name} pools its patch tokens ({net.global_pool}) instead of reading a CLS token or a pooler's latent, {remedy}")
    for block in net.blocks:
        if type(block) not in blocks.KINDS or type(block.attn) not in attention.KINDS:
            raise InputError(f"{name} has blocks that can't be tapped head by head: choose a ViT of plain blocks.")
