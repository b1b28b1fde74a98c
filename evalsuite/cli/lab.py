"""evalsuite lab: run agents on matters and grade what they deliver."""

from __future__ import annotations

import sys
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from evalsuite.cli import labshow
from evalsuite.cli.common import ERRORS, OK, Cache, Debug, Fresh, Json, Out, Page, print_findings, print_json, progress
from evalsuite.cli.labaudit import audit
from evalsuite.cli.labgrid import grid
from evalsuite.cli.laboptions import (
    Aggregation,
    BaseUrl,
    Concurrency,
    DryRun,
    JudgeHeat,
    Judges,
    JudgesUrl,
    JudgeUrl,
    Judging,
    MaxCost,
    OutputTokens,
    Prices,
    SandboxName,
    Seconds,
    Select,
    StrictNames,
    Tasks,
    TrialCost,
    TrialTokens,
    Turns,
    UnsafeLocal,
    Votes,
    common,
    grading,
    once,
)
from evalsuite.cli.labversions import versions
from evalsuite.errors import UsageError

lab = typer.Typer(
    no_args_is_help=True, rich_markup_mode=None, help="Run agents on matters and grade what they deliver."
)


@lab.command()
def run(
    tasks: Tasks,
    agent: Annotated[
        list[str],
        typer.Option(
            "--agent",
            "-a",
            metavar="AGENT",
            help="react, extractive, command:CMD, replay:PATH, module:callable ...; lab list shows all (repeat).",
        ),
    ],
    model: Annotated[
        list[str] | None,
        typer.Option(
            "--model",
            "-m",
            metavar="MODEL",
            help="Of react and its like: openai/NAME, anthropic/NAME, PROVIDER/NAME (repeat).",
        ),
    ] = None,
    judge: Judges = None,
    profile: Annotated[
        list[str] | None,
        typer.Option(
            "--profile",
            "-p",
            metavar="PROFILE",
            help="Harness of react: default, minimal, review ... (lab list shows all), or a YAML file (repeat).  [default: default]",
        ),
    ] = None,
    judging: Judging = "full",
    trials: Annotated[int, typer.Option("--trials", "-k", min=1, metavar="N", help="Trials per task.")] = 1,
    votes: Votes = 1,
    aggregation: Aggregation = "strict",
    concurrency: Concurrency = 4,
    select: Select = None,
    base_url: BaseUrl = None,
    judge_base_url: JudgeUrl = None,
    temperature: Annotated[
        float | None, typer.Option(min=0, metavar="T", help="Sampling temperature of the agent's model.")
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
    """Work every task with every agent, grade the deliverables criterion by criterion: one run folder per agent x profile x model.

    Interrupted runs resume: finished trials and verdicts are kept, errors are tried again. Exit 3 while verdicts are errors.

    Example: evalsuite lab run tasks/corporate-ma/change-of-control-review --agent extractive
    """
    from evalsuite.lab import evaluate
    from evalsuite.lab.agents import Limits

    sys.path.insert(0, str(Path.cwd()))  # so that module:callable finds what lies here
    options = {
        "models": once(model),
        "profiles": once(profile) or ["default"],
        "trials": trials,
        "base_url": base_url,
        "temperature": temperature,
        "limits": Limits(turns=max_turns, tokens=max_tokens, seconds=max_seconds, cost=max_trial_cost),
        "sandbox": sandbox,
        "unsafe_local": unsafe_local,
        **grading(judge, judging, votes, aggregation, judge_base_url, judge_temperature, max_output_tokens),
        **common(strict_names, max_cost, price, concurrency, out, cache, fresh),
    }
    if dry_run:
        return labshow.plans(evaluate.plan(tasks, once(agent), select=select, **options), as_json)
    with progress():
        outcomes = evaluate.run(tasks, once(agent), select=select, **options)
    return labshow.outcomes(outcomes, as_json, report)


lab.command()(grid)


@lab.command()
def grade(
    output: Annotated[Path, typer.Argument(metavar="OUTPUT_DIR", help="Folder of deliverables, whoever made them.")],
    task: Annotated[Path, typer.Option("--task", "-t", metavar="TASK", help="The task folder.")],
    judge: Judges = None,
    judging: Judging = "full",
    votes: Votes = 1,
    aggregation: Aggregation = "strict",
    concurrency: Concurrency = 4,
    base_url: JudgesUrl = None,
    judge_temperature: JudgeHeat = 0.0,
    max_output_tokens: OutputTokens = 16_384,
    max_cost: MaxCost = None,
    price: Prices = None,
    strict_names: StrictNames = False,
    out: Out = Path("reports"),
    cache: Cache = None,
    report: Page = None,
    fresh: Fresh = False,
    as_json: Json = False,
    debug: Debug = False,
) -> int:
    """Grade deliverables that you have already.

    Example: evalsuite lab grade my-output --task tasks/corporate-ma/change-of-control-review
    """
    from evalsuite.lab.regrade import grade as grade_outputs

    with progress():
        outcome = grade_outputs(
            output,
            task,
            **grading(judge, judging, votes, aggregation, base_url, judge_temperature, max_output_tokens),
            **common(strict_names, max_cost, price, concurrency, out, cache, fresh),
        )
    return labshow.outcomes([outcome], as_json, report)


@lab.command()
def regrade(
    run_folder: Annotated[Path, typer.Argument(metavar="RUN", help="A lab run folder.")],
    tasks: Annotated[
        list[Path] | None,
        typer.Option(
            "--tasks", "-t", metavar="FOLDER", help="Where the tasks lie now, if not where the run found them (repeat)."
        ),
    ] = None,
    judge: Judges = None,
    judging: Judging = "full",
    votes: Votes = 1,
    aggregation: Aggregation = "strict",
    concurrency: Concurrency = 4,
    base_url: JudgesUrl = None,
    judge_temperature: JudgeHeat = 0.0,
    max_output_tokens: OutputTokens = 16_384,
    max_cost: MaxCost = None,
    price: Prices = None,
    strict_names: StrictNames = False,
    out: Out = Path("reports"),
    cache: Cache = None,
    report: Page = None,
    fresh: Fresh = False,
    as_json: Json = False,
    debug: Debug = False,
) -> int:
    """Grade a run's outputs again with other judges or a changed rubric; only what changed is judged, the run stays as it is.

    Example: evalsuite lab regrade reports/RUN --judge anthropic/NAME
    """
    from evalsuite.lab.regrade import regrade as grade_again

    with progress():
        outcome = grade_again(
            run_folder,
            tasks,
            **grading(judge, judging, votes, aggregation, base_url, judge_temperature, max_output_tokens),
            **common(strict_names, max_cost, price, concurrency, out, cache, fresh),
        )
    return labshow.outcomes([outcome], as_json, report)


@lab.command("import")
def import_(
    folder: Annotated[Path, typer.Argument(metavar="LAB_RUN_DIR", help="A scored run folder of LAB.")],
    out: Out = Path("reports"),
    report: Page = None,
    as_json: Json = False,
    debug: Debug = False,
) -> int:
    """Take over a scored LAB run: its verdicts, deliverables and transcript become a run folder."""
    from evalsuite.lab.evaluate import outcome_of
    from evalsuite.lab.labruns import import_run
    from evalsuite.storage import read_manifest, require_folder

    path = import_run(folder, require_folder(out, "output"))
    return labshow.outcomes([outcome_of(path, read_manifest(path))], as_json, report)


@lab.command()
def export(
    run_folder: Annotated[Path, typer.Argument(metavar="RUN", help="A lab run folder.")],
    to: Annotated[Path, typer.Option("--to", "-o", metavar="FOLDER", help="Folder for the score files.")],
    allow_errors: Annotated[
        bool, typer.Option("--allow-errors", help="Also where verdicts are errors, which LAB's files cannot say.")
    ] = False,
    as_json: Json = False,
    debug: Debug = False,
) -> int:
    """Write LAB's scores.json, or scores_<judge>.json and scores_dual.json for two judges, for every trial."""
    from evalsuite.lab.labruns import export_scores
    from evalsuite.storage import require_folder

    written = export_scores(run_folder, require_folder(to, "output"), allow_errors=allow_errors)
    if as_json:
        print_json({"files": [str(path) for path in written]})
    else:
        for path in written:
            typer.echo(path)
    return OK


@lab.command("list")
def list_(
    tasks: Annotated[
        list[Path] | None, typer.Argument(help="Task folders, areas or roots; without any, what can be named in a run.")
    ] = None,
    select: Select = None,
    as_json: Json = False,
    debug: Debug = False,
) -> int:
    """List tasks; without an argument: agents, harness profiles, judging profiles and aggregations."""
    if not tasks:
        found = _catalogue()
        if as_json:
            print_json(found)
            return OK
        labshow.catalogue(found)
        return OK
    from evalsuite.lab.overview import overview
    from evalsuite.lab.task import load_tasks

    rows = overview(load_tasks(tasks, select), hashed=as_json)
    if as_json:
        print_json(rows)
        return OK
    labshow.table(rows)
    return OK


@lab.command()
def show(
    task: Annotated[Path, typer.Argument(help="A task folder, or with --select a folder of tasks.")],
    select: Select = None,
    as_json: Json = False,
    debug: Debug = False,
) -> int:
    """Show one task: instructions, documents, criteria and whether a check or a judge decides them.

    The rubric stands there too; --json has it in full, checks and quoted sources included.
    """
    from evalsuite.lab.overview import describe
    from evalsuite.lab.task import load_tasks

    found = load_tasks([task], select)
    if len(found) != 1:
        named = ", ".join(one.id for one in found[:5]) + (", ..." if len(found) > 5 else "")
        raise UsageError(f"holds {len(found)} tasks, show takes one; --select one of {named}", where=str(task))
    described = describe(found[0])
    if as_json:
        print_json(described)
        return OK
    labshow.task(described)
    return OK


@lab.command()
def lint(
    tasks: Tasks,
    run: Annotated[
        list[Path] | None,
        typer.Option(
            "--run", "-r", metavar="RUN", help="Also name criteria that all or none of 3 or more systems pass (repeat)."
        ),
    ] = None,
    select: Select = None,
    as_json: Json = False,
    debug: Debug = False,
) -> int:
    """Check tasks and rubrics without a model: leaks, absent facts, broken checks, placeholder documents. Exit 3 on errors."""
    from evalsuite.lab.lint import lint as lint_tasks
    from evalsuite.lab.lintruns import lint_runs
    from evalsuite.lab.task import load_tasks

    loaded = load_tasks(tasks, select)
    findings = [*lint_tasks(loaded), *lint_runs(loaded, run or ())]
    if as_json:
        print_json({"findings": [asdict(finding) for finding in findings]})
    else:
        print_findings(findings)
    return ERRORS if any(finding.severity == "error" for finding in findings) else OK


lab.command()(audit)
lab.command()(versions)


def _catalogue() -> dict[str, list[dict[str, str]]]:
    from evalsuite.lab.agents import catalogue
    from evalsuite.lab.grading.judging import JUDGINGS
    from evalsuite.lab.grading.panel import AGGREGATIONS
    from evalsuite.lab.profiles import bundled, load_profile

    return {
        "agents": catalogue(),
        "profiles": [{"name": name, "about": load_profile(name).about} for name in bundled()],
        "judging profiles": [{"name": name, "about": judging.about} for name, judging in JUDGINGS.items()],
        "aggregations": [{"name": name, "about": about} for name, about in AGGREGATIONS.items()],
    }
