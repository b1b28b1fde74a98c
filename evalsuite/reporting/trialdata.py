"""The trials of the page's data: what came of each, and what its folder holds: deliverables and transcript."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from evalsuite.errors import InputError
from evalsuite.records import LabSummary, TrialNumbers, TrialResult
from evalsuite.reporting.artifacts import open_inside
from evalsuite.reporting.chunks import as_json
from evalsuite.reporting.sections import Section
from evalsuite.reporting.verdictdata import Numbers
from evalsuite.storage import trial_folder

MOST = 2_000_000  # bytes of one file that go into the page
MOST_FILES = 200  # deliverables of one trial


@dataclass(frozen=True)
class Trial:
    """One trial of one run; `folder` is its place in the run folder, None where its task id is no path (see `problem`)."""

    run: int
    place: Path
    numbers: TrialNumbers
    record: TrialResult | None
    folder: str | None
    problem: str | None = None

    @property
    def urgency(self) -> int:
        """0 for an error, 1 for a fail, 2 for a pass."""
        return 1 + self.numbers.all_pass if self.numbers.all_pass is not None else 0

    def entry(self, tasks: Numbers) -> dict[str, Any]:
        """Its row in the index."""
        numbers, record = self.numbers, self.record
        grounding = record.grounding.get("unsupported") if record else None
        return {
            "run": self.run,
            "task": tasks.of(numbers.task),
            "trial": numbers.trial,
            "all_pass": numbers.all_pass,
            "passed": numbers.n_passed,
            "criteria": numbers.n_criteria,
            "errors": numbers.n_errors,
            "problem": numbers.problem,
            "stop_reason": numbers.stop_reason,
            "turns": record.turns if record else 0,
            "seconds": record.seconds if record else 0,
            "tokens": record.tokens if record else {},
            "cost": record.cost if record else None,
            "documents_read": len(record.documents_read) if record else 0,
            "documents_total": record.documents_total if record else 0,
            "flags": len(record.flags) if record else 0,
            "unsupported": len(grounding) if isinstance(grounding, list) else 0,
        }

    def record_json(self) -> bytes:
        return as_json(self.record.model_dump() if self.record else None)


def trials_of(sections: Sequence[Section]) -> Iterator[Trial]:
    """The trials of all runs, in the order of their summaries."""
    for run, section in enumerate(sections):
        if not isinstance(section.summary, LabSummary):
            continue
        records = {(unit.task, unit.trial): unit for unit in section.units if isinstance(unit, TrialResult)}
        for numbers in section.summary.trials:
            folder, problem = None, None
            try:
                folder = trial_folder(Path(), numbers.task, numbers.trial).as_posix()
            except InputError as error:
                problem = f"no file of this trial is shown: {error.message}"
            record = records.get((numbers.task, numbers.trial))
            yield Trial(run, section.folder, numbers, record, folder, problem)


@dataclass
class Files:
    """A part of a trial as JSON text, with how many files are not in it or not whole, and their bytes."""

    text: bytes = b""
    left_out: int = 0
    bytes_left_out: int = 0


def deliverables(trial: Trial, *, room: float) -> Files:
    """`[{"name", "text" or null, "left_out": words or null}]`, and a comma, as JSON text. Texts end where `room` bytes are full."""
    names = _names(trial)
    listed, left = [], []
    for name in names[:MOST_FILES]:
        text, why, missing = _deliverable(trial, name, room)
        room -= len(text or "")
        listed.append({"name": name, "text": text, "left_out": why})
        left += [missing] if missing else []
    if more := len(names) - len(listed):
        why = f"{more:,} more files are in {trial.folder}/deliverables of the run folder"
        listed.append({"name": "…", "text": None, "left_out": why})
    return Files(as_json(listed) + b",", len(left) + more, sum(left))


def _names(trial: Trial) -> list[str]:
    """Names in the trial's record, and where it names none those in its folder."""
    if trial.record and trial.record.output:
        return list(trial.record.output)
    if trial.folder is None:
        return []
    top = trial.place / trial.folder / "deliverables"
    if not _inside(trial.place, f"{trial.folder}/deliverables"):
        return []
    walked = ((place, name) for place, _, files in os.walk(top) for name in sorted(files))
    found = [(Path(place) / name).relative_to(top).as_posix() for place, name in islice(walked, 10 * MOST_FILES)]
    return sorted(found)


