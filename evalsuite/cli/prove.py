"""evalsuite retrieval prove: is this corpus oblique?"""

from __future__ import annotations

import json
from typing import Annotated

import typer

from evalsuite.cli.common import FAILED, OK, Cache, Debug, Json, print_json, progress, visible


def prove(
    corpora: Annotated[list[str], typer.Argument(help="Corpus folders with judgements/.")],
    reading: Annotated[
        str | None, typer.Option(help="Name of the blind reading in judgements/ [default: the only one].")
    ] = None,
    cache: Cache = None,
    as_json: Json = False,
    debug: Debug = False,
) -> int:
    """Print the proof table of a corpus: bm25 and dense low, literal twins high, a blind reading high, controls and lint clean.

    Exit 1 where a bound is missed. Example: evalsuite retrieval prove corpora/clauses
    """
    from evalsuite.retrieval.proof import prove as proof_of

    with progress():
        found = [proof_of(corpus, reading=reading, cache=cache) for corpus in corpora]
    if as_json:
        print_json([json.loads(proof.model_dump_json()) for proof in found])
        return OK if all(proof.ok for proof in found) else FAILED
    for proof in found:
        typer.echo(visible(f"{proof.corpus} {proof.version}, sha256 {proof.sha256[:12]}: nDCG@10 with 95 % intervals"))
        for kind, scores in proof.scores.items():
            for system, value in scores.items():
                low, high = ("-", "-") if value.low is None else (f"{value.low:.3f}", f"{value.high:.3f}")
                typer.echo(visible(f"  {kind:8} {system:22} {value.mean:.3f} [{low}, {high}], n = {value.n}"))
        for check in proof.checks:
            verdict = {True: "ok", False: "MISSED", None: "UNKNOWN"}[check.ok]
            typer.echo(visible(f"  {verdict:8} {check.check}: {check.found}; {check.bound}"))
    return OK if all(proof.ok for proof in found) else FAILED
