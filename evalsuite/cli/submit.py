"""evalsuite submit: the way retriever authors hand results in."""

from __future__ import annotations

import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from evalsuite.cli.common import BAD_INPUT, OK, Debug, Fresh, Json, Page, print_json, progress, visible
from evalsuite.errors import UsageError

if TYPE_CHECKING:
    from evalsuite.retrieval.bundles import Finding

submit = typer.Typer(
    no_args_is_help=True, rich_markup_mode=None, help="Hand in a retrieval run: begin, check, score and seal a bundle."
)

SHOWN = 1000

Bundle = Annotated[Path, typer.Argument(metavar="BUNDLE", help="A folder with submission.yaml and a run file.")]
Others = Annotated[
    list[Path] | None,
    typer.Option("--against", metavar="BUNDLE", help="Say if the run is that of this bundle too (repeat)."),
]
CorpusAt = Annotated[
    str | None,
    typer.Option("--corpus", "-c", help="Where the corpus is [default: the source in submission.yaml]."),
]
ViewOf = Annotated[str | None, typer.Option(help="Judgements to score against: gold, pooled, or a BEIR split.")]


@submit.command()
def new(
    folder: Annotated[Path, typer.Argument(help="The bundle to begin.")],
    corpus: Annotated[str, typer.Option("--corpus", "-c", help="Corpus folder, ir_datasets:ID, or hf:owner/name.")],
    run: Annotated[Path | None, typer.Option(help="TREC, TSV or JSONL run file, also .gz; it is copied.")] = None,
    view: ViewOf = None,
    as_json: Json = False,
    debug: Debug = False,
) -> int:
    """Write a bundle with a template of submission.yaml that says what each key means, and a copy of the run.

    Example: evalsuite submit new my-bundle --corpus corpora/clauses-mini --run my-run.trec.gz
    """
    from evalsuite.retrieval.submission import new as begin

    with progress():
        written = begin(folder, corpus, run=run, view=view)
    if as_json:
        print_json({"bundle": str(folder), "files": [str(path) for path in written]})
    else:
        for path in written:
            typer.echo(visible(str(path)))
        typer.echo(visible(f"fill in submission.yaml, then: evalsuite submit check {folder}"))
    return OK


@submit.command()
def check(
    bundle: Bundle,
    corpus: CorpusAt = None,
    against: Others = None,
    min_judged: Annotated[float, typer.Option(min=0, max=1, help="Warn where Judged@10 is below.")] = 0.5,
    as_json: Json = False,
    debug: Debug = False,
) -> int:
    """Name every problem of a bundle at once, with file and line, and what a reader of its numbers must know. Exit 2 on a problem."""
    from evalsuite.retrieval.submission import check as check_bundle

    with progress():
        found = check_bundle(bundle, corpus=corpus, against=against or [], min_judged=min_judged)
    if as_json:
        print_json(
            {
                "ok": not found.problems,
                "problems": [_told(finding) for finding in found.problems],
                "warnings": [_told(finding) for finding in found.warnings],
            }
        )
    else:
        for kind in (found.problems, found.warnings):
            for finding in kind[:SHOWN]:
                typer.echo(visible(f"{finding.severity}: {finding.where}: {finding.message}"))
            if len(kind) > SHOWN:
                typer.echo(f"and {len(kind) - SHOWN:,} more; --json lists all")
        typer.echo(visible(f"{bundle}: {len(found.problems):,} problems, {len(found.warnings):,} warnings"))
    return BAD_INPUT if found.problems else OK


