"""One command under watch: wall time, memory, what it prints and what it writes; nothing it started survives it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import selectors
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

MIB = 1024 * 1024
WATCH_SECONDS = 0.2
DEATH_SECONDS = 20.0
_WAITERS = ThreadPoolExecutor(max_workers=64, thread_name_prefix="sandbox")


class Completed(NamedTuple):
    """How a command ended: 124 after a timeout, 137 when it was killed for what it used. `output` holds stdout and stderr."""

    exit_code: int
    output: str
    timed_out: bool


@dataclass(frozen=True)
class Quota:
    """What one command may use. Sizes in bytes, times in seconds.

    `memory` holds per process (RLIMIT_AS) and, watched, for all of them; `disk` and `entries` are watched over the
    writable folders while the command runs, so a fast writer can go over by what it writes in `WATCH_SECONDS`.
    """

    memory: int = 4096 * MIB
    processes: int = 256
    cpu: int = 600
    file: int = 256 * MIB
    disk: int = 512 * MIB
    entries: int = 10_000
    depth: int = 32
    open_files: int = 1024
    printed: int = 64 * MIB
    answer: int = 100_000

    def prlimit(self, *, processes: bool = True) -> list[str]:
        """The prefix that sets the limits of one process, by util-linux's prlimit."""
        limits = {"as": self.memory, "cpu": self.cpu, "fsize": self.file, "nofile": self.open_files, "core": 0}
        if processes:
            limits["nproc"] = self.processes
        return ["prlimit", *(f"--{name}={value}" for name, value in limits.items()), "--"]


async def run(
    argv: Sequence[str],
    *,
    timeout: float,
    quota: Quota,
    folders: Sequence[Path] = (),
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    stop: Callable[[bool], None] = lambda killed: None,
) -> Completed:
    """Run `argv` in a thread of its own and wait for it; a cancelled wait kills the command before it returns.

    `stop(killed)` runs after the process group is dead and ends what is not in the group.
    """
    cancelled = threading.Event()
    work = asyncio.get_running_loop().run_in_executor(
        _WAITERS, lambda: execute(argv, timeout, quota, folders, cwd, env, stop, cancelled)
    )
    try:
        return await asyncio.shield(work)
    except asyncio.CancelledError:
        cancelled.set()
        await asyncio.wait({work})
        raise


def execute(
    argv: Sequence[str],
    timeout: float,
    quota: Quota,
    folders: Sequence[Path] = (),
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    stop: Callable[[bool], None] = lambda killed: None,
    cancelled: threading.Event | None = None,
) -> Completed:
    """The same, blocking."""
    process = subprocess.Popen(
        argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, cwd=cwd, env=env,
        start_new_session=True,
    )  # fmt: skip
    assert process.stdout is not None
    os.set_blocking(process.stdout.fileno(), False)
    printed = _Printed(process.stdout.fileno(), quota.answer)
    killed = ""
    try:
        deadline = time.monotonic() + timeout
        check = time.monotonic() + WATCH_SECONDS
        while not _ended(process.pid) and not killed:
            printed.wait(min(WATCH_SECONDS, max(deadline - time.monotonic(), 0)))
            now = time.monotonic()
            if now >= deadline:
                killed = f"timed out after {timeout:g} s"
            elif cancelled is not None and cancelled.is_set():
                killed = "cancelled"
            elif printed.total > quota.printed:
                killed = f"printed more than {quota.printed // MIB} MiB"
            elif now >= check:
                killed = _over_memory(process.pid, quota) or over_quota(folders, quota)
                check = time.monotonic() + WATCH_SECONDS
        timed_out = killed.startswith("timed out")
    finally:
        members = [] if _ended(process.pid) else list(_tree(process.pid))
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        stop(bool(killed) or not _ended(process.pid))
        process.wait()
        _await_death(members)
        printed.finish()
        process.stdout.close()
    output = printed.text()
    notes = [f"[killed: {killed}; nothing that it started is still running]"] if killed else []
    notes += [f"[{note}]" for note in trim(folders, quota)]
    if notes:
        output = "\n".join([output.rstrip("\n"), *notes] if output else notes)
    code = 124 if timed_out else 137 if killed else process.returncode
    return Completed(128 - code if code < 0 else code, output, timed_out)


def _ended(pid: int) -> bool:
    """Whether our child is dead, without reaping it: its process group's number stays ours."""
    return os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None


class _Printed:
    """The beginning and the end of what a command prints, in bounded memory."""

    def __init__(self, fd: int, limit: int) -> None:
        self.fd, self.half, self.total = fd, limit // 2, 0
        self.head, self.tail = bytearray(), bytearray()
        self.open = True
        self.selector = selectors.DefaultSelector()
        self.selector.register(fd, selectors.EVENT_READ)

    def wait(self, seconds: float) -> None:
        """Take what comes first, or wait: at most `seconds`, and only a moment once the pipe is closed."""
        if not self.open:
            time.sleep(min(seconds, 0.005))
        elif self.selector.select(seconds):
            self._take()

    def _take(self) -> bool:
        try:
            data = os.read(self.fd, 1 << 18)
        except BlockingIOError:
            return False
        self.open = self.open and bool(data)
        self.total += len(data)
        room = self.half - len(self.head)
        self.head += data[:room]
        self.tail += data[max(room, 0) :]
        if len(self.tail) > 4 * self.half:
            del self.tail[: -self.half]
        return bool(data)

    def finish(self) -> None:
        """Take what is left in the pipe, without waiting for anybody."""
        end = time.monotonic() + 1
        while self.open and self._take() and time.monotonic() < end:
            pass
        self.selector.close()

    def text(self) -> str:
        if self.total <= 2 * self.half:
            return (self.head + self.tail).decode("utf-8", "replace")
        left_out = self.total - len(self.head) - self.half
        middle = f"\n[{left_out:,} bytes left out here: write long output to a file and look at parts of it]\n"
        return self.head.decode("utf-8", "replace") + middle + self.tail[-self.half :].decode("utf-8", "replace")


