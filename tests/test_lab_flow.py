"""From tasks and agents to run folders: workspaces, memory, grids, broken trials, interrupts; and models by name."""

import asyncio
import json
import re
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
from labkit import MEMO, json_server, results_of, turns, write_task
from pydantic_ai.messages import ModelMessagesTypeAdapter, ModelRequest, ModelResponse, TextPart, ToolCallPart
from pydantic_ai.tools import Tool
from pydantic_ai.usage import RequestUsage

from evalsuite.errors import MissingDependencyError, UsageError
from evalsuite.lab.agents.base import Ending, read_transcript
from evalsuite.lab.agents.conversation import Conversation
from evalsuite.lab.agents.react import finish
from evalsuite.lab.evaluate import run
from evalsuite.lab.task import load_task
from evalsuite.lab.workspace import Workspace
from evalsuite.models import Budget, BudgetError, ModelError, Price, create_model, parse_price
from evalsuite.storage import read_manifest, read_units, trial_folder
from evalsuite.summary import read_summary

HERE = Path(__file__).parent
MODEL = "function:test_lab_flow:scripted"
LAWYER = {"now": None, "asked": []}
FINISH = ToolCallPart("finish", {"summary": "done"})
WRITE = ToolCallPart("write", {"file": "memo.md", "content": MEMO})


async def scripted(messages, info):
    """The model of every run here: what `script` was given last answers."""
    LAWYER["asked"].append(list(messages))
    step = LAWYER["now"](messages)
    if asyncio.iscoroutine(step):
        step = await step
    if isinstance(step, BaseException):
        raise step
    parts = step if isinstance(step, tuple) else (step,)
    parts = [TextPart(part) if isinstance(part, str) else part for part in parts]
    return ModelResponse(parts=parts, usage=RequestUsage(input_tokens=1000, output_tokens=100))


async def another(messages, info):
    return await scripted(messages, info)


async def clerk(assignment):
    """An agent of ours that asks the model once and writes down what it says."""
    reply = await assignment.model.request([])
    assignment.transcript.add({"turn": 1, "role": "assistant", "text": reply.text})
    (assignment.workspace.output / "memo.md").write_text(MEMO)
    return Ending("done", turns=1)


clerk.needs_model = True


def steps(*answers):
    return lambda messages: answers[min(turns(messages), len(answers) - 1)]


@pytest.fixture
def script(monkeypatch):
    """script(f): from now on f(messages) answers. script(a, b, c): these answers, one a turn. Gives the list of what was asked."""
    monkeypatch.syspath_prepend(str(HERE))

    def script(*answers):
        LAWYER["now"] = answers[0] if len(answers) == 1 and callable(answers[0]) else steps(*answers)
        LAWYER["asked"] = []
        return LAWYER["asked"]

    return script


@pytest.fixture
def tasks(tmp_path):
    """Three matters whose rubrics are all checks."""
    for number in range(3):
        instructions = f"This is matter-{number}. Read the note. Output: `memo.md`"
        write_task(tmp_path / "tasks" / "area" / f"matter-{number}", checks=True, instructions=instructions)
    return tmp_path / "tasks"


@pytest.fixture
def work(tasks, tmp_path):
    """Runs react on the three matters, or what is said instead."""

    def work(where=tasks, agents=("react",), **options):
        defaults = {"models": [MODEL], "out": tmp_path / "out", "cache": tmp_path / "cache"}
        return run([where], list(agents), **defaults | options)

    return work


def matter(messages):
    return int(re.search(r"matter-(\d)", messages[0].parts[1].content)[1])


def trials(path):
    return {(unit.task.split("/")[-1], unit.trial): unit for unit in read_units(path) if unit.unit == "trial"}


def verdicts(path, task):
    return [unit.verdict for unit in read_units(path) if unit.unit == "criterion" and unit.task.endswith(task)]


def reopen(path, drop=lambda unit: False):
    """The run folder as a kill would leave it, without the units that `drop` names."""
    results = path / "results.jsonl"
    kept = [line for line in results.read_text().splitlines(keepends=True) if not drop(json.loads(line))]
    results.write_text("".join(kept))
    manifest = json.loads((path / "run.json").read_text())
    (path / "run.json").write_text(json.dumps(manifest | {"status": "running"}))


