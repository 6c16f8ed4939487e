"""Ground truth of landmark benchmarks as protocols: revisited (easy, medium, hard) and classic (good + ok, junk)."""

import numpy as np

from foir_lib.data.protocol import Protocol
from foir_lib.data.values import whole
from foir_lib.errors import InputError

LEVELS = {  # protocol: (positives, ignored); Radenović et al., CVPR 2018
    "easy": (("easy",), ("junk", "hard")),
    "medium": (("easy", "hard"), ("junk",)),
    "hard": (("hard",), ("junk", "easy")),
}
CLASSIC = {"classic": (("good", "ok"), ("junk",))}  # Philbin et al., CVPR 2007


def protocols(
    truth: list[dict], n_database: int, levels: dict = LEVELS, where: str = "The ground truth"
) -> dict[str, Protocol]:
    """Protocols by name from ``truth``: for each query a dict with lists of database rows (easy, hard, junk, ...).

    Each query is a group of its own, named by its row. Needs no pictures. Raises InputError for a query that lacks
    a list, for rows that are no database rows, and for an image in two lists of one query.
    """
    rows = []
    for query, lists in enumerate(truth):
        rows.append({})
        for key in dict.fromkeys(key for parts in levels.values() for part in parts for key in part):
            if not isinstance(lists, dict) or key not in lists:
                raise InputError(f"{where} of query {query} lacks the list {key!r}: get the file again, or add it, empty perhaps.")
            listed = lists[key].tolist() if isinstance(lists[key], np.ndarray) else lists[key]
            listed = [whole(row) for row in listed] if isinstance(listed, list | tuple) else [None]
            if not all(row is not None and 0 <= row < n_database for row in listed):
                fault = f"has a list {key!r} that doesn't hold rows from 0 to {n_database - 1}"
                raise InputError(f"{where} of query {query} {fault}: get the file again, or count database pictures from 0.")
            rows[-1][key] = np.array(listed, dtype=np.int64)
        values, counts = np.unique(np.concatenate(list(rows[-1].values())), return_counts=True)
        if (counts > 1).any():
            twice = f"lists image {values[counts > 1][0]} twice ({', '.join(rows[-1])})"
            raise InputError(f"{where} of query {query} {twice}: an image has one grade per query, get the file again.")
    groups = tuple(range(len(rows)))
    return {
        name: Protocol(groups, *({q: np.concatenate([rows[q][key] for key in part]) for q in groups} for part in parts))
        for name, parts in levels.items()
    }
