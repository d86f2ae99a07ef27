"""LangChain's Azure classes, the way its documentation shows them."""

import asyncio

from langchain_core.tools import tool
from langchain_openai import AzureChatOpenAI, AzureOpenAIEmbeddings

from report import SETTINGS, Report, equal

TEXT = "The water behind the weir rises until it finds a lower place and then runs over."


@tool
def get_weather(location: str, unit: str) -> str:
    """The weather at a place."""
    return f"7 {unit} in {location}"


def made(cls, target, deployment, **more):
    return cls(
        azure_endpoint=target["url"],
        azure_deployment=deployment,
        api_key=SETTINGS["key"],
        api_version="2024-10-21",
        max_retries=0,
        timeout=20,
        **more,
    )


async def chat(target):
    model = made(AzureChatOpenAI, target, "gpt-4o")
    equal(model.invoke("hello").content, TEXT)
    equal((await model.ainvoke("hello")).content, TEXT)


async def stream(target):
    model = made(AzureChatOpenAI, target, "gpt-4o", stream_usage=True)
    chunks = list(model.stream("hello"))
    equal("".join(chunk.content for chunk in chunks), TEXT)
    used = [chunk.usage_metadata for chunk in chunks if chunk.usage_metadata]
    equal([usage["output_tokens"] for usage in used], [16])
    equal("".join([chunk.content async for chunk in model.astream("hello")]), TEXT)


async def tools(target):
    model = made(AzureChatOpenAI, target, "gpt-4o").bind_tools([get_weather])
    [call] = model.invoke("How is the weather in Stockholm?").tool_calls
    equal(call["name"], "get_weather")
    equal(get_weather.invoke(call["args"]), "7 celsius in Stockholm")


async def embeddings(target):
    # Without its own token count, for which it would fetch a vocabulary from the internet.
    model = made(
        AzureOpenAIEmbeddings, target, "embedding-3-small", check_embedding_ctx_length=False
    )
    vectors = model.embed_documents(["a weir", "a lock"])
    equal([len(vector) for vector in vectors], [1536, 1536])
    equal(len(await model.aembed_query("a weir")), 1536)


async def main():
    report = Report()
    for target in SETTINGS["targets"]:
        for check in (chat, stream, tools, embeddings):
            await report.check(f"{target['name']}: {check.__name__}", check(target))
    report.finish()


asyncio.run(main())
