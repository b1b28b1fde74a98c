// The queries of a group of runs: who graded them, with what values, and how two runs differ.

/** @typedef {import("./data.js").Index} Index */
/** @typedef {import("./data.js").Pair} Pair */
/** @typedef {{queries: number[], place: Map<number, number>, named: Map<string, number>, rows: Map<number, Int32Array>, plain: string[]|null}} Lookup */

export const UNNAMED_MECHANISM = "unspecified";
export const inOrder = new Intl.Collator("en", { numeric: true });
/** @type {WeakMap<Index, Map<number, Lookup>>} */
const lookups = new WeakMap();

/**
 * The groups that have queries to show.
 * @param {Index} index
 */
export function queryGroups(index) {
  return index.groups.flatMap((group, i) => (group.kind === "retrieval" && lookup(index, i).rows.size ? [i] : []));
}

/**
 * Rows of `index.queries` by run and query, found once for all groups.
 * @param {Index} index
 * @param {number} group
 * @returns {Lookup}
 */
export function lookup(index, group) {
  let groups = lookups.get(index);
  if (!groups) {
    groups = new Map();
    for (let i = 0; i < index.groups.length; i++) groups.set(i, emptyLookup());
    index.query_table.forEach((query, i) => groups?.get(query.group)?.queries.push(i));
    for (const found of groups.values()) {
      found.queries.sort((x, y) => inOrder.compare(index.query_table[x].id, index.query_table[y].id) || x - y);
      found.queries.forEach((query, i) => {
        found.place.set(query, i);
        found.named.set(asInLink(index.query_table[query].id), query);
      });
    }
    const { run, query, n } = index.queries;
    for (let row = 0; row < n; row++) {
      const found = groups.get(index.query_table[query[row]].group);
      if (!found) continue;
      let rows = found.rows.get(run[row]);
      if (!rows) found.rows.set(run[row], (rows = new Int32Array(found.queries.length).fill(-1)));
      rows[found.place.get(query[row]) ?? 0] = row;
    }
    lookups.set(index, groups);
  }
  return groups.get(group) ?? emptyLookup();
}

/** @returns {Lookup} */
function emptyLookup() {
  return { queries: [], place: new Map(), named: new Map(), rows: new Map(), plain: null };
}

/**
 * A link cannot carry half a character; an id with one is found by what the link makes of it.
 * @param {string} id
 */
function asInLink(id) {
  return id.replace(/\p{Surrogate}/gu, "\ufffd");
}

/**
 * The query of a group with this id, or null.
 * @param {Index} index
 * @param {number} group
 * @param {string|null} id
 */
export function queryNamed(index, group, id) {
  return id === null ? null : (lookup(index, group).named.get(asInLink(id)) ?? null);
}

/**
 * The row of a run's result for a query in `index.queries`, or -1.
 * @param {Index} index
 * @param {number} run
 * @param {number} query
 */
export function queryRow(index, run, query) {
  const found = lookup(index, index.query_table[query].group);
  return found.rows.get(run)?.[found.place.get(query) ?? -1] ?? -1;
}

/**
 * @param {Index} index
 * @param {number|null} run
 * @param {number} query
 * @param {string} measure
 * @returns {number|null}
 */
export function measured(index, run, query, measure) {
  const row = run === null ? -1 : queryRow(index, run, query);
  return row < 0 || !Object.hasOwn(index.queries.values, measure) ? null : (index.queries.values[measure][row] ?? null);
}

/**
 * Whether a run was asked this query and returned nothing.
 * @param {Index} index
 * @param {number|null} run
 * @param {number} query
 */
export function returnedNothing(index, run, query) {
  const row = run === null ? -1 : queryRow(index, run, query);
  return row >= 0 && Boolean(index.queries.missing[row]);
}

/**
 * Relevant documents outside the first ten: what R@10 leaves. Null where the run has no R@10.
 * @param {Index} index
 * @param {number} run
 * @param {number} query
 */
export function missedOf(index, run, query) {
  const { relevant } = index.query_table[query];
  const recall = measured(index, run, query, "R@10");
  return relevant === null || recall === null ? null : Math.round(relevant * (1 - recall));
}

/**
 * How many of the group's queries a run has results for.
 * @param {Index} index
 * @param {number} run
 */
export function gradedBy(index, run) {
  return (
    lookup(index, index.runs[run].group)
      .rows.get(run)
      ?.reduce((n, row) => n + Number(row >= 0), 0) ?? 0
  );
}

/**
 * A system's name; where another run of its group has the same name, with its run.
 * @param {Index} index
 * @param {number} run
 */
export function nameOf(index, run) {
  const { system, group } = index.runs[run];
  const alone = index.groups[group].runs.every((other) => other === run || index.runs[other].system !== system);
  return alone ? cutText(system, 40) : `${cutText(system, 40)} (${cutText(index.runs[run].run, 60)})`;
}

/** "clauses-mini 1.0, gold view". @param {Index} index @param {number} group */
export function groupName(index, group) {
  const { suite, version, view, protocol } = index.groups[group];
  const twin = index.groups.some(
    (other, i) => i !== group && other.suite === suite && other.version === version && other.view === view,
  );
  return `${cutText(suite, 60)} ${cutText(version, 20)}, ${cutText(view ?? "unnamed", 40)} view${twin ? `, protocol ${cutText(protocol, 12)}` : ""}`;
}

/** @param {Index} index @param {number} query */
export function mechanismOf(index, query) {
  return index.query_table[query].mechanism ?? UNNAMED_MECHANISM;
}

/**
 * The paired difference b - a over the group's queries, or those of a mechanism, if Python has worked it out.
 * @param {Index} index
 * @param {number} a
 * @param {number} b
 * @param {string} measure
 * @param {string|null} mechanism
 * @returns {Pair|null}
 */
export function pairOf(index, a, b, measure, mechanism) {
  const own = index.pairs.filter((pair) => pair.measure === measure && pair.mechanism === mechanism);
  const straight = own.find((pair) => pair.a === a && pair.b === b);
  if (straight) return straight;
  const turned = own.find((pair) => pair.a === b && pair.b === a);
  if (!turned) return null;
  const { mean, low, high } = turned;
  return { ...turned, a, b, mean: negative(mean), low: negative(high), high: negative(low) };
}

/**
 * "1 query", "5,000 queries".
 * @param {number} n
 */
export function queryCount(n) {
  return `${n.toLocaleString("en")} ${n === 1 ? "query" : "queries"}`;
}

/** @param {number|null} value */
function negative(value) {
  return value === null ? null : -value;
}

/**
 * At most `length` characters, never half of one.
 * @param {string} text
 * @param {number} length
 */
export function cutText(text, length) {
  return text.length <= length ? text : `${text.slice(0, length - 1).replace(/[\ud800-\udbff]$/, "")}…`;
}
