"""Oblique queries that give their golds away in words: rare terms, copied runs of words, names and numbers."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from evalsuite.retrieval.lint.findings import Finding, Rule, Severity, listed
from evalsuite.retrieval.lint.scan import COMMON_GRAM_DF, GRAM, RARE_DF, words_of
from evalsuite.retrieval.lint.subject import TIP, Subject
from evalsuite.retrieval.retrievers.lexical import stop_words

LEAKY_SHARE = 0.10
BY_CHANCE = 0.01
TELLING_SHARE = 0.01
NUMBER = re.compile(r"(?<![\w.,/-])\d[\d.,:/-]*\d(?!\w)")
NAME = re.compile(r"(?<![.!?:;\"“(\n])[ ]+(?!I\b)([A-Z][\w-]+)")


def rare_terms(subject: Subject) -> Iterator[Finding]:
    """Words of few documents that a query shares with its golds, more often than such words would by chance."""
    same, n, stop = subject.corpus.same_text, len(subject.corpus), stop_words("en")
    found, hits, expected = {}, 0, 0.0
    for query in subject.oblique:
        golds = set(same[subject.golds[query]].tolist())
        shared = []
        for word in dict.fromkeys(words_of(subject.corpus.queries[query].text)):
            holders = subject.scan.rare.get(word, set()) if word not in stop else set()
            expected += len(holders) * len(golds) / n
            hits += len(holders & golds)
            if holders & golds:
                shared.append(word)
        if shared:
            found[query] = f"{subject.corpus.queries[query].id} ({', '.join(shared)})"
    if found and _poisson_tail(hits, expected) < BY_CHANCE:
        told = f"share words of at most {RARE_DF} documents with a gold ({hits} times, {expected:.1f} by chance)"
        yield _finding(subject, "rare-terms", subject.oblique, told, list(found.values()))


def _poisson_tail(hits: int, expected: float) -> float:
    """Chance of `hits` or more where `expected` are expected."""
    from scipy.special import pdtrc

    return float(pdtrc(hits - 1, expected))


def copied_words(subject: Subject) -> Iterator[Finding]:
    found = []
    for query in subject.oblique:
        golds = set(subject.corpus.same_text[subject.golds[query]].tolist())
        for code, words in subject.scan.runs[query].items():
            holders = subject.scan.grams.get(code, set())
            if len(holders) <= COMMON_GRAM_DF and holders & golds:
                found.append(f'{subject.corpus.queries[query].id} ("{words}")')
                break
    if found:
        yield _finding(
            subject, "copied-words", subject.oblique, f"copy {GRAM} or more words in a row from a gold", found
        )


def names_and_numbers(subject: Subject) -> Iterator[Finding]:
    """Recollections that name what they are after. Names that begin a sentence are not told from other words."""
    tips = [i for i in subject.oblique if subject.corpus.queries[i].mechanism == TIP]
    few = max(RARE_DF, TELLING_SHARE * len(subject.corpus))
    found = []
    for query in tips:
        text = subject.corpus.queries[query].text
        said = dict.fromkeys([*NAME.findall(text), *NUMBER.findall(text)])
        gold_words = {word for gold in subject.golds[query].tolist() for word in subject.scan.surface[gold]}
        shared = [w for w in said if w in gold_words and _documents(subject, w) <= few]
        if shared:
            found.append(f"{subject.corpus.queries[query].id} ({', '.join(shared)})")
    if found:
        yield _finding(subject, "names-and-numbers", tips, "share a name, date or number with their gold", found)


def _documents(subject: Subject, written: str) -> int:
    """Documents that hold the rarest word of a name or number."""
    return min((subject.scan.df.get(word, 0) for word in words_of(written)), default=0)


def _finding(subject: Subject, rule: str, queries: Sequence[int], told: str, found: list[str]) -> Finding:
    severity: Severity = "error" if len(found) >= LEAKY_SHARE * len(queries) else "warning"
    counted = (
        f"{len(found)} of {len(queries)} {'tip-of-the-tongue' if rule == 'names-and-numbers' else 'oblique'} queries"
    )
    return Finding(rule, severity, subject.where("queries"), f"{counted} {told}: {listed(found)}")


RULES: dict[str, Rule] = {
    "rare-terms": rare_terms,
    "copied-words": copied_words,
    "names-and-numbers": names_and_numbers,
}
