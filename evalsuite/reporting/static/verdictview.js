// The list of verdicts with its filters on the left, the verdict that was chosen on the right.

import { CHANGES, changesBetween, comparableWith } from "./changes.js";
import { showCriterion } from "./criterion.js";
import { loadCriteria, verdictDetail } from "./data.js";
import { h, put } from "./dom.js";
import { asCsv, asJsonl, download } from "./exporting.js";
import { anyReviews, browserKeeps, exportText, importText, pendingReviews, reviewsOf, reviewState } from "./reviews.js";
import { nameOf } from "./queries.js";
import { change, link, place } from "./state.js";
import { virtualTable } from "./table.js";
import { address, chosen, criterionOf, prepareFilter, readReasons, rowAt, verdictOf } from "./verdicts.js";
import { count, mark, MARKS, VERDICTS } from "./words.js";

/** @typedef {import("./data.js").Index} Index */
/** @typedef {import("./verdicts.js").Filter} Filter */

const COLUMNS = [
  { key: "criterion", label: "criterion", sortable: true },
  { key: "verdict", label: "verdict", sortable: true, narrow: true },
  { key: "task", label: "task", sortable: true },
  { key: "run", label: "run", sortable: true },
  { key: "trial", label: "trial", numeric: true, sortable: true, narrow: true },
  { key: "marks", label: "marks" },
];

/** @type {{rows: Int32Array, at: number, refresh: () => void}|null} */
let shown = null;

/**
 * @param {Index} index
 * @param {HTMLElement} main
 */
export function showVerdicts(index, main) {
  if (!index.verdicts.n) {
    put(main, h("h1", {}, "Verdicts"), h("p", {}, "No run on this page holds a graded criterion."));
    return;
  }
  const detail = h("div", { class: "detail", id: "detail", tabindex: "-1" });
  const status = h("p", { class: "status", role: "status" });
  /** @type {Int32Array} */
  let rows = new Int32Array();
  let at = -1;
  const sorting = place().values.sort ?? "verdict";
  const table = virtualTable({
    columns: COLUMNS,
    n: 0,
    label: "verdicts",
    row: (i) => rowOf(index, rows[i], i === at),
    sorted: { key: sorting.replace(/^-/, ""), descending: sorting.startsWith("-") },
    onsort: (key) => change({ sort: place().values.sort === key ? `-${key}` : key }, true),
  });
  const list = h("div", { class: "list" }, status, table.element);
  const split = h("div", { class: "split" }, toolbar(index, () => refresh()), list, detail);
  put(main, h("h1", { class: "unseen" }, "Verdicts"), split);

  function refresh() {
    const filter = /** @type {Filter & {at?: string}} */ (place().values);
    const state = anyReviews() ? (/** @type {number} */ row) => reviewState(address(index, row)) : () => "none";
    const early = index.opening.length > 0;
    rows = early ? Int32Array.from(index.opening) : chosen(index, filter, state);
    const row = filter.at ? rowAt(index, filter.at) : -1;
    at = rows.indexOf(row);
    const which = at >= 0 ? `, showing ${(at + 1).toLocaleString("en")}` : "";
    put(status, `${(early ? index.verdicts.n : rows.length).toLocaleString("en")} of ${count(index.verdicts.n, "verdict")}${which}`, filter.at && row < 0 ? " · the linked verdict is not on this page" : "");
    table.refresh(rows.length);
    split.classList.toggle("chosen", row >= 0);
    shown = { rows, at, refresh };
    if (row >= 0) {
      table.reveal(Math.max(at, 0));
      void showCriterion(index, detail, row, neighbours(index, rows, at), refresh);
    } else {
      put(detail, h("p", { class: "dim" }, "Choose a verdict: click a row, or press j."));
    }
    if (!early) document.body.dataset.ready = "1";
    document.body.dataset.rendered = String(Number(document.body.dataset.rendered ?? 0) + 1);
  }
  refresh();
  void complete();

  /** All rows, and what the first key typed into the filter needs. */
  async function complete() {
    const early = index.opening.length > 0;
    await loadCriteria(index);
    await new Promise((resolve) => setTimeout(resolve));
    prepareFilter(index);
    if (early && split.isConnected) refresh();
  }
}

