"""Regional attention: the equations written out, its context, its gradients, its files."""

import hashlib
import math

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file
from small_cnn import colours, tiny

from foir_lib.data.training import TrainingSet
from foir_lib.errors import InputError, IntegrityError, MissingError
from foir_lib.methods import pooling, regional_attention, regions, whitening
from foir_lib.methods.regional_attention import RegionalAttention
from foir_lib.models.cnn import CNN
from foir_lib.models.mini import shipped
from foir_lib.training import regions as regional_training
from foir_lib.training.losses import info_nce
from foir_lib.training.regions import Maps


def network(context=True, channels=5, hidden=4, seed=0):
    torch.manual_seed(seed)
    return RegionalAttention(channels, hidden, context).double()


def maps(*shape, seed=0):
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def unit(v):
    return v / v.norm(dim=-1, keepdim=True)


@pytest.mark.parametrize("context", [True, False])
def test_attention_is_eqs_2_and_3(context):
    net, x = network(context), maps(2, 5, 4, 6)
    at = regions.grid(4, 6, 2)
    a = net(x, at)
    assert a.shape == (2, len(at)) and (a > 0).all()
    for b in range(2):
        for i, (r, c, side) in enumerate(at):
            k = [float(x[b, ch, r : r + side, c : c + side].mean()) for ch in range(5)]
            k += [float(x[b, ch].mean()) for ch in range(5)] * context
            hidden = [
                math.tanh(sum(w * v for w, v in zip(row, k, strict=True)) + bias)
                for row, bias in zip(net.W_r.weight.tolist(), net.W_r.bias.tolist(), strict=True)
            ]
            z = sum(w * h for w, h in zip(net.W_c.weight[0].tolist(), hidden, strict=True)) + net.W_c.bias.item()
            assert a[b, i].item() == pytest.approx(math.log(1 + math.exp(z)))


def test_sizes_of_the_paper():
    with_context, without = RegionalAttention(2048), RegionalAttention(2048, context=False)
    assert with_context.W_r.weight.shape == (64, 4096) and without.W_r.weight.shape == (64, 2048)
    assert with_context.W_c.weight.shape == (1, 64)


def test_only_context_sees_what_lies_outside_the_region():
    x = maps(1, 5, 4, 4)
    other = x.clone()
    other[..., 2:] += 1
    at = [(0, 0, 2)]
    assert torch.allclose(network(False)(x, at), network(False)(other, at))
    assert not torch.allclose(network()(x, at), network()(other, at))


def test_the_descriptor_is_the_weighted_mean_of_processed_regions():
    net, x = network(), maps(2, 5, 6, 9)
    at = regions.grid(6, 9, 3)
    pca = whitening.fit(unit(regions.pooled(x, at)).flatten(0, 1), 4)
    for whiten in (None, pca):
        want = 0
        for i, (r, c, side) in enumerate(at):
            v = unit(x[..., r : r + side, c : c + side].amax((2, 3)))
            want = want + net(x, at)[:, i, None] * (v if whiten is None else unit(whiten(v)))
        got = regional_attention.descriptor(x, net, 3, whiten)
        assert torch.allclose(got, unit(want / len(at)))
        assert torch.allclose(got, regional_attention.descriptor(x, net, whiten=whiten, at=at))


def test_without_attention_it_is_r_mac():
    x = maps(2, 5, 6, 9)
    assert torch.allclose(regional_attention.descriptor(x, None, 4), pooling.rmac(x, 4))
    net = network()
    with torch.no_grad():
        net.W_c.weight.zero_()  # every region alike
    assert torch.allclose(regional_attention.descriptor(x, net, 4), pooling.rmac(x, 4))


