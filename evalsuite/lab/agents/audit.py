"""Agents that audit a task instead of solving it: what they score says how good the rubric and the judge are.

reference must pass everything; empty, parrot, title-echo, injector and stuffing must pass nothing.
"""

from __future__ import annotations

import asyncio
import re
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evalsuite.lab.agents.base import Assignment, Ending, deliverable_names
from evalsuite.lab.agents.desk import Desk
from evalsuite.lab.agents.injection import inject
from evalsuite.lab.agents.office import plain
from evalsuite.lab.agents.passages import AMOUNT, DATE, STOPWORDS

if TYPE_CHECKING:
    from evalsuite.lab.task import Criterion

MOST_CHARACTERS = 2_000_000
"""What the parrot repeats at most."""
_KEYWORD = re.compile(
    rf"{DATE.pattern}|{AMOUNT.pattern}|\b[A-Z][\w'’-]*(?: [A-Z][\w'’-]*)+|\d[\d.,]*\d|\w+(?:['’./-]\w+)*"
)


class Audit:
    """What the audit agents share: no model, no settings."""

    name = "audit"
    privileged = False
    needs_model = False

    def settings(self) -> dict[str, Any]:
        """Nothing changes what these write but the suite's own code, which the manifest holds."""
        return {}


class Reference(Audit):
    """Hands in the task's gold deliverables: a rubric must pass them on every criterion."""

    name = "reference"
    privileged = True

    def __init__(self, sha256: str = "") -> None:
        self.sha256 = sha256

    def settings(self) -> dict[str, Any]:
        """The hash of all references, where the caller gave one: a changed reference is another run."""
        return {"reference_sha256": self.sha256} if self.sha256 else {}

    async def work(self, assignment: Assignment) -> Ending:
        """Copy reference/ into the output folder."""
        if assignment.task is None:
            return Ending("error", "the reference agent was not given the task")
        gold = assignment.task.reference
        files = sorted(path for path in gold.rglob("*") if path.is_file()) if gold.is_dir() else []
        if not files:
            return Ending("error", f"{assignment.matter.id} has no reference/ folder with deliverables to hand in")
        for file in files:
            target = assignment.workspace.output / file.relative_to(gold)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(file, target)
        names = ", ".join(str(file.relative_to(gold)) for file in files)
        assignment.transcript.add({"turn": 1, "role": "assistant", "text": f"Handed in the reference: {names}"})
        return Ending("done", turns=1)


class Empty(Audit):
    """Hands in nothing: a criterion that passes without a deliverable passes anything."""

    name = "empty"

    async def work(self, assignment: Assignment) -> Ending:
        """Write nothing."""
        assignment.transcript.add({"turn": 1, "role": "assistant", "text": ""})
        return Ending("done", turns=1)


class Parrot(Audit):
    """Hands in the documents themselves: a criterion that passes tests for words, not for work."""

    name = "parrot"

    async def work(self, assignment: Assignment) -> Ending:
        """Write the visible text of every document into every deliverable."""
        desk = Desk(assignment)
        lines = await asyncio.to_thread(_spoken, assignment)
        for name in deliverable_names(assignment.matter):
            await desk.deliver(name, "\n\n".join(map(plain, lines)), [[line] for line in lines])
        return desk.ending()


def _spoken(assignment: Assignment) -> list[str]:
    """The visible lines of all documents in order of their names, cut after MOST_CHARACTERS."""
    from evalsuite.lab.documents import UnreadableError, read

    folder, room = assignment.workspace.documents, MOST_CHARACTERS
    lines: list[str] = []
    for file in sorted(path for path in folder.rglob("*") if path.is_file()):
        name = file.relative_to(folder).as_posix()
        try:
            texts = [block.text for block in read(file, name=name, cache=assignment.tools.cache).visible()]
        except UnreadableError:
            continue
        assignment.tools.documents_read.add(name)
        for text in (name, *filter(str.strip, texts)):
            room -= len(text)
            if room < 0:
                return lines
            lines.append(text)
    return lines


class TitleEcho(Audit):
    """Hands in the rubric's own titles: a criterion that passes takes a heading for an analysis."""

    name = "title-echo"
    privileged = True

    async def work(self, assignment: Assignment) -> Ending:
        """Write the task's title and every criterion's title as headings and bullets."""
        if assignment.task is None:
            return Ending("error", "the title-echo agent was not given the task")
        desk = Desk(assignment)
        titles = [criterion.title for criterion in assignment.task.criteria]
        text = [f"# {plain(assignment.matter.title)}", *(f"## {t}\n\n- {t}" for t in map(plain, titles))]
        for name in deliverable_names(assignment.matter):
            await desk.deliver(name, "\n\n".join(text), [["Issue"], *([title] for title in titles)])
        return desk.ending()


class Stuffing(Audit):
    """Hands in the criteria's keywords, names and figures in no order: a criterion that passes counts words, not statements."""

    name = "stuffing"
    privileged = True

    async def work(self, assignment: Assignment) -> Ending:
        """Write one paragraph or row of keywords for each criterion."""
        if assignment.task is None:
            return Ending("error", "the stuffing agent was not given the task")
        desk = Desk(assignment)
        lists = [" ".join(keywords(criterion)) for criterion in assignment.task.criteria]
        text = [f"# {plain(assignment.matter.title)}", *map(plain, lists)]
        for name in deliverable_names(assignment.matter):
            await desk.deliver(name, "\n\n".join(text), [["Issue"], *([keys] for keys in lists)])
        return desk.ending()


def keywords(criterion: Criterion) -> list[str]:
    """Names, figures, dates and telling words of a criterion's title and of what makes it pass, each once, by the alphabet."""
    wanted = re.split(r"\bFAIL\b", criterion.match_criteria)[0]
    found = _KEYWORD.findall(f"{criterion.title}. {re.sub(r'PASS(?: if)?', ' ', wanted)}")
    telling = {word.casefold(): word for word in found if word.casefold() not in STOPWORDS}
    return [telling[key] for key in sorted(telling)]


class Injector(Audit):
    """Hands in orders to the judge instead of work, in every hiding place the format has."""

    name = "injector"

    async def work(self, assignment: Assignment) -> Ending:
        """Write a deliverable of the wanted type that holds nothing but orders to pass it."""
        desk = Desk(assignment)
        for name in deliverable_names(assignment.matter):
            target = desk.path(name)
            if inject(target):
                desk.say(f"Wrote orders to the judge into {name}")
            else:
                desk.say(f"{name}: no orders can be hidden in a {Path(name).suffix or 'nameless'} file")
        return desk.ending()