/** After a change of the hash that leaves the view as it is. Returns false where the view is not shown. */
export function refreshVerdicts() {
  if (!shown || !document.querySelector(".split")) return false;
  shown.refresh();
  return true;
}

/**
 * The next verdict that nobody has reviewed, as a link; null where there is none.
 * @param {Index} index
 */
export function nextUnreviewed(index) {
  if (!shown) return null;
  const { rows, at } = shown;
  for (let step = 1; step <= rows.length; step++) {
    const candidate = address(index, rows[(Math.max(at, -1) + step) % rows.length]);
    if (reviewState(candidate) === "none") return link("verdicts", { ...place().values, at: candidate });
  }
  return null;
}

/**
 * @param {Index} index
 * @param {Int32Array} rows
 * @param {number} at
 */
function neighbours(index, rows, at) {
  const to = (/** @type {number} */ i) => (i >= 0 && i < rows.length ? link("verdicts", { ...place().values, at: address(index, rows[i]) }) : null);
  return { previous: at > 0 ? to(at - 1) : null, next: to(at + 1), at, n: rows.length };
}

/**
 * @param {Index} index
 * @param {number} row
 * @param {boolean} current
 */
function rowOf(index, row, current) {
  const columns = index.verdicts;
  const criterion = criterionOf(index, row);
  const where = address(index, row);
  const kind = columns.error_kind[row] >= 0 ? ` (${index.error_kinds[columns.error_kind[row]]})` : "";
  const reviewed = reviewState(where);
  const words = MARKS.filter(({ bit }) => columns.bits[row] & bit).map(({ word }) => word);
  return {
    href: link("verdicts", { ...place().values, at: where }),
    className: `verdict-row is-${verdictOf(index, row)}`,
    current,
    cells: [
      [h("span", { class: "id" }, criterion.id), " ", criterion.title],
      [mark(verdictOf(index, row), kind), reviewed === "none" ? "" : h("span", { class: "reviewed" }, reviewed === "done" ? " reviewed" : ` ${reviewed}`)],
      index.tasks[criterion.task].id,
      index.runs[columns.run[row]].system,
      String(columns.trial[row]),
      words.join(", "),
    ],
  };
}

/**
 * @param {Index} index
 * @param {() => void} refresh
 */
function toolbar(index, refresh) {
  const values = place().values;
  const set = (/** @type {Record<string, string|null>} */ changes) => change(changes, true);
  const filter = h("input", {
    id: "filter",
    type: "search",
    value: values.q ?? "",
    placeholder: "criterion, title or task",
    "aria-label": "filter by words in the criterion, its title or its task",
    oninput: (/** @type {Event} */ event) => set({ q: /** @type {HTMLInputElement} */ (event.target).value }),
  });
  const progress = h("span", { class: "dim", role: "status" });
  const reasons = h("input", { type: "checkbox", id: "reasons", checked: values.reasons === "1" });
  const toReasons = async () => {
    await readReasons(index, (part) => put(progress, `reading reasons, ${Math.round(part * 100)} %`));
    put(progress);
    refresh();
  };
  reasons.addEventListener("change", async () => {
    const wanted = /** @type {HTMLInputElement} */ (reasons).checked;
    set({ reasons: wanted ? "1" : null });
    if (wanted) await toReasons();
  });
  if (values.reasons === "1") void toReasons();
  return h(
    "div",
    { class: "toolbar" },
    h("div", { class: "line" }, filter, h("label", { class: "tick" }, reasons, " in reasons too"), progress),
    h("div", { class: "line" }, verdictChips(index)),
    h(
      "details",
      { open: !values.at && matchMedia("(min-width: 60rem)").matches },
      h("summary", {}, "more filters"),
      h("div", { class: "line" }, choice("run", "all runs", index.runs.flatMap((run, i) => (run.kind === "lab" ? [[run.run, nameOf(index, i)]] : []))), areaChoice(index), causeChoice(index), reviewChoice()),
      markChips(index),
    ),
    comparison(index),
    h("div", { class: "line" }, files(index), reviewFiles(index, refresh)),
  );
}