@submit.command()
def score(
    bundle: Annotated[
        Path | None, typer.Argument(metavar="BUNDLE", help="A bundle; for a live system one without a run, or none.")
    ] = None,
    endpoint: Annotated[
        str | None,
        typer.Option(metavar="URL", help="Score a search service: POST URL/search; settings as URL,batch=8,timeout=5."),
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Score a sentence-transformers model: a folder or a name on the hub."),
    ] = None,
    retriever: Annotated[
        str | None, typer.Option("--retriever", "-r", help="Score a retriever, written as for retrieval run.")
    ] = None,
    corpus: CorpusAt = None,
    view: ViewOf = None,
    depth: Annotated[int, typer.Option(help="Documents a live system is asked for per query.")] = 1000,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out", "-o", metavar="FOLDER", help="Folder for the run folder [default: reports; live: BUNDLE/live]."
        ),
    ] = None,
    report: Page = None,
    fresh: Fresh = False,
    as_json: Json = False,
    debug: Debug = False,
) -> int:
    """Score the run of a bundle, or a live system. A bundle with problems is refused.

    Examples: evalsuite submit score my-bundle

    evalsuite submit score my-bundle --endpoint http://127.0.0.1:8000

    evalsuite submit score --endpoint http://127.0.0.1:8000,batch=8,timeout=5 --corpus corpora/clauses-mini
    """
    from evalsuite.cli.retrieval import show
    from evalsuite.retrieval.submission import score as score_bundle
    from evalsuite.retrieval.submission import score_live

    named = [spec for spec in (endpoint, model and f"dense:model={model}", retriever) if spec]
    if len(named) > 1:
        raise UsageError("--endpoint, --model and --retriever exclude each other; give one")
    if endpoint and not endpoint.startswith(("http://", "https://")):
        raise UsageError("--endpoint must begin with http:// or https://")
    sys.path.insert(0, str(Path.cwd()))  # so that module:Class finds what lies here
    if named:
        with progress():
            outcome = score_live(named[0], folder=bundle, corpus=corpus, view=view, depth=depth, out=out, fresh=fresh)
        return show([outcome], as_json, report)
    if bundle is None:
        raise UsageError("name a bundle, or a live system with --endpoint, --model or --retriever")
    if view is not None:
        raise UsageError("--view belongs to a live system; a bundle says its own in submission.yaml")
    with progress():
        outcome, found = score_bundle(bundle, corpus=corpus, out=out or "reports", fresh=fresh)
    for finding in found.warnings:
        typer.echo(visible(f"warning: {finding.message}"), err=True)
    return show([outcome], as_json, report)


@submit.command()
def seal(
    bundle: Bundle, corpus: CorpusAt = None, against: Others = None, as_json: Json = False, debug: Debug = False
) -> int:
    """Score a bundle into its own folder, and write seal.json: hashes of run, corpus, view and versions, and the numbers.

    Anyone with the corpus can then check all of it: evalsuite verify BUNDLE
    """
    from evalsuite.retrieval.seals import seal as seal_bundle

    with progress():
        made, outcome, found = seal_bundle(bundle, corpus=corpus, against=against or [])
    for finding in found.warnings:
        typer.echo(visible(f"warning: {finding.message}"), err=True)
    if as_json:
        print_json({"bundle": str(bundle), "run": str(outcome.path), **made.model_dump(mode="json")})
        return OK
    for name, value in made.measures.items():
        span = "" if value.low is None else f" [{value.low:.4f}, {value.high:.4f}]"
        typer.echo(visible(f"{name} {value.mean:.4f}{span}"))
    typer.echo(visible(f"{bundle}: sealed {made.sha256[:12]}, {len(made.files)} files; evalsuite verify {bundle}"))
    return OK


@submit.command()
def export(
    bundle: Bundle,
    mteb: Annotated[
        Path, typer.Option(metavar="FILE", dir_okay=False, help="The JSON file to write, as MTEB stores results.")
    ],
    corpus: CorpusAt = None,
    task: Annotated[str | None, typer.Option(help="MTEB's name of the task [default: the corpus's].")] = None,
    as_json: Json = False,
    debug: Debug = False,
) -> int:
    """Write the result of a bundle in another tool's form.

    Example: evalsuite submit export my-bundle --mteb clauses-mini.json
    """
    from evalsuite.retrieval.mtebresult import export as export_result

    with progress():
        result = export_result(bundle, mteb, corpus=corpus, task=task)
    if as_json:
        print_json(result)
    else:
        typer.echo(visible(f"{mteb}: task {result['task_name']}, form of mteb {result['mteb_version']}"))
    return OK


def _told(finding: Finding) -> dict[str, str]:
    told: dict[str, str] = asdict(finding)
    return told
