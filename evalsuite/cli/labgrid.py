"""evalsuite lab grid: models x harnesses, and where the spread comes from."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from evalsuite.cli import labshow
from evalsuite.cli.common import (
    ERRORS,
    OK,
    Cache,
    Debug,
    Fresh,
    Json,
    Out,
    Page,
    print_ending,
    print_json,
    progress,
    visible,
)
from evalsuite.cli.laboptions import (
    Aggregation,
    BaseUrl,
    Concurrency,
    DryRun,
    JudgeHeat,
    Judges,
    JudgeUrl,
    Judging,
    MaxCost,
    OutputTokens,
    Prices,
    SandboxName,
    Seconds,
    Select,
    StrictNames,
    TrialCost,
    TrialTokens,
    Turns,
    UnsafeLocal,
    Votes,
    common,
    grading,
    once,
)
from evalsuite.errors import UsageError

if TYPE_CHECKING:
    from rich.table import Table

    from evalsuite.reporting.grids import Cell, Grid, Help, Share, Spread


WITH_FROM = ("tasks", "existing", "baseline", "report", "as_json", "debug")
"""Parameters that a report on finished runs uses."""


def grid(
    context: typer.Context,
    tasks: Annotated[
        list[Path], typer.Argument(metavar="TASKS", help="Task folders, areas or task roots; with --from: run folders.")
    ],
    agent: Annotated[
        list[str] | None,
        typer.Option(
            "--agents",
            "--agent",
            "-a",
            metavar="AGENTS",
            help="react, module:callable ... (commas, or repeat).  [default: react]",
        ),
    ] = None,
    profile: Annotated[
        list[str] | None,
        typer.Option(
            "--profiles",
            "--profile",
            "-p",
            metavar="PROFILES",
            help="Harnesses, by name or YAML file; lab list shows them (commas, or repeat).  [default: default]",
        ),
    ] = None,
    model: Annotated[
        list[str] | None,
        typer.Option(
            "--models", "--model", "-m", metavar="MODELS", help="openai/NAME, anthropic/NAME ... (commas, or repeat)."
        ),
    ] = None,
    trials: Annotated[
        int,
        typer.Option(
            "--trials", "-k", min=1, metavar="N", help="Trials per task and cell; with one, trial is not told apart."
        ),
    ] = 2,
    existing: Annotated[
        bool,
        typer.Option(
            "--from", help="TASKS are finished lab runs, or folders of them: report on these and run nothing."
        ),
    ] = False,
    baseline: Annotated[
        str | None,
        typer.Option(
            metavar="HARNESS", help="The one others are compared with.  [default: minimal, default, or the first]"
        ),
    ] = None,
    judge: Judges = None,
    judging: Judging = "full",
    votes: Votes = 1,
    aggregation: Aggregation = "strict",
    concurrency: Concurrency = 4,
    select: Select = None,
    base_url: BaseUrl = None,
    judge_base_url: JudgeUrl = None,
    temperature: Annotated[
        float | None, typer.Option(min=0, metavar="T", help="Sampling temperature of the agents' models.")
    ] = None,
    judge_temperature: JudgeHeat = 0.0,
    max_output_tokens: OutputTokens = 16_384,
    max_turns: Turns = 200,
    max_tokens: TrialTokens = None,
    max_seconds: Seconds = 7200,
    max_trial_cost: TrialCost = None,
    max_cost: MaxCost = None,
    price: Prices = None,
    sandbox: SandboxName = "auto",
    unsafe_local: UnsafeLocal = False,
    strict_names: StrictNames = False,
    out: Out = Path("reports"),
    cache: Cache = None,
    report: Page = None,
    fresh: Fresh = False,
    dry_run: DryRun = False,
    as_json: Json = False,
    debug: Debug = False,
) -> int:
    """Cross models with harnesses on the same tasks, and say where the spread comes from: variance of model, harness, the two
    together, task and trial; which harness helps which model; which is not worth what it costs.

    Every cell is an ordinary run folder and resumes like one; finished ones are taken as they are, also those of module:callable
    and command:, whose code is not known in full (--fresh works all anew). Exit 3: a task is left out because something in it is
    ungraded.

    Example: evalsuite lab grid tasks -p minimal,plan-then-write,review -m openai/NAME,anthropic/NAME -k 3

    Example: evalsuite lab grid --from reports/*-react-*
    """
    from evalsuite.lab import grid as grids
    from evalsuite.lab.agents import Limits
    from evalsuite.reporting.grids import check_baseline
    from evalsuite.reporting.grids import grid as report_on

    if report is not None:
        _check_page(report)
    if existing:
        given = [p for p in context.command.params if _is_given(context, p.name or "")]
        if wrong := [p.opts[0] for p in given if p.name not in WITH_FROM]:
            raise UsageError(f"--from runs nothing and takes no {', '.join(wrong)}")
        runs = tasks
    else:
        sys.path.insert(0, str(Path.cwd()))  # so that module:callable finds what lies here
        options: dict[str, Any] = {
            "models": _listed(model),
            "profiles": _listed(profile) or ["default"],
            "trials": trials,
            "base_url": base_url,
            "temperature": temperature,
            "limits": Limits(turns=max_turns, tokens=max_tokens, seconds=max_seconds, cost=max_trial_cost),
            "sandbox": sandbox,
            "unsafe_local": unsafe_local,
            **grading(judge, judging, votes, aggregation, judge_base_url, judge_temperature, max_output_tokens),
            **common(strict_names, max_cost, price, concurrency, out, cache, fresh),
        }
        agents = _listed(agent) or ["react"]
        options |= {"select": select, "check": lambda planned: check_baseline(planned, baseline)}
        if dry_run:
            return labshow.plans(grids.plan(tasks, agents, **options), as_json)
        with progress():
            outcomes = grids.run(tasks, agents, tell=_note, **options)
        runs = [outcome.path for outcome in outcomes]
    found = report_on(runs, baseline=baseline)
    if as_json:
        print_json(json.loads(found.model_dump_json()))
    else:
        _print(found)
    _aside(found)
    if report is not None:
        from evalsuite.reporting.page import build

        build([Path(cell.run) for cell in found.cells], report, baseline=baseline)
        typer.echo(f"report: {report}", err=True)
    return ERRORS if found.left_out or any(cell.status != "complete" for cell in found.cells) else OK


def _is_given(context: typer.Context, name: str) -> bool:
    source = context.get_parameter_source(name)
    return source is not None and source.name != "DEFAULT"


def _check_page(path: Path) -> None:
    """Raise UsageError or OSError if the page could not be written, before anything is spent for it."""
    from evalsuite.storage import require_folder

    require_folder(path.absolute().parent, "folder of the page")
    path.parent.mkdir(parents=True, exist_ok=True)
    there = path.exists()
    path.open("ab").close()
    if not there:
        path.unlink()


def _listed(named: list[str] | None) -> list[str]:
    """Names between commas, each once; what is a file or a command is left whole."""
    found = [
        part
        for name in named or []
        for part in ([name] if name.startswith("command:") or Path(name).is_file() else name.split(","))
    ]
    return once([part.strip() for part in found if part.strip()])


def _print(found: Grid) -> None:
    from rich.console import Console

    from evalsuite.reporting.gridpage import shape

    screen = Console(width=None if sys.stdout.isatty() else 160, emoji=False, markup=False, highlight=False)
    screen.print(visible(shape(found)), soft_wrap=True)
    screen.print(_cells(found.cells))
    for measure, shares in found.components.items():
        screen.print(_shares(measure, shares))
    spreads = [row for row in found.spreads if row.measure == "criterion_rate"]
    if spreads:
        screen.print(_spreads(spreads))
    helps = [row for row in found.helps if row.measure == "criterion_rate"]
    if helps:
        screen.print(_helps(helps, found.baseline))
    for line in _sentences(found):
        screen.print(visible(line), soft_wrap=True)


def _cells(cells: Sequence[Cell]) -> Table:
    table = _table("cells", ("model", "harness"), ("criterion rate", "all-pass", "tokens", "USD"))
    for cell in cells:
        rates = [
            "-" if rate.rate is None else f"{rate.rate:.3f}{_interval(rate.low, rate.high)}"
            for rate in (cell.criterion_rate, cell.all_pass)
        ]
        spends = ["unknown" if cell.tokens is None else f"{cell.tokens:,.0f}"]
        spends.append("unknown" if cell.cost is None else f"{cell.cost:.4f}")
        table.add_row(visible(cell.model), visible(cell.harness), *rates, *spends)
    table.caption = "tokens and USD: of the agent, per trial"
    return table


def _shares(measure: str, shares: Sequence[Share]) -> Table:
    from evalsuite.reporting.words import MEASURES

    table = _table(
        f"where the spread of {MEASURES[measure]} comes from", ("source",), ("variance [95 % interval]", "sd", "share")
    )
    table.add_column("", overflow="fold")
    for row in shares:
        value, sd, share = "-", "-", "-"
        if row.variance is not None:
            value, sd = f"{row.variance:.5f}{_interval(row.low, row.high, 5)}", f"{row.variance**0.5:.3f}"
        if row.share is not None:
            share = f"{row.share:.0%}"
        table.add_row(row.source, value, sd, share, row.note)
    return table


def _spreads(rows: Sequence[Spread]) -> Table:
    table = _table(
        "best minus worst harness, criterion rate", ("model", "best", "worst"), ("difference [95 % interval]",)
    )
    for row in rows:
        name = "mean over models" if row.model is None else row.model
        between = f"{row.spread:.3f}{_interval(row.low, row.high)}"
        table.add_row(visible(name), visible(row.best), visible(row.worst), between)
    return table


def _helps(rows: Sequence[Help], baseline: str) -> Table:
    from evalsuite.reporting.words import HELPS

    columns = ("difference [95 % interval]", "p", "p corrected")
    table = _table(f"against {visible(baseline)}, criterion rate", ("model", "harness"), columns)
    table.add_column("")
    for row in rows:
        low, high = row.low, row.high
        between = f"{row.mean:+.3f}" + ("" if low is None or high is None else f" [{low:+.3f}, {high:+.3f}]")
        p = ["-" if value is None else f"{value:.4f}" for value in (row.p, row.p_corrected)]
        table.add_row(visible(row.model), visible(row.harness), between, *p, HELPS[row.told])
    table.caption = "p: paired randomisation test over tasks; corrected by Holm over all rows"
    return table


def _sentences(found: Grid) -> Iterator[str]:
    for model, harness in found.helped_by.items():
        told = f"{harness} helps it most" if harness else f"no harness is told to help it over {found.baseline}"
        yield f"{model}: {told}"
    for row in found.dominated:
        name = "over all models" if row.model is None else f"at {row.model}"
        digits = 4 if row.unit == "USD" else 0
        p = "" if row.p_corrected is None else f", p corrected {row.p_corrected:.4f}"
        sure = p if row.told else f"{p}: by the means, cannot be told"
        yield (
            f"dominated {name}: {row.harness} by {row.by} (rate {row.mean:+.3f}{_interval(row.low, row.high)}{sure}; "
            f"{row.spends:,.{digits}f} against {row.by_spends:,.{digits}f} {row.unit} a trial)"
        )
    if found.dominated_unknown:
        yield f"dominated: not known, {found.dominated_unknown}"
    elif not found.dominated:
        yield "dominated: none"


def _note(text: str) -> None:
    typer.echo(f"note: {visible(text)}", err=True)


def _aside(found: Grid) -> None:
    """Notes, what is left out, and where the run folders lie."""
    from rich.console import Console

    aside = Console(stderr=True, soft_wrap=True, highlight=False, emoji=False, markup=False)
    for note in found.notes:
        aside.print(f"note: {visible(note)}")
    for cell in found.cells:
        print_ending(aside, f"{cell.model} with {cell.harness}", cell.error, reused=False)
    for entry in found.left_out:
        aside.print(f"error: {entry.task} is left out of every number: {visible('; '.join(entry.why))}")
    for cell in found.cells:
        aside.print(f"run folder: {cell.run}")


def _interval(low: float | None, high: float | None, digits: int = 3) -> str:
    return "" if low is None or high is None else f" [{low:.{digits}f}, {high:.{digits}f}]"


def _table(title: str, texts: Sequence[str], numbers: Sequence[str]) -> Table:
    from rich.table import Table

    table = Table(title=title, title_justify="left", caption_justify="left")
    for column in texts:
        table.add_column(column, overflow="fold")
    for column in numbers:
        table.add_column(column, justify="right", no_wrap=True)
    return table
