"""Weights files as people have them: of another network, wrapped, damaged, by another name, larger than they are."""

import argparse
import io
import json
import pickle
import struct
import subprocess
import sys
import zipfile

import numpy as np
import pytest
import timm
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import save as to_safetensors
from safetensors.torch import save_file

from foir_lib import load_model
from foir_lib.errors import InputError, IntegrityError
from foir_lib.models import checkpoints, weights
from foir_lib.models.mini import shipped

VIT, CNN = "vit_tiny_patch16_224", "mini-cnn"


@pytest.fixture(scope="module")
def vit():
    """Random weights of a small ViT, without its classifier."""
    torch.manual_seed(0)
    return timm.create_model(VIT, num_classes=0, img_size=32).state_dict()


@pytest.fixture(scope="module")
def cnn():
    return checkpoints.read(shipped.weights_path(CNN))


def loaded(path, **options):
    return load_model(VIT, weights=path, device="cpu", image_size=32, **options)


def refused(path, words, load=loaded):
    with pytest.raises(IntegrityError, match=words) as error:
        load(path)
    text = str(error.value)
    assert str(path) in text and "\n" not in text and text.endswith(".")
    assert not any(word in text for word in ("weights_only", "unpickl", "torch.serialization", "__")), text
    return text


def prefixed(state, prefix):
    return {f"{prefix}{name}": tensor for name, tensor in state.items()}


# ---- another network's file


@pytest.mark.parametrize(("theirs", "own"), [(8, 16), (16, 8), (32, 16)])
def test_weights_of_other_patches_are_refused(tmp_path, theirs, own):
    def net(patch):
        return timm.create_model(VIT, num_classes=0, img_size=64, patch_size=patch)

    state, path = net(theirs).state_dict(), tmp_path / "a.safetensors"
    for prefix in ("", "module."):
        save_file(prefixed(state, prefix), path)
        from foir_lib.models import zoo

        with pytest.raises(IntegrityError, match=rf"patches of {theirs} px, the model has {own}"):
            zoo._load_vit(net(own), path, VIT)


def test_a_file_of_another_family_says_what_it_has(tmp_path, cnn):
    save_file(cnn, tmp_path / "a.safetensors")
    text = refused(tmp_path / "a.safetensors", "it lacks cls_token; it has .* more")
    assert "conv1.weight" in text or "stem" in text or next(iter(cnn)) in text


@pytest.mark.parametrize("dtype", [torch.int8, torch.uint8, torch.bool, torch.complex64])
def test_weights_that_are_no_real_numbers_are_refused(tmp_path, vit, cnn, dtype):
    for state, load in ((vit, loaded), (cnn, lambda path: load_model(CNN, weights=path, device="cpu"))):
        torch.save({key: value.to(dtype) for key, value in state.items()}, tmp_path / "a.pth")
        refused(tmp_path / "a.pth", f" as {dtype}: save it in real numbers".replace("torch.", ""), load)


def test_positions_may_be_resampled(tmp_path, vit):
    save_file(vit, tmp_path / "a.safetensors")
    assert load_model(VIT, weights=tmp_path / "a.safetensors", device="cpu", image_size=64).grid == (4, 4)


# ---- wrapped checkpoints

WRAPS = {
    "module.": lambda s: prefixed(s, "module."),
    "model.": lambda s: prefixed(s, "model."),
    "backbone.": lambda s: {"state_dict": prefixed(s, "backbone.") | {"head.mlp.0.weight": torch.ones(3, 3)}, "epoch": 3},
    "compiled": lambda s: {"model": prefixed(s, "_orig_mod."), "optimizer": {"state": {0: {"step": torch.tensor(3.0)}}}},
    "two prefixes": lambda s: prefixed(s, "module.encoder."),
    "teacher": lambda s: {
        "student": {k: v + 1 for k, v in prefixed(s, "module.backbone.").items()},
        "teacher": prefixed(s, "backbone.") | {"head.last_layer.weight_g": torch.ones(2)},
        "epoch": 100, "args": argparse.Namespace(arch="vit"), "best": np.float64(0.5),
    },
    "flat teacher": lambda s: prefixed(s, "teacher.backbone.") | {k: v + 1 for k, v in prefixed(s, "student.backbone.").items()},
    "deep": lambda s: {"checkpoint": {"model": {"state_dict": s}}},
    "with an average": lambda s: {"model": s, "model_ema": {k: v + 1 for k, v in s.items()}},
}  # fmt: skip


