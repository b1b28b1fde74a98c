"""Run folders: create, append, resume, load, verify the bytes. The only place that writes them.

<run>/run.json        manifest, replaced atomically        <run>/results.jsonl   append-only, one unit a line
<run>/artifacts/      whatever the wing keeps              <run>/summary.json    derived
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import importlib.metadata
import json
import os
import platform
import re
import threading
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any

from pydantic import TypeAdapter, ValidationError

from evalsuite.errors import InputError, RunError, UsageError, at, shown
from evalsuite.records import CriterionResult, Manifest, QueryResult, Status, Unit
from evalsuite.textfiles import read_jsonl, read_lines

_unit: TypeAdapter[Unit] = TypeAdapter(Unit)
_canonical = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def now() -> str:
    """The current time, ISO 8601, UTC, to the second."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def sha256_file(path: Path) -> str:
    """Hex sha256 of a file's bytes."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def sha256_json(value: Any) -> str:
    """Hex sha256 of a JSON value in canonical form (sorted keys, no spaces)."""
    return hashlib.sha256(_canonical.encode(value).encode("utf-8", "surrogatepass")).hexdigest()


def identity(manifest: Manifest) -> str:
    """What makes two runs the same run: a hash of suite, system, protocol and environment, without measured facts."""
    parts = manifest.model_dump(mode="json", include={"suite", "system", "protocol", "environment"})
    parts["system"].pop("facts", None)
    return sha256_json(parts)


def default_cache() -> Path:
    """$EVALSUITE_CACHE, else ~/.cache/evalsuite."""
    return Path(os.environ.get("EVALSUITE_CACHE") or Path.home() / ".cache" / "evalsuite")


def slug(text: str) -> str:
    """A name as part of a folder name: letters, digits and dots, at most 60 characters."""
    return re.sub(r"[^A-Za-z0-9.]+", "-", text).strip("-.")[:60] or "unnamed"


def environment(packages: Iterable[str]) -> dict[str, Any]:
    """What a result may depend on besides its inputs: our code, Python, the platform, the named packages."""
    return {
        "evalsuite": importlib.metadata.version("evalsuite"),
        "source_sha256": _source_hash(),
        "python": platform.python_version(),
        "platform": platform.platform(),
        "cpus": os.cpu_count(),
        "packages": {name: importlib.metadata.version(name) for name in packages},
    }


def _source_hash() -> str:
    """Hash of the package's own code: results of other code are never reused."""
    digest = hashlib.sha256()
    for file in sorted(p for p in Path(__file__).parent.rglob("*") if p.suffix in (".py", ".yaml")):
        digest.update(file.read_bytes())
    return digest.hexdigest()[:16]


def require_folder(folder: Path, role: str) -> Path:
    """`folder` itself if it is one or can become one. Raises UsageError naming the file that is in the way."""
    above = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    if not above.is_dir():
        raise UsageError(f"{above} is a file; the {role} must be a folder")
    if not os.access(above, os.W_OK | os.X_OK):
        raise UsageError(f"{above} cannot be written; the {role} must be a folder that can")
    return folder


