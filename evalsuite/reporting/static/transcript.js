// A trial's transcript as a conversation, tool calls and their answers folded.

import { h } from "./dom.js";
import { count } from "./words.js";

/** @typedef {import("./data.js").TrialDetail} TrialDetail */

const LONG = 1500;

/**
 * @param {TrialDetail} detail
 * @param {string|null} servedRun the run, where a server can show what is not on the page
 */
export function transcript(detail, servedRun) {
  if (!detail.transcript) return h("p", {}, `The transcript is not on this page: ${detail.left_out ?? "the run folder holds none"}.`, served(detail, servedRun));
  const fold = h("button", { class: "plain", type: "button" }, "open all");
  const lines = h("ol", { class: "transcript" }, detail.transcript.map(oneLine));
  fold.addEventListener("click", () => {
    const open = fold.textContent === "open all";
    lines.querySelectorAll("details").forEach((details) => (details.open = open));
    fold.textContent = open ? "fold all" : "open all";
  });
  const cut = detail.left_out ? h("p", {}, `Not all of it is on this page: ${detail.left_out}.`, served(detail, servedRun)) : null;
  return [cut, h("p", {}, `${count(detail.transcript.length, "line")}. `, fold), lines];
}

/** @param {any} record */
function oneLine(record) {
  if (record === null || typeof record !== "object") return h("li", {}, h("pre", {}, JSON.stringify(record)));
  const role = String(record.role ?? record.type ?? "record");
  const text = textOf(record);
  const calls = Array.isArray(record.tool_calls) ? record.tool_calls : [];
  const turn = record.turn !== undefined ? h("span", { class: "dim" }, ` turn ${record.turn}`) : null;
  if (role === "tool" || record.result !== undefined) return h("li", { class: "from-tool" }, answer(record, turn));
  const known = ["role", "turn", "text", "content", "tool_calls", "type"];
  const rest = Object.fromEntries(Object.entries(record).filter(([key]) => !known.includes(key)));
  return h(
    "li",
    { class: `from-${role.replace(/[^a-z]/g, "")}` },
    h("p", {}, h("strong", {}, role), turn),
    text ? folded(text) : null,
    calls.map((/** @type {any} */ call) => h("details", {}, h("summary", {}, "calls ", h("code", {}, String(call?.name ?? call?.function?.name ?? "tool")), " ", h("span", { class: "dim" }, brief(call?.args ?? call?.arguments ?? call?.function?.arguments ?? ""))), h("pre", {}, pretty(call?.args ?? call?.arguments ?? call?.function?.arguments ?? call)))),
    Object.keys(rest).length ? h("details", {}, h("summary", { class: "dim" }, Object.keys(rest).join(", ")), h("pre", {}, pretty(rest))) : null,
  );
}

/**
 * @param {any} record
 * @param {Node|null} turn
 */
function answer(record, turn) {
  const text = typeof record.result === "string" ? record.result : record.result === undefined ? textOf(record) : pretty(record.result);
  const failed = record.error === true || (typeof record.exit_code === "number" && record.exit_code !== 0);
  return h(
    "details",
    {},
    h("summary", {}, failed ? h("span", { class: "bad" }, "! ") : "", h("code", {}, String(record.name ?? record.tool ?? "tool")), failed ? " failed " : " answered ", h("span", { class: "dim" }, `${text.length.toLocaleString("en")} characters: ${brief(text)}`), turn),
    h("pre", {}, text),
  );
}

/** @param {any} record */
function textOf(record) {
  if (typeof record.raw === "string") return record.raw;
  const found = record.text ?? record.content ?? "";
  return typeof found === "string" ? found : pretty(found);
}

/** @param {string} text */
function folded(text) {
  if (text.length <= LONG) return h("div", { class: "said" }, text);
  return h("details", {}, h("summary", {}, `${text.slice(0, 300)}… `, h("span", { class: "dim" }, `${text.length.toLocaleString("en")} characters`)), h("div", { class: "said" }, text));
}

/** @param {any} value */
function brief(value) {
  const text = (typeof value === "string" ? value : JSON.stringify(value)) ?? "";
  const flat = text.slice(0, 400).replace(/\s+/g, " ");
  return flat.length > 110 ? `${flat.slice(0, 110)}…` : flat;
}

/** @param {any} value */
function pretty(value) {
  if (typeof value !== "string") return JSON.stringify(value, null, 1) ?? "";
  try {
    return JSON.stringify(JSON.parse(value), null, 1);
  } catch {
    return value;
  }
}

/**
 * Where a server shows the page, what did not fit on it is one click away.
 * @param {TrialDetail} detail
 * @param {string|null} run
 */
function served(detail, run) {
  const path = detail.left_out?.match(/artifacts\/.*transcript\.jsonl/s)?.[0];
  if (!run || !path) return null;
  const box = h("div");
  const open = h("button", { class: "plain", type: "button" }, "load it");
  open.addEventListener("click", async () => {
    const token = new URLSearchParams(location.search).get("token") ?? "";
    try {
      const answer = await fetch(`/artifact?${new URLSearchParams({ token, run, path })}`);
      const text = await answer.text();
      box.replaceChildren(answer.ok ? h("pre", {}, text) : h("p", { class: "bad" }, `! ${text}`));
    } catch (error) {
      box.replaceChildren(h("p", { class: "bad" }, `! The server does not answer (${error}).`));
    }
  });
  return [" ", open, box];
}
