"""Time evalsuite's report: how long a page of 120,000 verdicts takes to build, how large it is, how fast it answers; README.md says what each line means."""

from __future__ import annotations

import argparse
import gzip
import json
import os
import platform
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
RARE, RARER = "zeugma", "quincunx"  # stand in PLANTED reasons each and nowhere else
PLANTED = 7
REASON = 250

BUILD = """
import json, resource, sys, time
from pathlib import Path
from evalsuite.reporting.page import build
began = time.perf_counter()
page = build([Path(sys.argv[1])], Path(sys.argv[2]))
seconds = time.perf_counter() - began
print(json.dumps({"seconds": seconds, "peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024, "runs": page.n_runs}))
"""
LOADS = """
import json, sys, time
began = time.perf_counter()
records = [json.loads(line) for line in open(sys.argv[1], "rb")]
print(time.perf_counter() - began)
"""

TYPE = """async ([id, word]) => {
  const input = document.getElementById(id);
  const before = document.body.dataset.rendered;
  const began = performance.now();
  input.value = word;
  input.dispatchEvent(new Event("input", { bubbles: true }));
  while (document.body.dataset.rendered === before) await new Promise(requestAnimationFrame);
  await new Promise(requestAnimationFrame);
  return performance.now() - began;
}"""
TICK = """async (rows) => {
  const began = performance.now();
  document.getElementById("reasons").click();
  while (document.querySelectorAll(".verdict-row").length !== rows) await new Promise(requestAnimationFrame);
  return performance.now() - began;
}"""
PLAIN = """([texts, word]) => {
  const began = performance.now();
  const found = texts.filter((text) => text.toLowerCase().includes(word));
  return [performance.now() - began, found.length];
}"""
SHOWN = """async (selector) => {
  while (!document.querySelector(selector)) await new Promise(requestAnimationFrame);
  return performance.now();
}"""
FIRST_ROWS, ALL_ROWS = ".verdict-row", "body[data-ready]"


@dataclass(frozen=True)
class Record:
    """One line: `value` is ours, at most `target`; `peer` is what `against` needs for the same data, in the same unit."""

    name: str
    value: float
    unit: str
    target: float
    against: str
    peer: float | None

    @property
    def ok(self) -> bool:
        return self.value <= self.target

    @property
    def ratio(self) -> float | None:
        return self.value / self.peer if self.peer else None


# ---------------------------------------------------------------- the run


