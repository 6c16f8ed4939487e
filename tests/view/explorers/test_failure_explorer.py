"""The failure explorer without a browser: gains against a derivation by hand, filters, pages, clicks."""

import io
import json
import re
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from matplotlib.figure import Figure
from PIL import Image

from foir_lib import load_model, load_set
from foir_lib.bench import metrics
from foir_lib.bench.experiment import Experiment
from foir_lib.errors import InputError
from foir_lib.text import percent, points
from foir_lib.view.explorers.failures import EVERY, GAIN, LOSS, PAGE, FailureExplorer
from foir_lib.view.figures.gains import bars, gains

K = 10
PHS, QUERY_DB = "PHS(h_on=3)", "PHS(query_db=True)"


@pytest.fixture(scope="module")
def experiment(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FOIR_CACHE", str(tmp_path_factory.mktemp("cache")))
        small = load_set("mini-focus", seed=5, n_query=12, n_database=40)
        yield Experiment(small, load_model("mini-vit", device="cpu"), batch_size=7, progress=False)


@pytest.fixture
def explorer(experiment):
    explorer = FailureExplorer(experiment, a=PHS, k=K)
    yield explorer
    explorer.close()


def by_hand(experiment, method, metric="precision"):
    """P@K or AP@K of every query from its ranking, one query at a time."""
    ranking, rs = experiment.ranking(method, k=K), experiment.set
    ids = rs.database["image_id"].to_numpy()
    scores = []
    for ranked, label in zip(ranking.ids, rs.queries["label"], strict=True):
        holds = set(rs.objects["image_id"][rs.objects["label"] == label])
        right = np.array([ids[row] in holds for row in ranked])
        at = [right[: n + 1].mean() for n in range(K) if right[n]]
        scores.append(metrics.precision_at_k(right, K) if metric == "precision" else np.mean(at) if at else 0)
    return np.array(scores)


def items(explorer):
    return explorer.gallery.rows[0]["items"]


def words(explorer):
    return re.sub("<[^>]*>", " ", explorer.line.value)


@pytest.mark.parametrize("metric", ["precision", "average_precision"])
def test_gains_are_differences_of_two_rankings(explorer, experiment, metric):
    explorer.metric.value = metric
    assert explorer.table.columns.tolist() == ["query", "image_id", "label", PHS, "CBIR", "gain", "size", "n_objects"]
    a, b = by_hand(experiment, PHS, metric), by_hand(experiment, "CBIR", metric)
    assert np.allclose(explorer.table[PHS], a) and np.allclose(explorer.table["CBIR"], b)
    assert np.allclose(explorer.table["gain"], a - b) and explorer.table["gain"].nunique() > 3
    assert explorer.table["query"].tolist() == list(range(len(experiment)))


def test_sizes_and_counts_are_those_of_the_picture(explorer, experiment):
    rs = experiment.set
    for row in explorer.table.sample(8, random_state=0).itertuples():
        query = rs.queries.iloc[row.query]
        picture = rs.open(query["image_id"])
        box = query["prompt"]
        assert row.size == pytest.approx((box.x1 - box.x0) * (box.y1 - box.y0) / (picture.width * picture.height))
        assert row.n_objects == (rs.objects["image_id"] == query["image_id"]).sum()
        assert (row.label, row.image_id) == (query["label"], query["image_id"])


def test_other_methods(explorer, experiment):
    explorer.a.value = QUERY_DB
    assert np.allclose(explorer.table[QUERY_DB], by_hand(experiment, QUERY_DB))
    explorer.b.value = "Crop"
    assert np.allclose(explorer.table["gain"], explorer.table[QUERY_DB] - by_hand(experiment, "Crop"))
    assert "Crop → PHS(query_db=True)" in explorer.gallery.rows[0]["title"]


def test_a_method_is_scored_once(explorer, experiment, monkeypatch):
    explorer.b.value = "FA"
    monkeypatch.setattr(experiment, "score", lambda *a, **o: pytest.fail("scored again"))
    explorer.b.value = "CBIR"
    explorer.metric.value = "average_precision"
    explorer.order.value = GAIN


def test_the_same_method_twice_swaps_them(explorer):
    before = explorer.table["gain"]
    explorer.a.value = "CBIR"
    assert (explorer.a.value, explorer.b.value) == ("CBIR", PHS)
    assert np.allclose(explorer.table["gain"], -before)


@pytest.mark.parametrize("error", [InputError("Mask can't be scored here: choose another."), ZeroDivisionError("zero")])
def test_a_method_that_cannot_be_scored_leaves_all_as_it_was(explorer, experiment, monkeypatch, error):
    table, line = explorer.table, explorer.line.value

    def refuse(*a, **o):
        raise error

    monkeypatch.setattr(experiment, "score", refuse)
    if isinstance(error, InputError):
        explorer.b.value = "Mask"
        assert explorer.gallery.message == str(error)
    else:
        with pytest.raises(ZeroDivisionError):
            explorer.b.value = "Mask"
    assert (explorer.a.value, explorer.b.value) == (PHS, "CBIR")
    assert explorer.table is table and explorer.line.value == line


@pytest.mark.parametrize(("order", "sign"), [(LOSS, 1), (GAIN, -1)])
def test_sorted_by_loss_or_gain(explorer, order, sign):
    explorer.order.value = order
    assert (np.diff(sign * explorer.shown["gain"]) >= 0).all() and len(explorer.shown) == len(explorer.table)
    for _, tied in explorer.shown.groupby("gain"):
        assert tied["query"].is_monotonic_increasing
    assert [item["key"] for item in items(explorer)] == explorer.shown["query"].tolist()[:PAGE]


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_filters_leave_what_they_say(explorer, data):
    table = explorer.table
    label = data.draw(st.sampled_from([EVERY, *sorted(table["label"].unique())]))
    top = explorer.size.max
    low, high = sorted(data.draw(st.tuples(*2 * [st.floats(0, top)])))
    few, many = sorted(data.draw(st.tuples(*2 * [st.integers(0, explorer.n_objects.max)])))
    explorer.label.value, explorer.size.value, explorer.n_objects.value = label, (low, high), (few, many)
    low, high = explorer.size.value  # as the slider took it
    want = [
        q
        for q, (name, size, n) in enumerate(zip(table["label"], table["size"], table["n_objects"], strict=True))
        if label in (EVERY, name) and low / 100 <= size <= high / 100 and few <= n <= many
    ]
    assert sorted(explorer.shown["query"]) == want
    assert words(explorer).strip().startswith(f"Gain of PHS(h_on=3) over CBIR in points of P@{K}.")
    assert f" {len(want)} of {len(table)} " in words(explorer)
    assert isinstance(explorer.figure(), Figure)
    explorer.label.value, explorer.size.value, explorer.n_objects.value = EVERY, (0, top), (0, explorer.n_objects.max)
    assert len(explorer.shown) == len(table)


def test_nothing_left_is_said_in_words(explorer):
    explorer.size.value = (0, 0)
    assert not len(explorer.shown) and not items(explorer)
    assert "No query" in explorer.gallery.rows[0]["empty"] and "0 of" in words(explorer)
    assert explorer.previous.disabled and explorer.next.disabled
    assert "none passes" in explorer.figure().get_suptitle()


def test_the_line_says_the_means_of_the_tables(explorer, experiment):
    explorer.label.value = explorer.table["label"].mode()[0]
    shown, every = words(explorer).split("All")
    for text, table in ((shown, explorer.shown), (every, explorer.table)):
        mean = re.search(r"([+−][\d.]+) on average", text)[1].replace("−", "-")
        assert float(mean) == pytest.approx(100 * table["gain"].mean(), abs=0.051)
        shares = [float(n) for n in re.search(r"([\d.]+) % gain, ([\d.]+) % lose, ([\d.]+) % tie", text).groups()]
        want = [(table["gain"] > 0).mean(), (table["gain"] < 0).mean(), (table["gain"] == 0).mean()]
        assert np.allclose(shares, 100 * np.array(want), atol=0.051)
    means = [*(experiment.score(name, k=K)["contains"].mp for name in ("CBIR", PHS))]
    assert f"{percent(means[0])} → {percent(means[1])}" in every and "MP@10" in every
    explorer.metric.value = "average_precision"
    assert f"→ {percent(experiment.score(PHS, k=K)['contains'].map)}" in words(explorer) and "MAP@10" in words(explorer)


def test_pages(explorer):
    n, keys = len(explorer.shown), []
    assert n > PAGE and explorer.previous.disabled and not explorer.next.disabled
    while True:
        keys += [item["key"] for item in items(explorer)]
        if explorer.next.disabled:
            break
        explorer.next.click()
    assert keys == explorer.shown["query"].tolist() and f"to {n} of {n}" in explorer.gallery.rows[0]["note"]
    explorer.previous.click()
    assert not explorer.next.disabled
    explorer.order.value = GAIN  # another list begins at its start
    assert explorer.previous.disabled and items(explorer)[0]["key"] == explorer.shown["query"].iloc[0]


def test_items_say_what_happened(explorer):
    verdicts = {1: "right", -1: "wrong", 0: ""}
    for order in (LOSS, GAIN):
        explorer.order.value = order
        for item, row in zip(items(explorer), explorer.shown.to_dict("records"), strict=False):
            change, label = item["caption"].split("\n")
            assert label == row["label"] and float(change.replace("−", "-")) == pytest.approx(100 * row["gain"], abs=0.051)
            assert f"CBIR {percent(row['CBIR'])}, {PHS} {percent(row[PHS])}, {change} points" in item["alt"]
            assert item["frame"] == verdicts[np.sign(row["gain"])] and row["label"] in item["alt"]


def test_thumbnails_show_the_prompt(explorer, experiment):
    """Blue stands around the box, in the picture's scale, and nowhere else."""
    row = items(explorer)[0]["key"]
    query = experiment.set.queries.iloc[row]
    small = Image.open(io.BytesIO(bytes(items(explorer)[0]["image"]))).convert("RGB")
    plain = experiment.set.open(query["image_id"])
    scale = small.width / plain.width
    changed = np.abs(np.asarray(small, int) - np.asarray(plain.resize(small.size), int)).sum(2) > 120
    ys, xs = np.nonzero(changed)
    box = query["prompt"]
    corners = np.array([xs.min(), ys.min(), xs.max(), ys.max()])
    assert np.allclose(corners, np.array([box.x0, box.y0, box.x1, box.y1]) * scale, atol=8)
    inside = changed[
        int(box.y0 * scale) + 6 : int(box.y1 * scale) - 6, int(box.x0 * scale) + 6 : int(box.x1 * scale) - 6
    ]
    assert inside.size > 100 and inside.mean() < 0.02  # the object itself stays visible


def test_a_broken_picture_hides_no_other(explorer, experiment, monkeypatch):
    broken = explorer.shown["image_id"].iloc[-1]
    real = experiment.set.open

    def opens(image_id, **options):
        if image_id == broken:
            raise InputError("Picture a.png can't be read: replace it.")
        return real(image_id, **options)

    object.__setattr__(experiment.set, "open", opens)
    try:
        explorer = FailureExplorer(experiment, a=PHS, k=K)
        explorer.order.value = GAIN
    finally:
        object.__delattr__(experiment.set, "open")
    hidden = [item for item in items(explorer) if not item["image"]]
    assert 0 < len(hidden) < PAGE and all("a.png" in item["alt"] for item in hidden)


def test_a_click_opens_the_query_in_place_with_both_lists(experiment):
    class Opens:
        rows, asked = [], []

        def query(self, row):
            self.rows.append(row)
            if len(self.rows) > 1:
                raise InputError("Query is broken: choose another.")

        def ask(self, picture):
            self.asked.append(picture)

    failures = FailureExplorer(experiment, k=K, opens=Opens())
    assert failures.state["case"] is None and failures.inspector.layout.display == "none"
    key = items(failures)[3]["key"]
    failures.gallery.receive({"pick": key, "row": 0, "item": 3})
    assert Opens.rows == [key] and failures.case == key == failures.shown["query"].iloc[3] and items(failures)[3]["badge"] == "open"
    for name in ("CBIR", "PHS"):
        assert failures.results[name]["row"].tolist() == experiment.ranking(name, k=10).ids[key].tolist()
    before, after = (experiment.score(name, k=10)["contains"].per_query["precision"][key] for name in ("CBIR", "PHS"))
    assert [row["title"] for row in failures.lists.rows] == ["CBIR", "PHS"]
    assert [row["share"] for row in failures.lists.rows] == [percent(before), percent(after)]
    assert failures.lists.rows[1]["gain"] == points(after - before)
    failures.lists.receive({"pick": failures.results["PHS"]["row"].iloc[2]})
    assert Opens.asked == [failures.results["PHS"]["image_id"].iloc[2]]
    case = json.loads(failures.export("json")[1])
    query = experiment.set.queries.iloc[key]
    assert case["query"]["picture"] == query["image_id"] and case["query"]["label"] == query["label"]
    assert [one["rows"] for one in case["lists"]] == [table["row"].tolist() for table in failures.results.values()]
    assert Image.open(io.BytesIO(failures.export("png")[1])).format == "PNG"
    other = items(failures)[5]["key"]
    failures.gallery.receive({"pick": other, "row": 0, "item": 5})
    assert "broken" in failures.gallery.message and failures.case == key
    failures.opens = None
    failures.gallery.receive({"pick": other, "row": 0, "item": 5})
    assert failures.case == other
    failures.lists.receive({"pick": 3})
    assert "opens=" in failures.lists.message
    failures.close()


def test_bars_of_the_histogram_filter(explorer):
    gains = explorer.table["gain"]
    bars = {bar["at"]: bar for bar in explorer.histogram.bars}
    assert sum(bar["n"] for bar in bars.values()) == len(gains) and sorted(bars) == list(range(min(bars), max(bars) + 1))
    explorer.histogram.chosen = [min(bars)]
    assert sorted(explorer.shown["gain"]) == sorted(gains[gains <= (min(bars) + 1) / 10 + 1e-9]) and len(explorer.shown) == bars[min(bars)]["n"]
    assert [bar["n"] for bar in explorer.histogram.bars] == [bar["n"] for bar in bars.values()]  # a choice takes no bar away
    explorer.histogram.chosen = [0]
    assert (explorer.shown["gain"] == 0).all() and len(explorer.shown) == (gains == 0).sum()
    explorer.label.value = explorer.table["label"].iloc[0]
    assert sum(bar["n"] for bar in explorer.histogram.bars) == (explorer.table["label"] == explorer.label.value).sum()
    explorer.histogram.chosen = []
    assert len(explorer.shown) == (explorer.table["label"] == explorer.label.value).sum()


def test_bars_by_hand():
    found = bars([-0.36, -0.3, 0.0, 0.1, 0.101, 0.1])
    assert [(bar["at"], bar["n"]) for bar in found] == [(-4, 1), (-3, 1), (-2, 0), (-1, 0), (0, 1), (1, 2), (2, 1)]
    assert found[0]["words"] == "gain −30 to −40 points" and found[0]["label"] == "−40"
    assert found[4]["words"] == "gain 0 points" and found[5]["words"] == "gain +0 to +10 points"
    assert [bar["at"] for bar in bars([])] == [0]


@pytest.mark.parametrize(
    ("wrong", "text"),
    [({"a": "PSH"}, "'PSH'"), ({"b": "PHS"}, "itself"), ({"a": "PHS(h_on=0)"}, "h_on=0"), ({"a": "PHS(h_on=1.5)"}, "1.5"),
     ({"a": "PHS(h_on=13)"}, "fewer than h_on=13"), ({"a": "GeM"}, "no feature maps")],
)
def test_wrong_arguments_are_named(experiment, wrong, text):
    with pytest.raises(InputError, match=text):
        FailureExplorer(experiment, **wrong)


def test_all_heads_and_a_small_database(experiment):
    with pytest.warns(UserWarning, match="Only 40"):
        explorer = FailureExplorer(experiment, a="PHS(h_on=12)", k=100)
    assert explorer.k == 40 and "P@40" in words(explorer)
    assert (explorer.table["gain"] == 0).all()  # all heads on is plain retrieval
    assert "0 % gain, 0 % lose, 100 % tie" in words(explorer)
    assert isinstance(explorer.figure(), Figure)
    explorer.close()


def test_any_set_and_model_under_its_own_protocol():
    """Landmarks by mAP with a CNN: AP alone, and queries without positives aren't compared."""
    town = load_set("mini-landmarks", seed=3, n_landmarks=4, n_queries=6, n_database=20)
    town = replace(town, settings={name: value for name, value in town.settings.items() if name != "training"})
    experiment = Experiment(town, load_model("mini-cnn", device="cpu"), progress=False)
    explorer = FailureExplorer(experiment, b="GeM(n_scales=1)", a="GeM", protocol="hard")
    a, b = (experiment.score(name)["hard"] for name in ("GeM", "GeM(n_scales=1)"))
    gain = (a.per_query["average_precision"] - b.per_query["average_precision"]).dropna()
    assert np.allclose(explorer.table["gain"], gain) and explorer.table["query"].tolist() == gain.index.tolist()
    assert [label for label, _ in explorer.metric.options] == [f"AP@{explorer.k}"]
    assert f"mAP hard: {percent(b.map)} → {percent(a.map)}" in words(explorer)
    explorer.close()


def test_close_leaves_nothing_behind(experiment):
    failures = FailureExplorer(experiment, k=K)
    parts = [failures.order, failures.gallery, failures.order.layout, failures.order.style, failures.layout]
    table, gallery = failures.table, failures.gallery
    failures.close()
    failures.close()  # twice is once
    assert all(w.comm is None for w in [failures, *parts, *failures.children])
    failures.order.value = GAIN
    failures.metric.value = "average_precision"
    gallery.receive({"pick": 0})
    assert failures.table is table and not gallery.message
    assert len(repr(failures)) <= 110 and "PHS against CBIR" in repr(failures)


def test_figure_by_hand():
    table = pd.DataFrame({"gain": [0.1, 0.3, -0.2], "size": [0.01, 0.02, 0.5], "n_objects": [1, 1, 4]})
    figure = gains(table, 9, "PHS", "CBIR", "P@10")
    left, right = figure.axes
    mean = next(line for line in right.lines if line.get_label() == "mean of n queries")
    assert np.allclose(mean.get_xydata(), [(1, 20), (4, -20)])
    assert [t.get_text() for t in right.texts] == ["n=2", "n=1"]
    dots = np.asarray(left.collections[0].get_offsets())
    assert np.allclose(dots, [(1, 10), (2, 30), (50, -20)])
    assert "3 of 9" in figure.get_suptitle() and "+6.7 [−20, +30] on average" in figure.get_suptitle(), "three draws of one query three times"
    assert "objects in the query picture: +20 [+10, +30] at 1, −20 at 4" in figure.alt, "one query has no interval"
    (bar,) = (one for one in right.collections if one.get_label() == "95 % interval of the mean")
    assert np.allclose(bar.get_segments(), [[(1, 10), (1, 30)]])


def test_gains_of_one_picture_count_as_one():
    """Two queries on one picture, which gain 10 and 30, and two on another: as units 20 and -20, else also all four alike."""
    table = pd.DataFrame({"gain": [0.1, 0.3, -0.2, -0.2], "size": [0.1] * 4, "n_objects": [2] * 4, "unit": [0, 0, 1, 1]})
    assert "+0 [−20, +20] on average" in gains(table, 4, "PHS", "CBIR", "P@10").get_suptitle()
    assert "[−20, +30]" not in gains(table, 4, "PHS", "CBIR", "P@10").alt
    assert "interval" not in gains(table[:2], 4, "PHS", "CBIR", "P@10").axes[0].get_legend_handles_labels()[1]