@pytest.mark.parametrize("wrap", WRAPS)
@pytest.mark.filterwarnings("ignore:1 weights files with")
def test_a_wrapped_checkpoint_is_the_same_network(tmp_path, vit, cnn, wrap):
    for state, load in ((vit, loaded), (cnn, lambda path: load_model(CNN, weights=path, device="cpu"))):
        torch.save(WRAPS[wrap](dict(state)), tmp_path / "a.pth")
        net = load(tmp_path / "a.pth").net.state_dict()
        for name, tensor in net.items():
            if name in state:
                assert torch.equal(tensor, state[name].float()), name


def test_what_is_left_out_is_told(tmp_path, vit):
    for wrap, words in (("teacher", "'teacher.backbone' is taken, not 'student.module.backbone'"), ("backbone.", "1 tensors beside")):
        torch.save(WRAPS[wrap](vit), tmp_path / "a.pth")
        with pytest.warns(UserWarning, match=words):
            loaded(tmp_path / "a.pth")


def test_networks_that_are_equally_likely_are_refused(tmp_path, vit):
    torch.save({"one": vit, "two": {k: v + 1 for k, v in vit.items()}}, tmp_path / "a.pth")
    refused(tmp_path / "a.pth", "several networks that may be meant, 'one' and 'two'")


def test_a_prefix_hides_no_misfit(tmp_path, vit):
    state = dict(vit)
    state.pop("blocks.3.attn.qkv.weight")
    torch.save(prefixed(state, "module."), tmp_path / "a.pth")
    refused(tmp_path / "a.pth", r"it lacks blocks\.3\.attn\.qkv\.weight\.")
    torch.save(prefixed(vit | {"blocks.12.norm1.bias": torch.zeros(192)}, "module."), tmp_path / "a.pth")
    refused(tmp_path / "a.pth", r"it has blocks\.12\.norm1\.bias, which the model has not")


@settings(max_examples=20)
@given(
    st.lists(st.sampled_from(["module", "model", "backbone", "net", "encoder", "0"]), max_size=3),
    st.lists(st.sampled_from(["state_dict", "model", "net", "checkpoint"]), max_size=2),
)
def test_any_one_prefix_in_any_dict_is_taken_off(prefix, wraps):
    own = {f"block.{i}.{name}": torch.full((2,), float(i)) for i in range(3) for name in ("weight", "bias")}
    content = prefixed(own, "".join(f"{part}." for part in prefix))
    for name in wraps:
        content = {name: content, "epoch": 3}
    part = checkpoints.network(content, own, "x")
    assert part.keys() == own.keys() and all(torch.equal(part[k], own[k]) for k in own)


# ---- content, not ending


def test_a_file_is_known_by_its_content(tmp_path, vit):
    save_file(vit, tmp_path / "a.pth")
    torch.save(dict(vit), tmp_path / "b.safetensors")
    torch.save(dict(vit), tmp_path / "c", _use_new_zipfile_serialization=False)
    for name in ("a.pth", "b.safetensors", "c"):
        assert torch.equal(loaded(tmp_path / name).net.norm.weight, vit["norm.weight"])


def scripted():
    stream = io.BytesIO()
    torch.jit.save(torch.jit.trace(torch.nn.Linear(2, 2), torch.ones(1, 2)), stream)
    return stream.getvalue()


def zip_of(**members):
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as file:
        for name, content in members.items():
            file.writestr(name, content)
    return stream.getvalue()


OTHERS = {
    "TorchScript, a program": scripted,
    "a Git LFS pointer": lambda: b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 3\n",
    "a web page": lambda: b"\n<!DOCTYPE html><title>404</title>",
    "HDF5": lambda: b"\x89HDF\r\n\x1a\n" + bytes(100),
    "a numpy array": lambda: b"\x93NUMPY\x01\x00" + bytes(100),
    "a zip of embedding.npy, head.npy": lambda: zip_of(**{"embedding.npy": b"1", "head.npy": b"2"}),
    "a gzip archive: unpack it": lambda: b"\x1f\x8b" + bytes(100),
    "holds a collections.deque beside tensors|damaged": lambda: pickle.dumps(__import__("collections").deque([1]), 2),
    "damaged, or no weights": lambda: b"some text",
}


