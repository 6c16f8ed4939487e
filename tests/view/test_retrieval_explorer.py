"""The retrieval explorer shows what the batch path computes, and what goes wrong leaves it as it was."""

import gc
import io
import weakref

import ipywidgets
import numpy as np
import pandas as pd
import pytest
from foir_lib.search.asking import Found
from ipywidgets.widgets.widget import _instances
from PIL import Image

from foir_lib import Box, Mask, Point, load_model, load_set
from foir_lib.bench.experiment import Experiment
from foir_lib.data import Protocol, RetrievalSet
from foir_lib.errors import InputError
from foir_lib.view.explorers import rows as retrieval_rows
from foir_lib.view.explorers.comparison import Comparison
from foir_lib.view.explorers.retrieval import RetrievalExplorer
from foir_lib.view.widgets import live
from foir_lib.view.widgets.thumbs import Thumb, Thumbs, jpeg

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
    made = []

    def make(retrieval_set=experiment.set, *args, **options):
        options = {"features": experiment.database(), **options}
        made.append(RetrievalExplorer(retrieval_set, experiment.model, *args, **options))
        return made[-1]

    yield make
    for explorer in made:
        explorer.close()


@pytest.fixture
def explorer(make):
    return make(k=5)


def keys(explorer, row):
    return [item["key"] for item in explorer.gallery.rows[row]["items"]]


def is_consistent(explorer):
    """The gallery shows exactly what ``results`` say."""
    assert list(explorer.results) == [row["title"] for row in explorer.gallery.rows] == list(explorer.methods)
    for row, table in zip(explorer.gallery.rows, explorer.results.values(), strict=True):
        frames = [{None: "", True: "right", False: "wrong"}[right] for right in table["right"]]
        assert [item["key"] for item in row["items"]] == table["row"].tolist()
        assert [item["frame"] for item in row["items"]] == frames
        assert all(
            f"{rank} · {score:.3f}" in item["caption"]
            for item, rank, score in zip(row["items"], table["rank"], table["score"])
        )
    return True


# ---- the same as in batches


@pytest.mark.parametrize("methods", [("CBIR", "PHS", "FA"), ("PHS (query-db)", "FA+PHS", "Mask", "Crop")])
def test_queries_of_the_set_get_the_ranking_of_the_experiment(experiment, make, methods):
    explorer = make(experiment.set, methods, k=10, h_on=3)
    relevance = {}
    for method in methods:
        mode = {"mode": "query-db"} if "query-db" in method else {}
        options = {} if method in ("CBIR", "FA", "Mask", "Crop") else {"h_on": 3}
        relevance[method] = experiment.ranking(method.split(" (")[0], k=N, **mode, **options)
    for query in range(0, len(experiment.set.queries), 4):
        explorer.query(query)
        for method, ranking in relevance.items():
            table = explorer.results[method]
            assert np.allclose(table["score"], ranking.scores[query, :10], atol=2e-6)
            gaps = np.abs(np.diff(ranking.scores[query, :11])) > 1e-5  # near ties may change places
            sure = np.r_[True, gaps[:-1]] & gaps
            assert (table["row"].to_numpy()[sure] == ranking.ids[query, :10][sure]).all() and sure.any()
            right = experiment.set.protocols["contains"].relevance(ranking.ids)[query]
            assert table["right"].tolist() == [right[ranking.ids[query].tolist().index(row)] for row in table["row"]]
            assert (table["image_id"].to_numpy() == explorer.set.database["image_id"].to_numpy()[table["row"]]).all()
            first = relevance[methods[0]].ids[query].tolist()
            assert (table["before"] == [first.index(row) + 1 for row in explorer.results[method]["row"]])[sure].all()
        assert is_consistent(explorer)
        assert explorer.label.value == experiment.set.queries["label"].iloc[query]


def test_heads_kept_reach_the_answer(experiment, explorer):
    explorer.query(3)
    five = explorer.results["PHS"]
    explorer.h_on.value = 1
    ranking = experiment.ranking("PHS", k=5, h_on=1)
    assert np.allclose(explorer.results["PHS"]["score"], ranking.scores[3], atol=2e-6)
    assert not five.equals(explorer.results["PHS"]) and is_consistent(explorer)
    head = int(np.flatnonzero(experiment.heads(h_on=1)[0][3])[0])
    assert f" · head {head} · " in explorer.gallery.rows[1]["note"]
    explorer.h_on.value = explorer.h_on.max  # all heads on is plain retrieval
    assert explorer.results["PHS"]["row"].tolist() == explorer.results["CBIR"]["row"].tolist()
    assert explorer.h_on.max == experiment.model.n_heads


