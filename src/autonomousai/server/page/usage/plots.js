// Plots as inline SVG: bars over days, and bars beside names. Numbers in, elements out; text goes in as text.

const SVG = "http://www.w3.org/2000/svg";

/** An element of HTML: `el("p.note", {}, "text")`. */
export function el(what, attributes = {}, ...children) {
  return filled(document.createElement(what.split(".")[0]), what, attributes, children);
}

function draw(what, attributes = {}, ...children) {
  return filled(document.createElementNS(SVG, what.split(".")[0]), what, attributes, children);
}

function filled(element, what, attributes, children) {
  const classes = what.split(".").slice(1).join(" ");
  if (classes) element.setAttribute("class", classes);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

const HEIGHT = 200;
const LEFT = 64;
const FOOT = 22;

/** The width of a plot: that of its place, so that its words have the size of the page's small ones. */
let across = 520;

export function drawAcross(pixels) {
  across = Math.max(200, pixels);
}

/** The rows of days, and between them empty ones for days without an answer. */
export function everyDay(rows) {
  const known = new Map(rows.map((row) => [row.name, row]));
  const days = [];
  const day = new Date(`${rows[0]?.name}T00:00Z`);
  for (const last = new Date(`${rows.at(-1)?.name}T00:00Z`); day <= last; day.setUTCDate(day.getUTCDate() + 1)) {
    const name = day.toISOString().slice(0, 10);
    days.push(known.get(name) ?? { ...Object.fromEntries(Object.keys(rows[0]).map((key) => [key, 0])), name });
  }
  return days;
}

/** Bars over a row of days. `series`: `{label, kind, of(row), show(number, row)}`, the first at the bottom of each bar. */
export function overDays(title, rows, series) {
  const sums = rows.map((row) => series.reduce((sum, each) => sum + each.of(row), 0));
  const most = Math.max(...sums, 0) || 1;
  const plot = HEIGHT - FOOT - 8;
  const step = (across - LEFT) / Math.max(rows.length, 1);
  const parts = [draw("line.axis", { x1: LEFT, y1: plot + 8, x2: across, y2: plot + 8 })];
  for (const part of [0.5, 1]) {
    const y = 8 + plot * (1 - part);
    parts.push(draw("line.axis", { x1: LEFT, y1: y, x2: across, y2: y }));
    parts.push(draw("text", { x: LEFT - 6, y: y + 4, "text-anchor": "end" }, series[0].show(most * part)));
  }
  rows.forEach((row, index) => {
    let y = plot + 8;
    for (const each of series) {
      const height = (plot * each.of(row)) / most;
      y -= height;
      const box = { x: LEFT + step * (index + 0.15), y, width: step * 0.7, height };
      const bar = draw(`rect.bar${each.kind ? `.${each.kind}` : ""}`, box);
      bar.append(draw("title", {}, `${row.name}: ${each.label} ${each.show(each.of(row), row)}`));
      parts.push(bar);
    }
    const every = Math.ceil(rows.length / (across < 400 ? 4 : 6));
    if (index % every === 0) parts.push(dayAt(LEFT + step * (index + 0.5), row.name.slice(5)));
  });
  return figure(title, parts, HEIGHT, rows, series, series);
}

/** The label of a day; beside the edge it ends there. */
function dayAt(x, words) {
  const place = x + 20 > across ? { x: across, "text-anchor": "end" } : { x, "text-anchor": "middle" };
  return draw("text", { ...place, y: HEIGHT - 4 }, words);
}

const LINE = 26;
const VALUE = 90;

/** Pixels of a letter of a name, about. */
const LETTER = 6.6;

/** A bar beside each name, of one series; the twelve largest. */
export function byName(title, rows, one, more = []) {
  const shown = [...rows].sort((a, b) => one.of(b) - one.of(a)).slice(0, 12);
  const most = Math.max(...shown.map(one.of), 0) || 1;
  const names = Math.min(150, across * 0.36);
  const letters = Math.floor(names / LETTER);
  const parts = shown.flatMap((row, index) => {
    const y = index * LINE;
    const name = row.name || "(none)";
    const label = draw("text", { x: 0, y: y + 17 }, name.length > letters ? `${name.slice(0, letters - 1)}…` : name);
    label.append(draw("title", {}, name));
    const width = Math.max(((across - names - VALUE) * one.of(row)) / most, one.of(row) > 0 ? 1 : 0);
    const kind = one.kind ? `.${one.kind}` : "";
    return [
      label,
      draw(`rect.bar${kind}`, { x: names, y: y + 5, width, height: LINE - 10, rx: 2 }),
      draw("text.value", { x: names + width + 6, y: y + 17 }, one.show(one.of(row), row)),
    ];
  });
  return figure(title, parts, Math.max(shown.length, 1) * LINE, rows, [one, ...more], [one]);
}

/** `drawn`: those of the series that the plot shows; the table has all. */
function figure(title, parts, height, rows, series, drawn) {
  const svg = draw("svg", { viewBox: `0 0 ${across} ${height}`, role: "img", "aria-label": `${title}; the table below has the numbers` });
  svg.append(...parts);
  const told = drawn.length > 1 ? drawn : [];
  const legend = el("div.legend", {}, ...told.map((each) => el(`span${each.kind ? `.${each.kind}` : ""}`, {}, each.label)));
  return el("figure", {}, el("figcaption", {}, el("h2", {}, title)), legend, svg, tableOf(title, rows, series));
}

function tableOf(title, rows, series) {
  const head = el("tr", {}, el("th", { scope: "col" }, "name"), ...series.map((each) => el("th", { scope: "col" }, each.label)));
  const body = rows.map((row) => {
    const cells = series.map((each) => el("td", {}, each.show(each.of(row), row)));
    return el("tr", {}, el("th", { scope: "row" }, row.name || "(none)"), ...cells);
  });
  const table = el("table", { "aria-label": title }, el("thead", {}, head), el("tbody", {}, ...body));
  return el("details", {}, el("summary", {}, "Numbers"), el("div.scrolls", { tabindex: "0", role: "group", "aria-label": `${title}: numbers` }, table));
}
