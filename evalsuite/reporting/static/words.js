// The words and marks of verdicts, the same everywhere: a glyph, a word and a colour, never colour alone.

import { h } from "./dom.js";

/** @typedef {"error"|"fail"|"pass"} Verdict */

/** @type {Verdict[]} */
export const VERDICTS = ["error", "fail", "pass"];

const GLYPHS = { error: "!", fail: "✗", pass: "✓" };

/** What the bits of a verdict mean, worst first. */
export const MARKS = [
  { bit: 4, key: "unsupported", word: "unsupported quote", about: "a judge quoted what does not stand in the deliverable" },
  { bit: 1, key: "disputed", word: "judges disagree", about: "the judges' verdicts are not the same" },
  { bit: 2, key: "unsteady", word: "a judge wavers", about: "one judge's repeated votes are not the same" },
  { bit: 64, key: "flipped", word: "flips between trials", about: "the verdict is not the same in all trials of the run" },
  { bit: 128, key: "changed", word: "differs between runs", about: "another run of the same group has another verdict" },
  { bit: 8, key: "contested", word: "contested", about: "the criterion is known to be arguable" },
  { bit: 16, key: "critical", word: "critical", about: "the rubric calls the criterion critical" },
  { bit: 256, key: "renamed", word: "file under another name", about: "the deliverable was found under another name" },
  { bit: 32, key: "unjudged", word: "no judge needed", about: "graded by a check, or nothing was delivered" },
];

/**
 * "✗ fail", in the verdict's colour.
 * @param {Verdict} verdict
 * @param {string} [more]
 */
export function mark(verdict, more = "") {
  return h("span", { class: `verdict ${verdict}` }, h("span", { class: "word" }, h("span", { "aria-hidden": "true" }, GLYPHS[verdict]), ` ${verdict}`), more.replaceAll("_", " "));
}

/**
 * @param {number} n
 * @param {string} noun
 * @param {string} [plural]
 */
export function count(n, noun, plural = `${noun}s`) {
  return `${n.toLocaleString("en")} ${n === 1 ? noun : plural}`;
}

/**
 * A share as a reader wants it: "12 of 30 (40 %)".
 * @param {number} part
 * @param {number} whole
 */
export function share(part, whole) {
  return whole ? `${part} of ${whole} (${Math.round((100 * part) / whole)} %)` : "none";
}

/** @param {number|null|undefined} dollars */
export function cost(dollars) {
  if (dollars === null || dollars === undefined) return "unknown";
  return dollars >= 0.01 || dollars === 0 ? `$${dollars.toFixed(2)}` : `$${dollars.toFixed(4)}`;
}

/** @param {number} seconds */
export function duration(seconds) {
  const whole = Math.round(seconds);
  return seconds < 120 ? `${seconds.toFixed(1)} s` : `${Math.floor(whole / 60)} min ${whole % 60} s`;
}
