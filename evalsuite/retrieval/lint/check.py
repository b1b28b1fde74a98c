"""All rules, and the one function that asks them."""

from __future__ import annotations

from pathlib import Path

from evalsuite.progress import track
from evalsuite.retrieval.corpus import Corpus
from evalsuite.retrieval.formats import load_corpus
from evalsuite.retrieval.layouts import Layout, find_layout, huggingface_layout
from evalsuite.retrieval.lint import audit as audits
from evalsuite.retrieval.lint import card, duplicates, judging, leaks, poolsize, priors, splits, texts, wording
from evalsuite.retrieval.lint.findings import Finding, Rule
from evalsuite.retrieval.lint.subject import Subject
from evalsuite.storage import default_cache

RULES: dict[str, Rule] = {
    **card.RULES,
    **texts.RULES,
    **duplicates.RULES,
    **judging.RULES,
    **priors.RULES,
    **wording.RULES,
    **leaks.RULES,
    **splits.RULES,
    **poolsize.RULES,
    **audits.RULES,
}


def lint(
    source: str | Path | Corpus,
    *,
    view: str | None = None,
    pool: Path | None = None,
    model: str | None = None,
    audit: Path | None = None,
    cache: Path | None = None,
) -> list[Finding]:
    """Every finding about a corpus, by rule.

    `source` is what load_corpus takes, or a loaded corpus. `pool` is a pool file to check, `model` a sentence-transformers
    model whose reading length is compared with the documents, `audit` a sample that write_sample wrote and somebody
    filled in. BM25's index is kept in `cache`. Raises InputError for what cannot be read.
    """
    corpus = source if isinstance(source, Corpus) else load_corpus(source, view)
    layout = _layout(corpus, source)
    subject = Subject(corpus, layout, default_cache() if cache is None else cache, pool, model, audit)
    findings: list[Finding] = []
    with track(f"rules over {corpus.name}", len(RULES)) as advance:
        for rule in RULES.values():
            findings += rule(subject)
            advance(1)
    return findings


def _layout(corpus: Corpus, source: str | Path | Corpus) -> Layout | None:
    """Where the raw records lie, metadata and all."""
    if isinstance(source, str) and source.startswith("hf:"):
        return huggingface_layout(source.removeprefix("hf:"))
    return find_layout(corpus.root) if corpus.root is not None else None
