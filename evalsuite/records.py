"""The vocabulary shared by both wings: what a run folder holds. Pydantic models, no I/O."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    FiniteFloat,
    StringConstraints,
    field_validator,
    model_validator,
)

SCHEMA_VERSION = 1
Status = Literal["running", "complete", "interrupted", "failed"]
Verdict = Literal["pass", "fail", "error"]
StopReason = Literal["done", "turns", "tokens", "context", "budget", "timeout", "abandon", "error"]


class Record(BaseModel):
    """Unknown keys are kept, so that a folder written by a newer or foreign tool survives a round trip."""

    model_config = ConfigDict(extra="allow", populate_by_name=True)


class Suite(Record):
    """What was evaluated on: a corpus view or a task set, by content."""

    name: str
    version: str = "unversioned"
    sha256: str = Field(description="hash over all files below")
    files: dict[str, str] = Field(default_factory=dict, description="relative name -> sha256")
    filler: bool = Field(default=False, description="synthetic filler for benchmarks: measures of it are no scores")


class Manifest(Record):
    """run.json."""

    schema_version: int = SCHEMA_VERSION
    kind: Literal["retrieval", "lab"]
    run_id: str = ""
    identity: str = Field(default="", description="hash of suite, system (without its facts), protocol and environment")
    suite: Suite
    system: dict[str, Any] = Field(description="what was evaluated: name and every setting that changes its output")
    protocol: dict[str, Any] = Field(description="how it was scored; `id` is the hash of the rest")
    environment: dict[str, Any] = Field(default_factory=dict)
    status: Status = "running"
    started_at: str = ""
    finished_at: str | None = None
    plan: dict[str, Any] = Field(
        default_factory=dict, description="lab: trials per task, {task id: number of criteria}"
    )
    usage: dict[str, Any] = Field(default_factory=dict, description="tokens, seconds, cost or 'unknown'")
    notes: list[str] = Field(default_factory=list, description="what a reader of the numbers must know")
    error: str | None = None
    files: dict[str, str] = Field(default_factory=dict, description="results and artifacts -> sha256, once complete")


class QueryResult(Record):
    """One line of results.jsonl of a retrieval run."""

    unit: Literal["query"] = "query"
    id: str
    mechanism: str | None = None
    group: str | None = None
    measures: dict[str, FiniteFloat] = Field(min_length=1)
    judged_at_10: float = Field(alias="judged@10", description="share of the first 10 documents that are judged")
    top: list[tuple[str, FiniteFloat, int | None]] = Field(
        default_factory=list, description="docid, score, grade or null"
    )
    missing: bool = Field(default=False, description="the system returned nothing; every measure counts as 0")
    text: str | None = Field(default=None, description="the query itself")
    twin_of: str | None = Field(default=None, description="id of the oblique query that this one says literally")
    split: str | None = Field(default=None, description="dev (choices are made on it) or test")
    relevant: int | None = Field(default=None, description="documents that the view judges relevant to it")
    missed: list[tuple[str, int | None, int]] = Field(
        default_factory=list,
        description="relevant documents outside `top`, best rank first, at most 100: docid, rank from 1 in the kept "
        "ranking or null, grade",
    )

    @property
    def key(self) -> tuple[str, ...]:
        return self.unit, self.id

    @property
    def final(self) -> bool:
        return True


def trial_key(task: str, trial: int) -> tuple[str, ...]:
    """What makes two lines of results.jsonl the same trial."""
    return "trial", task, str(trial)


def criterion_key(task: str, trial: int, criterion: str) -> tuple[str, ...]:
    """What makes two lines of results.jsonl the same criterion of the same trial."""
    return "criterion", task, str(trial), criterion


class Vote(Record):
    """What one judge said once about one criterion, or what one deterministic check found."""

    judge: str = Field(description="model name, or `check:<kind>`, or `deliverable` where no judge was needed")
    vote: int = 1
    verdict: Verdict
    error_kind: str | None = None
    reasoning: str = ""
    quotes: list[str] = Field(default_factory=list, description="verbatim from the deliverable; each was looked up")
    seconds: float = 0.0
    tokens: dict[str, int] = Field(
        default_factory=dict,
        description="input, output, cached (part of input, as reported), prefix (part of input that an earlier prompt began with)",
    )
    cost: float | None = Field(default=None, description="USD, null where the price is unknown")
    cached: bool = Field(default=False, description="taken from the verdict cache; nothing was paid")
    key: str = Field(default="", description="hash of what was asked of whom: prompt, reply shape, judge, vote number")


class CriterionResult(Record):
    """One graded criterion of one trial: a line of results.jsonl of a lab run."""

    unit: Literal["criterion"] = "criterion"
    task: str
    trial: int
    id: str
    title: str
    verdict: Verdict
    error_kind: str | None = None
    share: float | None = Field(default=None, description="mean of the votes (pass 1, fail 0); null with an error")
    votes: list[Vote] = Field(default_factory=list)
    resolved_file: str | None = None
    resolution_rule: str | None = Field(default=None, description="exact, or the rule of an inexact match")
    critical: bool = False
    contested: str | None = Field(default=None, description="why the criterion is arguable, from contested.yaml")
    sources: list[str] = Field(default_factory=list, description="names of the documents that the criterion rests on")
    earlier: list[Vote] = Field(
        default_factory=list, description="votes of attempts that ended in an error; paid, and of no other meaning"
    )

    @property
    def key(self) -> tuple[str, ...]:
        return criterion_key(self.task, self.trial, self.id)

    @property
    def final(self) -> bool:
        """Errors are not final: a resumed run grades them again."""
        return self.verdict != "error"


class TrialResult(Record):
    """One agent's work on one task: a line of results.jsonl of a lab run, written before its grading."""

    unit: Literal["trial"] = "trial"
    task: str
    trial: int
    stop_reason: StopReason
    finished: bool = Field(description="the agent itself said that it was done")
    error: str | None = None
    turns: int = 0
    seconds: float = 0.0
    tokens: dict[str, int] = Field(default_factory=dict, description="input, output, cached, prefix, as of a vote")
    cost: float | None = Field(default=None, description="USD, null where the price is unknown")
    documents_total: int = 0
    documents_read: list[str] = Field(default_factory=list)
    tool_calls: dict[str, int] = Field(default_factory=dict, description="tool -> calls")
    context: list[dict[str, int]] = Field(
        default_factory=list, description="per turn, characters by origin: system, instruction, model, tool results"
    )
    output: dict[str, str] = Field(default_factory=dict, description="deliverable -> sha256, when the agent ended")
    output_sha256: str = ""
    grounding: dict[str, Any] = Field(default_factory=dict, description="claims checked, and those in no document")
    flags: list[dict[str, str]] = Field(
        default_factory=list, description="hidden text, orders to the judge: what, where"
    )

    @field_validator("grounding")
    @classmethod
    def _counted(cls, value: dict[str, Any]) -> dict[str, Any]:
        if type(value.get("claims") or 0) is not int or not isinstance(value.get("unsupported") or [], list):
            raise ValueError("claims must be a whole number, and unsupported a list")
        return value

    @property
    def key(self) -> tuple[str, ...]:
        return trial_key(self.task, self.trial)

    @property
    def final(self) -> bool:
        """A trial whose agent broke is not final: a resumed run works it again."""
        return self.stop_reason != "error"