class Prose:
    """Sentences nobody wrote: a random walk over which word follows which in the bundled corpus."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.following: dict[str, list[str]] = defaultdict(list)
        for line in (ROOT / "corpora" / "clauses-mini" / "corpus.jsonl").read_text(encoding="utf-8").splitlines():
            words = json.loads(line)["text"].split()
            for word, after in pairwise(words):
                self.following[word].append(after)
        self.starts = sorted(word for word in self.following if word[0].isupper())

    def text(self, length: int) -> str:
        word = self.random.choice(self.starts)
        words, size = [word], len(word)
        while size < length:
            after = self.following.get(word)
            word = self.random.choice(after) if after else self.random.choice(self.starts)
            words.append(word)
            size += len(word) + 1
        return " ".join(words)[:length]


def units(n_tasks: int, n_criteria: int) -> Iterator[dict[str, Any]]:
    """One trial of each task, one vote on each criterion."""
    prose, chance = Prose(1), random.Random(2)
    total = n_tasks * n_criteria
    planted = dict.fromkeys(chance.sample(range(total), 2 * PLANTED), RARE)
    planted.update(dict.fromkeys(list(planted)[PLANTED:], RARER))
    for task in range(n_tasks):
        name = f"area-{task % 24:02}/matter-{task:04}"
        yield {
            "unit": "trial",
            "task": name,
            "trial": 1,
            "stop_reason": "done",
            "finished": True,
            "turns": chance.randint(5, 40),
            "seconds": round(chance.uniform(20, 400), 3),
            "tokens": {"input": chance.randint(10_000, 90_000), "output": chance.randint(500, 5_000)},
            "documents_total": 6,
            "documents_read": [f"{n:02}-document.docx" for n in range(chance.randint(1, 6))],
        }
        for number in range(n_criteria):
            verdict = "pass" if chance.random() < 0.6 else "fail"
            reason = prose.text(REASON)
            if word := planted.get(task * n_criteria + number):
                reason = f"{reason[: -len(word) - 1]} {word}"
            vote = {
                "judge": "openai/judge",
                "vote": 1,
                "verdict": verdict,
                "reasoning": reason,
                "seconds": round(chance.uniform(0.5, 5), 3),
                "tokens": {"input": chance.randint(3_000, 9_000), "output": chance.randint(40, 160)},
                "cost": 0.002,
                "key": f"{chance.getrandbits(256):064x}",
            }
            yield {
                "unit": "criterion",
                "task": name,
                "trial": 1,
                "id": f"C-{number + 1:03}",
                "title": prose.text(50),
                "verdict": verdict,
                "share": float(verdict == "pass"),
                "votes": [vote],
                "resolved_file": "memo.docx",
                "resolution_rule": "exact",
                "critical": number == 0,
            }


def write_run(folder: Path, n_tasks: int, n_criteria: int) -> Path:
    folder.mkdir()
    tasks: dict[str, int] = {}
    with (folder / "results.jsonl").open("w", encoding="utf-8") as stream:
        for unit in units(n_tasks, n_criteria):
            tasks[unit["task"]] = n_criteria
            stream.write(json.dumps(unit) + "\n")
    manifest = {
        "kind": "lab",
        "run_id": "benchmark",
        "suite": {"name": "benchmark", "sha256": "0" * 64},
        "system": {"name": "react openai/model"},
        "protocol": {"id": "0" * 12},
        "status": "complete",
        "plan": {"tasks": tasks, "trials": 1},
    }
    (folder / "run.json").write_text(json.dumps(manifest))
    return folder


# ---------------------------------------------------------------- what is timed


def python(code: str, *arguments: Path) -> Any:
    done = subprocess.run([sys.executable, "-c", code, *map(str, arguments)], capture_output=True, check=False)
    if done.returncode:
        sys.exit(done.stderr.decode())
    return json.loads(done.stdout)


def built(run: Path, page: Path, repetitions: int) -> list[Record]:
    """Peer and ours in turn; medians."""
    results = run / "results.jsonl"
    pairs = [(python(LOADS, results), python(BUILD, run, page)) for _ in range(repetitions)]
    loads = statistics.median(peer for peer, _ in pairs)
    seconds = statistics.median(mine["seconds"] for _, mine in pairs)
    packed = len(gzip.compress(results.read_bytes(), 9))
    peak = max(mine["peak"] for _, mine in pairs)
    return [
        Record("build", seconds, "s", 20, "json.loads of every line", loads),
        Record("memory", peak / 1e9, "GB", 1.5, "results.jsonl itself", results.stat().st_size / 1e9),
        Record("size", page.stat().st_size / 1e6, "MB", 25, "gzip -9 of results.jsonl", packed / 1e6),
    ]


def browsed(run: Path, page: Path, repetitions: int) -> list[Record]:
    """The page in a real Chromium; peers run in the same browser on the same data."""
    from playwright.sync_api import sync_playwright

    text = page.read_text(encoding="utf-8")
    silent = page.with_name("silent.html")
    begin = text.index("<script>")
    silent.write_text(text[:begin] + text[text.index("</script>", begin) :], encoding="utf-8")
    votes = [unit for line in (run / "results.jsonl").open("rb") if (unit := json.loads(line))["unit"] == "criterion"]
    titles, reasons = [unit["title"] for unit in votes], [unit["votes"][0]["reasoning"] for unit in votes]
    found: dict[str, list[float]] = defaultdict(list)
    with sync_playwright() as player:
        browser = player.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        for _ in range(repetitions):
            tab = browser.new_page()
            tab.goto(silent.as_uri())
            found["silent"].append(tab.evaluate("performance.timing.loadEventEnd - performance.timing.navigationStart"))
            tab.close()
            tab = browser.new_page()
            tab.goto(f"{page.as_uri()}#/verdicts", wait_until="commit")
            found["rows"].append(tab.evaluate(SHOWN, FIRST_ROWS))
            found["all"].append(tab.evaluate(SHOWN, ALL_ROWS))
            tab.wait_for_load_state()  # a peer of the filter has the browser to itself, too
            found["filter"].append(tab.evaluate(TYPE, ["filter", "notice"]))
            tab.evaluate(TYPE, ["filter", RARE])
            found["search"].append(tab.evaluate(TICK, PLANTED))
            found["again"].append(tab.evaluate(TYPE, ["filter", RARER]))
            if (n := tab.locator(".verdict-row").count()) != PLANTED:
                sys.exit(f"{RARER!r} is in {PLANTED} reasons; the page shows {n} rows")
            for name, texts, word in (("titles", titles, "notice"), ("reasons", reasons, RARER)):
                found[name].append(tab.evaluate(PLAIN, [texts, word])[0])
            tab.close()
        browser.close()
    ms = {name: statistics.median(times) for name, times in found.items()}
    return [
        Record("first rows", ms["rows"], "ms", 500, "the same page without script", ms["silent"]),
        Record("all rows", ms["all"], "ms", 1_500, "the same page without script", ms["silent"]),
        Record("filter", ms["filter"], "ms", 100, "Array.filter over the titles", ms["titles"]),
        Record("search", ms["search"], "ms", 2_500, "Array.filter over the reasons", ms["reasons"]),
        Record("search again", ms["again"], "ms", 100, "Array.filter over the reasons", ms["reasons"]),
    ]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--small", action="store_true", help="a smoke test of some seconds; targets are not judged")
    parser.add_argument("--no-browser", action="store_true", help="only what needs no Chromium")
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    parser.add_argument("--strict", action="store_true", help="exit 1 when a target is missed")
    options = parser.parse_args()
    n_tasks, n_criteria, repetitions = (40, 10, 1) if options.small else (2_000, 60, 3)
    with tempfile.TemporaryDirectory() as place:
        run, page = write_run(Path(place) / "run", n_tasks, n_criteria), Path(place) / "page.html"
        began = time.perf_counter()
        records = built(run, page, repetitions)
        if not options.no_browser:
            records += browsed(run, page, repetitions)
        spent = time.perf_counter() - began
    if options.json:
        print(json.dumps([asdict(r) | {"ratio": r.ratio, "ok": r.ok} for r in records], indent=2))
    else:
        machine = f"{os.cpu_count()} x {platform.processor() or platform.machine()}, Python {platform.python_version()}"
        print(f"{n_tasks * n_criteria:,} verdicts; {machine}; medians of {repetitions}, {spent:.0f} s in all\n")
        for r in records:
            sign = "-" if options.small else "ok" if r.ok else "MISSED"
            peer = f"{r.ratio:7.2f}x  {r.against} ({r.peer:.4g})" if r.ratio else ""
            print(f"{r.name:13} {r.value:9.4g} {r.unit:3} at most {r.target:<6g} {sign:7} {peer}")
    return int(options.strict and not options.small and not all(record.ok for record in records))


if __name__ == "__main__":
    sys.exit(main())