def test_only_what_changed_is_computed(explorer, monkeypatch):
    asked = []
    rank = type(explorer._comparison._database).rank
    monkeypatch.setattr(
        type(explorer._comparison._database),
        "rank",
        lambda self, s, method, *a, **o: asked.append(method) or rank(self, s, method, *a, **o),
    )
    explorer.k.value = 10
    explorer.label.value = explorer.label.options[1][1]
    assert asked == [] and len(explorer.results["PHS"]) == 10
    explorer.methods = ("PHS", "FA", "CBIR")
    assert asked == ["FA"]
    explorer.ask(Box(1, 1, 40, 40))
    assert asked == ["FA", "PHS", "FA", "CBIR"] and is_consistent(explorer)


# ---- rows, by hand


def found(*ids):
    return Found(np.array(ids), np.linspace(0.9, 0.1, len(ids)), None)


def test_rank_change_by_hand():
    ids = np.array(["a", "b", "c", "d", "e"])
    first, second = found(3, 1, 4, 0, 2), found(1, 3, 0, 4, 2)
    table = retrieval_rows.table(second, ids, 4, None, first)
    assert table["image_id"].tolist() == ["b", "d", "a", "e"] and table["rank"].tolist() == [1, 2, 3, 4]
    assert table["before"].tolist() == [2, 1, 4, 3] and table["right"].tolist() == [None] * 4
    row = retrieval_rows.row("PHS", table, [Thumb(b"x")] * 4, "CBIR", np.array([1, 0, 0, 1, 1], bool), 3.4)
    assert [item["caption"] for item in row["items"]] == [
        "1 · 0.900 ▲1",
        "2 · 0.700 ▼1",
        "3 · 0.500 ▲1",
        "4 · 0.300 ▼1",
    ]
    assert row["note"] == "heads 0, 3, 4 · 3 ms"
    assert row["items"][0]["alt"] == "rank 1, score 0.900, 1 place higher than with CBIR, picture b"
    own = retrieval_rows.row("CBIR", retrieval_rows.table(first, ids, 2, None, first), [Thumb(b"x")] * 2)
    assert [item["caption"] for item in own["items"]] == ["1 · 0.900", "2 · 0.700"]
    far = retrieval_rows.table(found(2, 0, 1), ids, 1, None, found(0, 1, 2))
    assert retrieval_rows.change(far["before"][0], 1) == "▲2" and retrieval_rows.change(4, 4) == "="
    unknown = retrieval_rows.table(second, ids, 3)
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
    assert retrieval_rows.verdicts(a_set({}), "dog") is None
    table = retrieval_rows.table(found(3, 2, 1, 0), np.arange(4), 4, retrieval_rows.verdicts(known, "dog"))
    assert table["right"].tolist() == [None, True, False, True]
    assert retrieval_rows.note(table) == "2 of 3 right"
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
    assert explorer.label.value == queries["label"].iloc[0]
    notes = [row["note"] for row in explorer.gallery.rows]
    other = next(label for _, label in explorer.label.options if label not in ("", queries["label"].iloc[0]))
    explorer.label.value = other
    right = set(experiment.set.protocols["contains"].positive[other])
    assert explorer.results["CBIR"]["right"].tolist() == [row in right for row in explorer.results["CBIR"]["row"]]
    explorer.k.value = 10  # nothing else lets go of it
    assert explorer.label.value == other
    explorer.label.value = ""
    assert explorer.results["PHS"]["right"].isna().all() and "right" not in explorer.gallery.rows[0]["note"]
    explorer.k.value = 5
    explorer.ask(Box(0, 0, 1.5, 1.5))
    explorer.query(0)
    assert explorer.label.value == queries["label"].iloc[0]
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
    assert explorer.label.value == mine["label"][area[holds].idxmin()]


