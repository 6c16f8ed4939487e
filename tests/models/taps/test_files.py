"""Weights files of the networks of today, adapters on them, what they cost, and those that average."""

import pytest
import timm
import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torch.utils.flop_counter import FlopCounterMode

from foir_lib import load_model
from foir_lib.bench.speed import heads
from foir_lib.errors import InputError, IntegrityError
from foir_lib.models import zoo
from foir_lib.models.taps import networks
from foir_lib.models.taps.trunk import Averaged
from foir_lib.models.vit import ViT
from foir_lib.training import lora

SMALLEST = {  # of each kind the smallest that timm has
    "vit_tiny_patch16_dinov3_qkvb": {"global_pool": "token"},
    "vit_pe_core_tiny_patch16_384": {},
    "eva02_tiny_patch14_224": {},
    "vit_pe_spatial_tiny_patch16_512": {},
}


def random(name, **options):
    torch.manual_seed(0)
    net = timm.create_model(name, **SMALLEST[name], **options)
    for p in net.parameters():
        torch.nn.init.normal_(p, 0.3 if p.ndim == 1 else 0.0, 0.2 if p.ndim == 1 else p.shape[-1] ** -0.5)
    return net.eval()


@pytest.fixture(scope="module", params=list(SMALLEST))
def saved(request, tmp_path_factory):
    """(name, network of 8 x 8 tokens, its file)."""
    side = 112 if "patch14" in request.param else 128
    net, path = random(request.param, img_size=side), tmp_path_factory.mktemp("weights") / "mine.safetensors"
    save_file({k: v.contiguous() for k, v in net.state_dict().items()}, path)
    return request.param, net, path, side


