"""Passages of documents, which of them matter, and the dates and amounts in them. No model, no chance."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

LONGEST = 700
"""Characters of a passage; a longer paragraph is cut at its sentences."""
SHORTEST = 25

# What a lawyer scans an agreement for: topic -> beginnings of words; up to four letters, the word or its plural.
TOPICS: dict[str, tuple[str, ...]] = {
    "Termination and expiry": ("terminat", "expir", "cancel", "renew"),
    "Consent and assignment": ("consent", "assign", "transfer", "novat", "sublet"),
    "Change of control": ("control", "merger", "acqui"),
    "Notice and deadlines": ("notice", "notif", "days", "deadline", "month"),
    "Liability and indemnity": ("liabilit", "indemn", "damages", "cap", "loss"),
    "Payment and penalties": ("fee", "penalt", "payment", "payable", "interest", "price"),
    "Default and breach": ("default", "breach", "accelerat", "remed"),
    "Restrictions": ("shall not", "may not", "exclusiv", "compete", "solicit", "restrict"),
    "Warranties and disclosure": ("warrant", "represent", "disclos", "confiden"),
    "Disputes and governing law": ("govern", "jurisdiction", "arbitrat", "dispute", "litigation"),
}
STOPWORDS = frozenset(
    re.findall(
        r"\w+",
        """a an and any are as at attached be been by can did do docs document documents docx does draft each for from had has
        have he her his if in into is it its may memo memorandum more not of on or our output please prepare review shall she
        should so such than that the their them then there these they this those to under up us was we were what when which
        who will with would write xlsx you your""",
    )
)
_TOPIC_PATTERNS = {
    topic: re.compile("|".join(rf"\b{stem}s?\b" if len(stem) <= 4 else rf"\b{stem}" for stem in stems))
    for topic, stems in TOPICS.items()
}
_WORD = re.compile(r"[^\W_]+")
_SENTENCE_END = re.compile(r"(?<=[.;:!?])\s+")
_MONTHS = "January|February|March|April|May|June|July|August|September|October|November|December"
DATE = re.compile(
    rf"\b(?:\d{{4}}-\d{{2}}-\d{{2}}|\d{{1,2}}(?:st|nd|rd|th)?(?: day)?(?: of)? (?:{_MONTHS}),? \d{{4}}"
    rf"|(?:{_MONTHS}) \d{{1,2}}(?:st|nd|rd|th)?,? \d{{4}}|\d{{1,2}}[/.]\d{{1,2}}[/.]\d{{4}})\b"
)
AMOUNT = re.compile(
    r"(?:\b(?:USD|EUR|GBP|CHF|CAD|AUD|JPY)\s?|[$€£¥]\s?)\d[\d,.]*\d?(?:\s?(?:million|billion|thousand|bn|mm|m|k)\b)?"
    r"|\b\d[\d,.]*\s?(?:million|billion|thousand)?\s?(?:dollars|euros|pounds|USD|EUR|GBP)\b"
    r"|\b\d+(?:\.\d+)?\s?(?:%|per ?cent\b)",
    re.IGNORECASE,
)


def words(text: str) -> list[str]:
    """Lower-case words without the ones that say nothing."""
    return [word for word in _WORD.findall(text.lower()) if word not in STOPWORDS]


@dataclass(frozen=True)
class Passage:
    """A stretch of a document, verbatim, with where it stands."""

    document: str
    anchor: str
    text: str

    @cached_property
    def words(self) -> list[str]:
        return words(self.text)

    @cached_property
    def topics(self) -> tuple[str, ...]:
        """The topics that it touches, in the order of TOPICS."""
        lowered = " ".join(self.text.lower().split())
        return tuple(topic for topic, pattern in _TOPIC_PATTERNS.items() if pattern.search(lowered))


def split(document: str, lines: Iterable[tuple[str, str]]) -> list[Passage]:
    """Passages of a document from its (anchor, text) lines; lines too short to say anything are left out."""
    passages = []
    for anchor, text in lines:
        part = ""
        for sentence in _SENTENCE_END.split(text.strip()):
            if part and len(part) + len(sentence) >= LONGEST:
                passages.append(Passage(document, anchor, part))
                part = ""
            part = f"{part} {sentence}" if part else sentence
        passages.append(Passage(document, anchor, part))
    return [passage for passage in passages if len(passage.text) >= SHORTEST and passage.words]


def rank(passages: Sequence[Passage], query: str) -> list[float]:
    """One score a passage: BM25 for the query's words, and the share of the topics that the passage touches."""
    from rank_bm25 import BM25Okapi

    if not passages:
        return []
    bm25 = BM25Okapi([passage.words for passage in passages])
    asked = [float(score) for score in bm25.get_scores(sorted(set(words(query))))]
    top = max(max(asked), 1e-9)
    return [
        round(max(score, 0.0) / top + 0.5 * min(len(passage.topics), 4) / 4, 9)
        for passage, score in zip(passages, asked, strict=True)
    ]


def choose(passages: Sequence[Passage], scores: Sequence[float], count: int, *, diversity: float = 0.3) -> list[int]:
    """Indexes of at most `count` passages that score at all, best first, each unlike the ones before (maximal marginal relevance).

    Likeness is the share of common words (Jaccard); passages more than 80 % alike count as one.
    """
    scored = [index for index in range(len(passages)) if scores[index] > 0]
    pool = sorted(scored, key=lambda index: (-scores[index], index))[: 8 * count]
    bags = {index: frozenset(passages[index].words) for index in pool}
    likeness: dict[int, float] = defaultdict(float)
    chosen: list[int] = []
    while pool and len(chosen) < count:
        best = max(pool, key=lambda index: ((1 - diversity) * scores[index] - diversity * likeness[index], -index))
        chosen.append(best)
        for index in pool:
            shared = len(bags[index] & bags[best]) / len(bags[index] | bags[best])
            likeness[index] = max(likeness[index], shared)
        pool = [index for index in pool if likeness[index] <= 0.8 and index != best]
    return chosen


@dataclass(frozen=True)
class Fact:
    """A date or an amount as it is written, and the passages it stands in."""

    value: str
    anchors: tuple[str, ...]
    context: str


def facts(passages: Iterable[Passage], pattern: re.Pattern[str], limit: int = 40) -> list[Fact]:
    """What `pattern` finds, in order of appearance, each written value once; the most frequent ones where there are too many."""
    anchors: dict[str, list[str]] = defaultdict(list)
    contexts: dict[str, str] = {}
    for passage in passages:
        for match in pattern.finditer(passage.text):
            value = " ".join(match.group().split()).rstrip(".,")
            contexts.setdefault(value, excerpt(passage.text, match.start(), match.end()))
            if passage.anchor not in anchors[value]:
                anchors[value].append(passage.anchor)
    frequency = Counter({value: len(found) for value, found in anchors.items()})
    kept = {value for value, _ in frequency.most_common(limit)}
    return [Fact(value, tuple(anchors[value]), contexts[value]) for value in anchors if value in kept]


def excerpt(text: str, start: int, end: int, reach: int = 70) -> str:
    """`text` around a finding, cut between words, with "..." where something is left out."""
    low, high = max(0, start - reach), min(len(text), end + reach)
    if low > 0:
        low = text.find(" ", low, start) + 1 or low
    if high < len(text):
        high = max(text.rfind(" ", end, high), end)
    return ("... " if low > 0 else "") + text[low:high].strip() + (" ..." if high < len(text) else "")
