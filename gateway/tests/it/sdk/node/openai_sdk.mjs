// The openai package as applications use it: each class, each operation.

import assert from "node:assert/strict";
import OpenAI, { AzureOpenAI, toFile } from "openai";

const settings = JSON.parse(process.argv[2]);
// A script that hangs ends all the same.
setTimeout(() => {
  console.log(`hangs in ${running}`);
  process.exit(1);
}, 90_000).unref();

const TEXT = "The water behind the weir rises until it finds a lower place and then runs over.";
const HELLO = [{ role: "user", content: "hello" }];
const WEATHER = [{ role: "user", content: "How is the weather in Stockholm?" }];
const ARGUMENTS = { location: "Stockholm", unit: "celsius" };
const PARAMETERS = { type: "object", properties: { location: { type: "string" } } };
const FUNCTION = { name: "get_weather", parameters: PARAMETERS };
const TOOLS = [{ type: "function", function: FUNCTION }];
const FILTERED = [{ role: "user", content: "[[content-filter]]" }];

async function events(call) {
  const seen = [];
  for await (const event of await call) seen.push(event);
  return seen;
}

const content = (answer) => answer.choices[0].message.content;
const choicesOf = (chunks) => chunks.flatMap((chunk) => chunk.choices);

async function refused(error, call, code, text = "") {
  const seen = await call.then(
    () => assert.fail(`no ${error.name}`),
    (thrown) => thrown,
  );
  if (!(seen instanceof error)) throw seen;
  assert.equal(seen.code, code);
  assert.ok(seen.message.includes(text), `${text} is not in ${seen.message}`);
  return seen;
}

