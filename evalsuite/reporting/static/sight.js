// What the retrieval views look at: one group of runs, a measure, one or two systems, and some of the queries in an order.

import {
  cutText,
  inOrder,
  lookup,
  measured,
  mechanismOf,
  missedOf,
  queryGroups,
  queryNamed,
  queryRow,
  returnedNothing,
} from "./queries.js";

/** @typedef {import("./data.js").Index} Index */
/**
 * @typedef {object} Sight
 * @property {number} group
 * @property {number[]} runs those with results, best first
 * @property {number[]} queries of the group, in the order of their ids
 * @property {string[]} measures
 * @property {string} measure
 * @property {number} a run
 * @property {number|null} b run
 * @property {string[]} mechanisms
 * @property {string} mechanism "" for all
 * @property {string} text
 * @property {{key: string, descending: boolean}} sort
 * @property {string[]} problems what the link names and the page does not hold
 */

const START_MEASURE = "nDCG@10";

/**
 * What the hash asks for, with the page's own choice where it is silent or wrong. Null: the page holds no queries.
 * @param {Index} index
 * @param {Record<string, string>} values
 * @returns {Sight|null}
 */
export function sightOf(index, values) {
  const groups = queryGroups(index);
  if (!groups.length) return null;
  /** @type {string[]} */
  const problems = [];
  const asked = Number(values.group);
  if (values.group && !groups.includes(asked))
    problems.push(`no group of retrieval runs has the number ${cutText(values.group, 20)}`);
  const group = values.group && groups.includes(asked) ? asked : groups[0];
  const { queries, rows } = lookup(index, group);
  const runs = index.groups[group].runs.filter((run) => rows.has(run));
  for (const run of rows.keys()) if (!runs.includes(run)) runs.push(run);
  const measures = measuresOf(index, rows);
  const mechanisms = [...new Set(queries.map((query) => mechanismOf(index, query)))].sort();

  /** @param {string} key */
  const runNamed = (key) => {
    const found = values[key] ? runs.find((run) => index.runs[run].run === values[key]) : undefined;
    if (values[key] && found === undefined) problems.push(`this group has no run ${cutText(values[key], 60)}`);
    return found;
  };
  const a = runNamed("a") ?? runs.find((run) => index.runs[run].role !== "verifier") ?? runs[0];
  const b = runNamed("b") ?? null;
  if (values.measure && !measures.includes(values.measure))
    problems.push(`this group has no measure ${cutText(values.measure, 40)}`);
  return {
    group,
    runs,
    queries,
    measures,
    measure: measures.includes(values.measure)
      ? values.measure
      : (measures.find((name) => name === START_MEASURE) ?? measures[0] ?? ""),
    a,
    b: b === a ? null : b,
    mechanisms,
    mechanism: mechanisms.includes(values.mechanism) ? values.mechanism : "",
    text: values.q ?? "",
    sort: { key: (values.sort ?? "").replace(/^-/, "") || "query", descending: (values.sort ?? "").startsWith("-") },
    problems,
  };
}

/**
 * The measures that some run of a group has values for.
 * @param {Index} index
 * @param {Map<number, Int32Array>} rows
 */
function measuresOf(index, rows) {
  return index.measures.filter((name) => {
    const values = Object.hasOwn(index.queries.values, name) ? index.queries.values[name] : [];
    return [...rows.values()].some((places) => places.some((row) => row >= 0 && typeof values[row] === "number"));
  });
}

/**
 * The queries of the chosen mechanism, in the order of their ids.
 * @param {Index} index
 * @param {Sight} sight
 */
export function queriesOf(index, sight) {
  return sight.mechanism ? sight.queries.filter((query) => mechanismOf(index, query) === sight.mechanism) : sight.queries;
}

/**
 * Queries said twice: the oblique one and its literal twin, where either is of the chosen mechanism.
 * @param {Index} index
 * @param {Sight} sight
 */
export function twinsOf(index, sight) {
  return sight.queries.flatMap((query) => {
    const other = queryNamed(index, sight.group, index.query_table[query].twin_of);
    if (other === null) return [];
    if (sight.mechanism && ![mechanismOf(index, query), mechanismOf(index, other)].includes(sight.mechanism)) return [];
    const turned = mechanismOf(index, other) === "surface" && mechanismOf(index, query) !== "surface";
    return [turned ? { oblique: query, literal: other } : { oblique: other, literal: query }];
  });
}

/**
 * The table's queries: mechanism and text fit, those that got nothing first, the rest as sorted.
 * @param {Index} index
 * @param {Sight} sight
 */
export function queriesListed(index, sight) {
  const wanted = sight.text.toLowerCase().trim();
  let found = queriesOf(index, sight);
  if (wanted) {
    const known = lookup(index, sight.group);
    known.plain ??= known.queries.map((query) =>
      `${index.query_table[query].id}\n${index.query_table[query].text ?? ""}`.toLowerCase(),
    );
    const { plain, place } = known;
    found = found.filter((query) => plain[place.get(query) ?? 0].includes(wanted));
  }
  const sign = sight.sort.descending ? -1 : 1;
  const keyed = found.map((query, i) => ({
    query,
    i,
    broken: returnedNothing(index, sight.a, query) || returnedNothing(index, sight.b, query),
    key: sortKey(index, sight, query),
  }));
  keyed.sort((x, y) => Number(y.broken) - Number(x.broken) || compareKeys(x.key, y.key, sign) || x.i - y.i);
  if (sight.sort.key === "query" && sight.sort.descending) {
    const broken = keyed.filter((entry) => entry.broken).length;
    return [...keyed.slice(0, broken).reverse(), ...keyed.slice(broken).reverse()].map((entry) => entry.query);
  }
  return keyed.map((entry) => entry.query);
}

/**
 * @param {Index} index
 * @param {Sight} sight
 * @param {number} query
 * @returns {string|number|null}
 */
function sortKey(index, sight, query) {
  const row = queryRow(index, sight.a, query);
  switch (sight.sort.key) {
    case "mechanism":
      return mechanismOf(index, query);
    case "a":
      return measured(index, sight.a, query, sight.measure);
    case "b":
      return measured(index, sight.b, query, sight.measure);
    case "difference":
      return differenceOf(index, sight, query);
    case "judged":
      return row < 0 ? null : index.queries.judged[row];
    case "relevant":
      return index.query_table[query].relevant;
    case "missed":
      return missedOf(index, sight.a, query);
    default:
      return null;
  }
}

/**
 * Values without a number come last, whichever the direction.
 * @param {string|number|null} x
 * @param {string|number|null} y
 * @param {number} sign
 */
function compareKeys(x, y, sign) {
  if (x === null || y === null) return Number(x === null) - Number(y === null);
  return sign * (typeof x === "number" && typeof y === "number" ? x - y : inOrder.compare(String(x), String(y)));
}

/**
 * B - A for a query.
 * @param {Index} index
 * @param {Sight} sight
 * @param {number} query
 */
export function differenceOf(index, sight, query) {
  const x = measured(index, sight.a, query, sight.measure);
  const y = measured(index, sight.b, query, sight.measure);
  return x === null || y === null ? null : y - x;
}