def _tree(pid: int) -> Iterator[int]:
    """A process and its descendants (Linux; nothing but the process elsewhere)."""
    waiting = [pid]
    while waiting:
        current = waiting.pop()
        yield current
        with contextlib.suppress(OSError):
            for task in Path(f"/proc/{current}/task").iterdir():
                waiting += map(int, (task / "children").read_text().split())


def _await_death(members: Sequence[int]) -> None:
    """Wait until none of them lives: a namespace is torn down by the kernel a moment after its first process is killed."""
    end = time.monotonic() + DEATH_SECONDS
    for member in members:
        while time.monotonic() < end:
            try:
                state = Path(f"/proc/{member}/stat").read_text().rpartition(")")[2].split()[0]
            except OSError:
                break
            if state in "ZX":
                break
            time.sleep(0.005)


def _over_memory(pid: int, quota: Quota) -> str:
    """Why the tree uses too much memory, or "". Shared pages are counted once (PSS) where the kernel lets us read that."""
    page = os.sysconf("SC_PAGESIZE")
    resident: dict[int, int] = {}
    for member in _tree(pid):
        with contextlib.suppress(OSError, IndexError, ValueError):
            resident[member] = int(Path(f"/proc/{member}/statm").read_text().split()[1]) * page
    if sum(resident.values()) <= quota.memory:
        return ""
    for member in resident:
        with contextlib.suppress(OSError):
            for line in Path(f"/proc/{member}/smaps_rollup").read_text().splitlines():
                if line.startswith("Pss:"):
                    resident[member] = int(line.split()[1]) * 1024
    return f"used more than {quota.memory // MIB} MiB of memory" if sum(resident.values()) > quota.memory else ""


class _Entry(NamedTuple):
    path: str
    size: int
    changed: int
    folder: bool
    depth: int


def _entries(folders: Sequence[Path], depth: int) -> Iterator[_Entry]:
    """Everything below the folders, never through a symlink; what lies deeper than `depth` is not entered."""
    waiting = [(str(folder), 1) for folder in folders]
    while waiting:
        current, level = waiting.pop()
        try:
            found = os.scandir(current)
        except OSError:
            continue
        with found:
            for entry in found:
                with contextlib.suppress(OSError):
                    status = entry.stat(follow_symlinks=False)
                    folder = entry.is_dir(follow_symlinks=False)
                    yield _Entry(entry.path, 0 if folder else status.st_size, status.st_mtime_ns, folder, level)
                    if folder and level < depth:
                        waiting.append((entry.path, level + 1))


def over_quota(folders: Sequence[Path], quota: Quota) -> str:
    """Why the writable folders hold too much, or ""."""
    size = 0
    for count, entry in enumerate(_entries(folders, quota.depth), start=1):
        size += entry.size
        if size > quota.disk:
            return f"wrote more than {quota.disk // MIB} MiB in all"
        if count > quota.entries:
            return f"made more than {quota.entries:,} files"
        if entry.folder and entry.depth >= quota.depth:
            return f"made folders more than {quota.depth} levels deep"
    return ""


def trim(folders: Sequence[Path], quota: Quota) -> list[str]:
    """Bring the folders back within the quota and say what was removed: too deep, then newest, then largest first."""
    if not over_quota(folders, quota):
        return []
    notes = []
    entries = list(_entries(folders, quota.depth))
    for entry in entries:
        if entry.folder and entry.depth >= quota.depth:
            subprocess.run(["rm", "-rf", "--", entry.path], check=False, stderr=subprocess.DEVNULL)
            notes.append(f"removed a folder nested {quota.depth} levels deep")
    entries = sorted(_entries(folders, quota.depth), key=lambda entry: (entry.changed, entry.depth))
    kept, surplus = entries[: quota.entries], entries[quota.entries :]
    for entry in reversed(surplus):
        with contextlib.suppress(OSError):
            Path(entry.path).rmdir() if entry.folder else Path(entry.path).unlink()
    if surplus:
        notes.append(f"removed the newest {len(surplus):,} files: at most {quota.entries:,} may be kept")
    excess = sum(entry.size for entry in kept) - quota.disk
    removed = []
    for entry in sorted(kept, key=lambda entry: -entry.size):
        if excess <= 0:
            break
        with contextlib.suppress(OSError):
            Path(entry.path).unlink()
            excess -= entry.size
            removed.append(f"{Path(entry.path).name} ({entry.size // MIB} MiB)")
    if removed:
        named = ", ".join(removed[:5]) + (f" and {len(removed) - 5} more" if len(removed) > 5 else "")
        notes.append(f"removed the largest files, as at most {quota.disk // MIB} MiB may be kept: {named}")
    return list(dict.fromkeys(notes))