# ---------------------------------------------------------------- what a trial may see and leave

SECRET = "quagga-7141"
HUNT = f"""
cd /workspace && ls -a . ..
for place in /*; do case $place in /usr|/lib*|/bin|/sbin|/proc|/sys|/dev) ;; *) grep -rIs {SECRET} $place ;; esac; done
find / -xdev \\( -name task.json -o -name rubric.yaml -o -name 'memo-gold*' \\) -not -path '/proc/*' 2>/dev/null
grep -rIs {SECRET} /proc/self/environ /proc/self/mountinfo /proc/1/cmdline
cat documents/../../task.json documents/../rubric.yaml ../task.json
"""


def test_nothing_of_the_rubric_is_within_the_agent_s_reach(tmp_path, script, work):
    words = f"Says {SECRET}"
    task = write_task(tmp_path / "secret", criteria=[("C-001", words, f"PASS if {words}", SECRET)], checks=True)
    (task / "reference").mkdir()
    (task / "reference" / "memo-gold.md").write_text(SECRET)
    (task / "contested.yaml").write_text(f"C-001: {SECRET}\n")
    asked = script(
        (
            ToolCallPart("bash", {"command": HUNT}),
            ToolCallPart("search", {"pattern": SECRET}),
            ToolCallPart("list_files", {}),
            *(
                ToolCallPart("read", {"file": name})
                for name in ("../task.json", "documents/../../rubric.yaml", str(task / "task.json"), "task.json")
            ),
        ),
        FINISH,
    )
    [outcome] = work(task)
    told = "\n".join(results_of(asked[-1]))
    assert SECRET not in told.replace(f"grep -rIs {SECRET}", "")
    assert "task.json\n" not in told and "rubric.yaml\n" not in told and "memo-gold" not in told
    assert "[0 results in 0 of 1 files]" in told
    assert told.count("'..' is not allowed") == 2 and "is outside the workspace" in told
    prompts = "\n".join(str(part.content) for part in asked[0][0].parts)
    assert SECRET not in prompts
    transcript = trial_folder(outcome.path, "secret", 1) / "transcript.jsonl"
    assert transcript.exists() and not (transcript.parent / "workspace").exists()


def test_subfolders_are_kept_and_links_are_refused_and_flagged(tmp_path, script, work, tasks):
    made = (
        "mkdir -p output/a/b; cp documents/note.txt output/a/b/note.txt; echo x > output/memo.md; cd output; "
        "ln -s /etc/passwd link.md; ln -s memo.md inner.md; ln memo.md hard.md; mkfifo pipe; touch $'bell\\a.md'; chmod 0 a"
    )
    script(ToolCallPart("bash", {"command": made}), FINISH)
    [outcome] = work(tasks / "area" / "matter-0")
    [trial] = trials(outcome.path).values()
    assert sorted(trial.output) == ["a/b/note.txt"]
    refused = {flag["where"]: flag["text"] for flag in trial.flags if flag["flag"] == "refused file"}
    assert refused["link.md"] == refused["inner.md"] == "is a symbolic link"
    assert "hard link" in refused["memo.md"] and "hard link" in refused["hard.md"]
    assert "pipe" in refused["pipe"] and any("bell" in name for name in refused)
    folder = trial_folder(outcome.path, trial.task, 1)
    kept = [
        path.relative_to(folder / "deliverables") for path in (folder / "deliverables").rglob("*") if path.is_file()
    ]
    assert list(map(str, kept)) == ["a/b/note.txt"]
    assert verdicts(outcome.path, "matter-0") == ["fail"] * 3
    assert not (folder / "workspace").exists()


def test_names_that_cannot_stand_beside_each_other_as_texts_do_not_break_the_trial(script, work, tasks):
    files = ["memo.md", "memo.md.txt/inner.md", "n" * 250 + ".md"]
    script(tuple(ToolCallPart("write", {"file": name, "content": MEMO}) for name in files), FINISH)
    [outcome] = work(tasks / "area" / "matter-0")
    [trial] = trials(outcome.path).values()
    assert sorted(trial.output) == sorted(files)
    assert verdicts(outcome.path, "matter-0") == ["pass"] * 3


