"""Deterministic criteria: rubric.yaml's `check`, compiled once and asked of the deliverables.

A check is a mapping with one kind as its key (`KINDS`), or a string, which means `quote`. Only visible text counts. Case, curly quotes,
kinds of dashes and spaces, and punctuation between words make no difference (`scan`); numbers and dates are compared by value (`values`).
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from typing import Any, Self

from evalsuite.lab.grading.findings import (
    Amount,
    Check,
    Cites,
    Date,
    Found,
    Number,
    Party,
    Quote,
    excerpts,
    places,
)
from evalsuite.lab.grading.parties import Name, names
from evalsuite.lab.grading.scan import Phrase, Scan, Scope, Span
from evalsuite.lab.grading.spec import Spec
from evalsuite.lab.grading.tables import HasTable, XlsxCell

__all__ = ["KINDS", "Check", "Found", "compile_check"]


def compile_check(spec: Any, where: str) -> Check:
    """The check that a value of rubric.yaml describes. Raises InputError with the key's path and what is accepted."""
    return _read(Spec(spec, where))


def _read(spec: Spec) -> Check:
    if isinstance(spec.value, str):
        return Quote.read(spec)
    kind = spec.one_of(tuple(_CHECKS), "kind of check")
    return _CHECKS[kind].read(spec.at(kind))


def _several(spec: Spec) -> list[Check]:
    return [_read(item) for item in spec.items("checks")]


class Several(Check):
    """A check made of a list of checks."""

    def __init__(self, checks: Sequence[Check]) -> None:
        self.checks = checks

    @classmethod
    def read(cls, spec: Spec) -> Self:
        return cls(_several(spec))


class AnyOf(Several):
    """At least one of the checks passes."""

    kind = "any_of"
    help = "a list of checks, one of which passes"

    def __init__(self, checks: Sequence[Check]) -> None:
        super().__init__(checks)
        self.placed = all(check.placed for check in checks)
        self.label = " or ".join(check.label for check in checks)

    def look(self, scopes: Sequence[Scope]) -> Found:
        answers = []
        for check in self.checks:
            answers.append(check.look(scopes))
            if answers[-1].ok:
                return answers[-1]
        return Found(False, "none of the alternatives: " + "; ".join(answer.why for answer in answers))

    def spans(self, scope: Scope) -> list[Span]:
        return sorted({span for check in self.checks for span in check.spans(scope)})


class AllOf(Several):
    """Every check passes."""

    kind = "all_of"
    help = "a list of checks, all of which pass"

    def look(self, scopes: Sequence[Scope]) -> Found:
        answers = [check.look(scopes) for check in self.checks]
        failed = [answer for answer in answers if not answer.ok]
        quotes = tuple(dict.fromkeys(quote for answer in failed or answers for quote in answer.quotes))
        return Found(not failed, "; ".join(answer.why for answer in failed or answers), quotes)


class NoneOf(Several):
    """No check passes. An empty deliverable fails all the same."""

    kind = "none_of"
    help = "a list of checks, none of which passes"

    def look(self, scopes: Sequence[Scope]) -> Found:
        passed = [answer for check in self.checks if (answer := check.look(scopes)).ok]
        if not passed:
            return Found(True, "nothing that must not be there was found")
        why = "must not be there, but " + "; ".join(answer.why for answer in passed)
        return Found(False, why, tuple(dict.fromkeys(quote for answer in passed for quote in answer.quotes)))


