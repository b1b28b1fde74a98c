"""What a command inside the sandbox can reach and use up: everything here really runs, under bubblewrap."""

import asyncio
import functools
import hashlib
import os
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from evalsuite.errors import InputError, UsageError
from evalsuite.lab import sandbox as sandboxes
from evalsuite.lab.processes import MIB
from evalsuite.lab.sandbox import Bubblewrap, Container, Local, Quota, choose, probe
from evalsuite.lab.workspace import Workspace

NAP = f"sleep 9{os.getpid():07}"  # a command line that only this run of the tests has
MARKER = "the-answer-of-the-rubric-4711"
needs_bwrap = pytest.mark.skipif(shutil.which("bwrap") is None, reason="bubblewrap (bwrap) is not installed")


@pytest.fixture
def task(tmp_path: Path) -> Path:
    """A task folder whose rubric lies beside the documents, as LAB's does."""
    folder = tmp_path / "task"
    (folder / "documents" / "leases").mkdir(parents=True)
    (folder / "documents" / "memo.txt").write_text("Rent is due on the first.\n")
    (folder / "documents" / "leases" / "a.txt").write_text("Lease A\n")
    for name in ("task.json", "rubric.yaml", "documents-notes.txt"):
        (folder / name).write_text(MARKER)
    return folder


@pytest.fixture
def workspace(task: Path, tmp_path: Path):
    with Workspace.create(task / "documents", tmp_path / "trial") as made:
        yield made


@functools.cache
def bwrap() -> sandboxes.Sandbox:
    return choose("bwrap")


def run(workspace, command, sandbox=None, **options):
    return asyncio.run((sandbox or bwrap()).run(workspace, command, **options))


def alive(mark: str, anywhere: bool = False) -> bool:
    """Whether a process whose command line begins with `mark`, or holds it, lives on this machine."""
    lines = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            lines.append(path.read_bytes().replace(b"\0", b" ").decode(errors="replace"))
        except OSError:
            continue
    return any(mark in line if anywhere else line.startswith(mark) for line in lines)


# ---------------------------------------------------------------- what it sees


@needs_bwrap
def test_documents_are_read_and_output_is_written(workspace):
    done = run(workspace, "cat documents/memo.txt && echo draft > output/draft.md && pwd")
    assert done == (0, "Rent is due on the first.\n/workspace\n", False)
    assert (workspace.output / "draft.md").read_text() == "draft\n"


@needs_bwrap
def test_the_temporary_folder_is_kept_between_commands(workspace):
    run(workspace, "echo 7 > /tmp/kept")
    assert run(workspace, "cat /tmp/kept").output == "7\n"


@needs_bwrap
def test_the_rubric_is_nowhere_in_the_sandbox(workspace, task):
    search = "grep -rIl --exclude-dir=proc --exclude-dir=usr --exclude-dir=dev "
    assert run(workspace, f"{search} 'Rent is due' / 2>/dev/null").output == "/workspace/documents/memo.txt\n"
    assert run(workspace, f"{search} {MARKER[:-1]}[1] / 2>/dev/null").output == ""
    assert (
        run(workspace, f"find / -xdev -name '{'rubric'}*' -o -name task.json 2>/dev/null | grep -v ^/usr").output == ""
    )
    assert run(workspace, "ls -a documents/..").output.split() == [".", "..", "documents", "output"]


@needs_bwrap
@pytest.mark.parametrize(
    "path", ["/etc/passwd", "/etc/shadow", "/root", "/home", "/var", str(Path(__file__).parents[1])]
)
def test_a_file_of_the_host_does_not_exist_inside(workspace, path):
    assert run(workspace, f"ls {path}").exit_code != 0


@needs_bwrap
def test_the_environment_is_clean(workspace, monkeypatch):
    monkeypatch.setenv("LLM_API_KEY", "secret")
    names = {line.split("=")[0] for line in run(workspace, "env").output.splitlines()}
    wanted = {"PATH", "HOME", "LANG", "WORKSPACE_DIR", "DOCUMENTS_DIR", "OUTPUT_DIR"}
    assert names == wanted | {"PWD", "SHLVL", "_"}
    assert run(workspace, "echo $EXTRA", env={"EXTRA": "given"}).output == "given\n"


