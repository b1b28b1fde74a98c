"""The plug is pulled: kill -9 at random moments, a server that dies, money that runs out. What was paid is kept."""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
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
    """Every verdict and trial without times, and without what a cache, ours or a provider's, had to do with a vote."""
    rows = []
    for unit in read_units(run_folder):
        row = json.loads(unit.model_dump_json())
        row.pop("seconds", None)
        for vote in row.get("votes", []):
            vote.pop("seconds"), vote.pop("cached"), vote["tokens"].pop("prefix", None)
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


@pytest.fixture
def again(tasks, tmp_path, monkeypatch):
    """The same run, started in this process as often as wanted; `again.calls()` counts what the models were asked so far."""
    monkeypatch.syspath_prepend(str(HERE))
    calls = tmp_path / "calls"
    monkeypatch.setenv("CALLS", str(calls))
    models = {"models": ["function:labkit:associate"], "judges": ["function:labkit:judge"]}

    def start(**options):
        [outcome] = run([tasks], ["react"], out=tmp_path / "out", cache=tmp_path / "cache", **models, **options)
        return outcome

    start.calls = lambda: Counter(calls.read_text().split())
    return start


def cut(run_folder, lines_kept, torn=""):
    """Make a finished run one that was killed: some lines of its results, the last of them torn."""
    results = run_folder / "results.jsonl"
    results.write_text("".join(results.read_text().splitlines(keepends=True)[:lines_kept]) + torn)
    manifest = json.loads((run_folder / "run.json").read_text())
    (run_folder / "run.json").write_text(json.dumps(manifest | {"status": "running"}))


def test_finished_verdicts_are_never_asked_again(again):
    first = again()
    before, asked = comparable(first.path), again.calls()
    lines = (first.path / "results.jsonl").read_text().splitlines()
    cut(first.path, len(lines) - 2, torn=lines[-2][:40])
    second = again()
    assert second.path == first.path
    assert comparable(second.path) == before
    assert again.calls() == asked


def test_a_verdict_that_is_stored_is_kept_even_if_the_cache_is_gone(again, tmp_path):
    first = again()
    before, asked = comparable(first.path), again.calls()
    lines = (first.path / "results.jsonl").read_text().splitlines()
    cut(first.path, len(lines) - 1)
    shutil.rmtree(tmp_path / "cache")
    assert comparable(again().path) == before
    assert again.calls() - asked == Counter(judge=1)


def test_more_trials_extend_a_finished_run_by_those_alone(again):
    first = again(trials=1)
    before = again.calls()["agent"]
    second = again(trials=3)
    assert second.path == first.path
    assert again.calls()["agent"] == 3 * before
    assert second.summary.n_trials == 3 * TASKS
