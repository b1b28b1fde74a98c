// The map of the LAB runs: area by task by run; and one task, criterion by run and trial.

import { h, put } from "./dom.js";
import { nameOf } from "./queries.js";
import { change, link, place } from "./state.js";
import { virtualTable } from "./table.js";
import { address, criterionOf, verdictOf } from "./verdicts.js";
import { count, mark, VERDICTS } from "./words.js";

/** @typedef {import("./data.js").Index} Index */
/** @typedef {import("./data.js").TrialInfo} TrialInfo */

const STEPS = 5;

/**
 * The group of LAB runs that is shown, and a choice of the others.
 * @param {Index} index
 */
function chosenGroup(index) {
  const groups = index.groups.flatMap((group, number) => (group.kind === "lab" ? [{ group, number }] : []));
  const wanted = Number(place().values.group ?? groups[0]?.number);
  const own = groups.find(({ number }) => number === wanted) ?? groups[0];
  if (groups.length < 2) return { runs: own?.group.runs ?? [], choice: null };
  const label = (/** @type {typeof own} */ { group }) => `${group.suite} ${group.version}, protocol ${group.protocol}, ${count(group.runs.length, "run")}`;
  const choice = h("select", { "aria-label": "task set and protocol" }, groups.map((found) => h("option", { value: found.number, selected: found === own }, label(found))));
  choice.addEventListener("change", () => change({ group: /** @type {HTMLSelectElement} */ (choice).value }, true));
  return { runs: own.group.runs, choice };
}

/**
 * The trials of each task and run.
 * @param {Index} index
 */
function trialsByCell(index) {
  /** @type {Map<string, TrialInfo[]>} */
  const found = new Map();
  for (const trial of index.trials) {
    const key = `${trial.task} ${trial.run}`;
    found.set(key, [...(found.get(key) ?? []), trial]);
  }
  return found;
}

/**
 * Tasks as rows, runs as columns; a cell says how many trials passed everything, and how many criteria passed.
 * @param {Index} index
 * @param {HTMLElement} main
 */
export function showLab(index, main) {
  const { runs, choice } = chosenGroup(index);
  if (!runs.length) return put(main, h("h1", {}, "LAB"), h("p", {}, "No LAB run is on this page."));
  const cells = trialsByCell(index);
  const sort = place().values.sort ?? "task";
  const q = (place().values.q ?? "").toLowerCase();
  const tasks = index.tasks
    .map((task, number) => ({ ...task, number, trials: runs.flatMap((run) => cells.get(`${number} ${run}`) ?? []) }))
    .filter((task) => task.trials.length && task.id.toLowerCase().includes(q))
    .map((task) => ({ ...task, score: worst(task.trials) }));
  tasks.sort((a, b) => (sort === "worst" ? a.score - b.score : 0) || (a.id < b.id ? -1 : 1));
  const filter = h("input", { id: "filter", type: "search", value: place().values.q ?? "", placeholder: "area or task", "aria-label": "filter by area or task" });
  filter.addEventListener("input", () => change({ q: /** @type {HTMLInputElement} */ (filter).value }, true));
  const order = h("select", { "aria-label": "order of tasks" }, h("option", { value: "task" }, "by name"), h("option", { value: "worst" }, "errors first, then the least passed"));
  /** @type {HTMLSelectElement} */ (order).value = sort;
  order.addEventListener("change", () => change({ sort: /** @type {HTMLSelectElement} */ (order).value }, true));
  const table = virtualTable({
    columns: [{ key: "task", label: "task" }, ...runs.map((run, i) => ({ key: `run-${i}`, label: nameOf(index, run) }))],
    n: tasks.length,
    label: "tasks by runs",
    row: (i) => ({
      className: "task-row",
      href: link("task", { task: tasks[i].id }),
      cells: [tasks[i].id, ...runs.map((run) => cell(index, cells.get(`${tasks[i].number} ${run}`) ?? [], tasks[i].id, run))],
    }),
  });
  const wide = `${13 + 9 * runs.length}rem`;
  /** @type {HTMLElement} */ (table.element.firstElementChild).style.minWidth = wide;
  put(
    main,
    h("h1", {}, "Tasks by runs"),
    h("p", { class: "dim" }, "A cell holds the share of criteria that passed over all trials, and leads to its verdicts: ✓ every trial passes all of them, ! something is ungraded; a stronger tint is a larger share."),
    h("div", { class: "toolbar" }, h("div", { class: "line" }, choice, filter, order, h("span", { role: "status", class: "dim" }, count(tasks.length, "task")))),
    areas(index, runs, cells, wide),
    h("h2", {}, "Tasks"),
    table.element,
  );
}

