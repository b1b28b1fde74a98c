"""The reference agent: a model, tools, and a loop that keeps to its limits (Yao et al., ReAct, 2023)."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any, cast

from evalsuite.errors import UsageError
from evalsuite.lab.agents.base import Assignment, Ending, Transcript, deliverable_names
from evalsuite.lab.agents.conversation import Conversation
from evalsuite.lab.agents.grader import SENT_BACK, UNREAD, accepted, no_verdict, question
from evalsuite.lab.profiles import ENDINGS
from evalsuite.lab.tools import Toolbox, ToolError
from evalsuite.models import ChatModel, ModelError, Reply
from evalsuite.records import StopReason

if TYPE_CHECKING:
    from pydantic_ai.messages import ModelResponse
    from pydantic_ai.tools import Tool

SUM_UP = (
    "Sum up for yourself, in full sentences, what you have read and found, with sources, and what is still to be done."
)
NUDGE = "You called no tool. If the work is complete call finish; if it cannot be done call abandon; otherwise go on."
WORTH_A_SUMMARY = 4  # a summary is asked for once what it replaces is a quarter of the limit
WRITERS = ("write", "write_docx", "edit")
PLAN_FIRST = "Nothing is written yet: plan first."
GO_ON = "Now write, by this plan."
MERGE = (
    "These notes were left by those who worked on this matter before. Merge them for the one who works on it next: keep what "
    "helps, say it once, drop what was overtaken, add nothing. Answer with the notes alone.\n\n{notes}"
)
PAID = ("input_tokens", "output_tokens", "cached_tokens")
CUT = "Your answer was cut at the limit of output tokens. Go on in smaller steps."


class ReactAgent:
    """A model works the matter with the tools of its harness profile until it finishes or reaches a limit."""

    name = "react"
    privileged = False
    needs_model = True
    resumes = True  # goes on from the transcript of an interrupted attempt

    def settings(self) -> dict[str, Any]:
        return {}

    async def work(self, assignment: Assignment) -> Ending:
        if assignment.model is None:
            raise UsageError("the react agent needs a model: --model openai/NAME, anthropic/NAME ...")
        return await _Work(assignment).run()


def finish(summary: str) -> str:
    """Hand in the work: every deliverable in output/ is complete.

    Args:
        summary: One or two sentences for the partner.
    """
    return summary


def abandon(reason: str) -> str:
    """Give up: the work cannot be done.

    Args:
        reason: Why.
    """
    return reason


def remember(note: str) -> str:
    """Leave a note that you will see when you work on a matter like this again.

    Args:
        note: What would have helped: where things are, what is easily missed, how to go about it.
    """
    return note


@cache
def _tool(name: str) -> Tool[None]:
    """What the model is told of a tool, made once: its schema comes from the signature and the docstring."""
    from pydantic_ai.tools import Tool

    own = {"finish": finish, "abandon": abandon, "remember": remember}
    function: Any = own.get(name) or getattr(Toolbox, name).__get__(object())
    return Tool(function, takes_ctx=False)


class _Tape:
    """The transcript of this attempt, over that of an interrupted one: what is the same is not written or paid twice.

    What was paid for answers that this attempt does not come to again is told to `lost`, and kept in the first lines.
    """

    def __init__(self, transcript: Transcript, lost: Callable[[dict[str, Any]], None]) -> None:
        self.transcript, self.lost = transcript, lost
        recorded = transcript.recorded()
        self.abandoned = [line for line in recorded if line.get("role") == "abandoned"]
        self.old = [line for line in recorded if line.get("role") != "abandoned"]
        self.at = 0
        for line in self.abandoned:
            lost(line)

    def answer(self, request: str) -> dict[str, Any] | None:
        """The recorded answer to this very request."""
        line = self.old[self.at] if self.at < len(self.old) else {}
        return line if line.get("request_sha256") == request else None

    def overflowed(self) -> bool:
        """Whether the interrupted attempt found here that the model's window was full."""
        line = self.old[self.at] if self.at < len(self.old) else {}
        return line.get("role") == "compaction" and bool(line.get("window_full"))

    def add(self, **line: Any) -> None:
        if self.at < len(self.old):
            if _same(self.old[self.at], line):
                self.at += 1
                return
            self.drop()
        self.transcript.add(line)

    def drop(self) -> None:
        """Leave the interrupted attempt's other lines behind."""
        paid = [line for line in self.old[self.at :] if "request_sha256" in line]
        if paid:
            costs = [line.get("cost") for line in paid]
            tokens = {name: sum(line.get(name, 0) for line in paid) for name in PAID}
            left = {"turn": 0, "role": "abandoned", "text": f"{len(paid)} answers of an interrupted attempt", **tokens}
            left["cost"] = None if None in costs else sum(costs)
            self.abandoned.append(left)
            self.lost(left)
        if self.at < len(self.old):
            self.old = self.old[: self.at]
            self.transcript.rewind([*self.abandoned, *self.old])


