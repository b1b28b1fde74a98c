"""Options that several commands of `evalsuite lab` share, and the keywords that they make."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

Tasks = Annotated[list[Path], typer.Argument(help="Task folders, areas, or whole task roots such as a LAB checkout.")]
Select = Annotated[
    str | None,
    typer.Option("--select", metavar="IDS", help="Only these: task ids, areas or workflows, comma-separated."),
]
Judges = Annotated[
    list[str] | None,
    typer.Option(
        "--judge", "-j", metavar="MODEL", help="Model that judges what has no check, e.g. openai/NAME (repeat)."
    ),
]
Judging = Annotated[
    str,
    typer.Option("--judging", metavar="NAME", help="Judging profile: full, or lab-compat (LAB's own view, no checks)."),
]
Votes = Annotated[int, typer.Option("--votes", min=1, metavar="N", help="Votes of each judge on each criterion.")]
Aggregation = Annotated[
    str, typer.Option("--aggregation", metavar="NAME", help="Votes to verdict: strict, majority, mean (LAB's dual).")
]
BaseUrl = Annotated[
    str | None, typer.Option("--base-url", metavar="URL", help="OpenAI-compatible server for agent and judges.")
]
JudgeUrl = Annotated[str | None, typer.Option("--judge-base-url", metavar="URL", help="The same for the judges alone.")]
JudgesUrl = Annotated[
    str | None,
    typer.Option("--base-url", "--judge-base-url", metavar="URL", help="OpenAI-compatible server for the judges."),
]
JudgeHeat = Annotated[
    float | None,
    typer.Option("--judge-temperature", min=0, metavar="T", help="Sampling temperature of the judges."),
]
OutputTokens = Annotated[
    int, typer.Option("--max-output-tokens", min=1, metavar="N", help="Longest answer of a model.")
]
StrictNames = Annotated[bool, typer.Option("--strict-names", help="Deliverables count only under their exact path.")]
MaxCost = Annotated[
    float | None,
    typer.Option(
        "--max-cost", min=0, metavar="USD", help="Ask no model any more once this is spent; prices must be known."
    ),
]
Prices = Annotated[
    list[str] | None,
    typer.Option(
        "--price", metavar="PRICE", help="MODEL=IN,OUT or MODEL=IN,OUT,CACHED, USD per million tokens (repeat)."
    ),
]
Concurrency = Annotated[
    int,
    typer.Option("--concurrency", "-n", min=1, metavar="N", help="Trials, and model requests, at the same time."),
]

Turns = Annotated[int, typer.Option("--max-turns", min=1, metavar="N", help="Model answers per trial.")]
TrialTokens = Annotated[
    int | None, typer.Option("--max-tokens", min=1, metavar="N", help="Tokens per trial, input and output.")
]
Seconds = Annotated[float, typer.Option("--max-seconds", min=0.001, metavar="SECONDS", help="Seconds per trial.")]
TrialCost = Annotated[float | None, typer.Option("--max-trial-cost", min=0, metavar="USD", help="USD per trial.")]
SandboxName = Annotated[
    str,
    typer.Option("--sandbox", metavar="NAME", help="auto, bwrap, podman, docker, or local (with --unsafe-local)."),
]
UnsafeLocal = Annotated[
    bool, typer.Option("--unsafe-local", help="With --sandbox local: commands run as you, unconfined.")
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Say what would be run and judged, and spend nothing.")]


def once(named: list[str] | None) -> list[str]:
    """Each name once, in the order given: a system or judge that is named twice would be one run folder or vote twice."""
    return list(dict.fromkeys(named or []))


def grading(
    judge: list[str] | None,
    judging: str,
    votes: int,
    aggregation: str,
    judge_base_url: str | None,
    judge_temperature: float | None,
    max_output_tokens: int,
) -> dict[str, Any]:
    """How verdicts come about, as keywords of `lab.options.Options`."""
    return {
        "judges": once(judge),
        "judging": judging,
        "votes": votes,
        "aggregation": aggregation,
        "judge_base_url": judge_base_url,
        "judge_temperature": judge_temperature,
        "max_output_tokens": max_output_tokens,
    }


def common(
    strict_names: bool,
    max_cost: float | None,
    price: list[str] | None,
    concurrency: int,
    out: Path,
    cache: Path | None,
    fresh: bool,
) -> dict[str, Any]:
    """The rest that commands of the wing share, likewise."""
    from evalsuite.models import parse_price

    return {
        "strict_names": strict_names,
        "max_cost": max_cost,
        "prices": dict(map(parse_price, price or [])),
        "concurrency": concurrency,
        "out": out,
        "cache": cache,
        "fresh": fresh,
    }
