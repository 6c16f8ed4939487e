"""Taps, equations, losses and search kernels on a GPU that isn't there: no tensor is left on the CPU."""

import inspect
import pkgutil
import re
import warnings
from importlib import import_module
from types import CodeType, SimpleNamespace

import numpy as np
import pytest
import torch
from fake_cuda import MISMATCH, FakeCuda, devices
from PIL import Image
from small_cnn import tiny
from torch import nn

from foir_lib import methods
from foir_lib.errors import InputError
from foir_lib.methods import (
    baselines,
    clustering,
    coattention,
    head_selection,
    legrad,
    pooling,
    refinement,
    regional_attention,
    regions,
    streaming,
    whitening,
)
from foir_lib.models import blocks, cnn, vit
from foir_lib.models.cnn import CNN, Locals
from foir_lib.models.mini import vit as mini_vit
from foir_lib.models.vit import ClsState, ViT
from foir_lib.search import clusters, knn
from foir_lib.training import losses
from foir_lib.training.losses import info_nce

MODE, H = FakeCuda(), 6
PICTURE = Image.new("RGB", (64, 48))
PCA = whitening.PCA(np.zeros(16, np.float32), np.zeros((4, 16), np.float32))
AT = [(0, 0, 2), (1, 1, 2)]


def on(*shape, dtype=torch.float32):
    return torch.zeros(shape, dtype=dtype, device="cuda")


def ids(*shape):
    return on(*shape, dtype=torch.long)


def mask(*shape):
    return on(*shape, dtype=torch.bool)


def tap(model):
    MODE.moved(model.net)
    model.device = torch.device("cuda")
    return model


VIT, MAPS = tap(ViT(mini_vit.create("mini-vit-small"), "tiny")), tap(CNN(tiny(5), "tiny"))
NO_BIAS = SimpleNamespace(out_index=-1, dim=16, net=SimpleNamespace(get_classifier=lambda: nn.Linear(16, 5, False, "cuda")))
HALF = tap(CNN(tiny(), "tiny", precision="fp16"))
LAYER, ATTENTION = MODE.moved(nn.Linear(16, 4)), MODE.moved(regional_attention.RegionalAttention(16, 4))
RETRIEVER = MODE.moved(losses.Retriever(tiny(), dim=8, part=0.5))
ARCFACE = MODE.moved(losses.ArcFace(3, 8))


def x(n=2):
    return torch.zeros(n, 3, 128, 128)  # as preprocess leaves it, on the CPU


def state():
    return ClsState(on(2, H, 64), on(2, H, 16), on(2, H, 16), on(2, 96))


def maps():
    return on(2, 16, 4, 5)


def local():
    return Locals.from_map(on(16, 3, 4), (64, 48))


def database(name, rows):
    return {"clusters": np.zeros((*rows.shape, 3, 8), np.float16), "count": np.full(rows.shape, 3)}[name]


STORED = SimpleNamespace(read=database, layout={"clusters": ("<f2", (3, 8)), "count": ("<i8", ())})
COUNTS = np.full(7, 3)


def updated(k, rows=None):
    best = knn.empty(2, k, "cuda")
    knn.update(best, on(2, 8), on(4, 8), 0, rows=rows)
    return best


def tail(strategy):
    """What query_db does for each chunk of states and each head set."""
    block = head_selection.descriptor(VIT, state(), torch.from_numpy(np.ones(H, bool)), strategy)
    return knn.to_matrix(block, "Database descriptors", "cuda")


