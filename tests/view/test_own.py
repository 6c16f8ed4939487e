"""One's own photographs: which page and network they get, what is said, and what the page's notebook is filled with."""

import shutil

import nbformat
import pytest
from PIL import Image

from foir_lib import Box, cli, load_model, load_set
from foir_lib.bench.runs import parameters
from foir_lib.errors import InputError, MissingError
from foir_lib.files import manifest_root
from foir_lib.models import zoo
from foir_lib.retrievers.corpus import Corpus
from foir_lib.view import own
from foir_lib.view.explorers.panel import QueryPanel
from foir_lib.view.explorers.retrieval import RetrievalExplorer

SAMPLES = manifest_root() / "samples" / "grocery"


@pytest.fixture
def served(monkeypatch, tmp_path):
    """What Voila would be started with: arguments, and the notebook's parameters."""
    started = []
    monkeypatch.setenv("FOIR_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(own.tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(
        own, "serve", lambda arguments: started.append((arguments, arguments and not arguments[0].startswith("-") and injected(arguments[0])))
    )
    return started


def injected(path):
    """The parameters that a page's notebook runs with: its own, then those filled in."""
    values = {}
    for cell in nbformat.read(path, 4).cells:
        if {"parameters", "injected-parameters"} & set(cell.metadata.get("tags", [])):
            exec(cell.source, values)
        assert not cell.get("outputs")
    return {name: value for name, value in values.items() if not name.startswith("__")}


def run(*words):
    with pytest.raises(SystemExit) as ended:
        cli.main(["demo", *map(str, words)])
    return ended.value.code


def test_a_folder_is_indexed_and_its_page_is_filled_in(served, tmp_path, capsys):
    folder = tmp_path / 'it\'s "mine" {x}\\n'
    shutil.copytree(SAMPLES, folder)
    assert run("--port=8877", folder, "--model", "mini-vit-small", "--device", "cpu", "-p", "k", "3", "--no-browser") == 0
    ((path, *arguments), values), = served
    assert path.endswith("04_photographs.ipynb") and arguments == ["--port=8877", "--no-browser"]
    assert (values["dataset"], values["data_root"], values["model"], values["k"]) == ("folder", str(folder), "mini-vit-small", 3)
    said = capsys.readouterr().out
    assert "12 pictures to search" in said and "mini-vit-small knows drawings only" in said and "--model dinov2-base" in said
    assert len(list((tmp_path / "cache" / "features").glob("*/*.safetensors"))) == 1, "indexed before the page is served"


def test_without_anything_it_is_the_drawn_world(served):
    assert run() == 0 and run("--no-browser", "--theme=dark") == 0
    assert [arguments for arguments, _ in served] == [[], ["--theme=dark", "--no-browser"]]


def test_which_page_and_network():
    photographs, values = own.page_of(str(SAMPLES), {"model": None, "weights": "w.safetensors"})
    assert photographs.name == own.PHOTOGRAPHS and values["model"] == "dinov2-base" and values["weights"].endswith("/w.safetensors")
    drawn, values = own.page_of("mini-landmarks", {})
    assert drawn.name == own.DRAWN and values["model"] == parameters.read(drawn)["model"].default and values["dataset"] == "mini-landmarks"
    coco, values = own.page_of("coco", {"data_root": "data/coco"})
    assert coco.name == own.PHOTOGRAPHS and values["dataset"] == "coco" and values["data_root"].endswith("/data/coco")
    with pytest.raises(MissingError, match="There is no folder nowhere: give that of your photographs"):
        own.page_of("nowhere", {})
    with pytest.raises(InputError, match="parameter"):
        own.page_of(str(SAMPLES), {"modell": "x"})


@pytest.mark.parametrize(("words", "says"), [
    (["nowhere"], "There is no folder nowhere"),
    ([SAMPLES, "--model", "no-such-model"], "There is no model 'no-such-model'"),
    ([SAMPLES, "--model", "mini-vit", "--weights", "gone.safetensors"], "There is no weights file at"),
    ([SAMPLES, "-p", "nothing", "3"], "nothing"),
    ([SAMPLES, "--model", "mini-vit", "--segmenter", "my/gone.safetensors"], "gone.safetensors"),
    ([SAMPLES, "--model", "mini-vit", "--segmenter", "samm"], "samm"),
    ([SAMPLES, "other"], "are several: give one folder"),
    (["mini-focus", "--root", SAMPLES], "is made from a seed and has no root"),
])  # fmt: skip
def test_what_cannot_be_is_one_sentence_and_nothing_is_served(words, says, served, capsys):
    assert run(*words) == 2 and not served
    line, = capsys.readouterr().err.strip().splitlines()
    assert line.startswith("error: ") and says in line


