"""One trial: an agent in a workspace of its own, what it left sealed into the run folder, and the record of it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import shutil
import time
import traceback
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evalsuite.errors import EvalsuiteError, UsageError
from evalsuite.lab.agents.base import Agent, Assignment, Ending, Limits, Matter, Transcript, read_transcript
from evalsuite.lab.documents import Changes, Extracted, UnreadableError, read
from evalsuite.lab.grading.guard import flags
from evalsuite.lab.profiles import Profile
from evalsuite.lab.sandbox import Sandbox
from evalsuite.lab.task import Task
from evalsuite.lab.tools import Toolbox
from evalsuite.lab.workspace import Workspace
from evalsuite.models import BudgetError, ChatModel
from evalsuite.records import TrialResult
from evalsuite.storage import atomic_file, sha256_file, sha256_json, trial_folder

GROUNDED_DOCUMENTS = 500  # in larger data rooms claims are looked up in the documents that were read


@dataclass(frozen=True)
class System:
    """What is evaluated: an agent, with a model and a harness profile where it uses them, and what it may use up."""

    agent: Agent
    profile: Profile
    model: ChatModel | str | None
    limits: Limits
    sandbox: Sandbox | None

    @property
    def name(self) -> str:
        model = self.model.name if isinstance(self.model, ChatModel) else self.model
        parts = (self.agent.name, model, self.profile.name if self.agent.needs_model else None)
        return " ".join(part for part in parts if part)

    def settings(self) -> dict[str, Any]:
        """Everything that changes what it delivers."""
        settings: dict[str, Any] = {"agent": self.agent.name, **self.agent.settings()}
        if self.model:
            settings["model"] = self.model.describe() if isinstance(self.model, ChatModel) else self.model
        if self.agent.needs_model:
            settings["profile"] = {"name": self.profile.name, "sha256": self.profile.sha256}
        limits = {key: value for key, value in vars(self.limits).items() if value is not None}
        return {**settings, "limits": limits}


async def work(task: Task, trial: int, system: System, run: Path, cache: Path) -> TrialResult:
    """Let the agent work the task and seal what it left. Whatever breaks becomes the stop reason "error".

    An interrupted attempt is taken up where its transcript ends: answers that were paid are not paid again. Raises
    BudgetError when the command's money is spent; the trial is then left for later.
    """
    folder = trial_folder(run, task.id, trial)
    if (folder / "workspace").exists():  # what a killed attempt left
        Workspace(folder / "workspace", task.documents).close()
    began = time.perf_counter()
    with (
        Workspace.create(task.documents, folder / "workspace") as workspace,
        Transcript(folder / "transcript.jsonl", resume=getattr(system.agent, "resumes", False)) as transcript,
    ):
        tools = Toolbox(workspace, system.sandbox, cache=cache)
        memory = _Memory(folder.parent / "memory.jsonl", trial) if system.profile.memory else None
        assignment = Assignment(
            matter=Matter.of(task),
            tools=tools,
            workspace=workspace,
            limits=system.limits,
            trial=trial,
            transcript=transcript,
            profile=system.profile,
            model=system.model,
            task=task if system.agent.privileged else None,
            notes=memory.notes if memory else (),
            remember=memory.add if memory else None,
            merged=memory.merge if memory else None,
        )
        ending = await _ended(system, assignment)
        seconds = time.perf_counter() - began
        sealed = await asyncio.to_thread(workspace.seal)
        await asyncio.to_thread(_keep, workspace, sealed, folder / "deliverables")
    result = TrialResult(
        task=task.id,
        trial=trial,
        stop_reason=ending.stop_reason,
        finished=ending.stop_reason == "done",
        error=ending.error,
        turns=ending.turns,
        seconds=round(seconds, 3),
        tokens=ending.tokens,
        cost=ending.cost,
        documents_total=len(task.document_files()),
        documents_read=sorted(tools.documents_read),
        tool_calls=dict(sorted(tools.calls.items())),
        context=ending.context,
        flags=[
            *ending.flags,
            *({"flag": "refused file", "where": name, "text": why} for name, why in workspace.refused),
        ],
    )
    return await asyncio.to_thread(examine, result, task, folder, sealed, cache)


async def _ended(system: System, assignment: Assignment) -> Ending:
    try:
        async with asyncio.timeout(system.limits.seconds) as limit:
            return await system.agent.work(assignment)
    except BudgetError:
        raise
    except (Exception, asyncio.CancelledError) as error:
        if (task := asyncio.current_task()) and task.cancelling():
            raise
        if limit.expired() and isinstance(error, TimeoutError):
            assignment.so_far.stop_reason = "timeout"
            return assignment.so_far
        told = error.message if isinstance(error, EvalsuiteError) else f"{type(error).__name__}: {error}"
        assignment.transcript.add({"role": "error", "text": traceback.format_exc()})
        assignment.so_far.stop_reason, assignment.so_far.error = "error", " ".join(told.split())
        return assignment.so_far


def _keep(workspace: Workspace, sealed: dict[str, str], folder: Path) -> None:
    """Copy the sealed files out of the workspace."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for name in sealed:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(workspace.output / name, folder / name)


