"""The reference agent, driven by scripted models: its loop, its limits, its context, its record, and how it resumes."""

import asyncio
import json
import re

import pytest
from labkit import MEMO, write_task
from pydantic_ai import exceptions
from pydantic_ai.messages import ModelRequest, ModelResponse, TextPart, ThinkingPart, ToolCallPart
from pydantic_ai.models.function import FunctionModel
from pydantic_ai.usage import RequestUsage

from evalsuite.errors import InputError, UsageError
from evalsuite.lab.agents import create
from evalsuite.lab.agents.base import Limits, read_transcript
from evalsuite.lab.agents.react import CUT, NUDGE, SUM_UP
from evalsuite.lab.profiles import Profile, bundled, load_profile
from evalsuite.lab.sandbox import choose
from evalsuite.lab.task import load_task
from evalsuite.lab.trial import System, check_system, work
from evalsuite.models import BudgetError, ChatModel, Price
from evalsuite.storage import trial_folder

FINISH = ToolCallPart("finish", {"summary": "done"})
READ = ToolCallPart("read", {"file": "note.txt"})
WRITE = ToolCallPart("write", {"file": "memo.md", "content": MEMO})
BIG = "".join(f"Line {number}: the tenant pays rent on the first day of month {number}.\n" for number in range(100))


def profile(**changes):
    settings = {
        "about": "test",
        "system": "Tools: {tools}.",
        "tools": ["list_files", "read", "write", "finish", "abandon"],
    }
    return Profile(**settings | changes)


def answer(*parts, **more):
    return ModelResponse(parts=[TextPart(part) if isinstance(part, str) else part for part in parts], **more)


class Script:
    """A model that gives these answers one after another, the last one for ever, and keeps what it was asked."""

    def __init__(self, *answers):
        self.answers, self.asked, self.infos = answers, [], []

    async def __call__(self, messages, info):
        self.asked.append(list(messages))
        self.infos.append(info)
        step = self.answers[min(turns(messages), len(self.answers) - 1)]
        if callable(step):
            step = step(messages)
        if asyncio.iscoroutine(step):
            step = await step
        if isinstance(step, BaseException):
            raise step
        return step if isinstance(step, ModelResponse) else answer(*(step if isinstance(step, tuple) else (step,)))

    @property
    def results(self):
        """What the model saw last, as (tool, result)."""
        return [(part.tool_name, part.content) for part in parts(self.asked[-1]) if part.part_kind == "tool-return"]

    @property
    def said(self):
        return [part.content for part in parts(self.asked[-1]) if part.part_kind == "user-prompt"]


def turns(messages):
    return sum(isinstance(message, ModelResponse) for message in messages)


def parts(messages):
    return [part for message in messages for part in message.parts]


def valid(messages):
    """Whether every call is answered in the message right after it, and nothing else is."""
    for before, after in zip(messages, [*messages[1:], None], strict=True):
        if not isinstance(before, ModelResponse):
            continue
        calls = [part.tool_call_id for part in before.parts if part.part_kind == "tool-call"]
        returns = [part.tool_call_id for part in after.parts if part.part_kind == "tool-return"] if after else []
        if calls != returns:
            return False
    asked = [part for part in parts(messages) if part.part_kind == "tool-call"]
    returned = [part for part in parts(messages) if part.part_kind == "tool-return"]
    return isinstance(messages[0], ModelRequest) and len(asked) == len(returned)


@pytest.fixture
def trial(tmp_path):
    """Works a small task with a scripted model: trial(script, profile=..., limits=...) -> the trial's line."""
    write_task(tmp_path / "task", checks=True, documents={"note.txt": "Ninety days.\n", "big.txt": BIG})

    def trial(script, *, harness=None, limits=None, number=1, price=None, agent="react", sandbox=None, budget=None):
        function = script if callable(script) else Script(*script)
        model = ChatModel("function:scripted", FunctionModel(function), free=price is None, price=price)
        if budget:
            model.budget = budget
        system = System(create(agent), harness or profile(), model, limits or Limits(seconds=30), sandbox)
        task = load_task(tmp_path / "task")
        return asyncio.run(work(task, number, system, tmp_path / "run", tmp_path / "cache"))

    trial.folder = trial_folder(tmp_path / "run", "task", 1)
    return trial


def record(trial):
    return read_transcript(trial.folder / "transcript.jsonl")


# ---------------------------------------------------------------- calls


def test_several_calls_of_one_answer_are_carried_out_in_order_and_answered_together(trial):
    script = Script(("Let me see.", READ, ToolCallPart("list_files", {}), WRITE), FINISH)
    result = trial(script)
    assert [name for name, _ in script.results] == ["read", "list_files", "write"]
    assert "output/memo.md" not in script.results[1][1]
    assert (result.stop_reason, result.finished, result.turns) == ("done", True, 2)
    assert result.tool_calls == {"list_files": 1, "read": 1, "write": 1}
    assert result.documents_read == ["note.txt"]
    assert all(map(valid, script.asked))


