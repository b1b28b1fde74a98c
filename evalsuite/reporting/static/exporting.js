// Rows as files: CSV for a spreadsheet, JSON lines for a program.

import { h } from "./dom.js";

/** A cell that a spreadsheet would run as a formula is given a leading apostrophe. */
const FORMULA = /^[=+\-@\t\r]/;

/**
 * @param {string[]} columns
 * @param {Record<string, any>[]} rows
 */
export function asCsv(columns, rows) {
  const line = (/** @type {any[]} */ cells) => cells.map(csvCell).join(",");
  return `${[line(columns), ...rows.map((row) => line(columns.map((column) => row[column])))].join("\r\n")}\r\n`;
}

/** @param {any} value */
function csvCell(value) {
  if (value === null || value === undefined) return "";
  if (typeof value === "number") return String(value);
  const text = typeof value === "string" ? value : JSON.stringify(value);
  const safe = FORMULA.test(text) ? `'${text}` : text;
  return /[",\r\n]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
}

/** @param {Record<string, any>[]} rows */
export function asJsonl(rows) {
  return rows.map((row) => `${JSON.stringify(row)}\n`).join("");
}

/**
 * Hand a text to the reader as a file.
 * @param {string} name
 * @param {string} text
 * @param {string} type
 */
export function download(name, text, type) {
  const url = URL.createObjectURL(new Blob([text], { type }));
  const anchor = /** @type {HTMLAnchorElement} */ (h("a", { download: name }));
  anchor.href = url;
  anchor.click();
  setTimeout(() => URL.revokeObjectURL(url), 1000);
}
