"""Every table of every paper on a few pictures: its columns, its rows, what is printed beside them, its picture and files."""

import shutil
from dataclasses import replace
from types import SimpleNamespace

import nbformat
import numpy as np
import pandas as pd
import pytest

from foir_lib import files, load_set, registry
from foir_lib.bench import rows
from foir_lib.bench.metrics.focus import average
from foir_lib.bench.metrics.scores import Score
from foir_lib.bench.published import beside, published
from foir_lib.bench.runs import report, tables_text
from foir_lib.bench.tables import catalogue, coattention, heads, objects, pixels, regions
from foir_lib.bench.tables.columns import Table
from foir_lib.errors import FoirError, InputError
from foir_lib.methods.regional_attention import RegionalAttention, save
from foir_lib.view import figures

LANDMARKS = coattention.TABLES | regions.TABLES
SLOW = ("ca-3", "ca-6", "ca-fig9")


@pytest.fixture(scope="module")
def learning(town_training, tmp_path_factory):
    """Options of ``rows.run``: pictures to learn from, weights of regional attention."""
    folder = tmp_path_factory.mktemp("learning")
    (folder / "pictures").mkdir()
    for path in town_training:
        shutil.copy(path, folder / "pictures")
    weights = []
    for context in (True, False):
        weights.append(str(folder / f"{context}.safetensors"))
        save(RegionalAttention(128, 4, context=context), weights[-1])
    return {"training_root": str(folder / "pictures"), "attention": ",".join(weights)}


@pytest.fixture
def on_landmarks(town, learning):
    return {"dataset": "few-landmarks", "model": "few-cnn", "cache": str(town.corpus.cache), "workers": 1, "progress": False, **learning}


@pytest.fixture
def on_focus(focus):
    return {"dataset": "few-focus", "model": "mini-vit", "device": "cpu", "k": 5, "cache": str(focus.corpus.cache), "progress": False}


@pytest.fixture(scope="module")
def on_needles(drawn, tmp_path_factory):
    """Four small shelves of three things, annotated boxes for what is detected and for masks."""
    few = drawn(lambda: load_set("mini-needles", seed=2, n_things=6, n_queries=6, n_database=4, n=3, side=192))
    few = replace(few, name="few-needles", settings=few.settings | {"objects": "boxes", "masks": "boxes"})
    registry.register("set", "few-needles")(lambda: few)
    cache = str(tmp_path_factory.mktemp("needles"))
    return {"dataset": "few-needles", "model": "mini-vit,mini-cnn", "device": "cpu", "cache": cache, "workers": 1, "progress": False}


# ---- columns and names


def test_columns_follow_the_number_of_heads():
    def names(table, n_heads, h_on="", methods=""):
        spec, model = catalogue.find(table), SimpleNamespace(n_heads=n_heads)
        return [one for column in rows.columns_of(spec, methods) for one in rows.by_heads(column, spec, model, h_on)]

    many = [one.name for one in names("phs-1", 12)]
    assert many == ["CBIR", "Mask", "Crop", "FA", "Random heads", "PHS", "PHS (query-db)"]
    assert [one.name for one in names("phs-1", 3)][4:] == [
        "Random heads (h_on=1)", "Random heads (h_on=2)", "PHS (h_on=1)", "PHS (h_on=2)", "PHS (query-db, h_on=1)", "PHS (query-db, h_on=2)",
    ]  # fmt: skip
    assert [(one.x, one.retriever.h_on) for one in names("phs-fig8", 4) if one.name == "PHS"] == [(n, n) for n in (1, 2, 3, 4)]
    assert [str(one.retriever) for one in names("phs-1", 12, methods="PHS(h_on=3), Crop")] == ["PHS(h_on=3)", "Crop"]
    assert [one.name for one in names("phs-1", 12, "2,7", "PHS")] == ["PHS (h_on=2)", "PHS (h_on=7)"]
    with pytest.raises(InputError, match="h_on='five' isn't a list of numbers"):
        names("phs-1", 12, "five")