def test_an_unknown_tool_is_answered_with_the_names_of_those_there_are(trial):
    script = Script(ToolCallPart("open_file", {"name": "note.txt"}), FINISH)
    assert trial(script).stop_reason == "done"
    [(name, told)] = script.results
    assert name == "open_file"
    assert told == "there is no tool 'open_file'; there are: list_files, read, write, finish, abandon"


def test_a_tool_the_profile_leaves_out_cannot_be_called(trial):
    script = Script(ToolCallPart("bash", {"command": "true"}), ToolCallPart("remember", {"note": "x"}), FINISH)
    trial(script)
    assert all(told.startswith("there is no tool") for _, told in script.results)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ({}, "wrong arguments for read: file: Field required"),
        ({"file": "note.txt", "page": 2}, "wrong arguments for read: page: Extra inputs are not permitted"),
        ({"file": "note.txt", "lines": "many"}, "lines: Input should be a valid integer"),
        ({"file": None}, "file: Input should be a valid string"),
        ('{"file": "note.t', "Invalid JSON: EOF while parsing a string"),
        ('["note.txt"]', "arguments: Input should be an object"),
        ('{"file": NaN}', "file: Input should be a valid string"),
        ("[" * 5000, "Invalid JSON: recursion limit exceeded"),
    ],
)
def test_wrong_arguments_go_back_to_the_model_with_what_is_wrong(trial, arguments, told):
    script = Script(ToolCallPart("read", arguments), FINISH)
    result = trial(script)
    assert told in script.results[0][1]
    assert (result.stop_reason, result.tool_calls) == ("done", {})
    [line] = [line for line in record(trial) if line.get("tool_name") == "read"]
    assert line["error"] is True
    assert line["arguments"] == (arguments if isinstance(arguments, dict) else {"INVALID_JSON": arguments})


def test_arguments_that_only_look_different_are_taken(trial):
    script = Script(ToolCallPart("read", '{"file":  "note.txt", "lines": "5"}'), ToolCallPart("list_files", ""), FINISH)
    trial(script)
    assert "Ninety days" in script.results[0][1]
    assert "documents/note.txt" in script.results[1][1]


def test_a_tool_s_error_goes_back_to_the_model_and_into_the_record(trial):
    script = Script(ToolCallPart("read", {"file": "../task.json"}), FINISH)
    trial(script)
    assert "'..' is not allowed" in script.results[0][1]
    assert [line["error"] for line in record(trial) if line["role"] == "tool"] == [True, False]


def test_a_call_may_be_repeated_under_the_same_id(trial):
    same = [ToolCallPart("read", {"file": "note.txt"}, tool_call_id="call_0") for _ in range(2)]
    script = Script((same[0],), (same[1],), FINISH)
    assert trial(script).stop_reason == "done"
    assert all(map(valid, script.asked))


# ---------------------------------------------------------------- how it ends


def test_finish_hands_in(trial):
    result = trial([WRITE, FINISH])
    assert (result.stop_reason, result.finished, sorted(result.output)) == ("done", True, ["memo.md"])


def test_abandon_is_no_finish_but_what_was_written_is_kept(trial):
    result = trial([WRITE, ToolCallPart("abandon", {"reason": "the note is cut off"})])
    assert (result.stop_reason, result.finished, sorted(result.output)) == ("abandon", False, ["memo.md"])


def test_finish_with_wrong_arguments_does_not_end_the_work(trial):
    script = Script(ToolCallPart("finish", {}), FINISH)
    assert trial(script).turns == 2
    assert "summary: Field required" in script.results[0][1]


def test_an_answer_without_a_call_is_nudged_once_and_a_second_one_ends_the_work(trial):
    script = Script("I am done, I think.")
    result = trial(script)
    assert (result.stop_reason, result.turns) == ("done", 2)
    assert script.said[-1] == NUDGE


def test_a_call_after_the_nudge_earns_another_nudge(trial):
    script = Script("Hm.", READ, "Hm.", FINISH)
    assert trial(script).turns == 4
    assert script.said.count(NUDGE) == 2


def test_an_empty_answer_is_nudged_and_never_sent_back_as_an_empty_message(trial):
    script = Script(answer(), FINISH)

    async def model(messages, info):
        return await script(messages if len(script.asked) == 0 else [*messages, answer()], info)

    assert trial(model).turns == 2
    assert all(message.parts for message in script.asked[-1][:-1])


def test_without_a_finish_tool_an_answer_without_calls_ends_the_work(trial):
    result = trial(Script(WRITE, "The memo is in output/."), harness=load_profile("lab"))
    assert (result.stop_reason, result.turns) == ("done", 2)


