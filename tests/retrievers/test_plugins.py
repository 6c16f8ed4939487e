"""Plug-ins: methods, re-rankings, networks and sets of one's own from a file or a package; what is wrong with one, in a sentence."""

import importlib
from importlib.metadata import EntryPoint

import numpy as np
import pytest
import torch

from foir_lib import load_model, load_set, registry
from foir_lib.bench import rows
from foir_lib.bench.experiment import Experiment
from foir_lib.errors import FoirError, InputError, MissingError

HEAD = """
from dataclasses import dataclass
import numpy as np
import torch
from foir_lib.registry import register
from foir_lib.retrievers.base import Reranker, Retriever
from foir_lib.store.arrays import Arrays
"""
METHOD = """
@register("retriever", "Mine")
@dataclass(frozen=True)
class Mine(Retriever):
    shift: float = 0.5

    def describe(self, part):
        x = [np.asarray(part.open(m).resize((4, 4)), dtype=np.float32).ravel() / 255 - self.shift for m in range(len(part))]
        return Arrays({"descriptor": np.stack(x) / np.linalg.norm(x, axis=1, keepdims=True)})
"""
RERANKER = """
@register("reranker", "Backwards")
@dataclass(frozen=True)
class Backwards(Reranker):
    def rerank(self, corpus, retriever, part, query, database, scores, ids):
        return -scores[:, ::-1], ids[:, ::-1]
"""
NETWORK = """
class Network(torch.nn.Module):
    key, mean = "my-network 1", (0.5, 0.5, 0.5)

    def __init__(self):
        super().__init__()
        self.weight, self.device = torch.nn.Parameter(torch.randn(9, 48, generator=torch.Generator().manual_seed(0))), torch.device("cpu")

    def preprocess(self, picture):
        return torch.from_numpy(np.asarray(picture.resize((4, 4)), dtype=np.float32).transpose(2, 0, 1) / 255 - 0.5)

    def embed(self, x):
        return x.flatten(1) @ self.weight.T


@register("model", "my-network")
def my_network(device="cpu"):
    return Network()
"""


@pytest.fixture
def plugin(tmp_path):
    """``plugin(source)`` writes a plug-in, always to the same file; what it has registered goes when the test is over."""
    path = tmp_path / "mine.py"

    def write(*sources):
        path.write_text(HEAD + "".join(sources))
        return str(path)

    yield write
    if path.exists():
        registry.load_plugin(write())


def test_a_method_of_one_s_own_in_a_table_of_any_family(plugin, focus, town, tmp_path):
    path = plugin(METHOD, RERANKER)
    options = {"plugin": path, "device": "cpu", "cache": str(tmp_path / "cache"), "progress": False}
    table = rows.run("phs-1", "few-focus", "mini-vit", methods="CBIR,Mine,Mine(shift=0.1),Mine+Backwards", k=10, **options)
    assert table["method"].unique().tolist() == ["CBIR", "Mine", "Mine(shift=0.1)", "Mine+Backwards"]
    ours = table.set_index(["method", "metric"])["ours"]
    rs = focus.set
    pixels = np.stack([np.asarray(rs.open(i).resize((4, 4)), float).ravel() / 255 - 0.5 for i in [*rs.database["image_id"], *rs.queries["image_id"]]])
    unit = pixels / np.linalg.norm(pixels, axis=1, keepdims=True)
    best = np.argsort(-unit[40:] @ unit[:40].T, axis=1, kind="stable")[:, :10]
    right = rs.protocols["contains"].relevance(best).mean(1)
    want = rs.queries.assign(p=right).groupby(["label", "image_id"])["p"].mean().groupby("label").mean().mean()
    assert ours["Mine", "MP@10"] == pytest.approx(100 * want)
    table = rows.run("ca-1", "few-landmarks", "few-cnn", methods="GeM,Mine,Mine+AQE", **options)
    assert table["method"].unique().tolist() == ["GeM", "Mine", "Mine+AQE"] and table["ours"].between(0, 100).all()


