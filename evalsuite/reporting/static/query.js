// One query: what was asked, what every system made of it, the documents it got and the relevant ones it missed.

import { queryDetail } from "./data.js";
import { documentItem, foldedText, gradeWords, MISSED_SHOWN, missedList, readingNotes, readTexts } from "./documents.js";
import { h, put } from "./dom.js";
import { problemLines, queryHref } from "./findings.js";
import { cutText, groupName, measured, nameOf, queryNamed, queryRow, returnedNothing } from "./queries.js";
import { queriesListed, sightOf } from "./sight.js";
import { link, place } from "./state.js";
import { searchTerms } from "./terms.js";

/** @typedef {import("./data.js").Index} Index */
/** @typedef {import("./data.js").QueryDetail} QueryDetail */
/** @typedef {import("./sight.js").Sight} Sight */
/** @typedef {{run: number, letter: string, detail: QueryDetail|null, nothing: boolean}} Side */
/** @typedef {import("./documents.js").Reading} Reading */

const SHOWN_QUERY = 3000;

/**
 * Fill `main`, unless the reader has moved on while the details were unpacked.
 * @param {Index} index
 * @param {HTMLElement} main
 */
export async function showQuery(index, main) {
  const asked = location.hash;
  const { values } = place();
  const sight = sightOf(index, values);
  const query = sight ? queryNamed(index, sight.group, values.id ?? "") : null;
  if (!sight || query === null) {
    const id = cutText(values.id ?? "", 80);
    put(
      main,
      h("h1", {}, "Query"),
      problemLines(sight),
      h("p", { class: "bad" }, "! This group has no query ", h("bdi", { class: "id" }, id || "without an id"), "."),
      h("p", {}, h("a", { href: link("retrieval", { group: values.group }) }, "All queries")),
    );
    return;
  }
  const runs = sight.b === null ? [sight.a] : [sight.a, sight.b];
  const shown = await Promise.all(runs.map((run, i) => sideOf(index, run, query, "AB"[i])));
  const suite = index.groups[sight.group].sha256;
  const wanted = new Set(
    shown.flatMap(({ detail }) => [...(detail?.top ?? []), ...(detail?.missed ?? []).slice(0, MISSED_SHOWN)].map(([id]) => id)),
  );
  /** @type {Reading} */
  const reading = { suite, terms: searchTerms(index.query_table[query].text ?? ""), texts: new Map() };
  await readTexts(index, reading, [...wanted]);
  if (location.hash !== asked) return;
  put(
    main,
    h(
      "article",
      { class: "query" },
      querySteps(index, sight, query),
      problemLines(sight),
      queryHead(index, sight, query),
      valuesTable(index, sight, query),
      readingNotes(index, reading, wanted.size),
      h(
        "div",
        { class: runs.length > 1 ? "sides two" : "sides" },
        shown.map((side, i) => rankingSide(index, query, side, shown[1 - i] ?? null, reading)),
      ),
    ),
  );
}

/**
 * @param {Index} index
 * @param {number} run
 * @param {number} query
 * @param {string} letter
 * @returns {Promise<Side>}
 */
async function sideOf(index, run, query, letter) {
  const row = queryRow(index, run, query);
  return { run, letter, detail: row < 0 ? null : await queryDetail(index, row), nothing: returnedNothing(index, run, query) };
}

/**
 * Back to the table, and along it.
 * @param {Index} index
 * @param {Sight} sight
 * @param {number} query
 */
function querySteps(index, sight, query) {
  const filtered = queriesListed(index, sight);
  const along = filtered.includes(query) ? filtered : sight.queries;
  const at = along.indexOf(query);
  const { id, ...back } = Object.fromEntries(new URLSearchParams(queryHref(index, sight, query).split("?")[1]));
  /** @param {number} to @param {string} key @param {string} words */
  const step = (to, key, words) =>
    along[to] === undefined
      ? h("span", { class: "dim" }, words)
      : h("a", { href: queryHref(index, sight, along[to]), "data-key": key, rel: key === "next" ? "next" : "prev" }, words);
  return h(
    "nav",
    { class: "steps", "aria-label": "Queries" },
    h("a", { href: link("retrieval", back) }, "All queries"),
    step(at - 1, "previous", "← previous"),
    h("span", { class: "dim" }, `${(at + 1).toLocaleString("en")} of ${along.length.toLocaleString("en")}`),
    step(at + 1, "next", "next →"),
  );
}

/**
 * @param {Index} index
 * @param {Sight} sight
 * @param {number} query
 */
function queryHead(index, sight, query) {
  const { id, text, mechanism, cluster, twin_of: twinId, relevant } = index.query_table[query];
  const twin = queryNamed(index, sight.group, twinId);
  const literal = sight.queries.filter((other) => index.query_table[other].twin_of === id);
  /** @param {number} other */
  const toQuery = (other) =>
    h("a", { href: queryHref(index, sight, other) }, h("bdi", { class: "id" }, cutText(index.query_table[other].id, 80)));
  const facts = [
    groupName(index, sight.group),
    mechanism === null ? "" : `${cutText(mechanism, 40)} query`,
    relevant === null ? "number of relevant documents unknown" : `${relevant.toLocaleString("en")} relevant documents`,
    cluster ? `group ${cutText(cluster, 60)}` : "",
  ].filter(Boolean);
  return [
    h("h1", {}, "Query ", h("bdi", { class: "id" }, cutText(id, 200))),
    text === null
      ? h("p", { class: "dim" }, "The run folder does not hold the query's text.")
      : h("div", { class: "query-full" }, foldedText(text, SHOWN_QUERY, new Map())),
    h(
      "p",
      { class: "dim" },
      facts.join(" · "),
      twinId ? [" · literal twin of ", twin === null ? cutText(twinId, 80) : toQuery(twin)] : null,
      literal.length ? [" · said literally: ", literal.slice(0, 5).flatMap((other, i) => [i ? ", " : "", toQuery(other)])] : null,
    ),
  ];
}

