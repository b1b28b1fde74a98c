"""The profiles a grid compares: what plan, verify and consolidate do to a trial, on paper and with a real model."""

import json

import pytest
from labkit import write_task
from pydantic_ai.messages import ModelResponse, ToolCallPart
from test_lab_llm import Server
from test_react import FINISH, READ, WRITE, Script, answer, parts, profile, record, trial  # noqa: F401

from evalsuite.lab.agents import Limits
from evalsuite.lab.agents.grader import UNREAD, accepted, question
from evalsuite.lab.agents.react import GO_ON, MERGE, PLAN_FIRST
from evalsuite.lab.evaluate import run
from evalsuite.lab.profiles import load_profile
from evalsuite.records import TrialResult
from evalsuite.storage import read_units

VERIFY = {"times": 2, "prompt": "Is this done?"}


# ---------------------------------------------------------------- plan


def test_the_first_attempt_to_write_is_answered_by_a_demand_for_a_plan(trial):  # noqa: F811
    script = Script(READ, WRITE, "First the period, then the party.", WRITE, FINISH)
    result = trial(script, harness=load_profile("plan-then-write"))
    assert (result.stop_reason, result.turns, sorted(result.output)) == ("done", 5, ["memo.md"])
    assert next(told for name, told in script.results if name == "write") == PLAN_FIRST
    assert result.tool_calls == {"read": 1, "write": 1}
    said = [line["text"] for line in record(trial) if line["role"] == "user"][1:]
    assert said[0].startswith("Before you write, plan") and said[1:] == [GO_ON]
    assert [(info.model_settings or {}).get("tool_choice") for info in script.infos] == [None, None, "none", None, None]


def test_a_model_that_never_writes_is_not_asked_for_a_plan(trial):  # noqa: F811
    script = Script(READ, FINISH)
    assert trial(script, harness=load_profile("plan-then-write")).turns == 2


def test_work_that_is_finished_in_the_answer_that_wants_to_write_goes_on(trial):  # noqa: F811
    script = Script((WRITE, FINISH), "The plan.", (WRITE, FINISH))
    result = trial(script, harness=profile(plan="Plan."))
    assert (result.stop_reason, result.turns, sorted(result.output)) == ("done", 3, ["memo.md"])


# ---------------------------------------------------------------- verify


class Office:
    """An author who finishes whenever it is asked, and a reader with answers of its own."""

    def __init__(self, *reader):
        self.reader, self.asked, self.author = list(reader), [], Script(READ, WRITE, FINISH)

    async def __call__(self, messages, info):
        if not info.function_tools:
            self.asked.append(parts(messages))
            said = self.reader.pop(0)
            return answer(said) if isinstance(said, str) else said
        return await self.author(messages, info)


def test_the_reader_sees_the_instruction_and_the_draft_and_never_the_rubric_or_the_work(trial):  # noqa: F811
    office = Office("ACCEPT")
    assert trial(office, harness=load_profile("verify-before-finish")).stop_reason == "done"
    [[asked]] = office.asked
    assert "say what happens if the company is sold" in asked.content and "## memo.md" in asked.content
    assert "Orrin Freight can be left on ninety days notice" in asked.content
    for hidden in ("PASS if", "Names the notice period", "Ninety days.", "list_files"):
        assert hidden not in asked.content


@pytest.mark.parametrize(("answers", "returns"), [(["ACCEPT"], 0), (["- no date", "**Accept.**"], 1), (["a", "b"], 2)])
def test_work_is_sent_back_up_to_n_times_and_the_readers_tokens_are_the_trials(trial, answers, returns):  # noqa: F811
    office = Office(*answers)
    result = trial(office, harness=profile(verify=VERIFY))
    assert (result.stop_reason, result.turns) == ("done", 3 + returns)
    sent = [line for line in record(trial) if line["role"] == "user" and "sent your work back" in line["text"]]
    assert len(sent) == returns and all(f"time {n}" in line["text"] for n, line in enumerate(sent, start=1))
    graded = [line for line in record(trial) if line["role"] == "grader"]
    assert [line["text"] for line in graded] == answers
    for kind in ("input", "output"):
        lines = [line for line in record(trial) if line["role"] in ("assistant", "grader")]
        assert result.tokens[kind] == sum(line[f"{kind}_tokens"] for line in lines)
    assert all(line["input_tokens"] > 0 for line in graded)


