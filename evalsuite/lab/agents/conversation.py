"""What a model has been told so far: messages by turn, how long they are and where they come from, and how they are shortened."""

from __future__ import annotations

import dataclasses
import hashlib
import itertools
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pydantic_ai.messages import ModelRequest, ModelResponse

STUB = "[left out to save room: {size:,} characters; call {name} again if you need them]"
SHORT = 400  # characters; results up to here stay


class Conversation:
    """System prompt, instruction, then turns: what the model answered and what its tools, or we, said to that."""

    def __init__(self, system: str, instruction: str) -> None:
        from pydantic_ai.messages import ModelRequest, SystemPromptPart, UserPromptPart

        self.system, self.instruction = system, instruction
        self._first = ModelRequest(parts=[SystemPromptPart(system), UserPromptPart(instruction)])
        self._summary: list[ModelRequest] = []
        self._told: list[str] = []
        self._turns: list[tuple[ModelResponse, ModelRequest]] = []

    @property
    def messages(self) -> list[Any]:
        turns = [message for pair in self._turns for message in pair if message.parts]
        return [self._first, *self._summary, *turns]

    def answered(self, response: ModelResponse) -> None:
        """The model's answer opens a turn."""
        from pydantic_ai.messages import ModelRequest

        self._turns.append((response, ModelRequest(parts=[])))

    def result(self, call: str, name: str, text: str) -> None:
        """A tool's answer to one call of this turn."""
        from pydantic_ai.messages import ToolReturnPart

        self._append(ToolReturnPart(name, text, tool_call_id=call))

    def said(self, text: str) -> None:
        """A word of the harness in this turn."""
        from pydantic_ai.messages import UserPromptPart

        self._append(UserPromptPart(text))

    def _append(self, part: Any) -> None:
        response, request = self._turns[-1]
        self._turns[-1] = response, dataclasses.replace(request, parts=[*request.parts, part])

    def request(self, text: str) -> ModelRequest:
        """A message of ours that is not part of the conversation."""
        from pydantic_ai.messages import ModelRequest

        return ModelRequest.user_text_prompt(text)

    def composition(self) -> dict[str, int]:
        """Characters by origin."""
        sizes = {
            "system": len(self.system),
            "instruction": len(self.instruction),
            "model": 0,
            "tool results": 0,
            "harness": 0,
        }
        sizes["harness"] += sum(_length(part) for request in self._summary for part in request.parts)
        for response, request in self._turns:
            sizes["model"] += sum(_length(part) for part in response.parts)
            for part in request.parts:
                sizes["tool results" if part.part_kind == "tool-return" else "harness"] += _length(part)
        return sizes

    @property
    def size(self) -> int:
        """Characters in all."""
        return sum(self.composition().values())

    def elide(self, keep: int) -> bool:
        """Replace long tool results, except those of the last `keep` turns, by a stub. False if there was nothing to do."""
        changed = False
        for number, (response, request) in enumerate(self._turns[:-keep]):
            parts = [_stub(part) for part in request.parts]
            if parts != list(request.parts):
                self._turns[number] = response, dataclasses.replace(request, parts=parts)
                changed = True
        return changed

    def older(self, keep: int) -> int:
        """Characters of the turns before the last `keep`."""
        old = self._turns[:-keep]
        return sum(_length(part) for response, request in old for part in (*response.parts, *request.parts))

    def fitting(self, keep: int, limit: int) -> int:
        """How many of the last `keep` turns stay within `limit` beside what comes before all turns; at least one."""
        while keep > 1 and self.size - self.older(keep) > limit:
            keep -= 1
        return keep

    def summed_up(self, text: str, keep: int) -> None:
        """Put the model's own summary in the place of all turns but the last `keep`."""
        self._turns = self._turns[-keep:]
        self._summary = [self.request(f"What you found so far, in your own words:\n{text}")]

    def digest(self, messages: Sequence[Any]) -> str:
        """Hash over what the messages say, without times and ids of ours."""
        return hashlib.sha256("\0".join(_told(messages)).encode(errors="replace")).hexdigest()

    def repeated(self, messages: Sequence[Any]) -> float:
        """Share of the characters of this request with which the one before began, as a prefix cache would serve it."""
        told = _told(messages)
        same = itertools.takewhile(lambda pair: pair[0] == pair[1], zip(told, self._told, strict=False))
        share = sum(len(text) for text, _ in same) / max(sum(map(len, told)), 1)
        self._told = told
        return share


def _told(messages: Sequence[Any]) -> list[str]:
    return [
        f"{message.kind}\0{part.part_kind}\0{getattr(part, 'tool_name', '')}\0{_text(part)}"
        for message in messages
        for part in message.parts
    ]


def _text(part: Any) -> str:
    return part.args_as_json_str() if part.part_kind.endswith("tool-call") else str(part.content)


def _length(part: Any) -> int:
    return len(_text(part))


def _stub(part: Any) -> Any:
    if part.part_kind != "tool-return" or len(part.content) <= SHORT:
        return part
    return dataclasses.replace(part, content=STUB.format(size=len(part.content), name=part.tool_name))
