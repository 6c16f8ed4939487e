"""The page: one canvas for all tabs, each made when it is opened; what a corpus lacks is said in a sentence."""

from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from foir_lib import Box, load_model, load_set, progress
from foir_lib.errors import InputError
from foir_lib.notices import Notice
from foir_lib.registry import names, register
from foir_lib.retrievers.corpus import Corpus
from foir_lib.view.explorers.base import Explorer
from foir_lib.view.explorers.page import Page

BOX = Box(5, 5, 60, 60)


@pytest.fixture(scope="module")
def corpora(tmp_path_factory):
    """A ViT on scenes and a CNN on landmarks, and both on the landmarks."""
    cache = tmp_path_factory.mktemp("cache")
    scenes = load_set("mini-focus", seed=6, n_query=6, n_database=40)
    town = load_set("mini-landmarks", seed=3, n_landmarks=4, n_queries=6, n_database=20)
    town = replace(town, settings={name: value for name, value in town.settings.items() if name != "training"})
    vit, cnn = load_model("mini-vit", device="cpu"), load_model("mini-cnn", device="cpu")
    pairs = ((scenes, vit), (town, cnn), (town, vit))
    return [Corpus(*pair, cache=cache, progress=False) for pair in pairs]


@pytest.fixture(autouse=True)
def own_cache(corpora, tmp_path, monkeypatch):
    """The tab Talk writes to a memory of the test's own, never to the user's."""
    monkeypatch.setenv("FOIR_CACHE", str(tmp_path))


@pytest.fixture
def page(corpora):
    page = Page(corpora)
    yield page
    page.close()


def test_tabs_are_the_registered_explorers_and_the_first_are_ours(page):
    assert list(page.tabs.options)[:7] == ["Lists", "Heads", "Failures", "Co-attention", "Objects", "Pixels", "Talk"]
    assert set(page.tabs.options) == set(names("explorer"))
    assert page.tab == "Lists" and page.state["explorer"]["methods"] == ["CBIR", "PHS"]
    assert page.state["corpus"] == f"{page.corpus.set.name}, mini-vit" and page.state["note"] == ""


def test_what_was_noted_while_the_set_was_read_stands_in_a_line(corpora):
    noted = replace(corpora[0].set, notices=(Notice("thumbnails left out", 12, "<b>@eaDir</b>/a.jpg"), Notice("pictures turned", 3, "")))
    page = Page([Corpus(noted, corpora[0].model, progress=False), corpora[1]])
    assert page.state["notices"] == f"{noted.name}: 12 thumbnails left out (first: <b>@eaDir</b>/a.jpg); 3 pictures turned."
    assert page.panel.notices.layout.display is None and "<b>" not in page.panel.notices.value
    page.corpora.value = corpora[1]
    assert page.state["notices"] == "" and page.panel.notices.layout.display == "none"
    page.close()


def test_one_canvas_serves_all_tabs_and_only_the_open_one_answers(page):
    lists = page.explorer
    page.ask(BOX)
    before = page.state["explorer"]
    page.tab = "Heads"
    heads = page.explorer
    assert heads.canvas is lists.canvas is page.canvas and heads.state["prompt"] == before["prompt"] == str(BOX)
    assert heads.state["heads"] == before["heads"]["PHS"]
    page.ask(Box(60, 40, 120, 110))
    assert lists.state["lists"] == before["lists"] and heads.state["heads"] != before["heads"]["PHS"]
    page.tab = "Lists"
    assert page.explorer is lists and lists.state["lists"] != before["lists"]
    assert lists.state["heads"]["PHS"] == heads.state["heads"]


def test_a_case_of_the_failures_opens_on_the_canvas(page):
    page.tab = "Failures"
    query = page.explorer.state["queries"][2]
    page.explorer.gallery.receive({"pick": query})
    assert page.canvas.prompt == page.corpus.set.queries["prompt"].iloc[query]
    assert page.panel.label == page.corpus.set.queries["label"].iloc[query]


def test_what_a_corpus_lacks_is_said_in_place_of_the_tab(page, corpora):
    page.tab = "Co-attention"
    assert page.explorer is None and page.state["explorer"] is None
    assert page.state["note"].startswith("Co-attention can't be had here: mini-vit has no feature maps")
    page.corpora.value = corpora[1]
    assert page.corpus is corpora[1] and page.state["note"] == "" and page.explorer.state["methods"] == ["GeM", "CA"]
    page.tab = "Heads"
    assert "mini-cnn has no attention heads" in page.state["note"] and page.explorer is None
    page.tab = "Lists"
    assert page.state["note"] == "" and page.explorer.state["methods"] == ["CBIR", "GeM"]


def test_objects_of_results_are_a_tab_where_a_network_has_attention(page, corpora):
    page.tab = "Objects"
    explorer = page.explorer
    assert explorer.canvas is page.canvas and explorer.state["method"] == "MeanCrops(objects='boxes')" and page.state["note"] == ""
    explorer.open_result(explorer.state["list"][0])
    explorer.look(0)
    assert page.state["summary"] == explorer.summary and "before → after refinement" in explorer.summary
    page.corpora.value = corpora[1]
    assert page.explorer is None and "mini-cnn has no attention to look with" in page.state["note"]


