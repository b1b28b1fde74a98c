"""One JSON object from a file that somebody else wrote: what is wrong with it is said with its line or key."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from evalsuite.errors import InputError, at, shown
from evalsuite.textfiles import unique_keys


def read_object(path: Path) -> tuple[dict[str, Any], str]:
    """(the object, sha256 of the file's bytes). A BOM is accepted.

    Raises InputError for anything but one UTF-8 JSON object: NUL bytes, a key twice, NaN, half surrogate pairs.
    """
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise InputError(f"cannot be read: {error.strerror}", where=str(path)) from error
    if b"\0" in raw:
        line = raw[: raw.index(b"\0")].count(b"\n") + 1
        raise InputError("holds a NUL byte; JSON is UTF-8 text", where=at(path, line))
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw[: error.start].count(b"\n") + 1
        raise InputError("is not UTF-8", where=at(path, line)) from error
    try:
        data = json.loads(text, object_pairs_hook=unique_keys, parse_constant=_refuse)
        if "\\u" in text:
            _storable(data, "")
    except json.JSONDecodeError as error:
        raise InputError(f"is not valid JSON: {error.msg}", where=at(path, error.lineno)) from error
    except RecursionError as error:
        raise InputError("is nested too deeply to be read", where=str(path)) from error
    except ValueError as error:
        raise InputError(str(error), where=str(path)) from error
    if not isinstance(data, dict):
        raise InputError(f"must be a JSON object; found {shown(data)}", where=str(path))
    return data, hashlib.sha256(raw).hexdigest()


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is not a JSON number")


def _storable(value: Any, key: str) -> None:
    """Refuse escaped characters that no file or prompt can carry."""
    if isinstance(value, dict):
        for name, item in value.items():
            _storable(name, key)
            _storable(item, f"{key}.{name}" if key else name)
    elif isinstance(value, list):
        for number, item in enumerate(value):
            _storable(item, f"{key}[{number}]")
    elif isinstance(value, str) and any(c == "\0" or "\ud800" <= c <= "\udfff" for c in value):
        raise ValueError(f"{key} holds a NUL character or half a surrogate pair: {shown(value)}")
