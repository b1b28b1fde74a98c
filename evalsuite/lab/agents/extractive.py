"""The default agent: no model, no chance. It reads everything, picks the passages that matter and quotes them with sources."""

from __future__ import annotations

import asyncio
import re
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from evalsuite.lab.agents.base import Assignment, Ending, Matter, deliverable_names
from evalsuite.lab.agents.desk import Desk
from evalsuite.lab.agents.office import plain
from evalsuite.lab.agents.passages import (
    AMOUNT,
    DATE,
    TOPICS,
    Fact,
    Passage,
    choose,
    facts,
    rank,
    split,
    words,
)
from evalsuite.lab.tools import ToolError

MOST_DOCUMENTS = 300
MOST_CHARACTERS = 20_000_000
"""Reading stops there; the memo names what was left unread."""
_COUNT = re.compile(r"\[\S.*: lines [\d,]+-([\d,]+) of ([\d,]+)\]")
_LISTED = re.compile(r"\[[\d,]+ more: list_files\(.*start=(\d+)\)\]")


@dataclass
class Reviewed:
    """One document as it was read."""

    name: str
    lines: list[tuple[str, str]] = field(default_factory=list)  # anchor, visible text
    problems: list[str] = field(default_factory=list)
    next_line: int = 1  # 0: read to its end

    @cached_property
    def passages(self) -> list[Passage]:
        return split(self.name, self.lines)

    @property
    def remark(self) -> str:
        return "; ".join(self.problems) or "read in full"

    def take(self, answer: str) -> None:
        """Add what the read tool answered: "[anchor] text" lines between remarks in brackets."""
        self.next_line = 0
        for line in answer.split("\n"):
            anchor, bracket, text = line.partition("] ")
            if anchor.startswith(f"[{self.name} ") and bracket:
                if text.startswith("[hidden ("):
                    self._remark("holds hidden text, which is not used")
                else:
                    self.lines.append((anchor[1:], text))
            elif count := _COUNT.fullmatch(line):
                end, total = (int(number.replace(",", "")) for number in count.groups())
                self.next_line = end + 1 if end < total else 0
            elif line.startswith("[") and line.endswith("]"):
                if " more lines: read(" not in line:
                    self._remark(line[1:-1].removeprefix(f"{self.name} "))
            elif self.lines:  # the rest of a line that was too long to be shown in one
                last, text = self.lines[-1]
                self.lines[-1] = (last, text + line)

    def _remark(self, problem: str) -> None:
        if problem not in self.problems:
            self.problems.append(problem)


class Extractive:
    """Writes a memo of quotations: what a reader with a highlighter, and no judgement, would hand in.

    per_document, most: passages quoted from one document, and in all.
    """

    name = "extractive"
    privileged = False
    needs_model = False

    def __init__(self, per_document: int = 8, most: int = 80) -> None:
        self.per_document, self.most = per_document, most

    def settings(self) -> dict[str, Any]:
        """How much is quoted."""
        return {"per_document": self.per_document, "most": self.most}

    async def work(self, assignment: Assignment) -> Ending:
        """List, read, rank, write."""
        desk, matter = Desk(assignment), assignment.matter
        documents = await _review(desk, set(words(f"{matter.title} {matter.instructions}")))
        found = await asyncio.to_thread(self.find, matter, documents)
        for name in deliverable_names(matter):
            await desk.deliver(name, memo(matter, found), table(found))
        desk.say(f"Quoted {len(found.chosen)} passages of {len(documents)} documents.")
        return desk.ending()

    def find(self, matter: Matter, documents: list[Reviewed]) -> Findings:
        """Rank all passages and choose: the best of each document first, then the best of all of them."""
        passages = [passage for document in documents for passage in document.passages]
        scores = rank(passages, f"{matter.title} {matter.instructions}")
        kept: list[int] = []
        start = 0
        for document in documents:
            size = len(document.passages)
            picks = choose(document.passages, scores[start : start + size], self.per_document)
            kept += [start + pick for pick in picks]
            start += size
        best = choose([passages[index] for index in kept], [scores[index] for index in kept], self.most)
        order = sorted(kept[pick] for pick in best)
        return Findings(
            documents=documents,
            chosen=[passages[index] for index in order],
            dates=facts(passages, DATE),
            amounts=facts(passages, AMOUNT),
            topics={topic: [p for p in passages if topic in p.topics] for topic in TOPICS},
        )


