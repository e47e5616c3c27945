// Searching in conversations: in titles and in all that was said, on every branch. Case and accents make no difference. Pure.

/** Characters of text around what was found. */
const BEFORE = 24;
const LENGTH = 90;

const folded = new WeakMap();

/** Those of `conversations` that hold every word, each as `{conversation, excerpt}`; no excerpt where the title holds the first. */
export function search(conversations, words) {
  const terms = fold(words).split(/\s+/).filter(Boolean);
  return conversations.flatMap((conversation) => {
    const texts = textsOf(conversation);
    if (!terms.every((term) => texts.some(({ text }) => text.includes(term)))) return [];
    return [{ conversation, excerpt: terms.length ? excerptOf(texts, terms[0]) : "" }];
  });
}

/** The texts of a conversation, folded once for as long as they do not grow. The title is the first. */
function textsOf(conversation) {
  const original = [conversation.title, ...conversation.messages.map(({ text }) => text)];
  const length = original.reduce((sum, text) => sum + text.length, original.length);
  const before = folded.get(conversation);
  if (before?.length === length && before.texts[0].original === conversation.title) return before.texts;
  const texts = original.map((text) => ({ original: text, text: fold(text) }));
  folded.set(conversation, { length, texts });
  return texts;
}

const fold = (text) => text.normalize("NFD").replace(/\p{M}/gu, "").toLowerCase();

function excerptOf(texts, term) {
  const [title, ...said] = texts;
  if (title.text.includes(term)) return "";
  const { original, text } = said.find((each) => each.text.includes(term));
  const start = Math.max(0, text.indexOf(term) - BEFORE);
  const excerpt = original.slice(start, start + LENGTH).replace(/\s+/g, " ").trim();
  return `${start ? "…" : ""}${excerpt}${start + LENGTH < original.length ? "…" : ""}`;
}
