"""Checks of the exercises on the method's parts and rivals (exercises_60): each returns what to print of an answer."""

import numpy as np
import pandas as pd
import torch

from foir_lib import Box
from foir_lib.bench import metrics
from foir_lib.bench.experiment import Experiment
from foir_lib.methods import foveal, head_selection
from foir_lib.models.vit import ClsState, ViT
from foir_lib.retrievers.heads import PHS
from foir_lib.view.exercises.checking import check


def descriptor(f, model: ViT, state: ClsState, w: torch.Tensor, project, tail) -> str:
    """The descriptor (d,) of head weights ``w`` (h,) (PHS eqs. 8, 4, 5); ``project`` and ``tail``: the parts of the block."""
    heads, residual = state.heads[0], state.residual[0]
    right = model.descriptor(state, w[None])[0].detach()
    slips = {"it isn't of length 1.": tail(residual + project((w[:, None] * heads).flatten()))}
    slips["that is the plain descriptor: w plays no part in it."] = model.descriptor(state)[0]
    slips["the kept heads aren't scaled: use w as it is."] = model.descriptor(state, (w > 0).float()[None])[0]
    bare = tail(project((w[:, None] * heads).flatten()))
    slips["the residual is missing."] = bare / bare.norm()
    return check(f, right, slips, 1e-2)


def control(answer, distance, phs: float, precision, n: int, n_heads: int, h_on: int, draws: int) -> str:
    """Precisions of ``draws`` choices by dice, and how far ``phs`` is above their mean, in their standard deviations."""
    p = [precision(head_selection.random(n, n_heads, h_on, seed)) for seed in range(draws)]
    mean, spread = np.mean(p), np.std(p, ddof=1)
    lines = ["control: " + check(answer, p, {"all draws are alike: give each its own seed.": draws * p[:1]})]
    slips = {"that is the difference in points, divide it by the spread.": phs - mean}
    slips["that is with ddof=0, which takes the mean for known."] = (phs - mean) / np.std(p)
    lines.append("distance: " + check(distance, (phs - mean) / spread, slips, 0.01))
    if answer is not ...:
        lines.append(f"by dice: mean {mean:.0f} %, standard deviation {spread:.1f} points")
    return "\n".join(lines)


def precisions(p100, mp100, hits: np.ndarray, queries: pd.DataFrame) -> str:
    """P@100 of every query and MP@100, shares; ``hits`` (queries, 100) bool, ``queries`` with image_id and label."""
    result = metrics.focus_precision(hits, queries["image_id"], queries["label"], k=100)
    p = result.per_query["precision"]
    first = check(p100, p, {"that is the mean over queries, take it over ranks.": hits.mean(axis=0)})
    slips = {"that is the mean over queries: every kind should count the same.": p.mean()}
    slips["prompts of one picture should share one vote of their kind."] = p.groupby(queries["label"]).mean().mean()
    return f"p100: {first}\nmp100: {check(mp100, result.mp, slips, 1e-4)}"


def scan(experiment: Experiment) -> pd.Series:
    """MP@100 in percent of PHS for every number of heads."""
    counts = range(1, experiment.model.n_heads + 1)
    return pd.Series({x: 100 * experiment.score(PHS(h_on=x))["contains"].mp for x in counts})


def numbers_of_heads(best, meets, experiment: Experiment) -> str:
    """The number of heads with the highest MP@100, and the one at which every choice meets plain retrieval."""
    curve = scan(experiment)
    slips = {"that is the paper's default, on other data.": 5, "that is where it is worst.": curve.idxmin()}
    last = check(meets, experiment.model.n_heads, {"one head alone is as far from all heads as can be.": 1})
    return f"best: {check(best, curve.idxmax(), slips)}\nmeets: {last}"


def bump(G, grid: tuple[int, int]) -> str:
    """The foveal bump of a box of 3 rows and 2 columns of tokens, (3, 2)."""
    tall = foveal.bias(Box(2, 1, 4, 4), grid, size=grid[::-1]).reshape(grid)  # pixels = tokens
    right = tall[1:4, 2:4].double()
    slips = {"that is the factor on the attention, exp(G).": right.exp(), "v is missing.": right / 0.2}
    slips["that is m alone, between its minimum and maximum lies hardly anything."] = 0 * right + 1
    slips["e is missing: at the corners it is not 0."] = right.round(decimals=1)
    return check(G, right, slips)


def kinds_and_places(hits: dict, twin: dict) -> pd.DataFrame:
    """Percent of results with the right kind, with the right drawing (kind or twin), and of these with the right place, by method."""
    table = pd.DataFrame({"right kind": {m: 100 * hits[m].mean() for m in hits}})
    table["right drawing"] = [100 * (hits[m] | twin[m]).mean() for m in hits]
    return table.assign(**{"of these, right place": 100 * table["right kind"] / table["right drawing"]})


def drawings(drawn, placed, hits: dict, twin: dict) -> str:
    """Percent of results with the right drawing, and percent of those in the right place, in the order of the methods."""
    table = kinds_and_places(hits, twin)
    slips = {"those are shares, percent are asked.": table["right drawing"] / 100}
    slips["the twins count, too."] = table["right kind"]
    lines = ["drawn: " + check(drawn, table["right drawing"], slips)]
    slips = {"divide by the right drawings, not by all results.": table["right kind"]}
    lines.append("placed: " + check(placed, table["of these, right place"], slips))
    return "\n".join(lines + ([] if drawn is ... else [table.round().astype(int).to_string()]))


def crop(why, hits: dict, twin: dict, prompts: pd.Series) -> str:
    """Why Crop loses: "A" it sees the object less well; "B" better, without its place; "C" on small objects only."""
    table = kinds_and_places(hits, twin)
    cropped, plain = table.loc["Crop"], table.loc["CBIR"]
    holds = {"A": cropped["right drawing"] < plain["right drawing"]}
    holds["B"] = not holds["A"] and cropped["of these, right place"] < plain["of these, right place"]
    area = np.array([(b.x1 - b.x0) * (b.y1 - b.y0) for b in prompts])
    large = area > np.median(area)
    holds["C"] = hits["Crop"][large].mean() > hits["CBIR"][large].mean()
    return check(why, "".join(letter for letter, so in holds.items() if so))


def tails(answer, heads: np.ndarray, n_database: int) -> str:
    """The tails of a search with all queries in query-DB mode; ``heads`` (queries, h) bool."""
    distinct = len({tuple(row) for row in heads.tolist()})
    slips = {"that is for one query.": n_database, "those are the head sets.": distinct}
    slips["queries with the same heads share their tails."] = len(heads) * n_database
    said = check(answer, distinct * n_database, slips, 1e-6)
    return said if answer is ... else f"{said}\n{distinct} head sets for {len(heads)} queries"