/**
 * What changed since an older run of the same group, once a run is chosen.
 * @param {Index} index
 */
function comparison(index) {
  const { run, against, change: chosenChange } = place().values;
  const others = comparableWith(index, run);
  if (!others.length) return run ? h("p", { class: "dim" }, "No other run on this page can be compared with this one: same tasks, rubrics and protocol.") : null;
  const select = /** @type {HTMLSelectElement} */ (
    h("select", { id: "against" }, h("option", { value: "" }, "nothing"), others.map((other) => h("option", { value: index.runs[other].run }, nameOf(index, other))))
  );
  select.value = against ?? "";
  select.addEventListener("change", () => change({ against: select.value, change: null }, true));
  const changes = [...changesBetween(index, run, against).values()];
  const kinds = CHANGES.map(({ key, word, about }) => {
    const n = changes.filter((found) => found === key).length;
    const pressed = chosenChange === key;
    return h("button", { class: "chip", "aria-pressed": String(pressed), title: about, onclick: () => change({ change: pressed ? null : key }, true) }, `${word} ${n}`);
  });
  return h("div", { class: "line" }, h("label", {}, "Changed since ", select), against ? h("div", { class: "chips", role: "group", "aria-label": "change" }, kinds) : null);
}

/** @param {Index} index */
function verdictChips(index) {
  const found = index.counts.verdict;
  return h("div", { class: "chips", role: "group", "aria-label": "verdict" }, VERDICTS.map((verdict, i) => chip("verdict", verdict, [mark(verdict), ` ${(found[i] ?? 0).toLocaleString("en")}`])));
}

/** @param {Index} index */
function markChips(index) {
  const found = Object.entries(index.counts.bits);
  const marked = MARKS.map((mark) => ({ ...mark, n: found.reduce((sum, [bits, n]) => (Number(bits) & mark.bit ? sum + n : sum), 0) }));
  const some = marked.filter(({ n }) => n);
  return h("div", { class: "chips", role: "group", "aria-label": "marks" }, some.map(({ key, word, about, n }) => chip("marks", key, [`${word} ${n.toLocaleString("en")}`], about)));
}

/**
 * A button that puts a value into a comma-separated filter, or takes it out again.
 * @param {string} name
 * @param {string} value
 * @param {import("./dom.js").Child[]} label
 * @param {string} [about]
 */
function chip(name, value, label, about) {
  const listed = () => (place().values[name] ?? "").split(",").filter(Boolean);
  const button = h("button", { class: "chip", "aria-pressed": String(listed().includes(value)), title: about }, label);
  button.addEventListener("click", () => {
    const now = listed();
    const next = now.includes(value) ? now.filter((item) => item !== value) : [...now, value];
    button.setAttribute("aria-pressed", String(next.includes(value)));
    change({ [name]: next.join(",") }, true);
  });
  return button;
}

/**
 * @param {string} name
 * @param {string} all
 * @param {string[][]} options value and label
 */
function choice(name, all, options) {
  if (options.length < 2) return null;
  const select = h("select", { "aria-label": name }, h("option", { value: "" }, all), options.map(([value, label]) => h("option", { value }, label)));
  /** @type {HTMLSelectElement} */ (select).value = place().values[name] ?? "";
  select.addEventListener("change", () => change({ [name]: /** @type {HTMLSelectElement} */ (select).value }, true));
  return select;
}

/** @param {Index} index */
function areaChoice(index) {
  const areas = [...new Set(index.tasks.map((task) => task.area))].sort();
  return [
    choice("area", "all areas", areas.filter(Boolean).map((area) => [area, area])),
    index.tasks.length <= 200 || place().values.task ? choice("task", "all tasks", index.tasks.map((task) => [task.id, task.id])) : null,
  ];
}

