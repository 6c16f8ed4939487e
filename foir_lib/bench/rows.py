"""Rows of a table: every data set, model and method scored, beside what the paper prints."""

import re
from collections.abc import Iterator
from dataclasses import replace
from importlib import import_module

import numpy as np
import pandas as pd
from tqdm.auto import tqdm

from foir_lib import registry
from foir_lib.bench import costs
from foir_lib.bench.experiment import Experiment
from foir_lib.bench.limits import check, columns_of, heads_of, place_of, rows_of
from foir_lib.bench.metrics import changes, pixels
from foir_lib.bench.metrics.focus import average
from foir_lib.bench.metrics.intervals import against_first
from foir_lib.bench.metrics.scores import Score, metric_of
from foir_lib.bench.published import beside
from foir_lib.bench.tables.catalogue import find
from foir_lib.bench.tables.columns import Column, Table
from foir_lib.data import load_set, training
from foir_lib.models.zoo import load_model
from foir_lib.retrievers import guests
from foir_lib.retrievers.regions import attentions
from foir_lib.retrievers.rerankers import AlphaQE, Diffusion

METRICS = ("mAP", "mAP medium", "mAP hard", "mAP@100", "mAP@1k", "MP", "MAP")  # those shown of a set that has none of the table's
JUDGED = "foir_lib.bench.memory.judged"  # where tables of memories get their rows; imported for those alone, so that no other depends on it
EXPERIMENTS = 9  # sets with a model that stay at hand while tables are computed in one process
_experiments: dict[tuple, Experiment] = {}


def run(
    table: str, dataset: str = "mini", model: str = "mini", data_root: str = "", weights: str = "", device: str = "auto",
    seed: int = 0, methods: str = "", plugin: str = "", h_on: str = "", k: int = 100, noise_pixels: int = 0, batch_size: int = 32,
    training_root: str = "", n_training: int = 0, attention: str = "", detector: str = "", guest: str = "", out_index: int = -1,
    workers: int = 2, progress: bool = True, cache: str | None = None,
) -> pd.DataFrame:  # fmt: skip
    """Rows in long format: table, dataset, model, method, metric, published, ours, difference, note, ...

    ``data_root``: folder of the data set, or where there are several, or distractors, the folder that holds one for each,
    by name (oxford5k, revisitop1m, ...). ``weights``: a local file, for one model. ``methods``: see :func:`columns_of`;
    ``plugin``: a Python file that registers more. ``h_on``: number of selected heads, or several separated by
    commas; empty is the paper's 5, or for a model with no more than 5 heads every number below. ``training_root``: folder of
    other pictures that PCA and codebook are learned from. ``attention``: weights of regional attention separated by a
    comma; ``detector``: of torchvision's fasterrcnn_resnet50_fpn; ``guest``: "NAME=path, ..." of :mod:`guests`, "NAME=ranks > masks" where
    tables localise, compared with the first method on the last of the models. The others: see :class:`Corpus` and :func:`load_model`. Scores are percent,
    not rounded. A method that can't be had has no score and a ``note``. Figures have a column ``x``. ``attrs["notices"]``: what
    was noted while data were read, [data set, reason, number, example] each.
    """
    check(locals())
    spec, (datasets, models) = find(table), rows_of(table, dataset, model)
    columns, files, rows, noted = columns_of(spec, methods), guests.named(guest), [], []
    paths = tuple(training.sample(training_root, n_training or 50_000, seed)) if training_root else None
    with tqdm(total=len(datasets) * max(len(models), 1), desc=table, unit="row", disable=not progress) as bar:
        for name in datasets:
            retrieval_set = load(name, data_root, seed, len(datasets) > 1)
            noted += [[name, *notice] for notice in retrieval_set.notices]
            others = [column for guest, path in files.items() for column in _guests(guest, path, retrieval_set, columns[0])]
            if not models:
                rows += [{"dataset": name, **row} for row in _objects(retrieval_set)]
                bar.update()
            for model_name in models:
                net = load_model(model_name, weights=weights or None, device=device, out_index=out_index)
                learning = (seed, paths, n_training, attention, detector or None)
                experiment = _experiment(retrieval_set, net, *learning, batch_size, workers, cache, progress, noise_pixels)
                about = _about(name, model_name, experiment, spec)
                wanted = [one for column in columns for one in by_heads(column, spec, experiment.model, h_on)]
                wanted += others if model_name == models[-1] else []
                theirs = {column.name: {"model": "guest"} for column in others}
                rows += [about | _over(spec, name, row) | theirs.get(row["method"], {}) for row in _rows(spec, experiment, wanted, k)]
                bar.update()
    result = beside(pd.DataFrame(rows).assign(table=table), spec)
    result.attrs["notices"] = noted
    return result


