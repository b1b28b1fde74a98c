"""Harness profiles: what surrounds a model when it works a matter. Data in YAML, one file each; names are those of the files."""

from __future__ import annotations

from pathlib import Path
from string import Formatter
from typing import Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError

from evalsuite.errors import InputError, UsageError
from evalsuite.lab.tools import Toolbox
from evalsuite.storage import sha256_json
from evalsuite.yamlfiles import load_yaml

FOLDER = Path(__file__).parent / "profiles"
ENDINGS = ("finish", "abandon")
SLOTS = ("tools", "deliverables", "memory")
BRACES = "the slots are {tools}, {deliverables}, {memory}, and any other brace is written twice: {{ }}"


class Context(BaseModel):
    """What happens when the conversation grows beyond `limit` characters."""

    model_config = ConfigDict(extra="forbid")

    strategy: Literal["full", "elide", "summary"] = Field(
        default="full",
        description="full: nothing, the trial ends when the model's window does; elide: old tool results become a stub that "
        "says how to read again; summary: the model sums up what it knows, and goes on from that",
    )
    limit: int = Field(default=400_000, gt=1000, description="characters")
    keep_turns: int = Field(
        default=4,
        ge=1,
        description="the last turns stay as they are; a summary leaves fewer where they alone are longer than `limit`",
    )


class Verify(BaseModel):
    """An independent reader between the work and its delivery: the same model, asked anew, without the documents."""

    model_config = ConfigDict(extra="forbid")

    times: int = Field(default=2, ge=1, description="it may send the work back so often")
    prompt: str = Field(
        min_length=1,
        description="what it is told, before the instruction and the drafts; the one word ACCEPT lets them pass, any "
        "other answer is sent back to the author",
    )


class Profile(BaseModel):
    """One harness. Any change of a value is another harness: results carry the hash."""

    model_config = ConfigDict(extra="forbid")

    name: str = ""
    about: str
    system: str = Field(description="system prompt; slots {tools}, {deliverables}, {memory}")
    tools: list[str] = Field(min_length=1, description="names of tools, finish and abandon among them")
    context: Context = Field(default_factory=Context)
    plan: str | None = Field(
        default=None,
        description="said when the model wants to write for the first time: it answers without tools, then writes",
    )
    review: str | None = Field(default=None, description="said once when the model wants to finish; it may then go on")
    verify: Verify | None = Field(default=None, description="who reads the work when the model wants to finish")
    memory: bool = Field(
        default=False, description="notes left with `remember` are shown in later trials of the same task"
    )
    consolidate: int | None = Field(
        default=None,
        ge=1,
        description="notes of more characters than this are merged by the model before the next trial",
    )
    settings: dict[str, JsonValue] = Field(
        default_factory=dict, description="of the model: temperature, max_tokens, ..."
    )

    @property
    def sha256(self) -> str:
        return sha256_json(self.model_dump(mode="json"))


def bundled() -> list[str]:
    """Names of the profiles that come with the package."""
    return sorted(path.stem for path in FOLDER.glob("*.yaml"))


def load_profile(spec: str) -> Profile:
    """A bundled profile by name, or any YAML file by path; `extends: NAME` takes over what it leaves out.

    A path in `extends` starts from the folder of the file it stands in. Raises UsageError or InputError.
    """
    return _load(spec, Path(), ())


def _load(spec: str, folder: Path, extended: tuple[Path, ...]) -> Profile:
    path = FOLDER / f"{spec}.yaml" if spec in bundled() else folder / spec
    if not path.is_file():
        raise UsageError(
            f"{spec!r} is not a profile; accepted: {', '.join(bundled())}, or the path of a YAML file",
            where=str(extended[-1]) if extended else "",
        )
    if path.resolve() in extended:
        raise InputError(f"extends: {spec!r} leads in a circle", where=str(extended[-1]))
    try:
        data = load_yaml(path.read_text(encoding="utf-8-sig"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise InputError(f"is not YAML ({' '.join(str(error).split())})", where=str(path)) from error
    if isinstance(data, dict) and "extends" in data:
        base = _load(str(data.pop("extends")), path.parent, (*extended, path.resolve()))
        data = _over(base.model_dump(exclude={"name"}), data)
    try:
        profile = Profile.model_validate(data)
    except ValidationError as error:
        problem = error.errors()[0]
        key = ".".join(map(str, problem["loc"])) or "the file"
        raise InputError(
            f"{key}: {problem['msg']}; keys: {', '.join(Profile.model_fields)}", where=str(path)
        ) from error
    accepted = (*Toolbox.TOOLS, *ENDINGS)
    if unknown := [name for name in profile.tools if name not in accepted]:
        raise InputError(f"tools: {unknown[0]!r} is none; accepted: {', '.join(accepted)}", where=str(path))
    _check_slots(profile, path)
    return profile.model_copy(update={"name": profile.name or path.stem})


def _over(base: dict[str, Any], data: dict[str, Any]) -> dict[str, Any]:
    """`data` over `base`; of `context`, `settings` and `verify` single keys."""
    inner = {
        key: {**(base[key] or {}), **data[key]}
        for key in ("context", "settings", "verify")
        if isinstance(data.get(key), dict)
    }
    return {**base, **data, **inner}


def _check_slots(profile: Profile, path: Path) -> None:
    try:
        fields = [(name, form, turn) for _, name, form, turn in Formatter().parse(profile.system) if name is not None]
    except ValueError as error:
        raise InputError(f"system: {error}; {BRACES}", where=str(path)) from error
    for name, form, turn in fields:
        if name not in SLOTS or form or turn:
            raise InputError(f"system: found the slot {{{name}}}; {BRACES}", where=str(path))
    if profile.consolidate and not profile.memory:
        raise InputError("consolidate: needs memory: true, it is about the notes", where=str(path))
    if profile.memory and "memory" not in [name for name, _, _ in fields]:
        raise InputError("system: a profile with memory needs the slot {memory}, where the notes go", where=str(path))
