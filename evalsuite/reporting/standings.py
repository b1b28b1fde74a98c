"""Who stands where: systems of one comparable group in order, with letters for those that do not differ.

Letters are the compact letter display of Piepho (2004), JCGS 13: two systems share a letter exactly when the paired
randomisation test finds no difference at 5 %, corrected by Holm (1979) over all pairs of the board.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from string import ascii_letters
from typing import TYPE_CHECKING, Any

from evalsuite.records import Interval, LabSummary, QueryResult, Rate, Summary
from evalsuite.reporting import words
from evalsuite.reporting.charts import isolated, number, visible
from evalsuite.reporting.compare import pairs
from evalsuite.reporting.sections import Section

if TYPE_CHECKING:
    from evalsuite.reporting.seals import Seal

HEADLINE = "nDCG@10"
LEVEL = 0.05
LARGEST = 1e12
LONGEST = 80
UNNAMED = "unspecified"
TELLING = 5  # queries from which on equal scores are no chance


@dataclass(frozen=True)
class Place:
    """One system on a board."""

    label: str
    section: Section
    value: Interval
    letters: str = ""
    measures: Mapping[str, Interval | Rate] = field(default_factory=dict)


@dataclass(frozen=True)
class Board:
    """One ranking: a measure on one mechanism's queries by the systems of one track, or on all tasks.

    `differences` has every pair: {"a", "b", "mean", "low", "high", "p", "p_corrected"}, the mean b minus a, b the higher
    placed. `why` says why there are no letters. `mechanism` and `track` are None for tasks.
    """

    title: str
    measure: str
    places: list[Place]
    differences: list[dict[str, Any]]
    why: str
    words: list[str]
    mechanism: str | None = None
    track: str | None = None

    @property
    def low(self) -> float:
        return min(0.0, *(place.value.mean if place.value.low is None else place.value.low for place in self.places))

    @property
    def high(self) -> float:
        return max(place.value.mean if place.value.high is None else place.value.high for place in self.places)


@dataclass(frozen=True)
class Standings:
    """One group: its runs with a result as boards, best first, and those without, each with the reason.

    `seals` has what seals a run, or None, by its folder, where that was looked into.
    """

    sections: list[Section]
    labels: list[str]
    boards: list[Board]
    without: list[tuple[str, Section, str]]
    notes: list[str]
    seals: Mapping[Path, Seal | None] = field(default_factory=dict)

    def warnings(self, section: Section) -> list[str]:
        """What the seal of a bundle says that a reader of its numbers must know."""
        seal = self.seals.get(section.folder)
        return seal.bundle.warnings if seal and seal.bundle else []

    @property
    def role(self) -> str:
        return role(self.some)

    @property
    def some(self) -> Section:
        """Any run of the group: suite and protocol are those of all."""
        return (self.sections or [section for _, section, _ in self.without])[0]


def role(section: Section) -> str:
    """What sets a run apart from first-stage retrievers and agents: "verifier", "second-stage", "audit", or "" for nothing.

    A verifier rescores a pool that others found, a second stage what a first stage found; an audit agent sees the rubric or
    the reference, which its run notes.
    """
    told = section.manifest.system.get("role")
    if told in ("verifier", "second-stage"):
        return str(told)
    return "audit" if told == "audit" or any(note.endswith("; no score") for note in section.manifest.notes) else ""


def track(section: Section) -> str:
    """Where a retriever calls an LLM: "none", "query", "index" or "read-everything"."""
    return str(section.manifest.system.get("track") or "none")


def problem(section: Section) -> str | None:
    """Why a run has no place, or None."""
    manifest, summary = section.manifest, section.summary
    if manifest.status != "complete":
        reason = manifest.error or manifest.status
        told = reason if reason.startswith(manifest.status) else f"{manifest.status}: {reason}"
        return f"{told} ({words.count(len(section.units), 'unit')} recorded)"
    if manifest.suite.filler:
        return "made on synthetic filler for benchmarks, so its measures are no scores"
    if summary is None:
        return "complete, and holds no result"
    if isinstance(summary, LabSummary):
        return f"all-pass withheld: {words.withheld(summary)}" if summary.all_pass.rate is None else None
    values = [value.mean for found in summary.by_mechanism.values() for value in found.values()]
    if not values:
        return "complete, and holds no measure"
    if not all(abs(value) <= LARGEST for value in values):
        return "has a measure that is no score: not finite, or beyond 1e12"
    return None


def grouped(sections: Iterable[Section]) -> list[list[Section]]:
    """Runs that may be compared: the same data by content, protocol, role, and queries and measures, or tasks and trials.

    A run without a result joins the first group of its data and protocol.
    """
    found: dict[Hashable, list[Section]] = {}
    first: dict[Hashable, Hashable] = {}
    for section in sorted(sections, key=lambda section: section.summary is None):
        manifest = section.manifest
        about = manifest.kind, manifest.suite.sha256, str(manifest.protocol.get("id", "")), role(section)
        key: Hashable = (about, _graded(section))
        if section.summary is None:
            key = first.get(about, key)
        first.setdefault(about, key)
        found.setdefault(key, []).append(section)
    return list(found.values())


def _graded(section: Section) -> Hashable:
    if isinstance(section.summary, LabSummary):
        trials = Counter(trial.task for trial in section.summary.trials)
        return frozenset((task.task, trials[task.task] + task.missing_trials) for task in section.summary.tasks)
    queries = [unit for unit in section.units if isinstance(unit, QueryResult)]
    measures = frozenset(queries[0].measures) if queries else frozenset()
    return measures, frozenset((unit.id, unit.mechanism, unit.group) for unit in queries)


def standings(
    sections: Sequence[Section],
    names: Mapping[Path, str] | None = None,
    seals: Mapping[Path, Seal | None] | None = None,
) -> Standings:
    """The boards of one group (see `grouped`). `names` tells folders apart where runs go by the same name."""
    labels = _labels(sections, names or {})
    without = [(labels[i], section, why) for i, section in enumerate(sections) if (why := problem(section))]
    kept = [i for i, section in enumerate(sections) if not problem(section)]
    boards = _boards([sections[i] for i in kept], [labels[i] for i in kept])
    order: dict[int, int] = {}
    for board in boards:
        for place in board.places:
            order.setdefault(id(place.section), len(order))
    kept.sort(key=lambda i: order[id(sections[i])])
    notes = _repeated(sections)
    machines = {str([section.manifest.environment.get(key) for key in ("platform", "cpus")]) for section in sections}
    if len(machines) > 1:
        notes.append("These runs were made on different machines: their times do not compare.")
    return Standings([sections[i] for i in kept], [labels[i] for i in kept], boards, without, notes, seals or {})


def _system(section: Section) -> str:
    return str(section.manifest.system.get("name") or section.run_id)


def _repeated(sections: Sequence[Section]) -> list[str]:
    """Names that several runs have: those of one system, or of systems that only share the name."""
    by_name: dict[str, list[dict[str, Any]]] = {}
    for section in sections:
        settings = {key: value for key, value in section.manifest.system.items() if key != "facts"}
        by_name.setdefault(_system(section), []).append(settings)
    notes = []
    for name, found in by_name.items():
        if all(settings == found[0] for settings in found[1:]):
            told = f"{isolated(name)} was run {len(found)} times; each run is shown by its folder."
        else:
            told = f"{len(found)} runs with different settings go by the name {isolated(name)}; each is shown by its folder."
        notes += [told] if len(found) > 1 else []
    return notes


def _labels(sections: Sequence[Section], names: Mapping[Path, str]) -> list[str]:
    several = Counter(map(_system, sections))
    return [
        f"{_system(section)} ({names.get(section.folder, section.folder.name)})"
        if several[_system(section)] > 1
        else _system(section)
        for section in sections
    ]


def _boards(sections: list[Section], labels: list[str]) -> list[Board]:
    if not sections:
        return []
    if isinstance(sections[0].summary, LabSummary):
        return [_lab_board(sections, labels, measure) for measure in ("all_pass", "criterion_rate_macro")]
    summaries = [section.summary for section in sections if isinstance(section.summary, Summary)]
    names = list(summaries[0].measures)
    headline = HEADLINE if HEADLINE in names else names[0]
    tracks = sorted({track(section) for section in sections}, key=lambda name: (name != "none", name))
    boards = []
    for mechanism in summaries[0].by_mechanism:
        units = [unit for unit in sections[0].units if isinstance(unit, QueryResult)]
        clusters = {
            ("group", unit.group) if unit.group is not None else ("query", unit.id)
            for unit in units
            if (unit.mechanism or UNNAMED) == mechanism
        }
        title = "all queries" if mechanism == UNNAMED else f"{mechanism} queries"
        for own in tracks:
            places = []
            for section, summary, label in zip(sections, summaries, labels, strict=True):
                if track(section) == own:
                    values = summary.by_mechanism[mechanism]
                    shown = {name: values[name] for name in names}
                    places.append(Place(label, section, values[headline], measures=shown))
            told = title if tracks == ["none"] else f"{title}, track {own}"
            found = _board(told, headline, headline, places, mechanism, len(clusters), "query group")
            said = [*found.words, *_alike(found.places, mechanism)]
            boards.append(replace(found, mechanism=mechanism, track=own, words=said))
    return boards


def _lab_board(sections: list[Section], labels: list[str], measure: str) -> Board:
    places = []
    for section, label in zip(sections, labels, strict=True):
        summary = section.summary
        assert isinstance(summary, LabSummary)
        rate: Rate = getattr(summary, measure)
        shown = {
            "all-pass": summary.all_pass,
            "all-pass, claims grounded": summary.grounded_all_pass,
            "criteria passed": summary.criterion_rate,
            "critical criteria": summary.critical_rate,
            **{f"pass^{k}": value for k, value in summary.pass_hat_k.items() if k != "1"},
        }
        value = Interval(mean=rate.rate or 0.0, low=rate.low, high=rate.high, n=rate.n_tasks)
        places.append(Place(label, section, value, measures=shown if measure == "all_pass" else {}))
    name = "all-pass" if measure == "all_pass" else "criteria passed, mean of tasks"
    return _board("all tasks", name, measure, places, None, places[0].value.n, "task")


def _board(
    title: str, name: str, measure: str, places: list[Place], mechanism: str | None, n_groups: int, unit: str
) -> Board:
    places = sorted(places, key=lambda place: place.value.mean)
    found = pairs([place.section for place in places], mechanism=mechanism, every=True)
    tested = [entry for entry in found if entry["measure"] == measure]
    last = len(places) - 1
    why = _untestable(len(places), n_groups, unit)
    own = (
        None
        if why
        else letters(len(places), [(last - e["b"], last - e["a"]) for e in tested if e["p_corrected"] <= LEVEL])
    )
    if own is None:
        why = why or "too many sets of systems overlap for letters to tell them apart"
    named = [entry | {"a": places[entry["a"]].label, "b": places[entry["b"]].label} for entry in tested]
    places = [replace(place, letters=own[i] if own else "") for i, place in enumerate(reversed(places))]
    return Board(title, name, places, named, why, _words(name, places, why))


def _untestable(n: int, n_groups: int, unit: str) -> str:
    """Why no pair of n systems could ever be found to differ, or ""."""
    if n < 2:
        return "one system alone"
    n_pairs = math.comb(n, 2)
    if n_groups < 2 or n_pairs * 2.0 ** (1 - n_groups) > LEVEL:
        return f"{words.count(n_groups, unit)} cannot show a difference at 5 % among {n} systems"
    return ""


def letters(n: int, differ: Iterable[tuple[int, int]]) -> list[str] | None:
    """Letters of systems 0..n-1: two share one exactly when their pair is not in `differ`. None if it takes over 52.

    Insert and absorb, Piepho (2004); the first letter is that of the first system.
    """
    columns = [frozenset(range(n))]
    for one, two in differ:
        split = [c for c in columns if one in c and two in c]
        whole = [c for c in columns if not (one in c and two in c)]
        for column in split:
            for part in (column - {one}, column - {two}):
                if not any(part <= other for other in whole):
                    whole = [other for other in whole if not other <= part] + [part]
        columns = whole
        if len(columns) > 20 * len(ascii_letters):
            return None
    if len(columns) > len(ascii_letters):
        return None
    columns.sort(key=sorted)
    return ["".join(ascii_letters[i] for i, column in enumerate(columns) if place in column) for place in range(n)]


def _words(measure: str, places: list[Place], why: str) -> list[str]:
    """The board in sentences."""
    best, measure = places[0].value, isolated(measure)
    top = [place for place in places if place.value.mean == best.mean]
    value = number(best.mean, best.low, best.high)
    if len(places) == 1:
        return [f"{_name(places[0])} is the only system: {measure} {value}, n = {best.n}."]
    verb = "has" if len(top) == 1 else "share"
    said = [f"{_joined(top)} {verb} the highest {measure} of {len(places)} systems: {value}, n = {best.n}."]
    if why:
        return [*said, f"No letters: {why}."]
    sets = {
        letter: [p for p in places if letter in p.letters] for letter in sorted({x for p in places for x in p.letters})
    }
    ties = [f"{_joined(members)} do not differ." for members in sets.values() if len(members) > 1]
    return said + (ties or [f"All {len(places)} systems differ from each other."])


def _alike(places: list[Place], mechanism: str) -> list[str]:
    """Which systems score the same on every query, where chance does not bring that about, in sentences."""
    found: dict[Hashable, list[Place]] = {}
    several = Counter(round(place.value.mean, 9) for place in places)
    for place in places:
        if several[round(place.value.mean, 9)] == 1:
            continue
        scores = {
            unit.id: tuple(sorted(unit.measures.items()))
            for unit in place.section.units
            if isinstance(unit, QueryResult) and (unit.mechanism or UNNAMED) == mechanism
        }
        if len(scores) >= TELLING and any(value not in (0, 1) for own in scores.values() for _, value in own):
            found.setdefault(frozenset(scores.items()), []).append(place)
    return [f"{_joined(same)} have the same scores on every query." for same in found.values() if len(same) > 1]


def _name(place: Place) -> str:
    return isolated(visible(place.label, LONGEST))


def _joined(places: list[Place]) -> str:
    names = [_name(place) for place in places]
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
