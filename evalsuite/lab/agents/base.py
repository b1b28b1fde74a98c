"""What an agent is given, what it leaves behind, and the record it keeps on the way."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from types import TracebackType
from typing import TYPE_CHECKING, Any, Protocol, Self

from evalsuite.errors import InputError, at, shown
from evalsuite.records import StopReason
from evalsuite.storage import atomic_file

if TYPE_CHECKING:
    from evalsuite.lab.profiles import Profile
    from evalsuite.lab.task import Task
    from evalsuite.lab.tools import Toolbox
    from evalsuite.lab.workspace import Workspace

DEFAULT_DELIVERABLE = "response.md"
_BACKTICKED = re.compile(r"`([^`\n]+\.[A-Za-z][A-Za-z0-9]{1,4})`")
_OUTPUT = re.compile(r"\b(?:outputs?|deliverables?)\b[^`\n]{0,40}:", re.IGNORECASE)


@dataclass
class Limits:
    """What one trial may use. The caller enforces `seconds`; agents with a model keep to the rest (`cost` is in USD)."""

    turns: int = 200
    tokens: int | None = None
    seconds: float = 7200
    cost: float | None = None


@dataclass
class Matter:
    """A task as its solver sees it: nothing of the rubric, the reference or the folder they lie in."""

    id: str
    title: str
    instructions: str
    deliverables: tuple[str, ...] = ()
    language: str | None = None
    jurisdiction: str | None = None
    work_type: str | None = None

    @classmethod
    def of(cls, task: Task) -> Matter:
        """The solver's part of a task."""
        return cls(
            id=task.id,
            title=task.title,
            instructions=task.instructions,
            deliverables=task.deliverables,
            language=task.language,
            jurisdiction=task.jurisdiction,
            work_type=task.work_type,
        )


def deliverable_names(matter: Matter) -> tuple[str, ...]:
    """The files asked for: the declared ones, else those in backticks in the instructions, else response.md.

    Where the instructions say "Output:" or "Deliverables:", only names after it count: the others are documents to read.
    """
    if matter.deliverables:
        return matter.deliverables
    marks = list(_OUTPUT.finditer(matter.instructions))
    tails = [matter.instructions[marks[-1].end() :]] if marks else []
    for text in (*tails, matter.instructions):
        names = [PurePosixPath(name.strip().removeprefix("/workspace/")) for name in _BACKTICKED.findall(text)]
        names = [name.relative_to("output") if name.parts[0] == "output" else name for name in names]
        inside = [str(name) for name in names if not name.is_absolute() and ".." not in name.parts]
        if inside:
            return tuple(dict.fromkeys(inside))
    return (DEFAULT_DELIVERABLE,)


@dataclass
class Ending:
    """How an agent's work ended. `cost` is in USD, None where the price is unknown."""

    stop_reason: StopReason
    error: str | None = None
    turns: int = 0
    tokens: dict[str, int] = field(default_factory=dict)  # input, output, cached (part of input)
    cost: float | None = 0.0
    context: list[dict[str, int]] = field(default_factory=list)  # per turn, characters by origin
    flags: list[dict[str, str]] = field(default_factory=list)  # what a reader of the trial must know: flag, where, text


@dataclass
class Assignment:
    """One trial of one task, handed to an agent."""

    matter: Matter
    tools: Toolbox
    workspace: Workspace
    limits: Limits
    trial: int
    transcript: Transcript
    profile: Profile  # agents without a model ignore it
    model: Any = None
    task: Task | None = None  # only for agents with `privileged = True`
    notes: tuple[str, ...] = ()  # what earlier trials of the task left with `remember`, where the profile has a memory
    remember: Callable[[str], None] | None = None
    merged: Callable[[str], None] | None = None  # keeps one text in the place of `notes`, for the trials that follow
    so_far: Ending = field(
        default_factory=lambda: Ending("done")
    )  # kept current by agents with a model, in case of a timeout


class Agent(Protocol):
    """Anything that works an assignment. It must stand being cancelled at any await: the caller enforces the seconds."""

    name: str
    privileged: bool = False  # sees the task with its rubric and reference; for audits, never for scores
    needs_model: bool = False

    def settings(self) -> dict[str, Any]:
        """Every setting that changes what the agent writes; goes into the manifest."""
        ...

    async def work(self, assignment: Assignment) -> Ending:
        """Leave the deliverables in the workspace's output folder and say how it ended."""
        ...


class Transcript:
    """A trial's record: JSON lines, appended and flushed one by one, nothing shortened.

    Opened fresh it replaces an older file; with `resume` it goes on after the last whole line, and `recorded()` gives the
    lines that were there.
    """

    def __init__(self, path: Path, *, resume: bool = False) -> None:
        self.path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        self._recorded = read_transcript(path) if resume and path.exists() else []
        if self._recorded:
            _drop_torn_line(path)
        self._stream = path.open("ab" if self._recorded else "wb")

    def add(self, line: dict[str, Any]) -> None:
        """Append one line; it survives the process once this returns."""
        self._stream.write(_encode(line))
        self._stream.flush()

    def recorded(self) -> list[dict[str, Any]]:
        """The lines of the interrupted attempt that this transcript goes on from; empty for a fresh one."""
        return list(self._recorded)

    def rewind(self, lines: Sequence[dict[str, Any]]) -> None:
        """Go on from `lines` instead of what the file holds."""
        self._stream.close()
        with atomic_file(self.path) as stream:
            stream.writelines(map(_encode, lines))
        self._stream = self.path.open("ab")

    def close(self) -> None:
        """Close the file; closing twice is fine."""
        self._stream.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _encode(line: dict[str, Any]) -> bytes:
    try:
        return (json.dumps(line, ensure_ascii=False) + "\n").encode()
    except UnicodeEncodeError:  # half a surrogate pair, as some models write
        return (json.dumps(line) + "\n").encode()


def _drop_torn_line(path: Path) -> None:
    content = path.read_bytes()
    whole = content.rfind(b"\n") + 1
    if whole < len(content):
        with path.open("rb+") as stream:
            stream.truncate(whole)


def read_transcript(path: Path) -> list[dict[str, Any]]:
    """All whole lines of a transcript; a last line without its line break was cut off by a kill and is left out.

    Raises InputError for a line that is not a JSON object.
    """
    *whole, _torn = path.read_bytes().removeprefix(b"\xef\xbb\xbf").split(b"\n")
    lines = []
    for number, raw in enumerate(whole, start=1):
        if not raw.strip():
            continue
        try:
            line = json.loads(raw)
        except ValueError as error:
            raise InputError(f"is not JSON ({error}); found {shown(raw[:60])}", where=at(path, number)) from error
        if not isinstance(line, dict):
            raise InputError(f"must be a JSON object; found {shown(line)}", where=at(path, number))
        lines.append(line)
    return lines
