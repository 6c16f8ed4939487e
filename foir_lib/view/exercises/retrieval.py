"""Checks of the exercises on CNN retrieval (exercises_40): each takes an answer and what it is about, and returns what to print."""

import numpy as np
import pandas as pd
import torch

from foir_lib.bench.metrics import average_precision
from foir_lib.methods import coattention, pooling
from foir_lib.search.inverted_file import InvertedFile
from foir_lib.view.exercises.checking import check


def gem(answer, x: torch.Tensor, p: float) -> str:
    """GeM (C,) of a map ``x`` (1, C, H, W) (co-attention eq. 1)."""
    right = pooling.gem(x, p)[0]
    slips = {"that is the mean, p = 1: take powers first.": x[0].mean((1, 2)), "that is the maximum.": x[0].amax((1, 2))}
    slips["the root is missing."] = (x[0].clamp(min=1e-6) ** p).mean((1, 2))
    slips["that is a sum over cells, a mean is asked."] = right * (x.shape[2] * x.shape[3]) ** (1 / p)
    return check(answer, right, slips)


def precision_with_junk(answer, found: list[str]) -> str:
    """AP (trapezoid) of a list of "right", "wrong" and "junk", all right pictures among them."""
    counted = [one for one in found if one != "junk"]
    ranks = [[i for i, one in enumerate(some) if one == "right"] for some in (counted, found)]
    n = len(ranks[0])
    slips = {"junk is taken out before ranks are counted.": average_precision(ranks[1], n, "trapezoid")}
    slips["that is the textbook's AP, the trapezoid takes the mean of two precisions."] = average_precision(ranks[0], n)
    junk_right = [i for i, one in enumerate(found) if one != "wrong"]
    slips["junk is neither right nor wrong."] = average_precision(junk_right, len(junk_right), "trapezoid")
    return check(answer, average_precision(ranks[0], n, "trapezoid"), slips)


def score(weights, answer, query: torch.Tensor, clusters: torch.Tensor, temperature: float) -> str:
    """Weights (K,) of ``clusters`` (K, d) for ``query`` (d,), and the score (co-attention eqs. 8 to 10)."""
    right = coattention.weights(query, clusters, temperature)
    cosines = clusters @ query
    slips = {"those are the cosines: multiply by T and take the softmax.": cosines, "T is missing.": cosines.softmax(0)}
    first = check(weights, right, slips)
    mixed = (right[:, None] * clusters).sum(0)
    slips = {"bring the picture's vector to length 1 first.": mixed @ query, "that is the best cluster alone.": cosines.max()}
    slips["that is the mean of the cosines."] = cosines.mean()
    return f"a: {first}\nscore: {check(answer, mixed @ query / mixed.norm(), slips, 1e-4)}"


def expansion(why, precision: np.ndarray, gain: np.ndarray) -> str:
    """What tells whom expansion helps: "A" it helps every query; "B" those with more right among the first five; "C" neither.

    ``precision`` (Q,): share of right pictures among the first five; ``gain`` (Q,): change of AP.
    """
    good = precision > 0.5
    holds = {"A": bool((gain >= 0).all()), "B": gain[good].mean() > 0 > gain[~good].mean()}
    holds["C"] = not (holds["A"] or holds["B"])
    said = check(why, "".join(letter for letter, so in holds.items() if so))
    if why is ...:
        return said
    groups = {"more than half right": good, "at most half right": ~good}
    table = {name: {"queries": some.sum(), "mean change of AP": 100 * gain[some].mean()} for name, some in groups.items()}
    return f"{said}\n{pd.DataFrame(table).T.round(1).to_string()}"


def candidates(rows, skipped, file: InvertedFile, words: list[int]) -> str:
    """The pictures that share one of the query's ``words``, a set, and the percent of the database that is skipped."""
    right = file.candidates(np.array(words))
    first = set(file.candidates(np.array(words[:1])).tolist())
    all_words = set.intersection(*(set(file.candidates(np.array([word])).tolist()) for word in words))
    slips = {"those share the first word only.": first, "one word in common is enough.": all_words}
    share = 100 * (1 - len(right) / len(file))
    slips_of = {"that is the share of candidates.": 100 - share, "percent are asked.": share / 100}
    return f"rows: {check(rows, set(right.tolist()), slips)}\nskipped: {check(skipped, share, slips_of)}"