# name: (what is read back from the device, call)
PATHS = {
    "ViT.tokens": ([], lambda: VIT.tokens(x(), 4)),
    "ViT.patches": ([], lambda: VIT.patches(torch.zeros(2, 3, 128, 160), 1)),
    "ViT.cls_state": ([], lambda: VIT.cls_state(x())),
    "ViT.cls_state, bias": ([False], lambda: VIT.cls_state(x(), torch.zeros(2, 64))),
    "ViT.cls_state, one bias": ([False], lambda: VIT.cls_state(x(), torch.zeros(64), last=1)),
    "ViT.cls_state, index": ([False], lambda: VIT.cls_state(x(), torch.zeros(3, 64), 2, torch.tensor([0, 1, 1]))),
    "ViT.cls_state, many on one": ([False], lambda: VIT.cls_state(x(1), torch.zeros(3, 64))),
    "ViT.finish": ([], lambda: VIT.finish(VIT.tokens(x(), 1), last=3)),
    "ViT.attention": ([], lambda: VIT.attention(x())),
    "ViT.descriptor": ([], lambda: VIT.descriptor(state())),
    "ViT.descriptor, weights": ([], lambda: VIT.descriptor(state(), torch.ones(2, H))),
    "ViT.descriptor, channels": ([], lambda: VIT.descriptor(state(), channels=on(2, 96))),
    "ViT.embed": ([], lambda: VIT.embed(x(), unit=False)),
    "ViT.tap": ([], lambda: [*VIT.tap(VIT.tokens(x(), 2), blocks.NAMES, 2)[1].values()]),
    "ViT.tap, with gradient": ([], lambda: [*VIT.tap(VIT.tokens(x(), 3), ("attention", "mean"), rows=1, gradient=True)[0].values()]),
    "ViT.readout": ([], lambda: VIT.readout(on(2, 96))),
    "ClsState.from_arrays": ([], lambda: ClsState.from_arrays({"heads": np.zeros((2, 96), np.float16)}, H, "cuda").heads),
    "ClsState.to": ([], lambda: ClsState(*(torch.zeros(2, 3) for _ in range(4))).to("cuda")[:1]),
    "CNN.maps": ([], lambda: MAPS.maps(torch.zeros(2, 3, 64, 48))),
    "CNN.maps_of": ([], lambda: MAPS.maps_of([torch.zeros(3, 64, 48), torch.zeros(3, 48, 64)])),
    "CNN.classifier": ([], lambda: MAPS.classifier),
    "CNN.classifier without a bias": ([], lambda: CNN.classifier.fget(NO_BIAS)),
    "CNN, probed for its smallest picture": ([], lambda: [MAPS._probe({16}), MAPS.maps(x())]),
    "CNN.locals": ([], lambda: [(part := MAPS.locals(PICTURE, (0.5, 1.0))).features, part.norm]),
    "Locals, some rows": ([], lambda: [(part := local()[ids(3)]).features, part.norm]),
    "baselines.attention_mask": ([], lambda: baselines.attention_mask(mask(2, 64))),
    "head_selection.roi_attention": ([True], lambda: head_selection.roi_attention(state(), torch.ones(2, 64))),
    "head_selection.roi_attention, max": ([True], lambda: head_selection.roi_attention(state(), np.ones((2, 64)), "max")),
    "head_selection.select": ([True], lambda: head_selection.select(state(), torch.ones(1, 64))),
    "head_selection.top": ([], lambda: head_selection.top(on(2, H))),
    "head_selection.weights": ([True], lambda: head_selection.weights(mask(2, H))),
    "head_selection.descriptor": ([True, True], lambda: tail("before+scale")),
    "head_selection.descriptor, after": ([True, True], lambda: tail("after+scale")),
    "head_selection.descriptor, identity": ([True], lambda: tail("identity")),
    "pooling.power_mean": ([3.0], lambda: pooling.power_mean(on(4, 5), on())),
    "pooling.power_mean, weights": ([], lambda: pooling.power_mean(on(4, 5), weights=on(1, 5))),
    "pooling.gem": ([], lambda: pooling.gem(maps())),
    "pooling.mac": ([], lambda: pooling.mac(maps())),
    "pooling.spoc": ([], lambda: pooling.spoc(maps())),
    "pooling.crow_spatial": ([], lambda: pooling.crow_spatial(maps())),
    "pooling.crow_channels": ([], lambda: pooling.crow_channels(maps())),
    "pooling.crow": ([], lambda: pooling.crow(maps())),
    "pooling.rmac": ([], lambda: pooling.rmac(maps(), whiten=PCA)),
    "pooling.processed": ([], lambda: pooling.processed(on(2, 3, 16), PCA)),
    "pooling.cam": ([], lambda: pooling.cam(maps(), on(9, 16), on(9), 3, PCA)),
    "pooling.cam_vectors": ([], lambda: pooling.cam_vectors(maps(), on(9, 16), on(9), 3)),
    "pooling.regional_gem": ([], lambda: pooling.regional_gem(maps())),
    "pooling.gem_plus": ([], lambda: pooling.gem_plus(maps())),
    "pooling.scale_gem": ([], lambda: pooling.scale_gem(on(3, 2, 8), 2.0)),
    "pooling.superglobal": ([], lambda: pooling.superglobal([maps(), on(2, 16, 2, 2)], LAYER)),
    "regions.pooled": ([], lambda: regions.pooled(maps(), AT)),
    "regional_attention.RegionalAttention": ([], lambda: ATTENTION(maps(), AT)),
    "regional_attention.descriptor": ([], lambda: regional_attention.descriptor(maps(), ATTENTION, whiten=PCA)),
    "regional_attention.summed": ([], lambda: regional_attention.summed(maps(), ATTENTION, on(2, len(AT), 3), AT)),
    "regional_attention.attended": ([], lambda: regional_attention.attended(maps(), ATTENTION)),
    "whitening.PCA": ([], lambda: PCA(on(3, 16))),
    "clustering.kmeans": ([1, 0, True, 1, 3, 2, True, 2], lambda: clustering.kmeans(on(6, 4), 2)),
    "clustering.farthest_first": ([1, 0, True, 1, 3], lambda: clustering.farthest_first(on(6, 4), 2)),
    "coattention.select": ([False], lambda: [(part := coattention.select(local(), 4)).features, part.norm]),
    "coattention.cluster": ([False, 1, 0, True, 1, 3, 2, True, 2], lambda: coattention.cluster(on(6, 4), 2)),
    "coattention.clusters": ([1, 3, 3], lambda: coattention.clusters(on(6, 16), ids(6), whiten=LAYER)),
    "coattention.query": ([False], lambda: coattention.query(on(6, 16), pca=PCA)),
    "coattention.embedded": ([], lambda: coattention.embedded(on(6, 16), pca=PCA)),
    "coattention.stacked": ([], lambda: coattention.stacked([on(2, 8), on(3, 8)], 3)[0]),
    "coattention.weights": ([], lambda: coattention.weights(on(8), on(7, 3, 8), mask=mask(7, 3))),
    "coattention.norm_weights": ([], lambda: coattention.norm_weights(on(7))),
    "coattention.weighted": ([], lambda: coattention.weighted(on(7, 3, 8), on(7, 3))),
    "coattention.scores": ([False] * 3, lambda: coattention.scores(on(8), on(7, 3, 8))),
    "coattention.scores, stored": ([False] * 4, lambda: coattention.scores(
        on(4, 8), np.zeros((7, 3, 8), np.float16), count=COUNTS, gram=np.zeros((7, 3, 3), np.float16), chunk=4)),
    "coattention.scores, raw": ([False] * 3, lambda: coattention.scores(on(4, 8), on(7, 3, 8), 10.0, False, ids(7))),
    "coattention.naive": ([False] * 3, lambda: coattention.naive(on(8), on(7, 5, 8))),
    "coattention.one_to_many": ([False] * 3, lambda: coattention.one_to_many(on(8), on(7, 3, 8), "mean", count=COUNTS)),
    "coattention.many_to_many": ([False] * 3, lambda: coattention.many_to_many(on(2, 8), on(7, 3, 8), "softmax")),
    "coattention.reduced": ([], lambda: coattention.reduced(on(7, 3), "max", mask(7, 3))),
    "coattention.grams": ([], lambda: coattention.grams(on(7, 3, 8))),
    "streaming.streamed": ([False] * 3, lambda: streaming.streamed(on(8), on(7, 3, 8), None, None, lambda s, *_: s.sum(-1))),
    "streaming.check_finite": ([False], lambda: streaming.check_finite(on(7, 3))),
    "legrad.taps": ([], lambda: [*legrad.taps(VIT, on(2, 65, 96))[0]]),
    "legrad.min_max": ([], lambda: legrad.min_max(on(2, 64))),
    "refinement.pulls": ([], lambda: refinement.pulls(on(3, 96), on(2, 96), ids(3))),
    "refinement.soft_iou": ([], lambda: refinement.soft_iou(on(2, 64), on(2, 64))),
    "refinement.dice": ([], lambda: refinement.dice(on(2, 64), on(2, 64))),
    "refinement.objective": ([], lambda: refinement.objective(on(3, 64), on(3, 64), on(2, 96), on(3, 96), ids(3))),
    "refinement.Refined": ([], lambda: refinement.Refined(on(2, 96), on(80, 2), on(80, 2), ids(2))),
    "losses.Task": ([], lambda: losses.Task(RETRIEVER.train(), ARCFACE)(on(4, 3, 32, 32), ids(4))),
    "losses.Task, tuples": ([], lambda: losses.Task(RETRIEVER.eval(), losses.Contrastive())(on(2, 3, 3, 32, 32), ids(2))),
    "losses.parts": ([], lambda: losses.parts(on(2, 16, 20))),
    "info_nce": ([], lambda: info_nce(on(3, 5), mask(3, 5), mask(3, 5))),
    "knn.to_matrix": ([True], lambda: knn.to_matrix(np.zeros((4, 8)), "Query descriptors", "cuda")),
    "knn.empty": ([], lambda: knn.empty(2, 3, "cuda")),
    "knn.update": ([True, 0], lambda: updated(3)),
    "knn.update, ties": ([True, 1], lambda: updated(3)),
    "knn.update, some rows": ([True], lambda: updated(5, ids(2))),
    "knn.update, all rows": ([True], lambda: updated(5)),
    "clusters.coattended": ([], lambda: clusters.coattended(torch.zeros(2, 8), STORED, np.zeros((2, 4), int), "cuda")),
}  # fmt: skip
ON_CPU = {"clusters.coattended"}  # where the result is handed back on the CPU

