"""corpus.yaml: what a user must know before using or sharing the corpus, and whether it is true."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from evalsuite.errors import shown
from evalsuite.retrieval.layouts import SUFFIXES
from evalsuite.retrieval.lint.findings import Finding, Rule, Severity, listed
from evalsuite.retrieval.lint.subject import SURFACE, Subject

DATA = (*SUFFIXES, ".tsv", ".json")
WANTED = {
    "provenance": "where the texts, queries and labels come from",
    "mechanism": "what makes the queries oblique, or surface",
    "known_limits": "what a score on it does not show",
}


def card(subject: Subject) -> Iterator[Finding]:
    root, content = subject.corpus.root, subject.corpus.card
    if root is None:
        return

    def finding(severity: Severity, message: str) -> Finding:
        return Finding("card", severity, subject.where("corpus.yaml"), message)

    if not (root / "corpus.yaml").exists():
        yield finding("error", "there is no card: no licence, provenance, counts or hashes are stated")
        return
    if not (content.get("licence") or content.get("license")):
        yield finding("error", "names no licence: nobody may redistribute or knows whether they may")
    lacking = [f"{key} ({what})" for key, what in WANTED.items() if not content.get(key)]
    if lacking:
        yield finding("warning", f"lacks {listed(lacking)}")
    stated = content.get("counts") or {}
    if not isinstance(stated, dict):
        yield finding("error", f"counts must be a mapping; found {shown(stated)}")
        stated = {}
    found = _counts(subject)
    wrong = [
        f"{key} {stated[key]} (found {found[key]})" for key in found if key in stated and stated[key] != found[key]
    ]
    if wrong:
        yield finding("error", f"counts disagree with the files: {listed(wrong)}")
    if not stated:
        yield finding("warning", "lacks counts of documents, queries and judgements")
    unhashed = [name for name in _data_files(root) if name not in content["sha256"]]
    if unhashed:
        yield finding("warning", f"{len(unhashed)} data files have no sha256: {listed(unhashed)}")


def _counts(subject: Subject) -> dict[str, int]:
    """The counts that a card may state, as they are; those of judgements only for the view that the card calls default."""
    corpus = subject.corpus
    found = {
        "documents": len(corpus) + len(corpus.copies),
        "queries": len(corpus.queries) + len(corpus.unjudged_queries),
    }
    if corpus.unjudged_queries or corpus.copies or corpus.view != (corpus.card.get("default_view") or corpus.view):
        return found
    groups = {query.group for query in corpus.queries if query.group}
    twins = [query for query in corpus.queries if query.twin_of is not None and query.mechanism == SURFACE]
    return found | {
        "oblique": len(subject.oblique),
        "surface_twins": len(twins),
        "groups": len(groups),
        "judgements": len(corpus.qrels.grade),
        "relevant": int(np.count_nonzero(corpus.qrels.grade > 0)),
    }


def _data_files(root: Path) -> list[str]:
    files = (path for path in sorted(root.rglob("*")) if path.is_file() and path.name.endswith(DATA))
    names = [path.relative_to(root) for path in files]
    return [str(name) for name in names if not any(part.startswith(".") for part in name.parts)]


RULES: dict[str, Rule] = {"card": card}
