"""How tasks are worked and graded: every setting of a run, and the systems and graders they make."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from evalsuite.errors import UsageError, shown
from evalsuite.lab.agents import AGENTS, Agent, Limits, create
from evalsuite.lab.grading.grade import Grader
from evalsuite.lab.grading.judge import Judge, VoteCache
from evalsuite.lab.grading.judging import judging_profile
from evalsuite.lab.grading.panel import Panel
from evalsuite.lab.profiles import load_profile
from evalsuite.lab.sandbox import Sandbox, choose
from evalsuite.lab.trial import System, check_system
from evalsuite.models import Budget, ChatModel, Price, create_model
from evalsuite.storage import default_cache, require_folder


def require_names(option: str, names: Any) -> None:
    """Raises UsageError unless `names` is a list of names: a single one would be taken letter by letter."""
    if not (isinstance(names, (list, tuple)) and all(isinstance(name, str) for name in names)):
        raise UsageError(f"{option} must be a list of names; found {shown(names)}")


@dataclass
class Options:
    """How tasks are worked and graded. Every field is a keyword of `run` and an option of `evalsuite lab run`."""

    models: Sequence[str] = ()
    profiles: Sequence[str] = ("default",)
    judges: Sequence[str] = ()
    judging: str = "full"
    votes: int = 1
    aggregation: str = "strict"
    trials: int = 1
    concurrency: int = 4
    base_url: str | None = None
    judge_base_url: str | None = None
    temperature: float | None = None
    judge_temperature: float | None = 0.0
    max_output_tokens: int | None = 16_384
    limits: Limits = field(default_factory=Limits)
    sandbox: str = "auto"
    unsafe_local: bool = False
    strict_names: bool = False
    max_cost: float | None = None
    prices: dict[str, Price] = field(default_factory=dict)
    out: Path = Path("reports")
    cache: Path | None = None
    fresh: bool = False

    def __post_init__(self) -> None:
        for name in ("models", "profiles", "judges"):
            require_names(name, getattr(self, name))
        for name in ("trials", "votes", "concurrency"):
            if getattr(self, name) < 1:
                raise UsageError(f"{name} must be 1 or more; found {getattr(self, name)}")
        amounts = {"max_cost": self.max_cost, **{f"limits.{key}": value for key, value in vars(self.limits).items()}}
        for name, value in amounts.items():
            least = 0 if name.endswith("cost") else 1 if name != "limits.seconds" else 0.001
            if value is not None and not value >= least:  # also refuses NaN
                raise UsageError(f"{name} must be {least} or more; found {value}")
        # A run is known by its settings, and 7200 is written otherwise than 7200.0.
        self.temperature, self.judge_temperature = _number(self.temperature), _number(self.judge_temperature)
        self.limits = replace(self.limits, seconds=float(self.limits.seconds), cost=_number(self.limits.cost))
        self.out = require_folder(Path(self.out), "output")
        self.cache = require_folder(default_cache() if self.cache is None else Path(self.cache), "cache")
        self.budget = Budget(self.max_cost)
        self.slots = asyncio.Semaphore(self.concurrency)
        self._open: list[ChatModel] = []

    @property
    def place(self) -> Path:
        """The cache folder."""
        return self.cache or default_cache()

    def model(self, spec: str, base_url: str | None, settings: dict[str, Any]) -> ChatModel:
        """A model that shares this command's budget and request slots. Raises UsageError if its price must be known and is not."""
        found = create_model(spec, base_url=base_url, price=self.prices.get(spec), settings=settings)
        if self.max_cost is not None and not found.priced:
            raise UsageError(
                f"--max-cost needs the price of {spec}, which is unknown; give it: --price {spec}=IN,OUT (USD per million tokens)"
            )
        found.budget, found.slots = self.budget, self.slots
        self._open.append(found)
        return found

    async def close(self) -> None:
        """Close the connections of all models."""
        for model in self._open:
            await model.close()

    def grader(self) -> Grader:
        """How verdicts come about."""
        judging = judging_profile(self.judging)
        settings = {"temperature": self.judge_temperature, "max_tokens": self.max_output_tokens}
        url = self.judge_base_url or self.base_url
        cache = VoteCache(self.place / "verdicts")
        judges = [Judge(self.model(spec, url, settings), cache) for spec in self.judges]
        return Grader(Panel(judges, self.votes, self.aggregation), judging, self.strict_names, self.place)

    def systems(self, agents: Sequence[str | Agent]) -> list[System]:
        """The grid agent x model x profile, where the agent uses them; a command is only told the model's name."""
        found: list[System] = []
        for profile in self.profiles:
            load_profile(profile)
        for spec in agents:
            agent = create(spec) if isinstance(spec, str) else spec
            sandbox = self._sandbox(agent)
            for profile in self.profiles if agent.needs_model else ["default"]:
                harness = load_profile(profile)
                settings = {"temperature": self.temperature, "max_tokens": self.max_output_tokens, **harness.settings}
                told = agent.needs_model or agent.name.startswith("command:")
                for model in self.models if told and self.models else (None,):
                    made = self.model(model, self.base_url, settings) if model and agent.needs_model else model
                    found.append(System(agent, harness, made, self.limits, sandbox))
        for system in found:
            check_system(system)
        return found

    def _sandbox(self, agent: Agent) -> Sandbox | None:
        """Built-in agents that never use the shell work without one."""
        try:
            return choose(self.sandbox, unsafe_local=self.unsafe_local)
        except UsageError:
            if self.sandbox == "auto" and agent.name in AGENTS and agent.name not in ("react", "command", "replay"):
                return None
            raise


def _number(value: float | None) -> float | None:
    return None if value is None else float(value)
