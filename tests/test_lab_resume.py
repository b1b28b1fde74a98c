"""The plug is pulled: kill -9 at random moments, a server that dies, money that runs out. What was paid is kept."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from labkit import plain, write_task

from evalsuite.lab.evaluate import run
from evalsuite.storage import read_units
from evalsuite.summary import read_summary

HERE = Path(__file__).parent
TRIALS, TASKS, CRITERIA = 2, 3, 3


def command(tasks: Path, out: Path, cache: Path) -> list[str]:
    return [
        *(str(Path(sys.executable).parent / "evalsuite"), "lab", "run", str(tasks), "--agent", "react"),
        *("--model", "function:labkit:slow_associate", "--judge", "function:labkit:slow_judge"),
        *("--trials", str(TRIALS), "--concurrency", "2", "--out", str(out), "--cache", str(cache), "--json"),
    ]


@pytest.fixture
def tasks(tmp_path):
    for number in range(TASKS):
        write_task(tmp_path / "tasks" / "area" / f"matter-{number}")
    return tmp_path / "tasks"


def start(tasks, tmp_path, name):
    environment = os.environ | {"PYTHONPATH": str(HERE), "CALLS": str(tmp_path / f"{name}.calls")}
    line = command(tasks, tmp_path / name, tmp_path / f"{name}-cache")
    return subprocess.Popen(
        line, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True
    )


def comparable(run_folder):
    """Every verdict and trial without times, and without the word that a vote came from the cache."""
    rows = []
    for unit in read_units(run_folder):
        row = json.loads(unit.model_dump_json())
        row.pop("seconds", None)
        for vote in row.get("votes", []):
            vote.pop("seconds"), vote.pop("cached")
        rows.append(row)
    return sorted(rows, key=lambda row: (row["task"], row["trial"], row["unit"], row.get("id", "")))


def test_killed_ten_times_at_random_the_run_ends_as_if_nothing_had_happened(tasks, tmp_path):
    whole = start(tasks, tmp_path, "whole")
    began = time.monotonic()
    _, err = whole.communicate(timeout=120)
    assert whole.returncode == 0, err.decode()
    length = time.monotonic() - began

    moments = random.Random(7)
    kills = 0
    while kills < 10:
        process = start(tasks, tmp_path, "killed")
        time.sleep(moments.uniform(0.4, 0.75) * length)
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        kills += 1
    last = start(tasks, tmp_path, "killed")
    _, err = last.communicate(timeout=120)
    assert last.returncode == 0, err.decode()

    [expected], [found] = (list((tmp_path / name).iterdir()) for name in ("whole", "killed"))
    assert comparable(found) == comparable(expected)
    numbers, wanted = plain(read_summary(found)), plain(read_summary(expected))
    for summary in (numbers, wanted):
        summary.pop("usage")
    assert numbers == wanted

    calls = (tmp_path / "killed.calls").read_text().split()
    # At most what was under way at each kill is asked again: two trials, and their judges.
    assert calls.count("judge") <= TRIALS * TASKS * CRITERIA + kills * 2 * CRITERIA
    assert calls.count("agent") <= TRIALS * TASKS * 4 + kills * 2


def test_finished_verdicts_are_never_asked_again(tasks, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(HERE))
    calls = tmp_path / "calls"
    monkeypatch.setenv("CALLS", str(calls))
    options = {
        "models": ["function:labkit:associate"],
        "judges": ["function:labkit:judge"],
        "out": tmp_path / "out",
        "cache": tmp_path / "cache",
    }
    [first] = run([tasks], ["react"], **options)
    asked = calls.read_text()
    results = first.path / "results.jsonl"
    lines = results.read_text().splitlines()
    results.write_text("\n".join(lines[:-2]) + "\n" + lines[-2][:40])
    manifest = json.loads((first.path / "run.json").read_text())
    (first.path / "run.json").write_text(json.dumps(manifest | {"status": "running"}))
    [second] = run([tasks], ["react"], **options)
    assert comparable(second.path) == sorted(
        (json.loads(json.dumps(row)) for row in comparable(first.path)),
        key=lambda row: (row["task"], row["trial"], row["unit"], row.get("id", "")),
    )
    assert calls.read_text() == asked


def test_more_trials_extend_a_finished_run_by_those_alone(tasks, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(HERE))
    calls = tmp_path / "calls"
    monkeypatch.setenv("CALLS", str(calls))
    options = {
        "models": ["function:labkit:associate"],
        "judges": ["function:labkit:judge"],
        "out": tmp_path / "out",
        "cache": tmp_path / "cache",
    }
    [first] = run([tasks], ["react"], trials=1, **options)
    before = calls.read_text().split().count("agent")
    [second] = run([tasks], ["react"], trials=3, **options)
    assert second.path == first.path
    assert calls.read_text().split().count("agent") == 3 * before
    assert second.summary.n_trials == 3 * TASKS
