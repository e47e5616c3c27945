// Formulas as they are shown: TeX -> MathML, by Temml, which is loaded with its typeface when the first formula comes. What it makes
// is not taken as markup: its tree is built again here, of the elements, attributes and styles that a formula may consist of, so
// that no TeX becomes anything else. What is no TeX stays its source.

import { unwrap } from "./tex.js";

const MATHML = "http://www.w3.org/1998/Math/MathML";

const TAGS = new Set(
  ("math mrow mi mn mo mtext mspace ms mfrac msqrt mroot msub msup msubsup munder mover munderover mmultiscripts mprescripts " +
    "mtable mtr mtd mstyle mpadded mphantom menclose none").split(" "),
);
const ATTRIBUTES = new Set(
  ("display mathvariant stretchy fence separator form lspace rspace linethickness displaystyle scriptlevel accent accentunder " +
    "columnalign columnspacing columnlines rowspacing rowlines columnspan rowspan width height depth voffset minsize maxsize " +
    "symmetric largeop movablelimits notation mathcolor mathbackground mathsize dir").split(" "),
);
const STYLES = new Set(
  ("display width color background-color border border-top border-bottom border-left border-right border-color padding padding-top " +
    "padding-bottom padding-left padding-right margin-left margin-right text-align font-weight font-style math-depth math-style " +
    "math-shift justify-content transform").split(" "),
);

/** Longer ones are shown as they are: they would hold up the page. */
const LONGEST = 10_000;
/** How large things may be, and how far away, in em or whatever unit they come in; and how often macros may be taken apart. */
const FARTHEST = 40;
const MAX_EXPAND = 500;

let temml = null;
let loading = null;
const trees = new Map();
const MOST_TREES = 500;

/** Draw the formulas in `root`. Those that come before Temml does are drawn when it is there, which the document is told of. */
export function drawFormulas(root) {
  const spans = root.querySelectorAll(".formula:not(.drawn)");
  if (!spans.length) return;
  if (temml) for (const span of spans) draw(span);
  else loading ??= load();
}

async function load() {
  const style = document.createElement("link");
  Object.assign(style, { rel: "stylesheet", href: new URL("./vendor/temml/Temml-STIX2.css", import.meta.url).href });
  document.head.append(style);
  try {
    ({ default: temml } = await import("./vendor/temml/temml.mjs"));
  } catch {
    loading = null; // the network is gone: formulas stay their source until the next one comes
    return;
  }
  drawFormulas(document);
  document.dispatchEvent(new Event("formulas"));
}

function draw(span) {
  const source = span.textContent;
  const tree = treeOf(source);
  if (tree === null) {
    span.className = "tex";
    return;
  }
  const { display } = unwrap(source);
  span.classList.add("drawn");
  span.dataset.tex = source;
  span.replaceChildren(nodeOf(tree));
  if (!display) return;
  span.classList.add("display");
  span.tabIndex = 0; // it may scroll
}

/** What Temml makes of it; null where it is no TeX. Kept: a text that comes is drawn again and again. */
function treeOf(source) {
  if (!trees.has(source)) {
    if (trees.size >= MOST_TREES) trees.clear();
    trees.set(source, parse(source));
  }
  return trees.get(source);
}

function parse(source) {
  if (source.length > LONGEST) return null;
  const { tex, display } = unwrap(source);
  const options = { displayMode: display, throwOnError: true, trust: false, maxSize: [FARTHEST, FARTHEST], maxExpand: MAX_EXPAND, macros: {} };
  try {
    return temml.__renderToMathMLTree(tex, options);
  } catch {
    return null;
  }
}

function nodeOf({ type, text, attributes = {}, classes = [], style = {}, children = [] }) {
  if (typeof text === "string") return document.createTextNode(text);
  const inner = children.map(nodeOf);
  if (!TAGS.has(type)) {
    const several = document.createDocumentFragment();
    several.append(...inner);
    return several;
  }
  const node = document.createElementNS(MATHML, type);
  const named = classes.filter((name) => /^[\w-]+$/.test(name ?? ""));
  if (named.length) node.setAttribute("class", named.join(" "));
  for (const [name, value] of Object.entries(attributes)) {
    if (ATTRIBUTES.has(name) && !isFar(value)) node.setAttribute(name, value);
    else if (name === "style") dress(node, value.split(";").map((rule) => rule.split(":")));
  }
  dress(node, Object.entries(style));
  node.append(...inner);
  return node;
}

const isFar = (value) => (String(value).match(/[\d.]+(?=[a-z])/g) ?? []).some((length) => length > FARTHEST);

function dress(node, rules) {
  for (const [key, value] of rules) {
    const name = key.trim().replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
    if (STYLES.has(name) && value && !isFar(value)) node.style.setProperty(name, value.trim());
  }
}

/** What is copied of a text with formulas is their source. */
export function copyFormulas(event) {
  const selection = getSelection();
  if (!selection.rangeCount || selection.isCollapsed) return;
  const range = selection.getRangeAt(0);
  const fragment = range.cloneContents();
  const inside = range.commonAncestorContainer.parentElement?.closest(".formula.drawn");
  if (!inside && !fragment.querySelector(".formula.drawn")) return;
  for (const span of fragment.querySelectorAll(".formula.drawn")) span.replaceChildren(span.dataset.tex);
  const box = document.createElement("div");
  box.className = "copied";
  box.append(fragment);
  document.body.append(box);
  event.clipboardData.setData("text/plain", inside ? inside.dataset.tex : box.innerText);
  box.remove();
  event.preventDefault();
}
