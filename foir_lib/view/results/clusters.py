"""The clusters of a result's local features as dots on its picture, and how much each of them counts for a query."""

import torch

from foir_lib.methods import coattention
from foir_lib.retrievers.coattention import CoAttention
from foir_lib.text import percent
from foir_lib.view.figures.coattention import COLOURS

COLOURED = ("blue", "orange", "green", "red", "pink", "light blue", "yellow", "grey", "black", "brown")  # COLOURS in words
NAMED = 3  # clusters that are told in words


def dots(corpus, retriever: CoAttention, part, row: int) -> tuple[list[dict], str]:
    """The local features of a database row as an inspector draws them, and what counts in words.

    A dot has its cluster's colour and is the stronger, the more the cluster weighs (softmax of eq. 9) for prompt 0 of ``part``.
    """
    query = torch.from_numpy(corpus.described(retriever, part).read("global")[0])
    database, one = corpus.described(retriever, corpus.database), slice(int(row), int(row) + 1)
    labels = database.read("labels", one)[0]
    labels = torch.from_numpy(labels[labels >= 0]).long()
    x = torch.from_numpy(database.read("clusters", one)[0]).float()[: int(labels.max()) + 1]
    weights = coattention.weights(query, x, retriever.temperature, retriever.normalised)
    shares, features = weights / weights.sum(), retriever.locals_of(corpus, row)
    known = zip(features.positions.tolist(), features.cell.min(1).values.tolist(), labels.tolist(), strict=True)
    top = float(weights.max())
    drawn = [
        {"at": [round(x, 1), round(y, 1)], "radius": round(side / 2, 1), "colour": COLOURS[label % len(COLOURS)], "weight": max(0.0, float(weights[label]) / top)}
        for (x, y), side, label in known
    ]
    first = shares.argsort(descending=True)[:NAMED].tolist()
    words = ", ".join(f"{label} ({COLOURED[label % len(COLOURS)]}) {percent(float(shares[label]))}" for label in first)
    return drawn, f"clusters that count most, of {len(x)}: {words}"