def test_what_a_killed_attempt_left_in_its_workspace_is_gone_before_the_next(script, work, tasks):
    script(ValueError("gone"))
    [broken] = work(tasks / "area" / "matter-0")
    left = trial_folder(broken.path, "area/matter-0", 1) / "workspace"
    workspace = Workspace.create(load_task(tasks / "area" / "matter-0").documents, left)
    (workspace.output / "locked").mkdir()
    (workspace.output / "locked" / "old.md").write_text("old")
    (workspace.output / "locked").chmod(0)
    script(WRITE, FINISH)
    [outcome] = work(tasks / "area" / "matter-0")
    assert sorted(trials(outcome.path)["matter-0", 1].output) == ["memo.md"]
    assert outcome.complete and not left.exists()


def test_a_command_that_outlives_the_trial_is_killed_with_it(tmp_path, script, work, tasks):
    from evalsuite.lab.agents import Limits

    script(ToolCallPart("bash", {"command": "sleep 4711; echo late > output/memo.md"}))
    began = time.monotonic()
    [outcome] = work(tasks / "area" / "matter-0", limits=Limits(seconds=1))
    assert time.monotonic() - began < 15
    assert trials(outcome.path)["matter-0", 1].stop_reason == "timeout"
    commands = [path.read_bytes() for path in Path("/proc").glob("[0-9]*/cmdline") if path.exists()]
    assert not any(b"sleep\x004711" in command for command in commands)


# ---------------------------------------------------------------- graded or not


@pytest.mark.parametrize(
    ("last", "limit", "reason"),
    [
        (FINISH, {}, "done"),
        (ToolCallPart("abandon", {"reason": "x"}), {}, "abandon"),
        (WRITE, {"turns": 4}, "turns"),
        (WRITE, {"tokens": 1500}, "tokens"),
        (WRITE, {"cost": 0.001}, "budget"),
    ],
)
def test_what_a_stopped_trial_left_is_graded(script, work, tasks, last, limit, reason):
    from evalsuite.lab.agents import Limits

    script(WRITE, last)
    [outcome] = work(tasks / "area" / "matter-0", limits=Limits(**limit), prices={MODEL: Price(1.0, 1.0)})
    [trial] = trials(outcome.path).values()
    assert (trial.stop_reason, trial.finished) == (reason, reason == "done")
    assert outcome.summary.all_pass.rate == 1.0 and outcome.complete
    assert outcome.summary.stop_reasons == {reason: 1}


def test_what_a_broken_trial_left_is_not_graded_and_its_run_has_no_all_pass(script, work):
    def lawyer(messages):
        broken = matter(messages) == 1 and turns(messages) == 1
        return ValueError("the model broke") if broken else steps(WRITE, FINISH)(messages)

    script(lawyer)
    [outcome] = work(concurrency=2)
    assert verdicts(outcome.path, "matter-1") == []
    assert verdicts(outcome.path, "matter-0") == verdicts(outcome.path, "matter-2") == ["pass"] * 3
    assert outcome.summary.all_pass.rate is None
    assert outcome.manifest.status == "interrupted"
    assert "trial 1 of area/matter-1 broke: ValueError: the model broke" in outcome.manifest.error
    asked = script(WRITE, FINISH)
    [mended] = work(concurrency=2)
    assert (mended.path, mended.complete, mended.summary.all_pass.rate) == (outcome.path, True, 1.0)
    assert len(asked) == 1


def test_exit_codes_of_the_command(script, tasks, tmp_path, command):
    def lab_run(*more):
        done = command("lab", "run", tasks, "--out", tmp_path / "out", "--cache", tmp_path / "c", "--json", *more)
        return done.code, json.loads(done.stdout)

    react = ("--agent", "react", "--model", MODEL)
    script(lambda messages: ValueError("x") if matter(messages) == 1 else steps(WRITE, FINISH)(messages))
    code, told = lab_run(*react)
    assert (code, told["all_pass"]["rate"]) == (3, None)
    script(WRITE, FINISH)
    code, told = lab_run(*react)
    assert (code, told["all_pass"]["rate"]) == (0, 1.0)
    for wrong in (
        ("--agent", "react"),
        ("--agent", "react", "--model", "gpt"),
        ("--agent", "react", "--model", "function:test_lab_flow:nobody"),
        (*react, "--profile", "nobody"),
        (*react, "--price", "m=1"),
        (*react, "--max-trial-cost", "1", "--base-url", "nowhere", "--model", "x"),
    ):
        code, told = lab_run(*wrong)
        assert (code, told["error"]["kind"]) == (2, "usage"), wrong