@pytest.mark.parametrize("name", ["default", "lab"])
def test_an_answer_that_was_cut_is_not_taken_for_the_end(trial, name):
    script = Script(
        answer("Now I wri", finish_reason="length"), WRITE, ("Ready.", *([FINISH] if name == "default" else []))
    )
    result = trial(script, harness=load_profile(name))
    assert (result.stop_reason, result.turns, sorted(result.output)) == ("done", 3, ["memo.md"])
    assert CUT in script.said


def test_the_review_is_asked_once_and_the_model_may_go_on(trial):
    script = Script(FINISH, WRITE, FINISH)
    result = trial(script, harness=profile(review="Look again {here}.\n"))
    assert (result.stop_reason, result.turns, sorted(result.output)) == ("done", 3, ["memo.md"])
    assert script.said.count("Look again {here}.") == 1
    assert all(map(valid, script.asked))


def test_the_review_is_asked_too_where_the_model_just_stops_calling(trial):
    for harness in (profile(review="Look again."), profile(review="Look again.", tools=["read", "write"])):
        script = Script("Done.", "Done.", "Done.", "Done.")
        assert trial(script, harness=harness).stop_reason == "done"
        assert script.said.count("Look again.") == 1


def test_who_gives_up_is_not_asked_for_a_review(trial):
    script = Script(ToolCallPart("abandon", {"reason": "no documents"}))
    assert (trial(script, harness=profile(review="Look again.")).stop_reason, len(script.asked)) == ("abandon", 1)


# ---------------------------------------------------------------- limits


def test_the_limit_of_turns(trial):
    result = trial([WRITE, READ], limits=Limits(turns=3, seconds=30))
    assert (result.stop_reason, result.finished, result.turns) == ("turns", False, 3)
    assert sorted(result.output) == ["memo.md"]


def test_the_limit_of_tokens(trial):
    spent = answer(READ, usage=RequestUsage(input_tokens=400, output_tokens=20, cache_read_tokens=100))
    result = trial(Script(spent), limits=Limits(tokens=1000, seconds=30))
    assert (result.stop_reason, result.turns) == ("tokens", 3)
    assert {name: result.tokens[name] for name in ("input", "output", "cached")} == {
        "input": 1200,
        "output": 60,
        "cached": 300,
    }
    assert 0 < result.tokens["prefix"] < 1200


def test_the_limit_of_money_in_one_trial(trial):
    spent = answer(WRITE, usage=RequestUsage(input_tokens=1_000_000, output_tokens=100_000))
    result = trial(Script(spent), limits=Limits(cost=5.0, seconds=30), price=Price(1.0, 10.0))
    assert (result.stop_reason, result.turns, result.cost) == ("budget", 3, 6.0)


def test_a_limit_of_money_without_a_price_is_refused_rather_than_never_reached(trial):
    model = ChatModel("openai/unheard-of", FunctionModel(Script(READ)), base_url="http://localhost:1/v1")
    with pytest.raises(UsageError, match="--price openai/unheard-of=IN,OUT"):
        check_system(System(create("react"), profile(), model, Limits(cost=1.0), None))


@pytest.mark.parametrize(
    "limit", [{"turns": 0}, {"seconds": 0}, {"seconds": float("nan")}, {"tokens": -1}, {"cost": 0.0}]
)
def test_a_limit_that_leaves_no_room_is_refused(limit):
    model = ChatModel("function:scripted", FunctionModel(Script(READ)), free=True)
    with pytest.raises(UsageError, match=f"the limit of {next(iter(limit))} per trial must be more than 0"):
        check_system(System(create("react"), profile(), model, Limits(**limit), None))


def test_the_limit_of_time_ends_a_model_that_sleeps_and_keeps_what_was_used(trial):
    script = Script(WRITE, READ, lambda messages: asyncio.sleep(60))
    result = trial(script, limits=Limits(seconds=2))
    assert (result.stop_reason, result.turns, result.error) == ("timeout", 2, None)
    assert 2 <= result.seconds < 20
    assert result.tokens["input"] > 0 and len(result.context) == 2
    assert sorted(result.output) == ["memo.md"]


def test_a_timeout_of_the_provider_is_an_error_and_not_the_trial_s_limit(trial):
    for error in (TimeoutError("read timed out"), exceptions.ModelTimeoutError("scripted", "no answer in 600 s")):
        result = trial(Script(WRITE, error))
        assert (result.stop_reason, result.turns, result.final) == ("error", 1, False)
        assert str(error).split(":")[-1].strip() in result.error