def test_a_resumed_trial_does_not_ask_the_reader_again(trial):  # noqa: F811
    first = trial(Office("- no date", "ACCEPT"), harness=profile(verify=VERIFY))
    lines = (trial.folder / "transcript.jsonl").read_bytes().splitlines(keepends=True)
    cut = next(n for n, line in enumerate(lines) if b'"role": "grader"' in line) + 1
    (trial.folder / "transcript.jsonl").write_bytes(b"".join(lines[:cut]))
    office = Office("ACCEPT")
    again = trial(office, harness=profile(verify=VERIFY))
    assert len(office.asked) == 1
    assert (again.tokens, again.turns, again.output) == (first.tokens, first.turns, first.output)


def test_a_trial_at_its_limit_is_handed_in_without_the_reader(trial):  # noqa: F811
    office = Office()
    result = trial(office, harness=profile(verify=VERIFY), limits=Limits(turns=3, seconds=30))
    assert (result.stop_reason, office.asked) == ("done", [])


def test_what_the_reader_is_asked_says_what_it_leaves_out(tmp_path):
    assert question("P", "I", tmp_path, limit=100, cache=None).endswith("# Delivered\n\n[nothing]")
    (tmp_path / "a.md").write_text("x" * 90)
    (tmp_path / "b.md").write_text("y" * 30)
    (tmp_path / "c.docx").write_text("no zip")
    asked = question("P", "I", tmp_path, limit=100, cache=None)
    assert "x" * 90 in asked and "y" * 10 + "\n[cut here: 30 characters in all]" in asked
    assert "## c.docx\n[cannot be read" in asked
    assert all(map(accepted, ("ACCEPT", "**Accepted**", "_accept_.\n", "```\nACCEPT\n```")))
    points = ("- Accepted payment terms contradict clause 4", "ACCEPT only once the date is added", "ACCEPT\n- no date")
    assert not any(map(accepted, (*points, "", "I cannot accept", "- acceptance")))


@pytest.mark.parametrize(
    ("said", "why"),
    [
        (answer(""), "the reader's answer was empty"),
        (answer("ACCEPT", finish_reason="length"), "the reader's answer was cut at the limit of output tokens"),
    ],
)
def test_work_whose_reader_says_nothing_whole_is_handed_in_and_the_trial_says_so(trial, said, why):  # noqa: F811
    office = Office("- no date")
    office.reader.append(said)
    result = trial(office, harness=profile(verify={**VERIFY, "times": 3}))
    assert (result.stop_reason, len(office.asked)) == ("done", 2)
    assert [flag for flag in result.flags if flag["where"] == "verify"] == [
        {"flag": UNREAD, "where": "verify", "text": why}
    ]
    assert [line.get("error") for line in record(trial) if line["role"] == "grader"] == [None, None, why]


# ---------------------------------------------------------------- memory


class Diarist:
    """Leaves a long note in every trial; merges them when asked."""

    def __init__(self):
        self.merges, self.systems = [], []

    async def __call__(self, messages, info):
        if not info.function_tools:
            self.merges.append(parts(messages)[0].content)
            return answer(f"merged {len(self.merges)}")
        n = sum(isinstance(message, ModelResponse) for message in messages)
        if not n:
            self.systems.append(messages[0].parts[0].content)
        note = ToolCallPart("remember", {"note": f"note {len(self.systems)} " + "y" * 30})
        return answer(*[(note, WRITE), (FINISH,)][min(n, 1)])