def test_attention_moves_the_descriptor_to_the_region_it_likes():
    x = torch.zeros(1, 2, 1, 2)
    x[0, 0, 0, 0], x[0, 1, 0, 1] = 1, 1
    net = RegionalAttention(2, 1, context=False)
    with torch.no_grad():
        net.W_r.weight[:], net.W_r.bias[:] = torch.tensor([[5.0, -5.0]]), 0
        net.W_c.weight[:], net.W_c.bias[:] = 10, 0
    v = regional_attention.descriptor(x, net, at=[(0, 0, 1), (0, 1, 1)])
    assert v[0, 0] > 0.999 and v[0, 1] < 0.01


def test_training_vectors_are_eq_4_and_train_all_parameters():
    net, x = network(), maps(2, 5, 4, 4)
    at = regions.grid(4, 4, 4)
    want = sum(
        net(x, at)[:, i, None] * x[..., r : r + s, c : c + s].amax((2, 3)) for i, (r, c, s) in enumerate(at)
    ) / len(at)
    got = regional_attention.attended(x, net)
    assert torch.allclose(got, want)
    torch.nn.functional.cross_entropy(got, torch.tensor([0, 3])).backward()
    assert all(p.grad.abs().sum() > 0 for p in net.parameters())


def test_it_learns_which_regions_matter():
    """The class stands in one corner of noise: attention learns to weigh that corner's kind of region."""
    torch.manual_seed(0)
    n, net = 64, RegionalAttention(6, 8)
    y = torch.randint(0, 2, (n,))
    x = torch.rand(n, 6, 4, 4)  # channels 0, 1: noise on top of the class; 4 marks the place
    x[:, 4] = 0
    x[:, 5] = 0
    for i in range(n):
        x[i, :2, 0, 0] = 0
        x[i, y[i], 0, 0], x[i, 4, 0, 0] = 1.0, 2.0
    classify = torch.eye(6)[:2]

    def loss():
        return torch.nn.functional.cross_entropy(5 * regional_attention.attended(x, net, 3) @ classify.T, y)

    before, optimiser = loss().item(), torch.optim.Adam(net.parameters(), 0.02)
    for _ in range(60):
        optimiser.zero_grad()
        loss().backward()
        optimiser.step()
    at = regions.grid(4, 4, 3)
    a = net(x, at).mean(0)
    small = [i for i, (_, _, side) in enumerate(at) if side == 2]
    corner = next(i for i in small if at[i] == (0, 0, 2))
    assert loss().item() < 0.7 * before
    assert a[corner] > 2 * a[[i for i in small if i != corner]].mean()


def test_boxes_of_any_shape_and_tiny_maps():
    net = network()
    assert regional_attention.descriptor(maps(1, 5, 4, 6), net, at=[(0, 0, 3, 6), (1, 2, 2, 1)]).shape == (1, 5)
    for x in (maps(1, 5, 1, 1), torch.zeros(1, 5, 3, 3, dtype=torch.float64), torch.ones(1, 5, 1, 9).double()):
        v = regional_attention.descriptor(x, net)
        assert v.shape == (1, 5) and torch.isfinite(v).all()
    with pytest.raises(InputError, match=r"\(1, 4, 3, 3\) must be \(B, 5, H, W\)"):
        net(maps(1, 4, 3, 3), [(0, 0, 1)])


@pytest.mark.parametrize("context", [True, False])
def test_files(tmp_path, context):
    net = network(context).float()
    regional_attention.save(net, tmp_path / "a.safetensors")
    again = regional_attention.load(str(tmp_path / "a.safetensors"))
    x, at = maps(1, 5, 4, 4).float(), regions.grid(4, 4, 2)
    assert torch.equal(net(x, at), again(x, at)) and again.context is context
    assert not again.training and not any(p.requires_grad for p in again.parameters())
    assert [p.name for p in tmp_path.iterdir()] == ["a.safetensors"]


