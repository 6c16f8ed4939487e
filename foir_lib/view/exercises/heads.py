"""Checks of the exercises on head selection (exercises_20): each takes an answer and what it is about, and returns what to print."""

import numpy as np
import pandas as pd
import torch
from matplotlib.figure import Figure

from foir_lib.bench.experiment import Experiment
from foir_lib.methods import head_selection
from foir_lib.models.vit import ClsState, ViT
from foir_lib.retrievers.heads import states
from foir_lib.search.knn import knn
from foir_lib.view import figures
from foir_lib.view.exercises.checking import check

LATER = "appears after your answer"


def plain_list(guess, experiment: Experiment, objects: pd.DataFrame) -> str:
    """For which of ``objects``, rows of the set's queries, are most of the first ten results of CBIR right? A label."""
    relevance = experiment.set.protocols["contains"].relevance(experiment.ranking("CBIR").ids)
    p10 = pd.Series(relevance[objects.index, :10].mean(1), index=objects["label"], name="P@10")
    slips = {f"P@10 is {p:.1f} there.": label for label, p in p10.items() if p < p10.max()}
    return check(guess, p10.idxmax(), slips) + ("" if guess is ... else f"\n{p10.round(1).to_string()}")


def roi_attention(spent, state: ClsState, roi: torch.Tensor, head: int) -> str:
    """The ROI attention of one ``head`` (PHS eq. 7), a number; ``roi`` (N,) bool."""
    attention = state.attention[0].cpu()
    share = attention[:, roi].sum(1)
    slips = {"that is the mean over the region, equation 7 sums.": attention[head, roi].mean()}
    slips["that is all it spends on patches, take the region only."] = attention[head].sum()
    slips["that is what it spends outside the region."] = attention[head, ~roi].sum()
    slips["that is the sum over all heads, take one."] = attention[:, roi].sum()
    slips |= {f"that is head {i}, take head {head}.": a for i, a in enumerate(share) if i != head}
    return check(spent, share[head], slips)


def chosen_heads(mine, state: ClsState, roi: torch.Tensor, h_on: int) -> str:
    """The ``h_on`` heads that look most at ``roi`` (N,), a set."""
    select = torch.where(head_selection.select(state, roi[None], h_on)[0].cpu())[0]
    by_dice = f"by dice: {h_on**2 / state.attention.shape[1]:.1f} of {h_on} are right, on average"
    return f"{check(mine, set(select.tolist()))}\n{by_dice}"


def result_lists(experiment: Experiment, query: int, h_on: int, **others) -> dict[str, tuple]:
    """Result lists of CBIR, of ``others`` (name -> ids) and of PHS for a query: name -> (ids, None, which are right)."""
    first, last = (experiment.ranking(method).top(query) for method in ("CBIR", f"PHS(h_on={h_on})"))
    ids, right = {"CBIR": first, **others, "PHS": last}, experiment.set.protocols["contains"].positives(query)
    return {name: (rows, None, np.isin(rows, right)) for name, rows in ids.items()}


def list_of_heads(mine, model: ViT, state: ClsState, experiment: Experiment, query: int) -> dict[str, np.ndarray]:
    """The first ten results under the heads ``mine``, a set: {"yours": ids}; empty while there is none."""
    on = torch.tensor([[isinstance(mine, (set, list)) and i in mine for i in range(model.n_heads)]])
    if not on.any():
        return {}
    own = model.descriptor(state, head_selection.weights(on))
    database = states(experiment.corpus.database).read("descriptor")
    return {"yours": knn(own, database, 10, device=model.device, exclude=experiment.own()[[query]])[1][0]}


def largest_loss(loser, scores: pd.DataFrame) -> str:
    """The query that loses the most, a row of ``scores`` with columns CBIR and PHS (P@100 in percent)."""
    gain = scores["PHS"] - scores["CBIR"]
    slips = {"that one gains the most.": gain.idxmax(), "that is the gain, its row is objects.": gain.min()}
    slips["PHS is lowest there, not the gain."] = scores["PHS"].idxmin()
    return check(loser, gain.idxmin(), slips)


class Loss:
    """The query that loses the most under PHS, seen from inside: ``query``, its row; ``there``: all queries of its picture.

    ``shares``: ROI attention in percent, a row for each of them, a column for each head; ``kept`` (h,): which PHS keeps.
    """

    def __init__(self, model: ViT, experiment: Experiment, scores: pd.DataFrame, h_on: int):
        rs = experiment.set
        self.experiment, self.scores, self.h_on = experiment, scores, h_on
        self.query = int((scores["PHS"] - scores["CBIR"]).idxmin())
        self.there = rs.queries[rs.queries["image_id"] == rs.queries["image_id"][self.query]]
        photo = rs.open(self.there["image_id"].iloc[0])
        self.rois = np.stack([prompt.tokens(model.grid, photo.size) for prompt in self.there["prompt"]])
        state = model.cls_state(model.preprocess(photo)[None])
        shares = head_selection.roi_attention(state[[0] * len(self.rois)], self.rois).cpu().numpy()
        self.shares = pd.DataFrame(100 * shares, index=self.there.index)
        here = self.there.index == self.query
        self.kept = head_selection.select(state, self.rois[here], h_on)[0].cpu().numpy()
        self.same_kind = (self.there["label"] == self.there["label"][self.query]) & ~here

    def lists(self, loser) -> Figure | None:
        """Its lists, once ``loser`` is an answer."""
        if loser is ...:
            return None
        return figures.compare_lists(self.experiment.set, self.query, result_lists(self.experiment, self.query, self.h_on), k=6)

    def table(self, loser) -> str:
        """The attention of heads on each object of the picture, once ``loser`` is an answer."""
        if loser is ...:
            return LATER
        table = self.shares.round().astype(int).astype(object).assign(label=self.there["label"])
        table.loc["kept"] = [*np.where(self.kept, "*", ""), "heads that PHS keeps"]
        return table.rename(index={self.query: f"{self.query} <-"}).to_string()

    def explanation(self, why) -> str:
        """Which explanation holds: "A" no head looks there; "B" heads on another of its kind are off; "C" look-alikes come instead."""
        rs, label = self.experiment.set, self.there["label"][self.query]
        on_other = self.shares[self.same_kind].max().to_numpy() > 50  # heads that mostly look at one like it
        ids = self.experiment.ranking(f"PHS(h_on={self.h_on})", k=100).top(self.query)
        others = rs.objects[rs.objects["label"] != label].groupby("image_id")["label"]
        twins = others.agg(lambda names: names.str.startswith(label.rsplit(" ", 2)[0]).any())  # without its place
        twins = twins.reindex(rs.database["image_id"].iloc[ids], fill_value=False)
        here = self.there.index == self.query
        holds = {"A": self.shares.loc[self.query].max() / 100 <= self.rois[here].mean()}
        holds["B"] = on_other.any() and not (on_other & self.kept).any()
        holds["C"] = twins.mean() > (1 - self.scores["PHS"][self.query] / 100) / 2
        return check(why, "".join(letter for letter, so in holds.items() if so))

    def remedy(self, why) -> str:
        """P@100 when pointing at this object and at the other of its kind, once ``why`` is an answer."""
        if why is ...:
            return LATER
        rows = {"this one": self.query, "the other of its kind": self.same_kind.idxmax()}
        points = ", ".join(f"{name}: {self.scores['PHS'][row]:.0f} %" for name, row in rows.items())
        return f"P@100 of PHS when pointing at {points}"