@contextlib.contextmanager
def atomic_file(path: Path, *, sync: bool = True) -> Iterator[IO[bytes]]:
    """Write a whole file or none: a temporary neighbour, synced, then renamed over `path`.

    Without `sync` it survives the death of the process, but maybe not that of the machine: for caches.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    scratch = path.with_name(f".{path.name}.{os.getpid()}.{threading.get_ident()}.tmp")
    try:
        with scratch.open("wb") as stream:
            yield stream
            stream.flush()
            if sync:
                os.fsync(stream.fileno())
        scratch.replace(path)
    except BaseException as error:
        scratch.unlink(missing_ok=True)
        if isinstance(error, OSError) and error.filename in (None, str(scratch)):
            error.filename = str(path)
        raise


def write_json(path: Path, value: Any) -> None:
    """Replace `path` atomically by indented JSON. NaN is refused: a number that is not one is null in our files."""
    with atomic_file(path) as stream:
        stream.write((json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n").encode())


def trial_folder(run: Path, task: str, trial: int) -> Path:
    """Where a lab run keeps a trial's transcript, deliverables and extracted texts.

    Raises InputError if the task id is no path of plain names.
    """
    parts = task.split("/")
    if not task or any(part in ("", ".", "..") or re.search(r"[\\\0]", part) for part in parts):
        raise InputError(f"the task id must be a slash path like area/task; found {shown(task)}")
    return run / "artifacts" / "__".join(parts) / f"trial-{trial}"


def place_run(out: Path, label: str, *, fresh: bool, resume: bool, reuse: bool) -> Path:
    """The folder for a run whose name is `label`: an unfinished one to `resume`, a complete one to `reuse`, or a new one."""
    for number in range(1, 10_000):
        path = out / (label if number == 1 else f"{label}-{number}")
        if not (path / "run.json").exists():
            return path
        complete = read_manifest(path).status == "complete"
        if not fresh and (reuse if complete else resume):
            return path
    raise RunError("holds 10,000 runs of one system", where=str(out))


class RunWriter:
    """A run folder under construction, locked against a second writer.

    Opening an unfinished folder resumes it: a torn last line of results.jsonl is dropped, `done` holds the units that
    are already graded for good and `errors` the criteria that are not. Raises RunError if another process is writing the folder.
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
        units = self._repair()
        self.done = {unit.key: unit for unit in units if unit.final}
        self.errors = {unit.key: unit for unit in units if isinstance(unit, CriterionResult) and not unit.final}
        self._results = (path / "results.jsonl").open("ab")
        self.save()

    def _repair(self) -> list[Unit]:
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

    def append(self, units: Iterable[Unit], *, sync: bool = True) -> None:
        """Add graded units; final ones are `done` from then on.

        They survive the death of the process once this returns, and with `sync` that of the machine too. What an earlier
        attempt at a criterion cost is carried over.
        """
        added = list(units)
        for unit in added:
            if isinstance(unit, CriterionResult):
                before = self.errors.pop(unit.key, None)
                unit.earlier = [*before.earlier, *(v for v in before.votes if not v.cached)] if before else unit.earlier
                if not unit.final:
                    self.errors[unit.key] = unit
        lines = [unit.model_dump_json(by_alias=True).encode() + b"\n" for unit in added]
        try:
            self._results.write(b"".join(lines))
            self._results.flush()
            if sync:
                os.fsync(self._results.fileno())
        except OSError as error:
            error.filename = str(self.path / "results.jsonl")
            raise
        self.done.update((unit.key, unit) for unit in added if unit.final)

    def close(self, status: Status, **changes: Any) -> Manifest:
        """End the run: hashes of what was written go into run.json, the lock is released."""
        self._results.close()
        files = {}
        if status == "complete":
            kept = [
                self.path / "results.jsonl",
                *sorted(p for p in (self.path / "artifacts").rglob("*") if p.is_file() and not p.is_symlink()),
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
    if not source.is_file():
        raise RunError("must be a plain file", where=str(source))
    try:
        return Manifest.model_validate_json(source.read_bytes())
    except ValidationError as error:
        raise RunError(_first_problem(error), where=str(source)) from error


def read_units(path: Path, *, torn: bool = False) -> list[Unit]:
    """All graded units of a run folder's results.jsonl, in file order.

    A unit that was an error and was graded again stands once, as it was graded last. With `torn` a last line that a kill
    cut off is left out. Raises InputError for a line that is not a unit of this run, and for a unit graded twice.
    """
    source = path / "results.jsonl"
    units: dict[tuple[str, ...], Unit] = {}
    first: dict[tuple[str, ...], int] = {}
    measures: list[str] | None = None
    for line, unit in _whole(source) if torn else _parsed(source):
        key = unit.key
        if key in units and not units[key].final:
            del units[key]
        elif key in units:
            named = " ".join(repr(part) for part in key[1:])
            raise InputError(f"{unit.unit} {named} is graded twice, first on line {first[key]}", where=at(source, line))
        if isinstance(unit, QueryResult):
            measures = measures or list(unit.measures)
            if unit.measures.keys() != set(measures):
                found, wanted = ", ".join(unit.measures), ", ".join(measures)
                raise InputError(f"has the measures {found}; the first query has {wanted}", where=at(source, line))
        units[key] = unit
        first[key] = line
    return list(units.values())


def _whole(source: Path) -> Iterator[tuple[int, Unit]]:
    """The same as `_parsed`, up to a last line that has no line break and is no unit; lines added meanwhile are left out."""
    size, taken = source.stat().st_size if source.is_file() else 0, 0
    try:
        for taken, unit in _parsed(source):
            yield taken, unit
    except InputError:
        if source.read_bytes()[:size].count(b"\n") > taken:
            raise


def _parsed(source: Path) -> Iterator[tuple[int, Unit]]:
    """(line number, unit), read from the JSON text at once (3x); from a line on that cannot be, as a record."""
    taken = 0
    for taken, text in read_lines(source):
        try:
            unit = _unit.validate_json(text)
        except ValidationError:
            break
        yield taken, unit
    else:
        return
    for line, record in read_jsonl(source):
        if line >= taken:
            try:
                unit = _unit.validate_python({"unit": "query", **record})
            except ValidationError as error:
                raise InputError(_first_problem(error), where=at(source, line)) from error
            yield line, unit


def _first_problem(error: ValidationError) -> str:
    problem = error.errors()[0]
    key = ".".join(str(part) for part in problem["loc"]) or "the record"
    return f"{key}: {problem['msg']}"
