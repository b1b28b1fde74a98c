"""evalsuite retrieval lint: check a corpus before anyone trusts a score on it."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from evalsuite.cli.common import FAILED, OK, Cache, Debug, Json, print_findings, print_json, progress, visible
from evalsuite.errors import UsageError


def lint(
    corpora: Annotated[list[str], typer.Argument(help="Corpus folders, ir_datasets:ID, or hf:owner/name[/config].")],
    view: Annotated[str | None, typer.Option(help="Judgements to check: gold, pooled, or a BEIR split.")] = None,
    pool: Annotated[
        Path | None, typer.Option(metavar="FILE", dir_okay=False, help="Check this pool file of the corpus too.")
    ] = None,
    model: Annotated[
        str | None, typer.Option(help="Say how many documents are longer than this sentence-transformers model reads.")
    ] = None,
    audit_sample: Annotated[
        Path | None,
        typer.Option(metavar="FILE", dir_okay=False, help="Write unjudged pairs to be judged; nothing is linted."),
    ] = None,
    n: Annotated[int, typer.Option("--n", min=1, help="Pairs in the audit sample.")] = 200,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the audit sample.")] = 1,
    audit: Annotated[
        Path | None,
        typer.Option(metavar="FILE", dir_okay=False, help="The sample with true or false filled in: the missing rate."),
    ] = None,
    cache: Cache = None,
    as_json: Json = False,
    debug: Debug = False,
) -> int:
    """Check corpora: duplicates, leaks, gold concentration, splits, power, judgements, card. Exit 1 on errors.

    Examples: evalsuite retrieval lint corpora/clauses-mini --model all-MiniLM-L6-v2

    evalsuite retrieval lint my-corpus --audit-sample sample.jsonl --n 200, then --audit sample.jsonl
    """
    from evalsuite.retrieval.formats import load_corpus
    from evalsuite.retrieval.lint import estimate, write_sample
    from evalsuite.retrieval.lint import lint as lint_corpus

    if len(corpora) > 1 and (pool or audit or audit_sample):
        raise UsageError("--pool, --audit and --audit-sample belong to one corpus; name one")
    if audit_sample is not None and (audit or pool or model):
        raise UsageError("--audit-sample draws a sample and lints nothing; give --audit, --pool and --model without it")
    if audit_sample is not None:
        with progress():
            written = write_sample(load_corpus(corpora[0], view), audit_sample, n=n, seed=seed, cache=cache)
        return _show_sample(audit_sample, written, as_json)
    with progress():
        findings = [
            finding
            for source in corpora
            for finding in lint_corpus(source, view=view, pool=pool, model=model, audit=audit, cache=cache)
        ]
        audited = estimate(audit, load_corpus(corpora[0], view)) if audit is not None else None
    if as_json:
        about = {"audit": asdict(audited)} if audited is not None else {}
        print_json({"findings": [asdict(finding) for finding in findings], **about})
    else:
        print_findings(findings, *([f"audit: {audited}"] if audited is not None else []))
    return FAILED if any(finding.severity == "error" for finding in findings) else OK


def _show_sample(path: Path, written: int, as_json: bool) -> int:
    if as_json:
        print_json({"sample": str(path) if written else None, "pairs": written})
    elif written:
        typer.echo(
            visible(f"{written} unjudged pairs -> {path}: set each 'relevant' to true or false, then --audit {path}")
        )
    else:
        typer.echo("every pair of query and document is judged: there is nothing to audit, and no file was written")
    return OK