@needs_bwrap
def test_a_server_on_this_machine_cannot_be_reached(workspace):
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        connect = f"exec 3<>/dev/tcp/127.0.0.1/{port} && echo reached"
        assert subprocess.run(["bash", "-c", connect], capture_output=True, text=True).stdout == "reached\n"
        assert "reached" not in run(workspace, connect).output
    assert run(workspace, "tail -n +3 /proc/net/dev | cut -d: -f1").output.split() == ["lo"]


@needs_bwrap
def test_a_command_is_nobody_without_capabilities_and_makes_no_namespaces(workspace):
    assert run(workspace, "id -u; grep CapEff /proc/self/status").output.split() == ["65534", "CapEff:", "0" * 16]
    assert run(workspace, "unshare --user true").exit_code != 0


@needs_bwrap
@pytest.mark.parametrize("path", ["documents/memo.txt", "documents/new", "new", "/new", "/usr/new", "/dev/new"])
def test_only_output_and_the_temporary_folder_can_be_written(workspace, task, path):
    before = sorted(task.rglob("*"))
    assert run(workspace, f"echo x > {path}").exit_code != 0
    assert run(workspace, f"chmod -R 777 documents; rm -rf {path}; mount -o remount,rw /workspace/documents").exit_code
    assert (sorted(task.rglob("*")), (task / "documents/memo.txt").read_text()) == (
        before,
        "Rent is due on the first.\n",
    )


@needs_bwrap
def test_facts_are_found_by_running_something():
    facts = bwrap().facts
    assert facts["isolation"].startswith("bubblewrap ")
    assert (facts["network"], facts["pids"], facts["user"]) == ("none", 256, "65534")
    assert (facts["filesystem"], facts["capabilities"]) == ("only output/ and /tmp are writable", "none")


# ---------------------------------------------------------------- what it may use


@needs_bwrap
def test_the_number_of_processes_is_limited(workspace):
    """A small bomb under a small limit first: the big one is only set off if this holds."""
    small = Bubblewrap(Quota(processes=16))
    done = run(workspace, "for i in $(seq 30); do sleep 3 & done 2>/dev/null; jobs -p | wc -l", small, timeout=2)
    assert done.timed_out or int(done.output.split()[0]) < 16


@needs_bwrap
def test_a_fork_bomb_is_contained(workspace):
    script = "import os, sys\nfor i in range(40):\n    try: os.fork()\n    except OSError: os.write(1, b'refused\\n')"
    small = Bubblewrap(Quota(processes=16))
    (workspace.output / "small.py").write_text(script)
    refused = run(workspace, "timeout 10 python3 output/small.py | head -1", small, timeout=20)
    assert "refused" in refused.output, "the limit of processes does not hold: the bomb stays where it is"
    begin = time.monotonic()
    done = run(workspace, "bomb() { bomb | bomb & }; bomb; sleep 100 # fork-bomb-4711", timeout=3)
    assert done.timed_out
    assert time.monotonic() - begin < 20
    assert not alive("fork-bomb-4711", anywhere=True)
    assert subprocess.run(["true"]).returncode == 0, "the machine still starts processes"


@needs_bwrap
def test_a_file_of_two_gigabytes_is_contained(workspace):
    done = run(workspace, "head -c 2000000000 /dev/zero > output/big")
    assert done.exit_code == 128 + 25  # SIGXFSZ
    assert (workspace.output / "big").stat().st_size == 256 * MIB


@needs_bwrap
def test_many_large_files_are_contained_and_small_ones_survive(workspace):
    (workspace.output / "memo.md").write_text("the deliverable")
    quota = Quota(disk=64 * MIB, file=16 * MIB)
    many = "for i in $(seq 1000); do head -c 10M /dev/zero > output/big$i; done"
    done = run(workspace, many, Bubblewrap(quota), timeout=60)
    assert done.exit_code == 137
    assert "[killed: wrote more than 64 MiB in all" in done.output
    assert "[removed the largest files, as at most 64 MiB may be kept: big" in done.output
    assert sum(path.stat().st_size for path in workspace.output.iterdir()) <= 64 * MIB
    assert (workspace.output / "memo.md").read_text() == "the deliverable"


