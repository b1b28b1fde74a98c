"""One self-contained HTML page about any number of run folders: an overview that reads without script, and the data for one."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from markupsafe import Markup

from evalsuite.errors import UsageError
from evalsuite.records import Summary
from evalsuite.reporting.compare import pairs
from evalsuite.reporting.gridpage import grid_among
from evalsuite.reporting.opening import attention, failures, outcome, spent
from evalsuite.reporting.pack import pack
from evalsuite.reporting.paired import twin_differences
from evalsuite.reporting.rendering import environment
from evalsuite.reporting.script import policy, script, style
from evalsuite.reporting.sections import Section, collector_paused, read_sections
from evalsuite.reporting.standings import grouped, standings
from evalsuite.storage import atomic_file, now

LIMIT = 25_000_000


@dataclass(frozen=True)
class Page:
    """What was written."""

    path: Path
    n_runs: int
    n_failed: int


def build(paths: Iterable[Path], output: Path, *, limit: int = LIMIT, baseline: str | None = None) -> Page:
    """Write the page for run folders, or for folders that hold run folders.

    Texts that would make it larger than `limit` bytes stay in the run folders; the page says which. `baseline` is the harness
    that those of a grid are compared with; None: `minimal`, `default` or the first. Raises RunError or InputError, with file
    and line, for a folder that is none or is broken, UsageError for a baseline that a grid on the page does not have.
    """
    if output.is_dir():
        raise UsageError(f"{output} is a folder; the page needs a file name")
    sections = read_sections(paths)
    with atomic_file(output) as stream:
        write(sections, stream, limit=limit, baseline=baseline)
    return Page(output, len(sections), len(failures(sections)))


@collector_paused()
def write(
    sections: Sequence[Section],
    stream: IO[bytes],
    *,
    limit: int = LIMIT,
    served: bool = False,
    baseline: str | None = None,
) -> None:
    """The page as bytes of UTF-8. A `served` one saves reviews to the server it comes from."""
    head = _overview(sections, served, baseline).encode(errors="backslashreplace")
    own = f"<script>{script()}</script>\n".encode()
    comparable = _comparable(sections)
    tested = [pair for number, group in enumerate(comparable) for pair in _pairs(sections, group, number)]
    room = limit - len(head) - len(own)
    *details, index = pack(sections, comparable, tested, list(_twins(sections)), room, served=served)
    stream.write(head)
    stream.write(_block(*index))
    stream.write(own)  # shows the first rows while the browser still reads what follows, the criteria first
    for name, packed in details:
        stream.write(_block(name, packed))
    stream.write(b"</body>\n</html>\n")


def _block(name: str, packed: str) -> bytes:
    return f'<script type="text/plain" id="chunk-{name}">{packed}</script>\n'.encode()


def _pairs(sections: Sequence[Section], group: list[int], number: int) -> Iterator[dict[str, Any]]:
    """The paired differences of a group, over all its queries or tasks and then per mechanism."""
    runs = [sections[run] for run in group]
    mechanisms = {name: None for run in runs if isinstance(run.summary, Summary) for name in run.summary.by_mechanism}
    for mechanism in (None, *(mechanisms if len(mechanisms) > 1 else ())):
        for found in pairs(runs, mechanism=mechanism):
            where = {"group": number, "mechanism": mechanism, "a": group[found["a"]], "b": group[found["b"]]}
            yield {**found, **where}


def _twins(sections: Sequence[Section]) -> Iterator[dict[str, Any]]:
    for run, section in enumerate(sections):
        if isinstance(section.summary, Summary):
            for measure, found in twin_differences(section).items():
                yield {"run": run, "measure": measure, **found.model_dump(mode="json")}


def _comparable(sections: Sequence[Section]) -> list[list[int]]:
    """Places of the runs on the same data under the same protocol, retrievers and verifiers together."""
    found: dict[tuple[str, str, str], list[int]] = {}
    for number, section in enumerate(sections):
        manifest = section.manifest
        key = manifest.kind, manifest.suite.sha256, str(manifest.protocol.get("id", ""))
        found.setdefault(key, []).append(number)
    return list(found.values())


def _overview(sections: Sequence[Section], served: bool, baseline: str | None) -> str:
    comparable = grouped(sections)
    groups = [standings(group) for group in comparable]
    dates = sorted({section.manifest.started_at[:10] for section in sections if section.manifest.started_at})
    return (
        environment()
        .get_template("page.html")
        .render(
            policy=policy(served=served),
            style=Markup(style()),
            names=list(dict.fromkeys(section.manifest.suite.name for section in sections)),
            dates=" to ".join(dict.fromkeys([dates[0], dates[-1]])) if dates else "undated",
            created=now(),
            version=importlib.metadata.version("evalsuite"),
            sections=sections,
            failed=failures(sections),
            groups=groups,
            grids=[grid_among(group, baseline) for group in comparable],
            outcome=outcome,
            attention=attention(sections),
            spent=spent(sections),
            unfolded=False,
        )
    )