def test_what_the_model_s_code_raises_ends_the_trial_as_an_error_that_is_not_final(trial):
    result = trial(Script(WRITE, ValueError("no such luck")))
    assert (result.stop_reason, result.finished, result.final) == ("error", False, False)
    assert result.error == "ValueError: no such luck"
    assert "no such luck" in record(trial)[-1]["text"]
    assert result.turns == 1 and result.tokens["output"] > 0


def test_money_of_the_whole_command_leaves_the_trial_for_later(trial):
    from evalsuite.models import Budget

    spent = answer(READ, usage=RequestUsage(input_tokens=1_000_000, output_tokens=0))
    with pytest.raises(BudgetError):
        trial(Script(spent), price=Price(1.0, 1.0), budget=Budget(2.0))
    assert sum(line["role"] == "assistant" for line in record(trial)) == 2
    assert not (trial.folder / "workspace").exists()


# ---------------------------------------------------------------- context


def window(size):
    """A model that reads for ever and whose window holds `size` characters."""

    def step(messages):
        held = sum(len(str(getattr(part, "content", ""))) for part in parts(messages))
        if held > size:
            return exceptions.ModelContextWindowExceededError("scripted", "the input is too long")
        return answer(ToolCallPart("read", {"file": "big.txt"}))

    return step


def test_full_stops_when_the_window_is_full(trial):
    script = Script(window(15_000))
    result = trial(script, harness=profile(context={"strategy": "full"}))
    assert (result.stop_reason, result.finished, result.final) == ("context", False, True)
    assert "the input is too long" in result.error
    assert not [line for line in record(trial) if line["role"] == "compaction"]


def test_elide_leaves_a_stub_that_says_how_to_read_again_and_keeps_the_last_turns(trial):
    script = Script(*[ToolCallPart("read", {"file": "big.txt"})] * 5, FINISH)
    trial(script, harness=profile(context={"strategy": "elide", "limit": 9_000, "keep_turns": 2}))
    old, kept = script.results[:3], script.results[3:]
    assert all(
        re.fullmatch(r"\[left out .* [\d,]+ characters; call read again if you need them\]", text) for _, text in old
    )
    assert all("Line 99" in text for _, text in kept)
    assert all(map(valid, script.asked))
    assert [line["role"] for line in record(trial)].count("compaction") >= 1


def test_elide_goes_on_after_the_window_was_full_and_ends_when_nothing_is_left_to_drop(trial):
    script = Script(window(16_000))
    keeps_going = trial(script, harness=profile(context={"strategy": "elide", "keep_turns": 1}), limits=Limits(turns=9))
    assert (keeps_going.stop_reason, keeps_going.turns) == ("turns", 9)
    assert all(map(valid, script.asked))


def test_a_window_smaller_than_the_last_turn_ends_the_trial_without_going_round(trial):
    script = Script(window(5_000))
    result = trial(script, harness=profile(context={"strategy": "elide", "keep_turns": 4}))
    assert (result.stop_reason, result.turns, len(script.asked)) == ("context", 1, 2)


def summing_up(text="I read the rent clauses.", **more):
    """A model that reads for ever, and sums up when it is asked to."""

    def step(messages):
        last = messages[-1].parts[-1]
        if last.part_kind == "user-prompt" and last.content == SUM_UP:
            return answer(text, **more) if text else answer(ToolCallPart("read", {"file": "big.txt"}), **more)
        return answer(ToolCallPart("read", {"file": "big.txt"}), **more)

    return step


def test_summary_puts_the_model_s_own_words_in_the_place_of_old_turns(trial):
    script = Script(summing_up())
    harness = profile(context={"strategy": "summary", "limit": 20_000, "keep_turns": 1})
    result = trial(script, harness=harness, limits=Limits(turns=8))
    assert (result.stop_reason, result.turns) == ("turns", 8)
    assert all(map(valid, script.asked))
    summaries = [text for text in script.said if "in your own words" in text]
    assert len(summaries) == 1 and summaries[0].endswith("I read the rent clauses.")
    asked = [messages for messages in script.asked if messages[-1].parts[-1].content == SUM_UP]
    assert 1 < len(asked) < 5
    assert max(sum(entry.values()) for entry in result.context) < 26_000
    assert len(result.context) == result.turns


def test_tools_stay_declared_while_a_summary_is_asked_but_must_not_be_called(trial):
    script = Script(summing_up())
    trial(
        script,
        harness=profile(context={"strategy": "summary", "limit": 9_000, "keep_turns": 1}),
        limits=Limits(turns=4),
    )
    asked = [
        info
        for messages, info in zip(script.asked, script.infos, strict=True)
        if messages[-1].parts[-1].content == SUM_UP
    ]
    assert asked
    for info in asked:
        assert info.model_settings["tool_choice"] == "none"
        assert [tool.name for tool in info.function_tools] == ["list_files", "read", "write", "finish", "abandon"]


