"""Numbers of a lab run in words, the same in the terminal and on the page."""

from __future__ import annotations

from typing import Any

from evalsuite.records import LabSummary, Rate

VERDICTS = {"pass": "✓ pass", "fail": "✗ fail", "error": "! error"}
MEASURES = {"criterion_rate": "criterion rate", "all_pass": "all-pass"}
HELPS = {1: "helps", -1: "harms", 0: "cannot be told"}


def rate(value: Rate) -> str:
    """ "0.369 [0.331, 0.408]", the reason where there is no interval; "withheld", and "-" for a rate of nothing."""
    if value.rate is None:
        return "withheld" if value.n else "-"
    if value.low is None or value.high is None:
        return f"{value.rate:.3f} [too few tasks for an interval]"
    return f"{value.rate:.3f} [{value.low:.3f}, {value.high:.3f}]"


def withheld(summary: LabSummary) -> str:
    """Why the headline is null: "3 errors, 2 trials never worked"."""
    broken = sum(trial.stop_reason == "error" for trial in summary.trials)
    missing = sum(task.missing_trials for task in summary.tasks)
    errors = summary.criteria["errors"]
    partial = sum(
        trial.all_pass is None and not trial.n_errors and trial.stop_reason != "error" for trial in summary.trials
    )
    parts = [
        count(errors, "error") if errors else "",
        f"{count(broken, 'trial')} whose agent broke" if broken else "",
        f"{count(missing, 'trial')} never worked" if missing else "",
        f"{count(partial, 'trial')} not graded in full" if partial else "",
    ]
    return ", ".join(filter(None, parts)) or f"{count(len(summary.problems), 'trial')} not graded in full"


def count(n: int, noun: str) -> str:
    """ "1 trial", "2 trials"."""
    return f"{n:,} {noun}" if n == 1 else f"{n:,} {noun}s"


def tokens(spent: dict[str, Any]) -> str:
    """ "1,200 / 340", with the share of the input that came from a cached prefix."""
    if spent["tokens"] == "unknown":
        return "unknown"
    how = "cached" if spent.get("prefix_reuse_source") == "reported" else "repeated prefix"
    reused = f" ({spent['prefix_reuse']:.0%} {how})" if spent["prefix_reuse"] else ""
    return f"{spent['tokens']['input']:,} / {spent['tokens']['output']:,}{reused}"


def cost(dollars: float | str) -> str:
    """ "$0.12", or "unknown"."""
    if isinstance(dollars, str):
        return dollars
    return f"${dollars:,.2f}" if dollars >= 0.01 or dollars == 0 else f"${dollars:.4f}"


def duration(seconds: float) -> str:
    """ "1.5 s", "12 min", "6 h 52 min"."""
    if seconds < 120:
        return f"{seconds:.1f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 120 else f"{minutes // 60:,} h {minutes % 60} min"