Unit = Annotated[QueryResult | CriterionResult | TrialResult, Field(discriminator="unit")]


class Interval(Record):
    """A mean with its 95 % bootstrap interval over `n` values; low and high are null when there are too few groups."""

    mean: float
    low: float | None
    high: float | None
    n: int


class Summary(Record):
    """summary.json: everything in it is derived from run.json and results.jsonl."""

    kind: Literal["retrieval", "lab"]
    system: str
    corpus: str
    view: str
    protocol: str
    n_queries: int
    n_groups: int
    measures: dict[str, Interval] = Field(description="mean over queries")
    macro: dict[str, Interval] = Field(description="mean of the mechanisms' means")
    by_mechanism: dict[str, dict[str, Interval]]
    missing_queries: list[str] = Field(description="queries the system returned nothing for; counted as 0")
    usage: dict[str, Any]


class Rate(Record):
    """A share with its 95 % interval over tasks. `rate` is null while a part of it is ungraded, or where it has no part.

    The interval is a bootstrap over tasks; where every task has the same 0 or 1, which a bootstrap takes for certain,
    it is Wilson's for `n_tasks`. Null with fewer than two tasks.
    """

    rate: float | None = None
    low: float | None = None
    high: float | None = None
    n: int = Field(default=0, description="values the rate is a mean of")
    n_tasks: int = 0


class TrialNumbers(Record):
    """One trial: what its criteria came to."""

    task: str
    trial: int
    all_pass: bool | None = Field(description="null while anything in the trial is ungraded")
    n_passed: int
    n_criteria: int = Field(description="planned")
    n_errors: int
    stop_reason: StopReason | None = None
    problem: str | None = Field(default=None, description="why the trial is ungraded")


class TaskNumbers(Record):
    """One task over its trials."""

    task: str
    n_criteria: int
    all_pass: float | None = Field(description="share of trials that pass every criterion")
    criterion_rate: float | None
    missing_trials: int = 0
    failing: list[dict[str, Any]] = Field(description="id, title, contested, and the trials `failed` and `errors`")


class JudgeNumbers(Record):
    """One judge on its own: its verdict is the majority of its votes, a tie is a fail."""

    judge: str
    n: int = Field(description="criteria it was asked about, over all trials")
    errors: int
    pass_rate: Rate = Field(description="of the criteria it was asked about")
    criterion_pass: Rate = Field(description="of all criteria, those graded without a judge included: mean over trials")
    all_pass: Rate
    repeat_flips: Rate = Field(description="criteria on which its repeated votes are not unanimous")
    trial_flips: Rate = Field(description="criteria on which its verdicts over the trials are not unanimous")


