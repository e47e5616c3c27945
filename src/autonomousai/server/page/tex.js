// Where formulas stand in Markdown: rules for markdown-it that take TeX out of its hands, marks and all. They stand between `\(` and
// `\)`, `\[` and `\]`, `$`, `$$`, and in an environment. Pure: a formula becomes a span that holds its source; math.js draws it.
//
// A formula that has not ended is its source too, while the text still comes; afterwards it is text, with its backslashes.

/** Environments that stand alone in a text. Others need marks around them, in TeX as well. */
const ENVIRONMENTS =
  /^\\begin\{(equation|align|aligned|alignat|gather|gathered|multline|eqnarray|split|cases|array|matrix|[bpvBV]matrix|CD)(\*?)\}/;

const CLOSES = { "\\(": "\\)", "\\[": "\\]", $$: "$$" };

/** What begins as a sum of money, and has words behind it: no formula is like that. */
const MONEY = /^\d[\d.,]*(?:[kKmMbB]n?)?(?![\w\\^{}])/;
const WORDS = /\p{L}{3}|\s\p{L}{2}\s/u;
const COMMANDS = /\\[A-Za-z]+\*?(?:\{[^{}]*\})?/g;
const mayBeMoney = (text) => MONEY.test(text) || /^\p{Lu}{2,}\s|^\p{L}{3}/u.test(text); // or a variable of a shell
const isPrice = (text) => MONEY.test(text) && WORDS.test(text.replace(COMMANDS, ""));

/** Longer ones are no formulas, but a mark that stands for itself. */
const LONGEST_DOLLAR = 1000;

/** Teach a markdown-it where formulas are. With `{ partial: true }` as its env, the text may go on. */
export function formulas(markdown) {
  markdown.block.ruler.before("fence", "formula", blockRule, { alt: ["paragraph", "reference", "blockquote", "list"] });
  markdown.inline.ruler.before("escape", "formula", inlineRule);
  markdown.core.ruler.at("inline", inlineOneByOne);
  const write = (tokens, index) => `<span class="${tokens[index].info}">${markdown.utils.escapeHtml(tokens[index].content)}</span>`;
  markdown.renderer.rules.formula = write;
  markdown.renderer.rules.formula_block = (tokens, index) => `<p>${write(tokens, index)}</p>\n`;
}

/** The TeX of a formula that holds its marks, and whether it is one that stands apart. */
export function unwrap(source) {
  if (source.startsWith("\\begin")) return { tex: source, display: true };
  const mark = source.startsWith("$$") ? "$$" : source.startsWith("$") ? "$" : source.slice(0, 2);
  return { tex: source.slice(mark.length, -mark.length), display: mark === "$$" || mark === "\\[" };
}

/** As markdown-it's own rule, which does not say of a text whether it is the last. */
function inlineOneByOne({ tokens, env, md }) {
  const last = tokens.findLastIndex(({ type }) => !type.endsWith("_close"));
  for (const [index, token] of tokens.entries()) {
    if (token.type !== "inline") continue;
    env.open = env.partial === true && index === last;
    md.inline.parse(token.content, md, env, token.children);
  }
}

// ---- inside a line

function inlineRule(state, silent) {
  const text = state.src.slice(state.pos, state.posMax);
  const found = text[0] === "$" ? dollar(text, state) : text[0] === "\\" ? bracket(text, state.env.open) : null;
  if (found === null) return false;
  if (!silent) {
    const token = state.push(found.info ? "formula" : "text", "", 0);
    token.content = text.slice(0, found.length);
    token.info = found.info ?? "";
  }
  state.pos += found.length;
  return true;
}

/** `\(` and `\[`; and their ends, which without a beginning are text, and lose nothing. */
function bracket(text, open) {
  const begun = text.slice(0, 2);
  const environment = ENVIRONMENTS.exec(text);
  if (!environment && !CLOSES[begun]) return begun === "\\)" || begun === "\\]" ? { length: 2 } : null;
  const mark = environment?.[0] ?? begun;
  const close = environment ? mark.replace("begin", "end") : CLOSES[mark];
  return closed(text, mark, close) ?? (open ? { length: text.length, info: "tex" } : environment ? null : { length: 2 });
}

function dollar(text, { src, pos, env }) {
  const run = /^\$+/.exec(text)[0];
  if (run.length > 2) return { length: run.length };
  if (run === "$$") {
    const found = closed(text, run, run);
    return found ?? (env.open && text.length > 2 ? { length: text.length, info: "tex" } : { length: 2 });
  }
  if (/[\p{L}\p{N}]/u.test(src[pos - 1] ?? "") || !/^\$\S/.test(text)) return { length: 1 };
  const end = find(text.slice(0, LONGEST_DOLLAR), "$", 1);
  const inner = text.slice(1, end < 0 ? LONGEST_DOLLAR : end);
  if (inner.includes("`") || isPrice(inner)) return { length: 1 };
  if (end < 0) return env.open && inner.length < LONGEST_DOLLAR && !mayBeMoney(inner) ? { length: text.length, info: "tex" } : { length: 1 };
  if (/\s$/.test(inner) || /[\p{L}\p{N}$]/u.test(text[end + 1] ?? "")) return { length: 1 };
  return { length: end + 1, info: "formula" };
}

function closed(text, mark, close) {
  const end = find(text, close, mark.length);
  if (end < 0 || !text.slice(mark.length, end).trim()) return null;
  const length = end + close.length;
  return text.slice(0, length).split("`").length % 2 ? { length, info: "formula" } : null; // half a span of code is in it
}

/** Where the mark is that closes; what a backslash stands before is none. */
function find(text, close, from) {
  for (let at = from; at < text.length; at += text[at] === "\\" ? 2 : 1) {
    if (text.startsWith(close, at)) return at;
  }
  return -1;
}

// ---- over lines

/** A formula that has its lines for itself: nothing in them is a list, a heading, or a quotation. */
function blockRule(state, startLine, endLine, silent) {
  if (state.sCount[startLine] - state.blkIndent >= 4) return false;
  const lineOf = (line) => state.src.slice(state.bMarks[line] + state.tShift[line], state.eMarks[line]);
  const first = lineOf(startLine);
  const [mark] = ENVIRONMENTS.exec(first) ?? /^(?:\$\$(?!\$)|\\\[)/.exec(first) ?? [];
  if (!mark) return false;
  const close = CLOSES[mark] ?? mark.replace("begin", "end");
  let line = startLine;
  let end = find(first, close, mark.length);
  while (end < 0) {
    line += 1;
    const left = line >= endLine || (state.sCount[line] < state.blkIndent && !state.isEmpty(line));
    if (left || (mark === "$$" && state.isEmpty(line))) break;
    if (find(lineOf(line), mark, 0) === 0 && mark !== close) break; // the next one begins
    end = find(lineOf(line), close, 0);
  }
  const ended = end >= 0 && !lineOf(line).slice(end + close.length).trim();
  const open = end < 0 && state.env.partial === true && line >= state.lineMax;
  if (!ended && !open) return false;
  if (silent) return true;
  const next = ended ? line + 1 : line;
  const token = state.push("formula_block", "", 0);
  token.content = state.getLines(startLine, next, state.blkIndent, false).trim();
  token.info = ended ? "formula" : "tex";
  token.map = [startLine, next];
  state.line = next;
  return true;
}
