// Two copies of a conversation, each changed in a tab of its own, become one that has all of both. Pure.

/** Take over what `other` has and `conversation` has not, or not as far; but for the answer `own`, which is on its way here.
 * Whether there was any (`took`), and whether `conversation` has something that `other` has not (`more`). */
export function merge(conversation, other, own = null) {
  const theirs = new Map(other.messages.map((message) => [message.id, message]));
  let took = false;
  let more = false;
  for (const [index, ours] of conversation.messages.entries()) {
    const their = theirs.get(ours.id);
    theirs.delete(ours.id);
    if (!their || isFurther(ours, their)) more = true;
    else if (ours.id !== own?.id && isFurther(their, ours)) {
      conversation.messages[index] = their;
      took = true;
    }
  }
  conversation.messages.push(...theirs.values());
  return { took: took || theirs.size > 0, more };
}

/** How an answer ended, from the least that a copy can know of it: to a tab that only follows it, one that the reader stopped elsewhere
 * may look lost. */
const ENDS = ["failed", "stopped", "done"];

/** Whether one copy of an answer is of a later time than the other: it went on once more, is over, or has more text. */
function isFurther(one, other) {
  const [ones, others] = [progress(one), progress(other)];
  const different = ones.findIndex((value, index) => value !== others[index]);
  return different >= 0 && ones[different] > others[different];
}

const progress = ({ turn = 0, state, text, reasoning = "", tools = [] }) => [
  turn,
  ENDS.indexOf(state) + 1,
  text.length + reasoning.length,
  tools.filter(({ result }) => result !== null).length,
];
