"""Numbers against thresholds, and the words for a threshold that is not met: difference, interval, worst queries, failed criteria."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from evalsuite.errors import UsageError
from evalsuite.gate.errors import GateError
from evalsuite.gate.evalfile import Rule
from evalsuite.labtrials import Trial
from evalsuite.records import CriterionResult, Interval, LabSummary, QueryResult, Rate, Summary
from evalsuite.reporting.comparable import queries_of
from evalsuite.reporting.compare import Comparison, compare_sections
from evalsuite.reporting.paired import Difference
from evalsuite.reporting.sections import Section, read_section

WORST = 5
TEXT = 90


@dataclass(frozen=True)
class Finding:
    """One threshold: what was found, what was demanded, and if it is not met, what is to blame."""

    said: str
    met: bool
    detail: tuple[str, ...] = ()


def message(title: str, findings: Iterable[Finding], folder: str) -> str:
    """All thresholds that are not met, each after `title` and with what is to blame for it."""
    lines = []
    for finding in findings:
        if not finding.met:
            lines += [f"{title}{finding.said}", *(f"  {line}" for line in finding.detail)]
    return "\n".join([*lines, f"  run folder: {folder}"])


# ---------------------------------------------------------------- retrieval


def of_retrieval(section: Section, rules: Mapping[str, Sequence[Rule]]) -> list[Finding]:
    """Every threshold on the measures of a retrieval run. Raises GateError where there is no number to judge."""
    if not isinstance(section.summary, Summary):
        raise GateError(section.manifest.error or f"is {section.manifest.status}", where=str(section.folder))
    findings = []
    for measure, several in rules.items():
        for rule in several:
            if rule.at_least is not None:
                findings.append(_at_least(section, section.summary, measure, rule, rule.at_least))
            if rule.baseline is not None:
                findings.append(
                    no_regression(section, read_section(rule.baseline), measure, rule.margin, mechanism=rule.mechanism)
                )
    return findings


def _at_least(section: Section, summary: Summary, measure: str, rule: Rule, least: float) -> Finding:
    values = summary.measures if rule.mechanism is None else summary.by_mechanism.get(rule.mechanism)
    if values is None:
        raise _no_mechanism(rule.mechanism, summary.by_mechanism)
    name = f"{measure} ({rule.mechanism})" if rule.mechanism else measure
    found = values[measure]
    value = found.mean if rule.of == "mean" else found.low
    if value is None:
        raise GateError(f"{name} has no interval: its {found.n} queries are of fewer than two groups")
    what = "lower end at least" if rule.of == "low" else "at least"
    met = value >= least
    queries = _of_mechanism(queries_of(section), rule.mechanism)
    worst = () if met else _worst(queries, measure, least)
    return Finding(f"{name} {interval(found)}, {what} {least:g}{'' if met else ': NOT MET'}", met, worst)


def _worst(queries: Sequence[QueryResult], measure: str, least: float) -> tuple[str, ...]:
    below = sorted((query for query in queries if query.measures[measure] < least), key=lambda q: q.measures[measure])
    rows = [(query.id, f"{query.measures[measure]:.3f}", f"{_found(query)}: {_text(query)}") for query in below[:WORST]]
    head = f"the worst {len(rows)} of {len(below)} queries below {least:g}, of {len(queries)}:"
    return (head, *_columns(rows))


def _found(query: QueryResult) -> str:
    """Where the first relevant document stands."""
    first = next((rank for rank, (_, _, grade) in enumerate(query.top, 1) if grade), None)
    first = first or next((rank for _, rank, _ in query.missed if rank), None)
    return "nothing returned" if query.missing else f"first relevant at {first}" if first else "no relevant found"


def _no_mechanism(name: str | None, known: Iterable[str]) -> GateError:
    return GateError(f"no query has the mechanism {name!r}; there are {', '.join(known)}")


def _of_mechanism(queries: Sequence[QueryResult], mechanism: str | None) -> list[QueryResult]:
    return [query for query in queries if mechanism in (None, query.mechanism)]


# ---------------------------------------------------------------- against a baseline


def no_regression(new: Section, old: Section, measure: str, margin: float, *, mechanism: str | None = None) -> Finding:
    """Whether `new` is no worse than `old` by more than `margin`: the lower end of the paired difference is above -margin.

    Where every query or task has the same difference there is no interval, and that difference counts. Raises GateError
    for runs that cannot be compared, with the reasons, and where there is no number.
    """
    comparison = compare_sections(old, new)
    if not comparison.comparable:
        raise GateError(
            f"cannot be compared with the baseline {old.folder} (A is the baseline): {'; '.join(comparison.why)}",
            where=str(new.folder),
        )
    differences = comparison.differences if mechanism is None else comparison.by_mechanism.get(mechanism)
    if differences is None:
        raise _no_mechanism(mechanism, comparison.by_mechanism)
    if measure not in differences:
        raise UsageError(f"{measure!r} is not compared; there are {', '.join(differences)}")
    name = f"{measure} ({mechanism})" if mechanism else measure
    difference = differences[measure]
    if difference.mean is None or difference.ungraded:
        problems = [*comparison.problems.get("b", []), *comparison.problems.get("a", [])]
        raise GateError(f"{name} is withheld, {difference.ungraded} of {difference.n} ungraded: {'; '.join(problems)}")
    if difference.n_groups < 2:
        unit = "task" if comparison.kind == "lab" else "query"
        raise GateError(f"{name}: with one {unit} or group no difference can be told; use at_least")
    least = difference.mean if difference.low is None else difference.low
    if least > -margin or (margin == 0 and least == 0):
        return Finding(f"{_said(name, difference)}, no worse by more than {margin:g}", met=True)
    sure = difference.mean if difference.high is None else difference.high
    verb = "is" if sure < -margin else "may be"
    said = f"{_said(name, difference)}: {verb} worse by more than {margin:g}; the lower end must be above {-margin:g}"
    blame = _lost(new, old, measure, mechanism) if comparison.kind == "retrieval" else _newly_failed(comparison)
    return Finding(said, met=False, detail=(*blame, f"baseline: {old.folder}"))


def _said(name: str, difference: Difference) -> str:
    spread = (
        "the same for every one"
        if difference.low is None or difference.high is None
        else f"[{difference.low:+.3f}, {difference.high:+.3f}]"
    )
    return f"{name} {difference.b:.3f} against {difference.a:.3f} of the baseline, {difference.mean:+.3f} {spread}"


def _lost(new: Section, old: Section, measure: str, mechanism: str | None) -> tuple[str, ...]:
    before = {query.id: query.measures[measure] for query in queries_of(old)}
    queries = _of_mechanism(queries_of(new), mechanism)
    change = {query.id: query.measures[measure] - before[query.id] for query in queries}
    lost = sorted((query for query in queries if change[query.id] < 0), key=lambda query: change[query.id])
    rows = [
        (
            query.id,
            f"{before[query.id]:.3f} -> {query.measures[measure]:.3f}",
            f"{change[query.id]:+.3f}",
            f"{_found(query)}: {_text(query)}",
        )
        for query in lost[:WORST]
    ]
    return (f"the worst {len(rows)} of {len(lost)} queries that lost, of {len(queries)}:", *_columns(rows))


def _newly_failed(comparison: Comparison) -> tuple[str, ...]:
    rows = [(c.task, c.criterion, c.title, f"{c.a} -> {c.b}") for c in (*comparison.newly_failed, *comparison.flipped)]
    return ("criteria that changed, newly failed first:", *_columns(rows[:WORST]), *_more(len(rows), WORST))


# ---------------------------------------------------------------- agents


def of_trial(trial: Trial, rules: Mapping[str, Sequence[Rule]]) -> list[Finding]:
    """Every threshold on one graded trial."""
    passed = [criterion.verdict == "pass" for criterion in trial.criteria]
    critical = [criterion.verdict == "pass" for criterion in trial.criteria if criterion.critical]
    findings = []
    for name, several in rules.items():
        judged = critical if name == "critical_rate" else passed
        if not judged:
            raise GateError(f"{trial.task} has no critical criterion")
        value = float(all(judged)) if name == "all_pass" else sum(judged) / len(judged)
        for rule in several:
            met = rule.at_least is None or value >= rule.at_least
            said = f"{name} {value:.3f} ({sum(judged)} of {len(judged)} criteria), at least {rule.at_least:g}"
            findings.append(
                Finding(said if met else f"{said}: NOT MET", met, () if met else failed_criteria(trial.criteria))
            )
    return findings


def failed_criteria(criteria: Sequence[CriterionResult], verdict: str = "fail", most: int = 10) -> tuple[str, ...]:
    """The criteria with that verdict, critical ones first, each with its reason."""
    found = sorted((c for c in criteria if c.verdict == verdict), key=lambda c: not c.critical)
    lines = []
    for criterion in found[:most]:
        vote = next((vote for vote in criterion.votes if vote.verdict == verdict), None)
        marks = [criterion.error_kind or "", "critical" if criterion.critical else ""]
        marks += [f"contested: {criterion.contested}"] if criterion.contested else []
        told = "; ".join(filter(None, marks))
        reason = f": {_cut(vote.reasoning)} [{vote.judge or 'ungraded'}]" if vote and vote.reasoning else ""
        lines.append(f"{criterion.id}  {criterion.title}{f' ({told})' if told else ''}{reason}")
    return (*lines, *_more(len(found), most))


def of_run(section: Section, rules: Mapping[str, Sequence[Rule]]) -> list[Finding]:
    """Every threshold on all trials of a lab run. Raises GateError while something is ungraded."""
    summary = section.summary
    if not isinstance(summary, LabSummary):
        raise GateError(section.manifest.error or f"is {section.manifest.status}", where=str(section.folder))
    findings = []
    for name, several in rules.items():
        rate: Rate = getattr(summary, name)
        for rule in several:
            if rule.at_least is not None:
                findings.append(_rate(summary, name, rate, rule, rule.at_least))
            if rule.baseline is not None:
                findings.append(no_regression(section, read_section(rule.baseline), name, rule.margin))
    return findings


def _rate(summary: LabSummary, name: str, rate: Rate, rule: Rule, least: float) -> Finding:
    if rate.rate is None:
        raise GateError(f"{name} is withheld: {'; '.join(summary.problems) or 'nothing counts for it'}")
    value = rate.rate if rule.of == "mean" else rate.low
    if value is None:
        raise GateError(f"{name} has no interval: it takes two tasks or more, there is {rate.n_tasks}")
    met = value >= least
    what = "lower end at least" if rule.of == "low" else "at least"
    spread = "" if rate.low is None or rate.high is None else f" [{rate.low:.3f}, {rate.high:.3f}]"
    failing = [(task.task, entry) for task in summary.tasks for entry in task.failing]
    failing.sort(key=lambda pair: -int(pair[1]["failed"]))
    rows = [(task, entry["id"], entry["title"], f"failed in {entry['failed']}") for task, entry in failing]
    blame = ("criteria that failed most:", *_columns(rows[:WORST]), *_more(len(rows), WORST)) if rows else ()
    said = f"{name} {rate.rate:.3f}{spread}, {what} {least:g}"
    return Finding(said if met else f"{said}: NOT MET", met, () if met else blame)


# ---------------------------------------------------------------- words


def interval(value: Interval) -> str:
    """ "0.412 [0.331, 0.490]"."""
    ends = "too few groups for an interval" if value.low is None else f"{value.low:.3f}, {value.high:.3f}"
    return f"{value.mean:.3f} [{ends}]"


def _columns(rows: Sequence[tuple[str, ...]]) -> list[str]:
    """Rows with their cells, but the last, one under the other."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)][:-1]
    return [
        "  " + "  ".join([*(cell.ljust(width) for cell, width in zip(row, widths, strict=False)), row[-1]])
        for row in rows
    ]


def _more(n: int, shown: int) -> list[str]:
    return [f"and {n - shown} more"] if n > shown else []


def _text(query: QueryResult) -> str:
    return _cut(query.text or "", TEXT)


def _cut(text: str, most: int = 200) -> str:
    plain = " ".join(text.split())
    return plain if len(plain) <= most else f"{plain[:most]}…"
