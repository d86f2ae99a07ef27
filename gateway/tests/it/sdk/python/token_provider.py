"""Tokens as an application gets them from Entra: by its secret, one for each call."""

import json
import urllib.parse
import urllib.request

from report import SETTINGS


def fetch(client="application", scope="scope"):
    form = {
        "grant_type": "client_credentials",
        "client_id": SETTINGS[client],
        "client_secret": SETTINGS["secret"],
        "scope": SETTINGS[scope],
    }
    body = urllib.parse.urlencode(form).encode()
    with urllib.request.urlopen(SETTINGS["token_url"], body, timeout=20) as answer:
        return json.load(answer)["access_token"]
