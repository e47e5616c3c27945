// The Vercel AI SDK, as its users write it. SERVER and SCRIPTED are base URLs; WIRE names the provider; prints JSON.

import { createAnthropic } from "@ai-sdk/anthropic";
import { createOpenAI } from "@ai-sdk/openai";
import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import { APICallError, Output, generateText, isStepCount, streamText, tool } from "ai";
import { z } from "zod";

const options = { name: "autonomousai", apiKey: "none", includeUsage: true, supportsStructuredOutputs: true };
const create = { chat: createOpenAICompatible, responses: createOpenAI, messages: createAnthropic }[process.env.WIRE];
const real = create({ ...options, baseURL: process.env.SERVER });
const scripted = create({ ...options, baseURL: process.env.SCRIPTED });
const fixed = { system: "You are brief.", prompt: "Say yes.", temperature: 0, seed: 1, maxOutputTokens: 40, maxRetries: 0 };
const seen = {};

const whole = await generateText({ ...fixed, model: real("llama") });
seen.whole = whole.text;
seen.tokens = whole.usage.outputTokens;

const stream = streamText({ ...fixed, model: real("llama") });
seen.pieces = [];
for await (const piece of stream.textStream) seen.pieces.push(piece);
seen["streamed tokens"] = (await stream.usage).outputTokens;
seen.finish = await stream.finishReason;

const city = z.object({ name: z.string().max(30), people: z.number().int(), coast: z.boolean() });
if (process.env.WIRE !== "messages") { // where a schema becomes a tool, which the embedded engine has none of
  const described = await generateText({
    ...fixed,
    model: real("llama"),
    prompt: "Describe a city.",
    maxOutputTokens: 120,
    output: Output.object({ schema: city }),
  });
  seen.city = described.output;
}

const tooled = await generateText({
  model: scripted("llama"),
  prompt: "How warm is it in Paris?",
  stopWhen: isStepCount(3),
  tools: {
    weather: tool({
      description: "The weather at a place.",
      inputSchema: z.object({ place: z.string() }),
      execute: async ({ place }) => {
        seen["called with"] = place;
        return "21 degrees";
      },
    }),
  },
});
seen["tool answer"] = tooled.text;

try {
  await generateText({ ...fixed, model: real("gpt-5") });
} catch (error) {
  seen["unknown model"] = [APICallError.isInstance(error), error.statusCode];
}

const broken = streamText({ ...fixed, model: scripted("broken"), onError: () => {} });
for await (const part of broken.fullStream) {
  if (part.type === "error") seen.broken = String(part.error?.message ?? part.error);
}

console.log(JSON.stringify(seen));
