"""Regional attention: the equations written out, its context, its gradients, its files."""

import math

import pytest
import torch
from safetensors.torch import save_file

from foir_lib.errors import InputError, IntegrityError, MissingError
from foir_lib.methods import pooling, regional_attention, regions, whitening
from foir_lib.methods.regional_attention import RegionalAttention


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
