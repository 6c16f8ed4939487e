"""The retrieval explorer shows what the batch path computes, and what goes wrong leaves it as it was."""

import gc
import io
import weakref

import ipywidgets
import numpy as np
import pandas as pd
import pytest
from PIL import Image

from foir_lib import Box, Mask, Point, load_model, load_set
from foir_lib.bench.experiment import Experiment
from foir_lib.data import Protocol, RetrievalSet
from foir_lib.errors import InputError
from foir_lib.registry import parse
from foir_lib.retrievers.base import Retriever
from foir_lib.retrievers.baselines import CBIR
from foir_lib.retrievers.corpus import Corpus
from foir_lib.retrievers.heads import PHS
from foir_lib.view.explorers.comparison import Comparison
from foir_lib.view.explorers.retrieval import RetrievalExplorer
from foir_lib.view.results import rows as retrieval_rows
from foir_lib.view.widgets import live
from foir_lib.view.widgets.thumbs import Thumb, Thumbs, encoded

N = 40  # database pictures


@pytest.fixture(scope="module")
def experiment(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FOIR_CACHE", str(tmp_path_factory.mktemp("cache")))
        small = load_set("mini-focus", seed=6, n_query=6, n_database=N)
        yield Experiment(small, load_model("mini-vit", device="cpu"), batch_size=8, progress=False)


@pytest.fixture
def make(experiment):
    """Explorers of the small set, closed at the end."""
    explorers = []

    def make(*arguments, corpus=experiment.corpus, **options):
        explorers.append(RetrievalExplorer(corpus, *arguments, **options))
        return explorers[-1]

    yield make
    for explorer in explorers:
        explorer.close()


@pytest.fixture
def explorer(make):
    return make(k=5)


def keys(explorer, row):
    return [item["key"] for item in explorer.gallery.rows[row]["items"]]


def is_consistent(explorer):
    """The gallery shows exactly what ``results`` say."""
    names = [str(method) for method in explorer.methods]
    assert list(explorer.results) == [row["title"] for row in explorer.gallery.rows] == names
    for row, table in zip(explorer.gallery.rows, explorer.results.values(), strict=True):
        frames = [{None: "", True: "right", False: "wrong"}[right] for right in table["right"]]
        assert [item["key"] for item in row["items"]] == table["row"].tolist()
        assert [item["frame"] for item in row["items"]] == frames
        assert all(
            item["caption"].split()[0] == f"{rank}" and f"rank {rank}, similarity {score:.3f}" in item["alt"]
            for item, rank, score in zip(row["items"], table["rank"], table["score"])
        )
    return True


# ---- the same as in batches


@pytest.mark.parametrize("methods", ["CBIR, PHS(h_on=3), FA", "PHS(query_db=True), PHS(foveal=True), Mask, Crop"])
def test_queries_of_the_set_get_the_ranking_of_the_experiment(experiment, make, methods):
    explorer = make(methods, k=10)
    names = [str(method) for method in explorer.methods]
    rankings = {name: experiment.ranking(name) for name in names}
    for query in range(0, len(experiment.set.queries), 4):
        explorer.query(query)
        for name, ranking in rankings.items():
            table = explorer.results[name]
            assert np.allclose(table["score"], ranking.scores[query, :10], atol=2e-6)
            gaps = np.abs(np.diff(ranking.scores[query, :11])) > 1e-5  # near ties may change places
            sure = np.r_[True, gaps[:-1]] & gaps
            assert (table["row"].to_numpy()[sure] == ranking.ids[query, :10][sure]).all() and sure.any()
            right = experiment.set.protocols["contains"].relevance(ranking.ids)[query]
            assert table["right"].tolist() == [right[ranking.ids[query].tolist().index(row)] for row in table["row"]]
            assert (table["image_id"].to_numpy() == experiment.set.database["image_id"].to_numpy()[table["row"]]).all()
            first = rankings[names[0]].ids[query].tolist()
            assert (table["before"] == [first.index(row) + 1 for row in table["row"]])[sure].all()
            assert explorer.rankings[name][1].tolist()[:10] == table["row"].tolist() and len(explorer.rankings[name][0]) == N
        assert is_consistent(explorer)
        assert explorer.panel.label == experiment.set.queries["label"].iloc[query]


def test_heads_kept_reach_the_answer(experiment, explorer):
    explorer.query(3)
    five = explorer.results["PHS"]
    explorer.options.h_on.value = 1
    ranking = experiment.ranking("PHS(h_on=1)", k=5)
    assert explorer.methods == (CBIR(), PHS(h_on=1))
    assert np.allclose(explorer.results["PHS(h_on=1)"]["score"], ranking.scores[3], atol=2e-6)
    assert not five.equals(explorer.results["PHS(h_on=1)"]) and is_consistent(explorer)
    (head,) = explorer.state["heads"]["PHS(h_on=1)"]
    assert f" · head no. {head} kept · " in explorer.gallery.rows[1]["note"]
    assert explorer.options.h_on.max == experiment.model.n_heads
    explorer.options.h_on.value = explorer.options.h_on.max  # all heads on is plain retrieval
    assert explorer.state["lists"]["PHS(h_on=12)"] == explorer.state["lists"]["CBIR"]


def test_options_are_shown_where_a_method_has_them_and_hold_for_those_taken_in_later(explorer):
    displays = [getattr(explorer.options, name).layout.display for name in ("h_on", "roi", "n_clusters", "temperature")]
    assert displays == [None, None, "none", "none"]
    explorer.options.roi.value = "max"
    explorer.buttons["RandomHeads"].value = explorer.buttons["PHS(query_db=True)"].value = True
    assert list(map(str, explorer.methods)) == ["CBIR", "PHS(roi='max')", "RandomHeads", "PHS(roi='max', query_db=True)"]
    explorer.methods = "CBIR, FA"
    assert explorer.options.h_on.layout.display == explorer.options.roi.layout.display == "none"
    explorer.text.value = "PHS(h_on=2), Crop(denoise=True)"
    assert explorer.methods == (PHS(h_on=2), parse("retriever", "Crop(denoise=True)")) and explorer.options.h_on.value == 2
    explorer.text.value = "PHS(h_up=2)"
    assert "PHS has no option 'h_up'" in explorer.state["message"]
    assert explorer.text.value == "PHS(h_on=2), Crop(denoise=True)" and is_consistent(explorer)


def test_only_what_changed_is_computed(explorer, monkeypatch):
    scored, score = [], Retriever.score

    def counted(self, *arguments):
        scored.append(str(self))
        return score(self, *arguments)

    monkeypatch.setattr(Retriever, "score", counted)
    explorer.k.value = 10
    explorer.panel.label = explorer.panel.labels[0]
    assert scored == [] and len(explorer.results["PHS"]) == 10
    explorer.methods = ("PHS", "FA", "CBIR")
    assert scored == ["FA"]
    explorer.ask(Box(1, 1, 40, 40))
    assert scored == ["FA", "PHS", "FA", "CBIR"]
    assert is_consistent(explorer)


def test_maps_say_what_counts_whatever_the_method(experiment, make):
    explorer = make("CBIR, PHS(h_on=2), Mask", k=3, maps=True)
    explorer.query(1)
    titles = [row["title"] for row in explorer.gallery.rows]
    assert titles == ["CBIR", "CBIR: what counts", "PHS(h_on=2)", "PHS(h_on=2): what counts", "Mask", "Mask: what counts"]
    on = explorer.state["heads"]["PHS(h_on=2)"]
    for place, row in enumerate(explorer.results["PHS(h_on=2)"]["row"]):
        picture = experiment.corpus.database.open(row)
        attention = experiment.model.cls_state(experiment.model.preprocess(picture)[None]).attention[0].cpu().numpy()
        assert np.allclose(explorer.explained["PHS(h_on=2)"][place], attention[on].mean(0).reshape(8, 8), atol=1e-5)
    keys_of_maps = [item["key"] for item in explorer.gallery.rows[3]["items"]]
    assert keys_of_maps == explorer.state["lists"]["PHS(h_on=2)"]
    explorer.maps.value = False
    assert [row["title"] for row in explorer.gallery.rows] == ["CBIR", "PHS(h_on=2)", "Mask"] and explorer.explained == {}


# ---- rows, by hand


def table_of(ids, image_ids, k, right=None, first=None):
    return retrieval_rows.table(np.linspace(0.9, 0.1, len(ids)), np.array(ids), image_ids, k, right, first)


def test_rank_change_by_hand():
    ids = np.array(["a", "b", "c", "d", "e"])
    first, second = [3, 1, 4, 0, 2], [1, 3, 0, 4, 2]
    table = table_of(second, ids, 4, None, first)
    assert table["image_id"].tolist() == ["b", "d", "a", "e"] and table["rank"].tolist() == [1, 2, 3, 4]
    assert table["before"].tolist() == [2, 1, 4, 3] and table["right"].tolist() == [None] * 4
    row = retrieval_rows.row("PHS", table, [Thumb(b"x")] * 4, "CBIR", np.array([1, 0, 0, 1, 1], bool), 3.4)
    assert [item["caption"] for item in row["items"]] == [
        "1 ▲1",
        "2 ▼1",
        "3 ▲1",
        "4 ▼1",
    ]
    assert row["note"] == "heads no. 0, 3, 4 kept · 3 ms"
    assert row["items"][0]["alt"] == "rank 1, similarity 0.900, 1 place higher than with CBIR, picture b"
    own = retrieval_rows.row("CBIR", table_of(first, ids, 2, None, first), [Thumb(b"x")] * 2)
    assert [item["caption"] for item in own["items"]] == ["1", "2"]
    far = table_of([2, 0, 1], ids, 1, None, [0, 1, 2])
    assert retrieval_rows.change(far["before"][0], 1) == "▲2" and retrieval_rows.change(4, 4) == "="
    unknown = table_of(second, ids, 3)
    assert [retrieval_rows.change(b, 1) for b in unknown["before"]] == ["", "", ""]


def test_verdicts_by_hand():
    def a_set(protocols):
        images = pd.DataFrame(
            {"image_id": range(5), "path": "x", "width": 9, "height": 9, "split": ["query", *["database"] * 4]}
        )
        objects = pd.DataFrame(
            {
                "image_id": [0],
                "label": "dog",
                "x0": 0.0,
                "y0": 0.0,
                "x1": 9.0,
                "y1": 9.0,
                "ignore": False,
                "segmentation": None,
            }
        )
        queries = pd.DataFrame({"image_id": [0], "prompt": [Box(0, 0, 9, 9)], "label": "dog", "object": 0})
        return RetrievalSet("five", images, objects, queries, protocols)

    known = a_set({"contains": Protocol(("dog",), {"dog": [2, 0]}, {"dog": [3]})})
    assert retrieval_rows.verdicts(known, "dog").tolist() == [True, False, True, None]
    assert retrieval_rows.verdicts(known, "cat") is None and retrieval_rows.verdicts(known, "") is None
    assert retrieval_rows.verdicts(a_set({}), "dog") is None and retrieval_rows.labels_of(a_set({})) == []
    assert retrieval_rows.labels_of(known) == ["dog"]
    of_queries = a_set({"hard": Protocol((7,), {7: [3]}), "medium": Protocol((7,), {7: [1]}, {7: [0]})})
    assert retrieval_rows.verdicts(of_queries, "dog").tolist() == [None, True, False, False]  # medium, of the label's first query
    assert retrieval_rows.verdicts(of_queries, "cat") is None and retrieval_rows.labels_of(of_queries) == ["dog"]
    table = table_of([3, 2, 1, 0], np.arange(4), 4, retrieval_rows.verdicts(known, "dog"))
    assert table["right"].tolist() == [None, True, False, True]
    assert retrieval_rows.note(table) == "2 of 3 right" and retrieval_rows.note(table, label="dog") == "2 of 3 show dog"
    ends = retrieval_rows.row("PHS", table, [Thumb(b"x")] * 4, "CBIR", base=1 / 3)
    assert (ends["share"], ends["gain"]) == ("66.7 %", "+33.3") and retrieval_rows.row("CBIR", table, [Thumb(b"x")] * 4)["gain"] == ""
    assert retrieval_rows.share(table_of([3, 2], np.arange(4), 2)) is None
    items = retrieval_rows.row("CBIR", table, [Thumb(b"x")] * 4)["items"]
    assert [item["frame"] for item in items] == ["", "right", "wrong", "right"]
    assert [", right," in i["alt"] or ", wrong," in i["alt"] for i in items] == [False, True, True, True]


@pytest.mark.parametrize(
    ("prompt", "best"),
    [
        (Box(0, 0, 10, 10), 0),  # IoU 1 and 1/4
        (Box(0, 0, 20, 18), 1),
        (Box(30, 30, 60, 60), 2),
        (Box(21, 0, 29, 29), -1),
        (Point(5, 5), 0),  # the smallest that holds it
        (Point(15, 5), 1),
        (Point(40, 40), 2),
        (Point(45, 5), -1),
        (Point(10, 10), 1),  # a box ends before its right and lower edge
        (None, -1),
    ],
)
def test_the_object_pointed_at_by_hand(prompt, best):
    boxes = [(0, 0, 10, 10), (0, 0, 20, 20), (30, 30, 50, 50)]
    assert retrieval_rows.best_match(boxes, prompt, (64, 64)) == best
    if isinstance(prompt, Box):
        assert retrieval_rows.best_match(boxes, Mask(prompt.pixels((64, 64))), (64, 64)) == best
    assert retrieval_rows.best_match(np.zeros((0, 4)), prompt, (64, 64)) == -1


def test_ignored_objects_are_not_pointed_at(experiment):
    objects = experiment.set.objects.assign(ignore=False)
    objects.loc[3, "ignore"] = True

    class Some:
        pass

    Some.objects = objects
    of = retrieval_rows.objects_of(Some)
    assert sorted(np.concatenate(list(of.values()))) == [row for row in range(len(objects)) if row != 3]
    assert all((objects["image_id"].iloc[rows] == image_id).all() for image_id, rows in of.items())


# ---- what a person does


def test_the_label_follows_the_prompt_until_it_is_chosen_by_hand(experiment, explorer):
    queries = experiment.set.queries
    explorer.query(0)
    assert explorer.panel.label == queries["label"].iloc[0]
    notes = [row["note"] for row in explorer.gallery.rows]
    other = next(label for label in explorer.panel.labels if label != queries["label"].iloc[0])
    explorer.panel.label = other
    right = set(experiment.set.protocols["contains"].positive[other])
    assert explorer.results["CBIR"]["right"].tolist() == [row in right for row in explorer.results["CBIR"]["row"]]
    explorer.k.value = 10  # nothing else lets go of it
    assert explorer.panel.label == other
    explorer.panel.label = ""
    assert explorer.results["PHS"]["right"].isna().all() and "right" not in explorer.gallery.rows[0]["note"]
    explorer.k.value = 5
    explorer.ask(Box(0, 0, 1.5, 1.5))
    explorer.query(0)
    assert explorer.panel.label == queries["label"].iloc[0]
    assert [n.split(" · ")[0] for n in notes] == [row["note"].split(" · ")[0] for row in explorer.gallery.rows]


def test_a_point_on_an_object_looks_for_it(experiment, explorer):
    item = experiment.set.objects[
        experiment.set.objects["image_id"] == experiment.set.queries["image_id"].iloc[0]
    ].iloc[0]
    explorer.ask(Point((item.x0 + item.x1) / 2, (item.y0 + item.y1) / 2), picture=item.image_id)
    mine = experiment.set.objects[experiment.set.objects["image_id"] == item.image_id]
    area = (mine.x1 - mine.x0) * (mine.y1 - mine.y0)
    prompt = explorer.canvas.prompt
    holds = (mine.x0 <= prompt.x) & (prompt.x < mine.x1) & (mine.y0 <= prompt.y) & (prompt.y < mine.y1)
    assert explorer.panel.label == mine["label"][area[holds].idxmin()]


def test_a_result_that_is_picked_becomes_the_query(experiment, explorer):
    row = keys(explorer, 1)[2]
    explorer.gallery.receive({"pick": row})
    image_id = experiment.set.database["image_id"].iloc[row]
    assert explorer.canvas.label == f"picture {image_id}" and explorer.canvas.prompt is None
    assert row not in explorer.results["CBIR"]["row"].tolist()
    assert len(explorer.results["PHS"]) == 0 and is_consistent(explorer)
    assert "There is no prompt" in explorer.gallery.rows[1]["empty"] and not explorer.canvas.message["error"]
    box = experiment.set.objects.loc[experiment.set.objects["image_id"] == image_id, ["x0", "y0", "x1", "y1"]].iloc[0]
    explorer.k.value = 20
    explorer.ask(Box(*box))
    for table in explorer.results.values():
        assert row not in table["row"].tolist() and len(table) == 20
    picture = experiment.set.open(image_id)
    assert np.array_equal(np.asarray(explorer.canvas.picture), np.asarray(picture))


def test_an_annotated_object_sets_the_prompt(experiment, explorer):
    explorer.query(0)
    names = dict(explorer.panel.objects.options)
    boxes = [value for name, value in names.items() if name.endswith("(box)")]
    masks = [value for name, value in names.items() if name.endswith("(mask)")]
    assert explorer.panel.objects.value in boxes and len(boxes) == len(masks) == experiment.set.n_objects(
        experiment.set.queries["image_id"].iloc[0]
    )
    explorer.panel.objects.value = masks[-1]
    row = masks[-1][0]
    assert np.array_equal(explorer.canvas.prompt.array, experiment.set.mask(row).array)
    assert explorer.panel.objects.value == masks[-1] and explorer.panel.label == experiment.set.objects["label"].iloc[row]
    explorer.panel.objects.value = boxes[1]
    assert explorer.canvas.prompt == Box(*experiment.set.objects[["x0", "y0", "x1", "y1"]].iloc[boxes[1][0]])
    explorer.ask(Box(1, 1, 7, 9))
    assert explorer.panel.objects.value == ""


def test_previous_random_next_go_round(experiment, explorer):
    previous, random, following = explorer.panel.steps
    n = len(experiment.set.query_images)
    assert explorer.panel.place.value == f"1 of {n}"
    following.click()
    image_id = experiment.set.query_images["image_id"].iloc[1]
    first = experiment.set.queries[experiment.set.queries["image_id"] == image_id].iloc[0]
    assert explorer.panel.place.value == f"2 of {n}" and explorer.canvas.prompt == first["prompt"]
    previous.click()
    previous.click()
    assert explorer.panel.place.value == f"{n} of {n}"
    places = {random.click() or explorer.panel.place.value for _ in range(20)}
    assert len(places) > 2 and is_consistent(explorer)


def test_methods_are_one_to_four(explorer):
    buttons = explorer.buttons
    buttons["FA"].value = True
    buttons["Crop"].value = True
    assert explorer.state["methods"] == ["CBIR", "PHS", "FA", "Crop"] and is_consistent(explorer)
    buttons["Mask"].value = True
    assert not buttons["Mask"].value and explorer.state["methods"] == ["CBIR", "PHS", "FA", "Crop"] and is_consistent(explorer)
    assert explorer.canvas.message["error"] and "at most 4" in explorer.canvas.message["text"]
    buttons["CBIR"].value = False
    assert explorer.state["methods"] == ["PHS", "FA", "Crop"] and explorer.canvas.message["text"] == ""
    assert all(
        item["caption"].isdigit() for item in explorer.gallery.rows[0]["items"]
    )  # the new first has no changes
    buttons["FA"].value = buttons["Crop"].value = False
    buttons["PHS"].value = False
    assert buttons["PHS"].value and explorer.state["methods"] == ["PHS"] and is_consistent(explorer)
    assert "choose at least one" in explorer.canvas.message["text"]


def test_without_a_prompt_nothing_is_compared_with_a_first_that_waits(make, experiment):
    explorer = make(("PHS", "CBIR"))
    explorer.ask(picture=experiment.set.query_images["image_id"].iloc[2])
    assert len(explorer.results["PHS"]) == 0 and len(explorer.results["CBIR"]) == 10
    assert explorer.results["CBIR"]["before"].isna().all() and is_consistent(explorer)
    assert not any("▲" in item["caption"] or "▼" in item["caption"] for item in explorer.gallery.rows[1]["items"])


def test_an_own_photograph(experiment, explorer):
    """By code and as a browser uploads it; what is in the database may be a result then."""
    picture = experiment.set.open(experiment.set.database["image_id"].iloc[7])
    explorer.ask(Box(5, 5, 60, 60), picture=picture)
    assert explorer.results["CBIR"]["row"][0] == 7 and explorer.results["CBIR"]["score"][0] > 0.999
    assert explorer.panel.label == "" and len(explorer.results["PHS"]) == 5
    assert explorer.panel.place.value == "" and len(explorer.panel.objects.options) == 1
    explorer.query(0)
    file = io.BytesIO()
    picture.save(file, "PNG")
    content = {
        "op": "upload",
        "upload": "u",
        "view": "v",
        "n": 1,
        "name": "mine.png",
        "size": len(file.getvalue()),
        "count": 1,
        "index": 0,
    }
    explorer.canvas.receive(content, [file.getvalue()])
    assert explorer.canvas.label == "mine" and explorer.results["CBIR"]["row"][0] == 7
    assert len(explorer.results["PHS"]) == 0 and explorer.panel.label == "" and is_consistent(explorer)
    explorer.panel.label = explorer.panel.labels[0]  # said, but a network of drawings is no judge of a photograph
    assert explorer.panel.label == "" and explorer.results["CBIR"]["right"].isna().all()
    assert "knows drawings only" in explorer.panel.notices.text
    explorer.query(0)
    assert explorer.panel.label and explorer.results["CBIR"]["right"].notna().all() and not explorer.panel.notices.text


# ---- sets


def test_a_folder_of_photographs_without_labels(tmp_path, experiment, make):
    folder = tmp_path / "photographs"
    folder.mkdir()
    for i in range(8):
        experiment.set.open(experiment.set.database["image_id"].iloc[i]).save(folder / f"{i}.png")
    mine = load_set("folder", root=folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FOIR_CACHE", str(tmp_path / "cache"))
        explorer = make(corpus=Corpus(mine, experiment.model, progress=False), k=20)
    assert explorer.canvas.label == "picture 0.png" and len(explorer.results["CBIR"]) == 7
    assert 0 not in keys(explorer, 0)
    explorer.ask(Point(30, 30))
    assert len(explorer.results["PHS"]) == 7 and explorer.results["PHS"]["right"].isna().all()
    assert is_consistent(explorer) and explorer.panel.labels == [] and explorer.panel.objects.layout.display == "none"
    explorer.panel.steps[2].click()
    assert explorer.canvas.label == "picture 1.png"
    with pytest.raises(InputError, match="There is no query 0: folder has 0"):
        explorer.query(0)


def test_a_database_file_that_breaks_is_a_grey_thumbnail(tmp_path, experiment, make):
    images, paths = experiment.set.images.copy(), []
    for image_id in experiment.set.database["image_id"].iloc[:2]:
        paths.append(tmp_path / f"{image_id}.png")
        experiment.set.open(image_id).save(paths[-1])
        images["path"] = images["path"].where(images["image_id"] != image_id, str(paths[-1]))
    broken = RetrievalSet("broken", images, experiment.set.objects, experiment.set.queries, experiment.set.protocols)
    corpus = Corpus(broken, experiment.model, progress=False, cache=tmp_path / "cache")
    make(corpus=corpus).close()  # describes the database
    paths[0].unlink()
    paths[1].write_bytes(b"no picture")
    explorer = make(corpus=corpus, k=N)
    items = {item["key"]: item for item in explorer.gallery.rows[0]["items"]}
    assert "can't be shown: There is no picture at" in items[0]["alt"] and "can't be read" in items[1]["alt"]
    assert items[0]["image"] == items[1]["image"] != items[2]["image"] and "can't" not in items[2]["alt"]
    before = explorer.results, explorer.gallery.rows, explorer.canvas.label
    explorer.gallery.receive({"pick": 0})  # and it can't become the query
    assert explorer.canvas.message["error"] and "There is no picture at" in explorer.canvas.message["text"]
    assert (explorer.results, explorer.gallery.rows, explorer.canvas.label) == before


# ---- what goes wrong


def test_errors_leave_everything_as_it_was(experiment, explorer):
    explorer.query(2)
    before = (
        explorer.results,
        explorer.gallery.shown,
        explorer.canvas.prompt,
        explorer.canvas.label,
        explorer.panel.label,
    )
    wrong = [
        (lambda: explorer.ask(Box(500, 500, 600, 600)), "lies outside the"),
        (lambda: explorer.ask(Mask(np.ones((3, 3)))), "Mask is 3 x 3 pixels"),
        (lambda: explorer.ask("a dog"), "is none: give a Box"),
        (lambda: explorer.ask(picture="nowhere"), "has no image 'nowhere'"),
        (
            lambda: explorer.ask(Box(900, 900, 990, 990), picture=experiment.set.query_images["image_id"].iloc[3]),
            "lies outside",
        ),
        (lambda: explorer.query(10**6), "There is no query 1000000"),
        (lambda: explorer.query(-1), "There is no query -1"),
        (lambda: setattr(explorer, "methods", ("CBIR", "DINO")), "There is no retriever 'DINO'"),
    ]
    for work, sentence in wrong:
        with pytest.raises(InputError, match=sentence):
            work()
        assert sentence in explorer.canvas.message["text"] and explorer.canvas.message["error"]
        now = (
            explorer.results,
            explorer.gallery.shown,
            explorer.canvas.prompt,
            explorer.canvas.label,
            explorer.panel.label,
        )
        assert now == before and is_consistent(explorer)
    content = {"op": "upload", "upload": "u", "view": "v", "n": 1, "name": "x.jpg", "size": 9, "count": 1, "index": 0}
    explorer.canvas.receive(content, [b"not a jpg"])
    assert "x.jpg can't be read" in explorer.canvas.message["text"] and explorer.results is before[0]
    explorer.ask(Box(1, 1, 50, 50))
    assert explorer.canvas.message["text"] == "" and explorer.results is not before[0]


def test_a_search_that_fails_puts_the_control_back(explorer, monkeypatch):
    before = explorer.results, explorer.gallery.shown

    def fails(*_, **__):
        raise InputError("Shard 7 has gone: build it again.")

    with monkeypatch.context() as patch:
        patch.setattr(PHS, "score", fails)
        explorer.options.h_on.value = 2
        assert explorer.options.h_on.value == 5 and explorer.canvas.message["text"].startswith("Shard 7")
        patch.setattr(type(parse("retriever", "FA")), "score", fails)
        explorer.buttons["FA"].value = True
        assert explorer.state["methods"] == ["CBIR", "PHS"] and not explorer.buttons["FA"].value
        patch.setattr(CBIR, "score", fails)
        with pytest.raises(InputError, match="Shard 7"):
            explorer.ask(Box(3, 3, 40, 40))
        assert (explorer.results, explorer.gallery.shown) == before
    explorer.options.h_on.value = 2
    assert explorer.canvas.message["text"] == "" and explorer.results is not before[0] and is_consistent(explorer)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"methods": ()}, "No method is chosen"),
        ({"methods": ("CBIR", "Mask", "Crop", "FA", "PHS")}, "5 methods don't fit side by side"),
        ({"methods": ("CBIR", "CBIR")}, "each once"),
        ({"methods": "PSH"}, "no retriever 'PSH'"),
        ({"methods": 7}, "7 is no retriever"),
        ({"methods": "PHS(h_on=13)"}, "mini-vit has 12 heads, fewer than h_on=13"),
        ({"methods": "GeM"}, "GeM can't be had here: mini-vit has no feature maps"),
        ({"k": 0}, "k=0 must be a whole number"),
    ],
)
def test_wrong_arguments_are_named_and_leave_no_widgets(make, options, sentence, open_widgets):
    before = len(open_widgets())
    with pytest.raises(InputError, match=sentence):
        make(**options)
    assert len(open_widgets()) == before


