// Anthropic's SDK, as its users write it. SERVER and SCRIPTED are base URLs that end in /v1, which it adds itself; prints JSON.

import Anthropic from "@anthropic-ai/sdk";

const root = (url) => url.replace(/\/v1$/, "");
const real = new Anthropic({ baseURL: root(process.env.SERVER), apiKey: "none", maxRetries: 0 });
const scripted = new Anthropic({ baseURL: root(process.env.SCRIPTED), apiKey: "none", maxRetries: 0 });
const fixed = {
  model: "llama",
  system: "You are brief.",
  messages: [{ role: "user", content: "Say yes." }],
  temperature: 0,
  max_tokens: 40,
};
const ask = (text) => ({ model: "llama", max_tokens: 1000, messages: [{ role: "user", content: text }] });
const seen = {};

const whole = await real.messages.create(fixed);
seen.whole = whole.content[0].text;
seen.tokens = whole.usage.output_tokens;

seen.pieces = [];
const stream = real.messages.stream(fixed).on("text", (text) => seen.pieces.push(text));
const final = await stream.finalMessage();
seen.helper = final.content[0].text;
seen["streamed tokens"] = final.usage.output_tokens;
seen.finish = { end_turn: "stop", max_tokens: "length" }[final.stop_reason];

seen.models = [];
for await (const model of real.models.list()) seen.models.push(model.id);

const left = real.messages.stream({ ...fixed, max_tokens: 1000 });
for await (const event of left) {
  if (event.type === "content_block_delta") break; // which aborts the request
}
seen.aborted = left.controller.signal.aborted;

try {
  await real.messages.create({ ...fixed, model: "claude-9" });
} catch (error) {
  seen["unknown model"] = [error.constructor.name, error.status, error.error.error.type];
}
try {
  await real.messages.create({ ...fixed, max_tokens: 0 });
} catch (error) {
  seen.refused = [error.constructor.name, error.error.error.type, error.error.error.message];
}

const weather = {
  name: "weather",
  description: "The weather at a place.",
  input_schema: { type: "object", properties: { place: { type: "string" } }, required: ["place"] },
};
const asked = await scripted.messages.stream({ ...ask("How warm is it in Paris?"), tools: [weather] }).finalMessage();
const use = asked.content.find((block) => block.type === "tool_use");
seen["called with"] = use.input.place;
seen["stopped for"] = asked.stop_reason;
const result = { type: "tool_result", tool_use_id: use.id, content: "21 degrees" };
const answered = await scripted.messages.create({
  ...ask(""),
  messages: [
    { role: "user", content: "How warm is it in Paris?" },
    { role: "assistant", content: asked.content },
    { role: "user", content: [result] },
  ],
  tools: [weather],
});
seen["tool answer"] = answered.content[0].text;

const thought = await scripted.messages.stream({ ...ask("Think."), model: "thinks" }).finalMessage();
seen.thought = thought.content.map((block) => [block.type, block.thinking ?? block.text]);

const patient = new Anthropic({ baseURL: root(process.env.SCRIPTED), apiKey: "none", maxRetries: 2 });
seen.retried = (await patient.messages.create({ ...ask("Hello"), model: "limited" })).content[0].text;

try {
  await scripted.messages.stream({ ...ask("Tell a story."), model: "broken" }).finalMessage();
} catch (error) {
  seen.broken = [error.constructor.name, error.message];
}

console.log(JSON.stringify(seen));
