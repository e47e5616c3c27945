// Markdown -> DOM that shows text and can do nothing else. What a model says is the most foreign text there is; three fences, each
// of which would do: the renderer passes no HTML through, DOMPurify lets nothing pass but the tags of a text, and the policy of
// the page (server/page/__init__.py) lets no script run. Images are not loaded: their address alone could carry away what was said.

import { emphasisInAnyScript, plainTags } from "./inline.js";
import { drawFormulas } from "./math.js";
import { formulas } from "./tex.js";
import purify from "./vendor/dompurify/purify.mjs";
import hljs from "./vendor/highlight/highlight.js";
import MarkdownIt from "./vendor/markdown-it/markdown-it.mjs";
import { say } from "./words.js";

const ALLOWED = {
  ALLOWED_TAGS: [
    "p", "br", "hr", "h3", "h4", "h5", "h6", "em", "strong", "s", "blockquote", "ul", "ol", "li", "code", "pre", "span", "a",
    "table", "thead", "tbody", "tr", "th", "td", "sub", "sup", "kbd",
  ],
  ALLOWED_ATTR: ["href", "class", "start", "title"],
  ADD_URI_SAFE_ATTR: ["start"], // the number at which a list begins is no address
  ALLOWED_URI_REGEXP: /^(?:https?:|mailto:)/i,
  ALLOW_DATA_ATTR: false,
  ALLOW_ARIA_ATTR: false,
  RETURN_DOM_FRAGMENT: true,
};

/** Longer blocks of code are shown without colours: they would hold up the page. */
const LONGEST_COLOURED = 50_000;

const renderer = new MarkdownIt({ html: false, linkify: true, highlight });
renderer.validateLink = (url) => /^(?:https?:|mailto:)/i.test(url.trim());
renderer.linkify.set({ fuzzyLink: false, fuzzyEmail: false });
formulas(renderer);
emphasisInAnyScript(renderer);
plainTags(renderer);
renderer.renderer.rules.image = (tokens, index) => {
  const { content } = tokens[index];
  const source = tokens[index].attrGet("src");
  const text = renderer.utils.escapeHtml(content || source);
  return `<a href="${renderer.utils.escapeHtml(source)}">${text}</a>`;
};

function highlight(code, language) {
  if (!hljs.getLanguage(language) || code.length > LONGEST_COLOURED) return "";
  return hljs.highlight(code, { language, ignoreIllegals: true }).value;
}

/** The DOM of a text; `partial`: it may go on. Headings stand below those of the page. */
export function render(text, { partial = false } = {}) {
  const tokens = renderer.parse(text, { partial });
  for (const token of tokens) {
    if (/^h[1-6]$/.test(token.tag)) token.tag = `h${Math.min(Number(token.tag[1]) + 2, 6)}`;
    if (/^t[hd]$/.test(token.tag)) alignByClass(token);
  }
  const fragment = purify.sanitize(renderer.renderer.render(tokens, renderer.options, {}), ALLOWED);
  dress(fragment);
  return fragment;
}

function alignByClass(token) {
  const side = /text-align:(\w+)/.exec(token.attrGet("style") ?? "")?.[1];
  if (!side) return;
  token.attrs = token.attrs.filter(([name]) => name !== "style"); // the policy allows no style of an element's own
  token.attrJoin("class", `align-${side}`);
}

/** What the sanitizer need not know: where links open, which way a paragraph runs, a frame with a button around code. */
function dress(fragment) {
  for (const link of fragment.querySelectorAll("a")) Object.assign(link, { target: "_blank", rel: "noopener noreferrer" });
  for (const block of fragment.querySelectorAll("p, h3, h4, h5, h6, ul, ol, li, blockquote, th, td")) block.dir = "auto";
  for (const item of fragment.querySelectorAll("li")) check(item);
  drawFormulas(fragment);
  for (const pre of fragment.querySelectorAll("pre")) frame(pre);
  for (const table of fragment.querySelectorAll("table")) {
    const box = document.createElement("div");
    box.className = "table";
    box.tabIndex = 0; // it may scroll
    table.replaceWith(box);
    box.append(table);
  }
}

/** An item of a list of tasks (GitHub Flavored Markdown, 5.3): a box in the place of its bullet. */
function check(item) {
  const first = item.firstElementChild?.tagName === "P" && !item.firstChild.textContent.trim() ? item.firstElementChild : item;
  const text = first.firstChild;
  const [mark] = (text?.nodeType === Node.TEXT_NODE && /^\s*\[[ xX]\]\s+/.exec(text.data)) || [];
  if (!mark) return;
  const done = !mark.includes("[ ]");
  const box = document.createElement("span");
  box.className = "box";
  box.setAttribute("role", "img");
  box.setAttribute("aria-label", say(done ? "taskDone" : "taskOpen"));
  box.textContent = done ? "☑" : "☐";
  text.data = text.data.slice(mark.length);
  first.prepend(box, " ");
  item.classList.add("task");
}

function frame(pre) {
  const language = /language-([\w+#.-]+)/.exec(pre.firstElementChild?.className ?? "")?.[1] ?? "";
  const box = document.createElement("div");
  box.className = "code";
  const bar = document.createElement("div");
  bar.className = "code-bar";
  const name = document.createElement("span");
  name.textContent = language;
  const copy = document.createElement("button");
  copy.type = "button";
  copy.dataset.copy = "code";
  copy.textContent = say("copy");
  copy.setAttribute("aria-label", language ? say("copyLanguage", { language }) : say("copyCode"));
  bar.append(name, copy);
  pre.tabIndex = 0; // it may scroll
  pre.dir = "ltr";
  pre.replaceWith(box);
  box.append(bar, pre);
}

/** Put `fragment` in the place of what `target` holds, but leave alone what has not changed: a reader may have selected it. */
export function settle(target, fragment) {
  const fresh = [...fragment.childNodes];
  let same = 0;
  while (same < fresh.length && target.childNodes[same]?.isEqualNode(fresh[same])) same += 1;
  while (target.childNodes.length > same) target.lastChild.remove();
  target.append(...fresh.slice(same));
}
