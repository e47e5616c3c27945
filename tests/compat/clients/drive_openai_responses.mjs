// openai-node's Responses, as its users write them. SERVER and SCRIPTED are base URLs; prints JSON.

import OpenAI from "openai";

const real = new OpenAI({ baseURL: process.env.SERVER, apiKey: "none", maxRetries: 0 });
const scripted = new OpenAI({ baseURL: process.env.SCRIPTED, apiKey: "none", maxRetries: 0 });
const fixed = {
  model: "llama",
  instructions: "You are brief.",
  input: "Say yes.",
  temperature: 0,
  max_output_tokens: 40,
};
const seen = {};

const whole = await real.responses.create(fixed);
seen.whole = whole.output_text;
seen.tokens = whole.usage.output_tokens;

seen.pieces = [];
for await (const event of await real.responses.create({ ...fixed, stream: true })) {
  if (event.type === "response.output_text.delta") seen.pieces.push(event.delta);
}

seen.helper = (await real.responses.stream(fixed).finalResponse()).output_text;

const left = await real.responses.create({ ...fixed, max_output_tokens: 1000, stream: true });
for await (const event of left) {
  if (event.type === "response.output_text.delta") break; // which aborts the request
}
seen.aborted = left.controller.signal.aborted;

try {
  await real.responses.create({ ...fixed, model: "gpt-9" });
} catch (error) {
  seen["unknown model"] = [error.constructor.name, error.status, error.code];
}
try {
  await real.responses.create({ ...fixed, max_output_tokens: 0 });
} catch (error) {
  seen.refused = [error.constructor.name, error.param, error.message];
}

const weather = {
  type: "function",
  name: "weather",
  description: "The weather at a place.",
  parameters: { type: "object", properties: { place: { type: "string" } }, required: ["place"], additionalProperties: false },
  strict: true,
};
const question = { role: "user", content: "How warm is it in Paris?" };
const asked = await scripted.responses.stream({ model: "llama", input: [question], tools: [weather] }).finalResponse();
const call = asked.output.find((item) => item.type === "function_call");
seen["called with"] = JSON.parse(call.arguments).place;
const result = { type: "function_call_output", call_id: call.call_id, output: "21 degrees" };
const answered = await scripted.responses.create({
  model: "llama",
  input: [question, ...asked.output, result],
  tools: [weather],
});
seen["tool answer"] = answered.output_text;

const thought = await scripted.responses.create({ model: "thinks", input: "Think." });
seen.thought = thought.output.map((item) => [item.type === "message" ? "text" : "thinking", (item.content ?? item.summary)[0].text]);

const patient = new OpenAI({ baseURL: process.env.SCRIPTED, apiKey: "none", maxRetries: 2 });
seen.retried = (await patient.responses.create({ model: "limited", input: "Hello" })).output_text;

try {
  // The helper hands a failed response out, and does not throw: its status tells.
  const failed = await scripted.responses.stream({ model: "broken", input: "Tell a story." }).finalResponse();
  if (failed.status === "failed") seen.broken = [failed.error.code, failed.error.message];
} catch (error) {
  seen.broken = [error.constructor.name, error.message];
}

console.log(JSON.stringify(seen));
