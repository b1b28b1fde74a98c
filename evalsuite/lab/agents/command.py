"""Any program as an agent: `command:CMD` runs it once in the trial's sandbox and takes what it leaves in the output folder."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

from evalsuite.lab.agents.base import Assignment, Ending, Matter, deliverable_names

INSTRUCTIONS = "INSTRUCTIONS.md"
_KILLED = re.compile(
    r"^\[killed: ([^\]\n;]*)", re.MULTILINE
)  # how evalsuite.lab.processes notes that it ended a command
NOT_STARTED = {126: "is not executable", 127: "was not found"}


class Command:
    """Any program: a command line, run by bash in the workspace's root.

    It finds these variables: INSTRUCTIONS_FILE (the matter as Markdown), DOCUMENTS_DIR (read-only), OUTPUT_DIR, TASK_ID, MODEL (empty if none was given).

    The sandbox has no network and nothing of this machine but its system programs, so a program that calls a paid model
    needs the unsafe local sandbox: there it runs as you, with your network, environment and home. What it spends is unknown.
    """

    privileged = False
    needs_model = False

    def __init__(self, command: str) -> None:
        self.command = command.strip()
        self.name = f"command:{Path(self.command.split()[0]).name}"

    def settings(self) -> dict[str, Any]:
        """The command line; the program behind it is not hashed."""
        return {"command": self.command}

    async def work(self, assignment: Assignment) -> Ending:
        """Run the command. What it prints goes into the transcript; how it exits decides how the trial ends.

        0: done; over the time: timeout; 126, 127 or a signal that the sandbox did not send: error; any other code: abandon.
        """
        workspace, sandbox = assignment.workspace, assignment.tools.sandbox
        if sandbox is None:
            return Ending("error", "the command agent needs a sandbox, and this run has none", cost=None)
        local = sandbox.name == "local"
        instructions = instructions_text(assignment.matter)
        (workspace.temporary / INSTRUCTIONS).write_text(instructions, encoding="utf-8")
        variables = {
            "INSTRUCTIONS_FILE": str(workspace.temporary / INSTRUCTIONS) if local else f"/tmp/{INSTRUCTIONS}",
            "TASK_ID": assignment.matter.id,
            "MODEL": assignment.model if isinstance(assignment.model, str) else "",
        }
        if local:
            workspace.copy_documents()
            variables = {
                **os.environ,
                **variables,
                "WORKSPACE_DIR": str(workspace.root),
                "DOCUMENTS_DIR": str(workspace.documents),
                "OUTPUT_DIR": str(workspace.output),
            }
        transcript = assignment.transcript
        transcript.add({"turn": 1, "role": "user", "text": instructions})
        call = {"name": "bash", "arguments": {"command": self.command}}
        transcript.add({"turn": 1, "role": "assistant", "text": "", "tool_calls": [{"id": "call_1", **call}]})
        assignment.so_far.turns, assignment.so_far.cost = 1, None
        line: dict[str, Any] = {"turn": 1, "role": "tool", "id": "call_1", "tool_name": "bash"}
        seconds = assignment.limits.seconds
        try:  # a little earlier than the caller, so that what was printed is kept
            done = await sandbox.run(workspace, self.command, timeout=seconds - min(1, 0.1 * seconds), env=variables)
        except OSError as error:
            transcript.add({**line, "result": str(error), "error": True})
            return Ending("error", f"the sandbox {sandbox.name} could not be started: {error}", turns=1, cost=None)
        transcript.add({**line, "result": done.output, "exit_code": done.exit_code, "error": done.exit_code != 0})
        ending = _ending(done.exit_code, done.output, done.timed_out)
        ending.turns, ending.cost = 1, None
        return ending


def _ending(code: int, output: str, timed_out: bool) -> Ending:
    if timed_out:
        return Ending("timeout", "the command was still running at the time limit")
    if code == 0:
        return Ending("done")
    last = next((line.strip() for line in reversed(output.splitlines()) if line.strip()), "")[:300]
    said = f"; its last line was: {last}" if last else ""
    if code in NOT_STARTED:
        return Ending("error", f"the command {NOT_STARTED[code]} in the sandbox (exit code {code}){said}")
    stopped = _KILLED.search(output)
    if code > 128 and stopped:
        return Ending("abandon", f"the sandbox stopped the command: it {stopped[1]}")
    if code > 128:
        return Ending("error", f"the command was killed by signal {code - 128}{said}")
    return Ending("abandon", f"the command ended with exit code {code}{said}")


def instructions_text(matter: Matter) -> str:
    """The matter as its solver gets it, in Markdown."""
    names = "\n".join(f"- {name}" for name in deliverable_names(matter))
    facts = {"Language": matter.language, "Jurisdiction": matter.jurisdiction, "Kind of work": matter.work_type}
    known = "".join(f"{label}: {value}\n" for label, value in facts.items() if value)
    return (
        f"# {matter.title}\n\n{matter.instructions.strip()}\n\n{known}\n"
        "## Where things are\n\nThe documents lie in the folder $DOCUMENTS_DIR and cannot be changed. "
        "Write these files into the folder $OUTPUT_DIR, under exactly these names:\n\n"
        f"{names}\n"
    )