def _deliverable(trial: Trial, name: str, room: float) -> tuple[str | None, str | None, int]:
    """Its text, why that is not all of it, and the bytes that are left out."""
    if trial.folder is None:
        return None, trial.problem, 0
    original = f"{trial.folder}/deliverables/{name}"
    for source in (f"{trial.folder}/extracted/{name}.txt", original):
        try:
            with open_inside(trial.place, source) as stream:
                size = os.fstat(stream.fileno()).st_size
                content = stream.read(MOST + 1)
        except (InputError, OSError):
            continue
        if source == original and not _is_text(content):
            return None, "no text was extracted", 0
        if min(size, MOST) > room:
            return None, f"{megabytes(size)}; in {source} of the run folder", size
        text = content[:MOST].decode("utf-8-sig", "replace")
        if len(content) <= MOST:
            return text, None, 0
        left = f"cut after {megabytes(MOST)} of {megabytes(size)}; the rest is in {source} of the run folder"
        return text, left, size - MOST
    return None, "the run folder does not hold it", 0


def _is_text(content: bytes) -> bool:
    """Whether it is UTF-8 without NUL; the last character may be cut."""
    try:
        content.decode("utf-8")
    except UnicodeDecodeError as error:
        return len(content) > MOST and error.start > MOST - 4
    return b"\0" not in content


def transcript(trial: Trial, *, room: float) -> Files:
    """`"transcript": [records] or null, "left_out": words or null` and a brace, as JSON text.

    A line that is no JSON object is kept as {"raw": line}. One of more than `room` bytes is left out.
    """
    if trial.folder is None:
        return Files(_without(trial.problem))
    path = f"{trial.folder}/transcript.jsonl"
    try:
        with open_inside(trial.place, path) as stream:
            size = os.fstat(stream.fileno()).st_size
            if min(size, MOST) > room:
                return Files(_without(f"{megabytes(size)}; in {path} of the run folder"), 1, size)
            content = stream.read(MOST + 1)
    except (InputError, OSError):
        return Files(_without(None))
    told = None
    if len(content) > MOST:
        content = content[: content.rfind(b"\n", 0, MOST) + 1] or content[:MOST]
        kept = f"cut after {megabytes(len(content))} of {megabytes(size)}"
        told = f"{kept}; the rest is in {path} of the run folder"
    lines = b",".join(_line(line) for line in content.split(b"\n") if line.strip())
    text = b'"transcript":[' + lines + b'],"left_out":' + as_json(told) + b"}"
    return Files(text, int(told is not None), size - len(content))


def _without(why: str | None) -> bytes:
    return b'"transcript":null,"left_out":' + as_json(why) + b"}"


def _line(line: bytes) -> bytes:
    """The line as it stands if it is a JSON object, else what is in it."""
    try:
        text = line.decode("utf-8")
        if isinstance(json.loads(text, parse_constant=_refused), dict):
            return line.strip(b" \t\r\n")
    except (ValueError, RecursionError):
        text = line.decode("utf-8", "replace")
    return as_json({"raw": text})


def _refused(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def _inside(run: Path, name: str) -> bool:
    """Whether a folder of the run is one, and no part of its path a link."""
    place = run
    try:
        for part in name.split("/"):
            place = place / part
            if place.is_symlink():
                return False
        return place.is_dir()
    except OSError:  # a name that is too long
        return False


def megabytes(size: int) -> str:
    """ "12.3 MB", or "40 kB" below a tenth of that."""
    return f"{size / 1e6:,.1f} MB" if size >= 100_000 else f"{max(1, round(size / 1000))} kB"
