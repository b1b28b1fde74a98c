// Two charts of values between 0 and 1: a strip of dots and a scatter. Each carries its numbers and says them in words beneath.

import { h, put, svg } from "./dom.js";
import { go } from "./state.js";

/** @typedef {{value: number, label: string, href: () => string}} StripPoint */
/** @typedef {{x: number, y: number, label: string, href: () => string}} ScatterPoint */
/** @typedef {{x: number, y: number, r: number, label: string, href: (() => string)|null}} Dot */

export const LINKED = 200;
export const DRAWN = 2000;
const TICKS = [0, 0.25, 0.5, 0.75, 1];
const GOLDEN = 0.61803398875;
const MARGIN = 16;

/**
 * A row of dots for every kind of query, on one axis; past 2,000 dots a histogram with its counts.
 * @param {{title: string, rows: {name: string, points: StripPoint[]}[], width: number, words: string[]}} options
 */
export function strip({ title, rows, width, words }) {
  const all = rows.reduce((n, row) => n + row.points.length, 0);
  const crowded = all > DRAWN;
  const top = Math.max(1, ...rows.map((row) => row.points.reduce((high, point) => Math.max(high, point.value), 0)));
  const band = crowded ? 70 : 44;
  const height = rows.length * (band + 30) + 24;
  /** @param {number} value */
  const x = (value) => MARGIN + Math.min(1, Math.max(0, value) / top) * (width - 2 * MARGIN);
  /** @type {Element[]} */
  const drawing = [];
  /** @type {Dot[]} */
  const dots = [];
  for (const tick of TICKS) {
    drawing.push(svg("line", { class: "hairline", x1: x(tick * top), x2: x(tick * top), y1: 22, y2: height - 22 }));
    drawing.push(tickLabel(x(tick * top), height - 6, tick * top, "middle"));
  }
  rows.forEach((row, i) => {
    const start = i * (band + 30);
    const mean = row.points.reduce((sum, point) => sum + point.value, 0) / row.points.length;
    drawing.push(
      svg(
        "text",
        { class: "label", x: MARGIN, y: start + 15 },
        `${row.name}: n = ${row.points.length.toLocaleString("en")}, mean ${mean.toFixed(3)}`,
      ),
    );
    if (crowded) drawing.push(...histogram(row.points, x, top, start + 24, band, width));
    else dots.push(...jittered(row.points, x, start + 24, band));
    drawing.push(svg("line", { class: "mean", x1: x(mean), x2: x(mean), y1: start + 22, y2: start + 26 + band }));
  });
  return chartFigure("chart wide", title, drawing, dots, width, height, words);
}

/**
 * The same points always fall on the same places: the golden ratio spreads neighbours of the sorted row.
 * @param {StripPoint[]} points
 * @param {(value: number) => number} x
 * @param {number} top
 * @param {number} band
 * @returns {Dot[]}
 */
function jittered(points, x, top, band) {
  const r = points.length > 300 ? 3 : 4;
  return [...points]
    .sort((one, other) => one.value - other.value)
    .map((point, i) => ({
      x: x(point.value),
      y: top + r + ((i * GOLDEN) % 1) * (band - 2 * r),
      r,
      label: point.label,
      href: point.href,
    }));
}

/**
 * @param {StripPoint[]} points
 * @param {(value: number) => number} x
 * @param {number} high
 * @param {number} top
 * @param {number} band
 * @param {number} width
 */
function histogram(points, x, high, top, band, width) {
  const bins = width > 560 ? 20 : 10;
  const counts = new Array(bins).fill(0);
  for (const point of points) counts[Math.min(bins - 1, Math.max(0, Math.floor((point.value / high) * bins)))] += 1;
  const most = Math.max(...counts);
  return counts.flatMap((n, i) => {
    const from = x((i * high) / bins);
    const wide = x(((i + 1) * high) / bins) - from;
    const tall = (n / most) * (band - 16);
    const range = `${((i * high) / bins).toFixed(2)} to ${(((i + 1) * high) / bins).toFixed(2)}`;
    return [
      svg(
        "rect",
        { class: "bar", x: from + 0.5, width: Math.max(1, wide - 1), y: top + band - tall, height: tall },
        svg("title", {}, `${n} queries at ${range}`),
      ),
      n
        ? svg("text", { class: "label small", x: from + wide / 2, y: top + band - tall - 3, "text-anchor": "middle" }, n)
        : svg("g"),
    ];
  });
}