@pytest.mark.filterwarnings("ignore::FutureWarning")
@pytest.mark.parametrize("kind", OTHERS)
@pytest.mark.parametrize("name", ["a.pth", "a.safetensors"])
def test_what_is_no_weights_file_is_called_by_its_name(tmp_path, kind, name):
    (tmp_path / name).write_bytes(OTHERS[kind]())
    refused(tmp_path / name, kind)


def test_a_file_without_tensors_says_what_it_holds(tmp_path):
    torch.save({"epoch": 3, "args": argparse.Namespace(a=1)}, tmp_path / "a.pth")
    refused(tmp_path / "a.pth", "no tensors by name, it holds epoch, args")


# ---- damaged


@pytest.fixture(scope="module")
def small():
    """A small checkpoint as bytes, as torch.save writes it."""
    stream = io.BytesIO()
    torch.save({"w": torch.randn(40, 10), "b": torch.randn(10)}, stream)
    return stream.getvalue()


def content_of(folder, content):
    (folder / "a.pth").write_bytes(content)
    return checkpoints.read(folder / "a.pth")


@settings(max_examples=100)
@given(data=st.data())
def test_a_flipped_bit_is_harmless_or_refused(tmp_path_factory, small, data):
    folder = tmp_path_factory.mktemp("a")
    wanted, bit = content_of(folder, small), data.draw(st.integers(0, 8 * len(small) - 1))
    changed = bytearray(small)
    changed[bit // 8] ^= 1 << bit % 8
    try:
        result = content_of(folder, bytes(changed))
    except IntegrityError as error:
        assert "\n" not in str(error)
    else:
        assert result.keys() == wanted.keys() and all(torch.equal(result[k], wanted[k]) for k in wanted)


@settings(max_examples=100)
@given(data=st.data())
def test_no_exception_of_a_parser_reaches_the_user(tmp_path_factory, small, data):
    kinds = (small, to_safetensors({"w": torch.ones(3, 3)}), pickle.dumps({"w": [1.0] * 20}, 2))
    content = bytearray(data.draw(st.sampled_from(kinds)))
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    content = content[: data.draw(st.integers(0, len(content)))] if data.draw(st.booleans()) else content
    try:
        checkpoints.network(content_of(tmp_path_factory.mktemp("a"), bytes(content)), {"w": torch.ones(3, 3)}, "a")
    except IntegrityError as error:
        assert "\n" not in str(error)


@pytest.mark.parametrize("bad", [torch.nan, torch.inf])
def test_weights_that_are_no_numbers_are_refused(tmp_path, vit, cnn, bad):
    for state, load in ((vit, loaded), (cnn, lambda path: load_model(CNN, weights=path, device="cpu"))):
        name = next(k for k, v in state.items() if v.ndim == 2 and not k.startswith("whiten"))
        spoilt = state[name].clone()
        spoilt[0, 0] = bad
        save_file({**state, name: spoilt}, tmp_path / "a.safetensors")
        refused(tmp_path / "a.safetensors", f"NaN or infinite numbers in {name}", load)
    for change in ({"pool.p": torch.tensor([bad])}, {"pool.p": torch.empty(0)}, {"whiten.bias": torch.full((256,), bad)}):
        save_file({**cnn, **change}, tmp_path / "a.safetensors")
        refused(tmp_path / "a.safetensors", "pool.p|whitening", lambda path: load_model(CNN, weights=path, device="cpu"))


# ---- larger than they are


def legacy(shape, stride, n_stored):
    """A pickle of torch's old format whose tensor has another shape than its storage."""
    stream, storage = io.BytesIO(), torch.zeros(n_stored)
    torch.save({"w": storage.as_strided(shape, stride) if np.prod(shape) < 10**6 else storage.expand(shape)}, stream)
    return stream.getvalue()


def header(shape):
    head = json.dumps({"w": {"dtype": "F32", "shape": shape, "data_offsets": [0, 4 * int(np.prod(shape))]}}).encode()
    return struct.pack("<Q", len(head)) + head


def deflated():
    """What torch.save writes, packed again: a gigabyte of zeros in a megabyte."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as file:
        head = io.BytesIO()
        torch.save({"w": torch.zeros(1)}, head)
        with zipfile.ZipFile(head) as inner:
            for entry in inner.infolist():
                content = inner.read(entry).replace(b"K\x01", b"J" + struct.pack("<i", 250_000_000)) if entry.filename.endswith("data.pkl") else inner.read(entry)
                if not entry.filename.endswith("data/0"):
                    file.writestr(entry.filename, content)
            with file.open(f"{inner.infolist()[0].filename.split('/')[0]}/data/0", "w", force_zip64=True) as member:
                for _ in range(1000):
                    member.write(bytes(1_000_000))
    return stream.getvalue()


BOMBS = {
    "expanded": lambda: legacy((10**6, 10**6), None, 1),
    "safetensors of terabytes": lambda: header([10**12]),
    "safetensors with a header of exabytes": lambda: struct.pack("<Q", 1 << 60) + b"{",
    "deflated": deflated,
}


@pytest.mark.slow
@pytest.mark.parametrize("kind", BOMBS)
def test_sizes_are_compared_with_the_file_before_memory_is_taken(tmp_path, kind):
    (tmp_path / "a.pth").write_bytes(BOMBS[kind]())
    code = f"import sys; from foir_lib.models import checkpoints\ntry: checkpoints.read({str(tmp_path / 'a.pth')!r})\n"
    code += "except checkpoints.IntegrityError as error: print(error)\n"
    code += "import resource; print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    sentence, peak = done.stdout.splitlines()
    assert "can't be read safely" in sentence, done.stderr
    idle = subprocess.run([sys.executable, "-c", code.split("\n")[0] + "\nimport resource\n" + code.split("\n")[-1].split("; ")[-1]], capture_output=True, text=True)
    assert int(peak) < int(idle.stdout) + 200_000, "kilobytes"


def test_a_sparse_tensor_is_refused(tmp_path):
    torch.save({"w": torch.eye(3).to_sparse()}, tmp_path / "a.pth")
    with pytest.raises(IntegrityError, match="holds w as a sparse"):
        checkpoints.read(tmp_path / "a.pth")


# ---- written


@pytest.mark.parametrize(
    ("state", "losses", "facts", "words"),
    [
        ({"w": torch.tensor([1.0, torch.nan])}, [1.0], {}, "NaN or infinite numbers in w"),
        ({"w": torch.full((2, 2), 1e6)}, [1.0], {}, "NaN or infinite numbers in w"),  # too large for float16
        ({"w": torch.ones(2)}, [], {}, "no losses"),
        ({"w": torch.ones(2)}, [1.0, float("nan")], {}, "finite losses"),
        ({"w": torch.ones(2)}, [1.0], {"score": float("inf")}, "finite losses"),
        ({"w": torch.ones(2)}, [1.0], {"net": object()}, "plain facts"),
    ],
)
def test_what_is_not_finite_is_never_saved(tmp_path, state, losses, facts, words):
    with pytest.raises(InputError, match=words):
        weights.write(state, "mine", tmp_path, losses, facts, {})
    assert not list(tmp_path.iterdir())


def test_a_wrapped_file_that_stops_at_a_stage(tmp_path, cnn):
    from foir_lib.models import cnn_weights, zoo

    net = zoo._create(CNN, False, None)[0]
    index = len(net.feature_info) - 2
    cnn_weights.prune(net, CNN, index)
    state = {k: v.float() for k, v in cnn.items() if k in net.state_dict()}
    torch.save({"state_dict": prefixed(state, "module.")}, tmp_path / "a.pth")
    result = load_model(CNN, weights=tmp_path / "a.pth", device="cpu", out_index=index).net.state_dict()
    assert all(torch.equal(result[k], v) for k, v in state.items())


def test_weights_with_the_card_of_others_are_refused(tmp_path, cnn):
    """One flipped bit of a number fits the network and is finite."""
    path = tmp_path / f"{CNN}.safetensors"
    save_file(cnn, path)
    weights.write_card(path, [1.0], {}, {})
    load_model(CNN, weights=path, device="cpu")
    content = bytearray(path.read_bytes())
    content[-3] ^= 1
    path.write_bytes(content)
    with pytest.raises(IntegrityError, match="isn't the one that its card beside it tells of"):
        load_model(CNN, weights=path, device="cpu")
    path.with_suffix(".json").write_text('["of somebody else"]')
    load_model(CNN, weights=path, device="cpu")
