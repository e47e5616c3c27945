// What stands inside a line of Markdown beyond the book (CommonMark 0.31): emphasis where words have no spaces between them, and
// the few tags of HTML that models write into a text. Rules for markdown-it; pure.

/** Characters of scripts that are written without spaces, with their punctuation. */
const SPACELESS =
  /[\p{Script=Han}\p{Script=Hiragana}\p{Script=Katakana}\p{Script=Hangul}\p{Script=Bopomofo}\u3001-\u303f\uff01-\uffee]/u;

const isSpace = (char) => char === "" || /\s/u.test(char);
const isPunctuation = (char) => /[\p{P}\p{S}]/u.test(char) && !SPACELESS.test(char);

/** Tags that become what they are, where they have no attributes, and hold nothing but a short text. */
const TAG = /<br\s*\/?>|<(sub|sup|kbd)>([^<>\n]{1,100})<\/\1>/iy;

/**
 * Let `**` begin and end beside punctuation also where a character of these scripts is on its other side. CommonMark (6.2) wants a
 * space there, which a sentence of Chinese, Japanese or Korean does not have: `**「重要」**です`.
 */
export function emphasisInAnyScript(markdown) {
  markdown.inline.State = class extends markdown.inline.State {
    scanDelims(start, splitsWords) {
      const found = super.scanDelims(start, splitsWords);
      const before = [...this.src.slice(Math.max(0, start - 2), start)].at(-1) ?? "";
      const after = [...this.src.slice(start + found.length, this.posMax).slice(0, 2)][0] ?? "";
      if (!splitsWords || !(SPACELESS.test(before) || SPACELESS.test(after))) return found;
      return { ...found, can_open: mayOpen(before, after), can_close: mayOpen(after, before) };
    }
  };
}

/** Whether a mark between the two may open an emphasis; to close one is the same, read backwards. */
function mayOpen(outside, inside) {
  if (isSpace(inside)) return false;
  return !isPunctuation(inside) || isSpace(outside) || isPunctuation(outside) || SPACELESS.test(outside);
}

/** A line's break, which is all that a table's cell can have, indices, powers and keys. All other HTML stays text. */
export function plainTags(markdown) {
  markdown.inline.ruler.before("html_inline", "plain_tag", (state, silent) => {
    TAG.lastIndex = state.pos;
    const [source, name, content] = TAG.exec(state.src.slice(0, state.posMax)) ?? [];
    if (!source) return false;
    if (!silent && !name) state.push("hardbreak", "br", 0);
    if (!silent && name) {
      const tag = name.toLowerCase();
      state.push("plain_tag_open", tag, 1);
      state.push("text", "", 0).content = content;
      state.push("plain_tag_close", tag, -1);
    }
    state.pos += source.length;
    return true;
  });
}
