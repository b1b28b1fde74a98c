"""Time evalsuite's LAB wing: what a trial costs beyond its models, and how well trials overlap; README.md says what each line means."""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import os
import platform
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pydantic_ai.messages import ModelMessage, ModelResponse, TextPart, ToolCallPart
from pydantic_ai.models.function import AgentInfo
from pydantic_ai.usage import RequestUsage

from evalsuite.lab.evaluate import run
from evalsuite.lab.sandbox import choose
from evalsuite.lab.tools import Toolbox
from evalsuite.lab.workspace import Workspace

DOCUMENTS, CRITERIA = 5, 5
MEMO = (
    "# Memo {number}\n\n## Summary\n\nThe Supplier may terminate on ninety days' notice after a change of control.\n\n"
    + "".join(
        f"## Contract {n}\n\nThe parties agreed what follows from a sale of the company, and it is set out in the contract we read. "
        f"We advise to ask for consent before closing, and to make that a condition.\n\n"
        for n in range(20)
    )
)
WRITTEN = itertools.count()
LATENCY = 0.0
SHELL = False


@dataclass(frozen=True)
class Record:
    """One line: `ours` and `against` in seconds of wall time, `cpu` in seconds; `target` bounds `value`."""

    name: str
    what: str
    value: float
    unit: str
    target: float
    ours: float
    against: float
    cpu: float

    @property
    def ok(self) -> bool:
        return self.value <= self.target


def steps() -> list[ToolCallPart]:
    shell = [ToolCallPart("bash", {"command": "wc -w documents/*"})] if SHELL else []
    reading = [ToolCallPart("read", {"file": f"contract-{n}.txt"}) for n in range(DOCUMENTS)]
    return [
        ToolCallPart("list_files", {}),
        *reading,
        *shell,
        ToolCallPart("write", {"file": "memo.md", "content": MEMO.format(number=next(WRITTEN))}),
    ]


