// openai-node, as its users write it. SERVER and SCRIPTED are base URLs; prints JSON.

import OpenAI from "openai";

const real = new OpenAI({ baseURL: process.env.SERVER, apiKey: "none", maxRetries: 0 });
const scripted = new OpenAI({ baseURL: process.env.SCRIPTED, apiKey: "none", maxRetries: 0 });
const messages = [
  { role: "system", content: "You are brief." },
  { role: "user", content: "Say yes." },
];
const fixed = { model: "llama", messages, temperature: 0, seed: 1, max_tokens: 40 };
const seen = {};

const whole = await real.chat.completions.create(fixed);
seen.whole = whole.choices[0].message.content;
seen.tokens = whole.usage.completion_tokens;

seen.pieces = [];
for await (const chunk of await real.chat.completions.create({ ...fixed, stream: true })) {
  if (chunk.choices[0]?.delta?.content) seen.pieces.push(chunk.choices[0].delta.content);
}

seen.helper = await real.chat.completions.stream({ ...fixed, stream_options: { include_usage: true } }).finalContent();
seen.models = (await real.models.list()).data.map((model) => model.id);

const left = await real.chat.completions.create({ ...fixed, max_tokens: 1000, stream: true });
for await (const chunk of left) {
  if (chunk.choices[0]?.delta?.content) break; // which aborts the request
}
seen.aborted = left.controller.signal.aborted;

try {
  await real.chat.completions.create({ ...fixed, model: "gpt-5" });
} catch (error) {
  seen["unknown model"] = [error.constructor.name, error.status, error.code];
}

const prompt = { model: "llama", prompt: "The capital of France is", temperature: 0, max_tokens: 5 };
seen.completed = [(await real.completions.create(prompt)).choices[0].text, ""];
for await (const chunk of await real.completions.create({ ...prompt, stream: true })) {
  seen.completed[1] += chunk.choices[0]?.text ?? "";
}

// The package asks for base64 by itself, and decodes it.
const vectors = await scripted.embeddings.create({ model: "vectors", input: ["a", "b"] });
seen.vectors = vectors.data.map((each) => each.embedding);

const parameters = { type: "object", properties: { place: { type: "string" } }, required: ["place"] };
const runner = scripted.chat.completions.runTools({
  model: "llama",
  messages: [{ role: "user", content: "How warm is it in Paris?" }],
  tools: [
    {
      type: "function",
      function: {
        name: "weather",
        description: "The weather at a place.",
        parameters,
        parse: JSON.parse,
        function: ({ place }) => {
          seen["called with"] = place;
          return "21 degrees";
        },
      },
    },
  ],
});
seen["tool answer"] = await runner.finalContent();

try {
  for await (const _ of await scripted.chat.completions.create({ ...fixed, model: "broken", stream: true }));
} catch (error) {
  seen.broken = error.constructor.name;
}

console.log(JSON.stringify(seen));
