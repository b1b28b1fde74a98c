// Which words of a query a document holds: lower-cased words of three letters or more, without their English endings.

import { h } from "./dom.js";

const STOP = new Set(
  (
    "the and for are was were been being has have had that this these those with without from into onto over under upon out off not nor but " +
    "any all some such than then them they their theirs there here where when which while who whom whose what why how its his her hers him she " +
    "you your our ours can could may might must shall should will would did does doing done one two each every either neither other another own same " +
    "only also about above below after before again against between during through because until per via yet too very like make makes made more most much many few both if"
  ).split(" "),
);
const WORD = /[\p{L}\p{N}]{3,}/gu;
const ENDING = /(?:ings?|edly|ed|es|s|ly|e)$/;
const TERMS = 200;

/**
 * "changes", "changed", "changing" and "change" are one term.
 * @param {string} word
 */
function stemOf(word) {
  const lower = word.toLowerCase();
  if (lower.endsWith("ies") && lower.length > 4) return `${lower.slice(0, -3)}y`;
  const bare = lower.replace(ENDING, "");
  return bare.length >= 3 ? bare : lower;
}

/**
 * The terms of a query; at most 200.
 * @param {string} text
 * @returns {Map<string, string>} stem -> the query's word
 */
export function searchTerms(text) {
  const words = (text.slice(0, 10000).match(WORD) ?? []).filter((word) => !STOP.has(word.toLowerCase()));
  /** @type {Map<string, string>} */
  const terms = new Map();
  for (const word of words) {
    const stem = stemOf(word);
    if (terms.size < TERMS && !terms.has(stem)) terms.set(stem, word.toLowerCase());
  }
  return terms;
}

/**
 * The text with the query's terms in <mark>.
 * @param {string} text
 * @param {Map<string, string>} terms
 * @returns {(string|HTMLElement)[]}
 */
export function markTerms(text, terms) {
  const out = [];
  let from = 0;
  for (const found of text.matchAll(WORD)) {
    if (!terms.has(stemOf(found[0])) || STOP.has(found[0].toLowerCase())) continue;
    out.push(text.slice(from, found.index), h("mark", {}, found[0]));
    from = found.index + found[0].length;
  }
  out.push(text.slice(from));
  return out;
}

/**
 * The query's words that a text holds.
 * @param {string} text
 * @param {Map<string, string>} terms
 */
export function termsIn(text, terms) {
  return new Set(
    (text.match(WORD) ?? []).flatMap((word) => (STOP.has(word.toLowerCase()) ? [] : (terms.get(stemOf(word)) ?? []))),
  );
}