def test_a_network_that_cannot_be_fetched_names_what_helps(served, monkeypatch, capsys):
    def unreachable(*_, **__):
        raise OSError("no network")

    monkeypatch.setattr(zoo.huggingface_hub, "try_to_load_from_cache", lambda *_: None)
    monkeypatch.setattr(zoo.huggingface_hub, "get_hf_file_metadata", unreachable)
    assert run(SAMPLES) == 2 and not served
    error = capsys.readouterr().err
    assert "Weights of dinov2-base" in error and "--weights FILE" in error and "--model NAME" in error and len(error.splitlines()) == 1


def test_what_is_fetched_is_told_before(served, monkeypatch, capsys):
    asked, drawn = [], load_model("mini-vit-small", device="cpu")
    size = type("Metadata", (), {"size": 346_000_000})
    monkeypatch.setattr(zoo.huggingface_hub, "try_to_load_from_cache", lambda *_: None)
    monkeypatch.setattr(zoo.huggingface_hub, "get_hf_file_metadata", lambda url, timeout: asked.append(url) or size)
    monkeypatch.setattr(own, "load_model", lambda name, **_: drawn)
    assert run(SAMPLES) == 0
    assert "vit_base_patch14_reg4_dinov2.lvd142m" in asked[0] and asked[0].endswith("model.safetensors")
    assert "dinov2-base: 346.0 MB are fetched from the Hugging Face hub, once" in capsys.readouterr().out
    monkeypatch.setattr(zoo.huggingface_hub, "try_to_load_from_cache", lambda *_: "here")
    assert zoo.to_fetch("dinov2-base") == zoo.to_fetch("mini-vit") == 0


# ---- a photograph, and a network that knows drawings only


def test_who_knows_drawings_only(tmp_path):
    assert all(load_model(name, device="cpu").knows_drawings_only for name in ("mini-vit-small", "mini-cnn"))
    other = load_model("mini-vit-small", weights=zoo.shipped.weights_path("mini-vit-small"), device="cpu")  # one's own file
    assert not other.knows_drawings_only and zoo.drawings_only(other) == zoo.drawings_only(object()) == ""


def test_a_photograph_dropped_on_the_drawn_world_is_not_judged(focus):
    explorer = RetrievalExplorer(focus.corpus, "CBIR")
    panel, photograph = explorer.panel, Image.open(next(SAMPLES.rglob("*.jpg")))
    assert panel.label and panel.unjudged == panel.notices.text == "" and explorer.results["CBIR"]["right"].notna().any()
    explorer.ask(Box(0, 0, 200, 200), picture=photograph)
    assert panel.notices.text.startswith("mini-vit knows drawings only") and "foir demo my/photographs --model dinov2-base" in panel.notices.text
    assert panel.notices.layout.display is None
    panel._label.value = panel.labels[0]  # said by hand
    explorer.show()
    assert panel.label == "" and explorer.results["CBIR"]["right"].isna().all() and explorer.summary == ""
    explorer.query(0)
    assert panel.label and panel.notices.text == "" and panel.notices.layout.display == "none"
    explorer.close()


def test_a_folder_of_photographs_is_not_judged_by_it_and_is_by_another(tmp_path, monkeypatch):
    monkeypatch.setenv("FOIR_CACHE", str(tmp_path))
    drawings = load_model("mini-vit-small", device="cpu")
    panel = QueryPanel(load_set("folder", root=SAMPLES), drawings)
    panel.start()
    assert "knows drawings only" in panel.notices.text
    panel.model = load_model("mini-vit-small", weights=zoo.shipped.weights_path("mini-vit-small"), device="cpu")
    assert panel.unjudged == "" and "drawings" not in panel.notices.text
    panel.model = drawings
    assert panel.unjudged in panel.notices.text != ""
    panel.close()


def test_a_vit_of_few_heads_stands_beside_the_crop(tmp_path, monkeypatch):
    monkeypatch.setenv("FOIR_CACHE", str(tmp_path))
    model = load_model("mini-vit-small", device="cpu")
    corpus = Corpus(load_set("folder", root=SAMPLES), model, progress=False)
    assert [str(one) for one in RetrievalExplorer.first(corpus)] == ["CBIR", "PHS"]
    monkeypatch.setattr(model, "n_heads", 3)
    assert [str(one) for one in RetrievalExplorer.first(corpus)] == ["CBIR", "Crop"]
