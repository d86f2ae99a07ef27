"""The openai package over TLS, with a token for each request in place of a key: each class."""

import asyncio
import os
import ssl

import openai

from openai_sdk import chat, chat_stream, embeddings, refused
from report import SETTINGS, Report, done
from token_provider import fetch

URL = SETTINGS["url"]


def trusting():
    return ssl.create_default_context(cafile=SETTINGS["ca"])


def clients(provider):
    """The Azure classes are told whom to trust, the others find it in their environment."""

    async def asynchronous():
        return await asyncio.to_thread(provider)

    azure = {"azure_endpoint": URL, "api_version": "2024-10-21", "max_retries": 0}
    plain = {"base_url": f"{URL}/openai/v1", "max_retries": 0}
    http_client = openai.DefaultHttpxClient(verify=trusting())
    yield openai.AzureOpenAI(azure_ad_token_provider=provider, http_client=http_client, **azure)
    http_client = openai.DefaultAsyncHttpxClient(verify=trusting())
    yield openai.AsyncAzureOpenAI(
        azure_ad_token_provider=asynchronous, http_client=http_client, **azure
    )
    os.environ["SSL_CERT_FILE"] = SETTINGS["ca"]
    yield openai.OpenAI(api_key=provider, **plain)
    yield openai.AsyncOpenAI(api_key=asynchronous, **plain)
    del os.environ["SSL_CERT_FILE"]


async def denied(client, error, code):
    await refused(client, error, code, model="gpt-4o")


async def trusts_nobody_else(target):
    client = openai.OpenAI(base_url=f"{URL}/openai/v1", api_key="a", max_retries=0)
    try:
        client.models.list()
    except openai.APIConnectionError as error:
        assert "CERTIFICATE_VERIFY_FAILED" in str(error.__cause__), error.__cause__
        return
    raise AssertionError("an unknown authority was trusted")


async def main():
    report = Report()
    await report.check("trusts_nobody_else", trusts_nobody_else(None))
    for name, provider, checks in (
        ("by application", fetch, (chat, chat_stream, embeddings)),
        ("by role", lambda: SETTINGS["token_with_role"], (chat,)),
    ):
        for client in clients(provider):
            for check in checks:
                place = f"{name}: {type(client).__name__} {check.__name__}"
                await report.check(place, check(client, None))
            await done(client.close())
    for name, provider, error, code in (
        ("audience", lambda: fetch(scope="wrong_scope"), openai.AuthenticationError, "invalid_token"),
        ("role", lambda: fetch(client="stranger"), openai.PermissionDeniedError, "access_denied"),
    ):
        for client in clients(provider):
            place = f"without the {name}: {type(client).__name__}"
            await report.check(place, denied(client, error, code))
            await done(client.close())
    report.finish()


asyncio.run(main())