def test_a_network_of_one_s_own_serves_cbir_mask_and_crop(plugin, focus, tmp_path):
    path = plugin(NETWORK)
    table = rows.run("phs-1", "few-focus", "my-network", plugin=path, k=10, cache=str(tmp_path / "cache"), progress=False)
    scored = table.dropna(subset="ours")
    assert scored["method"].unique().tolist() == ["CBIR", "Mask", "Crop"]
    assert table[table["ours"].isna()]["note"].unique().tolist() == ["my-network has no attention heads: name a ViT such as mini-vit"]
    net = load_model("my-network", device="cpu")
    experiment = Experiment(focus.set, net, cache=tmp_path / "cache", progress=False)
    rs = focus.set
    x = torch.stack([net.preprocess(rs.open(i)) for i in [rs.queries["image_id"][2], *rs.database["image_id"]]])
    x = torch.nn.functional.normalize(net.embed(x).detach(), dim=-1)
    ranking = experiment.ranking("CBIR")
    np.testing.assert_allclose(ranking.scores[2], (x[1:] @ x[0])[ranking.ids[2].copy()], atol=1e-5)
    live = experiment.corpus.live(rs.open(rs.queries["image_id"][2]), [rs.queries["prompt"][2]])
    for text in ("Mask", "Crop"):
        retriever = registry.parse("retriever", text)
        batch = experiment.corpus.described(retriever, experiment.corpus.queries()).read("descriptor")[2]
        np.testing.assert_allclose(retriever.describe(live).read("descriptor")[0], batch, atol=1e-5)
    assert experiment.ranking("CBIR", rerank="SP(n=3)").ids.shape == (len(rs.queries), 40)


WRAPPED = """
import timm
from foir_lib.models.vit import ViT


class Norm(torch.nn.LayerNorm):
    def forward(self, x):
        return super().forward(x) - 0.5


@register("model", "my-network")
def my_network(device="cpu"):
    torch.manual_seed(0)
    net = timm.create_model("vit_tiny_patch16_224", img_size=32, depth=2)
    net.norm = Norm(net.embed_dim)
    return ViT(net, "my-network", "my-network 1", torch.device("cpu"))
"""


@pytest.mark.parametrize(("source", "edit"), [(NETWORK, ("/ 255 - 0.5)", "/ 255 - 0.4)")), (WRAPPED, ("- 0.5", "- 0.4"))])
def test_a_network_that_was_edited_makes_its_features_again(plugin, focus, tmp_path, source, edit):
    def features(source):
        registry.load_plugin(plugin(source))
        corpus = Experiment(focus.set, load_model("my-network", device="cpu"), cache=tmp_path, progress=False).corpus
        described = corpus.described(registry.parse("retriever", "CBIR"), corpus.database)
        return described.read("descriptor"), len(list(tmp_path.glob("features/*/key.json")) or list(tmp_path.glob("*/key.json")))

    first, n = features(source)
    edited, n_edited = features(source.replace(*edit))  # the same key, other code
    assert n_edited == 2 * n and n and not np.allclose(edited, first)
    again, n_again = features(source)
    np.testing.assert_array_equal(again, first)
    assert n_again == n_edited


def test_a_network_that_lacks_something_is_told(plugin):
    registry.load_plugin(plugin(NETWORK.replace("def preprocess", "def prepare")))
    with pytest.raises(InputError, match="The model my-network has no preprocess: it needs preprocess"):
        load_model("my-network", device="cpu")


