// What a choice of systems and queries comes to: four charts, each with its counts and its difference in words.

import { DRAWN, LINKED, scatter, strip } from "./charts.js";
import { h } from "./dom.js";
import { cutText, measured, mechanismOf, nameOf, pairOf } from "./queries.js";
import { queriesOf, twinsOf } from "./sight.js";
import { link } from "./state.js";
import { share } from "./words.js";

/** @typedef {import("./data.js").Index} Index */
/** @typedef {import("./sight.js").Sight} Sight */

const ALPHA = 0.05;

/**
 * The charts of a choice, or a line in words where there is nothing to draw.
 * @param {Index} index
 * @param {Sight} sight
 * @param {number} width pixels
 */
export function chartsOf(index, sight, width) {
  const queries = queriesOf(index, sight);
  const half = Math.min(width, 400);
  const found = [
    stripOf(index, sight, queries, width),
    sight.b === null
      ? h("p", { class: "dim" }, "Choose a system B to see it against A.")
      : againstB(index, sight, queries, sight.b, half),
    twinsChart(index, sight, half),
    verifierChart(index, sight, queries, half),
  ];
  const drawn = found.filter((part) => part.tagName === "FIGURE");
  const notes = found.filter((part) => !drawn.includes(part));
  return [
    drawn.length ? h("p", { class: "dim" }, dotsHint(queries.length)) : null,
    ...drawn,
    notes.length ? h("div", { class: "wide" }, notes) : null,
  ];
}

/**
 * What the link names and the page does not hold.
 * @param {Sight|null} sight
 */
export function problemLines(sight) {
  return (sight?.problems ?? []).map((problem) => h("p", { class: "bad" }, `! ${problem[0].toUpperCase()}${problem.slice(1)}.`));
}

/** @param {number} n dots */
function dotsHint(n) {
  if (n > DRAWN)
    return "Too many queries for a dot each: bars and circles carry their count, the table below leads to every query.";
  const meaning = "Each dot is a query and leads to it; dots of equal values are fanned out.";
  return n > LINKED ? meaning : `${meaning} With the keyboard: tab to a chart, arrow keys, enter.`;
}

/**
 * The link to a query that keeps the choice.
 * @param {Index} index
 * @param {Sight} sight
 * @param {number} query
 */
export function queryHref(index, sight, query) {
  const { a, b, measure, mechanism, text, sort, group } = sight;
  return link("query", {
    group,
    id: index.query_table[query].id,
    measure,
    a: index.runs[a].run,
    b: b === null ? "" : index.runs[b].run,
    mechanism,
    q: text,
    sort: sort.key === "query" && !sort.descending ? "" : `${sort.descending ? "-" : ""}${sort.key}`,
  });
}

/** A dot's link: the choice without the table's filter and order. @param {Index} index @param {Sight} sight @param {number} query */
function dotHref(index, sight, query) {
  return queryHref(index, { ...sight, text: "", sort: { key: "query", descending: false } }, query);
}

/** @param {Index} index @param {Sight} sight @param {number[]} queries @param {number} width */
function stripOf(index, sight, queries, width) {
  const names = sight.mechanism ? [sight.mechanism] : sight.mechanisms;
  const rows = names.map((name) => ({
    name: sight.mechanisms.length > 1 ? cutText(name, 24) : "all queries",
    points: queries.flatMap((query) => {
      const value = mechanismOf(index, query) === name ? measured(index, sight.a, query, sight.measure) : null;
      return value === null
        ? []
        : [
            {
              value,
              label: `${cutText(index.query_table[query].id, 60)}: ${value.toFixed(3)}`,
              href: () => dotHref(index, sight, query),
            },
          ];
    }),
  }));
  const filled = rows.filter((row) => row.points.length);
  const words = filled.map(({ name, points }) => {
    const zero = points.filter((point) => point.value === 0).length;
    return `${name}: ${share(zero, points.length)} of the queries at 0; half of them at or below ${middle(points.map((point) => point.value)).toFixed(3)}.`;
  });
  if (!filled.length) return h("p", {}, `${nameOf(index, sight.a)} has no ${sight.measure} here.`);
  return strip({ title: `${sight.measure} of ${nameOf(index, sight.a)}, query by query`, rows: filled, width, words });
}

/** @param {number[]} values */
function middle(values) {
  return [...values].sort((x, y) => x - y)[Math.floor((values.length - 1) / 2)];
}

/**
 * The points of a scatter: pairs of a query, its value across and its value up.
 * @param {Index} index
 * @param {Sight} sight
 * @param {{query: number, x: number|null, y: number|null}[]} pairs
 * @param {string} [id] added to the label
 */
function scatterPoints(index, sight, pairs, id = "") {
  return pairs.flatMap(({ query, x, y }) =>
    x === null || y === null
      ? []
      : [
          {
            x,
            y,
            label: `${cutText(index.query_table[query].id, 60)}${id}: ${y.toFixed(3)} up, ${x.toFixed(3)} across`,
            href: () => dotHref(index, sight, query),
          },
        ],
  );
}

/** @param {{x: number, y: number}[]} points */
function sides(points) {
  const above = points.filter(({ x, y }) => y - x > 1e-9).length;
  const below = points.filter(({ x, y }) => x - y > 1e-9).length;
  return {
    above,
    below,
    equal: points.length - above - below,
    mean: points.reduce((sum, { x, y }) => sum + y - x, 0) / points.length,
  };
}

