// A table of any length: only the rows in sight are in the document, and a screen reader is told how many there are.

import { h, put } from "./dom.js";

/** @typedef {import("./dom.js").Children} Children */
/** @typedef {{key: string, label: string, numeric?: boolean, sortable?: boolean, narrow?: boolean}} Column */
/** @typedef {{cells: Children[], href?: string, className?: string, current?: boolean}} Row */
/**
 * @typedef {object} TableOptions
 * @property {Column[]} columns
 * @property {number} n
 * @property {(i: number) => Row} row
 * @property {string} label
 * @property {number} [rowHeight] pixels; every row is as high
 * @property {{key: string, descending: boolean}} [sorted]
 * @property {(key: string) => void} [onsort]
 */

const SPARE = 12;

/**
 * `element` scrolls by itself. `refresh(n)` draws anew after the rows have changed; `reveal(i)` scrolls to a row.
 * @param {TableOptions} options
 */
export function virtualTable(options) {
  const height = options.rowHeight ?? 38;
  let n = options.n;
  const body = h("tbody");
  const table = h("table", { class: "virtual" }, heading(options), body);
  const element = h("div", { class: "rows", tabindex: "0", role: "region", "aria-label": options.label }, table);
  let drawn = "";

  function draw() {
    const first = Math.max(0, Math.floor(element.scrollTop / height) - SPARE);
    const last = Math.min(n, Math.ceil((element.scrollTop + (element.clientHeight || 800)) / height) + SPARE);
    if (drawn === `${first}-${last}-${n}`) return;
    drawn = `${first}-${last}-${n}`;
    const focused = document.activeElement?.closest("tr")?.getAttribute("aria-rowindex");
    const rows = [];
    for (let i = first; i < last; i++) rows.push(line(options, options.row(i), i));
    if (!n) rows.push(h("tr", { class: "none" }, h("td", { class: "dim" }, "Nothing fits the filters.")));
    put(body, spacer(first * height), rows, spacer((n - last) * height));
    if (focused) {
      const again = body.querySelector(`tr[aria-rowindex="${focused}"] a`);
      if (again instanceof HTMLElement) again.focus({ preventScroll: true });
    }
  }

  table.setAttribute("aria-rowcount", String(n + 1));
  table.style.setProperty("--row", `${height}px`);
  element.addEventListener("scroll", draw, { passive: true });
  new ResizeObserver(draw).observe(element);
  draw();
  return {
    element,
    /** @param {number} count */
    refresh(count) {
      n = count;
      drawn = "";
      table.setAttribute("aria-rowcount", String(n + 1));
      draw();
    },
    /** @param {number} i */
    reveal(i) {
      const top = i * height;
      if (top < element.scrollTop || top + 2 * height > element.scrollTop + element.clientHeight) {
        element.scrollTop = Math.max(0, top - element.clientHeight / 3);
      }
      draw();
    },
  };
}

/** @param {TableOptions} options */
function heading(options) {
  const cells = options.columns.map((column) => {
    const sorted = options.sorted?.key === column.key;
    const direction = options.sorted?.descending ? "descending" : "ascending";
    return h(
      "th",
      { scope: "col", class: kind(column), "aria-sort": sorted ? direction : null },
      column.sortable && options.onsort
        ? h(
            "button",
            { class: "sort", onclick: () => options.onsort?.(column.key) },
            column.label,
            sorted ? (options.sorted?.descending ? " ↓" : " ↑") : "",
          )
        : column.label,
    );
  });
  return h("thead", {}, h("tr", { "aria-rowindex": "1" }, cells));
}

/** @param {Column} column */
function kind(column) {
  return [column.numeric ? "n" : "", column.narrow ? "narrow" : "", `column-${column.key}`].join(" ").trim();
}

/**
 * @param {TableOptions} options
 * @param {Row} row
 * @param {number} i
 */
function line(options, row, i) {
  const cells = row.cells.map((cell, c) => {
    const attributes = { class: kind(options.columns[c]) };
    const inside = c === 0 && row.href ? h("a", { href: row.href }, cell) : cell;
    return c === 0 ? h("th", { scope: "row", ...attributes }, inside) : h("td", attributes, inside);
  });
  const open = row.href ? (/** @type {MouseEvent} */ event) => follow(event, row.href) : null;
  const tr = h("tr", { class: row.className, "aria-rowindex": i + 2, "aria-current": row.current ? "true" : null, onclick: open });
  tr.append(...cells);
  return tr;
}

/**
 * A click anywhere in a row follows its link, unless text is being selected or something of its own was clicked.
 * @param {MouseEvent} event
 * @param {string|undefined} href
 */
function follow(event, href) {
  const target = /** @type {Element} */ (event.target);
  if (!href || target.closest("a, button, input") || String(getSelection())) return;
  location.hash = href;
}

/**
 * One cell wide: a wider one would keep columns that the style sheet hides.
 * @param {number} height
 */
function spacer(height) {
  const cell = h("td");
  cell.style.height = `${height}px`;
  return h("tr", { class: "spacer", "aria-hidden": "true", hidden: height === 0 }, cell);
}
