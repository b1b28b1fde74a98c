"""What a folder of documents says, and which facts of a criterion occur in it: numbers, amounts, dates, names, codes, files."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from pathlib import PurePosixPath

from evalsuite.lab.documents import SUPPORTED, Extracted, UnreadableError, read
from evalsuite.lab.grading.deliverables import content_problem
from evalsuite.lab.grading.values import Quantity, dates, is_amount, normalise, numbers
from evalsuite.lab.task import DocumentFolder

FILE = re.compile(r"[\w&()-]+(?:\.[\w&()-]+)*\.(?:docx|doc|xlsx|xls|pptx|pdf|eml|msg|txt|md|csv)\b", re.IGNORECASE)
CODE = re.compile(r"(?<![\w-])(?:[A-Z]+[A-Z0-9]*-[A-Z0-9-]*\d[\w-]*|\d{3,}(?:-\d{2,})+)(?![\w-])")
WORD = re.compile(r"[^\W\d_]+(?:['&-][^\W\d_]+)*")
NAME = re.compile(r"[A-Z][^\W\d_]*[a-z][^\W\d_]*(?:[ '&-]+(?:(?:of|and|the|de|von|&) )?[A-Z][^\W\d_]*)*")
SENTENCE_END = re.compile(r"[.:;!?(\"]\s*$|^$")
ORDINARY = frozenset(
    re.findall(
        r"\w+",
        """agent analysis answer appendix article associate chapter clause client correctly criterion deliverable draft exhibit
        fail flags identifies january february march april may june july august september october november december
        memo memorandum monday tuesday wednesday thursday friday saturday sunday naming not notes output part pass
        provides recommends report response rubric schedule section states table task the title""",
    )
)
SMALL = 12


@dataclass
class Evidence:
    """The documents' text, normalised and in lower case, with an index of what facts are looked up in."""

    texts: dict[str, str] = field(default_factory=dict)
    words: set[str] = field(default_factory=set)
    values: set[Decimal] = field(default_factory=set)
    days: set[date] = field(default_factory=set)
    names: set[str] = field(default_factory=set)
    unreadable: dict[str, str] = field(default_factory=dict)
    unsupported: list[str] = field(default_factory=list)
    empty: list[str] = field(default_factory=list)
    stubs: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @classmethod
    def of(cls, folder: DocumentFolder) -> Evidence:
        """Read every document of a folder."""
        evidence = cls()
        for path in folder.entries[0]:
            name = folder.name(path)
            evidence.names.add(name.casefold())
            evidence._index(name.replace("/", " "))
            if path.suffix.lower() not in SUPPORTED:
                evidence.unsupported.append(name)
                continue
            try:
                problem = content_problem(path, name)
                extracted = read(path, name=name)
            except UnreadableError as error:
                if path.stat().st_size:
                    evidence.unreadable[name] = error.message
                else:
                    evidence.empty.append(name)
                continue
            if problem:
                (evidence.empty if problem == "empty" else evidence.stubs).append(name)
            evidence.notes += extracted.notes
            text = flat(extracted)
            evidence._index(text)
            evidence.texts[name] = text.casefold()
        return evidence

    def _index(self, text: str) -> None:
        self.words.update(match[0].casefold() for match in WORD.finditer(text))
        for day in dates(text):
            self.days.update(value for value in (day.value, day.other) if value)
        self.values.update(abs(number.value) for number in numbers(text))

    def files(self, wanted: str) -> list[str]:
        """The documents of a name, given with or without folders; a name with spaces may be given by its end."""
        name = wanted.casefold()
        return [known for known in self.names if known == name or re.search(rf"(?:^|[/ ]){re.escape(name)}$", known)]

    def holding(self, phrase: str) -> list[str]:
        """The documents in which a normalised lower-case phrase occurs."""
        return [name for name, text in self.texts.items() if phrase in text]


