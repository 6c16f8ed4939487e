"""What a table measures beside scores: clusters of a picture, the share filtered, memory and time of a million pictures, recall of boxes,
seconds of a graph."""

import time
from dataclasses import replace

import numpy as np

from foir_lib.bench.metrics.objects import recall_on
from foir_lib.bench.tables.columns import Column, Table
from foir_lib.detections import Detections
from foir_lib.retrievers.decomposed.choosing import lacking
from foir_lib.retrievers.decomposed.decomposing import ANNOTATED, decompose

MILLION = 1_000_000
RECALL = "recall at IoU "  # and the IoU
GRAPH = "graph s/1000 pictures"  # seconds of one processor for the graph of verified neighbours


def of(spec: Table, experiment, column: Column) -> dict[str, float]:
    """The costs among a table's metrics, by name."""
    if (at := [name for name in spec.metrics if name.startswith(RECALL)]) and hasattr(column.retriever, "objects_of"):
        if lacking(experiment.corpus, ANNOTATED):
            return {}
        objects = decompose(experiment.corpus, column.retriever.objects_of(experiment.corpus))
        rows = [objects.owner == row for row in range(len(objects))]
        boxes = [Detections(objects.boxes[row], objects.scores[row]) for row in rows]  # masks would take their time
        ious = [float(name.removeprefix(RECALL)) for name in at]
        return dict(zip(at, 100 * recall_on(experiment.corpus.set, boxes, iou=ious).recall, strict=True))
    corpus, retriever, values = experiment.corpus, column.retriever, {}
    if GRAPH in spec.metrics and (graphs := [step for step in getattr(column.rerank, "steps", [column.rerank]) if hasattr(step, "graph")]):
        return {GRAPH: graphs[0].graph(corpus, retriever, corpus.described(retriever, corpus.database)).cost}
    if not {"clusters per image", "filtered %", "memory GB"} & set(spec.metrics):
        return {}
    if "memory GB" in spec.metrics and hasattr(retriever, "ivf"):
        retriever = replace(retriever, ivf=False)
    database, query = (corpus.described(retriever, part) for part in (corpus.database, corpus.queries(**column.how)))
    if "clusters per image" in spec.metrics:
        values["clusters per image"] = float(database.read("count").mean())
    if "filtered %" in spec.metrics:
        values["filtered %"] = 100 * retriever.filtered(corpus, query, database) if getattr(retriever, "ivf", False) else 0.0
    if "memory GB" in spec.metrics:
        values["memory GB"], values["ms per query"] = _million(corpus, retriever, query, database)
    return values


def detecting(spec: Table, experiment, column: Column) -> Column:
    """In a table of recall a column that names no boxes takes a detector's: OWLv2's where the set's protocol takes annotated ones."""
    retriever = column.retriever
    if not any(name.startswith(RECALL) for name in spec.metrics) or getattr(retriever, "objects", "") is not None:
        return column
    return replace(column, retriever=replace(retriever, objects="owlv2")) if retriever.objects_of(experiment.corpus) == ANNOTATED else column


def _million(corpus, retriever, query, database):
    """GB and ms per query of a million pictures, scaled up from those at hand."""
    kind, shape = database.layout["clusters" if "clusters" in database.names else "descriptor"]
    size = np.dtype(kind).itemsize * int(np.prod(shape))
    retriever.score(corpus, query, database, 100)
    start = time.perf_counter()
    retriever.score(corpus, query, database, 100)
    seconds = (time.perf_counter() - start) / len(query)
    return size * MILLION / 1e9, 1000 * seconds * MILLION / len(database)