def _experiment(retrieval_set, model, *options):
    """An experiment; what it has learned stays at hand for the next table of the same process, set, network and options."""
    key = (retrieval_set.content, model.key, type(model), getattr(model, "opener", None), *options)
    if key not in _experiments:
        seed, paths, n_training, attention, *others = options
        learned = (paths, n_training, attentions(attention, model))
        _experiments[key] = Experiment(retrieval_set, model, seed, *learned, *others)
        while len(_experiments) > EXPERIMENTS:
            del _experiments[next(iter(_experiments))]
    return _experiments[key]


def load(name: str, data_root: str = "", seed: int = 0, several: bool = False):
    """A benchmark by the name of a table's row, see :func:`place_of`; errors as there and as load_set."""
    base, root, options = place_of(name, data_root, several)
    return load_set(base, root=root, **{"seed": seed} | options)


def _over(spec, name, row):
    """A row of a data set ``name(option=x, ...)`` in a figure over such options: named by the option, and at x."""
    base, options = registry.called(name)
    if spec.over != "data" or not options:
        return row
    option, x = next(iter(options.items()))
    return row | {"dataset": base, "method": f"{row['method']} over {option}", "x": x}


def _about(name, model_name, experiment, spec):
    sizes = {"n_queries": len(experiment), "n_database": len(experiment.set.database)}
    definitions = {p.definition for p in experiment.set.protocols.values() if p.metric == "mAP" and not spec.judged}
    return {"dataset": name, "model": model_name, **sizes} | ({"ap": ", ".join(sorted(definitions))} if definitions else {})


def by_heads(column: Column, spec: Table, model, h_on: str = "") -> list[Column]:
    """The column, or one for each number of heads of the model that a run asks for."""
    n_heads = getattr(model, "n_heads", 0)
    if not hasattr(column.retriever, "h_on") or not n_heads:
        return [column]
    axis, by_name = spec.over == "h_on", column not in spec.columns
    if h_on:
        values = heads_of(h_on)
    elif by_name:  # its text says how many
        values = [column.retriever.h_on]
    else:
        values = list(range(1, n_heads + 1)) if axis else [5] if n_heads > 5 else list(range(1, n_heads)) or [1]
    plain = axis or values == [5] or (by_name and not h_on)
    return [column.at(value, plain, axis) for value in values]


def _guests(name, path, retrieval_set, first):
    """Columns of a guest: its ranking, or its descriptors plain, expanded and diffused, and what it localises in them; masks alone
    are of the list of the table's ``first`` column."""
    ranks, shows = guests.parted(path)
    localise = guests.GuestMasks(shows) if shows else None
    if not ranks:
        return [replace(first, name=name, localise=localise)]
    guest, then = guests.Guest(ranks), [None]
    then += [] if guest.is_ranking(retrieval_set) else [AlphaQE(), Diffusion()]
    return [Column(f"{name}+{one.name}" if one else name, guest, rerank=one, localise=localise) for one in then]


