// One trial: how it ended, what it read, what its context was made of, claims in no document, and the transcript.

import { trialDetail } from "./data.js";
import { deliverables } from "./deliverable.js";
import { append, h, put, svg } from "./dom.js";
import { nameOf } from "./queries.js";
import { link, place } from "./state.js";
import { transcript } from "./transcript.js";
import { address } from "./verdicts.js";
import { cost, count, duration, mark, share } from "./words.js";

/** @typedef {import("./data.js").Index} Index */

const WIDTH = 640;
const HEIGHT = 160;
const MOST = 1e15; // characters of one origin that are drawn

/**
 * @param {Index} index
 * @param {HTMLElement} main
 */
export async function showTrial(index, main) {
  const { run = "", task = "", trial = "" } = place().values;
  const number = index.trials.findIndex((t) => index.runs[t.run].run === run && index.tasks[t.task].id === task && String(t.trial) === trial);
  if (number < 0) return put(main, h("h1", {}, "Trial"), h("p", {}, `No run on this page has trial ${trial} of ${task || "(no task is named)"} in the run ${run || "(none is named)"}.`), h("p", {}, h("a", { href: link("lab") }, "All tasks")));
  const info = index.trials[number];
  const here = location.hash;
  const detail = await trialDetail(number);
  if (location.hash !== here) return;
  const record = detail.record;
  put(
    main,
    h("h1", {}, `${task}, trial ${trial}`),
    h("p", {}, `${nameOf(index, info.run)} · `, mark(info.all_pass === null ? "error" : info.all_pass ? "pass" : "fail"), ` · ${info.passed} of ${info.criteria} criteria passed`, info.errors ? `, ${count(info.errors, "error")}` : "", " · ", h("a", { href: link("verdicts", { run, task, trial }) }, "its verdicts"), " · ", h("a", { href: link("task", { task }) }, "the task in all runs")),
    info.problem ? h("p", { class: "bad" }, `! ${info.problem}`) : null,
    record ? work(record) : h("p", {}, "results.jsonl holds no trial line: how the agent worked is not known."),
    record ? grounding(record) : null,
    causes(index, info),
    record ? context(record.context ?? []) : null,
    deliverables(detail, null, [], "h2").element,
    h("h2", {}, "Transcript"),
    transcript(detail, index.served ? index.runs[info.run].id : null),
  );
}

/** @param {any} record */
function work(record) {
  const rows = [
    ["stopped", `${record.stop_reason}${record.finished ? "" : ", before the agent said that it was done"}`],
    ["error", record.error],
    ["work", `${count(record.turns ?? 0, "turn")}, ${duration(record.seconds ?? 0)}, tokens ${(record.tokens?.input ?? 0).toLocaleString("en")} in, ${(record.tokens?.output ?? 0).toLocaleString("en")} out, cost ${cost(record.cost)}`],
    ["tools", Object.entries(record.tool_calls ?? {}).map(([tool, n]) => `${tool} ${n}`).join(", ") || "none called"],
    ["documents read", `${share((record.documents_read ?? []).length, record.documents_total ?? 0)}${(record.documents_read ?? []).length ? `: ${record.documents_read.join(", ")}` : ""}`],
    ["wrote", Object.keys(record.output ?? {}).join(", ") || "nothing"],
    ["sha256 of the output", record.output_sha256],
  ];
  return h("table", { class: "pairs" }, h("tbody", {}, rows.filter(([, value]) => value).map(([key, value]) => h("tr", {}, h("th", { scope: "row" }, key), h("td", { class: "prose" }, value)))));
}

/** @param {any} record */
function grounding(record) {
  const found = record.grounding?.unsupported;
  const flags = record.flags ?? [];
  return [
    h("h2", {}, "Claims and flags"),
    found === undefined || found === null
      ? h("p", {}, "Its claims were not looked up in the documents.")
      : h("p", {}, `${count(record.grounding.claims ?? found.length, "claim")} looked up in the documents, ${found.length ? `${found.length} in none of them:` : "all of them found."}`),
    found?.length ? h("ul", {}, found.map((/** @type {any} */ claim) => h("li", {}, claim === null || typeof claim !== "object" ? String(claim) : [claim.kind ? `${claim.kind}: ` : "", h("q", {}, claim.text ?? JSON.stringify(claim)), claim.where ? ` (${claim.where})` : ""]))) : null,
    flags.length
      ? h("ul", { class: "bad" }, flags.map((/** @type {any} */ flag) => h("li", {}, `! ${flag.flag ?? "flag"}${flag.where ? ` at ${flag.where}` : ""}${flag.text ? `: ${flag.text}` : ""}`)))
      : h("p", {}, "No hidden text and no order to the judge was found in its deliverables."),
  ];
}

