"""Makes a recorded trial's tool calls again: for tests without a model, and for LAB's own transcripts."""

from __future__ import annotations

import itertools
import json
from pathlib import Path, PurePosixPath
from typing import Any

from evalsuite.errors import InputError, UsageError
from evalsuite.lab.agents.base import Assignment, Ending, read_transcript
from evalsuite.lab.agents.desk import Desk
from evalsuite.lab.tools import ToolError
from evalsuite.storage import sha256_file, sha256_json

# What LAB's harness, and tools shaped like it, call things.
LAB_TOOLS = {"glob": "list_files", "grep": "search"}
LAB_ARGUMENTS = {
    "read": {"file_path": "file", "offset": "start", "limit": "lines"},
    "write": {"file_path": "file"},
    "edit": {"file_path": "file", "old_string": "old", "new_string": "new"},
    "search": {"path": "file", "glob": "file"},
}
CLOSING = {"finish": "done", "abandon": "abandon"}


class Replay:
    """Re-executes every call of a transcript in order, through this trial's own tools.

    `path` is a transcript.jsonl (ours or LAB's), the folder of a trial that holds one, or a run folder of ours: then each
    trial replays its own.
    """

    name = "replay"
    privileged = False
    needs_model = False

    def __init__(self, path: str) -> None:
        self.path = Path(path)
        self.whole_run = (self.path / "run.json").is_file()
        if self.whole_run:
            self.sources = sorted(self.path.glob("artifacts/*/*/transcript.jsonl"))
        else:
            self.sources = [transcript_file(self.path)]
            recorded_turns(self.sources[0])

    def settings(self) -> dict[str, Any]:
        """The transcripts by content."""
        return {"transcripts_sha256": sha256_json([sha256_file(source) for source in self.sources])}

    async def work(self, assignment: Assignment) -> Ending:
        """Make the calls. A call that fails is recorded and the next one is made, as the recorded agent would have seen it."""
        from evalsuite.storage import trial_folder

        source = self.path
        if self.whole_run:
            source = trial_folder(self.path, assignment.matter.id, assignment.trial)
        try:
            turns = recorded_turns(transcript_file(source))
        except (UsageError, InputError) as error:
            return Ending("error", str(error))
        desk = Desk(assignment)
        stop = "done"
        for text, calls in turns:
            todo = []
            for name, arguments in calls:
                if name in CLOSING:
                    stop = CLOSING[name]
                else:
                    todo.append(ours(name, arguments))
            for key, (name, arguments) in zip(desk.say(text, todo), todo, strict=True):
                try:
                    await desk.answer(name, arguments, key)
                except ToolError:
                    continue
        ending = desk.ending()
        ending.stop_reason = "abandon" if stop == "abandon" else "done"
        return ending


def ours(name: str, arguments: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """A call of LAB's tools as a call of ours; our own stay as they are.

    What our tool has no argument for is left out: LAB's grep modes, and the pattern of a glob below its first wildcard.
    """
    tool = LAB_TOOLS.get(name, name)
    if name == "glob":
        written = f"{arguments.get('path') or ''}/{arguments.get('pattern') or ''}".lstrip("/")
        fixed = itertools.takewhile(lambda part: not set(part) & set("*?[{"), PurePosixPath(written).parts)
        folder = "/".join(fixed)
        return tool, {"folder": "" if PurePosixPath(folder).suffix else folder}
    renamed = {
        LAB_ARGUMENTS.get(tool, {}).get(key, key): value for key, value in arguments.items() if value is not None
    }
    if name == "grep":
        renamed = {key: renamed[key] for key in ("pattern", "file") if key in renamed}
    if "start" in renamed and "offset" in arguments:
        renamed["start"] = max(int(renamed["start"]), 1)
    return tool, renamed


def transcript_file(path: Path) -> Path:
    """The transcript that a path means. Raises UsageError if there is none."""
    file = path / "transcript.jsonl" if path.is_dir() else path
    if not file.is_file():
        raise UsageError("no transcript to replay: give a transcript.jsonl or the folder of a trial", where=str(file))
    return file


def recorded_turns(path: Path) -> list[tuple[str, list[tuple[str, dict[str, Any]]]]]:
    """(text, [(tool, arguments), ...]) of every turn of the recorded model. Raises InputError for what is no transcript."""
    turns = []
    for line in read_transcript(path):
        if line.get("role") != "assistant":
            continue
        calls = [(str(call.get("name")), _arguments(call)) for call in line.get("tool_calls") or []]
        turns.append((str(line.get("text") or ""), calls))
    if not turns:
        raise InputError("is no transcript of an agent: it has no line with role assistant", where=str(path))
    return turns


def _arguments(call: dict[str, Any]) -> dict[str, Any]:
    """The arguments as an object; what the model wrote instead of one is handed on, for the tool to refuse as it did then."""
    written = call.get("arguments") or {}
    try:
        arguments = json.loads(written) if isinstance(written, str) else written
    except ValueError:
        arguments = None
    return arguments if isinstance(arguments, dict) else {"INVALID_JSON": written}
