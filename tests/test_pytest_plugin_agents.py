"""Agents under the pytest plugin: one item a trial, all of them together, what is an error, a skip, and what needs --eval-live."""

import json
import os
import re
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml
from conftest import write_beir
from labkit import MEMO, json_server, write_task
from test_pytest_plugin import interrupted, logged, runs, status

from evalsuite import lab_run

pytest_plugins = ["pytester"]

AGENTS = f"""
import asyncio, os, time
from pathlib import Path

MEMO = {MEMO!r}

def log(line):
    with Path(os.environ["LOG"]).open("a") as stream:
        stream.write(line + "\\n")

async def work(assignment, name, text, seconds=0.2):
    log(f"{{name}} {{assignment.matter.id}} {{assignment.trial}} begins")
    await asyncio.sleep(seconds)
    (assignment.workspace.output / "memo.md").write_text(text)
    log(f"{{name}} {{assignment.matter.id}} {{assignment.trial}} ends")

async def good(assignment):
    await work(assignment, "good", MEMO)

async def forgetful(assignment):
    await work(assignment, "forgetful", MEMO.replace("seek consent", "wait"))

async def crash(assignment):
    if assignment.matter.id.startswith("tax"):
        raise ValueError("no tax")
    await work(assignment, "crash", MEMO)

async def dies(assignment):
    log(f"dies {{assignment.matter.id}} begins")
    stored = Path(os.environ["LOG"]).with_name("reports")
    while sum(path.read_text().count("\\n") for path in stored.rglob("results.jsonl")) < int(os.environ["ENOUGH"]):
        await asyncio.sleep(0.05)
    os._exit(4)

async def slow(assignment):
    late = assignment.matter.id.startswith("tax") and not Path(os.environ["LOG"]).with_name("go").exists()
    await work(assignment, "slow", MEMO, 60 if late else 0)
"""


@pytest.fixture
def project(pytester, monkeypatch):
    """A scratch project with three tasks, whose criteria have checks, and agents of its own."""
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent), prepend=os.pathsep)  # for the models of labkit
    monkeypatch.setenv("LOG", str(pytester.path / "log"))
    for name in ("corporate-ma/one", "corporate-ma/two", "tax/three"):
        write_task(pytester.path / "tasks" / name, checks=True)
    (pytester.path / "crew.py").write_text(AGENTS)
    return pytester.path


def gate(project, name="lab", **keys):
    (project / f"{name}.eval.yaml").write_text(yaml.safe_dump({"tasks": "tasks", **keys}))


def most_at_once(lines):
    """The largest number of trials under way at one time."""
    under_way = most = 0
    for line in lines:
        under_way += 1 if line.endswith("begins") else -1
        most = max(most, under_way)
    return most


def test_all_selected_trials_run_together_and_each_is_judged_by_itself(project, run):
    gate(project, systems=["crew:good", "crew:forgetful", "crew:crash"], trials=2)
    gate(project, "whole", system="crew:forgetful", select="corporate-ma", thresholds={"criterion_rate": 0.6},
         overall={"criterion_rate": {"at_least": 0.9}, "all_pass": {"at_least": 0.5}})  # fmt: skip
    done = run("--junitxml=junit.xml", "--eval-report=page.html", "-v")
    assert done.ret == 1
    done.assert_outcomes(passed=6 + 4 + 2, failed=6 + 1, errors=2)
    lines = logged(project)
    assert most_at_once(lines) >= 8
    names = [line.split()[0] for line in lines if line.endswith("begins")]
    assert {name: names.count(name) for name in names} == {"good": 6, "forgetful": 6 + 2, "crash": 4}
    text = done.stdout.str()
    assert "lab.eval.yaml::corporate-ma/one/crew:good/1 PASSED" in text
    assert "tax/three, trial 2: the agent broke: ValueError: no tax" in text
    failure = text.split("corporate-ma/two/crew:forgetful/2 ___")[1].split("\n___")[0]
    assert "all_pass 0.000 (2 of 3 criteria), at least 1: NOT MET" in failure
    assert "C-003  Says what to do: 'seek consent' is not there [check:quote]" in failure
    whole = text.split("_ overall/crew:forgetful _")[1].split("\n===")[0]
    assert "criterion_rate 0.667" in whole and "all_pass 0.000 [" in whole
    assert re.search(r"corporate-ma/one +C-003 +Says what to do +failed in 1", whole)
    junit = (project / "junit.xml").read_text()
    assert junit.count('name="evalsuite.all_pass" value="true"') == 6 + 4
    assert junit.count('name="evalsuite.n_errors" value="0"') == 6 + 6 + 4 + 2 + 1 + 2
    assert "crew:forgetful" in (project / "page.html").read_text()