@dataclass(frozen=True)
class Facts:
    """What a criterion states that documents could confirm."""

    numbers: tuple[Quantity, ...]
    dates: tuple[tuple[date, date | None, str], ...]
    names: tuple[str, ...]
    codes: tuple[str, ...]
    files: tuple[str, ...]
    text: str

    @classmethod
    def of(cls, title: str, match_criteria: str) -> Facts:
        """Names only from `match_criteria`: titles have capitals for other reasons."""
        body = normalise(match_criteria)
        text = f"{normalise(title)}\n{body}"
        plain = FILE.sub(" ", CODE.sub(" ", text))
        return cls(
            numbers=tuple(number for number in numbers(plain) if telling(number)),
            dates=tuple((day.value, day.other, plain[day.start : day.end]) for day in dates(plain)),
            names=tuple(dict.fromkeys(proper_names(FILE.sub(" ", body)))),
            codes=tuple(dict.fromkeys(CODE.findall(FILE.sub(" ", text)))),
            files=tuple(dict.fromkeys(FILE.findall(text))),
            text=plain,
        )

    @property
    def count(self) -> int:
        return len(self.numbers) + len(self.dates) + len(self.names) + len(self.codes)

    def missing(self, evidence: Evidence, instructions: Evidence) -> list[str]:
        """The facts that occur neither in the documents nor in the instructions, as the criterion writes them."""
        both = (evidence, instructions)
        lost = [
            self.text[number.start : number.end].strip()
            for number in self.numbers
            if not any(value in place.values for place in both for value in readings(number))
        ]
        lost += [
            text
            for value, other, text in self.dates
            if not any(day in place.days for place in both for day in (value, other) if day)
        ]
        for name in self.names:
            parts = [word.casefold() for word in WORD.findall(name) if len(word) > 2 and word[0].isupper()]
            if any(not any(_occurs(part, place.words) for place in both) for part in parts):
                lost.append(name)
        lost += [
            code
            for code in self.codes
            if not any(place.holding(code.casefold()) for place in both)
            and not any(code.casefold() in known for known in evidence.names)
        ]
        return list(dict.fromkeys(lost))


def flat(extracted: Extracted) -> str:
    """The visible text of a document, normalised, without anchors."""
    return normalise("\n".join(" ".join(block.cells) if block.cells else block.text for block in extracted.visible()))


def text_evidence(text: str) -> Evidence:
    """Evidence in a text that is no document: the instructions."""
    evidence = Evidence()
    plain = normalise(text)
    evidence._index(plain)
    evidence.texts[""] = plain.casefold()
    return evidence


def telling(number: Quantity) -> bool:
    """Whether a number says something: small counts do not."""
    whole = number.value == number.value.to_integral_value()
    return not whole or number.percent or is_amount(number) or abs(number.value) > SMALL


def readings(number: Quantity) -> Iterator[Decimal]:
    """How a document may write it: as it stands, 12 % as 0.12 in a sheet, money in thousands."""
    value = abs(number.value)
    yield value
    if number.percent:
        yield value / 100
    if is_amount(number):
        yield value / 1000


def proper_names(text: str) -> Iterator[str]:
    """Runs of capitalised words; a lone one at the start of a sentence, an ordinary word or an acronym is no name."""
    for match in NAME.finditer(text):
        words = match[0].split()
        start = SENTENCE_END.search(text[: match.start()]) is not None
        while words and (words[0].casefold().strip("'") in ORDINARY or (start and len(words) < 3)):
            words, start = words[1:], False
        while words and (words[-1].casefold() in ORDINARY or words[-1].islower()):
            words = words[:-1]
        while words and words[0].islower():
            words = words[1:]
        name = " ".join(words)
        if len(name) > 2 and not name.isupper():
            yield name.removesuffix("'s")


def _occurs(word: str, words: Iterable[str] | set[str]) -> bool:
    """The word itself, or its possessive, plural or hyphenated parts."""
    known = words if isinstance(words, set) else set(words)
    forms = {word, word.removesuffix("'s"), word + "'s", word.removesuffix("s"), word + "s"}
    return bool(forms & known) or ("-" in word and all(part in known for part in word.split("-")))


def stem_words(name: str) -> str:
    """A file name as running text would have it: no extension, hyphens and underscores as spaces."""
    return re.sub(r"[-_\s]+", " ", PurePosixPath(name).stem).casefold()