/** @param {TrialInfo[]} trials */
function worst(trials) {
  if (trials.some((trial) => trial.all_pass === null)) return -1;
  return trials.length ? passed(trials) : 2;
}

/** @param {TrialInfo[]} trials */
function passed(trials) {
  const all = trials.reduce((sum, trial) => sum + trial.criteria, 0);
  return all ? trials.reduce((sum, trial) => sum + trial.passed, 0) / all : 0;
}

/**
 * @param {Index} index
 * @param {TrialInfo[]} trials
 * @param {string} task
 * @param {number} run
 */
function cell(index, trials, task, run) {
  if (!trials.length) return h("span", { class: "dim" }, "not run");
  const errors = trials.filter((trial) => trial.all_pass === null).length;
  const rate = passed(trials);
  const glyph = errors ? "! " : trials.every((trial) => trial.all_pass) ? "✓ " : "";
  const many = trials.length > 1 ? `, ${trials.filter((trial) => trial.all_pass).length} of ${trials.length} trials pass all` : "";
  const told = errors ? `${errors} of ${trials.length} trials ungraded${many}` : `${Math.round(rate * 100)} % of criteria${many}`;
  return h(
    "a",
    { class: `heat heat-${errors ? "error" : Math.round(rate * STEPS)}`, href: link("verdicts", { run: index.runs[run].run, task }), title: `${nameOf(index, run)}: ${told}` },
    h("span", {}, glyph),
    `${Math.round(rate * 100)} %`,
    errors ? h("span", { class: "unseen" }, ", something is ungraded") : null,
  );
}

/**
 * @param {Index} index
 * @param {number[]} runs
 * @param {Map<string, TrialInfo[]>} cells
 * @param {string} wide the least width, the same as that of the table of tasks
 */
