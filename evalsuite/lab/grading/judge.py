"""One judge, one criterion, one vote: ask, check the quotes, keep the answer so that it is never paid twice."""

from __future__ import annotations

import asyncio
import contextlib
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from evalsuite.errors import EvalsuiteError, shown
from evalsuite.lab.documents import Extracted
from evalsuite.lab.grading.judging import Judging, Reply, occurs, quotable
from evalsuite.lab.task import Criterion, Task
from evalsuite.models import BudgetError, ChatModel, ModelError, fingerprint
from evalsuite.models import Reply as Answer
from evalsuite.records import Vote
from evalsuite.replies import asked_again, parse_structured
from evalsuite.storage import atomic_file

ATTEMPTS = 2
KINDS = ("judge_unavailable", "judge_malformed", "judge_refused", "unsupported_quote", "timeout", "budget")


class VoteCache:
    """Verdicts by what was asked of whom: a folder of small JSON files, safe to share between runs and processes.

    taken: votes of a run that is graded again; they serve this command and are never written to the folder.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.taken: dict[str, Vote] = {}

    def get(self, key: str) -> Vote | None:
        """The stored vote, marked as cached; a file that is damaged or holds another vote counts as absent."""
        try:
            vote = self.taken.get(key) or Vote.model_validate_json(self._file(key).read_bytes())
        except (OSError, ValidationError):
            return None
        if vote.key != key or vote.verdict == "error":
            return None
        return vote.model_copy(update={"cached": True})

    def put(self, key: str, vote: Vote) -> None:
        """Keep a pass or fail; errors are asked again. A folder that cannot be written keeps nothing."""
        if vote.verdict != "error":
            with contextlib.suppress(OSError), atomic_file(self._file(key), sync=False) as stream:
                stream.write(vote.model_dump_json().encode())

    def _file(self, key: str) -> Path:
        return self.folder / key[:2] / f"{key}.json"


@dataclass(frozen=True)
class Work:
    """What judges look at: the resolved deliverables of a criterion's scope, as text, once for all criteria of the scope."""

    task: Task
    deliverables: tuple[Extracted, ...]
    judging: Judging
    prefix: str = field(init=False)
    text: str = field(init=False)
    sha256: str = field(init=False)
    """Hash over what every criterion of the scope is asked with."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "prefix", self.judging.prompt_prefix(self.task, self.deliverables))
        object.__setattr__(self, "sha256", fingerprint([self.judging.sha256, self.prefix]))
        object.__setattr__(self, "text", quotable(self.deliverables) if self.judging.verify_quotes else "")


@dataclass
class Judge:
    """A model that judges."""

    model: ChatModel
    cache: VoteCache
    timeout: float = 300.0
    """Seconds per request."""
    _under_way: defaultdict[str, asyncio.Lock] = field(default_factory=lambda: defaultdict(asyncio.Lock), repr=False)
    """One at a time per question: trials that hand in the same text pay for its verdict once."""

    _asked: set[str] = field(default_factory=set, repr=False)
    """Scopes that were asked about before."""

    @property
    def name(self) -> str:
        return self.model.name

    def key(self, work: Work, criterion: Criterion, number: int) -> str:
        """What makes two votes the same: prompt (task, deliverable text, criterion), reply shape, judge and vote number."""
        asked = [work.sha256, work.judging.prompt_criterion(criterion)]
        return fingerprint([asked, self.model.describe(), number])

    async def vote(self, work: Work, criterion: Criterion, number: int = 1) -> Vote:
        """One vote. Never raises for what a model or its server does: that becomes an error vote with its kind."""
        key = self.key(work, criterion, number)
        async with self._under_way[key]:
            return self.cache.get(key) or await self._vote(key, work, criterion, number)

    async def _vote(self, key: str, work: Work, criterion: Criterion, number: int) -> Vote:
        vote = Vote(judge=self.name, vote=number, verdict="error", key=key, cost=0.0)
        vote.tokens = {"input": 0, "output": 0, "cached": 0, "prefix": 0}
        try:
            await self._ask(vote, work, criterion)
        except (ModelError, BudgetError) as error:
            if isinstance(error, ModelError) and error.reply:
                self._count(vote, error.reply)
            vote.verdict = "error"
            vote.error_kind = error.kind if error.kind in KINDS else "judge_unavailable"
            vote.reasoning = error.message
        self.cache.put(key, vote)
        return vote

    async def _ask(self, vote: Vote, work: Work, criterion: Criterion) -> None:
        messages = self._messages(work, criterion)
        for attempt in range(1, ATTEMPTS + 1):
            answer = await self._answer(messages, work.judging)
            self._count(vote, answer)
            vote.tokens["prefix"] += self._repeated(work, criterion, answer)
            if answer.cut:
                raise ModelError("judge_malformed", "the answer was cut at the limit of output tokens")
            try:
                reply = parse_structured(answer, work.judging.reply)
            except ValueError as error:
                problem = f"The answer is not what was asked for ({error}). Answer again, with the JSON alone."
                kind = "judge_malformed"
            else:
                missing = _unsupported(reply, work.text) if isinstance(reply, Reply) else ""
                if not missing:
                    vote.verdict, vote.reasoning = reply.verdict, reply.reasoning
                    vote.quotes = [q for q in reply.quotes if occurs(q, work.text)] if isinstance(reply, Reply) else []
                    return
                problem, kind = missing, "unsupported_quote"
            if attempt == ATTEMPTS:
                raise ModelError(kind, problem)
            messages = [*messages, *asked_again(answer, problem)]

    async def _answer(self, messages: list[Any], judging: Judging) -> Answer:
        try:
            return await self.model.request(messages, schema=judging.reply, timeout=self.timeout)
        except EvalsuiteError:
            raise
        except Exception as error:  # what a provider's SDK does with an answer it did not expect
            kind = "timeout" if isinstance(error, TimeoutError) else "judge_unavailable"
            told = " ".join(str(error).split())[:500]
            raise ModelError(kind, f"{type(error).__name__}: {told}") from error

    def _messages(self, work: Work, criterion: Criterion) -> list[Any]:
        from pydantic_ai.messages import CachePoint, ModelRequest, SystemPromptPart, UserPromptPart

        parts: list[Any] = [SystemPromptPart(work.judging.system)] if work.judging.system else []
        parts.append(UserPromptPart([work.prefix, CachePoint(), work.judging.prompt_criterion(criterion)]))
        return [ModelRequest(parts=parts)]

    def _repeated(self, work: Work, criterion: Criterion, answer: Answer) -> int:
        """Input tokens of this request that an earlier one began with: system prompt, task and deliverable."""
        if work.sha256 not in self._asked:
            self._asked.add(work.sha256)
            return 0
        shared = len(work.judging.system) + len(work.prefix)
        return round(answer.tokens["input"] * shared / (shared + len(work.judging.prompt_criterion(criterion))))

    def _count(self, vote: Vote, answer: Answer) -> None:
        for name, count in answer.tokens.items():
            vote.tokens[name] += count
        vote.seconds = round(vote.seconds + answer.seconds, 4)
        vote.cost = None if vote.cost is None or answer.cost is None else vote.cost + answer.cost


def _unsupported(reply: Reply, text: str) -> str:
    """Why the evidence of a pass does not hold; "" if it does. A fail needs none."""
    if reply.verdict == "fail":
        return ""
    invented = [quote for quote in reply.quotes if not occurs(quote, text)]
    if invented and len(invented) == len(reply.quotes):
        return f"None of the quotes stands in the delivered work, e.g. {shown(invented[0], 200)}. Quote it word for word, or fail it."
    if not reply.quotes and not reply.rests_on_absence:
        return "A pass needs a verbatim quote from the delivered work, or rests_on_absence."
    return ""