def hashes(folder: Path) -> dict[str, str]:
    """{relative name: sha256} of the files below a folder of deliverables."""
    files = sorted(path for path in folder.rglob("*") if path.is_file() and not path.is_symlink())
    return {path.relative_to(folder).as_posix(): sha256_file(path) for path in files}


def examine(result: TrialResult, task: Task, folder: Path, sealed: dict[str, str], cache: Path) -> TrialResult:
    """Add what the deliverables themselves say: hashes, hidden text and orders to a judge, claims found in no document.

    Their extracted text is kept beside them, as judges see it.
    """
    texts = [found for name in sealed if (found := _text(folder / "deliverables" / name, name, cache))]
    shutil.rmtree(folder / "extracted", ignore_errors=True)
    for found in texts:
        target = folder / "extracted" / f"{found.name}.txt"
        with contextlib.suppress(OSError):  # a.md beside a.md.txt/b.md; a name that is too long with .txt
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(found.text(), encoding="utf-8", errors="replace")
    return result.model_copy(
        update={
            "output": sealed,
            "output_sha256": sha256_json(sealed),
            "flags": [*result.flags, *flags(texts)],
            "grounding": _grounding(texts, task, result.documents_read, cache),
        }
    )


def _text(path: Path, name: str, cache: Path, changes: Changes = "accept") -> Extracted | None:
    try:
        return read(path, name=name, changes=changes, cache=cache)
    except UnreadableError:
        return None


def _grounding(texts: Sequence[Extracted], task: Task, documents_read: Sequence[str], cache: Path) -> dict[str, Any]:
    from evalsuite.lab.grading.grounding import ground

    files = task.document_files()
    names = {path: path.relative_to(task.documents).as_posix() for path in files}
    if scope_read := len(files) > GROUNDED_DOCUMENTS:
        files = [path for path in files if names[path] in set(documents_read)]
    if not texts or not files:
        return {}
    documents = [found for path in files if (found := _text(path, names[path], cache))]
    marked = (_text(path, names[path], cache, "all") for path in files)  # an agent may cite what a draft strikes out
    known = {found.name: found.blocks for found in documents}
    documents += [found for found in marked if found and found.blocks != known[found.name]]
    scope = "documents read" if scope_read else "all documents"
    return {"scope": scope, **ground(texts, documents, task.instructions)}


class _Memory:
    """Notes for later trials of the same task: one JSON line each. A trial that is worked again begins without its own.

    A merged text stands for all notes of the trials before the one that merged them.
    """

    def __init__(self, path: Path, trial: int) -> None:
        self.path, self.trial = path, trial
        kept = [record for record in (read_transcript(path) if path.exists() else []) if record["trial"] != trial]
        before = [record for record in kept if record["trial"] < trial]
        merged = {record["trial"]: record["merged"] for record in before if "merged" in record}
        since = max(merged, default=0)
        notes = [record["note"] for record in before if "note" in record and record["trial"] >= since]
        self.notes = tuple([merged[since], *notes] if merged else notes)
        with atomic_file(path) as stream:
            stream.writelines(_line(record) for record in kept)

    def add(self, note: str) -> None:
        self._append({"trial": self.trial, "note": note})

    def merge(self, text: str) -> None:
        self._append({"trial": self.trial, "merged": text})

    def _append(self, record: dict[str, Any]) -> None:
        with self.path.open("ab") as stream:
            stream.write(_line(record))


def _line(record: dict[str, Any]) -> bytes:
    return f"{json.dumps(record)}\n".encode()


def check_system(system: System) -> None:
    """Raise UsageError for a system that cannot work at all."""
    if system.agent.needs_model and system.model is None:
        raise UsageError(f"the agent {system.agent.name} needs a model: --model openai/NAME, anthropic/NAME ...")
    for name, limit in vars(system.limits).items():
        if limit is not None and not limit > 0:
            raise UsageError(f"the limit of {name} per trial must be more than 0; found {limit}")
    model = system.model
    if system.limits.cost is not None and isinstance(model, ChatModel) and not model.priced:
        raise UsageError(
            f"a limit of cost per trial needs the price of {model.name}, which is unknown; "
            f"give it: --price {model.name}=IN,OUT (USD per million tokens)"
        )
