"""The CNN tap against timm's own forward pass; pictures of any size; weights that stop at a stage."""

import numpy as np
import pytest
import timm
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from safetensors.torch import save_file

from foir_lib.errors import InputError, IntegrityError, MissingError
from foir_lib.models import cnn_weights, zoo
from foir_lib.models.cnn import CNN, SCALES, Locals
from foir_lib.models.zoo import load_model

FAMILIES = ("resnet18", "resnet50", "regnetx_002", "efficientnet_b0", "convnext_atto", "densenet121", "inception_v3")


def randomised(net, seed=0):
    """``net`` with running statistics and norms that bite, and activations that stay of ordinary size."""
    generator = torch.Generator().manual_seed(seed)
    for module in net.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.1, generator=generator)
            module.running_var.uniform_(0.5, 1.5, generator=generator)
            module.weight.data.uniform_(0.5, 1.0, generator=generator)
            module.bias.data.normal_(0, 0.2, generator=generator)
    return net.eval()


def picture(width, height, seed=0):
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8))


def images(*shape, seed=1):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.fixture(scope="module")
def net():
    torch.manual_seed(0)
    return randomised(timm.create_model("resnet18", num_classes=7))


@pytest.fixture(scope="module")
def model(net):
    return CNN(net, "resnet18", "mine")


@pytest.fixture(scope="module")
def file(net, tmp_path_factory):
    path = tmp_path_factory.mktemp("weights") / "resnet18.safetensors"
    save_file(net.state_dict(), path)
    return path


# --- maps ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", FAMILIES)
def test_the_last_map_is_what_timm_pools(name):
    net = randomised(timm.create_model(name))
    cnn = CNN(net, name)
    x = images(1, 3, 96, 160)
    with torch.no_grad():
        want = net.forward_features(x)
    assert torch.equal(cnn.maps(x), want) and cnn.dim == want.shape[1]
    assert want.std() > 0


@pytest.mark.parametrize(("name", "index"), [("resnet18", 3), ("resnet18", -2), ("resnet50", 1), ("regnetx_002", 2)])
def test_a_stage_is_that_of_timms_feature_network(name, index):
    torch.manual_seed(0)
    net = randomised(timm.create_model(name))
    features = timm.create_model(name, features_only=True, out_indices=[index % 5])
    assert not features.load_state_dict(net.state_dict(), strict=False).missing_keys
    x = images(2, 3, 64, 96)
    with torch.no_grad():
        want = features.eval()(x)[0]
    cnn = CNN(net, name, out_index=index)
    assert torch.allclose(cnn.maps(x), want, atol=1e-5)
    assert (cnn.dim, cnn.stride) == (features.feature_info.channels()[0], features.feature_info.reduction()[0])
    assert not any(key.startswith(("layer4", "fc", "s3.", "s4.", "head")) for key in cnn.net.state_dict())


def test_no_gradient_is_kept_and_nothing_trains(model):
    assert not model.net.training and not any(p.requires_grad for p in model.net.parameters())
    assert model.maps(images(1, 3, 64, 64)).is_inference()


def test_half_precision_is_near_and_comes_back_as_float32(net):
    x = images(1, 3, 64, 64)
    whole, half = CNN(net, "resnet18").maps(x), CNN(net, "resnet18", precision="fp16")
    y = half.maps(x)
    assert y.dtype == torch.float32 and not torch.equal(y, whole) and "fp16" in half.key
    assert torch.allclose(y, whole, rtol=0.05, atol=0.05 * float(whole.max()))


def test_images_of_mixed_sizes_are_batched_by_size(model, monkeypatch):
    xs = [images(3, *size, seed=i) for i, size in enumerate([(64, 96), (32, 32), (64, 96), (96, 64)])]
    want = [model.maps(x[None])[0] for x in xs]
    sizes, forward = [], model._forward
    monkeypatch.setattr(model, "_forward", lambda x: sizes.append(len(x)) or forward(x))
    got = model.maps_of(xs)
    assert sorted(sizes) == [1, 1, 2]
    assert all(torch.allclose(a, b, atol=1e-5) for a, b in zip(got, want, strict=True))


@pytest.mark.parametrize("shape", [(3, 64, 64), (1, 1, 64, 64), (1, 3, 31, 64), (1, 3, 64, 8)])
def test_wrong_images_are_named(model, shape):
    with pytest.raises(InputError, match="32 pixels a side") as error:
        model.maps(torch.zeros(shape))
    assert str(shape) in str(error.value)


