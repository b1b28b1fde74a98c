// Documents as a reader judges a ranking by them: id, rank, grade, and the text with the query's words marked.

import { documentText } from "./data.js";
import { append, h } from "./dom.js";
import { cutText } from "./queries.js";
import { markTerms, termsIn } from "./terms.js";

/** @typedef {import("./data.js").Doc} Doc */
/** @typedef {import("./data.js").Index} Index */
/** @typedef {{suite: string, terms: Map<string, string>, texts: Map<string, Doc|null>}} Reading */

const OPENING = 280;
const LONGEST = 20000;
export const MISSED_SHOWN = 10;

/**
 * @param {Index} index
 * @param {Reading} reading
 * @param {string[]} ids
 */
export async function readTexts(index, reading, ids) {
  const found = await Promise.all(ids.map((id) => documentText(index, reading.suite, id)));
  ids.forEach((id, i) => reading.texts.set(id, found[i]));
}

/**
 * Which words are marked, and why a text is not there.
 * @param {Index} index
 * @param {Reading} reading
 * @param {number} wanted documents shown
 */
export function readingNotes(index, reading, wanted) {
  const held = [...reading.texts.values()].filter((doc) => doc !== null);
  const all = new Set(held.flatMap((doc) => [...termsIn(`${doc.title ?? ""} ${doc.text.slice(0, LONGEST)}`, reading.terms)]));
  const terms = [...all].sort();
  const why = index.left_out.documents
    ? `did not fit into the page, like ${index.left_out.documents.toLocaleString("en")} documents in all; the run folder has them in artifacts/texts.jsonl.gz`
    : "is not in the run folder, which holds no artifacts/texts.jsonl.gz with it";
  const without = wanted - held.length;
  return [
    without
      ? h(
          "p",
          { class: "dim" },
          `The text of ${without === wanted ? "the documents" : `${without} of ${wanted} documents`} ${why}.`,
        )
      : null,
    held.length
      ? h(
          "p",
          { class: "dim" },
          terms.length ? `Matched terms: ${terms.slice(0, 60).join(", ")}.` : "No document shown here holds a word of the query.",
        )
      : null,
  ];
}

/**
 * The first ten with their text, the others when asked for.
 * @param {Index} index
 * @param {{id: string, grade: number, facts: string[]}[]} missed
 * @param {Reading} reading
 */
export function missedList(index, missed, reading) {
  const items = (/** @type {typeof missed} */ some) =>
    h(
      "ul",
      { class: "ranking" },
      some.map(({ id, grade, facts }) => documentItem(id, facts, grade, reading)),
    );
  const more = missed.slice(MISSED_SHOWN);
  const folded = h("details", {}, h("summary", {}, `${more.length} more`));
  folded.addEventListener(
    "toggle",
    async () => {
      await readTexts(
        index,
        reading,
        more.map(({ id }) => id),
      );
      folded.append(items(more));
    },
    { once: true },
  );
  return [items(missed.slice(0, MISSED_SHOWN)), more.length ? folded : null];
}

/** @param {number|null} grade */
export function gradeWords(grade) {
  return grade === null ? "not judged" : `grade ${grade}`;
}

/**
 * @param {string} id
 * @param {string[]} facts
 * @param {number|null} grade
 * @param {Reading} reading
 */
export function documentItem(id, facts, grade, reading) {
  const doc = reading.texts.get(id);
  const state = grade === null ? "unjudged" : grade > 0 ? "relevant" : "irrelevant";
  return h(
    "li",
    { class: `document ${state}` },
    h(
      "p",
      { class: "document-head dim" },
      h("bdi", { class: "id" }, cutText(id, 120)),
      facts.filter(Boolean).flatMap((fact) => [" · ", h("span", { class: fact.startsWith("grade") ? "grade" : null }, fact)]),
    ),
    doc?.title ? h("p", { class: "document-title", dir: "auto" }, markTerms(cutText(doc.title, 300), reading.terms)) : null,
    doc ? foldedText(doc.text, OPENING, reading.terms, doc.cut) : null,
  );
}

/**
 * The first lines, and the whole text when asked for.
 * @param {string} text
 * @param {number} opening characters shown at once
 * @param {Map<string, string>} terms
 * @param {boolean} [cut] whether the text goes on in the corpus
 */
export function foldedText(text, opening, terms, cut = false) {
  /** @param {number} length */
  const part = (length) => h("p", { class: "said", dir: "auto" }, markTerms(cutText(text, length), terms));
  const note = cut || text.length > LONGEST ? h("p", { class: "dim" }, "Cut here; the corpus has the whole text.") : null;
  const first = part(opening);
  if (text.length <= opening) return [first, note];
  const folded = h("details", {}, h("summary", {}, `all ${text.length.toLocaleString("en")} characters`));
  folded.addEventListener("toggle", () => {
    first.hidden = folded.hasAttribute("open");
    if (folded.childElementCount === 1) append(folded, [part(LONGEST), note]);
  });
  return [first, folded];
}
