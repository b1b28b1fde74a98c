"""Every error a user can cause: what is wrong, where, and what would be accepted."""

from __future__ import annotations

from pathlib import Path


class EvalsuiteError(Exception):
    """Base of all errors raised on purpose.

    `kind` is the stable machine name (the `error.kind` of `--json`), `where` is "file:line", a key or "".
    """

    kind = "error"

    def __init__(self, message: str, *, where: str = "") -> None:
        self.message = " ".join(message.split())
        self.where = where
        super().__init__(f"{where}: {self.message}" if where else self.message)


class UsageError(EvalsuiteError):
    """A command, option or argument that makes no sense: names what would be accepted."""

    kind = "usage"


class InputError(EvalsuiteError):
    """A file or record that cannot be taken as it stands."""

    kind = "bad_input"


class RunError(EvalsuiteError):
    """A run folder that is missing, locked, broken or not what it claims to be."""

    kind = "bad_run"


class MissingDependencyError(EvalsuiteError):
    """An optional package is needed: names the extra that installs it."""

    kind = "missing_dependency"


def at(path: str | Path, line: int | None = None, *, unit: str = "") -> str:
    """ "file:12", or "file, row 12" when the unit is not a line."""
    if line is None:
        return str(path)
    return f"{path}, {unit} {line}" if unit else f"{path}:{line}"


def shown(value: object, limit: int = 60) -> str:
    """A value as an error message quotes it: repr, cut to `limit` characters."""
    text = repr(value)
    return text if len(text) <= limit else text[: limit - 3] + "..."
