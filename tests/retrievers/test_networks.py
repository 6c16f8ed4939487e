"""Every method on the kinds of networks that people use now: it is had, or one sentence says why not."""

from functools import partial

import numpy as np
import pytest
import timm
import torch
from timm.layers import LayerNorm
from timm.models.eva import Eva
from tiny import N, world

from foir_lib import registry
from foir_lib.bench.experiment import Experiment
from foir_lib.methods import legrad
from foir_lib.models.taps.trunk import Averaged
from foir_lib.models.vit import ViT

SMALL = {"img_size": 32, "patch_size": 8, "embed_dim": 48, "depth": 3, "num_heads": 6, "num_classes": 0}
KINDS = {  # kind -> class, and a network of it
    "dinov3": (ViT, lambda: _eva(num_reg_tokens=4, rope_type="dinov3", rope_rotate_half=True, use_abs_pos_emb=False, dynamic_img_size=True, global_pool="token", init_values=0.5)),
    "eva02": (ViT, lambda: _eva(global_pool="token", swiglu_mlp=True, scale_mlp=True, scale_attn_inner=True, qkv_fused=False)),
    "pe-core": (ViT, lambda: _eva(attn_type="rope", global_pool="map", attn_pool_num_heads=8)),
    "siglip": (ViT, lambda: timm.create_model("vit_tiny_patch16_224", **SMALL, class_token=False, global_pool="map")),
    "averaged": (Averaged, lambda: timm.create_model("vit_tiny_patch16_224", **SMALL, class_token=False, global_pool="avg", fc_norm=False)),
}  # fmt: skip
HEADS = ["PHS(h_on=2)", "PHS(h_on=2, foveal=True)", "PHS(h_on=2, query_db=True)", "FA", "AttentionMask", "RandomHeads(h_on=2)", "Crop(denoise=True)"]
PLAIN = ["CBIR", "Mask", "Crop"]


def _eva(**options):
    net = Eva(**SMALL, use_rot_pos_emb=True, norm_layer=partial(LayerNorm, eps=1e-5), **options)
    net.pretrained_cfg = {"tag": "random"}
    return net


@pytest.fixture(scope="module", params=list(KINDS))
def experiment(request, tiny, tmp_path_factory):
    torch.manual_seed(0)
    kind, create = KINDS[request.param]
    net = create()
    for name, p in net.named_parameters():  # weights that bite: heads that differ, no unit norm
        torch.nn.init.normal_(p, 0.5 if p.ndim == 1 else 0.0, 0.3 if p.ndim == 1 else (3 if "q" in name else 1) * p.shape[-1] ** -0.5)
    return Experiment(world(tiny.paths), kind(net, request.param), cache=tmp_path_factory.mktemp("cache"), progress=False, batch_size=5)


@pytest.mark.parametrize("name", HEADS)
def test_methods_on_heads(experiment, name):
    if isinstance(experiment.model, Averaged):
        reason = experiment.lacks(name)
        assert "averages its patch tokens, so no heads can be selected" in reason or "no attention heads to switch off" in reason
        return
    assert not experiment.lacks(name)
    plain, ranking = (experiment.ranking(one) for one in ("CBIR", name))
    assert ranking.scores.shape == (N + 1, N - 1) and np.isfinite(ranking.scores).all()
    assert np.abs(ranking.scores - plain.scores).max() > 1e-4, "the prompt counts"


@pytest.mark.parametrize("name", PLAIN)
def test_methods_on_pictures(experiment, name):
    ranking = experiment.ranking(name)
    assert ranking.scores.shape == (N + 1, N - 1) and np.isfinite(ranking.scores).all() and ranking.scores.std() > 1e-6


def test_cbir_is_by_timms_own_vectors(experiment):
    model, pictures = experiment.model, experiment.corpus.database
    x = torch.stack([model.preprocess(pictures.open(row)) for row in range(N)])
    with torch.inference_mode():
        z = torch.nn.functional.normalize(model.net.forward_head(model.net.forward_features(x), pre_logits=True), dim=-1)
    stored = experiment.corpus.described(registry.parse("retriever", "CBIR"), pictures).read("descriptor")
    np.testing.assert_allclose(stored, z.numpy(), atol=1e-5)


def test_localisers_on_patches_and_maps_of_heads(experiment):
    answers = experiment.localise("Dense(side=64)", np.arange(N + 1)[:, None] % N)
    assert len(answers) == N + 1 and all(np.isfinite(one.score) for some in answers for one in some.values())
    if isinstance(experiment.model, Averaged):
        return
    x = experiment.model.preprocess(experiment.corpus.database.open(0))
    heat = legrad.heatmap(experiment.model, x, experiment.model.embed(x[None])[0])
    assert heat.shape == experiment.model.grid and heat.min() == 0 and heat.max() == 1


def test_the_identity_needs_a_value_row(experiment):
    reason = experiment.lacks("PHS(h_on=2, strategy='identity')")
    if getattr(experiment.model, "pooled", False):
        assert "a pooler, whose latent has no value row" in reason
    else:
        assert ("averages" in reason) if isinstance(experiment.model, Averaged) else not reason