# --- pictures --------------------------------------------------------------------------------------


def test_preprocessing_keeps_the_aspect_ratio_and_the_whole_picture(model):
    assert model.preprocess(picture(300, 200)).shape == (3, 200, 300)  # nothing is enlarged
    assert model.preprocess(picture(300, 200), longest=150).shape == (3, 100, 150)
    assert model.preprocess(picture(200, 300), longest=150).shape == (3, 150, 100)
    assert model.preprocess(picture(300, 200), longest=150, scale=2**0.5).shape == (3, 141, 212)
    assert model.preprocess(picture(2048, 512)).shape == (3, 256, 1024)


def test_pixels_are_normalised_as_the_model_was_trained(model):
    x = model.preprocess(Image.new("RGB", (40, 40), (255, 0, 51)))
    want = [(1 - 0.485) / 0.229, (0 - 0.456) / 0.224, (0.2 - 0.406) / 0.225]
    assert torch.allclose(x[:, 3, 5], torch.tensor(want), atol=1e-5)
    assert torch.equal(
        model.preprocess(Image.new("L", (40, 40), 7)), model.preprocess(Image.new("RGB", (40, 40), (7,) * 3))
    )


@settings(max_examples=25)
@given(st.integers(1, 300), st.integers(1, 300), st.sampled_from((0.01, *SCALES)), st.integers(1, 400))
def test_whatever_the_size_there_is_a_cell(model, width, height, scale, longest):
    x = model.preprocess(Image.new("RGB", (width, height)), longest, scale)
    factor = min(1, longest / max(width, height)) * scale
    assert x.shape == (3, max(32, round(height * factor)), max(32, round(width * factor)))


def test_one_pixel_has_local_features(model):
    result = model.locals(Image.new("RGB", (1, 1), "red"))
    assert len(result) == 5 and torch.isfinite(result.features).all()
    assert torch.allclose(result.positions, torch.full((5, 2), 0.5)) and torch.equal(result.cell, torch.ones(5, 2))


def test_a_network_that_needs_more_pixels_gets_them():
    cnn = CNN(timm.create_model("inception_v3", aux_logits=False), "inception_v3")
    assert cnn.min_side > cnn.stride
    assert min(cnn.maps(cnn.preprocess(picture(20, 500))[None]).shape) >= 1


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"scale": 0}, "Scale 0"),
        ({"scale": float("nan")}, "Scale nan"),
        ({"scale": float("inf")}, "Scale inf"),
        ({"scale": "1"}, "Scale '1'"),
        ({"longest": 0}, "Longest side 0"),
        ({"longest": "big"}, "'big'"),
        ({"longest": True}, "True"),
    ],
)
def test_wrong_sizes_are_named(model, options, says):
    with pytest.raises(InputError) as error:
        model.preprocess(picture(40, 40), **options)
    assert says in str(error.value)


# --- local features --------------------------------------------------------------------------------


def test_local_features_know_where_they_come_from():
    x = torch.arange(24.0).reshape(2, 3, 4)  # 2 channels, 3 rows, 4 columns
    result = Locals.from_map(x, (80, 30), 0.5)
    assert torch.equal(result.features[5], torch.tensor([5.0, 17.0]))  # row 1, column 1
    assert result.positions[5].tolist() == [30, 15] and result.positions[-1].tolist() == [70, 25]
    assert result.cell[0].tolist() == [20, 10] and result.scale.tolist() == [0.5] * 12
    assert torch.allclose(result.norm, result.features.norm(dim=1))
    some = result[torch.tensor([5, 0])]
    assert len(some) == 2 and torch.equal(some.features[0], result.features[5]) and some.size == (80, 30)
    assert torch.equal(some.positions[0], result.positions[5]) and len(result[result.norm > 15]) < 12


def test_all_scales_are_merged_in_original_pixels(model):
    p = picture(200, 120)
    result = model.locals(p)
    sizes = [model.maps(model.preprocess(p, scale=s)[None])[0].flatten(1).T for s in SCALES]
    assert torch.equal(result.features, torch.cat(sizes))
    assert torch.equal(result.scale, torch.cat([torch.full((len(x),), s) for x, s in zip(sizes, SCALES)]))
    for scale in SCALES:
        one = result[torch.isclose(result.scale, torch.tensor(scale))]
        assert one.cell.prod(1).sum() == pytest.approx(200 * 120, rel=1e-5)  # its cells tile the picture
        assert torch.allclose(one.positions.mean(0), torch.tensor([100.0, 60.0]))
    with pytest.raises(InputError, match="Scales are empty"):
        model.locals(p, scales=())


