"""What the study says: seconds with and without outlines, the tests, how many picks are right, beside what the thesis published."""

import numpy as np
import pandas as pd
from scipy import stats

from foir_lib.errors import InputError

PUBLISHED = {"with": (37.07, 49.76), "without": (53.71, 80.08), "p": 0.00091, "helpful": (6.375, 0.89)}  # thesis, section 2.3


def analysis(rows: pd.DataFrame) -> pd.DataFrame:
    """Rows of :meth:`Record.rows` as a table: what, ours, sd, n, published, published sd.

    Seconds: mean and standard deviation (n - 1) over answers. Paired t-test: over people who answered both ways, of their mean seconds;
    Welch's: over all answers. The thesis doesn't name its test; its means and 320 answers a side give about 0.0017 by Welch's.
    Precision of picks is the *human* row beside the methods. NaN where there are too few answers. Raises InputError without any.
    """
    asked = rows[rows["outlined"].notna()]
    if not len(asked):
        raise InputError("Nobody has answered yet: the study has nothing to analyse.")
    sides = {"with": asked[asked["outlined"] == 1], "without": asked[asked["outlined"] == 0]}
    lines = [_line(f"seconds {name} outlines", side["seconds"], PUBLISHED[name]) for name, side in sides.items()]
    means = asked.pivot_table(index="participant", columns="outlined", values="seconds").reindex(columns=[1, 0]).dropna()
    lines.append(_test("p, paired t-test over people", _p(stats.ttest_rel, means[1], means[0]), len(means), PUBLISHED["p"]))
    both = [side["seconds"] for side in sides.values()]
    lines.append(_test("p, Welch's t-test over answers", _p(stats.ttest_ind, *both, equal_var=False), len(asked), np.nan))
    share = 100 * asked["correct"] / asked["true"].str.split().str.len()
    lines.append(_line("precision of picks, %", share))
    lines += [_line(f"precision of picks {name} outlines, %", share[side.index]) for name, side in sides.items()]
    lines.append(_line("helpful, 1 to 7", rows["helpful"].dropna(), PUBLISHED["helpful"]))
    return pd.DataFrame(lines)


def welch(mean: tuple[float, float], sd: tuple[float, float], n: tuple[int, int]) -> float:
    """p of Welch's test from what a paper prints."""
    return float(stats.ttest_ind_from_stats(mean[0], sd[0], n[0], mean[1], sd[1], n[1], equal_var=False).pvalue)


def _line(what, values, published=(np.nan, np.nan)):
    mean, sd = (values.mean() if len(values) else np.nan), (values.std(ddof=1) if len(values) > 1 else np.nan)
    return {"what": what, "ours": float(mean), "sd": float(sd), "n": len(values), "published": published[0], "published sd": published[1]}


def _test(what, p, n, published):
    return {"what": what, "ours": p, "sd": np.nan, "n": n, "published": published, "published sd": np.nan}


def _p(test, one, other, **options):
    return float(test(one, other, **options).pvalue) if min(len(one), len(other)) > 1 else np.nan