def test_a_summary_that_can_replace_nothing_is_not_paid(trial):
    script = Script(READ, (*[ToolCallPart("read", {"file": "big.txt"})] * 6, WRITE), FINISH)
    harness = profile(context={"strategy": "summary", "limit": 9_000, "keep_turns": 10})
    result = trial(script, harness=harness)
    assert (result.stop_reason, result.turns, len(script.asked)) == ("done", 3, 3)


def test_where_the_last_turns_alone_are_longer_than_the_limit_fewer_of_them_stay(trial):
    script = Script(summing_up())
    harness = profile(context={"strategy": "summary", "limit": 20_000, "keep_turns": 10})
    result = trial(script, harness=harness, limits=Limits(turns=8))
    assert (result.stop_reason, result.turns) == ("turns", 8)
    assert all(map(valid, script.asked))
    assert max(sum(entry.values()) for entry in result.context) <= 20_000
    assert [line["role"] for line in record(trial)].count("compaction") >= 2


def test_a_model_that_gives_no_summary_has_old_results_dropped_instead(trial):
    script = Script(summing_up(text=""))
    harness = profile(context={"strategy": "summary", "limit": 9_000, "keep_turns": 1})
    result = trial(script, harness=harness, limits=Limits(turns=6))
    assert (result.stop_reason, result.turns, len(script.asked)) == ("turns", 6, 7)
    assert all(map(valid, script.asked))
    assert "left out to save room" in script.results[0][1]


def test_a_summary_counts_toward_the_limit_of_tokens(trial):
    script = Script(summing_up(usage=RequestUsage(input_tokens=100, output_tokens=0)))
    harness = profile(context={"strategy": "summary", "limit": 9_000, "keep_turns": 1})
    result = trial(script, harness=harness, limits=Limits(tokens=300))
    assert (result.stop_reason, result.tokens["input"], len(script.asked)) == ("tokens", 300, 3)


def test_the_composition_of_every_turn_adds_up_to_what_the_model_was_sent(trial):
    script = Script(
        (ThinkingPart("Hm."), "Let me see.", READ),
        ToolCallPart("read", {"file": "big.txt"}),
        "What now?",
        ToolCallPart("read", '{"file":  "big.txt"}'),
        FINISH,
    )
    result = trial(script)
    assert len(result.context) == result.turns == len(script.asked)
    for entry, messages in zip(result.context, script.asked, strict=True):
        sizes = dict.fromkeys(entry, 0)
        origin = {"system-prompt": "system", "tool-return": "tool results", "user-prompt": "harness"}
        for part in parts(messages):
            text = part.args_as_json_str() if part.part_kind == "tool-call" else part.content
            sizes[origin.get(part.part_kind, "model")] += len(text)
        sizes["harness"] -= entry["instruction"]
        sizes["instruction"] += entry["instruction"]
        assert entry == sizes


# ---------------------------------------------------------------- the record


def test_the_transcript_holds_every_text_call_and_result_in_full(trial):
    huge = "§ 1 \u2028 Größe \U0001f4dc \x00 " + "x" * 1_000_000
    script = Script(
        ("Ich lese zuerst. \u2028\u0085", READ, ToolCallPart("read", {"file": "big.txt"})),
        (ThinkingPart("secret thoughts"), ToolCallPart("write", {"file": "memo.md", "content": huge})),
        "Not sure.",
        FINISH,
    )
    trial(script)
    lines = record(trial)
    assert [line["role"] for line in lines] == (
        ["system", "user", "assistant", "tool", "tool", "assistant", "tool", "assistant", "user", "assistant", "tool"]
    )
    assert [line["text"] for line in lines if line["role"] in ("system", "user")] == [
        part.content for part in parts(script.asked[-1]) if part.part_kind in ("system-prompt", "user-prompt")
    ]
    assert [line["result"] for line in lines if line["role"] == "tool"][:3] == [text for _, text in script.results]
    assert lines[2]["text"] == "Ich lese zuerst. \u2028\u0085"
    assert lines[5]["tool_calls"][0]["arguments"]["content"] == huge == lines[6]["arguments"]["content"]
    assert (trial.folder / "deliverables" / "memo.md").read_text() == huge
    assert "secret thoughts" in json.dumps(lines[5])
    assert [line["turn"] for line in lines] == [0, 0, 1, 1, 1, 2, 2, 3, 3, 4, 4]


def test_half_a_character_in_an_answer_breaks_nothing(trial):
    script = Script(("a \ud83d b", READ), FINISH)
    assert trial(script).stop_reason == "done"
    assert record(trial)[2]["text"] == "a \ud83d b"