def test_a_feature_moves_with_what_it_shows(model):
    """A bright patch at the lower right has its strongest response there, at every scale."""
    array = np.zeros((256, 384, 3), dtype=np.uint8)
    array[160:224, 288:352] = np.random.default_rng(0).integers(0, 256, (64, 64, 3))
    flat = model.locals(Image.fromarray(array * 0))
    result = model.locals(Image.fromarray(array))
    change = (result.features - flat.features).norm(dim=1)
    for scale in SCALES[1:]:
        here = torch.isclose(result.scale, torch.tensor(scale))
        x, y = result.positions[here][change[here].argmax()].tolist()
        assert abs(x - 320) <= 64 / scale and abs(y - 192) <= 64 / scale


# --- classifier, whitening, key --------------------------------------------------------------------


def test_the_classifier_reads_the_pooled_map(net, model):
    x = images(2, 3, 64, 64)
    weight, bias = model.classifier
    with torch.no_grad():
        assert torch.allclose(model.maps(x).mean((2, 3)) @ weight.T + bias, net(x), atol=1e-4)
    for other in (CNN(timm.create_model("vgg11"), "vgg11"), load_model("resnet18", pretrained=False, out_index=2)):
        with pytest.raises(InputError, match="has no classifier on its map"):
            other.classifier  # noqa: B018


def test_the_key_names_all_that_changes_features(net):
    layer = torch.nn.Linear(512, 8)
    keys = [
        CNN(timm.create_model("resnet18"), "resnet18", "a", **options).key
        for options in (
            {}, {"out_index": 3}, {"gem_p": 4.0}, {"longest": 512}, {"precision": "fp16"}, {"precision": "bf16"}, {"whiten": layer},
            {"whiten": torch.nn.Linear(512, 8)},
        )
    ]  # fmt: skip
    assert len(set(keys)) == len(keys) and all("resnet18" not in key and key.startswith("a, map ") for key in keys)


def test_a_whitening_layer_of_another_map_is_refused(net):
    with pytest.raises(InputError, match="takes 256 channels, map -1 of resnet18 has 512"):
        CNN(net, "resnet18", whiten=torch.nn.Linear(256, 8))


@pytest.mark.parametrize("index", [5, -6, 1.0, "layer3", True])
def test_a_stage_that_is_not_there(index):
    with pytest.raises(InputError, match="must be -1, or a stage from 0 to 4"):
        load_model("resnet18", pretrained=False, device="cpu", out_index=index)


# --- weights files ---------------------------------------------------------------------------------


def test_a_whole_file_loads_and_its_classifier_comes_along(net, file):
    cnn = load_model("resnet18", weights=file, device="cpu")
    x = images(1, 3, 64, 64)
    with torch.no_grad():
        assert torch.equal(cnn.maps(x), net.forward_features(x))
    assert cnn.classifier[0].shape == (7, 512) and cnn.whiten is None and cnn.gem_p == 3
    assert "resnet18.safetensors, sha256 " in cnn.key


@pytest.mark.parametrize("index", [0, 1, 3, -2])
def test_a_file_that_stops_at_a_stage(net, tmp_path, index):
    part = timm.create_model("resnet18")
    cnn_weights.prune(part, "resnet18", index)
    body = {k: v for k, v in net.state_dict().items() if k in part.state_dict() and "num_batches" not in k}
    save_file(body, tmp_path / "a.safetensors")
    x = images(1, 3, 64, 64)
    got = load_model("resnet18", weights=tmp_path / "a.safetensors", device="cpu", out_index=index).maps(x)
    with torch.no_grad():
        assert torch.allclose(got, net.forward_intermediates(x, [index % 5], intermediates_only=True)[0], atol=1e-6)
    with pytest.raises(IntegrityError, match=rf"it lacks layer.* \(it reaches out_index={index % 5}: give that\)"):
        load_model("resnet18", weights=tmp_path / "a.safetensors", device="cpu")