async def _review(desk: Desk, asked: set[str]) -> list[Reviewed]:
    """List the documents and read them, page by page, one turn for a page of each of them.

    Of very many documents those come first whose names share words with what was asked.
    """
    names: list[str] = []
    start = 1
    while start:
        listing = (await desk.use("list_files", folder="documents", start=start)).split("\n")
        names += [
            line.rpartition("  ")[0].removeprefix("documents/") for line in listing if line.startswith("documents/")
        ]
        more = _LISTED.fullmatch(listing[-1])
        start = int(more[1]) if more else 0
    documents = [Reviewed(name) for name in names]
    unread = sorted(documents, key=lambda document: -len(asked.intersection(words(document.name))))
    for document in unread[MOST_DOCUMENTS:]:
        document.problems.append(f"not read: at most {MOST_DOCUMENTS} documents are")
    unread, room = unread[:MOST_DOCUMENTS], MOST_CHARACTERS
    while unread and room > 0:
        calls = [("read", {"file": f"documents/{d.name}", "start": d.next_line, "lines": 5000}) for d in unread]
        for document, key, (tool, arguments) in zip(unread, desk.say("", calls), calls, strict=True):
            try:
                answer = await desk.answer(tool, arguments, key)
            except ToolError as error:
                document.problems.append(error.message)
                document.next_line = 0
                continue
            document.take(answer)
            room -= len(answer)
        unread = [document for document in unread if document.next_line]
    for document in unread:
        document.problems.append(f"not read from line {document.next_line} on")
    return documents


@dataclass
class Findings:
    """What the memo is made of."""

    documents: list[Reviewed]
    chosen: list[Passage]
    dates: list[Fact]
    amounts: list[Fact]
    topics: dict[str, list[Passage]]


def memo(matter: Matter, found: Findings) -> str:
    """The memo in Markdown: scope, documents, key passages, dates and amounts, open points."""
    parts = [f"# {plain(matter.title)}", "## Scope", matter.instructions.strip()]
    parts.append(
        "This memo quotes the documents and says where each quotation stands. It was put together by rules, without judgement:"
        " nothing in it is legal advice."
    )
    parts += ["## Documents reviewed", _pipe_table(["Document", "Passages", "Remark"], _document_rows(found))]
    parts.append("## Key passages")
    for document in found.documents:
        quoted = [passage for passage in found.chosen if passage.document == document.name]
        if quoted:
            parts.append(f"### {plain(document.name)}")
            parts.append("\n".join(f"- {_label(p)}“{plain(p.text)}” ({plain(p.anchor)})" for p in quoted))
    for title, values in (("Dates", found.dates), ("Amounts and percentages", found.amounts)):
        if values:
            rows = [[fact.value, fact.context, _where(fact.anchors)] for fact in values]
            parts += [f"## {title}", _pipe_table([title.split()[0].rstrip("s"), "Context", "Source"], rows)]
    parts += ["## Open points", "\n".join(f"- {plain(point)}" for point in _open_points(found))]
    return "\n\n".join(parts) + "\n"


def table(found: Findings) -> list[list[str]]:
    """The same findings as rows of a sheet."""
    rows = [["Kind", "Document", "Finding", "Source"]]
    rows += [[", ".join(p.topics) or "Key passage", p.document, p.text, p.anchor] for p in found.chosen]
    for kind, values in (("Date", found.dates), ("Amount", found.amounts)):
        rows += [[kind, "", f"{fact.value}: {fact.context}", _where(fact.anchors)] for fact in values]
    return rows + [["Open point", "", point, ""] for point in _open_points(found)]


def _document_rows(found: Findings) -> list[list[str]]:
    return [[d.name, str(len(d.passages)), d.remark] for d in found.documents]


def _label(passage: Passage) -> str:
    return f"{passage.topics[0]}: " if passage.topics else ""


def _where(anchors: tuple[str, ...], most: int = 4) -> str:
    more = f" and {len(anchors) - most} more" if len(anchors) > most else ""
    return "; ".join(anchors[:most]) + more


def _pipe_table(header: list[str], rows: list[list[str]]) -> str:
    lines = [header, ["---"] * len(header), *([plain(cell) for cell in row] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _open_points(found: Findings) -> list[str]:
    points = [f"{d.name} was not used in full: {d.remark}" for d in found.documents if d.problems]
    for topic, passages in found.topics.items():
        names = dict.fromkeys(passage.document for passage in passages)
        if passages:
            points.append(f"{topic}: to be checked by a lawyer in {_where(tuple(names), 8)}.")
        else:
            points.append(f"{topic}: no passage in the documents; confirm that nothing was left out.")
    return points