def test_the_compaction_and_the_question_for_a_summary_stand_in_the_transcript(trial):
    script = Script(summing_up())
    trial(
        script,
        harness=profile(context={"strategy": "summary", "limit": 9_000, "keep_turns": 1}),
        limits=Limits(turns=3),
    )
    lines = record(trial)
    at = next(number for number, line in enumerate(lines) if line.get("text") == SUM_UP)
    assert [line["role"] for line in lines[at : at + 3]] == ["user", "assistant", "compaction"]
    assert lines[at + 1]["text"] == "I read the rent clauses."


def test_a_replay_of_the_transcript_leaves_the_same_deliverables(trial):
    script = Script(
        ("I begin.", READ, WRITE),
        ToolCallPart("read", '{"file": "no'),
        ToolCallPart("write", {"file": "annex/list.csv", "content": "a,b\n"}),
        ToolCallPart(
            "write_docx", {"file": "letter.docx", "markdown": "# Letter\n\n| a | b |\n|---|---|\n| 1 | 2 |\n"}
        ),
        ToolCallPart("no_such_tool", {"file": "x"}),
        FINISH,
    )
    first = trial(script, harness=load_profile("default"))
    kept = trial.folder.parent / "kept.jsonl"
    (trial.folder / "transcript.jsonl").rename(kept)
    again = trial(script, agent=f"replay:{kept}")
    assert sorted(first.output) == ["annex/list.csv", "letter.docx", "memo.md"]
    assert again.output == first.output
    assert again.stop_reason == "done"


# ---------------------------------------------------------------- resume


HARNESSES = {
    "plain": profile(),
    "review": profile(review="Look again."),
    "elide": profile(context={"strategy": "elide", "limit": 9_000, "keep_turns": 1}),
    "summary": profile(context={"strategy": "summary", "limit": 9_000, "keep_turns": 1}),
    "memory": profile(memory=True, system="{tools} {memory}"),
    "full window": profile(context={"strategy": "elide", "limit": 900_000, "keep_turns": 1}),
}


def associate(messages):
    """Reads, errs, is nudged, writes, finishes; sums up when asked."""
    told = " ".join(part.content for part in parts(messages) if part.part_kind in ("tool-return", "user-prompt"))
    if messages[-1].parts[-1].content == SUM_UP:
        return answer(" ".join(f"I did step {n}." for n in range(20) if f"step {n}." in told))
    step = next(n for n in range(20) if f"step {n}." not in told)
    steps = [
        (f"Begin, step {step}.", ToolCallPart("write", {"file": "step 0..md", "content": MEMO})),
        (ToolCallPart("read", {"file": "big.txt"}), ToolCallPart("write", {"file": "step 1..md", "content": ""})),
        (ToolCallPart("read", {"file": "missing"}), ToolCallPart("write", {"file": "step 2..md", "content": "é"})),
        (ToolCallPart("read", {"file": "big.txt"}), ToolCallPart("write", {"file": "step 3..md", "content": ""})),
        (
            ToolCallPart("read", '{"fi'),
            ToolCallPart("remember", {"note": "x"}),
            ToolCallPart("write", {"file": "step 4..md", "content": ""}),
        ),
        (ToolCallPart("read", {"file": "big.txt"}), ToolCallPart("write", {"file": "step 5..md", "content": ""})),
        ("What next? I do not know step 6.", *([] if NUDGE not in told else [WRITE, FINISH])),
    ]
    return answer(*steps[min(step, len(steps) - 1)])


def forgetful(messages):
    """The same with a small window."""
    held = sum(len(str(getattr(part, "content", ""))) for part in parts(messages))
    if held > 16_000:
        return exceptions.ModelContextWindowExceededError("scripted", "too long")
    return associate(messages)


def timeless(lines):
    return [
        {**line, "seconds": 0, "response": {**line.get("response", {}), "timestamp": 0, "usage": 0}} for line in lines
    ]


def without_ids(lines):
    return [json.loads(re.sub(r"pyd_ai_\w+", "id", json.dumps(line))) for line in timeless(lines)]