# ---------------------------------------------------------------- grids


def test_the_grid_is_agents_by_profiles_by_models_one_folder_each(script, work, tasks, tmp_path):
    mine = tmp_path / "brief.yaml"
    mine.write_text("extends: lab\nabout: brief\n")
    script(lambda messages: steps(WRITE, FINISH, "Done.")(messages) if messages else "hello")
    outcomes = work(
        tasks / "area" / "matter-0",
        agents=("react", "test_lab_flow:clerk", "extractive"),
        profiles=("default", str(mine)),
        models=(MODEL, "function:test_lab_flow:another"),
    )
    names = [outcome.manifest.system["name"] for outcome in outcomes]
    agents, models = ("react", "test_lab_flow:clerk"), (MODEL, "function:test_lab_flow:another")
    expected = {f"{agent} {model} {p}" for agent in agents for model in models for p in ("default", "brief")}
    assert len(names) == 9 and set(names) == expected | {"extractive"}
    assert len({outcome.path for outcome in outcomes}) == 9
    assert all(outcome.complete for outcome in outcomes)
    again = work(tasks / "area" / "matter-0", profiles=("default", str(mine)), models=(MODEL,))
    assert [outcome.reused for outcome in again] == [True, True]
    mine.write_text("extends: lab\nabout: brief\nreview: Look again.\n")
    [changed] = work(tasks / "area" / "matter-0", profiles=(str(mine),), models=(MODEL,))
    assert changed.path not in {outcome.path for outcome in outcomes}


def test_trials_run_at_the_same_time_do_not_see_each_other(script, work):
    async def lawyer(messages):
        await asyncio.sleep(0.05)
        own = f"matter {matter(messages)}"
        write = ToolCallPart("write", {"file": "own.md", "content": own})
        return [write, ToolCallPart("read", {"file": "output/own.md"}), WRITE, FINISH][turns(messages)]

    asked = script(lawyer)
    began = time.monotonic()
    [outcome] = work(trials=4, concurrency=6)
    assert time.monotonic() - began < 12 * 4 * 0.05 * 4
    assert len(trials(outcome.path)) == 12 and outcome.summary.all_pass.rate == 1.0
    for messages in asked:
        for result in results_of(messages)[1:2]:
            assert f"matter {matter(messages)}" in result


def test_a_replay_of_a_run_leaves_the_same_deliverables_in_every_trial(script, work):
    def lawyer(messages):
        letter = ToolCallPart(
            "write_docx", {"file": "sub/letter.docx", "markdown": f"# Letter {matter(messages)}\n\nÄh."}
        )
        return [("a", WRITE), ("b", letter, ToolCallPart("read", '{"f')), FINISH][turns(messages)]

    script(lawyer)
    [first] = work(trials=2)
    [again] = work(agents=[f"replay:{first.path}"], trials=2)
    assert {key: trial.output for key, trial in trials(again.path).items()} == {
        key: trial.output for key, trial in trials(first.path).items()
    }
    assert all(sorted(trial.output) == ["memo.md", "sub/letter.docx"] for trial in trials(again.path).values())


# ---------------------------------------------------------------- interrupts


@pytest.mark.parametrize("kind", [KeyboardInterrupt, asyncio.CancelledError])
@pytest.mark.parametrize("at", [1, 2, 4])
def test_interrupted_at_an_answer_the_run_goes_on_and_pays_nothing_twice(script, work, tmp_path, kind, at):
    count = 0

    def lawyer(messages):
        nonlocal count
        count += 1
        if count == at:
            return kind()
        return steps(ToolCallPart("read", {"file": "note.txt"}), WRITE, FINISH)(messages)

    asked = script(lawyer)
    try:
        stopped = work(concurrency=1)
    except (KeyboardInterrupt, asyncio.CancelledError):
        stopped = []
    assert [outcome.manifest.status for outcome in stopped] in ([], ["interrupted"])
    [folder] = (tmp_path / "out").iterdir()
    assert read_manifest(folder).status == "interrupted"
    [whole] = work(concurrency=1)
    assert (whole.path, whole.complete, whole.summary.all_pass.rate) == (folder, True, 1.0)
    assert len(asked) == 3 * 3 + 1