def test_files_that_are_none(tmp_path):
    with pytest.raises(MissingError, match="a.safetensors"):
        regional_attention.load(tmp_path / "a.safetensors")
    (tmp_path / "a.safetensors").write_bytes(b"nothing")
    save_file(network().state_dict(), tmp_path / "b.safetensors")  # without saying what it is
    save_file({"x": torch.zeros(2)}, tmp_path / "c.safetensors", {"channels": "5", "context": "1"})
    save_file(network().state_dict(), tmp_path / "d.safetensors", {"channels": "7", "context": "1"})
    for name in "abcd":
        with pytest.raises(IntegrityError, match=f"{name}.safetensors holds no regional attention"):
            regional_attention.load(tmp_path / f"{name}.safetensors")


# --- training


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    return colours(tmp_path_factory.mktemp("pictures"))


@pytest.fixture(scope="module")
def model():
    return CNN(tiny(), "tiny")


def test_a_square_is_nearly_the_whole_picture(tmp_path):
    ramp = np.broadcast_to(np.linspace(0, 255, 170, dtype=np.uint8)[:, None, None], (170, 340, 3))
    Image.fromarray(np.ascontiguousarray(ramp)).save(tmp_path / "a.png")
    pictures = TrainingSet("ramp", [str(tmp_path / "a.png")], np.array([0]), ["ramp"])
    cuts = regional_training.Squares(pictures, 160, (0, 0, 0), (1, 1, 1))
    tops = set()
    for seed in range(8):
        x, label = cuts[0, seed]
        assert x.shape == (3, 160, 160) and label == 0
        assert float(x[0, -1, 0] - x[0, 0, 0]) == pytest.approx(159 / 169, abs=0.02)  # 160 of 170 rows, not enlarged
        tops.add(round(float(x[0, 0, 0]) * 169))
    assert torch.equal(cuts[0, 0][0], cuts[0, 0][0]) and len(tops) > 2 and max(tops) <= 10


def test_boxes_fill_their_cuts_and_squares_do_not(pictures):
    for cuts, share in ((regional_training.Boxes, 1), (regional_training.Squares, 28 * 24 / 48 / 40)):
        cut = cuts(pictures, 24, (0, 0, 0), (1, 1, 1))
        for row in range(4):
            assert float((cut[row, 0][0][row % 3] > 0.9).float().mean()) == pytest.approx(share, abs=0.12)


def test_kept_maps_are_those_of_the_pictures_in_every_order(model, pictures):
    stored, fresh = (Maps(model, pictures, 32, batch=4, seed=5, keep=keep) for keep in (True, False))
    assert len(stored) == len(fresh) == 3
    for number in (0, 1):
        a, b = list(stored.epoch(number)), list(fresh.epoch(number))
        assert [y.tolist() for _, y in a] == [y.tolist() for _, y in b] and len(a) == 3
        rows = [row for rows in regional_training.draws(12, 4, (5, number)) for row, _ in rows]
        whole = torch.cat([model.maps(stored.cuts[row, 5][0][None]) for row in rows])
        torch.testing.assert_close(torch.cat([x for x, _ in a]), whole, atol=0.01, rtol=0.01)
    assert not torch.equal(
        torch.cat([x for x, _ in fresh.epoch(0)]), torch.cat([x for x, _ in stored.epoch(0)])
    )


@pytest.mark.parametrize("scales", [None, 2])
def test_attention_learns_through_a_classifier(model, pictures, scales):
    maps = Maps(model, pictures, 64, batch=12, keep=True)
    classifier, losses = regional_training.train_classifier(maps, scales, epochs=20, lr=0.1)
    assert classifier[0].shape == (3, 16) and losses[-1] < 0.8 * losses[0]
    attention, result = regional_training.train_regional_attention(
        maps, classifier, hidden=4, epochs=(6, 2), rate=0.05, scales=2
    )
    assert len(result) == 8 and np.mean(result[-3:]) < result[0] and not attention.W_c.weight.requires_grad
    x = model.maps(torch.randn(2, 3, 64, 64))
    assert regional_attention.descriptor(x, attention, 2).shape == (2, 16)