def test_a_result_that_is_picked_becomes_the_query(experiment, explorer):
    row = keys(explorer, 1)[2]
    explorer.gallery._picked(None, {"pick": row}, [])
    image_id = experiment.set.database["image_id"].iloc[row]
    assert explorer.canvas.label == f"picture {image_id}" and explorer.canvas.prompt is None
    assert row not in explorer.results["CBIR"]["row"].tolist()
    assert len(explorer.results["PHS"]) == 0 and is_consistent(explorer)
    assert explorer.gallery.rows[1]["empty"].startswith("Draw a prompt") and not explorer.canvas.message["error"]
    box = experiment.set.objects.loc[experiment.set.objects["image_id"] == image_id, ["x0", "y0", "x1", "y1"]].iloc[0]
    explorer.k.value = 20
    explorer.ask(Box(*box))
    for table in explorer.results.values():
        assert row not in table["row"].tolist() and len(table) == 20
    picture = experiment.set.open(image_id)
    assert np.array_equal(np.asarray(explorer.canvas.picture), np.asarray(picture))


def test_an_annotated_object_sets_the_prompt(experiment, explorer):
    explorer.query(0)
    names = dict(explorer.objects.options)
    boxes = [value for name, value in names.items() if name.endswith("(box)")]
    masks = [value for name, value in names.items() if name.endswith("(mask)")]
    assert explorer.objects.value in boxes and len(boxes) == len(masks) == experiment.set.n_objects(
        experiment.set.queries["image_id"].iloc[0]
    )
    explorer.objects.value = masks[-1]
    row = masks[-1][0]
    assert np.array_equal(explorer.canvas.prompt.array, experiment.set.mask(row).array)
    assert explorer.objects.value == masks[-1] and explorer.label.value == experiment.set.objects["label"].iloc[row]
    explorer.objects.value = boxes[1]
    assert explorer.canvas.prompt == Box(*experiment.set.objects[["x0", "y0", "x1", "y1"]].iloc[boxes[1][0]])
    explorer.ask(Box(1, 1, 7, 9))
    assert explorer.objects.value == ""


def test_previous_random_next_go_round(experiment, explorer):
    previous, random, following = explorer._controls.steps
    n = len(experiment.set.query_images)
    assert explorer._controls.place.value == f"1 of {n}"
    following.click()
    image_id = experiment.set.query_images["image_id"].iloc[1]
    first = experiment.set.queries[experiment.set.queries["image_id"] == image_id].iloc[0]
    assert explorer._controls.place.value == f"2 of {n}" and explorer.canvas.prompt == first["prompt"]
    previous.click()
    previous.click()
    assert explorer._controls.place.value == f"{n} of {n}"
    seen = {random.click() or explorer._controls.place.value for _ in range(20)}
    assert len(seen) > 2 and is_consistent(explorer)


def test_methods_are_one_to_four(explorer):
    buttons = explorer._controls.methods
    buttons["FA"].value = True
    buttons["Crop"].value = True
    assert explorer.methods == ("CBIR", "PHS", "FA", "Crop") and is_consistent(explorer)
    buttons["Mask"].value = True
    assert not buttons["Mask"].value and explorer.methods == ("CBIR", "PHS", "FA", "Crop") and is_consistent(explorer)
    assert explorer.canvas.message["error"] and "at most 4" in explorer.canvas.message["text"]
    buttons["CBIR"].value = False
    assert explorer.methods == ("PHS", "FA", "Crop") and explorer.canvas.message["text"] == ""
    assert all(
        item["caption"].count(" ") == 2 for item in explorer.gallery.rows[0]["items"]
    )  # the new first has no changes
    buttons["FA"].value = buttons["Crop"].value = False
    buttons["PHS"].value = False
    assert buttons["PHS"].value and explorer.methods == ("PHS",) and is_consistent(explorer)
    assert "choose at least one" in explorer.canvas.message["text"]


def test_without_a_prompt_nothing_is_compared_with_a_first_that_waits(make, experiment):
    explorer = make(experiment.set, ("PHS", "CBIR"))
    explorer.ask(picture=experiment.set.query_images["image_id"].iloc[2])
    assert len(explorer.results["PHS"]) == 0 and len(explorer.results["CBIR"]) == 10
    assert explorer.results["CBIR"]["before"].isna().all() and is_consistent(explorer)
    assert not any("▲" in item["caption"] or "▼" in item["caption"] for item in explorer.gallery.rows[1]["items"])


