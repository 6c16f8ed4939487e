"""Costs beside scores: clusters of a picture, the share that an inverted file spares, a million pictures."""

from types import SimpleNamespace

import numpy as np
import pytest
from plainly import K

from foir_lib import registry
from foir_lib.bench import costs
from foir_lib.bench.metrics.objects import recall_on
from foir_lib.bench.tables import catalogue
from foir_lib.bench.tables.columns import Column, Table
from foir_lib.detections import Detections
from foir_lib.retrievers import words


def table(*metrics):
    return Table("A table", (), (), (), metrics=metrics)


def column(text, **how):
    return Column(text, registry.parse("retriever", text), how)


def test_a_table_without_costs_measures_none(town):
    assert costs.of(table("mAP medium"), town, column("GeM")) == {}


def test_clusters_and_what_an_inverted_file_spares(town, monkeypatch):
    spec = table("mAP medium", "clusters per image", "filtered %")
    corpus, ivf = town.corpus, registry.parse("retriever", f"CA(n_clusters={K}, ivf=True)")
    monkeypatch.setattr(words, "candidates", lambda *_: [np.array([0]), np.array([0, 5, 7])])
    values = costs.of(spec, town, column(str(ivf)))
    database = corpus.described(ivf, corpus.database)
    assert values["clusters per image"] == database.read("count").mean() and 1 < values["clusters per image"] <= K
    assert values["filtered %"] == pytest.approx(100 * (13 / 14 + 11 / 14) / 2), "one of 14 pictures is scored, then three"
    assert costs.of(spec, town, column(f"CA(n_clusters={K})"))["filtered %"] == 0



def test_memory_and_time_of_a_million_pictures(town, monkeypatch):
    spec, ticks = table("memory GB", "ms per query"), iter(np.arange(100) * 0.014)
    monkeypatch.setattr(costs.time, "perf_counter", lambda: next(ticks))
    values = costs.of(spec, town, column("GeM"))
    assert values["memory GB"] == pytest.approx(12 * 4 * 1e6 / 1e9), "12 numbers of 4 bytes"
    assert values["ms per query"] == pytest.approx(14 / 2 * 1e6 / 14), "14 ms for two queries and 14 pictures"
    values = costs.of(spec, town, column(f"CA(n_clusters={K}, ivf=True)"))
    assert values["memory GB"] == pytest.approx(K * 11 * 2 * 1e6 / 1e9), "float16 clusters, without words"


def test_recall_of_boxes_by_hand(tiny):
    """A box that stays where it is on picture 0 meets that of picture i, i pixels to the right, with an IoU of (32 - i) / (32 + i)."""

    class Still:
        key, device = "still box", "cpu"

        def detect(self, picture):
            return Detections([[8, 10, 40, 34]], [1.0])

    registry.register("detector", "still-box")(lambda device: Still())
    spec, experiment = table("mAP", "recall at IoU 0.5", "recall at IoU 0.9"), tiny.experiment("vit")
    values = costs.of(spec, experiment, column("MeanCrops(objects='still-box')"))
    assert values == {"recall at IoU 0.5": pytest.approx(1100 / 13), "recall at IoU 0.9": pytest.approx(200 / 13)}
    assert set(costs.of(spec, experiment, column("MeanCrops(objects='boxes')")).values()) == {100.0}
    assert costs.of(spec, experiment, column("CBIR")) == {}, "it has no boxes"
    result = recall_on(experiment.corpus.set, Still(), iou=(0.5, 0.9))
    assert (100 * result.recall).tolist() == pytest.approx(list(values.values())), "of the detector itself"


def test_without_annotated_boxes_there_is_no_recall(tiny):
    plain = tiny.experiment("vit").corpus.set
    corpus = SimpleNamespace(set=SimpleNamespace(name="bare", objects=plain.objects.iloc[:0], database=plain.database))
    column = SimpleNamespace(retriever=registry.parse("retriever", "MaO(objects='tokens')"))
    assert costs.of(table("mAP", "recall at IoU 0.5"), SimpleNamespace(corpus=corpus), column) == {}


def test_annotated_boxes_are_measured_only_where_a_column_names_them():
    """VoxDet's protocol takes annotated boxes, whose recall is that of themselves: there OWLv2 detects."""
    recalls = table("mAP", "recall at IoU 0.5")
    oracle = SimpleNamespace(corpus=SimpleNamespace(setting=lambda name, default: {"objects": "boxes"}.get(name, default)))
    taken = costs.detecting(recalls, oracle, column("MaO(steps=3)"))
    assert str(taken.retriever) == str(registry.parse("retriever", "MaO(steps=3, objects='owlv2')")) and taken.name == "MaO(steps=3)"
    for text in ("MaO(objects='boxes')", "MaO(objects='tokens')", "CBIR"):
        assert costs.detecting(recalls, oracle, column(text)) == column(text)
    assert costs.detecting(table("mAP"), oracle, column("MaO")) == column("MaO"), "a table of scores keeps the protocol"
    own = SimpleNamespace(corpus=SimpleNamespace(setting=lambda name, default: "mini-owl"))
    assert costs.detecting(recalls, own, column("MaO")) == column("MaO")
    assert any(name.startswith(costs.RECALL) for name in catalogue.find("mao-recall").metrics)
