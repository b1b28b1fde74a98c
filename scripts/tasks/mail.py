"""An .eml from a text in source/: header lines, a blank line, the body."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import parsedate_to_datetime
from pathlib import PurePath

from markup import SourceError

_HEADERS = ("From", "To", "Cc", "Date", "Subject", "Attachments")
_ONE_LINE = SMTP.clone(max_line_length=998)
_TYPES = {
    ".docx": "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
    ".xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
    ".pdf": "application/pdf",
    ".txt": "text/plain",
}


def attachments(text: str) -> list[str]:
    """The names in the line Attachments; "none ..." is none."""
    match = re.search(r"^Attachments: *(.*)$", text.partition("\n\n")[0], re.MULTILINE)
    names = re.split(r"[;,] *", match[1].strip()) if match else []
    return [] if not names or names[0].startswith("none") else [name for name in names if name]


def mail(text: str, attached: Callable[[str], bytes], where: str) -> bytes:
    """attached: gives the bytes of an attachment by its name."""
    head, _, body = text.partition("\n\n")
    message = EmailMessage(policy=SMTP)
    for number, line in enumerate(head.splitlines(), start=1):
        name, colon, value = line.partition(": ")
        if name not in _HEADERS or not colon:
            raise SourceError(f"{where}:{number}: expected one of {', '.join(_HEADERS)}, found {line[:60]!r}")
        if name != "Attachments":
            message[name] = value.strip().replace(">;", ">,")
    missing = [name for name in ("From", "To", "Date", "Subject") if name not in message]
    if missing:
        raise SourceError(f"{where}: lacks {', '.join(missing)}")
    digest = hashlib.sha256(text.encode()).hexdigest()
    sent = parsedate_to_datetime(message["Date"]).strftime("%Y%m%d%H%M%S")
    message["Message-ID"] = f"<{sent}.{digest[:8]}@{message['From'].addresses[0].domain}>"
    message.set_content(body.strip() + "\n", cte="quoted-printable")
    names = attachments(text)
    if unknown := [name for name in names if PurePath(name).suffix not in _TYPES]:
        raise SourceError(f"{where}: attachments may be {', '.join(_TYPES)}, found {', '.join(unknown)}")
    for name in names:
        main, _, sub = _TYPES[PurePath(name).suffix].partition("/")
        message.add_attachment(attached(name), maintype=main, subtype=sub, filename=name)
    if names:
        message.set_boundary(f"----=_Part_{digest[8:24]}")
    return message.as_bytes(policy=_ONE_LINE)
