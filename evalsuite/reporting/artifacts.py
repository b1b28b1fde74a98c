"""Opening a file of a run folder that somebody else wrote: never one outside it, never through a link."""

from __future__ import annotations

import os
import stat
from io import BufferedReader
from pathlib import Path

from evalsuite.errors import InputError, shown


def open_inside(folder: Path, name: str) -> BufferedReader:
    """Open `name`, a slash path inside `folder`. Raises InputError if it leads outside, over a link, or to no plain file."""
    parts = name.split("/")
    if any(part in ("", ".", "..") or "\0" in part for part in parts):
        raise InputError(f"must be a path inside the run folder; found {shown(name)}")
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        for part in parts:
            inner = os.open(part, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=handle)
            os.close(handle)
            handle = inner
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            raise InputError(f"is no file: {shown(name)}", where=str(folder))
    except (OSError, ValueError) as error:
        os.close(handle)
        raise InputError(f"holds no such file: {shown(name)}", where=str(folder)) from error
    except InputError:
        os.close(handle)
        raise
    return os.fdopen(handle, "rb")
