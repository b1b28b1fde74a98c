// One verdict in full: its history, the reviewer's word, every vote, and the deliverable with what the judges quoted.

import { trialDetail, verdictDetail } from "./data.js";
import { deliverables } from "./deliverable.js";
import { h, put } from "./dom.js";
import { nameOf } from "./queries.js";
import { record, reviewer, reviewsOf } from "./reviews.js";
import { link, place } from "./state.js";
import { address, criterionOf, joined, verdictOf } from "./verdicts.js";
import { cost, count, duration, mark, MARKS } from "./words.js";

/** @typedef {import("./data.js").Index} Index */
/** @typedef {import("./data.js").Vote} Vote */
/** What became of the last review, in words: the verdict is drawn anew after it. */
let outcome = { of: "", text: "" };

/** @typedef {{previous: string|null, next: string|null, at: number, n: number}} Neighbours */

/**
 * @param {Index} index
 * @param {HTMLElement} element
 * @param {number} row
 * @param {Neighbours} around
 * @param {() => void} changed called when a review was recorded
 */
export async function showCriterion(index, element, row, around, changed) {
  const where = address(index, row);
  const other = element.dataset.at !== where;
  if (other) put(element, h("p", { class: "dim" }, "…"));
  element.dataset.at = where;
  const columns = index.verdicts;
  const criterion = criterionOf(index, row);
  const task = index.tasks[criterion.task];
  const run = index.runs[columns.run[row]];
  const number = index.trials.findIndex((t) => t.run === columns.run[row] && t.task === criterion.task && t.trial === columns.trial[row]);
  const [detail, trial] = await Promise.all([verdictDetail(index, row), number < 0 ? null : trialDetail(number)]);
  if (element.dataset.at !== where) return;
  const file = index.files[columns.file[row]] ?? null;
  const kind = index.error_kinds[columns.error_kind[row]];
  const cause = index.causes[columns.cause[row]];
  const work = deliverables(trial, file, detail.votes);
  const trialLink = link("trial", { run: run.run, task: task.id, trial: columns.trial[row] });
  put(
    element,
    navigation(around),
    h("h2", {}, h("span", { class: "id" }, criterion.id), " ", criterion.title),
    h(
      "p",
      {},
      mark(verdictOf(index, row), kind ? ` (${kind})` : ""),
      " · ",
      h("a", { href: link("task", { task: task.id }) }, task.id),
      " · ",
      nameOf(index, columns.run[row]),
      " · ",
      h("a", { href: trialLink }, `trial ${columns.trial[row]}, with its transcript`),
    ),
    facts(index, row, cause, file, detail.resolution_rule ?? null),
    history(index, row),
    reviewing(index, row, detail.sha, changed),
    h("div", { class: "evidence" }, h("section", { class: "votes", "aria-label": "votes" }, h("h3", {}, "Votes"), detail.votes.map((vote, i) => oneVote(vote, i, work.missing)), detail.votes.length ? null : h("p", {}, "The run folder holds no votes for this verdict.")), work.element),
    h("details", { class: "raw" }, h("summary", {}, "the record as it is stored"), h("pre", {}, JSON.stringify({ task: task.id, trial: columns.trial[row], criterion, ...detail }, null, 1))),
  );
  if (other) element.scrollIntoView();
}

/** @param {Neighbours} around */
function navigation(around) {
  const arrow = (/** @type {string|null} */ href, /** @type {string} */ key, /** @type {string} */ label) =>
    href ? h("a", { href, "data-key": key }, label) : h("span", { class: "dim" }, label);
  const back = { ...place().values };
  delete back.at;
  return h(
    "nav",
    { class: "steps", "aria-label": "verdicts" },
    arrow(around.previous, "previous", "← previous (k)"),
    " ",
    arrow(around.next, "next", "next (j) →"),
    h("span", { class: "dim" }, around.at >= 0 ? ` ${around.at + 1} of ${around.n.toLocaleString("en")}` : " not among the filtered rows"),
    " ",
    h("a", { href: link("verdicts", back), class: "close" }, "close"),
  );
}

/**
 * @param {Index} index
 * @param {number} row
 * @param {string} cause
 * @param {string|null} file
 * @param {string|null} rule
 */
function facts(index, row, cause, file, rule) {
  const criterion = criterionOf(index, row);
  const marks = MARKS.filter(({ bit }) => index.verdicts.bits[row] & bit);
  return h(
    "ul",
    { class: "facts" },
    marks.map(({ word, about }) => h("li", {}, h("strong", {}, word), `: ${about}.`)),
    criterion.contested ? h("li", {}, `Contested because: ${criterion.contested}`) : null,
    cause ? h("li", {}, h("strong", {}, `failed: ${cause}`)) : null,
    file ? h("li", {}, "Graded in ", h("span", { class: "id" }, file), rule && rule !== "exact" ? `, found by the rule “${rule}”` : "", ".") : null,
  );
}

/**
 * The same criterion in every run and trial of the page.
 * @param {Index} index
 * @param {number} row
 */
