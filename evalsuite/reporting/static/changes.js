// What changed from one run to another, criterion by criterion, as `evalsuite compare` says it.

/** @typedef {import("./data.js").Index} Index */
/** @typedef {"error"|"newly-failed"|"newly-passed"|"flipped"|"same"} Change */

/** @type {{key: Change, word: string, about: string}[]} */
export const CHANGES = [
  { key: "error", word: "ungraded in one of them", about: "an error on either side: neither passed nor failed" },
  { key: "newly-failed", word: "newly failed", about: "passed in every trial of the old run, in none of the new" },
  { key: "newly-passed", word: "newly passed", about: "passed in every trial of the new run, in none of the old" },
  { key: "flipped", word: "flipped in some trials", about: "passed in another share of the trials" },
];

/**
 * The runs that a run may be compared with: those on the same data under the same protocol, by number.
 * @param {Index} index
 * @param {string|undefined} run run id
 */
export function comparableWith(index, run) {
  const number = index.runs.findIndex((found) => found.run === run);
  const group = index.groups.find((found) => found.runs.includes(number));
  return number < 0 || !group ? [] : group.runs.filter((other) => other !== number);
}

/** @type {{key: string, changes: Map<string, Change>}|null} */
let known = null;

/**
 * Per criterion of both runs, by `changeKey`, what became of it. Empty where the two must not be compared.
 * @param {Index} index
 * @param {string|undefined} after run id
 * @param {string|undefined} before run id
 * @returns {Map<string, Change>}
 */
export function changesBetween(index, after, before) {
  const key = `${before} ${after}`;
  if (known?.key === key) return known.changes;
  const old = comparableWith(index, after).find((number) => index.runs[number].run === before);
  const changes = old === undefined ? new Map() : between(index, old, index.runs.findIndex((run) => run.run === after));
  known = { key, changes };
  return changes;
}

/**
 * @param {Index} index
 * @param {number} criterion
 */
export function changeKey(index, criterion) {
  return `${index.criteria.task[criterion]} ${index.criteria.id[criterion]}`;
}

/**
 * @param {Index} index
 * @param {number} before
 * @param {number} after
 */
function between(index, before, after) {
  /** @type {Map<string, {old: number[], now: number[]}>} */
  const verdicts = new Map();
  const columns = index.verdicts;
  for (let row = 0; row < columns.n; row++) {
    if (columns.run[row] !== before && columns.run[row] !== after) continue;
    const key = changeKey(index, columns.criterion[row]);
    const found = verdicts.get(key) ?? { old: [], now: [] };
    (columns.run[row] === before ? found.old : found.now).push(columns.verdict[row]);
    verdicts.set(key, found);
  }
  /** @type {Map<string, Change>} */
  const changes = new Map();
  for (const [key, { old, now }] of verdicts) if (old.length && now.length) changes.set(key, changeOf(share(old), share(now)));
  return changes;
}

/**
 * Share of trials that pass, or null with an error among them.
 * @param {number[]} verdicts
 */
function share(verdicts) {
  return verdicts.includes(0) ? null : verdicts.filter((verdict) => verdict === 2).length / verdicts.length;
}

/**
 * @param {number|null} old
 * @param {number|null} now
 * @returns {Change}
 */
function changeOf(old, now) {
  if (old === null || now === null) return "error";
  if (old === now) return "same";
  if (old === 1 && now === 0) return "newly-failed";
  return old === 0 && now === 1 ? "newly-passed" : "flipped";
}