@needs_bwrap
def test_many_small_files_and_deep_folders_are_contained(workspace):
    (workspace.output / "memo.md").write_text("the deliverable")
    os.utime(workspace.output / "memo.md", (1, 1))
    quota = Quota(entries=100)
    done = run(workspace, "for i in $(seq 500); do : > output/$i; done", Bubblewrap(quota))
    assert "at most 100 may be kept" in done.output
    assert len(list(workspace.output.iterdir())) <= 100
    assert (workspace.output / "memo.md").exists()
    deep = run(workspace, "cd output; for i in $(seq 3000); do mkdir d && cd d; done; echo made")
    assert "removed a folder nested 32 levels deep" in deep.output
    assert workspace.seal().keys() >= {"memo.md"}


@needs_bwrap
def test_memory_is_limited_in_one_process_and_in_all(workspace):
    small = Bubblewrap(Quota(memory=256 * MIB))
    assert "MemoryError" in run(workspace, "python3 -c 'bytearray(10**9)'", small).output
    four = "for i in 1 2 3 4; do python3 -c 'import time; b = bytearray(10**8); time.sleep(9)' & done; wait"
    assert "used more than 256 MiB of memory" in run(workspace, four, small, timeout=20).output


@needs_bwrap
def test_shared_memory_is_small(workspace):
    assert run(workspace, "head -c 100M /dev/zero > /dev/shm/x").exit_code != 0


@needs_bwrap
def test_a_command_that_takes_too_long_is_killed_with_all_it_started(workspace):
    begin = time.monotonic()
    done = run(workspace, f"echo begun; {NAP} & {NAP}", timeout=3)
    assert (done.exit_code, done.timed_out) == (124, True)
    assert done.output.startswith("begun\n[killed: timed out after 3 s")
    assert time.monotonic() - begin < 30
    assert not alive(NAP)


@needs_bwrap
def test_a_daemon_does_not_outlive_its_command(workspace):
    done = run(workspace, f"(setsid nohup {NAP} >/dev/null 2>&1 &) ; setsid {NAP} & echo started")
    assert (done.exit_code, done.output) == (0, "started\n")
    assert not alive(NAP)


@needs_bwrap
def test_a_cancelled_command_is_dead_before_the_wait_ends(workspace):
    async def cancel():
        work = asyncio.create_task(bwrap().run(workspace, NAP, timeout=60))
        while not alive(NAP):
            assert not work.done()
            await asyncio.sleep(0.05)
        work.cancel()
        with pytest.raises(asyncio.CancelledError):
            await work
        assert not alive(NAP)

    asyncio.run(cancel())


@needs_bwrap
def test_a_killed_harness_takes_its_commands_with_it(workspace, task):
    program = (
        "import asyncio, sys; from pathlib import Path\n"
        "from evalsuite.lab.sandbox import Bubblewrap; from evalsuite.lab.workspace import Workspace\n"
        "workspace = Workspace.create(Path(sys.argv[1]), Path(sys.argv[2]))\n"
        f"asyncio.run(Bubblewrap().run(workspace, '{NAP}', timeout=60))\n"
    )
    other = [sys.executable, "-c", program, str(task / "documents"), str(workspace.root.parent / "other")]
    with subprocess.Popen(other) as harness:
        while not alive(NAP):
            assert harness.poll() is None
            time.sleep(0.05)
        harness.kill()
    end = time.monotonic() + 30
    while alive(NAP) and time.monotonic() < end:
        time.sleep(0.05)
    assert not alive(NAP)


@needs_bwrap
def test_long_output_keeps_its_beginning_and_end_and_says_what_is_missing(workspace):
    done = run(workspace, "echo first; seq 1000000; echo last")
    assert done.output.startswith("first\n1\n2\n")
    assert done.output.endswith("1000000\nlast\n")
    assert len(done.output) < 110_000
    assert "bytes left out here" in done.output


@needs_bwrap
def test_endless_output_is_stopped(workspace):
    done = run(workspace, "yes", timeout=60)
    assert (done.exit_code, done.timed_out) == (137, False)
    assert "[killed: printed more than 64 MiB" in done.output


