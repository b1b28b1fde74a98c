// Which verdicts are shown, and in which order. Pure: columns in, row numbers out.

import { changeKey, changesBetween } from "./changes.js";
import { verdictDetails } from "./data.js";
import { MARKS, VERDICTS } from "./words.js";

/** @typedef {import("./data.js").Index} Index */
/**
 * What a reader has chosen, as it stands in the URL.
 * @typedef {object} Filter
 * @property {string} [q] words, all of which occur in the task, the criterion's id or its title
 * @property {string} [verdict] verdicts, comma-separated
 * @property {string} [run] run id
 * @property {string} [against] id of an older run that `run` is compared with
 * @property {string} [change] a key of CHANGES
 * @property {string} [area]
 * @property {string} [task]
 * @property {string} [marks] keys of MARKS, comma-separated; all of them hold
 * @property {string} [cause]
 * @property {string} [review] "none", "some", or a ReviewState
 * @property {string} [reasons] "1": the words may occur in a judge's reasons, too
 * @property {string} [sort] a column, "-" in front of it for descending
 */

/** The column keys by which verdicts can be sorted. */
const SORTS = ["verdict", "task", "criterion", "run", "trial"];

/**
 * @param {Index} index
 * @param {number} row
 */
export function verdictOf(index, row) {
  return VERDICTS[index.verdicts.verdict[row]];
}

/**
 * @param {Index} index
 * @param {number} row
 * @returns {import("./data.js").CriterionInfo}
 */
export function criterionOf(index, row) {
  const { task, id, title, critical, contested } = index.criteria;
  const number = index.verdicts.criterion[row];
  return { task: task[number], id: id[number], title: title[number], critical: critical[number] === 1, contested: contested[number] ?? null };
}

/**
 * The address of a verdict: run, task, trial, criterion. It stays the same when the page is built anew.
 * @param {Index} index
 * @param {number} row
 */
export function address(index, row) {
  const criterion = criterionOf(index, row);
  const { run, trial } = index.verdicts;
  return joined(index.runs[run[row]].run, index.tasks[criterion.task].id, trial[row], criterion.id);
}

/**
 * @param {string} run
 * @param {string} task
 * @param {number} trial
 * @param {string} criterion
 */
export function joined(run, task, trial, criterion) {
  return [run, task, String(trial), criterion].map((part) => part.replaceAll("%", "%25").replaceAll("~", "%7E")).join("~");
}

/**
 * The row with this address, or -1.
 * @param {Index} index
 * @param {string} wanted
 */
export function rowAt(index, wanted) {
  for (let row = 0; row < index.verdicts.n; row++) if (address(index, row) === wanted) return row;
  return -1;
}

/** @type {Map<string, Uint8Array>} */
const matched = new Map();

/** @type {string[]|null} */
let haystacks = null;

/** @param {Index} index */
function haystacksOf(index) {
  const { task, id, title } = index.criteria;
  return title.map((words, i) => `${index.tasks[task[i]].id} ${id[i]} ${words}`.toLowerCase());
}

/**
 * Get ready for the first key that is typed into the filter.
 * @param {Index} index
 */
export function prepareFilter(index) {
  haystacks ??= haystacksOf(index);
}

/**
 * Per criterion, whether all words occur in it.
 * @param {Index} index
 * @param {string[]} words
 */
function criteriaWith(index, words) {
  const key = words.join(" ");
  const known = matched.get(key);
  if (known) return known;
  const texts = (haystacks ??= haystacksOf(index));
  const found = new Uint8Array(texts.length);
  for (let i = 0; i < texts.length; i++) if (words.every((word) => texts[i].includes(word))) found[i] = 1;
  if (matched.size > 20) matched.clear();
  matched.set(key, found);
  return found;
}

/** @type {string[]|null} */
let reasons = null;

/**
 * Read all reasons, once; the filter can then look into them.
 * @param {Index} index
 * @param {(share: number) => void} progress
 */
export async function readReasons(index, progress) {
  if (reasons) return;
  /** @type {string[]} */
  const found = [];
  for (let part = 0; found.length < index.verdicts.n; part++) {
    progress(found.length / index.verdicts.n);
    for (const { votes } of await verdictDetails(part)) {
      found.push(votes.map((vote) => [vote.judge, vote.reasoning, ...(vote.quotes ?? [])].join(" ")).join(" ").toLowerCase());
    }
  }
  reasons = found;
}

/**
 * The rows that pass a filter, in its order: errors first, then failures, unless it says otherwise.
 * @param {Index} index
 * @param {Filter} filter
 * @param {(row: number) => string} reviewed the state of a row's reviews
 * @returns {Int32Array}
 */