def _same(old: dict[str, Any], new: dict[str, Any]) -> bool:
    return {**old, "seconds": 0} == {**json.loads(json.dumps(new)), "seconds": 0}


@dataclass
class _Work:
    """One trial."""

    assignment: Assignment

    def __post_init__(self) -> None:
        given = self.assignment
        self.ending = given.so_far
        self.model = cast(ChatModel, given.model)
        self.profile = given.profile
        self.tools = self._tools()
        self.ending.tokens = {"input": 0, "output": 0, "cached": 0, "prefix": 0}
        self.tape = _Tape(given.transcript, self._lost)
        self.conversation = Conversation(self._system(given.notes), given.matter.instructions)
        self.strategy = self.profile.context.strategy
        self.reviewed = self.profile.review is None
        self.planned = self.profile.plan is None
        self.planning = False
        self.sent_back = 0
        self.nudged = False

    def _lost(self, line: dict[str, Any]) -> None:
        """Answers that an interrupted attempt paid for are paid for, though they lead nowhere."""
        for name in PAID:
            self.ending.tokens[name.removesuffix("_tokens")] += line[name]
        self._pay(line["cost"])

    def _pay(self, cost: float | None) -> None:
        known = self.ending.cost is not None and cost is not None
        self.ending.cost = cast(float, self.ending.cost) + cast(float, cost) if known else None

    def _tools(self) -> dict[str, Tool[None]]:
        names = [*self.profile.tools, *(["remember"] if self.profile.memory else [])]
        return {name: _tool(name) for name in names}

    def _system(self, given: Sequence[str]) -> str:
        notes = "".join(f"\n- {note}" for note in given)
        return self.profile.system.format(
            tools=", ".join(self.tools),
            deliverables=", ".join(deliverable_names(self.assignment.matter)),
            memory=f"Notes from earlier work:{notes}" if notes else "",
        ).strip()

    async def run(self) -> Ending:
        try:
            await self._consolidate()
            self.tape.add(turn=0, role="system", text=self.conversation.system)
            self.tape.add(turn=0, role="user", text=self.conversation.instruction)
            while not (reason := await self._turn()):
                pass
        except ModelError as error:
            return self._end("context" if error.kind == "context" else "error", error.message)
        return self._end(reason)

    async def _turn(self) -> StopReason | None:
        """One answer of the model and what follows from it; the stop reason if it was the last."""
        if reason := self._limit():
            return reason
        try:
            if await self._make_room():
                return None
            if self.tape.overflowed():
                self._elide(window_full=True)
            composition = self.conversation.composition()
            reply = await self._ask(self.conversation.messages, tools=not self.planning)
        except ModelError as error:
            if error.kind == "context" and self.strategy != "full" and self._elide(window_full=True):
                return None
            raise
        self.ending.turns += 1
        self.ending.context.append(composition)
        self.conversation.answered(reply.response)
        return await self._act(reply)

    async def _consolidate(self) -> None:
        """Merge long notes of earlier trials before the work begins; without an answer they stay as they are."""
        notes, most = self.assignment.notes, self.profile.consolidate
        if most is None or len(notes) < 2 or sum(map(len, notes)) <= most:
            return
        asked = MERGE.format(notes="\n".join(f"- {note}" for note in notes))
        try:
            reply = await self._ask([self.conversation.request(asked)], apart="memory")
        except ModelError as error:
            if error.kind != "context":
                raise
            return
        if text := reply.text.strip():
            self.conversation = Conversation(self._system([text]), self.assignment.matter.instructions)
            if self.assignment.merged:
                self.assignment.merged(text)

    def _limit(self) -> StopReason | None:
        limits, used = self.assignment.limits, self.ending
        if used.turns >= limits.turns:
            return "turns"
        if limits.tokens is not None and used.tokens["input"] + used.tokens["output"] >= limits.tokens:
            return "tokens"
        if limits.cost is not None and used.cost is not None and used.cost >= limits.cost:
            return "budget"
        return None

    def _end(self, reason: StopReason, error: str | None = None) -> Ending:
        if reason != "error":  # what broke is taken up again
            self.tape.drop()
        self.ending.stop_reason, self.ending.error = reason, error
        return self.ending

    async def _ask(self, messages: Sequence[Any], tools: bool = True, apart: str = "") -> Reply:
        """The model's answer, from the interrupted attempt where the request is the same.

        apart: whom the model speaks for in a request that is none of the conversation; it is then offered no tools.
        """
        definitions = [] if apart else [tool.tool_def for tool in self.tools.values()]
        request = hashlib.sha256(self.conversation.digest(messages).encode())
        request.update(json.dumps([self.model.describe(), self.profile.sha256, tools], sort_keys=True).encode())
        known = self.tape.answer(request.hexdigest())
        if known:
            reply = self.model.recorded(known)
        else:
            reply = await self.model.request(messages, tools=definitions, text_only=not tools and not apart)
        for name, count in reply.tokens.items():
            self.ending.tokens[name] += count
        repeated = 0.0 if apart else self.conversation.repeated(messages)
        self.ending.tokens["prefix"] += round(reply.tokens["input"] * repeated)
        self._pay(reply.cost)
        self.tape.add(
            turn=self.ending.turns + 1,
            role=apart or "assistant",
            text=reply.text,
            tool_calls=[{"id": call, "name": name, "arguments": _arguments(text)} for call, name, text in reply.calls],
            **{f"{name}_tokens": count for name, count in reply.tokens.items()},
            cost=reply.cost,
            cut=reply.cut,
            seconds=round(reply.seconds, 4),
            request_sha256=request.hexdigest(),
            response=known["response"] if known else _dumped(reply.response),
        )
        return reply

    async def _act(self, reply: Reply) -> StopReason | None:
        """Carry out the tool calls of one answer; the stop reason if it was the last."""
        planned, self.planning = self.planning, False
        if not reply.calls and planned:
            self._say(GO_ON)
            return None
        if not reply.calls:
            if not reply.cut and (self.nudged or not any(name in self.tools for name in ENDINGS)):
                return None if await self._returned() else "done"
            self.nudged = True
            self._say(CUT if reply.cut else NUDGE)
            return None
        self.nudged = False
        ended: StopReason | None = None
        for call, name, text in reply.calls:
            result, failed = await self._call(name, text)
            if name in ENDINGS and not failed:
                ended = "done" if name == "finish" else "abandon"
            self.conversation.result(call, name, result)
            self.tape.add(
                turn=self.ending.turns,
                role="tool",
                tool_name=name,
                call_id=call,
                arguments=_arguments(text),
                result=result,
                error=failed,
            )
        if self._plan(reply) or (ended == "done" and await self._returned()):
            return None
        return ended

    def _plan(self, reply: Reply) -> bool:
        """Ask for the profile's plan when the model first wants to write, which `_call` refused."""
        if self.planned or not any(name in WRITERS for _, name, _ in reply.calls):
            return False
        self.planned = self.planning = True
        self._say(str(self.profile.plan).strip())
        return True

    async def _returned(self) -> bool:
        """Whether the work is not handed in yet: for the profile's self-review, once, or because its reader sends it back."""
        if not self.reviewed:
            self.reviewed = True
            self._say(str(self.profile.review).strip())
            return True
        verify = self.profile.verify
        if verify is None or self.sent_back >= verify.times or self._limit():
            return False
        asked = await asyncio.to_thread(
            question,
            verify.prompt,
            self.assignment.matter.instructions,
            self.assignment.workspace.output,
            limit=self.profile.context.limit,
            cache=self.assignment.tools.cache,
        )
        try:
            reply = await self._ask([self.conversation.request(asked)], apart="grader")
        except ModelError as error:
            if error.kind != "context":
                raise
            return self._unread(error.message)
        if why := no_verdict(reply.text, cut=reply.cut):
            return self._unread(why)
        if accepted(reply.text):
            return False
        self.sent_back += 1
        self._say(SENT_BACK.format(number=self.sent_back, times=verify.times, points=reply.text.strip()))
        return True

    def _unread(self, why: str) -> bool:
        """The work is handed in, for there is nothing to send back; the transcript and the trial say so."""
        self.tape.add(turn=self.ending.turns, role="grader", text="", error=why)
        self.ending.flags.append({"flag": UNREAD, "where": "verify", "text": why})
        return False

    def _say(self, text: str) -> None:
        self.conversation.said(text)
        self.tape.add(turn=self.ending.turns, role="user", text=text)

    async def _call(self, name: str, text: str) -> tuple[str, bool]:
        from pydantic import ValidationError

        tool = self.tools.get(name)
        if tool is None:
            return f"there is no tool {name!r}; there are: {', '.join(self.tools)}", True
        if name in WRITERS and not self.planned:
            return PLAN_FIRST, True
        try:
            arguments = tool.function_schema.validator.validate_json(text or "{}")
            return await self._carry_out(name, arguments), False
        except ValidationError as error:
            problems = "; ".join(f"{'.'.join(map(str, p['loc'])) or 'arguments'}: {p['msg']}" for p in error.errors())
            return f"wrong arguments for {name}: {problems}", True
        except ToolError as error:
            return str(error), True

    async def _carry_out(self, name: str, arguments: dict[str, Any]) -> str:
        if name in ENDINGS:
            return str(*arguments.values())
        if name == "remember":
            if self.assignment.remember:
                self.assignment.remember(arguments["note"])
            return "noted"
        return str(await getattr(self.assignment.tools, name)(**arguments))

    async def _make_room(self) -> bool:
        """Keep the conversation below the profile's limit. True if the model was asked for that, which may reach a limit."""
        context = self.profile.context
        if self.strategy == "full" or self.conversation.size <= context.limit:
            return False
        if self.strategy == "elide":
            self._elide()
            return False
        keep = self.conversation.fitting(context.keep_turns, context.limit)
        if self.conversation.older(keep) < context.limit // WORTH_A_SUMMARY:
            return False
        self.tape.add(turn=self.ending.turns, role="user", text=SUM_UP)
        reply = await self._ask([*self.conversation.messages, self.conversation.request(SUM_UP)], tools=False)
        if not reply.text.strip():
            self.strategy = "elide"
        else:
            self.conversation.summed_up(reply.text, keep)
            self.tape.add(turn=self.ending.turns, role="compaction", strategy="summary", size=self.conversation.size)
        return True

    def _elide(self, **why: bool) -> bool:
        """Shorten old tool results; False if there was nothing to shorten."""
        changed = self.conversation.elide(self.profile.context.keep_turns)
        if changed:
            self.tape.add(
                turn=self.ending.turns, role="compaction", strategy="elide", size=self.conversation.size, **why
            )
        return changed


def _arguments(text: str) -> dict[str, Any]:
    """What a transcript keeps: the arguments, or under INVALID_JSON what the model wrote instead."""
    try:
        arguments = json.loads(text or "{}", parse_constant=_no_json)
    except (ValueError, RecursionError):
        arguments = None
    return arguments if isinstance(arguments, dict) else {"INVALID_JSON": text}


def _no_json(word: str) -> None:
    raise ValueError(f"{word} is not JSON")


def _dumped(response: ModelResponse) -> Any:
    from pydantic_ai.messages import ModelMessagesTypeAdapter

    return ModelMessagesTypeAdapter.dump_python([response], mode="json")[0]
