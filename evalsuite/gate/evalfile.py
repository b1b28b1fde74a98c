"""*.eval.yaml: what is evaluated on what, how, and what must hold. Paths in it start from its own folder."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import yaml
from pydantic import (
    AfterValidator,
    AliasChoices,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    FiniteFloat,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)

from evalsuite.errors import EvalsuiteError, InputError, shown
from evalsuite.retrieval.measures import DEFAULT_MEASURES, Measure
from evalsuite.yamlfiles import load_yaml

ELSEWHERE = ("hf:", "ir_datasets:")
MARGIN = 0.02
OF_TRIALS = ("all_pass", "criterion_rate", "critical_rate")
OF_RUNS = (*OF_TRIALS, "criterion_rate_macro", "adjusted_all_pass", "grounded_all_pass")
COMPARED = ("all_pass", "criterion_rate_macro")
T = TypeVar("T")


def _listed(value: Any) -> Any:
    return value if isinstance(value, list) else [value]


def _in_full(value: Any) -> Any:
    """A bare number is the least value."""
    return [
        {"at_least": item} if isinstance(item, (int, float)) and not isinstance(item, bool) else item
        for item in _listed(value)
    ]


def _once(values: list[Any]) -> list[Any]:
    return list(dict.fromkeys(values))


def _several(name: str) -> Any:
    """A key that may be written in the singular, with one value or a list."""
    return Field(validation_alias=AliasChoices(f"{name}s", name), min_length=1)


Several = Annotated[list[T], BeforeValidator(_listed), AfterValidator(_once)]
"""One value or a list; each is checked by itself, so that all that are wrong are told, and taken once."""
Name = Annotated[str, Field(min_length=1)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Rule(_Strict):
    """What one measure must be: at least a number, or no worse than a baseline by more than a margin at 95 %."""

    at_least: FiniteFloat | None = None
    of: Literal["mean", "low"] = Field(default="mean", description="low: the lower end of the 95 % interval")
    baseline: Path | None = Field(default=None, description="a run folder")
    margin: Annotated[FiniteFloat, Field(ge=0)] = MARGIN
    mechanism: str | None = Field(default=None, description="only the queries of this mechanism")

    @field_validator("baseline")
    @classmethod
    def _run_folder(cls, value: Path | None, info: ValidationInfo) -> Path | None:
        path = None if value is None else _beside(info) / value
        if path is not None and not (path / "run.json").is_file():
            raise ValueError(f"{path} is no run folder: it has no run.json")
        return path

    @model_validator(mode="after")
    def _says_something(self) -> Rule:
        if self.at_least is None and self.baseline is None:
            raise ValueError("needs at_least: NUMBER, or baseline: RUN FOLDER")
        if "margin" in self.model_fields_set and self.baseline is None:
            raise ValueError("a margin goes with a baseline")
        if "of" in self.model_fields_set and self.at_least is None:
            raise ValueError("`of` goes with at_least; against a baseline the lower end of the difference counts")
        return self


RuleList = Annotated[list[T], BeforeValidator(_in_full), Field(min_length=1)]


def _of_agents(rule: Rule) -> Rule:
    if rule.mechanism:
        raise ValueError("tasks have no mechanism")
    return rule


def _of_trials(rule: Rule) -> Rule:
    if rule.baseline or rule.of == "low":
        raise ValueError("one trial has no interval; put this under `overall`")
    return _of_agents(rule)


def _told(parse: Callable[[str], Any], text: str) -> Any:
    try:
        return parse(text)
    except EvalsuiteError as error:
        raise ValueError(error.message) from error


def _measure(name: str) -> str:
    return str(_told(Measure.parse, name))


def _rate_of_trials(name: str) -> str:
    if name not in OF_TRIALS:
        raise ValueError(f"is no rate of one trial; accepted are {', '.join(OF_TRIALS)}")
    return name


def _rate(name: str) -> str:
    if name not in OF_RUNS:
        raise ValueError(f"is no rate; accepted are {', '.join(OF_RUNS)}")
    return name


def _corpus(name: str, info: ValidationInfo) -> str:
    if name.startswith(ELSEWHERE):
        return name
    folder = (_beside(info) / name).resolve()
    if not folder.is_dir():
        raise ValueError(f"no such corpus folder: {folder}")
    return str(folder)


def _tasks(path: Path, info: ValidationInfo) -> Path:
    folder = _beside(info) / path
    if not folder.exists():
        raise ValueError(f"no such task folder: {folder}")
    return folder


def _retriever(spec: str) -> str:
    from evalsuite.retrieval.retrievers import BUILTIN, plugins

    return _known(spec, [*BUILTIN, *plugins()], "retriever")


def _agent(spec: str) -> str:
    from evalsuite.lab.agents import AGENTS, plugins

    return _known(spec, [*AGENTS, *plugins()], "agent")


def _known(spec: str, names: list[str], what: str) -> str:
    """A bare word must be a name. What stands behind a colon is looked at when it is run."""
    if ":" not in spec and spec not in names:
        near = difflib.get_close_matches(spec, names, n=1)
        hint = f"meant is {near[0]}? " if near else ""
        raise ValueError(f"{spec!r} is no {what}; {hint}accepted are {', '.join(names)}, module:name")
    return spec


class _Gate(_Strict):
    """What both kinds of file have."""

    live: bool | None = Field(default=None, description="whether a model would be asked; null: told from the names")
    recording: Path | None = None

    @field_validator("recording", check_fields=False)
    @classmethod
    def _recorded(cls, value: Path | None, info: ValidationInfo) -> Path | None:
        return None if value is None else _beside(info) / value


class RetrievalGate(_Gate):
    """Retrievers on corpora: every pair is one item."""

    retrieval: Annotated[Several[Annotated[str, AfterValidator(_corpus)]], Field(min_length=1)]
    systems: Several[Annotated[Name, AfterValidator(_retriever)]] = _several("system")
    view: str | None = None
    depth: Annotated[int, Field(ge=1)] = 1000
    measures: Several[Annotated[str, AfterValidator(_measure)]] = list(DEFAULT_MEASURES)
    thresholds: dict[Annotated[str, AfterValidator(_measure)], RuleList[Rule]] = Field(min_length=1)

    @property
    def computed(self) -> list[str]:
        """The measures of the run: those named, and those a threshold needs."""
        return list(dict.fromkeys([*self.measures, *self.thresholds]))


class TrialLimits(_Strict):
    """What one trial may use."""

    turns: Annotated[int, Field(ge=1)] = 200
    tokens: Annotated[int, Field(ge=1)] | None = None
    seconds: Annotated[FiniteFloat, Field(gt=0)] = 7200
    cost: Annotated[FiniteFloat, Field(ge=0)] | None = None


class LabGate(_Gate):
    """Agents on tasks: every trial is one item, and `overall` one more for each system."""

    tasks: Annotated[Several[Annotated[Path, AfterValidator(_tasks)]], Field(min_length=1)]
    select: str | None = None
    systems: Several[Annotated[Name, AfterValidator(_agent)]] = _several("system")
    models: Several[Name] = Field(default=[], validation_alias=AliasChoices("models", "model"))
    profiles: Several[Name] = Field(
        default=["default"], validation_alias=AliasChoices("profiles", "profile"), min_length=1
    )
    judges: Several[Name] = Field(default=[], validation_alias=AliasChoices("judges", "judge"))
    judging: str = "full"
    votes: Annotated[int, Field(ge=1)] = 1
    aggregation: str = "strict"
    trials: Annotated[int, Field(ge=1)] = 1
    concurrency: Annotated[int, Field(ge=1)] = 4
    base_url: str | None = None
    judge_base_url: str | None = None
    temperature: Annotated[FiniteFloat, Field(ge=0)] | None = None
    judge_temperature: Annotated[FiniteFloat, Field(ge=0)] | None = 0.0
    max_output_tokens: Annotated[int, Field(ge=1)] | None = 16_384
    limits: TrialLimits = Field(default_factory=TrialLimits)
    max_cost: Annotated[FiniteFloat, Field(ge=0)] | None = Field(default=None, description="USD, for the whole file")
    prices: dict[str, str] = Field(default={}, description="model -> IN,OUT[,CACHED] in USD per million tokens")
    sandbox: str = "auto"
    unsafe_local: bool = False
    strict_names: bool = False
    thresholds: dict[
        Annotated[str, AfterValidator(_rate_of_trials)], RuleList[Annotated[Rule, AfterValidator(_of_trials)]]
    ] = Field(default={"all_pass": [Rule(at_least=1)]}, min_length=1)
    overall: dict[Annotated[str, AfterValidator(_rate)], RuleList[Annotated[Rule, AfterValidator(_of_agents)]]] = {}

    @field_validator("judging", "aggregation")
    @classmethod
    def _named(cls, value: str, info: ValidationInfo) -> str:
        from evalsuite.lab.grading.judging import JUDGINGS
        from evalsuite.lab.grading.panel import AGGREGATIONS

        accepted = JUDGINGS if info.field_name == "judging" else AGGREGATIONS
        if value not in accepted:
            raise ValueError(f"accepted are {', '.join(accepted)}")
        return value

    @field_validator("prices")
    @classmethod
    def _priced(cls, value: dict[str, str]) -> dict[str, str]:
        from evalsuite.models import parse_price

        for name, price in value.items():
            _told(parse_price, f"{name}={price}")
        return value


def read_eval_file(path: Path) -> RetrievalGate | LabGate:
    """The gate that a file describes. Raises InputError with every problem of it, a line each in `problems`."""
    try:
        data = load_yaml(path.read_text(encoding="utf-8-sig"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise EvalFileError(path, [f"is not YAML ({' '.join(str(error).split())})"]) from error
    if not isinstance(data, dict):
        raise EvalFileError(path, [f"must be a mapping with the keys retrieval or tasks; found {shown(data)}"])
    kinds = [key for key in KINDS if key in data]
    if len(kinds) == 1:
        gate, problems = _validated(kinds[0], data, path)
        if gate is None or problems:
            raise EvalFileError(path, problems)
        return gate
    found = "both" if kinds else f"the keys {', '.join(map(str, data)) or '(none)'}"
    guesses = [_validated(kind, data, path)[1] for kind in KINDS]
    others = [problem for problem in min(guesses, key=len) if problem.partition(":")[0] not in KINDS]
    raise EvalFileError(path, [f"needs either retrieval: CORPUS or tasks: FOLDER; found {found}", *others])


KINDS: dict[str, type[RetrievalGate | LabGate]] = {"retrieval": RetrievalGate, "tasks": LabGate}


def _validated(kind: str, data: dict[Any, Any], path: Path) -> tuple[RetrievalGate | LabGate | None, list[str]]:
    """The gate if it can be made, and every problem."""
    across = list(_across(data)) if kind == "tasks" else []
    try:
        return KINDS[kind].model_validate(data, context={"folder": path.absolute().parent}), across
    except ValidationError as error:
        return None, [*_problems(error, data, KINDS[kind]), *across]


def _across(data: Mapping[Any, Any]) -> Iterator[str]:
    """What is wrong with two keys together."""
    agents = _listed(data.get("systems", data.get("system")))
    replayed = data.get("live") is True and "recording" in data
    if "react" in agents and not replayed and not (data.get("models") or data.get("model")):
        yield f"model: is missing; {needs_model('react')}"
    overall = data.get("overall")
    for name, rules in overall.items() if isinstance(overall, dict) else ():
        compared = any(isinstance(rule, dict) and rule.get("baseline") for rule in _listed(rules))
        if compared and name in OF_RUNS and name not in COMPARED:
            yield f"overall.{name}: compared with a baseline are {' and '.join(COMPARED)}"


def needs_model(agent: str) -> str:
    """What to say of an agent without a model."""
    return f"the agent {agent} needs a model, by the key `model`: openai/NAME, anthropic/NAME ..."


class EvalFileError(InputError):
    """An eval file that cannot be taken as it stands."""

    def __init__(self, path: Path, problems: list[str]) -> None:
        super().__init__("; ".join(problems), where=str(path))
        self.problems = [f"{path}: {problem}" for problem in problems]


def _problems(error: ValidationError, data: Mapping[str, Any], gate: type[_Gate]) -> Iterator[str]:
    for problem in error.errors():
        key, kind = _key(problem["loc"], data), problem["type"]
        said = problem["msg"].removeprefix("Value error, ")
        if kind in ("extra_forbidden", "invalid_key"):
            inside = TrialLimits if problem["loc"][0] == "limits" else Rule
            known = _keys(gate if len(problem["loc"]) == 1 else inside)
            near = difflib.get_close_matches(str(problem["loc"][-1]), known, n=1)
            said = f"is no key{f'; meant is {near[0]}?' if near else ''} (accepted: {', '.join(known)})"
        elif kind == "missing":
            said = "is missing"
        elif kind != "value_error":
            said += f"; found {shown(problem['input'])}"
        yield f"{key}: {said}"


def _keys(model: type[BaseModel]) -> list[str]:
    return list(model.model_fields)


def _key(place: tuple[int | str, ...], data: Any) -> str:
    """The key as it is written: places in lists that the file has not written as lists are left out."""
    parts: list[str] = []
    for part in place:
        if part == "[key]":
            continue
        if isinstance(data, list) and isinstance(part, int):
            parts.append(str(part))
            data = data[part]
        elif not isinstance(part, int) or (isinstance(data, dict) and part in data):
            parts.append(str(part))
            data = data.get(part) if isinstance(data, dict) else None
    return ".".join(parts)


def _beside(info: ValidationInfo) -> Path:
    folder: Path = (info.context or {}).get("folder", Path())
    return folder
