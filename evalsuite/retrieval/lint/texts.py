"""Documents that cannot answer anything, and documents that were cut."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

import numpy as np

from evalsuite.progress import track
from evalsuite.retrieval.lint.findings import Finding, Rule, Severity, listed
from evalsuite.retrieval.lint.subject import Subject

TINY = 20
NEAR_LONGEST = 0.995
MANY_LONGEST = 5
PILE = 5
MANY_TRUNCATED = 0.05
BATCH = 512


def tiny_documents(subject: Subject) -> Iterator[Finding]:
    tiny = np.flatnonzero(subject.scan.lengths < TINY)
    if len(tiny):
        golds = np.intersect1d(tiny, np.concatenate(subject.golds))
        severity: Severity = "error" if len(golds) else "warning"
        names = [
            f"{subject.corpus.doc_ids[d]} ({subject.scan.lengths[d]})" for d in (golds if len(golds) else tiny)[:50]
        ]
        told = (
            f"{len(tiny)} documents have fewer than {TINY} characters, {len(golds)} of them relevant: {listed(names)}"
        )
        yield Finding("tiny-documents", severity, subject.where("documents"), told)


def truncated_texts(subject: Subject) -> Iterator[Finding]:
    """A cut at a fixed length leaves a pile of documents at the greatest length, most of them ending in mid-sentence."""
    lengths = subject.scan.lengths
    longest = int(lengths.max())
    top = lengths >= NEAR_LONGEST * longest
    below = (lengths >= NEAR_LONGEST**2 * longest) & ~top
    cut = int((top & subject.scan.cut_off).sum())
    if longest >= TINY and cut >= MANY_LONGEST and top.sum() >= PILE * below.sum() and 2 * cut >= top.sum():
        told = (
            f"{top.sum()} documents are as long as the longest ({longest} characters, or up to 0.5 % fewer), "
            f"{cut} of them end in the middle of a word or clause: the texts were cut"
        )
        yield Finding("truncated-texts", "warning", subject.where("documents"), told)


def truncated_by_model(subject: Subject) -> Iterator[Finding]:
    """Documents that are longer than a sentence-transformers model reads, by its own tokenizer."""
    if subject.model is None:
        return
    from sentence_transformers import SentenceTransformer
    from transformers.utils import logging as transformers_logging

    from evalsuite.errors import InputError
    from evalsuite.retrieval.retrievers.dense import locate_model

    transformers_logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    folder, _ = locate_model(subject.model)
    try:
        encoder = SentenceTransformer(folder, local_files_only=True, device="cpu")
    except (OSError, ValueError, KeyError) as error:
        raise InputError(f"cannot be loaded by sentence-transformers: {error}", where=subject.model) from error
    limit, over = encoder.max_seq_length, []
    if limit is None:
        return
    texts = (document.contents for document in subject.corpus.documents())
    with track(f"tokenising for {subject.model}", len(subject.corpus)) as advance:
        while block := list(islice(texts, BATCH)):
            encoded = encoder.tokenizer(block, truncation=True, max_length=limit + 1)
            over += [len(ids) > limit for ids in encoded["input_ids"]]
            advance(len(block))
    golds = np.unique(np.concatenate(subject.golds))
    share, of_golds = float(np.mean(over)), float(np.array(over)[golds].mean()) if len(golds) else 0.0
    if max(share, of_golds) >= MANY_TRUNCATED:
        told = (
            f"{subject.model} reads {limit} tokens: {share:.1%} of the documents and {of_golds:.1%} of those that are relevant "
            "to a query are longer, and their ends are never seen"
        )
        yield Finding("truncated-by-model", "warning", subject.where("documents"), told)


RULES: dict[str, Rule] = {
    "tiny-documents": tiny_documents,
    "truncated-texts": truncated_texts,
    "truncated-by-model": truncated_by_model,
}
