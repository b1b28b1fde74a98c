"""Run folders: create, append, resume, load, verify the bytes. The only place that writes them.

<run>/run.json        manifest, replaced atomically        <run>/results.jsonl   append-only, one unit a line
<run>/artifacts/      whatever the wing keeps              <run>/summary.json    derived
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any

from pydantic import ValidationError

from evalsuite.errors import InputError, RunError, at
from evalsuite.records import Manifest, QueryResult, Status
from evalsuite.textfiles import read_jsonl


def now() -> str:
    """The current time, ISO 8601, UTC, to the second."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def sha256_file(path: Path) -> str:
    """Hex sha256 of a file's bytes."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def sha256_json(value: Any) -> str:
    """Hex sha256 of a JSON value in canonical form (sorted keys, no spaces)."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()


def identity(manifest: Manifest) -> str:
    """What makes two runs the same run: a hash of suite, system, protocol and environment, without measured facts."""
    parts = manifest.model_dump(mode="json", include={"suite", "system", "protocol", "environment"})
    parts["system"].pop("facts", None)
    return sha256_json(parts)


@contextlib.contextmanager
def atomic_file(path: Path) -> Iterator[IO[bytes]]:
    """Write a whole file or none: a temporary neighbour, synced, then renamed over `path`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    scratch = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with scratch.open("wb") as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        scratch.replace(path)
    except BaseException:
        scratch.unlink(missing_ok=True)
        raise


def write_json(path: Path, value: Any) -> None:
    """Replace `path` atomically by indented JSON. NaN is refused: a number that is not one is null in our files."""
    with atomic_file(path) as stream:
        stream.write((json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n").encode())


class RunWriter:
    """A run folder under construction, locked against a second writer.

    Opening an unfinished folder resumes it: a torn last line of results.jsonl is dropped, `done` holds the ids that
    are already graded. Raises RunError if another process is writing the folder.
    """

    def __init__(self, path: Path, manifest: Manifest) -> None:
        self.path = path
        (path / "artifacts").mkdir(parents=True, exist_ok=True)
        self._lock = (path / ".lock").open("w")
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            self._lock.close()
            raise RunError("another process is writing this run", where=str(path)) from error
        stored = read_manifest(path) if (path / "run.json").exists() else None
        self.manifest = manifest.model_copy(update={"started_at": stored.started_at if stored else now()})
        self.done = {unit.id for unit in self._repair()}
        self._results = (path / "results.jsonl").open("ab")
        self.save()

    def _repair(self) -> list[QueryResult]:
        results = self.path / "results.jsonl"
        if not results.exists() or results.stat().st_size == 0:
            return []
        with results.open("rb+") as stream:
            content = stream.read()
            whole = content.rfind(b"\n") + 1
            if whole < len(content):
                stream.truncate(whole)
        return read_units(self.path) if whole else []

    def save(self) -> None:
        """Write run.json."""
        write_json(self.path / "run.json", self.manifest.model_dump(mode="json"))

    def append(self, units: Iterable[QueryResult]) -> None:
        """Add graded units and sync them to disk before returning."""
        lines = [unit.model_dump_json(by_alias=True).encode() + b"\n" for unit in units]
        self._results.write(b"".join(lines))
        self._results.flush()
        os.fsync(self._results.fileno())

    def close(self, status: Status, **changes: Any) -> Manifest:
        """End the run: hashes of what was written go into run.json, the lock is released."""
        self._results.close()
        files = {}
        if status == "complete":
            kept = [
                self.path / "results.jsonl",
                *sorted(p for p in (self.path / "artifacts").rglob("*") if p.is_file()),
            ]
            files = {str(p.relative_to(self.path)): sha256_file(p) for p in kept}
        self.manifest = self.manifest.model_copy(
            update={"status": status, "finished_at": now(), "files": files, **changes}
        )
        self.save()
        self._lock.close()
        (self.path / ".lock").unlink(missing_ok=True)
        return self.manifest


def read_manifest(path: Path) -> Manifest:
    """run.json of a run folder. Raises RunError that says what is missing or wrong."""
    if not path.is_dir():
        raise RunError("no such run folder", where=str(path))
    source = path / "run.json"
    if not source.exists():
        raise RunError("is not a run folder: it has no run.json", where=str(path))
    try:
        return Manifest.model_validate_json(source.read_bytes())
    except ValidationError as error:
        raise RunError(_first_problem(error), where=str(source)) from error


def read_units(path: Path) -> list[QueryResult]:
    """All graded units of a run folder's results.jsonl, in file order."""
    source = path / "results.jsonl"
    units: list[QueryResult] = []
    seen: dict[str, int] = {}
    for line, record in read_jsonl(source):
        try:
            unit = QueryResult.model_validate(record)
        except ValidationError as error:
            raise InputError(_first_problem(error), where=at(source, line)) from error
        if unit.id in seen:
            raise InputError(
                f"query {unit.id!r} is graded twice, first on line {seen[unit.id]}", where=at(source, line)
            )
        if units and unit.measures.keys() != units[0].measures.keys():
            found, wanted = ", ".join(unit.measures), ", ".join(units[0].measures)
            raise InputError(f"has the measures {found}; the first query has {wanted}", where=at(source, line))
        seen[unit.id] = line
        units.append(unit)
    return units


def _first_problem(error: ValidationError) -> str:
    problem = error.errors()[0]
    key = ".".join(str(part) for part in problem["loc"]) or "the record"
    return f"{key}: {problem['msg']}"