@pytest.mark.parametrize("name", HARNESSES)
def test_cut_after_any_line_the_trial_resumes_and_asks_no_recorded_answer_again(trial, name):
    harness, lawyer = HARNESSES[name], forgetful if name == "full window" else associate
    whole = Script(lawyer)
    expected = trial(whole, harness=harness)
    assert expected.stop_reason == "done" and expected.turns >= 7
    transcript = trial.folder / "transcript.jsonl"
    content = transcript.read_bytes()
    lines = content.splitlines(keepends=True)
    if name in ("elide", "summary", "full window"):
        assert b'"role": "compaction"' in content
    compactions_on_error = sum(b'"window_full"' in line for line in lines)
    for number in range(len(lines) + 1):
        torn = lines[number][: len(lines[number]) // 2] if number < len(lines) else b""
        for left in {b"", torn}:
            transcript.write_bytes(b"".join(lines[:number]) + left)
            answered = sum(b'"role": "assistant"' in line for line in lines[:number])
            refused = sum(b'"window_full"' in line for line in lines[:number])
            script = Script(lawyer)
            result = trial(script, harness=harness)
            assert len(script.asked) == len(whole.asked) - answered - refused, number
            assert without_ids(record(trial)) == without_ids(map(json.loads, lines)), number
            before = expected.model_dump(exclude={"seconds"})
            assert result.model_dump(exclude={"seconds"}) == before, number
    assert (name == "full window") == bool(compactions_on_error)


def test_an_answer_is_asked_anew_where_a_tool_says_something_else_than_before(trial, tmp_path):
    script = Script(READ, ToolCallPart("read", {"file": "big.txt"}), WRITE, FINISH)
    trial(script)
    transcript = trial.folder / "transcript.jsonl"
    lines = record(trial)
    lines[5]["result"] = "Line 1: nothing."
    transcript.write_text("".join(json.dumps(line) + "\n" for line in lines[:8]))
    again = Script(READ, ToolCallPart("read", {"file": "big.txt"}), ToolCallPart("abandon", {"reason": "changed"}))
    result = trial(again)
    assert len(again.asked) == 1 and turns(again.asked[0]) == 2
    assert result.stop_reason == "abandon"
    assert "Line 99" in record(trial)[6]["result"]
    roles = ["abandoned", "system", "user", *["assistant", "tool"] * 3]
    assert [line["role"] for line in record(trial)] == roles


def test_what_an_abandoned_branch_cost_stays_the_trials_however_often_it_is_resumed(trial):
    usage = RequestUsage(input_tokens=1_000_000, output_tokens=100_000)
    more = {"price": Price(1.0, 10.0), "limits": Limits(seconds=30)}
    trial(Script(answer(READ, usage=usage), answer(READ, usage=usage), answer(WRITE, usage=usage), FINISH), **more)
    transcript = trial.folder / "transcript.jsonl"
    lines = record(trial)
    lines[3]["result"] = "Another note."
    kept = lines[:8]  # three answers, and what the tools said
    transcript.write_text("".join(json.dumps(line) + "\n" for line in kept))
    script = Script(None, answer(WRITE, usage=usage), ValueError("the server is gone"))
    broken = trial(script, **more)  # the second and third are asked anew
    assert (broken.tokens["input"], broken.tokens["output"], broken.cost) == (4_000_000, 400_000, 8.0)
    again = trial(Script(None, None, answer(FINISH, usage=usage)), **more)
    assert (again.stop_reason, again.turns) == ("done", 3)
    assert (again.tokens["input"], again.tokens["output"], again.cost) == (5_000_000, 500_000, 10.0)
    [left] = [line for line in record(trial) if line["role"] == "abandoned"]
    assert (left["text"], left["cost"]) == ("2 answers of an interrupted attempt", 4.0)


def test_a_trial_that_broke_is_taken_up_where_it_broke(trial):
    broken = trial(Script(READ, WRITE, ValueError("the server is gone")))
    assert broken.stop_reason == "error"
    assert trial(Script(READ, WRITE, ValueError("the server is still gone"))).turns == 2
    script = Script(READ, WRITE, FINISH)
    mended = trial(script)
    assert (mended.stop_reason, mended.turns, len(script.asked)) == ("done", 3, 1)
    assert not [line for line in record(trial) if line["role"] == "error"]


def test_recorded_answers_count_with_what_they_cost_then_and_are_not_paid_again(trial):
    spent = answer(READ, usage=RequestUsage(input_tokens=1_000_000, output_tokens=0))
    price = Price(1.0, 1.0)
    trial(Script(spent, spent, ValueError("x")), price=price)
    from evalsuite.models import Budget

    budget = Budget(10.0)
    result = trial(
        Script(spent, spent, answer(FINISH, usage=RequestUsage(input_tokens=1_000_000))), price=price, budget=budget
    )
    assert (result.cost, budget.spent) == (3.0, 1.0)


# ---------------------------------------------------------------- profiles


@pytest.mark.parametrize("name", bundled())
def test_every_bundled_profile_works(trial, name):
    planned = ("The memo: one heading.", WRITE) if name == "plan-then-write" else ()
    script = Script(READ, WRITE, *planned, FINISH if name != "lab" else "Done.", FINISH)
    result = trial(script, harness=load_profile(name))
    assert (result.stop_reason, sorted(result.output)) == ("done", ["memo.md"])
    system = script.asked[0][0].parts[0].content
    assert "memo.md" in system and "{" not in system
    assert {tool.name for tool in script.infos[0].function_tools} == {
        *load_profile(name).tools,
        *(["remember"] if name == "memory" else []),
    }


GOOD = {"about": "a", "system": "s", "tools": ["read"]}


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("about: [", "is not YAML"),
        ("about: a\nabout: b\n", "the key 'about' appears twice"),
        ("about: 2026-02-31\n", "is not YAML"),
        ("", "the file: Input should be a valid dictionary"),
        ("- a", "the file: Input should be a valid dictionary"),
        (b"about: \xff", "is not YAML"),
        (GOOD | {"tool": []}, "tool: Extra inputs are not permitted; keys: name, about, system, tools"),
        (GOOD | {"tools": ["read", "browse"]}, "tools: 'browse' is none; accepted: list_files, read"),
        (GOOD | {"tools": []}, "tools: List should have at least 1 item"),
        (GOOD | {"context": {"strategy": "forget"}}, "context.strategy: Input should be 'full', 'elide' or 'summary'"),
        (GOOD | {"context": {"keep_turns": 0}}, "context.keep_turns: Input should be greater than or equal to 1"),
        (GOOD | {"system": "{tool}"}, r"found the slot \{tool\}; the slots are \{tools\}"),
        (GOOD | {"system": "{}"}, "found the slot {}"),
        (GOOD | {"system": "{tools.__class__}"}, r"found the slot \{tools.__class__\}"),
        (GOOD | {"system": "{tools:>999999999}"}, r"found the slot \{tools\}"),
        (GOOD | {"system": 'answer {"a": 1}'}, "any other brace is written twice"),
        (GOOD | {"system": "a } b"}, "any other brace is written twice"),
        (GOOD | {"memory": True}, r"needs the slot \{memory\}"),
        ({"system": "s", "tools": ["read"]}, "about: Field required"),
        ("about: a\nsystem: s\ntools: [read]\nsettings: {seed: 2024-01-01}", "settings.seed"),
        ({"extends": "nothing"}, "'nothing' is not a profile; accepted: compact, default, lab, memory, minimal"),
        ({"extends": "mine.yaml"}, "extends: 'mine.yaml' leads in a circle"),
        ({"extends": "other.yaml"}, "leads in a circle"),
    ],
)
def test_a_profile_that_is_wrong_is_refused_in_one_sentence(tmp_path, monkeypatch, content, told):
    mine = tmp_path / "mine.yaml"
    (tmp_path / "other.yaml").write_text("extends: mine.yaml")
    raw = content if isinstance(content, (str, bytes)) else json.dumps(content)
    mine.write_bytes(raw.encode() if isinstance(raw, str) else raw)
    with pytest.raises((InputError, UsageError), match=told) as error:
        load_profile(str(mine))
    assert "\n" not in error.value.message
    assert error.value.where.endswith(".yaml")