def test_a_trial_cut_off_between_two_answers_is_completed_without_asking_again(script, work, tasks):
    asked = script(
        ToolCallPart("read", {"file": "note.txt"}), ToolCallPart("bash", {"command": "cat documents/*"}), WRITE, FINISH
    )
    [first] = work()
    assert len(asked) == 12
    transcript = trial_folder(first.path, "area/matter-1", 1) / "transcript.jsonl"
    whole = transcript.read_bytes()
    lines = whole.splitlines(keepends=True)
    reopen(first.path, lambda unit: unit["task"] == "area/matter-1")
    transcript.write_bytes(b"".join(lines[:6]) + lines[6][:50])
    asked.clear()
    [again] = work()
    assert (again.path, again.summary.all_pass.rate, len(asked)) == (first.path, 1.0, 2)
    assert [line["role"] for line in read_transcript(transcript)] == [json.loads(line)["role"] for line in lines]
    reopen(first.path, lambda unit: unit["task"] == "area/matter-1")
    asked.clear()
    [third] = work()
    assert third.complete and asked == []


def test_an_agent_that_does_not_resume_begins_its_transcript_anew(script, work, tasks):
    script("hello")
    where = tasks / "area" / "matter-0"
    options = {"agents": ["test_lab_flow:clerk"]}
    [first] = work(where, **options)
    reopen(first.path)
    reopen(first.path, lambda unit: True)
    [again] = work(where, **options)
    assert again.path == first.path
    assert len(read_transcript(trial_folder(again.path, "area/matter-0", 1) / "transcript.jsonl")) == 1


# ---------------------------------------------------------------- memory


def diarist(messages):
    """Leaves a note with its number, and writes down the notes it was shown."""
    notes = re.findall(r"- (note \d of matter-\d)", messages[0].parts[0].content)
    note = f"note {len(notes) + 1} of matter-{matter(messages)}\u2028with {{braces}}"
    write = ToolCallPart("write", {"file": "memo.md", "content": MEMO + "\n".join(notes)})
    return [(ToolCallPart("remember", {"note": note}), write), FINISH][turns(messages)]


async def slow_diarist(messages):
    await asyncio.sleep(0.02 * (3 - matter(messages)))
    return diarist(messages)


def noted(path, task, trial):
    text = (trial_folder(path, f"area/{task}", trial) / "deliverables" / "memo.md").read_text()
    return re.findall(r"note (\d) of (matter-\d)", text)


def test_with_a_memory_every_trial_sees_the_notes_of_those_before_it_and_of_its_task_alone(script, work):
    script(slow_diarist)
    [outcome] = work(profiles=["memory"], trials=3, concurrency=8)
    assert outcome.complete
    for task in ("matter-0", "matter-1", "matter-2"):
        for trial in (1, 2, 3):
            assert noted(outcome.path, task, trial) == [(str(n), task) for n in range(1, trial)]
    assert "trials of one task are not independent" in " ".join(outcome.manifest.notes)


@pytest.mark.parametrize("cut", [0, 2, 3, 4, 5, 6])
def test_a_resumed_trial_sees_the_notes_it_saw_and_leaves_its_own_once(script, work, cut):
    script(diarist)
    [first] = work(profiles=["memory"], trials=3)
    expected = {key: trial.output for key, trial in trials(first.path).items()}
    folder = trial_folder(first.path, "area/matter-1", 2)
    lines = (folder / "transcript.jsonl").read_bytes().splitlines(keepends=True)
    (folder / "transcript.jsonl").write_bytes(b"".join(lines[:cut]))
    notes = (folder.parent / "memory.jsonl").read_bytes().splitlines(keepends=True)
    (folder.parent / "memory.jsonl").write_bytes(notes[0] + notes[1][: 10 * cut])
    reopen(first.path, lambda unit: unit["task"] == "area/matter-1" and unit["trial"] > 1)
    asked = script(diarist)
    [again] = work(profiles=["memory"], trials=3)
    assert {key: trial.output for key, trial in trials(again.path).items()} == expected
    assert len((folder.parent / "memory.jsonl").read_bytes().splitlines()) == 3
    assert len(asked) == 2 - sum(b'"role": "assistant"' in line for line in lines[:cut])