HOST = {  # functions of methods that see no tensor of a network, or none on a device
    "decomposition.Groups", "decomposition.box_of", "decomposition.groups", "decomposition.pyramid", "decomposition.tiles",
    "decomposition.overlapping", "decomposition.window", "legrad.differentiable",
    "baselines.masked", "foveal.bias", "head_selection.random", "noise.noisy", "regional_attention.load",
    "regional_attention.save", "regions.grid", "whitening.fit",
}  # fmt: skip


def strict_half():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return HALF.maps(torch.zeros(1, 3, 64, 48))


def backward():
    loss = losses.Contrastive()(on(2, 3, 8).requires_grad_())
    loss.backward()


def refined():
    return refinement.refine(VIT, on(3, 65, 96), on(3, 64), on(3, 96), on(2, 96), ids(3), steps=2)


class Detector(nn.Module):
    """What proposals takes of a torchvision detector."""

    def transform(self, images):
        return SimpleNamespace(tensors=torch.stack(images), image_sizes=[(48, 64)]), None

    def rpn(self, images, features):
        return [[features["0"].flatten(2)[0, :, :4]]]

    def __init__(self):
        super().__init__()
        self.backbone = nn.Conv2d(3, 5, 1)


DETECTOR = MODE.moved(Detector())
CANNOT = {  # name: (read back, call, why it can't be run without values or a driver)
    "clustering.spectral": ([], lambda: clustering.spectral(on(6, 4), 2), "unique rows, then scikit-learn on the host"),
    "clustering.mean_shift": ([True], lambda: clustering.mean_shift(on(6, 4)), "components are found by scipy on the host"),
    "coattention.attention_map": ([], lambda: coattention.attention_map(local(), on(12)), "drawn on the host, value by value"),
    "regions.proposals": ([], lambda: regions.proposals(DETECTOR, PICTURE, 3, 4), "boxes are rounded on the host"),
    "knn.finish": ([], lambda: knn.finish(updated(5), 4, 2), "its result is numpy"),
    "legrad.heatmap": ([], lambda: legrad.heatmap(VIT, x(), on(96)), "autograd asks the driver for a stream"),
    "legrad.relevance": ([], lambda: legrad.relevance(*legrad.taps(VIT, on(2, 65, 96))[0], on(2, 96), 1), "autograd asks the driver for a stream"),
    "legrad.upsampled": ([], lambda: legrad.upsampled(on(2, 8, 8), (64, 48)), "its result is numpy"),
    "refinement.means": ([], lambda: refinement.means(on(3, 96), ids(3), 2), "how many an owner has is counted value by value"),
    "refinement.refine": ([False, 0, 1], refined, "how many an owner has is listed value by value"),
    "losses.objectness_loss": ([], lambda: losses.objectness_loss(on(2, 16, 4), on(2, 16), on(2, 3, 4)), "which tokens own a thing is read value by value"),
    "CNN, half": ([], strict_half, "autocast on cuda switches itself off without a driver"),
    "backward": ([], backward, "autograd asks the driver for a stream"),
}