def test_chosen_trials_alone_are_worked_and_the_next_session_adds_to_the_same_run(project, run):
    gate(project, system="crew:good", trials=2, overall={"all_pass": 1})
    run("-k", "three and not overall").assert_outcomes(passed=2)
    assert len(logged(project)) == 4
    [folder] = runs(project)
    assert status(folder) == "interrupted"
    run("-m", 'area(name="corporate-ma") or not area').assert_outcomes(passed=4 + 1)
    lines = logged(project)
    assert len(lines) == len(set(lines)) == 12
    assert runs(project) == [folder] and status(folder) == "complete"


def test_under_two_workers_no_trial_is_worked_twice_not_even_one_that_kills_its_process(project, run, monkeypatch):
    monkeypatch.setenv("ENOUGH", str((6 + 2 + 3) * (1 + 3) + 1))
    gate(project, "dies", system="crew:dies", select="tax")
    gate(project, system="crew:good", trials=2)
    gate(project, "other", systems=["crew:crash", "crew:forgetful"])
    gate(project, "again", system="crew:good", trials=2, overall={"all_pass": 1})
    done = run("-n", "2", "--dist", "load")
    done.assert_outcomes(passed=6 + 2 + 7, failed=3, errors=1 + 1)
    done.stdout.fnmatch_lines(["*the agent crew:dies gave no result: the process that worked this died"])
    lines = logged(project)
    assert len(lines) == len(set(lines)) == 2 * (6 + 2 + 3) + 1
    assert not list((project / "reports" / "pytest").glob(".*"))


def test_sigint_among_the_trials_leaves_a_run_that_the_next_session_completes(project, run):
    gate(project, system="crew:slow")
    finished = ["slow corporate-ma/one 1 ends", "slow corporate-ma/two 1 ends"]
    stored = project / "reports" / "pytest"
    code, text = interrupted(
        project, lambda: sum(path.read_text().count("\n") for path in stored.glob("*/results.jsonl")) == 2 * (1 + 3)
    )
    assert code == pytest.ExitCode.INTERRUPTED, text
    [folder] = runs(project)
    assert status(folder) == "interrupted"
    (project / "go").touch()
    run().assert_outcomes(passed=3)
    assert status(folder) == "complete"
    assert [logged(project).count(line) for line in finished] == [1, 1]


def test_ungraded_is_an_error_and_a_spent_budget_a_skip(project, run):
    write_task(project / "open" / "one")
    gate(project, "ungraded", tasks="open", system="crew:good")
    price = {"function:labkit:associate": "1000,1000"}
    gate(
        project,
        "spent",
        systems=["react"],
        model="function:labkit:associate",
        prices=price,
        max_cost=0.001,
        select="tax",
    )
    done = run("-rs", "-v")
    done.assert_outcomes(errors=1, skipped=1)
    text = done.stdout.str()
    assert "3 of 3 criteria have errors: no_judge 3" in text
    assert "C-001  Names the notice period (no_judge)" in text
    assert "budget: the budget of 0.001 USD is spent" in text


# ---------------------------------------------------------------- models: --eval-live and recordings


@pytest.fixture
def server():
    """An OpenAI-compatible server on loopback that works, judges and rewrites by a script; `asked` counts its requests."""

    found = SimpleNamespace(asked=0)

    def answer(body):
        found.asked += 1
        return 200, {
            "id": "x",
            "object": "chat.completion",
            "created": 0,
            "model": body["model"],
            "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", **scripted(body)}}],
            "usage": {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15},
        }

    with json_server(answer) as url:
        found.url = f"{url}/v1"
        yield found


def scripted(body):
    tools = [tool["function"]["name"] for tool in body.get("tools", [])]
    if "write" in tools:
        done = sum(message["role"] == "assistant" for message in body["messages"])
        name, arguments = [("write", {"file": "memo.md", "content": MEMO}), ("finish", {"summary": "done"})][
            min(done, 1)
        ]
        return {"content": None, "tool_calls": [call(name, arguments)]}
    text = json.dumps(body["messages"])
    reply = {"quotes": ["ninety days"], "reasoning": "it says so", "rests_on_absence": False, "verdict": "pass"}
    answer = reply if "# Criterion" in text else {"text": "lease"}
    return {"content": None, "tool_calls": [call(tools[0], answer)]} if tools else {"content": json.dumps(answer)}


