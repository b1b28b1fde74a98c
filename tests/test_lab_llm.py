"""The whole path with a real model: llama.cpp's server, SmolLM2-135M behind it, tools, a judge, and the plug pulled.

What a model of this size answers is of no interest; that every request, token and error on the way is real is the point.
"""

import json
import os
import select
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from labkit import write_task

from evalsuite.lab.agents import Limits
from evalsuite.lab.evaluate import run
from evalsuite.records import CriterionResult, TrialResult
from evalsuite.storage import read_units

pytestmark = pytest.mark.llm
HERE = Path(__file__).parent
EVALSUITE = str(Path(sys.executable).parent / "evalsuite")


START_SECONDS = 120


class Server:
    """A server process on a port of its own."""

    def __init__(self):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}/v1"
        self.start()

    def start(self):
        self.process = subprocess.Popen(
            [sys.executable, str(HERE / "llm_server.py"), str(self.port)],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        told, _, _ = select.select([self.process.stdout], [], [], START_SECONDS)
        said = self.process.stdout.readline() if told else f"nothing in {START_SECONDS} s"
        if "READY" not in said:
            self.kill()
            pytest.fail(f"the model's server did not start; it said {said!r}")

    def kill(self):
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()


@pytest.fixture
def server():
    started = Server()
    yield started
    started.kill()


def criteria(run_folder):
    return [unit for unit in read_units(run_folder) if isinstance(unit, CriterionResult)]


# A model this small calls a function only if it is shown how and told to copy it; the call is its own all the same.
PROFILE = """
about: One example, because the model is small.
system: |
  You write memos with the function write. Example answer:
  <tool_call>
  {{"name": "write", "arguments": {{"file": "memo.md", "content": "The notice period is ninety days."}}}}
  </tool_call>
tools: [write]
settings: {max_tokens: 96}
"""


def test_an_agent_with_tools_and_a_judge_behind_a_real_server(server, tmp_path):
    task = write_task(
        tmp_path / "tasks" / "area" / "one", instructions="Repeat the example answer, word for word, with the tags."
    )
    profile = tmp_path / "small.yaml"
    profile.write_text(PROFILE)
    [outcome] = run(
        [task],
        ["react"],
        models=["openai/smollm2"],
        profiles=[str(profile)],
        judges=["openai/smollm2"],
        base_url=server.url,
        temperature=0.0,
        max_output_tokens=120,
        limits=Limits(turns=2),
        concurrency=1,
        out=tmp_path / "out",
        cache=tmp_path / "cache",
    )
    [trial] = [unit for unit in read_units(outcome.path) if isinstance(unit, TrialResult)]
    assert trial.stop_reason in ("turns", "done")
    assert trial.tool_calls["write"] >= 1
    assert trial.tokens["input"] > 200
    assert trial.tokens["output"] > 20
    assert list(trial.output) == ["memo.md"]
    folder = outcome.path / "artifacts" / "area__one" / "trial-1"
    assert "ninety days" in (folder / "deliverables" / "memo.md").read_text()
    lines = [json.loads(line) for line in (folder / "transcript.jsonl").read_text().splitlines()]
    assert len([line for line in lines if line["role"] == "assistant"]) == trial.turns
    assert any(line["role"] == "tool" and line["tool_name"] == "write" and not line["error"] for line in lines)

    first, second, third = (result.votes[0] for result in criteria(outcome.path))
    assert first.judge == second.judge == third.judge == "openai/smollm2"
    assert first.tokens["input"] > 300
    assert second.tokens["cached"] > 0.5 * first.tokens["input"]
    assert second.verdict in ("pass", "fail", "error")
    assert outcome.summary.usage["cost"] == "unknown"


def test_a_server_that_dies_leaves_errors_and_the_resumed_run_completes_them_alone(server, tmp_path):
    names = [
        (f"C-{n:03}", f"Point {n}", f"PASS if the memo makes point {n}. FAIL otherwise.", "x") for n in range(1, 5)
    ]
    task = write_task(tmp_path / "tasks" / "area" / "one", criteria=names)
    line = [
        EVALSUITE,
        "lab",
        "run",
        str(task),
        "--agent",
        "extractive",
        "--judge",
        "openai/smollm2",
        "--judging",
        "lab-compat",
    ]
    line += ["--base-url", server.url, "--max-output-tokens", "200", "-n", "1", "--json"]
    line += ["--out", str(tmp_path / "out"), "--cache", str(tmp_path / "cache")]
    process = subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=os.environ)
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and process.poll() is None:
        found = list((tmp_path / "out").glob("*/results.jsonl"))
        if found and '"unit":"criterion"' in found[0].read_text():
            break
        time.sleep(0.05)
    server.kill()
    out, err = process.communicate(timeout=200)
    assert process.returncode == 3, err
    first = json.loads(out)
    assert first["all_pass"]["rate"] is None
    folder = Path(first["run"])
    before = criteria(folder)
    kinds = {result.error_kind for result in before if result.verdict == "error"}
    assert kinds == {"judge_unavailable"}
    kept = {result.id: result.model_dump() for result in before if result.verdict != "error"}
    assert kept

    server.start()
    again = subprocess.run(line, capture_output=True, text=True, check=False)
    assert again.returncode == 0, again.stderr
    after = {result.id: result.model_dump() for result in criteria(folder)}
    assert len(after) == len(names)
    assert {name: after[name] for name in kept} == kept
    assert json.loads(again.stdout)["all_pass"]["rate"] is not None