def test_methods_take_the_place_of_a_table_s_columns():
    spec = catalogue.find("ca-7")
    assert rows.columns_of(spec) == rows.columns_of(spec, " ") == spec.columns
    gem, ca, both = rows.columns_of(spec, "GeM, GeM+CA+DF, CA(n_clusters=3, ivf=True)+alphaQE(n=2)")
    assert gem == spec.columns[0] and ca in spec.columns and ca.rerank.name == "DF"
    assert str(both.retriever) == "CA(n_clusters=3, ivf=True)" and str(both.rerank) == "alphaQE(n=2)"
    for text, words in (("PSH", "no retriever 'PSH'"), ("PHS(heads=3)", "no option 'heads'"), ("GeM+QE", "no retriever"), ("GeM+DF(n=0)", "n=0")):
        with pytest.raises(InputError, match=words):
            rows.columns_of(spec, text)


def test_names_of_data_sets_and_models():
    assert rows.rows_of("phs-4", "paper", "paper") == (["coco"], [f"dinov2-{size}" for size in ("small", "base", "large", "giant")] + ["clip-base", "clip-large"])
    assert rows.rows_of("phs-1") == (["mini-focus", "mini-focus-sparse", "mini-focus-dense"], ["mini-vit-small", "mini-vit", "mini-vit-large"])
    assert rows.rows_of("phs-1", "coco", "a, b") == (["coco"], ["a", "b"])
    assert rows.rows_of("ca-1") == (["mini-landmarks"], ["mini-cnn"])
    assert rows.rows_of("ca-1", "paper", "paper")[1] == ["resnet50", "resnet101"]
    assert rows.rows_of("ra-3", "oxford5k, paris6k", "resnet18") == (["oxford5k", "paris6k"], ["resnet18"])
    with pytest.raises(InputError, match="phs-a1"):
        rows.rows_of("phs-a11")
    with pytest.raises(InputError, match="roxford5k\\+1m needs data_root"):
        rows.load("roxford5k+1m")


def test_every_column_of_every_table_can_be_asked_and_joins():
    guest = {
        "BoW", "CANet", "DELG", "DELG+SP", "DELG+SP†", "DELG†", "DELF-ASMK+SP", "DELF-D2R-R-ASMK+SP", "DOLG", "DOLG (whole query)",
        "DSM", "GLAM", "GeM (GLD)", "HOW", "HOW (GLDv2)†", "HOW-MDA", "R-MAC (Gordo)", "RA (PCA of the other set)", "SDCF",
        "SDCF (4096)", "SDCF (512)", "SDCF+QE", "SOLAR",
    }  # fmt: skip
    alone = set()
    for table, spec in LANDMARKS.items():
        assert catalogue.find(table) is spec and spec.title and spec.look
        names = [(column.name, column.x) for column in spec.columns]
        assert len(set(names)) == len(names)
        if table != "ca-fig9":
            alone |= set(published(table)["method"]) - {column.name for column in spec.columns}
            assert set(published(table)["dataset"]) - {"any"} <= set(spec.datasets), table
    assert alone == guest


def test_what_the_small_objects_paper_prints_meets_a_column_or_stands_alone():
    """Of systems that have no column the published numbers alone are there; PDM has none in either source."""
    main, ablation = (objects.TABLES[name] for name in ("mao-main", "mao-ablation"))
    assert set(published("mao-main")["method"]) - {one.name for one in main.columns} == {"GSS", "alpha-CLIP", "AMES"} and main.alone
    assert set(published("mao-ablation")["method"]) <= {one.name for one in ablation.columns}
    assert set(published("mao-ablation")["model"]) == set(ablation.models)
    for name, table in objects.TABLES.items():
        assert name in ("mao-curves", "mao-recall") or set(published(name)["dataset"]) == set(table.datasets)
    for column in ablation.columns:
        assert ("oracle boxes" in column.name) == (getattr(column.retriever, "objects", None) == "boxes"), column.name