class Agreement(Record):
    """Two judges on the same criteria, by the first vote of each."""

    judges: tuple[str, str]
    n: int = Field(description="criteria both gave a verdict on")
    raw: float | None
    kappa: float | None = Field(description="null where both always say the same one thing")
    ac1: float | None
    prevalence: float | None = Field(description="share of pass among all their verdicts")


class Dual(Record):
    """LAB's dual-judge numbers, over any number of judges of two or more."""

    judges: list[str]
    dual_criterion_pass: Rate = Field(description="mean over judges of the share of criteria passed in a trial")
    dual_all_pass_rate: Rate = Field(description="mean over judges of all-pass, 0 or 1")
    all_pass_both_agree_rate: Rate = Field(description="every judge passes every criterion")


class VarianceSplit(Record):
    """Where the spread of pass (1) and fail (0) comes from, as variances. Null: the run cannot tell it apart."""

    n: int
    task: float | None = None
    criterion: float | None = Field(default=None, description="between criteria of one task")
    answer: float | None = Field(default=None, description="between trials, judge's noise taken off")
    judge: float | None = Field(default=None, description="between votes on the same answer")
    answer_and_judge: float | None = Field(default=None, description="both together, where each answer has one vote")
    description: str = ""


class LabSummary(Record):
    """summary.json of a lab run: everything in it is derived from run.json and results.jsonl."""

    kind: Literal["lab"] = "lab"
    system: str
    suite: str
    protocol: str
    n_tasks: int
    n_trials: int = Field(description="planned, over all tasks")
    all_pass: Rate = Field(description="the headline: mean over tasks of the share of trials that pass every criterion")
    all_pass_bounds: tuple[float, float] = Field(description="if everything ungraded were to fail, and to pass")
    adjusted_all_pass: Rate = Field(description="all_pass without the contested criteria")
    n_contested: int
    grounded_all_pass: Rate = Field(
        description="all_pass of the trials whose deliverables make no claim that is in no document; the others count as 0"
    )
    criteria: dict[str, int] = Field(description="passed, failed, errors, missing, total; over all trials")
    criterion_rate: Rate = Field(description="pooled over all criteria")
    criterion_rate_macro: Rate = Field(description="mean of the tasks' rates")
    critical_rate: Rate = Field(description="of the critical criteria, pooled")
    pass_at_k: dict[str, Rate] = Field(description="a task passes in at least one of k trials")
    pass_hat_k: dict[str, Rate] = Field(description="a task passes in all of k trials")
    problems: list[str] = Field(description="everything that is ungraded, and why")
    error_kinds: dict[str, int]
    tasks: list[TaskNumbers]
    trials: list[TrialNumbers]
    graded_by: dict[str, int] = Field(
        description="criteria graded by check, judge, deliverable (missing); errors are ungraded"
    )
    judges: list[JudgeNumbers]
    agreement: list[Agreement]
    alpha: float | None = Field(description="Krippendorff's, over the first votes of all judges")
    dual: Dual | None
    trial_flips: Rate = Field(description="criteria whose verdicts over the trials are not unanimous")
    variance: VarianceSplit
    stop_reasons: dict[str, int]
    documents_read: Rate = Field(description="share of a task's documents that were read, mean over trials")
    grounding: dict[str, int] = Field(description="claims checked, and those found in no document")
    flags: dict[str, int]
    inexact_files: list[dict[str, Any]] = Field(description="deliverables found under another name, with the rule")
    usage: dict[str, Any] = Field(description="agent and judges: tokens, cost, seconds; 'unknown' if any part is")


class Review(Record):
    """What a person said about one verdict of a lab run: a line of reviews.jsonl. The same verdict is a confirmation."""

    unit: Literal["review"] = "review"
    run: str
    task: str
    trial: int
    criterion: str
    unit_sha256: str = Field(description="hash of the CriterionResult as the reviewer saw it")
    machine: Verdict = Field(description="the run's own verdict")
    verdict: Verdict = Field(description="error: it cannot be decided")
    reason: Annotated[str, StringConstraints(strip_whitespace=True, max_length=10_000)] = ""
    reviewer: Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=200)]
    at: str = Field(description="ISO 8601 with a time zone")

    @field_validator("at")
    @classmethod
    def _dated(cls, value: str) -> str:
        if datetime.fromisoformat(value).tzinfo is None:
            raise ValueError("has no time zone; 2026-05-01T12:00:00Z has one")
        return value

    @model_validator(mode="after")
    def _reasoned(self) -> Review:
        if self.verdict != self.machine and not self.reason:
            raise ValueError(f"a reason is needed: the verdict is {self.verdict}, the machine's was {self.machine}")
        return self

    @property
    def key(self) -> tuple[str, ...]:
        """That of the criterion."""
        return criterion_key(self.task, self.trial, self.criterion)

    @property
    def when(self) -> datetime:
        return datetime.fromisoformat(self.at)
