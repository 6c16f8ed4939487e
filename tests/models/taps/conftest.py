"""The networks that people use now: real widths and heads, two blocks, few patches, and random weights that bite."""

from functools import partial

import pytest
import timm
import torch
from timm.layers import LayerNorm
from timm.models.eva import Eva

from foir_lib.models.taps.networks import embedded, pooling
from foir_lib.models.vit import ViT

TOKEN = {"global_pool": "token", "img_size": 48}
NETWORKS = {  # kind -> (timm name, or arguments of Eva, and arguments)
    "DINOv3 S, half layout": ("vit_small_patch16_dinov3", TOKEN),
    "DINOv3 S+, SwiGLU": ("vit_small_plus_patch16_dinov3", TOKEN),
    "DINOv3 B, zero biases": ("vit_base_patch16_dinov3_qkvb", TOKEN),
    "LingBot S": ("vit_small_patch16_lingbot", {"img_size": 48}),
    "EVA-02-CLIP B, inner norm": ("eva02_base_patch16_clip_224.merged2b", {"img_size": 48}),
    "EVA-02 L, CLIP": ("eva02_large_patch14_clip_224.merged2b", {"img_size": 28}),
    "EVA-02 S, q_bias": ("eva02_small_patch14_224", {"img_size": 42, "global_pool": "token"}),
    "Sapiens2 B, grouped keys, norms of queries and keys": ("vit_base_patch16_sapiens2", {"img_size": (48, 48), "num_kv_heads": (12, 4)}),
    "RoPE-ViT, mixed": ("vit_small_patch16_rope_mixed_224", {"img_size": 48}),
    "PE-core B": ("vit_pe_core_base_patch16_224.fb", {"img_size": 48}),
    "PE-core T, eight heads on three": ("vit_pe_core_tiny_patch16_384.fb", {"img_size": 48}),
    "SigLIP 2 B": ("vit_base_patch16_siglip_224.v2_webli", {"img_size": 48}),
    "SigLIP with hidden registers": ("vit_tiny_patch16_224", {"img_size": 48, "global_pool": "map", "reg_tokens": 2}),
    "RADIO B": ("vit_base_patch16_radio_v3.c_radio", {"img_size": 48}),
    "TIPSv2 B": ("vit_base_patch14_reg1_tipsv2.webli", {"img_size": 42}),
    "inner norm, gate": ("vit_tiny_patch16_224", {"img_size": 48, "scale_attn_norm": True}),
    "grouped keys, inner norm, gate": (
        {"attn_type": "rope", "qkv_fused": False, "num_kv_heads": 2, "qk_norm": True, "scale_attn_inner": True, "init_values": 0.1}, {},
    ),
    "post-norm": ({"use_post_norm": True, "swiglu_mlp": True, "scale_mlp": True}, {}),
}  # fmt: skip


def randomised(net, seed=0):
    """``net`` in float64 with every weight drawn at random: no zero bias, unit norm or tiny LayerScale can hide a slip."""
    generator = torch.Generator().manual_seed(seed)
    asks = ("qkv.weight", "q_proj.weight", "k_proj.weight", "attn_pool.q.weight", "attn_pool.kv.weight")
    with torch.no_grad():
        for name, p in net.named_parameters():
            if name.endswith(asks):  # sharp attention, so that heads differ
                p.normal_(0, 3 * p.shape[-1] ** -0.5, generator=generator)
            elif p.ndim == 1:
                p.normal_(0.5, 0.4, generator=generator)
            else:
                p.normal_(0, 0.05, generator=generator)
    return net.double().eval()


def created(kind):
    """The network of a kind, two blocks deep."""
    name, options = NETWORKS[kind]
    if isinstance(name, dict):
        small = {"img_size": 32, "patch_size": 8, "embed_dim": 48, "num_heads": 6, "num_classes": 0, "global_pool": "token", "use_rot_pos_emb": True}
        net = Eva(depth=2, norm_layer=partial(LayerNorm, eps=1e-5), **small, **name)
        net.pretrained_cfg = {"tag": "random"}
    else:
        net = timm.create_model(name, depth=2, **options)
    if "gate" in kind:  # timm has the layer, and no name of it yet
        attn = net.blocks[-1].attn
        attn.gate = torch.nn.Linear(net.embed_dim, attn.num_heads * attn.head_dim)
    return randomised(net)


@pytest.fixture(scope="module", params=list(NETWORKS))
def model(request):
    torch.set_num_threads(1)
    return ViT(created(request.param), request.param)


@pytest.fixture(scope="module")
def x(model):
    """Two pictures."""
    return torch.randn(2, 3, model.image_size, model.image_size, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


@pytest.fixture(scope="module")
def official():
    """``official(model, x, bias, last, scale, project)``: vectors by timm's own modules alone.

    ``bias`` (B, N): an ``attn_mask`` that touches the CLS row (a pooler's: the latent's) only, in the last blocks; ``scale`` (h,): factors
    on what the last attention's heads hand on, by a hook.
    """

    def forward(model, x, bias=None, last=1, scale=None, project=False):
        net, hooks = model.net, []
        pooled = pooling(net) == "map"
        if scale is not None:
            wide = scale.repeat_interleave(model.head_dim)
            entry = net.attn_pool.proj if pooled else getattr(net.blocks[-1].attn, "norm", None) or net.blocks[-1].attn.proj
            hooks.append(entry.register_forward_pre_hook(lambda m, a: (torch.cat([a[0][:, :1] * wide, a[0][:, 1:]], 1),)))
        try:
            with torch.inference_mode():
                if bias is None:
                    return embedded(net, x, project)
                t = net._pos_embed(net.patch_embed(x))
                t, rope = t if isinstance(net, Eva) else (t, None)
                t = net.norm_pre(t)
                mask = torch.zeros(len(x), 1, t.shape[1], t.shape[1], dtype=torch.float64)
                mask[:, 0, 0, model.n_prefix :] = bias
                for i, block in enumerate(net.blocks):
                    turn = {} if rope is None else {"rope": rope[i] if net.rope_mixed else rope}
                    t = block(t, **turn, attn_mask=mask if not pooled and i >= model.depth - last else None)
                t = net.norm(t)
                if not pooled:
                    return net.forward_head(t, pre_logits=not project)
                start = 0 if getattr(net, "pool_include_prefix", True) else model.n_prefix
                z = net.fc_norm(net.attn_pool(t[:, start:], attn_mask=mask[:, :, :1, start:]))
                return net.head(z) if project else z
        finally:
            for hook in hooks:
                hook.remove()

    return forward
