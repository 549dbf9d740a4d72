// The JavaScript libraries of both dialects against the router.
//
// argv: BASE URL, then the parts to run. Asserts on every answer; any failure ends with a stack. The mock behind the router answers "weather"
// with a tool call, a tool result with "It is sunny.", and "hello" with text.

import assert from "node:assert/strict";
import OpenAI from "openai";
import Anthropic from "@anthropic-ai/sdk";

const base = process.argv[2];
const greeting = "Good morning to you, too.";
const schema = { type: "object", properties: { city: { type: "string" } }, required: ["city"] };
const hello = [{ role: "user", content: "hello" }];
const weather = [{ role: "user", content: "weather in Paris" }];
const city = { city: "Paris" };
const openai = new OpenAI({ baseURL: `${base}/v1`, apiKey: "caller-key-openai", maxRetries: 0 });
const anthropic = new Anthropic({ baseURL: base, apiKey: "caller-key-anthropic", maxRetries: 0 });

async function chat() {
  const model = "auto";
  const answer = await openai.chat.completions.create({ model, messages: hello });
  assert.equal(answer.choices[0].message.content, greeting);
  assert.ok(answer.usage.total_tokens >= 0);

  let text = "";
  let reason = null;
  for await (const chunk of await openai.chat.completions.create({ model, messages: hello, stream: true })) {
    text += chunk.choices[0]?.delta?.content ?? "";
    reason = chunk.choices[0]?.finish_reason ?? reason;
  }
  assert.deepEqual([text, reason], [greeting, "stop"]);

  const tools = [{ type: "function", function: { name: "get_weather", description: "tells it", parameters: schema } }];
  const called = await openai.chat.completions.create({ model, messages: weather, tools });
  const call = called.choices[0].message.tool_calls[0];
  assert.deepEqual(JSON.parse(call.function.arguments), city);
  const turn = [...weather, called.choices[0].message, { role: "tool", tool_call_id: call.id, content: "sunny" }];
  const after = await openai.chat.completions.create({ model, messages: turn, tools });
  assert.equal(after.choices[0].message.content, "It is sunny.");

  let args = "";
  for await (const chunk of await openai.chat.completions.create({ model, messages: weather, tools, stream: true })) {
    args += chunk.choices[0]?.delta?.tool_calls?.[0]?.function?.arguments ?? "";
  }
  assert.deepEqual(JSON.parse(args), city);
}

async function responses() {
  const ask = { model: "auto", input: "hello", store: false };
  assert.equal((await openai.responses.create(ask)).output_text, greeting);
  let text = "";
  const kinds = [];
  for await (const event of await openai.responses.create({ ...ask, stream: true })) {
    kinds.push(event.type);
    if (event.type === "response.output_text.delta") text += event.delta;
  }
  assert.equal(text, greeting);
  assert.equal(kinds.at(-1), "response.completed");
  const tools = [{ type: "function", name: "get_weather", description: "tells it", parameters: schema, strict: false }];
  const answer = await openai.responses.create({ ...ask, input: weather, tools });
  const call = answer.output.find((item) => item.type === "function_call");
  assert.deepEqual(JSON.parse(call.arguments), city);
}

async function rest() {
  const vector = (await openai.embeddings.create({ model: "auto", input: "hello", encoding_format: "float" })).data[0];
  assert.ok(vector.embedding.length > 0);
  const ids = [];
  for await (const model of openai.models.list()) ids.push(model.id);
  assert.ok(ids.includes("auto"), ids.join());
}

async function messages() {
  const ask = { model: "auto", max_tokens: 100 };
  const answer = await anthropic.messages.create({ ...ask, messages: hello });
  assert.equal(answer.content[0].text, greeting);
  let text = "";
  const stream = anthropic.messages.stream({ ...ask, messages: hello }).on("text", (piece) => (text += piece));
  const final = await stream.finalMessage();
  assert.deepEqual([text, final.stop_reason], [greeting, "end_turn"]);
  const tools = [{ name: "get_weather", description: "tells it", input_schema: schema }];
  const called = await anthropic.messages.create({ ...ask, messages: weather, tools });
  const call = called.content.find((block) => block.type === "tool_use");
  assert.deepEqual([call.input, called.stop_reason], [city, "tool_use"]);
  const result = { type: "tool_result", tool_use_id: call.id, content: "sunny" };
  const turn = [...weather, { role: "assistant", content: called.content }, { role: "user", content: [result] }];
  const after = await anthropic.messages.create({ ...ask, messages: turn, tools });
  assert.equal(after.content[0].text, "It is sunny.");
  const streamed = await anthropic.messages.stream({ ...ask, messages: weather, tools }).finalMessage();
  assert.deepEqual(streamed.content.find((block) => block.type === "tool_use").input, city);
  const count = await anthropic.messages.countTokens({ model: "auto", messages: hello });
  assert.ok(count.input_tokens > 0);
}

const parts = { chat, responses, rest, messages };
for (const step of process.argv.slice(3).map((name) => parts[name])) {
  await step();
  console.log("ok", step.name);
}
console.log("all is well");