def test_a_trial_worked_again_leaves_the_notes_of_later_ones_alone(script, work, tasks):
    script(diarist)
    where = tasks / "area" / "matter-0"
    [first] = work(where, profiles=["memory"], trials=2)
    reopen(first.path, lambda unit: unit["trial"] == 1)
    [again] = work(where, profiles=["memory"], trials=3)
    memory = trial_folder(again.path, "area/matter-0", 1).parent / "memory.jsonl"
    assert sorted(json.loads(line)["trial"] for line in memory.read_text().splitlines()) == [1, 2, 3]
    text = (trial_folder(again.path, "area/matter-0", 3) / "deliverables" / "memo.md").read_text()
    assert sorted(re.findall(r"note (\d)", text)) == ["1", "2"]


def test_the_default_harness_has_no_memory(script, work):
    asked = script(diarist)
    [outcome] = work(trials=2)
    assert all("Notes from earlier work" not in messages[0].parts[0].content for messages in asked)
    assert any("there is no tool 'remember'" in text for messages in asked for text in results_of(messages))
    assert not list(outcome.path.rglob("memory.jsonl"))


# ---------------------------------------------------------------- models


@pytest.fixture
def no_keys(monkeypatch):
    import os

    for name in os.environ:
        if name.endswith(("_API_KEY", "_TOKEN")):
            monkeypatch.delenv(name)


@pytest.mark.parametrize("spec", ["", " ", "gpt-4o", "openai/", "openai: ", "/gpt-4o", "nobody/gpt-4o", "openai"])
def test_what_is_no_model_is_refused_with_what_is_accepted(no_keys, spec):
    with pytest.raises(UsageError, match=r"accepted: openai/NAME|Unknown model"):
        create_model(spec)


@pytest.mark.parametrize(
    ("spec", "variable"),
    [
        ("openai/gpt-4o", "OPENAI_API_KEY"),
        ("openai:gpt-4o", "OPENAI_API_KEY"),
        ("anthropic/claude-sonnet-4-5", "ANTHROPIC_API_KEY"),
        ("openrouter/anthropic/claude-sonnet-4.5", "OPENROUTER_API_KEY"),
        ("openrouter:anthropic/claude-sonnet-4.5", "OPENROUTER_API_KEY"),
        ("deepseek/deepseek-chat", "DEEPSEEK_API_KEY"),
    ],
)
def test_a_missing_key_is_named_by_its_variable(no_keys, spec, variable):
    with pytest.raises(UsageError, match=variable):
        create_model(spec)


@pytest.mark.parametrize("spec", ["mistral/mistral-large", "google/gemini-2.5-pro", "bedrock/x"])
def test_a_provider_whose_package_is_missing_says_which_to_install(spec):
    with pytest.raises(MissingDependencyError, match="install"):
        create_model(spec)


@pytest.mark.parametrize(
    ("spec", "name"),
    [
        ("openai/gpt-x", "gpt-x"),
        ("openai/Qwen/Qwen3-8B", "Qwen/Qwen3-8B"),
        ("Qwen/Qwen3-8B", "Qwen/Qwen3-8B"),
        ("llama3:8b", "llama3:8b"),
        ("gpt-x", "gpt-x"),
    ],
)
def test_a_server_is_asked_for_the_name_it_knows(no_keys, spec, name):
    model = create_model(spec, base_url="http://localhost:1/v1")
    assert (model.model.model_name, model.name, model.priced) == (name, spec, False)


@pytest.mark.parametrize("spec", ["", "openai/", " "])
def test_a_server_without_a_model_s_name_is_refused(spec):
    with pytest.raises(UsageError, match="accepted"):
        create_model(spec, base_url="http://localhost:1/v1")


def test_what_is_no_url_is_refused():
    with pytest.raises(UsageError, match="'localhost:8000' is not the URL of a server"):
        create_model("openai/x", base_url="localhost:8000")


def test_a_server_that_is_not_there_is_an_error_of_the_request(no_keys, monkeypatch):
    monkeypatch.setattr("evalsuite.models.MAX_RETRIES", 0)
    model = create_model("openai/x", base_url="http://127.0.0.1:9/v1")
    with pytest.raises(ModelError, match="Connection") as error:
        asyncio.run(model.request([]))
    assert error.value.kind == "judge_unavailable"