const checks = {
  async chat(client) {
    const answer = await client.chat.completions.create({ model: "gpt-4o", messages: HELLO });
    assert.equal(content(answer), TEXT);
    assert.equal(answer.choices[0].finish_reason, "stop");
    assert.equal(answer.usage.completion_tokens, 16);
    assert.ok(answer._request_id, "no _request_id");
  },

  async chatStream(client) {
    const chunks = await events(
      client.chat.completions.create({ model: "gpt-4o", messages: HELLO, stream: true }),
    );
    assert.deepEqual(chunks[0].choices, [], "the prompt filter's chunk");
    const choices = choicesOf(chunks);
    assert.equal(choices.map((choice) => choice.delta.content ?? "").join(""), TEXT);
    assert.equal(choices.at(-1).finish_reason, "stop");
    assert.ok(chunks.every((chunk) => !chunk.usage), "usage without having asked");
  },

  async chatStreamWithUsage(client) {
    const chunks = await events(
      client.chat.completions.create({
        model: "gpt-4o",
        messages: HELLO,
        stream: true,
        stream_options: { include_usage: true },
      }),
    );
    assert.deepEqual(chunks.at(-1).choices, []);
    assert.equal(chunks.at(-1).usage.completion_tokens, 16);
    assert.ok(chunks.slice(0, -1).every((chunk) => !chunk.usage), "usage before the end");
  },

  async tools(client) {
    const asked = { model: "gpt-4o", messages: WEATHER, tools: TOOLS };
    const { message, finish_reason } = (await client.chat.completions.create(asked)).choices[0];
    assert.equal(finish_reason, "tool_calls");
    const [called] = message.tool_calls;
    assert.equal(called.function.name, "get_weather");
    assert.deepEqual(JSON.parse(called.function.arguments), ARGUMENTS);
    const result = { role: "tool", tool_call_id: called.id, content: "7 degrees" };
    const messages = [...WEATHER, message, result];
    const answer = await client.chat.completions.create({ ...asked, messages });
    assert.equal(content(answer), TEXT);
  },

  async toolsStream(client) {
    const asked = { model: "gpt-4o", messages: WEATHER, tools: TOOLS, stream: true };
    const choices = choicesOf(await events(client.chat.completions.create(asked)));
    const calls = choices.flatMap((choice) => choice.delta.tool_calls ?? []);
    assert.equal(calls[0].function.name, "get_weather");
    assert.ok(calls[0].id, "the call has no id");
    const written = calls.map((call) => call.function.arguments).join("");
    assert.deepEqual(JSON.parse(written), ARGUMENTS);
    assert.equal(choices.at(-1).finish_reason, "tool_calls");
  },

  async embeddings(client) {
    const asked = { model: "embedding-3-small", input: ["a weir", "a lock"] };
    const byBase64 = (await client.embeddings.create(asked)).data;
    const byFloat = (await client.embeddings.create({ ...asked, encoding_format: "float" })).data;
    assert.deepEqual(byBase64.map((item) => item.index), [0, 1]);
    byBase64.forEach(({ embedding }, index) => {
      assert.equal(embedding.length, 1536);
      const other = byFloat[index].embedding;
      assert.ok(embedding.every((value, at) => Math.abs(value - other[at]) < 1e-6), "they differ");
    });
  },

  async responses(client) {
    const answer = await client.responses.create({ model: "gpt-4o", input: "hello" });
    assert.equal(answer.output_text, TEXT);
    assert.equal(answer.status, "completed");
    assert.equal(answer.usage.output_tokens, 16);
    const tools = [{ type: "function", ...FUNCTION }];
    const called = await client.responses.create({ model: "gpt-4o", input: "weather?", tools });
    assert.deepEqual(JSON.parse(called.output[0].arguments), ARGUMENTS);
  },

  async responsesStream(client) {
    const seen = await events(
      client.responses.create({ model: "gpt-4o", input: "hello", stream: true }),
    );
    const deltas = seen.filter((event) => event.type === "response.output_text.delta");
    assert.equal(deltas.map((event) => event.delta).join(""), TEXT);
    assert.equal(seen[0].type, "response.created");
    assert.equal(seen.at(-1).type, "response.completed");
    assert.equal(seen.at(-1).response.usage.output_tokens, 16);
    seen.forEach((event, index) => assert.equal(event.sequence_number, index));
  },

  async completions(client) {
    const asked = { model: "gpt-3.5-turbo-instruct", prompt: "hello" };
    assert.equal((await client.completions.create(asked)).choices[0].text, TEXT);
    const chunks = await events(client.completions.create({ ...asked, stream: true }));
    assert.equal(choicesOf(chunks).map((choice) => choice.text).join(""), TEXT);
  },

  async images(client) {
    const answer = await client.images.generate({ model: "gpt-image-1", prompt: "a weir" });
    const image = Buffer.from(answer.data[0].b64_json, "base64");
    assert.equal(image.subarray(1, 4).toString(), "PNG");
  },

  async transcriptions(client) {
    // The SDK may put the model behind the file: a big one shows that it is found there too.
    const file = await toFile(Buffer.alloc(300_000, 7), "speech.wav", { type: "audio/wav" });
    const answer = await client.audio.transcriptions.create({ file, model: "whisper-1" });
    assert.equal(answer.text, TEXT);
  },

  async models(client) {
    const listed = (await events(client.models.list())).map((model) => model.id).sort();
    assert.deepEqual(listed, ["embedding-3-small", "gpt-4o", "gpt-4o-mini"]);
    assert.equal((await client.models.retrieve("gpt-4o-mini")).id, "gpt-4o-mini");
  },

  async rawHeaders(client, target) {
    const call = client.chat.completions.create({ model: "gpt-4o", messages: HELLO });
    const { data, response, request_id } = await call.withResponse();
    const endpoint = response.headers.get("x-tokenweir-endpoint");
    const attempts = response.headers.get("x-tokenweir-attempts");
    const allowed = target.failing ? ["aoi-2", "aoi-3"] : ["aoi-1", "aoi-2", "aoi-3"];
    assert.ok(allowed.includes(endpoint), `served by ${endpoint}`);
    assert.ok(target.attempts.includes(attempts), `x-tokenweir-attempts: ${attempts}`);
    assert.ok(request_id, "no request_id");
    assert.equal(response.headers.get("x-request-id"), request_id);
    assert.equal(data._request_id, request_id);
  },

  async errors(client, target, shape) {
    const hello = { model: "gpt-4o", messages: HELLO };
    const stranger = made(shape, target.url, "tw-of-nobody");
    const limited = made(shape, target.url, settings.limited_key);
    const chat = (who, asked) => who.chat.completions.create(asked);
    await refused(OpenAI.AuthenticationError, chat(stranger, hello), "invalid_api_key");
    const unknown = chat(client, { ...hello, model: "gpt-9" });
    await refused(OpenAI.NotFoundError, unknown, "model_not_found", "gpt-9");
    const notAllowed = chat(limited, hello);
    await refused(OpenAI.PermissionDeniedError, notAllowed, "model_not_allowed", "gpt-4o");
    const listed = (await limited.models.list()).data.map((model) => model.id);
    assert.deepEqual(listed, ["gpt-4o-mini"]);
    for (const stream of [false, true]) {
      const asked = chat(client, { model: "gpt-4o", messages: FILTERED, stream });
      const filtered = await refused(OpenAI.BadRequestError, asked, "content_filter");
      assert.equal(filtered.error.innererror.code, "ResponsibleAIPolicyViolation");
      assert.ok(filtered.requestID, "the error has no requestID");
    }
  },

  async atOnce(client) {
    const asked = { model: "gpt-4o", messages: HELLO };
    const calls = Array.from({ length: 20 }, () => client.chat.completions.create(asked));
    for (const answer of await Promise.all(calls)) assert.equal(content(answer), TEXT);
  },
};

