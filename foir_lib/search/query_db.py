"""Query-DB search: every query's head set is applied to the whole database as well.

The last attention block leaves 2 d numbers per database image, head outputs and residual; from them
the database is described anew for each *distinct* head set among the queries (PHS, "Query-DB").
"""

import numpy as np
import torch

from foir_lib.errors import InputError
from foir_lib.methods import head_selection
from foir_lib.models.vit import ClsState
from foir_lib.progress import bar as counted
from foir_lib.search import knn


def search(model, queries, heads, database, k: int, strategy: str = "before+scale", chunk: int = 4096, progress: bool = False):
    """The ``k`` nearest database rows of each query, both described with the query's heads.

    queries (Q, d): query descriptors under ``heads``, bool (Q, h). database: Features with
    arrays "heads" (n, h * dk) and "residual" (n, d), and "values" (n, h * dk) for strategy
    "identity". Runs on ``model.device``. Returns scores (Q, k) float32 and ids (Q, k) int64 as
    :func:`knn.knn` does.

    Memory: one chunk of states and the best k. Time: one tail (output projection and MLP) per
    database image and distinct head set. Raises InputError for shapes that don't belong together.
    """
    device = model.device
    queries = knn.to_matrix(queries, "Query descriptors", device)
    heads = torch.as_tensor(heads).cpu().numpy().astype(bool)
    if heads.shape != (len(queries), model.n_heads):
        fit = f"({len(queries)}, {model.n_heads}), a row per query and a column per head of {model.name}"
        raise InputError(f"Head sets of shape {heads.shape} don't fit: {fit}.")
    attn = model.net.blocks[-1].attn
    widths = {"heads": model.n_heads * attn.head_dim, "residual": model.net.embed_dim}
    if strategy == "identity":
        widths["values"] = widths["heads"]
    for name, width in widths.items():
        if database.layout.get(name, (None, None))[1] != (width,):
            needed = f"array '{name}' of {width} columns, which Query-DB with strategy '{strategy}' needs"
            raise InputError(f"The database has no {needed}: store its states with {model.name}.")
    sets, group = np.unique(heads, axis=0, return_inverse=True)
    members = [torch.as_tensor(np.flatnonzero(group.ravel() == i), device=device) for i in range(len(sets))]
    best = knn.empty(len(queries), k, device)
    with counted(len(database) * len(sets), "", "state", show=progress) as bar:
        for start, arrays in database.chunks(list(widths), chunk):
            state = ClsState.from_arrays(arrays, model.n_heads, device)
            for on, rows in zip(sets, members, strict=True):
                block = head_selection.descriptor(model, state, torch.from_numpy(on), strategy)
                block = knn.to_matrix(block, "Database descriptors", device, start, finite=False)
                knn.update(best, queries[rows], block, start, rows=rows)
                bar.update(len(block))
    return knn.finish(best, len(database), k)