def test_a_set_of_one_s_own(plugin):
    source = '@register("set", "my-set")\ndef my_set(size=3):\n    return {size}\n'
    registry.load_plugin(plugin(source.format(size="size")))
    with pytest.raises(InputError, match="The set 'my-set' opens as int: let its function return a RetrievalSet"):
        load_set("my-set", size=4)
    source = "import foir_lib\n" + '@register("set", "my-set")\ndef my_set():\n    return foir_lib.registry.lookup("set", "few-focus")()\n'
    registry.load_plugin(plugin(source))
    assert len(load_set("my-set").database) == 40


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("import sys; sys.exit(3)", r"Plug-in mine.py doesn't run \(SystemExit: 3\): mend it"),
        ("1 / 0", r"Plug-in mine.py doesn't run \(ZeroDivisionError: division by zero\): mend it"),
        ("def (", r"Plug-in mine.py doesn't run \(SyntaxError: .*\): mend it"),
        ("import nowhere_at_all", r"doesn't run \(ModuleNotFoundError: No module named 'nowhere_at_all'\)"),
        (METHOD.replace('"Mine"', '"PHS"'), r"The retriever 'PHS' of foir_plugin_mine_\w+.Mine is there already, in foir_lib.retrievers.heads.PHS"),
        (METHOD + METHOD.replace("class Mine", "class Other"), r"The retriever 'Mine' of \S+.Other is there already, in \S+.Mine: name it otherwise"),
        (METHOD.replace('"retriever"', '"retreiver"'), "There is no kind of thing 'retreiver': did you mean retriever"),
    ],
)
def test_a_plugin_that_cannot_be_loaded_is_told_and_nothing_of_it_stays(plugin, source, words):
    known = registry.names("retriever"), registry.names("model")
    for _ in range(2):
        with pytest.raises(FoirError, match=words) as caught:
            rows.run("phs-1", "few-focus", "mini-vit", plugin=plugin(NETWORK, source), progress=False)
        assert "\n" not in str(caught.value)
        assert (registry.names("retriever"), registry.names("model")) == known
    assert registry.lookup("retriever", "PHS").__module__ == "foir_lib.retrievers.heads"


FAULTS = {
    "scores * np.nan, ids": "Mine returned NaN or infinite scores for query 0",
    "scores[:, :2], ids": r"Mine returned scores \(\d+, 2\) and ids \(\d+, 11\)",
    "scores, ids + 35": "Mine returned row \\d+ of the database: its 40 rows count from 0",
    "None": "Mine fails .TypeError: ",
}


@pytest.mark.parametrize("returned", FAULTS)
def test_results_that_are_none_are_told_through_a_table_and_an_experiment(plugin, focus, returned):
    score = f"""
    def score(self, corpus, query, database, k):
        scores, ids = super(Mine, self).score(corpus, query, database, k)
        return {returned}
"""
    path = plugin(METHOD, score)
    run = {"methods": "Mine", "plugin": path, "k": 10, "device": "cpu", "progress": False}
    for ask in (lambda: rows.run("phs-1", "few-focus", "mini-vit", **run), lambda: focus.score("Mine", k=10)):
        with pytest.raises(InputError, match=FAULTS[returned]) as caught:
            ask()
        assert "\n" not in str(caught.value)


def test_a_method_that_lacks_something_has_a_note_in_a_table_and_is_refused_by_an_experiment(plugin, focus):
    path = plugin(METHOD.replace("    shift", '    needs = ("tea",)\n    shift'))
    table = rows.run("phs-1", "few-focus", "mini-vit", methods="CBIR,Mine", plugin=path, k=10, device="cpu", progress=False)
    assert table.set_index("method").loc["Mine", "note"].unique().tolist() == ["mini-vit has no tea"]
    with pytest.raises(InputError, match=r"^Mine can't be asked on mini-focus \(seed 5\): mini-vit has no tea.$"):
        focus.score("Mine")


def test_a_plugin_that_was_edited_makes_its_results_again(plugin, focus):
    def scores(source):
        registry.load_plugin(plugin(source))
        return focus.ranking("Mine", k=10).scores

    first = scores(METHOD)
    assert not np.allclose(scores(METHOD.replace("(4, 4)", "(5, 3)")), first)
    np.testing.assert_array_equal(scores(METHOD), first)
    registry.load_plugin(plugin())
    with pytest.raises(InputError, match="There is no retriever 'Mine'"):
        focus.ranking("Mine")


