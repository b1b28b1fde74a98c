"""Lists of keywords: words that stand side by side without saying anything, which no check takes for a statement.

English prose has a function word ("the", "of", "not") in every two or three words, a lawyer's notes in every four. A list is
- `RUN` telling words in a row with neither a function word nor punctuation between them;
- `LONE` different words in a row that punctuation sets off one by one ("consent. notice. deadline.");
- whatever stands between three such lists that follow one another.
Figures, names of files and addresses of mail never count. Words with a capital count only in runs, and as sentences of one word: names, headings and addresses make
long lists in honest work, and so do tables, whose cells are short.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from typing import Protocol

from evalsuite.lab.documents import Block

RUN, LONE = 8, 6
CHAIN, STEP = 3, 4
FOREIGN = 50
"""One foreign function word in so many words, and more of them than English ones: another language."""
Span = tuple[int, int]

FUNCTION_WORDS = frozenset(
    re.findall(
        r"\w+",
        """a about above across after against all along although am among an and any are around as at be because been before
    behind being below beneath beside besides between beyond both but by can cannot could did do does doing done down during
    each either else every few for from had has have having he her here hers him his how i if in into is it its itself
    many may me might more most much must my neither no nor not of off on only onto or other our out over own per shall she
    should since so some such than that the their them then there these they this those though through throughout to toward
    towards under unless until up upon us was we were what when whenever where whereas whether which while who whom whose
    why will with within without would you your""",
    )
)
FOREIGN_WORDS = frozenset(
    re.findall(
        r"\w+",
        """der das dem den des ein eine einer eines einem und oder nicht ist sind wird werden wurde mit von zu zum zur bei
        auf für im aus nach durch dass als wenn sich auch le la les une est sont dans avec qui que ce cette au aux du et
        ou il elle el los las una unos es está por para como su sus se del y lo gli della delle di che è sono nel nella
        un uno het een van en niet zijn wordt voor op met dat o os da dos em na não com uma ao w z że się nie jest lub
        oraz og ikke som av er det att och inte är på ja ei että tai az és nem hogy egy ve bir bu için ile și nu este în
        cu""",
    )
)
_LETTERS = re.compile(r"[^\W\d_]{2}")
_NAMES = re.compile(
    r"[\w&().-]+\.(?:docx|xlsx|pptx|pdf|eml|msg|txt|md|csv)\b|\S+@\S+|\b\d+(?:[-_][^\W\d_]+){2,}", re.IGNORECASE
)
_JOINS = ("", "-", "'", "’")


class Text(Protocol):
    """What is looked at: a scan."""

    text: str
    words: list[str]
    starts: list[int]
    ends: list[int]
    first: list[int]

    @property
    def blocks(self) -> Sequence[Block]: ...


def in_lists(scan: Text) -> bytearray:
    """For each word of a scan, 1 if it stands in a list of keywords.

    A text that is mostly in another language than English is left alone.
    """
    marks = bytearray(len(scan.words))
    common = [word in FUNCTION_WORDS for word in scan.words]
    foreign = sum(word in FOREIGN_WORDS for word in scan.words)
    if foreign > max(sum(common), len(common) // FOREIGN):
        return marks
    telling = [not known and bool(_LETTERS.match(word)) for known, word in zip(common, scan.words, strict=True)]
    for name in _NAMES.finditer(scan.text):
        for i in range(bisect_left(scan.starts, name.start()), bisect_left(scan.starts, name.end())):
            telling[i] = False
    seeds: list[int] = []
    for number, block in enumerate(scan.blocks):
        low, high = scan.first[number], scan.first[number + 1]
        segments = list(_segments(scan, low, high))
        found = [*_runs(segments, telling, common), *_lone(scan, segments, telling, common)]
        for begin, end in found:
            marks[begin:end] = b"\1" * (end - begin)
        if found or (block.kind == "row" and _small_cells(scan, segments, telling, common)):
            seeds.append(number)
    for begin, end in _chains(seeds):
        low, high = scan.first[begin], scan.first[end + 1]
        marks[low:high] = b"\1" * (high - low)
    return marks


def _chains(seeds: Sequence[int]) -> Iterator[Span]:
    """First and last of `CHAIN` blocks or more, each with a list and at most `STEP` blocks after the one before."""
    begin = 0
    for i in range(1, len(seeds) + 1):
        if i == len(seeds) or seeds[i] - seeds[i - 1] > STEP:
            if i - begin >= CHAIN:
                yield seeds[begin], seeds[i - 1]
            begin = i


def _small_cells(scan: Text, segments: Sequence[Span], telling: Sequence[bool], common: Sequence[bool]) -> bool:
    """Many words and hardly a function word in cells that begin with a small letter, as a reader's cells seldom do."""
    words = sum(sum(telling[low:high]) for low, high in segments)
    few = sum(sum(common[low:high]) for low, high in segments)
    starts = [next((i for i in range(low, high) if telling[i]), None) for low, high in segments]
    small = [scan.text[scan.starts[i]].islower() for i in starts if i is not None]
    return words >= RUN and few * RUN <= words and 2 * sum(small) > len(small)


def _segments(scan: Text, low: int, high: int) -> Iterator[Span]:
    """The stretches of a block without punctuation; a hyphen or an apostrophe inside a word is none."""
    begin = low
    for i in range(low + 1, high):
        gap = scan.text[scan.ends[i - 1] : scan.starts[i]]
        if gap not in _JOINS and not gap.isspace():
            yield begin, i
            begin = i
    if begin < high:
        yield begin, high


def _runs(segments: Sequence[Span], telling: Sequence[bool], common: Sequence[bool]) -> Iterator[Span]:
    for low, high in segments:
        begin = low
        for i in range(low, high + 1):
            if i == high or common[i]:
                if sum(telling[begin:i]) >= RUN:
                    yield begin, i
                begin = i + 1


def _lone(scan: Text, segments: Sequence[Span], telling: Sequence[bool], common: Sequence[bool]) -> Iterator[Span]:
    """Runs of segments that hold one word each; figures do not interrupt, nor do two words now and then."""
    run: list[Span] = []
    for low, high in [*segments, (0, 0)]:
        size = sum(telling[low:high]) + sum(common[low:high])
        if low < high and size <= 2:
            run.append((low, high))
            continue
        if run:
            words = [i for start, end in run for i in range(start, end) if telling[i] and _counts(scan, i)]
            singles = sum(sum(telling[start:end]) + sum(common[start:end]) == 1 for start, end in run)
            if len({scan.words[i] for i in words}) >= LONE and 4 * singles >= 3 * len(run):
                yield run[0][0], run[-1][1]
        run = []


def _counts(scan: Text, i: int) -> bool:
    """A word in small letters, or one that is a sentence of its own."""
    after = scan.text[scan.ends[i] : scan.ends[i] + 1]
    return scan.text[scan.starts[i]].islower() or after in (".", "!", "?")