def test_an_own_photograph(experiment, explorer):
    """By code and as a browser uploads it; what is in the database may be found then."""
    picture = experiment.set.open(experiment.set.database["image_id"].iloc[7])
    explorer.ask(Box(5, 5, 60, 60), picture=picture)
    assert explorer.results["CBIR"]["row"][0] == 7 and explorer.results["CBIR"]["score"][0] > 0.999
    assert explorer.label.value == "" and len(explorer.results["PHS"]) == 5
    assert explorer._controls.place.value == "" and len(explorer.objects.options) == 1
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
    explorer.canvas._receive(None, content, [file.getvalue()])
    assert explorer.canvas.label == "mine" and explorer.results["CBIR"]["row"][0] == 7
    assert len(explorer.results["PHS"]) == 0 and explorer.label.value == "" and is_consistent(explorer)
    explorer.label.value = explorer.label.options[1][1]  # what is looked for may be said
    assert explorer.results["CBIR"]["right"].notna().all()
    said = explorer.label.value
    explorer.ask(Box(5, 5, 60, 60))
    assert explorer.label.value == said and explorer.results["PHS"]["right"].notna().all()  # and holds for its prompts
    explorer.ask(Box(5, 5, 60, 60), picture=picture)
    assert explorer.label.value == ""


def test_a_prompt_that_is_no_more_selected_still_asks(explorer):
    explorer.ask(Box(2, 2, 50, 50))
    explorer.canvas.edit("select", -1)
    explorer.k.value = 10
    shown = explorer.results["PHS"]["row"].tolist()
    explorer.ask(Box(2, 2, 50, 50))
    assert len(shown) == 10 and explorer.results["PHS"]["row"].tolist() == shown


# ---- sets


def test_a_folder_of_photographs_without_labels(tmp_path, experiment, make):
    folder = tmp_path / "photographs"
    folder.mkdir()
    for i in range(8):
        experiment.set.open(experiment.set.database["image_id"].iloc[i]).save(folder / f"{i}.png")
    mine = load_set("folder", root=folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FOIR_CACHE", str(tmp_path / "cache"))
        explorer = make(mine, features=None, progress=False, k=20)
    assert explorer.canvas.label == "picture 0.png" and len(explorer.results["CBIR"]) == 7
    assert 0 not in keys(explorer, 0)
    explorer.ask(Point(30, 30))
    assert len(explorer.results["PHS"]) == 7 and explorer.results["PHS"]["right"].isna().all()
    assert is_consistent(explorer) and explorer.label.layout.display == explorer.objects.layout.display == "none"
    explorer._controls.steps[2].click()
    assert explorer.canvas.label == "picture 1.png"
    with pytest.raises(InputError, match="There is no query 0: folder has 0"):
        explorer.query(0)


def test_a_database_file_that_breaks_is_a_grey_thumbnail(tmp_path, experiment, make):
    images = experiment.set.images.copy()
    lost = experiment.set.database["image_id"].iloc[:2].tolist()
    damaged = tmp_path / "damaged.png"
    damaged.write_bytes(b"no picture")
    images["path"] = images["path"].where(images["image_id"] != lost[0], str(tmp_path / "gone.png"))
    images["path"] = images["path"].where(images["image_id"] != lost[1], str(damaged))
    broken = RetrievalSet("broken", images, experiment.set.objects, experiment.set.queries, experiment.set.protocols)
    explorer = make(broken, k=N)
    items = {item["key"]: item for item in explorer.gallery.rows[0]["items"]}
    assert "can't be shown: There is no picture at" in items[0]["alt"] and "can't be read" in items[1]["alt"]
    assert items[0]["image"] == items[1]["image"] != items[2]["image"] and "can't" not in items[2]["alt"]
    before = explorer.results, explorer.gallery.rows, explorer.canvas.label
    explorer.gallery._picked(None, {"pick": 0}, [])  # and it can't become the query
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
        explorer.label.value,
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
        (lambda: setattr(explorer, "methods", ("CBIR", "DINO")), "'DINO' is unknown: choose from CBIR"),
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
            explorer.label.value,
        )
        assert now == before and is_consistent(explorer)
    content = {"op": "upload", "upload": "u", "view": "v", "n": 1, "name": "x.jpg", "size": 9, "count": 1, "index": 0}
    explorer.canvas._receive(None, content, [b"not a jpg"])
    assert "x.jpg can't be read" in explorer.canvas.message["text"] and explorer.results is before[0]
    explorer.ask(Box(1, 1, 50, 50))
    assert explorer.canvas.message["text"] == "" and explorer.results is not before[0]