def test_plugins_with_like_names_leave_each_other_alone(tmp_path):
    paths = [tmp_path / "a.py", tmp_path / "a_b.py", tmp_path / "other" / "a.py"]
    paths[2].parent.mkdir()
    for n, path in enumerate(paths):
        path.write_text(HEAD + METHOD.replace("Mine", f"Mine{n}"))
        registry.load_plugin(path)
    paths[0].write_text(HEAD)
    assert registry.load_plugin(paths[0]) == registry.load_plugin(paths[0])
    assert {"Mine1", "Mine2"} <= set(registry.names("retriever")) and "Mine0" not in registry.names("retriever")
    for path in paths[1:]:
        path.write_text("")
        registry.load_plugin(path)
    for missing in (tmp_path / "nowhere.py", tmp_path, tmp_path / "a.txt"):
        with pytest.raises(MissingError, match="There is no plug-in at .*: give a Python file"):
            registry.load_plugin(missing)


# ---- entry points


@pytest.fixture
def fresh(monkeypatch):
    """The registry as a new process has it; ``fresh(*values)``: installed packages with these entry points."""
    again = importlib.util.module_from_spec(importlib.util.find_spec("foir_lib.registry"))
    again.__spec__.loader.exec_module(again)

    def installed(*values):
        points = [EntryPoint(f"p{n}", value, "foir") for n, value in enumerate(values)]
        monkeypatch.setattr(again, "entry_points", lambda group: points if group == "foir" else [])
        return again

    return installed


def test_an_installed_package_brings_its_methods(fresh, monkeypatch, tmp_path):
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "foir_extra_tea.py").write_text("import sys\nregister = sys.modules['the registry'].register\n@register('training set', 'tea')\ndef tea(): pass\n")
    found = fresh("foir_extra_tea")
    monkeypatch.setitem(importlib.sys.modules, "the registry", found)
    assert "tea" in found.names("training set") and found.lookup("training set", "tea").__module__ == "foir_extra_tea"


def test_a_package_that_cannot_be_used_is_told_every_time(fresh):
    found = fresh("nowhere_at_all")
    for _ in range(2):
        with pytest.raises(InputError, match=r"^The package 'nowhere_at_all' can't be used as a plug-in \(No module named .*\): mend or remove it.$"):
            found.names("training set")


# ---- texts


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("PSH", "There is no retriever 'PSH': did you mean PHS"), ("", "There is no retriever ''"), ("PHS(3)", "write PHS.option=value, ...."),
        ("PHS(h_on=3", "can't be read"), ("PHS(h_on=3) and more", "can't be read"), ("PHS(h_on=3)(h_on=4)", "can't be read"),
        ("PHS(h_on=len('abc'))", "can't be read"), ("PHS(**{})", "can't be read"), ("PHS(h_on=1, h_on=2)", "can't be read"),
        ("PHS(h_on=__import__('os').getpid())", "can't be read"), ("PHS(heads=3)", "PHS has no option 'heads': it takes h_on, roi"),
        ("Guest", "Guest needs path: write Guest.path=....."), ("PHS(h_on=" + "(" * 5000, "can't be read"),
        ("PHS(h_on=9**9)", r"can't be read \(a value is no number, text, True, False, None or list\)"),
        ("PHS(h_on=nan)", r"can't be read \(a value is no number, text"), ("PHS(h_on=" + "9" * 6000 + ")", r"^'PHS\(h_on=9{48}\.\.\.' can't be read"),
    ],
)  # fmt: skip
def test_texts_that_name_no_method(text, words):
    with pytest.raises(InputError, match=words) as caught:
        registry.parse("retriever", text)
    assert "\n" not in str(caught.value)


def test_lists_of_methods_part_at_commas_outside_brackets_and_quotes():
    assert registry.split("CBIR, PHS(h_on=3, roi='max'),Guest(path='a,b(') ,, ") == ["CBIR", "PHS(h_on=3, roi='max')", "Guest(path='a,b(')"]
    assert registry.split("") == []


def test_a_signature_lists_every_option_with_its_default():
    assert registry.lookup("retriever", "RandomHeads").signature() == "RandomHeads(h_on=5, seed=None)"
    assert registry.lookup("retriever", "Guest").signature() == "Guest(path)" and registry.lookup("retriever", "CBIR").signature() == "CBIR"
