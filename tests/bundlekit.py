"""A sound bundle for the small corpus of conftest, to be scored, sealed, or broken."""

import re
from pathlib import Path

from evalsuite.retrieval.submission import new

FILLED = {
    "tag": "overlap",
    "team": "a team",
    "libraries": "[python 3.11]",
    "cmd": "python search.py",
    "training data": "[]",
    "automatic": "true",
    "description": "shared words",
    "retrieval": "[overlap, {name: resort, depth: 10}]",
    "track": "none",
}
RUN = """\
q1 Q0 d5 1 3.5 overlap
q1 Q0 d3 2 2.5 overlap
q1 Q0 d1 3 1.5 overlap
q1 Q0 d2 4 0.5 overlap
q2 Q0 d2 1 2.0 overlap
q2 Q0 d5 2 1.0 overlap
q2 Q0 d1 3 0.5 overlap
q3 Q0 d1 1 2.0 overlap
q3 Q0 d4 2 1.5 overlap
q3 Q0 d6 3 0.5 overlap
"""


def fill(folder: Path, **changed: str) -> None:
    """Fill in what the template leaves open; keywords (spaces as _) change it."""
    sheet = folder / "submission.yaml"
    text = sheet.read_text(encoding="utf-8")
    for key, value in (FILLED | {key.replace("_", " "): value for key, value in changed.items()}).items():
        text, n = re.subn(rf"(?m)^( *){key}:  # NEEDED.*$", lambda m, k=key, v=value: f"{m[1]}{k}: {v}", text)
        assert n == 1, key
    sheet.write_text(text, encoding="utf-8")


def bundle_of(folder: Path, corpus: Path, run: str = RUN, name: str = "run.trec", **changed: str) -> Path:
    """A bundle of that run, filled in."""
    source = folder.parent / f"source-of-{folder.name}" / name
    source.parent.mkdir(parents=True, exist_ok=True)
    source.write_text(run, encoding="utf-8")
    new(folder, str(corpus), run=source)
    fill(folder, **changed)
    return folder


def edit(path: Path, old: str, new_text: str) -> None:
    text = path.read_text(encoding="utf-8")
    assert text.count(old) == 1, (old, text.count(old))
    path.write_text(text.replace(old, new_text), encoding="utf-8")
