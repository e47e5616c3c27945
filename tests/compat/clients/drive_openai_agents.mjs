// The OpenAI Agents SDK for JavaScript, as its users write it. SERVER and SCRIPTED are base URLs, WIRE is chat or responses;
// prints JSON.

import { Agent, OpenAIChatCompletionsModel, OpenAIResponsesModel, Runner, setTracingDisabled, tool } from "@openai/agents";
import OpenAI from "openai";
import { z } from "zod";

setTracingDisabled(true);
const Kind = process.env.WIRE === "responses" ? OpenAIResponsesModel : OpenAIChatCompletionsModel;
const model = (name, baseURL) => new Kind(new OpenAI({ baseURL, apiKey: "none", maxRetries: 0 }), name);
const real = model("llama", process.env.SERVER);
const scripted = (name) => model(name, process.env.SCRIPTED);
const modelSettings = { temperature: 0, maxTokens: 40 };
const question = "Say yes.";
const runner = new Runner();
const seen = {};

async function streamed(agent) {
  const result = await runner.run(agent, question, { stream: true });
  const pieces = [];
  for await (const piece of result.toTextStream()) pieces.push(piece);
  await result.completed;
  return pieces;
}

const agent = new Agent({ name: "colours", instructions: "You are brief.", model: real, modelSettings });
const whole = await runner.run(agent, question);
seen.whole = whole.finalOutput;
seen.tokens = whole.state.usage.outputTokens;
seen.pieces = await streamed(agent);

const City = z.object({ name: z.string().max(30), people: z.number().int(), coast: z.boolean() });
const describer = new Agent({ name: "city", model: real, outputType: City, modelSettings: { temperature: 0, maxTokens: 120 } });
seen.city = (await runner.run(describer, "Describe a city.")).finalOutput;

const weather = tool({
  name: "weather",
  description: "The weather at a place.",
  parameters: z.object({ place: z.string() }),
  execute: ({ place }) => {
    seen["called with"] = place;
    return "21 degrees";
  },
});
const tooled = new Agent({ name: "weather", model: scripted("llama"), tools: [weather] });
seen["tool answer"] = (await runner.run(tooled, "How warm is it in Paris?")).finalOutput;

try {
  await runner.run(new Agent({ name: "unknown", model: model("gpt-5", process.env.SERVER) }), question);
} catch (error) {
  seen["unknown model"] = [error.constructor.name, error.status];
}

try {
  await streamed(new Agent({ name: "broken", model: scripted("broken") }));
} catch (error) {
  seen.broken = error.constructor.name;
}

console.log(JSON.stringify(seen));
