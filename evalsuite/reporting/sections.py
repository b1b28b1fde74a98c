"""Run folders as a report reads them: what each was, what came out, and what people said about it since."""

from __future__ import annotations

import contextlib
import gc
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from evalsuite.errors import RunError, UsageError
from evalsuite.records import LabSummary, Manifest, Review, Summary, Unit
from evalsuite.storage import read_manifest, read_units
from evalsuite.summary import summarise


@dataclass(frozen=True)
class Section:
    """One run; `summary` is None where the run has no results to show."""

    folder: Path
    manifest: Manifest
    summary: Summary | LabSummary | None
    units: list[Unit]
    reviews: list[Review]

    @property
    def failed(self) -> bool:
        """Whether the run has no headline number."""
        return self.summary is None or (isinstance(self.summary, LabSummary) and self.summary.all_pass.rate is None)

    @property
    def run_id(self) -> str:
        return self.manifest.run_id or self.folder.absolute().name


def read_sections(paths: Iterable[Path]) -> list[Section]:
    """The runs of run folders, or of folders that hold run folders, each once.

    Raises RunError for anything else, InputError with file and line for a broken one.
    """
    folders = {folder.resolve(): folder for path in paths for folder in run_folders(path)}
    with collector_paused():
        return [read_section(folder) for folder in folders.values()]


def lab_sections(paths: Iterable[Path]) -> list[Section]:
    """The lab runs among them: only their verdicts are reviewed. Raises UsageError if there is none."""
    found = [section for section in read_sections(paths) if section.manifest.kind == "lab"]
    if not found:
        raise UsageError("there is no lab run among these; only verdicts of lab runs are reviewed")
    return found


@contextlib.contextmanager
def collector_paused() -> Iterator[None]:
    """No search for cycles meanwhile: among the millions of records of a large run it takes most of the time."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def run_folders(path: Path) -> list[Path]:
    """Run folders at or under `path`, sorted. Raises RunError if there is none.

    Hidden folders and what lies inside a run folder are not searched; a link to a run folder counts, other links to
    folders are not followed.
    """
    if not path.is_dir():
        raise RunError("no such run folder", where=str(path))
    found = []
    for place, folders, files in os.walk(path, onerror=_raise):
        here = Path(place)
        if "run.json" in (*files, *folders):  # a folder of that name is told when it is read
            folders.clear()
            found.append(here)
            continue
        found += [here / name for name in folders if (here / name).is_symlink() and (here / name / "run.json").exists()]
        folders[:] = sorted(name for name in folders if not name.startswith("."))
    if not found:
        raise RunError("is not a run folder and holds none", where=str(path))
    return sorted(found)


def _raise(error: OSError) -> None:
    raise error


def read_section(folder: Path) -> Section:
    """One run folder, finished or not. Numbers are derived anew; a part of a retrieval run has none."""
    from evalsuite.reporting.review import read_reviews

    manifest = read_manifest(folder)
    results = folder / "results.jsonl"
    units = (
        read_units(folder, torn=manifest.status != "complete") if results.exists() and results.stat().st_size else []
    )
    usable = units and (manifest.status == "complete" or manifest.kind == "lab")
    try:
        summary = summarise(manifest, units) if usable else None
    except RunError as error:  # it knows the run's name alone
        raise RunError(error.message, where=str(folder)) from error
    return Section(folder, manifest, summary, units, read_reviews(folder))
