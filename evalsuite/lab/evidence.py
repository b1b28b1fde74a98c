"""What a folder of documents says, and which facts of a criterion occur in it: numbers, dates, names, codes, files."""

from __future__ import annotations

import re
from calendar import month_name
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from functools import cached_property
from pathlib import PurePosixPath

from evalsuite.lab.documents import SUPPORTED, Block, UnreadableError, read
from evalsuite.lab.grading.values import Quantity, dates, is_amount, normalise, numbers
from evalsuite.lab.task import DocumentFolder
from evalsuite.storage import default_cache

FILE = re.compile(r"[\w&()-]+(?:\.[\w&()-]+)*\.(?:docx|doc|xlsx|xls|pptx|pdf|eml|msg|txt|md|csv)\b", re.IGNORECASE)
CODE = re.compile(r"(?<![\w-])(?:[A-Z]+[A-Z0-9]*-[A-Z0-9-]*\d[\w-]*|\d{3,}(?:-\d{2,})+)(?![\w-])")
TOKEN = re.compile(r"\w+")
WORD = re.compile(r"[^\W\d_]+(?:['&-][^\W\d_]+)*")
NAME = re.compile(r"[A-Z][^\W\d_]*[a-z][^\W\d_]*(?:[ '&-]+(?:(?:of|and|the|de|von|&) )?[A-Z][^\W\d_]*)*")
SENTENCE_END = re.compile(r"[.!?]['\")]?\s*$|^\s*$")
ORDINARY = frozenset(
    re.findall(
        r"\w+",
        """agent analysis answer appendix article associate chapter clause client correctly criterion deliverable draft
        exhibit fail flags identifies january february march april may june july august september october november
        december
        memo memorandum monday tuesday wednesday thursday friday saturday sunday naming not notes output part pass
        provides recommends report response rubric schedule section states table task the title""",
    )
)
SMALL = 12
MONTHS = [name.casefold() for name in month_name]