@pytest.mark.parametrize(
    "spec", ["function:", "function:x", "function:no_module:f", "function:os:nobody", "function:os:sep"]
)
def test_a_function_that_is_none_is_refused(spec):
    with pytest.raises(UsageError, match=r"is not module:callable|cannot be loaded|is not callable"):
        create_model(spec)


CONTEXT_FULL = [
    {"error": {"message": "This model's maximum context length is 4096 tokens.", "code": "context_length_exceeded"}},
    {"error": {"code": 400, "message": "the request exceeds ...", "type": "exceed_context_size_error", "n_ctx": 4096}},
]
REPLIES = [
    *((400, body, "context") for body in CONTEXT_FULL),
    (401, {"error": {"message": "bad key"}}, "judge_unavailable"),
    (500, {"error": {"message": "oops"}}, "judge_unavailable"),
    (200, {"id": "x", "object": "chat.completion", "created": 1, "model": "m", "choices": []}, "judge_malformed"),
]


@pytest.fixture
def server():
    """A server on this machine that gives one reply to everything: server.reply = (status, body); server.asked."""

    found = SimpleNamespace(asked=[], reply=None)

    def answer(body):
        found.asked.append(body)
        return found.reply

    with json_server(answer) as found.url:
        yield found


@pytest.mark.parametrize(("status", "body", "kind"), REPLIES)
def test_what_a_server_does_wrong_has_a_kind(server, monkeypatch, status, body, kind):
    monkeypatch.setattr("evalsuite.models.MAX_RETRIES", 0)
    server.reply = status, body
    model = create_model("m", base_url=f"{server.url}/v1")
    with pytest.raises(ModelError) as error:
        asyncio.run(model.request([ModelRequest.user_text_prompt("Hello")]))
    assert error.value.kind == kind


def test_a_conversation_reaches_anthropic_with_its_tools_and_a_cached_prefix(server, monkeypatch):
    monkeypatch.setenv("ANTHROPIC_BASE_URL", server.url)
    monkeypatch.setenv("ANTHROPIC_API_KEY", "x")
    server.reply = 400, {"type": "error", "error": {"type": "invalid_request_error", "message": "prompt is too long"}}
    conversation = Conversation("Be brief.", "Read the note.")
    conversation.answered(ModelResponse(parts=[ToolCallPart("finish", '{"fi', tool_call_id="call_1")]))
    conversation.result("call_1", "finish", "wrong arguments")
    model = create_model("anthropic/claude-sonnet-4-5", settings={"max_tokens": 100})
    for text_only in (False, True):
        with pytest.raises(ModelError) as error:
            tools = [Tool(finish, takes_ctx=False).tool_def]
            asyncio.run(model.request(conversation.messages, tools=tools, text_only=text_only))
        assert error.value.kind == "context"
    going_on, summing_up = server.asked
    assert [tool["name"] for tool in going_on["tools"]] == [tool["name"] for tool in summing_up["tools"]] == ["finish"]
    assert summing_up["tool_choice"] == {"type": "none"} != going_on.get("tool_choice")
    assert "cache_control" in json.dumps(going_on)
    assert "cache" not in model.describe()