def test_what_was_told_on_one_network_is_known_on_another_and_lies_in_the_cache(page, corpora, tmp_path):
    page.corpora.value = corpora[1]
    page.tab = "Talk"
    assert page.explorer.canvas is page.canvas and page.state["summary"] == "0 things remembered" and page.state["note"] == ""
    page.ask(BOX)
    page.explorer.say("this is the town hall")
    assert page.state["summary"] == "1 thing remembered" and (tmp_path / "things.db").is_file()
    page.corpora.value = corpora[2]
    assert page.tab == "Talk" and page.state["explorer"]["things"] == ["the town hall"]
    assert page.explorer.say("what is this?").things[0].name == "the town hall"


def test_another_model_on_the_same_set_answers_the_same_prompt(page, corpora):
    page.corpora.value = corpora[1]
    page.ask(BOX)
    panel, before = page.panel, page.explorer
    page.corpora.value = corpora[2]
    assert page.panel is panel and page.canvas.prompt == BOX and page.canvas.grid == corpora[2].model.grid
    assert before.comm is None and page.explorer.corpus is corpora[2] and page.state["explorer"]["prompt"] == str(BOX)
    page.corpora.value = corpora[0]
    assert panel.comm is None and page.panel.set is corpora[0].set


def test_the_head_line_says_what_the_open_tab_found(page):
    page.query(3)
    summary = page.explorer.summary
    assert summary.startswith(f"show {page.panel.label}: ") and " by CBIR, " in summary and summary in page.state["summary"]
    said = []
    page._note.observe(lambda change: said.append((change["new"], page._summary.value)), "value")
    page.tab = "Heads"
    assert page.state["summary"] == page.explorer.summary != summary
    assert "Heads shows what each attention head looks at" in said[0][0] and "the 40 pictures" in said[0][0] and said[0][1] == "", "no line of another tab meanwhile"


def test_while_a_tab_computes_it_says_how_many_pictures_are_done(corpora, tmp_path, monkeypatch):
    monkeypatch.setattr(progress, "EVERY", 0.0)
    said, fresh = [], Corpus(corpora[0].set, corpora[0].model, batch_size=10, cache=tmp_path / "fresh", progress=False)
    monkeypatch.setattr(Page, "_show", lambda self, sentence, *explorer, show=Page._show: (said.append(sentence), show(self, sentence, *explorer)))
    page = Page(fresh, tabs=("Lists",))
    counts = [sentence.rpartition(": ")[2] for sentence in said if " done …" in sentence]
    assert counts[:4] == [f"{n} of 40 pictures done …" for n in (10, 20, 30, 40)] and said[-1] == "" and page.state["note"] == ""
    page.close()


def test_what_a_click_computes_is_counted_below_the_picture(page, corpora, tmp_path, monkeypatch):
    monkeypatch.setattr(progress, "EVERY", 0.0)
    said = []
    page.canvas.observe(lambda change: said.append((change["new"]["text"], change["new"]["error"])), "message")

    def work():
        with progress.bar(4, "states", show=False) as bar:
            bar.update(2)
            bar.update(2)

    page.explorer.clicked(work)
    assert said == [("states: 2 of 4 pictures …", False), ("states: 4 of 4 pictures …", False), ("", False)]
    with pytest.raises(InputError), page.explorer.saying():
        work()
        raise InputError("Something is wrong: mend it.")
    assert page.canvas.message["text"] == "Something is wrong: mend it." and page.canvas.message["error"]


def test_a_folder_has_its_own_name_and_whole_pictures_are_no_choice(tmp_path, corpora):
    for label in ("apple", "pear"):
        (tmp_path / "fruit" / label).mkdir(parents=True)
        for n in range(3):
            Image.fromarray(np.random.default_rng([n, len(label)]).integers(0, 255, (40, 60, 3), np.uint8)).save(tmp_path / "fruit" / label / f"{n}.png")
    page = Page(Corpus(load_set("folder", root=tmp_path / "fruit"), corpora[0].model, cache=tmp_path / "cache", progress=False), tabs=("Lists",))
    panel = page.panel
    assert page.corpora.options[0][0] == "fruit, mini-vit" and page.state["notices"].endswith("fruit: 6 pictures in 2 classes, a folder per class.")
    assert panel.objects.layout.display == "none" and panel.takes.value == "the point"
    page.close()


def test_a_tab_of_ones_own(corpora):
    @register("explorer", "Counting")
    class Counting(Explorer):
        def __init__(self, corpus, panel):
            self.prompts = []
            super().__init__(panel, [], own=False)

        def show(self):
            self.prompts.append(self.canvas.asks)

    page = Page(corpora[0], tabs=("Counting",))
    page.ask(BOX)
    assert page.explorer.prompts[-1] == BOX and page.state["tab"] == "Counting"
    page.close()


def test_wrong_arguments_are_sentences(page):
    with pytest.raises(InputError, match="There is no tab 'Listen'"):
        page.tab = "Listen"
    with pytest.raises(InputError, match="no explorer 'Listen'"):
        Page(page.corpus, tabs=("Listen",))
    with pytest.raises(InputError, match="no corpus to explore"):
        Page([])
    assert page.tab == "Lists"


def test_close_leaves_nothing(corpora, open_widgets):
    before = open_widgets()
    page = Page(corpora[0])
    for tab in page.tabs.options:
        page.tab = tab
    page.close()
    page.close()
    assert open_widgets() == before
