"""The openai package as applications use it: each class, synchronous and asynchronous, each operation."""

import asyncio
import base64
import json

import openai

from report import SETTINGS, Report, done, equal, events

TEXT = "The water behind the weir rises until it finds a lower place and then runs over."
HELLO = [{"role": "user", "content": "hello"}]
WEATHER = [{"role": "user", "content": "How is the weather in Stockholm?"}]
ARGUMENTS = {"location": "Stockholm", "unit": "celsius"}
PARAMETERS = {"type": "object", "properties": {"location": {"type": "string"}}}
FUNCTION = {"name": "get_weather", "parameters": PARAMETERS}


async def chat(client, target):
    answer = await done(client.chat.completions.create(model="gpt-4o", messages=HELLO))
    equal(answer.choices[0].message.content, TEXT)
    equal(answer.choices[0].finish_reason, "stop")
    equal(answer.usage.completion_tokens, 16)
    assert answer._request_id, "no _request_id"


async def chat_stream(client, target):
    call = client.chat.completions.create(model="gpt-4o", messages=HELLO, stream=True)
    chunks = await events(call)
    equal(chunks[0].choices, [], "the prompt filter's chunk:")
    choices = [chunk.choices[0] for chunk in chunks if chunk.choices]
    equal("".join(choice.delta.content or "" for choice in choices), TEXT)
    equal(choices[-1].finish_reason, "stop")
    equal([chunk.usage for chunk in chunks if chunk.usage], [])


async def chat_stream_with_usage(client, target):
    options = {"include_usage": True}
    call = client.chat.completions.create(
        model="gpt-4o", messages=HELLO, stream=True, stream_options=options
    )
    chunks = await events(call)
    equal(chunks[-1].choices, [])
    equal(chunks[-1].usage.completion_tokens, 16)
    equal([chunk.usage for chunk in chunks[:-1] if chunk.usage], [])


async def tools(client, target):
    offered = [{"type": "function", "function": FUNCTION}]
    call = client.chat.completions.create(model="gpt-4o", messages=WEATHER, tools=offered)
    choice = (await done(call)).choices[0]
    equal(choice.finish_reason, "tool_calls")
    [called] = choice.message.tool_calls
    equal(called.function.name, "get_weather")
    equal(json.loads(called.function.arguments), ARGUMENTS)
    result = {"role": "tool", "tool_call_id": called.id, "content": "7 degrees"}
    conversation = [*WEATHER, choice.message, result]
    call = client.chat.completions.create(model="gpt-4o", messages=conversation, tools=offered)
    equal((await done(call)).choices[0].message.content, TEXT)


async def tools_stream(client, target):
    offered = [{"type": "function", "function": FUNCTION}]
    call = client.chat.completions.create(
        model="gpt-4o", messages=WEATHER, tools=offered, stream=True
    )
    choices = [chunk.choices[0] for chunk in await events(call) if chunk.choices]
    calls = [call for choice in choices for call in choice.delta.tool_calls or []]
    equal(calls[0].function.name, "get_weather")
    assert calls[0].id, "the call has no id"
    equal(json.loads("".join(call.function.arguments for call in calls)), ARGUMENTS)
    equal(choices[-1].finish_reason, "tool_calls")


async def embeddings(client, target):
    inputs = ["a weir", "a lock"]
    call = client.embeddings.create(model="embedding-3-small", input=inputs)
    by_base64 = (await done(call)).data
    call = client.embeddings.create(
        model="embedding-3-small", input=inputs, encoding_format="float"
    )
    by_float = (await done(call)).data
    equal([item.index for item in by_base64], [0, 1])
    for left, right in zip(by_base64, by_float, strict=True):
        equal((len(left.embedding), len(right.embedding)), (1536, 1536))
        pairs = zip(left.embedding, right.embedding, strict=True)
        assert all(abs(a - b) < 1e-6 for a, b in pairs), "base64 and float differ"


async def responses(client, target):
    answer = await done(client.responses.create(model="gpt-4o", input="hello"))
    equal(answer.output_text, TEXT)
    equal(answer.status, "completed")
    equal(answer.usage.output_tokens, 16)
    offered = [{"type": "function", **FUNCTION}]
    call = client.responses.create(model="gpt-4o", input="weather?", tools=offered)
    equal(json.loads((await done(call)).output[0].arguments), ARGUMENTS)


async def responses_stream(client, target):
    seen = await events(client.responses.create(model="gpt-4o", input="hello", stream=True))
    deltas = [event.delta for event in seen if event.type == "response.output_text.delta"]
    equal("".join(deltas), TEXT)
    equal((seen[0].type, seen[-1].type), ("response.created", "response.completed"))
    equal(seen[-1].response.usage.output_tokens, 16)
    equal([event.sequence_number for event in seen], list(range(len(seen))))


async def completions(client, target):
    call = client.completions.create(model="gpt-3.5-turbo-instruct", prompt="hello")
    equal((await done(call)).choices[0].text, TEXT)
    call = client.completions.create(
        model="gpt-3.5-turbo-instruct", prompt="hello", stream=True
    )
    texts = [choice.text for chunk in await events(call) for choice in chunk.choices]
    equal("".join(texts), TEXT)