def run(answers, call):
    MODE.answers = list(answers)
    try:
        with MODE:
            return call()
    finally:
        run.left, MODE.answers = MODE.answers, []


@pytest.mark.parametrize("name", PATHS)
def test_everything_stays_on_the_device(name):
    result = run(*PATHS[name])
    assert not run.left, "the call reads back as often as the entry says"
    assert devices(result) <= {"cpu" if name in ON_CPU else "cuda"}


@pytest.mark.parametrize("name", CANNOT)
def test_what_can_not_be_run_is_listed_with_a_reason(name):
    answers, call, reason = CANNOT[name]
    with pytest.raises((RuntimeError, UserWarning)) as error:
        run(answers, call)
    assert MISMATCH not in str(error.value) and len(reason) > 10


def test_every_equation_is_here():
    public = set()
    for module in (import_module(f"foir_lib.methods.{m.name}") for m in pkgutil.iter_modules(methods.__path__)):
        things = {n: t for n, t in vars(module).items() if n[0] != "_" and getattr(t, "__module__", "") == module.__name__}
        public |= {f"{module.__name__.split('.')[-1]}.{n}" for n, t in things.items() if inspect.isfunction(t) or inspect.isclass(t)}
    assert public == {name for name in [*PATHS, *CANNOT, *HOST] if name.split(".")[0] in dir(methods) and "," not in name}