class Near(Check):
    """One place of every term inside a window of `within` words, in any order, in one block (paragraph, list item, table row).

    `across`: blocks of the same section count as one text. A term is a check that has places (quote, number, amount, date, party,
    cites, near, any_of of these), a string (quote) or a list of alternatives. The window counts the terms' own words.
    """

    kind = "near"
    help = "{terms: [...], within: N words, across: paragraphs of a section}"
    placed = True

    def __init__(self, terms: Sequence[Check], within: int, across: bool) -> None:
        self.terms, self.within, self.across = terms, within, across
        labels = [term.label for term in terms]
        self.label = f"{', '.join(labels[:-1])} and {labels[-1]}"

    @classmethod
    def read(cls, spec: Spec) -> Self:
        fields = spec.fields(["terms", "within"], ["across"])
        terms = []
        for item in fields["terms"].items("terms"):
            check = AnyOf(_several(item)) if isinstance(item.value, list) else _read(item)
            if not check.placed:
                placed = ", ".join(name for name, known in _CHECKS.items() if known.placed)
                item.fail(f"must have a place in the text: a string, {placed}, or any_of (a list) of these")
            terms.append(check)
        if len(terms) < 2:
            fields["terms"].fail("must be a list of two terms or more")
        across = fields["across"].boolean() if "across" in fields else False
        return cls(terms, fields["within"].whole(low=1), across)

    def look(self, scopes: Sequence[Scope]) -> Found:
        windows = [(scope.scan, window) for scope in scopes for window in self._windows(scope)]
        hits = [(scan, window) for scan, window in windows if window[1] - window[0] <= self.within]
        if hits:
            return Found(True, f"{self.label} stand within {self.within} words ({places(hits)})", excerpts(hits))
        lost = [answer.why for term in self.terms if not (answer := term.look(scopes)).ok]
        why = f"{self.label} do not stand within {self.within} words of each other; "
        if lost:
            return Found(False, why + "; ".join(lost))
        if not windows:
            return Found(
                False, why + f"each is there, but in no {'section' if self.across else 'paragraph or row'} together"
            )
        scan, window = min(windows, key=lambda hit: hit[1][1] - hit[1][0])
        distance = f"the closest take {window[1] - window[0]} words ({scan.anchor(window)})"
        return Found(False, why + distance, (scan.excerpt(window),))

    def spans(self, scope: Scope) -> list[Span]:
        return [window for window in self._windows(scope) if window[1] - window[0] <= self.within]

    def _windows(self, scope: Scope) -> list[Span]:
        """The tightest window that ends with each place of a term, with all terms in it; in order."""
        scan = scope.scan
        events = sorted((*span, i) for i, term in enumerate(self.terms) for span in term.spans(scope))
        latest: dict[int, Span] = {}
        home, found = -1, []
        for start, end, i in events:
            here = _room(scan, start, self.across)
            if here != home:
                home, latest = here, {}
            latest[i] = (start, end)
            if len(latest) == len(self.terms):
                found.append((min(s for s, _ in latest.values()), max(e for _, e in latest.values())))
        return found


def _room(scan: Scan, position: int, across: bool) -> int:
    block = scan.block_at(position)
    if not across:
        return block
    return (scan.headings_over(block + 1) or [-1])[-1]


class Section(Check):
    """A heading with the words (any of a list), and something under it; with `contains`, a check that passes under it.

    A section runs to the next heading of the same level or above. The heading's own words are no part of what it contains.
    """

    kind = "section"
    help = "a heading by its words, or {heading, contains: a check of what stands under it}"

    def __init__(self, headings: Sequence[Phrase], contains: Check | None) -> None:
        self.headings, self.contains = headings, contains
        self.label = " or ".join(f"'{phrase.text}'" for phrase in headings)

    @classmethod
    def read(cls, spec: Spec) -> Self:
        if not isinstance(spec.value, dict):
            return cls(spec.phrases(), None)
        fields = spec.fields(["heading"], ["contains"])
        return cls(fields["heading"].phrases(), _read(fields["contains"]) if "contains" in fields else None)

    def look(self, scopes: Sequence[Scope]) -> Found:
        sections = sections_of(self.headings, scopes)
        if not sections:
            return Found(False, f"no heading with {self.label}; {_headings(scopes)}")
        filled = [scope for scope in sections if scope.words[0] < scope.words[1]]
        if not filled:
            return Found(False, f"the section {self.label} is empty ({_anchor(sections[0])})")
        if self.contains is None:
            return Found(True, f"the section {self.label} is there ({_anchor(filled[0])})", _heading_text(filled[0]))
        answers = [(scope, self.contains.look([scope])) for scope in filled]
        scope, answer = next(((scope, answer) for scope, answer in answers if answer.ok), answers[0])
        return Found(answer.ok, f"in the section {self.label} ({_anchor(scope)}): {answer.why}", answer.quotes)


def sections_of(headings: Sequence[Phrase], scopes: Sequence[Scope]) -> list[Scope]:
    """What stands under each heading that holds one of the phrases, without the heading."""
    found = []
    for scope in scopes:
        scan = scope.scan
        hits = {scan.block_at(start) for phrase in headings for start, _ in scope.within(phrase.spans(scan))}
        found += [
            Scope(scan, heading + 1, min(scan.section_end(heading), scope.high))
            for heading in sorted(hits.intersection(scan.headings))
        ]
    return found


def _anchor(section: Scope) -> str:
    return section.scan.blocks[section.low - 1].anchor


def _heading_text(section: Scope) -> tuple[str, ...]:
    return (section.scan.blocks[section.low - 1].text,)


def _headings(scopes: Sequence[Scope]) -> str:
    texts = [scope.scan.blocks[i].text for scope in scopes for i in scope.scan.headings if scope.low <= i < scope.high]
    return "headings found: " + ", ".join(f"'{text}'" for text in texts[:5]) if texts else "no headings at all"


