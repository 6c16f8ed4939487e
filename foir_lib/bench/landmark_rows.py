"""Rows of the co-attention and regional-attention tables: ours, guests', and what the papers print."""

import time
from pathlib import Path

import pandas as pd
from tqdm.auto import tqdm

from foir_lib.bench.landmark_experiment import CLUSTERING, LandmarkExperiment, scores_of
from foir_lib.bench.published import published
from foir_lib.bench.published import tables as published_tables
from foir_lib.bench.tables.coattention import DISTRACTORS, MINI_DATASET, MINI_MODEL, OPTION
from foir_lib.bench.tables.heads import find
from foir_lib.data import load_set, training
from foir_lib.errors import InputError
from foir_lib.methods import regional_attention
from foir_lib.models.zoo import load_model
from foir_lib.retrievers import guests
from foir_lib.search import clusters, knn
from foir_lib.search.ranking import Ranking
from foir_lib.search.rerank.expansion import count

KEYS = ["dataset", "model", "method", "metric"]
MILLION = 1_000_000


def rows_of(table, dataset="mini", model="mini"):
    """The data sets and models of a run: two lists of names; "mini", "paper", or names separated by commas."""
    spec, names = find(table), []
    for asked, paper, mini in ((dataset, spec.datasets, MINI_DATASET), (model, spec.models, MINI_MODEL)):
        names.append({"paper": list(paper), "mini": [mini]}.get(asked) or [n.strip() for n in asked.split(",")])
    return names[0], names[1]


def run(table, dataset="mini", model="mini", data_root="", weights="", device="auto", seed=0, training_root="", n_training=0,
    attention="", detector="", guest="", out_index=-1, workers=2, progress=True, cache=None,
):  # fmt: skip
    """Rows in long format: table, dataset, model, method, metric, published, ours, difference, note, ...

    ``data_root``: folder of the data set, or where there are several, or distractors, the folder that holds one for each,
    by name (oxford5k, oxford105k, roxford5k, revisitop1m, ...). ``training_root``: folder of other pictures that PCA and
    codebook are learned from, ``n_training`` of them. ``attention``: weights of regional attention, with and without
    context, separated by a comma; ``detector``: weights of torchvision's fasterrcnn_resnet50_fpn. ``guest``:
    "NAME=path, ..." of :mod:`~foir_lib.retrievers.guests`. mAP is in percent, not rounded; ap names its definition. A method that
    can't be had has no score and a ``note``; systems that the paper alone has stand as published rows.
    """
    spec, (datasets, models) = find(table), rows_of(table, dataset, model)
    if len(models) > 1 and weights:
        raise InputError(f"One weights file can't serve {len(models)} models: name one model.")
    count(n_training, "n_training", 0)
    count(workers, "workers")
    theirs, rows = guests.named(guest), []
    if len(datasets) > 1 and theirs:
        raise InputError(f"A guest's file can't serve {len(datasets)} data sets: name one data set.")
    paths = training.sample(training_root, n_training or 50_000, seed) if training_root else None
    with tqdm(total=len(datasets) * len(models), desc=table, unit="row", disable=not progress) as bar:
        for name in datasets:
            retrieval_set = load(name, data_root, seed, len(datasets) > 1)
            sizes = {"n_queries": len(retrieval_set.queries), "n_database": len(retrieval_set.database)}
            sizes["ap"] = next(iter(retrieval_set.protocols.values())).definition
            files = {guest_name: guests.read(path, retrieval_set) for guest_name, path in theirs.items()}
            for model_name in models:
                net = load_model(model_name, weights=weights or None, device=device, out_index=out_index)
                experiment = LandmarkExperiment(
                    retrieval_set, net, paths, attention=attentions(attention, net), detector=detector or None, seed=seed,
                    n_training=n_training, workers=workers, cache=cache, progress=progress,
                )  # fmt: skip
                rows += [{"dataset": name, "model": model_name, **sizes, **row} for row in _rows(spec, experiment)]
                bar.update()
            for guest_name, (kind, content) in files.items():
                found = _guest(guest_name, kind, content, experiment)
                rows += [{"dataset": name, "model": "guest", **sizes, **row} for row in found]
    return beside_published(pd.DataFrame(rows).assign(table=table), table, datasets)


def load(name, data_root="", seed=0, several=False):
    """A benchmark by the name of a table's row: with "+1m", oxford105k and paris106k, its distractors are added.

    Raises InputError for distractors without ``data_root`` and for a data set that has no landmarks, and as load_set.
    """
    base, extra = DISTRACTORS.get(name, (name, None))
    if extra and not data_root:
        raise InputError(f"{name} needs data_root: the folder that holds {base} and {extra}.")
    root = str(Path(data_root) / base) if data_root and (several or extra) else data_root
    options = {"distractors": str(Path(data_root) / extra)} if extra else {}
    found = load_set(name if not extra else base, root=root or None, seed=seed, **options)
    if not metrics_of(found):
        raise InputError(
            f"{name} has no ground truth of landmarks: name a data set such as roxford5k, oxford5k or {MINI_DATASET}."
        )
    return found