# --- a tensor left on the CPU is caught

MOVES = r"(?:, )?device=(?:\w+\.)*device\b|\.to\((?:(?:\w+\.)*device)(?:, [\w.]+)?\)"
HARMLESS = {  # an index may lie on the CPU; the end of what runs on the host can't be seen (CANNOT)
    "foir_lib.models.vit: t = tokens if index is None else tokens[torch.as_tensor(index, device=self.device)]",
    "foir_lib.search.knn: rows = torch.arange(len(queries), device=queries.device) if rows is None else rows",
    "foir_lib.methods.clustering: return _in_order(torch.from_numpy(labels).to(features.device).long())",
    "foir_lib.methods.clustering: return _in_order(torch.from_numpy(connected_components(near.cpu().numpy(), False)[1])"
    ".to(features.device).long())",
}


def mutants():
    """(module, line, function's path, code) for every move to a device that is left out of a function."""
    for module in (vit, blocks, cnn, baselines, clustering, head_selection, legrad, pooling, refinement, streaming, whitening, losses, knn, clusters):
        source = inspect.getsource(module)
        plain = dict(functions(compile(source, module.__file__, "exec")))
        for move in re.finditer(MOVES, source):
            changed = source[: move.start()] + source[move.end() :]
            try:
                code = dict(functions(compile(changed, module.__file__, "exec")))
            except SyntaxError:  # a move in a signature or a sentence
                continue
            line = source[source.rfind("\n", 0, move.start()) + 1 : source.find("\n", move.end())].strip()
            for path in plain:
                if code[path] != plain[path] and "__init__" not in path and not hasattr(code[path], "co_nested"):
                    yield module, line, path, code[path]


def functions(code, prefix=""):
    """(path, code) of functions and methods, not of what is nested in functions."""
    for part in code.co_consts:
        if isinstance(part, CodeType) and not part.co_name.startswith("<"):
            if part.co_flags & inspect.CO_NEWLOCALS and part.co_flags & inspect.CO_OPTIMIZED:
                yield prefix + part.co_name, part
            else:
                yield from functions(part, f"{prefix}{part.co_name}.")


@pytest.mark.slow
def test_a_move_to_the_device_that_is_left_out_is_caught(monkeypatch):
    survivors, n = set(), 0
    for module, line, path, code in mutants():
        thing = module
        for part in path.split("."):
            thing = inspect.getattr_static(thing, part)
        thing = inspect.unwrap(getattr(thing, "__func__", getattr(thing, "fget", thing)))
        with monkeypatch.context() as patch:
            patch.setattr(thing, "__code__", code)
            n += 1
            if not any(map(caught, sorted([*PATHS, *CANNOT], key=lambda name: path.split(".")[-1].strip("_") not in name))):
                survivors.add(f"{module.__name__}: {line}")
    assert n >= 20 and survivors == HARMLESS


def caught(name):
    answers, call, *_ = (PATHS | CANNOT)[name]
    try:
        return not devices(run(answers, call)) <= {"cpu" if name in ON_CPU else "cuda"}
    except InputError:  # the probe for the smallest picture takes a mismatch for a picture that is too small
        return True
    except (RuntimeError, UserWarning) as error:
        return MISMATCH in str(error)
