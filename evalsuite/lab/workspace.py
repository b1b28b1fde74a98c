"""What the agent can see: the documents (never beside the rubric), an empty output folder, and nothing else."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self

from evalsuite.errors import InputError, UsageError, shown
from evalsuite.storage import sha256_file

NOBODY = 65534  # the user of every sandbox that root starts


class Workspace:
    """One trial's folders. `documents` is read where it lies and never copied, unless a sandbox could not read it there.

    root: holds everything made here      documents: readable files      output: the agent's own      temporary: its /tmp
    scratch: whatever the agent's code keeps for the trial      refused: what `seal` left out, as (name, why)
    """

    def __init__(self, root: Path, documents: Path) -> None:
        self.root, self.documents = root, documents
        self.output, self.temporary = root / "output", root / "tmp"
        self.scratch: dict[str, Any] = {}
        self.refused: list[tuple[str, str]] = []

    @classmethod
    def create(cls, documents: Path, at: Path) -> Workspace:
        """Make the folder `at` with an empty output/. A task without documents gets an empty folder for them.

        Raises UsageError if `at` already holds something, InputError for documents that are symlinks to the outside,
        devices or pipes.
        """
        at = Path(os.path.abspath(at))  # noqa: PTH100 - resolve() would follow links
        if at.exists() and any(at.iterdir()):
            raise UsageError("a workspace is made in a new folder; this one is not empty", where=str(at))
        readable = not documents.is_dir() or _check(documents.resolve())
        for folder in (at, at / "output", at / "tmp"):
            folder.mkdir(parents=True, exist_ok=True)
        workspace = cls(at, documents.resolve())
        if not documents.is_dir():
            workspace.documents = at / "documents"
            workspace.documents.mkdir()
        elif os.geteuid() == 0 and not readable:
            workspace.copy_documents()
        return workspace

    def copy_documents(self) -> None:
        """Copy the documents into root/documents, readable for everybody; does nothing if they are there."""
        inside = self.root / "documents"
        if self.documents == inside:
            return
        shutil.copytree(self.documents, inside)
        for path in (inside, *inside.rglob("*")):
            path.chmod(0o755 if path.is_dir() else 0o444)
        self.documents = inside

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """Remove the workspace's folder. Copy what is to be kept out of `output` before."""
        try:
            shutil.rmtree(self.root)
        except (OSError, RecursionError):  # folders without rights, or deeper than Python goes
            subprocess.run(["chmod", "-R", "u+rwX", "--", self.root], check=False, stderr=subprocess.DEVNULL)
            subprocess.run(["rm", "-rf", "--", self.root], check=False, stderr=subprocess.DEVNULL)

    def seal(self) -> dict[str, str]:
        """{"memo.docx": sha256} of the regular files in output/, sorted by name.

        Symlinks, hard links, devices, pipes and names that cannot be printed are left out and listed in `refused`.
        """
        self.refused = []
        if self.output.is_symlink() or not self.output.is_dir():
            self.refused.append(("output", "is not the folder it was"))
            return {}
        sealed = {}
        for path in sorted(_walk(self.output)):
            name = path.relative_to(self.output).as_posix()
            why = _objection(path, name)
            if why:
                self.refused.append((shown(name)[1:-1], why))
            elif not path.is_dir():
                sealed[name] = sha256_file(path)
        return sealed


def _objection(path: Path, name: str) -> str:
    """Why something in output/ is no deliverable, or ""."""
    status = path.lstat()
    if not name.isprintable():
        return "its name cannot be printed"
    if stat.S_ISLNK(status.st_mode):
        return "is a symbolic link"
    if stat.S_ISDIR(status.st_mode):
        return ""
    if not stat.S_ISREG(status.st_mode):
        return "is a device, a pipe or a socket"
    return "is a hard link: it has another name" if status.st_nlink > 1 else ""


def _walk(folder: Path) -> Iterator[Path]:
    """Everything below a folder, never through a symlink."""
    waiting = [folder]
    while waiting:
        with os.scandir(waiting.pop()) as entries:
            for entry in entries:
                yield Path(entry.path)
                if entry.is_dir(follow_symlinks=False):
                    waiting.append(Path(entry.path))


def regular_files(folder: Path) -> Iterator[str]:
    """Names below a folder ("leases/a.docx") of its regular files, and of symlinks to files inside it."""
    waiting = [""]
    real = folder.resolve()
    while waiting:
        below = waiting.pop()
        with os.scandir(folder / below) as entries:
            for entry in entries:
                name = f"{below}{entry.name}"
                if entry.is_dir(follow_symlinks=False):
                    waiting.append(f"{name}/")
                elif entry.is_file(follow_symlinks=False) or (entry.is_symlink() and _leads_to_file(entry, real)):
                    yield name


def _leads_to_file(entry: os.DirEntry[str], folder: Path) -> bool:
    try:
        return entry.is_file() and Path(entry.path).resolve().is_relative_to(folder)
    except (OSError, RuntimeError):  # a link that leads in a circle
        return False


def _check(documents: Path) -> bool:
    """Whether everybody may read the documents. Raises InputError for what must not be among them."""
    readable = bool(documents.stat().st_mode & 0o005 == 0o005)
    waiting = [str(documents)]
    while waiting:
        with os.scandir(waiting.pop()) as entries:
            for entry in entries:
                if entry.is_symlink():
                    if not _leads_to_file(entry, documents):
                        raise InputError(
                            "is a symlink that leads to no file inside the documents folder", where=entry.path
                        )
                    continue
                mode = entry.stat(follow_symlinks=False).st_mode
                if stat.S_ISDIR(mode):
                    waiting.append(entry.path)
                    readable &= mode & 0o005 == 0o005
                elif stat.S_ISREG(mode):
                    readable &= bool(mode & 0o004)
                else:
                    raise InputError("is a device, a pipe or a socket, not a document", where=entry.path)
    return readable
