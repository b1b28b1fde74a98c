"""Whether a run is what was handed in: its own hashes, and those of the seal.json above it, which bundles and baselines have."""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from evalsuite.errors import InputError, RunError
from evalsuite.reporting.artifacts import open_inside
from evalsuite.reporting.comparable import flat
from evalsuite.reporting.sections import Section
from evalsuite.retrieval import seals as bundles
from evalsuite.retrieval.bundles import LIVE, SCORED, SEAL, read_sheet
from evalsuite.storage import read_manifest, sha256_json
from evalsuite.summary import verify

ABOVE = 3  # folders above a run folder in which its seal may lie
SHOWN = 3
TOLERANCE = 1e-9
HASH = re.compile(r"\b([0-9a-f]{12})[0-9a-f]{52}\b")


@dataclass(frozen=True)
class Seal:
    """seal.json of a folder: `files` has the hashes of what lies in it, by path from there; `bundle` is that of a bundle."""

    folder: Path
    content: dict[str, Any]
    files: dict[str, str]
    bundle: bundles.Seal | None


def seal_of(run: Path) -> Seal | None:
    """The seal that names this run, from the run folder or one of the folders above it.

    Raises RunError for one that cannot be read, and for a run that lies in a sealed bundle without being sealed.
    """
    here = run.resolve()
    own = [path for path in (here / "run.json", here / "results.jsonl") if path.is_file()]
    for folder in (here, *here.parents[:ABOVE]):
        if (folder / SEAL).is_file():
            seal = _read(folder)
            if all(path.relative_to(folder).as_posix() in seal.files for path in own):
                return seal
            if seal.bundle:
                raise RunError(f"lies inside a sealed bundle, whose {SEAL} does not name it", where=str(run))
    return None


def _read(folder: Path) -> Seal:
    source = folder / SEAL
    try:
        content = json.loads(source.read_bytes())
        files = dict(content["files"])
    except (ValueError, TypeError, KeyError) as error:
        raise RunError('must be a JSON object with {"files": {path: sha256}}', where=str(source)) from error
    return Seal(folder, content, files, bundles.read_seal(folder) if "tag" in content else None)


def _inside(run: Path, seal: Seal) -> str:
    return run.resolve().relative_to(seal.folder).as_posix()


def is_by_product(run: Path, seal: Seal | None) -> bool:
    """Whether it is a run of a bundle other than the one that sealing scored: no entry of its own."""
    return seal is not None and seal.bundle is not None and not _inside(run, seal).startswith(f"{SCORED}/")


def contradictions(section: Section, seal: Seal | None) -> list[str]:
    """What of a complete run is not what run.json says or, if it is sealed, not what the seal and summary.json say."""
    if seal is not None and seal.bundle is not None:
        wrong = bundles.altered(seal.folder, seal.bundle)
        return _mismatched(wrong) or list(_of_the_bundle(section, seal.bundle))
    files = section.manifest.files
    found = [f"{name} {why} run.json" for name in files if (why := _differs(section.folder, name, files[name]))]
    if seal is None or found:
        return found
    inside = _inside(section.folder, seal)
    own = [name for name in seal.files if inside == "." or name.startswith(f"{inside}/")]
    found = [f"{name} {why} {SEAL}" for name in own if (why := _differs(seal.folder, name, seal.files[name]))]
    if seal.content.get("sha256") != sha256_json({key: seal.content[key] for key in seal.content if key != "sha256"}):
        found.append(f"{SEAL} is not what its own sha256 was made of")
    return found or _mismatched(verify(section.folder)["mismatches"])


def _mismatched(entries: Sequence[dict[str, Any]]) -> list[str]:
    found = [f"{entry['what']}: stored {entry['stored']}, derived {entry['derived']}" for entry in entries]
    return [HASH.sub(r"\1...", line) for line in found]


def _differs(folder: Path, name: str, digest: str) -> str:
    try:
        with open_inside(folder, name) as stream:
            same = hashlib.file_digest(stream, "sha256").hexdigest() == digest
    except InputError:
        return "is missing or no plain file, and stands in"
    return "" if same else "is not what was hashed in"


def _of_the_bundle(section: Section, sealed: bundles.Seal) -> Iterator[str]:
    """What the seal of a bundle says of the corpus and the numbers, and the run does not."""
    if section.summary is None:
        return
    suite, summary = section.manifest.suite, section.summary.model_dump(mode="json")
    view, content = section.manifest.protocol.get("view"), sealed.model_dump(mode="json")
    if content["corpus"] != {"name": suite.name, "version": suite.version, "sha256": suite.sha256, "view": view}:
        yield f"{SEAL} is of another corpus than the run"
    for key in ("measures", "macro", "by_mechanism"):
        stored, derived = flat({key: content[key]}), flat({key: summary.get(key)})
        for name in dict.fromkeys([*stored, *derived]):
            if not _same(stored.get(name), derived.get(name)):
                yield f"{SEAL} {name}: stored {stored.get(name)}, derived {derived.get(name)}"


def _same(stored: Any, derived: Any) -> bool:
    if isinstance(stored, float) and isinstance(derived, float):
        return math.isclose(stored, derived, rel_tol=0, abs_tol=TOLERANCE)
    return bool(stored == derived)


def told(contradicted: Sequence[str]) -> str:
    """The first contradictions, as the reason why a run has no place."""
    more = len(contradicted) - SHOWN
    return f"does not verify: {'; '.join(contradicted[:SHOWN])}" + (f"; and {more:,} more" if more > 0 else "")


def named(section: Section, seal: Seal | None) -> Section:
    """A run of a bundle as its author hands it in: tag and team, track, and what the search took, which its run file cannot tell."""
    if seal is None or seal.bundle is None:
        return section
    own = {"name": f"{seal.bundle.tag} ({seal.bundle.team})", "track": seal.bundle.track}
    changed = {"system": {**section.manifest.system, **own}, "usage": _usage(seal.folder, seal.bundle)}
    return replace(section, manifest=section.manifest.model_copy(update=changed))


def _usage(folder: Path, sealed: bundles.Seal) -> dict[str, Any]:
    """What the search took: as measured on the live run that made the run file, else as submission.yaml declares."""
    for name, digest in sealed.files.items():
        live = re.fullmatch(rf"({LIVE}/[^/]+)/artifacts/run\.trec\.gz", name)
        if live and digest == sealed.run.sha256:
            return read_manifest(folder / live[1]).usage
    stated = read_sheet(folder).values
    search = stated.get(("resources", "search seconds"))
    return {
        "declared": True,
        "seconds": {"index": stated.get(("resources", "indexing seconds")), "search": search},
        "queries_per_second": sealed.n_queries / search if isinstance(search, int | float) and search > 0 else None,
        "cost": stated.get(("resources", "cost usd")),
    }
