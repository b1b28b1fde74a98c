"""Any Python function as an agent: `module:callable`."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import threading
import traceback
from collections.abc import Callable
from typing import Any

from evalsuite.lab.agents.base import Assignment, Ending
from evalsuite.models import BudgetError, source_sha256


class FunctionAgent:
    """A sync or async function of an Assignment that leaves the deliverables in `assignment.workspace.output`.

    It returns None or a closing remark (both: done) or an Ending. A sync function runs in a thread, so that the time limit
    ends the trial; the thread itself cannot be stopped, but nothing waits for it. A function that has the attribute
    `needs_model` finds the model in `assignment.model`.
    """

    privileged = False

    def __init__(self, function: Callable[[Assignment], Any], name: str) -> None:
        self.function = function
        self.name = name
        self.needs_model = bool(getattr(function, "needs_model", False))

    def settings(self) -> dict[str, Any]:
        """The function's name and the hash of the file it is written in (its imports are not followed)."""
        return {"callable": self.name, "source_sha256": source_sha256(self.function)}

    async def work(self, assignment: Assignment) -> Ending:
        """Call the function. What it raises ends the trial as an error; its traceback is kept in the transcript."""
        try:
            if _is_async(self.function):
                outcome = await self.function(assignment)
            else:
                outcome = await _in_thread(self.function, assignment)
                if inspect.isawaitable(outcome):
                    outcome = await outcome
        except BudgetError:
            raise
        except (Exception, SystemExit) as error:  # somebody else's code
            assignment.transcript.add(
                {"turn": 1, "role": "system", "error": True, "text": "".join(traceback.format_exception(error))}
            )
            return Ending("error", f"{type(error).__name__}: {error}", turns=1)
        if isinstance(outcome, Ending):
            return outcome
        if outcome is None or isinstance(outcome, str):
            assignment.transcript.add({"turn": 1, "role": "assistant", "text": outcome or ""})
            return Ending("done", turns=1)
        return Ending(
            "error", f"{self.name} returned {type(outcome).__name__}; it must be None, str or Ending", turns=1
        )


def _is_async(function: Any) -> bool:
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(getattr(function, "__call__", None))  # noqa: B004


async def _in_thread(function: Callable[[Assignment], Any], assignment: Assignment) -> Any:
    """asyncio.to_thread in a daemon thread: one that never ends does not keep the process from ending."""
    loop = asyncio.get_running_loop()
    future: asyncio.Future[Any] = loop.create_future()

    def settle(finish: Callable[[Any], None], value: Any) -> None:
        if not future.done():
            finish(value)

    def run() -> None:
        finish: Callable[[Any], None] = future.set_result
        try:
            value = function(assignment)
        except (Exception, SystemExit) as error:
            finish = future.set_exception
            value = RuntimeError("StopIteration") if isinstance(error, StopIteration) else error
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
            loop.call_soon_threadsafe(settle, finish, value)

    threading.Thread(target=run, daemon=True).start()
    return await future