/** @param {Index} index @param {Sight} sight @param {number[]} queries @param {number} b @param {number} width */
function againstB(index, sight, queries, b, width) {
  const [one, other] = [nameOf(index, sight.a), nameOf(index, b)];
  const pairs = queries.map((query) => ({
    query,
    x: measured(index, sight.a, query, sight.measure),
    y: measured(index, b, query, sight.measure),
  }));
  const points = scatterPoints(index, sight, pairs);
  if (!points.length) return h("p", {}, `No query has ${sight.measure} from both ${one} and ${other}.`);
  const { above, below, equal, mean } = sides(points);
  return scatter({
    title: `${other} (B) against ${one} (A), ${sight.measure}`,
    points,
    across: cutText(one, 30),
    up: cutText(other, 30),
    width,
    words: [
      `Of ${points.length.toLocaleString("en")} queries ${other} is better on ${above}, worse on ${below}, equal on ${equal}.`,
      pairWords(index, sight, sight.a, b, mean),
    ],
  });
}

/**
 * The paired difference b - a in words, from what Python worked out over the whole group.
 * @param {Index} index
 * @param {Sight} sight
 * @param {number} a
 * @param {number} b
 * @param {number} seen mean difference of the dots
 */
function pairWords(index, sight, a, b, seen) {
  const names = `${nameOf(index, b)} − ${nameOf(index, a)}`;
  const pair = pairOf(index, a, b, sight.measure, sight.mechanism || null);
  if (!pair || pair.mean === null) return `Mean of ${names}: ${signed(seen)}; no interval was worked out for this pair.`;
  return differenceWords(names, pair, "all pairs");
}

/**
 * @param {string} names
 * @param {{mean: number|null, low: number|null, high: number|null, p: number|null, p_corrected: number|null}} found
 * @param {string} family what p was corrected for
 */
function differenceWords(names, found, family) {
  const { mean, low, high, p, p_corrected: after } = found;
  const range = low === null || high === null ? "no interval" : `95 % interval ${signed(low)} to ${signed(high)}`;
  const chance = p === null ? "" : `; p = ${probability(p)}${after === null ? "" : `, ${probability(after)} corrected for ${family}`}`;
  const unclear = low === null || high === null || (low <= 0 && high >= 0) || (after ?? 1) > ALPHA;
  return `${unclear ? "No difference can be told: " : ""}${names} = ${signed(mean ?? 0)} (${range}${chance}).`;
}

/**
 * A difference with its sign: "+0.120", "−0.034", "0.000".
 * @param {number} value
 */
export function signed(value) {
  const digits = Math.abs(value).toFixed(3);
  return `${Number(digits) === 0 ? "" : value < 0 ? "−" : "+"}${digits}`;
}

/** @param {number} p */
function probability(p) {
  return p < 0.001 ? "less than 0.001" : p.toFixed(3);
}

/** @param {Index} index @param {Sight} sight @param {number} width */
function twinsChart(index, sight, width) {
  const twins = twinsOf(index, sight);
  const name = nameOf(index, sight.a);
  if (!twins.length)
    return h(
      "p",
      { class: "dim" },
      "No query here names a literal twin, so the cost of saying a thing obliquely cannot be read off.",
    );
  const pairs = twins.map(({ oblique, literal }) => ({
    query: oblique,
    x: measured(index, sight.a, literal, sight.measure),
    y: measured(index, sight.a, oblique, sight.measure),
  }));
  const points = scatterPoints(index, sight, pairs, " and its twin");
  if (!points.length) return h("p", {}, `${name} has no ${sight.measure} for a query and its twin.`);
  const { above, below, equal, mean } = sides(points);
  const drop = index.twins.find((found) => found.run === sight.a && found.measure === sight.measure && found.n === points.length);
  return scatter({
    title: `The oblique query against its literal twin, ${sight.measure} of ${name}`,
    points,
    across: "literal twin",
    up: "oblique query",
    width,
    words: [
      `Of ${points.length.toLocaleString("en")} pairs the oblique query is below the diagonal (worse than its twin) in ${below}, above it in ${above}, on it in ${equal}.`,
      drop ? differenceWords("oblique − literal", drop, "all measures") : `Mean of oblique − literal: ${signed(mean)}; no interval was worked out.`,
    ],
  });
}

/** @param {Index} index @param {Sight} sight @param {number[]} queries @param {number} width */
function verifierChart(index, sight, queries, width) {
  /** @param {number|null} run */
  const verifies = (run) => run !== null && index.runs[run].role === "verifier";
  const verifier = sight.runs
    .filter(verifies)
    .sort((x, y) => Number(y === sight.b || y === sight.a) - Number(x === sight.b || x === sight.a))[0];
  const retriever = [sight.a, ...(sight.b === null ? [] : [sight.b]), ...sight.runs].find((run) => !verifies(run));
  if (verifier === undefined)
    return h("p", { class: "dim" }, "No verifier was run here, so the gap between recognising and retrieving is unknown.");
  if (retriever === undefined) return h("p", { class: "dim" }, "Only verifiers were run here; the gap needs a retriever.");
  const [v, r] = [nameOf(index, verifier), nameOf(index, retriever)];
  const pairs = queries.map((query) => ({
    query,
    x: measured(index, retriever, query, sight.measure),
    y: measured(index, verifier, query, sight.measure),
  }));
  const points = scatterPoints(index, sight, pairs);
  if (!points.length) return h("p", {}, `No query has ${sight.measure} from both ${v} and ${r}.`);
  const { above, mean } = sides(points);
  return scatter({
    title: `Recognised (V) against retrieved (R), ${sight.measure}`,
    points,
    across: `R: ${cutText(r, 28)}`,
    up: `V: ${cutText(v, 28)}`,
    width,
    words: [
      `The gap V − R is above 0 for ${share(above, points.length)} of the queries.`,
      pairWords(index, sight, retriever, verifier, mean),
    ],
  });
}
