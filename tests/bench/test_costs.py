"""Costs beside scores: clusters of a picture, the share that an inverted file spares, a million pictures."""

from dataclasses import replace

import numpy as np
import pytest
from plainly import K

from foir_lib import registry
from foir_lib.bench import costs
from foir_lib.bench.experiment import Experiment
from foir_lib.bench.tables.columns import Column, Table
from foir_lib.retrievers import words


def table(*metrics):
    return Table("A table", (), (), (), metrics=metrics)


def column(text, **how):
    return Column(text, registry.parse("retriever", text), how)


def test_a_table_without_costs_measures_none(town):
    assert costs.of(table("mAP medium"), town, column("GeM")) == {}


def test_clusters_and_what_an_inverted_file_spares(town, town_training):
    few = replace(town.set, settings=town.set.settings | {"n_words": 120, "n_asking": 1})
    town = Experiment(few, town.model, training=town_training, cache=town.corpus.cache, progress=False)
    spec = table("mAP medium", "clusters per image", "filtered %")
    corpus, ivf = town.corpus, registry.parse("retriever", f"CA(n_clusters={K}, ivf=True)")
    values = costs.of(spec, town, column(str(ivf)))
    query, database = (corpus.described(ivf, part) for part in (corpus.queries(), corpus.database))
    assert values["clusters per image"] == database.read("count").mean() and 1 < values["clusters per image"] <= K
    spared = [1 - len(rows) / 14 for rows in words.candidates(corpus, query, database)]
    assert values["filtered %"] == pytest.approx(100 * np.mean(spared)) and 0 < values["filtered %"] < 100
    assert costs.of(spec, town, column(f"CA(n_clusters={K})"))["filtered %"] == 0


def test_memory_and_time_of_a_million_pictures(town, monkeypatch):
    spec, ticks = table("memory GB", "ms per query"), iter(np.arange(100) * 0.014)
    monkeypatch.setattr(costs.time, "perf_counter", lambda: next(ticks))
    values = costs.of(spec, town, column("GeM"))
    assert values["memory GB"] == pytest.approx(12 * 4 * 1e6 / 1e9), "12 numbers of 4 bytes"
    assert values["ms per query"] == pytest.approx(14 / 2 * 1e6 / 14), "14 ms for two queries and 14 pictures"
    values = costs.of(spec, town, column(f"CA(n_clusters={K}, ivf=True)"))
    assert values["memory GB"] == pytest.approx(K * 11 * 2 * 1e6 / 1e9), "float16 clusters, without words"
