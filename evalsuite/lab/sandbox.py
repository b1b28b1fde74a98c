"""Where an agent's commands run: bubblewrap, podman, docker, or - only when asked for by name - unconfined.

All of them show the same workspace: /workspace/documents (read-only), /workspace/output and /tmp (kept between
commands), no network, no host file beyond the system's programs, no capability, an unprivileged user.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from evalsuite.errors import UsageError
from evalsuite.lab import processes
from evalsuite.lab.processes import MIB, Completed, Quota
from evalsuite.lab.workspace import NOBODY, Workspace

__all__ = ["Bubblewrap", "Completed", "Container", "Local", "Quota", "Sandbox", "choose"]

INSTALL = {
    "bwrap": "install bubblewrap 0.8 or newer (apt-get install bubblewrap)",
    "podman": "install podman and pull the image (apt-get install podman; podman pull python:3.11-slim)",
    "docker": "start the docker daemon and pull the image (docker pull python:3.11-slim)",
}
INSIDE = {
    "PATH": "/usr/local/bin:/usr/bin:/bin",
    "HOME": "/tmp",
    "LANG": "C.UTF-8",
    "WORKSPACE_DIR": "/workspace",
    "DOCUMENTS_DIR": "/workspace/documents",
    "OUTPUT_DIR": "/workspace/output",
}
_SYSTEM = ("/bin", "/lib", "/lib32", "/lib64", "/libx32", "/sbin", "/etc/alternatives", "/etc/ld.so.cache")


class Sandbox(Protocol):
    """`facts` are what was found out by running something inside, for the manifest; empty until `choose` has probed."""

    name: str
    facts: dict[str, Any]

    def argv(self, workspace: Workspace, command: str) -> list[str]:
        """The command line that runs `command` by bash in the workspace."""

    async def run(
        self, workspace: Workspace, command: str, timeout: float = 60, env: dict[str, str] | None = None
    ) -> Completed:
        """Run `command`; everything that it started is dead on return, also after a timeout (seconds) or a cancellation."""


class Bubblewrap:
    """Linux user namespaces through bwrap.

    Started by root, a first bwrap binds the folders to where nobody may reach them and the real one runs as nobody:
    the kernel never applies RLIMIT_NPROC to root, whatever its name inside a user namespace. The limit is set inside,
    where it counts the processes of this sandbox alone. The first one has a process namespace too: root's pieces
    could not send a signal to nobody's when the harness dies, but a namespace ends with its first process.
    """

    name = "bwrap"

    def __init__(self, quota: Quota | None = None) -> None:
        self.quota = quota or Quota()
        self.facts: dict[str, Any] = {}

    def argv(self, workspace: Workspace, command: str, env: Mapping[str, str] | None = None) -> list[str]:
        """The bwrap command line; `env` is added to the clean environment."""
        documents, output, temporary = map(str, (workspace.documents, workspace.output, workspace.temporary))
        outer: list[str] = []
        if os.geteuid() == 0:
            outer = ["bwrap", "--die-with-parent", "--unshare-pid", "--dev-bind", "/", "/", "--tmpfs", "/tmp"]
            outer += ["--ro-bind", documents, "/tmp/documents", "--bind", output, "/tmp/output"]
            outer += ["--bind", temporary, "/tmp/tmp", "--chdir", "/", "--", "setpriv", f"--reuid={NOBODY}"]
            outer += [f"--regid={NOBODY}", "--clear-groups", "--inh-caps=-all", "--bounding-set=-all"]
            outer += ["--no-new-privs", "--"]
            documents, output, temporary = "/tmp/documents", "/tmp/output", "/tmp/tmp"
        line = [*outer, "bwrap", "--unshare-user", "--unshare-all", "--disable-userns", "--die-with-parent"]
        line += ["--new-session", "--uid", str(NOBODY), "--gid", str(NOBODY), "--cap-drop", "ALL", "--clearenv"]
        for key, value in {**INSIDE, **(env or {})}.items():
            line += ["--setenv", key, value]
        line += ["--ro-bind", "/usr", "/usr"]
        for path in map(Path, _SYSTEM):
            if path.is_symlink():
                line += ["--symlink", str(path.readlink()), str(path)]
            elif path.exists():
                line += ["--ro-bind", str(path), str(path)]
        line += ["--proc", "/proc", "--dev", "/dev", "--size", str(64 * MIB), "--tmpfs", "/dev/shm"]
        line += ["--remount-ro", "/dev", "--ro-bind", documents, "/workspace/documents"]
        line += ["--bind", output, "/workspace/output", "--bind", temporary, "/tmp", "--remount-ro", "/"]
        return [*line, "--chdir", "/workspace", "--", *self.quota.prlimit(), "bash", "-c", command]

    async def run(
        self, workspace: Workspace, command: str, timeout: float = 60, env: dict[str, str] | None = None
    ) -> Completed:
        """See `Sandbox.run`."""
        return await _run(self.argv(workspace, command, env), workspace, timeout, self.quota)

    def about(self) -> dict[str, Any]:
        """What is configured, for `facts`."""
        version = subprocess.run(["bwrap", "--version"], capture_output=True, text=True, check=False).stdout.strip()
        return {"isolation": version or "bwrap", "memory": f"{self.quota.memory // MIB} MiB, watched"}


class Container:
    """podman or docker: one container a command, removed when it ends.

    image: an image that is there already (never pulled), or the path of a root file system (podman's --rootfs).
    options: put before `run`, for example ("--runtime", "runc").
    """

    def __init__(
        self,
        engine: str = "docker",
        image: str = "python:3.11-slim",
        options: Sequence[str] = (),
        quota: Quota | None = None,
    ) -> None:
        self.name, self.image, self.options, self.quota = engine, image, tuple(options), quota or Quota()
        self.facts: dict[str, Any] = {}

    def argv(self, workspace: Workspace, command: str, env: Mapping[str, str] | None = None) -> list[str]:
        """The command line; the container gets a name of its own each time."""
        user = f"{NOBODY}:{NOBODY}" if os.geteuid() == 0 else f"{os.geteuid()}:{os.getegid()}"
        line = [self.name, *self.options, "run", "--rm", "--init", "--name", f"evalsuite-{uuid.uuid4().hex}"]
        line += ["--pull=never", "--network=none", "--cap-drop=ALL", "--security-opt=no-new-privileges"]
        line += ["--read-only", f"--pids-limit={self.quota.processes}", f"--memory={self.quota.memory}"]
        line += [f"--memory-swap={self.quota.memory}", f"--shm-size={64 * MIB}", f"--user={user}"]
        line += [f"--ulimit=fsize={self.quota.file}:{self.quota.file}", f"--ulimit=cpu={self.quota.cpu}"]
        line += [f"--ulimit=nofile={self.quota.open_files}:{self.quota.open_files}", "--ulimit=core=0"]
        if self.name == "podman":
            # podman's own default for nproc is refused to a root without CAP_SYS_RESOURCE
            line += ["--read-only-tmpfs=false", "--ulimit=nproc=4096:4096"]
            line += ["--userns=keep-id"] if os.geteuid() != 0 else []
        for source, target, mode in (
            (workspace.documents, "/workspace/documents", ",readonly"),
            (workspace.output, "/workspace/output", ""),
            (workspace.temporary, "/tmp", ""),
        ):
            line += ["--mount", f"type=bind,source={source},target={target}{mode}"]
        for key, value in {**INSIDE, **(env or {})}.items():
            line += ["--env", f"{key}={value}"]
        image = ["--rootfs", self.image] if self.image.startswith("/") else [self.image]
        return [*line, "--workdir=/workspace", *image, "bash", "-c", command]

    async def run(
        self, workspace: Workspace, command: str, timeout: float = 60, env: dict[str, str] | None = None
    ) -> Completed:
        """See `Sandbox.run`."""
        line = self.argv(workspace, command, env)
        name = line[line.index("--name") + 1]

        def stop(killed: bool) -> None:
            if killed:
                subprocess.run([self.name, *self.options, "rm", "-f", name], capture_output=True, check=False)

        return await _run(line, workspace, timeout, self.quota, stop=stop)

    def about(self) -> dict[str, Any]:
        """What is configured, for `facts`."""
        return {"isolation": f"{self.name} {self.image}", "memory": f"{self.quota.memory // MIB} MiB"}


class Local:
    """No isolation: a plain process of this user, with this machine's files and network. Limits per process only."""

    name = "local"

    def __init__(self, quota: Quota | None = None) -> None:
        self.quota = quota or Quota()
        self.facts: dict[str, Any] = {}

    def argv(self, workspace: Workspace, command: str) -> list[str]:
        """bash under prlimit, where there is one."""
        limits = self.quota.prlimit(processes=False) if shutil.which("prlimit") else []
        return [*limits, "bash", "-c", command]

    async def run(
        self, workspace: Workspace, command: str, timeout: float = 60, env: dict[str, str] | None = None
    ) -> Completed:
        """See `Sandbox.run`. Daemons are found by a mark in their environment, on Linux only."""
        workspace.copy_documents()
        mark = f"EVALSUITE_COMMAND={uuid.uuid4().hex}"
        root = str(workspace.root)
        clean = {key: value.replace("/workspace", root) for key, value in INSIDE.items()}
        clean |= {"HOME": str(workspace.temporary), "TMPDIR": str(workspace.temporary), **(env or {})}
        clean |= dict([mark.split("=")])
        line = self.argv(workspace, command)
        return await _run(
            line, workspace, timeout, self.quota, cwd=workspace.root, env=clean, stop=lambda _: _kill_marked(mark)
        )

    def about(self) -> dict[str, Any]:
        """What is configured, for `facts`."""
        return {"isolation": "none", "memory": f"{self.quota.memory // MIB} MiB, watched"}


async def _run(line: Sequence[str], workspace: Workspace, timeout: float, quota: Quota, **options: Any) -> Completed:
    """Run in the workspace and leave its folders in a state in which the harness can read them."""
    folders = [workspace.output, workspace.temporary]
    confined = "env" not in options
    if os.geteuid() == 0 and confined:
        await asyncio.to_thread(_quiet, "chown", "-hR", "--from=0", f"{NOBODY}:{NOBODY}", "--", *folders)
    try:
        return await processes.run(line, timeout=timeout, quota=quota, folders=folders, **options)
    finally:
        if os.geteuid() != 0:
            await asyncio.to_thread(_quiet, "chmod", "-R", "u+rwX", "--", *folders)


def _quiet(*line: str | Path) -> None:
    subprocess.run(line, check=False, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def _kill_marked(mark: str) -> None:
    """Kill what carries the mark, until no look of three in a row finds any: what is just being forked or replaced by
    another program shows no environment for a moment."""
    wanted, until, quiet = mark.encode(), time.monotonic() + 5, 0
    while sys.platform == "linux" and quiet < 3 and time.monotonic() < until:
        quiet += 1
        for process in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                if wanted in (process / "environ").read_bytes().split(b"\0"):
                    os.kill(int(process.name), signal.SIGKILL)
                    quiet = 0
        time.sleep(0.01)


_PROBE = """
echo "user=$(id -u)"
(exec 3<>/dev/tcp/127.0.0.1/$PORT) 2>/dev/null && echo network=host
[ "$(grep -c : /proc/net/dev)" -le 1 ] || echo interfaces=some
touch "$DOCUMENTS_DIR/probe" 2>/dev/null && echo documents=writable
touch /usr/evalsuite-probe 2>/dev/null && rm -f /usr/evalsuite-probe && echo system=writable
touch "$OUTPUT_DIR/probe" && echo output=writable
echo "caps=$(grep CapEff /proc/self/status | tr -d '[:space:]' | cut -d: -f2)"
if [ -r /sys/fs/cgroup/pids.max ]; then echo "pids=$(cat /sys/fs/cgroup/pids.max)"
elif [ -r /sys/fs/cgroup/pids/pids.max ]; then echo "pids=$(cat /sys/fs/cgroup/pids/pids.max)"
elif ! (echo a | prlimit --nproc=1 xargs true) 2>/dev/null; then echo "pids=$(ulimit -u)"; fi
"""


def probe(sandbox: Bubblewrap | Container | Local) -> str:
    """Run something inside and fill `sandbox.facts` with what it found. Returns why it cannot run, or ""."""
    if sandbox.name != "local" and shutil.which(sandbox.name) is None:
        return "is not installed"
    with socket.create_server(("127.0.0.1", 0)) as server, tempfile.TemporaryDirectory() as folder:
        documents = Path(folder, "documents")
        documents.mkdir(mode=0o755)
        script = f"PORT={server.getsockname()[1]}\n{_PROBE}"
        with Workspace.create(documents, Path(folder, "workspace")) as workspace:
            try:
                done = _in_new_loop(sandbox.run(workspace, script, timeout=30))
            except OSError as error:
                return str(error)
    found = dict(line.split("=", 1) for line in done.output.splitlines() if "=" in line)
    if done.exit_code not in (0, 1) or found.get("output") != "writable":
        return done.output.strip() or f"ended with exit code {done.exit_code}"
    open_network = "network" in found or "interfaces" in found
    writable = [part for part in ("documents", "system") if part in found]
    limited = found.get("pids", "max").isdigit()
    sandbox.facts = sandbox.about() | {
        "network": "open" if open_network else "none",
        "filesystem": f"writable: {', '.join(writable)}" if writable else "only output/ and /tmp are writable",
        "pids": int(found["pids"]) if limited else "not limited",
        "user": found.get("user", "unknown"),
        "capabilities": "none" if int(found.get("caps") or "0", 16) == 0 else found["caps"],
    }
    return ""


def _in_new_loop(work: Any) -> Completed:
    """Wait for a coroutine from plain code, also when this thread already runs an event loop."""
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(max_workers=1) as pool:
        result: Completed = pool.submit(asyncio.run, work).result()
    return result


def choose(name: str = "auto", *, unsafe_local: bool = False) -> Sandbox:
    """The sandbox of that name, proved by running something in it: auto takes the first of bwrap, podman, docker that works.

    Raises UsageError that says for each why it cannot run and how to install it; `local` needs `unsafe_local`.
    """
    makers: dict[str, Callable[[], Bubblewrap | Container | Local]] = {
        "bwrap": Bubblewrap,
        "podman": lambda: Container("podman"),
        "docker": lambda: Container("docker"),
        "local": Local,
    }
    if name != "auto" and name not in makers:
        raise UsageError(f"no sandbox is named {name!r}; take auto, {', '.join(makers)}", where="sandbox")
    if name == "local" and not unsafe_local:
        raise UsageError(
            "local runs an agent's commands as you, with your files and network; ask for it with unsafe_local (--unsafe-local)",
            where="sandbox",
        )
    problems = []
    for kind in [name] if name != "auto" else list(INSTALL):
        sandbox = makers[kind]()
        problem = probe(sandbox)
        if not problem:
            return sandbox
        problems.append(f"{kind}: {problem[:300]}; {INSTALL.get(kind, '')}")
        if kind == "bwrap" and "namespace" in problem.lower():
            problems[-1] += (
                ", and let users make namespaces (sysctl kernel.apparmor_restrict_unprivileged_userns=0 on Ubuntu, "
                "--security-opt seccomp=unconfined in a container)"
            )
    raise UsageError(f"no sandbox works here. {'. '.join(problems)}", where="sandbox")