function areas(index, runs, cells, wide) {
  const own = index.tasks.map((_, number) => number).filter((number) => runs.some((run) => cells.has(`${number} ${run}`)));
  const names = [...new Set(own.map((number) => index.tasks[number].area))].sort();
  if (names.length < 2) return null;
  const rows = names.map((area) => {
    const tasks = own.filter((number) => index.tasks[number].area === area);
    return h(
      "tr",
      {},
      h("th", { scope: "row" }, area || "no area", h("span", { class: "dim" }, ` ${count(tasks.length, "task")}`)),
      runs.map((run) => {
        const trials = tasks.flatMap((task) => cells.get(`${task} ${run}`) ?? []);
        const errors = trials.filter((trial) => trial.all_pass === null).length;
        const whole = trials.length ? `${Math.round(passed(trials) * 100)} %` : "not run";
        return h("td", { class: trials.length ? null : "dim" }, whole, errors ? h("span", { class: "verdict error" }, ` ! ${errors} ungraded`) : null);
      }),
    );
  });
  const head = h("tr", {}, ["area", ...runs.map((run) => nameOf(index, run))].map((label) => h("th", { scope: "col" }, label)));
  const table = h("table", { class: "areas" }, h("thead", {}, head), h("tbody", {}, rows));
  table.style.minWidth = wide;
  return [h("h2", {}, "Areas"), h("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "areas by runs" }, table)];
}

/**
 * One task: its criteria as rows, the trials of every run as columns; runs with another rubric or protocol apart.
 * @param {Index} index
 * @param {HTMLElement} main
 */
export function showTask(index, main) {
  const id = place().values.task ?? "";
  const task = index.tasks.findIndex((found) => found.id === id);
  if (task < 0) return put(main, h("h1", {}, "Task"), h("p", {}, `No run on this page has the task ${id || "(none is named)"}.`), h("p", {}, h("a", { href: link("lab") }, "All tasks")));
  const trials = index.trials.filter((trial) => trial.task === task);
  const groups = [...new Set(trials.map((trial) => index.runs[trial.run].group))].sort((a, b) => a - b);
  put(
    main,
    h("h1", {}, id),
    h("p", {}, h("a", { href: link("verdicts", { task: id }) }, "All verdicts of this task"), groups.length > 1 ? " · These runs used different rubrics or protocols; they are shown apart." : null),
    trials.filter((trial) => trial.problem).map((trial) => h("p", { class: "bad" }, `! ${nameOf(index, trial.run)}, trial ${trial.trial}: ${trial.problem}`)),
    groups.map((group) => grid(index, task, group, trials.filter((trial) => index.runs[trial.run].group === group), groups.length > 1)),
  );
}

/**
 * The criteria of a task by the trials of one group's runs, the worst first.
 * @param {Index} index
 * @param {number} task
 * @param {number} group
 * @param {TrialInfo[]} trials
 * @param {boolean} titled
 */
function grid(index, task, group, trials, titled) {
  const columns = index.verdicts;
  const id = index.tasks[task].id;
  /** @type {Map<string, Map<string, number>>} rows of verdicts by criterion id, then by run and trial */
  const found = new Map();
  /** @type {Map<string, string>} */
  const titles = new Map();
  for (let row = 0; row < columns.n; row++) {
    const criterion = criterionOf(index, row);
    if (criterion.task !== task || index.runs[columns.run[row]].group !== group) continue;
    titles.set(criterion.id, criterion.title);
    const line = found.get(criterion.id) ?? new Map();
    line.set(`${columns.run[row]} ${columns.trial[row]}`, row);
    found.set(criterion.id, line);
  }
  const lines = [...found].map(([criterion, line]) => ({ criterion, line, worst: Math.min(...[...line.values()].map((row) => columns.verdict[row])) }));
  lines.sort((a, b) => a.worst - b.worst);
  const body = lines.map(({ criterion, line }) =>
    h(
      "tr",
      {},
      h("th", { scope: "row", class: "prose" }, h("span", { class: "id" }, criterion), " ", titles.get(criterion)),
      trials.map((trial) => {
        const row = line.get(`${trial.run} ${trial.trial}`);
        if (row === undefined) return h("td", { class: "dim" }, "not graded");
        return h("td", {}, h("a", { href: link("verdicts", { task: id, at: address(index, row) }) }, mark(verdictOf(index, row))));
      }),
    ),
  );
  const sums = VERDICTS.map((verdict) => `${lines.filter((line) => VERDICTS[line.worst] === verdict).length} ${verdict}`);
  const { suite, version, protocol } = index.groups[group];
  return [
    titled ? h("h2", {}, `${suite} ${version}, protocol ${protocol.slice(0, 12)}`) : null,
    h("p", {}, `${count(lines.length, "criterion", "criteria")}, by the worst of their verdicts: ${sums.join(", ")}.`),
    h("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": `criteria by trials${titled ? `, ${version}, protocol ${protocol}` : ""}` }, h("table", { class: "grid" }, h("thead", {}, gridHead(index, id, trials)), h("tbody", {}, body))),
  ];
}

/**
 * A row of runs over a row of their trials; one row where every run has a single trial.
 * @param {Index} index
 * @param {string} task
 * @param {TrialInfo[]} trials
 */
function gridHead(index, task, trials) {
  const runs = [...new Set(trials.map((trial) => trial.run))];
  const several = trials.length > runs.length;
  const own = trials.map((trial) => {
    const name = nameOf(index, trial.run);
    const to = { href: link("trial", { run: index.runs[trial.run].run, task, trial: trial.trial }), "aria-label": several ? `${name}, trial ${trial.trial}` : null };
    return h(
      "th",
      { scope: "col", class: "upright" },
      h("a", to, several ? `trial ${trial.trial}` : name),
      h("br"),
      mark(trial.problem || trial.all_pass === null ? "error" : trial.all_pass ? "pass" : "fail"),
      h("br"),
      h("span", { class: "dim" }, `${trial.passed} of ${trial.criteria}`),
    );
  });
  const head = h("th", { scope: "col", rowspan: several ? 2 : null }, "criterion");
  if (!several) return h("tr", {}, head, own);
  const names = runs.map((run) => h("th", { scope: "colgroup", colspan: trials.filter((trial) => trial.run === run).length }, nameOf(index, run)));
  return [h("tr", {}, head, names), h("tr", {}, own)];
}
