"""The mini ViTs: shape, weights, cards, training, and the effect that every lesson rests on."""

import hashlib

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from timm.models.vision_transformer import Block, VisionTransformer

from foir_lib import load_model
from foir_lib.data.mini import focus
from foir_lib.errors import InputError
from foir_lib.models.mini import shipped
from foir_lib.models.mini import vit as mini_vit
from foir_lib.training.mini import vit

NAMES = list(mini_vit.SIZES)


@pytest.mark.parametrize(
    "name, heads", [("mini-vit-small", 6), ("mini-vit", 12), ("mini-vit-large", 16)]
)
def test_the_network_is_a_plain_timm_vit_with_64_tokens(name, heads):
    net = mini_vit.create(name).eval()
    assert isinstance(net, VisionTransformer) and all(type(block) is Block for block in net.blocks)
    assert net.blocks[-1].attn.num_heads == heads and net.blocks[-1].attn.head_dim == 16
    assert net.patch_embed.grid_size == (8, 8) and len(net.blocks) == 4
    assert net(torch.zeros(2, 3, 128, 128)).shape == (2, 16 * heads)


@pytest.mark.parametrize("name, size", [("mini-vit-huge", 128), ("mini-vit", 100), ("mini-vit", 0)])
def test_unknown_names_and_sizes_are_refused(name, size):
    with pytest.raises(InputError, match=f"{name}|{size}"):
        mini_vit.create(name, size)


@pytest.mark.parametrize("name", NAMES)
def test_shipped_weights_are_the_ones_of_their_card(name):
    card, path = shipped.card(name), shipped.weights_path(name)
    assert hashlib.sha256(path.read_bytes()).hexdigest() == card["sha256"]
    assert path.stat().st_size < 6e6
    assert (
        card["name"] == name
        and card["licence"] == "Apache-2.0"
        and card["data"]["streams"] == "training"
    )
    assert card["data"]["world_version"] == focus.VERSION, (
        "the world has changed since these weights were trained"
    )
    assert f"-p name {name} -p steps {card['recipe']['steps']} " in card["command"]
    assert card["held_out"]["mAP"] > 0.8 and card["losses"][-1] < 0.5 * card["losses"][0]


@pytest.mark.parametrize("name", NAMES)
def test_shipped_descriptors_are_near_where_held_out_scenes_share_kinds(name):
    model = load_model(name, device="cpu")
    pixels, labels = vit.render(0, 90, 0, vit.HELD_OUT, 128)
    d = F.normalize(model.net(vit.normalise(torch.from_numpy(pixels))), dim=-1)
    shared = torch.from_numpy(
        (labels[:, None] & labels[None]).sum(-1) / (labels[:, None] | labels[None]).sum(-1)
    )
    off = ~torch.eye(len(d), dtype=torch.bool)
    assert torch.corrcoef(torch.stack([(d @ d.T)[off], shared[off].float()]))[0, 1] > 0.5


def test_other_input_sizes_through_timms_own_resampling():
    small, large = (
        load_model("mini-vit", device="cpu"),
        load_model("mini-vit", device="cpu", image_size=224),
    )
    assert small.image_size == 128 and small.grid == (8, 8) and large.grid == (14, 14)
    resized = mini_vit.create("mini-vit")
    resized.load_state_dict(small.net.state_dict())
    resized.set_input_size(img_size=224)
    x = torch.randn(1, 3, 224, 224)
    torch.testing.assert_close(resized.eval()(x), large.net(x))


def test_the_descriptor_is_the_networks_own_output():
    model = load_model("mini-vit", device="cpu")
    x = torch.randn(2, 3, 128, 128)
    torch.testing.assert_close(
        model.descriptor(model.cls_state(x)), F.normalize(model.net(x), dim=-1)
    )


def test_training_pictures_are_what_the_model_sees_in_use():
    pixels, labels = vit.render(4, 5, 0, vit.TRAIN, 128)
    image, kinds, _, _ = focus.scene(
        focus.stream(1, "mini-focus-sparse", 0, 0, 4), "mini-focus-sparse"
    )
    assert np.flatnonzero(labels[0]).tolist() == sorted(set(kinds))
    preprocessed = load_model("mini-vit", device="cpu").preprocess(Image.fromarray(image))
    torch.testing.assert_close(
        vit.normalise(torch.from_numpy(pixels))[0], preprocessed, atol=0.01, rtol=0
    )