def attentions(text, model):
    """Regional attention networks from "path,path"; for an embedded model those that come with it."""
    own = sorted(
        Path(regional_attention.__file__).parents[1].glob(f"models/mini/weights/{model.name}-attention*.safetensors")
    )
    return [regional_attention.load(path) for path in [p.strip() for p in text.split(",") if p.strip()] or own]


def _rows(spec, experiment):
    """Rows of one data set and model, without their common columns."""
    for column in spec.columns:
        x = {"x": next(column.options[o] for o in OPTION.values() if o in column.options)} if spec.over else {}
        missing = experiment.lacks(column.method, **column.options)
        if missing:
            metrics = metrics_of(experiment.set).values()
            yield from ({"method": column.name, "metric": m, "ours": None, "note": missing} for m in metrics)
            continue
        ranking = experiment.ranking(column.method, **column.options)
        values = percent(ranking, experiment.set) | costs(spec, experiment, column)
        yield from ({"method": column.name, "metric": metric, "ours": value, **x} for metric, value in values.items())


def metrics_of(retrieval_set):
    """Protocol -> metric of what a table shows: classic, medium and hard of a revisited set, or GLDv2's retrieval."""
    wanted = {"classic": "mAP", "medium": "mAP medium", "hard": "mAP hard", "retrieval": "mAP@100"}
    return {level: metric for level, metric in wanted.items() if level in retrieval_set.protocols}


def percent(ranking, retrieval_set):
    """mAP of a ranking in percent, by metric; NaN where no query has positives."""
    scores = scores_of(ranking, retrieval_set)
    names = metrics_of(retrieval_set).items()
    return {metric: 100 * scores[level].map if level in scores else float("nan") for level, metric in names}


def costs(spec, experiment, column):
    """What a table measures beside mAP: clusters of a picture, the share filtered, memory and time of a million."""
    found, wanted = {}, spec.metrics
    options = {name: value for name, value in column.options.items() if name in CLUSTERING}
    if "clusters per image" in wanted:
        found["clusters per image"] = float(experiment.clustered("database", **options).read("count").mean())
    if "filtered %" in wanted:
        found["filtered %"] = 100 * experiment.filtered() if column.options.get("ivf") else 0.0
    if "memory GB" in wanted:
        found["memory GB"], found["ms per query"] = _cost(experiment, column.method)
    return found


def _cost(experiment, method):
    """GB and ms per query of a million pictures, scaled up from those at hand."""
    n, queries = len(experiment.set.database), experiment.vectors("GeM", "queries")
    if method == "GeM":
        database = experiment.vectors("GeM", "database")
        size, search = database[0].nbytes, lambda: knn.knn(queries, database, 100, device=experiment.model.device)
    else:
        database = experiment.clustered("database")
        asked = experiment.clustered("queries").read("global")
        (kind, shape), device = database.layout["clusters"], experiment.model.device
        size = int(kind.removeprefix("float")) // 8 * shape[0] * shape[1]
        search = lambda: clusters.search(asked, database, 100, device=device)  # noqa: E731
    search()
    start = time.perf_counter()
    search()
    seconds = (time.perf_counter() - start) / len(queries)
    return size * MILLION / 1e9, 1000 * seconds * MILLION / n


def _guest(name, kind, content, experiment):
    """Rows of a guest, as `guests.read` gives it: its ranking, or its descriptors plain, expanded and diffused."""
    if kind == "ranking":
        rankings = {name: content}
    else:
        every = range(len(content[0]))
        rankings = {}
        for suffix, rerank in (("", None), ("+alphaQE", "alphaQE"), ("+DF", "DF")):
            scores, ids = experiment.reranked(*content, rerank)
            rankings[name + suffix] = Ranking(every, ids, scores, len(content[1]))
    for method, ranking in rankings.items():
        for metric, value in percent(ranking, experiment.set).items():
            yield {"method": method, "metric": metric, "ours": value}


def beside_published(rows, table, datasets):
    """Published value and difference beside ours; systems that only the paper has, on the same sets, as further rows."""
    rows = rows.astype({"ours": float})
    if table in published_tables():
        theirs = published(table).rename(columns={"value": "published"})
        others = [model for model in find(table).models if model not in set(rows["model"])]
        unasked = theirs["method"].isin(rows["method"]) & theirs["model"].isin(others)
        theirs = theirs[theirs["dataset"].isin(datasets) & ~unasked]
        theirs = theirs[[*KEYS, "published"]]
        alone = ~pd.MultiIndex.from_frame(theirs[KEYS]).isin(pd.MultiIndex.from_frame(rows[KEYS]))
        rows = rows.merge(theirs, on=KEYS, how="left")
        rows = pd.concat([rows, theirs[alone].assign(table=table, ap="trapezoid")], ignore_index=True)
    else:
        rows = rows.assign(published=float("nan"))
    rows["difference"] = rows["ours"] - rows["published"]
    first = ["table", *KEYS, "published", "ours", "difference"]
    return rows[[*first, *(c for c in rows if c not in first)]]
