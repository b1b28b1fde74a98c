// The keyboard: a letter for each thing a reviewer does again and again.

import { byId, h, put } from "./dom.js";

/** @type {[string, string][]} */
const KEYS = [
  ["j", "next verdict or query"],
  ["k", "previous verdict or query"],
  ["u", "next verdict that nobody has reviewed"],
  ["p", "your review: pass"],
  ["f", "your review: fail"],
  ["e", "your review: cannot be decided"],
  ["r", "write the reason"],
  ["/", "filter"],
  ["Esc", "leave a field, close this list"],
  ["?", "this list"],
];

/**
 * @param {() => string|null} unreviewed the link of the next verdict without a review
 */
export function listenToKeys(unreviewed) {
  document.addEventListener("keydown", (event) => {
    const target = /** @type {HTMLElement} */ (event.target);
    const typing = target.closest("input:not([type=checkbox]), textarea, select");
    if (event.key === "Escape") {
      if (typing) target.blur();
      /** @type {HTMLDialogElement} */ (byId("help")).close();
      return;
    }
    if (typing || event.ctrlKey || event.metaKey || event.altKey) return;
    if (act(event.key, unreviewed)) event.preventDefault();
  });
  byId("keys").addEventListener("click", showHelp);
}

/**
 * @param {string} key
 * @param {() => string|null} unreviewed
 */
function act(key, unreviewed) {
  if (key === "j" || key === "k") {
    const step = document.querySelector(`[data-key="${key === "j" ? "next" : "previous"}"]`);
    const first = key === "j" ? document.querySelector(".verdict-row a, tbody tr th a") : null;
    return press(step ?? (document.querySelector("[data-key]") ? null : first));
  }
  if (key === "u") {
    const next = unreviewed();
    if (next) location.hash = next;
    return Boolean(next);
  }
  if ("pfe".includes(key)) return press(document.querySelector(`[data-say="${key}"]`));
  if (key === "r") return focus("reason");
  if (key === "/") return focus("filter");
  if (key === "?") return showHelp();
  return false;
}

/** @param {Element|null} element */
function press(element) {
  if (!(element instanceof HTMLElement)) return false;
  element.click();
  return true;
}

/** @param {string} id */
function focus(id) {
  const field = document.getElementById(id);
  field?.focus();
  return Boolean(field);
}

function showHelp() {
  const dialog = /** @type {HTMLDialogElement} */ (byId("help"));
  put(
    dialog,
    h("h2", {}, "Keys"),
    h("dl", { class: "keys" }, KEYS.flatMap(([key, about]) => [h("dt", {}, h("kbd", {}, key)), h("dd", {}, about)])),
    h("button", { class: "plain", onclick: () => dialog.close() }, "close"),
  );
  if (!dialog.open) dialog.showModal();
  return true;
}