@pytest.fixture(scope="module")
def scenes():
    return tuple(map(torch.from_numpy, vit.render(0, 24, 0, vit.TRAIN, 128)))


def test_a_killed_training_goes_on_as_if_nothing_had_happened(scenes, tmp_path, monkeypatch):
    _, straight = vit.train("mini-vit-small", 4, *scenes, batch=8)
    clip, calls = torch.nn.utils.clip_grad_norm_, []

    def kill(*args, **options):
        calls.append(1)
        if len(calls) == 4:
            raise KeyboardInterrupt
        return clip(*args, **options)

    monkeypatch.setattr(torch.nn.utils, "clip_grad_norm_", kill)
    with pytest.raises(KeyboardInterrupt):
        vit.train(
            "mini-vit-small", 4, *scenes, batch=8, checkpoint=tmp_path / "run.pt", every=2
        )
    net, resumed = vit.train(
        "mini-vit-small", 4, *scenes, batch=8, checkpoint=tmp_path / "run.pt"
    )
    assert len(calls) == 6, "two steps are done again"
    np.testing.assert_allclose(resumed, straight, rtol=1e-4)
    with pytest.raises(InputError, match="another run"):
        vit.train("mini-vit-small", 5, *scenes, batch=8, checkpoint=tmp_path / "run.pt")


def test_a_network_can_learn_its_scenes_by_heart(scenes):
    few = [part[:12] for part in scenes]
    _, losses = vit.train("mini-vit-small", 25, *few, batch=12)
    assert losses[-1] < 0.6 * losses[0]


def test_held_out_score_is_the_mean_average_precision_by_hand():
    labels = torch.tensor([[1, 0], [0, 1], [1, 1], [0, 0]]).bool()
    logits = torch.tensor([[9.0, 4.0], [8.0, 3.0], [7.0, 2.0], [6.0, 1.0]])
    score = vit.held_out(
        lambda x: logits, torch.zeros(4, 3, 8, 8, dtype=torch.uint8), labels
    )
    assert score == pytest.approx(((1 + 2 / 3) / 2 + (1 / 2 + 2 / 3) / 2) / 2)


def test_saved_weights_load_again_and_their_card_says_what_they_are(tmp_path):
    net = mini_vit.create("mini-vit-small", num_classes=24).eval()
    card = vit.save(net, "mini-vit-small", tmp_path, [3.0, 2.0, 1.0], {"minutes": 1})
    path = tmp_path / "mini-vit-small.safetensors"
    assert card["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest() and card["losses"] == [
        3.0,
        2.0,
        1.0,
    ]
    model, x = load_model("mini-vit-small", weights=path, device="cpu"), torch.randn(1, 3, 128, 128)
    torch.testing.assert_close(
        model.net(x), net.forward_head(net.forward_features(x), pre_logits=True), atol=0.02, rtol=0
    )


def test_its_patches_are_those_of_its_stem_at_any_size():
    model = load_model("mini-vit", device="cpu")
    picture = Image.fromarray(np.random.default_rng(0).integers(0, 256, (108, 136, 3), dtype=np.uint8))
    assert model.patch == (16, 16)
    x = model.resized(picture, 256)
    assert x.shape == (3, 14 * 16, 18 * 16)  # 16 x 16 patches in all: sqrt(136 / 108) * 16 = 17.95, 16 / 1.122 = 14.3
    tokens = model.patches(x[None])
    assert tokens.shape == (1, 14, 18, 192) and tokens.norm(dim=-1).sub(1).abs().max() < 1e-5
    own = model.preprocess(picture)[None]  # its own size needs no other positions
    torch.testing.assert_close(model.patches(own).flatten(1, 2), F.normalize(model.tokens(own, 4)[:, 1:], dim=-1), atol=1e-4, rtol=0)