def test_a_method_of_a_plug_in_that_fails_is_one_sentence(explorer):
    class Odd(CBIR):
        def score(self, corpus, query, database, k):
            return {"zero": 1 / 0}.get, None if self is None else [[float("nan")] * k]

    class NaN(CBIR):
        def score(self, corpus, query, database, k):
            return np.full((1, k), np.nan), np.arange(k)[None]

    shown = explorer.results
    for method, sentence in ((Odd(), "CBIR fails while it scores .ZeroDivisionError"), (NaN(), "holds a NaN")):
        with pytest.raises(InputError, match=sentence):
            explorer.methods = (method, "PHS")
        assert explorer.state["error"] and explorer.results is shown


# ---- what is left behind


def test_close_leaves_nothing(experiment, make, open_widgets):
    make().close()
    gc.collect()
    before = len(open_widgets())
    explorer = RetrievalExplorer(experiment.corpus)
    explorer.ask(Box(2, 2, 50, 50))
    explorer.gallery.receive({"pick": 3})
    parts = [weakref.ref(p) for p in (explorer, explorer.canvas, explorer.gallery, explorer.comparison, explorer.options.h_on)]
    thumbs = explorer.comparison.thumbs
    assert len(open_widgets()) > before + 20
    explorer.close()
    explorer.close()
    assert len(open_widgets()) == before
    with pytest.raises(RuntimeError):  # its threads are gone
        thumbs.get(experiment.set.database["image_id"].iloc[:1])
    del explorer
    gc.collect()
    assert [part() for part in parts] == [None] * len(parts)