def test_small_objects_have_one_stand_in_and_curves_are_their_own():
    (world,), networks = rows.rows_of("mao-main")
    assert world.startswith("mini-needles(") and networks == ["mini-vit", "mini-vit-needles", "mini-cnn"]
    assert rows.rows_of("mao-ablation") == ([world], ["mini-vit", "mini-vit-needles"])
    curves = objects.TABLES["mao-curves"]
    assert rows.rows_of("mao-curves", "mini", "mini") == rows.rows_of("mao-curves", "paper", "paper") == (list(curves.datasets), list(curves.models))
    options = [next(iter(registry.called(name)[1].items())) for name in curves.datasets]
    assert {name: max(x for other, x in options if other == name) for name, _ in options} == {"permille": 50, "n": 50, "hidden": 60, "side": 1024}


@pytest.mark.parametrize("table", catalogue.EVERY)
def test_a_table_s_columns_print_as_they_are_read(table):
    for column in catalogue.find(table).columns:
        assert rows.columns_of(catalogue.find("phs-fig3"), str(column.retriever))[0].retriever == column.retriever


# ---- published numbers


def test_published_values_stand_beside_ours_only_where_they_belong():
    ours = pd.DataFrame([
        {"dataset": "coco", "model": "dinov2-large", "method": "PHS", "metric": "MP@100", "ours": 61.0},
        {"dataset": "mini-focus", "model": "mini-vit", "method": "PHS", "metric": "MP@100", "ours": 61.0},
    ]).assign(table="phs-1")  # fmt: skip
    table = beside(ours, heads.TABLES["phs-1"])
    assert table["published"].tolist()[0] == 61.3 and np.isnan(table["published"].tolist()[1])
    assert table["difference"].tolist()[0] == pytest.approx(-0.3) and len(table) == 2


def test_published_rows_of_others_stand_beside_ours():
    columns = ["table", "dataset", "model", "method", "metric", "ours", "ap"]
    ours = pd.DataFrame([("ca-15", "roxford5k", "resnet101", "GeM+CA", "mAP hard", 70.0, "trapezoid")], columns=columns)
    spec = catalogue.find("ca-15")
    table = beside(ours, spec).set_index(["method", "metric"])
    assert table.loc[("GeM+CA", "mAP hard"), ["published", "ours"]].tolist() == [72.6, 70.0]
    assert table.loc[("GeM+CA", "mAP hard"), "difference"] == pytest.approx(-2.6)
    assert table.loc[("CANet", "mAP hard"), "published"] == 68.9 and np.isnan(table.loc[("CANet", "mAP hard"), "ours"])
    assert set(table["dataset"]) == {"roxford5k"} and table["table"].eq("ca-15").all()
    none = beside(ours.assign(model="resnet50"), spec)
    assert set(none["method"]) == {"GeM", "GeM+CA", "CANet"} and len(none) == 1 + 2 + 2, "no line of another network of ours"


def test_a_fine_tuned_network_has_published_numbers_of_its_own():
    columns = ["table", "dataset", "model", "method", "metric", "ours", "ap"]
    ours = pd.DataFrame([("mao-main", "voxdet", "dinov2-base-needles", "MaO", "mAP", 80.0, "textbook")], columns=columns)
    table = beside(ours, catalogue.find("mao-main")).set_index(["method", "model"])
    assert table.loc[("MaO", "dinov2-base-needles"), ["published", "ours"]].tolist() == [83.70, 80.0]
    assert table.loc[("MaO", "clip-base"), "published"] == 65.22 and table.loc[("GSS", "gss"), "published"] == 52.01
    assert ("MaO", "dinov2-base") not in table.index, "no line of another network of ours"
    assert table["ap"].dropna().tolist() == ["textbook"], "the paper doesn't say which"


# ---- rows