@needs_bwrap
def test_sixteen_trials_run_at_once(task, tmp_path):
    async def all_of_them():
        spaces = [Workspace.create(task / "documents", tmp_path / f"t{i}") for i in range(16)]
        return await asyncio.gather(*(bwrap().run(space, f"sleep 2; echo {i}") for i, space in enumerate(spaces)))

    begin = time.monotonic()
    assert [done.output for done in asyncio.run(all_of_them())] == [f"{i}\n" for i in range(16)]
    assert time.monotonic() - begin < 20  # one after the other they sleep for 32


# ---------------------------------------------------------------- the workspace


def test_documents_are_not_copied(workspace, task):
    assert workspace.documents == task / "documents"
    assert sorted(path.name for path in workspace.root.iterdir()) == ["output", "tmp"]


@needs_bwrap
@pytest.mark.skipif(os.geteuid() != 0, reason="another user cannot read the files either way")
def test_documents_that_only_root_may_read_are_copied_for_the_sandbox(task, tmp_path):
    (task / "documents" / "memo.txt").chmod(0o600)
    with Workspace.create(task / "documents", tmp_path / "trial2") as workspace:
        assert run(workspace, "cat documents/memo.txt").output == "Rent is due on the first.\n"
    assert (task / "documents" / "memo.txt").stat().st_mode & 0o777 == 0o600


def test_a_task_without_documents_gets_an_empty_folder(tmp_path):
    with Workspace.create(tmp_path / "none", tmp_path / "trial") as workspace:
        assert list(workspace.documents.iterdir()) == []


@pytest.mark.parametrize("target", ["../rubric.yaml", "/etc/passwd", "missing.txt"])
def test_a_document_that_is_a_link_to_the_outside_is_refused(task, tmp_path, target):
    (task / "documents" / "link.txt").symlink_to(target)
    with pytest.raises(InputError, match=r"link\.txt: is a symlink that leads to no file inside"):
        Workspace.create(task / "documents", tmp_path / "trial")


def test_a_workspace_is_not_made_over_another(workspace, task):
    with pytest.raises(UsageError, match="not empty"):
        Workspace.create(task / "documents", workspace.root)


def test_sealing_hashes_regular_files_and_names_what_it_refuses(workspace):
    (workspace.output / "b").mkdir()
    (workspace.output / "b" / "memo.md").write_text("text")
    (workspace.output / "a.md").write_text("")
    (workspace.output / "link.md").symlink_to("/etc/passwd")
    (workspace.output / "folder").symlink_to("/etc")
    os.mkfifo(workspace.output / "pipe")
    (workspace.output / "one").write_text("x")
    (workspace.output / "two").hardlink_to(workspace.output / "one")
    (workspace.output / "line\nbreak.md").write_text("x")
    (workspace.output / os.fsdecode(b"caf\xe9.md")).write_text("x")
    sealed = workspace.seal()
    assert sealed == {"a.md": hashlib.sha256(b"").hexdigest(), "b/memo.md": hashlib.sha256(b"text").hexdigest()}
    assert [why for _, why in sorted(workspace.refused)] == [
        "its name cannot be printed",
        "is a symbolic link",
        "its name cannot be printed",
        "is a symbolic link",
        "is a hard link: it has another name",
        "is a device, a pipe or a socket",
        "is a hard link: it has another name",
    ]


def test_a_closed_workspace_is_gone(task, tmp_path):
    with Workspace.create(task / "documents", tmp_path / "trial") as workspace:
        (workspace.output / "deep" / "er").mkdir(parents=True)
        (workspace.output / "deep").chmod(0)
    assert not workspace.root.exists()
    assert (task / "documents" / "memo.txt").exists()


# ---------------------------------------------------------------- choosing, and the other kinds


def test_local_is_never_taken_by_itself(monkeypatch):
    with pytest.raises(UsageError, match="unsafe_local"):
        choose("local")
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(UsageError, match=r"no sandbox works here.*bwrap: is not installed; install bubblewrap"):
        choose("auto", unsafe_local=True)


def test_an_unknown_sandbox_is_refused():
    with pytest.raises(UsageError, match="no sandbox is named 'vm'; take auto, bwrap, podman, docker, local"):
        choose("vm")


