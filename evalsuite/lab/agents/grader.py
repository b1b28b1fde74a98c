"""The reader of `verify`: sees the instruction and what would be handed in, never the rubric nor the work before it."""

from __future__ import annotations

import re
from pathlib import Path

from evalsuite.lab.documents import UnreadableError, read
from evalsuite.lab.workspace import regular_files

SENT_BACK = (
    "Before it was handed in, an independent reader sent your work back (time {number} of at most {times}):\n{points}\n"
    "Mend what is right in this, then end the work again."
)
_ACCEPTED = re.compile(r"[\W_]*accept(ed)?[\W_]*", re.IGNORECASE)
UNREAD = "not read before delivery"
"""Flag of a trial whose reader said neither ACCEPT nor what is wrong."""


def question(prompt: str, instruction: str, output: Path, *, limit: int, cache: Path | None) -> str:
    """What the reader is asked. Drafts beyond `limit` characters in all are cut, which is said."""
    parts, left = [prompt.strip(), f"# Instruction\n{instruction}", "# Delivered"], limit
    for name in sorted(regular_files(output)):
        try:
            text = read(output / name, name=name, cache=cache).text(anchors=False)
        except UnreadableError as error:
            parts.append(f"## {name}\n[cannot be read: {error.message}]")
            continue
        shown = text if len(text) <= left else f"{text[:left]}\n[cut here: {len(text):,} characters in all]"
        left = max(0, left - len(text))
        parts.append(f"## {name}\n{shown}")
    if len(parts) == 3:
        parts.append("[nothing]")
    return "\n\n".join(parts)


def accepted(answer: str) -> bool:
    """Whether the reader lets the work pass: the answer is the one word ACCEPT."""
    return bool(_ACCEPTED.fullmatch(answer))


def no_verdict(answer: str, *, cut: bool) -> str | None:
    """Why an answer is neither an acceptance nor points to send back; None if it is one of them."""
    if cut:
        return "the reader's answer was cut at the limit of output tokens"
    return None if answer.strip() else "the reader's answer was empty"