def test_long_notes_are_merged_between_trials_and_the_merged_text_stands_for_them(trial):  # noqa: F811
    diarist = Diarist()
    harness = profile(memory=True, system="{tools}{memory}", consolidate=50)
    results = [trial(diarist, harness=harness, number=number) for number in (1, 2, 3, 4)]
    assert "Notes from earlier work" not in diarist.systems[0]
    assert "- note 1" in diarist.systems[1]  # one note is nothing to merge
    assert diarist.systems[2].endswith("Notes from earlier work:\n- merged 1")
    assert diarist.systems[3].endswith(":\n- merged 1\n- note 3 " + "y" * 30)  # 45 characters: not merged again
    assert len(diarist.merges) == 1
    assert diarist.merges[0].startswith(MERGE.split("\n")[0]) and "note 1" in diarist.merges[0]
    assert "note 2" in diarist.merges[0]
    assert results[2].tokens["input"] > results[1].tokens["input"]
    lines = [json.loads(line) for line in (trial.folder.parent / "memory.jsonl").read_text().splitlines()]
    assert next(line.get("merged") for line in lines if line["trial"] == 3) == "merged 1"


def test_short_notes_stay_as_they_were_left(trial):  # noqa: F811
    diarist = Diarist()
    harness = profile(memory=True, system="{tools}{memory}", consolidate=2000)
    for number in (1, 2, 3):
        trial(diarist, harness=harness, number=number)
    assert diarist.merges == [] and diarist.systems[2].count("\n- note") == 2


# ---------------------------------------------------------------- a real model

SMALL = """
extends: {name}
about: One example, because the model is small.
system: |
  You write memos with the function write. Example answer:
  <tool_call>
  {{{{"name": "write", "arguments": {{{{"file": "memo.md", "content": "The notice period is ninety days."}}}}}}}}
  </tool_call>
tools: {tools}
settings: {{max_tokens: 96}}
"""


@pytest.mark.llm
def test_plan_and_verify_work_with_a_real_model_behind_a_real_server(tmp_path):
    server = Server()
    task = write_task(
        tmp_path / "tasks" / "area" / "one",
        checks=True,
        instructions="Repeat the example answer, word for word, with the tags.",
    )
    profiles = []
    for name, tools in (("plan-then-write", "[write]"), ("verify-before-finish", "[write]")):
        profiles.append(tmp_path / f"{name}.yaml")
        profiles[-1].write_text(SMALL.format(name=name, tools=tools))
    try:
        outcomes = run(
            [task],
            ["react"],
            models=["openai/smollm2"],
            profiles=[str(path) for path in profiles],
            base_url=server.url,
            temperature=0.0,
            limits=Limits(turns=4),
            concurrency=1,
            out=tmp_path / "out",
            cache=tmp_path / "cache",
        )
    finally:
        server.kill()
    lines = {}
    for outcome in outcomes:
        assert outcome.complete, outcome.manifest.error
        [worked] = [unit for unit in read_units(outcome.path) if isinstance(unit, TrialResult)]
        assert worked.stop_reason in ("done", "turns") and worked.tokens["input"] > 200
        path = outcome.path / "artifacts" / "area__one" / "trial-1" / "transcript.jsonl"
        lines[outcome.manifest.system["profile"]["name"]] = list(map(json.loads, path.read_text().splitlines()))
    planned = lines["plan-then-write"]
    demands = [n for n, line in enumerate(planned) if line["role"] == "user" and "plan" in line["text"] and n > 1]
    assert demands, f"the small model never called write: {[line.get('text') for line in planned]}"
    demand = demands[0]
    assert planned[demand + 1]["role"] == "assistant" and planned[demand + 1]["output_tokens"] > 0
    assert planned[demand + 1]["tool_calls"] == []
    graded = [line for line in lines["verify-before-finish"] if line["role"] == "grader"]
    assert graded, f"the small model never finished: {[line.get('text') for line in lines['verify-before-finish']]}"
    assert graded[0]["output_tokens"] > 0
