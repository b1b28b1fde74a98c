"""How templates say things: the filters of the report and the leaderboard, and text from files made harmless."""

from __future__ import annotations

from functools import cache
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from evalsuite.records import Interval, Rate
from evalsuite.reporting import words
from evalsuite.reporting.agreement import report_of
from evalsuite.reporting.boards import bars, chance, difference, legend, measured, plots, taken, title
from evalsuite.reporting.charts import number, visible, whisker
from evalsuite.reporting.gridpage import deviation, headline, shape, signed, variance
from evalsuite.reporting.recognised import recognised, recognised_chart
from evalsuite.reporting.standings import problem

LONGEST = 10_000


@cache
def environment() -> Environment:
    """Jinja with autoescape; every text that is printed has its control characters made visible."""
    found = Environment(
        loader=PackageLoader("evalsuite.reporting"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        finalize=_shown,
    )
    found.globals.update(
        title=title,
        bars=bars,
        plots=plots,
        recognised=recognised,
        recognised_chart=recognised_chart,
        taken=taken,
        legend=legend,
        number=number,
        whisker=whisker,
        measures=words.MEASURES,
        helps=words.HELPS,
    )
    found.filters.update(
        chance=chance,
        cost=words.cost,
        counted=_counted,
        deviation=deviation,
        difference=difference,
        headline=headline,
        measured=_measured,
        problem=problem,
        rate=words.rate,
        reviewed=report_of,
        shape=shape,
        signed=signed,
        tokens=words.tokens,
        variance=variance,
        zip=zip,
    )
    return found


def _shown(value: Any) -> Any:
    return visible(value, LONGEST) if isinstance(value, str) and not isinstance(value, Markup) else value


def _counted(n: int, noun: str, plural: str | None = None) -> str:
    return f"{n:,} {plural}" if plural and n != 1 else words.count(n, noun)


def _measured(value: Interval | Rate | dict[str, Any]) -> str:
    return measured(Rate.model_validate(value) if isinstance(value, dict) else value)