def test_a_cell_that_runs_again_closes_the_widgets_of_its_earlier_run(make, monkeypatch, open_widgets):
    monkeypatch.setattr(live, "current_run", lambda: ("cell", "first"))
    old = make()
    size = len(open_widgets())
    monkeypatch.setattr(live, "current_run", lambda: ("cell", "second"))
    new = make()
    assert old.comm is None and old.canvas.comm is None and old.gallery.comm is None and old.options.h_on.comm is None
    assert new.comm is not None and new.canvas.comm is not None and len(open_widgets()) == size
    shown = old.gallery.shown
    new.ask(Box(1, 1, 30, 30))
    assert old.gallery.shown == shown and is_consistent(new)


def test_a_closed_explorer_says_so(explorer):
    explorer.close()
    for work in (
        lambda: explorer.query(0),
        lambda: explorer.ask(Box(2, 2, 50, 50)),
        lambda: setattr(explorer, "methods", "FA"),
    ):
        with pytest.raises(InputError, match="was closed .* run the cells"):
            work()


def test_it_says_what_it_is_in_one_line(explorer):
    explorer.ask(Box(1, 2, 30, 40))
    said = repr(explorer)
    assert "mini-vit, CBIR, PHS" in said and "Box (1, 2, 30, 40)" in said and "\n" not in said and len(said) < 160
    assert isinstance(explorer, ipywidgets.VBox)