def _rows(spec, experiment, columns, k):
    """Rows of one data set and model, without their common columns."""
    if spec.judged:
        return import_module(JUDGED).rows(spec.judged, experiment, columns)
    scores, rows = {}, []
    for column in (costs.detecting(spec, experiment, column) for column in columns):
        x = {} if column.x is None else {"x": column.x}
        if missing := experiment.lacks(column.retriever, column.rerank, column.localise):
            names = shown(spec, [name for score in _possible(experiment, column, k) for name in score])
            rows += [{"method": column.name, "metric": metric, "ours": None, "note": missing} for metric in names]
            continue
        result = _scored(experiment, spec, column, k)
        scores[column.name, column.x] = result
        if spec.over.startswith("objects"):
            continue
        values = {name: 100 * value for score in result.values() for name, value in score.metrics.items()}
        values = {name: values[name] for name in shown(spec, values)} | costs.of(spec, experiment, column)
        rows += [{"method": column.name, "metric": metric, "ours": value, **x} for metric, value in values.items()]
    if spec.over.startswith("objects"):
        return rows + list(relative({name: next(iter(result.values())) for (name, _), result in scores.items()}, spec.over))
    for metric in {row["metric"] for row in rows}:
        one = {key: score for key, result in scores.items() for score in result.values() if metric in score.metrics}
        bounds = against_first(one, metric) if one else {}
        for row in (row for row in rows if row["metric"] == metric):
            row |= _percent(bounds.get((row["method"], row.get("x"))))
    return rows


def _scored(experiment, spec, column, k):
    if column.localise is None:
        return experiment.score(column.retriever, k, column.rerank, **column.how)
    scores = experiment.pixel_score(column.retriever, column.localise, spec.localised, column.rerank, **column.how)
    return changes.split(scores, experiment.corpus) if any(metric.startswith(changes.SHARE) for metric in spec.metrics) else scores


def _percent(interval):
    """Columns of an interval in percentage points; none of None."""
    return {} if interval is None else {"low": 100 * interval.low, "high": 100 * interval.high}


def _possible(experiment, column, k):
    """Names of the metrics of each protocol, before anything is scored."""
    depth = min(k, len(experiment.set.database))
    for name, protocol in experiment.set.protocols.items():
        yield [f"MP@{depth}", f"MAP@{depth}"] if protocol.metric == "focus" else [metric_of(name)]
        if column.localise is not None:
            yield pixels.names(name)


def shown(spec: Table, names) -> list[str]:
    """Which of the metrics ``names`` of a set a table shows: its own, at any depth, else :data:`METRICS`."""

    def bare(name):
        return re.sub(r"@\d+$", "", name)

    def among(wanted):
        return [name for one in wanted for name in names if bare(name) == bare(one)]

    return among(spec.metrics) or among(METRICS)


def relative(scores: dict[str, Score], over: str) -> Iterator[dict]:
    """Gain in MP over the first method, in percent of it, on the queries with x objects (or at least x)."""
    first, *others = scores or [None]
    if not others:
        return
    k, counts = scores[first].k, scores[first].per_query["n_objects"].to_numpy()
    for x in range(1, 11):
        chosen = counts >= x if over.endswith("more") or x == 10 else counts == x
        if chosen.sum() < 10:
            continue
        some = {name: replace(score, per_query=score.per_query[chosen]) for name, score in scores.items()}
        mp = {name: average(score.per_query, k).mp for name, score in some.items()}
        if mp[first] > 0:
            bounds = against_first(some, f"MP@{k}", relative=True)
            about = {"metric": f"MP@{k} relative to {first} (%)", "x": x, "n": int(chosen.sum())}
            yield from ({"method": m, "ours": 100 * (mp[m] / mp[first] - 1), **about, **_percent(bounds[m])} for m in others)


def _objects(retrieval_set):
    """Figure 3: percent of query images that hold x objects (10: ten or more)."""
    counts = np.array([min(retrieval_set.n_objects(i), 10) for i in retrieval_set.queries["image_id"].unique()])
    for x in range(1, 11):
        yield {"metric": "query images %", "x": x, "ours": 100 * float((counts == x).mean()), "n": int((counts == x).sum())}
