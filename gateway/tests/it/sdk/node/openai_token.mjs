// The openai package over TLS, with a token for each request in place of a key. The authority of the listener
// comes by NODE_EXTRA_CA_CERTS.

import assert from "node:assert/strict";
import OpenAI, { AzureOpenAI } from "openai";

const settings = JSON.parse(process.argv[2]);
// A script that hangs ends all the same.
setTimeout(() => {
  console.log("hangs");
  process.exit(1);
}, 90_000).unref();

const TEXT = "The water behind the weir rises until it finds a lower place and then runs over.";
const ASKED = { model: "gpt-4o", messages: [{ role: "user", content: "hello" }] };

function provider(client, scope) {
  return async () => {
    const body = new URLSearchParams({
      grant_type: "client_credentials",
      client_id: client,
      client_secret: settings.secret,
      scope,
    });
    const answer = await fetch(settings.token_url, { method: "POST", body });
    return (await answer.json()).access_token;
  };
}

function made(azureADTokenProvider) {
  const common = { endpoint: settings.url, apiVersion: "2024-10-21", maxRetries: 0 };
  return new AzureOpenAI({ ...common, azureADTokenProvider });
}

async function refused(client, error, code) {
  const seen = await client.chat.completions.create(ASKED).then(
    () => assert.fail(`no ${error.name}`),
    (thrown) => thrown,
  );
  if (!(seen instanceof error)) throw seen;
  assert.equal(seen.code, code);
}

for (const token of [
  provider(settings.application, settings.scope),
  async () => settings.token_with_role,
]) {
  const client = made(token);
  const answer = await client.chat.completions.create(ASKED);
  assert.equal(answer.choices[0].message.content, TEXT);
  let text = "";
  for await (const chunk of await client.chat.completions.create({ ...ASKED, stream: true })) {
    text += chunk.choices[0]?.delta.content ?? "";
  }
  assert.equal(text, TEXT);
  const input = ["a weir", "a lock"];
  const { data } = await client.embeddings.create({ model: "embedding-3-small", input });
  assert.deepEqual(data.map((item) => item.embedding.length), [1536, 1536]);
}
const wrongAudience = made(provider(settings.application, settings.wrong_scope));
await refused(wrongAudience, OpenAI.AuthenticationError, "invalid_token");
const noRole = made(provider(settings.stranger, settings.scope));
await refused(noRole, OpenAI.PermissionDeniedError, "access_denied");
