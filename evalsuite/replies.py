"""Structured answers of a model, kept by what was asked: a killed command asks nothing twice."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from evalsuite.errors import EvalsuiteError, shown
from evalsuite.models import ChatModel, ModelError, Reply, fingerprint
from evalsuite.storage import atomic_file

ATTEMPTS = 2

Shape = TypeVar("Shape", bound=BaseModel)
Item = TypeVar("Item")
Result = TypeVar("Result")


@dataclass
class Used:
    """What answers cost; `tokens` and `cost` (USD, None: unknown) include those taken from the store, as paid at the time."""

    requests: int = 0
    stored: int = 0
    tokens: dict[str, int] = field(default_factory=lambda: {"input": 0, "output": 0, "cached": 0})
    cost: float | None = 0.0
    seconds: float = 0.0


class Replies:
    """A model that is asked for JSON of a given shape. `store` is a folder of one small file per answer, or None.

    `make` makes the model: anew for every `map`, since its connections belong to one event loop.
    """

    def __init__(
        self, make: Callable[[], ChatModel], store: Path | None, *, concurrency: int = 4, timeout: float | None = 300.0
    ) -> None:
        self.make, self.store, self.timeout, self.concurrency = make, store, timeout, concurrency
        self.model = make()
        self.used = Used()
        self._slots = asyncio.Semaphore(concurrency)
        self._failure: Exception | None = None

    async def ask(self, shape: type[Shape], prompt: str, *, system: str = "", number: int = 1) -> Shape:
        """One answer; `number` tells repeated questions apart. An answer of another shape is asked for once more.

        Raises ModelError (also for an answer cut short) and BudgetError; only good answers are stored.
        """
        key = fingerprint([self.model.describe(), system, prompt, shape.model_json_schema(), number])
        file = None if self.store is None else self.store / key[:2] / f"{key}.json"
        if file is not None and (kept := _stored(file, key, shape)):
            answer, used = kept
            self.used.stored += 1
        else:
            async with self._slots:
                self._go_on()
                answer, used = await self._answer(shape, prompt, system)
            self.used.requests += 1
            if file is not None:
                record = {"key": key, "model": self.model.describe(), "answer": answer.model_dump(mode="json"), **used}
                with contextlib.suppress(OSError), atomic_file(file, sync=False) as stream:
                    stream.write(json.dumps(record, ensure_ascii=False).encode())
        self._count(used)
        return answer

    async def together(self, asks: Iterable[Awaitable[Result]]) -> list[Result]:
        """Inside `map`: several at once, results in order. After a failure nothing more is asked, as in `map`."""
        return _all(await asyncio.gather(*map(self._watched, asks), return_exceptions=True))

    def map(self, work: Callable[[Item], Awaitable[Result]], items: Sequence[Item]) -> list[Result]:
        """`work` on every item, `concurrency` items and requests at a time, in an event loop of its own; results in order.

        After the first failure no more is asked; what is under way is waited for, so that what it costs is stored. Then
        that failure is raised.
        """

        async def all_of_it() -> list[Result | BaseException]:
            slots = asyncio.Semaphore(self.concurrency)
            self._slots, self._failure = asyncio.Semaphore(self.concurrency), None
            self.model = self.make()

            async def one(item: Item) -> Result:
                async with slots:
                    self._go_on()
                    return await self._watched(work(item))

            try:
                return await asyncio.gather(*(one(item) for item in items), return_exceptions=True)
            finally:
                await self.model.close()

        found = asyncio.run(all_of_it())
        self._go_on()
        return _all(found)

    async def _watched(self, work: Awaitable[Result]) -> Result:
        try:
            return await work
        except Exception as error:
            self._failure = self._failure or error
            raise

    def _go_on(self) -> None:
        if self._failure is not None:
            raise self._failure

    async def _answer(self, shape: type[Shape], prompt: str, system: str) -> tuple[Shape, dict[str, Any]]:
        messages = _messages(system, prompt)
        used: dict[str, Any] = {"tokens": {"input": 0, "output": 0, "cached": 0}, "cost": 0.0, "seconds": 0.0}
        for attempt in range(1, ATTEMPTS + 1):
            try:
                reply = await self.model.request(messages, schema=shape, timeout=self.timeout)
            except EvalsuiteError:
                raise
            except Exception as error:  # what a provider's SDK does with an answer it did not expect
                raise ModelError("judge_unavailable", f"{type(error).__name__}: {shown(str(error), 300)}") from error
            used["tokens"] = {name: count + reply.tokens.get(name, 0) for name, count in used["tokens"].items()}
            used["cost"] = None if used["cost"] is None or reply.cost is None else used["cost"] + reply.cost
            used["seconds"] += reply.seconds
            if reply.cut:
                raise ModelError("judge_malformed", "the answer was cut at the limit of output tokens", reply)
            try:
                return parse_structured(reply, shape), used
            except ValueError as error:
                if attempt == ATTEMPTS:
                    raise ModelError("judge_malformed", str(error), reply) from error
                messages = [
                    *messages,
                    *asked_again(reply, f"The answer is not what was asked for ({error}). Answer again."),
                ]
        raise AssertionError

    def _count(self, used: dict[str, Any]) -> None:
        total = self.used
        total.tokens = {name: count + used["tokens"].get(name, 0) for name, count in total.tokens.items()}
        total.cost = None if total.cost is None or used["cost"] is None else total.cost + used["cost"]
        total.seconds += used["seconds"]


def _all(found: Sequence[Result | BaseException]) -> list[Result]:
    results: list[Result] = []
    for item in found:
        if isinstance(item, BaseException):
            raise item
        results.append(item)
    return results


def _stored(file: Path, key: str, shape: type[Shape]) -> tuple[Shape, dict[str, Any]] | None:
    """A stored answer; a file that is damaged or holds another one counts as absent."""
    try:
        record = json.loads(file.read_bytes())
        if record["key"] != key:
            return None
        return shape.model_validate(record["answer"]), {name: record[name] for name in ("tokens", "cost", "seconds")}
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _messages(system: str, prompt: str) -> list[Any]:
    from pydantic_ai.messages import ModelRequest, SystemPromptPart, UserPromptPart

    parts: list[Any] = [SystemPromptPart(system)] if system else []
    return [ModelRequest(parts=[*parts, UserPromptPart(prompt)])]


def parse_structured(reply: Reply, shape: type[Shape]) -> Shape:
    """The answer, read only from the structured reply: the whole text, or the arguments of the one answer tool.

    Raises ValueError that says what is wrong with it.
    """
    if len(reply.calls) > 1:
        raise ValueError(f"{len(reply.calls)} answers; one is wanted")
    text = reply.calls[0][2] if reply.calls else reply.text.strip()
    try:
        value = json.loads(text, object_pairs_hook=_once)
        json.dumps(value, ensure_ascii=False).encode()  # half a surrogate pair can be neither stored nor quoted
    except (ValueError, RecursionError) as error:
        raise ValueError(f"no JSON: {error}; found {shown(text, 200)}") from error
    try:
        return shape.model_validate(value)
    except ValidationError as error:
        problem = error.errors()[0]
        raise ValueError(f"{'.'.join(map(str, problem['loc']))}: {problem['msg']}") from error


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len(dict(pairs)) < len(pairs):
        raise ValueError("a key is there twice")
    return dict(pairs)


def asked_again(reply: Reply, problem: str) -> Sequence[Any]:
    """The messages that follow a reply that cannot be taken: itself, and what is wrong with it."""
    from pydantic_ai.messages import ModelRequest, ToolReturnPart, UserPromptPart

    said = [reply.response] if reply.response.parts else []
    if reply.calls:
        parts = [ToolReturnPart(name, problem, tool_call_id=identifier) for identifier, name, _ in reply.calls]
        return [*said, ModelRequest(parts=parts)]
    return [*said, ModelRequest(parts=[UserPromptPart(problem)])]