export function chosen(index, filter, reviewed) {
  const columns = index.verdicts;
  const words = (filter.q ?? "").toLowerCase().split(/\s+/).filter(Boolean);
  const inCriteria = words.length ? criteriaWith(index, words) : null;
  const told = words.length && filter.reasons ? reasons : null;
  const verdicts = new Set((filter.verdict ?? "").split(",").filter(Boolean).map((name) => VERDICTS.indexOf(/** @type {any} */ (name))));
  const runs = filter.run ? numbers(index.runs, (run) => run.run === filter.run) : null;
  const wantedTask = (/** @type {{id: string, area: string}} */ task) =>
    (!filter.area || task.area === filter.area) && (!filter.task || task.id === filter.task);
  const tasks = filter.area || filter.task ? numbers(index.tasks, wantedTask) : null;
  const cause = filter.cause ? index.causes.indexOf(filter.cause) : -1;
  const wanted = (filter.marks ?? "").split(",");
  const bits = MARKS.filter((mark) => wanted.includes(mark.key)).reduce((all, mark) => all | mark.bit, 0);
  const changes = filter.against && filter.run ? changesBetween(index, filter.run, filter.against) : null;
  const rows = new Int32Array(columns.n);
  let n = 0;
  for (let row = 0; row < columns.n; row++) {
    if (verdicts.size && !verdicts.has(columns.verdict[row])) continue;
    if (runs && !runs.has(columns.run[row])) continue;
    if (tasks && !tasks.has(index.criteria.task[columns.criterion[row]])) continue;
    if (bits && (columns.bits[row] & bits) !== bits) continue;
    if (cause >= 0 && columns.cause[row] !== cause) continue;
    if (changes) {
      const became = changes.get(changeKey(index, columns.criterion[row])) ?? "same";
      if (became === "same" || (filter.change && became !== filter.change)) continue;
    }
    if (inCriteria && !inCriteria[columns.criterion[row]] && !(told && words.every((word) => told[row].includes(word)))) continue;
    if (filter.review && !isReviewed(filter.review, reviewed(row))) continue;
    rows[n++] = row;
  }
  return ordered(index, rows.subarray(0, n), filter.sort ?? "verdict");
}

/**
 * @param {string} wanted
 * @param {string} state
 */
function isReviewed(wanted, state) {
  return wanted === "some" ? state !== "none" : state === wanted;
}

/**
 * @template T
 * @param {T[]} items
 * @param {(item: T) => boolean} test
 */
function numbers(items, test) {
  return new Set(items.flatMap((item, i) => (test(item) ? [i] : [])));
}

/**
 * @param {Index} index
 * @param {Int32Array} rows
 * @param {string} sort
 */
function ordered(index, rows, sort) {
  const key = sort.replace(/^-/, "");
  if (!SORTS.includes(key)) return rows;
  if (sort === "verdict") return worstFirst(index, rows);
  const rank = ranks(index, key);
  const sign = sort.startsWith("-") ? -1 : 1;
  // one number a row: its rank, then its place; a typed array of numbers sorts far faster than one with a comparison
  const keys = Float64Array.from(rows, (row) => sign * rank[row] * 2 ** 24 + row);
  keys.sort();
  return Int32Array.from(keys, (value) => ((value % 2 ** 24) + 2 ** 24) % 2 ** 24);
}

/**
 * @param {Index} index
 * @param {Int32Array} rows
 */
function worstFirst(index, rows) {
  const verdicts = index.verdicts.verdict;
  const next = [0, 0, 0];
  for (let i = 0; i < rows.length; i++) next[verdicts[rows[i]]]++;
  [next[0], next[1], next[2]] = [0, next[0], next[0] + next[1]];
  const sorted = new Int32Array(rows.length);
  for (let i = 0; i < rows.length; i++) sorted[next[verdicts[rows[i]]]++] = rows[i];
  return sorted;
}

/** @type {Map<string, ArrayLike<number>>} */
const ranked = new Map();

/**
 * Per row, its place when sorted by a column.
 * @param {Index} index
 * @param {string} key
 * @returns {ArrayLike<number>}
 */
function ranks(index, key) {
  const columns = index.verdicts;
  if (key === "verdict") return columns.verdict;
  if (key === "trial") return columns.trial;
  if (key === "run") return columns.run;
  const known = ranked.get(key);
  if (known) return known;
  const names = key === "task" ? index.criteria.task.map((task) => index.tasks[task].id) : index.criteria.id;
  const sorted = new Map([...new Set(names)].sort().map((name, i) => [name, i]));
  const byCriterion = names.map((name) => sorted.get(name) ?? 0);
  const found = Int32Array.from(columns.criterion, (criterion) => byCriterion[criterion]);
  ranked.set(key, found);
  return found;
}