/** Each class in each way that a documentation shows. The SDK itself never tries again. */
const shapes = {
  "AzureOpenAI dated": (endpoint, apiKey, common) =>
    new AzureOpenAI({ endpoint, apiKey, apiVersion: "2024-10-21", ...common }),
  "OpenAI /openai/v1": (url, apiKey, common) =>
    new OpenAI({ baseURL: `${url}/openai/v1`, apiKey, ...common }),
  "OpenAI /v1": (url, apiKey, common) => new OpenAI({ baseURL: `${url}/v1`, apiKey, ...common }),
};
const made = (shape, url, key) => shapes[shape](url, key, { maxRetries: 0, timeout: 20_000 });

/** The two further ways to make an Azure client: one deployment for all, and a token for a key. */
async function fixedDeployment(target) {
  const common = { endpoint: target.url, apiVersion: "2024-10-21", maxRetries: 0 };
  const fixed = new AzureOpenAI({ ...common, apiKey: settings.key, deployment: "gpt-4o" });
  const asked = { model: "ignored", messages: HELLO };
  assert.equal(content(await fixed.chat.completions.create(asked)), TEXT);
  const azureADTokenProvider = async () => settings.key;
  await checks.chat(new AzureOpenAI({ ...common, azureADTokenProvider }));
}

let running = "nothing";
let passed = 0;
const failed = [];

async function check(name, call) {
  running = name;
  try {
    await call();
    passed += 1;
  } catch (error) {
    failed.push(name);
    console.log(`FAILED ${name}\n${error.stack}`);
  }
}

for (const target of settings.targets) {
  for (const shape of Object.keys(shapes)) {
    const client = made(shape, target.url, settings.key);
    for (const [name, call] of Object.entries(checks)) {
      await check(`${target.name}: ${shape} ${name}`, () => call(client, target, shape));
    }
  }
  await check(`${target.name}: fixedDeployment`, () => fixedDeployment(target));
}
console.log(`${passed} checks passed, ${failed.length} failed`);
for (const name of failed) console.log(`  ${name}`);
process.exitCode = failed.length > 0 || passed === 0 ? 1 : 0;