@pytest.mark.parametrize("table", heads.TABLES)
def test_every_table_of_heads_is_made(on_focus, table):
    spec, result = catalogue.find(table), rows.run(table, **on_focus)
    assert len(result) and np.isfinite(result["ours"]).all()
    if not spec.over:
        assert set(result["method"]) == {c.name for c in spec.columns}
        assert len(result) == len(spec.columns) * len(spec.metrics)
        assert result["ours"].between(0, 100).all()
        assert result["low"].isna().sum() == len(spec.metrics), "all but the first method have an interval of the difference to it"
    else:
        assert spec.over == "objects" and spec.models or result["x"].min() == 1  # the few scenes hold five objects or more


@pytest.mark.parametrize("table", [pytest.param(t, marks=[pytest.mark.slow] * (t in SLOW)) for t in LANDMARKS])
def test_every_table_of_landmarks_is_made_told_drawn_and_saved(on_landmarks, table, tmp_path):
    spec = LANDMARKS[table]
    result = report.checked(rows.run(table, **on_landmarks), table)
    lacking = {c.name for c in spec.columns if c.name.startswith(("RPN", "CAM"))}  # no detector, no classifier
    costs = [metric for metric in spec.metrics if not metric.startswith("mAP")]
    want = [
        (column.name, metric)
        for column in spec.columns
        for metric in ["mAP medium", "mAP hard", *(costs if column.name not in lacking else [])]
    ]
    assert list(zip(result["method"], result["metric"])) == want
    assert set(result.loc[result["ours"].isna(), "method"]) == lacking and bool(report.notes(result)) == bool(lacking)
    assert result.loc[result["metric"].str.startswith("mAP"), "ours"].dropna().between(0, 100).all()
    if spec.over:
        medium = result[result["metric"] == "mAP medium"]
        scanned = medium.groupby(medium["method"].str[-1], sort=False)["x"].agg(tuple).to_dict()
        assert scanned == {"N": (50, 100, 150, 200, 500, 1000), "K": (2, 4, 7, 10, 16, 20), "T": (1, 5, 10, 15, 20)}
    assert set(result["n_queries"]) == {2} and set(result["n_database"]) == {14} and set(result["ap"]) == {"trapezoid"}
    for source in counting_cells(table):
        exec(source, {"pd": pd, "scores": result, "report": report, "spec": spec, "tables_text": tables_text})  # what the notebook counts from them
    figure = (figures.scan if spec.over else figures.bars)(result, title=spec.title)
    report.save(result, table, tmp_path, {"figure": figure})
    text = (tmp_path / f"{table}.md").read_text()
    assert spec.title in text and all(note in text for note in report.notes(result))
    assert (tmp_path / f"{table}-figure.png").stat().st_size > 5000


@pytest.mark.parametrize("table", ["px-consistency", pytest.param("px-consistency-ca", marks=pytest.mark.claims)])
def test_a_table_of_consistency_has_every_row_with_an_interval_and_the_graph_s_cost(on_landmarks, table):
    spec, result = pixels.TABLES[table], report.checked(rows.run(table, **on_landmarks), table)
    scored = result[result["metric"].str.startswith("mAP")]
    assert list(zip(scored["method"], scored["metric"])) == [(one.name, metric) for one in spec.columns for metric in spec.metrics[:2]]
    absent = scored["ours"].isna()  # this town names no network of patches
    assert {one.split("=")[1] for one in scored["method"][absent]} <= {"'Dense(side", "'SelfSupport(side"} and scored["note"][absent].str.contains("dinov2-small").all()
    assert scored["ours"][~absent].between(0, 100).all() and scored["low"][~absent].isna().sum() == 2, "all but the first list have an interval"
    cost = result[result["metric"] == spec.metrics[2]].set_index("method")["ours"]
    assert set(cost.index) == {one.name for one in spec.columns if "Hypergraph" in one.name or "Community" in one.name} and (cost > 0).all()