class NameSet(Check):
    """The names that must be there (`items`) and those that must not (`others`), as recall and precision.

    recall: found items / items. precision: found items / (found items + found others). A name may be a list of aliases; legal
    forms are optional (`Name`); where one name lies inside a longer one ("Alpha" in "Alpha Nord") only the longer counts.
    `unless`: a mention does not count where one of these phrases stands in the same sentence or clause, table row, or in a heading above.
    """

    kind = "set"
    help = "{items, others, precision, recall, in_section, unless}: which names are mentioned"

    def __init__(self, items: Sequence[Sequence[Name]], others: Sequence[Sequence[Name]], **options: Any) -> None:
        self.items, self.others = items, others
        self.precision: float = options.get("precision", 1.0)
        self.recall: float = options.get("recall", 1.0)
        self.headings: Sequence[Phrase] = options.get("in_section", ())
        self.unless: Sequence[Phrase] = options.get("unless", ())

    @classmethod
    def read(cls, spec: Spec) -> Self:
        fields = spec.fields(["items"], ["others", "precision", "recall", "in_section", "unless"])
        items = [names(item) for item in fields["items"].items("names")]
        listed = fields["others"].value if "others" in fields else []
        others = [names(item) for item in fields["others"].items("names")] if listed != [] else []
        seen: set[tuple[str, ...]] = set()
        for group in [*items, *others]:
            for name in group:
                if (*name.phrase.words, name.form) in seen:
                    spec.fail(f"names '{name.phrase.text}' twice")
                seen.add((*name.phrase.words, name.form))
        options: dict[str, Any] = {
            key: float(fields[key].number(0, 1)) for key in ("precision", "recall") if key in fields
        }
        options |= {key: fields[key].phrases() for key in ("in_section", "unless") if key in fields}
        return cls(items, others, **options)

    def look(self, scopes: Sequence[Scope]) -> Found:
        if self.headings:
            label = " or ".join(f"'{phrase.text}'" for phrase in self.headings)
            scopes, parents = sections_of(self.headings, scopes), scopes
            if not scopes:
                return Found(False, f"no heading with {label}; {_headings(parents)}")
        mentions: dict[int, tuple[Scan, Span]] = {}
        for scope in scopes:
            for i, span in self._mentions(scope):
                mentions.setdefault(i, (scope.scan, span))
        n = len(self.items)
        missed = [group[0].phrase.text for i, group in enumerate(self.items) if i not in mentions]
        wrong = [group[0].phrase.text for i, group in enumerate(self.others, n) if i in mentions]
        hits, found = n - len(missed), n - len(missed) + len(wrong)
        recall, precision = hits / n, hits / found if found else 0.0
        ok = recall >= self.recall - 1e-9 and (precision >= self.precision - 1e-9 or self.precision == 0)
        why = f"{hits} of {n} names found (recall {recall:.2f}, precision {precision:.2f})"
        why += f"; missed: {', '.join(missed)}" if missed else ""
        why += f"; should not be there: {', '.join(wrong)}" if wrong else ""
        shown = [mentions[i] for i in sorted(mentions, key=lambda i: (i < n) != ok)]
        return Found(ok, why, excerpts(shown))

    def _mentions(self, scope: Scope) -> list[tuple[int, Span]]:
        groups = enumerate([*self.items, *self.others])
        spans = {(span, i) for i, group in groups for name in group for span in scope.within(name.spans(scope.scan))}
        excuses = sorted(span for phrase in self.unless for span in phrase.spans(scope.scan))
        kept: list[tuple[int, Span]] = []
        reach = (-1, -1)
        for span, i in sorted(spans, key=lambda hit: (hit[0][0], -hit[0][1])):
            if span[1] <= reach[1] and span != reach:
                continue
            reach = max(reach, span, key=lambda s: s[1])
            if not (excuses and self._excused(scope.scan, span, excuses)):
                kept.append((i, span))
        return kept

    def _excused(self, scan: Scan, span: Span, excuses: Sequence[Span]) -> bool:
        over = scan.headings_over(scan.block_at(span[0]))
        rooms = [scan.sentence(span), *((scan.first[h], scan.first[h + 1]) for h in over)]
        return any(
            end <= high
            for low, high in rooms
            for _, end in excuses[bisect_left(excuses, (low, 0)) : bisect_left(excuses, (high, 0))]
        )


class MaxWords(Check):
    """At most so many visible words over all of the criterion's deliverables."""

    kind = "max_words"
    help = "at most so many visible words in all"

    def __init__(self, limit: int) -> None:
        self.limit = limit

    @classmethod
    def read(cls, spec: Spec) -> Self:
        return cls(spec.whole(low=1))

    def look(self, scopes: Sequence[Scope]) -> Found:
        count = sum(scope.word_count() for scope in scopes)
        return Found(count <= self.limit, f"{count:,} words; at most {self.limit:,} are allowed")


_CHECKS: dict[str, type[Check]] = {
    known.kind: known
    for known in (
        *(Quote, Number, Amount, Date, Party, Section, AnyOf, AllOf, NoneOf),
        *(Near, NameSet, MaxWords, Cites, XlsxCell, HasTable),
    )
}
KINDS: dict[str, str] = {kind: known.help for kind, known in _CHECKS.items()}
"""Kind of check -> one line of help."""
