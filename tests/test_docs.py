"""Every block of the documentation runs: commands, Python and the files they need, top to bottom, in a scratch folder.

A block's info string says what it is: `sh` (add `exit=2` where the command must end so), `python`, `<any> file=NAME`
(written, not run). Other blocks are for the reader. A file's blocks share the folder, and nothing else.
"""

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
FENCE = re.compile(r"^```(?P<info>[^\n`]*)\n(?P<body>.*?)^```[ \t]*$", re.MULTILINE | re.DOTALL)
RUNNERS = {"sh": ["bash", "-euo", "pipefail", "-c"], "python": [sys.executable, "-c"]}
SECONDS = 300


class Block(NamedTuple):
    line: int
    language: str
    options: dict[str, str]
    body: str


def blocks(page: Path) -> list[Block]:
    text = page.read_text(encoding="utf-8")
    found = []
    for match in FENCE.finditer(text):
        language, *options = match["info"].split() or [""]
        pairs = dict(option.split("=", 1) for option in options)
        found.append(Block(text.count("\n", 0, match.start()) + 1, language, pairs, match["body"]))
    return found


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_block_of_the_page_runs(page, tmp_path, shared_cache):
    for folder in ("corpora", "tasks"):
        (tmp_path / folder).symlink_to(ROOT / folder)
    (tmp_path / "reports").mkdir()
    (tmp_path / "reports" / "baselines").symlink_to(ROOT / "reports" / "baselines")
    search = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    import_from = os.pathsep.join(filter(None, [str(tmp_path), os.environ.get("PYTHONPATH")]))
    environment = os.environ | {"PATH": search, "PYTHONPATH": import_from, "EVALSUITE_CACHE": str(shared_cache)}
    ran = 0
    for block in blocks(page):
        if "file" in block.options:
            target = tmp_path / block.options["file"]
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(block.body, encoding="utf-8")
        elif block.language in RUNNERS:
            done = subprocess.run(
                [*RUNNERS[block.language], block.body],
                cwd=tmp_path,
                env=environment,
                capture_output=True,
                text=True,
                encoding="utf-8",
                timeout=SECONDS,
                check=False,
            )
            wanted = int(block.options.get("exit", 0))
            place = f"{page.relative_to(ROOT)}:{block.line}"
            assert done.returncode == wanted, f"{place}: exit {done.returncode}, not {wanted}\n{done.stderr[-3000:]}"
            ran += 1
    assert ran, f"{page.relative_to(ROOT)} has no block that runs"


def test_the_readme_and_the_pages_name_each_other():
    linked = set(re.findall(r"\]\((docs/[^)#]+)\)", (ROOT / "README.md").read_text(encoding="utf-8")))
    assert linked == {str(page.relative_to(ROOT)) for page in PAGES[1:]}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_to_files_lead_somewhere(page):
    for target in re.findall(r"\]\((?!https?:)([^)#]+)", page.read_text(encoding="utf-8")):
        assert (page.parent / target).exists(), f"{page.relative_to(ROOT)} links to {target}"
