"""Semantic Kernel's chat services, which take https endpoints only."""

import asyncio
import os

from openai import AsyncOpenAI
from semantic_kernel import Kernel
from semantic_kernel.connectors.ai.open_ai import (
    AzureChatCompletion,
    OpenAIChatCompletion,
    OpenAIChatPromptExecutionSettings,
)
from semantic_kernel.connectors.ai.function_choice_behavior import FunctionChoiceBehavior
from semantic_kernel.contents import ChatHistory
from semantic_kernel.functions import kernel_function

from report import SETTINGS, Report, equal
from token_provider import fetch

TEXT = "The water behind the weir rises until it finds a lower place and then runs over."
URL = SETTINGS["url"]

os.environ["SSL_CERT_FILE"] = SETTINGS["ca"]


async def token():
    return await asyncio.to_thread(fetch)


def services():
    azure = {"deployment_name": "gpt-4o", "endpoint": URL, "api_version": "2024-10-21"}
    yield "Azure by key", AzureChatCompletion(api_key=SETTINGS["key"], **azure)
    yield "Azure by token", AzureChatCompletion(ad_token_provider=token, **azure)
    client = AsyncOpenAI(base_url=f"{URL}/v1", api_key=SETTINGS["key"])
    yield "OpenAI by key", OpenAIChatCompletion(ai_model_id="gpt-4o", async_client=client)


def asked(text="hello"):
    history = ChatHistory(system_message="You know weirs.")
    history.add_user_message(text)
    return history


async def chat(service):
    settings = OpenAIChatPromptExecutionSettings()
    answer = await service.get_chat_message_content(asked(), settings)
    equal(str(answer), TEXT)
    equal(answer.metadata["usage"].completion_tokens, 16)


async def chat_stream(service):
    settings = OpenAIChatPromptExecutionSettings()
    stream = service.get_streaming_chat_message_content(asked(), settings)
    chunks = [chunk async for chunk in stream if chunk]
    assert len(chunks) > 2, "it came in one piece"
    equal("".join(str(chunk) for chunk in chunks), TEXT)


class Weather:
    def __init__(self):
        self.asked = []

    @kernel_function(name="get_weather", description="The weather at a place.")
    def weather(self, location: str, unit: str) -> str:
        self.asked.append((location, unit))
        return f"7 {unit}"


async def tools(service):
    """The kernel answers the model's call by itself, with a second request."""
    kernel, weather = Kernel(), Weather()
    kernel.add_plugin(weather, "station")
    settings = OpenAIChatPromptExecutionSettings(
        function_choice_behavior=FunctionChoiceBehavior.Auto()
    )
    answer = await service.get_chat_message_content(
        asked("How is the weather in Stockholm?"), settings, kernel=kernel
    )
    equal((str(answer), weather.asked), (TEXT, [("Stockholm", "celsius")]))


async def prompt(service):
    kernel = Kernel()
    kernel.add_service(service)
    equal(str(await kernel.invoke_prompt("hello")), TEXT)


async def main():
    report = Report()
    for name, service in services():
        for check in (chat, chat_stream, tools, prompt):
            await report.check(f"{name}: {check.__name__}", check(service))
    report.finish()


asyncio.run(main())
