"""The vocabulary shared by both wings: what a run folder holds. Pydantic models, no I/O."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, FiniteFloat

SCHEMA_VERSION = 1
Status = Literal["running", "complete", "interrupted", "failed"]


class Record(BaseModel):
    """Unknown keys are kept, so that a folder written by a newer or foreign tool survives a round trip."""

    model_config = ConfigDict(extra="allow", populate_by_name=True)


class Suite(Record):
    """What was evaluated on: a corpus view or a task set, by content."""

    name: str
    version: str = "unversioned"
    sha256: str = Field(description="hash over all files below")
    files: dict[str, str] = Field(default_factory=dict, description="relative name -> sha256")


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
    measures: dict[str, FiniteFloat]
    judged_at_10: float = Field(alias="judged@10", description="share of the first 10 documents that are judged")
    top: list[tuple[str, FiniteFloat, int | None]] = Field(
        default_factory=list, description="docid, score, grade or null"
    )
    missing: bool = Field(default=False, description="the system returned nothing; every measure counts as 0")


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