async def images(client, target):
    answer = await done(client.images.generate(model="gpt-image-1", prompt="a weir"))
    assert base64.b64decode(answer.data[0].b64_json).startswith(b"\x89PNG"), "not a PNG"


async def transcriptions(client, target):
    # The SDK may put the model behind the file: a big one shows that it is found there too.
    recording = ("speech.wav", bytes(range(256)) * 1200, "audio/wav")
    answer = await done(client.audio.transcriptions.create(model="whisper-1", file=recording))
    equal(answer.text, TEXT)


async def models(client, target):
    listed = sorted(model.id for model in (await done(client.models.list())).data)
    equal(listed, ["embedding-3-small", "gpt-4o", "gpt-4o-mini"])
    equal((await done(client.models.retrieve("gpt-4o-mini"))).id, "gpt-4o-mini")


async def raw_headers(client, target):
    call = client.chat.completions.with_raw_response.create(model="gpt-4o", messages=HELLO)
    raw = await done(call)
    endpoint, attempts = (raw.headers[f"x-tokenweir-{name}"] for name in ("endpoint", "attempts"))
    allowed = ("aoi-2", "aoi-3") if target["failing"] else ("aoi-1", "aoi-2", "aoi-3")
    assert endpoint in allowed, f"served by {endpoint}"
    assert attempts in target["attempts"], f"x-tokenweir-attempts: {attempts}"
    assert raw.request_id, "no request_id"
    equal(raw.headers["x-request-id"], raw.request_id)
    equal((await done(raw.parse()))._request_id, raw.request_id)


async def refused(client, error, code, text="", content="hello", **asked):
    messages = [{"role": "user", "content": content}]
    try:
        await done(client.chat.completions.create(messages=messages, **asked))
    except error as seen:
        equal(type(seen), error)
        equal(seen.code, code)
        assert text in seen.message, f"{text!r} is not in {seen.message!r}"
        return seen
    raise AssertionError(f"no {error.__name__}")


async def errors(client, target):
    stranger = client.copy(api_key="tw-of-nobody")
    limited = client.copy(api_key=SETTINGS["limited_key"])
    await refused(stranger, openai.AuthenticationError, "invalid_api_key", model="gpt-4o")
    await refused(client, openai.NotFoundError, "model_not_found", "gpt-9", model="gpt-9")
    forbidden = openai.PermissionDeniedError
    await refused(limited, forbidden, "model_not_allowed", "gpt-4o", model="gpt-4o")
    equal([model.id for model in (await done(limited.models.list())).data], ["gpt-4o-mini"])
    for stream in (False, True):
        filtered = await refused(
            client,
            openai.BadRequestError,
            "content_filter",
            content="[[content-filter]]",
            model="gpt-4o",
            stream=stream,
        )
        equal(filtered.body["innererror"]["code"], "ResponsibleAIPolicyViolation")
        assert filtered.request_id, "the error has no request_id"


async def at_once(client, target):
    """Only asynchronous clients have several requests under way."""
    create = client.chat.completions.create
    calls = [create(model="gpt-4o", messages=HELLO) for _ in range(20)]
    for answer in await asyncio.gather(*calls):
        equal(answer.choices[0].message.content, TEXT)


CHECKS = [
    chat,
    chat_stream,
    chat_stream_with_usage,
    tools,
    tools_stream,
    embeddings,
    responses,
    responses_stream,
    completions,
    images,
    transcriptions,
    models,
    raw_headers,
    errors,
]


def clients(url, key):
    """Each class in each way that a documentation shows. The SDK itself never tries again."""
    common = {"max_retries": 0, "timeout": 20}
    azure = {"azure_endpoint": url, "api_version": "2024-10-21", **common}
    for azure_class, openai_class in (
        (openai.AzureOpenAI, openai.OpenAI),
        (openai.AsyncAzureOpenAI, openai.AsyncOpenAI),
    ):
        yield azure_class(api_key=key, **azure), "dated"
        yield openai_class(base_url=f"{url}/openai/v1", api_key=key, **common), "/openai/v1"
        yield openai_class(base_url=f"{url}/v1", api_key=key, **common), "/v1"


async def fixed_deployment(target):
    """The two further ways to make an Azure client: one deployment for all, and a token for a key."""
    common = {"azure_endpoint": target["url"], "api_version": "2024-10-21", "max_retries": 0}
    key = SETTINGS["key"]
    fixed = openai.AzureOpenAI(azure_deployment="gpt-4o", api_key=key, **common)
    answer = fixed.chat.completions.create(model="ignored", messages=HELLO)
    equal(answer.choices[0].message.content, TEXT)
    by_token = openai.AzureOpenAI(azure_ad_token_provider=lambda: key, **common)
    await chat(by_token, target)


async def main():
    report = Report()
    for target in SETTINGS["targets"]:
        for client, shape in clients(target["url"], SETTINGS["key"]):
            place = f"{target['name']}: {type(client).__name__} {shape}"
            for check in CHECKS:
                await report.check(f"{place} {check.__name__}", check(client, target))
            if isinstance(client, openai.AsyncOpenAI):
                await report.check(f"{place} at_once", at_once(client, target))
                await client.close()
            else:
                client.close()
        await report.check(f"{target['name']}: fixed_deployment", fixed_deployment(target))
    report.finish()


if __name__ == "__main__":
    asyncio.run(main())
