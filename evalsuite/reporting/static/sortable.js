// The tables that Python wrote, sortable by their columns.

import { h } from "./dom.js";

/** Give every table of class "sortable" headings that sort it. */
export function makeSortable() {
  for (const table of document.querySelectorAll("table.sortable")) {
    const headings = [...table.querySelectorAll("thead th")];
    headings.forEach((heading, column) => {
      const label = heading.textContent ?? "";
      const button = h("button", { class: "sort", type: "button" }, label);
      button.addEventListener("click", () => {
        const descending = heading.getAttribute("aria-sort") !== "descending";
        headings.forEach((other) => other.removeAttribute("aria-sort"));
        heading.setAttribute("aria-sort", descending ? "descending" : "ascending");
        sort(table, column, descending);
      });
      heading.replaceChildren(button);
    });
  }
}

/**
 * @param {Element} table
 * @param {number} column
 * @param {boolean} descending
 */
function sort(table, column, descending) {
  const body = table.querySelector("tbody");
  if (!body) return;
  const rows = [...body.rows].map((row) => ({ row, text: row.cells[column]?.textContent ?? "" }));
  const sign = descending ? -1 : 1;
  rows.sort((a, b) => {
    const [x, y] = [number(a.text), number(b.text)];
    if (x === null || y === null) return x === y ? sign * a.text.localeCompare(b.text) : x === null ? 1 : -1;
    return sign * (x - y);
  });
  body.append(...rows.map(({ row }) => row));
}

/**
 * The number a cell begins with; null for words, which stand last.
 * @param {string} text
 */
function number(text) {
  const found = text.replaceAll(",", "").match(/^\s*<?\s*([-−]?\d+(\.\d+)?)/);
  return found ? Number(found[1].replace("−", "-")) : null;
}