def test_a_file_of_weights_gives_timms_vectors(saved):
    name, net, path, side = saved
    model = load_model(name, weights=path, device="cpu", image_size=side)
    x = torch.randn(2, 3, side, side, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        expected = F.normalize(net.forward_head(net.forward_features(x), pre_logits=True), dim=-1)
    torch.testing.assert_close(model.embed(x), expected, rtol=1e-5, atol=1e-5)
    assert isinstance(model, Averaged) == (name in ("eva02_tiny_patch14_224", "vit_pe_spatial_tiny_patch16_512"))
    assert type(model) is zoo.kind_of(name, published=False) and "mine.safetensors, sha256" in model.key


def test_a_file_of_another_network_is_one_sentence(saved, tmp_path):
    name, net, path, side = saved
    other = timm.create_model("deit_tiny_patch16_224", img_size=side // 16 * 16, depth=1)
    save_file(other.state_dict(), tmp_path / "deit.safetensors")
    with pytest.raises(IntegrityError) as error:
        load_model(name, weights=tmp_path / "deit.safetensors", device="cpu", image_size=side)
    assert "\n" not in str(error.value) and "deit.safetensors" in str(error.value)
    with pytest.raises(IntegrityError, match="doesn't fit deit-tiny|doesn't hold a ViT such as deit-tiny"):
        load_model("deit-tiny", weights=path, device="cpu")


def test_dinov3_by_its_authors_names(tmp_path, capsys):
    """storage_tokens, ls1.gamma, one bias of query, key and value with zeros for the keys: timm knows them, and prints nothing here."""
    name = "vit_tiny_patch16_dinov3_qkvb"
    net, theirs = random(name, img_size=32), {}
    for key, value in net.state_dict().items():
        if key.endswith("q_bias"):
            other = net.state_dict()[key.replace("q_bias", "v_bias")]
            theirs[key.replace("q_bias", "qkv.bias")] = torch.cat([value, torch.zeros_like(value), other])
        elif not key.endswith("v_bias"):
            theirs[key.replace("gamma_1", "ls1.gamma").replace("gamma_2", "ls2.gamma").replace("reg_token", "storage_tokens")] = value
    torch.save(theirs | {"rope_embed.periods": torch.ones(8), "mask_token": torch.zeros(1, 192)}, tmp_path / "meta.pth")
    model = load_model(name, weights=tmp_path / "meta.pth", device="cpu", image_size=32)
    for key, value in net.state_dict().items():
        torch.testing.assert_close(model.net.state_dict()[key], value, msg=key)
    assert capsys.readouterr().out == ""


def test_dinov3_reads_its_cls_token():
    """timm would average it, which its authors don't."""
    model = load_model("vit_tiny_patch16_dinov3_qkvb", pretrained=False, device="cpu", image_size=32)
    assert isinstance(model, ViT) and model.net.global_pool == "token" and model.n_prefix == 5
    x = torch.randn(1, 3, 32, 32)
    with torch.inference_mode():
        torch.testing.assert_close(model.embed(x, unit=False), model.net.forward_features(x)[:, 0], rtol=1e-4, atol=1e-5)


def test_what_averages_has_no_heads():
    model = load_model("vit_pe_spatial_tiny_patch16_512", pretrained=False, device="cpu", image_size=32)
    assert not hasattr(model, "cls_state") and not hasattr(model, "tap") and model.patches(torch.zeros(1, 3, 32, 64)).shape == (1, 2, 4, 192)
    assert zoo.kind_of("aimv2-large", published=False) is Averaged and zoo.kind_of("dinov3-base", published=False) is ViT
    with pytest.raises(InputError, match="no image-text projection"):
        model.embed(torch.zeros(1, 3, 32, 32), project=True)
    with pytest.raises(InputError, match="Images of shape"):
        model.embed(torch.zeros(1, 3, 16, 32))


@pytest.mark.parametrize("name", ["vit_tiny_patch16_dinov3_qkvb", "eva02_base_patch14_224", "vit_pe_core_tiny_patch16_384"])
def test_an_adapter_learns_changes_and_merges(name):
    """One bias of query, key and value apart from the layer, three layers, or one: an adapter is in the way of each."""
    torch.manual_seed(0)
    side = 28 if "patch14" in name else 32
    net, x = timm.create_model(name, img_size=side, depth=2).eval(), torch.randn(2, 3, side, side)
    for p in net.parameters():
        if p.ndim == 1:  # among them LayerScale, which would hide the adapter
            torch.nn.init.normal_(p, 0.5, 0.3)
    with torch.no_grad():
        before = networks.embedded(net, x)
        adapted = lora.adapt(net, 2, 4, 0.0).eval()
        torch.testing.assert_close(networks.embedded(adapted.get_base_model(), x), before, rtol=1e-4, atol=1e-5)
    for key, p in adapted.named_parameters():
        if "lora_B" in key:
            torch.nn.init.normal_(p, std=0.5)
    networks.embedded(adapted.get_base_model(), x).square().sum().backward()
    learning = [p.grad.abs().max() for p in adapted.parameters() if p.requires_grad]
    assert len(learning) in (4, 12) and all(g > 0 for g in learning[-2:])
    with torch.no_grad():
        after = networks.embedded(adapted.get_base_model(), x)
        merged = lora.merge(adapted)
        assert (after - before).abs().max() > 1e-5
        torch.testing.assert_close(networks.embedded(merged, x), after, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", ["vit_small_patch16_dinov3", "vit_base_patch16_siglip_224"])
def test_states_cost_no_more_products_than_the_plain_forward(name):
    net = timm.create_model(name, img_size=64, depth=2, **({"global_pool": "token"} if "dinov3" in name else {}))
    model, x = ViT(net, name), torch.randn(1, 3, 64, 64)
    for part in net.modules():
        if hasattr(part, "fused_attn"):
            part.fused_attn = False  # so that every product is counted
    counted = []
    for one in (lambda: model.descriptor(model.cls_state(x)), lambda: net.forward_head(net.forward_features(x), pre_logits=True)):
        with FlopCounterMode(display=False) as counter, torch.inference_mode():
            one()
        counted.append(counter.get_total_flops())
    assert 0 < counted[0] <= counted[1]


@pytest.mark.claims
@pytest.mark.parametrize("name", ["dinov3-small", "lingbot-small", "siglip2-base", "eva02-clip-base", "pe-core-base"])
def test_states_take_no_longer_than_the_plain_forward(name):
    measured = heads.cls_state(load_model(name, pretrained=False, device="cpu"), 7, 4)
    print(f"{name}: {measured['ratio']:.3f} of {measured['b_ms']:.0f} ms")
    assert measured["ratio"] <= 1.05


@pytest.mark.slow
@pytest.mark.parametrize("name", ["dinov3-small", "siglip2-base", "eva02-clip-base", "pe-core-base", "radio-v3-base", "tipsv2-base"])
def test_a_whole_network_gives_timms_vectors(name):
    """All blocks, at 224 pixels, in single precision."""
    torch.manual_seed(0)
    model = load_model(name, pretrained=False, device="cpu")
    for p in model.net.parameters():
        if p.ndim == 1:
            torch.nn.init.normal_(p, 0.5, 0.3)
    x = torch.randn(1, 3, 224, 224)
    with torch.inference_mode():
        expected = networks.embedded(model.net, x)
    torch.testing.assert_close(model.embed(x, unit=False), expected, rtol=1e-4, atol=1e-4 * float(expected.abs().max()))
    assert model.cls_state(x).attention.shape == (1, model.n_heads, model.grid[0] * model.grid[1])
