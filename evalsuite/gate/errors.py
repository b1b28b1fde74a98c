"""How a gate can end without a verdict."""

from __future__ import annotations

from collections.abc import Sequence

from evalsuite.errors import EvalsuiteError


class GateError(EvalsuiteError):
    """There is no number to judge: a crash, an ungraded criterion, runs that cannot be compared. Never a failure."""

    kind = "gate"

    def __init__(self, message: str, *, where: str = "", lines: Sequence[str] = ()) -> None:
        super().__init__(message, where=where)
        self.lines = lines
        """What is to blame, a line each."""

    def __str__(self) -> str:
        return "\n  ".join([super().__str__(), *self.lines])


class GateSkipped(EvalsuiteError):  # noqa: N818 - it is no error
    """Nothing was run, for a reason: the budget is spent, or a model would have to be asked."""

    kind = "skipped"


class RegressionError(AssertionError):
    """A threshold is not met; the message has the numbers and the worst queries or criteria."""