def test_a_whole_file_serves_every_stage(net, file):
    cnn = load_model("resnet18", weights=file, device="cpu", out_index=2)
    x = images(1, 3, 64, 64)
    with torch.no_grad():
        assert torch.allclose(cnn.maps(x), net.forward_intermediates(x, [2], intermediates_only=True)[0], atol=1e-6)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda s: s.pop("layer2.0.conv1.weight"), "lacks layer2.0.conv1.weight"),
        (lambda s: s.update({"bn1.bias": torch.zeros(3)}), "bn1.bias has shape (3,), the model needs (64,)"),
        (lambda s: s.update({"layer9.bias": torch.zeros(3)}), "it has layer9.bias"),
        (lambda s: s.update({"whiten.bias": torch.zeros(3)}), "whitening layer that doesn't fit"),
    ],
)
def test_keys_that_remain_must_match(net, tmp_path, change, says):
    state = {k: v for k, v in net.state_dict().items() if not k.startswith(("layer4", "fc"))}
    change(state)
    save_file(state, tmp_path / "a.safetensors")
    with pytest.raises(IntegrityError) as error:
        load_model("resnet18", weights=tmp_path / "a.safetensors", device="cpu", out_index=3)
    assert says in str(error.value)


def test_a_file_may_hold_the_whitening_layer_and_p(net, tmp_path):
    extra = {"whiten.weight": images(8, 512), "whiten.bias": images(8), "pool.p": torch.tensor([2.5])}
    save_file({**net.state_dict(), **extra}, tmp_path / "a.safetensors")
    cnn = load_model("resnet18", weights=tmp_path / "a.safetensors", device="cpu")
    v = images(3, 512, seed=4)
    assert torch.allclose(cnn.whiten(v), v @ extra["whiten.weight"].T + extra["whiten.bias"], atol=1e-4)
    assert cnn.gem_p == 2.5 and not cnn.whiten.weight.requires_grad
    save_file({**net.state_dict(), "whiten.weight": images(8, 512)}, tmp_path / "b.safetensors")
    assert load_model("resnet18", weights=tmp_path / "b.safetensors", device="cpu").whiten.bias is None


def test_files_of_torch_and_files_that_are_none(net, tmp_path):
    torch.save({"state_dict": net.state_dict(), "epoch": 3}, tmp_path / "a.pth")
    x = images(1, 3, 64, 64)
    with torch.no_grad():
        want = net.forward_features(x)
    assert torch.equal(load_model("resnet18", weights=tmp_path / "a.pth", device="cpu").maps(x), want)
    for value in ([1, 2], {}, {"a": 1}, {1: torch.zeros(2)}):
        torch.save(value, tmp_path / "b.pth")
        with pytest.raises(IntegrityError, match="b.pth (holds no tensors by name|doesn't fit resnet18: it lacks)"):
            load_model("resnet18", weights=tmp_path / "b.pth", device="cpu")
    with pytest.raises(MissingError, match="c.pth"):
        load_model("resnet18", weights=tmp_path / "c.pth", device="cpu")


# --- names -----------------------------------------------------------------------------------------


def test_any_cnn_of_timm_has_a_name_here(monkeypatch):
    cnn = load_model("resnet18", pretrained=False, device="cpu", image_size=320)
    assert isinstance(cnn, CNN) and cnn.longest == 320 and "resnet18.a1_in1k at random" in cnn.key
    assert cnn.preprocess(picture(640, 160)).shape == (3, 80, 320)
    calls, create = [], timm.create_model
    monkeypatch.setattr(
        zoo.timm, "create_model", lambda name, pretrained: calls.append((name, pretrained)) or create(name)
    )
    assert "at random" not in load_model("resnet18.tv_in1k", device="cpu").key
    assert calls == [("resnet18.tv_in1k", True)]


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("resnet5O", "resnet50"),
        ("resnet18.nonsense", "resnet18.tv_in1k"),
        ("swin_tiny_patch4_window7_224", "gives no feature map for pictures of any size"),
    ],
)
def test_names_that_are_no_cnn(name, says):
    with pytest.raises(InputError) as error:
        load_model(name, pretrained=False, device="cpu")
    assert says in str(error.value)


@pytest.mark.real
def test_real_weights_that_stop_at_layer_3(foir_data):
    path = foir_data / "weights" / "resnet18_to_layer3.safetensors"
    cnn = load_model("resnet18", weights=path, device="cpu", out_index=3)
    assert (cnn.dim, cnn.stride, cnn.min_side) == (256, 16, 16)
    x = cnn.maps(cnn.preprocess(picture(160, 96))[None])
    assert x.shape == (1, 256, 6, 10) and x.min() == 0 and 0.2 < (x == 0).float().mean() < 0.95
    with pytest.raises(IntegrityError, match=r"it reaches out_index=3"):
        load_model("resnet18", weights=path, device="cpu")