/**
 * The failed criteria by class of failure.
 * @param {Index} index
 * @param {import("./data.js").TrialInfo} info
 */
function causes(index, info) {
  const columns = index.verdicts;
  /** @type {Map<string, number[]>} */
  const found = new Map();
  for (let row = 0; row < columns.n; row++) {
    if (columns.verdict[row] !== 1 || columns.run[row] !== info.run || columns.trial[row] !== info.trial || index.criteria.task[columns.criterion[row]] !== info.task) continue;
    const cause = index.causes[columns.cause[row]] || "unclassified";
    found.set(cause, [...(found.get(cause) ?? []), row]);
  }
  if (!found.size) return null;
  return [
    h("h2", {}, "Failures by class"),
    h("ul", {}, [...found].map(([cause, rows]) => h("li", {}, h("strong", {}, `${cause}: `), rows.map((row, i) => [i ? ", " : "", h("a", { href: link("verdicts", { at: address(index, row) }), class: "id" }, index.criteria.id[columns.criterion[row]])])))),
  ];
}

/**
 * Characters in the model's context by origin, a stacked bar a turn, with the same numbers in a table.
 * @param {Record<string, number>[]} turns
 */
function context(turns) {
  if (!turns.length) return [h("h2", {}, "What the context was made of"), h("p", {}, "It was not recorded.")];
  const origins = [...new Set(turns.flatMap((turn) => Object.keys(turn)))];
  /** @param {Record<string, number>} turn @param {string} origin */
  const size = (turn, origin) => (Object.hasOwn(turn, origin) ? Math.min(Math.max(turn[origin] ?? 0, 0), MOST) : 0);
  const most = turns.reduce((high, turn) => Math.max(high, origins.reduce((sum, origin) => sum + size(turn, origin), 0)), 1);
  const step = WIDTH / turns.length;
  const last = turns[turns.length - 1];
  const told = origins.map((origin) => `${origin} ${size(last, origin).toLocaleString("en")}`).join(", ");
  const chart = svg("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, class: "context", role: "img", "aria-label": `characters in the context over ${count(turns.length, "turn")}; in the last one: ${told}` });
  turns.forEach((turn, i) => {
    let y = HEIGHT;
    origins.forEach((origin, layer) => {
      const height = (size(turn, origin) / most) * HEIGHT;
      y -= height;
      append(chart, [svg("rect", { class: `layer layer-${layer}`, x: i * step, y, width: Math.max(step - 1, 0.5), height }, svg("title", {}, `turn ${i + 1}, ${origin}: ${size(turn, origin).toLocaleString("en")}`))]);
    });
  });
  const table = h(
    "table",
    {},
    h("thead", {}, h("tr", {}, h("th", { scope: "col" }, "turn"), origins.map((origin) => h("th", { scope: "col", class: "n" }, origin)))),
    h("tbody", {}, turns.map((turn, i) => h("tr", {}, h("th", { scope: "row" }, String(i + 1)), origins.map((origin) => h("td", { class: "n" }, size(turn, origin).toLocaleString("en")))))),
  );
  return [
    h("h2", {}, "What the context was made of"),
    h("p", {}, `Characters by origin, a bar a turn, at most ${most.toLocaleString("en")}. In the last turn: `, origins.map((origin, i) => [i ? ", " : "", h("span", { class: `key layer-${i}`, "aria-hidden": "true" }), ` ${origin} ${size(last, origin).toLocaleString("en")}`]), "."),
    chart,
    h("details", {}, h("summary", {}, "the numbers"), h("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "characters in the context by turn and origin" }, table)),
  ];
}
