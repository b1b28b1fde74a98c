"""What people decided, as labels to calibrate judges on."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from evalsuite.errors import InputError
from evalsuite.records import CriterionResult
from evalsuite.reporting.artifacts import open_inside
from evalsuite.reporting.review import Settled, settled
from evalsuite.reporting.sections import lab_sections
from evalsuite.storage import atomic_file, trial_folder


def export_labels(runs: Iterable[Path], output: Path) -> tuple[int, dict[str, int]]:
    """Write one JSON object a line for every criterion that people decided. Returns (labels, {why: how many left out}).

    {"run", "task", "trial", "criterion", "title", "verdict", "reviews": [{"reviewer", "reason", "at"}], "machine",
    "votes": [{"judge", "verdict"}], "files": [{"name", "text": path in the run folder, "sha256"}]}. What is disputed or
    undecided has no label; `files` are those whose extracted text is in the run folder.
    """
    left_out: Counter[str] = Counter()
    labels = []
    for section in lab_sections(runs):
        found = settled(section.units, section.reviews)
        for unit in section.units:
            if isinstance(unit, CriterionResult) and (people := found.get(unit.key)):
                if people.error_kind:
                    left_out[people.error_kind] += 1
                else:
                    labels.append(_label(section.run_id, section.folder, unit, people))
    with atomic_file(output) as stream:
        for label in labels:  # half a surrogate pair, which UTF-8 cannot say, stays the escape that JSON has for it
            stream.write(json.dumps(label, ensure_ascii=False).encode(errors="backslashreplace") + b"\n")
    return len(labels), dict(left_out)


def _label(run: str, folder: Path, unit: CriterionResult, people: Settled) -> dict[str, Any]:
    return {
        "run": run,
        "task": unit.task,
        "trial": unit.trial,
        "criterion": unit.id,
        "title": unit.title,
        "verdict": people.verdict,
        "reviews": [review.model_dump(mode="json", include={"reviewer", "reason", "at"}) for review in people.reviews],
        "machine": unit.verdict,
        "votes": [{"judge": vote.judge, "verdict": vote.verdict} for vote in unit.votes],
        "files": _files(folder, unit),
    }


def _files(folder: Path, unit: CriterionResult) -> list[dict[str, str]]:
    whole = unit.resolved_file or ""
    return _text(folder, unit, whole) or [file for name in whole.split(", ") for file in _text(folder, unit, name)]


def _text(folder: Path, unit: CriterionResult, name: str) -> list[dict[str, str]]:
    try:
        extracted = trial_folder(folder, unit.task, unit.trial) / "extracted"
        place = f"{extracted.relative_to(folder).as_posix()}/{name}.txt"
        with open_inside(folder, place) as stream:
            return [{"name": name, "text": place, "sha256": hashlib.file_digest(stream, "sha256").hexdigest()}]
    except InputError:
        return []