/** @param {Index} index */
function causeChoice(index) {
  return choice("cause", "all failures", index.causes.filter((cause, i) => cause && index.counts.cause[i]).map((cause) => [cause, `failed: ${cause}`]));
}

function reviewChoice() {
  return choice("review", "reviewed or not", [["none", "not reviewed"], ["some", "reviewed"], ["overridden", "overridden"], ["disputed", "reviewers disagree"]]);
}

/** @param {Index} index */
function files(index) {
  const rows = async () => {
    const found = [];
    for (const row of shown?.rows ?? []) found.push(await asRecord(index, row));
    return found;
  };
  const csv = async () => {
    const found = await rows();
    const columns = ["run", "system", "task", "trial", "criterion", "title", "verdict", "error_kind", "marks", "cause", "file", "human_verdict", "reasons"];
    const flat = found.map(({ votes, reviews, marks, ...rest }) => ({
      ...rest,
      marks: marks.join("; "),
      human_verdict: reviews.map((review) => `${review.reviewer}: ${review.verdict}`).join("; "),
      reasons: votes.map((vote) => `${vote.judge}: ${vote.verdict}. ${vote.reasoning ?? ""}`).join("\n"),
    }));
    download("verdicts.csv", asCsv(columns, flat), "text/csv");
  };
  const jsonl = async () => download("verdicts.jsonl", asJsonl(await rows()), "application/jsonl");
  return h("span", { class: "files" }, "These rows as ", h("button", { class: "plain", id: "as-csv", onclick: csv }, "CSV"), " ", h("button", { class: "plain", id: "as-jsonl", onclick: jsonl }, "JSONL"));
}

/**
 * @param {Index} index
 * @param {number} row
 */
async function asRecord(index, row) {
  const columns = index.verdicts;
  const criterion = criterionOf(index, row);
  const run = index.runs[columns.run[row]];
  const detail = await verdictDetail(index, row);
  return {
    run: run.run,
    system: run.system,
    task: index.tasks[criterion.task].id,
    trial: columns.trial[row],
    criterion: criterion.id,
    title: criterion.title,
    verdict: verdictOf(index, row),
    error_kind: index.error_kinds[columns.error_kind[row]] ?? null,
    marks: MARKS.filter(({ bit }) => columns.bits[row] & bit).map(({ word }) => word),
    cause: index.causes[columns.cause[row]] || null,
    file: index.files[columns.file[row]] ?? null,
    votes: detail.votes,
    reviews: reviewsOf(address(index, row)),
  };
}

/**
 * @param {Index} index
 * @param {() => void} refresh
 */
function reviewFiles(index, refresh) {
  const told = h("span", { class: "dim", role: "status" });
  const n = pendingReviews().length;
  const save = h("button", { class: "plain", id: "export-reviews" }, "Export reviews");
  save.addEventListener("click", () => {
    if (!pendingReviews().length) return put(told, "There are no reviews of yours to export.");
    download("reviews.json", exportText(), "application/json");
    put(told, `${count(pendingReviews().length, "review")} exported; take them in with: evalsuite review import reviews.json RUN`);
  });
  const input = /** @type {HTMLInputElement} */ (h("input", { type: "file", accept: ".json", id: "import-reviews", class: "unseen", tabindex: "-1", "aria-hidden": "true" }));
  input.addEventListener("change", async () => {
    const file = input.files?.[0];
    if (!file) return;
    put(told, await file.text().then(
      (text) => importText(index, text),
      (error) => `Nothing was taken in: the file cannot be read (${error.message})`,
    ));
    input.value = "";
    refresh();
  });
  const take = h("button", { class: "plain", onclick: () => input.click() }, "Take reviews in");
  if (!browserKeeps()) put(told, "This browser keeps nothing: export your reviews before you close the page.");
  else if (n && !index.served) put(told, `${count(n, "review")} in this browser.`);
  return h("span", { class: "files" }, save, " ", take, input, " ", told);
}
