// The retrieval view: one measure of one or two systems, query by query.

import { h, put } from "./dom.js";
import { chartsOf, problemLines, queryHref, signed } from "./findings.js";
import {
  cutText,
  gradedBy,
  groupName,
  measured,
  mechanismOf,
  missedOf,
  nameOf,
  queryCount,
  queryGroups,
  queryRow,
  returnedNothing,
} from "./queries.js";
import { differenceOf, queriesListed, queriesOf, sightOf } from "./sight.js";
import { change, place } from "./state.js";
import { virtualTable } from "./table.js";

/** @typedef {import("./data.js").Index} Index */
/** @typedef {import("./sight.js").Sight} Sight */
/** @typedef {{index: Index, group: number, root: HTMLElement, update: (sight: Sight) => void}} RetrievalView */

const SHOWN_TEXT = 120;
const NOTHING = "! nothing returned";
/** @type {RetrievalView|null} */
let retrievalView = null;

/**
 * Fill `main`. While the group stays the same only what changed is drawn anew, so the filter keeps its focus.
 * @param {Index} index
 * @param {HTMLElement} main
 */
export function showRetrieval(index, main) {
  const sight = sightOf(index, place().values);
  if (!sight) {
    put(main, h("h1", {}, "Retrieval"), h("p", {}, "This page holds no retrieval run with results."));
    return;
  }
  if (retrievalView?.index !== index || retrievalView.group !== sight.group) retrievalView = retrievalParts(index, sight);
  if (retrievalView.root.parentNode !== main) put(main, retrievalView.root);
  retrievalView.update(sight);
}

/**
 * @param {Index} index
 * @param {Sight} first
 * @returns {RetrievalView}
 */
function retrievalParts(index, first) {
  const controls = h("div", { class: "toolbar line" });
  const filter = /** @type {HTMLInputElement} */ (
    h("input", {
      id: "filter",
      type: "search",
      class: "filter",
      placeholder: "id or words of a query",
      autocomplete: "off",
      spellcheck: "false",
    })
  );
  filter.addEventListener("input", () => change({ q: filter.value }, true));
  const facts = h("div");
  const charts = h("div", { class: "charts" });
  const found = h("p", { class: "dim", "aria-live": "polite" });
  const holder = h("div", { class: "queries" });
  const root = h(
    "div",
    { class: "retrieval" },
    h("h1", {}, groupName(index, first.group)),
    controls,
    facts,
    charts,
    h("h2", {}, "Queries"),
    h("div", { class: "toolbar line" }, h("label", {}, "Filter the table", filter)),
    found,
    holder,
  );
  const wide = () => Math.max(280, Math.min(charts.clientWidth || 720, 760));
  let drawn = "";
  let tabled = "";
  let width = 0;
  let sight = first;
  /** @type {number[]} */
  let listed = [];
  /** @type {ReturnType<typeof virtualTable>|null} */
  let table = null;

  /** @param {Sight} next */
  function update(next) {
    sight = next;
    if (filter.value !== sight.text) filter.value = sight.text;
    const chosen = JSON.stringify([sight.measure, sight.a, sight.b, sight.mechanism, sight.problems]);
    if (chosen !== drawn) {
      drawn = chosen;
      keepingFocus(controls, () => put(controls, choices(index, sight)));
      put(facts, factsOf(index, sight));
      drawCharts();
    }
    listed = queriesListed(index, sight);
    put(found, foundWords(index, sight, listed.length));
    const sorted = JSON.stringify([sight.measure, sight.a, sight.b, sight.sort]);
    if (tabled !== sorted || !table) {
      tabled = sorted;
      table = queryTable(
        index,
        () => sight,
        () => listed,
      );
      const made = table;
      keepingFocus(holder, () => put(holder, made.element));
    }
    table.refresh(listed.length);
  }

  function drawCharts() {
    width = wide();
    put(charts, chartsOf(index, sight, width));
  }

  new ResizeObserver(() => {
    if (charts.isConnected && Math.abs(wide() - width) > 24) drawCharts();
  }).observe(charts);
  return { index, group: first.group, root, update };
}

/**
 * Draw a part anew and put the focus back on the control it was on.
 * @param {HTMLElement} part
 * @param {() => void} draw
 */
function keepingFocus(part, draw) {
  const focused = document.activeElement;
  const inside = part.contains(focused);
  const key = focused?.getAttribute("data-keep") ?? focused?.closest("th")?.className.match(/column-\w+/)?.[0] ?? "";
  draw();
  if (!inside || !key) return;
  const again = part.querySelector(`[data-keep="${CSS.escape(key)}"], th.${CSS.escape(key)} button`);
  if (again instanceof HTMLElement) again.focus();
}

/**
 * @param {Index} index
 * @param {Sight} sight
 */
function choices(index, sight) {
  const systems = sight.runs.map((run) => {
    const n = gradedBy(index, run);
    const part = n < sight.queries.length ? ` (${n} of ${sight.queries.length} queries)` : "";
    return /** @type {[string, string]} */ ([
      index.runs[run].run,
      `${nameOf(index, run)}${index.runs[run].role === "verifier" ? ", verifier" : ""}${part}`,
    ]);
  });
  const b = sight.b === null ? "" : index.runs[sight.b].run;
  const groups = queryGroups(index).map((group) => /** @type {[string, string]} */ ([String(group), groupName(index, group)]));
  return [
    groups.length > 1
      ? sightChoice("Corpus, view and protocol", "group", groups, String(sight.group), { a: "", b: "", mechanism: "", q: "" })
      : null,
    sightChoice(
      "Measure",
      "measure",
      sight.measures.map((name) => [name, name]),
      sight.measure,
    ),
    sightChoice("System A", "a", systems, index.runs[sight.a].run),
    sightChoice("System B", "b", [["", "none"], ...systems.filter(([run]) => run !== index.runs[sight.a].run)], b),
    sight.mechanisms.length > 1 ? chips(index, sight) : null,
  ];
}

