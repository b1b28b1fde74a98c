"""Reading other people's files: lines and JSON records, with the line number in every error.

Read as meant: UTF-8 with or without a BOM, LF or CRLF, gzip (by its magic bytes), a missing final newline.
Refused: directories, empty files, truncated gzip, invalid UTF-8, lines over `MAX_LINE_BYTES`.
"""

from __future__ import annotations

import gzip
import json
import math
import zlib
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import IO, Any, cast

import jsonlines

from evalsuite.errors import InputError, at, shown

MAX_LINE_BYTES = 8 * 1024 * 1024

# What a reader does with a line that cannot be taken: raise its error, or note it and go on with the next line.
Refuse = Callable[[InputError], None]


def refuse(error: InputError) -> None:
    """Raise the error: what every reader does that is not told otherwise."""
    raise error


def require_file(path: Path) -> Path:
    """`path` itself if it is a non-empty file. Raises InputError if missing, a directory or empty."""
    if not path.exists():
        raise InputError("no such file", where=str(path))
    if path.is_dir():
        raise InputError("is a directory; a file is needed here", where=str(path))
    if not path.is_file():
        raise InputError("is a pipe or a device; it is read more than once, so write it to a file", where=str(path))
    if path.stat().st_size == 0:
        raise InputError("the file is empty", where=str(path))
    return path


def _open(path: Path) -> IO[bytes]:
    require_file(path)
    try:
        raw = path.open("rb")
    except OSError as error:
        raise InputError(f"cannot be opened: {error.strerror}", where=str(path)) from error
    if raw.peek(2)[:2] == b"\x1f\x8b":
        raw.close()
        return cast(IO[bytes], gzip.open(path, "rb"))
    if path.suffix == ".gz":
        raw.close()
        raise InputError("is named .gz but does not hold gzip data", where=str(path))
    return raw


def identifier(record: dict[str, Any], key: str, where: str) -> str:
    """An id of a JSON record: a non-empty string, or a whole number read as its digits. Raises InputError otherwise."""
    value = record.get(key)
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    if not isinstance(value, str) or not value:
        raise InputError(f"key {key!r} must be a non-empty string; found {shown(value)}", where=where)
    if any(character in value for character in "\t\r\n"):
        raise InputError(f"the id {shown(value)} holds a tab or line break, which no run file can carry", where=where)
    return value


def number(value: object, what: str, where: str) -> float:
    """A finite number from a file's text or JSON, in plain ASCII. Raises InputError that quotes what was found."""
    text = value if isinstance(value, str) else ""
    if isinstance(value, (str, int, float)) and not isinstance(value, bool) and text.isascii() and "_" not in text:
        try:
            found = float(value)
        except (ValueError, OverflowError):
            pass
        else:
            if math.isfinite(found):
                return found
            raise InputError(f"the {what} must be finite; found {value}", where=where)
    raise InputError(f"the {what} must be a number; found {shown(value)}", where=where)


def read_lines(path: Path, refuse: Refuse = refuse) -> Iterator[tuple[int, str]]:
    """Yield (line number from 1, line without its end) of a text file, one line in memory at a time.

    A line that is not UTF-8 goes to `refuse`; damage after which nothing can be read is raised in any case.
    """
    number = 0
    with _open(path) as stream:
        while True:
            try:
                raw = stream.readline(MAX_LINE_BYTES + 1)
            except (EOFError, zlib.error, gzip.BadGzipFile) as error:
                raise InputError(f"gzip data is cut short or damaged ({error})", where=at(path, number + 1)) from error
            if not raw:
                break
            number += 1
            if len(raw) > MAX_LINE_BYTES:
                raise InputError(f"the line is longer than {MAX_LINE_BYTES // 2**20} MiB", where=at(path, number))
            if number == 1 and raw.startswith(b"\xef\xbb\xbf"):
                raw = raw[3:]
            try:
                text = raw.decode("utf-8")
            except UnicodeDecodeError as error:
                fault = InputError(f"is not UTF-8 at byte {error.start + 1} of the line", where=at(path, number))
                fault.__cause__ = error
                refuse(fault)
                continue
            yield number, text.rstrip("\r\n")
    if number == 0:
        raise InputError("the file is empty", where=str(path))


def unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A JSON object, as `object_pairs_hook` makes it. Raises ValueError for a key that appears twice."""
    table = dict(pairs)
    if len(table) < len(pairs):
        keys = [key for key, _ in pairs]
        raise ValueError(f"the key {next(key for key in keys if keys.count(key) > 1)!r} appears twice in one object")
    return table


def read_jsonl(path: Path, refuse: Refuse = refuse, *, unique: bool = False) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield (line number, object) of a JSON Lines file; blank lines are skipped, bad ones go to `refuse`.

    With `unique` a line is bad, too, where a key appears twice.
    """
    number = 0

    def lines() -> Iterator[str]:
        nonlocal number
        for number, text in read_lines(path, refuse):  # noqa: B007 - the outer name is what we are after
            yield text

    loads = partial(json.loads, object_pairs_hook=unique_keys) if unique else json.loads
    with jsonlines.Reader(lines(), loads=loads) as reader:
        while True:
            try:
                record = reader.read(type=dict, skip_empty=True)
            except EOFError:
                break
            except jsonlines.InvalidLineError as error:
                cause = error.__cause__ or error
                told = f"is not a JSON object ({cause}); found {shown(error.line)}"
            except RecursionError:
                told = "is nested too deeply to be read"
            else:
                yield number, record
                continue
            refuse(InputError(told, where=at(path, number)))
