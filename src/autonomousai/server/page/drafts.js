// What is being written and not yet sent, by conversation: it outlives a reload. That of a new conversation is the tab's own, so that
// two tabs do not write into each other's. Where the browser keeps nothing, a draft lasts as long as the page.

const PREFIX = "autonomousai.draft.";

/** Longer ones are kept in this page alone: the browser's store is small. */
const LONGEST = 200_000;

/** The id under which the draft of a conversation that has not begun is kept. */
export const NEW = "new";

const written = new Map();

const storeOf = (id) => (id === NEW ? sessionStorage : localStorage);

export function readDraft(id) {
  return written.get(id) ?? storeOf(id).getItem(PREFIX + id) ?? "";
}

export function writeDraft(id, text) {
  written.set(id, text);
  if (text && text.length <= LONGEST) storeOf(id).setItem(PREFIX + id, text);
  else storeOf(id).removeItem(PREFIX + id);
}

/** Forget those of conversations that are no more. `ids`: a set of those that are. */
export function pruneDrafts(ids) {
  for (const key of Object.keys(localStorage)) {
    if (key.startsWith(PREFIX) && !ids.has(key.slice(PREFIX.length))) localStorage.removeItem(key);
  }
}
