"""LeGrad and the joint objective by plain autograd through a whole timm network: the independent derivation of two tests."""

import torch
import torch.nn.functional as F


def captured(net, x):
    """(attention (B, h, T, T), output tokens (B, T, d)) of every block of timm's own forward pass, in one graph that starts at the picture."""
    attentions, outputs, fused = [], [], [block.attn.fused_attn for block in net.blocks]
    hooks = []
    for block in net.blocks:
        block.attn.fused_attn = False
        hooks.append(block.attn.attn_drop.register_forward_hook(lambda m, i, o: attentions.append(o)))
        hooks.append(block.register_forward_hook(lambda m, i, o: outputs.append(o)))
    net.forward_features(x.clone().requires_grad_())
    for block, was in zip(net.blocks, fused, strict=True):
        block.attn.fused_attn = was
    for hook in hooks:
        hook.remove()
    return attentions, outputs


def embedded(net, tokens, score="tokens", project=False):
    z = net.norm(tokens.mean(1) if score == "tokens" else tokens[:, 0])
    return F.normalize(net.head(z) if project else z, dim=-1)


def raw_maps(net, x, targets, last=1, score="tokens", project=False, create_graph=False):
    """Maps (B, N) before min-max, summed over the last blocks; targets (B, p) of unit length."""
    attentions, outputs = captured(net, x)
    total = 0
    for attention, tokens in list(zip(attentions, outputs, strict=True))[-last:]:
        scores = (targets * embedded(net, tokens, score, project)).sum(-1)
        (gradient,) = torch.autograd.grad(scores.sum(), attention, retain_graph=True, create_graph=create_graph)
        if score == "descriptor":
            gradient = gradient[:, :, :1]
        total = total + gradient.clamp(min=0).mean(1).mean(1)[:, net.num_prefix_tokens :]
    return total


def scaled(maps):
    low, high = maps.min(1, keepdim=True).values, maps.max(1, keepdim=True).values
    return (maps - low) / (high - low)


def objective(net, x, masks, embeddings, v, owner, alpha, score="tokens", project=False):
    """sum_i IoU(E_i, m_i) + alpha v . sum_i v_i of each vector v (P, p), one crop after the other."""
    total = [0.0 * one.sum() for one in v]
    for i, p in enumerate(owner):
        unit = v[p] / v[p].norm()
        e = scaled(raw_maps(net, x[i : i + 1], unit[None], 1, score, project, True))[0]
        iou = (e * masks[i]).sum() / (e + masks[i] - e * masks[i]).sum()
        total[p] = total[p] + iou + alpha * unit @ embeddings[i]
    return torch.stack(total)
