"""Small matters written to disk from plain data, and scripted models: real ones for the code, with answers we know."""

import asyncio
import json
import os
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import yaml
from pydantic_ai.messages import ModelMessage, ModelResponse, TextPart, ToolCallPart, ToolReturnPart
from pydantic_ai.models.function import AgentInfo

NOTE = "The Supplier may terminate on ninety (90) days' notice if Orrin Freight Ltd changes hands.\n"
CRITERIA = [
    ("C-001", "Names the notice period", "PASS if the memo says ninety days. FAIL otherwise.", "ninety days"),
    ("C-002", "Names the party", "PASS if the memo names Orrin Freight. FAIL otherwise.", "Orrin Freight"),
    ("C-003", "Says what to do", "PASS if the memo advises to seek consent. FAIL otherwise.", "seek consent"),
]
MEMO = "# Memo\n\nOrrin Freight can be left on ninety days notice. We advise to seek consent before closing.\n"


def write_task(
    folder: Path,
    *,
    checks: bool = False,
    criteria: list[tuple[str, str, str, str]] = CRITERIA,
    documents: dict[str, str] | None = None,
    deliverable: str = "memo.md",
    **changes: Any,
) -> Path:
    """A task folder; with `checks` every criterion is a quote that a check looks up."""
    task = {
        "title": "Notice on change of control",
        "instructions": f"Read the note and say what happens if the company is sold. Output: `{deliverable}`",
        "deliverables": {deliverable: deliverable},
        "criteria": [
            {"id": name, "title": title, "match_criteria": match, "deliverables": [deliverable]}
            for name, title, match, _ in criteria
        ],
        **changes,
    }
    (folder / "documents").mkdir(parents=True, exist_ok=True)
    (folder / "task.json").write_text(json.dumps(task), encoding="utf-8")
    for name, text in (documents or {"note.txt": NOTE}).items():
        (folder / "documents" / name).write_text(text, encoding="utf-8")
    if checks:
        rubric = {"criteria": {name: {"check": {"quote": words}} for name, _, _, words in criteria}}
        (folder / "rubric.yaml").write_text(yaml.safe_dump(rubric), encoding="utf-8")
    return folder


def turns(messages: list[ModelMessage]) -> int:
    return sum(isinstance(message, ModelResponse) for message in messages)


def associate(messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
    """Lists, reads, writes the memo, finishes."""
    steps = [
        ToolCallPart("list_files", {}),
        ToolCallPart("read", {"file": "note.txt"}),
        ToolCallPart("write", {"file": "memo.md", "content": MEMO}),
        ToolCallPart("finish", {"summary": "done"}),
    ]
    _count("agent")
    return ModelResponse(parts=[steps[min(turns(messages), 3)]])


def judge(messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
    """Passes a criterion if the words that its PASS sentence asks for stand in the delivered work."""
    prompt = "\n".join(str(part.content) for message in messages for part in message.parts)
    work = prompt.split("# Criterion")[0]
    wanted = {
        "Names the notice period": "ninety days",
        "Names the party": "Orrin Freight",
        "Says what to do": "seek consent",
    }
    quote = next(words for title, words in wanted.items() if title in prompt.split("# Criterion")[1])
    found = quote in work
    _count("judge")
    reply = {
        "quotes": [quote] if found else [],
        "reasoning": f"looked for {quote}",
        "rests_on_absence": False,
        "verdict": "pass" if found else "fail",
    }
    return ModelResponse(parts=[TextPart(json.dumps(reply))])


async def slow_judge(messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
    await asyncio.sleep(0.05)
    return judge(messages, info)


async def slow_associate(messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
    await asyncio.sleep(0.05)
    return associate(messages, info)


def _count(who: str) -> None:
    """One line a call, in the file that $CALLS names: what was asked, over all processes."""
    if place := os.environ.get("CALLS"):
        with Path(place).open("a") as stream:
            stream.write(f"{who}\n")


def results_of(messages: list[ModelMessage]) -> list[str]:
    """What the tools answered so far."""
    return [str(p.content) for message in messages for p in message.parts if isinstance(p, ToolReturnPart)]


def plain(summary: Any) -> Any:
    """A summary without times."""
    text = re.sub(r'"seconds": [0-9.e-]+', '"seconds": 0', summary.model_dump_json(indent=0))
    return json.loads(text)


@contextmanager
def json_server(answer: Callable[[Any], tuple[int, Any]]) -> Iterator[str]:
    """The address of a server on this machine; `answer` takes the body of a request and gives status and body of the reply."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            status, body = answer(json.loads(self.rfile.read(int(self.headers["content-length"]))))
            content = json.dumps(body).encode()
            self.send_response(status)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
