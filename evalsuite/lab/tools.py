"""The agent's tools: list, read, search, write, edit, bash, with the same meaning under every sandbox.

Nothing is cut silently: every answer that leaves something out ends with the call that goes on.
"""

from __future__ import annotations

import asyncio
import fnmatch
import re
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path, PurePosixPath

from evalsuite.errors import EvalsuiteError, shown
from evalsuite.lab.documents import UnreadableError
from evalsuite.lab.sandbox import Sandbox
from evalsuite.lab.textsearch import Finder, excerpt, extract, fitting, pieces
from evalsuite.lab.workspace import Workspace, regular_files

LIST_FILES = 200
SEARCH_RESULTS = 100
WRITE_BYTES = 10 * 1024 * 1024
BASH_SECONDS = 600
MADE_OTHERWISE = {
    ".docx": "make it with write_docx, which takes markdown",
    ".doc": "make a .docx with write_docx instead",
    **dict.fromkeys((".xlsx", ".xls", ".pptx", ".ppt", ".pdf", ".zip"), "make it by a program in bash"),
}


class ToolError(EvalsuiteError):
    """A mistake of the agent: the message goes back to it."""

    kind = "tool"


class Toolbox:
    """What one trial's agent can do. One call at a time: a call waits for the one before it.

    answer: characters that read, search and bash return at most.
    cache: folder for extracted text (see `documents.read`).
    """

    TOOLS = ("list_files", "read", "search", "write", "write_docx", "edit", "bash")

    def __init__(
        self, workspace: Workspace, sandbox: Sandbox | None, *, answer: int = 40_000, cache: Path | None = None
    ) -> None:
        self.workspace, self.sandbox, self.answer, self.cache = workspace, sandbox, answer, cache
        self.documents_read: set[str] = set()
        self.calls: Counter[str] = Counter()
        self._turn = asyncio.Lock()

    async def list_files(self, folder: str = "", start: int = 1) -> str:
        """List files with their sizes in bytes, sorted by name.

        Args:
            folder: Folder below documents/ or output/, for example "documents/leases". Empty: everything.
            start: Number of the first file to show.
        """
        return await self._call("list_files", lambda: self._list(folder, start))

    async def read(self, file: str, start: int = 1, lines: int = 400) -> str:
        """Read the text of a file, also of docx, xlsx, pptx, pdf and eml. Each line begins with an [anchor] that can be cited.

        Comments, hidden text, formulas, headers and footnotes are shown and marked, tracked changes as [+new text by
        Author+] and [-old text by Author-].

        Args:
            file: Name of the file, looked for in documents/ first, then in output/.
            start: Number of the first line to show.
            lines: How many lines to show at most.
        """
        return await self._call("read", lambda: self._read(file, start, lines))

    async def search(self, pattern: str, file: str = "", plain: bool = False, start: int = 1) -> str:
        """Search the text of all files, also inside docx, xlsx, pptx, pdf and eml. Upper and lower case are the same.

        Args:
            pattern: Regular expression, for example "terminat(e|ion)".
            file: Search only this file, folder or file pattern ("leases/*.docx"). Empty: all files.
            plain: Take the pattern as plain words instead of a regular expression.
            start: Number of the first result to show.
        """
        return await self._call("search", lambda: self._search(pattern, file, plain, start))

    async def write(self, file: str, content: str) -> str:
        """Write a text file (md, txt, csv, ...) into output/, replacing it if it exists. For Word files use write_docx.

        Args:
            file: Name of the file in output/.
            content: The whole text.
        """
        return await self._call("write", lambda: self._write(file, content))

    async def write_docx(self, file: str, markdown: str) -> str:
        """Write a Word file into output/, replacing it if it exists.

        Args:
            file: Name of the file in output/, ending in .docx.
            markdown: The whole text in markdown: headings, lists, tables, bold, italic, quotes.
        """
        return await self._call("write_docx", lambda: self._write_docx(file, markdown))

    async def edit(self, file: str, old: str, new: str, replace_all: bool = False) -> str:
        """Replace a piece of a text file in output/.

        Args:
            file: Name of the file in output/.
            old: The exact text to replace; it must occur once, unless replace_all is set.
            new: What to put in its place.
            replace_all: Replace every occurrence.
        """
        return await self._call("edit", lambda: self._edit(file, old, new, replace_all))

    async def bash(self, command: str, timeout: int = 60) -> str:
        """Run a bash command in /workspace, without network. Only output/ and /tmp can be written; documents/ is read-only.

        Nothing keeps running after the command ends.

        Args:
            command: The command.
            timeout: Seconds after which it is killed, 600 at most.
        """
        self.calls["bash"] += 1
        if self.sandbox is None:
            raise ToolError("there is no shell in this run; use the other tools")
        if not command.strip() or "\0" in command:
            raise ToolError("the command is empty or holds a NUL character")
        async with self._turn:
            self.documents_read |= await asyncio.to_thread(self._named_in, command)
            done = await self.sandbox.run(self.workspace, command, timeout=min(max(timeout, 1), BASH_SECONDS))
        output = done.output.replace("\0", "\N{REPLACEMENT CHARACTER}")
        if len(output) > self.answer:
            half = self.answer // 2
            left_out = len(output) - 2 * half
            middle = f"\n[{left_out:,} characters left out: send long output to a file and look at parts of it]\n"
            output = output[:half] + middle + output[-half:]
        if "Read-only file system" in output:
            output = f"{output.rstrip()}\n[only output/ and /tmp can be written]"
        if done.exit_code:
            output = f"{output.rstrip()}\n[exit code {done.exit_code}]".lstrip()
        return output or "[no output]"

    async def _call(self, tool: str, work: Callable[[], str]) -> str:
        self.calls[tool] += 1
        async with self._turn:
            try:
                return await asyncio.to_thread(work)
            except OSError as error:
                raise ToolError(f"{tool} failed: {error.strerror or error}") from error

    # ------------------------------------------------------------ paths

    def _bases(self) -> dict[str, Path]:
        return {"documents": self.workspace.documents, "output": self.workspace.output}

    def _parts(self, file: str) -> tuple[str, ...]:
        """The parts of a name below the workspace: "/workspace/output/a.md" and "output/a.md" alike."""
        name = file.strip()
        if not name.isprintable():
            raise ToolError(f"the name {shown(file)} holds a character that cannot be printed")
        if name.startswith("/"):
            for root in ("/workspace", str(self.workspace.root)):
                if name == root or name.startswith(f"{root}/"):
                    name = name[len(root) :].lstrip("/")
                    break
            else:
                raise ToolError(f"{name} is outside the workspace: only documents/ and output/ can be used")
        parts = PurePosixPath(name).parts
        if ".." in parts:
            raise ToolError(f"{file}: '..' is not allowed; name the file from documents/ or output/ on")
        return parts

    def _inside(self, base: Path, parts: Sequence[str]) -> Path:
        """A path below `base`. Raises ToolError if a symlink leads out of it."""
        path = base.joinpath(*parts)
        try:
            outside = not path.resolve().is_relative_to(base.resolve())
        except (OSError, RuntimeError) as error:
            raise ToolError(f"{'/'.join(parts)[:200]} is not a usable name: {error}") from error
        if outside:
            raise ToolError(f"{'/'.join(parts)} is a symbolic link that leads out of {base.name}/: refused")
        return path

    def _find(self, file: str) -> tuple[str, str, Path]:
        """("documents" or "output", name below it, path) of a file to read."""
        parts = self._parts(file)
        bases = self._bases()
        tries = [(base, parts) for base in bases]
        if parts and parts[0] in bases:
            tries.insert(0, (parts[0], parts[1:]))
        for base, rest in tries:
            path = self._inside(bases[base], rest) if rest else bases[base]
            if path.is_file():
                return base, "/".join(rest), path
            if path.is_dir() and rest:
                raise ToolError(f"{file} is a folder; list_files(folder='{base}/{'/'.join(rest)}') shows what is in it")
        wanted = parts[-1].casefold() if parts else ""
        near = [f"{base}/{name}" for base, name, _ in self._files() if PurePosixPath(name).name.casefold() == wanted]
        hint = f"did you mean {', '.join(near[:5])}?" if near else "list_files() shows all files"
        raise ToolError(f"no file {file!r} in documents/ or output/; {hint}")

    def _target(self, file: str) -> tuple[str, Path]:
        """(name below output/, path) of a file to write; folders on the way are made."""
        parts = self._parts(file)
        if parts and parts[0] == "documents":
            raise ToolError("documents/ is read-only; write into output/")
        parts = parts[1:] if parts and parts[0] == "output" else parts
        if not parts or file.rstrip().endswith("/"):
            raise ToolError(f"{file!r} names no file in output/")
        path = self._inside(self.workspace.output, parts)
        if path.is_symlink():
            raise ToolError(f"output/{'/'.join(parts)} is a symbolic link; remove it first")
        if path.exists() and not path.is_file():
            raise ToolError(f"output/{'/'.join(parts)} is a folder or a device, not a file")
        if path.exists() and path.stat().st_nlink > 1:
            raise ToolError(f"output/{'/'.join(parts)} is a hard link; remove it first")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except (FileExistsError, NotADirectoryError) as error:
            raise ToolError(f"a part of the folder output/{'/'.join(parts[:-1])} is a file") from error
        return "/".join(parts), path

    def _files(self) -> list[tuple[str, str, Path]]:
        """(documents or output, name below it, path) of every regular file, documents first, sorted by name."""
        found = []
        for base, folder in self._bases().items():
            names = sorted(regular_files(folder))
            found += [(base, name, folder / name) for name in names]
        return found

    # ------------------------------------------------------------ work, in a thread

    def _list(self, folder: str, start: int) -> str:
        wanted = "/".join(self._parts(folder))
        files = [(f"{base}/{name}", path) for base, name, path in self._files()]
        if wanted:
            prefixes = (f"{wanted}/", f"documents/{wanted}/", f"output/{wanted}/")
            files = next((hits for p in prefixes if (hits := [f for f in files if f[0].startswith(p)])), [])
        if not files:
            return f"No files in {wanted or 'the workspace'}." + (" list_files() shows all." if wanted else "")
        start = max(start, 1)
        page = files[start - 1 : start - 1 + LIST_FILES]
        lines = [f"{name}  {path.lstat().st_size:,}" for name, path in page]
        end = start - 1 + len(page)
        if len(page) < len(files):
            lines.insert(0, f"[files {start}-{end} of {len(files):,}]")
        if end < len(files):
            counts = Counter(str(PurePosixPath(name).parent) for name, _ in files)
            folders = ", ".join(f"{name} ({count:,})" for name, count in sorted(counts.items())[:40])
            lines.append(f"[folders: {folders}{' ...' if len(counts) > 40 else ''}]")
            lines.append(f"[{len(files) - end:,} more: list_files(folder={wanted!r}, start={end + 1})]")
        return "\n".join(lines)

    def _read(self, file: str, start: int, lines: int) -> str:
        base, name, path = self._find(file)
        try:
            extracted = extract(path, name, self.cache)
        except UnreadableError as error:
            raise ToolError(f"{base}/{name} cannot be read: {error.message}") from error
        if base == "documents":
            self.documents_read.add(name)
        text = [part for line in extracted.text().split("\n") for part in pieces(line)]
        start = max(start, 1)
        if start > len(text):
            raise ToolError(f"{base}/{name} has {len(text)} lines; start={start} is behind its end")
        page = fitting(text[start - 1 : start - 1 + max(lines, 1)], self.answer)
        end = start - 1 + len(page)
        head = [f"[{note}]" for note in extracted.notes] if start == 1 else []
        if start > 1 or end < len(text):
            head.append(f"[{base}/{name}: lines {start}-{end} of {len(text):,}]")
        if end < len(text):
            again = f", lines={lines}" if lines != 400 else ""
            page.append(f"[{len(text) - end:,} more lines: read(file='{base}/{name}', start={end + 1}{again})]")
        return "\n".join([*head, *page])

    def _search(self, pattern: str, file: str, plain: bool, start: int) -> str:
        if not pattern:
            raise ToolError("the pattern is empty")
        finder = Finder(pattern, plain)
        files = self._selected(file)
        hits: list[str] = []
        total, holding, unreadable = 0, Counter[str](), []
        for _, name, path in files:
            try:
                extracted = extract(path, name, self.cache)
            except UnreadableError as error:
                unreadable.append(f"{name}: {error.message}")
                continue
            for block in extracted.blocks:
                text = " ".join(block.text.split())
                try:
                    span = finder.span(text)
                except TimeoutError as error:
                    raise ToolError(f"the pattern takes too long ({error}); make it simpler") from error
                if span is None:
                    continue
                total += 1
                holding[name] += 1
                if total >= start and len(hits) < SEARCH_RESULTS:
                    hidden = f"[hidden ({block.hidden})] " if block.hidden else ""
                    hits.append(f"{block.anchor}: {hidden}{excerpt(text, span)}")
        lines = [f"[{finder.note}]"] if finder.note else []
        lines.append(f"[{total:,} results in {len(holding):,} of {len(files):,} files]")
        if len(holding) > 1 and total > len(hits):
            most = ", ".join(f"{name} ({count:,})" for name, count in holding.most_common(20))
            lines.append(f"[by file: {most}{' ...' if len(holding) > 20 else ''}]")
        page = fitting(hits, self.answer)
        lines += page
        end = max(start, 1) - 1 + len(page)
        if end < total:
            arguments = f"{pattern!r}, file={file!r}, plain={plain}, start={end + 1}"
            lines.append(f"[{total - end:,} more: search({arguments})]")
        lines += [f"[not searched: {problem}]" for problem in unreadable[:20]]
        if len(unreadable) > 20:
            lines.append(f"[not searched: {len(unreadable) - 20} more files]")
        return "\n".join(lines)

    def _selected(self, file: str) -> list[tuple[str, str, Path]]:
        """The files that `file` names: a file, a folder or a pattern; all for ""."""
        files = self._files()
        wanted = "/".join(self._parts(file))
        if not wanted:
            return files
        names = {wanted, *(f"{base}/{wanted}" for base in self._bases())}
        chosen = [f for f in files if f"{f[0]}/{f[1]}" in names]
        chosen = chosen or [f for f in files if any(f"{f[0]}/{f[1]}".startswith(f"{name}/") for name in names)]
        chosen = chosen or [f for f in files if any(fnmatch.fnmatch(f"{f[0]}/{f[1]}", name) for name in names)]
        return chosen or [self._find(file)]

    def _write(self, file: str, content: str) -> str:
        name, path = self._target(file)
        if advice := MADE_OTHERWISE.get(path.suffix.lower()):
            raise ToolError(f"write makes text files, and {name} is none: {advice}")
        return self._store(name, path, content.encode("utf-8", "replace"))

    def _write_docx(self, file: str, markdown: str) -> str:
        from evalsuite.lab.word import docx_from_markdown

        name, path = self._target(file)
        if path.suffix.lower() != ".docx":
            raise ToolError(f"write_docx makes .docx files; {name} would not be one")
        if not markdown.strip():
            raise ToolError("the text is empty")
        return self._store(name, path, docx_from_markdown(markdown))

    def _store(self, name: str, path: Path, data: bytes) -> str:
        if len(data) > WRITE_BYTES:
            raise ToolError(f"{name} would have {len(data):,} bytes; at most {WRITE_BYTES:,} can be written")
        path.write_bytes(data)
        return f"Wrote output/{name} ({len(data):,} bytes)."

    def _edit(self, file: str, old: str, new: str, replace_all: bool) -> str:
        parts = self._parts(file)
        if PurePosixPath(file).suffix.lower() in MADE_OTHERWISE:
            raise ToolError("edit changes text files only; write the whole file again (write_docx for .docx)")
        if parts and parts[0] != "output" and not self.workspace.output.joinpath(*parts).exists():
            base, name, _ = self._find(file)
            raise ToolError(f"{base}/{name} is read-only; write a changed copy into output/")
        name, path = self._target(file)
        if not path.is_file():
            raise ToolError(f"there is no output/{name} to edit; make it with write")
        try:
            text = path.read_bytes().decode("utf-8")
        except UnicodeDecodeError as error:
            raise ToolError(f"output/{name} is not UTF-8 text and cannot be edited") from error
        if not old or old == new:
            raise ToolError("old must not be empty" if not old else "old and new are the same; nothing would change")
        count = text.count(old)
        if count == 0:
            raise ToolError(f"old does not occur in output/{name}; copy it exactly, without the [anchors] of read")
        if count > 1 and not replace_all:
            raise ToolError(
                f"old occurs {count} times in output/{name}; give more of the text around it, or replace_all"
            )
        self._store(name, path, text.replace(old, new).encode("utf-8", "replace"))
        return f"Replaced {count} occurrence{'s' if count > 1 else ''} in output/{name}."

    def _named_in(self, command: str) -> set[str]:
        """The documents whose name, or a pattern for it below documents/, stands in a command."""
        tokens = re.split(r"[\s\"'`;|&<>()=]+", command)
        patterns = [token.split("documents/", 1)[1] for token in tokens if "documents/" in token and "*" in token]
        found = set()
        for name in regular_files(self.workspace.documents):
            base = PurePosixPath(name).name
            named = base in command and re.search(rf"(?<![\w.-]){re.escape(base)}(?![\w-])", command)
            if named or any(fnmatch.fnmatch(name, pattern) for pattern in patterns):
                found.add(name)
        return found
