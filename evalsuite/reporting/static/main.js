// The page's start: reads the index, shows the view that the hash names, and follows it.

import { loadCriteria, loadIndex } from "./data.js";
import { byId, h, put } from "./dom.js";
import { listenToKeys } from "./keys.js";
import { showLab, showTask } from "./lab.js";
import { showQuery } from "./query.js";
import { showRetrieval } from "./retrieval.js";
import { anyReviews, loadReviews } from "./reviews.js";
import { makeSortable } from "./sortable.js";
import { place } from "./state.js";
import { showTrial } from "./trial.js";
import { nextUnreviewed, refreshVerdicts, showVerdicts } from "./verdictview.js";

/** @typedef {import("./data.js").Index} Index */

const THEME = "evalsuite-theme";

/** @type {Record<string, (index: Index, main: HTMLElement) => void|Promise<void>>} */
const VIEWS = {
  retrieval: showRetrieval,
  query: showQuery,
  lab: showLab,
  task: showTask,
  trial: showTrial,
  verdicts: showVerdicts,
};

/** Which entry of the navigation a view belongs to. */
const WITHIN = { query: "retrieval", task: "lab", trial: "lab" };

let last = { view: "", shape: "", shown: false };

/**
 * What the list of verdicts looks like; when it stays, only the rows change.
 * @param {Record<string, string>} values
 */
function shape(values) {
  return [values.sort, values.run, values.against, values.change].join(" ");
}

/** Whether the first rows of all verdicts are asked for: the index has what they need. */
function opening() {
  const { view, values } = place();
  return view === "verdicts" && !Object.keys(values).length && !anyReviews();
}

/** @param {Index} index */
async function show(index) {
  if (!opening()) await loadCriteria(index);
  const { view, values } = place();
  put(byId("problem"));
  const main = byId("view");
  const overview = byId("overview");
  const known = Object.hasOwn(VIEWS, view);
  overview.hidden = known;
  main.hidden = !known;
  for (const entry of document.querySelectorAll("nav.views a")) {
    const own = (known && /** @type {Record<string, string>} */ (WITHIN)[view]) || (known ? view : "overview");
    if (entry.getAttribute("href") === `#/${own}`) entry.setAttribute("aria-current", "page");
    else entry.removeAttribute("aria-current");
  }
  const again = last.view === view;
  const same = last.shape === shape(values);
  const moved = last.shown && !again;
  last = { view, shape: shape(values), shown: true };
  if (!known) {
    document.getElementById(view)?.scrollIntoView();
    return;
  }
  if (view === "verdicts" && again && same && refreshVerdicts()) return;
  const before = document.activeElement;
  await VIEWS[view](index, main);
  if (!again) window.scrollTo(0, 0);
  if (moved) announce(main);
  const field = document.getElementById("filter");
  if (before?.id === "filter" && field instanceof HTMLInputElement && field !== before) {
    field.focus();
    field.setSelectionRange(field.value.length, field.value.length);
  }
}

/**
 * Put the focus on the heading of a view that was just opened, so that a screen reader says where one is.
 * @param {HTMLElement} main
 */
function announce(main) {
  const heading = main.querySelector("h1");
  heading?.setAttribute("tabindex", "-1");
  heading?.focus({ preventScroll: true });
}

function theme() {
  const button = byId("theme");
  const root = document.documentElement;
  const apply = (/** @type {string} */ name) => {
    if (name) root.dataset.theme = name;
    else delete root.dataset.theme;
    put(button, `theme: ${name || "as the system"}`);
  };
  const order = ["", "light", "dark"];
  let now = "";
  try {
    now = localStorage.getItem(THEME) ?? "";
  } catch {
    now = "";
  }
  apply(order.includes(now) ? now : "");
  button.addEventListener("click", () => {
    now = order[(order.indexOf(root.dataset.theme ?? "") + 1) % order.length];
    apply(now);
    try {
      localStorage.setItem(THEME, now);
    } catch {
      // a browser that keeps nothing still shows it
    }
  });
}

async function start() {
  theme();
  document.documentElement.classList.add("scripted");
  makeSortable();
  try {
    const index = await loadIndex();
    loadReviews(index);
    for (const entry of document.querySelectorAll("nav.views a")) {
      const href = entry.getAttribute("href");
      const empty = (href === "#/retrieval" && !index.queries.n) || (href === "#/lab" && !index.trials.length) || (href === "#/verdicts" && !index.verdicts.n);
      if (empty) entry.remove();
    }
    window.addEventListener("hashchange", () => void show(index).catch(broken));
    listenToKeys(() => nextUnreviewed(index));
    await show(index);
  } catch (error) {
    broken(error);
  }
}

/** @param {unknown} error */
function broken(error) {
  put(byId("problem"), h("p", { class: "bad" }, `! This view cannot be shown: ${error}`));
  console.error(error);
}

void start();
