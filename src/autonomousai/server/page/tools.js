// Calls of tools: as they come, and as they are sent again with what came of them. This page calls none itself: the reader says what
// a call returned. Pure.
//
// answer.tools: [{id, name, arguments, result}], the arguments as JSON text, the result null until there is one.

/** Take the pieces of calls into an answer: the first of each names it, the others bring its arguments. */
export function takeCalls(answer, pieces) {
  answer.tools ??= [];
  for (const { index = 0, id, function: called } of pieces) {
    while (answer.tools.length <= index) answer.tools.push({ id: "", name: "", arguments: "", result: null });
    const tool = answer.tools[index];
    if (id) tool.id = id;
    if (called?.name) tool.name = called.name;
    if (called?.arguments) tool.arguments += called.arguments;
  }
}

/** The messages by which an answer with calls is sent again: with its calls where each has its result, else without them. */
export function sentWithCalls({ text, tools }) {
  const content = text || null;
  if (!tools.every(({ result }) => result !== null)) return text ? [{ role: "assistant", content }] : [];
  const calls = tools.map(({ id, name, arguments: json }) => ({ id, type: "function", function: { name, arguments: json || "{}" } }));
  const results = tools.map(({ id, result }) => ({ role: "tool", tool_call_id: id, content: result }));
  return [{ role: "assistant", content, tool_calls: calls }, ...results];
}