def test_braces_written_twice_reach_the_model_as_one(tmp_path, trial):
    mine = tmp_path / "mine.yaml"
    mine.write_text(json.dumps(GOOD | {"system": 'Answer {{"a": {{}}}} with {tools}.', "tools": ["read", "finish"]}))
    script = Script(FINISH)
    trial(script, harness=load_profile(str(mine)))
    assert script.asked[0][0].parts[0].content == 'Answer {"a": {}} with read, finish.'


def test_extends_takes_over_what_is_left_out_down_to_single_keys_of_context(tmp_path):
    mine = tmp_path / "mine.yaml"
    mine.write_text("extends: default\nabout: short memory\ncontext: {limit: 50000}\nsettings: {temperature: 0.5}\n")
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "next.yaml").write_text("extends: ../mine.yaml\nreview: Look again.\nsettings: {top_p: 0.5}\n")
    found, default = load_profile(str(tmp_path / "sub" / "next.yaml")), load_profile("default")
    assert (found.name, found.about, found.review) == ("next", "short memory", "Look again.")
    assert found.tools == default.tools and found.system == default.system
    assert (found.context.strategy, found.context.limit, found.context.keep_turns) == ("elide", 50_000, 6)
    assert found.settings == {"temperature": 0.5, "top_p": 0.5}
    assert found.sha256 != default.sha256


# ---------------------------------------------------------------- the shell


def test_the_shell_of_the_sandbox_is_a_tool_like_the_others(trial):
    script = Script(
        ToolCallPart("bash", {"command": "cat documents/note.txt; echo memo > output/memo.md; exit 3"}), FINISH
    )
    result = trial(script, harness=load_profile("default"), sandbox=choose())
    assert "Ninety days" in script.results[0][1] and "[exit code 3]" in script.results[0][1]
    assert (sorted(result.output), result.documents_read) == (["memo.md"], ["note.txt"])


def test_without_a_sandbox_the_model_is_told_that_there_is_no_shell(trial):
    script = Script(ToolCallPart("bash", {"command": "ls"}), FINISH)
    assert trial(script, harness=load_profile("default")).stop_reason == "done"
    assert "there is no shell in this run" in script.results[0][1]
