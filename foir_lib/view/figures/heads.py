"""The paper's figures of attention maps and its case study, PHS Figures 6, 7, A3, A4 and A5. Each returns a ``Figure``.

The map of a model is the mean over heads of what CLS takes from every patch in the last block: over all heads
("Vanilla"), over all heads under the foveal bias ("FA"), or over the kept heads ("PHS").
"""

import math

import numpy as np

from foir_lib.bench import metrics
from foir_lib.errors import InputError
from foir_lib.methods import foveal, head_selection
from foir_lib.search.asking import Sight
from foir_lib.view import BLUE, WIDTH, canvas
from foir_lib.view.figures import parts
from foir_lib.view.figures import pictures as figures


def maps(sight, prompt, h_on=5, roi="sum"):
    """The three maps of one picture under a prompt: name -> (N,) attention, "Vanilla", "FA" and "PHS".

    ``sight``: a :class:`~foir_lib.search.asking.Sight`; a model with fewer than ``h_on`` heads keeps all of them.
    """
    model, plain = sight.model, sight.state.attention[0]
    heads = head_selection.select(sight.state, sight.roi(prompt), min(h_on, model.n_heads), roi)[0]
    bias = foveal.bias(prompt, model.grid, sight.size)
    x = model.preprocess(sight.picture)[None]
    biased = model.cls_state(x, bias, min(4, model.depth)).attention[0]
    return {"Vanilla": _mean(plain), "FA": _mean(biased), "PHS": _mean(plain[heads])}


def _mean(attention):
    return attention.mean(0).cpu().numpy()


def compare_methods(model, pictures, prompts, h_on=5, roi="sum", title=None):
    """One row per picture: the query, then the maps of Vanilla, FA and PHS on one scale (PHS Figures 6, A3)."""
    _paired(pictures, prompts)
    found = [maps(Sight(model, p), prompt, h_on, roi) for p, prompt in zip(pictures, prompts)]
    return figures.attention_compare(
        pictures,
        prompts,
        {name: np.stack([one[name] for one in found]) for name in found[0]},
        model.grid,
        title or f"Attention from CLS in the last block of {model.name}, PHS with {_kept(model, h_on)}",
        "Look in each row at what is bright inside the prompt and outside it. FA adds a little inside, PHS leaves out the heads that "
        "look elsewhere; nothing is cut out, what the kept heads see of the surroundings stays.",
    )


def compare_sizes(models, pictures, prompts, h_on=5, roi="sum", title=None):
    """One row per picture: the query, then the PHS map of every model on one scale (PHS Figure A5)."""
    _paired(pictures, prompts)
    _some(models)
    found = {
        f"{model.name}\n{_kept(model, h_on)}": [
            maps(Sight(model, p), q, h_on, roi)["PHS"] for p, q in zip(pictures, prompts)
        ]
        for model in models
    }
    grids = {name: model.grid for name, model in zip(found, models)}
    return figures.attention_compare(
        pictures,
        prompts,
        {name: np.stack(rows) for name, rows in found.items()},
        grids,
        title or "PHS: mean attention of the kept heads in the last block, by model",
        "Look along each row: do the bright patches keep closer to the prompt where there are more heads to choose from?",
    )


def heads_of_models(models, picture, prompt=None, columns=8, title=None):
    """All heads of every model's last block on one picture, a band per model, all on one scale (PHS Figure A4).

    ``prompt``: its patches are outlined on every map, titles tell each head's ROI attention.
    """
    _some(models)
    sights = [Sight(model, picture) for model in models]
    rows = [math.ceil(model.n_heads / columns) for model in models]
    attention = [sight.state.attention[0].cpu().numpy() for sight in sights]
    every = np.concatenate([a.ravel() for a in attention])
    side, top, panels = (WIDTH - 0.7) / (columns + 1), parts.scale_of(every), []
    caption = "Look in each band for heads that are bright in different places: only where they differ can a prompt choose among them."
    with canvas(sum(rows) * (side * parts.tall(picture) + 0.25) + 0.9) as figure:
        cells = figure.add_gridspec(sum(rows), columns + 1)
        for model, sight, maps, row in zip(models, sights, attention, np.cumsum([0, *rows])):
            axes = figure.add_subplot(cells[row, 0])
            parts.show(axes, picture)
            parts.frame(axes, BLUE, "")
            axes.set_title(f"{model.name}\n{model.n_heads} heads", fontweight="bold", fontsize=7.5)
            inside = None if prompt is None else sight.roi(prompt)[0].cpu().numpy()
            if prompt is not None:
                parts.draw_prompt(axes, prompt, picture.size, model.grid)
            panels.append(axes)
            for i, values in enumerate(maps):
                axes = figure.add_subplot(cells[row + i // columns, 1 + i % columns])
                image = parts.head_map(axes, i, values, model.grid, picture, top, inside)
                panels.append(axes)
        parts.colour_bar(figure, image, panels, every, top)
        parts.words(figure, title or "Attention from CLS in the last block, every head by itself", caption)
    return figure


def case(rs, database, query_row, methods=("CBIR", "Mask", "Crop", "PHS"), k=100, shown=8, h_on=5, title=None):
    """One query of the RetrievalSet ``rs`` and its first results under each method, P@k beside (PHS Figure 7).

    ``database``: a :class:`~foir_lib.search.asking.Database` of the same set; right is what the protocol "contains" says.
    """
    if not 0 <= query_row < len(rs.queries):
        raise InputError(f"{rs.name} has no query {query_row}: rows go from 0 to {len(rs.queries) - 1}.")
    if not methods:
        raise InputError("There is no method to compare: give at least one, such as CBIR.")
    query, protocol = rs.queries.iloc[query_row], rs.protocols["contains"]
    sight, right, own = (
        Sight(database.model, rs.open(query["image_id"])),
        protocol.positives(query_row),
        protocol.own[query_row],
    )
    k, results = min(k, len(database) - (own >= 0)), {}
    for method in methods:
        found = database.rank(sight, method, query["prompt"], min(h_on, database.model.n_heads), exclude=own)
        relevance = np.isin(found.ids, right)
        name = f"{method}\nP@{k}: {100 * metrics.precision_at_k(relevance, k):.0f} %"
        results[name] = (found.ids, found.scores, relevance)
    title = title or f"{query['label']}, {database.model.name}: does the method need what stands around the object?"
    return figures.compare_lists(rs, query_row, results, k=shown, title=title)


def _kept(model, h_on):
    return f"{min(h_on, model.n_heads)} of {model.n_heads} heads"


def _paired(pictures, prompts):
    if not len(pictures) or len(pictures) != len(prompts):
        raise InputError(
            f"{len(pictures)} pictures and {len(prompts)} prompts can't be paired: give at least one of each, as many of both."
        )


def _some(models):
    names = [model.name for model in models]
    if not names or len(set(names)) < len(names):
        raise InputError(f"Models {', '.join(names) or '(none)'} can't be compared: give at least one, each once.")
