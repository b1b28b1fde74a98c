// What the agent delivered, as text, with the passages that the judges quoted marked in it.

import { h } from "./dom.js";

/** @typedef {import("./data.js").TrialDetail} TrialDetail */
/** @typedef {import("./data.js").Vote} Vote */

const PLAIN = { "‘": "'", "’": "'", "‚": "'", "‛": "'", "“": "'", "”": "'", "„": "'", "‟": "'", "«": "'", "»": "'", '"': "'", "–": "-", "—": "-", "‑": "-", "−": "-" };
const DROPPED = /[*_`#\u00ad\u200b-\u200d\u2060\ufeff]/;
const ELISION = /[[(]?(?:(?:\.\s?){3,}|…)[\])]?/;
const ANCHOR = /\[[^[\]\n]{1,200}\.\w{1,8} [^[\]\n]{1,200}\]/g;
const MARKED = /⟦(?:U\+([0-9A-F]{4,6})|(.))⟧/gs;

/**
 * A text as quotes are compared, and for each of its characters the place it came from. Case, white space, kinds of
 * quotation marks and dashes, and Markdown's signs make no difference; the judge's check of quotes has the same rules.
 * @param {string} text
 */
function normal(text) {
  /** @type {string[]} */
  const out = [];
  /** @type {number[]} */
  const from = [];
  let i = 0;
  for (const char of text) {
    const start = i;
    i += char.length;
    if (DROPPED.test(char)) continue;
    const folded = /\s|\|/.test(char) ? " " : ((/** @type {Record<string, string>} */ (PLAIN))[char] ?? char.normalize("NFKC").toLowerCase());
    if (folded === " " && (out.length === 0 || out[out.length - 1] === " ")) continue;
    for (let unit = 0; unit < folded.length; unit++) {
      out.push(folded[unit]);
      from.push(start);
    }
  }
  return { text: out.join(""), from, end: text.length };
}

/**
 * Where a quote stands: ranges [start, end) of the text, or null. "..." joins passages that follow one another.
 * @param {ReturnType<typeof normal>} haystack
 * @param {string} quote
 * @returns {[number, number][]|null}
 */
function occurrences(haystack, quote) {
  const said = quote.replace(MARKED, (_, code, char) => (code ? String.fromCodePoint(parseInt(code, 16)) : char)).replace(ANCHOR, " ");
  const parts = said.split(ELISION).map((part) => normal(part).text.replace(/^[ .,;:']+|[ .,;:']+$/g, "")).filter(Boolean);
  /** @type {[number, number][]} */
  const found = [];
  let place = 0;
  for (const part of parts) {
    const at = haystack.text.indexOf(part, place);
    if (at < 0) return null;
    place = at + part.length;
    found.push([haystack.from[at], place < haystack.from.length ? haystack.from[place] : haystack.end]);
  }
  return found.length ? found : null;
}

/**
 * The deliverables of a trial beside a criterion, quotes marked. `missing` holds the quotes that stand in none of them;
 * it is empty where a deliverable's text is not on the page, since nothing can be said then.
 * @param {TrialDetail|null} trial
 * @param {string|null} file the one the criterion was graded in
 * @param {Vote[]} votes
 * @param {"h2"|"h3"} [heading]
 */
export function deliverables(trial, file, votes, heading = "h3") {
  const quotes = [...new Set(votes.flatMap((vote) => vote.quotes ?? []))];
  const missing = new Set(quotes);
  if (!trial || !trial.deliverables.length) {
    const why = trial ? "The trial left no deliverable." : "results.jsonl holds no trial line for this verdict.";
    return { element: h("section", { class: "work", "aria-label": "deliverable" }, h(heading, {}, "Deliverable"), h("p", {}, why)), missing: new Set() };
  }
  const own = trial.deliverables.filter((found) => !file || found.name === file);
  const ordered = [...own, ...trial.deliverables.filter((found) => !own.includes(found))];
  const parts = ordered.map((found, i) => {
    const title = h("span", { class: "id" }, found.name);
    if (found.text === null) return h("details", { open: true }, h("summary", {}, title), h("p", {}, `Its text is not on this page: ${found.left_out ?? "no text was extracted"}.`));
    const text = highlighted(found.text, quotes, missing);
    return h("details", { open: i === 0 }, h("summary", {}, title), found.left_out ? h("p", {}, found.left_out) : null, h("div", { class: "paper", tabindex: "0", role: "region", "aria-label": found.name }, text));
  });
  const whole = trial.deliverables.every((found) => found.text !== null && !found.left_out);
  return {
    element: h("section", { class: "work", "aria-label": "deliverable" }, h(heading, {}, trial.deliverables.length > 1 ? "Deliverables" : "Deliverable"), parts),
    missing: whole ? missing : new Set(),
  };
}

/**
 * @param {string} text
 * @param {string[]} quotes
 * @param {Set<string>} missing quotes that were found are taken out
 */
function highlighted(text, quotes, missing) {
  const haystack = normal(text);
  /** @type {{start: number, end: number, quote: string}[]} */
  const ranges = [];
  for (const quote of quotes) {
    const found = occurrences(haystack, quote);
    if (!found) continue;
    missing.delete(quote);
    ranges.push(...found.map(([start, end]) => ({ start, end, quote })));
  }
  ranges.sort((a, b) => a.start - b.start || b.end - a.end);
  const out = [];
  let place = 0;
  for (const range of ranges) {
    const start = Math.max(range.start, place);
    if (start >= range.end) continue;
    const end = start + text.slice(start, range.end).trimEnd().length;
    out.push(text.slice(place, start), h("mark", { "data-quote": range.quote.slice(0, 200) }, text.slice(start, end)));
    place = end;
  }
  out.push(text.slice(place));
  return out;
}
