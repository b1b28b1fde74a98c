"""The reference agent: a model, tools, and a loop that keeps to its limits (Yao et al., ReAct, 2023)."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any, cast

from evalsuite.errors import UsageError
from evalsuite.lab.agents.base import Assignment, Ending, Transcript, deliverable_names
from evalsuite.lab.agents.conversation import Conversation
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
    """The transcript of this attempt, over that of an interrupted one: what is the same is not written or paid twice."""

    def __init__(self, transcript: Transcript) -> None:
        self.transcript = transcript
        self.old = transcript.recorded()
        self.at = 0

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
            self.transcript.rewind(self.old[: self.at])
            self.old = self.old[: self.at]
        self.transcript.add(line)


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
        self.tape = _Tape(given.transcript)
        self.conversation = Conversation(self._system(), given.matter.instructions)
        self.strategy = self.profile.context.strategy
        self.reviewed = self.profile.review is None
        self.nudged = False
        self.ending.tokens = {"input": 0, "output": 0, "cached": 0, "prefix": 0}

    def _tools(self) -> dict[str, Tool[None]]:
        names = [*self.profile.tools, *(["remember"] if self.profile.memory else [])]
        return {name: _tool(name) for name in names}

    def _system(self) -> str:
        notes = "".join(f"\n- {note}" for note in self.assignment.notes)
        return self.profile.system.format(
            tools=", ".join(self.tools),
            deliverables=", ".join(deliverable_names(self.assignment.matter)),
            memory=f"Notes from earlier work:{notes}" if notes else "",
        ).strip()

    async def run(self) -> Ending:
        self.tape.add(turn=0, role="system", text=self.conversation.system)
        self.tape.add(turn=0, role="user", text=self.conversation.instruction)
        while True:
            if reason := self._limit():
                return self._end(reason)
            try:
                if await self._make_room():
                    continue
                if self.tape.overflowed():
                    self._elide(window_full=True)
                composition = self.conversation.composition()
                reply = await self._ask(self.conversation.messages)
            except ModelError as error:
                if error.kind != "context":
                    return self._end("error", error.message)
                if self.strategy != "full" and self._elide(window_full=True):
                    continue
                return self._end("context", error.message)
            self.ending.turns += 1
            self.ending.context.append(composition)
            self.conversation.answered(reply.response)
            if reason := await self._act(reply):
                return self._end(reason)

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
        self.ending.stop_reason, self.ending.error = reason, error
        return self.ending

    async def _ask(self, messages: Sequence[Any], tools: bool = True) -> Reply:
        """The model's answer, from the interrupted attempt where the request is the same."""
        definitions = [tool.tool_def for tool in self.tools.values()]
        request = hashlib.sha256(self.conversation.digest(messages).encode())
        request.update(json.dumps([self.model.describe(), self.profile.sha256, tools], sort_keys=True).encode())
        known = self.tape.answer(request.hexdigest())
        if known:
            reply = self.model.recorded(known)
        else:
            reply = await self.model.request(messages, tools=definitions, text_only=not tools)
        for name, count in reply.tokens.items():
            self.ending.tokens[name] += count
        self.ending.tokens["prefix"] += round(reply.tokens["input"] * self.conversation.repeated(messages))
        both_known = self.ending.cost is not None and reply.cost is not None
        self.ending.cost = cast(float, self.ending.cost) + cast(float, reply.cost) if both_known else None
        self.tape.add(
            turn=self.ending.turns + 1,
            role="assistant",
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
        if not reply.calls:
            if not reply.cut and (self.nudged or not any(name in self.tools for name in ENDINGS)):
                return None if self._review() else "done"
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
        if ended == "done" and self._review():
            return None
        return ended

    def _review(self) -> bool:
        """Ask for the profile's self-review, once."""
        if self.reviewed:
            return False
        self.reviewed = True
        self._say(str(self.profile.review).strip())
        return True

    def _say(self, text: str) -> None:
        self.conversation.said(text)
        self.tape.add(turn=self.ending.turns, role="user", text=text)

    async def _call(self, name: str, text: str) -> tuple[str, bool]:
        from pydantic import ValidationError

        tool = self.tools.get(name)
        if tool is None:
            return f"there is no tool {name!r}; there are: {', '.join(self.tools)}", True
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
        if self.conversation.older(context.keep_turns) < context.limit // WORTH_A_SUMMARY:
            return False
        self.tape.add(turn=self.ending.turns, role="user", text=SUM_UP)
        reply = await self._ask([*self.conversation.messages, self.conversation.request(SUM_UP)], tools=False)
        if not reply.text.strip():
            self.strategy = "elide"
        else:
            self.conversation.summed_up(reply.text, context.keep_turns)
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