def test_the_classifier_reads_what_attention_gives_it(model, pictures):
    """With a rate of nearly 0 the first loss is that of the layer as it was drawn, on the vectors it should read."""
    maps = Maps(model, pictures, 64, batch=12, keep=True)
    x, y = next(maps.epoch(0))
    at = regions.grid(4, 4, 2)
    eq_4 = torch.stack([x[..., r : r + s, c : c + s].amax((2, 3)) for r, c, s in at]).mean(0)
    for scales, vectors in ((None, x.mean((2, 3))), (2, eq_4)):
        (weight, bias), losses = regional_training.train_classifier(maps, scales, epochs=1, lr=1e-9)
        assert losses[0] == pytest.approx(
            float(torch.nn.functional.cross_entropy(vectors @ weight.T + bias, y)), abs=1e-4
        )


def test_a_classifier_that_does_not_fit(model, pictures):
    maps = Maps(model, pictures, 32, keep=True)
    with pytest.raises(InputError, match="doesn't fit 3 labels and 16 channels"):
        regional_training.train_regional_attention(maps, (torch.zeros(2, 16), torch.zeros(2)))
    with pytest.raises(InputError, match="no classifier"):
        regional_training.train_regional_attention(maps)


def test_info_nce_by_hand():
    """Two right answers of three that count: the mean of -log of their shares; the fourth, the query's own, is left out."""
    cosine = torch.tensor([[0.2, 0.1, 0.0, 0.9]])
    right, counts = torch.tensor([[True, True, False, False]]), torch.tensor([[True, True, True, False]])
    total = math.exp(2) + math.exp(1) + 1
    by_hand = -(math.log(math.exp(2) / total) + math.log(math.exp(1) / total)) / 2
    assert float(info_nce(cosine, right, counts, 0.1)) == pytest.approx(by_hand, abs=1e-6)


@pytest.mark.parametrize("context", [True, False])
def test_attention_learns_by_retrieval(model, pictures, context):
    scenes, boxes = (
        Maps(model, pictures, 64, keep=True, cuts=c) for c in (regional_training.Squares, regional_training.Boxes)
    )
    whiten = regional_training.pca(scenes, scales=2)
    stored = [scenes.of([0]).clone(), boxes.of([0]).clone()]
    attention, losses = regional_training.train_for_retrieval(
        scenes, boxes, whiten, context, hidden=4, steps=60, rate=0.02, n_boxes=6, n_scenes=12, scales=2
    )
    assert len(losses) == 60 and np.mean(losses[-10:]) < np.mean(losses[:10]) - 0.01
    assert attention.context == context and not attention.W_c.weight.requires_grad
    assert all(torch.equal(a, b) for a, b in zip(stored, (scenes.of([0]), boxes.of([0]))))
    again = regional_training.train_for_retrieval(
        scenes, boxes, whiten, context, hidden=4, steps=60, rate=0.02, n_boxes=6, n_scenes=12, scales=2
    )
    assert again[1] == losses


def test_retrieval_needs_two_pictures_of_a_label(model, pictures):
    alone = TrainingSet("alone", pictures.paths[:4], np.array([0, 0, 1, 2]), pictures.names, pictures.boxes[:4])
    maps = Maps(model, alone, 32, keep=True)
    with pytest.raises(InputError, match="alone has fewer than two pictures of a label"):
        regional_training.train_for_retrieval(maps, maps, None)


# --- what is shipped


@pytest.mark.parametrize("name", ["mini-cnn-attention", "mini-cnn-attention-no-context"])
def test_shipped_attention_is_the_one_of_its_card(name):
    path = shipped.weights_path(name)
    card, net = shipped.card(name), regional_attention.load(path)
    assert hashlib.sha256(path.read_bytes()).hexdigest() == card["sha256"] and path.stat().st_size < 300_000
    assert card["name"] == name and net.channels == 256 and net.context == ("no-context" not in name)
    for key in ("by", "n_landmarks", "per_landmark", "steps", "rate", "size", "batch", "seed"):
        assert f"-p {key} {card[key]} " in card["command"]
