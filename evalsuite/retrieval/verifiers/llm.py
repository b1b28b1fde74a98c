"""An LLM as the verifier, by one of four pinned protocols; every answer is stored, so a killed run repeats no call."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from evalsuite.errors import UsageError
from evalsuite.models import ChatModel, create_model
from evalsuite.progress import track
from evalsuite.replies import Replies
from evalsuite.retrieval.corpus import Corpus, Query
from evalsuite.retrieval.retrievers.base import Track
from evalsuite.retrieval.verifiers import prompts, ranking
from evalsuite.retrieval.verifiers.base import Verifier
from evalsuite.retrieval.verifiers.prompts import Protocol

CHARS = 8_000
DETAILS: dict[Protocol, dict[str, Any]] = {
    "pointwise": {"scores": "0-3"},
    "binary": {"scores": "yes/no"},
    "listwise": {"window": ranking.WINDOW, "step": ranking.STEP},
    "tournament": {"batch": ranking.BATCH, "promoted": ranking.PROMOTED},
}
BINARY_LOSES = (
    "binary verdicts cannot rank: relevant documents are told apart by the seeded order alone. On one pool of OBLIQ-Bench "
    "yes/no found 5 of 93 relevant documents; score by pointwise, listwise or tournament"
)


class Judge:
    """Scores of documents for a query by a protocol. `chars` of each document are shown.

    `number` tells samples apart: with a temperature above 0, the same question with another number is asked anew.
    """

    def __init__(self, replies: Replies, protocol: Protocol, *, chars: int = CHARS, number: int = 1) -> None:
        self.replies, self.protocol, self.chars, self.number = replies, protocol, chars, number
        self.calls = self.repaired = self.queries = self.shown = self.cut = 0

    def settings(self) -> dict[str, Any]:
        return {
            "model": self.replies.model.describe(),
            "protocol": self.protocol,
            **DETAILS[self.protocol],
            "prompt_sha256": prompts.prompt_sha256(self.protocol),
            "chars": self.chars,
        }

    def facts(self) -> dict[str, Any]:
        """Of all queries so far: calls, mended answers, documents cut, tokens and cost, with notes on what a reader must know."""
        used, share = self.replies.used, self.cut / self.shown if self.shown else 0.0
        notes = [BINARY_LOSES] if self.protocol == "binary" else []
        if share:
            notes.append(f"{share:.1%} of the documents are longer than the {self.chars} characters shown, and are cut")
        if self.repaired:
            notes.append(
                f"{self.repaired} of {self.calls} rankings were mended: missing documents appended in the order shown, "
                "unknown and repeated ones dropped"
            )
        return {
            "calls": self.calls,
            "calls_per_query": self.calls / self.queries if self.queries else 0.0,
            "calls_stored": used.stored,
            "repaired": self.repaired,
            "cut_share": share,
            "model_seconds": round(used.seconds, 3),
            "tokens": used.tokens,
            "cost": used.cost,
            "notes": notes,
        }

    async def scores(self, query: str, texts: Sequence[str]) -> list[float]:
        """One score per text, which are shown in this order; higher is more relevant. To be called inside `Replies.map`."""
        self.queries += 1
        self.shown += len(texts)
        self.cut += sum(len(text) > self.chars for text in texts)
        if self.protocol in ("pointwise", "binary"):
            different = list(dict.fromkeys(text[: self.chars] for text in texts))
            found = await self.replies.together(self._one(query, text) for text in different)
            score = dict(zip(different, found, strict=True))
            return [score[text[: self.chars]] for text in texts]

        async def permute(places: Sequence[int]) -> list[int]:
            return await self._ranked(query, places, texts)

        places = range(len(texts))
        if self.protocol == "listwise":
            ranked = await ranking.sliding_windows(places, permute)
        else:
            ranked = await ranking.tournament(places, permute, self.replies.together)
        place = {item: rank for rank, item in enumerate(ranked)}
        return [float(len(texts) - place[item]) for item in places]

    async def _one(self, query: str, text: str) -> float:
        question = prompts.prompt(self.protocol, query, [text])
        self.calls += 1
        if self.protocol == "binary":
            verdict = await self.replies.ask(prompts.Answer, question, system=prompts.SYSTEM, number=self.number)
            return float(verdict.relevant == "yes")
        graded = await self.replies.ask(prompts.Score, question, system=prompts.SYSTEM, number=self.number)
        return float(graded.score)

    async def _ranked(self, query: str, places: Sequence[int], texts: Sequence[str]) -> list[int]:
        """These places, best first."""
        if len(places) == 1:
            return list(places)
        question = prompts.prompt(self.protocol, query, [texts[place][: self.chars] for place in places])
        shape = prompts.ranking_of(len(places))
        self.calls += 1
        answer = await self.replies.ask(shape, question, system=prompts.SYSTEM, number=self.number)
        order, mended = ranking.completed(answer.ranking, len(places))
        self.repaired += mended
        return [places[number] for number in order]


@dataclass
class LLMVerifier(Verifier):
    """An LLM that grades candidates one by one (pointwise 0-3, binary) or ranks them side by side (listwise, tournament).

    `temperature=model` leaves the provider's own. Above 0 every `order` asks anew.
    """

    track: ClassVar[Track] = "read-everything"
    model: str = ""
    base_url: str | None = None
    protocol: Protocol = "pointwise"
    temperature: Annotated[float, Field(ge=0, le=2)] | Literal["model"] = 0.0
    seed: int | None = None
    max_tokens: Annotated[int, Field(ge=1)] | None = None
    chars: Annotated[int, Field(ge=1)] = CHARS
    concurrency: Annotated[int, Field(ge=1)] = field(default=4, metadata={"setting": False})

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.model:
            raise UsageError("llm needs model=NAME, for a server of your own also base_url=http://...")
        store = None if self.cache is None else self.cache / "replies"
        replies = Replies(self._make, store, concurrency=self.concurrency)
        number = 1 if self.temperature == 0 else self.order
        self._judge = Judge(replies, self.protocol, chars=self.chars, number=number)

    def _make(self) -> ChatModel:
        own = {
            "temperature": None if self.temperature == "model" else self.temperature,
            "seed": self.seed,
            "max_tokens": self.max_tokens,
        }
        return create_model(self.model, base_url=self.base_url, settings=own)

    def settings(self) -> dict[str, Any]:
        shared = {key: value for key, value in super().settings().items() if key in ("pool", "size", "order")}
        return {**shared, **self._judge.settings()}

    def index(self, corpus: Corpus) -> None:
        super().index(corpus)
        self._texts = self.read_texts(corpus)

    def _score(self, queries: Sequence[Query], shown: list[list[int]]) -> list[list[float]]:
        with track(f"asking {self.model}", len(queries)) as advance:

            async def one(place: int) -> list[float]:
                texts = [self._texts[number] for number in shown[place]]
                scores = await self._judge.scores(queries[place].text, texts)
                advance(1)
                return scores

            found = self._judge.replies.map(one, range(len(queries)))
        facts = self._judge.facts()
        self.facts |= {**facts, "notes": [*self._own_notes, *facts["notes"]]}
        return found