def call(name, arguments):
    return {"id": "call_1", "type": "function", "function": {"name": name, "arguments": json.dumps(arguments)}}


def test_a_model_is_asked_only_with_eval_live_and_a_recording_stands_in_for_it(project, run, server, tmp_path):
    write_task(project / "open" / "one")
    keys = {"tasks": "open", "system": "react", "model": "associate", "judge": "judge", "base_url": server.url}
    gate(project, **keys)
    done = run("-rs")
    done.assert_outcomes(skipped=1)
    done.stdout.fnmatch_lines(["SKIPPED*would ask a model; pytest --eval-live allows it*"])
    assert server.asked == 0 and not runs(project)

    run("--eval-live").assert_outcomes(passed=1)
    [live] = runs(project)
    live.rename(project / "recorded")
    asked = server.asked
    assert asked == 2 + 3

    gate(project, **keys, recording="recorded")
    done = run("--eval-out=replayed", "-v")
    done.assert_outcomes(passed=1)
    done.stdout.fnmatch_lines(["lab.eval.yaml::one/react+associate/1 PASSED*"])
    assert server.asked == asked

    changed = [("C-009", "Names the notice period", "PASS if anything else.", "ninety days")]
    write_task(project / "open" / "one", criteria=changed)
    done = run("--eval-out=replayed")
    done.assert_outcomes(errors=1)
    done.stdout.fnmatch_lines(["*C-009*judge_unavailable*no recorded answer fits this request*"])
    assert server.asked == asked


def test_a_retriever_that_asks_a_model_replays_what_it_was_answered(project, run, server):
    write_beir(project / "corpus")
    keys = {"retrieval": "corpus", "system": f"rewrite:model=some,base_url={server.url}", "thresholds": {"R@100": 0.1}}
    (project / "words.eval.yaml").write_text(yaml.safe_dump({**keys, "recording": "answers"}))
    run().assert_outcomes(errors=1)
    assert server.asked == 0
    run("--eval-live").assert_outcomes(passed=1)
    asked = server.asked
    assert asked == 3 and list((project / "answers" / "replies").rglob("*.json"))
    run("--eval-out=replayed").assert_outcomes(passed=1)
    assert server.asked == asked


# ---------------------------------------------------------------- baselines, fixtures


def test_agents_are_held_against_a_baseline_over_all_tasks(project, run, monkeypatch):
    monkeypatch.syspath_prepend(str(project))
    monkeypatch.setenv("LOG", str(project / "log"))
    [before] = lab_run([project / "tasks"], ["crew:good"], out=project / "baselines")
    rule = {"criterion_rate_macro": {"baseline": str(before.path), "margin": 0.05}}
    write_task(project / "tasks" / "tax" / "four", checks=True)
    gate(project, "grown", system="crew:good", overall=rule)
    three = "corporate-ma/one,corporate-ma/two,tax/three"
    gate(project, select=three, system="crew:forgetful", overall=rule)
    gate(project, "same", select=three, system="crew:good", overall=rule)
    done = run("-k", "overall")
    done.assert_outcomes(passed=1, failed=1, errors=1)
    text = done.stdout.str()
    assert (
        "criterion_rate_macro 0.667 against 1.000 of the baseline, -0.333 the same for every one: is worse by more"
        in text
    )
    assert re.search(r"corporate-ma/one +C-003 +Says what to do +pass -> fail", text)
    assert "tax/four is only in B" in text


def test_the_fixture_works_a_task(project, run):
    (project / "test_lab.py").write_text(
        "import pytest\nfrom evalsuite import EvalsuiteError\n\n"
        "def test_good(run_task):\n"
        "    assert run_task('tasks/tax/three', 'crew:good').summary.all_pass.rate == 1\n\n"
        "def test_crash(run_task):\n"
        "    with pytest.raises(EvalsuiteError, match='no tax'):\n"
        "        run_task('tasks/tax/three', 'crew:crash')\n\n"
        "def test_live(run_task):\n"
        "    run_task('tasks/tax/three', 'react', models=['openai/some'])\n\n"
        "def test_budget(run_task):\n"
        "    from evalsuite.models import Price\n"
        "    model = 'function:labkit:associate'\n"
        "    run_task('tasks/tax/three', 'react', models=[model], max_cost=0.0001, prices={model: Price(1000, 1000)})\n"
    )
    done = run("-rs")
    done.assert_outcomes(passed=2, skipped=2)
    done.stdout.fnmatch_lines(["SKIPPED*would ask a model*", "SKIPPED*budget: *the budget of 0.0001 USD is spent*"])