# ---- thumbnails


def test_thumbs_are_small_ordered_and_kept(experiment, monkeypatch):
    opened = []

    class Pictures:
        def open(self, image_id, longest=None):
            opened.append(image_id)
            return experiment.set.open(image_id, longest)

    ids = experiment.set.database["image_id"].tolist()
    thumbs = Thumbs(Pictures(), longest=40, keep=3)
    got = thumbs.get([ids[2], ids[0], ids[2]])
    assert got[0] is got[2] and sorted(opened) == sorted([ids[0], ids[2]])
    for thumb, image_id in zip(got, (ids[2], ids[0])):
        picture = Image.open(io.BytesIO(thumb.image))
        whole = experiment.set.open(image_id)
        assert max(picture.size) == 40 and picture.format == "JPEG" and thumb.problem == ""
        assert abs(np.asarray(picture, float) - np.asarray(whole.resize(picture.size), float)).mean() < 12
    thumbs.get([ids[2]])
    thumbs.get([ids[1], ids[3]])  # ids[0] is the one not shown for longest
    opened.clear()
    thumbs.get([ids[2], ids[1], ids[3]])
    assert opened == []
    assert thumbs.get([ids[0]])[0] == got[1] and opened == [ids[0]]
    assert len(thumbs.get(ids[:9])) == 9 and len(thumbs) == 3  # more at once than are kept
    thumbs.close()
    assert max(Image.open(io.BytesIO(encoded(Image.new("RGBA", (300, 100)), 50))).size) == 50
    with pytest.raises(InputError, match="Thumbnails of 0 pixels"):
        Thumbs(experiment.set, longest=0)


def test_a_comparison_needs_no_page(experiment):
    comparison, query = Comparison(experiment.corpus), experiment.set.queries.iloc[1]
    picture = experiment.set.open(query["image_id"])
    answers = comparison.answers(picture, query["prompt"], (CBIR(), PHS()), query["image_id"])
    assert np.allclose(answers["PHS"].scores[:3], experiment.ranking("PHS", k=3).scores[1], atol=2e-6)
    assert list(answers) == ["CBIR", "PHS"] and all(len(answer.ids) == N for answer in answers.values())
    without = comparison.answers(picture, None, (CBIR(), PHS()))
    assert "no prompt" in without["PHS"].lacks and not without["CBIR"].lacks
    comparison.close()
