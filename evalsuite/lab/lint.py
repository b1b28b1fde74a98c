"""Deterministic rules over tasks and rubrics, for CI: no model is asked.

error: the task cannot be graded fairly as it stands. warning: worth a look, and sometimes right as it is.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from evalsuite.lab.evidence import Evidence, Facts, stem_words
from evalsuite.lab.findings import Finding, listed
from evalsuite.lab.grading.values import normalise
from evalsuite.lab.task import UNVERSIONED, Criterion, Task
from evalsuite.lab.twins import check_twins

__all__ = ["Finding", "lint"]

REFUSAL = re.compile(
    r"\bi(?: can't| cannot| can not| won't| will not|(?:'m| am) (?:unable|not able) to) (?:\w+ ){0,2}?"
    r"(?:help|assist|create|generate|produce|write|draft|fulfill?|complete th|comply with th|provide th)"
)
MODEL = re.compile(r"\bas an ai (?:language )?(?:model|assistant)\b")
PLACEHOLDER = re.compile(r"lorem ipsum|\[(?:insert|add|todo|tbd|placeholder|your|company name)\b[^\]]*\]|\{\{[^}]*\}\}")
STUB = re.compile(
    r"^\W*(?:todo|tbd|tbc|placeholder|coming soon|to be (?:completed|drafted|written|added|provided|inserted))\b"
    r"|lorem ipsum|\b(?:content|text) goes here\b|^\W*\[[^\]]*\]\W*$"
)
STUB_WORDS = 40
RUBRIC_NAME = re.compile(
    r"(?:^|/)(?:rubric|eval|evals|grading|scores?|answer[-_ ]?key|task)[^/]*\.(?:json|jsonl|ya?ml)$"
)
RUBRIC_KEYS = re.compile(r"[\"']?\bmatch_criteria\b[\"']?\s*:|[\"']criteria_results[\"']\s*:")
ISSUE = re.compile(r"^[A-Z]+[_-]?\d+\s*[:.–—-]\s*")
JOINS = re.compile(r"\b(?:as well as|in addition)\b|;", re.IGNORECASE)
ITEM = re.compile(r"[\"'(]*[A-Z0-9$£€]")
NEAR = 0.85
MANY_JOINS = 3
MISMATCH_SHARE, MISMATCH_COUNT = 0.5, 3


def lint(tasks: Sequence[Task]) -> list[Finding]:
    """Every finding about the tasks, in order of task. Documents in a folder that tasks share are read once."""
    folders: dict[Path, Evidence] = {}
    findings: list[Finding] = []
    for task in tasks:
        if task.documents not in folders:
            folders[task.documents] = Evidence.of(task.document_folder)
        evidence = folders[task.documents]
        findings += [*_documents(task, evidence), *_leaks(task, evidence), *_facts(task, evidence)]
        findings += [
            *_deliverables(task),
            *_duplicates(task),
            *_wording(task),
            *_quotes(task, evidence),
            *_version(task),
        ]
        findings += check_twins(task)
    return findings


def _documents(task: Task, evidence: Evidence) -> Iterator[Finding]:
    if not task.documents.is_dir():
        rule = "docs-dir-missing" if "docs_dir" in task.extra else "no-documents"
        name = task.extra.get("docs_dir", "documents/")
        yield Finding(rule, "error", task.id, f"the documents folder {name} does not exist")
    elif not task.document_files():
        yield Finding("no-documents", "error", task.id, f"{task.documents.name}/ holds no document")
    where = f"{task.id} documents/".__add__
    folder = task.document_folder
    for path in folder.entries[1] if task.documents.is_dir() else []:
        yield Finding("stray-link", "error", where(folder.name(path)), "a link to outside the folder; no agent sees it")
    for name in evidence.empty:
        yield Finding("empty-document", "error", where(name), "shows a reader no text")
    for name, why in evidence.unreadable.items():
        yield Finding("unreadable-document", "error", where(name), why)
    for name in evidence.unsupported:
        yield Finding("unsupported-document", "warning", where(name), "no reader for this kind of file")
    for note in evidence.notes:
        yield Finding("unread-part", "warning", f"{task.id} documents", note)
    for name, text in evidence.texts.items():
        refusal = REFUSAL.search(text, 0, 600) or MODEL.search(text)
        if refusal:
            yield Finding("refusal", "error", where(name), f"is a model's refusal: {_excerpt(text, refusal.start())}")
        elif len(text.split()) < STUB_WORDS and STUB.search(text):
            yield Finding("placeholder", "error", where(name), f"is a placeholder: {_excerpt(text, 0)}")
        elif found := PLACEHOLDER.search(text):
            yield Finding("placeholder", "warning", where(name), f"placeholder text: {_excerpt(text, found.start())}")


def _excerpt(text: str, start: int) -> str:
    return f'"{text[start : start + 70].strip()}"'


def _leaks(task: Task, evidence: Evidence) -> Iterator[Finding]:
    for name, text in evidence.texts.items():
        if RUBRIC_NAME.search(name.casefold()) or RUBRIC_KEYS.search(text):
            message = "looks like a rubric or a score file; agents can read it"
            yield Finding("rubric-leak", "error", f"{task.id} documents/{name}", message)
    for criterion in task.criteria:
        for key, value in (("match_criteria", criterion.match_criteria), ("title", ISSUE.sub("", criterion.title))):
            phrase = normalise(value).casefold().strip(" .")
            if len(phrase.split()) < 6:
                continue
            for name in evidence.holding(phrase):
                message = f"its {key} stands word for word in documents/{name}"
                yield Finding("criterion-leak", "error", f"{task.id} {criterion.id}", message)


def _facts(task: Task, evidence: Evidence) -> Iterator[Finding]:
    """Facts of criteria that no document has. Nothing is said where there are no documents: that is its own error.

    What makes a criterion FAIL is left out: wrong answers stand there. Figures of a criterion for which rubric.yaml quotes
    its grounds may be worked out from those; then its notes must say how.
    """
    if not evidence.texts:
        return
    instructions = Evidence.in_text(f"{task.title}\n{task.instructions}")
    strange = []
    telling = 0
    for criterion in task.criteria:
        where = f"{task.id} {criterion.id}"
        facts = Facts.of(criterion.title, _pass_part(criterion))
        known = {name.casefold() for name in (*task.deliverables, *criterion.deliverables)}
        cited = dict.fromkeys((*facts.files, *criterion.sources, *(quote["file"] for quote in criterion.quotes)))
        for name in cited:
            mentioned = name.casefold() in task.instructions.casefold() or name.casefold() in known
            if not mentioned and not evidence.files(name):
                yield Finding("absent-document", "error", where, f"cites {name}, which is not among the documents")
        missing = facts.missing(evidence, instructions)
        if facts.count and len(missing) >= facts.count and not criterion.quotes:
            strange.append(criterion.id)
        telling += bool(facts.count)
        if criterion.quotes:
            names = facts.missing_names(evidence, instructions)
            if (worked := [fact for fact in missing if fact not in names]) and not criterion.notes.strip():
                message = f"no document has {listed(worked)}, and its notes in rubric.yaml do not say how to get there"
                yield Finding("no-working", "warning", where, message)
            missing = names
        if missing:
            yield Finding(
                "fact-not-found", "warning", where, f"not found in any document or the instructions: {listed(missing)}"
            )
    if len(strange) >= MISMATCH_COUNT and len(strange) >= MISMATCH_SHARE * telling:
        told = f"no document has a fact of {len(strange)} of the {telling} criteria that state facts: {listed(strange)}"
        yield Finding("wrong-documents", "error", task.id, f"the rubric seems to be for other documents: {told}")


def _deliverables(task: Task) -> Iterator[Finding]:
    told = task.instructions.casefold()
    instructions = re.sub(r"[-_\s]+", " ", told)
    for name in task.deliverables:
        if name.casefold() not in told and stem_words(name) not in instructions:
            message = f"the instructions do not name {name}"
            yield Finding("deliverable-not-named", "warning", task.id, message)
    declared = {name.casefold() for name in task.deliverables}
    for criterion in task.criteria:
        for name in criterion.deliverables:
            if name.casefold() in declared or (not declared and name.casefold() in told):
                continue
            message = f"looks at {name}, which is neither a deliverable of the task nor named in the instructions"
            if declared:
                message = f"looks at {name}; the task's deliverables are {listed(list(task.deliverables))}"
            yield Finding("undeclared-deliverable", "error", f"{task.id} {criterion.id}", message)
    seen = {name.casefold() for criterion in task.criteria for name in criterion.deliverables}
    if all(criterion.deliverables for criterion in task.criteria):
        for name in task.deliverables:
            if name.casefold() not in seen:
                yield Finding("ungraded-deliverable", "warning", task.id, f"no criterion looks at {name}")


def _duplicates(task: Task) -> Iterator[Finding]:
    """Criteria that say the same: equal word sets but for a few, and the same numbers and codes."""
    seen: list[tuple[str, tuple[str, ...], frozenset[str], frozenset[str]]] = []
    for criterion in task.criteria:
        words = frozenset(re.findall(r"[\w$%.,-]*\w", normalise(criterion.match_criteria).casefold()))
        figures = frozenset(word for word in words if any(character.isdigit() for character in word))
        scope = tuple(sorted(criterion.deliverables))
        for name, other_scope, other_words, other_figures in seen:
            if scope != other_scope or figures != other_figures:
                continue
            if min(len(words), len(other_words)) < NEAR * max(len(words), len(other_words)):
                continue
            alike = len(words & other_words) / (len(words | other_words) or 1)
            if alike >= NEAR:
                exact = "the same words as" if alike == 1 else f"{alike:.0%} of its words in common with"
                yield Finding("duplicate-criterion", "warning", f"{task.id} {criterion.id}", f"has {exact} {name}")
                break
        seen.append((criterion.id, scope, words, figures))


def _wording(task: Task) -> Iterator[Finding]:
    formless = []
    for criterion in task.criteria:
        joins = _joins(_pass_part(criterion))
        if joins >= MANY_JOINS:
            message = (
                f"asks for several things at once ({joins} joins with and or ;): one verdict cannot tell which failed"
            )
            yield Finding("compound-criterion", "warning", f"{task.id} {criterion.id}", message)
        if not (re.search(r"\bPASS\b", criterion.match_criteria) and re.search(r"\bFAIL", criterion.match_criteria)):
            formless.append(criterion.id)
        if criterion.contested:
            yield Finding("contested", "warning", f"{task.id} {criterion.id}", f"is contested: {criterion.contested}")
    if formless:
        message = f"{len(formless)} of {len(task.criteria)} criteria do not say when to PASS and when to FAIL"
        yield Finding("no-pass-fail", "warning", task.id, f"{message}: {listed(formless)}")
    for note in task.notes:
        if "weight" in note:
            yield Finding("weight-ignored", "warning", task.id, note)


def _joins(text: str) -> int:
    """How often a text goes on to another demand; "and" between two names or figures of a list does not."""
    words = text.split()
    joined = sum(
        word.casefold() == "and" and not (ITEM.match(before) and ITEM.match(after))
        for before, word, after in zip(words, words[1:], words[2:], strict=False)
    )
    return joined + len(JOINS.findall(text))


def _pass_part(criterion: Criterion) -> str:
    return re.split(r"\bFAIL\b", criterion.match_criteria)[0].strip() or criterion.match_criteria


def _quotes(task: Task, evidence: Evidence) -> Iterator[Finding]:
    """Quotes of rubric.yaml must stand in the document they name."""
    for criterion in task.criteria:
        for quote in criterion.quotes:
            files = evidence.files(quote["file"])
            phrase = normalise(quote["quote"]).casefold()
            texts = [text for name, text in evidence.texts.items() if name.casefold() in files]
            if texts and not any(phrase in text for text in texts):
                message = f"{quote['file']} does not hold the quote {_excerpt(quote['quote'], 0)}"
                yield Finding("quote-not-found", "error", f"{task.id} {criterion.id}", message)


def _version(task: Task) -> Iterator[Finding]:
    """Asked only of tasks with a rubric.yaml: LAB's own have no versions."""
    if task.version == UNVERSIONED and "rubric.yaml" in task.files:
        message = 'task.json has no version; with one ("1.0.0") results say what they are results of'
        yield Finding("no-version", "warning", task.id, message)