function history(index, row) {
  const columns = index.verdicts;
  const own = criterionOf(index, row);
  /** @type {Map<number, number[]>} */
  const byRun = new Map();
  for (let other = 0; other < columns.n; other++) {
    const number = columns.criterion[other];
    if (index.criteria.task[number] === own.task && index.criteria.id[number] === own.id) byRun.set(columns.run[other], [...(byRun.get(columns.run[other]) ?? []), other]);
  }
  const all = [...byRun.values()].flat();
  if (all.length < 2) return null;
  const group = index.runs[columns.run[row]].group;
  const apart = [...byRun.keys()].filter((run) => index.runs[run].group !== group);
  const several = all.length > byRun.size;
  const lines = [...byRun].sort(([one], [two]) => Number(apart.includes(one)) - Number(apart.includes(two)));
  const said = (/** @type {number} */ other) => [several ? h("span", { class: "dim" }, `${columns.trial[other]} `) : null, mark(verdictOf(index, other))];
  return h(
    "details",
    { open: all.length <= 24 },
    h("summary", {}, `the same criterion in ${count(byRun.size, "run")}, ${count(all.length, "trial")}`),
    h(
      "table",
      { class: "history" },
      h(
        "tbody",
        {},
        lines.map(([run, rows]) =>
          h(
            "tr",
            {},
            h("th", { scope: "row" }, nameOf(index, run), apart.includes(run) ? h("span", { class: "dim" }, ` ${index.runs[run].suite.version}, apart: another rubric or protocol`) : null),
            h("td", {}, rows.map((other) => [other === row ? h("strong", { class: "here", "aria-current": "true" }, said(other)) : h("a", { href: link("verdicts", { ...place().values, at: address(index, other) }) }, said(other)), " "])),
          ),
        ),
      ),
    ),
  );
}

/**
 * @param {Index} index
 * @param {number} row
 * @param {string} sha
 * @param {() => void} changed
 */
function reviewing(index, row, sha, changed) {
  const criterion = criterionOf(index, row);
  const run = index.runs[index.verdicts.run[row]];
  const machine = verdictOf(index, row);
  const task = index.tasks[criterion.task].id;
  const trial = index.verdicts.trial[row];
  const where = joined(run.run, task, trial, criterion.id);
  const given = reviewsOf(where);
  const reason = /** @type {HTMLTextAreaElement} */ (h("textarea", { id: "reason", rows: "2", "aria-label": "reason", placeholder: "reason; needed where you disagree" }));
  const name = /** @type {HTMLInputElement} */ (h("input", { id: "reviewer", value: reviewer(), "aria-label": "your name", placeholder: "your name", autocomplete: "name" }));
  const told = h("p", { class: "status", role: "status" }, outcome.of === where ? outcome.text : "");
  const say = async (/** @type {"pass"|"fail"|"error"} */ verdict) => {
    if (!name.value.trim()) {
      put(told, "Who are you? A review needs a name.");
      return name.focus();
    }
    if (verdict !== machine && !reason.value.trim()) {
      put(told, `You say ${verdict === "error" ? "that it cannot be decided" : verdict}, the run says ${machine}: please give the reason.`);
      element.dataset.said = verdict;
      return reason.focus();
    }
    const text = await record(index, { run: run.run, task, trial, criterion: criterion.id, unit_sha256: sha, machine, verdict, reason: reason.value.trim(), reviewer: name.value.trim() });
    outcome = { of: where, text };
    changed();
  };
  const button = (/** @type {"pass"|"fail"|"error"} */ verdict, /** @type {string} */ key, /** @type {import("./dom.js").Children} */ label) =>
    h("button", { type: "button", class: "say", "data-say": key, onclick: () => say(verdict) }, label, h("kbd", {}, key));
  told.id = "review-told";
  const element = h(
    "form",
    { class: "review", "aria-label": "your review" },
    h("h3", {}, "Your review"),
    given.map((review) =>
      h("p", { class: "said" }, h("strong", {}, review.reviewer), review.verdict === review.machine ? " agrees: " : " overrides: ", mark(review.verdict), review.reason ? `. ${review.reason}` : "", h("span", { class: "dim" }, ` ${review.at}`)),
    ),
    h("div", { class: "line" }, button("pass", "p", [mark("pass"), " "]), button("fail", "f", [mark("fail"), " "]), button("error", "e", "cannot be decided "), name),
    reason,
    told,
  );
  element.addEventListener("submit", (event) => event.preventDefault());
  reason.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey) && element.dataset.said) void say(/** @type {any} */ (element.dataset.said));
  });
  return element;
}

/**
 * @param {Vote} vote
 * @param {number} number
 * @param {Set<string>} missing quotes that do not stand in the deliverable
 */
function oneVote(vote, number, missing) {
  const spent = [vote.seconds ? duration(vote.seconds) : "", vote.tokens ? `tokens ${(vote.tokens.input ?? 0).toLocaleString("en")} in, ${(vote.tokens.output ?? 0).toLocaleString("en")} out` : "", vote.cost !== undefined && vote.cost !== null ? cost(vote.cost) : "", vote.cached ? "from the cache" : ""];
  return h(
    "article",
    { class: "vote" },
    h("p", {}, h("strong", {}, vote.judge), (vote.vote ?? 1) > 1 ? `, vote ${vote.vote}` : "", ": ", mark(vote.verdict, vote.error_kind ? ` (${vote.error_kind})` : "")),
    vote.reasoning ? h("p", { class: "said" }, vote.reasoning) : null,
    (vote.quotes ?? []).map((quote) =>
      h(
        "blockquote",
        { class: missing.has(quote) ? "quote lost" : "quote" },
        h("span", { class: "said" }, quote),
        missing.has(quote)
          ? h("span", { class: "lost-word" }, " ! not found in the deliverable")
          : h("button", { type: "button", class: "plain", "data-quote": `${number}`, onclick: () => reveal(quote) }, "show in the deliverable"),
      ),
    ),
    h("p", { class: "dim" }, spent.filter(Boolean).join(" · ")),
  );
}

/** @param {string} quote */
function reveal(quote) {
  const marks = [...document.querySelectorAll("mark[data-quote]")];
  const found = marks.find((element) => element.getAttribute("data-quote") === quote.slice(0, 200));
  document.querySelectorAll("mark.here").forEach((element) => element.classList.remove("here"));
  found?.classList.add("here");
  found?.scrollIntoView({ block: "center" });
}
