"""Rows of a table: every data set, model and method scored, beside what the paper prints."""

from pathlib import Path

import numpy as np
import pandas as pd
from tqdm.auto import tqdm

from foir_lib.bench import metrics
from foir_lib.bench.experiment import Experiment
from foir_lib.bench.published import published
from foir_lib.bench.published import tables as published_tables
from foir_lib.bench.tables.heads import DATASETS, MINI_NOISE_PIXELS, MODELS, find
from foir_lib.data import load_set
from foir_lib.errors import InputError
from foir_lib.methods.noise import NOISE_PIXELS
from foir_lib.models.zoo import load_model


def rows_of(table, dataset="mini", model="mini"):
    """The data sets and models of a run: two lists of names.

    ``dataset``, ``model``: "mini" (the embedded stand-ins of the table's rows), "paper" (the rows the paper
    prints), or names separated by commas. Raises InputError for an unknown table.
    """
    spec = find(table)
    names = []
    for asked, paper, stand_ins in ((dataset, spec.datasets, DATASETS), (model, spec.models, MODELS)):
        mini = list(dict.fromkeys(stand_ins[name] for name in paper))
        names.append({"paper": list(paper), "mini": mini}.get(asked) or [n.strip() for n in asked.split(",")])
    return names[0], names[1] if spec.models else []


def run(table, dataset="mini", model="mini", data_root="", weights="", device="auto", seed=0,
    h_on="", k=100, noise_pixels=0, batch_size=32, workers=2, progress=True, cache=None,
):  # fmt: skip
    """Rows of a table in long format: table, dataset, model, method, metric, published, ours, difference, ...

    ``h_on``: number of selected heads, or several separated by commas; empty is the paper's 5, or for a
    model with no more than 5 heads every number below. ``data_root``: folder of the data set, or with
    several data sets the folder that holds one folder for each, by name. ``weights``: a local file, for one
    model. ``noise_pixels``: m of the noisy prompts; 0 is the paper's 40, for the mini sets the same share of their
    small pictures. ``batch_size``, ``workers``: pictures at once and threads that read them;
    ``progress``: bars. Scores are percent, not rounded. Figures have a column ``x``.
    """
    spec = find(table)
    datasets, models = rows_of(table, dataset, model)
    if len(models) > 1 and weights:
        raise InputError(f"One weights file can't serve {len(models)} models: name one model.")
    rows = []
    with tqdm(total=len(datasets) * max(len(models), 1), desc=table, unit="row", disable=not progress) as bar:
        for name in datasets:
            root = str(Path(data_root) / name) if data_root and len(datasets) > 1 else data_root
            retrieval_set = load_set(name, root=root or None, seed=seed)
            if not models:
                rows += [{"dataset": name, **row} for row in _objects(retrieval_set)]
                bar.update()
            for model_name in models:
                net = load_model(model_name, weights=weights or None, device=device)
                m = noise_pixels or MINI_NOISE_PIXELS.get(name, NOISE_PIXELS)
                experiment = Experiment(retrieval_set, net, seed, batch_size, workers, cache, progress, m)
                sizes = {"n_queries": len(experiment), "n_database": len(retrieval_set.database)}
                common = {"dataset": name, "model": model_name, **sizes}
                rows += [{**common, **row} for row in _rows(spec, experiment, h_on, k)]
                bar.update()
    return _beside_published(pd.DataFrame(rows).assign(table=table), table)


def columns(spec, n_heads, h_on=""):
    """The (name, method, options) that a model with ``n_heads`` heads is scored on."""
    if h_on:
        values = _numbers(h_on)
    elif spec.over == "h_on":
        values = list(range(1, n_heads + 1))
    else:
        values = [5] if n_heads > 5 else list(range(1, n_heads)) or [1]
    plain = spec.over == "h_on" or values == [5]  # else h_on is part of the name
    for column in spec.columns:
        for value in values if column.heads else [None]:
            name = column.name if plain or value is None else _suffixed(column.name, value)
            yield name, column.method, column.options | ({} if value is None else {"h_on": value})


def _numbers(text):
    try:
        return [int(n) for n in str(text).split(",")]
    except ValueError as error:
        raise InputError(f"h_on={text!r} isn't a list of numbers: give for example 5 or 1,2,5.") from error


def _suffixed(name, value):
    return f"{name[:-1]}, h_on={value})" if name.endswith(")") else f"{name} (h_on={value})"


def _rows(spec, experiment, h_on, k):
    """Rows of one data set and model, without their common columns."""
    results = {}
    for name, method, options in columns(spec, experiment.model.n_heads, h_on):
        at = options.get("h_on") if spec.over == "h_on" else None
        results[name, at] = experiment.score(method, k=k, **options)
    depth = next(iter(results.values())).k
    if spec.over.startswith("objects"):
        yield from _relative(results, spec.over, depth)
        return
    for (name, at), result in results.items():
        for metric in spec.metrics:  # "MP@100": the paper's k, ours may be less
            value = result.map if metric.startswith("MAP") else result.mp
            row = {"method": name, "metric": f"{metric.split('@')[0]}@{depth}", "ours": 100 * value}
            yield row if at is None else row | {"x": at}


def _relative(results, over, depth):
    """Gain in MP over CBIR, in percent of CBIR, on the queries with x objects (or at least x)."""
    counts = next(iter(results.values())).per_query["n_objects"].to_numpy()
    for x in range(1, 11):
        chosen = counts >= x if over.endswith("more") or x == 10 else counts == x
        if chosen.sum() < 10:
            continue
        mp = {name: metrics.average(r.per_query[chosen], depth).mp for (name, _), r in results.items()}
        for name, value in mp.items():
            if name != "CBIR" and mp["CBIR"] > 0:
                gain = {"method": name, "metric": f"MP@{depth} relative to CBIR (%)", "ours": 100 * (value / mp["CBIR"] - 1)}
                yield gain | {"x": x, "n": int(chosen.sum())}


def _objects(retrieval_set):
    """Figure 3: percent of query images that hold x objects (10: ten or more)."""
    counts = np.array([min(retrieval_set.n_objects(i), 10) for i in retrieval_set.queries["image_id"].unique()])
    for x in range(1, 11):
        yield {"metric": "query images %", "x": x, "ours": 100 * float((counts == x).mean()), "n": int((counts == x).sum())}


def _beside_published(rows, table):
    """Published value and difference beside ours, where data set and model are the paper's own."""
    keys = ["dataset", "model", "method", "metric"]
    rows = rows.assign(**{key: "" for key in keys if key not in rows})
    if table in published_tables():
        theirs = published(table).rename(columns={"value": "published"})
        rows = rows.merge(theirs[[*keys, "published"]], on=keys, how="left")
    else:  # a figure: the paper prints no numbers
        rows = rows.assign(published=np.nan)
    rows["difference"] = rows["ours"] - rows["published"]
    first = ["table", *keys, "published", "ours", "difference"]
    return rows[[*first, *(c for c in rows if c not in first)]]
