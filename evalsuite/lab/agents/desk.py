"""How agents without a model work: tool calls and deliverables, each written to the transcript."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from evalsuite.lab.agents.base import Assignment, Ending
from evalsuite.lab.agents.office import table_bytes
from evalsuite.lab.tools import Toolbox, ToolError


class Desk:
    """One trial's turns. A turn is what the agent says and calls at once; its tools' answers follow it."""

    def __init__(self, assignment: Assignment) -> None:
        self.assignment = assignment
        self.turn = 0
        self._calls = 0

    def say(self, text: str, calls: Sequence[tuple[str, dict[str, Any]]] = (), **more: Any) -> list[str]:
        """Begin a turn. Returns the ids that its calls have in the transcript."""
        self.turn += 1
        self.assignment.so_far.turns = self.turn
        line: dict[str, Any] = {"turn": self.turn, "role": "assistant", "text": text, **more}
        ids = [f"call_{self._calls + number}" for number in range(1, len(calls) + 1)]
        if calls:
            line["tool_calls"] = [
                {"id": key, "name": name, "arguments": arguments}
                for key, (name, arguments) in zip(ids, calls, strict=True)
            ]
        self._calls += len(calls)
        self.assignment.transcript.add(line)
        return ids

    async def answer(self, tool: str, arguments: dict[str, Any], key: str) -> str:
        """Make one of the turn's calls and record what came back. Raises ToolError, recorded too, for the agent's mistakes."""
        line = {"turn": self.turn, "role": "tool", "id": key, "tool_name": tool, "arguments": arguments}
        try:
            result = await _call(self.assignment.tools, tool, arguments)
        except ToolError as error:
            self.assignment.transcript.add({**line, "result": str(error), "error": True})
            raise
        self.assignment.transcript.add({**line, "result": result, "error": False})
        return result

    async def use(self, tool: str, **arguments: Any) -> str:
        """A turn with a single call."""
        (key,) = self.say("", [(tool, arguments)])
        return await self.answer(tool, arguments, key)

    def path(self, name: str) -> Path:
        """Where a deliverable goes. Raises ToolError for a name that leaves the output folder."""
        inner = PurePosixPath(name)
        if inner.is_absolute() or ".." in inner.parts:
            raise ToolError(f"{name} is outside the output folder")
        return self.assignment.workspace.output / inner

    async def deliver(self, name: str, markdown: str, rows: Sequence[Sequence[str]]) -> None:
        """Write a deliverable: .docx and text from `markdown`, .xlsx from `rows` (the first one is the header).

        Other types cannot be made; the transcript says so and the file stays missing.
        """
        target, suffix = self.path(name), Path(name).suffix.lower()
        if suffix == ".docx":
            await self.use("write_docx", file=name, markdown=markdown)
        elif suffix == ".xlsx":
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(table_bytes(rows))
            self.say(f"Wrote {name}: {len(rows)} rows")
        elif suffix in (".md", ".txt", ".html", ".csv", ""):
            await self.use("write", file=name, content=markdown)
        else:
            self.say(f"{name} was not written: this agent makes .docx, .xlsx and text, not {suffix}")

    def ending(self) -> Ending:
        """Done, after as many turns as were taken."""
        return Ending("done", turns=self.turn)


async def _call(tools: Toolbox, tool: str, arguments: dict[str, Any]) -> str:
    if tool not in tools.TOOLS:
        raise ToolError(f"there is no tool {tool!r}; the tools are {', '.join(tools.TOOLS)}")
    method = getattr(tools, tool)
    try:
        inspect.signature(method).bind(**arguments)
    except TypeError as error:
        raise ToolError(f"{tool}: {error}") from error
    result: str = await method(**arguments)
    return result
