"""Debian's Firefox, driven over WebDriver BiDi (https://w3c.github.io/webdriver-bidi/), which it speaks itself."""

from __future__ import annotations

import asyncio
import itertools
import json
import re
import shutil
import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp

NAMES = ("firefox-esr", "firefox")

#: Seconds. Generous: a machine that is busy elsewhere must not fail a test.
PATIENCE = 120

#: Nothing is fetched and nothing is asked at the start.
PREFERENCES = {
    "app.normandy.enabled": False,
    "app.update.disabledForTesting": True,
    "browser.aboutwelcome.enabled": False,
    "browser.safebrowsing.malware.enabled": False,
    "browser.safebrowsing.phishing.enabled": False,
    "browser.shell.checkDefaultBrowser": False,
    "browser.startup.homepage_override.mstone": "ignore",
    "datareporting.policy.dataSubmissionEnabled": False,
    "extensions.update.enabled": False,
    "intl.accept_languages": "en-US",
    "network.captive-portal-service.enabled": False,
    "network.connectivity-service.enabled": False,
    "remote.active-protocols": 1,
    "services.settings.server": "data:,#remote-settings-dummy/v1",
    "toolkit.telemetry.enabled": False,
}

#: Return once an expression is true.
UNTIL = """
() => new Promise((resolve) => {
  const look = () => ((%s) ? resolve() : setTimeout(look, 20));
  look();
})
"""

#: Keys by their code points (WebDriver, 17.4.2).
ENTER, ESCAPE = "\ue007", "\ue00c"


class Firefox:
    """One tab. What the page says on its console as an error stands in ``problems``."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self.problems: list[str] = []
        self._socket = socket
        self._ids = itertools.count(1)
        self._waiting: dict[int, asyncio.Future[Any]] = {}
        self._reading = asyncio.create_task(self._read())
        self._tab = ""

    async def begin(self) -> None:
        await self._do("session.new", capabilities={})
        tree = await self._do("browsingContext.getTree")
        self._tab = tree["contexts"][0]["context"]
        await self._do("session.subscribe", events=["log.entryAdded"])

    async def end(self) -> None:
        self._reading.cancel()
        await asyncio.gather(self._reading, return_exceptions=True)

    async def goto(self, url: str) -> None:
        await self._do("browsingContext.navigate", context=self._tab, url=url, wait="complete")

    async def reload(self) -> None:
        await self._do("browsingContext.reload", context=self._tab, wait="complete")

    async def evaluate(self, function: str) -> Any:
        """Call a function in the page and return what it, or its promise, gives: as JSON can say it."""
        declaration = f"async () => JSON.stringify((await ({function})()) ?? null)"
        got = await self._do(
            "script.callFunction", functionDeclaration=declaration, awaitPromise=True, target={"context": self._tab}
        )
        assert got["type"] == "success", got["exceptionDetails"]["text"]
        return json.loads(got["result"]["value"])

    async def until(self, expression: str) -> None:
        """Wait until *expression* is true in the page."""
        async with asyncio.timeout(PATIENCE):
            await self.evaluate(UNTIL % expression)

    async def press(self, keys: str) -> None:
        """Press *keys* one after the other, as a keyboard does."""
        actions = [{"type": kind, "value": key} for key in keys for kind in ("keyDown", "keyUp")]
        source = {"type": "key", "id": "keyboard", "actions": actions}
        await self._do("input.performActions", context=self._tab, actions=[source])

    async def attach(self, selector: str, files: Sequence[str]) -> None:
        """Choose *files* in the input that *selector* finds."""
        found = await self._do("browsingContext.locateNodes", context=self._tab, locator={"type": "css", "value": selector})
        element = {"sharedId": found["nodes"][0]["sharedId"]}
        await self._do("input.setFiles", context=self._tab, element=element, files=list(files))

    async def _do(self, method: str, **parameters: Any) -> Any:
        number = next(self._ids)
        answered = self._waiting[number] = asyncio.get_running_loop().create_future()
        await self._socket.send_json({"id": number, "method": method, "params": parameters})
        async with asyncio.timeout(PATIENCE):
            return await answered

    async def _read(self) -> None:
        async for message in self._socket:
            told = message.json()
            if told["type"] == "event":
                if told["params"].get("level") == "error":
                    self.problems.append(told["params"]["text"])
            elif told["type"] == "error":
                self._waiting.pop(told["id"]).set_exception(RuntimeError(f"{told['error']}: {told['message']}"))
            else:
                self._waiting.pop(told["id"]).set_result(told["result"])


def find_firefox() -> str:
    """Return the path of Firefox. Fails where there is none: what was not tried was not shown to work."""
    found = next((path for name in NAMES if (path := shutil.which(name))), None)
    assert found, "Firefox is missing; on Debian: apt-get install firefox-esr"
    return found


@asynccontextmanager
async def firefox() -> AsyncIterator[Firefox]:
    """The browser, without a window and with a profile of its own."""
    with tempfile.TemporaryDirectory(prefix="firefox-", ignore_cleanup_errors=True) as profile:
        preferences = [f"user_pref({json.dumps(name)}, {json.dumps(value)});\n" for name, value in PREFERENCES.items()]
        Path(profile, "user.js").write_text("".join(preferences), encoding="utf-8")
        process = await asyncio.create_subprocess_exec(
            *(find_firefox(), "--headless", "--no-remote", "--profile", profile, "--remote-debugging-port", "0"),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        assert process.stdout is not None
        try:
            async with asyncio.timeout(PATIENCE):
                while not (found := re.search(rb"WebDriver BiDi listening on (ws://\S+)", await process.stdout.readline())):
                    assert process.returncode is None
            draining = asyncio.create_task(process.stdout.read())
            url = found[1].decode()
            async with (
                aiohttp.ClientSession(trust_env=False) as client,
                client.ws_connect(f"{url}/session", max_msg_size=0) as socket,
            ):
                browser = Firefox(socket)
                try:
                    await browser.begin()
                    yield browser
                finally:
                    await browser.end()
        finally:
            process.kill()
            await process.wait()
            await draining