/**
 * @param {string} label
 * @param {string} key of the hash
 * @param {[string, string][]} options value, words
 * @param {string} chosen
 * @param {Record<string, string>} [resets] what no longer holds once this has changed
 */
function sightChoice(label, key, options, chosen, resets = {}) {
  const select = /** @type {HTMLSelectElement} */ (
    h(
      "select",
      { "data-keep": key, onchange: () => change({ ...resets, [key]: select.value }, true) },
      options.map(([value, words]) => h("option", { value, selected: value === chosen }, words)),
    )
  );
  return h("label", {}, label, select);
}

/** @param {Index} index @param {Sight} sight */
function chips(index, sight) {
  const found = ["", ...sight.mechanisms].map((name) => {
    const n = name ? sight.queries.filter((query) => mechanismOf(index, query) === name).length : sight.queries.length;
    return h(
      "button",
      {
        type: "button",
        class: "chip",
        "data-keep": `chip-${name}`,
        "aria-pressed": String(name === sight.mechanism),
        onclick: () => change({ mechanism: name }, true),
      },
      `${cutText(name || "all mechanisms", 40)} ${n.toLocaleString("en")}`,
    );
  });
  return h("div", { class: "chips", role: "group", "aria-label": "Mechanism" }, found);
}

/** What a reader must know before the numbers. @param {Index} index @param {Sight} sight */
function factsOf(index, sight) {
  const lines = problemLines(sight);
  for (const run of [sight.a, sight.b]) {
    if (run === null) continue;
    const { status, error } = index.runs[run];
    const n = gradedBy(index, run);
    if (n < sight.queries.length || status !== "complete") {
      lines.push(
        h(
          "p",
          { class: "bad" },
          `! ${nameOf(index, run)} has results for ${n} of ${queryCount(sight.queries.length)} (${status}${error ? `: ${cutText(error, 300)}` : ""}).`,
        ),
      );
    }
    const empty = queriesOf(index, sight).filter((query) => returnedNothing(index, run, query)).length;
    if (empty)
      lines.push(h("p", { class: "bad" }, `! ${nameOf(index, run)} returned nothing for ${queryCount(empty)}, counted as 0.`));
  }
  return lines;
}

/** @param {Index} index @param {Sight} sight */
function missedKnown(index, sight) {
  return sight.queries.some((query) => missedOf(index, sight.a, query) !== null);
}

/** @param {Index} index @param {Sight} sight @param {number} n */
function foundWords(index, sight, n) {
  const all = queriesOf(index, sight).length;
  const shown = n === all ? queryCount(all) : `${n.toLocaleString("en")} of ${queryCount(all)}`;
  const only = sight.mechanism ? `, ${cutText(sight.mechanism, 40)}` : "";
  return `${shown}${only}. ${missedKnown(index, sight) ? "Missed: relevant documents outside the first ten of A. " : ""}Those that got nothing come first.`;
}

/**
 * @param {Index} index
 * @param {() => Sight} now measure, systems and order stay the same as long as the table
 * @param {() => number[]} listed
 */
function queryTable(index, now, listed) {
  const sight = now();
  const both = sight.b !== null;
  const counted = missedKnown(index, sight);
  const several = sight.mechanisms.length > 1;
  /** @param {string} key @param {string} label @param {boolean} [numeric] */
  const column = (key, label, numeric = true) => ({ key, label, numeric, sortable: true });
  const columns = [
    column("query", "query", false),
    ...(several ? [column("mechanism", "mechanism", false)] : []),
    column("a", both ? "A" : sight.measure),
    ...(both ? [column("b", "B"), column("difference", "B − A")] : []),
    column("judged", "judged@10"),
    ...(counted ? [column("relevant", "relevant"), column("missed", "missed")] : []),
  ];
  /** @param {string} key */
  const onsort = (key) => {
    const turned = sight.sort.key === key && !sight.sort.descending;
    change({ sort: `${turned ? "-" : ""}${key}` }, true);
  };
  /** @param {number} i */
  const row = (i) => {
    const query = listed()[i];
    const { id, text, relevant } = index.query_table[query];
    const place = queryRow(index, sight.a, query);
    const broken = [sight.a, sight.b].filter((run) => returnedNothing(index, run, query));
    const difference = differenceOf(index, sight, query);
    const who = both ? ` by ${broken.map((run) => (run === sight.a ? "A" : "B")).join(" and ")}` : "";
    return {
      href: queryHref(index, now(), query),
      className: `query-row${broken.length ? " error-row" : ""}`,
      cells: [
        [
          h("bdi", { class: "id" }, cutText(id, 40) || "(no id)"),
          broken.length ? h("span", { class: "bad" }, ` ${NOTHING}${who}`) : null,
          text ? h("span", { class: "query-text", dir: "auto" }, ` ${cutText(text, SHOWN_TEXT)}`) : null,
        ],
        ...(several ? [cutText(mechanismOf(index, query), 40)] : []),
        digitsOf(measured(index, sight.a, query, sight.measure)),
        ...(both
          ? [digitsOf(measured(index, sight.b, query, sight.measure)), difference === null ? "·" : signed(difference)]
          : []),
        index.queries.judged[place]?.toFixed(2) ?? "·",
        ...(counted ? [relevant ?? "·", missedOf(index, sight.a, query) ?? "·"] : []),
      ],
    };
  };
  return virtualTable({ columns, n: listed().length, row, label: "Queries", sorted: sight.sort, onsort });
}

/** @param {number|null} value */
function digitsOf(value) {
  return value === null ? "·" : value.toFixed(3);
}