/**
 * y against x on two equal axes with the diagonal. Dots of equal values are fanned out; past 2,000 they become circles
 * whose area is the number of queries in their cell.
 * @param {{title: string, points: ScatterPoint[], across: string, up: string, width: number, words: string[]}} options
 */
export function scatter({ title, points, across, up, width, words }) {
  const side = Math.min(width, 400);
  const left = 40;
  const plot = side - left - MARGIN;
  const top = 30;
  const height = top + plot + 44;
  const high = points.reduce((most, point) => Math.max(most, point.x, point.y), 1);
  /** @param {number} value */
  const x = (value) => left + MARGIN + (Math.max(0, value) / high) * (plot - 2 * MARGIN);
  /** @param {number} value */
  const y = (value) => top + plot - MARGIN - (Math.max(0, value) / high) * (plot - 2 * MARGIN);
  const drawing = [
    svg("rect", { class: "frame", x: left, y: top, width: plot, height: plot }),
    svg("line", { class: "diagonal", x1: x(0), y1: y(0), x2: x(high), y2: y(high) }),
    svg("text", { class: "label", x: 0, y: 16 }, `↑ ${up}`),
    svg("text", { class: "label", x: left + plot, y: height - 4, "text-anchor": "end" }, `${across} →`),
  ];
  for (const tick of TICKS) {
    const at = tick * high;
    drawing.push(
      svg("line", { class: "axis", x1: x(at), x2: x(at), y1: top + plot, y2: top + plot + 4 }),
      svg("line", { class: "axis", x1: left - 4, x2: left, y1: y(at), y2: y(at) }),
      tickLabel(x(at), top + plot + 18, at, "middle"),
      tickLabel(left - 7, y(at) + 4, at, "end"),
    );
  }
  const spread = points.length > DRAWN ? celled(points, high) : fanned(points);
  const dots = spread.map(({ dx, dy, r, point, label }) => ({
    x: x(point.x) + dx,
    y: y(point.y) + dy,
    r,
    label,
    href: point.href,
  }));
  return chartFigure("chart", title, drawing, dots, side, height, words);
}

/** @typedef {{dx: number, dy: number, r: number, point: {x: number, y: number, href: (() => string)|null}, label: string}} Spread */

/**
 * Points of equal values in a sunflower around their place, no wider than the margin; sorted from left to right.
 * @param {ScatterPoint[]} points
 * @returns {Spread[]}
 */
function fanned(points) {
  const sorted = [...points].sort((one, other) => one.x - other.x || one.y - other.y);
  const r = points.length > 300 ? 3 : 4;
  /** @param {ScatterPoint} point */
  const placeOf = (point) => `${point.x.toFixed(2)} ${point.y.toFixed(2)}`;
  /** @type {Map<string, number>} */
  const sizes = new Map();
  for (const point of sorted) sizes.set(placeOf(point), (sizes.get(placeOf(point)) ?? 0) + 1);
  /** @type {Map<string, number>} */
  const placed = new Map();
  return sorted.map((point) => {
    const key = placeOf(point);
    const i = placed.get(key) ?? 0;
    placed.set(key, i + 1);
    const step = Math.min(r, (MARGIN - r) / Math.sqrt(sizes.get(key) ?? 1));
    const far = step * Math.sqrt(i);
    const angle = i * 2 * Math.PI * GOLDEN;
    return { dx: far * Math.cos(angle), dy: far * Math.sin(angle), r, point, label: point.label };
  });
}

/**
 * @param {ScatterPoint[]} points
 * @param {number} high
 * @returns {Spread[]}
 */