def test_a_module_that_breaks_when_it_is_imported_is_a_usage_error(tmp_path, monkeypatch):
    (tmp_path / "broken_module.py").write_text("raise RuntimeError('no')\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(UsageError, match="RuntimeError: no"):
        create_model("function:broken_module:f")


@pytest.mark.parametrize(
    ("text", "price"),
    [("openai/gpt-x=1.5,6", Price(1.5, 6.0)), ("a=b/c=1,2,0.1", Price(1.0, 2.0, 0.1)), ("m=0,0", Price(0.0, 0.0))],
)
def test_prices_are_read(text, price):
    assert parse_price(text) == (text.rpartition("=")[0], price)


@pytest.mark.parametrize("text", ["", "m", "m=", "m=1", "=1,2", "m=1,2,3,4", "m=a,b", "m=-1,2", "m=nan,1", "m=inf,1"])
def test_what_is_no_price_is_refused(text):
    with pytest.raises(UsageError, match=re.escape(f"found {text!r}")):
        parse_price(text)


def test_cached_input_costs_its_own_price_and_a_tenth_where_none_is_given():
    tokens = {"input": 1_000_000, "output": 500_000, "cached": 400_000}
    assert Price(2.0, 10.0).of(tokens) == pytest.approx(1.2 + 0.08 + 5.0)
    assert Price(2.0, 10.0, 1.0).of(tokens) == pytest.approx(1.2 + 0.4 + 5.0)


def spender(messages, info):
    usage = RequestUsage(input_tokens=1_000_000, output_tokens=100_000, cache_read_tokens=500_000)
    return ModelResponse(parts=[TextPart("ok")], usage=usage)


def test_a_function_is_free_unless_it_is_given_a_price(script):
    free = asyncio.run(create_model("function:test_lab_flow:spender").request([]))
    assert (free.cost, free.tokens) == (0.0, {"input": 1_000_000, "output": 100_000, "cached": 500_000})
    paid = create_model("function:test_lab_flow:spender", price=Price(1.0, 1.0))
    assert asyncio.run(paid.request([])).cost == pytest.approx(0.5 + 0.05 + 0.1)


@pytest.mark.parametrize("answered_as", ["gpt-4o-2024-08-06", "our-gateway's-name-for-it"])
def test_a_listed_model_has_its_price_whatever_the_server_calls_it(monkeypatch, answered_as):
    monkeypatch.setenv("OPENAI_API_KEY", "x")
    model = create_model("openai/gpt-4o")
    usage = RequestUsage(input_tokens=1_000_000, output_tokens=100_000)
    response = ModelResponse(parts=[TextPart("ok")], usage=usage, model_name=answered_as, provider_name="openai")
    line = {"response": ModelMessagesTypeAdapter.dump_python([response], mode="json")[0], "seconds": 1, "cost": 0}
    assert model.priced and model._cost(model.recorded(line).response, {}) == pytest.approx(3.5)


def test_a_spent_budget_asks_nothing_more(script):
    model = create_model("function:test_lab_flow:spender", price=Price(1.0, 1.0))
    model.budget = Budget(1.0)
    for _ in range(2):
        asyncio.run(model.request([]))
    with pytest.raises(BudgetError, match=r"the budget of 1.0 USD is spent"):
        asyncio.run(model.request([]))
    assert model.budget.spent == pytest.approx(1.3)


def test_money_that_runs_out_leaves_the_rest_for_a_later_command(script, work):
    asked = script(WRITE, FINISH)
    options = {"prices": {MODEL: Price(1000.0, 1000.0)}, "concurrency": 1}  # 1.1 USD a request
    [first] = work(max_cost=3.0, **options)
    assert first.manifest.status == "interrupted" and "the budget of 3.0 USD is spent" in first.manifest.error
    assert len(asked) == 3 and first.summary.all_pass.rate is None
    [second] = work(max_cost=3.3, **options)
    assert second.manifest.error is None
    assert (second.path, second.complete, len(asked)) == (first.path, True, 6)
    assert read_manifest(second.path).error is None and read_summary(second.path).all_pass.rate == 1.0


def test_a_command_is_told_the_model_s_name_and_each_name_is_a_system_of_its_own(tmp_path):
    task = write_task(tmp_path / "tasks" / "area" / "one", checks=True)
    runs = run(
        [task],
        ["command:printf %s $MODEL > output/memo.md"],
        models=["big", "small"],
        out=tmp_path / "out",
        cache=tmp_path / "cache",
    )
    assert [outcome.manifest.system["model"] for outcome in runs] == ["big", "small"]
    texts = [trial_folder(outcome.path, "area/one", 1) / "deliverables" / "memo.md" for outcome in runs]
    assert [text.read_text() for text in texts] == ["big", "small"]


def test_whole_numbers_and_the_same_as_fractions_are_one_run(tasks, tmp_path):
    from evalsuite import lab_plan
    from evalsuite.lab.agents import Limits

    [whole], [fraction] = (
        lab_plan(
            tasks / "area" / "matter-0",
            "empty",
            limits=Limits(seconds=seconds, cost=cost),
            judge_temperature=heat,
            out=tmp_path / "out",
        )
        for seconds, cost, heat in ((60, 1, 0), (60.0, 1.0, 0.0))
    )
    assert whole.run == fraction.run
