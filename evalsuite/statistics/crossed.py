"""Systems crossed with tasks: how much of the spread is model, harness, the two together, task, and trial."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from evalsuite.statistics.bootstrap import LEVEL, Floats, t_quantile

FEW_TASKS = 5
ROUNDING = 1e-12
SAME = "the same in every task: no interval"
METHOD = (
    "ANOVA estimates of the mixed model with these models and harnesses as fixed, tasks and trials as random; what is "
    "below 0 is shown as 0. Intervals: jackknife over tasks with Student's t, of model, harness and both on the scale of the "
    "square root; of task, Williams' chi-square"
)
TAIL = (1 - LEVEL) / 2


@dataclass(frozen=True)
class Component:
    """A variance with its 95 % interval over tasks. None: the design cannot tell it; `note` says why."""

    variance: float | None
    low: float | None = None
    high: float | None = None
    note: str = ""


@dataclass(frozen=True)
class Spread:
    """Best minus worst column: their places, the difference of their means and its 95 % interval over tasks."""

    best: int
    worst: int
    spread: float
    low: float | None
    high: float | None


def crossed_components(values: Floats) -> dict[str, Component]:
    """Variances of model, harness, "model x harness", task, "task x system" and trial from values [task, model, harness, trial].

    The first three are of the true means of these very models and harnesses over all tasks of the kind (divided by levels - 1,
    their effects taken off for the third); "task x system" is what a task has against or for single systems. With one trial
    it cannot be told from trial: "task x system" is None and trial holds both. Interval: which numbers other tasks of the
    kind would have given; none with fewer than FEW_TASKS tasks.
    Source: Searle, Casella & McCulloch, Variance Components (1992), ch. 4; Miller (1974), Biometrika 61 (jackknife);
    Williams (1962), Biometrika 49 (task).
    """
    n_tasks, n_models, n_harnesses, n_trials = values.shape
    cells = values.mean(axis=3)
    grand = cells.mean(axis=(1, 2), keepdims=True)
    by_model = cells.mean(axis=2, keepdims=True) - grand
    by_harness = cells.mean(axis=1, keepdims=True) - grand
    both = cells - grand - by_model - by_harness
    found = {
        "model": _effect(by_model.reshape(n_tasks, -1), n_models - 1, "model"),
        "harness": _effect(by_harness.reshape(n_tasks, -1), n_harnesses - 1, "harness"),
        "model x harness": _effect(
            both.reshape(n_tasks, -1), (n_models - 1) * (n_harnesses - 1), "model" if n_models < 2 else "harness"
        ),
    }
    noise = values.var(axis=3, ddof=1).mean(axis=(1, 2)) if n_trials > 1 else None
    found["task"] = _task(grand.ravel(), noise, n_models * n_harnesses * n_trials)
    deviations = (cells - grand).reshape(n_tasks, -1)
    return found | _rest(deviations, noise, n_trials)


def _effect(effects: Floats, df: int, name: str) -> Component:
    """Of effects [task, level]: the sum of their squared true means over df, without the bias of a plain sum."""
    if not df:
        return Component(None, note=f"one {name} only")
    if len(effects) < 2:
        return Component(None, note="one task only")

    def between(kept: Floats) -> float:
        n, total = len(kept), kept.sum(axis=0)
        return float(total @ total - (kept * kept).sum()) / (n * (n - 1) * df)

    return _jackknifed(between, effects, root=True)


def _rest(deviations: Floats, noise: Floats | None, n_trials: int) -> dict[str, Component]:
    """Task x system and trial from the tasks' deviations [task, system] and their variances within cells [task]."""
    n_tasks, n_systems = deviations.shape
    if n_tasks < 2:
        one = Component(None, note="one task only")
        return {"task x system": one, "trial": one if noise is None else Component(float(noise.mean()))}

    def across(kept: Floats) -> float:
        inner, within = kept[:, :-1], kept[:, -1]
        return float(inner.var(axis=0, ddof=1).sum() / (n_systems - 1) - within.mean() / n_trials)

    if noise is None:
        together = _jackknifed(across, np.column_stack([deviations, np.zeros(n_tasks)]))
        return {
            "task x system": Component(None, note="one trial only: it is part of trial"),
            "trial": Component(together.variance, together.low, together.high, "with task x system"),
        }
    return {
        "task x system": _jackknifed(across, np.column_stack([deviations, noise])),
        "trial": _jackknifed(lambda kept: float(kept.mean()), noise[:, None]),
    }