function celled(points, high) {
  const cells = 20;
  /** @type {Map<number, number>} */
  const counts = new Map();
  /** @param {number} value */
  const cell = (value) => Math.min(cells, Math.max(0, Math.round((value / high) * cells)));
  for (const point of points) {
    const key = cell(point.x) * (cells + 1) + cell(point.y);
    counts.set(key, (counts.get(key) ?? 0) + 1);
  }
  const most = Math.max(...counts.values());
  return [...counts].map(([key, n]) => {
    const point = { x: (Math.floor(key / (cells + 1)) / cells) * high, y: ((key % (cells + 1)) / cells) * high, href: null };
    const label = `${n.toLocaleString("en")} queries near ${point.x.toFixed(2)} across, ${point.y.toFixed(2)} up`;
    return { dx: 0, dy: 0, r: Math.max(1, MARGIN * Math.sqrt(n / most)), point, label };
  });
}

/**
 * @param {number} x
 * @param {number} y
 * @param {number} value
 * @param {string} anchor
 */
function tickLabel(x, y, value, anchor) {
  return svg("text", { class: "label tick", x, y, "text-anchor": anchor }, String(Number(value.toFixed(2))));
}

/**
 * A figure: title, drawing, the dot pointed at, and the same facts in words. Up to 200 dots are links, one tab stop with the
 * arrow keys from dot to dot; more are for the mouse only, and the table is the way.
 * @param {string} classes
 * @param {string} title
 * @param {Element[]} drawing
 * @param {Dot[]} dots
 * @param {number} width
 * @param {number} height
 * @param {string[]} words
 */
function chartFigure(classes, title, drawing, dots, width, height, words) {
  const linked = dots.length > 0 && dots.length <= LINKED;
  const readout = h("p", { class: "readout" });
  const drawn = dots.map((dot, i) => dotElement(dot, linked, i === 0));
  const picture = svg(
    "svg",
    {
      class: "plot",
      role: linked ? "group" : "img",
      "aria-label": [title, ...words].join(". "),
      viewBox: `0 0 ${width} ${height}`,
      width,
      height,
    },
    drawing,
    drawn,
  );
  /** @param {Event} event */
  const say = (event) => {
    const found = /** @type {Element} */ (event.target).closest(".spot, .bar");
    put(readout, found?.querySelector("title")?.textContent);
  };
  picture.addEventListener("pointerover", say);
  picture.addEventListener("focusin", say);
  picture.addEventListener("pointerleave", () => put(readout));
  if (linked) picture.addEventListener("keydown", (event) => walk(/** @type {KeyboardEvent} */ (event), drawn));
  else
    picture.addEventListener("click", (event) => {
      const spot = /** @type {Element} */ (event.target).closest(".spot");
      const href = spot ? dots[drawn.indexOf(spot)]?.href : null;
      if (href) go(href());
    });
  return h(
    "figure",
    { class: classes },
    h("figcaption", {}, title),
    picture,
    readout,
    words.map((line) => h("p", { class: "words" }, line)),
  );
}

/**
 * @param {Dot} dot
 * @param {boolean} linked
 * @param {boolean} first
 */
function dotElement(dot, linked, first) {
  const circle = svg("circle", { class: "dot", cx: dot.x.toFixed(1), cy: dot.y.toFixed(1), r: dot.r.toFixed(1) });
  if (linked && dot.href) {
    return svg(
      "a",
      { class: "spot", href: dot.href(), tabindex: first ? "0" : "-1", "aria-label": dot.label },
      svg("title", {}, dot.label),
      circle,
    );
  }
  return svg("g", { class: "spot" }, svg("title", {}, dot.label), circle);
}

/**
 * @param {KeyboardEvent} event
 * @param {Element[]} dots
 */
function walk(event, dots) {
  const at = dots.indexOf(/** @type {Element} */ (event.target));
  const steps = /** @type {Record<string, number>} */ ({
    ArrowRight: at + 1,
    ArrowDown: at + 1,
    ArrowLeft: at - 1,
    ArrowUp: at - 1,
    Home: 0,
    End: dots.length - 1,
  });
  const next = Object.hasOwn(steps, event.key) ? /** @type {SVGElement|undefined} */ (dots[steps[event.key]]) : undefined;
  if (at < 0 || !next) return;
  event.preventDefault();
  event.stopPropagation();
  dots[at].setAttribute("tabindex", "-1");
  next.setAttribute("tabindex", "0");
  next.focus();
}