@dataclass
class Evidence:
    """The documents' text, normalised and in lower case, with an index of its words.

    Comments, hidden sheets, tracked deletions and other text that a reader must look for are part of it: agents are shown them.
    """

    texts: dict[str, str] = field(default_factory=dict)
    postings: dict[str, set[str]] = field(default_factory=dict)
    """Word or run of digits -> names of the documents that hold it."""
    names: set[str] = field(default_factory=set)
    name_words: set[str] = field(default_factory=set)
    unreadable: dict[str, str] = field(default_factory=dict)
    unsupported: list[str] = field(default_factory=list)
    empty: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @classmethod
    def of(cls, folder: DocumentFolder) -> Evidence:
        """Read every document of a folder."""
        evidence = cls()
        for path in folder.entries[0]:
            name = folder.name(path)
            evidence.names.add(name.casefold())
            evidence.name_words.update(TOKEN.findall(name.casefold().replace("_", " ")))
            if path.suffix.lower() not in SUPPORTED:
                evidence.unsupported.append(name)
                continue
            try:
                extracted = read(path, name=name, cache=default_cache())
                marked = read(path, name=name, changes="all", cache=default_cache())
            except UnreadableError as error:
                if path.stat().st_size:
                    evidence.unreadable[name] = error.message
                else:
                    evidence.empty.append(name)
                continue
            evidence.notes += extracted.notes
            if not TOKEN.search(flat(extracted.visible())):
                evidence.empty.append(name)
            changed = set(marked.blocks) - set(extracted.blocks)
            evidence.add(name, flat([*extracted.blocks, *(block for block in marked.blocks if block in changed)]))
        return evidence

    @classmethod
    def in_text(cls, text: str) -> Evidence:
        """Evidence in a text that is no document: the instructions."""
        evidence = cls()
        evidence.add("", normalise(text))
        return evidence

    def add(self, name: str, text: str) -> None:
        """Take in a document's normalised text."""
        self.texts[name] = text.casefold()
        for token in set(TOKEN.findall(self.texts[name])):
            self.postings.setdefault(token, set()).add(name)

    @cached_property
    def figures(self) -> tuple[set[Decimal], set[date]]:
        """(absolute values of all numbers, all dates): slow to gather, so asked only for what is not there verbatim."""
        values: set[Decimal] = set()
        days: set[date] = set()
        for text in self.texts.values():
            values.update(abs(number.value) for number in numbers(text))
            days.update(value for day in dates(text) for value in (day.value, day.other) if value)
        return values, days

    def without_year(self, day: date) -> bool:
        """Whether a text gives the day and month of a date and leaves its year to the reader."""
        month = rf"{MONTHS[day.month][:3]}(?:{MONTHS[day.month][3:]})?\b"
        written = (
            rf"\b0?{day.day}(?:st|nd|rd|th)? (?:of )?{month}(?!,? \d{{4}})|\b{month}\.? 0?{day.day}\b(?!,? \d{{4}})"
        )
        return any(re.search(written, text) for text in self.texts.values())

    def has_word(self, word: str) -> bool:
        """Whether a lower-case word occurs in a text or a file name, itself or as plural or possessive."""
        tokens = TOKEN.findall(word.removesuffix("'s"))
        return all(
            any(
                form in self.postings or form in self.name_words
                for form in (token, token.removesuffix("s"), token + "s")
            )
            for token in tokens
        )

    def files(self, wanted: str) -> list[str]:
        """The documents of a name, given with or without folders; a name with spaces may be given by its end."""
        name = wanted.casefold()
        return [known for known in self.names if known == name or re.search(rf"(?:^|[/ ]){re.escape(name)}$", known)]

    def holding(self, phrase: str) -> list[str]:
        """The documents in which a normalised lower-case phrase occurs, on word boundaries."""
        tokens = set(TOKEN.findall(phrase))
        places = (
            set.intersection(*(self.postings.get(token, set()) for token in tokens)) if tokens else self.texts.keys()
        )
        whole = re.compile(rf"(?<!\w){re.escape(phrase)}(?!\w|[.,]\d)")
        return sorted(name for name in places if whole.search(self.texts[name]))


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
        text = FILE.sub(" ", f"{normalise(title)}\n{body}")
        found = dates(text)
        rest = text
        for day in found:
            rest = rest[: day.start] + " " * (day.end - day.start) + rest[day.end :]
        codes = tuple(dict.fromkeys(CODE.findall(rest)))
        rest = CODE.sub(lambda match: " " * len(match[0]), rest)
        return cls(
            numbers=tuple(number for number in numbers(rest) if telling(number)),
            dates=tuple((day.value, day.other, text[day.start : day.end]) for day in found),
            names=tuple(dict.fromkeys(proper_names(FILE.sub(" ", body)))),
            codes=codes,
            files=tuple(dict.fromkeys(FILE.findall(f"{title}\n{match_criteria}"))),
            text=rest,
        )

    @property
    def count(self) -> int:
        return len(self.numbers) + len(self.dates) + len(self.names) + len(self.codes)

    def missing(self, evidence: Evidence, instructions: Evidence) -> list[str]:
        """The facts that occur neither in the documents nor in the instructions, as the criterion writes them."""
        both = (evidence, instructions)
        return list(dict.fromkeys(self._figures(both) + self._names(both)))

    def missing_names(self, evidence: Evidence, instructions: Evidence) -> list[str]:
        """The same without numbers and dates, which may be worked out from what the documents say."""
        return list(dict.fromkeys(self._names((evidence, instructions))))

    def _figures(self, both: tuple[Evidence, ...]) -> list[str]:
        lost = []
        for number in self.numbers:
            text = self.text[number.start : number.end].strip()
            values = set(readings(number))
            if not any(place.holding(text.casefold()) or values & place.figures[0] for place in both):
                lost.append(text)
        for value, other, text in self.dates:
            days = {day for day in (value, other) if day}
            if not any(
                place.holding(text.casefold()) or days & place.figures[1] or any(map(place.without_year, days))
                for place in both
            ):
                lost.append(text)
        return lost

    def _names(self, both: tuple[Evidence, ...]) -> list[str]:
        lost = []
        for name in self.names:
            parts = [word.casefold() for word in WORD.findall(name) if len(word) > 2 and word[0].isupper()]
            if not all(any(place.has_word(part) for place in both) for part in parts):
                lost.append(name)
        for code in map(str.casefold, self.codes):
            if not any(place.holding(code) or any(code in name for name in place.names) for place in both):
                lost.append(next(written for written in self.codes if written.casefold() == code))
        return lost


def flat(blocks: Iterable[Block]) -> str:
    """The text of blocks, normalised, without anchors."""
    return normalise("\n".join(" ".join(block.cells) if block.cells else block.text for block in blocks))


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


def stem_words(name: str) -> str:
    """A file name as running text would have it: no extension, hyphens and underscores as spaces."""
    return re.sub(r"[-_\s]+", " ", PurePosixPath(name).stem).casefold()