def test_a_search_that_fails_puts_the_control_back(explorer, monkeypatch):
    before = explorer.results, explorer.gallery.shown

    def fails(*_, **__):
        raise InputError("Shard 7 has gone: build it again.")

    with monkeypatch.context() as patch:
        patch.setattr(type(explorer._comparison._database), "rank", fails)
        explorer.h_on.value = 2
        assert explorer.h_on.value == 5 and explorer.canvas.message["text"].startswith("Shard 7")
        explorer._controls.methods["FA"].value = True
        assert explorer.methods == ("CBIR", "PHS") and not explorer._controls.methods["FA"].value
        with pytest.raises(InputError, match="Shard 7"):
            explorer.ask(Box(3, 3, 40, 40))
        assert (explorer.results, explorer.gallery.shown) == before
    explorer.h_on.value = 2
    assert explorer.canvas.message["text"] == "" and explorer.results is not before[0] and is_consistent(explorer)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"methods": ()}, "No method is chosen"),
        ({"methods": ("CBIR", "Mask", "Crop", "FA", "PHS")}, "5 methods don't fit side by side"),
        ({"methods": ("CBIR", "CBIR")}, "each once"),
        ({"methods": "PSH"}, "'PSH' is unknown"),
        ({"k": 0}, "k=0 must be a whole number"),
        ({"h_on": 2.5}, "h_on=2.5 must be a whole number"),
    ],
)
def test_wrong_arguments_are_named_and_leave_no_widgets(make, options, sentence):
    before = len(_instances)
    with pytest.raises(InputError, match=sentence):
        make(**options)
    assert len(_instances) == before


def test_features_of_another_set_are_refused(experiment, make):
    few = load_set("mini-focus", seed=6, n_query=6, n_database=12)
    with pytest.raises(InputError, match="The features hold 40 pictures, the database of .* 12: make them"):
        make(few)


def test_a_model_with_few_heads_starts_with_half_of_them(experiment, make, monkeypatch):
    assert make(h_on=100).h_on.value == experiment.model.n_heads // 2
    assert make(methods="PHS", k=7, h_on=12).k.value == 7


# ---- what is left behind


def test_close_leaves_nothing(experiment, make):
    make().close()
    gc.collect()
    before = len(_instances)
    explorer = RetrievalExplorer(experiment.set, experiment.model, features=experiment.database())
    explorer.ask(Box(2, 2, 50, 50))
    explorer.gallery._picked(None, {"pick": 3}, [])
    parts = [weakref.ref(p) for p in (explorer, explorer.canvas, explorer.gallery, explorer._comparison, explorer.h_on)]
    pool = explorer._comparison._thumbs._pool
    assert len(_instances) > before + 20
    explorer.close()
    explorer.close()
    assert len(_instances) == before and pool._shutdown
    del explorer
    gc.collect()
    assert [part() for part in parts] == [None] * len(parts)


def test_a_cell_that_runs_again_closes_what_it_had_made(make, monkeypatch):
    monkeypatch.setattr(live, "_run", lambda: ("cell", "first"))
    old = make()
    size = len(_instances)
    monkeypatch.setattr(live, "_run", lambda: ("cell", "second"))
    new = make()
    assert old.comm is None and old.canvas.comm is None and old.gallery.comm is None and old.h_on.comm is None
    assert new.comm is not None and new.canvas.comm is not None and len(_instances) == size
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
    thumbs.get([ids[1], ids[3]])  # ids[0] is the one not asked for longest
    opened.clear()
    thumbs.get([ids[2], ids[1], ids[3]])
    assert opened == []
    assert thumbs.get([ids[0]])[0] == got[1] and opened == [ids[0]]
    assert len(thumbs.get(ids[:9])) == 9 and len(thumbs._kept) == 3  # more at once than are kept
    thumbs.close()
    assert max(Image.open(io.BytesIO(jpeg(Image.new("RGBA", (300, 100)), 50))).size) == 50
    with pytest.raises(InputError, match="Thumbnails of 0 pixels"):
        Thumbs(experiment.set, longest=0)


def test_a_comparison_needs_no_page(experiment):
    from foir_lib.search.asking import Sight

    from foir_lib.view.explorers.comparison import Asked

    comparison = Comparison(experiment.set, experiment.model, experiment.database())
    query = experiment.set.queries.iloc[1]
    sight, asked = Sight(experiment.model, experiment.set.open(query["image_id"])), Asked(1, query["prompt"], 5, "sum")
    tables, rows = comparison.answer(sight, asked, ("CBIR", "PHS"), query["label"], 3)
    assert np.allclose(tables["PHS"]["score"], experiment.ranking("PHS", k=3).scores[1], atol=2e-6)
    assert [row["title"] for row in rows] == ["CBIR", "PHS"] and all(len(row["items"]) == 3 for row in rows)
    comparison.close()
