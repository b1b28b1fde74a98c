// Where the reader is: kept in the URL hash, so that every view is a link that survives a reload.
// "#/verdicts?verdict=fail&at=run~task~1~C-003": a view, then its filters and selection.

/** @typedef {{view: string, values: Record<string, string>}} Place */

const START = "overview";

/** @returns {Place} */
export function place() {
  const [path, query = ""] = location.hash.replace(/^#\/?/, "").split("?", 2);
  return { view: path || START, values: Object.fromEntries(new URLSearchParams(query)) };
}

/**
 * The hash of a view, as a link.
 * @param {string} view
 * @param {Record<string, string|number|null|undefined>} [values] empty ones are left out
 */
export function link(view, values = {}) {
  const kept = Object.entries(values).filter(([, value]) => value !== null && value !== undefined && value !== "");
  const query = new URLSearchParams(kept.map(([key, value]) => [key, String(value)])).toString();
  return `#/${view}${query ? `?${query}` : ""}`;
}

/**
 * Change values of the present view. A changed filter replaces the history entry, a new selection adds one.
 * @param {Record<string, string|number|null|undefined>} changes
 * @param {boolean} [replace]
 */
export function change(changes, replace = false) {
  const now = place();
  go(link(now.view, { ...now.values, ...changes }), replace);
}

/**
 * @param {string} hash
 * @param {boolean} [replace]
 */
export function go(hash, replace = false) {
  if (hash === location.hash) return;
  if (replace) {
    history.replaceState(null, "", hash);
    window.dispatchEvent(new HashChangeEvent("hashchange"));
  } else {
    location.hash = hash;
  }
}
