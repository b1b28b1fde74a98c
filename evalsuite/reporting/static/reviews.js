// What reviewers say to verdicts: kept in this browser until it is exported, or saved at once where `evalsuite serve` shows the page.

/** @typedef {import("./data.js").Index} Index */
/** @typedef {import("./data.js").Review} Review */

import { joined } from "./verdicts.js";

const STORE = "evalsuite-reviews";
const REVIEWER = "evalsuite-reviewer";
const FORMAT = "evalsuite-review";

/** @type {Map<string, Review[]>} reviews by verdict, oldest first; those of run folders and those of this browser */
const byVerdict = new Map();
/** @type {Review[]} not yet in a run folder, as far as this page knows */
let pending = [];
/** @type {Map<string, string>} the own name of each run of the page */
let ids = new Map();
/** @type {Record<string, string>} in the place of localStorage where the browser refuses it */
const fallback = {};
let keeps = true;

/** @param {Review} review */
function keyOf(review) {
  return joined(review.run, review.task, review.trial, review.criterion);
}

/** @param {Review} review */
function same(review) {
  return JSON.stringify([keyOf(review), review.unit_sha256, review.verdict, review.reason, review.reviewer, review.at]);
}

/** @param {string} key */
function stored(key) {
  try {
    return localStorage.getItem(key);
  } catch {
    keeps = false;
    return fallback[key] ?? null;
  }
}

/**
 * @param {string} key
 * @param {string} value
 */
function store(key, value) {
  try {
    localStorage.setItem(key, value);
  } catch {
    keeps = false;
    fallback[key] = value;
  }
}

/** @param {Review} review */
function add(review) {
  const list = byVerdict.get(keyOf(review)) ?? [];
  if (list.some((known) => same(known) === same(review))) return false;
  list.push(review);
  list.sort((a, b) => a.at.localeCompare(b.at));
  byVerdict.set(keyOf(review), list);
  return true;
}

/**
 * Take in what the run folders hold, and what this browser kept of the runs on the page.
 * @param {Index} index
 */
export function loadReviews(index) {
  byVerdict.clear();
  ids = new Map(index.runs.map((run) => [run.run, run.id]));
  index.reviews.forEach(add);
  const shown = new Set(index.runs.map((run) => run.run));
  pending = readStore().filter((review) => shown.has(review.run) && add(review));
}

/** @returns {Review[]} */
function readStore() {
  try {
    const found = JSON.parse(stored(STORE) ?? "[]");
    return Array.isArray(found) ? found.filter(isReview) : [];
  } catch {
    return [];
  }
}

function save() {
  const others = readStore().filter((review) => !pending.some((mine) => same(mine) === same(review)));
  store(STORE, JSON.stringify([...others, ...pending]));
}

/**
 * @param {any} value
 * @returns {value is Review}
 */
function isReview(value) {
  const texts = ["run", "task", "criterion", "unit_sha256", "machine", "verdict", "reason", "reviewer", "at"];
  return (
    Boolean(value) &&
    value.unit === "review" &&
    Number.isInteger(value.trial) &&
    texts.every((name) => typeof value[name] === "string") &&
    ["pass", "fail", "error"].includes(value.verdict)
  );
}

/**
 * All reviews of a verdict, oldest first.
 * @param {string} address
 */
export function reviewsOf(address) {
  return byVerdict.get(address) ?? [];
}

/** @typedef {"none"|"done"|"overridden"|"disputed"} ReviewState */

/**
 * What the last word of each reviewer comes to: "done" where they agree with the run, "disputed" where not with each other.
 * @param {string} address
 * @returns {ReviewState}
 */
export function reviewState(address) {
  const list = byVerdict.get(address);
  if (!list) return "none";
  const latest = [...new Map(list.map((review) => [review.reviewer, review])).values()];
  if (latest.some((review) => review.verdict !== latest[0].verdict)) return "disputed";
  return latest[0].verdict === latest[0].machine ? "done" : "overridden";
}

/** Whether any verdict has a review: saves asking for each. */
export function anyReviews() {
  return byVerdict.size > 0;
}

export function pendingReviews() {
  return pending;
}

/** Whether the browser keeps reviews when the page is closed. */
export function browserKeeps() {
  return keeps;
}

export function reviewer() {
  return stored(REVIEWER) ?? "";
}

/**
 * Record a review. Where the page is served it is saved to the run folder at once.
 * @param {Index} index
 * @param {Omit<Review, "unit"|"at">} said
 * @returns {Promise<string>} what became of it, in words
 */
export async function record(index, said) {
  store(REVIEWER, said.reviewer);
  const review = /** @type {Review} */ ({ unit: "review", ...said, at: new Date().toISOString().replace(/\.\d+Z$/, "Z") });
  add(review);
  pending.push(review);
  save();
  return index.served ? deliver() : keeps ? "Kept in this browser; export it when you are done." : "Not kept by this browser: export it before you close the page.";
}

/** Send what is pending to the server that shows the page, one by one: an outdated review must not keep the others back. */
async function deliver() {
  const newest = pending[pending.length - 1];
  let told = "Saved in the run folder.";
  for (const review of [...pending]) {
    const about = review === newest ? "Not saved" : `${told} An earlier review, of ${review.criterion}, is still not saved`;
    try {
      const answer = await fetch(`/reviews${location.search}`, { method: "POST", headers: { "Content-Type": "application/json" }, body: exportText([review]) });
      if (!answer.ok) {
        told = `${about}: ${(await answer.json()).error?.message ?? answer.status}. It is kept in this browser.`;
        continue;
      }
    } catch (error) {
      return `Not saved: the server does not answer (${error}). It is kept in this browser.`;
    }
    pending = pending.filter((other) => other !== review);
    store(STORE, JSON.stringify(readStore().filter((other) => same(other) !== same(review))));
  }
  return told;
}

/**
 * The file that `evalsuite review import` takes in.
 * @param {Review[]} [reviews]
 */
export function exportText(reviews = pending) {
  const own = reviews.map((review) => ({ ...review, run: ids.get(review.run) ?? review.run }));
  const document = { format: FORMAT, version: 1, exported_at: new Date().toISOString(), reviews: own };
  return `${JSON.stringify(document, null, 1)}\n`;
}

/**
 * Take in a file that this page or another one exported.
 * @param {Index} index
 * @param {string} text
 * @returns {string} what was taken in, in words
 */
export function importText(index, text) {
  /** @type {any} */
  let document;
  try {
    document = JSON.parse(text);
  } catch (error) {
    return `Nothing was taken in: the file is not JSON (${error}).`;
  }
  if (document?.format !== FORMAT || document.version !== 1 || !Array.isArray(document.reviews)) {
    return `Nothing was taken in: the file is no export of reviews; it must have "format": "${FORMAT}" and "version": 1.`;
  }
  const broken = document.reviews.findIndex((/** @type {any} */ review) => !isReview(review));
  if (broken >= 0) return `Nothing was taken in: review ${broken + 1} is not a review.`;
  const shown = new Set(index.runs.map((run) => run.run));
  const ours = document.reviews.filter((/** @type {Review} */ review) => shown.has(review.run));
  const added = ours.filter(add);
  pending.push(...added);
  save();
  const strange = document.reviews.length - ours.length;
  return `${added.length} taken in, ${ours.length - added.length} were there already${strange ? `, ${strange} are about runs that are not on this page` : ""}.`;
}