/**
 * What every system of the group made of this query.
 * @param {Index} index
 * @param {Sight} sight
 * @param {number} query
 */
function valuesTable(index, sight, query) {
  const broken = sight.runs.some((run) => queryRow(index, run, query) < 0 || returnedNothing(index, run, query));
  const judged = !sight.measures.includes("Judged@10");
  const rows = sight.runs.map((run) => {
    const row = queryRow(index, run, query);
    const letter = run === sight.a ? "A" : run === sight.b ? "B" : "";
    const name = letter ? h("strong", {}, `${letter}: ${nameOf(index, run)}`) : nameOf(index, run);
    const to = queryHref(index, { ...sight, a: run, b: run === sight.b ? null : sight.b }, query);
    const state = row < 0 ? "not in this run" : index.queries.missing[row] ? "! nothing returned" : "";
    return h(
      "tr",
      {},
      h("th", { scope: "row" }, letter === "A" ? name : h("a", { href: to }, name)),
      sight.measures.map((measure) => h("td", { class: "n" }, measured(index, run, query, measure)?.toFixed(3) ?? "·")),
      judged ? h("td", { class: "n" }, index.queries.judged[row]?.toFixed(2) ?? "·") : null,
      broken ? h("td", { class: "bad" }, state) : null,
    );
  });
  const columns = [...sight.measures, ...(judged ? ["judged@10"] : [])].map((name) =>
    h("th", { scope: "col", class: "n" }, cutText(name, 20)),
  );
  return h(
    "div",
    { class: "scroll", tabindex: "0", role: "region", "aria-label": "Values of every system" },
    h(
      "table",
      {},
      h("thead", {}, h("tr", {}, h("th", { scope: "col" }, "system"), columns, broken ? h("td", {}) : null)),
      h("tbody", {}, rows),
    ),
  );
}

/**
 * @param {Index} index
 * @param {number} query
 * @param {Side} side
 * @param {Side|null} other
 * @param {Reading} reading
 */
function rankingSide(index, query, side, other, reading) {
  const { detail, letter } = side;
  const title = h("h2", {}, other ? `${letter}: ` : "", nameOf(index, side.run));
  if (!detail) return h("section", {}, title, h("p", { class: "dim" }, "This run has no result for the query."));
  const ranks = other?.detail ? ranksIn(other.detail) : null;
  /** @param {string} id */
  const elsewhere = (id) => {
    if (!ranks || !other) return "";
    const rank = ranks.get(id);
    return rank ? `${other.letter}: rank ${rank}` : `only ${letter}`;
  };
  const top = detail.top.map(([id, score, grade], i) =>
    documentItem(
      id,
      [`rank ${i + 1}`, gradeWords(grade), `score ${Number(score.toPrecision(5))}`, elsewhere(id)],
      grade,
      reading,
    ),
  );
  const missed = detail.missed.map(([id, rank, grade]) => ({
    id,
    grade,
    facts: [rank === null ? "not in the ranking" : `rank ${rank}`, gradeWords(grade), elsewhere(id)],
  }));
  const both = ranks ? detail.top.filter(([id]) => other?.detail?.top.some(([theirs]) => theirs === id)).length : 0;
  return h(
    "section",
    { "aria-label": `Documents of ${letter}` },
    title,
    side.nothing || !detail.top.length ? h("p", { class: "bad" }, "! nothing returned") : null,
    ranks && letter === "A"
      ? h(
          "p",
          { class: "dim" },
          `${both} of these ${detail.top.length} documents are among B's first ${other?.detail?.top.length} too. “Only A” or “only B”: the other's rank of it is not kept.`,
        )
      : null,
    h("ol", { class: "ranking" }, top),
    h("h3", {}, "Relevant documents missed", missed.length ? ` (${missed.length})` : ""),
    missed.length ? missedList(index, missed, reading) : h("p", { class: "dim" }, missedWords(index, query)),
  );
}

/**
 * @param {Index} index
 * @param {number} query
 */
function missedWords(index, query) {
  const { relevant } = index.query_table[query];
  if (relevant === null) return "The run folder does not say which relevant documents were missed.";
  return relevant
    ? "None: every relevant document is listed above."
    : "None: the view judges no document relevant to this query.";
}

/**
 * Rank by document, as far as the run's detail tells.
 * @param {QueryDetail} detail
 */
function ranksIn(detail) {
  /** @type {Map<string, number>} */
  const ranks = new Map();
  for (const [id, rank] of detail.missed) if (rank !== null) ranks.set(id, rank);
  detail.top.forEach(([id], i) => ranks.set(id, i + 1));
  return ranks;
}
