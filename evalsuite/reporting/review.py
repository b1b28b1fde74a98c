"""What people say about verdicts: taken in from an export, kept beside the results, and applied to them.

<run>/reviews.jsonl   append-only, one `records.Review` a line. Results and summary.json never change.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import stat
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from pydantic import ValidationError

from evalsuite.errors import InputError, RunError, at, shown
from evalsuite.records import CriterionResult, Manifest, Review, Unit, Verdict
from evalsuite.reporting.sections import run_folders
from evalsuite.storage import read_manifest, read_units, sha256_json
from evalsuite.textfiles import read_lines, require_file

FORMAT, VERSION = "evalsuite-review", 1
FILE = "reviews.jsonl"
LISTED = 100
FEW = 8
Key = tuple[str, ...]


@dataclass(frozen=True)
class Taken:
    """What an import added to one run."""

    run: Path
    added: int
    already_there: int


@dataclass(frozen=True)
class Settled:
    """What the people who looked at one criterion came to.

    Reviewers who differ make it an error of kind `disputed`; "cannot be decided" by all of them one of kind `undecided`.
    """

    verdict: Verdict
    error_kind: str | None
    reviews: tuple[Review, ...]
    """The last of each reviewer."""


def unit_sha256(result: CriterionResult) -> str:
    """The hash that ties a review to exactly this verdict."""
    return record_hash(as_record(result))


def as_record(result: CriterionResult) -> dict[str, Any]:
    """A verdict as it stands in its line, keys that the line does not have left out: new ones change no hash."""
    try:
        return result.model_dump(mode="json", by_alias=True, exclude_unset=True)
    except UnicodeEncodeError:  # half a character in a key
        return result.model_dump(by_alias=True, exclude_unset=True)


def record_hash(record: dict[str, Any]) -> str:
    """The first 24 hex digits, 96 bits, of the sha256: a page of 120,000 verdicts has no room for more."""
    return sha256_json(record)[:24]


def read_reviews(folder: Path) -> list[Review]:
    """The reviews of a run folder in the order they were taken in; none where there is no reviews.jsonl.

    A torn last line is dropped. Raises InputError with file and line for any other that is no review, and RunError if
    reviews.jsonl is a link or no file.
    """
    path = folder / FILE
    if not os.path.lexists(path):
        return []
    with _regular(path, os.O_RDONLY) as stream:
        return _parsed(stream.read(), path)[0]


def _regular(path: Path, flags: int) -> IO[bytes]:
    try:
        handle = os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, 0o644)
    except OSError as error:
        if path.is_symlink() or path.is_dir():
            raise RunError("must be a plain file, and no link or folder", where=str(path)) from error
        raise
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        os.close(handle)
        raise RunError("must be a plain file, and no link or folder", where=str(path))
    return os.fdopen(handle, "rb+" if flags & os.O_RDWR else "rb", buffering=0)


def _parsed(content: bytes, path: Path) -> tuple[list[Review], int]:
    """The reviews, and how many bytes hold them: all but a torn last line. A last line may lack nothing but its end."""
    whole = content.rfind(b"\n") + 1
    lines = enumerate(content[:whole].split(b"\n"), start=1)
    reviews = [_review(line, at(path, number)) for number, line in lines if line.strip()]
    try:
        return [*reviews, *([_review(content[whole:], "")] if content[whole:].strip() else [])], len(content)
    except InputError:
        return reviews, whole


def _review(line: bytes, where: str) -> Review:
    try:
        return Review.model_validate(json.loads(line))
    except ValidationError as error:
        raise InputError(_told(error), where=where) from error
    except (ValueError, RecursionError) as error:
        raise InputError(f"is not a JSON object ({error}); found {shown(line)}", where=where) from error


def _told(error: ValidationError) -> str:
    problems = [(".".join(map(str, found["loc"])), found) for found in error.errors()]
    told = []
    for key, found in problems:
        what = found["msg"].removeprefix("Value error, ")
        told.append(f"{key}: {what}, found {shown(found['input'])}" if key else what)
    return ", ".join(told)


def import_reviews(source: Path | Any, runs: Sequence[Path]) -> list[Taken]:
    """Take reviews in: a file that the page exported, or such a document itself. What is there already is only counted.

    runs: run folders, or folders that hold some; every review finds its own by `run`. Either all reviews are taken in or
    none: raises InputError that lists every problem with its index. Killed on the way, the same import completes it.
    """
    where = str(source) if isinstance(source, Path) else "the reviews"
    entries = _entries(_loaded(source) if isinstance(source, Path) else source, where)
    folders: dict[str, list[tuple[Path, Manifest]]] = defaultdict(list)
    for folder in {folder.resolve(): folder for path in runs for folder in run_folders(path)}.values():
        manifest = read_manifest(folder)
        folders[manifest.run_id or folder.absolute().name].append((folder, manifest))
    fitting: dict[Path, list[tuple[int, Review]]] = defaultdict(list)
    problems: dict[int, str] = {}
    for number, entry in enumerate(entries):
        try:
            review = _valid(entry)
            fitting[_folder(review, folders)].append((number, review))
        except _ProblemError as error:
            problems[number] = str(error)
    for folder, numbered in fitting.items():
        results = _results(folder, {review.key: review for _, review in numbered})
        for number, review in numbered:
            if why := _unfit(review, results.get(review.key)):
                problems[number] = why
    if problems:
        told = [f"reviews[{number}]: {problem}" for number, problem in sorted(problems.items())]
        more = [f"and {len(told) - LISTED} more"] if len(told) > LISTED else []
        listed = "; ".join(told[:LISTED] + more)
        raise InputError(f"nothing was taken in, {len(problems)} of {len(entries)} are wrong: {listed}", where=where)
    return _append({folder: [review for _, review in numbered] for folder, numbered in fitting.items()})


class _ProblemError(Exception):
    """Why one review cannot be taken in."""


def _loaded(path: Path) -> Any:
    try:
        return json.loads(require_file(path).read_bytes())
    except (ValueError, RecursionError) as error:
        raise InputError(f"is not JSON ({error})", where=str(path)) from error


def _entries(document: Any, where: str) -> list[Any]:
    if not isinstance(document, dict) or document.get("format") != FORMAT:
        found = document.get("format") if isinstance(document, dict) else document
        raise InputError(f"is no export of reviews: 'format' must be {FORMAT!r}; found {shown(found)}", where=where)
    if document.get("version") != VERSION:
        raise InputError(f"'version' must be {VERSION}; found {shown(document.get('version'))}", where=where)
    if not isinstance(document.get("reviews"), list):
        raise InputError(f"'reviews' must be a list; found {shown(document.get('reviews'))}", where=where)
    entries: list[Any] = document["reviews"]
    return entries


def _valid(entry: Any) -> Review:
    try:
        review = Review.model_validate(entry)
        _line(review)
    except ValidationError as error:
        raise _ProblemError(_told(error)) from error
    except ValueError as error:
        raise _ProblemError("holds text that is not Unicode") from error
    return review


def _line(review: Review) -> bytes:
    return review.model_dump_json().encode() + b"\n"


def _folder(review: Review, folders: dict[str, list[tuple[Path, Manifest]]]) -> Path:
    found = folders.get(review.run, [])
    if not found:
        raise _ProblemError(f"no run {shown(review.run)} among {shown(sorted(folders), 200)}")
    if len(found) > 1:
        several = " and ".join(str(folder) for folder, _ in found)
        raise _ProblemError(f"{several} are all called {shown(review.run)}; give one of them")
    [(folder, manifest)] = found
    if manifest.kind != "lab":
        raise _ProblemError(f"{shown(review.run)} is a {manifest.kind} run; only verdicts of lab runs are reviewed")
    return folder


def _results(folder: Path, wanted: dict[Key, Review]) -> dict[Key, CriterionResult]:
    """The wanted verdicts of a run. A few are looked for in the lines that name them, else all lines are read (20x slower)."""
    if len(wanted) <= FEW:
        marks = [[_in_json(name) for name in (review.task, review.criterion)] for review in wanted.values()]
        found: dict[Key, CriterionResult] = {}
        with contextlib.suppress(ValidationError):
            for _, text in read_lines(folder / "results.jsonl"):
                if any(task in text and name in text for task, name in marks):
                    unit = CriterionResult.model_validate_json(text)
                    found[unit.key] = unit
            if wanted.keys() <= found.keys():
                return found
    units = read_units(folder, torn=read_manifest(folder).status != "complete")
    return {unit.key: unit for unit in units if isinstance(unit, CriterionResult)}


def _in_json(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


def _unfit(review: Review, result: CriterionResult | None) -> str | None:
    named = f"criterion {shown(review.criterion)} of {shown(review.task)}, trial {review.trial}"
    if result is None:
        return f"{named} is not in run {shown(review.run)}"
    if unit_sha256(result) != review.unit_sha256:
        return f"{named} was reviewed on another verdict: the run's is {result.verdict}, graded since or elsewhere"
    if result.verdict != review.machine:
        return f"machine: the verdict of {named} is {result.verdict}; found {review.machine!r}"
    return None


def _append(new: dict[Path, list[Review]]) -> list[Taken]:
    """Add to every run what it does not hold yet, to all or to none."""
    taken = []
    with contextlib.ExitStack() as stack:
        todo: list[tuple[IO[bytes], int, bytes]] = []
        for folder, reviews in sorted(new.items(), key=lambda item: item[0].resolve()):
            held = {_line(review) for review in read_reviews(folder)}
            if any(_line(review) not in held for review in reviews):
                stream = stack.enter_context(_locked(folder / FILE))
                content = stream.read()
                there, whole = _parsed(content, folder / FILE)
                held = {_line(review) for review in there}
                lines = [line for line in dict.fromkeys(map(_line, reviews)) if line not in held]
                begin = b"\n" if whole and content[whole - 1 : whole] != b"\n" else b""
                todo.append((stream, whole, begin + b"".join(lines)))
            else:
                lines = []
            taken.append(Taken(folder, len(lines), len(reviews) - len(lines)))
        try:
            for stream, whole, added in todo:
                _write(stream, whole, added)
        except BaseException:
            for stream, whole, _ in todo:
                stream.truncate(whole)
            raise
    return taken


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[IO[bytes]]:
    with _regular(path, os.O_RDWR | os.O_CREAT) as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        yield stream


def _write(stream: IO[bytes], whole: int, added: bytes) -> None:
    """Put `added` behind the first `whole` bytes, synced; a torn line behind them goes."""
    stream.truncate(whole)
    stream.seek(whole)
    rest = memoryview(added)
    while rest:
        rest = rest[stream.write(rest) :]
    os.fsync(stream.fileno())


def in_force(units: Iterable[Unit], reviews: Sequence[Review]) -> dict[Key, list[Review]]:
    """Per criterion the reviews of the verdict that it has; those of a verdict that was graded again since are left out."""
    by_key: dict[Key, list[Review]] = defaultdict(list)
    for review in reviews:
        by_key[review.key].append(review)
    found = {}
    for unit in units:
        if isinstance(unit, CriterionResult) and unit.key in by_key:
            digest = unit_sha256(unit)
            if valid := [review for review in by_key[unit.key] if review.unit_sha256 == digest]:
                found[unit.key] = valid
    return found


def settled(units: Iterable[Unit], reviews: Sequence[Review]) -> dict[Key, Settled]:
    """Per reviewed criterion what people came to."""
    return {key: _settle(found) for key, found in in_force(units, reviews).items()}


def _settle(reviews: list[Review]) -> Settled:
    last = {review.reviewer: review for review in sorted(reviews, key=lambda review: review.when)}
    verdicts = {review.verdict for review in last.values()}
    if len(verdicts) > 1:
        return Settled("error", "disputed", tuple(last.values()))
    [verdict] = verdicts
    return Settled(verdict, "undecided" if verdict == "error" else None, tuple(last.values()))


def reviewed_units(units: Sequence[Unit], reviews: Sequence[Review]) -> list[Unit]:
    """The units with the verdicts that people came to in place of the machine's. Votes are as they were."""
    found = settled(units, reviews)
    changed: list[Unit] = []
    for unit in units:
        if isinstance(unit, CriterionResult) and (to := found.get(unit.key)):
            share = None if to.verdict == "error" else unit.share
            unit = unit.model_copy(update={"verdict": to.verdict, "error_kind": to.error_kind, "share": share})
        changed.append(unit)
    return changed