def test_a_host_without_user_namespaces_is_told_how_to_allow_them(tmp_path, monkeypatch):
    refusing = tmp_path / "bwrap"
    refusing.write_text("#!/bin/sh\necho 'bwrap: No permissions to create a new namespace' >&2\nexit 1\n")
    refusing.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    with pytest.raises(UsageError, match=r"No permissions to create a new namespace.*apparmor_restrict"):
        choose("bwrap")


def test_local_runs_in_a_copy_of_the_documents_and_says_that_nothing_is_isolated(workspace, task, monkeypatch):
    monkeypatch.setenv("LLM_API_KEY", "secret")
    local = choose("local", unsafe_local=True)
    assert (local.facts["isolation"], local.facts["network"]) == ("none", "open")
    command = "cat documents/memo.txt; echo x > documents/new; echo y > $OUTPUT_DIR/y; echo $LLM_API_KEY; pwd"
    done = run(workspace, command, local)
    assert done.output == f"Rent is due on the first.\n\n{workspace.root}\n"
    assert (workspace.output / "y").read_text() == "y\n"
    assert workspace.documents == workspace.root / "documents"
    assert not (task / "documents" / "new").exists()


def test_local_kills_daemons_that_are_still_being_started(workspace):
    for _ in range(4):
        run(workspace, f"for i in $(seq 40); do (setsid setsid {NAP} &) & done", Local())
        time.sleep(0.2)
        assert not alive(NAP)


def test_local_kills_daemons_and_what_takes_too_long(workspace):
    assert run(workspace, f"setsid {NAP} & (setsid {NAP} &) ; echo done", Local()).output == "done\n"
    assert run(workspace, NAP, Local(), timeout=0.3).timed_out
    assert not alive(NAP)


@pytest.mark.parametrize("engine", ["docker", "podman"])
def test_a_container_has_no_network_no_capability_and_read_only_documents(workspace, engine):
    line = Container(engine).argv(workspace, "echo hello")
    assert line[:2] == [engine, "run"]
    assert line[-4:] == ["python:3.11-slim", "bash", "-c", "echo hello"]
    wanted = {"--rm", "--network=none", "--cap-drop=ALL", "--security-opt=no-new-privileges", "--read-only"}
    assert wanted | {"--pids-limit=256", f"--memory={4096 * MIB}", "--pull=never", "--workdir=/workspace"} <= set(line)
    mounts = [line[i + 1] for i, part in enumerate(line) if part == "--mount"]
    assert mounts == [
        f"type=bind,source={workspace.documents},target=/workspace/documents,readonly",
        f"type=bind,source={workspace.output},target=/workspace/output",
        f"type=bind,source={workspace.temporary},target=/tmp",
    ]
    assert f"--user={os.geteuid() or 65534}:{os.getegid() or 65534}" in line


def test_a_docker_client_without_a_daemon_is_no_sandbox(monkeypatch):
    monkeypatch.setenv("DOCKER_HOST", "unix:///nonexistent.sock")
    with pytest.raises(UsageError, match=r"docker: .*start the docker daemon"):
        choose("docker")


@pytest.fixture(scope="module")
def podman() -> Container:
    """podman on the root file system of this machine, so that no image is needed; changes to it are thrown away."""
    if shutil.which("podman") is None:
        pytest.skip("podman is not installed")
    if os.geteuid() != 0:
        pytest.skip("podman --rootfs on / needs root")
    sandbox = Container("podman", "/:O", ("--runtime", "runc"))
    problem = probe(sandbox)
    if problem:
        pytest.skip(f"podman cannot run here: {problem}")
    return sandbox


def test_podman_runs_the_same_command(workspace, podman):
    done = run(workspace, "cat documents/memo.txt; echo x > output/x; id -u; cat /tmp/x", podman)
    assert done.output.startswith("Rent is due on the first.\n65534\n")
    assert (workspace.output / "x").read_text() == "x\n"
    assert run(workspace, "echo x > documents/x", podman).exit_code != 0
    assert (podman.facts["network"], podman.facts["capabilities"]) == ("none", "none")


def test_podman_leaves_nothing_behind_after_a_timeout(workspace, podman):
    done = run(workspace, NAP, podman, timeout=3)
    assert done.timed_out
    assert not alive(NAP)
    assert "evalsuite-" not in subprocess.run(["podman", "ps", "-a"], capture_output=True, text=True).stdout
