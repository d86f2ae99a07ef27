"""Runs checks one after the other, tells what failed, and ends with 1 if anything did."""

import faulthandler
import inspect
import json
import sys
import traceback

# A script that hangs says where.
faulthandler.dump_traceback_later(90, exit=True)

SETTINGS = json.loads(sys.argv[1])


async def done(value):
    """The value of a synchronous or of an asynchronous call."""
    return await value if inspect.isawaitable(value) else value


async def events(call):
    """All events of a stream of either kind."""
    stream = await done(call)
    if hasattr(stream, "__aiter__"):
        return [event async for event in stream]
    return list(stream)


def equal(seen, expected, what=""):
    assert seen == expected, f"{what} expected {expected!r}, got {seen!r}"


class Report:
    def __init__(self):
        self.passed = 0
        self.failed = []

    async def check(self, name, call):
        try:
            await done(call)
            self.passed += 1
        except Exception:
            self.failed.append(name)
            print(f"FAILED {name}\n{traceback.format_exc()}", flush=True)

    def finish(self):
        print(f"{self.passed} checks passed, {len(self.failed)} failed")
        for name in self.failed:
            print(f"  {name}")
        sys.exit(1 if self.failed or not self.passed else 0)