def _task(means: Floats, noise: Floats | None, size: int) -> Component:
    """Variance of the tasks' means less what trials add to it; that share is taken as known."""
    n = len(means)
    if n < 2:
        return Component(None, note="one task only")
    taken = 0.0 if noise is None else float(noise.mean()) / size
    note = "with a share of trial" if noise is None else ""
    spread = float(means.var(ddof=1))
    if n < FEW_TASKS:
        return _component(spread - taken, math.nan, math.nan, _also(note, _few(n)))
    if spread < ROUNDING:
        return _component(spread - taken, math.nan, math.nan, _also(note, SAME))
    from scipy.special import chdtri

    low, high = ((n - 1) * spread / float(chdtri(n - 1, tail)) - taken for tail in (TAIL, 1 - TAIL))
    return _component(spread - taken, low, high, note)


def _jackknifed(statistic: Callable[[Floats], float], rows: Floats, *, root: bool = False) -> Component:
    """Of a statistic of rows [task, ...]. `root`: the interval is taken on the scale of the square root and squared."""
    n, value = len(rows), statistic(rows)
    if n < FEW_TASKS:
        return _component(value, math.nan, math.nan, _few(n))
    left_out = np.array([statistic(np.delete(rows, row, axis=0)) for row in range(n)])
    error = math.sqrt((n - 1) * float(((left_out - left_out.mean()) ** 2).mean()))
    if error < ROUNDING:
        return _component(value, math.nan, math.nan, SAME)
    reach = t_quantile(1 - TAIL, n - 1) * error
    if not root:
        return _component(value, value - reach, value + reach)
    bend = min(reach * reach / (4 * value), reach) if value > 0 else reach
    return _component(value, value - reach + bend if 2 * value > reach else 0.0, value + reach + bend)


def _component(value: float, low: float, high: float, note: str = "") -> Component:
    value, low, high = (0.0 if abs(number) < ROUNDING else number for number in (value, low, high))
    if value < 0:
        note = _also(note, f"the estimate is negative ({value:.2g}), shown as 0")
    if math.isnan(low):
        return Component(max(value, 0.0), note=note)
    return Component(max(value, 0.0), max(low, 0.0), max(high, 0.0), note)


def _also(*notes: str) -> str:
    return "; ".join(note for note in notes if note)


def _few(n: int) -> str:
    return f"{n} tasks are too few for an interval"


def best_minus_worst(values: Floats) -> Spread:
    """The range of the column means of values [task, column], which are shares: it is at most 1.

    The best of several looks better than it is. So the low end is the largest one of the lower limits of all pairs, which hold
    together (Bonferroni); the high end is the largest upper limit, each by itself, which suffices. None with fewer than
    FEW_TASKS tasks, or where a pair that decides an end has the same difference in every task, which would pass for certain.
    """
    n, columns = values.shape
    means = values.mean(axis=0)
    best, worst = int(means.argmax()), int(means.argmin())
    spread = float(means[best] - means[worst])
    pairs = list(combinations(range(columns), 2))
    between = np.stack([values[:, a] - values[:, b] for a, b in pairs], axis=1) if pairs else np.zeros((n, 0))
    if n < FEW_TASKS or not pairs:
        return Spread(best, worst, spread, None, None)
    size, error = np.abs(between.mean(axis=0)), between.std(axis=0, ddof=1) / math.sqrt(n)
    lows = size - t_quantile(1 - TAIL / (2 * len(pairs)), n - 1) * error
    highs = size + t_quantile(1 - TAIL, n - 1) * error
    constant = np.ptp(between, axis=0) < ROUNDING
    if constant[highs.argmax()] or (constant[lows.argmax()] and lows.max() > ROUNDING):
        return Spread(best, worst, spread, None, None)
    return Spread(best, worst, spread, max(float(lows.max()), 0.0), min(float(highs.max()), 1.0))