@pytest.mark.slow
@pytest.mark.parametrize("table", ["mao-main", "mao-ablation"])
def test_every_table_of_small_objects_is_made_told_drawn_and_saved(on_needles, table, tmp_path):
    spec, models = objects.TABLES[table], ["mini-vit", "mini-cnn"][: 1 + (table == "mao-main")]
    result = report.checked(rows.run(table, **on_needles | {"model": ",".join(models)}), table)
    assert list(zip(result["model"], result["method"])) == [(model, one.name) for model in models for one in spec.columns]
    assert set(result["metric"]) == {"mAP"} and set(result["ap"]) == {"textbook"} and result["ours"].dropna().between(0, 100).all()
    had = result[result["ours"].notna()].groupby("model")["method"].agg(list).to_dict()
    maps = ["GeM", "SuperGlobal"] * (table == "mao-main")
    assert had.pop("mini-vit") == [one.name for one in spec.columns if one.name not in maps]
    assert had == ({"mini-cnn": ["CBIR", *maps]} if maps else {})
    assert any("has no feature maps" in note for note in report.notes(result)) == bool(maps)
    if table == "mao-ablation":  # the set says that boxes are annotated: both rows are one and the same
        ours = result[result["model"] == "mini-vit"].set_index("method")["ours"]
        assert ours["MaO"] == ours["MaO (oracle boxes)"] and ours["MaO (per crop)"] == ours["MaO (per crop, oracle boxes)"]
    for source in counting_cells(table):
        exec(source, {"pd": pd, "scores": result, "report": report, "spec": spec, "tables_text": tables_text})
    report.save(result, table, tmp_path, {"figure": figures.bars(result, title=spec.title)})
    assert spec.title in (tmp_path / f"{table}.md").read_text() and (tmp_path / f"{table}-figure.png").stat().st_size > 5000


def test_curves_of_small_objects_have_a_point_for_each_set(drawn, on_needles, tmp_path):
    sets = ", ".join(f"mini-needles({option}, n_things=6, n_queries=6, n_database=4{more})" for option, more in (
        ("n=1", ", side=192"), ("n=3", ", side=192"), ("side=192", ", n=3"),
    ))  # fmt: skip
    methods = "CBIR,MeanCrops(objects='boxes'),GeM"
    result = drawn(lambda: rows.run("mao-curves", **on_needles | {"dataset": sets, "model": "mini-vit", "methods": methods}))
    ours = result[result["ours"].notna()]
    assert ours.groupby("method")["x"].agg(list).to_dict() == {
        "CBIR over n": [1, 3], "MeanCrops(objects='boxes') over n": [1, 3],
        "CBIR over side": [192], "MeanCrops(objects='boxes') over side": [192],
    }  # fmt: skip
    figure = figures.scan(result, title=objects.TABLES["mao-curves"].title)
    assert [axes.get_xlabel() for axes in figure.axes] == ["things on a picture", "pixels of a picture"]


def counting_cells(table):
    """The cells of a table's notebook that count who is ahead."""
    path = files.notebooks_root() / "tables" / f"{table.split('-')[0]}.ipynb"
    sources = [cell.source for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "code" and "verdicts(" in cell.source]
    assert sources
    return sources


def test_rows_are_the_scores_of_an_experiment(town, on_landmarks):
    result = rows.run("ra-2c", **on_landmarks)
    assert result["method"].unique().tolist() == ["R-MAC", "RA (no context)", "RA"]
    assert set(result["dataset"]) == {"few-landmarks"} and set(result["model"]) == {"few-cnn"}
    scores = town.score("R-MAC")
    ours = result[result["method"] == "R-MAC"].set_index("metric")["ours"]
    assert ours["mAP hard"] == pytest.approx(100 * scores["hard"].map) and result["published"].isna().all()
    result = rows.run("ra-2b", **on_landmarks)
    assert result["ours"].isna().all() and result["note"].str.contains("no detector").all()


def test_an_inverted_file_filters_and_a_table_is_the_same_again(on_landmarks):
    plain, again = (rows.run("ca-14", **on_landmarks) for _ in range(2))
    np.testing.assert_array_equal(plain["ours"], again["ours"])
    ours = plain.pivot(index="method", columns="metric", values="ours")
    assert ours.loc["GeM+CA (no IVF)", "filtered %"] == 0 <= ours.loc["GeM+CA", "filtered %"] < 100


