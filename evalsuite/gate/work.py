"""What the runners of a session share: an eval file with its selected items, what came of a system, what was begun."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, field
from pathlib import Path
from uuid import uuid4

from evalsuite.errors import EvalsuiteError
from evalsuite.gate.evalfile import LabGate, RetrievalGate
from evalsuite.gate.plan import Planned
from evalsuite.storage import atomic_file, sha256_json

BROKEN = (Exception, SystemExit)
"""What somebody else's code may raise without ending the session."""
DIED = "the process that worked this died"


@dataclass
class Done:
    """What came of one system: its run folder, why it broke, what stopped it before its end."""

    path: str | None = None
    error: str | None = None
    stopped: str = ""
    died: list[str] = field(default_factory=list)
    """Trials, as "task/number", that had been begun in a process that died."""


@dataclass
class EvalFile:
    """An eval file of this session with the items that were selected from it."""

    path: Path
    gate: RetrievalGate | LabGate
    selected: list[Planned] = field(default_factory=list)

    def may_run(self, item: Planned, live: bool) -> bool:
        """Whether an item asks no model, may ask one, or has a recording."""
        return live or not item.asks or self.gate.recording is not None


@dataclass(frozen=True)
class Notes:
    """What a session has begun, where it has several processes as files in `folder`: what one that died leaves to the others."""

    folder: Path | None = None
    me: str = field(default_factory=lambda: uuid4().hex)
    _alone: dict[str, str] = field(default_factory=dict)

    def first(self, value: str, *what: object) -> str:
        """The value that was given for `what` first."""
        if self.folder is None:
            return self._alone.setdefault(_key(what), value)
        note = self.folder / _key(what)
        if not note.exists():
            with atomic_file(note, sync=False) as stream:
                stream.write(value.encode())
        return note.read_text(encoding="utf-8")

    def begin(self, *what: object) -> bool:
        """Whether this process may begin `what`: no other one had."""
        return self.first(self.me, *what) == self.me

    def end(self, *what: object) -> None:
        """Forget that `what` was begun."""
        if self.folder is not None:
            (self.folder / _key(what)).unlink()


def _key(what: tuple[object, ...]) -> str:
    return f"{sha256_json([str(part) for part in what])}.note"


def told(error: BaseException) -> str:
    """Why something broke; of an error that nobody foresaw, its kind too."""
    return str(error) if isinstance(error, EvalsuiteError) else f"{type(error).__name__}: {error}"


def asking(allowed: bool) -> contextlib.AbstractContextManager[None]:
    """Inside the block models can be asked, or answer only from what was recorded."""
    from evalsuite.models import offline

    return contextlib.nullcontext() if allowed else offline()
