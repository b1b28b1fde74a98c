"""The report's section on models and harnesses: which runs of a page form a grid, and how its numbers are said."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence

from evalsuite.errors import RunError, UsageError
from evalsuite.reporting.charts import isolated, number
from evalsuite.reporting.griddata import WITHOUT, Cells
from evalsuite.reporting.grids import Dominated, Grid, Help, Share, grid_of
from evalsuite.reporting.sections import Section
from evalsuite.reporting.words import count

MOST = 3


def grid_among(group: Sequence[Section], baseline: str | None = None) -> Grid | None:
    """The grid that those of comparable runs form that have a model: each model with each harness, once. None: they form none.

    Raises UsageError for a `baseline` that is none of its harnesses.
    """
    asking = [section for section in group if section.manifest.system.get("model")]
    if len(asking) < 2:
        return None
    try:
        cells = Cells.of(asking)
    except (UsageError, RunError):
        return None
    return None if WITHOUT in cells.models else grid_of(cells, baseline=baseline)


def shape(found: Grid) -> str:
    """ "matters 1.0: 2 models x 3 harnesses, 8 tasks, 2 trials each · protocol p1"."""
    harnesses = "1 harness" if len(found.harnesses) == 1 else f"{len(found.harnesses)} harnesses"
    return (
        f"{found.suite}: {count(len(found.models), 'model')} x {harnesses}, "
        f"{count(len(found.tasks), 'task')}, {count(found.trials, 'trial')} each · protocol {found.protocol}"
    )


def headline(found: Grid) -> str:
    """What a reader decides by: which harness helps which model, and how much of the spread is harness and model."""
    if not found.tasks:
        return "Nothing can be told: no task is graded in full in every cell."
    return " ".join([*_effects(found), *_parts(found)])


def _effects(found: Grid) -> Iterator[str]:
    rows = [row for row in found.helps if row.measure == "criterion_rate"]
    over = isolated(found.baseline)
    best = _by_harness(row for row in rows if row.told > 0 and found.helped_by[row.model] == row.harness)
    for harness, helped in best.items():
        named = [f"{isolated(row.model)} by {number(row.mean, row.low, row.high)}" for row in helped[:MOST]]
        yield f"{isolated(harness)} helps {_joined(named, len(helped))}, over {over}."
    for harness, harmed in _by_harness(row for row in rows if row.told < 0).items():
        named = [f"{isolated(row.model)} by {_loss(row)}" for row in sorted(harmed, key=lambda row: row.mean)[:MOST]]
        yield f"{isolated(harness)} harms {_joined(named, len(harmed))}, against {over}."
    alone = [isolated(model) for model, harness in found.helped_by.items() if harness is None]
    if rows and alone:
        yield f"No harness is told to help {_joined(alone[:MOST], len(alone)) if best else 'a model'} over {over}."


def _by_harness(rows: Iterable[Help]) -> dict[str, list[Help]]:
    found: dict[str, list[Help]] = defaultdict(list)
    for row in rows:
        found[row.harness].append(row)
    return found


def _loss(row: Help) -> str:
    low, high = (None, None) if row.low is None or row.high is None else (-row.high, -row.low)
    return number(-row.mean, low, high)


def _joined(named: Sequence[str], total: int) -> str:
    words = [*named, f"{total - len(named)} more"] if total > len(named) else list(named)
    return " and ".join(filter(None, [", ".join(words[:-1]), words[-1]]))


def _parts(found: Grid) -> Iterator[str]:
    rows = {row.source: row for row in found.components["criterion_rate"]}
    both = rows["model x harness"]
    if both.share and all(both.share > (rows[source].share or 0) for source in ("harness", "model")):
        so = ": what a harness does depends on the model" if both.low else ""
        yield f"Model x harness is {both.share:.0%} of the spread of criterion rate, sd {deviation(both)}{so}."
    for source in ("harness", "model"):
        row = rows[source]
        if row.share is not None:
            yield f"{source.capitalize()} is {row.share:.0%} of the spread of criterion rate, sd {deviation(row)}."
        elif row.variance is None:
            yield f"How much of the spread is {source} cannot be told: {row.note}."
    if any(row.variance is not None for row in rows.values()) and all(row.share is None for row in rows.values()):
        yield "The criterion rate is the same in every cell, task and trial."


def variance(share: Share) -> str:
    """With its interval, five decimals: "0.03460 (0.02314–0.04835)"."""
    if share.variance is None:
        return "cannot be told"
    if share.low is None or share.high is None:
        return f"{share.variance:.5f} (no interval)"
    return f"{share.variance:.5f} ({share.low:.5f}–{share.high:.5f})"


def deviation(share: Share) -> str:
    """The standard deviation and its interval: the roots of the variance's, in units of the rate."""
    if share.variance is None:
        return "cannot be told"
    low, high = (None if end is None else end**0.5 for end in (share.low, share.high))
    return number(share.variance**0.5, low, high)


def signed(row: Help | Dominated) -> str:
    """A difference of rates: "-0.031 (-0.120 to +0.052)"."""
    if row.low is None or row.high is None:
        return f"{row.mean:+.3f} (no interval)"
    return f"{row.mean:+.3f} ({row.low:+.3f} to {row.high:+.3f})"