async def associate(messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
    """Three answers: everything is read, the memo is written, done."""
    await asyncio.sleep(LATENCY)
    turn = sum(isinstance(message, ModelResponse) for message in messages)
    *reading, writing = steps()
    parts: list[Any] = [reading, [writing], [ToolCallPart("finish", {"summary": "done"})]][min(turn, 2)]
    return ModelResponse(parts=parts, usage=RequestUsage(input_tokens=1000, output_tokens=100))


async def judge(messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
    await asyncio.sleep(LATENCY)
    reply = {"quotes": ["ninety days' notice"], "reasoning": "it says so", "rests_on_absence": False, "verdict": "pass"}
    return ModelResponse(parts=[TextPart(json.dumps(reply))], usage=RequestUsage(input_tokens=1000, output_tokens=100))


TRIALS = 8  # of each matter
CALLS = 3  # model calls of one trial that follow one another; its judges come after them, in two waves
JUDGE_WAVES = 2  # the first criterion alone, to fill a prefix cache, then the others together


def write_tasks(folder: Path, n: int) -> list[Path]:
    """n small matters, each worked TRIALS times."""
    for number in range(n):
        place = folder / "tasks" / "benchmark" / f"matter-{number:03}"
        (place / "documents").mkdir(parents=True)
        for document in range(DOCUMENTS):
            text = (
                f"Contract {document} of matter {number}. "
                + "The parties agree on many things of no interest here. " * 200
            )
            (place / "documents" / f"contract-{document}.txt").write_text(text)
        criteria = [
            {"id": f"C-{c:03}", "title": f"Point {c}", "match_criteria": f"PASS if point {c} is made. FAIL otherwise."}
            for c in range(CRITERIA)
        ]
        task = {
            "title": f"Matter {number}",
            "instructions": "Output: `memo.md`",
            "deliverables": ["memo.md"],
            "criteria": criteria,
        }
        (place / "task.json").write_text(json.dumps(task))
    return sorted((folder / "tasks" / "benchmark").iterdir())


def timed(work: Callable[[], Any]) -> tuple[float, float]:
    """(wall, CPU) seconds, children included."""
    began, cpu = time.perf_counter(), sum(os.times()[:4])
    work()
    return time.perf_counter() - began, sum(os.times()[:4]) - cpu


def ours(folder: Path, tasks: list[Path], concurrency: int) -> None:
    module = Path(__file__).stem
    outcomes = run(
        tasks,
        ["react"],
        models=[f"function:{module}:associate"],
        judges=[f"function:{module}:judge"],
        trials=TRIALS,
        concurrency=concurrency,
        out=folder / "out",
        cache=folder / "cache",
    )
    assert outcomes[0].complete, outcomes[0].manifest.error
    assert outcomes[0].summary.criteria["passed"] == len(tasks) * TRIALS * CRITERIA


def bare(folder: Path, tasks: list[Path], concurrency: int) -> None:
    """The same model functions and tools, called directly one after another; every answer to one file, nothing checked or kept else."""
    sandbox = choose() if SHELL else None

    async def trial(task: Path, number: int, stream: Any) -> None:
        with Workspace.create(task / "documents", folder / f"bare-{number}") as workspace:
            tools = Toolbox(workspace, sandbox, cache=folder / "cache")
            for part in steps():
                result = await getattr(tools, part.tool_name)(**part.args_as_dict())
                stream.write(json.dumps({"tool": part.tool_name, "result": result}) + "\n")
            for _ in range(CALLS + CRITERIA):
                stream.write(json.dumps(str(await judge([], None))) + "\n")  # type: ignore[arg-type]

    async def every() -> None:
        slots = asyncio.Semaphore(concurrency)

        async def one(number: int, task: Path, stream: Any) -> None:
            async with slots:
                await trial(task, number, stream)

        with (folder / "bare.jsonl").open("w") as stream:
            await asyncio.gather(*(one(number, task, stream) for number, task in enumerate(tasks * TRIALS)))

    asyncio.run(every())


def overhead(name: str, n: int, shell: bool, repetitions: int) -> Record:
    """Milliseconds per trial of a model without latency, against the bare loop."""
    global SHELL, LATENCY
    SHELL, LATENCY = shell, 0.0
    found, peers, cpus = [], [], []
    for _ in range(repetitions):
        for work, into in ((bare, peers), (ours, found)):
            with tempfile.TemporaryDirectory() as place:
                folder = Path(place)
                tasks = write_tasks(folder, n // TRIALS)
                wall, cpu = timed(lambda work=work, folder=folder, tasks=tasks: work(folder, tasks, 4))  # type: ignore[misc]
                into.append(wall)
                if work is ours:
                    cpus.append(cpu)
    mine, peer = statistics.median(found), statistics.median(peers)
    what = f"{n} trials, {CRITERIA} criteria, no latency{', one shell command' if shell else ''}; bare loop {peer / n * 1e3:.1f} ms"
    return Record(name, what, mine / n * 1e3, "ms/trial", 120.0 if shell else 60.0, mine, peer, statistics.median(cpus))


def overlap(n: int, concurrency: int, latency: float, repetitions: int) -> Record:
    """Wall time of trials that wait for models, as a multiple of what the waiting alone would take."""
    global SHELL, LATENCY
    SHELL, LATENCY = False, latency
    found, cpus = [], []
    for _ in range(repetitions):
        with tempfile.TemporaryDirectory() as place:
            folder = Path(place)
            tasks = write_tasks(folder, n // TRIALS)
            wall, cpu = timed(lambda folder=folder, tasks=tasks: ours(folder, tasks, concurrency))  # type: ignore[misc]
            found.append(wall)
            cpus.append(cpu)
    # No schedule can beat either: `concurrency` requests at a time, or trials whose requests follow one another.
    ideal = max(n * (CALLS + CRITERIA) / concurrency, -(-n // concurrency) * (CALLS + JUDGE_WAVES)) * latency
    mine = statistics.median(found)
    what = f"{n} trials, {concurrency} at a time, {latency * 1e3:.0f} ms per request; ideal {ideal:.2f} s"
    return Record("overlap", what, mine / ideal, "x ideal", 1.3, mine, ideal, statistics.median(cpus))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--small", action="store_true", help="a smoke test of some seconds; targets are not judged")
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    parser.add_argument("--strict", action="store_true", help="exit 1 when a target is missed")
    options = parser.parse_args()
    n, repetitions = (16, 1) if options.small else (200, 3)
    records = [overhead("overhead", n, False, repetitions)]
    if not options.small:
        records.append(overhead("overhead-shell", 50, True, repetitions))
    records.append(
        overlap(16 if options.small else 64, 4 if options.small else 16, 0.05 if options.small else 0.2, repetitions)
    )
    if options.json:
        print(json.dumps([asdict(record) | {"ok": record.ok} for record in records], indent=2))
    else:
        print(
            f"{os.cpu_count()} x {platform.processor() or platform.machine()}, Python {platform.python_version()}; medians of {repetitions}\n"
        )
        for record in records:
            sign = "-" if options.small else "ok" if record.ok else "MISSED"
            print(
                f"{record.name:15} {record.value:7.2f} {record.unit:9} at most {record.target:g}  {sign:7} cpu {record.cpu:.2f} s  {record.what}"
            )
    return int(options.strict and not all(record.ok for record in records))


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parent))
    sys.modules.setdefault(Path(__file__).stem, sys.modules["__main__"])
    sys.exit(main())