def test_relative_gain_by_hand():
    few = pd.DataFrame({
        "query": range(20), "unit": range(20), "label": ["a"] * 20, "image_id": range(20), "precision": [0.5] * 20, "average_precision": 0.0,
        "n_objects": [1] * 10 + [3] * 10,
    })  # fmt: skip
    gain = few.assign(precision=[0.6] * 10 + [0.4] * 10)
    scores = {name: Score({"MP@5": average(table, 5).mp}, table, 5) for name, table in (("CBIR", few), ("PHS", gain))}
    at = {(r["x"], r["method"]): r["ours"] for r in rows.relative(scores, "objects")}
    assert at == {(1, "PHS"): pytest.approx(20), (3, "PHS"): pytest.approx(-20)}
    at = {r["x"]: r["ours"] for r in rows.relative(scores, "objects or more")}
    assert at == {1: pytest.approx(0, abs=1e-9), 2: pytest.approx(-20), 3: pytest.approx(-20)}


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"n_training": -4}, "^n_training=-4 must be a whole number, at least 0.$"), ({"k": 0}, "^k=0 must be a whole number, at least 1.$"),
        ({"guest": "HOW"}, "must be NAME=path"), ({"methods": "Mine"}, "There is no retriever 'Mine'"),
        ({"guest": "HOW=how.npy", "dataset": "paper"}, "^A guest's file can't serve 4 data sets: name one data set.$"),
        ({"model": "resnet50,resnet101", "weights": "w.pth"}, "^One weights file can't serve 2 models"),
        ({"plugin": "nowhere.py"}, "There is no plug-in at .*nowhere.py"),
    ],
)  # fmt: skip
def test_bad_words_are_told_before_any_network_runs(on_landmarks, monkeypatch, options, words):
    monkeypatch.setattr(rows, "load_model", lambda *_, **__: pytest.fail("a network is loaded"))
    with pytest.raises(FoirError, match=words):
        rows.run("ca-1", **on_landmarks | options)


def test_other_faults_are_told_in_a_sentence(on_landmarks, on_focus):
    with pytest.raises(FoirError, match="workers=0 must be a whole number, at least 1"):
        rows.run("ca-1", **on_landmarks | {"workers": 0})
    with pytest.raises(FoirError, match="There is no file of a guest at nowhere.npy"):
        rows.run("ca-1", **on_landmarks | {"guest": "HOW=nowhere.npy"})
    with pytest.raises(FoirError, match="phs-fig3 counts objects: a guest has no place in it"):
        rows.run("phs-fig3", **on_focus | {"guest": "HOW=nowhere.npy"})


def test_a_figure_over_an_option_of_the_data(tmp_path, monkeypatch):
    """The mini world with two and with three pictures of queries: one line, at x = 2 and 3."""
    monkeypatch.setenv("FOIR_CACHE", str(tmp_path))
    sets = tuple(f"mini-focus(n_query={n}, n_database=8)" for n in (2, 3))
    column = catalogue.EVERY["phs-1"].columns[0]
    table = Table("Over data", (column,), sets, ("mini-vit-small",), over="data", stand_ins={n: n for n in (*sets, "mini-vit-small")})
    monkeypatch.setitem(catalogue.EVERY, "over-data", table)
    scores = rows.run("over-data", device="cpu")
    assert set(scores["method"]) == {f"{column.name} over n_query"} and set(scores["dataset"]) == {"mini-focus"}
    assert sorted(set(scores["x"])) == [2, 3] and scores["ours"].notna().all()
    axes = figures.scan(scores.assign(method="CBIR over permille")).axes[0]
    assert axes.get_xlabel() == "size of a thing in \u2030 of the picture"
    assert not [line for line in axes.lines if line.get_markerfacecolor() == "none"], "no best of what isn't chosen"
